//! Owns the statements on callbacks and their deliveries.
//! Must not know threads or transactions: every function runs within one that its caller has begun.

use super::super::outbox::{Due, KEPT_ATTEMPTS, Outbox, Record, Resent};
use super::super::{Answer, Task};
use super::{SqliteStore, tasks};
use crate::clock::Timestamp;
use crate::ids::TaskId;
use crate::task::callback::{Attempt, Delivery, Progress, Standing};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Result, Row};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// The columns that [`due_of`] reads.
const DUE: &str = "number, next, host, made, begun, bytes";

/// An attempt as it is stored: when, in microseconds; status; error; how long it took, in microseconds.
#[derive(Serialize, Deserialize)]
struct Stored(i64, Option<u16>, Option<String>, u64);

/// A new task has a callback.
pub(super) fn expect(on: &Connection, seq: i64, host: &str) -> Result<()> {
    on.prepare_cached("INSERT INTO callbacks (seq, host) VALUES (?1, ?2)")?.execute((seq, host)).map(drop)
}

/// The task has ended; `false`: it has no callback. An insert of what a query finds, which is nothing for most tasks,
/// would cost several times as much as the end itself.
pub(super) fn enter(on: &Connection, id: &TaskId, at: Timestamp) -> Result<bool> {
    let sql = "SELECT seq FROM tasks CROSS JOIN callbacks USING (seq) WHERE id = ?1";
    let seq: Option<i64> = on.prepare_cached(sql)?.query_row([id.as_str()], |row| row.get(0)).optional()?;
    let Some(seq) = seq else { return Ok(false) };
    let sql = "INSERT OR IGNORE INTO deliveries (seq, host, standing, made, begun, next, bytes, attempts)
               SELECT seq, host, 1, 0, 0, ?2, coalesce(octet_length(result), 0), '[]'
               FROM tasks CROSS JOIN callbacks USING (seq) WHERE seq = ?1";
    Ok(on.prepare_cached(sql)?.execute((seq, at.0))? == 1)
}

/// Whether any task has a callback; where that cannot be read, one may.
pub(super) fn any(on: &Connection) -> bool {
    on.query_row("SELECT EXISTS (SELECT 1 FROM callbacks)", [], |row| row.get(0)).unwrap_or(true)
}

/// Forgets the callback of a task.
pub(super) fn forget(on: &Connection, seq: i64) -> Result<()> {
    on.prepare_cached("DELETE FROM callbacks WHERE seq = ?1")?.execute([seq])?;
    on.prepare_cached("DELETE FROM deliveries WHERE seq = ?1")?.execute([seq]).map(drop)
}

/// The columns `standing` and `made`.
pub(super) fn progress(row: &Row<'_>, standing: usize, made: usize) -> Result<Option<Progress>> {
    let Some(number) = row.get::<_, Option<u8>>(standing)? else { return Ok(None) };
    let damaged = || rusqlite::Error::FromSqlConversionFailure(standing, Type::Integer, "no standing".into());
    Ok(Some(Progress { standing: Standing::from_number(number).ok_or_else(damaged)?, made: row.get(made)? }))
}

fn due_of(row: &Row<'_>) -> Result<Due> {
    Ok(Due {
        number: row.get(0)?,
        at: Timestamp(row.get(1)?),
        host: row.get(2)?,
        made: row.get(3)?,
        begun: row.get(4)?,
        bytes: row.get(5)?,
    })
}

fn extent(on: &Connection) -> Result<(i64, i64)> {
    let sql = "SELECT coalesce((SELECT max(number) FROM deliveries), 0),
                      (SELECT count(*) FROM deliveries INDEXED BY deliveries_due WHERE next IS NOT NULL)";
    on.prepare_cached(sql)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
}

fn entered(on: &Connection, after: i64, limit: usize) -> Result<Vec<Due>> {
    let sql = format!(
        "SELECT {DUE} FROM deliveries NOT INDEXED WHERE number > ?1 AND next IS NOT NULL ORDER BY number LIMIT ?2"
    );
    on.prepare_cached(&sql)?.query_map((after, rows(limit)), due_of)?.collect()
}

