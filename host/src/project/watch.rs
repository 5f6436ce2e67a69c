//! Owns the wait for a change of a project's sources. The system's notifications only wake; what counts is another look.
//! Must not know what is done about a change.

use super::{Project, ProjectError, Sources};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

/// Editors write in several steps; so long nothing must happen before a change counts.
const QUIET: Duration = Duration::from_millis(100);
/// Looks this often even without a notification: network drives give none.
const LOOK: Duration = Duration::from_secs(2);

/// Watches a project.
pub struct Watch {
    watcher: RecommendedWatcher,
    woken: Arc<Notify>,
    folders: BTreeSet<PathBuf>,
}

impl Watch {
    /// Begins to watch.
    ///
    /// # Errors
    /// When the system has no notifications left.
    pub fn start() -> Result<Self, ProjectError> {
        let woken = Arc::new(Notify::new());
        let waker = Arc::clone(&woken);
        let watcher = notify::recommended_watcher(move |_| waker.notify_one())
            .map_err(|error| ProjectError::new(format!("the project cannot be watched: {error}")))?;
        Ok(Self { watcher, woken, folders: BTreeSet::new() })
    }

    /// Resolves with the sources as soon as they are not `seen`, and at rest. `None` is seen by nobody.
    ///
    /// # Errors
    /// When the project cannot be read.
    pub async fn changed(&mut self, project: &Project, seen: Option<&Sources>) -> Result<Sources, ProjectError> {
        loop {
            let mut now = self.look(project)?;
            if Some(&now) != seen {
                loop {
                    sleep(QUIET).await;
                    let later = self.look(project)?;
                    if later == now {
                        return Ok(now);
                    }
                    now = later;
                }
            }
            // A folder that cannot be watched is looked at.
            drop(timeout(LOOK, self.woken.notified()).await);
        }
    }

    fn look(&mut self, project: &Project) -> Result<Sources, ProjectError> {
        let sources = Sources::of(project)?;
        for folder in &sources.folders {
            if !self.folders.contains(folder) && self.watcher.watch(folder, RecursiveMode::NonRecursive).is_ok() {
                self.folders.insert(folder.clone());
            }
        }
        self.folders.retain(|folder| sources.folders.contains(folder));
        Ok(sources)
    }
}
