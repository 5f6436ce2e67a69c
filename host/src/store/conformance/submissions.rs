//! Owns the part of the suite about submissions with an idempotency key. Must not know which database is behind the store.

use super::{Shared, at, ending, json, new_task, stored};
use crate::principal::Principal;
use crate::store::{StoreError, Submission, Submitted};
use crate::task::state::Event;
use crate::task::{Invocation, Task};
use std::sync::Arc;

fn submission(task: &Task, key: &str) -> Submission {
    Submission::of(&task.invocation, Arc::clone(&task.name), key.to_owned())
}

fn with(change: impl FnOnce(&mut Invocation)) -> Task {
    let mut task = new_task();
    let mut invocation = (*task.invocation).clone();
    change(&mut invocation);
    task.invocation = Arc::new(invocation);
    task
}

pub async fn a_repetition_is_the_same_task(store: Shared) {
    let (first, again) = (new_task(), new_task());
    let known = submission(&first, "k");
    assert_eq!(store.submitted(known.clone()).await.expect("reads"), None);
    assert_eq!(store.insert_once(&first, known.clone()).await.expect("inserts"), Submitted::New);
    let same = Submitted::Same(first.id.clone());
    assert_eq!(store.insert_once(&again, submission(&again, "k")).await.expect("answers"), same);
    assert_eq!(store.submitted(known).await.expect("reads"), Some(same));
    assert_eq!(store.get(&again.id).await.expect("reads"), None);
    for other in [
        with(|invocation| invocation.input = json("1")),
        with(|invocation| invocation.request.path_parameters[0].1 = "2".into()),
        with(|invocation| invocation.request.query.push(("a".into(), "b".into()))),
        with(|invocation| invocation.request.method = "POST".into()),
    ] {
        assert_eq!(store.insert_once(&other, submission(&other, "k")).await.expect("answers"), Submitted::Conflict);
    }
    let elsewhere = with(|invocation| invocation.request.url = "http://127.0.0.1/orders/1".into());
    let answer = store.insert_once(&elsewhere, submission(&elsewhere, "k")).await.expect("answers");
    assert_eq!(answer, Submitted::Same(first.id.clone()), "a host has many names");
    assert_eq!(stored(&*store, &first.id).await, first);
    assert_eq!(store.open_tasks().await.expect("reads").len(), 1);
}

pub async fn scopes_are_apart(store: Shared) {
    let owned = |id: &str| {
        let id = id.to_owned();
        with(|invocation| invocation.user = Some(Principal { id, ..Principal::default() }))
    };
    let mut other_route = new_task();
    other_route.name = "other".into();
    for task in [new_task(), owned(""), owned("a"), owned("b"), other_route] {
        let answer = store.insert_once(&task, submission(&task, "k")).await;
        assert_eq!(answer.expect("inserts"), Submitted::New, "{task:?}");
    }
    let task = new_task();
    assert_eq!(store.insert_once(&task, submission(&task, "K")).await.expect("keys have a case"), Submitted::New);
}

pub async fn many_at_once_are_one_task(store: Shared) {
    let submits = (0..64).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let task = new_task();
            (store.insert_once(&task, submission(&task, "k")).await.expect("answers"), task.id)
        })
    });
    let answers = futures_util::future::join_all(submits).await;
    let open = store.open_tasks().await.expect("reads");
    assert_eq!(open.len(), 1);
    let expected = |answer: &(Submitted, _)| match &answer.0 {
        Submitted::New => answer.1 == open[0].id,
        Submitted::Same(id) => *id == open[0].id,
        Submitted::Conflict => false,
    };
    assert!(answers.iter().all(|answer| expected(answer.as_ref().expect("no panic"))));
    let new = answers.iter().filter(|answer| answer.as_ref().is_ok_and(|answer| answer.0 == Submitted::New));
    assert_eq!(new.count(), 1);
}

pub async fn a_submission_goes_with_its_task(store: Shared) {
    let task = new_task();
    store.insert_once(&task, submission(&task, "k")).await.expect("inserts");
    assert!(store.finish(&task.id, 0, &ending(Event::Abort, 5)).await.expect("finishes"));
    let same = Some(Submitted::Same(task.id.clone()));
    assert_eq!(store.submitted(submission(&task, "k")).await.expect("reads"), same, "ended tasks count");
    assert_eq!(store.purge(at(9), at(9)).await.expect("purges"), 1);
    assert_eq!(store.submitted(submission(&task, "k")).await.expect("reads"), None);
    let next = with(|invocation| invocation.input = json("[]"));
    assert_eq!(store.insert_once(&next, submission(&next, "k")).await.expect("inserts"), Submitted::New);
}

pub async fn a_taken_id_keeps_nothing(store: Shared) {
    let task = new_task();
    store.insert(&task).await.expect("inserts");
    let answer = store.insert_once(&task, submission(&task, "k")).await;
    assert!(matches!(answer, Err(StoreError::Duplicate(id)) if id == task.id));
    assert_eq!(store.submitted(submission(&task, "k")).await.expect("reads"), None);
}
