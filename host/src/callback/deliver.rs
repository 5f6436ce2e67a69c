//! Owns the course of deliveries: what has entered the outbox is attempted at once, what failed is attempted again when
//! it is due, and everything is noted in the store. Must not know how tasks end, or who asks about their callbacks.

use super::attempt::{self, Outcome};
use super::client::Clients;
use super::schedule::Schedule;
use super::sign::SigningKey;
use super::target::{self, TargetFault};
use super::window::{Class, Window};
use crate::clock::{Clock, Timestamp};
use crate::guard::{Guard, Lookup, system_lookup};
use crate::ids::TaskId;
use crate::metrics::Metrics;
use crate::route::callback::CallbackRule;
use crate::store::outbox::{Due, Record, Resent};
use crate::store::{Store, StoreError};
use crate::task::callback::{Callback, Delivery, Standing};
use crate::task::{Request, Task};
use crate::value::Json;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often one looks without having been told.
const TICK: Duration = Duration::from_secs(1);
/// An attempt that has no answer after this time holds a place that others may need.
const SLOW: Duration = Duration::from_secs(3);
/// How long attempts may go on once the host goes down.
const LAST_ANSWERS: Duration = Duration::from_secs(2);
/// How many rows are read at once, and how often in a row.
const PAGE: usize = 500;
const PAGES: usize = 8;
/// The pauses of a store that does not take what an attempt came to.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The most KiB of bodies that are sent at once, to hosts that answer and to others.
const BODIES_KIB: u32 = 128 << 10;
/// Smaller results are not counted: all of them together are less.
const SMALL: u32 = 64 << 10;

/// What deliveries are made with.
pub struct Options {
    /// Where they are kept.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Who may be called.
    pub guard: Arc<Guard>,
    /// What signs, newest first.
    pub keys: Vec<SigningKey>,
    /// When.
    pub schedule: Schedule,
    /// The longest time of an attempt.
    pub timeout: Duration,
    /// What is measured.
    pub metrics: Arc<Metrics>,
}

/// A handle on callbacks; clones share it.
#[derive(Clone)]
pub struct Callbacks(Arc<Inner>);

struct Inner {
    options: Options,
    clients: Clients,
    /// For bodies to hosts that answer, and to others.
    bodies: [Arc<Semaphore>; 2],
}

/// Why a delivery is not sent again.
#[derive(Debug, thiserror::Error)]
pub enum ResendError {
    /// There is nothing to send.
    #[error("the task has no callback")]
    NoCallback,
    /// It is sent when the task ends.
    #[error("the task has not ended; its callback is sent when it does")]
    NotEnded,
    /// It is sent already.
    #[error("an attempt is due or under way already")]
    Busy,
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl std::fmt::Debug for Callbacks {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Callbacks")
    }
}

impl Callbacks {
    /// Callbacks over a store. [`Callbacks::deliver`] sends them.
    ///
    /// # Errors
    /// When there can be no HTTP client.
    pub fn new(options: Options) -> Result<Self, String> {
        Self::with_lookup(options, &system_lookup())
    }

    fn with_lookup(options: Options, lookup: &Lookup) -> Result<Self, String> {
        let clients = Clients::new(&options.guard, options.timeout, lookup)?;
        let bodies = [(); 2].map(|()| Arc::new(Semaphore::new(BODIES_KIB as usize)));
        Ok(Self(Arc::new(Inner { options, clients, bodies })))
    }

    /// The callback of a request; `None`: the request names no URL where the rule looks for one.
    ///
    /// # Errors
    /// What the request says wrong.
    pub fn resolve(
        &self,
        rule: &CallbackRule,
        request: &Request,
        input: &Json,
    ) -> Result<Option<Callback>, TargetFault> {
        target::resolve(rule, request, input, &self.0.options.guard)
    }

