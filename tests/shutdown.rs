//! A graceful end: nothing new, a grace for what runs, everything recorded, nothing lost.

use crate::support::{Server, component, eventually};
use serde_json::{Value, json};
use std::sync::Arc;

fn head(grace: &str) -> String {
    format!("server: {{listen: \"127.0.0.1:0\", shutdown_grace: {grace}}}\nstore: {{url: \"sqlite:tasks.db\"}}\n")
}

fn routes() -> String {
    format!(
        r#"
routes:
  - {{method: PUT, path: /m, component: {m}, pool: {{min: 1, max: 1, queue: 100}}}}
  - {{method: PUT, path: /rerun, component: {m}, retry: {{on_lost_host: rerun}}}}
"#,
        m = component("misbehaving.wasm")
    )
}

async fn start(grace: &str) -> Server {
    Server::start_with(Arc::new(tempfile::tempdir().expect("a folder")), &head(grace), &routes()).await
}

#[tokio::test]
async fn while_draining_new_requests_get_503_and_running_tasks_end_by_themselves() {
    let mut server = start("60s").await;
    assert_eq!(server.get(200, "/-/ready").await.text("status"), "ready");
    let running = server.put(202, "/m", json!({"mode": "sleep-ms", "ms": 1500})).await.id();
    server.running(&running).await;
    let waiting = server.put(202, "/m", json!({"mode": "sleep-ms", "ms": 1})).await.id();
    // Who waits for a task that will not start any more is answered, and not cut off.
    let waiter = server.request("PUT", "/m").header("Prefer", "wait=60").json(&json!({"mode": "sleep-ms", "ms": 1}));
    let waiter = tokio::spawn(waiter.send());
    eventually("its task", || async {
        let db = rusqlite::Connection::open(server.path("tasks.db")).expect("the store");
        db.query_row("SELECT count(*) FROM tasks", [], |row| row.get::<_, i64>(0)).ok().filter(|count| *count == 3)
    })
    .await;
    server.terminate();
    eventually("the drain", || async {
        (server.request("GET", "/-/ready").send().await.expect("an answer").status() == 503).then_some(())
    })
    .await;
    let waited = waiter.await.expect("no panic").expect("an answer");
    assert_eq!(waited.status().as_u16(), 202);
    let refused = server.put(503, "/m", json!({"mode": "fail"})).await;
    assert!(refused.text("detail").contains("shutting down") && !refused.header("retry-after").is_empty());
    assert_eq!(server.get(200, "/-/live").await.text("status"), "live");
    let left = server.delete(503, &format!("/tasks/{waiting}")).await;
    assert!(left.text("detail").contains("let go of the task, because it shuts down"), "{left:?}");
    let polled = server.get(200, &format!("/tasks/{waiting}?wait=60")).await;
    assert_eq!(polled.text("State"), "NotStarted", "who waits is answered");
    assert_eq!(server.get(200, &format!("/tasks/{running}")).await.text("State"), "Running");
    assert!(server.exit().await.success());
    let server = Server::start_with(Arc::clone(server.folder()), &head("60s"), &routes()).await;
    assert_eq!(server.get(200, &format!("/tasks/{running}")).await.text("State"), "Completed");
    // It did not start while the host went down, and was not lost.
    assert_eq!(server.ended(&waiting).await.text("State"), "Completed");
}

#[tokio::test]
async fn after_the_grace_running_tasks_are_stopped_and_recorded() {
    let mut server = start("200ms").await;
    let lost = server.put(202, "/m", json!({"mode": "loop"})).await.id();
    let again = server.put(202, "/rerun", json!({"mode": "sleep-ms", "ms": 2000})).await.id();
    server.running(&lost).await;
    server.running(&again).await;
    server.terminate();
    assert!(server.exit().await.success());
    let server = Server::start_with(Arc::clone(server.folder()), &head("200ms"), &routes()).await;
    let stopped = server.get(200, &format!("/tasks/{lost}")).await;
    assert_eq!(stopped.text("State"), "Aborted");
    assert_eq!(stopped.text("Error"), "The host shut down before the task ended");
    let rerun = server.ended(&again).await;
    assert_eq!((rerun.text("State"), &rerun.body["Attempt"]), ("Completed", &json!(2)), "{rerun:?}");
}

