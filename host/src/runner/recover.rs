//! Owns what happens at start to tasks that a former process left: what was queued runs, what was running is
//! failed or run again, as its route says.
//! Must not know how tasks run.

use super::live::Before;
use super::submit::kib;
use super::{LoadedRoute, Runner, note_end};
use crate::route::OnLostHost;
use crate::store::{Scope, StoreError};
use crate::task::ending::{Fault, Outcome};
use crate::task::event::{LOG, PROGRESS};
use crate::task::log::{Line, LogBuffer, LogRules};
use crate::task::state::State;
use crate::task::{Ending, Task};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, MutexGuard, PoisonError};

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
        let recovered = self.take_over(|_| true, route).await?;
        self.orphaned().extend(recovered.orphans.keys().cloned());
        Ok(recovered)
    }

    /// Takes over the tasks that have waited for a route since the start. To be called before it takes new ones.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn adopt(&self, loaded: &Arc<LoadedRoute>) -> Result<(), StoreError> {
        let name = &*loaded.route.name;
        if self.orphaned().contains(name) {
            let recovered = self.take_over(|task| *task.name == *name, |_| Some(Arc::clone(loaded))).await?;
            self.orphaned().remove(name);
            tracing::info!(route = name, queued = recovered.queued, "took over the tasks that waited for the route");
        }
        Ok(())
    }

    fn orphaned(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.orphaned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn take_over(
        &self,
        is_meant: impl Fn(&Task) -> bool,
        route: impl Fn(&str) -> Option<Arc<LoadedRoute>>,
    ) -> Result<Recovered, StoreError> {
        let mut recovered = Recovered::default();
        let mut lost = Vec::new();
        for task in self.0.options.store.open_tasks().await?.into_iter().filter(is_meant) {
            let waits = task.state == State::NotStarted || task.due.is_some();
            match route(&task.name) {
                // A route may be missing by mistake: what has not run is not thrown away for it.
                None if waits => *recovered.orphans.entry(task.name.to_string()).or_default() += 1,
                None => lost.push(self.fail(task, Fault::RouteGone, LogRules::default())),
                Some(loaded) if was_lost(&task, &loaded) => {
                    lost.push(self.fail(task, Fault::LostHost, loaded.route.logs));
                }
                Some(loaded) => {
                    let mut task = task;
                    let said = self.remember(&mut task, loaded.route.logs).await?;
                    self.resume(task, loaded, said);
                    recovered.queued += 1;
                }
            }
        }
        recovered.failed = lost.len();
        stream::iter(lost).buffer_unordered(ENDS_AT_ONCE).try_collect::<Vec<()>>().await?;
        Ok(recovered)
    }

    fn resume(&self, task: Task, loaded: Arc<LoadedRoute>, said: Before) {
        let Some(admission) = self.0.lanes.of(&loaded.route).admit_again(kib(&task.invocation)) else { return };
        let live = self.live(task, &loaded, &admission, said);
        self.0.board.add(live.task().id.clone(), Arc::clone(&live));
        let place = live.task().due.is_none().then(|| admission.enqueue());
        let runner = self.clone();
        self.0.drivers.spawn(async move { runner.drive(live, loaded, admission, place).await });
    }

    /// What a task of a former process has said, as far as anybody was told; its progress stands in the task then.
    async fn remember(&self, task: &mut Task, rules: LogRules) -> Result<Before, StoreError> {
        let store = &self.0.options.store;
        let mut before = Before { log: LogBuffer::new(rules.bytes), events: Vec::new() };
        if task.attempt == 0 {
            return Ok(before);
        }
        before.log = LogBuffer::from_json_lines(rules.bytes, &store.log(&task.id).await?.unwrap_or_default());
        let (mut after, mut more) = (0, task.invocation.sse.is_some());
        while more {
            let page = store.replay(after, Scope::Task(task.id.clone())).await?;
            for event in page.events {
                match event.name.as_str() {
                    PROGRESS => task.progress = event.data.as_str().parse().ok().or(task.progress),
                    LOG => {
                        let line = serde_json::from_str::<Line>(event.data.as_str()).ok();
                        line.into_iter().for_each(|line| before.log.restore(line));
                    }
                    _ => {}
                }
                before.events.push(event.data.as_str().len());
            }
            (after, more) = (page.seen, page.more);
        }
        Ok(before)
    }

    async fn fail(&self, mut task: Task, fault: Fault, rules: LogRules) -> Result<(), StoreError> {
        let log = self.remember(&mut task, rules).await?.log.to_json_lines();
        let ending = Ending::of(Outcome::Fault(fault), self.0.options.clock.now(), task.progress, log);
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
