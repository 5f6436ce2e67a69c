//! Owns the thread that writes: what is queued becomes one transaction, and is answered after its commit.
//! Must not know what is written.

use super::super::StoreError;
use super::file;
use super::port::{Inbox, Job, Port};
use crate::metrics::{Histogram, Metrics};
use rusqlite::Connection;
use std::fs::File;
use std::sync::Arc;
use std::time::Instant;

/// The most operations of one transaction: at some 10 µs each, the first one waits 5 ms for the last.
const MAX_BATCH: usize = 512;
/// A transaction with more data than this takes no further operation: the WAL cannot be emptied within one.
const MAX_BATCH_BYTES: usize = 16 * 1024 * 1024;

/// What the writer has done.
#[derive(Debug, Clone)]
pub(super) struct Counters {
    /// Operations of each transaction.
    pub(super) batches: Histogram,
    /// How long each took.
    pub(super) commits: Histogram,
}

impl Counters {
    pub(super) fn of(metrics: &Metrics) -> Self {
        Self { batches: metrics.store_batch.clone(), commits: metrics.store_commit.clone() }
    }
}

/// Starts the writing thread. The lock is released when the connection is closed.
pub(super) fn start(connection: Connection, lock: Option<File>, counters: Counters) -> Result<Port, StoreError> {
    let body = move |inbox: Arc<Inbox>| {
        serve(&connection, &inbox, &counters);
        file::close(connection);
        drop(lock);
    };
    Port::start([("store-writer".to_owned(), body)])
}

fn serve(connection: &Connection, inbox: &Inbox, counters: &Counters) {
    let mut batch = Vec::with_capacity(MAX_BATCH);
    while let Some(first) = inbox.next() {
        let mut bytes = first.bytes();
        batch.push(first);
        while batch.len() < MAX_BATCH
            && bytes < MAX_BATCH_BYTES
            && let Some(job) = inbox.more()
        {
            bytes += job.bytes();
            batch.push(job);
        }
        write(connection, &mut batch, counters);
    }
}

/// Commits and answers a batch. One in which an operation breaks is done again one by one, so that only the broken
/// operation fails; after a failed commit nothing is tried again, because the disk may have taken it.
fn write(connection: &Connection, batch: &mut Vec<Box<dyn Job>>, counters: &Counters) {
    let began = Instant::now();
    match transaction(connection, batch) {
        Ok(()) => {
            counters.batches.observe_number(batch.len() as u64);
            counters.commits.observe(began.elapsed());
            answer(batch, None);
        }
        Err(Broken::Operation(_)) if batch.len() > 1 => {
            let mut alone = Vec::with_capacity(1);
            for job in batch.drain(..) {
                alone.push(job);
                write(connection, &mut alone, counters);
            }
        }
        Err(Broken::Operation(error) | Broken::Transaction(error)) => {
            tracing::error!(%error, operations = batch.len(), "the store could not write");
            answer(batch, Some(&StoreError::Unavailable(error.to_string())));
        }
    }
}

fn answer(batch: &mut Vec<Box<dyn Job>>, failure: Option<&StoreError>) {
    for job in batch.drain(..) {
        job.answer(failure);
    }
}

enum Broken {
    Operation(rusqlite::Error),
    Transaction(rusqlite::Error),
}

fn transaction(connection: &Connection, batch: &mut [Box<dyn Job>]) -> Result<(), Broken> {
    let done = attempt(connection, batch);
    // SQLite ends a transaction by itself after some errors, but not after all.
    if done.is_err() && !connection.is_autocommit() {
        execute(connection, "ROLLBACK").map_err(Broken::Transaction)?;
    }
    done
}

fn attempt(connection: &Connection, batch: &mut [Box<dyn Job>]) -> Result<(), Broken> {
    if !connection.is_autocommit() {
        // The rollback before failed.
        execute(connection, "ROLLBACK").map_err(Broken::Transaction)?;
    }
    execute(connection, "BEGIN IMMEDIATE").map_err(Broken::Transaction)?;
    for job in batch {
        job.run(connection).map_err(Broken::Operation)?;
    }
    execute(connection, "COMMIT").map_err(Broken::Transaction)
}

fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}