    /// A task's delivery; `None`: it has no callback.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn delivery(&self, id: &TaskId) -> Result<Option<Delivery>, StoreError> {
        self.0.options.store.delivery(id).await
    }

    /// Begins a delivery that is over anew, with a whole schedule.
    ///
    /// # Errors
    /// [`ResendError`] says why not.
    pub async fn resend(&self, id: &TaskId) -> Result<(), ResendError> {
        match self.0.options.store.resend(id, self.0.options.clock.now()).await? {
            Resent::Queued => Ok(()),
            Resent::NotEnded => Err(ResendError::NotEnded),
            Resent::Busy => Err(ResendError::Busy),
            Resent::NoCallback => Err(ResendError::NoCallback),
        }
    }

    /// Delivers until the host goes down: also what a former process left. What is not answered soon after that is
    /// attempted again by the next process.
    pub async fn deliver(self, down: CancellationToken) {
        let Some(mut course) = Course::begin(Arc::clone(&self.0), down.clone()).await else { return };
        let news = self.0.options.store.news();
        while !down.is_cancelled() {
            course.look().await;
            course.launch();
            let pause = course.pause();
            tokio::select! {
                () = down.cancelled() => {}
                () = news.notified() => course.has_news = true,
                Some(done) = course.attempts.join_next_with_id() => course.finished(done),
                () = tokio::time::sleep(pause) => course.tick(),
            }
            while let Some(done) = course.attempts.try_join_next_with_id() {
                course.finished(done);
            }
        }
        let ending = async { while course.attempts.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_ANSWERS, ending).await.is_err() {
            tracing::info!(
                attempts = course.attempts.len(),
                "callbacks were cut off; they are sent again after the start"
            );
        }
        course.attempts.shutdown().await;
    }
}

/// What is known while deliveries are made.
struct Course {
    inner: Arc<Inner>,
    down: CancellationToken,
    window: Window,
    attempts: JoinSet<Done>,
    under_way: HashMap<Id, UnderWay>,
    /// All that entered up to this number was seen.
    seen: i64,
    /// All that was due up to this moment and number was seen.
    swept: (Timestamp, i64),
    has_news: bool,
    /// There is more to see that is due.
    behind: bool,
    /// When the next delivery that was not seen is due, as far as is known.
    soonest: Option<Timestamp>,
    /// Hosts were looked through up to this one, and how many had found no room when that began.
    listed: (Arc<str>, u64),
    relists: bool,
}

/// An attempt that is not over.
struct UnderWay {
    host: Arc<str>,
    number: i64,
    since: Instant,
    /// It counts as slow already.
    is_slow: bool,
}

/// An attempt that is over.
struct Done {
    /// What was recorded; `None`: nothing.
    record: Option<Record>,
    is_taken: bool,
}

impl Course {
    /// Finds out where the outbox ends now. `None`: the host goes down.
    async fn begin(inner: Arc<Inner>, down: CancellationToken) -> Option<Self> {
        let store = Arc::clone(&inner.options.store);
        let (seen, pending) = loop {
            match store.extent().await {
                Ok(found) => break found,
                Err(error) => tracing::error!("the outbox cannot be read: {error}"),
            }
            tokio::select! {
                () = down.cancelled() => return None,
                () = tokio::time::sleep(TICK) => {}
            }
        };
        inner.options.metrics.callbacks.pending.set(pending);
        Some(Self {
            inner,
            down,
            window: Window::default(),
            attempts: JoinSet::new(),
            under_way: HashMap::new(),
            seen,
            swept: (Timestamp(i64::MIN), i64::MIN),
            has_news: true,
            behind: true,
            soonest: None,
            listed: ("".into(), 0),
            relists: false,
        })
    }

    /// Reads what there is to read. A store that does not answer is asked again at the next tick.
    async fn look(&mut self) {
        let now = self.inner.options.clock.now();
        let looked = async {
            if self.has_news {
                self.read_news().await?;
            }
            if self.behind || self.soonest.is_some_and(|soonest| soonest <= now) {
                self.sweep(now).await?;
            }
            self.relist().await?;
            self.refill(now).await
        };
        if let Err(error) = looked.await {
            tracing::warn!("the outbox cannot be read: {error}");
            // Not again at once.
            (self.behind, self.soonest) = (false, None);
        }
    }

