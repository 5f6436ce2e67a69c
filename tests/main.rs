//! The black-box tests: the real program, real components, real HTTP, real files.
//! `tests/run` builds what they need and runs them.
// A test that cannot go on stops, and says what it saw.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stdout, clippy::large_futures)]

mod access;
mod bad_input;
mod command_line;
mod connections;
mod formats;
mod guests;
mod ids;
mod kills;
mod lifecycle;
mod limits;
mod metrics;
mod queue;
mod retention;
mod retries;
mod shutdown;
mod state;
mod stop;
mod support;
mod task_routes;
mod tidy;
