;; Calls the host from within a call of the host: while the host hands over the result of `names`, it asks for memory by
;; calling `cabi_realloc`, which then calls `write`. The component model forbids that, so it must end as a trap.
(component
  ;; What a route gets and gives, as in wit/types.wit. A record must come with its name, so it has to be imported.
  (import "sandpool:route/types@1.0.0" (instance $types
    (type $pairs (list (tuple string string)))
    (type $texts (list string))
    (type $maybe-text (option string))
    (type $request-record (record (field "method" string) (field "url" string)
      (field "path-parameters" $pairs) (field "query" $pairs) (field "headers" $pairs)))
    (export "request" (type $request (eq $request-record)))
    (type $user-record (record (field "id" string)
      (field "groups" $texts) (field "roles" $texts) (field "scopes" $texts)))
    (export "user" (type $user (eq $user-record)))
    (type $maybe-user (option $user))
    (type $args-record (record (field "task-id" string) (field "arguments" string) (field "variables" string)
      (field "input" string) (field "request" $request) (field "user" $maybe-user) (field "attempt" u32)))
    (export "args" (type (eq $args-record)))
    (type $failure-record (record (field "message" string) (field "detail" $maybe-text)))
    (export "failure" (type (eq $failure-record)))))
  (import "sandpool:route/state@1.0.0" (instance $state
    (export "state" (type $state-resource (sub resource)))
    (export "[method]state.names" (func (param "self" (borrow $state-resource)) (result (list string))))))
  (import "sandpool:route/log@1.0.0" (instance $log
    (type $level-enum (enum "trace" "debug" "info" "warn" "error"))
    (export "level" (type $level (eq $level-enum)))
    (export "write" (func (param "level" $level) (param "message" string)
      (param "fields" (list (tuple string string)))))))
  (alias export $types "args" (type $args))
  (alias export $types "failure" (type $failure))
  (alias export $state "state" (type $state-handle))

  (core module $memory
    ;; Where the host puts the arguments: one after the other, nothing is ever freed. Beyond 1 MiB it traps.
    (memory (export "memory") 16)
    (global $top (mut i32) (i32.const 1024))
    (func (export "cabi_realloc") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32)
      (result i32) (local $at i32)
      ;; Rounds up to the next multiple of $align, a power of two.
      (local.set $at (i32.and
        (i32.add (global.get $top) (i32.sub (local.get $align) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get $align))))
      (global.set $top (i32.add (local.get $at) (local.get $size)))
      (local.get $at))
  )
  (core instance $memory (instantiate $memory))
  (alias core export $memory "memory" (core memory $mem))
  (alias core export $memory "cabi_realloc" (core func $realloc))
  (core func $write (canon lower (func $log "write") (memory $mem)))

  (core module $guilty
    (import "log" "write" (func $write (param i32 i32 i32 i32 i32)))
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
      ;; Level info, an empty message, no fields.
      (call $write (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
      (i32.const 512)))
  (core instance $guilty (instantiate $guilty (with "log" (instance (export "write" (func $write))))))
  (alias core export $guilty "cabi_realloc" (core func $guilty-realloc))
  (core func $names (canon lower (func $state "[method]state.names")
    (memory $mem) (realloc $guilty-realloc)))

  (core module $main
    (import "memory" "memory" (memory 16))
    (import "state" "names" (func $names (param i32 i32)))
    ;; The result, at address 16: case 0 (ok) of the result, then address and length of the text.
    (data (i32.const 16) "\00\00\00\00" "\20\00\00\00" "\04\00\00\00")
    (data (i32.const 32) "null")
    ;; The parameters are at $args, the handle of the state after the record `args`, at offset 112.
    (func (export "run") (param $args i32) (result i32)
      (call $names (i32.load offset=112 (local.get $args)) (i32.const 48))
      (i32.const 16)))
  (core instance $main (instantiate $main
    (with "memory" (instance $memory))
    (with "state" (instance (export "names" (func $names))))))

  ;; run: func(args: args, state: state) -> result<json, failure>
  (func $run (param "args" $args) (param "state" (own $state-handle)) (result (result string (error $failure)))
    (canon lift (core func $main "run") (memory $mem) (realloc $realloc)))
  (export "run" (func $run)))
