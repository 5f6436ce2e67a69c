//! Owns when a delivery's next attempt is due. Must not know clocks, or what an attempt is.

use std::time::Duration;

/// How much of a wait may be added to it, so that what failed together does not come again together.
const JITTER: f64 = 0.2;
/// The longest wait that a receiver may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(24 * 3600);

/// How many attempts there are, and the waits between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// The most attempts, at least 1.
    pub attempts: u32,
    /// The wait after each failed attempt; the last one repeats. Never empty.
    pub waits: Vec<Duration>,
}

impl Schedule {
    /// The waits of Standard Webhooks.
    #[must_use]
    pub fn standard() -> Self {
        let seconds = [5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 10 * 3600];
        Self { attempts: 8, waits: seconds.map(Duration::from_secs).to_vec() }
    }

    /// The wait after so many failed attempts; `None` when there are no more. `chance` is from 0 to 1; `asked` is what the
    /// receiver asked for.
    #[must_use]
    pub fn after(&self, failed: u32, chance: f64, asked: Option<Duration>) -> Option<Duration> {
        if failed >= self.attempts {
            return None;
        }
        let position = usize::try_from(failed).unwrap_or(usize::MAX).saturating_sub(1);
        let wait = self.waits.get(position).or(self.waits.last()).copied().unwrap_or_default();
        let wait = wait.mul_f64(1.0 + JITTER * chance.clamp(0.0, 1.0));
        Some(wait.max(asked.unwrap_or_default().min(LONGEST_ASKED)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_follow_the_list_and_end() {
        let schedule = Schedule { attempts: 5, waits: [1, 10, 100].map(Duration::from_secs).to_vec() };
        let waits: Vec<_> =
            (1..=5).map(|failed| schedule.after(failed, 0.0, None).map(|wait| wait.as_secs())).collect();
        assert_eq!(waits, [Some(1), Some(10), Some(100), Some(100), None]);
        let once = Schedule { attempts: 1, ..schedule };
        assert_eq!(once.after(1, 0.5, None), None);
    }

    #[test]
    fn jitter_only_adds_and_receivers_only_postpone() {
        let schedule = Schedule { attempts: 9, waits: vec![Duration::from_secs(100)] };
        let wait =
            |chance, asked: u64| schedule.after(1, chance, Some(Duration::from_secs(asked))).map(|w| w.as_secs());
        assert_eq!((wait(0.0, 0), wait(0.5, 0), wait(1.0, 0)), (Some(100), Some(110), Some(120)));
        assert_eq!((wait(0.0, 60), wait(0.0, 600), wait(0.0, 1 << 40)), (Some(100), Some(600), Some(86_400)));
    }
}
