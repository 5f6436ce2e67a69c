//! Owns the life of tasks: which run when, how they are stopped, what is recorded of them.
//! Must not know HTTP, SQL or wasmtime; it meets the machines at the `store` and `executor` seams.

mod backlog;
mod drive;
mod floor;
mod forward;
mod lane;
mod live;
mod loaded;
mod pump;
mod recover;
mod submit;
mod sweep;
#[cfg(test)]
mod tests;
mod variables;

pub use floor::Use;
pub use loaded::{Deployed, Guests, Ids, LoadedRoute};
pub use recover::Recovered;
pub use submit::SubmitError;
pub use variables::GrantedVariables;

use crate::clock::Clock;
use crate::executor::{VariableError, Versioned};
use crate::ids::TaskId;
use crate::metrics::{Metrics, RouteMetrics};
use crate::route::Route;
use crate::store::{Page, Search, Store, StoreError, TenantUse};
use crate::task::ending::{Outcome, StopReason};
use crate::task::state::State;
use crate::task::{Ending, Task};
use crate::tenant::{Ledger, of_name};
use crate::value::Json;
use lane::Lanes;
use live::Board;
use pump::Pump;
use std::collections::HashSet;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a stop waits for the store to take the task's end. The guest is gone long before.
const STOP_ANSWER: Duration = Duration::from_secs(30);

/// What a runner is made of.
pub struct Options {
    /// Where tasks are kept.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// This host's name, the first part of slots.
    pub node: String,
    /// How long Completed tasks are kept.
    pub retention: Duration,
    /// How long Failed and Aborted ones are kept.
    pub retention_failed: Duration,
    /// How many tasks run at once.
    pub slots: u32,
    /// What tenants may use, and have used.
    pub ledger: Arc<Ledger>,
    /// What is measured.
    pub metrics: Arc<Metrics>,
}

/// Why a task cannot be stopped.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// There is no such task.
    #[error("there is no task {0}")]
    Unknown(TaskId),
    /// It has ended by itself.
    #[error("the task has ended already, as {0}")]
    Ended(State),
    /// Its route does not allow it.
    #[error("the task cannot be cancelled: its route is configured with `cancellable: false`")]
    NotCancellable,
    /// This host no longer drives it and its stop was not recorded.
    #[error("the host has let go of the task, because it shuts down or another host has taken it over")]
    Left,
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A handle on the running tasks; clones share them.
#[derive(Clone)]
pub struct Runner(Arc<Inner>);

struct Inner {
    options: Options,
    board: Board,
    lanes: Lanes,
    drivers: TaskTracker,
    draining: CancellationToken,
    /// No task runs any more.
    drained: CancellationToken,
    pump: Arc<Pump>,
    /// Routes that had stored tasks at the start, and were not there.
    orphaned: Mutex<HashSet<String>>,
}

