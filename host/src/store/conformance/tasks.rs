//! Owns the part of the suite about tasks. Must not know which database is behind the store.

use super::{Shared, at, claim, ending, inserted, json, new_id, new_task, started, stored};
use crate::ids::TaskId;
use crate::principal::Principal;
use crate::store::{PURGE_BATCH, StoreError};
use crate::task::state::{Event, State};
use crate::task::{Invocation, Request, Task};
use crate::trace::TraceParent;
use crate::value::Json;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::sync::Arc;

fn any_pairs() -> impl Strategy<Value = Vec<(String, String)>> {
    proptest::collection::vec((any::<String>(), any::<String>()), 0..4)
}

fn any_invocation() -> impl Strategy<Value = Invocation> {
    let texts = || proptest::collection::vec(any::<String>(), 0..3);
    let user = (any::<String>(), texts(), texts(), texts()).prop_map(|(id, groups, roles, scopes)| Principal {
        id,
        groups,
        roles,
        scopes,
    });
    let request = (any::<String>(), any::<String>(), any_pairs(), any_pairs(), any_pairs()).prop_map(
        |(method, url, path_parameters, query, headers)| Request { method, url, path_parameters, query, headers },
    );
    let number = prop_oneof![Just("null".to_owned()), Just(" [1.0, 1e400]".to_owned()), Just("-0".to_owned())];
    let input = prop_oneof![
        number.prop_map(|text| json(&text)),
        any::<String>().prop_map(|text| Json::from_serialize(&text).unwrap())
    ];
    (input, request, proptest::option::of(user)).prop_map(|(input, request, user)| Invocation {
        input,
        request,
        user,
        tenant: None,
        traceparent: TraceParent::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        sse: None,
        callback: None,
    })
}

fn any_new_task() -> impl Strategy<Value = Task> {
    let id = "[A-Za-z0-9._~-]{100,128}".prop_map(|text| TaskId::parse(&text).expect("an id"));
    let times = (any::<i64>(), any::<Option<i64>>());
    (id, any::<String>(), any::<bool>(), times, any_invocation()).prop_map(
        |(id, name, cancellable, times, invocation)| {
            let mut task = Task::new(id, name.into(), at(times.0), Arc::new(invocation));
            task.cancellable = cancellable;
            task.expires = times.1.map(at);
            task
        },
    )
}

pub async fn a_new_task_comes_back_as_it_was(store: Shared) {
    let mut runner = TestRunner::deterministic();
    for _ in 0..100 {
        let task = any_new_task().new_tree(&mut runner).expect("a task").current();
        store.insert(&task).await.expect("inserts");
        assert_eq!(stored(&*store, &task.id).await, task);
    }
    assert_eq!(store.get(&new_id()).await.expect("reads"), None);
}

pub async fn a_duplicate_never_overwrites(store: Shared) {
    let first = new_task();
    store.insert(&first).await.expect("inserts");
    let mut second = new_task();
    second.id = first.id.clone();
    second.name = "other".into();
    let answer = store.insert(&second).await;
    assert!(matches!(&answer, Err(StoreError::Duplicate(id)) if *id == first.id), "{answer:?}");
    assert_eq!(stored(&*store, &first.id).await, first);
    assert_eq!(store.open_tasks().await.expect("reads").len(), 1);
}

pub async fn an_attempt_is_claimed_once(store: Shared) {
    let id = inserted(&*store).await;
    assert!(!store.claim(claim(&new_id(), 0, 5)).await.expect("unknown"));
    assert!(!store.claim(claim(&id, 1, 5)).await.expect("not that attempt"));
    let claims = (0..8).map(|_| store.claim(claim(&id, 0, 5)));
    let won = futures_util::future::join_all(claims).await;
    assert_eq!(won.into_iter().filter(|claimed| *claimed.as_ref().expect("answers")).count(), 1);

    let mut second = claim(&id, 1, 9);
    second.slot = "host-2/orders/7".into();
    assert!(store.claim(second).await.expect("the next attempt"));
    let task = stored(&*store, &id).await;
    assert_eq!((task.state, task.attempt, task.started), (State::Running, 2, Some(at(5))));
    assert_eq!(task.slot.as_deref(), Some("host-2/orders/7"));
}

