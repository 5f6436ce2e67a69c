//! Owns the statements on tasks and the form of a task as a row.
//! Must not know threads or transactions: every function runs within one that its caller has begun.

use super::super::Claim;
use super::charges::{self, Growth, signed};
use super::{events, outbox, readers, submissions};
use crate::clock::Timestamp;
use crate::ids::TaskId;
use crate::task::access::Permission;
use crate::task::event::TaskEvent;
use crate::task::query::fold;
use crate::task::state::{Event, State};
use crate::task::{Ending, Invocation, Task};
use crate::value::Json;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Result, Row};
use std::error::Error;
use std::sync::Arc;

/// The columns that [`task`] reads.
pub(super) const COLUMNS: &str = "id, name, state, cancellable, created, expires, started, completed, attempt, due, \
                                  slot, progress, error, result, body, permission, standing, made";
/// Where they are.
pub(super) const TABLES: &str = "tasks CROSS JOIN invocations USING (seq) LEFT JOIN deliveries USING (seq)";

/// A new task, encoded on its caller's thread: the writer's time is what all callers share.
pub(super) struct New {
    task: Task,
    alias: Option<String>,
    permission: Option<String>,
    body: String,
    readers: Vec<String>,
    event: Option<TaskEvent>,
}

impl New {
    /// Encodes a task.
    pub(super) fn of(task: &Task) -> serde_json::Result<Self> {
        let folded = fold(task.id.as_str());
        Ok(Self {
            alias: (folded != task.id.as_str()).then_some(folded),
            permission: task.permission.as_deref().map(serde_json::to_string).transpose()?,
            body: serde_json::to_string(&*task.invocation)?,
            readers: readers::of_task(task.permission.as_deref(), owner(task)),
            event: TaskEvent::state(task),
            task: task.clone(),
        })
    }

    /// The new task's id.
    pub(super) fn id(&self) -> &TaskId {
        &self.task.id
    }

    /// How much data it is, roughly.
    pub(super) fn bytes(&self) -> usize {
        self.body.len()
    }

    /// How much its tenant is charged for.
    fn charge(&self) -> i64 {
        let permission = self.permission.as_ref().map_or(0, String::len);
        let events = if self.task.invocation.sse.is_some() { self.event.as_slice() } else { &[] };
        signed(self.body.len() + permission) + charges::of_events(events)
    }
}

fn owner(task: &Task) -> Option<&str> {
    task.invocation.user.as_ref().map(|user| user.id.as_str())
}

/// `false`: there is a task with this id.
pub(super) fn insert(on: &Connection, new: &New) -> Result<bool> {
    let row = "INSERT INTO tasks (id, alias, name, owner, state, cancellable, created, expires, attempt)
               VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6, ?7, 0) ON CONFLICT (id) DO NOTHING";
    let task = &new.task;
    let (id, expires) = (task.id.as_str(), task.expires.map(|at| at.0));
    let values = (id, &new.alias, &*task.name, owner(task), task.cancellable, task.created.0, expires);
    if on.prepare_cached(row)?.execute(values)? == 0 {
        return Ok(false);
    }
    let seq = on.last_insert_rowid();
    let body = "INSERT INTO invocations (seq, permission, body) VALUES (?1, ?2, ?3)";
    on.prepare_cached(body)?.execute((seq, &new.permission, &new.body))?;
    readers::add(on, seq, &new.readers)?;
    if let Some(sse) = &task.invocation.sse {
        events::follow(on, seq, sse.group.as_deref())?;
        events::add(on, seq, new.event.as_slice())?;
    }
    if let Some(callback) = &task.invocation.callback {
        outbox::expect(on, seq, &callback.host)?;
    }
    if let Some(tenant) = &task.invocation.tenant {
        charges::open(on, seq, tenant, new.charge())?;
    }
    Ok(true)
}

/// See [`super::super::Store::claim`].
/// `charged`: whether there may be tasks of tenants.
pub(super) fn claim(on: &Connection, claim: &Claim, charged: bool) -> Result<bool> {
    let sql =
        "UPDATE tasks SET state = 1, attempt = attempt + 1, started = coalesce(started, ?1), due = NULL, slot = ?2
               WHERE id = ?3 AND attempt = ?4 AND state IN (0, 1)";
    let values = (claim.at.0, &*claim.slot, claim.id.as_str(), claim.attempts_before);
    let claimed = on.prepare_cached(sql)?.execute(values)? == 1;
    if claimed && !claim.events.is_empty() {
        let seq = seq_of(on, &claim.id)?;
        events::add(on, seq, &claim.events)?;
        if charged {
            charges::grow(on, seq, Growth { bytes: charges::of_events(&claim.events), ..Growth::default() })?;
        }
    }
    Ok(claimed)
}

/// The number of a task that is there.
pub(super) fn seq_of(on: &Connection, id: &TaskId) -> Result<i64> {
    on.prepare_cached("SELECT seq FROM tasks WHERE id = ?1")?.query_row([id.as_str()], |row| row.get(0))
}

