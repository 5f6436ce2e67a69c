//! Owns the seam between the runner, which decides what runs when, and what runs it.
//! Must not know either side: no wasmtime, no store, no runtime.

use crate::ids::TaskId;
use crate::route::Route;
use crate::task::Invocation;
use crate::task::ending::{Outcome, StopReason};
use crate::task::log::Level;
use crate::task::progress::Step;
use crate::value::Json;
use futures_util::future::BoxFuture;
use futures_util::task::AtomicWaker;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

/// Runs attempts of one route's tasks.
pub trait Executor: Send + Sync + 'static {
    /// Runs one attempt. When the future resolves, nothing of the attempt is left: its instance is gone.
    /// A fired [`Cancel`] makes it resolve at once with [`Outcome::Stopped`], whatever the guest does.
    fn run(&self, call: Call) -> BoxFuture<'static, Outcome>;
    /// Makes ready, in the background, what the first task would otherwise wait for.
    fn prepare(&self) {}
}

/// Makes task ids by a guest.
pub trait IdGenerator: Send + Sync + 'static {
    /// A new id.
    fn generate(&self) -> BoxFuture<'static, Result<TaskId, String>>;
}

/// One attempt, as handed to an [`Executor`].
pub struct Call {
    /// The task.
    pub task: TaskId,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// The task's route.
    pub route: Arc<Route>,
    /// What it runs on.
    pub invocation: Arc<Invocation>,
    /// Stops it.
    pub cancel: Arc<Cancel>,
    /// Takes what the guest reports while it runs.
    pub sink: Arc<dyn EventSink>,
    /// The shared variables, limited to the route's grants.
    pub variables: Arc<dyn Variables>,
    /// Takes the CPU time that it uses, of this attempt only.
    pub cpu: Arc<CpuTime>,
}

/// The CPU time of one attempt, added up while it runs.
#[derive(Debug, Default)]
pub struct CpuTime(AtomicU64);

impl CpuTime {
    /// So much more was used.
    pub fn add(&self, used: Duration) {
        self.0.fetch_add(u64::try_from(used.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// What was used up to now.
    pub fn total(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// Takes what a guest reports. Called from guest threads, very often: it must return at once and must not grow without bound.
pub trait EventSink: Send + Sync + 'static {
    /// The guest's progress changed.
    fn progress(&self, step: Step);
    /// Per cent done.
    fn percent(&self) -> f64;
    /// The guest, or the host about it, wrote a line.
    fn log(&self, level: Level, message: String, fields: Vec<(String, String)>);
    /// The guest sent an event of its own. Beyond what there is room for, it is dropped.
    fn event(&self, name: String, data: Json);
    /// Resolves once there is room for an event; at once unless the guest sends them faster than they can be kept.
    fn room(&self) -> BoxFuture<'_, ()>;
}

/// The most bytes of a shared variable's value.
pub const MAX_VALUE: usize = 1024 * 1024;

/// A shared variable's value and version.
#[derive(Debug, Clone, PartialEq)]
pub struct Versioned {
    /// The value.
    pub value: Json,
    /// Grows by one with each write, from 1; below 2^53.
    pub version: u64,
}

/// Why a shared variable cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VariableError {
    /// The route is not granted this name.
    #[error("not granted")]
    Denied,
    /// The variable has this version, not the one that was expected; 0 when it does not exist.
    #[error("the version is {0}")]
    Conflict(u64),
    /// The name, the value or the number of variables is over a limit.
    #[error("{0}")]
    Limit(String),
    /// The store cannot do it now.
    #[error("{0}")]
    Unavailable(String),
}

/// The durable shared variables.
pub trait Variables: Send + Sync + 'static {
    /// The value and version, `None` when there is no such variable.
    fn get(&self, name: String) -> BoxFuture<'_, Result<Option<Versioned>, VariableError>>;
    /// Writes a value whatever was there, and answers its version.
    fn set(&self, name: String, value: Json) -> BoxFuture<'_, Result<u64, VariableError>>;
    /// Writes a value if the variable has the `expected` version (`None`: does not exist), and answers the new version.
    fn update(&self, name: String, expected: Option<u64>, value: Json) -> BoxFuture<'_, Result<u64, VariableError>>;
    /// The names that may be read, sorted, whether or not there are such variables yet.
    fn names(&self) -> Vec<String>;
}

/// A stop that can be asked for once and waited for by one executor. The first reason stays.
#[derive(Debug, Default)]
pub struct Cancel {
    reason: AtomicU8,
    waiter: AtomicWaker,
}

impl Cancel {
    /// Asks for the stop; answers whether this was the first to ask.
    pub fn fire(&self, reason: StopReason) -> bool {
        let first = self.reason.compare_exchange(0, reason as u8, Ordering::AcqRel, Ordering::Acquire).is_ok();
        self.waiter.wake();
        first
    }

    /// The reason, once asked for.
    pub fn reason(&self) -> Option<StopReason> {
        StopReason::from_number(self.reason.load(Ordering::Acquire))
    }

    /// Resolves when the stop is asked for. One waiter at a time.
    pub async fn fired(&self) -> StopReason {
        poll_fn(|context| {
            self.waiter.register(context.waker());
            self.reason().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}
