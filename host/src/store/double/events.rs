//! Owns the double's events. Must not be kinder than a real store.

use super::{Contents, Operation};
use crate::ids::TaskId;
use crate::store::events::{EVENTS_PAGE, Events, KeptEvent, Note, Scope};
use crate::task::Task;
use crate::task::event::{MISSED, TaskEvent};
use crate::task::state::State;
use crate::value::Json;
use std::sync::Arc;

impl Contents {
    pub(super) fn insert(&mut self, task: Task) {
        let (id, event) = (task.id.clone(), TaskEvent::state(&task));
        self.put(Operation::Insert, task);
        self.tell(&id, event.as_slice());
    }

    pub(super) fn tell(&mut self, id: &TaskId, events: &[TaskEvent]) {
        let Some(task) = self.tasks.get(id).map(|kept| kept.task.clone()) else { return };
        for event in events {
            self.last_event += 1;
            self.events.push(KeptEvent {
                seq: self.last_event,
                task: id.clone(),
                route: Arc::clone(&task.name),
                group: task.invocation.sse.as_ref().and_then(|sse| sse.group.clone()),
                permission: task.permission.clone(),
                name: event.name.to_string(),
                data: event.data.clone(),
            });
        }
    }

    pub(super) fn note(&mut self, note: Note) {
        let Some(kept) = self.tasks.get_mut(&note.id) else { return };
        if kept.task.state != State::Running || kept.task.attempt != note.attempt {
            return;
        }
        kept.task.progress = note.progress.or(kept.task.progress);
        kept.log = note.log.unwrap_or_else(|| std::mem::take(&mut kept.log));
        self.tell(&note.id, &note.events);
        if let Some(keep) = note.keep {
            self.trim(&note.id, keep as usize);
        }
    }

    fn trim(&mut self, id: &TaskId, keep: usize) {
        let mut numbers: Vec<u64> =
            self.events.iter().filter(|event| event.task == *id).map(|event| event.seq).collect();
        numbers.truncate(numbers.len().saturating_sub(keep));
        let Some(last) = numbers.last().copied() else { return };
        let goes = |event: &KeptEvent| event.task == *id && event.seq <= last;
        let missed =
            |event: &KeptEvent| if event.name == MISSED { event.data.as_str().parse().expect("a number") } else { 1 };
        let missed: u64 = self.events.iter().filter(|event| goes(event)).map(missed).sum();
        self.events.retain(|event| !goes(event) || event.seq == last);
        let marker = self.events.iter_mut().find(|event| event.seq == last).expect("kept");
        (marker.name, marker.data) = (MISSED.into(), Json::from_serialize(&missed).expect("a number"));
    }

    pub(super) fn last_event(&self, id: &TaskId) -> Option<(u64, String)> {
        self.events.iter().rev().find(|event| event.task == *id).map(|event| (event.seq, event.name.clone()))
    }

    pub(super) fn events(&self, after: u64, scope: &Scope) -> Events {
        let events = self.events.iter().filter(|event| event.seq > after && event.is_in(scope)).cloned();
        let mut events: Vec<KeptEvent> = events.take(EVENTS_PAGE + 1).collect();
        let more = events.len() > EVENTS_PAGE;
        events.truncate(EVENTS_PAGE);
        let seen = if more { events[EVENTS_PAGE - 1].seq } else { self.last_event.max(after) };
        Events { events, seen, more }
    }
}
