//! Owns which of the due deliveries are in memory, and which of those is next: hosts take turns, and hosts that fail or
//! are not known yet leave room for those that answer. Must not know the store, clocks or HTTP.
//!
//! Whatever is pending, it holds a bounded number of hosts and of deliveries of each; the rest stays in the store and is
//! asked for when there is room.

use crate::clock::Timestamp;
use crate::store::outbox::Due;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// The most hosts with due deliveries.
const HOSTS: usize = 4096;
/// The most due deliveries of a host that wait here.
const PER_HOST: usize = 64;
/// With fewer than these a host is asked for more.
const LOW: usize = 16;
/// The most attempts that are under way.
const IN_FLIGHT: usize = 256;
/// The most of them to one host, by its class: one that is not known yet is tried first.
const IN_FLIGHT_PER_HOST: [usize; 3] = [4, 1, 2];
/// The most of them to hosts that have not answered yet, and to those that fail.
const IN_FLIGHT_UNPROVEN: usize = 128;
/// The most of them to hosts that fail.
const IN_FLIGHT_FAILING: usize = 64;
/// What hosts that answer leave to others that wait.
const LEFT: usize = 32;

/// What is known of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// It took the newest delivery.
    Proven = 0,
    /// Nothing.
    Unproven = 1,
    /// It failed, or lets us wait.
    Failing = 2,
}

const CLASSES: [Class; 3] = [Class::Proven, Class::Unproven, Class::Failing];

/// How many attempts to a host of this class may be under way.
fn most(class: Class) -> usize {
    IN_FLIGHT_PER_HOST.get(class as usize).copied().unwrap_or(1)
}

struct Host {
    queue: BTreeMap<(Timestamp, i64), Due>,
    in_flight: usize,
    class: Class,
    /// The store has due deliveries that are not here.
    more: bool,
    /// In which ring it stands; entries in others are left over.
    ringed: Option<Class>,
}

impl Host {
    fn may_go(&self) -> bool {
        !self.queue.is_empty() && self.in_flight < most(self.class)
    }

    fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.in_flight == 0 && !self.more
    }
}

/// The due deliveries that are in memory.
#[derive(Default)]
pub struct Window {
    hosts: HashMap<Arc<str>, Host>,
    /// Numbers of what waits here or is under way.
    held: HashSet<i64>,
    /// Hosts that may go, by class, in turn.
    rings: [VecDeque<Arc<str>>; 3],
    in_flight: [usize; 3],
    /// Hosts to ask the store about.
    low: HashSet<Arc<str>>,
    /// How often there was no room for a host.
    unlisted: u64,
}

impl Window {
    /// Takes a delivery that is due, if there is room; what there is no room for is asked for later.
    pub fn add(&mut self, due: Due) {
        if self.held.contains(&due.number) || !self.know(&due.host, due.made > due.begun) {
            return;
        }
        let Some(host) = self.hosts.get_mut(&due.host) else { return };
        if host.queue.len() >= PER_HOST {
            host.more = true;
            return;
        }
        let name = Arc::clone(&due.host);
        self.held.insert(due.number);
        host.queue.insert((due.at, due.number), due);
        self.ring(&name);
    }

    /// Makes a host known; `false`: there is no room.
    fn know(&mut self, name: &Arc<str>, has_failed: bool) -> bool {
        if self.hosts.contains_key(name) {
            return true;
        }
        if self.hosts.len() >= HOSTS && !self.make_room() {
            self.unlisted += 1;
            return false;
        }
        let class = if has_failed { Class::Failing } else { Class::Unproven };
        let host = Host { queue: BTreeMap::new(), in_flight: 0, class, more: false, ringed: None };
        self.hosts.insert(Arc::clone(name), host);
        true
    }

    /// Lets go of hosts that have nothing to do, or else of some that fail: the store has theirs.
    fn make_room(&mut self) -> bool {
        self.hosts.retain(|_, host| !host.is_idle());
        if self.hosts.len() < HOSTS {
            return true;
        }
        let failing = self.hosts.iter().filter(|(_, host)| host.class == Class::Failing && host.in_flight == 0);
        let names: Vec<Arc<str>> = failing.map(|(name, _)| Arc::clone(name)).take(HOSTS / 8).collect();
        for name in &names {
            let queue = self.hosts.remove(name).map(|host| host.queue).unwrap_or_default();
            for due in queue.values() {
                self.held.remove(&due.number);
            }
            self.low.remove(name);
            self.unlisted += 1;
        }
        !names.is_empty()
    }