#[tokio::test]
async fn clients_that_wait_get_their_answer_before_the_end() {
    let mut server = start("60s").await;
    let waiting =
        server.request("PUT", "/m").header("Prefer", "wait=60").json(&json!({"mode": "sleep-ms", "ms": 1000}));
    let answer = tokio::spawn(waiting.send());
    eventually("the task", || async {
        let db = rusqlite::Connection::open(server.path("tasks.db")).expect("the store");
        db.query_row("SELECT 1 FROM tasks WHERE state = 1", [], |row| row.get::<_, i64>(0)).ok()
    })
    .await;
    server.terminate();
    let answer = answer.await.expect("no panic").expect("an answer");
    assert_eq!(answer.status().as_u16(), 200);
    let task: Value = answer.json().await.expect("JSON");
    assert_eq!(task["State"], "Completed");
    assert!(server.exit().await.success());
}

#[tokio::test]
async fn a_second_signal_ends_the_grace() {
    let mut server = start("1h").await;
    let lost = server.put(202, "/m", json!({"mode": "loop"})).await.id();
    server.running(&lost).await;
    server.terminate();
    eventually("the drain", || async {
        (server.request("GET", "/-/ready").send().await.expect("an answer").status() == 503).then_some(())
    })
    .await;
    server.terminate();
    assert!(server.exit().await.success());
    let server = Server::start_with(Arc::clone(server.folder()), &head("1h"), &routes()).await;
    assert_eq!(server.get(200, &format!("/tasks/{lost}")).await.text("State"), "Aborted");
}

#[tokio::test]
async fn a_task_that_expires_while_the_host_is_down_does_not_run() {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let m = component("misbehaving.wasm");
    let routes =
        format!("routes:\n  - {{method: PUT, path: /m, component: {m}, timeout: 1s, pool: {{min: 0, max: 1}}}}\n");
    let mut server = Server::start_with(folder, &head("60s"), &routes).await;
    let first = server.put(202, "/m", json!({"mode": "loop"})).await.id();
    server.running(&first).await;
    let waiting = server.put(202, "/m", json!({"mode": "sleep-ms", "ms": 1})).await;
    server.kill();
    let expires = waiting.text("ExpireTime").to_owned();
    eventually("the expiry", || async { (chrono::Utc::now().to_rfc3339() > expires).then_some(()) }).await;
    let server = Server::start_with(Arc::clone(server.folder()), &head("60s"), &routes).await;
    let ended = server.ended(&waiting.id()).await;
    assert_eq!((ended.text("State"), ended.text("Error")), ("Aborted", "Timeout"));
    assert!(ended.body.get("Attempt").is_none());
}

#[tokio::test]
async fn tasks_of_a_route_that_is_missing_wait_for_it_and_can_be_stopped() {
    let mut server = start("60s").await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(server.put(202, "/m", json!({"mode": "sleep-ms", "ms": 1000})).await.id());
    }
    server.running(&ids[0]).await;
    server.kill();
    let renamed = routes().replace("path: /m,", "path: /renamed,");
    let mut server = Server::start_with(Arc::clone(server.folder()), &head("60s"), &renamed).await;
    let gone = server.get(200, &format!("/tasks/{}", ids[0])).await;
    assert_eq!(gone.text("Error"), "Route gone: the task's route is no longer configured");
    assert_eq!(server.get(200, &format!("/tasks/{}", ids[1])).await.text("State"), "NotStarted");
    let stopped = server.delete(200, &format!("/tasks/{}", ids[1])).await;
    assert_eq!((stopped.text("State"), stopped.text("Error")), ("Aborted", "Aborted by the user"));
    server.delete(410, &format!("/tasks/{}", ids[1])).await;
    assert!(server.log().contains("tasks wait for a route that is not configured"), "{}", server.log());
    server.kill();
    let server = Server::start_with(Arc::clone(server.folder()), &head("60s"), &routes()).await;
    for id in &ids[2..] {
        assert_eq!(server.ended(id).await.text("State"), "Completed");
    }
}

#[tokio::test]
async fn a_server_ends_with_its_terminal() {
    let hello = component("hello.wasm");
    let mut server =
        Server::start_on_terminal(&format!("routes: [{{method: PUT, path: /hello, component: {hello}}}]\n")).await;
    server.put(202, "/hello", json!({})).await;
    // `script` holds the terminal: with it, the terminal is gone.
    server.kill();
    eventually("the server's end", || async { server.request("GET", "/-/live").send().await.err() }).await;
}
