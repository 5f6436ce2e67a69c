//! Owns the way of a route's tasks to its slots: let in, queued, given a slot, and out again.
//! Must not know what a task is, nor whose turn it is.

use super::floor::{Admitted, Floor, Full, Grant};
use super::forward::RouteRoom;
use crate::metrics::{Metrics, RouteMetrics};
use crate::route::Route;
use crate::tenant::{Account, Ledger};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::oneshot;

/// The lanes of all routes, by name. A lane outlives a reload of its route.
pub struct Lanes {
    lanes: Mutex<HashMap<Arc<str>, Arc<Lane>>>,
    pub floor: Arc<Floor>,
    ledger: Arc<Ledger>,
    metrics: Arc<Metrics>,
}

impl Lanes {
    /// None yet, on a host with so many slots; each one is measured.
    pub fn new(slots: u32, ledger: Arc<Ledger>, metrics: Arc<Metrics>) -> Self {
        Self { lanes: Mutex::default(), floor: Arc::new(Floor::new(slots)), ledger, metrics }
    }

    /// The lane of a route that is offered, or has tasks.
    pub fn find(&self, route: &str) -> Option<Arc<Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).get(route).map(Arc::clone)
    }

    /// The lane of a route, made if there is none, with the pool and the tenant that the route has now.
    pub fn of(&self, route: &Route) -> Arc<Lane> {
        let account = self.ledger.account(route.tenant.as_deref());
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = lanes.get(&route.name).map(Arc::clone) {
            drop(lanes);
            if lane.floor.change(lane.id, &account, route.pool, route.memory) {
                lane.metrics.slots_max.set(route.pool.max.into());
            }
            return lane;
        }
        let lane = Arc::new(self.new_lane(route, &account));
        lanes.insert(Arc::clone(&route.name), Arc::clone(&lane));
        lane
    }

    fn new_lane(&self, route: &Route, account: &Arc<Account>) -> Lane {
        let metrics = self.metrics.route(&route.name);
        metrics.slots_max.set(route.pool.max.into());
        let id = self.floor.add(account, route.pool, route.memory);
        Lane { id, floor: Arc::clone(&self.floor), metrics, forwarded: Arc::default() }
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
    pub(super) id: u64,
    floor: Arc<Floor>,
    /// What is measured of the route.
    pub metrics: RouteMetrics,
    /// What its tasks may forward to the host's own log.
    forwarded: Arc<RouteRoom>,
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.floor.remove(self.id);
    }
}

/// A task's right to be in the lane, until dropped.
pub struct Admission {
    lane: Arc<Lane>,
    admitted: Admitted,
}

/// A place in the queue; resolves to a slot. Dropping it leaves the queue.
pub struct Waiter {
    lane: Arc<Lane>,
    number: u64,
    slot: oneshot::Receiver<Slot>,
}

/// A slot, free again when dropped.
pub struct Slot {
    lane: Arc<Lane>,
    grant: Grant,
}

impl Lane {
    /// From now on nobody gets a slot, or (`false`) everybody does again.
    pub fn hold(&self, is_held: bool) {
        self.floor.hold(self.id, is_held);
    }

    /// Lets a task in that keeps so many KiB in memory.
    ///
    /// # Errors
    /// Where there is no room.
    pub fn admit(self: &Arc<Self>, kib: u64) -> Result<Admission, Full> {
        let admitted = self.floor.admit(self.id, kib, false)?;
        Ok(Admission { lane: Arc::clone(self), admitted })
    }

    /// Lets a task in that was let in before, by a process that is gone.
    pub fn admit_again(self: &Arc<Self>, kib: u64) -> Option<Admission> {
        let admitted = self.floor.admit(self.id, kib, true).ok()?;
        Some(Admission { lane: Arc::clone(self), admitted })
    }
}

impl Slot {
    pub(super) fn new(lane: Arc<Lane>, grant: Grant) -> Self {
        lane.metrics.slots_used.inc();
        Self { lane, grant }
    }

    /// Its number, from 0 to `pool.max` - 1.
    pub fn number(&self) -> u32 {
        self.grant.number
    }
}

impl Admission {
    /// What is measured of the route.
    pub fn metrics(&self) -> &RouteMetrics {
        &self.lane.metrics
    }

    /// What tasks of the route may forward to the host's own log.
    pub fn forwarded(&self) -> Arc<RouteRoom> {
        Arc::clone(&self.lane.forwarded)
    }

    /// Queues up for a slot, now.
    pub fn enqueue(&self) -> Waiter {
        let (sender, slot) = oneshot::channel();
        let number = self.lane.floor.enqueue(&self.lane, sender);
        Waiter { lane: Arc::clone(&self.lane), number, slot }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.lane.floor.leave(self.lane.id, &self.admitted);
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
        self.lane.floor.dequeue(self.lane.id, self.number);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.lane.metrics.slots_used.dec();
        self.lane.floor.free(self.lane.id, &self.grant);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::PoolSize;
    use crate::runner::tests::world::route;
    use futures_util::FutureExt;

    fn lanes() -> Lanes {
        Lanes::new(1000, Ledger::new(Arc::default()), Arc::default())
    }

    fn with_pool(max: u32, queue: u32) -> Route {
        Route { pool: PoolSize { min: 0, max, queue }, ..route() }
    }

    fn lane(max: u32, queue: u32) -> Arc<Lane> {
        lanes().of(&with_pool(max, queue))
    }

    fn ready(waiter: &mut Waiter) -> Option<Slot> {
        waiter.now_or_never()
    }

    #[test]
    fn slots_then_queue_then_refusal() {
        let lane = lane(1, 1);
        let (first, second) = (lane.admit(1).expect("slot"), lane.admit(1).expect("queue"));
        assert_eq!(lane.admit(1).err(), Some(Full::Lane));
        drop(first);
        assert!(lane.admit(1).is_ok());
        drop(second);
    }

    #[test]
    fn first_come_first_served_and_who_leaves_is_skipped() {
        let lane = lane(1, 10);
        let admissions: Vec<_> = (0..4).filter_map(|_| lane.admit(1).ok()).collect();
        let mut waiters: Vec<_> = admissions.iter().map(Admission::enqueue).collect();
        let slot = ready(&mut waiters[0]).expect("free");
        assert!(waiters[1..].iter_mut().all(|waiter| ready(waiter).is_none()));
        drop(waiters.remove(1));
        drop(slot);
        assert!(ready(&mut waiters[2]).is_none(), "the last one waits");
        assert_eq!(ready(&mut waiters[1]).map(|slot| slot.number()), Some(0));
        assert!(ready(&mut waiters[2]).is_some());
    }

    #[test]
    fn a_slot_sent_to_somebody_who_left_is_not_lost() {
        let lane = lane(1, 10);
        let (a, b) = (lane.admit(1).expect("in"), lane.admit(1).expect("in"));
        let (first, mut second) = (a.enqueue(), b.enqueue());
        drop(first);
        assert!(ready(&mut second).is_some());
    }

    #[test]
    fn more_slots_are_handed_out_after_a_reload() {
        let lanes = lanes();
        let lane = lanes.of(&with_pool(1, 9));
        let admission = lane.admit(1).expect("in");
        let (mut first, mut second) = (admission.enqueue(), admission.enqueue());
        let held = ready(&mut first);
        assert!(held.is_some() && ready(&mut second).is_none());
        lanes.of(&with_pool(2, 9));
        assert_eq!(ready(&mut second).map(|slot| slot.number()), Some(1));
    }
}
