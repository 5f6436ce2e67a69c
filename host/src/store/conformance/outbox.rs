//! Owns the part of the suite about the outbox. Must not know which database is behind the store.

use super::{Shared, at, claim, ending, new_task, stored};
use crate::ids::TaskId;
use crate::store::outbox::{Due, KEPT_ATTEMPTS, Record, Resent};
use crate::task::Invocation;
use crate::task::callback::{Attempt, Callback, Delivery, Progress, Shown, Standing};
use crate::task::state::Event;
use std::sync::Arc;
use std::time::Duration;

/// A callback to this host.
pub fn callback(host: &str) -> Callback {
    let url = format!("http://{host}/");
    Callback {
        shown: Shown { url_field: url.clone(), url: url.clone(), method: "POST".into(), headers: Vec::new() },
        url,
        host: host.into(),
        method: "POST".into(),
        content_type: "application/json".into(),
        headers: vec![("x".into(), "ä".into())],
        send_result: true,
        event: "done".into(),
    }
}

async fn waiting(store: &Shared, host: &str) -> TaskId {
    let mut task = new_task();
    let callback = Some(Box::new(callback(host)));
    task.invocation = Arc::new(Invocation { callback, ..(*task.invocation).clone() });
    store.insert(&task).await.expect("inserts");
    assert_eq!(stored(&**store, &task.id).await, task);
    task.id
}

async fn ended(store: &Shared, host: &str, moment: i64) -> TaskId {
    let id = waiting(store, host).await;
    assert!(store.claim(claim(&id, 0, 1)).await.expect("claims"));
    assert!(store.finish(&id, 1, &ending(Event::Complete, moment)).await.expect("finishes"));
    id
}

async fn entered(store: &Shared) -> Vec<Due> {
    store.entered(0, 1_000).await.expect("reads")
}

fn record(due: &Due, standing: Standing, next: Option<i64>) -> Record {
    let attempt =
        Attempt { at: at(7), status: Some(500), error: Some("ä".into()), took: Duration::from_micros(1_234_567) };
    Record { number: due.number, made_before: due.made, attempt, standing, next: next.map(at) }
}

pub async fn a_delivery_enters_with_every_end(store: Shared) {
    let waiting = waiting(&store, "a:80").await;
    let none = Delivery { progress: Progress::NONE, next: None, attempts: Vec::new() };
    assert_eq!(store.delivery(&waiting).await.expect("reads"), Some(none));
    assert_eq!(entered(&store).await, []);
    let completed = ended(&store, "a:80", 50).await;
    assert!(!store.finish(&waiting, 3, &ending(Event::Abort, 60)).await.expect("held back"));
    assert!(store.finish(&waiting, 0, &ending(Event::Abort, 60)).await.expect("aborts"));
    assert!(!store.finish(&waiting, 0, &ending(Event::Abort, 61)).await.expect("held back"));
    let plain = super::started(&*store).await;
    assert!(store.finish(&plain, 1, &ending(Event::Fail, 70)).await.expect("fails"));
    let due = entered(&store).await;
    let seen: Vec<_> = due.iter().map(|due| (due.at, &*due.host, due.made, due.begun, due.bytes)).collect();
    assert_eq!(seen, [(at(50), "a:80", 0, 0, 1), (at(60), "a:80", 0, 0, 0)]);
    assert_eq!(store.extent().await.expect("reads"), (due[1].number, 2));
    for (due, id) in due.iter().zip([&completed, &waiting]) {
        let task = store.dispatched(due.number).await.expect("reads").expect("a task");
        assert_eq!(task, stored(&*store, id).await);
        assert_eq!(task.delivery, Some(Progress::FIRST));
    }
    assert_eq!(store.delivery(&plain).await.expect("reads"), None);
    assert_eq!(stored(&*store, &plain).await.delivery, None);
    assert_eq!(store.entered(due[0].number, 9).await.expect("reads"), [due[1].clone()]);
    assert_eq!(store.entered(0, 1).await.expect("reads"), [due[0].clone()]);
}

pub async fn attempts_are_noted_once(store: Shared) {
    let id = ended(&store, "a:80", 50).await;
    let due = entered(&store).await.remove(0);
    assert!(store.record(record(&due, Standing::Running, Some(90))).await.expect("records"));
    assert!(!store.record(record(&due, Standing::Completed, None)).await.expect("the same attempt again"));
    let again = entered(&store).await.remove(0);
    assert_eq!(again, Due { made: 1, at: at(90), ..due });
    let delivery = store.delivery(&id).await.expect("reads").expect("a delivery");
    assert_eq!(delivery.attempts, [record(&again, Standing::Running, None).attempt]);
    assert_eq!(
        (delivery.progress.standing, delivery.progress.made, delivery.next),
        (Standing::Running, 1, Some(at(90)))
    );
    assert!(store.record(record(&again, Standing::Completed, None)).await.expect("records"));
    assert_eq!(stored(&*store, &id).await.delivery, Some(Progress { standing: Standing::Completed, made: 2 }));
    assert_eq!(entered(&store).await, []);
    assert_eq!(store.dispatched(again.number).await.expect("reads"), None);
    let over = Due { made: 2, ..again };
    assert!(!store.record(record(&over, Standing::Failed, None)).await.expect("it is over"));
    assert_eq!(store.extent().await.expect("reads").1, 0);
}

