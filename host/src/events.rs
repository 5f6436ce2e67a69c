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

use crate::metrics::{Counted, EventMetrics, Metrics};
use crate::principal::Principal;
use crate::store::{KeptEvent, Scope, Store, StoreError};
use crate::task::access::Permission;
use crate::task::event::DONE;
use frame::Event;
use queue::Queue;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long nothing is said before a comment shows that the stream is alive.
pub const HEARTBEAT: Duration = Duration::from_secs(15);
/// How often the store is looked at without having said that there is something new.
const POLL: Duration = Duration::from_secs(1);
/// After so many events those who were told get their turn, so that a busy machine makes nobody look slow.
const AT_ONCE: usize = 32;

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
    _counted: Counted,
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
        Self(Arc::new(Inner { store, metrics: metrics.events.clone(), followers, closing }))
    }

    fn followers(&self) -> MutexGuard<'_, Followers> {
        self.0.followers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the newest event; what a stream that begins now has had.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn newest(&self) -> Result<u64, StoreError> {
        self.0.store.newest_event().await
    }

    /// Whether a scope has nothing after this number, yet.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn has_nothing_after(&self, after: u64, scope: Scope) -> Result<bool, StoreError> {
        Ok(self.0.store.events(after, scope).await?.events.is_empty())
    }

    /// Whether the host has said its last.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.followers().closed
    }

    /// Hands events on until [`Self::close`]; then what is left, and every stream ends.
    pub async fn run(self) {
        let mut notice = self.0.store.event_notice();
        loop {
            let closing = tokio::select! {
                biased;
                () = self.0.closing.cancelled() => true,
                // The store outlives the hub.
                _ = notice.changed() => false,
                () = tokio::time::sleep(POLL) => false,
            };
            if let Err(error) = self.tell_new().await {
                tracing::error!("events could not be read: {error}");
                tokio::time::sleep(POLL).await;
            }
            if closing {
                return self.end_all();
            }
        }
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
        loop {
            let (told, is_idle) = {
                let followers = self.followers();
                (followers.told, followers.by_scope.is_empty())
            };
            if is_idle {
                let newest = self.0.store.newest_event().await?;
                let mut followers = self.followers();
                // Whoever has come meanwhile has seen no more than this, or is told in the next turn.
                if followers.by_scope.is_empty() {
                    followers.told = followers.told.max(newest);
                    return Ok(());
                }
                continue;
            }
            let page = self.0.store.events(told, Scope::All).await?;
            for events in page.events.chunks(AT_ONCE) {
                self.tell(events);
                tokio::task::yield_now().await;
            }
            self.followers().told = page.seen;
            if !page.more {
                return Ok(());
            }
        }
    }

    fn tell(&self, events: &[KeptEvent]) {
        let mut followers = self.followers();
        let mut sent = 0;
        for kept in events {
            let event = Event::new(kept.clone());
            followers.told = kept.seq;
            let kept = &event.kept;
            let groups = kept.group.iter().map(|group| Scope::Group(Arc::clone(group)));
            let scopes = [Scope::Task(kept.task.clone()), Scope::Route(Arc::clone(&kept.route)), Scope::All];
            for scope in scopes.into_iter().chain(groups) {
                let Some(of_scope) = followers.by_scope.get_mut(&scope) else { continue };
                of_scope.retain(|_, follower| {
                    let taken = follower.take(&event);
                    sent += u64::from(taken == Taken::Yes);
                    if taken == Taken::TooSlow {
                        self.0.metrics.cut.inc();
                    }
                    taken != Taken::TooSlow
                });
                if of_scope.is_empty() {
                    followers.by_scope.remove(&scope);
                }
            }
        }
        self.0.metrics.sent.inc_by(sent);
    }

    /// A place for somebody who has had everything up to `after`.
    fn join(&self, scope: &Scope, principal: Option<&Principal>, after: u64) -> Joined {
        let mut followers = self.followers();
        if followers.closed {
            return Joined::Closed;
        }
        if followers.told > after {
            return Joined::Behind;
        }
        followers.last_key += 1;
        let key = followers.last_key;
        let (principal, of_many) = (principal.cloned(), !matches!(scope, Scope::Task(_)));
        let follower = Arc::new(Follower { principal, of_many, after, queue: Queue::default() });
        followers.by_scope.entry(scope.clone()).or_default().insert(key, Arc::clone(&follower));
        let _counted = Counted::in_gauge(&self.0.metrics.streams);
        Joined::Seat(Box::new(Seat { hub: self.clone(), scope: scope.clone(), key, follower, _counted }))
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
