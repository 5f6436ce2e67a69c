//! Owns the host's slots and whose turn it is: start-time fair queueing between tenants (Goyal, Vin and Cheng 1996), within
//! their quotas, and round robin between the routes of one. Must not know what a task is. The design: `docs/adr/0018-tenants.md`.

use super::lane::{Lane, Slot};
use crate::route::PoolSize;
use crate::tenant::Account;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

/// The most KiB of request bodies that tasks which have not ended keep in memory, over all routes.
pub const BODIES_KIB: u64 = 256 << 10;

/// Why a task is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// Slots and queue of its route are full.
    Lane,
    /// Its tenant has as many tasks as it may.
    Tenant {
        /// Its quota's `running`.
        running: u32,
        /// Its quota's `waiting`.
        waiting: u32,
    },
    /// The bodies of open tasks take as much room as they may.
    Bodies,
}

/// What a tenant, or the host itself, uses now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Use {
    /// Tasks that hold a slot.
    pub running: u32,
    /// Tasks that were let in and hold none.
    pub waiting: u64,
    /// Bytes of linear memory that those with a slot are allowed.
    pub memory: u64,
}

/// Numbers of lanes and flows. They are never given twice.
type LaneId = u64;
type FlowId = usize;

/// Everything that waits for a slot.
pub struct Floor {
    state: Mutex<State>,
    /// Somebody pauses until a moment that was not known.
    paused: Notify,
}

#[derive(Default)]
struct State {
    /// Slots that there are, and those in use.
    slots: u32,
    used: u32,
    bodies_kib: u64,
    /// The start tag of what was started last.
    now: u64,
    lanes: HashMap<LaneId, Places>,
    next_lane: LaneId,
    flows: Vec<Flow>,
    by_name: HashMap<Option<Arc<str>>, FlowId>,
    /// Flows that have somebody to start, by virtual time.
    line: BTreeSet<(u64, FlowId)>,
    /// Flows that pause until their CPU budget is back.
    pauses: BTreeMap<FlowId, Instant>,
}

/// The tasks of one account.
struct Flow {
    account: Arc<Account>,
    /// Nanoseconds of slot time by weight.
    virtual_time: u64,
    /// How long its slots are held, on average.
    expected: Duration,
    admitted: u64,
    running: u32,
    memory: u64,
    bodies_kib: u64,
    /// Lanes that may have somebody to start.
    lanes: VecDeque<LaneId>,
}

/// One lane's slots and queue.
struct Places {
    flow: FlowId,
    pool: PoolSize,
    memory: u64,
    /// Tasks let in: running, waiting, or between two attempts; and the KiB of their bodies.
    admitted: u64,
    bodies_kib: u64,
    /// Numbers of the slots in use.
    used: BTreeSet<u32>,
    waiting: BTreeMap<u64, (Arc<Lane>, oneshot::Sender<Slot>)>,
    next: u64,
    /// Whether nobody gets a slot now.
    is_held: bool,
    /// Whether its flow has it among those that may have somebody to start.
    is_listed: bool,
}

/// What a slot holds of the floor.
pub struct Grant {
    /// The slot's number, from 0 to `pool.max` - 1.
    pub number: u32,
    flow: FlowId,
    memory: u64,
    since: Instant,
    /// By how much it has advanced its flow's virtual time.
    charged: u64,
}

/// What an admission holds of the floor.
pub struct Admitted {
    kib: u64,
}

impl Places {
    fn can_start(&self) -> bool {
        !self.is_held && !self.waiting.is_empty() && self.used.len() < self.pool.max as usize
    }
}

