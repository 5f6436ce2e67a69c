//! Owns the tasks that have not ended, as everybody in this process sees them.
//! Must not know how they run. What it shows is in the store already: store first, then publish.

use super::backlog::Backlog;
use super::forward::{Forward, RouteRoom};
use super::pump::Pump;
use crate::clock::{Clock, Timestamp};
use crate::executor::{Cancel, EventSink};
use crate::ids::TaskId;
use crate::route::Route;
use crate::store::Note;
use crate::task::Task;
use crate::task::event::TaskEvent;
use crate::task::log::{Level, Line, LogBuffer};
use crate::task::progress::{Meter, Step};
use crate::task::state::State;
use crate::value::Json;
use futures_util::future::BoxFuture;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// How often the progress of a running task is stored.
const PROGRESS_NOTED: Duration = Duration::from_secs(1);
/// How often its log is.
const LOG_NOTED: Duration = Duration::from_secs(5);

/// One task that has not ended, or has just ended.
pub struct Live {
    /// Its route, as it was when the task was submitted.
    pub route: Arc<Route>,
    id: TaskId,
    /// Stops it.
    pub cancel: Arc<Cancel>,
    clock: Arc<dyn Clock>,
    published: watch::Sender<Arc<Task>>,
    said: Mutex<Said>,
    pump: Arc<Pump>,
    /// Whether the pump knows that something was said.
    marked: AtomicBool,
    /// Held by whoever stores what was said: the order of a task's events is that of its writes.
    pub turn: Arc<tokio::sync::Mutex<()>>,
    /// Notified once there is room for events again.
    pub room: Notify,
    /// Takes lines to this host's own log.
    forward: Forward,
    /// Nobody in this process will publish anything more.
    left: CancellationToken,
}

/// What a task has said before this process drives it.
pub struct Before {
    /// Its log.
    pub log: LogBuffer,
    /// The sizes of its events that are kept, oldest first.
    pub events: Vec<usize>,
}

/// What the guests of a task have said.
struct Said {
    meter: Meter,
    log: LogBuffer,
    /// What followers have not been told; `None`: nobody can follow.
    backlog: Option<Backlog>,
    /// The progress that the store has, and since when.
    noted: (Option<f64>, Timestamp),
    /// The number of the last line that the store has, and since when.
    log_noted: (u64, Timestamp),
}

impl Said {
    fn of(task: &Task, Before { log, events }: Before, now: Timestamp) -> Self {
        Self {
            meter: Meter::at(task.progress),
            backlog: task.invocation.sse.as_ref().map(|_| Backlog::after(task.progress, &events)),
            noted: (task.progress, now),
            log_noted: (log.last(), now),
            log,
        }
    }

    /// What followers have not been told, the progress of now included; `None`: nobody can follow.
    fn backlog(&mut self, now: Timestamp) -> Option<&mut Backlog> {
        let backlog = self.backlog.as_mut()?;
        backlog.progress(self.meter.percent(now));
        Some(backlog)
    }

    /// What the store is to know now; with `at_once`, whatever it does not know yet.
    fn unnoted(&mut self, now: Timestamp, at_once: bool) -> (Option<f64>, Option<String>) {
        let is_due = |since: Timestamp, often: Duration| at_once || now >= since.after(often);
        let percent = self.meter.percent(now).filter(|_| is_due(self.noted.1, PROGRESS_NOTED));
        let percent = percent.filter(|percent| self.noted.0 != Some(*percent));
        if percent.is_some() {
            self.noted = (percent, now);
        }
        let has_lines = self.log.last() != self.log_noted.0 && is_due(self.log_noted.1, LOG_NOTED);
        let log = has_lines.then(|| self.log.to_json_lines());
        if has_lines {
            self.log_noted = (self.log.last(), now);
        }
        (percent, log)
    }
}

impl Live {
    /// A task that is in the store as `task`.
    pub fn new(
        task: Task,
        route: Arc<Route>,
        clock: Arc<dyn Clock>,
        pump: Arc<Pump>,
        forwarded: Arc<RouteRoom>,
        before: Before,
    ) -> Arc<Self> {
        let said = Mutex::new(Said::of(&task, before, clock.now()));
        Arc::new(Self {
            id: task.id.clone(),
            forward: Forward::new(task.id.clone(), &route, forwarded),
            route,
            cancel: Arc::default(),
            clock,
            published: watch::Sender::new(Arc::new(task)),
            said,
            pump,
            marked: AtomicBool::new(false),
            turn: Arc::default(),
            room: Notify::new(),
            left: CancellationToken::new(),
        })
    }

    /// Its id.
    pub fn id(&self) -> &TaskId {
        &self.id
    }

    /// The record that was published last.
    pub fn task(&self) -> Arc<Task> {
        Arc::clone(&self.published.borrow())
    }

