//! Owns who follows tasks: what the store has is handed on to everybody who may read it, in its order, and whoever
//! reads slowly holds up nobody.
//! Must not know HTTP. It tells nothing that the store does not have: after a restart it goes on from there.

mod frame;
mod queue;
mod stream;
#[cfg(test)]
mod tests;

pub use frame::{Frame, comment, frame};
pub use stream::Stream;

use crate::metrics::{EventMetrics, Metrics};
use crate::principal::Principal;
use crate::store::{Scope, Store, StoreError};
use crate::task::access::Permission;
use crate::task::event::DONE;
use frame::Event;
use queue::Queue;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// How long nothing is said before a comment shows that the stream is alive.
pub const HEARTBEAT: Duration = Duration::from_secs(15);
/// How often the store is looked at without having said that there is something new.
const POLL: Duration = Duration::from_secs(1);
/// After so many events, counted once for each follower, those who were told get their turn, so that a busy machine
/// makes nobody look slow.
const AT_ONCE: usize = 4096;
/// So many bytes count as one event more.
const BYTES: usize = 64;
/// How long followers are told what is left at the end.
const LAST_EVENTS: Duration = Duration::from_secs(2);
/// How much is read back at once, in KiB, for all who come again and do not read.
const REPLAYED_KIB: usize = 256 * 1024;

/// What a hub is made of.
pub struct Options {
    /// Where events are kept.
    pub store: Arc<dyn Store>,
    /// What is measured.
    pub metrics: Arc<Metrics>,
}

/// A handle on all followers; clones share them.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    metrics: EventMetrics,
    followers: Mutex<Followers>,
    closing: CancellationToken,
    /// One permit a KiB that was read back and waits for its reader.
    replayed: Arc<Semaphore>,
}

#[derive(Default)]
struct Followers {
    /// All events up to this number have been handed on.
    told: u64,
    /// Keys are counted.
    last_key: u64,
    by_scope: HashMap<Scope, HashMap<u64, Arc<Follower>>>,
    closed: bool,
}

/// Who listens.
struct Follower {
    principal: Option<Principal>,
    /// Whether it hears of several tasks.
    of_many: bool,
    /// What it has had already.
    after: u64,
    queue: Queue,
}

/// A follower's place, given back when dropped.
struct Seat {
    hub: Hub,
    scope: Scope,
    key: u64,
    follower: Arc<Follower>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut followers = self.hub.followers();
        if let Some(of_scope) = followers.by_scope.get_mut(&self.scope) {
            of_scope.remove(&self.key);
            if of_scope.is_empty() {
                followers.by_scope.remove(&self.scope);
            }
        }
    }
}

/// What becomes of somebody who wants to listen.
enum Joined {
    /// It listens.
    Seat(Box<Seat>),
    /// It has yet to read what has been told meanwhile.
    Behind,
    /// Nobody listens any more.
    Closed,
}

