//! Whatever a guest does, a stop or a timeout ends it: its instance is gone, its slot and its CPU are free.

use crate::support::{Server, assembled, component, eventually};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Twenty times the 50 ms that the contract allows: these machines are noisy.
const SOON: Duration = Duration::from_millis(1000);

fn endless(folder: &std::path::Path, more: &str) -> String {
    format!(
        r#"
routes:
  - {{method: PUT, path: /m, component: {misbehaving}, pool: {{min: 0, max: 1, queue: 10}}{more}}}
  - {{method: PUT, path: /start-loop, component: {start_loop}, pool: {{min: 0, max: 1, queue: 10}}{more}}}
  - {{method: PUT, path: /start-loop-kept-ready, component: {start_loop}, pool: {{min: 1, max: 1, queue: 10}}{more}}}
  - {{method: PUT, path: /table-hog, component: {table_hog}, pool: {{min: 0, max: 1, queue: 10}}{more}}}
  - {{method: PUT, path: /spinners, component: {misbehaving}, pool: {{min: 0, max: 64, queue: 10}}}}
  - {{method: PUT, path: /good, component: {misbehaving}}}
"#,
        misbehaving = component("misbehaving.wasm"),
        start_loop = assembled("start-loop.wat", folder),
        table_hog = assembled("table-hog.wat", folder),
    )
}

async fn server(more: &str) -> Server {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let routes = endless(folder.path(), more);
    Server::start_in(folder, &routes).await
}

fn cases() -> Vec<(&'static str, Value)> {
    let mut cases: Vec<(&str, Value)> =
        ["loop", "memory-hog", "fill-loop", "poll-forever", "stdin"].map(|mode| ("/m", json!({ "mode": mode }))).into();
    for flood in ["flood-log", "flood-progress", "flood-ticks", "flood-events", "flood-stdout", "flood-all"] {
        cases.push(("/m", json!({"mode": flood, "endless": true, "bytes": 100})));
    }
    cases.push(("/m", json!({"mode": "flood-stdout", "endless": true, "empty": true})));
    cases.push(("/m", json!({"mode": "sleep-ms", "ms": 3_600_000})));
    cases.extend(["/start-loop", "/start-loop-kept-ready"].map(|path| (path, Value::Null)));
    cases
}

#[tokio::test]
async fn every_kind_of_endless_guest_is_stopped_hard() {
    let server = server("").await;
    for (path, input) in cases() {
        let id = server.put(202, path, input.clone()).await.id();
        server.running(&id).await;
        let asked = Instant::now();
        let stopped = server.delete(200, &format!("/tasks/{id}")).await;
        let took = asked.elapsed();
        assert_eq!(stopped.text("State"), "Aborted", "{path} {input}");
        assert_eq!(stopped.text("Error"), "Aborted by the user");
        assert!(stopped.body.get("Result").is_none() && stopped.body.get("CompletedTime").is_some());
        assert!(took < SOON, "{path} {input} took {took:?}");
        assert_eq!(server.get(200, &format!("/tasks/{id}")).await.body, stopped.body);
    }
    // The one slot of /m was free each time, and is now.
    let ended = server.run("/m", json!({"mode": "sleep-ms", "ms": 1})).await;
    assert_eq!(ended.text("State"), "Completed");
    no_more_cpu(&server).await;
}

