//! Owns what a store is told while attempts run, and how kept events are read back.
//! Must not know who follows.

use crate::ids::TaskId;
use crate::task::access::Permission;
use crate::task::event::TaskEvent;
use crate::value::Json;
use std::sync::Arc;

/// What a running attempt has said since the last note; void once the attempt is over.
#[derive(Debug, Clone, PartialEq)]
pub struct Note {
    /// The task.
    pub id: TaskId,
    /// The attempt.
    pub attempt: u32,
    /// Per cent done, where that is to be kept now.
    pub progress: Option<f64>,
    /// The captured log as JSON lines, where that is to be kept now.
    pub log: Option<String>,
    /// Its events, in order.
    pub events: Vec<TaskEvent>,
    /// How many of the task's events are kept: earlier ones give way to one that says how many they were.
    pub keep: Option<u32>,
}

/// Which events are read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Those of one task.
    Task(TaskId),
    /// Those of the tasks of a group.
    Group(Arc<str>),
    /// Those of the tasks of a route.
    Route(Arc<str>),
    /// All.
    All,
}

/// An event as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptEvent {
    /// Its number: events of a store are counted, from 1, in the order in which they were written.
    pub seq: u64,
    /// Its task.
    pub task: TaskId,
    /// The task's route.
    pub route: Arc<str>,
    /// The task's group.
    pub group: Option<Arc<str>>,
    /// Who may read the task; `None`: everybody.
    pub permission: Option<Arc<Permission>>,
    /// The event's name.
    pub name: String,
    /// What it holds.
    pub data: Json,
}

impl KeptEvent {
    /// Whether it is one of these.
    #[must_use]
    pub fn is_in(&self, scope: &Scope) -> bool {
        match scope {
            Scope::Task(id) => self.task == *id,
            Scope::Group(group) => self.group.as_ref() == Some(group),
            Scope::Route(route) => self.route == *route,
            Scope::All => true,
        }
    }
}

/// Some events, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Events {
    /// The events.
    pub events: Vec<KeptEvent>,
    /// All events up to this number have been looked at.
    pub seen: u64,
    /// Whether there may be more behind it.
    pub more: bool,
}

/// The most events that are read at once.
pub const EVENTS_PAGE: usize = 512;
/// Reading what is new stops at so many bytes of data.
pub const EVENTS_BYTES: usize = 4 * 1024 * 1024;
/// Reading back does: it is held for each reader.
pub const REPLAY_BYTES: usize = 64 * 1024;
