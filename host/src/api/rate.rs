//! Owns how many tasks one caller may submit a second. Must not know who callers are, nor what a task is.

use super::problem::Problem;
use axum::http::{HeaderName, HeaderValue};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::{StateInformationMiddleware, StateSnapshot};
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use moka::sync::Cache;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// How many callers are remembered; whoever was not seen for longest is forgotten first.
const MOST_CALLERS: u64 = 100_000;
/// Whoever is idle as long has all of its burst again, unless the rate is below one in this time.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// What submits are called in a refusal.
pub const SUBMITS: [&str; 2] = ["submit", "tasks"];

/// `server.rate_limit`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Tasks a second, over time.
    pub per_second: u32,
    /// Tasks at once.
    pub burst: u32,
}

type Bucket = RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>;

/// One bucket a caller.
pub struct Limiter {
    quota: Quota,
    limit: RateLimit,
    /// What is limited, as a verb and its object.
    what: [&'static str; 2],
    buckets: Cache<String, Arc<Bucket>>,
}

impl Limiter {
    /// A limiter that has seen nobody.
    #[must_use]
    pub fn new(limit: RateLimit, what: [&'static str; 2]) -> Self {
        let at_least_one = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(at_least_one(limit.per_second)).allow_burst(at_least_one(limit.burst));
        let buckets = Cache::builder().max_capacity(MOST_CALLERS).time_to_idle(FORGOTTEN).build();
        Self { quota, limit, what, buckets }
    }

    /// What it allows.
    pub fn limit(&self) -> RateLimit {
        self.limit
    }

    /// Takes one from the caller's bucket; answers the header fields that tell what is left. `who` it is stands in the refusal.
    pub fn take(&self, caller: &str, who: &str) -> Result<[(HeaderName, HeaderValue); 2], Problem> {
        let new = || Arc::new(RateLimiter::direct(self.quota).with_middleware());
        let bucket: Arc<Bucket> = match self.buckets.get(caller) {
            Some(bucket) => bucket,
            None => self.buckets.get_with(caller.to_owned(), new),
        };
        match bucket.check() {
            Ok(state) => Ok(self.fields(state.remaining_burst_capacity(), self.reset(&state))),
            Err(refused) => {
                let wait = refused.wait_time_from(DefaultClock::default().now());
                let seconds = u32::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1);
                let (RateLimit { per_second, burst }, [verb, object]) = (self.limit, self.what);
                let words = format!(
                    "{who} may {verb} {per_second} {object} a second, and {burst} at once; \
                     that is used up. Try again in {seconds} s. Nothing was stored."
                );
                let problem = Problem::new(429, words).retry_after(seconds);
                Err(self
                    .fields(0, seconds)
                    .into_iter()
                    .fold(problem, |problem, (name, value)| problem.with_header(name, value)))
            }
        }
    }

    /// Seconds until the bucket is full again.
    fn reset(&self, state: &StateSnapshot) -> u32 {
        let missing = self.limit.burst.saturating_sub(state.remaining_burst_capacity());
        missing.div_ceil(self.limit.per_second.max(1))
    }

    /// draft-ietf-httpapi-ratelimit-headers-10: the policy, and what is left of it until when.
    fn fields(&self, remaining: u32, reset: u32) -> [(HeaderName, HeaderValue); 2] {
        let RateLimit { per_second, burst } = self.limit;
        let window = burst.div_ceil(per_second.max(1)).max(1);
        let value = |text: String| HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""));
        [
            (HeaderName::from_static("ratelimit-policy"), value(format!("\"submits\";q={burst};w={window}"))),
            (HeaderName::from_static("ratelimit"), value(format!("\"submits\";r={remaining};t={reset}"))),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_caller_has_a_bucket_of_its_own() {
        let limiter = Limiter::new(RateLimit { per_second: 1, burst: 3 }, SUBMITS);
        let left = |caller| limiter.take(caller, "You").map(|[_, (_, value)]| value.to_str().expect("text").to_owned());
        assert_eq!(left("a").expect("allowed"), "\"submits\";r=2;t=1");
        assert_eq!(left("a").expect("allowed"), "\"submits\";r=1;t=2");
        assert_eq!(left("a").expect("allowed"), "\"submits\";r=0;t=3");
        assert!(left("a").is_err() && left("b").is_ok());
    }
}
