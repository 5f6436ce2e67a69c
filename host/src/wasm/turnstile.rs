//! Owns who may be on a core: as many guests as there are cores are polled at once, and accounts take turns by weight.
//! Must not know what a guest does, nor how it is interrupted. Start-time fair queueing: `docs/adr/0018-tenants.md`.

use crate::tenant::Account;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

/// Virtual time of one nanosecond of CPU time at weight 1.
const SCALE: u128 = 1 << 20;
/// How far an account with guests that compute may fall behind: with fewer of them than its share has cores, it would
/// save up otherwise.
const MOST_BEHIND: u128 = 100_000_000 * SCALE;
/// Accounts that may be known before those that use nothing are forgotten.
const FLOWS: usize = 64;

/// Virtual time: what an account has used, divided by its weight.
type Virtual = u128;
/// An account, by its address: its flow keeps it alive.
type Key = usize;

/// A place in the queue. It must be taken up ([`Turnstile::ask`]) or given up ([`Turnstile::leave`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket(u64);

/// The turns of all guests of one engine.
pub struct Turnstile {
    cores: usize,
    line: Mutex<Line>,
    /// Guests that are on a core right now.
    running: AtomicUsize,
    /// There is more than one account: somebody may have to be interrupted for another.
    several: AtomicBool,
    /// Interrupts all guests that are on a core.
    nudge: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct Line {
    /// The account of each guest that is on a core.
    running: Vec<Key>,
    free: usize,
    /// Guests that were woken to take a turn and have not come yet, each with its account. A turn is not bound to
    /// one of them: who is further behind and comes first takes it.
    called: Vec<(Key, Ticket)>,
    flows: HashMap<Key, Flow>,
    /// The flows in which somebody waits who was not called, without those that pause, by virtual time.
    next: BTreeSet<(Virtual, Key)>,
    /// The flows whose account has used up its CPU time.
    paused: Vec<Key>,
    /// The present: the virtual time of whoever came on last.
    now: Virtual,
    tickets: u64,
    most_flows: usize,
}

/// One account's guests.
struct Flow {
    account: Arc<Account>,
    time: Virtual,
    running: usize,
    /// In the order of their tickets.
    waiting: VecDeque<Waiting>,
    /// The virtual time under which it stands in `next`.
    listed: Option<Virtual>,
    pauses: bool,
}

struct Waiting {
    ticket: Ticket,
    waker: Waker,
    called: bool,
}

impl Flow {
    fn is_idle(&self) -> bool {
        self.running == 0 && self.waiting.is_empty()
    }

    fn place(&self, ticket: Ticket) -> Option<usize> {
        self.waiting.binary_search_by_key(&ticket.0, |waiting| waiting.ticket.0).ok()
    }
}

fn key(account: &Arc<Account>) -> Key {
    Arc::as_ptr(account) as Key
}

impl Turnstile {
    /// For so many cores; `nudge` interrupts all guests that are on one.
    pub fn new(cores: usize, nudge: impl Fn() + Send + Sync + 'static) -> Self {
        let line = Mutex::new(Line { free: cores, most_flows: FLOWS, ..Line::default() });
        Self { cores, line, running: AtomicUsize::new(0), several: AtomicBool::new(false), nudge: Box::new(nudge) }
    }

    /// Whether a core has no guest.
    pub fn has_free_core(&self) -> bool {
        self.running.load(Ordering::Relaxed) < self.cores
    }

    /// Whether a guest of this account may be polled now. If so its turn must be given back ([`Self::give_back`]);
    /// if not, it has a place in the queue, and the waker is woken when its turn may have come.
    pub fn ask(&self, account: &Arc<Account>, ticket: &mut Option<Ticket>, waker: &Waker) -> bool {
        let mut line = self.line();
        let key = key(account);
        line.enter(key, account);
        let several = line.flows.len() > 1;
        if several != self.several.load(Ordering::Relaxed) {
            self.several.store(several, Ordering::Relaxed);
        }
        let called = ticket.is_some_and(|ticket| line.uncall(key, ticket));
        if line.admits(key, *ticket, called) {
            if let Some(ticket) = ticket.take() {
                line.remove(key, ticket);
            }
            line.take(key);
            drop(line);
            self.running.fetch_add(1, Ordering::Relaxed);
            return true;
        }
        line.enqueue(key, ticket, waker);
        let nudges = line.deserves_nudge(key, account);
        let woken = line.call();
        drop(line);
        self.wake(woken, nudges);
        false
    }

