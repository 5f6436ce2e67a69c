//! Owns the threads that read from a database file beside its writer.
//! Must not know what is read.

use super::super::StoreError;
use super::file;
use super::port::{Inbox, Port};
use rusqlite::Connection;
use std::path::Path;
use std::sync::Arc;

/// Starts threads that read single tasks: two, so that one large answer does not hold up the small ones.
pub(super) fn start(path: &Path) -> Result<Port, StoreError> {
    threads(path, &["store-reader-0", "store-reader-1"])
}

/// Starts the thread that searches. It is one, so that searches, which can be as long as somebody wants, never take
/// more than one processor.
pub(super) fn start_searcher(path: &Path) -> Result<Port, StoreError> {
    threads(path, &["store-searcher"])
}

/// Starts the thread that reads events back: however many come again at once, they never hold up point reads.
pub(super) fn start_replayer(path: &Path) -> Result<Port, StoreError> {
    threads(path, &["store-replayer"])
}

/// Each with a connection of its own.
fn threads(path: &Path, names: &[&str]) -> Result<Port, StoreError> {
    let mut bodies = Vec::with_capacity(names.len());
    for name in names {
        let connection = file::open_reader(path)?;
        bodies.push(((*name).to_owned(), move |inbox| serve(connection, &inbox)));
    }
    Port::start(bodies)
}

/// A statement outside of a transaction sees everything that was committed before it began: whoever got the answer to
/// a write reads that write.
fn serve(connection: Connection, inbox: &Arc<Inbox>) {
    while let Some(mut job) = inbox.next() {
        let failure = job.run(&connection).err().map(|error| StoreError::Unavailable(error.to_string()));
        job.answer(failure.as_ref());
    }
}
