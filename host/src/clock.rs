//! Owns points in time as Sandpool writes and stores them, and the clock that gives them.
//! Must not know any task or timer.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A point in time in microseconds since 1970-01-01T00:00:00Z, the precision that clients see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This moment and `later`, saturating at the ends of the range.
    #[must_use]
    pub fn after(self, later: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(later.as_micros()).unwrap_or(i64::MAX)))
    }

    /// This moment less `earlier`, saturating.
    #[must_use]
    pub fn before(self, earlier: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(earlier.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How long from `now` until this moment; zero when it has passed.
    #[must_use]
    pub fn remaining(self, now: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(now.0)).unwrap_or(0))
    }
}

/// RFC 3339 in UTC with microseconds: `2026-11-24T06:45:33.000001Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = DateTime::<Utc>::from_timestamp_micros(self.0).unwrap_or(DateTime::<Utc>::MAX_UTC);
        formatter.write_str(&date.to_rfc3339_opts(SecondsFormat::Micros, true))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// RFC 3339.
impl FromStr for Timestamp {
    type Err = chrono::ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(DateTime::parse_from_rfc3339(text)?.timestamp_micros()))
    }
}

/// Where the time comes from: the system, or a test's paused clock.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The machine's wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(0).after(since_epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_as_rfc3339_with_microseconds() {
        assert_eq!(Timestamp(1).to_string(), "1970-01-01T00:00:00.000001Z");
        assert_eq!(Timestamp(1_720_142_400_000_000).to_string(), "2024-07-05T01:20:00.000000Z");
    }

    #[test]
    fn remaining_never_goes_below_zero() {
        assert_eq!(Timestamp(5).remaining(Timestamp(9)), Duration::ZERO);
        assert_eq!(Timestamp(9).remaining(Timestamp(5)), Duration::from_micros(4));
        assert_eq!(Timestamp(5).after(Duration::MAX), Timestamp(i64::MAX));
    }
}
