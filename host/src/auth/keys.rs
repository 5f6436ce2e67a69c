//! Owns which keys are valid now: when a key set is fetched again, and that known keys outlive an outage.
//! Must not know tokens.

use super::fetch::Fetcher;
use super::key_set::KeySet;
use super::settings::{Jwt, KeySource};
use crate::clock::{Clock, Timestamp};
use arc_swap::ArcSwap;
use jsonwebtoken::Algorithm;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// How long after a fetch an unknown key id does not lead to another one.
const UNKNOWN_KEY_PAUSE: Duration = Duration::from_secs(30);
/// The same as long as there are no keys at all, and for files.
const SHORT_PAUSE: Duration = Duration::from_secs(5);
/// How old a key set becomes before it is fetched again.
const MAX_AGE: Duration = Duration::from_secs(300);

/// There is no key set yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoKeys;

/// The keys of one scheme.
pub struct Keys {
    name: Arc<str>,
    source: KeySource,
    algorithms: Vec<Algorithm>,
    issuer: Option<String>,
    set: ArcSwap<KeySet>,
    /// When the last fetch began or ended; locked while one is under way.
    fetched: Mutex<Option<Timestamp>>,
    fetcher: Fetcher,
    clock: Arc<dyn Clock>,
}

impl Keys {
    /// The keys of the scheme of this name; nothing is fetched yet.
    #[must_use]
    pub fn new(name: Arc<str>, scheme: &Jwt, clock: Arc<dyn Clock>) -> Self {
        let set = match &scheme.keys {
            KeySource::Secret(secret) => KeySet::of_secret(secret, &scheme.algorithms),
            _ => KeySet::default(),
        };
        Self {
            name,
            source: scheme.keys.clone(),
            algorithms: scheme.algorithms.clone(),
            issuer: scheme.issuer.clone(),
            set: ArcSwap::from_pointee(set),
            fetched: Mutex::new(None),
            fetcher: Fetcher::default(),
            clock,
        }
    }

    /// The keys as they are known now.
    #[must_use]
    pub fn known(&self) -> Arc<KeySet> {
        self.set.load_full()
    }

    /// A set that has a key for such a token, after a fetch if need be; else the newest set, without one.
    ///
    /// # Errors
    /// [`NoKeys`] when none could be fetched ever.
    pub async fn for_token(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Arc<KeySet>, NoKeys> {
        let known = self.known();
        if self.is_fixed() || known.fitting(id, algorithm).next().is_some() {
            return Ok(known);
        }
        let pause = if known.is_empty() { SHORT_PAUSE } else { self.pause() };
        self.fetch_after(pause, Some(&known)).await;
        let newest = self.known();
        if newest.is_empty() { Err(NoKeys) } else { Ok(newest) }
    }

    /// Fetches the keys when it is time to; called every few seconds.
    pub async fn refresh(&self) {
        let is_local = matches!(self.source, KeySource::File(_));
        let pause = if is_local || self.known().is_empty() { SHORT_PAUSE } else { MAX_AGE };
        if !self.is_fixed() {
            self.fetch_after(pause, None).await;
        }
    }

    fn is_fixed(&self) -> bool {
        matches!(self.source, KeySource::Secret(_))
    }

    fn pause(&self) -> Duration {
        if matches!(self.source, KeySource::File(_)) { SHORT_PAUSE } else { UNKNOWN_KEY_PAUSE }
    }

    /// Fetches, unless the last fetch is less than `pause` ago, or another one replaced `seen` in the meantime.
    async fn fetch_after(&self, pause: Duration, seen: Option<&Arc<KeySet>>) {
        let mut fetched = self.fetched.lock().await;
        let now = self.clock.now();
        // A clock that was set back must not end all fetches.
        let is_early = fetched.is_some_and(|at| at <= now && now < at.after(pause));
        if is_early || seen.is_some_and(|seen| seen.fingerprint != self.set.load().fingerprint) {
            return;
        }
        // Now already: a request that goes away while it waits has made its fetch.
        *fetched = Some(now);
        let read = self.fetcher.fetch(&self.source, self.issuer.as_deref()).await;
        self.take(read.and_then(|text| KeySet::parse(&text, &self.algorithms)));
        *fetched = Some(self.clock.now());
    }

    fn take(&self, set: Result<KeySet, String>) {
        let (known, scheme) = (self.known(), &self.name);
        match set {
            Ok(set) if set.fingerprint == known.fingerprint => {}
            Ok(set) => {
                tracing::info!(%scheme, keys = set.len(), "read the keys from {}", self.place());
                self.set.store(Arc::new(set));
            }
            Err(why) if known.is_empty() => {
                tracing::warn!(%scheme, "there are no keys yet, {} cannot be used: {why}", self.place());
            }
            Err(why) => {
                tracing::warn!(%scheme, keys = known.len(), "known keys stay, {} cannot be used: {why}", self.place());
            }
        }
    }

    fn place(&self) -> &dyn Display {
        match &self.source {
            KeySource::Secret(_) => &"the shared secret",
            KeySource::File(_) => &"the key file",
            KeySource::Url(url) | KeySource::Discovery(url) => url,
        }
    }
}