    /// Puts a host into its ring if it may go, and among those to be asked about if it runs low.
    fn ring(&mut self, name: &Arc<str>) {
        let Some(host) = self.hosts.get_mut(name) else { return };
        if host.more && host.queue.len() < LOW {
            self.low.insert(Arc::clone(name));
        }
        if host.may_go() && host.ringed != Some(host.class) {
            host.ringed = Some(host.class);
            if let Some(ring) = self.rings.get_mut(host.class as usize) {
                ring.push_back(Arc::clone(name));
            }
        }
    }

    fn waits(&self, class: Class) -> bool {
        self.rings.get(class as usize).is_some_and(|ring| !ring.is_empty())
    }

    /// Whether there is a place for an attempt to a host of this class.
    fn has_place(&self, class: Class) -> bool {
        let [proven, unproven, failing] = self.in_flight;
        let others_wait = self.waits(Class::Unproven) || self.waits(Class::Failing);
        proven + unproven + failing < IN_FLIGHT
            && match class {
                Class::Proven => !others_wait || proven < IN_FLIGHT - LEFT,
                Class::Unproven => unproven + failing < IN_FLIGHT_UNPROVEN,
                Class::Failing => failing < IN_FLIGHT_FAILING && unproven + failing < IN_FLIGHT_UNPROVEN,
            }
    }

    /// Takes what is left over from the rings' beginnings, so that it does not seem to wait.
    fn trim(&mut self) {
        for (class, ring) in CLASSES.into_iter().zip(&mut self.rings) {
            while let Some(name) = ring.front()
                && self.hosts.get(name).is_none_or(|host| host.ringed != Some(class))
            {
                ring.pop_front();
            }
        }
    }

    /// The next attempt to make, and whether its host is known to answer. It is under way from now on.
    pub fn next(&mut self) -> Option<(Due, bool)> {
        self.trim();
        for class in CLASSES {
            while self.has_place(class) {
                let Some(name) = self.rings.get_mut(class as usize).and_then(VecDeque::pop_front) else { break };
                let Some(host) = self.hosts.get_mut(&name) else { continue };
                if host.ringed != Some(class) {
                    continue;
                }
                host.ringed = None;
                if !host.may_go() {
                    continue;
                }
                let Some((_, due)) = host.queue.pop_first() else { continue };
                host.in_flight += 1;
                self.count(class, 1);
                self.ring(&name);
                return Some((due, class == Class::Proven));
            }
        }
        None
    }

    fn count(&mut self, class: Class, change: isize) {
        if let Some(count) = self.in_flight.get_mut(class as usize) {
            *count = count.saturating_add_signed(change);
        }
    }

    /// Moves a host to another class.
    pub fn judge(&mut self, name: &Arc<str>, class: Class) {
        let Some(host) = self.hosts.get_mut(name) else { return };
        let (before, moved) = (host.class, isize::try_from(host.in_flight).unwrap_or(0));
        host.class = class;
        self.count(before, -moved);
        self.count(class, moved);
        self.ring(name);
    }

    /// An attempt is over. `again`: the delivery is due again already, and has to be asked for.
    pub fn over(&mut self, name: &Arc<str>, number: i64, again: bool) {
        self.held.remove(&number);
        let Some(host) = self.hosts.get_mut(name) else { return };
        let class = host.class;
        host.in_flight = host.in_flight.saturating_sub(1);
        host.more |= again;
        self.count(class, -1);
        self.ring(name);
    }

    /// The hosts that the store has more of, each with how many deliveries to ask for.
    pub fn low(&self) -> Vec<(Arc<str>, usize)> {
        let wanted = |name: &Arc<str>| {
            // Those that are here come first in the store, too.
            let here = self.hosts.get(name).map_or(0, |host| host.queue.len() + host.in_flight);
            (Arc::clone(name), PER_HOST + here)
        };
        self.low.iter().map(wanted).collect()
    }

    /// What the store has of a host; `all`: there is nothing beyond.
    pub fn refill(&mut self, name: &Arc<str>, found: Vec<Due>, all: bool) {
        self.low.remove(name);
        if let Some(host) = self.hosts.get_mut(name) {
            host.more = !all;
        }
        found.into_iter().for_each(|due| self.add(due));
        self.ring(name);
    }

    /// A host of which the store may have something.
    pub fn ask_about(&mut self, name: &Arc<str>) {
        if self.know(name, false)
            && let Some(host) = self.hosts.get_mut(name)
        {
            host.more = true;
            self.ring(name);
        }
    }

    /// How often there was no room for a host so far.
    pub fn unlisted(&self) -> u64 {
        self.unlisted
    }

    /// Whether there is room for many hosts.
    pub fn has_room(&self) -> bool {
        self.hosts.values().filter(|host| !host.is_idle()).count() < HOSTS / 4 * 3
    }

    #[cfg(test)]
    fn size(&self) -> (usize, usize) {
        (self.hosts.len(), self.held.len())
    }
}

#[cfg(test)]
mod tests;
