//! Sandpool: an HTTP server whose routes are asynchronous tasks, run as sandboxed WebAssembly components.
//! `ARCHITECTURE.md` beside this crate names the layers and the invariants; `tests/tidy.rs` enforces them.

pub mod api;
pub mod app;
pub mod auth;
pub mod callback;
pub mod cli;
pub mod clock;
pub mod codec;
pub mod config;
pub mod events;
pub mod executor;
pub mod guard;
pub mod ids;
pub mod metrics;
pub mod plugins;
pub mod principal;
pub mod project;
pub mod route;
pub mod runner;
pub mod schema;
pub mod site;
pub mod store;
pub mod task;
pub mod telemetry;
pub mod tenant;
pub mod trace;
pub mod value;
pub mod wasm;
