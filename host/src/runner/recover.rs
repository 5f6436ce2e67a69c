//! Owns what happens at start to tasks that a former process left: what was queued runs, what was running is
//! failed or run again, as its route says.
//! Must not know how tasks run.

use super::live::Live;
use super::{LoadedRoute, Runner};
use crate::route::OnLostHost;
use crate::store::StoreError;
use crate::task::Task;
use crate::task::ending::{Fault, Outcome};
use crate::task::state::State;
use std::sync::Arc;

/// How often a task is run again after its host was lost: a task that kills its host must not do so for ever.
const LOST_HOST_RERUNS: u32 = 10;

/// What became of the open tasks.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Recovered {
    /// Queued again.
    pub queued: usize,
    /// Failed, because their host was lost or their route is gone.
    pub failed: usize,
}

impl Runner {
    /// Takes over every open task of the store. To be called once, before new tasks are taken.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn recover(&self, route: impl Fn(&str) -> Option<Arc<LoadedRoute>>) -> Result<Recovered, StoreError> {
        let mut recovered = Recovered::default();
        for task in self.0.options.store.open_tasks().await? {
            match route(&task.name) {
                None => {
                    let end = self.0.options.clock.now();
                    self.fail(task, Fault::RouteGone, end).await?;
                    recovered.failed += 1;
                }
                Some(loaded) if was_lost(&task, &loaded) => {
                    let end = self.0.options.clock.now();
                    self.fail(task, Fault::LostHost, end).await?;
                    recovered.failed += 1;
                }
                Some(loaded) => {
                    self.resume(task, loaded);
                    recovered.queued += 1;
                }
            }
        }
        Ok(recovered)
    }

    fn resume(&self, task: Task, loaded: Arc<LoadedRoute>) {
        let admission = self.0.lanes.of(&loaded.route.name, loaded.route.pool).admit_again();
        let live = Live::new(task, Arc::clone(&loaded.route), Arc::clone(&self.0.options.clock));
        self.0.board.add(live.task().id.clone(), Arc::clone(&live));
        let place = live.task().due.is_none().then(|| admission.enqueue());
        let runner = self.clone();
        self.0.drivers.spawn(async move { runner.drive(live, loaded, admission, place).await });
    }

    async fn fail(&self, task: Task, fault: Fault, at: crate::clock::Timestamp) -> Result<(), StoreError> {
        let (event, result, error) = Outcome::Fault(fault).into_parts();
        let ending = crate::task::Ending {
            event,
            at,
            result,
            error: error.map(Into::into),
            progress: task.progress,
            log: String::new(),
        };
        self.0.options.store.finish(&task.id, task.attempt, &ending).await.map(drop)
    }
}

/// Whether the task was in the middle of an attempt that may not be repeated. Between two attempts nothing is lost.
fn was_lost(task: &Task, loaded: &LoadedRoute) -> bool {
    let retry = loaded.route.retry;
    let may_rerun = retry.on_lost_host == OnLostHost::Rerun && task.attempt < retry.attempts + LOST_HOST_RERUNS;
    task.state == State::Running && task.due.is_none() && !may_rerun
}
