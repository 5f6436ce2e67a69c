//! Owns what happens at start to tasks that a former process left: what was queued runs, what was running is
//! failed or run again, as its route says.
//! Must not know how tasks run.

use super::{LoadedRoute, Runner, note_end};
use crate::route::OnLostHost;
use crate::store::StoreError;
use crate::task::ending::{Fault, Outcome};
use crate::task::state::State;
use crate::task::{Ending, Task};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How often a task is run again after its host was lost: a task that kills its host must not do so for ever.
const LOST_HOST_RERUNS: u32 = 10;

/// How many ends are written at once: they share the store's batches.
const ENDS_AT_ONCE: usize = 512;

/// What became of the open tasks.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// Queued again.
    pub queued: usize,
    /// Failed, because their host was lost.
    pub failed: usize,
    /// Left waiting in the store, because their route is not configured: how many, by route.
    pub orphans: BTreeMap<String, usize>,
}

impl Runner {
    /// Takes over every open task of the store. To be called once, before new tasks are taken.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn recover(&self, route: impl Fn(&str) -> Option<Arc<LoadedRoute>>) -> Result<Recovered, StoreError> {
        let mut recovered = Recovered::default();
        let mut lost = Vec::new();
        for task in self.0.options.store.open_tasks().await? {
            let waits = task.state == State::NotStarted || task.due.is_some();
            match route(&task.name) {
                // A route may be missing by mistake: what has not run is not thrown away for it.
                None if waits => *recovered.orphans.entry(task.name.to_string()).or_default() += 1,
                None => lost.push(self.fail(task, Fault::RouteGone)),
                Some(loaded) if was_lost(&task, &loaded) => lost.push(self.fail(task, Fault::LostHost)),
                Some(loaded) => {
                    let log = match task.attempt {
                        0 => None,
                        _ => self.0.options.store.log(&task.id).await?,
                    };
                    self.resume(task, loaded, &log.unwrap_or_default());
                    recovered.queued += 1;
                }
            }
        }
        recovered.failed = lost.len();
        stream::iter(lost).buffer_unordered(ENDS_AT_ONCE).try_collect::<Vec<()>>().await?;
        Ok(recovered)
    }

    fn resume(&self, task: Task, loaded: Arc<LoadedRoute>, log: &str) {
        let admission = self.0.lanes.of(&loaded.route.name, loaded.route.pool).admit_again();
        let live = self.live(task, &loaded, log);
        self.0.board.add(live.task().id.clone(), Arc::clone(&live));
        let place = live.task().due.is_none().then(|| admission.enqueue());
        let runner = self.clone();
        self.0.drivers.spawn(async move { runner.drive(live, loaded, admission, place).await });
    }

    async fn fail(&self, mut task: Task, fault: Fault) -> Result<(), StoreError> {
        let ending = Ending::of(Outcome::Fault(fault), self.0.options.clock.now(), task.progress, String::new());
        let ending = ending.telling(&task, Vec::new());
        let recorded = self.0.options.store.finish(&task.id, task.attempt, &ending).await?;
        if recorded && task.end(&ending).is_ok() {
            note_end(&task, &self.0.options.metrics.route(&task.name));
        }
        Ok(())
    }
}

/// Whether the task was in the middle of an attempt that may not be repeated. Between two attempts nothing is lost.
fn was_lost(task: &Task, loaded: &LoadedRoute) -> bool {
    let retry = loaded.route.retry;
    let may_rerun = retry.on_lost_host == OnLostHost::Rerun && task.attempt < retry.attempts + LOST_HOST_RERUNS;
    task.state == State::Running && task.due.is_none() && !may_rerun
}