impl Runner {
    /// A runner without tasks. [`Runner::recover`] brings in those that the store holds.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let lanes = Lanes::new(options.slots, Arc::clone(&options.ledger), Arc::clone(&options.metrics));
        Self(Arc::new(Inner {
            options,
            board: Board::default(),
            lanes,
            drivers: TaskTracker::new(),
            draining: CancellationToken::new(),
            drained: CancellationToken::new(),
            pump: Arc::default(),
            orphaned: Mutex::default(),
        }))
    }

    /// Opens the lane of a route, so that it is measured before its first task. One that is held starts no tasks.
    pub fn open(&self, route: &Route, is_held: bool) {
        self.0.lanes.of(route).hold(is_held);
    }

    /// Forgets the lane of a route that is gone. What waits in it still runs.
    pub fn close(&self, name: &str) {
        self.0.lanes.forget(name);
    }

    /// Lets tenants go on that have paused until they have CPU time again, until the host has drained.
    pub async fn pace(self) {
        tokio::select! {
            () = self.0.drained.cancelled() => {}
            () = self.0.lanes.floor.pace() => {}
        }
    }

    /// What tenants may use has changed.
    pub fn refresh(&self) {
        self.0.lanes.floor.refresh();
    }

    /// What a tenant, or (`None`) the host itself, uses now.
    #[must_use]
    pub fn used(&self, tenant: Option<&str>) -> Use {
        self.0.lanes.floor.used(tenant)
    }

    /// The task as it stands now.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn get(&self, id: &TaskId) -> Result<Option<Arc<Task>>, StoreError> {
        match self.0.board.find(id) {
            Some(live) => Ok(Some(live.snapshot())),
            None => Ok(self.0.options.store.get(id).await?.map(Arc::new)),
        }
    }

    /// The task when it has ended, or as it stands after `longest`, whichever comes first.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn wait(&self, id: &TaskId, longest: Duration) -> Result<Option<Arc<Task>>, StoreError> {
        if let Some(live) = self.0.board.find(id) {
            // Out of time is no fault, nor is a task that was let go: it is answered as it stands.
            if let Ok(Some(ended)) = tokio::time::timeout(longest, live.ended()).await {
                return Ok(Some(ended));
            }
        }
        self.get(id).await
    }

    /// A task's captured log as JSON lines, as far as it has got; `None`: no such task.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn log(&self, id: &TaskId) -> Result<Option<String>, StoreError> {
        match self.0.board.find(id).filter(|live| !live.task().state.is_final()) {
            Some(live) => Ok(Some(live.log_lines())),
            None => self.0.options.store.log(id).await,
        }
    }

    /// A shared variable, whatever any route is granted.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn variable(&self, name: String) -> Result<Option<Versioned>, StoreError> {
        self.0.options.store.variable(name).await
    }

    /// Writes those shared variables that do not exist yet, all or none.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn init_variables(&self, variables: Vec<(String, Json)>) -> Result<(), StoreError> {
        self.0.options.store.init_variables(variables).await
    }

    /// The names of a tenant's shared variables, or of all (`None`), sorted.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn variable_names(&self, tenant: Option<String>) -> Result<Vec<String>, StoreError> {
        self.0.options.store.variable_names(tenant).await
    }

    /// Writes a shared variable: in any case, or over the expected version (`Some(None)`: none); answers the new version.
    ///
    /// # Errors
    /// When it has another version, is over a limit, or the store does not answer.
    pub async fn write_variable(
        &self,
        name: String,
        expected: Option<Option<u64>>,
        value: Json,
    ) -> Result<u64, VariableError> {
        let Options { store, ledger, .. } = &self.0.options;
        let most = ledger.account(of_name(&name)).quota().state;
        match expected {
            None => store.set_variable(name, value, most).await,
            Some(expected) => store.update_variable(name, expected, value, most).await,
        }
    }

    /// Removes a shared variable, if it has the expected version; `false`: there is none.
    ///
    /// # Errors
    /// When it has another version, or the store does not answer.
    pub async fn remove_variable(&self, name: String, expected: Option<u64>) -> Result<bool, VariableError> {
        self.0.options.store.remove_variable(name, expected).await
    }

    /// What tenants use of the store.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn usage(&self) -> Result<Vec<TenantUse>, StoreError> {
        self.0.options.store.usage().await
    }

    /// One page of the tasks that match a query; of those that run, with the progress and log as they stand now.
    ///
    /// # Errors
    /// When the store does not answer, or the query is too broad for its order.
    pub async fn search(&self, search: Search) -> Result<Page, StoreError> {
        let runner = self.clone();
        let live: crate::store::search::Live = Arc::new(move |task: &mut Task| {
            let live = runner.0.board.find(&task.id).filter(|_| !task.state.is_final())?;
            task.progress = live.reached();
            Some(live.log_lines())
        });
        self.0.options.store.search(Search { live: Some(live), ..search }).await
    }

    /// Stops the task hard. When this answers, its instance is gone and its end is recorded.
    ///
    /// # Errors
    /// [`StopError`] says why it cannot be stopped.
    pub async fn stop(&self, id: &TaskId) -> Result<Arc<Task>, StopError> {
        let Some(live) = self.0.board.find(id) else {
            return self.stop_undriven(id).await;
        };
        let shown = live.snapshot();
        if shown.state.is_final() {
            return Err(StopError::Ended(shown.state));
        }
        if !shown.cancellable {
            return Err(StopError::NotCancellable);
        }
        live.cancel.fire(StopReason::User);
        let Ok(ended) = tokio::time::timeout(STOP_ANSWER, live.ended()).await else {
            return Err(StoreError::Unavailable("the task's end could not be recorded yet".into()).into());
        };
        let Some(ended) = ended else {
            let stored = self.0.options.store.get(id).await?;
            let ended = stored.map(|task| task.state).filter(|state| state.is_final());
            return Err(ended.map_or(StopError::Left, StopError::Ended));
        };
        let by_a_user = ended.state == State::Aborted && live.cancel.reason() == Some(StopReason::User);
        if by_a_user { Ok(ended) } else { Err(StopError::Ended(ended.state)) }
    }

    /// Stops a task that this process does not drive: it has ended, is left for the next start, or waits for a route
    /// that is not configured.
    async fn stop_undriven(&self, id: &TaskId) -> Result<Arc<Task>, StopError> {
        let store = &self.0.options.store;
        let mut task = store.get(id).await?.ok_or_else(|| StopError::Unknown(id.clone()))?;
        if task.state.is_final() {
            return Err(StopError::Ended(task.state));
        }
        if !task.cancellable {
            return Err(StopError::NotCancellable);
        }
        let stopped = Outcome::Stopped(StopReason::User);
        let ending = Ending::of(stopped, self.0.options.clock.now(), task.progress, String::new());
        let ending = ending.telling(&task, Vec::new());
        let recorded = !self.is_draining() && store.finish(id, task.attempt, &ending).await?;
        if !recorded || task.end(&ending).is_err() {
            return Err(StopError::Left);
        }
        note_end(&task, &self.0.options.metrics.route(&task.name));
        Ok(Arc::new(task))
    }

    /// This host's name.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.0.options.node
    }

    /// Whether new tasks are refused because the host goes down.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.draining.is_cancelled()
    }

    /// Takes no new tasks and starts no waiting ones (they stay in the store and run after the next start); running ones
    /// may end until `grace_is_over`, then they are stopped and recorded. Returns how many were stopped.
    pub async fn drain(&self, grace_is_over: impl Future<Output = ()>) -> usize {
        self.0.draining.cancel();
        self.0.drivers.close();
        tokio::select! {
            () = self.0.drivers.wait() => {
                self.0.drained.cancel();
                return 0;
            }
            () = grace_is_over => {}
        }
        let stopped = self.0.board.all().iter().filter(|live| live.cancel.fire(StopReason::Shutdown)).count();
        self.0.drivers.wait().await;
        self.0.drained.cancel();
        stopped
    }
}

/// Counts and logs a recorded end, before anybody sees it.
fn note_end(task: &Task, metrics: &RouteMetrics) {
    metrics.ended(task.state);
    let ran = task.completed.zip(task.started).map(|(completed, started)| completed.remaining(started));
    tracing::debug!(
        target: "task",
        task = %task.id,
        route = %task.name,
        state = %task.state,
        attempt = task.attempt,
        run_seconds = ran.map(|ran| ran.as_secs_f64()),
        "ended"
    );
}
