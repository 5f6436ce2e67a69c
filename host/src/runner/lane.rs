//! Owns the slots and the queue of each route: who runs now, who is next, who is refused.
//! Must not know what a task is.

use super::forward::RouteRoom;
use crate::metrics::{Metrics, RouteMetrics};
use crate::route::PoolSize;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::oneshot;

/// The lanes of all routes, by name. A lane outlives a reload of its route.
pub struct Lanes {
    lanes: Mutex<HashMap<Arc<str>, Arc<Lane>>>,
    metrics: Arc<Metrics>,
}

impl Lanes {
    /// None yet; each one is measured.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { lanes: Mutex::default(), metrics }
    }

    /// The lane of a route, with the pool that the route has now.
    pub fn of(&self, route: &Arc<str>, pool: PoolSize) -> Arc<Lane> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Lane::new(pool, self.metrics.route(route)));
        let lane = Arc::clone(lanes.entry(Arc::clone(route)).or_insert_with(new));
        drop(lanes);
        lane.resize(pool);
        lane
    }

    /// Drops the lane of a route that is gone, and what was measured of it.
    pub fn forget(&self, route: &str) {
        let gone = self.lanes.lock().unwrap_or_else(PoisonError::into_inner).remove(route);
        if let Some(lane) = gone {
            lane.hold(false);
            self.metrics.forget_route(route);
        }
    }
}

/// One route's slots (`pool.max`) and queue (`pool.queue`). First come, first served.
pub struct Lane {
    places: Mutex<Places>,
    /// What is measured of the route.
    pub metrics: RouteMetrics,
    /// What its tasks may forward to the host's own log.
    forwarded: Arc<RouteRoom>,
}

struct Places {
    pool: PoolSize,
    /// Tasks let in: running, waiting, or between two attempts.
    admitted: u64,
    /// Numbers of the slots in use.
    used: BTreeSet<u32>,
    waiting: BTreeMap<u64, oneshot::Sender<Slot>>,
    next: u64,
    /// Whether nobody gets a slot now.
    is_held: bool,
}

/// A task's right to be in the lane, until dropped.
pub struct Admission(Arc<Lane>);

/// A place in the queue; resolves to a slot. Dropping it leaves the queue.
pub struct Waiter {
    lane: Arc<Lane>,
    number: u64,
    slot: oneshot::Receiver<Slot>,
}

/// A slot, free again when dropped.
pub struct Slot {
    lane: Arc<Lane>,
    /// Its number, from 0 to `pool.max` - 1.
    pub number: u32,
}

impl Lane {
    fn new(pool: PoolSize, metrics: RouteMetrics) -> Self {
        metrics.slots_max.set(pool.max.into());
        let places =
            Places { pool, admitted: 0, used: BTreeSet::new(), waiting: BTreeMap::new(), next: 0, is_held: false };
        Self { places: Mutex::new(places), metrics, forwarded: Arc::default() }
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn resize(self: &Arc<Self>, pool: PoolSize) {
        let mut places = self.places();
        if places.pool != pool {
            places.pool = pool;
            self.metrics.slots_max.set(pool.max.into());
            drop(places);
            self.hand_out();
        }
    }

    /// From now on nobody gets a slot, or (`false`) everybody does again.
    pub fn hold(self: &Arc<Self>, is_held: bool) {
        self.places().is_held = is_held;
        self.hand_out();
    }

    /// Lets a task in; `None` when slots and queue are full.
    pub fn admit(self: &Arc<Self>) -> Option<Admission> {
        let mut places = self.places();
        let room = u64::from(places.pool.max) + u64::from(places.pool.queue);
        let has_room = places.admitted < room;
        places.admitted += u64::from(has_room);
        has_room.then(|| Admission(Arc::clone(self)))
    }

    /// Lets a task in that was let in before, by a process that is gone.
    pub fn admit_again(self: &Arc<Self>) -> Admission {
        self.places().admitted += 1;
        Admission(Arc::clone(self))
    }

    /// Gives free slots to those who wait, in order.
    fn hand_out(self: &Arc<Self>) {
        loop {
            let mut places = self.places();
            if places.is_held || places.waiting.is_empty() || places.used.len() >= places.pool.max as usize {
                return;
            }
            let Some(number) = (0..places.pool.max).find(|number| !places.used.contains(number)) else { return };
            let Some((_, next)) = places.waiting.pop_first() else { return };
            places.used.insert(number);
            // Sent after the lock is released: a slot that nobody takes is dropped, and locks again.
            drop(places);
            self.metrics.slots_used.inc();
            drop(next.send(Slot { lane: Arc::clone(self), number }));
        }
    }
}

impl Admission {
    /// What is measured of the route.
    pub fn metrics(&self) -> &RouteMetrics {
        &self.0.metrics
    }

