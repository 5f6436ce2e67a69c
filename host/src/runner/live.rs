//! Owns the tasks that have not ended, as everybody in this process sees them.
//! Must not know how they run. What it shows is in the store already: store first, then publish.

use super::forward::Forward;
use crate::clock::Clock;
use crate::executor::{Cancel, EventSink};
use crate::ids::TaskId;
use crate::route::Route;
use crate::task::Task;
use crate::task::log::{Level, Line, LogBuffer};
use crate::task::progress::{Meter, Step};
use crate::value::Json;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// One task that has not ended, or has just ended.
pub struct Live {
    /// Its route, as it was when the task was submitted.
    pub route: Arc<Route>,
    /// Stops it.
    pub cancel: Arc<Cancel>,
    clock: Arc<dyn Clock>,
    published: watch::Sender<Arc<Task>>,
    meter: Mutex<Meter>,
    log: Mutex<LogBuffer>,
    /// Takes lines to this host's own log.
    forward: Forward,
    /// Nobody in this process will publish anything more.
    left: CancellationToken,
}

impl Live {
    /// A task that is in the store as `task`.
    pub fn new(task: Task, route: Arc<Route>, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            meter: Mutex::default(),
            log: Mutex::new(LogBuffer::new(route.logs.bytes)),
            forward: Forward::new(task.id.clone(), &route),
            route,
            cancel: Arc::default(),
            clock,
            published: watch::Sender::new(Arc::new(task)),
            left: CancellationToken::new(),
        })
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
        self.meter.lock().unwrap_or_else(PoisonError::into_inner).percent(self.clock.now())
    }

    /// The captured log as JSON lines.
    pub fn log_lines(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).to_json_lines()
    }
}

impl EventSink for Live {
    fn progress(&self, step: Step) {
        self.meter.lock().unwrap_or_else(PoisonError::into_inner).apply(step, self.clock.now());
    }

    fn percent(&self) -> f64 {
        self.reached().unwrap_or(0.0)
    }

    fn log(&self, level: Level, message: String, fields: Vec<(String, String)>) {
        let rules = &self.route.logs;
        if level < rules.level {
            return;
        }
        let line = Line::new(self.clock.now(), level, message, fields, rules.line);
        self.forward.line(&line);
        self.log.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    fn event(&self, name: String, data: Json) {
        tracing::debug!(target: "task", task = %self.published.borrow().id, route = %self.route.name, event = name, ?data);
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
