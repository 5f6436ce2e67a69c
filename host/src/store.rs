//! Owns the seam to durable storage: what a store must do, whichever database it is.
//! Must not know who runs tasks or how clients see them; SQL stays in the modules below.

pub mod events;
pub mod outbox;
pub mod registry;
pub mod search;
pub mod sqlite;
pub mod usage;

#[cfg(test)]
mod conformance;
#[cfg(test)]
pub mod double;

use crate::clock::Timestamp;
pub use crate::executor::MAX_VALUE;
use crate::executor::{VariableError, Versioned};
use crate::ids::TaskId;
use crate::task::event::TaskEvent;
use crate::task::{Ending, Invocation, Task};
use crate::value::Json;
pub use events::{Events, KeptEvent, Note, Scope};
use futures_util::future::BoxFuture;
pub use outbox::Outbox;
pub use search::{Page, Reader, Search};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use tokio::sync::watch;
pub use usage::{MAX_TENANT_VARIABLES, MAX_VARIABLES, TenantUse};

/// What went wrong in a store.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// A task with this id exists.
    #[error("a task with the id {0} exists already")]
    Duplicate(TaskId),
    /// The store cannot be opened at all: why, and what to do.
    #[error("{0}")]
    Open(String),
    /// The operation failed, and is not known to be on disk.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// A search in an order that no index has met more tasks than its budget allows.
    #[error("too many tasks to order them by `{0}`: add conditions, or order by `CreationTime`")]
    TooBroad(&'static str),
}

/// What every store operation answers.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// The start of an attempt, fenced by the number of attempts before it.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The task.
    pub id: TaskId,
    /// How many attempts have started before; the claim is void when the stored number differs.
    pub attempts_before: u32,
    /// When.
    pub at: Timestamp,
    /// In which slot, `node/route/slot`.
    pub slot: Arc<str>,
    /// What its followers are told.
    pub events: Vec<TaskEvent>,
}

/// What makes a repeated submission the same one: the caller's `Idempotency-Key`, within its user and route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// The user; `None` is everybody without a name, who share their keys.
    pub user: Option<String>,
    /// The route's name.
    pub route: Arc<str>,
    /// The key.
    pub key: String,
    /// Stands for the payload: a repetition has the same.
    pub digest: [u8; 32],
}

impl Submission {
    /// The submission of an invocation: its payload is the method, the path's parameters, the query and the input.
    #[must_use]
    pub fn of(invocation: &Invocation, route: Arc<str>, key: String) -> Self {
        let request = &invocation.request;
        let place = (&request.method, &request.path_parameters, &request.query);
        let place = serde_json::to_vec(&place).unwrap_or_default();
        // JSON cannot hold a NUL: it parts the two.
        let digest = Sha256::new().chain_update(place).chain_update([0]).chain_update(invocation.input.as_str());
        let user = invocation.user.as_ref().map(|user| user.id.clone());
        Self { user, route, key, digest: digest.finalize().into() }
    }
}

/// What became of a submission with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Submitted {
    /// The task is stored.
    New,
    /// It was submitted before, as this task; nothing was stored.
    Same(TaskId),
    /// The key was used before, with another payload; nothing was stored.
    Conflict,
}

/// How many finished tasks a purge removes at most in one go, so that it never holds up other writes.
pub const PURGE_BATCH: u32 = 500;
/// The most bytes of a shared variable's name; it has at least one.
pub const MAX_NAME: usize = 128;

