//! Owns the task record: what is known of one request from its submission to its end.
//! Must not know who stores it, who runs it, or how a client sees it.

pub mod access;
pub mod callback;
pub mod ending;
pub mod event;
pub mod log;
pub mod progress;
pub mod query;
pub mod state;
pub mod view;

use crate::clock::Timestamp;
use crate::ids::TaskId;
use crate::principal::Principal;
use crate::trace::TraceParent;
use crate::value::Json;
use access::Permission;
use callback::{Callback, Progress};
use ending::Outcome;
use event::TaskEvent;
use serde::{Deserialize, Serialize};
use state::{Event, IllegalTransition, State};
use std::sync::Arc;
use std::time::Duration;

/// The HTTP request that created a task, as its guest sees it. Credentials are taken out before it gets here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The HTTP method.
    pub method: String,
    /// The absolute URL.
    pub url: String,
    /// The values of the path's parameters, decoded, in the path's order.
    pub path_parameters: Vec<(String, String)>,
    /// The query's pairs, decoded, in order.
    pub query: Vec<(String, String)>,
    /// Header fields, names in lower case, in order.
    pub headers: Vec<(String, String)>,
}

/// What a task is run on. It is stored with the task, so that another process can run it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Invocation {
    /// The request's body as JSON; `null` without one.
    pub input: Json,
    /// The request itself.
    pub request: Request,
    /// The caller; `None` is anonymous.
    pub user: Option<Principal>,
    /// The tenant that had the route; `None`: the host itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Arc<str>>,
    /// The span that the task's runs are children of: the client's, or else that of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<TraceParent>,
    /// How it can be followed; `None`: its route sends no events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sse: Option<Sse>,
    /// Whom to call when the task has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback: Option<Box<Callback>>,
}

/// How a task can be followed by server-sent events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sse {
    /// Where: its id is added at the end. `None`: no task route sends events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Together with which others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Arc<str>>,
    /// Whether its last event holds its result.
    pub send_result: bool,
}

/// One asynchronous task. Its states change only through [`Task::start`] and [`Task::end`].
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Unique for ever.
    pub id: TaskId,
    /// The route's name.
    pub name: Arc<str>,
    /// Where the task stands.
    pub state: State,
    /// Whether a client may stop it.
    pub cancellable: bool,
    /// Who may read and stop it; `None`: everybody.
    pub permission: Option<Arc<Permission>>,
    /// When the request came.
    pub created: Timestamp,
    /// When it is aborted at the latest.
    pub expires: Option<Timestamp>,
    /// When its first attempt started.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub completed: Option<Timestamp>,
    /// How many attempts have started: 0 while NotStarted. It fences every write of an attempt's end.
    pub attempt: u32,
    /// Between two attempts: when the next one may start.
    pub due: Option<Timestamp>,
    /// The pool slot of the newest attempt, `node/route/slot`.
    pub slot: Option<Arc<str>>,
    /// Per cent done, 0 to 100, once the guest has said anything of it.
    pub progress: Option<f64>,
    /// What the guest answered; of a failed task, the failure's detail.
    pub result: Option<Json>,
    /// Why it did not complete.
    pub error: Option<Arc<str>>,
    /// How far the delivery of its callback has come; `None` before its end, and without a callback.
    pub delivery: Option<Progress>,
    /// What it runs on.
    pub invocation: Arc<Invocation>,
}

/// The end of a task, as the store writes it and clients see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Ending {
    /// `Complete`, `Fail` or `Abort`.
    pub event: Event,
    /// When.
    pub at: Timestamp,
    /// See [`Task::result`].
    pub result: Option<Json>,
    /// See [`Task::error`].
    pub error: Option<Arc<str>>,
    /// See [`Task::progress`].
    pub progress: Option<f64>,
    /// The captured log as JSON lines; empty when nothing was logged that is not stored already.
    pub log: String,
    /// What its followers have not been told yet, the end itself last.
    pub events: Vec<TaskEvent>,
}