    async fn read_news(&mut self) -> Result<(), StoreError> {
        for _ in 0..PAGES {
            let page = self.inner.options.store.entered(self.seen, PAGE).await?;
            let is_last = page.len() < PAGE;
            self.inner.options.metrics.callbacks.pending.inc_by(i64::try_from(page.len()).unwrap_or(0));
            for due in page {
                self.seen = self.seen.max(due.number);
                self.window.add(due);
            }
            if is_last {
                self.has_news = false;
                break;
            }
        }
        Ok(())
    }

    /// Goes on in the order of due times, up to now.
    async fn sweep(&mut self, now: Timestamp) -> Result<(), StoreError> {
        self.behind = true;
        for _ in 0..PAGES {
            let page = self.inner.options.store.due(self.swept, PAGE).await?;
            self.behind = page.len() == PAGE;
            self.soonest = None;
            for due in page {
                if due.at > now {
                    (self.behind, self.soonest) = (false, Some(due.at));
                    break;
                }
                self.swept = (due.at, due.number);
                self.window.add(due);
            }
            if !self.behind {
                break;
            }
        }
        Ok(())
    }

    /// Looks through the hosts of the store once some of them have found no room.
    async fn relist(&mut self) -> Result<(), StoreError> {
        if !std::mem::take(&mut self.relists) || self.window.unlisted() == self.listed.1 || !self.window.has_room() {
            return Ok(());
        }
        let (after, before) = (Arc::clone(&self.listed.0), self.window.unlisted());
        let names = self.inner.options.store.hosts(after, PAGE).await?;
        for name in &names {
            self.window.ask_about(name);
        }
        match names.last() {
            Some(last) if names.len() == PAGE => self.listed.0 = Arc::clone(last),
            _ => self.listed = ("".into(), before),
        }
        Ok(())
    }

    async fn refill(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let until = now.max(self.swept.0);
        for (host, limit) in self.window.low() {
            let found = self.inner.options.store.due_at(Arc::clone(&host), until, limit).await?;
            let all = found.len() < limit;
            self.window.refill(&host, found, all);
        }
        Ok(())
    }

    /// Begins as many attempts as there are places.
    fn launch(&mut self) {
        while let Some((due, is_proven)) = self.window.next() {
            let (host, number, since) = (Arc::clone(&due.host), due.number, Instant::now());
            let (inner, down) = (Arc::clone(&self.inner), self.down.clone());
            let attempt = self.attempts.spawn(async move { inner.attempt(due, is_proven, &down).await });
            self.under_way.insert(attempt.id(), UnderWay { host, number, since, is_slow: false });
        }
    }

    /// How long there is nothing to do.
    fn pause(&self) -> Duration {
        if self.behind {
            return Duration::ZERO;
        }
        let now = self.inner.options.clock.now();
        self.soonest.map_or(TICK, |soonest| soonest.remaining(now)).min(TICK)
    }

    fn tick(&mut self) {
        (self.has_news, self.relists) = (true, true);
        if self.soonest.is_none() {
            self.behind = true;
        }
        for attempt in self.under_way.values_mut() {
            if !attempt.is_slow && attempt.since.elapsed() >= SLOW {
                attempt.is_slow = true;
                self.window.judge(&attempt.host, Class::Failing);
            }
        }
    }

