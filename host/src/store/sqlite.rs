//! Owns the SQLite store: which operation goes to which thread, and the store's opening and closing.
//! Must not know who runs tasks or how clients see them; statements stand in the modules below.

mod charges;
mod cursor;
mod deeds;
mod events;
mod file;
mod outbox;
mod plan;
mod port;
mod purge;
mod reader;
mod readers;
mod registry;
mod schema;
mod search;
mod submissions;
mod tasks;
#[cfg(test)]
mod tenant_tests;
#[cfg(test)]
mod tests;
mod variables;
mod writer;

use super::events::{EVENTS_BYTES, REPLAY_BYTES};
use super::{Answer, Claim, Events, Note, Page, Scope, Search, Store, StoreError, StoreUrl, Submission, Submitted};
use super::{TenantUse, usage};
use crate::clock::Timestamp;
use crate::executor::{VariableError, Versioned};
use crate::ids::TaskId;
use crate::metrics::Metrics;
use crate::task::event::TaskEvent;
use crate::task::{Ending, Task};
use crate::value::Json;
use futures_util::future::BoxFuture;
use port::Port;
use rusqlite::Connection;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tasks::New;
use tokio::sync::{Notify, watch};
use writer::Counters;

/// Tasks and variables in one SQLite database that belongs to this process alone.
///
/// One thread owns the connection that writes. It takes whatever is queued and commits it as one transaction, so that
/// a hundred waiting callers share one fsync and a lone one waits for nothing but its own.
pub struct SqliteStore {
    /// Fields are dropped in this order: the writer can empty the WAL only when no reader is left.
    readers: Option<Port>,
    searcher: Option<Port>,
    replayer: Option<Port>,
    writer: Port,
    counters: Counters,
    told: watch::Sender<u64>,
    /// See [`super::Outbox::news`].
    news: Arc<Notify>,
    /// Some task has a callback: until then no end has to look for its own.
    has_callbacks: Arc<AtomicBool>,
    /// Some task belongs to a tenant: until then no write has to look whom to charge.
    has_tenants: Arc<AtomicBool>,
}

impl SqliteStore {
    /// Opens the store, and makes it when there is none. Blocks for a few milliseconds.
    ///
    /// # Errors
    /// [`StoreError::Open`] says what is wrong, where, and what to do instead.
    pub fn open(url: &StoreUrl, metrics: &Metrics) -> Result<Self, StoreError> {
        match url {
            StoreUrl::SqliteFile(path) => Self::open_file(path, Counters::of(metrics)),
            StoreUrl::SqliteMemory => Self::open_memory(Counters::of(metrics)),
        }
    }

    fn open_file(path: &Path, counters: Counters) -> Result<Self, StoreError> {
        let file::Opened { connection, path, lock } = file::open(path)?;
        let has_callbacks = Arc::new(AtomicBool::new(outbox::any(&connection)));
        let has_tenants = Arc::new(AtomicBool::new(charges::any(&connection)));
        let writer = writer::start(connection, Some(lock), counters.clone())?;
        let (readers, searcher) = (Some(reader::start(&path)?), Some(reader::start_searcher(&path)?));
        let replayer = Some(reader::start_replayer(&path)?);
        let (told, news) = Default::default();
        Ok(Self { readers, searcher, replayer, writer, counters, told, news, has_callbacks, has_tenants })
    }

    fn open_memory(counters: Counters) -> Result<Self, StoreError> {
        let opening = |fault| StoreError::Open(format!("a SQLite store in memory cannot be opened: {fault}"));
        let mut connection = Connection::open_in_memory().map_err(|error| opening(error.to_string()))?;
        schema::prepare(&mut connection).map_err(|fault| opening(fault.to_string()))?;
        let writer = writer::start(connection, None, counters.clone())?;
        let (told, news, has_callbacks, has_tenants) = Default::default();
        let (readers, searcher, replayer) = (None, None, None);
        Ok(Self { readers, searcher, replayer, writer, counters, told, news, has_callbacks, has_tenants })
    }

    /// How many transactions its metrics have counted.
    #[must_use]
    pub fn batches(&self) -> u64 {
        self.counters.batches.count()
    }

    /// How many operations these transactions held.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.counters.batches.sum()
    }

    /// Says that events have been written.
    fn tell(&self, whether: bool) {
        if whether {
            self.told.send_modify(|times| *times += 1);
        }
    }

    /// Later writes have to look for what this task has.
    fn expect(&self, task: &Task) {
        if task.invocation.tenant.is_some() {
            self.has_tenants.store(true, Ordering::SeqCst);
        }
        if task.invocation.callback.is_some() {
            self.has_callbacks.store(true, Ordering::SeqCst);
        }
    }

    /// For what may take long.
    fn searching(&self) -> &Port {
        self.searcher.as_ref().unwrap_or(&self.writer)
    }

    /// A database in memory has only the writer's connection.
    fn reading(&self) -> &Port {
        self.readers.as_ref().unwrap_or(&self.writer)
    }
}

