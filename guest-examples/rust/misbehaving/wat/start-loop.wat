;; Never gets as far as `run`: the start function of its core module, which runs when a component is instantiated, loops
;; for ever. A host that limits only its calls of exports hangs here.
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
    (memory (export "memory") 1)
    (func $for-ever (loop $again (br $again)))
    (start $for-ever)
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (unreachable))
    (func (export "run") (param i32) (result i32) (unreachable)))
  (core instance $main (instantiate $main))
  (alias core export $main "memory" (core memory $mem))
  (alias core export $main "cabi_realloc" (core func $realloc))

  ;; run: func(args: args, state: state) -> result<json, failure>
  (func $run (param "args" $args) (param "state" (own $state-handle)) (result (result string (error $failure)))
    (canon lift (core func $main "run") (memory $mem) (realloc $realloc)))
  (export "run" (func $run)))
