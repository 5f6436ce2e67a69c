//! Owns how a task comes to be: admitted, named, stored, and only then queued and answered.
//! Must not know how it runs.

use super::floor::{BODIES_KIB, Full};
use super::lane::{Admission, Lane};
use super::live::{Before, Live};
use super::{Ids, LoadedRoute, Runner};
use crate::ids::TaskId;
use crate::metrics::Refused;
use crate::route::Route;
use crate::store::{StoreError, Submission, Submitted};
use crate::task::access::Permission;
use crate::task::log::LogBuffer;
use crate::task::{Invocation, Task};
use std::sync::Arc;
use tokio::sync::oneshot;

/// Why a request did not become a task. Nothing of it is stored.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The host goes down.
    #[error("the host is shutting down and takes no new tasks")]
    Draining,
    /// The route was removed while the request came in.
    #[error("the route has just been removed")]
    RouteGone,
    /// All slots run and the queue is full.
    #[error("{running} tasks of this route run and {queue} wait, which is all that its pool allows")]
    QueueFull {
        /// The route's `pool.max`.
        running: u32,
        /// The route's `pool.queue`.
        queue: u32,
    },
    /// The route's tenant has as many tasks as it may.
    #[error("the tenant may have {running} tasks that run and {waiting} that wait, and has them")]
    TenantFull {
        /// Its quota's `running`.
        running: u32,
        /// Its quota's `waiting`.
        waiting: u32,
    },
    /// The tenant's tasks take all the room in the store that it has.
    #[error("the tenant's tasks fill {} MiB in the store, which is all that it has, and cannot be removed yet", .0 >> 20)]
    StoreFull(u64),
    /// The bodies of all open tasks together are as large as they may be.
    #[error("the bodies of the tasks that have not ended fill the room that is kept for them, {} MiB for all together", BODIES_KIB >> 10)]
    BodiesFull,
    /// The `Idempotency-Key` was used for another payload.
    #[error("its `Idempotency-Key` was used before, with another payload")]
    KeyReused,
    /// The generated id belongs to another task.
    #[error("a task with the id {0} exists already")]
    IdTaken(TaskId),
    /// The id generator failed.
    #[error("the route's id generator failed: {0}")]
    IdGenerator(String),
    /// The store did not take it.
    #[error(transparent)]
    Store(StoreError),
}

impl SubmitError {
    fn kind(&self) -> Refused {
        match self {
            Self::Draining | Self::RouteGone => Refused::Draining,
            Self::QueueFull { .. } => Refused::QueueFull,
            Self::TenantFull { .. } | Self::StoreFull(_) => Refused::Quota,
            Self::BodiesFull => Refused::BodiesFull,
            Self::KeyReused => Refused::KeyReused,
            Self::IdTaken(_) => Refused::IdTaken,
            Self::IdGenerator(_) => Refused::IdGenerator,
            Self::Store(_) => Refused::Store,
        }
    }
}

impl Runner {
    /// Makes a durable task of an invocation and queues it. When this answers, the task is on disk.
    /// A caller that goes away in between leaves a whole task or none. The same `key` of the same user for the same route
    /// and payload answers the task that it made first.
    ///
    /// # Errors
    /// [`SubmitError`] says why there is none.
    pub async fn submit(
        &self,
        loaded: &Arc<LoadedRoute>,
        invocation: Arc<Invocation>,
        key: Option<String>,
    ) -> Result<Arc<Task>, SubmitError> {
        let lane = self.0.lanes.find(&loaded.route.name).ok_or(SubmitError::RouteGone)?;
        let submitted = self.submit_in(&lane, loaded, invocation, key).await;
        submitted.inspect_err(|error| {
            lane.metrics.refused(error.kind());
            if matches!(error.kind(), Refused::Quota | Refused::BodiesFull) {
                self.0.options.ledger.account(loaded.route.tenant.as_deref()).metrics.refused.inc();
            }
        })
    }

