//! Owns the seam to the outbox: the deliveries of callbacks, which begin with their tasks' ends, in the same transaction.
//! Must not know how a delivery is made, or when the next attempt is due.

use super::Answer;
use crate::clock::Timestamp;
use crate::ids::TaskId;
use crate::task::Task;
use crate::task::callback::{Attempt, Delivery, Standing};
use std::sync::Arc;
use tokio::sync::Notify;

/// How many attempts are kept of a delivery, the newest.
pub const KEPT_ATTEMPTS: usize = 20;

/// A delivery whose next attempt has a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Its number: later ones have greater numbers, and none is given twice.
    pub number: i64,
    /// When it is due.
    pub at: Timestamp,
    /// The receiver's host and port.
    pub host: Arc<str>,
    /// Attempts made.
    pub made: u32,
    /// How many of them were made before it was sent anew.
    pub begun: u32,
    /// The size of the task's result.
    pub bytes: u32,
}

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The delivery.
    pub number: i64,
    /// How many attempts were made before; the record is void when the stored number differs.
    pub made_before: u32,
    /// The attempt.
    pub attempt: Attempt,
    /// Where the delivery stands now.
    pub standing: Standing,
    /// When the next attempt is due; `None`: there is none.
    pub next: Option<Timestamp>,
}

/// What became of the wish to send a delivery again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resent {
    /// It is due.
    Queued,
    /// The task has not ended.
    NotEnded,
    /// An attempt is due or under way already.
    Busy,
    /// There is no such task, or it has no callback.
    NoCallback,
}

/// Durable deliveries. An answer means: it is on disk. A delivery is kept as long as its task, and a task as long as
/// an attempt of its delivery is due.
pub trait Outbox {
    /// Tells when a delivery may have entered. It may be missed, so that one looks from time to time all the same.
    fn news(&self) -> Arc<Notify>;
    /// The greatest number so far, and how many deliveries have an attempt that is due, now or later.
    fn extent(&self) -> Answer<'_, (i64, i64)>;
    /// Deliveries with greater numbers, in the order in which they entered.
    fn entered(&self, after: i64, limit: usize) -> Answer<'_, Vec<Due>>;
    /// Deliveries that are due after this moment, or at it with a greater number, in this order.
    fn due(&self, after: (Timestamp, i64), limit: usize) -> Answer<'_, Vec<Due>>;
    /// The earliest deliveries to a host that are due at this moment.
    fn due_at(&self, host: Arc<str>, until: Timestamp, limit: usize) -> Answer<'_, Vec<Due>>;
    /// Hosts after this one, sorted, with deliveries that are due, now or later.
    fn hosts(&self, after: Arc<str>, limit: usize) -> Answer<'_, Vec<Arc<str>>>;
    /// The task of a delivery that is due.
    fn dispatched(&self, number: i64) -> Answer<'_, Option<Task>>;
    /// Notes an attempt. `false`: the fence held it back, or the delivery is gone.
    fn record(&self, record: Record) -> Answer<'_, bool>;
    /// A task's delivery; `None`: there is no such task, or it has no callback.
    fn delivery(&self, id: &TaskId) -> Answer<'_, Option<Delivery>>;
    /// Begins a delivery that is over anew, under a new number.
    fn resend(&self, id: &TaskId, at: Timestamp) -> Answer<'_, Resent>;
}
