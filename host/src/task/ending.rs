//! Owns how an attempt can turn out, and the sentence that a client reads for each way.
//! Must not know how a guest is run or stopped.

use super::state::Event;
use crate::value::Json;
use std::fmt;
use std::time::Duration;

/// Why a task is stopped from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum StopReason {
    /// A client stopped it.
    User = 1,
    /// Its time since creation is up.
    Timeout = 2,
    /// Its time since starting is up.
    RunTimeout = 3,
    /// The host goes down and its grace is over.
    Shutdown = 4,
}

impl StopReason {
    /// The reason with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::User, Self::Timeout, Self::RunTimeout, Self::Shutdown].into_iter().find(|reason| *reason as u8 == number)
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::User => "Aborted by the user",
            Self::Timeout => "Timeout",
            Self::RunTimeout => "Run timeout",
            Self::Shutdown => "The host shut down before the task ended",
        })
    }
}

/// What a guest, or the host for it, did wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A WebAssembly trap, in the words of the engine, with the guest's function where it is known.
    Trap(String),
    /// The call stack went past its end.
    StackOverflow,
    /// It wanted more memory than the route allows (in bytes), and then gave up.
    MemoryLimit(u64),
    /// It used up the route's `cpu_limit`.
    CpuLimit(Duration),
    /// It moved more data through host calls than one task may.
    HostCallLimit,
    /// Its answer is no JSON text, or too large, or could not be read out of its memory.
    BadResult(String),
    /// It ended itself through `wasi:cli/exit`.
    Exit(i32),
    /// It could not be started at all.
    NotRunnable(String),
    /// The host that ran it is gone.
    LostHost,
    /// Its route is no longer configured.
    RouteGone,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trap(what) => write!(formatter, "The guest trapped: {what}"),
            Self::StackOverflow => formatter.write_str("Stack overflow: the guest's calls nested too deep"),
            Self::MemoryLimit(bytes) => {
                write!(formatter, "Memory limit: the guest needed more than {} KiB", bytes / 1024)
            }
            Self::CpuLimit(limit) => write!(formatter, "CPU limit: the guest used more than {limit:?} of CPU time"),
            Self::HostCallLimit => {
                formatter.write_str("Host call limit: the guest moved too much data through host calls")
            }
            Self::BadResult(what) => write!(formatter, "Bad result: {what}"),
            Self::Exit(code) => write!(formatter, "The guest exited with code {code} instead of returning a result"),
            Self::NotRunnable(what) => write!(formatter, "The guest could not be started: {what}"),
            Self::LostHost => formatter.write_str("Host lost: the host stopped while the task was running"),
            Self::RouteGone => formatter.write_str("Route gone: the task's route is no longer configured"),
        }
    }
}

/// How one attempt turned out.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// `run` returned `ok`.
    Completed(Json),
    /// `run` returned `err`.
    Failed {
        /// The failure's message.
        message: String,
        /// The failure's detail.
        detail: Option<Json>,
    },
    /// It ended in another way.
    Fault(Fault),
    /// It was stopped, and its instance is gone.
    Stopped(StopReason),
}

impl Outcome {
    /// Whether the route's `retry` may try again.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Failed { .. } | Self::Fault(_))
    }

    /// The event, result and error that end a task with this outcome.
    #[must_use]
    pub fn into_parts(self) -> (Event, Option<Json>, Option<String>) {
        match self {
            Self::Completed(result) => (Event::Complete, Some(result), None),
            Self::Failed { message, detail } => (Event::Fail, detail, Some(message)),
            Self::Fault(fault) => (Event::Fail, None, Some(fault.to_string())),
            Self::Stopped(reason) => (Event::Abort, None, Some(reason.to_string())),
        }
    }
}