    /// What tasks of the route may forward to the host's own log.
    pub fn forwarded(&self) -> Arc<RouteRoom> {
        Arc::clone(&self.0.forwarded)
    }

    /// Queues up for a slot, now.
    pub fn enqueue(&self) -> Waiter {
        let (sender, slot) = oneshot::channel();
        let mut places = self.0.places();
        let number = places.next;
        places.next += 1;
        places.waiting.insert(number, sender);
        drop(places);
        self.0.hand_out();
        Waiter { lane: Arc::clone(&self.0), number, slot }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut places = self.0.places();
        places.admitted = places.admitted.saturating_sub(1);
    }
}

impl Future for Waiter {
    type Output = Slot;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Slot> {
        match Pin::new(&mut self.slot).poll(context) {
            Poll::Ready(Ok(slot)) => Poll::Ready(slot),
            // The lane keeps the sender until it sends, so this is only "not yet".
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.lane.places().waiting.remove(&self.number);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.lane.places().used.remove(&self.number);
        self.lane.metrics.slots_used.dec();
        self.lane.hand_out();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn lane(max: u32, queue: u32) -> Arc<Lane> {
        Lanes::new(Arc::default()).of(&"r".into(), PoolSize { min: 0, max, queue })
    }

    fn ready(waiter: &mut Waiter) -> Option<Slot> {
        waiter.now_or_never()
    }

    #[test]
    fn slots_then_queue_then_refusal() {
        let lane = lane(1, 1);
        let (first, second) = (lane.admit().expect("slot"), lane.admit().expect("queue"));
        assert!(lane.admit().is_none());
        drop(first);
        assert!(lane.admit().is_some());
        drop(second);
    }

    #[test]
    fn first_come_first_served_and_who_leaves_is_skipped() {
        let lane = lane(1, 10);
        let admissions: Vec<_> = (0..4).filter_map(|_| lane.admit()).collect();
        let mut waiters: Vec<_> = admissions.iter().map(Admission::enqueue).collect();
        let slot = ready(&mut waiters[0]).expect("free");
        assert!(waiters[1..].iter_mut().all(|waiter| ready(waiter).is_none()));
        drop(waiters.remove(1));
        drop(slot);
        assert!(ready(&mut waiters[2]).is_none(), "the last one waits");
        assert_eq!(ready(&mut waiters[1]).map(|slot| slot.number), Some(0));
        assert!(ready(&mut waiters[2]).is_some());
    }

    #[test]
    fn a_slot_sent_to_somebody_who_left_is_not_lost() {
        let lane = lane(1, 10);
        let (a, b) = (lane.admit().expect("in"), lane.admit().expect("in"));
        let (first, mut second) = (a.enqueue(), b.enqueue());
        drop(first);
        assert!(ready(&mut second).is_some());
    }

    #[test]
    fn more_slots_are_handed_out_after_a_reload() {
        let lanes = Lanes::new(Arc::default());
        let lane = lanes.of(&"r".into(), PoolSize { min: 0, max: 1, queue: 9 });
        let admission = lane.admit().expect("in");
        let (mut first, mut second) = (admission.enqueue(), admission.enqueue());
        let held = ready(&mut first);
        assert!(held.is_some() && ready(&mut second).is_none());
        lanes.of(&"r".into(), PoolSize { min: 0, max: 2, queue: 9 });
        assert_eq!(ready(&mut second).map(|slot| slot.number), Some(1));
    }
}
