//! Owns the part of the suite about events and what running attempts say. Must not know which database is behind the store.

use super::{Shared, at, claim, ending, inserted, json, new_id, new_task, started, stored};
use crate::ids::TaskId;
use crate::store::events::{EVENTS_BYTES, EVENTS_PAGE};
use crate::store::{KeptEvent, Note, Scope, Store};
use crate::task::event::{MISSED, TaskEvent};
use crate::task::state::Event;
use crate::task::{Invocation, Sse, Task};
use std::sync::Arc;

fn followed(group: Option<&str>) -> Task {
    let mut task = new_task();
    let sse = Some(Sse { url: None, group: group.map(Into::into), send_result: false });
    task.invocation = Arc::new(Invocation { sse, ..(*task.invocation).clone() });
    task
}

fn note(id: &TaskId, attempt: u32, events: impl IntoIterator<Item = TaskEvent>) -> Note {
    Note { id: id.clone(), attempt, progress: None, log: None, events: events.into_iter().collect(), keep: None }
}

fn progress(percent: u32) -> TaskEvent {
    TaskEvent::progress(f64::from(percent))
}

/// A followed task that runs: its claim told nothing.
async fn running(store: &dyn Store, group: Option<&str>) -> TaskId {
    let task = followed(group);
    store.insert(&task).await.expect("inserts");
    assert!(store.claim(claim(&task.id, 0, 2_000)).await.expect("claims"));
    task.id
}

async fn all(store: &dyn Store, scope: Scope) -> Vec<KeptEvent> {
    let (mut after, mut found) = (0, Vec::new());
    loop {
        let page = store.replay(after, scope.clone()).await.expect("reads");
        assert!(page.events.iter().all(|event| event.seq > after && event.seq <= page.seen), "{page:?}");
        found.extend(page.events);
        assert!(page.seen > after || !page.more, "it goes on");
        after = page.seen;
        if !page.more {
            return found;
        }
    }
}

fn names(events: &[KeptEvent]) -> Vec<&str> {
    events.iter().map(|event| event.name.as_str()).collect()
}

pub async fn events_are_numbered_in_the_order_of_writes(store: Shared) {
    let mut notice = store.event_notice();
    let (one, other) = (running(&*store, Some("g")).await, running(&*store, None).await);
    inserted(&*store).await;
    store.note(vec![note(&one, 1, [progress(10)]), note(&other, 1, [progress(20)])]).await.expect("notes");
    let mut end = ending(Event::Complete, 3_000);
    end.events = vec![progress(30), TaskEvent::custom("x".into(), json("[1]"))];
    assert!(store.finish(&one, 1, &end).await.expect("finishes"));
    let found = all(&*store, Scope::All).await;
    assert_eq!(names(&found), ["state", "state", "progress", "progress", "progress", "x"]);
    assert!(found.windows(2).all(|pair| pair[0].seq < pair[1].seq));
    assert_eq!(store.newest_event().await.expect("reads"), found.last().expect("some").seq);
    assert!(notice.has_changed().expect("it is open"));
    notice.mark_unchanged();
    let of = |events: Vec<KeptEvent>| events.iter().map(|event| event.data.as_str().to_owned()).collect::<Vec<_>>();
    assert_eq!(of(all(&*store, Scope::Task(one.clone())).await)[1..], ["10", "30", "[1]"]);
    assert_eq!(of(all(&*store, Scope::Group("g".into())).await)[1..], ["10", "30", "[1]"]);
    assert_eq!(all(&*store, Scope::Group("h".into())).await, []);
    assert_eq!(all(&*store, Scope::Route(Arc::clone(&found[0].route))).await, found);
    assert_eq!(all(&*store, Scope::Route("other".into())).await, []);
    assert_eq!((&found[0].task, found[0].group.as_deref()), (&one, Some("g")));
    assert!(found[0].data.as_str().contains("\"State\":\"NotStarted\""), "{:?}", found[0]);
}

pub async fn a_note_of_another_attempt_is_void(store: Shared) {
    let id = running(&*store, None).await;
    let late = Note { progress: Some(50.0), log: Some("{}\n".into()), ..note(&id, 2, [progress(50)]) };
    store.note(vec![late.clone(), note(&inserted(&*store).await, 0, [progress(1)])]).await.expect("notes");
    assert_eq!(names(&all(&*store, Scope::All).await), ["state"]);
    assert_eq!(stored(&*store, &id).await.progress, None);
    assert!(store.finish(&id, 1, &ending(Event::Abort, 3_000)).await.expect("finishes"));
    store.note(vec![Note { attempt: 1, ..late }]).await.expect("notes");
    assert_eq!(stored(&*store, &id).await.progress, None);
    assert_eq!(store.log(&id).await.expect("reads").as_deref(), Some(""));
    let mut end = ending(Event::Abort, 4_000);
    end.events = vec![progress(60)];
    assert!(!store.finish(&id, 1, &end).await.expect("answers"), "it has ended");
    assert_eq!(names(&all(&*store, Scope::All).await), ["state"]);
}

