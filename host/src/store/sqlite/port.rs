//! Owns the way of work from async callers to the threads that own connections, and of the answers back.
//! Must not know SQL, transactions or what the work is.

use super::super::{Answer, StoreError};
use rusqlite::Connection;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How many jobs may wait; further callers wait for room, which costs them no memory but their own.
const CAPACITY: usize = 1024;

/// One operation on its way to a connection and back.
pub(super) trait Job: Send {
    /// How much data it writes, roughly.
    fn bytes(&self) -> usize;
    /// Does the work. It may be called again after a rollback; the newest outcome counts.
    fn run(&mut self, connection: &Connection) -> rusqlite::Result<()>;
    /// Tells the caller: the outcome, or why there is none.
    fn answer(self: Box<Self>, failure: Option<&StoreError>);
}

struct Asked<T, W> {
    work: W,
    bytes: usize,
    outcome: Option<T>,
    caller: oneshot::Sender<Result<T, StoreError>>,
}

impl<T: Send, W: FnMut(&Connection) -> rusqlite::Result<T> + Send> Job for Asked<T, W> {
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn run(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.outcome = Some((self.work)(connection)?);
        Ok(())
    }

    fn answer(self: Box<Self>, failure: Option<&StoreError>) {
        let answer = match (failure, self.outcome) {
            (None, Some(outcome)) => Ok(outcome),
            (Some(failure), _) => Err(failure.clone()),
            (None, None) => Err(gone()),
        };
        // A caller that no longer listens has given up on the answer, not on the work.
        let _ = self.caller.send(answer);
    }
}

enum Message {
    Do(Box<dyn Job>),
    Close,
}

/// The threads' end of a port. The port counts as closed once the last thread has dropped it.
pub(super) struct Inbox {
    messages: Mutex<mpsc::Receiver<Message>>,
    _closed: DropGuard,
}

impl Inbox {
    /// The next job, waiting for it; `None` when the port is closed and all that was queued is done.
    pub(super) fn next(&self) -> Option<Box<dyn Job>> {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match messages.blocking_recv()? {
                Message::Do(job) => return Some(job),
                Message::Close => messages.close(),
            }
        }
    }

    /// The next job if one is queued already.
    pub(super) fn more(&self) -> Option<Box<dyn Job>> {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match messages.try_recv().ok()? {
                Message::Do(job) => return Some(job),
                Message::Close => messages.close(),
            }
        }
    }
}

/// The callers' end: takes work, and joins its threads when dropped.
pub(super) struct Port {
    messages: Option<mpsc::Sender<Message>>,
    closed: CancellationToken,
    threads: Vec<JoinHandle<()>>,
}

impl Port {
    /// Starts a named thread for each of `bodies`; they share what comes in.
    pub(super) fn start<B>(bodies: impl IntoIterator<Item = (String, B)>) -> Result<Self, StoreError>
    where
        B: FnOnce(Arc<Inbox>) + Send + 'static,
    {
        let (sender, receiver) = mpsc::channel(CAPACITY);
        let closed = CancellationToken::new();
        let inbox = Arc::new(Inbox { messages: Mutex::new(receiver), _closed: closed.clone().drop_guard() });
        let mut port = Self { messages: Some(sender), closed, threads: Vec::new() };
        for (name, body) in bodies {
            let inbox = Arc::clone(&inbox);
            let thread = std::thread::Builder::new().name(name).spawn(move || body(inbox));
            let failed = |error| StoreError::Open(format!("a thread of the store cannot be started: {error}"));
            port.threads.push(thread.map_err(failed)?);
        }
        Ok(port)
    }

    /// Has `work` done on a connection.
    pub(super) fn ask<T, W>(&self, bytes: usize, work: W) -> Answer<'_, T>
    where
        T: Send + 'static,
        W: FnMut(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (caller, answer) = oneshot::channel();
        let job = Message::Do(Box::new(Asked { work, bytes, outcome: None, caller }));
        Box::pin(async move {
            let Some(messages) = &self.messages else { return Err(gone()) };
            messages.send(job).await.map_err(|_| gone())?;
            answer.await.unwrap_or_else(|_| Err(gone()))
        })
    }

    /// Lets the threads finish what is queued, and waits until they are gone.
    pub(super) async fn close(&self) {
        if let Some(messages) = &self.messages {
            // Fails only when it is closed already.
            let _ = messages.send(Message::Close).await;
        }
        self.closed.cancelled().await;
    }
}

impl Drop for Port {
    /// Waits for the threads, so that the database file is free for another owner afterwards.
    fn drop(&mut self) {
        self.messages = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the store had panicked");
            }
        }
    }
}

fn gone() -> StoreError {
    StoreError::Unavailable("it is closed".to_owned())
}
