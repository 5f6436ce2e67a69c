//! Owns a task's callback: what was resolved when the task was submitted, and where its delivery stands.
//! Must not know how it was resolved, or how it is delivered.

use crate::clock::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Whom to call when the task has ended, and how. It may hold secrets, so no part of it but [`Shown`] is shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Callback {
    /// The URL.
    pub url: String,
    /// Its host and port: what its attempts share with those of other tasks.
    pub host: String,
    /// The HTTP method.
    pub method: String,
    /// The media type of the body.
    pub content_type: String,
    /// Further header fields.
    pub headers: Vec<(String, String)>,
    /// Whether the body holds the result.
    pub send_result: bool,
    /// The event's name.
    pub event: String,
    /// What clients see of it.
    pub shown: Shown,
}

/// What clients see of a callback: nothing that the configuration alone knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// The URL as it is configured.
    pub url_field: String,
    /// The URL.
    pub url: String,
    /// The method as it is configured.
    pub method: String,
    /// The header fields as they are configured.
    pub headers: Vec<(String, String)>,
}

impl fmt::Debug for Callback {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Callback({:?} to {})", self.event, self.host)
    }
}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[repr(u8)]
pub enum Standing {
    /// The task has not ended.
    NotStarted = 0,
    /// An attempt is due or under way.
    Running = 1,
    /// The receiver took it.
    Completed = 2,
    /// It was given up.
    Failed = 3,
}

impl Standing {
    /// The standing with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        let all = [Self::NotStarted, Self::Running, Self::Completed, Self::Failed];
        all.into_iter().find(|standing| *standing as u8 == number)
    }
}

/// How far a delivery has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Where it stands.
    pub standing: Standing,
    /// Attempts made.
    pub made: u32,
}

impl Progress {
    /// Before the task's end.
    pub const NONE: Self = Self { standing: Standing::NotStarted, made: 0 };
    /// Right after it.
    pub const FIRST: Self = Self { standing: Standing::Running, made: 0 };
}

/// One attempt that is over.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// When it began.
    pub at: Timestamp,
    /// The status that the receiver answered.
    pub status: Option<u16>,
    /// Why it failed.
    pub error: Option<String>,
    /// How long it took.
    pub took: Duration,
}

/// A delivery as clients see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// How far it has come.
    pub progress: Progress,
    /// When the next attempt is due.
    pub next: Option<Timestamp>,
    /// The newest attempts, oldest first.
    pub attempts: Vec<Attempt>,
}
