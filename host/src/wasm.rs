//! Owns the WebAssembly machine: it loads components and runs attempts of tasks in them, behind the `executor` seam.
//! Must not know tasks' storage, the runner's decisions, or HTTP. No other module names wasmtime.

mod bindings;
mod cache;
mod compile;
mod component;
mod confine;
mod control;
mod describe;
mod engine;
mod generator;
mod granted;
mod imports;
mod instance;
mod kept;
mod limits;
mod loader;
mod outgoing;
mod pool;
mod stdio;
mod ticker;
mod trap;
mod turnstile;
mod typed;

pub use cache::{Cache, CacheError};
pub use compile::{COMPILE_COMMAND, Compiler, compile_worker};
pub use component::{Inspection, LoadError, Program, World};
pub use engine::{EngineError, WasmEngine};
pub use generator::GuestIds;
pub use loader::{Binary, Loader};
pub use pool::GuestPool;

#[cfg(test)]
mod sharing_tests;
