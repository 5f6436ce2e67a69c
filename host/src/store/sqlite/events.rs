//! Owns the statements on events and on what running attempts have said.
//! Must not know threads or transactions: every function runs within one that its caller has begun.

use super::super::events::{EVENTS_PAGE, Events, KeptEvent, Note, Scope};
use super::charges::{self, Growth};
use super::tasks;
use crate::ids::TaskId;
use crate::task::event::{MISSED, TaskEvent};
use crate::value::Json;
use rusqlite::{Connection, OptionalExtension, Result, Row, ToSql, named_params};

/// How many events one read of a group or route looks at: looking is short whatever is kept.
const WINDOW: i64 = 20_000;

/// From now on the task has events, and is of this group.
pub(super) fn follow(on: &Connection, seq: i64, group: Option<&str>) -> Result<()> {
    on.prepare_cached("INSERT INTO followed (seq, grp) VALUES (?1, ?2)")?.execute((seq, group)).map(drop)
}

/// Adds events of a task.
pub(super) fn add(on: &Connection, seq: i64, events: &[TaskEvent]) -> Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    let mut insert = on.prepare_cached("INSERT INTO events (task, name, data) VALUES (?1, ?2, ?3)")?;
    events.iter().try_for_each(|event| insert.execute((seq, &*event.name, event.data.as_str())).map(drop))
}

/// See [`super::super::Store::note`].
/// `charged`: whether there may be tasks of tenants.
pub(super) fn note(on: &Connection, note: &Note, charged: bool) -> Result<()> {
    let is_running = "id = ?1 AND attempt = ?2 AND state = 1";
    let (id, attempt) = (note.id.as_str(), note.attempt);
    let seq: Option<i64> = if note.progress.is_some() || note.log.is_some() {
        let sql = format!(
            "UPDATE tasks SET progress = coalesce(?3, progress), log = coalesce(?4, log) WHERE {is_running} RETURNING seq"
        );
        let values = (id, attempt, note.progress, &note.log);
        on.prepare_cached(&sql)?.query_row(values, |row| row.get(0)).optional()?
    } else {
        let sql = format!("SELECT seq FROM tasks WHERE {is_running}");
        on.prepare_cached(&sql)?.query_row((id, attempt), |row| row.get(0)).optional()?
    };
    let Some(seq) = seq else { return Ok(()) };
    add(on, seq, &note.events)?;
    let trimmed = note.keep.map_or(Ok(0), |keep| trim(on, seq, keep))?;
    let bytes = charges::of_events(&note.events) - trimmed;
    let log = note.log.as_ref().map(|log| charges::signed(log.len()));
    if !charged || (bytes == 0 && log.is_none()) {
        return Ok(());
    }
    charges::grow(on, seq, Growth { bytes, log, completed: None })
}

/// Keeps the newest events of a task. Where the others were, one says how many. Answers by how many bytes that is less.
fn trim(on: &Connection, task: i64, keep: u32) -> Result<i64> {
    let boundary = "SELECT seq FROM events WHERE task = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2";
    let last: Option<i64> = on.prepare_cached(boundary)?.query_row((task, keep), |row| row.get(0)).optional()?;
    let Some(last) = last else { return Ok(0) };
    let count = "SELECT sum(CASE name WHEN ?3 THEN CAST(data AS INTEGER) ELSE 1 END), count(*), sum(octet_length(data))
                 FROM events WHERE task = ?1 AND seq <= ?2";
    let counts = |row: &Row<'_>| Ok((row.get(0)?, charges::of_stored(row.get(1)?, row.get(2)?)));
    let (missed, bytes): (i64, i64) = on.prepare_cached(count)?.query_row((task, last, MISSED), counts)?;
    let missed = missed.to_string();
    on.prepare_cached("DELETE FROM events WHERE task = ?1 AND seq < ?2")?.execute((task, last))?;
    let mark = "UPDATE events SET name = ?2, data = ?3 WHERE seq = ?1";
    on.prepare_cached(mark)?.execute((last, MISSED, &missed))?;
    Ok(bytes - charges::of_stored(1, charges::signed(missed.len())))
}

