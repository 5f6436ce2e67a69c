//! Owns how many instances are kept ready: by the host together, and by each tenant no more than its quota of tasks and memory.
//! Must not know what they are instances of.

use crate::tenant::Account;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The places for ready instances.
pub struct Kept {
    most: u32,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    all: u32,
    /// Tenants that hold some.
    tenants: HashMap<Arc<str>, Share>,
}

#[derive(Default, Clone, Copy)]
struct Share {
    instances: u32,
    /// Bytes.
    memory: u64,
}

impl Share {
    fn is_within(self, account: &Account) -> bool {
        let quota = account.quota();
        self.instances <= quota.running && self.memory <= quota.memory
    }

    fn and(self, memory: u64) -> Self {
        Self { instances: self.instances + 1, memory: self.memory.saturating_add(memory) }
    }
}

impl Kept {
    /// So many places.
    pub fn new(most: u32) -> Arc<Self> {
        Arc::new(Self { most, held: Mutex::default() })
    }

    /// A place for an instance that may have so many bytes of memory; `None`: there is none for this account now.
    pub fn place(self: &Arc<Self>, account: &Account, memory: u64) -> Option<Place> {
        let mut held = self.held();
        if held.all >= self.most {
            return None;
        }
        if let Some(tenant) = &account.name {
            let share = held.tenants.get(tenant).copied().unwrap_or_default().and(memory);
            if !share.is_within(account) {
                return None;
            }
            held.tenants.insert(Arc::clone(tenant), share);
        }
        held.all += 1;
        Some(Place { kept: Arc::clone(self), tenant: account.name.clone(), memory })
    }

    /// Whether an account holds more than its quota is now.
    pub fn is_over(&self, account: &Account) -> bool {
        let Some(tenant) = &account.name else { return false };
        self.held().tenants.get(tenant).is_some_and(|share| !share.is_within(account))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One place, free again when dropped.
pub struct Place {
    kept: Arc<Kept>,
    tenant: Option<Arc<str>>,
    memory: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.kept.held();
        held.all = held.all.saturating_sub(1);
        let Some(tenant) = &self.tenant else { return };
        if let Some(share) = held.tenants.get_mut(tenant) {
            share.instances = share.instances.saturating_sub(1);
            share.memory = share.memory.saturating_sub(self.memory);
            if share.instances == 0 {
                held.tenants.remove(tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenant::{Ledger, Quota, Tenant};

    fn acme(running: u32, memory: u64) -> Arc<Tenant> {
        Arc::new(Tenant {
            name: "acme".into(),
            prefix: "/acme".into(),
            members: Default::default(),
            admins: Default::default(),
            viewers: Default::default(),
            weight: 1,
            quota: Quota { running, memory, ..Quota::default() },
        })
    }

    #[test]
    fn a_tenant_keeps_no_more_than_it_may_run() {
        let ledger = Ledger::new(Arc::default());
        ledger.apply(&[acme(2, 100)]);
        let (acme, own, kept) = (ledger.account(Some("acme")), ledger.account(None), Kept::new(4));
        let first = kept.place(&acme, 60).expect("room");
        assert!(kept.place(&acme, 60).is_none(), "memory");
        let second = kept.place(&acme, 40).expect("room");
        assert!(kept.place(&acme, 0).is_none(), "instances");
        let hosts: Vec<_> = (0..2).map(|_| kept.place(&own, 1 << 40).expect("the host itself has no quota")).collect();
        assert!(kept.place(&own, 1).is_none(), "of all together there are four");
        drop((second, hosts));
        assert!(kept.place(&acme, 40).is_some());
        drop(first);
        assert!(kept.held().tenants.is_empty() && kept.held().all == 0);
    }

    #[test]
    fn a_smaller_quota_holds_at_once() {
        let ledger = Ledger::new(Arc::default());
        ledger.apply(&[acme(2, 100)]);
        let (account, kept) = (ledger.account(Some("acme")), Kept::new(4));
        let places = [kept.place(&account, 1), kept.place(&account, 1)];
        assert!(places.iter().all(Option::is_some) && !kept.is_over(&account));
        ledger.apply(&[acme(1, 100)]);
        assert!(kept.is_over(&account) && kept.place(&account, 1).is_none());
        drop(places);
        assert!(!kept.is_over(&account) && kept.place(&account, 1).is_some());
    }
}
