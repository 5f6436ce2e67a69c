//! Owns what a task's fields hold, in the form that conditions and orders compare.
//! Must not know conditions.

use super::field::Field;
use crate::clock::Timestamp;
use crate::task::Task;
use crate::task::state::State;
use crate::task::view::CallbackSettings;
use serde::Deserialize;
use std::cmp::Ordering;
use std::fmt;

/// What one field of one task holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fact<'a> {
    /// Nothing.
    Lacking,
    /// Text as it was written.
    Text(&'a str),
    /// A point in time.
    Date(Timestamp),
    /// A number.
    Number(f64),
    /// True or false.
    Boolean(bool),
    /// A state.
    State(State),
}

impl Fact<'_> {
    /// How this compares to a plain value; `None` when it has another kind.
    #[must_use]
    pub fn compare(&self, other: &Fact<'_>) -> Option<Ordering> {
        match (self, other) {
            (Self::Date(one), Fact::Date(other)) => Some(one.cmp(other)),
            (Self::Number(one), Fact::Number(other)) => one.partial_cmp(other),
            (Self::Boolean(one), Fact::Boolean(other)) => Some(one.cmp(other)),
            (Self::State(one), Fact::State(other)) => Some((*one as u8).cmp(&(*other as u8))),
            _ => None,
        }
    }
}

impl fmt::Display for Fact<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lacking => formatter.write_str("nothing"),
            Self::Text(text) => write!(formatter, "{text:?}"),
            Self::Date(at) => at.fmt(formatter),
            Self::Number(number) => number.fmt(formatter),
            Self::Boolean(truth) => truth.fmt(formatter),
            Self::State(state) => state.fmt(formatter),
        }
    }
}

/// Gives `take` what a task's field holds; `log` is the task's captured log as JSON lines.
pub fn with<T>(field: Field, task: &Task, log: &str, take: impl FnOnce(&Fact<'_>) -> T) -> T {
    let date = |at: Option<Timestamp>| at.map_or(Fact::Lacking, Fact::Date);
    let output;
    take(&match field {
        Field::Id => Fact::Text(task.id.as_str()),
        Field::Name => Fact::Text(&task.name),
        Field::Runspace => text(task.slot.as_deref()),
        Field::Output if log.is_empty() => Fact::Lacking,
        Field::Output => {
            output = messages(log);
            Fact::Text(&output)
        }
        Field::StartingTime => date(task.started),
        Field::CreationTime => Fact::Date(task.created),
        Field::CompletedTime => date(task.completed),
        Field::ExpireTime => date(task.expires),
        Field::State => Fact::State(task.state),
        Field::Error => text(task.error.as_deref()),
        Field::CallbackSettings => match task.invocation.callback.as_deref() {
            Some(callback) => {
                output = serde_json::to_string(&CallbackSettings::from(callback)).unwrap_or_default();
                Fact::Text(&output)
            }
            None => Fact::Lacking,
        },
        Field::SseGroup => text(task.invocation.sse.as_ref().and_then(|sse| sse.group.as_deref())),
        Field::EnableSse => Fact::Boolean(task.invocation.sse.is_some()),
        Field::Cancellable => Fact::Boolean(task.cancellable),
        Field::Timeout => Fact::Number(timeout(task.created, task.expires)),
        Field::User => text(task.invocation.user.as_ref().map(|user| user.id.as_str())),
        Field::Url => Fact::Text(&task.invocation.request.url),
        Field::Method => Fact::Text(&task.invocation.request.method),
        Field::Progress => task.progress.map_or(Fact::Lacking, Fact::Number),
    })
}

fn text(text: Option<&str>) -> Fact<'_> {
    text.map_or(Fact::Lacking, Fact::Text)
}

/// `Timeout`: the seconds from the creation to the expiry, -1 without one.
#[must_use]
pub fn timeout(created: Timestamp, expires: Option<Timestamp>) -> f64 {
    expires.map_or(-1.0, |expires| expires.0.saturating_sub(created.0) as f64 / 1e6)
}

/// The messages of a log, one a line; what is no log line stands as it is.
fn messages(log: &str) -> String {
    #[derive(Deserialize)]
    struct Line {
        message: String,
    }
    let mut text = String::with_capacity(log.len());
    for line in log.lines() {
        match serde_json::from_str(line) {
            Ok(Line { message }) => text.push_str(&message),
            Err(_) => text.push_str(line),
        }
        text.push('\n');
    }
    text
}