    async fn submit_in(
        &self,
        lane: &Arc<Lane>,
        loaded: &Arc<LoadedRoute>,
        invocation: Arc<Invocation>,
        key: Option<String>,
    ) -> Result<Arc<Task>, SubmitError> {
        if self.is_draining() {
            return Err(SubmitError::Draining);
        }
        let route = &loaded.route;
        let submission = key.map(|key| Submission::of(&invocation, Arc::clone(&route.name), key));
        if let Some(submission) = &submission {
            // Before there is any question of room: a repetition takes none.
            let known = self.0.options.store.submitted(submission.clone()).await.map_err(SubmitError::Store)?;
            if let Some(known) = known {
                return self.repeated(known).await;
            }
        }
        let admission = self.let_in(lane, route, kib(&invocation))?;
        let id = match &loaded.ids {
            Ids::Scheme(scheme) => scheme.generate(),
            Ids::Guest(guest) => guest.generate().await.map_err(SubmitError::IdGenerator)?,
        };
        let created = self.0.options.clock.now();
        let task = Task {
            expires: route.timeout.map(|timeout| created.after(timeout)),
            cancellable: route.cancellable,
            permission: Permission::of_task(&route.permission, invocation.user.as_ref()).map(Arc::new),
            ..Task::new(id, Arc::clone(&route.name), created, invocation)
        };
        let (answer, answered) = oneshot::channel();
        let (runner, loaded) = (self.clone(), Arc::clone(loaded));
        // From here on the task does not depend on the caller, who may hang up at any moment.
        self.0.drivers.spawn(async move {
            let store = &runner.0.options.store;
            let stored = match submission {
                Some(submission) => store.insert_once(&task, submission).await,
                None => store.insert(&task).await.map(|()| Submitted::New),
            };
            let refused = match stored {
                Ok(Submitted::New) => None,
                Ok(known) => Some(runner.repeated(known).await),
                Err(StoreError::Duplicate(id)) => Some(Err(SubmitError::IdTaken(id))),
                Err(error) => Some(Err(SubmitError::Store(error))),
            };
            if let Some(refused) = refused {
                // Its place is free before it is answered.
                drop(admission);
                drop(answer.send(refused));
                return;
            }
            admission.metrics().submitted.inc();
            let live = runner.live(
                task,
                &loaded,
                &admission,
                Before { log: LogBuffer::new(loaded.route.logs.bytes), events: Vec::new() },
            );
            runner.0.board.add(live.task().id.clone(), Arc::clone(&live));
            let place = Some(admission.enqueue());
            drop(answer.send(Ok(live.task())));
            runner.drive(live, loaded, admission, place).await;
        });
        answered.await.unwrap_or(Err(SubmitError::Draining))
    }

    /// A place for a task that keeps so many KiB in memory.
    fn let_in(&self, lane: &Arc<Lane>, route: &Route, kib: u64) -> Result<Admission, SubmitError> {
        if route.tenant.is_some() {
            let account = self.0.options.ledger.account(route.tenant.as_deref());
            if account.is_over_stored() {
                return Err(SubmitError::StoreFull(account.quota().stored));
            }
        }
        lane.admit(kib).map_err(|full| match full {
            Full::Lane => SubmitError::QueueFull { running: route.pool.max, queue: route.pool.queue },
            Full::Tenant { running, waiting } => SubmitError::TenantFull { running, waiting },
            Full::Bodies => SubmitError::BodiesFull,
        })
    }

    /// A task that this process drives from now on.
    pub(super) fn live(&self, task: Task, loaded: &LoadedRoute, admission: &Admission, before: Before) -> Arc<Live> {
        let (route, clock) = (Arc::clone(&loaded.route), Arc::clone(&self.0.options.clock));
        Live::new(task, route, clock, Arc::clone(&self.0.pump), admission.forwarded(), before)
    }

    /// The answer to a submission whose key is known.
    async fn repeated(&self, known: Submitted) -> Result<Arc<Task>, SubmitError> {
        let Submitted::Same(id) = known else { return Err(SubmitError::KeyReused) };
        let first = self.get(&id).await.map_err(SubmitError::Store)?;
        first.ok_or_else(|| SubmitError::Store(StoreError::Unavailable("the first task has just been removed".into())))
    }
}

/// What a task keeps in memory for its invocation, in KiB.
pub(super) fn kib(invocation: &Invocation) -> u64 {
    invocation.input.as_str().len() as u64 / 1024 + 1
}
