//! `cargo bench`: what the main job costs, as ratios and figures taken in one run on one machine.
//!
//! 1. bare wasmtime (instantiate, call, drop) against the same through the `Executor` seam
//! 2. submit → Completed over HTTP, real program, SQLite file with full synchronisation
//! 3. stop: from the request to the store's drop, beside 0, 7 and 63 other spinning guests
//! 4. the bursts of 2 by callers who prove who they are, against anybody's
//! 5. guests that flood progress, log, stdout and events: what a report costs, and what submits of another route feel
//! 6. a record of 12 fields and a thousand of them: a typed route against one that hands text over
//!
//! `cargo bench -- 2` runs one part.
// A benchmark that cannot go on stops; its output is its purpose.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::print_stdout, missing_docs, unused_qualifications)]

mod bare;
mod executor;
mod flood;
mod http;
mod sample;
#[path = "../shared/server.rs"]
mod server;
mod typed;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let wants = |part: &str| wanted.is_empty() || wanted.iter().any(|argument| argument == part);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    if wants("1") {
        println!("1. one call in a fresh instance (hello.wasm), 2 threads");
        for in_flight in [1, 2, 32] {
            let bare = runtime.block_on(bare::nanos_per_call(in_flight));
            let engine = executor::engine();
            let through = runtime.block_on(executor::nanos_per_call(&engine, in_flight));
            println!(
                "   {in_flight:>2} in flight: bare {:>6.1} µs, through Executor {:>6.1} µs, ratio {:.2}",
                bare / 1e3,
                through / 1e3,
                through / bare
            );
        }
    }
    if wants("2") {
        println!("2. submit → Completed over HTTP, 32 connections, 20,000 tasks, pool.max 64");
        for _ in 0..3 {
            runtime.block_on(http::burst());
        }
    }
    if wants("4") {
        println!("4. the same, with authentication, three rounds by turns");
        runtime.block_on(http::with_proofs());
    }
    if wants("5") {
        println!("5. one report of a guest");
        runtime.block_on(flood::costs());
        println!("   submits of a small route, 8 connections, beside 8 guests of another route");
        runtime.block_on(flood::beside());
    }
    if wants("6") {
        println!("6. one call that gives back what it is given, one at a time");
        runtime.block_on(typed::compare());
    }
    if wants("3") {
        println!("3. stop requested → store dropped");
        let engine = executor::engine();
        for spinners in [1, 8, 64] {
            // On a worker, where a request's handler would be.
            let stops = runtime.spawn(executor::stops(std::sync::Arc::clone(&engine), spinners));
            runtime.block_on(stops).expect("no panic");
        }
    }
}
