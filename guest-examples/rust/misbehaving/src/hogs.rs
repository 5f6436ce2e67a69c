//! Takes all the time, all the memory or all the stack there is, or gives up with a trap.

use std::arch::wasm32;
use std::hint::black_box;

/// Pages of WebAssembly memory have this many bytes.
const PAGE: usize = 64 * 1024;

/// Never ends, and never calls the host.
pub fn endless_loop() -> ! {
    let mut count = 0u64;
    loop {
        count = black_box(count.wrapping_add(1));
    }
}

/// Asks for one mebibyte after the other, for ever, even when there is no more to be had.
pub fn memory_hog() -> ! {
    loop {
        black_box(wasm32::memory_grow(0, 16));
    }
}

/// Allocates until there is no more memory; Rust then gives up, which is a trap.
pub fn memory_panic() -> ! {
    loop {
        // Writing makes the memory real; forgetting keeps it.
        std::mem::forget(black_box(vec![1u8; 16 * PAGE]));
    }
}

/// Fills 16 MiB with one single instruction, `memory.fill`, again and again: a host that looks for a stop
/// only between instructions has to wait for each of them.
pub fn fill_loop() -> ! {
    let mut memory = vec![0u8; 256 * PAGE];
    let mut value = 0u8;
    loop {
        value = value.wrapping_add(1);
        memory.fill(black_box(value));
        black_box(memory.as_mut_ptr());
    }
}

/// Calls itself until the stack is used up.
pub fn stack_overflow() -> String {
    deeper(black_box(1)).to_string()
}

/// Has to remember `level` until the call below returns, so the compiler cannot make a loop of it. It never
/// returns: the stack ends long before the numbers do.
#[inline(never)]
fn deeper(level: u64) -> u64 {
    if level == 0 {
        return 1;
    }
    deeper(level.wrapping_add(1)).rotate_left(7) ^ level
}

/// Panics. The host's report should name this function, and the task's log should have the text.
#[inline(never)]
pub fn the_guilty_function() -> String {
    if black_box(true) {
        panic!("the guilty function panics, as it was told to");
    }
    String::new()
}