fn due(on: &Connection, (after, number): (Timestamp, i64), limit: usize) -> Result<Vec<Due>> {
    let sql = format!(
        "SELECT {DUE} FROM deliveries INDEXED BY deliveries_due
         WHERE next IS NOT NULL AND (next, number) > (?1, ?2) ORDER BY next, number LIMIT ?3"
    );
    on.prepare_cached(&sql)?.query_map((after.0, number, rows(limit)), due_of)?.collect()
}

fn due_at(on: &Connection, host: &str, until: Timestamp, limit: usize) -> Result<Vec<Due>> {
    let sql = format!(
        "SELECT {DUE} FROM deliveries INDEXED BY deliveries_host
         WHERE next IS NOT NULL AND host = ?1 AND next <= ?2 ORDER BY next, number LIMIT ?3"
    );
    on.prepare_cached(&sql)?.query_map((host, until.0, rows(limit)), due_of)?.collect()
}

/// Each host is one leap in the index.
fn hosts(on: &Connection, after: &str, limit: usize) -> Result<Vec<Arc<str>>> {
    let sql = "SELECT host FROM deliveries INDEXED BY deliveries_host
               WHERE next IS NOT NULL AND host > ?1 ORDER BY host LIMIT 1";
    let mut statement = on.prepare_cached(sql)?;
    let mut found: Vec<Arc<str>> = Vec::new();
    while found.len() < limit {
        let after = found.last().map_or(after, |last| last);
        let Some(next) = statement.query_row([after], |row| row.get(0)).optional()? else { break };
        found.push(next);
    }
    Ok(found)
}

fn dispatched(on: &Connection, number: i64) -> Result<Option<Task>> {
    let sql = format!(
        "SELECT {} FROM deliveries CROSS JOIN tasks USING (seq) CROSS JOIN invocations USING (seq)
         WHERE number = ?1 AND next IS NOT NULL",
        tasks::COLUMNS
    );
    on.prepare_cached(&sql)?.query_row([number], tasks::task).optional()
}

fn record(on: &Connection, record: &Record) -> Result<bool> {
    let sql = "SELECT attempts FROM deliveries WHERE number = ?1 AND made = ?2 AND next IS NOT NULL";
    let stored =
        on.prepare_cached(sql)?.query_row((record.number, record.made_before), |row| attempts(row, 0)).optional()?;
    let Some(mut attempts) = stored else { return Ok(false) };
    let Attempt { at, status, error, took } = &record.attempt;
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    attempts.push(Stored(at.0, *status, error.clone(), micros));
    let surplus = attempts.len().saturating_sub(KEPT_ATTEMPTS);
    attempts.drain(..surplus);
    let text = serde_json::to_string(&attempts).unwrap_or_else(|_| "[]".into());
    let sql = "UPDATE deliveries SET standing = ?2, made = made + 1, next = ?3, attempts = ?4 WHERE number = ?1";
    let values = (record.number, record.standing as u8, record.next.map(|next| next.0), text);
    Ok(on.prepare_cached(sql)?.execute(values)? == 1)
}

fn attempts(row: &Row<'_>, column: usize) -> Result<Vec<Stored>> {
    let read = serde_json::from_str(row.get_ref(column)?.as_str_or_null()?.unwrap_or("[]"));
    read.map_err(|fault| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(fault)))
}

fn delivery(on: &Connection, id: &TaskId) -> Result<Option<Delivery>> {
    let sql = "SELECT standing, made, next, attempts
               FROM tasks CROSS JOIN callbacks USING (seq) LEFT JOIN deliveries USING (seq) WHERE id = ?1";
    let read = |row: &Row<'_>| {
        let attempts = attempts(row, 3)?.into_iter().map(|Stored(at, status, error, micros)| Attempt {
            at: Timestamp(at),
            status,
            error,
            took: Duration::from_micros(micros),
        });
        Ok(Delivery {
            progress: progress(row, 0, 1)?.unwrap_or(Progress::NONE),
            next: row.get::<_, Option<i64>>(2)?.map(Timestamp),
            attempts: attempts.collect(),
        })
    };
    on.prepare_cached(sql)?.query_row([id.as_str()], read).optional()
}

