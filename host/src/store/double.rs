//! Owns the store that tests of other modules use: in memory, without threads, with failures on demand.
//! Must not be kinder than a real one: it passes the same conformance suite.

mod events;
mod outbox;
mod script;
mod usage;
mod variables;

pub use script::{Hold, Hook, Operation, Write};

use super::search::page_of;
use super::{Answer, Claim, Events, KeptEvent, Note, PURGE_BATCH, Store, StoreError};
use super::{Page, Scope, Search, Submission, Submitted, TenantUse};
use crate::clock::Timestamp;
use crate::executor::{VariableError, Versioned};
use crate::ids::TaskId;
use crate::task::state::{Event, State};
use crate::task::{Ending, Task};
use crate::value::Json;
use futures_util::future::BoxFuture;
use script::Script;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// A store without a disk.
#[derive(Default)]
pub struct Double {
    contents: Mutex<Contents>,
    script: Mutex<Script>,
    hook: Mutex<Option<Arc<Hook>>>,
    told: watch::Sender<u64>,
    news: Arc<Notify>,
}

/// User, route and key of a submission.
type Key = (Option<String>, String, String);

#[derive(Default)]
struct Contents {
    tasks: HashMap<TaskId, Kept>,
    variables: BTreeMap<String, Versioned>,
    /// The highest version of a removed one.
    removed: u64,
    submissions: HashMap<Key, ([u8; 32], TaskId)>,
    deliveries: outbox::Deliveries,
    inserted: u64,
    writes: Vec<Write>,
    events: Vec<KeptEvent>,
    last_event: u64,
    closed: bool,
}

struct Kept {
    number: u64,
    task: Task,
    log: String,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Double {
    /// The next `calls` of an operation do nothing and answer `Unavailable`.
    pub fn fail_next(&self, operation: Operation, calls: u32) {
        locked(&self.script).failures.insert(operation, calls);
    }

    /// Calls of an operation have no effect and no answer before the hold is dropped.
    #[must_use]
    pub fn hold(&self, operation: Operation) -> Hold {
        let token = CancellationToken::new();
        locked(&self.script).before.insert(operation, token.clone());
        Hold::of(token)
    }

    /// Calls of an operation take effect but have no answer before the hold is dropped.
    #[must_use]
    pub fn hold_answers(&self, operation: Operation) -> Hold {
        let token = CancellationToken::new();
        locked(&self.script).after.insert(operation, token.clone());
        Hold::of(token)
    }

    /// Another host takes the task over, as a further attempt.
    pub fn take_over(&self, id: &TaskId, at: Timestamp) {
        let mut contents = locked(&self.contents);
        let before = contents.tasks[id].task.attempt;
        assert!(contents.claim(&Claim {
            id: id.clone(),
            attempts_before: before,
            at,
            slot: "other/r/0".into(),
            events: Vec::new()
        }));
    }

    /// Another host ends the task.
    pub fn end_elsewhere(&self, id: &TaskId, ending: &Ending) {
        let mut contents = locked(&self.contents);
        let attempt = contents.tasks[id].task.attempt;
        assert!(contents.finish(id, attempt, ending), "{id} has ended");
    }

    /// Puts a record in as a former process left it.
    pub fn left_behind(&self, task: Task) {
        task.check().expect("a sound record");
        locked(&self.contents).put(Operation::Insert, task);
    }

    /// Has every later write looked at. What the hook finds comes out of [`Double::faults`].
    pub fn watch(&self, hook: Hook) {
        *locked(&self.hook) = Some(Arc::new(hook));
    }

    /// Every write that took effect, in order.
    pub fn writes(&self) -> Vec<Write> {
        locked(&self.contents).writes.clone()
    }

    /// The records of one task, oldest first.
    pub fn history(&self, id: &TaskId) -> Vec<Task> {
        locked(&self.contents).history(id)
    }

    /// The record as it is, without a call that could fail.
    pub fn record(&self, id: &TaskId) -> Option<Task> {
        locked(&self.contents).tasks.get(id).map(|kept| kept.task.clone())
    }

    /// All records, in the order of insertion.
    pub fn records(&self) -> Vec<Task> {
        locked(&self.contents).in_order(|_| true)
    }

    /// How often an operation was called, failures included.
    pub fn calls(&self, operation: Operation) -> u32 {
        locked(&self.script).calls.get(&operation).copied().unwrap_or(0)
    }

    /// Broken records, and what the hook found.
    pub fn faults(&self) -> Vec<String> {
        locked(&self.script).faults.clone()
    }

    /// Notes a call; answers what it has to wait for, or fails.
    fn arrive(&self, operation: Operation) -> Result<[Option<CancellationToken>; 2], StoreError> {
        let mut script = locked(&self.script);
        *script.calls.entry(operation).or_default() += 1;
        if let Some(left) = script.failures.get_mut(&operation).filter(|left| **left > 0) {
            *left -= 1;
            return Err(StoreError::Unavailable(format!("{operation:?} fails, as the test wants it")));
        }
        Ok([script.before.get(&operation).cloned(), script.after.get(&operation).cloned()])
    }

    fn look(&self, id: &TaskId) {
        let history = self.history(id);
        let sound = history.last().map_or(Ok(()), Task::check);
        let hook = locked(&self.hook).clone();
        let found = sound.and_then(|()| hook.map_or(Ok(()), |hook| hook(id, &history)));
        if let Err(fault) = found {
            locked(&self.script).faults.push(fault);
        }
    }

    /// A write of a task: failures, holds and checks around its effect.
    fn write<'a, T: Send + 'a>(
        &'a self,
        operation: Operation,
        id: TaskId,
        effect: impl FnOnce(&mut Contents) -> Result<T, StoreError> + Send + 'a,
    ) -> Answer<'a, T> {
        Box::pin(async move {
            let [before, after] = self.arrive(operation)?;
            if let Some(held) = before {
                held.cancelled().await;
            }
            self.look(&id);
            let answer = locked(&self.contents).open().and_then(effect);
            self.look(&id);
            self.told.send_modify(|times| *times += 1);
            if let Some(held) = after {
                held.cancelled().await;
            }
            answer
        })
    }

