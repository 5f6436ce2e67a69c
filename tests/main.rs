//! The black-box tests: the real program, real components, real HTTP, real files.
//! `tests/run` builds what they need and runs them.
// A test that cannot go on stops, and says what it saw.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stdout, clippy::large_futures)]

mod bad_input;
mod bulk;
mod callbacks;
mod client;
mod command_line;
mod connections;
mod deploys;
mod directories;
mod events;
mod faulty_servers;
mod fixture;
mod following;
mod formats;
mod grants;
mod guests;
mod idempotency;
mod ids;
mod isolation;
mod kills;
mod lifecycle;
mod limits;
mod logs;
mod metrics;
mod polyglot;
mod polyglot_fetch;
mod progress;
mod projects;
mod queries;
mod queue;
mod receiver;
mod reloads;
mod retention;
mod retries;
mod secure;
mod shutdown;
mod soak;
mod state;
mod statuses;
mod stop;
mod support;
mod surface;
mod task_routes;
mod tenants;
mod tidy;
mod tools;
mod typed;
mod typed_written;
mod uploads;
mod web;
mod webhooks;
