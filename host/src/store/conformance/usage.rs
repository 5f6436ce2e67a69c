//! Owns the part of the suite about what tenants use. Must not know which database is behind the store.

use super::{Shared, at, claim, ending, json, new_id, new_task, outbox, stored};
use crate::ids::TaskId;
use crate::store::outbox::Record;
use crate::store::usage::TASK_BYTES;
use crate::store::{Note, PURGE_BATCH, Scope, Store, TenantUse};
use crate::task::callback::{Attempt, Standing};
use crate::task::event::{OVERHEAD, TaskEvent};
use crate::task::state::Event;
use crate::task::{Ending, Invocation, Sse, Task};
use crate::value::Json;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const TENANTS: [Option<&str>; 4] = [None, Some("a"), Some("a-b"), Some("ä")];

#[derive(Debug, Clone)]
enum Step {
    Insert { tenant: usize, followed: bool, called_back: bool, input: usize },
    Claim { task: usize, events: usize },
    Note { task: usize, log: Option<usize>, events: usize, keep: Option<u32> },
    Finish { task: usize, event: Event, size: usize, log: usize, events: usize },
    Deliver,
    Purge { before: i64 },
    Evict { tenant: usize, keep: u64 },
    Write { tenant: usize, name: u8, size: usize, most: u64 },
    Init { tenant: usize, name: u8 },
    Remove { tenant: usize, name: u8, expected: Option<u64> },
}

fn any_step() -> impl Strategy<Value = Step> {
    let (tenant, task, size) = (0..TENANTS.len(), 0..8_usize, 0..3_000_usize);
    let few = 0..4_usize;
    let event = proptest::sample::select(&[Event::Complete, Event::Fail, Event::Abort][..]);
    let name = 0..4_u8;
    prop_oneof![
        3 => (tenant.clone(), any::<bool>(), any::<bool>(), size.clone()).prop_map(
            |(tenant, followed, called_back, input)| Step::Insert { tenant, followed, called_back, input }),
        3 => (task.clone(), few.clone()).prop_map(|(task, events)| Step::Claim { task, events }),
        4 => (task.clone(), proptest::option::of(size.clone()), few.clone(), proptest::option::of(0..3_u32)).prop_map(
            |(task, log, events, keep)| Step::Note { task, log, events, keep }),
        3 => (task, event, size.clone(), prop_oneof![Just(0), 1..999_usize], few).prop_map(
            |(task, event, size, log, events)| Step::Finish { task, event, size, log, events }),
        1 => Just(Step::Deliver),
        1 => (0..60_i64).prop_map(|before| Step::Purge { before }),
        1 => (tenant.clone(), 0..9_000_u64).prop_map(|(tenant, keep)| Step::Evict { tenant, keep }),
        2 => (tenant.clone(), name.clone(), size, 0..6_000_u64).prop_map(
            |(tenant, name, size, most)| Step::Write { tenant, name, size, most }),
        1 => (tenant.clone(), name.clone()).prop_map(|(tenant, name)| Step::Init { tenant, name }),
        1 => (tenant, name, proptest::option::of(1..4_u64)).prop_map(
            |(tenant, name, expected)| Step::Remove { tenant, name, expected }),
    ]
}

fn text_of(bytes: usize) -> Json {
    Json::from_serialize(&"x".repeat(bytes)).expect("JSON")
}

fn events_of(count: usize) -> Vec<TaskEvent> {
    (0..count).map(|number| TaskEvent::custom("said".into(), text_of(number * 10))).collect()
}

fn task_of(tenant: Option<&str>, input: usize) -> Task {
    let mut task = new_task();
    let tenant = tenant.map(Into::into);
    task.invocation = Arc::new(Invocation { input: text_of(input), tenant, ..(*task.invocation).clone() });
    task
}

fn name_of(tenant: Option<&str>, name: u8) -> String {
    tenant.map_or(format!("v{name}"), |tenant| format!("{tenant}:v{name}"))
}

fn finished(event: Event, moment: i64, size: usize, log: usize, events: usize) -> Ending {
    let end = ending(event, moment);
    let result = end.result.is_some().then(|| text_of(size));
    let error = end.error.is_some().then(|| "ö".repeat(size).into());
    Ending { result, error, log: "l".repeat(log), events: events_of(events), ..end }
}