    fn read<'a, T: Send + 'a>(
        &'a self,
        operation: Option<Operation>,
        look: impl FnOnce(&mut Contents) -> T + Send + 'a,
    ) -> Answer<'a, T> {
        Box::pin(async move {
            if let Some([Some(held), _]) = operation.map(|operation| self.arrive(operation)).transpose()? {
                held.cancelled().await;
            }
            locked(&self.contents).open().map(look)
        })
    }

    fn write_variable<'a, T: Send + 'a>(
        &'a self,
        write: impl FnOnce(&mut Contents) -> Result<T, VariableError> + Send + 'a,
    ) -> BoxFuture<'a, Result<T, VariableError>> {
        Box::pin(async move {
            let mut contents = locked(&self.contents);
            let contents = contents.open().map_err(|error| VariableError::Unavailable(error.to_string()))?;
            write(contents)
        })
    }
}

impl Contents {
    /// What is known of a submission; keys are kept as long as their tasks.
    fn submitted(&self, submission: &Submission) -> Option<Submitted> {
        let Submission { user, route, key, digest } = submission;
        let (known, id) = self.submissions.get(&(user.clone(), route.to_string(), key.clone()))?;
        self.tasks
            .contains_key(id)
            .then(|| if known == digest { Submitted::Same(id.clone()) } else { Submitted::Conflict })
    }

    fn open(&mut self) -> Result<&mut Self, StoreError> {
        if self.closed { Err(StoreError::Unavailable("it is closed".into())) } else { Ok(self) }
    }

    fn history(&self, id: &TaskId) -> Vec<Task> {
        self.writes.iter().filter(|write| write.record.id == *id).map(|write| write.record.clone()).collect()
    }

    fn in_order(&self, which: impl Fn(&Task) -> bool) -> Vec<Task> {
        let mut kept: Vec<&Kept> = self.tasks.values().filter(|kept| which(&kept.task)).collect();
        kept.sort_by_key(|kept| kept.number);
        kept.into_iter().map(|kept| kept.task.clone()).collect()
    }

    fn put(&mut self, operation: Operation, task: Task) {
        self.writes.push(Write { operation, record: task.clone() });
        match self.tasks.entry(task.id.clone()) {
            Entry::Occupied(mut kept) => kept.get_mut().task = task,
            Entry::Vacant(new) => {
                self.inserted += 1;
                new.insert(Kept { number: self.inserted, task, log: String::new() });
            }
        }
    }