    fn finished(&mut self, done: Result<(Id, Done), JoinError>) {
        let (id, done) = match done {
            Ok((id, done)) => (id, Some(done)),
            Err(error) => {
                // It stays due in the store: the next process attempts it.
                tracing::error!("an attempt to send a callback broke: {error}");
                (error.id(), None)
            }
        };
        let Some(UnderWay { host, number, .. }) = self.under_way.remove(&id) else { return };
        let is_taken = done.as_ref().is_some_and(|done| done.is_taken);
        self.window.judge(&host, if is_taken { Class::Proven } else { Class::Failing });
        let next = done.and_then(|done| done.record).and_then(|record| record.next);
        if let Some(next) = next {
            self.soonest = Some(self.soonest.map_or(next, |soonest| soonest.min(next)));
        }
        // What is due before the moment up to which all was seen is not met again.
        let again = next.is_some_and(|next| next <= self.swept.0);
        self.window.over(&host, number, again);
    }
}

impl Inner {
    async fn attempt(&self, due: Due, is_proven: bool, down: &CancellationToken) -> Done {
        let at = self.options.clock.now();
        let _body = self.room(&due, is_proven).await;
        let task = match self.options.store.dispatched(due.number).await {
            Ok(Some(task)) => task,
            // Gone with its task.
            Ok(None) => return Done { record: None, is_taken: true },
            Err(error) => {
                tracing::warn!("a callback cannot be read: {error}");
                tokio::time::sleep(TICK).await;
                let record = Some(self.unchanged(&due, at));
                return Done { record, is_taken: false };
            }
        };
        let (outcome, took) = attempt::timed(attempt::call(&self.options, &self.clients, &task)).await;
        let record = attempt::record(&self.options, &due, &outcome, at, took);
        let is_recorded = self.record(&record, down).await;
        self.note(&task, &due, &outcome, &record, is_recorded);
        Done { record: Some(record), is_taken: outcome.is_taken() || outcome.is_final() }
    }

    /// Stands for an attempt that was not made: it is due as it was.
    fn unchanged(&self, due: &Due, at: Timestamp) -> Record {
        let attempt = crate::task::callback::Attempt { at, status: None, error: None, took: Duration::ZERO };
        let (number, made_before) = (due.number, due.made);
        Record { number, made_before, attempt, standing: Standing::Running, next: Some(due.at) }
    }

    /// Waits until a large body has room beside the others.
    async fn room(&self, due: &Due, is_proven: bool) -> Option<tokio::sync::OwnedSemaphorePermit> {
        let [proven, others] = &self.bodies;
        let bodies = Arc::clone(if is_proven { proven } else { others });
        // The result, and the body with it.
        let kib = (due.bytes / 1024).saturating_mul(2).min(BODIES_KIB);
        if due.bytes < SMALL { None } else { bodies.acquire_many_owned(kib).await.ok() }
    }

    /// Insists until the store has taken it; an attempt that is not noted is made again by the next process.
    async fn record(&self, record: &Record, down: &CancellationToken) -> bool {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.options.store.record(record.clone()).await {
                Ok(taken) => return taken,
                Err(error) => tracing::error!("an attempt could not be noted, asking again in {pause:?}: {error}"),
            }
            if down.is_cancelled() {
                return false;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn note(&self, task: &Task, due: &Due, outcome: &Outcome, record: &Record, is_recorded: bool) {
        let metrics = &self.options.metrics.callbacks;
        match outcome {
            outcome if outcome.is_taken() => metrics.delivered.inc(),
            Outcome::Refused(_) => metrics.refused.inc(),
            _ => metrics.failed.inc(),
        };
        metrics.attempt.observe(record.attempt.took);
        if is_recorded && record.next.is_none() {
            metrics.pending.dec();
        }
        let (id, route, attempt) = (&task.id, &task.name, due.made.saturating_add(1));
        let (status, error) = (record.attempt.status, record.attempt.error.as_deref());
        let host = &*due.host;
        match record.standing {
            Standing::Failed => {
                tracing::warn!(target: "callback", task = %id, %route, host, attempt, status, error, "given up");
            }
            standing => {
                let seconds = record.attempt.took.as_secs_f64();
                tracing::debug!(target: "callback", task = %id, %route, host, attempt, status, error, ?standing, seconds, "attempted");
            }
        }
    }
}

#[cfg(test)]
mod tests;