/// A stopped guest burns nothing: the process comes to rest.
async fn no_more_cpu(server: &Server) {
    eventually("an idle process", || async {
        let before = server.cpu_seconds();
        tokio::time::sleep(Duration::from_millis(500)).await;
        (server.cpu_seconds() - before < 0.1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_stop_is_fast_and_http_answers_while_64_others_spin() {
    let server = server("").await;
    let mut spinning = Vec::new();
    for _ in 0..64 {
        spinning.push(server.put(202, "/spinners", json!({"mode": "loop"})).await.id());
    }
    for id in &spinning {
        server.running(id).await;
    }
    let asked = Instant::now();
    for _ in 0..20 {
        server.get(200, "/-/live").await;
    }
    assert!(asked.elapsed() < SOON * 2, "20 small requests took {:?}", asked.elapsed());
    for id in &spinning[..32] {
        let asked = Instant::now();
        let stopped = server.delete(200, &format!("/tasks/{id}")).await;
        assert_eq!(stopped.text("State"), "Aborted");
        assert!(asked.elapsed() < SOON, "a stop among spinners took {:?}", asked.elapsed());
    }
    // Another route's guest gets its share while 32 still spin.
    let ended = server.run("/good", json!({"mode": "sleep-ms", "ms": 1})).await;
    assert_eq!(ended.text("State"), "Completed");
    for id in &spinning[32..] {
        server.delete(200, &format!("/tasks/{id}")).await;
    }
    no_more_cpu(&server).await;
}

#[tokio::test]
async fn a_timeout_ends_every_kind_of_endless_guest_even_one_that_no_client_may_stop() {
    let server = server(", timeout: 300ms, cancellable: false").await;
    for (path, input) in cases() {
        let id = server.put(202, path, input.clone()).await.id();
        let refused = server.delete(423, &format!("/tasks/{id}")).await;
        assert!(refused.text("detail").contains("cancellable: false"), "{refused:?}");
        let ended = server.ended(&id).await;
        assert_eq!((ended.text("State"), ended.text("Error")), ("Aborted", "Timeout"), "{path} {input}");
        assert_eq!(ended.body["Cancellable"], json!(false));
        assert!(ended.body.get("StartingTime").is_some(), "{path} {input} never ran");
        let lasted = ended.seconds("CreationTime", "CompletedTime");
        assert!((0.3..0.3 + SOON.as_secs_f64()).contains(&lasted), "{path} {input}: {lasted} s");
    }
}

#[tokio::test]
async fn run_timeout_counts_from_the_start_and_not_while_waiting() {
    let server = server(", run_timeout: 300ms").await;
    for (path, input) in [("/m", json!({"mode": "sleep-ms", "ms": 60_000})), ("/m", json!({"mode": "loop"}))] {
        let ended = server.run(path, input).await;
        assert_eq!((ended.text("State"), ended.text("Error")), ("Aborted", "Run timeout"));
    }
    let pausing = Server::start(&format!(
        "routes:\n  - {{method: PUT, path: /m, component: {}, run_timeout: 500ms, retry: {{attempts: 2, backoff: 1h}}}}\n",
        component("misbehaving.wasm")
    ))
    .await;
    let ended = pausing.run("/m", json!({"mode": "fail"})).await;
    assert_eq!(
        (ended.text("Error"), &ended.body["Attempt"]),
        ("Run timeout", &json!(1)),
        "the pause between attempts counts"
    );
    let mut ids = Vec::new();
    for _ in 0..10 {
        ids.push(server.put(202, "/m", json!({"mode": "sleep-ms", "ms": 60})).await.id());
    }
    for id in ids {
        assert_eq!(server.ended(&id).await.text("State"), "Completed", "waiting does not count");
    }
}

#[tokio::test]
async fn cpu_limit_counts_cpu_time_only() {
    let server = server(", cpu_limit: 100ms").await;
    for (path, input) in [("/m", json!({"mode": "loop"})), ("/m", json!({"mode": "flood-progress", "count": u32::MAX}))]
    {
        let ended = server.run(path, input).await;
        assert_eq!(ended.text("State"), "Failed");
        assert_eq!(ended.text("Error"), "CPU limit: the guest used more than 100ms of CPU time");
    }
    let starting = server.run("/start-loop", Value::Null).await;
    assert_eq!(starting.text("Error"), "CPU limit: the guest used more than 100ms of CPU time");
    let modest = server.run("/m", json!({"mode": "sleep-ms", "ms": 400})).await;
    assert_eq!(modest.text("State"), "Completed", "sleeping costs no CPU time: {modest:?}");
}

#[tokio::test]
async fn what_has_ended_or_never_was_cannot_be_stopped() {
    let server = server("").await;
    let id = server.run("/m", json!({"mode": "sleep-ms", "ms": 1})).await.id();
    let gone = server.delete(410, &format!("/tasks/{id}")).await;
    assert_eq!(gone.text("detail"), "The task has ended already, as Completed.");
    let unknown = server.delete(404, "/tasks/nobody").await;
    assert_eq!(unknown.text("detail"), "There is no task with the id `nobody`.");
    assert_eq!(unknown.header("content-type"), "application/problem+json");
}

#[tokio::test]
async fn a_waiting_task_is_stopped_without_having_run() {
    let server = server("").await;
    let first = server.put(202, "/m", json!({"mode": "loop"})).await.id();
    server.running(&first).await;
    let second = server.put(202, "/m", json!({"mode": "loop"})).await.id();
    let stopped = server.delete(200, &format!("/tasks/{second}")).await;
    assert_eq!(stopped.text("State"), "Aborted");
    assert!(stopped.body.get("StartingTime").is_none() && stopped.body.get("Attempt").is_none(), "{stopped:?}");
    server.delete(200, &format!("/tasks/{first}")).await;
}

#[tokio::test]
async fn many_stops_of_one_task_end_it_once() {
    let server = server("").await;
    let id = server.put(202, "/m", json!({"mode": "loop"})).await.id();
    server.running(&id).await;
    let path = format!("/tasks/{id}");
    let stops = (0..20).map(|_| server.request("DELETE", &path).send());
    let answers = futures_util::future::join_all(stops).await;
    let statuses: Vec<u16> = answers.into_iter().map(|answer| answer.expect("an answer").status().as_u16()).collect();
    assert!(statuses.contains(&200), "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 410].contains(status)), "{statuses:?}");
}