/// Durable storage of tasks and shared variables. An answer means: it is on disk.
/// Every write of a running attempt is fenced by its number: a host that lost a task cannot end it.
pub trait Store: Outbox + Send + Sync + 'static {
    /// Stores a new task (state NotStarted, attempt 0), with an event that says so if its route sends events.
    fn insert(&self, task: &Task) -> Answer<'_, ()>;
    /// Stores a new task unless its submission is known, in one step: of many at once with the same key, one is stored.
    /// The key is known as long as the task is kept.
    fn insert_once(&self, task: &Task, submission: Submission) -> Answer<'_, Submitted>;
    /// What [`Store::insert_once`] would answer now; never `New`, but `None`.
    fn submitted(&self, submission: Submission) -> Answer<'_, Option<Submitted>>;
    /// Starts an attempt: state Running, attempt + 1, `started` kept if set, `due` cleared. `false`: the fence held it back, or it has ended.
    fn claim(&self, claim: Claim) -> Answer<'_, bool>;
    /// Ends a task whose stored attempt is `attempt` and which has not ended. `false`: the fence held it back.
    fn finish(&self, id: &TaskId, attempt: u32, ending: &Ending) -> Answer<'_, bool>;
    /// The attempt is over and the next may start at `due`: state unchanged. `false`: the fence held it back.
    fn postpone(&self, id: &TaskId, attempt: u32, due: Timestamp) -> Answer<'_, bool>;
    /// Keeps what running attempts have said; a note whose attempt is over is left out.
    fn note(&self, notes: Vec<Note>) -> Answer<'_, ()>;
    /// All events after this number, in order: at most [`events::EVENTS_PAGE`], or some 4 MiB.
    fn events(&self, after: u64) -> Answer<'_, Events>;
    /// The same of a scope, some 64 KiB at once: reading back never holds up what is read for others.
    fn replay(&self, after: u64, scope: Scope) -> Answer<'_, Events>;
    /// The number and name of a task's newest event.
    fn last_event(&self, id: &TaskId) -> Answer<'_, Option<(u64, String)>>;
    /// The number of the newest event there has been; 0 without any.
    fn newest_event(&self) -> Answer<'_, u64>;
    /// Changes soon after events have been written.
    fn event_notice(&self) -> watch::Receiver<u64>;
    /// One task.
    fn get(&self, id: &TaskId) -> Answer<'_, Option<Task>>;
    /// A task's captured log as JSON lines, as far as it has been stored; empty when nothing was logged. `None`: no such task.
    fn log(&self, id: &TaskId) -> Answer<'_, Option<String>>;
    /// The next page of the tasks that match a query and may be read, in its order.
    fn search(&self, search: Search) -> Answer<'_, Page>;
    /// Every task that has not ended, in the order in which they were inserted.
    fn open_tasks(&self) -> Answer<'_, Vec<Task>>;
    /// Removes up to [`PURGE_BATCH`] tasks that ended before these moments: Completed ones by the first, others by the second. A task whose
    /// callback is due stays. Answers how many;
    /// fewer than that may mean that they were large: only 0 says that nothing is left.
    fn purge(&self, completed_before: Timestamp, others_before: Timestamp) -> Answer<'_, u32>;
    /// Removes the tenant's tasks that ended first until all its tasks take at most `keep` bytes, as [`TenantUse::bytes`]
    /// counts, or until as many are gone as in a purge. Open tasks stay, and those whose callback is due. Answers how many;
    /// only 0 says that nothing more can be done.
    fn evict(&self, tenant: &str, keep: u64) -> Answer<'_, u32>;
    /// Writes those variables that do not exist yet, all or none.
    fn init_variables(&self, variables: Vec<(String, Json)>) -> Answer<'_, ()>;
    /// A variable.
    fn variable(&self, name: String) -> Answer<'_, Option<Versioned>>;
    /// Writes a variable, whatever its version; answers the new version. The first is 1, or one above the highest that any
    /// removed variable had: a version of a name never comes again with another value.
    /// `most`: how many bytes the names and values of its tenant's variables, or of the host's own, may take together
    /// (`u64::MAX`: no limit); a value that does not grow is taken in any case.
    fn set_variable(&self, name: String, value: Json, most: u64) -> BoxFuture<'_, Result<u64, VariableError>>;
    /// Writes a variable that has the `expected` version (`None`: does not exist), within `most` as above; answers the
    /// new version.
    fn update_variable(
        &self,
        name: String,
        expected: Option<u64>,
        value: Json,
        most: u64,
    ) -> BoxFuture<'_, Result<u64, VariableError>>;
    /// Removes a variable, if it has the `expected` version (`None`: whatever it has; another: `Conflict`). `false`: there
    /// is none.
    fn remove_variable(&self, name: String, expected: Option<u64>) -> BoxFuture<'_, Result<bool, VariableError>>;
    /// The names of a tenant's variables, in full, or of all (`None`), sorted.
    fn variable_names(&self, tenant: Option<String>) -> Answer<'_, Vec<String>>;
    /// What each tenant uses that has tasks or variables, by name.
    fn usage(&self) -> Answer<'_, Vec<TenantUse>>;
    /// Writes everything out and closes; later operations answer `Unavailable`.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// Which store, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// A SQLite file.
    SqliteFile(std::path::PathBuf),
    /// SQLite in memory: gone when the process ends.
    SqliteMemory,
}
