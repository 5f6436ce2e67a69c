//! Owns the rules of a task's progress: monotone, in phases, 100 on completion only.
//! Must not know the clock (it is handed the time) or who listens.

use crate::clock::Timestamp;
use serde::{Serialize, Serializer};
use std::time::Duration;

/// The highest per cent that a task shows before it has completed.
pub const BEFORE_COMPLETION: f64 = 99.99;

/// Per cent as they are shown: `100`, not `100.0`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Percent(pub f64);

impl Serialize for Percent {
    #[allow(clippy::cast_possible_truncation)]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.fract() == 0.0 { serializer.serialize_i64(self.0 as i64) } else { serializer.serialize_f64(self.0) }
    }
}

/// A change that the guest reports.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Step {
    /// To this per cent; it never goes back.
    Set(f64),
    /// A phase of `ticks` equal ticks begins and ends at `until` per cent.
    Begin {
        /// How many ticks the phase has.
        ticks: u32,
        /// The per cent at its end.
        until: f64,
    },
    /// So many ticks of the phase are done.
    Tick(u32),
    /// A phase begins that advances by itself and reaches `until` per cent after so many seconds.
    Timed {
        /// Its duration.
        seconds: f64,
        /// The per cent at its end.
        until: f64,
    },
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    None,
    Ticks { from: f64, until: f64, done: u64, of: u64 },
    Timed { from: f64, until: f64, since: Timestamp, lasts: Duration },
}

/// One task's progress.
#[derive(Debug, Clone, Copy)]
pub struct Meter {
    reached: Option<f64>,
    phase: Phase,
}

impl Default for Meter {
    fn default() -> Self {
        Self { reached: None, phase: Phase::None }
    }
}

impl Meter {
    /// A meter that stands here already.
    #[must_use]
    pub fn at(reached: Option<f64>) -> Self {
        Self { reached, phase: Phase::None }
    }

    /// Whether it advances by itself.
    #[must_use]
    pub fn runs(&self, now: Timestamp) -> bool {
        match self.phase {
            Phase::Timed { since, lasts, .. } => now < since.after(lasts),
            Phase::None | Phase::Ticks { .. } => false,
        }
    }

    /// Takes a step. A number that is none (NaN) changes nothing; a new phase starts where the old one stands.
    pub fn apply(&mut self, step: Step, now: Timestamp) {
        let from = self.percent(now).unwrap_or(0.0);
        match step {
            Step::Set(percent) if percent.is_nan() => return,
            Step::Set(percent) => {
                self.phase = Phase::None;
                self.reached = Some(within(percent).max(from));
                return;
            }
            Step::Begin { ticks, until } => {
                self.phase = Phase::Ticks { from, until: end_of(from, until), done: 0, of: u64::from(ticks.max(1)) };
            }
            Step::Timed { seconds, until } => {
                let lasts = Duration::try_from_secs_f64(seconds).unwrap_or_default();
                self.phase = Phase::Timed { from, until: end_of(from, until), since: now, lasts };
            }
            Step::Tick(count) => {
                if let Phase::Ticks { done, .. } = &mut self.phase {
                    *done = done.saturating_add(u64::from(count));
                }
            }
        }
        self.reached = Some(self.percent(now).unwrap_or(0.0).max(from));
    }

    /// Per cent reached at `now`, below 100; `None` as long as the guest has said nothing.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn percent(&self, now: Timestamp) -> Option<f64> {
        let in_phase = match self.phase {
            Phase::None => None,
            Phase::Ticks { from, until, done, of } => Some(from + (until - from) * (done.min(of) as f64 / of as f64)),
            Phase::Timed { from, until, since, lasts } => {
                let share = now.remaining(since).as_secs_f64() / lasts.as_secs_f64();
                Some(from + (until - from) * if share.is_finite() { share.clamp(0.0, 1.0) } else { 1.0 })
            }
        };
        let reached = in_phase.map_or(self.reached, |percent| Some(self.reached.unwrap_or(0.0).max(percent)));
        reached.map(|percent| ((percent * 100.0).round() / 100.0).min(BEFORE_COMPLETION))
    }
}

fn within(percent: f64) -> f64 {
    percent.clamp(0.0, 100.0)
}

fn end_of(from: f64, until: f64) -> f64 {
    if until.is_nan() { from } else { within(until).max(from) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1_000_000)
    }

    #[test]
    fn two_phases_follow_each_other() {
        let mut meter = Meter::default();
        assert_eq!(meter.percent(at(0)), None);
        meter.apply(Step::Begin { ticks: 7, until: 80.0 }, at(0));
        for _ in 0..7 {
            meter.apply(Step::Tick(1), at(0));
        }
        assert_eq!(meter.percent(at(0)), Some(80.0));
        meter.apply(Step::Timed { seconds: 10.0, until: 100.0 }, at(100));
        assert_eq!(meter.percent(at(105)), Some(90.0));
        assert_eq!(meter.percent(at(200)), Some(BEFORE_COMPLETION));
    }

    #[test]
    fn nonsense_changes_nothing() {
        let mut meter = Meter::default();
        meter.apply(Step::Set(30.0), at(0));
        for step in [
            Step::Set(f64::NAN),
            Step::Set(-5.0),
            Step::Tick(9),
            Step::Begin { ticks: 0, until: f64::NAN },
            Step::Timed { seconds: f64::NAN, until: f64::NEG_INFINITY },
        ] {
            meter.apply(step, at(0));
            assert_eq!(meter.percent(at(1)), Some(30.0), "{step:?}");
        }
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            any::<f64>().prop_map(Step::Set),
            (any::<u32>(), any::<f64>()).prop_map(|(ticks, until)| Step::Begin { ticks, until }),
            any::<u32>().prop_map(Step::Tick),
            (any::<f64>(), any::<f64>()).prop_map(|(seconds, until)| Step::Timed { seconds, until }),
        ]
    }

    proptest! {
        #[test]
        fn it_never_goes_back_and_never_shows_100(steps in proptest::collection::vec((any_step(), 0..100_i64), 0..50)) {
            let (mut meter, mut now, mut last) = (Meter::default(), 0, 0.0);
            for (step, passed) in steps {
                now += passed;
                meter.apply(step, at(now));
                let percent = meter.percent(at(now)).unwrap_or(0.0);
                prop_assert!(percent >= last && percent < 100.0, "{last} then {percent}");
                last = percent;
            }
        }
    }
}
