//! Owns what tenants have used since the start: CPU time against its budget, and the handles by which it is measured.
//! Must not know who runs guests, nor what waits.

use super::{Quota, Tenant};
use crate::metrics::{Metrics, TenantMetrics};
use arc_swap::ArcSwap;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);

/// One tenant's account, or that of all that belongs to none. It outlives reloads.
#[derive(Debug)]
pub struct Account {
    /// The tenant; `None`: the host itself.
    pub name: Option<Arc<str>>,
    /// What is measured of it; of the host itself it is not shown.
    pub metrics: TenantMetrics,
    weight: AtomicU32,
    quota: ArcSwap<Quota>,
    /// CPU nanoseconds since the start.
    used: AtomicU64,
    /// Bytes of its tasks in the store, as counted last.
    stored: AtomicU64,
    balance: Mutex<Balance>,
}

/// A token bucket of CPU nanoseconds. It may be overdrawn: what a guest does until its next interruption is charged afterwards.
#[derive(Debug)]
struct Balance {
    left: i64,
    at: Instant,
}

impl Account {
    fn new(name: Option<Arc<str>>, metrics: TenantMetrics) -> Self {
        Self {
            name,
            metrics,
            weight: AtomicU32::new(1),
            quota: ArcSwap::from_pointee(Quota::NONE),
            used: AtomicU64::new(0),
            stored: AtomicU64::new(0),
            balance: Mutex::new(Balance { left: 0, at: Instant::now() }),
        }
    }

    /// The share beside those of others, at least 1.
    #[must_use]
    pub fn weight(&self) -> u32 {
        self.weight.load(Ordering::Relaxed).max(1)
    }

    /// What it may use.
    #[must_use]
    pub fn quota(&self) -> Arc<Quota> {
        self.quota.load_full()
    }

    /// CPU time of its guests since the start.
    #[must_use]
    pub fn used(&self) -> Duration {
        Duration::from_nanos(self.used.load(Ordering::Relaxed))
    }

    /// Whether its tasks took more of the store than it has, when they were counted last.
    #[must_use]
    pub fn is_over_stored(&self) -> bool {
        self.stored.load(Ordering::Relaxed) > self.quota.load().stored
    }

    /// Its tasks take so many bytes of the store.
    pub fn note_stored(&self, bytes: u64) {
        self.stored.store(bytes, Ordering::Relaxed);
    }

    /// So much CPU time was used.
    pub fn charge(&self, cpu: Duration) {
        let nanos = u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX);
        self.used.fetch_add(nanos, Ordering::Relaxed);
        self.metrics.cpu(cpu);
        if self.quota.load().cpu_per_minute.is_some() {
            let mut balance = self.balance.lock().unwrap_or_else(PoisonError::into_inner);
            balance.left = balance.left.saturating_sub_unsigned(nanos);
        }
    }

    /// CPU time that is left now; `None`: without limit.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        let budget = self.quota.load().cpu_per_minute?;
        Some(Duration::from_nanos(u64::try_from(self.refilled(budget)).unwrap_or(0)))
    }

    /// How long its guests must pause; `None`: they need not.
    #[must_use]
    pub fn pause(&self) -> Option<Duration> {
        let budget = self.quota.load().cpu_per_minute?;
        let left = self.refilled(budget);
        // Nothing is as bad as a debt: without the bound a pause would end a moment too early, again and again.
        (left <= 0).then(|| {
            let debt = Duration::from_nanos(left.unsigned_abs().max(1));
            debt.mul_f64(MINUTE.as_secs_f64() / budget.as_secs_f64()) + Duration::from_millis(1)
        })
    }

    fn refilled(&self, budget: Duration) -> i64 {
        let most = i64::try_from(budget.as_nanos()).unwrap_or(i64::MAX);
        let mut balance = self.balance.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = balance.at.elapsed();
        balance.at += passed;
        let earned = budget.mul_f64(passed.as_secs_f64() / MINUTE.as_secs_f64());
        balance.left = balance.left.saturating_add_unsigned(u64::try_from(earned.as_nanos()).unwrap_or(u64::MAX));
        balance.left = balance.left.min(most);
        balance.left
    }

    fn apply(&self, tenant: &Tenant) {
        self.weight.store(tenant.weight, Ordering::Relaxed);
        let before = self.quota.swap(Arc::new(tenant.quota.clone()));
        if let Some(budget) = tenant.quota.cpu_per_minute
            && before.cpu_per_minute != Some(budget)
        {
            let mut balance = self.balance.lock().unwrap_or_else(PoisonError::into_inner);
            *balance = Balance { left: i64::try_from(budget.as_nanos()).unwrap_or(i64::MAX), at: Instant::now() };
        }
    }
}