    /// Changes a task if its stored attempt is `attempt` and the change is allowed.
    fn change(
        &mut self,
        operation: Operation,
        id: &TaskId,
        attempt: u32,
        change: impl FnOnce(&mut Task) -> bool,
    ) -> bool {
        let Some(mut task) = self.tasks.get(id).map(|kept| kept.task.clone()) else { return false };
        let changed = task.attempt == attempt && change(&mut task);
        if changed {
            self.put(operation, task);
        }
        changed
    }

    fn claim(&mut self, claim: &Claim) -> bool {
        let claimed = self.change(Operation::Claim, &claim.id, claim.attempts_before, |task| {
            task.start(claim.at, Arc::clone(&claim.slot)).is_ok()
        });
        if claimed {
            self.tell(&claim.id, &claim.events);
        }
        claimed
    }

    fn finish(&mut self, id: &TaskId, attempt: u32, ending: &Ending) -> bool {
        let ends = ending.event != Event::Start
            && self.change(Operation::Finish, id, attempt, |task| task.end(ending).is_ok());
        if let Some(kept) = self.tasks.get_mut(id).filter(|_| ends) {
            if !ending.log.is_empty() {
                kept.log.clone_from(&ending.log);
            }
            self.deliveries.entered(&kept.task);
            self.tell(id, &ending.events);
        }
        ends
    }

    fn postpone(&mut self, id: &TaskId, attempt: u32, due: Timestamp) -> bool {
        self.change(Operation::Postpone, id, attempt, |task| {
            task.postpone(due, Duration::ZERO);
            task.state == State::Running
        })
    }

    fn purge(&mut self, completed_before: Timestamp, others_before: Timestamp) -> u32 {
        let old = |task: &Task| {
            let before = if task.state == State::Completed { completed_before } else { others_before };
            task.completed.is_some_and(|completed| completed < before) && !self.deliveries.is_due(&task.id)
        };
        let old: Vec<Task> = self.in_order(old).into_iter().take(PURGE_BATCH as usize).collect();
        self.remove(&old)
    }

    fn remove(&mut self, old: &[Task]) -> u32 {
        for task in old {
            self.tasks.remove(&task.id);
            self.events.retain(|event| event.task != task.id);
            self.deliveries.forget(&task.id);
        }
        u32::try_from(old.len()).expect("few")
    }
}

