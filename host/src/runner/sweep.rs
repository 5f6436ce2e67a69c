//! Owns retention: finished tasks go when they are old enough, those of a tenant also when they take more than it has.
//! Must not know live tasks; they are never touched.

use super::{Options, Runner};
use crate::store::{StoreError, TenantUse};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// How often what tenants store is counted.
const QUOTA_INTERVAL: Duration = Duration::from_millis(500);
/// How many batches of one tenant's tasks are removed before others' are looked at.
const EVICTIONS: u32 = 8;
/// For how many looks a tenant is left alone whose tasks cannot go: all of them are looked through for that.
const STUCK: u32 = 120;
/// The longest time between two sweeps.
const INTERVAL: Duration = Duration::from_secs(60);

impl Runner {
    /// Removes old tasks until the host goes down.
    pub async fn sweep(self) {
        let options = &self.0.options;
        let shortest = options.retention.min(options.retention_failed);
        let interval = (shortest / 10).clamp(Duration::from_millis(100), INTERVAL);
        loop {
            tokio::select! {
                () = self.0.draining.cancelled() => return,
                () = tokio::time::sleep(interval) => {}
            }
            self.sweep_once().await;
        }
    }

    /// Keeps tenants' tasks within what they may take of the store, until the host goes down.
    pub async fn keep_quotas(self) {
        // Tenants of which nothing could be removed, and how many looks they are left alone.
        let mut stuck: HashMap<Arc<str>, u32> = HashMap::new();
        loop {
            tokio::select! {
                () = self.0.draining.cancelled() => return,
                () = tokio::time::sleep(QUOTA_INTERVAL) => {}
            }
            stuck.retain(|_, looks| {
                *looks -= 1;
                *looks > 0
            });
            if let Err(error) = self.keep_quotas_once(&mut stuck).await {
                tracing::error!("what tenants store could not be counted: {error}");
            }
        }
    }

    async fn keep_quotas_once(&self, stuck: &mut HashMap<Arc<str>, u32>) -> Result<(), StoreError> {
        let Options { store, ledger, .. } = &self.0.options;
        let accounts = ledger.tenants();
        if accounts.is_empty() {
            return Ok(());
        }
        let mut usage = store.usage().await?;
        let mut has_evicted = false;
        for TenantUse { name, bytes, .. } in &usage {
            let most = ledger.account(Some(name)).quota().stored;
            if *bytes <= most || stuck.contains_key(name) {
                continue;
            }
            // A tenth at once, so that there is room for some time.
            let keep = most - most / 10;
            let mut removed = 0;
            for _ in 0..EVICTIONS {
                match store.evict(name, keep).await? {
                    0 => break,
                    more => removed += more,
                }
            }
            if removed == 0 {
                stuck.insert(Arc::clone(name), STUCK);
            }
            has_evicted |= removed > 0;
            tracing::debug!(tenant = %name, bytes, removed, "removed tasks before their time");
        }
        if has_evicted {
            usage = store.usage().await?;
        }
        for account in accounts {
            let stored = usage.iter().find(|of| Some(&of.name) == account.name.as_ref()).map_or(0, |of| of.bytes);
            account.note_stored(stored);
        }
        Ok(())
    }

    async fn sweep_once(&self) {
        let options = &self.0.options;
        loop {
            let now = options.clock.now();
            match options.store.purge(now.before(options.retention), now.before(options.retention_failed)).await {
                Ok(0) => return,
                Ok(_) if self.is_draining() => return,
                Ok(_) => {}
                Err(error) => return tracing::error!("old tasks could not be removed: {error}"),
            }
        }
    }
}