/// Every delivery is over.
async fn deliver(store: &dyn Store) {
    for due in store.entered(0, 999).await.expect("reads") {
        let attempt = Attempt { at: at(1), status: Some(200), error: None, took: Duration::ZERO };
        let standing = Standing::Completed;
        let record = Record { number: due.number, made_before: due.made, attempt, standing, next: None };
        assert!(store.record(record).await.expect("records"));
    }
}

async fn apply(store: &dyn Store, ids: &mut Vec<TaskId>, step: &Step, moment: i64) {
    let nth = |task: usize| ids.iter().rev().nth(task).cloned().unwrap_or_else(new_id);
    match step.clone() {
        Step::Insert { tenant, followed, called_back, input } => {
            let mut task = task_of(TENANTS[tenant], input);
            let sse = followed.then(|| Sse { url: None, group: None, send_result: false });
            let callback = called_back.then(|| Box::new(outbox::callback("a:80")));
            task.invocation = Arc::new(Invocation { sse, callback, ..(*task.invocation).clone() });
            store.insert(&task).await.expect("inserts");
            assert!(store.insert(&task).await.is_err(), "there is one already");
            ids.push(task.id);
        }
        Step::Claim { task, events } => {
            let claim = claim(&nth(task), 0, moment);
            store.claim(crate::store::Claim { events: events_of(events), ..claim }).await.map(drop).expect("answers");
        }
        Step::Note { task, log, events, keep } => {
            let log = log.map(|bytes| "n".repeat(bytes));
            let note = Note { id: nth(task), attempt: 1, progress: Some(7.0), log, events: events_of(events), keep };
            store.note(vec![note]).await.expect("notes");
        }
        Step::Finish { task, event, size, log, events } => {
            for attempt in 0..2 {
                let end = finished(event, moment, size, log, events);
                store.finish(&nth(task), attempt, &end).await.map(drop).expect("answers");
            }
        }
        Step::Deliver => deliver(store).await,
        Step::Purge { before } => drop(store.purge(at(before), at(before)).await.expect("purges")),
        Step::Evict { tenant, keep } => {
            store.evict(TENANTS[tenant].unwrap_or("nobody"), keep).await.map(drop).expect("evicts");
        }
        Step::Write { tenant, name, size, most } => {
            drop(store.set_variable(name_of(TENANTS[tenant], name), text_of(size), most).await);
        }
        Step::Init { tenant, name } => {
            let initial = [name, name + 1].map(|name| (name_of(TENANTS[tenant], name), json("1")));
            store.init_variables(initial.to_vec()).await.expect("writes");
        }
        Step::Remove { tenant, name, expected } => {
            drop(store.remove_variable(name_of(TENANTS[tenant], name), expected).await);
        }
    }
}

/// What there is, counted from what can be read.
async fn recounted(store: &dyn Store, ids: &[TaskId]) -> Vec<TenantUse> {
    let mut found: BTreeMap<String, TenantUse> = BTreeMap::new();
    let none = |name: &str| TenantUse { name: name.into(), tasks: 0, bytes: 0, variables: 0, variable_bytes: 0 };
    for id in ids {
        let Some(task) = store.get(id).await.expect("reads") else { continue };
        let Some(tenant) = task.invocation.tenant.as_deref() else { continue };
        let log = store.log(id).await.expect("reads").expect("is there");
        let events = store.replay(0, Scope::Task(id.clone())).await.expect("reads").events;
        let events: usize = events.iter().map(|event| OVERHEAD + event.data.as_str().len()).sum();
        let result = task.result.as_ref().map_or(0, |result| result.as_str().len());
        let error = task.error.as_ref().map_or(0, |error| error.len());
        let invocation = serde_json::to_string(&*task.invocation).expect("JSON").len();
        let used = found.entry(tenant.into()).or_insert_with(|| none(tenant));
        used.tasks += 1;
        used.bytes += TASK_BYTES + (invocation + result + error + log.len() + events) as u64;
    }
    for name in store.variable_names(None).await.expect("reads") {
        let Some((tenant, _)) = name.split_once(':') else { continue };
        let value = store.variable(name.clone()).await.expect("reads").expect("is there").value;
        let used = found.entry(tenant.into()).or_insert_with(|| none(tenant));
        used.variables += 1;
        used.variable_bytes += (name.len() + value.as_str().len()) as u64;
    }
    found.into_values().collect()
}