impl Store for SqliteStore {
    fn insert(&self, task: &Task) -> Answer<'_, ()> {
        self.expect(task);
        let new = match New::of(task) {
            Ok(new) => new,
            Err(error) => return Box::pin(async move { Err(StoreError::Unavailable(error.to_string())) }),
        };
        let id = task.id.clone();
        let inserted = self.writer.ask(new.bytes(), move |on| tasks::insert(on, &new));
        let is_followed = task.invocation.sse.is_some();
        Box::pin(async move {
            let is_new = inserted.await?;
            self.tell(is_new && is_followed);
            if is_new { Ok(()) } else { Err(StoreError::Duplicate(id)) }
        })
    }

    fn insert_once(&self, task: &Task, submission: Submission) -> Answer<'_, Submitted> {
        self.expect(task);
        let new = match New::of(task) {
            Ok(new) => new,
            Err(error) => return Box::pin(async move { Err(StoreError::Unavailable(error.to_string())) }),
        };
        let id = task.id.clone();
        let inserted = self.writer.ask(new.bytes(), move |on| submissions::insert(on, &new, &submission));
        let is_followed = task.invocation.sse.is_some();
        Box::pin(async move {
            let submitted = inserted.await?.ok_or(StoreError::Duplicate(id))?;
            self.tell(submitted == Submitted::New && is_followed);
            Ok(submitted)
        })
    }

    fn submitted(&self, submission: Submission) -> Answer<'_, Option<Submitted>> {
        self.reading().ask(0, move |on| submissions::find(on, &submission))
    }

    fn claim(&self, claim: Claim) -> Answer<'_, bool> {
        let (is_followed, bytes) = (!claim.events.is_empty(), bytes_of(&claim.events));
        let has_tenants = Arc::clone(&self.has_tenants);
        let claiming = move |on: &Connection| tasks::claim(on, &claim, has_tenants.load(Ordering::SeqCst));
        let claimed = self.writer.ask(bytes, claiming);
        Box::pin(async move { claimed.await.inspect(|claimed| self.tell(*claimed && is_followed)) })
    }

    fn finish(&self, id: &TaskId, attempt: u32, ending: &Ending) -> Answer<'_, bool> {
        let (id, ending) = (id.clone(), ending.clone());
        let bytes = ending.log.len() + ending.result.as_ref().map_or(0, |result| result.as_str().len());
        let bytes = bytes + bytes_of(&ending.events);
        let is_followed = !ending.events.is_empty();
        // The callback is due from the same commit on.
        let (has_callbacks, has_tenants) = (Arc::clone(&self.has_callbacks), Arc::clone(&self.has_tenants));
        let finished = self.writer.ask(bytes, move |on| {
            let ended = tasks::finish(on, &id, attempt, &ending, has_tenants.load(Ordering::SeqCst))?;
            let looks = ended && has_callbacks.load(Ordering::SeqCst);
            Ok((ended, looks && outbox::enter(on, &id, ending.at)?))
        });
        Box::pin(async move {
            let (ended, entered) = finished.await?;
            self.tell(ended && is_followed);
            if entered {
                self.news.notify_one();
            }
            Ok(ended)
        })
    }

    fn postpone(&self, id: &TaskId, attempt: u32, due: Timestamp) -> Answer<'_, bool> {
        let id = id.clone();
        self.writer.ask(0, move |on| tasks::postpone(on, &id, attempt, due))
    }

    fn note(&self, notes: Vec<Note>) -> Answer<'_, ()> {
        let of_note = |note: &Note| {
            let log = note.log.as_ref().map_or(0, String::len);
            log + bytes_of(&note.events)
        };
        let bytes = notes.iter().map(of_note).sum();
        let is_followed = notes.iter().any(|note| !note.events.is_empty());
        let has_tenants = Arc::clone(&self.has_tenants);
        let noted = self.writer.ask(bytes, move |on| {
            let charged = has_tenants.load(Ordering::SeqCst);
            notes.iter().try_for_each(|note| events::note(on, note, charged))
        });
        Box::pin(async move { noted.await.inspect(|()| self.tell(is_followed)) })
    }

    fn events(&self, after: u64) -> Answer<'_, Events> {
        self.reading().ask(0, move |on| events::page(on, after, &Scope::All, EVENTS_BYTES))
    }

    fn replay(&self, after: u64, scope: Scope) -> Answer<'_, Events> {
        let port = self.replayer.as_ref().unwrap_or(&self.writer);
        port.ask(0, move |on| events::page(on, after, &scope, REPLAY_BYTES))
    }

    fn last_event(&self, id: &TaskId) -> Answer<'_, Option<(u64, String)>> {
        let id = id.clone();
        self.reading().ask(0, move |on| events::last_of(on, &id))
    }

    fn newest_event(&self) -> Answer<'_, u64> {
        self.reading().ask(0, events::newest)
    }

    fn event_notice(&self) -> watch::Receiver<u64> {
        self.told.subscribe()
    }

    fn get(&self, id: &TaskId) -> Answer<'_, Option<Task>> {
        let id = id.clone();
        self.reading().ask(0, move |on| tasks::get(on, &id))
    }

    fn log(&self, id: &TaskId) -> Answer<'_, Option<String>> {
        let id = id.clone();
        self.reading().ask(0, move |on| tasks::log(on, &id))
    }

    fn search(&self, search: Search) -> Answer<'_, Page> {
        Box::pin(search::page(self.searching(), Arc::new(search)))
    }

    fn open_tasks(&self) -> Answer<'_, Vec<Task>> {
        self.reading().ask(0, tasks::open)
    }

    fn purge(&self, completed_before: Timestamp, others_before: Timestamp) -> Answer<'_, u32> {
        Box::pin(async move {
            let mut from = Some(purge::From::START);
            // Whoever writes gets its turn between two slices.
            while let Some(next) = from {
                let slice = move |on: &Connection| purge::slice(on, completed_before, others_before, next);
                let (removed, rest) = self.writer.ask(0, slice).await?;
                if removed > 0 {
                    return Ok(removed);
                }
                from = rest;
            }
            Ok(0)
        })
    }

    fn evict(&self, tenant: &str, keep: u64) -> Answer<'_, u32> {
        let space: Arc<str> = usage::space(Some(tenant)).into();
        Box::pin(async move {
            let mut from = Some(purge::OLDEST);
            while let Some(next) = from {
                let space = Arc::clone(&space);
                let (removed, rest) = self.writer.ask(0, move |on| purge::evict(on, &space, keep, next)).await?;
                if removed > 0 {
                    return Ok(removed);
                }
                from = rest;
            }
            Ok(0)
        })
    }

    fn init_variables(&self, variables: Vec<(String, Json)>) -> Answer<'_, ()> {
        let bytes = variables.iter().map(|(_, value)| value.as_str().len()).sum();
        let written = self.writer.ask(bytes, move |on| variables::init(on, &variables));
        Box::pin(async move { written.await?.map_err(|fault| StoreError::Unavailable(fault.to_string())) })
    }

    fn variable(&self, name: String) -> Answer<'_, Option<Versioned>> {
        self.reading().ask(0, move |on| variables::get(on, &name))
    }

    fn set_variable(&self, name: String, value: Json, most: u64) -> BoxFuture<'_, Result<u64, VariableError>> {
        flat(self.writer.ask(value.as_str().len(), move |on| variables::set(on, &name, &value, most)))
    }

    fn update_variable(
        &self,
        name: String,
        expected: Option<u64>,
        value: Json,
        most: u64,
    ) -> BoxFuture<'_, Result<u64, VariableError>> {
        flat(self.writer.ask(value.as_str().len(), move |on| variables::update(on, &name, expected, &value, most)))
    }

    fn remove_variable(&self, name: String, expected: Option<u64>) -> BoxFuture<'_, Result<bool, VariableError>> {
        flat(self.writer.ask(0, move |on| variables::remove(on, &name, expected)))
    }

    fn variable_names(&self, tenant: Option<String>) -> Answer<'_, Vec<String>> {
        self.reading().ask(0, move |on| variables::names(on, tenant.as_deref()))
    }

    fn usage(&self) -> Answer<'_, Vec<TenantUse>> {
        self.reading().ask(0, charges::usage)
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            for port in [&self.readers, &self.searcher, &self.replayer].into_iter().flatten() {
                port.close().await;
            }
            self.writer.close().await;
        })
    }
}

fn bytes_of(events: &[TaskEvent]) -> usize {
    events.iter().map(TaskEvent::size).sum()
}

fn flat<T: Send + 'static>(answer: Answer<'_, Result<T, VariableError>>) -> BoxFuture<'_, Result<T, VariableError>> {
    Box::pin(async move { answer.await.unwrap_or_else(|error| Err(VariableError::Unavailable(error.to_string()))) })
}