pub async fn progress_and_log_outlive_their_host(store: Shared) {
    let id = started(&*store).await;
    let said = Note { progress: Some(12.5), log: Some("{\"seq\":1}\n".into()), ..note(&id, 1, []) };
    store.note(vec![said, note(&id, 1, [])]).await.expect("notes");
    assert_eq!(stored(&*store, &id).await.progress, Some(12.5));
    assert_eq!(store.log(&id).await.expect("reads").as_deref(), Some("{\"seq\":1}\n"));
    let mut end = ending(Event::Fail, 3_000);
    end.progress = Some(12.5);
    assert!(store.finish(&id, 1, &end).await.expect("finishes"));
    assert_eq!(store.log(&id).await.expect("reads").as_deref(), Some("{\"seq\":1}\n"), "nothing was logged since");
}

pub async fn what_is_let_go_leaves_its_number(store: Shared) {
    let (id, other) = (running(&*store, None).await, running(&*store, None).await);
    store.note(vec![note(&other, 1, [progress(1)])]).await.expect("notes");
    for round in 1..=3_u32 {
        let events = (0..10).map(|count| progress(round * 10 + count));
        store.note(vec![Note { keep: Some(4), ..note(&id, 1, events) }]).await.expect("notes");
    }
    let found = all(&*store, Scope::Task(id)).await;
    assert_eq!(names(&found), [MISSED, "progress", "progress", "progress", "progress"]);
    let data: Vec<_> = found.iter().map(|event| event.data.as_str()).collect();
    // The state at its insertion is one of them.
    assert_eq!(data, ["27", "36", "37", "38", "39"]);
    assert_eq!(names(&all(&*store, Scope::Task(other)).await), ["state", "progress"]);
}

pub async fn events_go_with_their_task_and_their_numbers_with_them(store: Shared) {
    let id = running(&*store, Some("g")).await;
    assert!(store.finish(&id, 1, &ending(Event::Complete, 3_000)).await.expect("finishes"));
    let newest = store.newest_event().await.expect("reads");
    assert_eq!(store.purge(at(9_000), at(9_000)).await.expect("purges"), 1);
    assert_eq!(all(&*store, Scope::All).await, []);
    assert_eq!(store.newest_event().await.expect("reads"), newest);
    running(&*store, None).await;
    assert_eq!(all(&*store, Scope::All).await[0].seq, newest + 1);
}

pub async fn pages_of_events_are_bounded(store: Shared) {
    let id = running(&*store, None).await;
    let many = u32::try_from(EVENTS_PAGE).expect("few") + 100;
    store.note(vec![note(&id, 1, (0..many).map(|_| progress(1)))]).await.expect("notes");
    let page = store.events(0).await.expect("reads");
    assert_eq!((page.events.len(), page.more), (EVENTS_PAGE, true));
    assert_eq!(all(&*store, Scope::Task(id.clone())).await.len(), many as usize + 1);
    let large = json(&format!("\"{}\"", "x".repeat(EVENTS_BYTES / 2)));
    let events = (0..5).map(|_| TaskEvent::custom("large".into(), large.clone()));
    store.note(vec![note(&id, 1, events)]).await.expect("notes");
    assert_eq!(all(&*store, Scope::All).await.len(), many as usize + 6);
    let newest = store.newest_event().await.expect("reads");
    assert_eq!(store.last_event(&id).await.expect("reads"), Some((newest, "large".to_owned())));
    assert_eq!(store.last_event(&new_id()).await.expect("reads"), None);
}

pub async fn what_is_far_behind_others_is_found(store: Shared) {
    let other = running(&*store, Some("other")).await;
    store.note(vec![note(&other, 1, (0..45_000).map(|_| progress(1)))]).await.expect("notes");
    let id = running(&*store, Some("g")).await;
    store.note(vec![note(&id, 1, [progress(7)])]).await.expect("notes");
    let found = all(&*store, Scope::Group("g".into())).await;
    assert_eq!(names(&found), ["state", "progress"]);
    assert_eq!(all(&*store, Scope::Group("nobody".into())).await, []);
}
