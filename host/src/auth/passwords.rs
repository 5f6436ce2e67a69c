//! Owns that checking passwords is slow for those who guess and fast for those who know: right ones are remembered for
//! some minutes, all others wait for one of few places in which checks are computed.
//! Must not know users or requests.

use super::secret::{self, PasswordHash, Secret};
use moka::sync::Cache;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{OnceCell, Semaphore};

/// How many right passwords are remembered, and for how long.
const REMEMBERED: u64 = 10_000;
const REMEMBERED_FOR: Duration = Duration::from_secs(300);
/// How many checks may wait for each place; at some 30 ms a check, the last one waits a second.
const WAITING: usize = 32;

type Fingerprint = [u8; 32];

/// Too many checks wait already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy;

/// Checks passwords.
pub struct Passwords {
    /// Makes fingerprints worthless outside of this process.
    key: [u8; 32],
    right: Cache<Fingerprint, ()>,
    /// Checks that are waited for or computed: the same credentials in many requests are one check.
    under_way: Mutex<HashMap<Fingerprint, Weak<OnceCell<bool>>>>,
    /// Those that wait and those that are computed.
    queue: Semaphore,
    places: Arc<Semaphore>,
    computed: AtomicU64,
}

impl Passwords {
    /// With half of the processors: the other half still serves those who are known.
    ///
    /// # Errors
    /// When the system has no random bytes.
    pub fn new() -> Result<Self, getrandom::Error> {
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self::with_places(processors.div_ceil(2))
    }

    /// With this many checks at once.
    ///
    /// # Errors
    /// When the system has no random bytes.
    pub fn with_places(places: usize) -> Result<Self, getrandom::Error> {
        Ok(Self {
            key: secret::random()?,
            right: Cache::builder().max_capacity(REMEMBERED).time_to_live(REMEMBERED_FOR).build(),
            under_way: Mutex::default(),
            queue: Semaphore::new(places * (WAITING + 1)),
            places: Arc::new(Semaphore::new(places)),
            computed: AtomicU64::new(0),
        })
    }

    /// Whether this is the password with this hash. Only a right one is remembered.
    ///
    /// # Errors
    /// [`Busy`]: it was not checked.
    pub async fn verify(&self, name: &str, password: &[u8], hash: &PasswordHash) -> Result<bool, Busy> {
        let fingerprint = self.fingerprint(name, password, hash);
        if self.right.get(&fingerprint).is_some() {
            return Ok(true);
        }
        let check = self.under_way(fingerprint);
        let right = *check.get_or_try_init(|| self.compute(Secret::new(password), hash.clone())).await?;
        if right {
            self.right.insert(fingerprint, ());
        }
        Ok(right)
    }

    /// How many checks were computed since the start.
    #[must_use]
    pub fn computed(&self) -> u64 {
        self.computed.load(Ordering::Relaxed)
    }

    fn fingerprint(&self, name: &str, password: &[u8], hash: &PasswordHash) -> Fingerprint {
        let mut digest = Sha256::new_with_prefix(self.key);
        // With their lengths, so that no two triples are the same bytes.
        for part in [name.as_bytes(), password, hash.show().as_bytes()] {
            digest.update(part.len().to_le_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }

    fn under_way(&self, fingerprint: Fingerprint) -> Arc<OnceCell<bool>> {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(check) = under_way.get(&fingerprint).and_then(Weak::upgrade) {
            return check;
        }
        under_way.retain(|_, check| check.strong_count() > 0);
        let check = Arc::new(OnceCell::new());
        under_way.insert(fingerprint, Arc::downgrade(&check));
        check
    }

    async fn compute(&self, password: Secret, hash: PasswordHash) -> Result<bool, Busy> {
        let _waiting = self.queue.try_acquire().map_err(|_| Busy)?;
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| Busy)?;
        self.computed.fetch_add(1, Ordering::Relaxed);
        // The place is kept until the end even when the request is gone: the work goes on without it.
        let computing = tokio::task::spawn_blocking(move || {
            let right = hash.verify(password.expose());
            drop(place);
            right
        });
        computing.await.map_err(|_| Busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cheap(password: &str) -> PasswordHash {
        // Any parameters do: what counts here is how often they are paid for.
        let hash = PasswordHash::of(password.as_bytes()).expect("hashed");
        PasswordHash::parse(hash.show()).expect("its own form")
    }

    #[tokio::test]
    async fn right_ones_are_computed_once_and_wrong_ones_each_time() {
        let (passwords, hash) = (Passwords::with_places(1).expect("random"), cheap("pickle"));
        for _ in 0..3 {
            assert_eq!(passwords.verify("morty", b"pickle", &hash).await, Ok(true));
        }
        assert_eq!(passwords.computed(), 1);
        for computed in 2..4 {
            assert_eq!(passwords.verify("morty", b"pickled", &hash).await, Ok(false));
            assert_eq!(passwords.computed(), computed);
        }
        assert_eq!(passwords.verify("mort", b"ypickle", &hash).await, Ok(false));
        assert_eq!(passwords.verify("morty", b"pickle", &cheap("other")).await, Ok(false), "a changed hash");
        assert_eq!(passwords.computed(), 5);
    }

    #[tokio::test]
    async fn the_same_credentials_in_many_requests_are_one_check() {
        let (passwords, hash) = (Passwords::with_places(2).expect("random"), cheap("pickle"));
        let checks = (0..200).map(|_| passwords.verify("morty", b"pickle", &hash));
        let answers = futures_util::future::join_all(checks).await;
        assert!(answers.iter().all(|answer| *answer == Ok(true)));
        assert_eq!(passwords.computed(), 1);
        assert!(passwords.under_way.lock().expect("whole").values().all(|check| check.strong_count() == 0));
    }

    #[tokio::test]
    async fn a_flood_is_turned_away_and_those_who_are_known_are_not() {
        let (passwords, hash) = (Passwords::with_places(1).expect("random"), cheap("pickle"));
        assert_eq!(passwords.verify("morty", b"pickle", &hash).await, Ok(true));
        let guesses: Vec<String> = (0..100).map(|guess| format!("guess {guess}")).collect();
        // One keeps the only place, so that all others have to wait.
        let place = Arc::clone(&passwords.places).acquire_owned().await.expect("open");
        let flood = guesses.iter().map(|guess| passwords.verify("morty", guess.as_bytes(), &hash));
        let (answers, known) = tokio::join!(futures_util::future::join_all(flood), async {
            let known = passwords.verify("morty", b"pickle", &hash).await;
            drop(place);
            known
        });
        assert_eq!(known, Ok(true));
        let turned_away = answers.iter().filter(|answer| **answer == Err(Busy)).count();
        assert_eq!(turned_away, 100 - (WAITING + 1));
        assert_eq!(passwords.verify("morty", b"again", &hash).await, Ok(false), "afterwards there is room again");
    }
}