pub async fn a_task_ends_once(store: Shared) {
    for event in [Event::Complete, Event::Fail, Event::Abort] {
        let id = started(&*store).await;
        let mut first = ending(event, 7);
        first.result = Some(json(r#" {"kept": "ä\u0000", "digits": 0.10} "#));
        first.progress = Some(33.25);
        assert!(!store.finish(&id, 0, &first).await.expect("another attempt's"));
        assert!(store.finish(&id, 1, &first).await.expect("finishes"));
        let task = stored(&*store, &id).await;
        assert_eq!((task.completed, &task.result, &task.error), (Some(at(7)), &first.result, &first.error));
        assert_eq!((Ok(task.state), task.progress), (State::Running.on(event), Some(33.25)));

        assert!(!store.finish(&id, 1, &ending(Event::Abort, 8)).await.expect("the second end"));
        assert!(!store.claim(claim(&id, 1, 8)).await.expect("after the end"));
        assert!(!store.postpone(&id, 1, at(8)).await.expect("after the end"));
        assert_eq!(stored(&*store, &id).await, task);
    }
    let unknown = store.finish(&new_id(), 0, &ending(Event::Abort, 8)).await;
    assert!(!unknown.expect("answers"));
}

pub async fn a_late_attempt_is_void(store: Shared) {
    let id = started(&*store).await;
    assert!(store.claim(claim(&id, 1, 3_000)).await.expect("another host takes over"));
    assert!(!store.postpone(&id, 1, at(9)).await.expect("answers"));
    assert!(!store.finish(&id, 1, &ending(Event::Complete, 9)).await.expect("answers"));
    assert_eq!(stored(&*store, &id).await.state, State::Running);
    assert!(store.finish(&id, 2, &ending(Event::Fail, 10)).await.expect("the owner's"));
    assert_eq!(stored(&*store, &id).await.state, State::Failed);
}

pub async fn what_has_not_started_cannot_complete(store: Shared) {
    let id = inserted(&*store).await;
    assert!(!store.finish(&id, 0, &ending(Event::Complete, 9)).await.expect("answers"));
    assert!(!store.finish(&id, 0, &ending(Event::Start, 9)).await.expect("no end at all"));
    assert!(!store.postpone(&id, 0, at(9)).await.expect("answers"));
    assert_eq!(stored(&*store, &id).await.state, State::NotStarted);
    assert!(store.finish(&id, 0, &ending(Event::Abort, 9)).await.expect("stops"));
    let task = stored(&*store, &id).await;
    assert_eq!((task.state, task.started, task.attempt), (State::Aborted, None, 0));
}

pub async fn a_postponed_attempt_waits(store: Shared) {
    let id = started(&*store).await;
    assert!(store.postpone(&id, 1, at(77)).await.expect("postpones"));
    let task = stored(&*store, &id).await;
    assert_eq!((task.state, task.due), (State::Running, Some(at(77))));
    assert!(store.claim(claim(&id, 1, 80)).await.expect("claims"));
    assert_eq!(stored(&*store, &id).await.due, None);
    assert!(store.postpone(&id, 2, at(90)).await.expect("postpones"));
    assert!(store.finish(&id, 2, &ending(Event::Abort, 85)).await.expect("stopped between attempts"));
    assert_eq!(stored(&*store, &id).await.due, None);
}

pub async fn open_tasks_come_in_the_order_of_insertion(store: Shared) {
    assert_eq!(store.open_tasks().await.expect("reads"), Vec::new());
    let (mut open, mut tasks) = (Vec::new(), Vec::new());
    for number in 0..40 {
        let mut task = new_task();
        task.created = at(-number);
        store.insert(&task).await.expect("inserts");
        tasks.push(task);
    }
    for (number, task) in tasks.iter().enumerate().rev() {
        if number % 3 > 0 {
            assert!(store.claim(claim(&task.id, 0, 5)).await.expect("claims"));
        }
        if number % 3 == 2 {
            assert!(store.finish(&task.id, 1, &ending(Event::Complete, 6)).await.expect("finishes"));
        }
    }
    for (number, task) in tasks.iter().enumerate() {
        if number % 3 < 2 {
            open.push(stored(&*store, &task.id).await);
        }
    }
    assert_eq!(store.open_tasks().await.expect("reads"), open);
}

pub async fn purge_keeps_to_both_retentions(store: Shared) {
    let waiting = inserted(&*store).await;
    let running = started(&*store).await;
    let (mut kept, mut removed) = (vec![waiting, running], Vec::new());
    for (event, limit) in [(Event::Complete, 100), (Event::Fail, 50), (Event::Abort, 50)] {
        for moment in [10, limit - 1, limit, 200] {
            let id = started(&*store).await;
            assert!(store.finish(&id, 1, &ending(event, moment)).await.expect("finishes"));
            if moment < limit { removed.push(id) } else { kept.push(id) }
        }
    }
    assert_eq!(store.purge(at(100), at(50)).await.expect("purges"), 6);
    assert_eq!(store.purge(at(100), at(50)).await.expect("purges"), 0);
    for id in &kept {
        stored(&*store, id).await;
    }
    for id in &removed {
        assert_eq!(store.get(id).await.expect("reads"), None);
        assert_eq!(store.log(id).await.expect("reads"), None);
    }
}

pub async fn purge_is_bounded(store: Shared) {
    let tasks: Vec<Task> = (0..PURGE_BATCH + 50).map(|_| new_task()).collect();
    futures_util::future::join_all(tasks.iter().map(|task| store.insert(task))).await;
    let end = ending(Event::Abort, 1);
    let ended = futures_util::future::join_all(tasks.iter().map(|task| store.finish(&task.id, 0, &end))).await;
    assert!(ended.iter().all(|done| *done.as_ref().expect("answers")));
    assert_eq!(store.purge(at(9), at(9)).await.expect("purges"), PURGE_BATCH);
    assert_eq!(store.purge(at(9), at(9)).await.expect("purges"), 50);
    let again = &tasks[0];
    store.insert(again).await.expect("a removed id is free");
    assert_eq!(&stored(&*store, &again.id).await, again);
}

pub async fn logs_are_kept_with_their_task(store: Shared) {
    let (quiet, loud) = (started(&*store).await, started(&*store).await);
    assert_eq!(store.log(&loud).await.expect("reads").as_deref(), Some(""));
    let mut end = ending(Event::Fail, 9);
    assert!(store.finish(&quiet, 1, &end).await.expect("finishes"));
    end.log = "{\"message\":\"ä\"}\n".repeat(8_000);
    assert!(store.finish(&loud, 1, &end).await.expect("finishes"));
    assert_eq!(store.log(&quiet).await.expect("reads").as_deref(), Some(""));
    assert_eq!(store.log(&loud).await.expect("reads"), Some(end.log));
    assert_eq!(store.log(&new_id()).await.expect("reads"), None);
}

pub async fn large_values_are_kept(store: Shared) {
    let large = Json::from_serialize(&"x".repeat(8 * 1024 * 1024 - 2)).expect("JSON");
    let mut task = new_task();
    task.invocation = Arc::new(Invocation { input: large.clone(), ..(*task.invocation).clone() });
    store.insert(&task).await.expect("inserts");
    assert!(store.claim(claim(&task.id, 0, 5)).await.expect("claims"));
    let mut end = ending(Event::Complete, 9);
    end.result = Some(large);
    end.log = "y".repeat(128 * 1024);
    assert!(store.finish(&task.id, 1, &end).await.expect("finishes"));
    let found = stored(&*store, &task.id).await;
    // Not assert_eq: a failure would print 16 MiB.
    assert!(found.result == end.result && found.invocation == task.invocation);
    assert_eq!(store.purge(at(10), at(10)).await.expect("purges"), 1);
}

pub async fn concurrent_inserts_are_all_stored(store: Shared) {
    let writers = (0..64).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let id = started(&*store).await;
            stored(&*store, &id).await.attempt
        })
    });
    let attempts = futures_util::future::join_all(writers).await;
    assert!(attempts.into_iter().all(|attempt| attempt.expect("no panic") == 1));
    assert_eq!(store.open_tasks().await.expect("reads").len(), 64);
}

pub async fn a_closed_store_says_so(store: Shared) {
    let queued: Vec<Task> = (0..50).map(|_| new_task()).collect();
    let inserts = futures_util::future::join_all(queued.iter().map(|task| store.insert(task)));
    let (stored, ()) = futures_util::join!(inserts, store.close());
    assert!(stored.iter().all(Result::is_ok), "what was queued before is done: {stored:?}");
    store.close().await;
    assert!(matches!(store.insert(&new_task()).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.get(&new_id()).await, Err(StoreError::Unavailable(_))));
    let write = store.set_variable("a".into(), Json::null(), u64::MAX).await;
    assert!(write.expect_err("closed").to_string().contains("closed"));
}