/// The new row has a number of its own, by which it is found as one that has just entered.
fn resend(on: &Connection, id: &TaskId, at: Timestamp) -> Result<Resent> {
    let sql = "SELECT deliveries.seq, next IS NOT NULL
               FROM tasks CROSS JOIN callbacks USING (seq) LEFT JOIN deliveries USING (seq) WHERE id = ?1";
    let found =
        on.prepare_cached(sql)?.query_row([id.as_str()], |row| Ok((row.get::<_, Option<i64>>(0)?, row.get(1)?)));
    let seq = match found.optional()? {
        None => return Ok(Resent::NoCallback),
        Some((None, _)) => return Ok(Resent::NotEnded),
        Some((Some(_), true)) => return Ok(Resent::Busy),
        Some((Some(seq), false)) => seq,
    };
    let sql = "REPLACE INTO deliveries (seq, host, standing, made, begun, next, bytes, attempts)
               SELECT seq, host, 1, made, made, ?2, bytes, attempts FROM deliveries WHERE seq = ?1";
    on.prepare_cached(sql)?.execute((seq, at.0))?;
    Ok(Resent::Queued)
}

fn rows(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

impl Outbox for SqliteStore {
    fn news(&self) -> Arc<Notify> {
        Arc::clone(&self.news)
    }

    fn extent(&self) -> Answer<'_, (i64, i64)> {
        self.reading().ask(0, extent)
    }

    fn entered(&self, after: i64, limit: usize) -> Answer<'_, Vec<Due>> {
        self.reading().ask(0, move |on| entered(on, after, limit))
    }

    fn due(&self, after: (Timestamp, i64), limit: usize) -> Answer<'_, Vec<Due>> {
        self.reading().ask(0, move |on| due(on, after, limit))
    }

    fn due_at(&self, host: Arc<str>, until: Timestamp, limit: usize) -> Answer<'_, Vec<Due>> {
        self.reading().ask(0, move |on| due_at(on, &host, until, limit))
    }

    fn hosts(&self, after: Arc<str>, limit: usize) -> Answer<'_, Vec<Arc<str>>> {
        self.reading().ask(0, move |on| hosts(on, &after, limit))
    }

    fn dispatched(&self, number: i64) -> Answer<'_, Option<Task>> {
        self.reading().ask(0, move |on| dispatched(on, number))
    }

    fn record(&self, entry: Record) -> Answer<'_, bool> {
        self.writer.ask(0, move |on| record(on, &entry))
    }

    fn delivery(&self, id: &TaskId) -> Answer<'_, Option<Delivery>> {
        let id = id.clone();
        self.reading().ask(0, move |on| delivery(on, &id))
    }

    fn resend(&self, id: &TaskId, at: Timestamp) -> Answer<'_, Resent> {
        let id = id.clone();
        let resent = self.writer.ask(0, move |on| resend(on, &id, at));
        Box::pin(async move {
            let resent = resent.await?;
            if resent == Resent::Queued {
                self.news.notify_one();
            }
            Ok(resent)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::schema;

    #[test]
    fn nothing_is_sorted_or_scanned() {
        let mut connection = Connection::open_in_memory().expect("opens");
        schema::prepare(&mut connection).expect("tables");
        let statements = [
            format!("SELECT {DUE} FROM deliveries NOT INDEXED WHERE number > ?1 AND next IS NOT NULL ORDER BY number"),
            format!("SELECT {DUE} FROM deliveries INDEXED BY deliveries_due WHERE next IS NOT NULL AND (next, number) > (?1, ?2) ORDER BY next, number"),
            format!("SELECT {DUE} FROM deliveries INDEXED BY deliveries_host WHERE next IS NOT NULL AND host = ?1 AND next <= ?2 ORDER BY next, number"),
            "SELECT host FROM deliveries INDEXED BY deliveries_host WHERE next IS NOT NULL AND host > ?1 ORDER BY host LIMIT 1".to_owned(),
        ];
        for sql in statements {
            let mut explained = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("a statement");
            let count = explained.parameter_count();
            let steps = explained.query_map(rusqlite::params_from_iter(vec![1; count]), |row| row.get(3));
            let steps: Vec<String> = steps.expect("explains").map(|step| step.expect("a step")).collect();
            assert!(steps.len() == 1 && steps[0].starts_with("SEARCH "), "{sql}: {steps:?}");
        }
    }
}
