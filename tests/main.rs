//! The black-box tests: the real program, real components, real HTTP, real files.
//! `tests/run` builds what they need and runs them.

mod bad_input;
mod command_line;
mod guests;
mod ids;
mod kills;
mod lifecycle;
mod limits;
mod queue;
mod retention;
mod retries;
mod shutdown;
mod state;
mod stop;
mod support;
mod task_routes;
mod tidy;
