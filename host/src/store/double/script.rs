//! Owns what a test can have the double do: fail, hang, and tell what it wrote. Must not know what is stored.

use crate::ids::TaskId;
use crate::task::Task;
use std::collections::HashMap;
use tokio_util::sync::{CancellationToken, DropGuard};

/// What can be made to fail or to hang.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// [`Store::insert`]
    Insert,
    /// [`Store::claim`]
    Claim,
    /// [`Store::finish`]
    Finish,
    /// [`Store::postpone`]
    Postpone,
    /// [`Store::note`]
    Note,
    /// [`Store::get`]
    Get,
    /// [`Store::open_tasks`]
    OpenTasks,
}

/// A write that took effect, and the record after it.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// Which.
    pub operation: Operation,
    /// What the store says since then.
    pub record: Task,
}

/// Looks at a write before and after it takes effect: the task's records so far, oldest first. Answers what is wrong.
pub type Hook = Box<dyn Fn(&TaskId, &[Task]) -> Result<(), String> + Send + Sync>;

/// Keeps calls waiting, until dropped.
pub struct Hold {
    _released: DropGuard,
}

impl Hold {
    pub(super) fn of(token: CancellationToken) -> Self {
        Self { _released: token.drop_guard() }
    }
}

#[derive(Default)]
pub(super) struct Script {
    pub(super) failures: HashMap<Operation, u32>,
    pub(super) before: HashMap<Operation, CancellationToken>,
    pub(super) after: HashMap<Operation, CancellationToken>,
    pub(super) calls: HashMap<Operation, u32>,
    pub(super) faults: Vec<String>,
}
