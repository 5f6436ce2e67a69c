;; Asks for 1,000 more table elements, for ever, even when there are no more to be had. Tables take the host's memory,
;; but do not count as the component's: they need a limit of their own.
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
    (export "state" (type (sub resource)))))
  (alias export $types "args" (type $args))
  (alias export $types "failure" (type $failure))
  (alias export $state "state" (type $state-handle))

  (core module $main
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
    (table $table 1 funcref)
    (func (export "run") (param i32) (result i32)
      (loop $again
        (drop (table.grow $table (ref.null func) (i32.const 1000)))
        (br $again))
      (unreachable)))
  (core instance $main (instantiate $main))
  (alias core export $main "memory" (core memory $mem))
  (alias core export $main "cabi_realloc" (core func $realloc))

  ;; run: func(args: args, state: state) -> result<json, failure>
  (func $run (param "args" $args) (param "state" (own $state-handle)) (result (result string (error $failure)))
    (canon lift (core func $main "run") (memory $mem) (realloc $realloc)))
  (export "run" (func $run)))
