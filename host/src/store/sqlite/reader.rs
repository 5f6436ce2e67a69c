//! Owns the threads that read from a database file beside its writer.
//! Must not know what is read.

use super::super::StoreError;
use super::file;
use super::port::{Inbox, Port};
use rusqlite::Connection;
use std::path::Path;
use std::sync::Arc;

/// Two, so that one large answer does not hold up the small ones.
const THREADS: usize = 2;

/// Starts the reading threads, each with a connection of its own.
pub(super) fn start(path: &Path) -> Result<Port, StoreError> {
    let mut bodies = Vec::with_capacity(THREADS);
    for number in 0..THREADS {
        let connection = file::open_reader(path)?;
        bodies.push((format!("store-reader-{number}"), move |inbox| serve(connection, &inbox)));
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