pub async fn a_list_of_attempts_is_bounded(store: Shared) {
    let id = ended(&store, "a:80", 50).await;
    for _ in 0..KEPT_ATTEMPTS + 5 {
        let due = entered(&store).await.remove(0);
        assert!(store.record(record(&due, Standing::Running, Some(90))).await.expect("records"));
    }
    let delivery = store.delivery(&id).await.expect("reads").expect("a delivery");
    assert_eq!((delivery.attempts.len(), delivery.progress.made as usize), (KEPT_ATTEMPTS, KEPT_ATTEMPTS + 5));
}

pub async fn due_deliveries_come_in_order(store: Shared) {
    for (host, moment) in [("b:1", 30), ("a:1", 10), ("b:1", 20), ("a:1", 20), ("c:1", 90), ("a:1", 95)] {
        ended(&store, host, moment).await;
    }
    let moments = |found: Vec<Due>| found.iter().map(|due| due.at.0).collect::<Vec<_>>();
    let all = store.due((at(i64::MIN), i64::MIN), 9).await.expect("reads");
    assert_eq!(moments(all.clone()), [10, 20, 20, 30, 90, 95]);
    let after = store.due((all[1].at, all[1].number), 2).await.expect("reads");
    assert_eq!(after, all[2..4]);
    let of_a = |until, limit| store.due_at("a:1".into(), at(until), limit);
    assert_eq!(moments(of_a(94, 9).await.expect("reads")), [10, 20]);
    assert_eq!(moments(of_a(99, 1).await.expect("reads")), [10]);
    let hosts = |after: &str, limit| store.hosts(after.into(), limit);
    assert_eq!(hosts("", 9).await.expect("reads"), ["a:1", "b:1", "c:1"].map(Arc::from));
    assert_eq!(hosts("a:1", 1).await.expect("reads"), ["b:1"].map(Arc::from));
    assert_eq!(hosts("c:1", 9).await.expect("reads"), []);
}

pub async fn what_is_over_can_be_sent_again(store: Shared) {
    let open = waiting(&store, "a:80").await;
    assert_eq!(store.resend(&open, at(60)).await.expect("answers"), Resent::NotEnded);
    assert_eq!(store.resend(&super::new_id(), at(60)).await.expect("answers"), Resent::NoCallback);
    let plain = super::started(&*store).await;
    assert_eq!(store.resend(&plain, at(60)).await.expect("answers"), Resent::NoCallback);
    let id = ended(&store, "a:80", 50).await;
    assert_eq!(store.resend(&id, at(60)).await.expect("answers"), Resent::Busy);
    let due = entered(&store).await.remove(0);
    assert!(store.record(record(&due, Standing::Failed, None)).await.expect("records"));
    let (last, _) = store.extent().await.expect("reads");
    assert_eq!(store.resend(&id, at(60)).await.expect("answers"), Resent::Queued);
    let anew = store.entered(last, 9).await.expect("reads").remove(0);
    assert_eq!((anew.at, anew.made, anew.begun, anew.bytes), (at(60), 1, 1, due.bytes));
    assert_eq!(store.resend(&id, at(60)).await.expect("answers"), Resent::Busy);
    let delivery = store.delivery(&id).await.expect("reads").expect("a delivery");
    assert_eq!(
        (delivery.progress.standing, delivery.progress.made, delivery.attempts.len()),
        (Standing::Running, 1, 1)
    );
}

pub async fn a_task_stays_as_long_as_its_callback_is_due(store: Shared) {
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(ended(&store, "a:80", 50).await);
    }
    let due = entered(&store).await;
    for due in due.iter().take(2) {
        assert!(store.record(record(due, Standing::Completed, None)).await.expect("records"));
    }
    let (last, _) = store.extent().await.expect("reads");
    assert_eq!(store.purge(at(99), at(99)).await.expect("purges"), 2);
    assert_eq!(store.purge(at(99), at(99)).await.expect("purges"), 0);
    assert_eq!(store.delivery(&ids[0]).await.expect("reads"), None);
    assert!(store.record(record(&due[4], Standing::Failed, None)).await.expect("records"));
    assert_eq!(store.purge(at(99), at(99)).await.expect("purges"), 1);
    assert_eq!(entered(&store).await.len(), 2);
    ended(&store, "a:80", 60).await;
    assert!(store.entered(last, 9).await.expect("reads").len() == 1, "no number is given twice");
}