impl Ending {
    /// The end of a task whose last attempt had this outcome and reached this progress.
    #[must_use]
    pub fn of(outcome: Outcome, at: Timestamp, reached: Option<f64>, log: String) -> Self {
        let (event, result, error) = outcome.into_parts();
        let progress = if event == Event::Complete { Some(100.0) } else { reached };
        Self { event, at, result, error: error.map(Into::into), progress, log, events: Vec::new() }
    }

    /// The end with the events that tell it, after those that wait; none when the task's route sends none.
    #[must_use]
    pub fn telling(mut self, task: &Task, waiting: Vec<TaskEvent>) -> Self {
        if task.invocation.sse.is_some() {
            let mut ended = task.clone();
            if ended.end(&self).is_ok() {
                self.events = waiting;
                self.events.extend(TaskEvent::done(&ended));
            }
        }
        self
    }
}

impl Task {
    /// A task that waits for its first attempt.
    #[must_use]
    pub fn new(id: TaskId, name: Arc<str>, created: Timestamp, invocation: Arc<Invocation>) -> Self {
        Self {
            id,
            name,
            state: State::NotStarted,
            cancellable: true,
            permission: None,
            created,
            expires: None,
            started: None,
            completed: None,
            attempt: 0,
            due: None,
            slot: None,
            progress: None,
            result: None,
            error: None,
            delivery: None,
            invocation,
        }
    }

    /// The next attempt starts in `slot`.
    ///
    /// # Errors
    /// When the task has ended.
    pub fn start(&mut self, at: Timestamp, slot: Arc<str>) -> Result<(), IllegalTransition> {
        self.state = self.state.on(Event::Start)?;
        self.attempt += 1;
        self.started.get_or_insert(at);
        self.due = None;
        self.slot = Some(slot);
        Ok(())
    }

    /// The newest attempt failed and another may start after `backoff`; the state stays what it is.
    pub fn postpone(&mut self, now: Timestamp, backoff: Duration) {
        self.due = Some(now.after(backoff));
    }

    /// The task ends.
    ///
    /// # Errors
    /// When it has ended already, or completes without having started.
    pub fn end(&mut self, ending: &Ending) -> Result<(), IllegalTransition> {
        self.state = self.state.on(ending.event)?;
        self.completed = Some(ending.at);
        self.due = None;
        self.result.clone_from(&ending.result);
        self.error.clone_from(&ending.error);
        self.progress = ending.progress;
        self.delivery = self.invocation.callback.as_ref().map(|_| Progress::FIRST);
        Ok(())
    }

    /// Asserts what must hold of every record that anybody can see. Called after each step in tests and debug builds.
    ///
    /// # Errors
    /// The broken rule, in words.
    pub fn check(&self) -> Result<(), String> {
        let ended = self.state.is_final();
        let broken = [
            (ended != self.completed.is_some(), "a completion time belongs to a final state"),
            (self.state == State::NotStarted && self.attempt != 0, "no attempt before the start"),
            (self.state == State::Running && self.attempt == 0, "a running task has an attempt"),
            (self.started.is_some() != (self.attempt > 0), "a starting time belongs to an attempt"),
            (self.result.is_some() && !ended, "a result belongs to a final state"),
            (
                self.error.is_some() != matches!(self.state, State::Failed | State::Aborted),
                "an error belongs to a failure",
            ),
            (self.progress == Some(100.0) && self.state != State::Completed, "100 per cent is Completed only"),
            (self.state == State::Completed && self.result.is_none(), "a completed task has a result"),
            (
                self.delivery.is_some() != (ended && self.invocation.callback.is_some()),
                "a delivery belongs to the end of a task with a callback",
            ),
        ];
        match broken.iter().find(|(is_broken, _)| *is_broken) {
            Some((_, rule)) => Err(format!("task {}: {rule}: {self:?}", self.id)),
            None => Ok(()),
        }
    }
}