    /// The record with the progress as it stands now.
    pub fn snapshot(&self) -> Arc<Task> {
        let task = self.task();
        match self.reached() {
            Some(percent) if !task.state.is_final() => Arc::new(Task { progress: Some(percent), ..(*task).clone() }),
            _ => task,
        }
    }

    /// Shows a record that is in the store.
    pub fn publish(&self, task: Task) {
        debug_assert_eq!(task.check(), Ok(()));
        self.published.send_replace(Arc::new(task));
    }

    /// Resolves to the final record; to `None` when this process lets go of the task before it has ended.
    pub async fn ended(&self) -> Option<Arc<Task>> {
        let mut records = self.published.subscribe();
        tokio::select! {
            biased;
            ended = records.wait_for(|task| task.state.is_final()) => ended.ok().map(|task| Arc::clone(&task)),
            () = self.left.cancelled() => None,
        }
    }

    /// Per cent done, once the guest has said anything.
    pub fn reached(&self) -> Option<f64> {
        self.said().meter.percent(self.clock.now())
    }

    /// The captured log as JSON lines.
    pub fn log_lines(&self) -> String {
        self.said().log.to_json_lines()
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What its followers have not been told yet. Whoever asks holds [`Self::turn`], and tells the store.
    pub fn untold(&self) -> Vec<TaskEvent> {
        let now = self.clock.now();
        self.said().backlog(now).map(Backlog::take).unwrap_or_default()
    }

    /// What the store is to be told now.
    pub fn note(&self, now: Timestamp) -> Option<Note> {
        // Whatever is said from here on is marked anew.
        self.marked.store(false, Ordering::Release);
        self.note_of(now, false)
    }

    /// Everything that the store has not been told.
    pub fn last_note(&self) -> Option<Note> {
        self.note_of(self.clock.now(), true)
    }

    fn note_of(&self, now: Timestamp, at_once: bool) -> Option<Note> {
        let task = self.task();
        if task.state != State::Running {
            return None;
        }
        let mut said = self.said();
        let told = said.backlog(now).map(|backlog| (backlog.take(), backlog.trim()));
        let (events, keep) = told.unwrap_or_default();
        let (progress, log) = said.unnoted(now, at_once);
        let is_empty = events.is_empty() && progress.is_none() && log.is_none();
        let (id, attempt) = (self.id.clone(), task.attempt);
        (!is_empty).then_some(Note { id, attempt, progress, log, events, keep })
    }

    /// Whether there will be something to tell even if the guest says nothing more.
    pub fn has_more(&self, now: Timestamp) -> bool {
        let said = self.said();
        let is_unnoted = said.meter.percent(now) != said.noted.0 || said.log.last() != said.log_noted.0;
        (is_unnoted || said.meter.runs(now)) && !self.task().state.is_final()
    }

    fn mark(&self) {
        if !self.marked.load(Ordering::Relaxed) && !self.marked.swap(true, Ordering::AcqRel) {
            self.pump.mark(self.id.clone());
        }
    }
}

impl EventSink for Live {
    fn progress(&self, step: Step) {
        self.said().meter.apply(step, self.clock.now());
        self.mark();
    }

    fn percent(&self) -> f64 {
        self.reached().unwrap_or(0.0)
    }

    fn log(&self, level: Level, message: String, fields: Vec<(String, String)>) {
        let rules = &self.route.logs;
        if level < rules.level {
            return;
        }
        let now = self.clock.now();
        let line = Line::new(now, level, message, fields, rules.line);
        self.forward.line(&line);
        {
            let mut said = self.said();
            said.backlog(now);
            let Said { log, backlog, .. } = &mut *said;
            let line = log.push(line);
            if let Some(backlog) = backlog {
                backlog.log(line);
            }
        }
        self.mark();
    }

    fn event(&self, name: String, data: Json) {
        {
            let now = self.clock.now();
            let mut said = self.said();
            let Some(backlog) = said.backlog(now) else { return };
            backlog.event(name, data);
        }
        self.mark();
    }

    fn room(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            loop {
                let roomy = self.room.notified();
                if self.said().backlog.as_ref().is_none_or(Backlog::has_room) {
                    return;
                }
                roomy.await;
            }
        })
    }
}

/// All live tasks by id.
#[derive(Default)]
pub struct Board(Mutex<HashMap<TaskId, Arc<Live>>>);

impl Board {
    /// A live task.
    pub fn find(&self, id: &TaskId) -> Option<Arc<Live>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// Shows a task to everybody.
    pub fn add(&self, id: TaskId, live: Arc<Live>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id, live);
    }

    /// Takes a task off: the store has its end, or this process lets go of it. Whoever waits for its end is told.
    pub fn remove(&self, id: &TaskId) {
        let removed = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        if let Some(live) = removed {
            live.left.cancel();
        }
    }

    /// All live tasks.
    pub fn all(&self) -> Vec<Arc<Live>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}