impl Hub {
    /// A hub that nobody follows yet; [`Hub::run`] has to run.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let Options { store, metrics } = options;
        let (followers, closing) = (Mutex::default(), CancellationToken::new());
        let replayed = Arc::new(Semaphore::new(REPLAYED_KIB));
        Self(Arc::new(Inner { store, metrics: metrics.events.clone(), followers, closing, replayed }))
    }

    fn followers(&self) -> MutexGuard<'_, Followers> {
        self.0.followers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stream of what comes after this number, or from now on; `open` makes its first event, given its number.
    /// `None`: the task has ended and the client has had all of it.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn follow(
        &self,
        scope: Scope,
        principal: Option<Principal>,
        after: Option<u64>,
        open: impl FnOnce(u64) -> Frame,
    ) -> Result<Option<Stream>, StoreError> {
        // Before the task's last event: an end in between is told rather than missed.
        let newest = self.0.store.newest_event().await?;
        let mut from = after.map_or(newest, |after| after.min(newest));
        if let Scope::Task(id) = &scope
            && let Some((last, name)) = self.0.store.last_event(id).await?
            && name == DONE
        {
            match after {
                Some(after) if after >= last => return Ok(None),
                // Whoever comes after the end is told the end.
                None => from = last.saturating_sub(1),
                Some(_) => {}
            }
        }
        Ok(Some(Stream::new(self.clone(), scope, principal, from, open(from))))
    }

    /// Whether the host has said its last.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.followers().closed
    }

    /// Hands events on until [`Self::close`]; then what is left, as far as that takes no time, and every stream ends.
    pub async fn run(self) {
        let mut notice = self.0.store.event_notice();
        loop {
            tokio::select! {
                biased;
                () = self.0.closing.cancelled() => break,
                // The store outlives the hub.
                _ = notice.changed() => {}
                () = tokio::time::sleep(POLL) => {}
            }
            let told = tokio::select! {
                told = self.tell_new() => told,
                () = self.0.closing.cancelled() => break,
            };
            if let Err(error) = told {
                tracing::error!("events could not be read: {error}");
                tokio::time::sleep(POLL).await;
            }
        }
        if tokio::time::timeout(LAST_EVENTS, self.tell_new()).await.is_err() {
            tracing::info!("followers were cut off; they can resume after the start");
        }
        self.end_all();
    }

    /// Ends every stream once it has been told what there is.
    pub fn close(&self) {
        self.0.closing.cancel();
    }

    fn end_all(&self) {
        let mut followers = self.followers();
        followers.closed = true;
        followers.by_scope.values().flat_map(HashMap::values).for_each(|follower| follower.queue.end(false));
    }

    async fn tell_new(&self) -> Result<(), StoreError> {
        let mut pushed = 0;
        loop {
            let (told, is_idle) = {
                let followers = self.followers();
                (followers.told, followers.by_scope.is_empty())
            };
            // Whoever comes is told from where it has got to.
            if is_idle {
                return Ok(());
            }
            let page = self.0.store.events(told).await?;
            for kept in page.events {
                pushed += self.tell(Event::new(kept));
                if pushed >= AT_ONCE {
                    pushed = 0;
                    tokio::task::yield_now().await;
                }
            }
            self.followers().told = page.seen;
            if !page.more {
                return Ok(());
            }
        }
    }

    /// Hands an event on; answers what that cost.
    fn tell(&self, event: Event) -> usize {
        let kept = &event.kept;
        let group = kept.group.iter().map(|group| Scope::Group(Arc::clone(group)));
        let scopes = [Scope::Task(kept.task.clone()), Scope::Route(Arc::clone(&kept.route)), Scope::All];
        let scopes: Vec<Scope> = scopes.into_iter().chain(group).collect();
        let concerned: Vec<Arc<Follower>> = {
            let mut followers = self.followers();
            followers.told = kept.seq;
            let of_scope = scopes.iter().filter_map(|scope| followers.by_scope.get(scope));
            of_scope.flat_map(HashMap::values).map(Arc::clone).collect()
        };
        // Without the lock: there may be many, and others come and go meanwhile.
        let (mut sent, mut cut) = (0, 0);
        for follower in &concerned {
            match follower.take(&event) {
                Taken::Yes => sent += 1,
                Taken::No => {}
                Taken::TooSlow => cut += 1,
            }
        }
        self.0.metrics.sent.inc_by(sent);
        if cut > 0 {
            self.0.metrics.cut.inc_by(cut);
            let mut followers = self.followers();
            for scope in &scopes {
                if let Some(of_scope) = followers.by_scope.get_mut(scope) {
                    of_scope.retain(|_, follower| !follower.queue.is_over());
                }
            }
            followers.by_scope.retain(|_, of_scope| !of_scope.is_empty());
        }
        concerned.len() + kept.data.as_str().len() / BYTES
    }

    /// A place for somebody who has had everything up to `after`.
    fn join(&self, scope: &Scope, principal: Option<&Principal>, after: u64) -> Joined {
        let mut followers = self.followers();
        if followers.closed {
            return Joined::Closed;
        }
        if followers.by_scope.is_empty() {
            followers.told = followers.told.max(after);
        }
        if followers.told > after {
            return Joined::Behind;
        }
        followers.last_key += 1;
        let key = followers.last_key;
        let (principal, of_many) = (principal.cloned(), !matches!(scope, Scope::Task(_)));
        let follower = Arc::new(Follower { principal, of_many, after, queue: Queue::default() });
        followers.by_scope.entry(scope.clone()).or_default().insert(key, Arc::clone(&follower));
        Joined::Seat(Box::new(Seat { hub: self.clone(), scope: scope.clone(), key, follower }))
    }
}

/// What became of an event that was for a follower.
#[derive(PartialEq, Eq)]
enum Taken {
    Yes,
    /// It may not be told, or has had it.
    No,
    /// It has not read what it was told before.
    TooSlow,
}

impl Follower {
    fn take(&self, event: &Event) -> Taken {
        let kept = &event.kept;
        if kept.seq <= self.after || !may_read(kept.permission.as_deref(), self.principal.as_ref()) {
            return Taken::No;
        }
        if !self.queue.push(event.frame(self.of_many)) {
            return Taken::TooSlow;
        }
        if !self.of_many && kept.name == DONE {
            self.queue.end(false);
        }
        Taken::Yes
    }
}

fn may_read(permission: Option<&Permission>, principal: Option<&Principal>) -> bool {
    permission.is_none_or(|permission| permission.may_read(principal))
}
