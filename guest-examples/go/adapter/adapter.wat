;; What Go calls of WASI preview 1, by means of WASI 0.2. There are clocks, sleeping, random numbers, standard output and
;; standard error; there are no arguments, no environment, no files.
;;
;; wasmtime's own adapter would do but for one thing: Go's allocator reads the clocks and polls when it collects garbage, also
;; while the host puts the result of a call into this component's memory, when calls to the outside are traps. Go's bindings
;; say when that is (`adapter_monotonic_clock_set_paused`), and wasmtime's adapter then stops only one of both clocks.
(module
  (import "env" "memory" (memory 0))
  (import "wasi:clocks/monotonic-clock@0.2.12" "now" (func $monotonic (result i64)))
  (import "wasi:clocks/monotonic-clock@0.2.12" "subscribe-duration" (func $subscribe (param i64) (result i32)))
  (import "wasi:clocks/wall-clock@0.2.12" "now" (func $wall (param i32)))
  (import "wasi:io/poll@0.2.12" "[method]pollable.block" (func $block (param i32)))
  (import "wasi:io/poll@0.2.12" "[resource-drop]pollable" (func $drop-pollable (param i32)))
  (import "wasi:random/random@0.2.12" "get-random-u64" (func $random (result i64)))
  (import "wasi:cli/stdout@0.2.12" "get-stdout" (func $stdout (result i32)))
  (import "wasi:cli/stderr@0.2.12" "get-stderr" (func $stderr (result i32)))
  (import "wasi:cli/exit@0.2.12" "exit" (func $exit (param i32)))
  (import "wasi:io/streams@0.2.12" "[method]output-stream.blocking-write-and-flush"
    (func $write (param i32 i32 i32 i32)))

  (global $paused (mut i32) (i32.const 0))
  (global $wall-then (mut i64) (i64.const 0))
  (global $monotonic-then (mut i64) (i64.const 0))
  (global $out (mut i32) (i32.const 0))
  (global $err (mut i32) (i32.const 0))

  ;; While it is paused, the outside must not be called: both clocks stand still.
  (func (export "adapter_monotonic_clock_set_paused") (param $paused i32)
    (global.set $paused (local.get $paused)))

  ;; Nanoseconds of clock 0, the time of day. It needs 16 bytes for the host's answer: those at $room, which it then restores.
  (func $wall-time (param $room i32) (result i64)
    (local $first i64) (local $second i64)
    (if (i32.eqz (global.get $paused))
      (then
        (local.set $first (i64.load (local.get $room)))
        (local.set $second (i64.load offset=8 (local.get $room)))
        (call $wall (local.get $room))
        (global.set $wall-then
          (i64.add
            (i64.mul (i64.load (local.get $room)) (i64.const 1000000000))
            (i64.load32_u offset=8 (local.get $room))))
        (i64.store (local.get $room) (local.get $first))
        (i64.store offset=8 (local.get $room) (local.get $second))))
    (global.get $wall-then))

  ;; Nanoseconds of the other clocks.
  (func $monotonic-time (result i64)
    (if (i32.eqz (global.get $paused))
      (then (global.set $monotonic-then (call $monotonic))))
    (global.get $monotonic-then))

  (func $time (param $clock i32) (param $room i32) (result i64)
    (if (result i64) (local.get $clock)
      (then (call $monotonic-time))
      (else (call $wall-time (local.get $room)))))

  (func (export "clock_time_get") (param $clock i32) (param $precision i64) (param $to i32) (result i32)
    (i64.store (local.get $to) (call $time (local.get $clock) (local.get $to)))
    (i32.const 0))

  ;; Waits for the first clock among the subscriptions, and tells of that one event. Of files there is nothing to tell.
  (func (export "poll_oneoff") (param $in i32) (param $event i32) (param $count i32) (param $events i32) (result i32)
    (local $wait i64) (local $pollable i32)
    (block $found
      (loop $next
        (if (i32.eqz (local.get $count)) (then (return (i32.const 28)))) ;; EINVAL
        (br_if $found (i32.eqz (i32.load8_u offset=8 (local.get $in))))
        (local.set $in (i32.add (local.get $in) (i32.const 48)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br $next)))
    (local.set $wait (i64.load offset=24 (local.get $in)))
    ;; A point in time rather than a duration.
    (if (i32.and (i32.load16_u offset=40 (local.get $in)) (i32.const 1))
      (then
        (local.set $wait
          (i64.sub (local.get $wait) (call $time (i32.load offset=16 (local.get $in)) (local.get $event))))
        (if (i64.lt_s (local.get $wait) (i64.const 0)) (then (local.set $wait (i64.const 0))))))
    ;; The end of a collection looks whether there are events, without waiting for any.
    (if (i32.and (i32.eqz (global.get $paused)) (i64.ne (local.get $wait) (i64.const 0)))
      (then
        (local.set $pollable (call $subscribe (local.get $wait)))
        (call $block (local.get $pollable))
        (call $drop-pollable (local.get $pollable))))
    (i64.store (local.get $event) (i64.load (local.get $in)))
    (i64.store offset=8 (local.get $event) (i64.const 0))
    (i64.store offset=16 (local.get $event) (i64.const 0))
    (i64.store offset=24 (local.get $event) (i64.const 0))
    (i32.store (local.get $events) (i32.const 1))
    (i32.const 0))

  (func (export "random_get") (param $to i32) (param $count i32) (result i32)
    (local $bits i64) (local $left i32)
    (loop $next
      (if (local.get $count)
        (then
          (if (i32.eqz (local.get $left))
            (then
              (local.set $bits (call $random))
              (local.set $left (i32.const 8))))
          (i64.store8 (local.get $to) (local.get $bits))
          (local.set $bits (i64.shr_u (local.get $bits) (i64.const 8)))
          (local.set $left (i32.sub (local.get $left) (i32.const 1)))
          (local.set $to (i32.add (local.get $to) (i32.const 1)))
          (local.set $count (i32.sub (local.get $count) (i32.const 1)))
          (br $next))))
    (i32.const 0))

  ;; The stream of a file descriptor, asked for once; 0: there is none.
  (func $stream (param $fd i32) (result i32)
    (if (i32.eq (local.get $fd) (i32.const 1))
      (then
        (if (i32.eqz (global.get $out)) (then (global.set $out (call $stdout))))
        (return (global.get $out))))
    (if (i32.eq (local.get $fd) (i32.const 2))
      (then
        (if (i32.eqz (global.get $err)) (then (global.set $err (call $stderr))))
        (return (global.get $err))))
    (i32.const 0))

  ;; Writes all. The host's answer takes 12 bytes: those at $room, which it then restores. An error is of no use to Go.
  (func $write-all (param $stream i32) (param $from i32) (param $count i32) (param $room i32)
    (local $part i32) (local $first i64) (local $second i32)
    (local.set $first (i64.load align=4 (local.get $room)))
    (local.set $second (i32.load offset=8 (local.get $room)))
    (loop $next
      (if (local.get $count)
        (then
          ;; A stream takes 4096 bytes at once.
          (local.set $part
            (select (local.get $count) (i32.const 4096) (i32.lt_u (local.get $count) (i32.const 4096))))
          (call $write (local.get $stream) (local.get $from) (local.get $part) (local.get $room))
          (local.set $from (i32.add (local.get $from) (local.get $part)))
          (local.set $count (i32.sub (local.get $count) (local.get $part)))
          (br $next))))
    (i64.store align=4 (local.get $room) (local.get $first))
    (i32.store offset=8 (local.get $room) (local.get $second)))

  (func (export "fd_write") (param $fd i32) (param $parts i32) (param $count i32) (param $written i32) (result i32)
    (local $stream i32) (local $all i32) (local $size i32)
    (if (i32.eqz (global.get $paused)) (then (local.set $stream (call $stream (local.get $fd)))))
    (if (i32.and (i32.eqz (local.get $stream)) (i32.gt_u (i32.sub (local.get $fd) (i32.const 1)) (i32.const 1)))
      (then (return (i32.const 8)))) ;; EBADF
    (loop $next
      (if (local.get $count)
        (then
          (local.set $size (i32.load offset=4 (local.get $parts)))
          (if (local.get $stream)
            (then
              (call $write-all
                (local.get $stream) (i32.load (local.get $parts)) (local.get $size) (local.get $written))))
          (local.set $all (i32.add (local.get $all) (local.get $size)))
          (local.set $parts (i32.add (local.get $parts) (i32.const 8)))
          (local.set $count (i32.sub (local.get $count) (i32.const 1)))
          (br $next))))
    (i32.store (local.get $written) (local.get $all))
    (i32.const 0))

  (func (export "proc_exit") (param $code i32)
    (call $exit (i32.ne (local.get $code) (i32.const 0)))
    (unreachable))

  (func (export "sched_yield") (result i32) (i32.const 0))

  ;; No arguments, no environment.
  (func $none (param $count i32) (param $size i32) (result i32)
    (i32.store (local.get $count) (i32.const 0))
    (i32.store (local.get $size) (i32.const 0))
    (i32.const 0))
  (func (export "args_sizes_get") (param i32 i32) (result i32) (call $none (local.get 0) (local.get 1)))
  (func (export "args_get") (param i32 i32) (result i32) (i32.const 0))
  (func (export "environ_sizes_get") (param i32 i32) (result i32) (call $none (local.get 0) (local.get 1)))
  (func (export "environ_get") (param i32 i32) (result i32) (i32.const 0))

  ;; No files: EBADF.
  (func (export "fd_close") (param i32) (result i32) (i32.const 8))
  (func (export "fd_read") (param i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "fd_fdstat_get") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_fdstat_set_flags") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_prestat_get") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_prestat_dir_name") (param i32 i32 i32) (result i32) (i32.const 8)))
