//! Owns the tests of the runner: over a store double and scripted guests, under a paused clock.
//! Must not know HTTP, SQL or wasmtime, like the runner itself.

mod drains;
mod events;
mod failures;
mod histories;
mod queues;
mod recovery;
mod retries;
mod scripted;
mod stops;
mod submits;
mod tenants;
mod timeouts;
pub(super) mod world;

use std::future::Future;
use tokio::task::JoinHandle;

/// Starts something beside the test.
fn beside<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(future)
}
