//! Owns the statements that remove old tasks. Must not know threads or transactions: every function runs within one
//! that its caller has begun.

use super::super::PURGE_BATCH;
use super::{charges, readers, tasks};
use crate::clock::Timestamp;
use crate::task::state::State;
use rusqlite::{Connection, Result, Row};

/// A purge stops at so much data: SQLite walks through every page of a large value that it removes.
const PURGE_BYTES: i64 = 32 * 1024 * 1024;
/// The most tasks that one slice looks at: many may have to stay because their callbacks are due.
const SLICE: i64 = 2_000;

/// Where the next slice begins: after this task of these that ended so.
#[derive(Debug, Clone, Copy)]
pub(super) struct From {
    state: usize,
    completed: i64,
    seq: i64,
}

impl From {
    /// At the oldest.
    pub(super) const START: Self = Self { state: 0, completed: i64::MIN, seq: i64::MIN };
}

/// Removes old tasks of one slice; answers how many, and where to go on, if there may be more.
pub(super) fn slice(
    on: &Connection,
    completed_before: Timestamp,
    others_before: Timestamp,
    mut from: From,
) -> Result<(u32, Option<From>)> {
    let sql =
        "SELECT seq, completed, EXISTS (SELECT 1 FROM deliveries WHERE deliveries.seq = tasks.seq AND next IS NOT NULL)
               FROM tasks INDEXED BY tasks_ended
               WHERE completed IS NOT NULL AND state = ?1 AND (completed, seq) > (?2, ?3) AND completed < ?4
               ORDER BY completed, seq LIMIT ?5";
    let ended: Vec<State> = State::ALL.into_iter().filter(|state| state.is_final()).collect();
    let (mut removed, mut bytes, mut left) = (0, 0, SLICE);
    while let Some(state) = ended.get(from.state) {
        let before = if *state == State::Completed { completed_before } else { others_before };
        let mut statement = on.prepare_cached(sql)?;
        let values = (*state as u8, from.completed, from.seq, before.0, left);
        let row = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let old: Vec<(i64, i64, bool)> = statement.query_map(values, row)?.collect::<Result<_>>()?;
        let is_last = i64::try_from(old.len()).unwrap_or(left) < left;
        for (seq, completed, is_due) in old {
            if removed >= PURGE_BATCH || bytes >= PURGE_BYTES {
                return Ok((removed, Some(from)));
            }
            (from.completed, from.seq, left) = (completed, seq, left - 1);
            if !is_due {
                bytes += remove(on, seq)?;
                removed += 1;
            }
        }
        if !is_last {
            return Ok((removed, Some(from)));
        }
        from = From { state: from.state + 1, ..From::START };
    }
    Ok((removed, None))
}

/// Where the next slice of a tenant's tasks begins: after this one of those that ended.
pub(super) type Oldest = (i64, i64);
/// At the oldest.
pub(super) const OLDEST: Oldest = (i64::MIN, i64::MIN);

/// Those of a tenant that ended, oldest first.
const ENDED: &str = "
    SELECT seq, completed, bytes,
           EXISTS (SELECT 1 FROM deliveries WHERE deliveries.seq = charges.seq AND next IS NOT NULL)
    FROM charges INDEXED BY charges_ended
    WHERE completed IS NOT NULL AND space = ?1 AND (completed, seq) > (?2, ?3) ORDER BY completed, seq LIMIT ?4";

/// Removes ended tasks of a tenant in one slice, until its tasks take no more than `keep` bytes; answers how many, and
/// where to go on, if there may be more to do.
pub(super) fn evict(on: &Connection, space: &str, keep: u64, mut from: Oldest) -> Result<(u32, Option<Oldest>)> {
    let mut surplus = signed(charges::bytes(on, space)?.saturating_sub(keep));
    if surplus == 0 {
        return Ok((0, None));
    }
    let row = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
    let mut statement = on.prepare_cached(ENDED)?;
    let ended = statement.query_map((space, from.0, from.1, SLICE), row)?;
    let ended: Vec<(i64, i64, i64, bool)> = ended.collect::<Result<_>>()?;
    let is_last = i64::try_from(ended.len()).unwrap_or(SLICE) < SLICE;
    let (mut removed, mut bytes) = (0, 0);
    for (seq, completed, charged, is_due) in ended {
        if removed >= PURGE_BATCH || bytes >= PURGE_BYTES || surplus <= 0 {
            return Ok((removed, Some(from)));
        }
        from = (completed, seq);
        if !is_due {
            bytes += remove(on, seq)?;
            surplus -= charged;
            removed += 1;
        }
    }
    Ok((removed, Some(from).filter(|_| !is_last)))
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Removes a task; answers how much data it was.
fn remove(on: &Connection, seq: i64) -> Result<i64> {
    let sql = "SELECT octet_length(body) + coalesce(octet_length(result), 0) + coalesce(octet_length(log), 0)
                      + (SELECT count(*) FROM events WHERE events.task = tasks.seq) * 4096, owner, permission
               FROM tasks CROSS JOIN invocations USING (seq) WHERE seq = ?1";
    let (bytes, readers) = on.prepare_cached(sql)?.query_row([seq], |row| {
        let permission = tasks::permission(row, 2)?;
        Ok((row.get(0)?, readers::of_task(permission.as_deref(), row.get_ref(1)?.as_str_or_null()?)))
    })?;
    tasks::remove(on, seq, &readers)?;
    Ok(bytes)
}