impl Floor {
    /// A floor with so many slots.
    pub fn new(slots: u32) -> Self {
        Self { state: Mutex::new(State { slots, ..State::default() }), paused: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new lane.
    pub fn add(&self, account: &Arc<Account>, pool: PoolSize, memory: u64) -> LaneId {
        let mut state = self.state();
        let flow = state.flow(account);
        let id = state.next_lane;
        state.next_lane += 1;
        let places = Places {
            flow,
            pool,
            memory,
            admitted: 0,
            bodies_kib: 0,
            used: BTreeSet::new(),
            waiting: BTreeMap::new(),
            next: 0,
            is_held: false,
            is_listed: false,
        };
        state.lanes.insert(id, places);
        id
    }

    /// The lane is gone, and nobody is in it.
    pub fn remove(&self, lane: LaneId) {
        self.state().lanes.remove(&lane);
    }

    /// From now on the lane is this account's, with this pool and memory; answers whether the pool is another one.
    pub fn change(&self, lane: LaneId, account: &Arc<Account>, pool: PoolSize, memory: u64) -> bool {
        let mut state = self.state();
        let flow = state.flow(account);
        let Some(places) = state.lanes.get_mut(&lane) else { return false };
        let is_other = places.pool != pool;
        if !is_other && (places.flow, places.memory) == (flow, memory) {
            return false;
        }
        (places.pool, places.memory) = (pool, memory);
        state.hand_over(lane, flow);
        state.list(lane);
        drop(state);
        self.hand_out();
        is_other
    }

    /// From now on nobody in the lane gets a slot, or (`false`) everybody does again.
    pub fn hold(&self, lane: LaneId, is_held: bool) {
        let mut state = self.state();
        if let Some(places) = state.lanes.get_mut(&lane) {
            places.is_held = is_held;
            state.list(lane);
        }
        drop(state);
        self.hand_out();
    }

    /// Lets a task in that keeps so many KiB in memory; one that was let in before, by a process that is gone, in any case.
    ///
    /// # Errors
    /// Where there is no room.
    pub fn admit(&self, lane: LaneId, kib: u64, again: bool) -> Result<Admitted, Full> {
        let mut state = self.state();
        let free = BODIES_KIB.saturating_sub(state.bodies_kib);
        let State { lanes, flows, .. } = &mut *state;
        let places = lanes.get_mut(&lane).ok_or(Full::Lane)?;
        let flow = flows.get_mut(places.flow).ok_or(Full::Lane)?;
        if !again {
            let quota = flow.account.quota();
            if places.admitted >= u64::from(places.pool.max) + u64::from(places.pool.queue) {
                return Err(Full::Lane);
            }
            if flow.admitted >= u64::from(quota.running) + u64::from(quota.waiting) {
                return Err(Full::Tenant { running: quota.running, waiting: quota.waiting });
            }
            // Choudhury and Hahne 1998: a tenant has at most as much as is free, so something is left for the next one.
            let of_tenant = if flow.account.name.is_some() { flow.bodies_kib } else { 0 };
            if of_tenant.saturating_add(kib) > free {
                return Err(Full::Bodies);
            }
        }
        (places.admitted, places.bodies_kib) = (places.admitted + 1, places.bodies_kib + kib);
        (flow.admitted, flow.bodies_kib) = (flow.admitted + 1, flow.bodies_kib + kib);
        flow.show();
        state.bodies_kib += kib;
        Ok(Admitted { kib })
    }

    /// The task is not in the lane any more.
    pub fn leave(&self, lane: LaneId, admitted: &Admitted) {
        let mut state = self.state();
        state.bodies_kib = state.bodies_kib.saturating_sub(admitted.kib);
        let State { lanes, flows, .. } = &mut *state;
        let Some(places) = lanes.get_mut(&lane) else { return };
        places.admitted = places.admitted.saturating_sub(1);
        places.bodies_kib = places.bodies_kib.saturating_sub(admitted.kib);
        if let Some(flow) = flows.get_mut(places.flow) {
            flow.admitted = flow.admitted.saturating_sub(1);
            flow.bodies_kib = flow.bodies_kib.saturating_sub(admitted.kib);
            flow.show();
        }
    }

    /// Queues somebody up, last in the lane; answers the number in the queue.
    pub fn enqueue(&self, lane: &Arc<Lane>, sender: oneshot::Sender<Slot>) -> u64 {
        let mut state = self.state();
        let Some(places) = state.lanes.get_mut(&lane.id) else { return 0 };
        let number = places.next;
        places.next += 1;
        places.waiting.insert(number, (Arc::clone(lane), sender));
        state.list(lane.id);
        drop(state);
        self.hand_out();
        number
    }

    /// Takes somebody out of the queue.
    pub fn dequeue(&self, lane: LaneId, number: u64) {
        // Dropped after the lock is released: it may be the lane's last user.
        let gone = self.state().lanes.get_mut(&lane).and_then(|places| places.waiting.remove(&number));
        drop(gone);
    }

    /// A slot is free again.
    pub fn free(&self, lane: LaneId, grant: &Grant) {
        let mut state = self.state();
        state.used = state.used.saturating_sub(1);
        let held = u64::try_from(grant.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        if let Some(flow) = state.flows.get_mut(grant.flow) {
            flow.running = flow.running.saturating_sub(1);
            flow.memory = flow.memory.saturating_sub(grant.memory);
            flow.expected = (flow.expected * 7 + Duration::from_nanos(held)) / 8;
            flow.show();
        }
        state.correct(grant, held);
        if let Some(places) = state.lanes.get_mut(&lane) {
            places.used.remove(&grant.number);
        }
        state.list(lane);
        state.relist(grant.flow);
        drop(state);
        self.hand_out();
    }

    /// Gives free slots to those whose turn it is.
    fn hand_out(&self) {
        loop {
            let next = self.state().next();
            match next {
                // Sent after the lock is released: a slot that nobody takes is dropped, and locks again.
                Next::Start(lane, sender, grant) => drop(sender.send(Slot::new(lane, grant))),
                Next::Nobody { paused } => {
                    if paused {
                        self.paused.notify_one();
                    }
                    return;
                }
            }
        }
    }

    /// Lets flows go on that have paused long enough, for ever.
    pub async fn pace(&self) {
        loop {
            let first = self.state().pauses.values().min().copied();
            tokio::select! {
                () = self.paused.notified() => {}
                () = async {
                    match first {
                        Some(first) => tokio::time::sleep_until(first).await,
                        None => std::future::pending().await,
                    }
                } => self.resume(Instant::now()),
            }
        }
    }

    fn resume(&self, now: Instant) {
        let mut state = self.state();
        let over: Vec<FlowId> =
            state.pauses.iter().filter(|(_, until)| **until <= now).map(|(flow, _)| *flow).collect();
        for flow in over {
            state.pauses.remove(&flow);
            state.relist(flow);
        }
        drop(state);
        self.hand_out();
    }

    /// Quotas or weights have changed.
    pub fn refresh(&self) {
        let mut state = self.state();
        state.pauses.clear();
        (0..state.flows.len()).for_each(|flow| state.relist(flow));
        drop(state);
        self.hand_out();
    }

    /// What a tenant uses now.
    pub fn used(&self, tenant: Option<&str>) -> Use {
        let state = self.state();
        let flow = state.flows.iter().find(|flow| flow.account.name.as_deref() == tenant);
        flow.map_or_else(Use::default, |flow| Use {
            running: flow.running,
            waiting: flow.admitted.saturating_sub(flow.running.into()),
            memory: flow.memory,
        })
    }
}

/// Whose turn it is.
enum Next {
    Start(Arc<Lane>, oneshot::Sender<Slot>, Grant),
    Nobody { paused: bool },
}

impl Flow {
    fn show(&self) {
        self.account.metrics.running.set(self.running.into());
        let waiting = self.admitted.saturating_sub(self.running.into());
        self.account.metrics.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }

    /// By how much so many nanoseconds of slot time advance its virtual time.
    fn cost(&self, nanos: u64) -> u64 {
        nanos / u64::from(self.account.weight())
    }
}

impl State {
    fn flow(&mut self, account: &Arc<Account>) -> FlowId {
        if let Some(known) = self.by_name.get(&account.name) {
            return *known;
        }
        let flow = Flow {
            account: Arc::clone(account),
            virtual_time: self.now,
            expected: Duration::from_millis(1),
            admitted: 0,
            running: 0,
            memory: 0,
            bodies_kib: 0,
            lanes: VecDeque::new(),
        };
        self.flows.push(flow);
        self.by_name.insert(account.name.clone(), self.flows.len() - 1);
        self.flows.len() - 1
    }

    /// The lane, with all who are in it, is another flow's from now on. Slots that are held stay the former one's.
    fn hand_over(&mut self, lane: LaneId, to: FlowId) {
        let Some(places) = self.lanes.get_mut(&lane) else { return };
        let from = std::mem::replace(&mut places.flow, to);
        if from == to {
            return;
        }
        places.is_listed = false;
        let (admitted, kib) = (places.admitted, places.bodies_kib);
        if let Some(flow) = self.flows.get_mut(from) {
            flow.lanes.retain(|listed| *listed != lane);
            flow.admitted = flow.admitted.saturating_sub(admitted);
            flow.bodies_kib = flow.bodies_kib.saturating_sub(kib);
            flow.show();
        }
        if let Some(flow) = self.flows.get_mut(to) {
            flow.admitted += admitted;
            flow.bodies_kib += kib;
            flow.show();
        }
    }

    /// Puts a lane that may have somebody to start among those of its flow.
    fn list(&mut self, lane: LaneId) {
        let Some(places) = self.lanes.get_mut(&lane) else { return };
        if !places.can_start() {
            return;
        }
        let flow = places.flow;
        if !std::mem::replace(&mut places.is_listed, true)
            && let Some(flow) = self.flows.get_mut(flow)
        {
            flow.lanes.push_back(lane);
        }
        self.relist(flow);
    }

    /// Puts a flow that has lanes in line. One that was away begins at the present: nobody saves up.
    fn relist(&mut self, id: FlowId) {
        let Some(flow) = self.flows.get_mut(id) else { return };
        if flow.lanes.is_empty() || self.pauses.contains_key(&id) || self.line.contains(&(flow.virtual_time, id)) {
            return;
        }
        flow.virtual_time = flow.virtual_time.max(self.now);
        self.line.insert((flow.virtual_time, id));
    }

    /// Charges what a slot really cost.
    fn correct(&mut self, grant: &Grant, held: u64) {
        let Some(flow) = self.flows.get_mut(grant.flow) else { return };
        let was_in_line = self.line.remove(&(flow.virtual_time, grant.flow));
        flow.virtual_time = flow.virtual_time.saturating_sub(grant.charged).saturating_add(flow.cost(held));
        if was_in_line {
            self.line.insert((flow.virtual_time, grant.flow));
        }
    }

    fn next(&mut self) -> Next {
        let mut paused = false;
        while self.used < self.slots {
            let Some((tag, id)) = self.line.pop_first() else { break };
            let Some(flow) = self.flows.get_mut(id) else { continue };
            let Some(lane) = startable(flow, id, &mut self.lanes) else { continue };
            let Some(places) = self.lanes.get_mut(&lane) else { continue };
            let quota = flow.account.quota();
            let fits = flow.running == 0 || flow.memory.saturating_add(places.memory) <= quota.memory;
            if !fits || flow.running >= quota.running {
                // It comes back when one of its slots gets free.
                continue;
            }
            if let Some(pause) = flow.account.pause() {
                self.pauses.insert(id, Instant::now() + pause);
                paused = true;
                continue;
            }
            let free = (0..places.pool.max).find(|number| !places.used.contains(number));
            let Some(number) = free else { continue };
            let Some((_, (lane, sender))) = places.waiting.pop_first() else { continue };
            places.used.insert(number);
            flow.lanes.rotate_left(1);
            let charged = flow.cost(u64::try_from(flow.expected.as_nanos()).unwrap_or(u64::MAX));
            let grant = Grant { number, flow: id, memory: places.memory, since: Instant::now(), charged };
            (flow.running, flow.memory) = (flow.running + 1, flow.memory + places.memory);
            flow.show();
            self.used += 1;
            self.now = self.now.max(tag);
            flow.virtual_time = tag.saturating_add(charged);
            self.line.insert((flow.virtual_time, id));
            return Next::Start(lane, sender, grant);
        }
        Next::Nobody { paused }
    }
}

/// The flow's next lane that has somebody to start; those that have nobody leave its round.
fn startable(flow: &mut Flow, id: FlowId, lanes: &mut HashMap<LaneId, Places>) -> Option<LaneId> {
    while let Some(lane) = flow.lanes.front().copied() {
        match lanes.get_mut(&lane) {
            Some(places) if places.flow == id && places.can_start() => return Some(lane),
            Some(places) if places.flow == id => places.is_listed = false,
            _ => {}
        }
        flow.lanes.pop_front();
    }
    None
}
