//! Owns retention: finished tasks go when they are old enough.
//! Must not know live tasks; they are never touched.

use super::Runner;
use crate::clock::Timestamp;
use std::time::Duration;

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

    async fn sweep_once(&self) {
        let options = &self.0.options;
        loop {
            let now = options.clock.now();
            let before = |kept: Duration| Timestamp(now.0.saturating_sub(Timestamp(0).after(kept).0));
            match options.store.purge(before(options.retention), before(options.retention_failed)).await {
                Ok(0) => return,
                Ok(_) if self.is_draining() => return,
                Ok(_) => {}
                Err(error) => return tracing::error!("old tasks could not be removed: {error}"),
            }
        }
    }
}
