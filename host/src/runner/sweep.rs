//! Owns retention: finished tasks go when they are old enough, those of a tenant also when they take more than it has.
//! Must not know live tasks; they are never touched.

use super::{Options, Runner};
use crate::store::StoreError;
use std::time::Duration;

/// How often what tenants store is counted.
const QUOTA_INTERVAL: Duration = Duration::from_millis(500);
/// How many batches of one tenant's tasks are removed before others' are looked at.
const EVICTIONS: u32 = 8;
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
        loop {
            tokio::select! {
                () = self.0.draining.cancelled() => return,
                () = tokio::time::sleep(QUOTA_INTERVAL) => {}
            }
            if let Err(error) = self.keep_quotas_once().await {
                tracing::error!("what tenants store could not be counted: {error}");
            }
        }
    }

    async fn keep_quotas_once(&self) -> Result<(), StoreError> {
        let Options { store, ledger, .. } = &self.0.options;
        let accounts = ledger.tenants();
        if accounts.is_empty() {
            return Ok(());
        }
        let usage = store.usage().await?;
        for account in accounts {
            let Some(name) = &account.name else { continue };
            let stored = usage.iter().find(|of| of.name == *name).map_or(0, |of| of.bytes);
            account.note_stored(stored);
            let most = account.quota().stored;
            if stored > most {
                let mut removed = 0;
                for _ in 0..EVICTIONS {
                    // A tenth at once, so that there is room for some time.
                    match store.evict(name, most - most / 10).await? {
                        0 => break,
                        more => removed += more,
                    }
                }
                tracing::debug!(tenant = %name, stored, removed, "removed tasks before their time");
            }
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