/// The accounts of all tenants, and of the host itself.
#[derive(Debug)]
pub struct Ledger {
    own: Arc<Account>,
    tenants: Mutex<BTreeMap<Arc<str>, Arc<Account>>>,
    metrics: Arc<Metrics>,
}

impl Ledger {
    /// Without tenants.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        let own = Arc::new(Account::new(None, TenantMetrics::default()));
        Arc::new(Self { own, tenants: Mutex::default(), metrics })
    }

    /// The account of a tenant (`None`: of the host itself). One that is not configured any more has the limits that
    /// it had last.
    #[must_use]
    pub fn account(&self, tenant: Option<&str>) -> Arc<Account> {
        let Some(tenant) = tenant else { return Arc::clone(&self.own) };
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(account) = tenants.get(tenant) {
            return Arc::clone(account);
        }
        let name: Arc<str> = tenant.into();
        let account = Arc::new(Account::new(Some(Arc::clone(&name)), self.metrics.tenant(&name)));
        // Whoever is not known gets what a tenant has by default.
        account.quota.store(Arc::default());
        tenants.insert(name, Arc::clone(&account));
        account
    }

    /// The accounts of all tenants.
    #[must_use]
    pub fn tenants(&self) -> Vec<Arc<Account>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner).values().map(Arc::clone).collect()
    }

    /// From now on these limits hold.
    pub fn apply(&self, tenants: &[Arc<Tenant>]) {
        tenants.iter().for_each(|tenant| self.account(Some(&tenant.name)).apply(tenant));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(budget: Duration) -> Arc<Account> {
        let ledger = Ledger::new(Arc::default());
        let account = ledger.account(Some("acme"));
        let quota = Quota { cpu_per_minute: Some(budget), ..Quota::default() };
        account.apply(&Tenant::with("acme", 3, quota));
        assert_eq!(account.weight(), 3);
        account
    }

    #[test]
    fn a_budget_is_used_up_and_comes_back() {
        let account = account(Duration::from_secs(30));
        assert_eq!(account.pause(), None);
        account.charge(Duration::from_secs(40));
        let pause = account.pause().expect("overdrawn");
        assert!(pause > Duration::from_secs(19) && pause < Duration::from_secs(21), "10 s at half speed: {pause:?}");
        assert_eq!(account.left(), Some(Duration::ZERO));
        assert_eq!(account.used(), Duration::from_secs(40));
        let mut balance = account.balance.lock().expect("not poisoned");
        balance.at -= Duration::from_secs(300);
        drop(balance);
        assert_eq!(account.pause(), None);
        assert!(account.left().expect("limited") <= Duration::from_secs(30), "never more than a minute's");
        // A debt of several minutes is paid back in as many.
        account.charge(Duration::from_secs(120));
        account.balance.lock().expect("not poisoned").at -= Duration::from_secs(190);
        assert_eq!(account.pause(), None);
    }

    #[test]
    fn the_host_itself_has_no_limit() {
        let own = Ledger::new(Arc::default()).account(None);
        own.charge(Duration::from_secs(1_000_000));
        assert_eq!((own.pause(), own.left()), (None, None));
    }
}
