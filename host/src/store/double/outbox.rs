//! Owns the outbox of the store that tests use. Must not be kinder than a real one.

use super::{Contents, Double, locked};
use crate::clock::Timestamp;
use crate::ids::TaskId;
use crate::store::Answer;
use crate::store::outbox::{Due, KEPT_ATTEMPTS, Outbox, Record, Resent};
use crate::task::Task;
use crate::task::callback::{Attempt, Delivery, Progress, Standing};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::Notify;

/// The deliveries by number.
#[derive(Default)]
pub struct Deliveries {
    last: i64,
    rows: BTreeMap<i64, Row>,
}

struct Row {
    id: TaskId,
    due: Due,
    next: Option<Timestamp>,
    attempts: Vec<Attempt>,
}

impl Deliveries {
    fn enter(&mut self, mut row: Row) {
        self.last += 1;
        row.due.number = self.last;
        self.rows.insert(self.last, row);
    }

    /// A task has ended.
    pub fn entered(&mut self, task: &Task) -> bool {
        let (Some(callback), Some(at)) = (&task.invocation.callback, task.completed) else { return false };
        let bytes = task.result.as_ref().map_or(0, |result| result.as_str().len());
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let due = Due { number: 0, at, host: callback.host.as_str().into(), made: 0, begun: 0, bytes };
        self.enter(Row { id: task.id.clone(), due, next: Some(at), attempts: Vec::new() });
        true
    }

    /// Whether an attempt is due.
    pub fn is_due(&self, id: &TaskId) -> bool {
        self.rows.values().any(|row| row.id == *id && row.next.is_some())
    }

    /// A task is removed.
    pub fn forget(&mut self, id: &TaskId) {
        self.rows.retain(|_, row| row.id != *id);
    }

    fn pending(&self) -> Vec<Due> {
        let due = |row: &Row| row.next.map(|at| Due { at, ..row.due.clone() });
        self.rows.values().filter_map(due).collect()
    }

    fn sorted(&self, keep: impl Fn(&Due) -> bool, limit: usize) -> Vec<Due> {
        let mut due: Vec<Due> = self.pending().into_iter().filter(keep).collect();
        due.sort_by_key(|due| (due.at, due.number));
        due.truncate(limit);
        due
    }
}

impl Contents {
    fn set_progress(&mut self, id: &TaskId, standing: Standing, made: u32) {
        if let Some(kept) = self.tasks.get_mut(id) {
            kept.task.delivery = Some(Progress { standing, made });
        }
    }

    fn record(&mut self, record: Record) -> bool {
        let Some(row) = self.deliveries.rows.get_mut(&record.number) else { return false };
        if row.next.is_none() || row.due.made != record.made_before {
            return false;
        }
        row.due.made += 1;
        row.next = record.next;
        row.attempts.push(record.attempt);
        let surplus = row.attempts.len().saturating_sub(KEPT_ATTEMPTS);
        row.attempts.drain(..surplus);
        let (id, made) = (row.id.clone(), row.due.made);
        self.set_progress(&id, record.standing, made);
        true
    }

    fn resend(&mut self, id: &TaskId, at: Timestamp) -> Resent {
        match self.tasks.get(id).map(|kept| &kept.task) {
            Some(task) if task.invocation.callback.is_some() && !task.state.is_final() => return Resent::NotEnded,
            Some(task) if task.invocation.callback.is_some() => {}
            _ => return Resent::NoCallback,
        }
        if self.deliveries.is_due(id) {
            return Resent::Busy;
        }
        let number = self.deliveries.rows.values().find(|row| row.id == *id).map(|row| row.due.number);
        let Some(mut row) = number.and_then(|number| self.deliveries.rows.remove(&number)) else {
            return Resent::NotEnded;
        };
        row.due.begun = row.due.made;
        row.next = Some(at);
        let made = row.due.made;
        self.deliveries.enter(row);
        self.set_progress(id, Standing::Running, made);
        Resent::Queued
    }

    fn delivery(&self, id: &TaskId) -> Option<Delivery> {
        let task = self.tasks.get(id).map(|kept| &kept.task).filter(|task| task.invocation.callback.is_some())?;
        let row = self.deliveries.rows.values().find(|row| row.id == *id);
        Some(Delivery {
            progress: task.delivery.unwrap_or(Progress::NONE),
            next: row.and_then(|row| row.next),
            attempts: row.map(|row| row.attempts.clone()).unwrap_or_default(),
        })
    }
}

impl Outbox for Double {
    fn news(&self) -> Arc<Notify> {
        Arc::clone(&self.news)
    }

    fn extent(&self) -> Answer<'_, (i64, i64)> {
        self.read(None, |contents| {
            (contents.deliveries.last, i64::try_from(contents.deliveries.pending().len()).unwrap_or(i64::MAX))
        })
    }

    fn entered(&self, after: i64, limit: usize) -> Answer<'_, Vec<Due>> {
        self.read(None, move |contents| {
            contents.deliveries.pending().into_iter().filter(|due| due.number > after).take(limit).collect()
        })
    }

    fn due(&self, after: (Timestamp, i64), limit: usize) -> Answer<'_, Vec<Due>> {
        self.read(None, move |contents| contents.deliveries.sorted(|due| (due.at, due.number) > after, limit))
    }

    fn due_at(&self, host: Arc<str>, until: Timestamp, limit: usize) -> Answer<'_, Vec<Due>> {
        self.read(None, move |contents| contents.deliveries.sorted(|due| due.host == host && due.at <= until, limit))
    }

    fn hosts(&self, after: Arc<str>, limit: usize) -> Answer<'_, Vec<Arc<str>>> {
        self.read(None, move |contents| {
            let mut hosts: Vec<Arc<str>> = contents.deliveries.pending().into_iter().map(|due| due.host).collect();
            hosts.sort();
            hosts.dedup();
            hosts.into_iter().filter(|host| *host > after).take(limit).collect()
        })
    }

    fn dispatched(&self, number: i64) -> Answer<'_, Option<Task>> {
        self.read(None, move |contents| {
            let row = contents.deliveries.rows.get(&number).filter(|row| row.next.is_some())?;
            contents.tasks.get(&row.id).map(|kept| kept.task.clone())
        })
    }

    fn record(&self, record: Record) -> Answer<'_, bool> {
        self.read(None, move |contents| contents.record(record))
    }

    fn delivery(&self, id: &TaskId) -> Answer<'_, Option<Delivery>> {
        let id = id.clone();
        self.read(None, move |contents| contents.delivery(&id))
    }

    fn resend(&self, id: &TaskId, at: Timestamp) -> Answer<'_, Resent> {
        let resent = locked(&self.contents).resend(id, at);
        if resent == Resent::Queued {
            self.news.notify_one();
        }
        Box::pin(async move { Ok(resent) })
    }
}