/// The number of the newest event there has been.
pub(super) fn newest(on: &Connection) -> Result<u64> {
    let sql = "SELECT seq FROM sqlite_sequence WHERE name = 'events'";
    let newest: Option<i64> = on.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()?;
    Ok(newest.map_or(0, i64::unsigned_abs))
}

/// The number and name of a task's newest event.
pub(super) fn last_of(on: &Connection, id: &TaskId) -> Result<Option<(u64, String)>> {
    let sql =
        "SELECT seq, name FROM events WHERE task = (SELECT seq FROM tasks WHERE id = ?1) ORDER BY seq DESC LIMIT 1";
    let last = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get(1)?));
    on.prepare_cached(sql)?.query_row([id.as_str()], last).optional()
}

/// The event up to which one read looks; `None`: all that there are.
fn window(on: &Connection, after: u64) -> Result<Option<u64>> {
    let sql = "SELECT seq FROM events WHERE seq > ?1 ORDER BY seq LIMIT 1 OFFSET ?2";
    let last = |row: &Row<'_>| Ok(row.get::<_, i64>(0)?.unsigned_abs());
    on.prepare_cached(sql)?.query_row((number(after), WINDOW), last).optional()
}

/// See [`super::super::Store::replay`]; `most` is how many bytes of data.
pub(super) fn page(on: &Connection, after: u64, scope: &Scope, most: usize) -> Result<Events> {
    let newest = newest(on)?;
    // The clause, what it is about, and the last event to look at.
    let near = match scope {
        Scope::Task(_) => newest,
        _ => window(on, after)?.map_or(newest, |last| last.min(newest)),
    };
    let task = "events.task = (SELECT seq FROM tasks WHERE id = :of)";
    let (which, of, last): (&str, &str, u64) = match scope {
        Scope::Task(id) => (task, id.as_str(), newest),
        Scope::Group(group) => ("followed.grp = :of", group, near),
        Scope::Route(route) => ("tasks.name = :of", route, near),
        Scope::All => (":of = ''", "", near),
    };
    let sql = format!(
        "SELECT events.seq, events.name, events.data, tasks.id, tasks.name, followed.grp, invocations.permission
         FROM events CROSS JOIN tasks ON tasks.seq = events.task
              CROSS JOIN followed ON followed.seq = events.task CROSS JOIN invocations ON invocations.seq = events.task
         WHERE events.seq > :after AND events.seq <= :last AND {which} ORDER BY events.seq LIMIT :most"
    );
    let mut statement = on.prepare_cached(&sql)?;
    let (from, to, rows) = (number(after), number(last), EVENTS_PAGE as i64);
    let values: &[(&str, &dyn ToSql)] = named_params! { ":after": from, ":last": to, ":of": of, ":most": rows };
    let mut rows = statement.query(values)?;
    let (mut events, mut bytes) = (Vec::new(), 0);
    let mut is_cut = false;
    while let Some(row) = rows.next()? {
        let event = kept(row)?;
        bytes += event.data.as_str().len();
        events.push(event);
        is_cut = events.len() >= EVENTS_PAGE || bytes >= most;
        if is_cut {
            break;
        }
    }
    let seen = events.last().filter(|_| is_cut).map_or(last.max(after), |event| event.seq);
    Ok(Events { events, seen, more: seen < newest })
}

fn number(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

fn kept(row: &Row<'_>) -> Result<KeptEvent> {
    let id = TaskId::parse(row.get_ref(3)?.as_str()?).map_err(|fault| tasks::damaged(3, fault))?;
    Ok(KeptEvent {
        seq: row.get::<_, i64>(0)?.unsigned_abs(),
        name: row.get(1)?,
        data: Json::parse(row.get(2)?).map_err(|fault| tasks::damaged(2, fault))?,
        task: id,
        route: row.get(4)?,
        group: row.get(5)?,
        permission: tasks::permission(row, 6)?,
    })
}

/// Forgets the events of a task.
pub(super) fn forget(on: &Connection, seq: i64) -> Result<()> {
    if on.prepare_cached("DELETE FROM followed WHERE seq = ?1")?.execute([seq])? > 0 {
        on.prepare_cached("DELETE FROM events WHERE task = ?1")?.execute([seq])?;
    }
    Ok(())
}