pub async fn any_history_is_charged_exactly(store: Shared) {
    let mut runner = TestRunner::deterministic();
    let mut ids = Vec::new();
    for _ in 0..40 {
        let history = proptest::collection::vec(any_step(), 20).new_tree(&mut runner).expect("a history").current();
        for (step, moment) in history.iter().zip(1..) {
            apply(&*store, &mut ids, step, moment).await;
            let used = store.usage().await.expect("reads");
            assert_eq!(used, recounted(&*store, &ids).await, "after {step:?} of {history:?}");
        }
    }
    assert!(ids.len() > 50);
    deliver(&*store).await;
    for id in &ids {
        store.finish(id, 0, &ending(Event::Abort, 1)).await.expect("answers");
        store.finish(id, 1, &ending(Event::Abort, 1)).await.expect("answers");
    }
    deliver(&*store).await;
    while store.purge(at(99), at(99)).await.expect("purges") > 0 {}
    for name in store.variable_names(None).await.expect("reads") {
        assert_eq!(store.remove_variable(name, None).await, Ok(true));
    }
    assert_eq!(store.usage().await.expect("reads"), [], "nothing is left");
}

/// A task that has ended at this moment, and how much it takes.
async fn ended(store: &dyn Store, tenant: &str, moment: i64) -> TaskId {
    let task = task_of(Some(tenant), 100);
    store.insert(&task).await.expect("inserts");
    assert!(store.finish(&task.id, 0, &ending(Event::Abort, moment)).await.expect("finishes"));
    task.id
}

async fn bytes(store: &dyn Store, tenant: &str) -> u64 {
    let usage = store.usage().await.expect("reads");
    usage.iter().find(|used| *used.name == *tenant).map_or(0, |used| used.bytes)
}

pub async fn the_tenants_oldest_ended_tasks_go_first(store: Shared) {
    let open = task_of(Some("a"), 5_000);
    store.insert(&open).await.expect("inserts");
    let mut waiting = task_of(Some("a"), 100);
    let callback = Some(Box::new(outbox::callback("a:80")));
    waiting.invocation = Arc::new(Invocation { callback, ..(*waiting.invocation).clone() });
    store.insert(&waiting).await.expect("inserts");
    assert!(store.finish(&waiting.id, 0, &ending(Event::Abort, 1)).await.expect("finishes"));
    let before = bytes(&*store, "a").await;
    let moments = [30, 10, 20, 40];
    let mut ids = Vec::new();
    for moment in moments {
        ids.push(ended(&*store, "a", moment).await);
        ended(&*store, "b", moment).await;
    }
    let (all, others) = (bytes(&*store, "a").await, bytes(&*store, "b").await);
    let each = (all - before) / 4;
    assert_eq!(store.evict("a", all).await.expect("evicts"), 0, "it has room");
    assert_eq!(store.evict("a", all - 1).await.expect("evicts"), 1);
    assert_eq!(store.get(&ids[1]).await.expect("reads"), None, "the oldest");
    assert_eq!(store.evict("a", before + each).await.expect("evicts"), 2);
    stored(&*store, &ids[3]).await;
    assert_eq!(store.evict("a", 0).await.expect("evicts"), 1);
    assert_eq!(store.evict("a", 0).await.expect("evicts"), 0, "the rest is open, or called back for");
    assert_eq!(bytes(&*store, "a").await, before);
    stored(&*store, &open.id).await;
    stored(&*store, &waiting.id).await;
    assert_eq!(bytes(&*store, "b").await, others, "nobody else's");
    deliver(&*store).await;
    assert_eq!(store.evict("a", 0).await.expect("evicts"), 1);
    assert_eq!(store.evict("nobody", 0).await.expect("evicts"), 0);
}

pub async fn evictions_are_bounded(store: Shared) {
    let tasks: Vec<Task> = (0..PURGE_BATCH + 50).map(|_| task_of(Some("a"), 1)).collect();
    futures_util::future::join_all(tasks.iter().map(|task| store.insert(task))).await;
    let end = ending(Event::Abort, 1);
    let ended = futures_util::future::join_all(tasks.iter().map(|task| store.finish(&task.id, 0, &end))).await;
    assert!(ended.iter().all(|done| *done.as_ref().expect("answers")));
    assert_eq!(store.evict("a", 0).await.expect("evicts"), PURGE_BATCH);
    assert_eq!(store.evict("a", 0).await.expect("evicts"), 50);
    assert_eq!(store.usage().await.expect("reads"), []);
}