    /// The turn is over, and took so much CPU time. A guest that was interrupted goes `again` to the end of its account's
    /// queue, and must ask soon: it is on the runtime's own list, behind whatever else is ready.
    pub fn give_back(&self, account: &Arc<Account>, used: Duration, again: Option<(&mut Option<Ticket>, &Waker)>) {
        self.running.fetch_sub(1, Ordering::Relaxed);
        let mut line = self.line();
        let key = key(account);
        line.finish(key, used);
        let woken = match again {
            Some((ticket, waker)) => {
                line.enqueue(key, ticket, waker);
                Vec::new()
            }
            None => line.call(),
        };
        drop(line);
        self.wake(woken, false);
    }

    /// Gives up a place: its guest is gone.
    pub fn leave(&self, account: &Arc<Account>, ticket: Ticket) {
        let mut line = self.line();
        line.uncall(key(account), ticket);
        line.remove(key(account), ticket);
        let woken = line.call();
        drop(line);
        self.wake(woken, false);
    }

    /// A guest of this account can go on, and will ask when a thread gets to it. With all of them busy for accounts that
    /// are not behind this one, that is at once.
    pub fn arrive(&self, account: &Arc<Account>) {
        if self.several.load(Ordering::Relaxed) {
            let nudges = self.line().deserves_nudge(key(account), account);
            self.wake(Vec::new(), nudges);
        }
    }

    /// Looks whether those that pause may go on. To be called every few milliseconds.
    pub fn tick(&self) {
        let mut line = self.line();
        if line.paused.is_empty() {
            return;
        }
        line.resume();
        let woken = line.call();
        drop(line);
        self.wake(woken, false);
    }