impl Store for Double {
    fn insert(&self, task: &Task) -> Answer<'_, ()> {
        let task = task.clone();
        self.write(Operation::Insert, task.id.clone(), move |contents| match contents.tasks.contains_key(&task.id) {
            true => Err(StoreError::Duplicate(task.id)),
            false => {
                contents.insert(task);
                Ok(())
            }
        })
    }

    fn insert_once(&self, task: &Task, submission: Submission) -> Answer<'_, Submitted> {
        let task = task.clone();
        self.write(Operation::Insert, task.id.clone(), move |contents| {
            if let Some(known) = contents.submitted(&submission) {
                return Ok(known);
            }
            if contents.tasks.contains_key(&task.id) {
                return Err(StoreError::Duplicate(task.id));
            }
            let Submission { user, route, key, digest } = submission;
            contents.submissions.insert((user, route.to_string(), key), (digest, task.id.clone()));
            contents.insert(task);
            Ok(Submitted::New)
        })
    }

    fn submitted(&self, submission: Submission) -> Answer<'_, Option<Submitted>> {
        let known = locked(&self.contents).submitted(&submission);
        Box::pin(async move { Ok(known) })
    }

    fn search(&self, search: Search) -> Answer<'_, Page> {
        let contents = locked(&self.contents);
        let number = |kept: &Kept| i64::try_from(kept.number).unwrap_or(i64::MAX);
        let tasks = contents.tasks.values().map(|kept| (number(kept), kept.task.clone(), kept.log.clone()));
        let page = page_of(&search, tasks.collect::<Vec<_>>());
        Box::pin(async move { Ok(page) })
    }

    fn claim(&self, claim: Claim) -> Answer<'_, bool> {
        self.write(Operation::Claim, claim.id.clone(), move |contents| Ok(contents.claim(&claim)))
    }

    fn finish(&self, id: &TaskId, attempt: u32, ending: &Ending) -> Answer<'_, bool> {
        let (id, ending) = (id.clone(), ending.clone());
        let finished =
            self.write(Operation::Finish, id.clone(), move |contents| Ok(contents.finish(&id, attempt, &ending)));
        Box::pin(async move { finished.await.inspect(|_| self.news.notify_one()) })
    }

    fn postpone(&self, id: &TaskId, attempt: u32, due: Timestamp) -> Answer<'_, bool> {
        let id = id.clone();
        self.write(Operation::Postpone, id.clone(), move |contents| Ok(contents.postpone(&id, attempt, due)))
    }

    fn note(&self, notes: Vec<Note>) -> Answer<'_, ()> {
        Box::pin(async move {
            let [before, after] = self.arrive(Operation::Note)?;
            if let Some(held) = before {
                held.cancelled().await;
            }
            notes.into_iter().try_for_each(|note| locked(&self.contents).open().map(|contents| contents.note(note)))?;
            self.told.send_modify(|times| *times += 1);
            if let Some(held) = after {
                held.cancelled().await;
            }
            Ok(())
        })
    }

    fn events(&self, after: u64) -> Answer<'_, Events> {
        self.replay(after, Scope::All)
    }

    fn replay(&self, after: u64, scope: Scope) -> Answer<'_, Events> {
        self.read(None, move |contents| contents.events(after, &scope))
    }

    fn last_event(&self, id: &TaskId) -> Answer<'_, Option<(u64, String)>> {
        let id = id.clone();
        self.read(None, move |contents| contents.last_event(&id))
    }

    fn newest_event(&self) -> Answer<'_, u64> {
        self.read(None, |contents| contents.last_event)
    }

    fn event_notice(&self) -> watch::Receiver<u64> {
        self.told.subscribe()
    }

    fn get(&self, id: &TaskId) -> Answer<'_, Option<Task>> {
        let id = id.clone();
        self.read(Some(Operation::Get), move |contents| contents.tasks.get(&id).map(|kept| kept.task.clone()))
    }

    fn log(&self, id: &TaskId) -> Answer<'_, Option<String>> {
        let id = id.clone();
        self.read(None, move |contents| contents.tasks.get(&id).map(|kept| kept.log.clone()))
    }

    fn open_tasks(&self) -> Answer<'_, Vec<Task>> {
        self.read(Some(Operation::OpenTasks), |contents| contents.in_order(|task| !task.state.is_final()))
    }

    fn purge(&self, completed_before: Timestamp, others_before: Timestamp) -> Answer<'_, u32> {
        self.read(None, move |contents| contents.purge(completed_before, others_before))
    }

    fn evict(&self, tenant: &str, keep: u64) -> Answer<'_, u32> {
        let tenant = tenant.to_owned();
        self.read(None, move |contents| contents.evict(&tenant, keep))
    }

    fn init_variables(&self, variables: Vec<(String, Json)>) -> Answer<'_, ()> {
        Box::pin(async move { locked(&self.contents).open()?.init(variables) })
    }

    fn variable(&self, name: String) -> Answer<'_, Option<Versioned>> {
        self.read(None, move |contents| contents.variables.get(&name).cloned())
    }

    fn set_variable(&self, name: String, value: Json, most: u64) -> BoxFuture<'_, Result<u64, VariableError>> {
        self.write_variable(move |contents| contents.set(name, value, most))
    }

    fn update_variable(
        &self,
        name: String,
        expected: Option<u64>,
        value: Json,
        most: u64,
    ) -> BoxFuture<'_, Result<u64, VariableError>> {
        self.write_variable(move |contents| contents.update(name, expected, value, most))
    }

    fn remove_variable(&self, name: String, expected: Option<u64>) -> BoxFuture<'_, Result<bool, VariableError>> {
        self.write_variable(move |contents| contents.remove_variable(&name, expected))
    }

    fn variable_names(&self, tenant: Option<String>) -> Answer<'_, Vec<String>> {
        self.read(None, move |contents| contents.names(tenant.as_deref()))
    }

    fn usage(&self) -> Answer<'_, Vec<TenantUse>> {
        self.read(None, |contents| contents.usage())
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move { locked(&self.contents).closed = true })
    }
}

mod tests {
    use super::super::conformance::{Shared, suite};
    use super::Double;
    use std::sync::Arc;

    async fn an_empty_one() -> (Shared, ()) {
        (Arc::new(Double::default()), ())
    }

    suite!(double, super::an_empty_one());
}
