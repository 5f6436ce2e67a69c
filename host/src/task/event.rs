//! Owns the events by which a task is followed: their names and what each holds.
//! Must not know who follows, or where events are kept.

use super::Task;
use super::log::Line;
use super::progress::Percent;
use super::view::AsyncTask;
use crate::value::Json;
use std::borrow::Cow;

/// A stream begins; it is no task's.
pub const OPEN: &str = "open";
/// A task has come to be, or an attempt of it has started.
pub const STATE: &str = "state";
/// How far a task has got.
pub const PROGRESS: &str = "progress";
/// A line of a task's log.
pub const LOG: &str = "log";
/// A task has ended.
pub const DONE: &str = "done";
/// So many earlier events of a task are no longer kept.
pub const MISSED: &str = "missed";
/// A stream ends before its time.
pub const ERROR: &str = "error";

/// The names that are the host's own.
pub const OWN: [&str; 7] = [OPEN, STATE, PROGRESS, LOG, DONE, MISSED, ERROR];

/// What an event costs beside its data, in bytes.
pub const OVERHEAD: usize = 128;

/// An event of a task.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskEvent {
    /// One of [`OWN`], or the guest's.
    pub name: Cow<'static, str>,
    /// What it holds.
    pub data: Json,
}

impl TaskEvent {
    /// Where the task stands; `None` when its route sends no events.
    #[must_use]
    pub fn state(task: &Task) -> Option<Self> {
        task.invocation.sse.as_ref().map(|_| Self::of(STATE, &AsyncTask::from(task).without_result()))
    }

    /// The task's end; `None` when its route sends no events.
    #[must_use]
    pub fn done(task: &Task) -> Option<Self> {
        let sse = task.invocation.sse.as_ref()?;
        let view = AsyncTask::from(task);
        Some(Self::of(DONE, &if sse.send_result { view } else { view.without_result() }))
    }

    /// Per cent done.
    #[must_use]
    pub fn progress(percent: f64) -> Self {
        Self::of(PROGRESS, &Percent(percent))
    }

    /// A line of the log.
    #[must_use]
    pub fn log(line: &Line) -> Self {
        Self::of(LOG, line)
    }

    /// One of the guest's own.
    #[must_use]
    pub fn custom(name: String, data: Json) -> Self {
        Self { name: name.into(), data }
    }

    /// How much it takes, roughly, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        OVERHEAD + self.data.as_str().len()
    }

    fn of(name: &'static str, data: &impl serde::Serialize) -> Self {
        Self { name: name.into(), data: Json::from_serialize(data).unwrap_or_else(|_| Json::null()) }
    }
}