    fn wake(&self, woken: Vec<Waker>, nudges: bool) {
        woken.into_iter().for_each(Waker::wake);
        if nudges {
            (self.nudge)();
        }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// Who comes back from idleness starts at the present: nobody saves up.
    fn enter(&mut self, key: Key, account: &Arc<Account>) {
        if let Some(flow) = self.flows.get_mut(&key) {
            let earliest = if flow.is_idle() { self.now } else { self.now.saturating_sub(MOST_BEHIND) };
            if flow.time < earliest {
                flow.time = earliest;
                self.relist(key);
            }
            return;
        }
        if self.flows.len() >= self.most_flows {
            let soon = self.now + MOST_BEHIND;
            // Who has used much more than its share is remembered until the others have caught up.
            self.flows.retain(|_, flow| !flow.is_idle() || flow.pauses || flow.time > soon);
            self.most_flows = FLOWS.max(2 * self.flows.len());
        }
        let flow = Flow {
            account: Arc::clone(account),
            time: self.now,
            running: 0,
            waiting: VecDeque::new(),
            listed: None,
            pauses: false,
        };
        self.flows.insert(key, flow);
    }

    /// Whether a guest may come on: one that was called before others of its account; any other one unless somebody of
    /// another account is further behind.
    fn admits(&mut self, key: Key, ticket: Option<Ticket>, called: bool) -> bool {
        if self.free == 0 || self.pauses(key) {
            return false;
        }
        let Some(flow) = self.flows.get(&key) else { return false };
        if called {
            return true;
        }
        // One that waits already is not before those of its account that have waited longer.
        let waited_longer =
            |ticket| flow.waiting.iter().find(|waiting| !waiting.called).map(|first| first.ticket) != Some(ticket);
        if ticket.is_some_and(waited_longer) {
            return false;
        }
        let time = flow.time;
        if self.next.first().is_some_and(|(first, other)| *other != key && *first < time) {
            return false;
        }
        let ahead =
            |(other, _): &(Key, Ticket)| *other != key && self.flows.get(other).is_some_and(|flow| flow.time >= time);
        self.free > self.called.len() || self.called.iter().any(ahead)
    }

    /// Whether the account has used up its CPU time; if so, the flow is not called until it may go on.
    fn pauses(&mut self, key: Key) -> bool {
        let Some(flow) = self.flows.get_mut(&key) else { return false };
        if !flow.pauses && flow.account.pause().is_some() {
            flow.pauses = true;
            self.paused.push(key);
            self.relist(key);
            return true;
        }
        flow.pauses
    }

    fn resume(&mut self) {
        let paused = std::mem::take(&mut self.paused);
        for key in paused {
            let Some(flow) = self.flows.get_mut(&key) else { continue };
            flow.pauses = flow.account.pause().is_some();
            if flow.pauses {
                self.paused.push(key);
                continue;
            }
            flow.time = flow.time.max(self.now);
            self.relist(key);
        }
    }

    fn take(&mut self, key: Key) {
        let Some(flow) = self.flows.get_mut(&key) else { return };
        flow.running += 1;
        self.now = self.now.max(flow.time);
        self.free = self.free.saturating_sub(1);
        self.running.push(key);
    }

    fn finish(&mut self, key: Key, used: Duration) {
        self.free += 1;
        if let Some(at) = self.running.iter().position(|running| *running == key) {
            self.running.swap_remove(at);
        }
        let Some(flow) = self.flows.get_mut(&key) else { return };
        flow.running = flow.running.saturating_sub(1);
        flow.time += used.as_nanos() * SCALE / u128::from(flow.account.weight());
        self.relist(key);
    }

    fn enqueue(&mut self, key: Key, ticket: &mut Option<Ticket>, waker: &Waker) {
        let Some(flow) = self.flows.get_mut(&key) else { return };
        match ticket.and_then(|ticket| flow.place(ticket)).and_then(|at| flow.waiting.get_mut(at)) {
            Some(waiting) => waiting.waker.clone_from(waker),
            None => {
                self.tickets += 1;
                let new = Ticket(self.tickets);
                flow.waiting.push_back(Waiting { ticket: new, waker: waker.clone(), called: false });
                *ticket = Some(new);
            }
        }
        self.relist(key);
    }

    fn remove(&mut self, key: Key, ticket: Ticket) {
        let Some(flow) = self.flows.get_mut(&key) else { return };
        if let Some(at) = flow.place(ticket) {
            flow.waiting.remove(at);
        }
        self.relist(key);
    }

    /// The guest has come, or is gone: whether it was called.
    fn uncall(&mut self, key: Key, ticket: Ticket) -> bool {
        let Some(at) = self.called.iter().position(|called| *called == (key, ticket)) else { return false };
        self.called.swap_remove(at);
        let flow = self.flows.get_mut(&key);
        if let Some(waiting) = flow.and_then(|flow| flow.place(ticket).and_then(|at| flow.waiting.get_mut(at))) {
            waiting.called = false;
        }
        self.relist(key);
        true
    }

    /// Calls the next ones until there is one for each free turn.
    fn call(&mut self) -> Vec<Waker> {
        let mut woken = Vec::new();
        while self.called.len() < self.free
            && let Some((_, key)) = self.next.first().copied()
        {
            if self.pauses(key) {
                continue;
            }
            let flow = self.flows.get_mut(&key);
            if let Some(waiting) = flow.and_then(|flow| flow.waiting.iter_mut().find(|waiting| !waiting.called)) {
                waiting.called = true;
                woken.push(waiting.waker.clone());
                self.called.push((key, waiting.ticket));
            }
            self.relist(key);
        }
        woken
    }

    /// Brings a flow's place among the next up to date.
    fn relist(&mut self, key: Key) {
        let Some(flow) = self.flows.get_mut(&key) else { return };
        let waits = !flow.pauses && flow.waiting.iter().any(|waiting| !waiting.called);
        let place = waits.then_some(flow.time);
        if place != flow.listed {
            flow.listed.inspect(|before| _ = self.next.remove(&(*before, key)));
            flow.listed = place;
            place.inspect(|place| _ = self.next.insert((*place, key)));
        }
    }

    /// Whether every core is busy, one at least for another account that is not behind this one.
    fn deserves_nudge(&self, key: Key, account: &Account) -> bool {
        if self.free > 0 {
            return false;
        }
        let time = |flow: &Flow| if flow.is_idle() { flow.time.max(self.now) } else { flow.time };
        let own = self.flows.get(&key).map_or(self.now, time);
        let not_behind = |other: &Key| *other != key && self.flows.get(other).is_some_and(|flow| flow.time >= own);
        self.running.iter().any(not_behind) && account.pause().is_none()
    }
}

#[cfg(test)]
#[path = "turnstile_tests.rs"]
mod tests;
