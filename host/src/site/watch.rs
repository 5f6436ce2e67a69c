//! Owns noticing that the configuration's file, or a component that it names, has changed.
//! Must not know what becomes of a change.

use super::{Options, Site};
use crate::route::{IdRule, Source};
use futures_util::{Stream, StreamExt};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::pin::pin;
use std::time::{Duration, SystemTime};

/// How often the files are looked at. A change counts once it has stood as long.
const INTERVAL: Duration = Duration::from_millis(500);

/// The longest time between two looks for old entries of the audit log.
const LONGEST_INTERVAL: Duration = Duration::from_secs(600);

/// What tells a changed file from the same one; `None`: it is not there.
type Stamp = Option<(u64, u64, i64, i64)>;

impl Site {
    /// Applies changes of the file until it is dropped; whenever it is `asked` for, the file is applied whether it has changed or not.
    /// Before that, what was left to be compiled at the start is.
    pub async fn run(self, asked: impl Stream<Item = ()> + Send) {
        let compiling = self.clone();
        tokio::join!(compiling.compile_pending(), self.watch(asked), self.forget_deeds());
    }

    /// Removes old entries of the audit log.
    async fn forget_deeds(&self) {
        loop {
            let kept = self.state().await.config.audit_retention;
            let Options { registry, clock, .. } = &self.0.options;
            match registry.purge_deeds(clock.now().before(kept)).await {
                Ok(0) => tokio::time::sleep((kept / 10).clamp(INTERVAL, LONGEST_INTERVAL)).await,
                Ok(_) => {}
                Err(error) => {
                    tracing::error!("old entries of the audit log could not be removed: {error}");
                    tokio::time::sleep(LONGEST_INTERVAL).await;
                }
            }
        }
    }

    async fn watch(&self, asked: impl Stream<Item = ()> + Send) {
        let mut asked = pin!(asked);
        let mut seen = stamps(&self.files().await).await;
        let mut applied = seen.clone();
        applied
            .iter_mut()
            .for_each(|(_, stamp)| *stamp = stamp.filter(|stamp| !is_newer(*stamp, self.0.options.reading.since)));
        loop {
            let is_asked = tokio::select! {
                () = tokio::time::sleep(INTERVAL) => false,
                Some(()) = asked.next() => true,
            };
            let now = stamps(&self.files().await).await;
            let is_settled = now == seen;
            seen.clone_from(&now);
            if is_asked || (now != applied && is_settled) {
                applied = now;
                self.apply().await;
                // The files may be others now.
                applied = merged(&applied, stamps(&self.files().await).await);
                seen.clone_from(&applied);
            }
        }
    }

    async fn apply(&self) {
        let reading = self.0.options.reading.clone();
        let path = reading.path.clone();
        let loaded = tokio::task::spawn_blocking(move || reading.config()).await;
        let applied = match loaded {
            Ok(Ok(config)) => self.reload(config).await.map_err(|error| error.to_string()),
            Ok(Err(faults)) => Err(faults.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match applied {
            Ok(()) => tracing::info!("{} has been applied", path.display()),
            Err(why) => {
                tracing::error!("{} has changed and cannot be applied, the old one stays: {why}", path.display())
            }
        }
    }

    /// The files that decide what is offered.
    async fn files(&self) -> Vec<PathBuf> {
        let state = self.state().await;
        let mut files = vec![self.0.options.reading.path.clone()];
        for route in &state.config.routes {
            if let Source::File(path) = &route.component {
                files.push(path.clone());
            }
            if let IdRule::Component(path) = &route.id {
                files.push(path.clone());
            }
        }
        files.sort();
        files.dedup();
        files
    }
}

/// Whether the file was written at this moment or after it.
fn is_newer((_, _, seconds, nanoseconds): (u64, u64, i64, i64), since: SystemTime) -> bool {
    let since = since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let written = u64::try_from(seconds).ok().zip(u32::try_from(nanoseconds).ok());
    written.is_some_and(|(seconds, nanoseconds)| Duration::new(seconds, nanoseconds) >= since)
}

async fn stamps(files: &[PathBuf]) -> Vec<(PathBuf, Stamp)> {
    let files = files.to_vec();
    let looking = tokio::task::spawn_blocking(move || {
        let stamp = |facts: Metadata| (facts.ino(), facts.size(), facts.mtime(), facts.mtime_nsec());
        files.into_iter().map(|file| (file.clone(), std::fs::metadata(file).ok().map(stamp))).collect()
    });
    looking.await.unwrap_or_default()
}

/// The stamps that were applied, and those of files that nobody looked at before.
fn merged(applied: &[(PathBuf, Stamp)], now: Vec<(PathBuf, Stamp)>) -> Vec<(PathBuf, Stamp)> {
    let before = |file: &PathBuf| applied.iter().find(|(known, _)| known == file).map(|(_, stamp)| *stamp);
    now.into_iter()
        .map(|(file, stamp)| {
            let stamp = before(&file).unwrap_or(stamp);
            (file, stamp)
        })
        .collect()
}