/// See [`super::super::Store::finish`]; `charged` as above.
pub(super) fn finish(on: &Connection, id: &TaskId, attempt: u32, ending: &Ending, charged: bool) -> Result<bool> {
    let Some((state, lowest)) = target(ending.event) else { return Ok(false) };
    let sql = "UPDATE tasks SET state = ?1, completed = ?2, due = NULL, progress = ?3, error = ?4, result = ?5,
                            log = coalesce(?6, log)
               WHERE id = ?7 AND attempt = ?8 AND state BETWEEN ?9 AND 1";
    let result = ending.result.as_ref().map(Json::as_str);
    let log = Some(ending.log.as_str()).filter(|log| !log.is_empty());
    let (state, lowest) = (state as u8, lowest as u8);
    let values =
        (state, ending.at.0, ending.progress, ending.error.as_deref(), result, log, id.as_str(), attempt, lowest);
    let finished = on.prepare_cached(sql)?.execute(values)? == 1;
    if !finished || (ending.events.is_empty() && !charged) {
        return Ok(finished);
    }
    let seq = seq_of(on, id)?;
    events::add(on, seq, &ending.events)?;
    if charged {
        let length = |text: Option<&str>| signed(text.map_or(0, str::len));
        let bytes = length(result) + length(ending.error.as_deref()) + charges::of_events(&ending.events);
        let log = log.map(|log| length(Some(log)));
        charges::grow(on, seq, Growth { bytes, log, completed: Some(ending.at.0) })?;
    }
    Ok(true)
}

/// The final state after an event, and the lowest of the states NotStarted and Running that allow it.
fn target(event: Event) -> Option<(State, State)> {
    let ended = State::Running.on(event).ok().filter(|state| state.is_final())?;
    let lowest = if State::NotStarted.on(event) == Ok(ended) { State::NotStarted } else { State::Running };
    Some((ended, lowest))
}

/// See [`super::super::Store::postpone`].
pub(super) fn postpone(on: &Connection, id: &TaskId, attempt: u32, due: Timestamp) -> Result<bool> {
    let sql = "UPDATE tasks SET due = ?1 WHERE id = ?2 AND attempt = ?3 AND state = 1";
    Ok(on.prepare_cached(sql)?.execute((due.0, id.as_str(), attempt))? == 1)
}

/// One task.
pub(super) fn get(on: &Connection, id: &TaskId) -> Result<Option<Task>> {
    let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE id = ?1");
    on.prepare_cached(&sql)?.query_row([id.as_str()], task).optional()
}

/// The log of a task; empty when there is none, `None` when there is no task.
pub(super) fn log(on: &Connection, id: &TaskId) -> Result<Option<String>> {
    let sql = "SELECT coalesce(log, '') FROM tasks WHERE id = ?1";
    on.prepare_cached(sql)?.query_row([id.as_str()], |row| row.get(0)).optional()
}

/// The tasks that have not ended, in the order of insertion. The index is named, because without statistics SQLite
/// takes reading the whole table for as good.
pub(super) fn open(on: &Connection) -> Result<Vec<Task>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM tasks INDEXED BY tasks_open CROSS JOIN invocations USING (seq)
         LEFT JOIN deliveries USING (seq) WHERE completed IS NULL ORDER BY tasks.seq"
    );
    on.prepare_cached(&sql)?.query_map([], task)?.collect()
}

/// Removes a task and all that belongs to it.
pub(super) fn remove(on: &Connection, seq: i64, readers: &[String]) -> Result<()> {
    readers::remove(on, seq, readers)?;
    submissions::forget(on, seq)?;
    events::forget(on, seq)?;
    outbox::forget(on, seq)?;
    charges::close(on, seq)?;
    on.prepare_cached("DELETE FROM tasks WHERE seq = ?1")?.execute([seq])?;
    on.prepare_cached("DELETE FROM invocations WHERE seq = ?1")?.execute([seq]).map(drop)
}

/// The row of [`COLUMNS`].
pub(super) fn task(row: &Row<'_>) -> Result<Task> {
    let time = |column| row.get::<_, Option<i64>>(column).map(|at| at.map(Timestamp));
    let number = row.get(2)?;
    let state = State::from_number(number).ok_or_else(|| damaged(2, format!("{number} is no state")))?;
    let id = TaskId::parse(row.get_ref(0)?.as_str()?).map_err(|fault| damaged(0, fault))?;
    let result = row.get_ref(13)?.as_str_or_null()?.map(serde_json::from_str::<Json>);
    let invocation: Invocation =
        serde_json::from_str(row.get_ref(14)?.as_str()?).map_err(|fault| damaged(14, fault))?;
    Ok(Task {
        id,
        name: row.get(1)?,
        state,
        cancellable: row.get(3)?,
        permission: permission(row, 15)?,
        created: Timestamp(row.get(4)?),
        expires: time(5)?,
        started: time(6)?,
        completed: time(7)?,
        attempt: row.get(8)?,
        due: time(9)?,
        slot: row.get(10)?,
        progress: row.get(11)?,
        error: row.get(12)?,
        delivery: outbox::progress(row, 16, 17)?,
        result: result.transpose().map_err(|fault| damaged(13, fault))?,
        invocation: Arc::new(invocation),
    })
}

/// The permission in this column.
pub(super) fn permission(row: &Row<'_>, column: usize) -> Result<Option<Arc<Permission>>> {
    let read = row.get_ref(column)?.as_str_or_null()?.map(serde_json::from_str::<Permission>);
    Ok(read.transpose().map_err(|fault| damaged(column, fault))?.map(Arc::new))
}

pub(super) fn damaged(column: usize, fault: impl Into<Box<dyn Error + Send + Sync>>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, fault.into())
}
