//! Owns the statements that charge tasks to their tenants, and those that tell what is used. Triggers of the schema sum
//! it up. Must not know threads or transactions: every function runs within one that its caller has begun.

use super::super::usage::{TASK_BYTES, TenantUse, Variables, space, tenant_of};
use super::registry::unsigned;
use crate::task::event::{OVERHEAD, TaskEvent};
use rusqlite::{Connection, OptionalExtension, Result, Row};

/// How a task has grown; one that belongs to no tenant is charged to nobody.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Growth {
    /// By so many bytes.
    pub(super) bytes: i64,
    /// Its log has so many bytes now, where that has changed.
    pub(super) log: Option<i64>,
    /// It ended at this moment.
    pub(super) completed: Option<i64>,
}

/// Whether there is any task of a tenant; where that cannot be read, there may be one.
pub(super) fn any(on: &Connection) -> bool {
    on.query_row("SELECT EXISTS (SELECT 1 FROM charges)", [], |row| row.get(0)).unwrap_or(true)
}

/// A new task of a tenant, with so many bytes of data.
pub(super) fn open(on: &Connection, seq: i64, tenant: &str, bytes: i64) -> Result<()> {
    let sql = "INSERT INTO charges (seq, space, bytes) VALUES (?1, ?2, ?3)";
    let bytes = bytes.saturating_add_unsigned(TASK_BYTES);
    on.prepare_cached(sql)?.execute((seq, space(Some(tenant)), bytes)).map(drop)
}

/// A task has grown.
pub(super) fn grow(on: &Connection, seq: i64, growth: Growth) -> Result<()> {
    let sql = "UPDATE charges SET bytes = bytes + ?2 + ifnull(?3 - log, 0), log = ifnull(?3, log),
                                  completed = ifnull(?4, completed) WHERE seq = ?1";
    on.prepare_cached(sql)?.execute((seq, growth.bytes, growth.log, growth.completed)).map(drop)
}

/// A task goes.
pub(super) fn close(on: &Connection, seq: i64) -> Result<()> {
    on.prepare_cached("DELETE FROM charges WHERE seq = ?1")?.execute([seq]).map(drop)
}

/// What these events take.
pub(super) fn of_events(events: &[TaskEvent]) -> i64 {
    signed(events.iter().map(TaskEvent::size).sum())
}

/// What so many events take whose data has so many bytes.
pub(super) fn of_stored(events: i64, data: i64) -> i64 {
    events * signed(OVERHEAD) + data
}

/// A length as SQLite counts.
pub(super) fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Bytes of a tenant's tasks.
pub(super) fn bytes(on: &Connection, space: &str) -> Result<u64> {
    let sql = "SELECT bytes FROM uses WHERE space = ?1";
    Ok(unsigned(on.prepare_cached(sql)?.query_row([space], |row| row.get(0)).optional()?.unwrap_or(0)))
}

/// What the variables of a name space take.
pub(super) fn variables(on: &Connection, space: &str) -> Result<Variables> {
    let sql = "SELECT variables, variable_bytes FROM uses WHERE space = ?1";
    let read = |row: &Row<'_>| Ok(Variables { count: unsigned(row.get(0)?), bytes: unsigned(row.get(1)?) });
    Ok(on.prepare_cached(sql)?.query_row([space], read).optional()?.unwrap_or_default())
}

/// See [`super::super::Store::usage`].
pub(super) fn usage(on: &Connection) -> Result<Vec<TenantUse>> {
    let sql = "SELECT space, tasks, bytes, variables, variable_bytes FROM uses
               WHERE space <> '' AND (tasks > 0 OR variables > 0)";
    let read = |row: &Row<'_>| {
        Ok(TenantUse {
            name: tenant_of(row.get_ref(0)?.as_str()?).unwrap_or_default().into(),
            tasks: unsigned(row.get(1)?),
            bytes: unsigned(row.get(2)?),
            variables: unsigned(row.get(3)?),
            variable_bytes: unsigned(row.get(4)?),
        })
    };
    let mut found: Vec<TenantUse> = on.prepare_cached(sql)?.query_map([], read)?.collect::<Result<_>>()?;
    // The separator would come after some characters of longer names.
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}
