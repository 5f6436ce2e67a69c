//! Owns what a search asks of a store and what it answers, and what any store's answer must equal.
//! Must not know how a store finds tasks.

use crate::principal::Principal;
use crate::task::Task;
use crate::task::query::Query;
use crate::task::query::field::Field;
use crate::task::query::order::{Order, Position};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How much work one page may cost unless its caller says otherwise. An answer that needs less is not held up by it.
pub const BUDGET: Duration = Duration::from_millis(500);
/// A page with more bytes of results than this takes no further task.
pub const PAGE_BYTES: usize = 8 * 1024 * 1024;

/// Whose tasks are found.
#[derive(Debug, Clone)]
pub enum Reader {
    /// Everybody's: an administrator.
    Everything,
    /// Those that this caller may read; `None` is anonymous.
    Caller(Option<Principal>),
}

impl Reader {
    /// Whether a task may be read.
    #[must_use]
    pub fn may_read(&self, task: &Task) -> bool {
        match (self, &task.permission) {
            (Self::Everything, _) | (_, None) => true,
            (Self::Caller(caller), Some(permission)) => permission.may_read(caller.as_ref()),
        }
    }
}

/// Brings what is known of a task that runs now, and is not stored before its end, into its record: the progress. It
/// answers the task's log so far, as JSON lines; `None` when the record is all there is. It must change nothing else.
pub type Live = Arc<dyn Fn(&mut Task) -> Option<String> + Send + Sync>;

/// One page of a query.
#[derive(Clone)]
pub struct Search {
    /// What to find.
    pub query: Arc<Query>,
    /// For whom.
    pub reader: Reader,
    /// In which order.
    pub order: Order,
    /// At most so many tasks.
    pub limit: usize,
    /// After this position; `None` is the first page.
    pub after: Option<Position>,
    /// How much work it may cost.
    pub budget: Duration,
    /// What is known of tasks beyond the store.
    pub live: Option<Live>,
}

impl Search {
    /// The first page of a query, newest first.
    #[must_use]
    pub fn new(query: Arc<Query>, reader: Reader, limit: usize) -> Self {
        Self { query, reader, order: Order::default(), limit, after: None, budget: BUDGET, live: None }
    }

    /// Whether a task belongs to the answer, once what is live is in it: the rule for every store. `log` is asked only
    /// when the query is about it.
    pub fn takes<E>(&self, task: &mut Task, log: impl FnOnce(&Task) -> Result<String, E>) -> Result<bool, E> {
        if !self.reader.may_read(task) {
            return Ok(false);
        }
        let live = self.live.as_ref().filter(|_| !task.state.is_final()).and_then(|live| live(task));
        let log = match live {
            _ if self.query.on(Field::Output).is_none() => String::new(),
            Some(live) => live,
            None => log(task)?,
        };
        Ok(self.query.matches(task, &log))
    }

    /// Whether a position comes after the page before.
    #[must_use]
    pub fn is_due(&self, position: &Position) -> bool {
        self.after.as_ref().is_none_or(|after| self.order.compare(position, after).is_gt())
    }
}

impl fmt::Debug for Search {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} for {:?} by {:?} after {:?}", self.query, self.reader, self.order, self.after)
    }
}

/// A page of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The tasks in their order. Fewer than the limit, even none, do not mean that there are no more.
    pub tasks: Vec<Task>,
    /// Where the next page begins; `None`: there are no more.
    pub next: Option<Position>,
}

/// The page that any store answers, out of all its tasks with their numbers and logs, within any budget.
#[must_use]
pub fn page_of(search: &Search, tasks: impl IntoIterator<Item = (i64, Task, String)>) -> Page {
    let mut found: Vec<(Position, Task)> = Vec::new();
    for (seq, mut task, log) in tasks {
        let taken: Result<bool, std::convert::Infallible> = search.takes(&mut task, |_| Ok(log));
        let position = Position { key: search.order.key(&task), seq };
        if matches!(taken, Ok(true)) && search.is_due(&position) {
            found.push((position, task));
        }
    }
    found.sort_by(|(one, _), (other, _)| search.order.compare(one, other));
    let more = found.len() > search.limit;
    found.truncate(search.limit);
    let next = found.last().filter(|_| more).map(|(position, _)| position.clone());
    Page { tasks: found.into_iter().map(|(_, task)| task).collect(), next }
}
