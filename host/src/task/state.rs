//! Owns the state machine of a task as one table.
//!
//! ```text
//!                 Start (next attempt)
//!                      ┌──┐
//!                      ▼  │      Complete
//! NotStarted ──Start──► Running ──────────► Completed
//!     │  │               │  │
//!     │  └─Fail──────────┼──┴──Fail───────► Failed
//!     └────Abort─────────┴─────Abort──────► Aborted
//! ```
//! NotStarted fails only when its route is gone, or its component cannot be run at all.
//! Must not know time, storage or who causes an event.

use serde::Serialize;
use std::fmt;

/// Where a task stands. The numbers are what the stores write; never renumber them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[repr(u8)]
pub enum State {
    /// Accepted and durable, no attempt has started.
    NotStarted = 0,
    /// An attempt has started and the task has not ended.
    Running = 1,
    /// The guest answered.
    Completed = 2,
    /// The guest failed, or the host had to give it up.
    Failed = 3,
    /// Stopped from outside: by a user, a timeout or the host's shutdown.
    Aborted = 4,
}

/// What happens to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// An attempt starts.
    Start,
    /// The guest answered.
    Complete,
    /// The task is given up.
    Fail,
    /// The task is stopped from outside.
    Abort,
}

/// An event that the state does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{event:?} is not possible when {state}")]
pub struct IllegalTransition {
    /// The state it met.
    pub state: State,
    /// The event.
    pub event: Event,
}

/// The whole machine: what is not in here is not allowed.
pub const TRANSITIONS: [(State, Event, State); 7] = [
    (State::NotStarted, Event::Start, State::Running),
    (State::NotStarted, Event::Fail, State::Failed),
    (State::NotStarted, Event::Abort, State::Aborted),
    (State::Running, Event::Start, State::Running),
    (State::Running, Event::Complete, State::Completed),
    (State::Running, Event::Fail, State::Failed),
    (State::Running, Event::Abort, State::Aborted),
];

impl State {
    /// All states.
    pub const ALL: [Self; 5] = [Self::NotStarted, Self::Running, Self::Completed, Self::Failed, Self::Aborted];

    /// The state after `event`.
    ///
    /// # Errors
    /// When [`TRANSITIONS`] has no such row.
    pub fn on(self, event: Event) -> Result<Self, IllegalTransition> {
        let row = TRANSITIONS.iter().find(|(from, on, _)| (*from, *on) == (self, event));
        row.map(|(_, _, to)| *to).ok_or(IllegalTransition { state: self, event })
    }

    /// Whether the task has ended.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Aborted)
    }

    /// The state that a store wrote as this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| *state as u8 == number)
    }
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EVENTS: [Event; 4] = [Event::Start, Event::Complete, Event::Fail, Event::Abort];

    #[test]
    fn nothing_leaves_a_final_state() {
        for state in State::ALL.into_iter().filter(|state| state.is_final()) {
            assert!(EVENTS.iter().all(|event| state.on(*event).is_err()), "{state}");
        }
    }

    #[test]
    fn numbers_are_stable() {
        assert_eq!(State::ALL.map(|state| state as u8), [0, 1, 2, 3, 4]);
        assert!(State::ALL.iter().all(|state| State::from_number(*state as u8) == Some(*state)));
        assert_eq!(State::from_number(5), None);
    }

    proptest! {
        #[test]
        fn any_history_ends_at_most_once_and_completes_only_after_a_start(
            history in proptest::collection::vec(proptest::sample::select(&EVENTS[..]), 0..20)
        ) {
            let (mut state, mut ends, mut starts) = (State::NotStarted, 0, 0);
            for event in history {
                if let Ok(next) = state.on(event) {
                    ends += usize::from(next.is_final());
                    starts += usize::from(event == Event::Start);
                    prop_assert!(next != State::Completed || starts > 0);
                    state = next;
                }
            }
            prop_assert!(ends <= 1);
        }
    }
}
