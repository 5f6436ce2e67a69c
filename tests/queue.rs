//! Pools: how many run, how many wait, in which order, and what happens to the one too many.

use crate::support::{Server, component, eventually, module_with, with_core_module};
use serde_json::{Value, json};
use std::sync::Arc;

fn routes(pool: &str) -> String {
    format!("routes:\n  - {{method: PUT, path: /m, component: {}, pool: {pool}}}\n", component("misbehaving.wasm"))
}

#[tokio::test]
async fn a_full_queue_is_429_and_stores_nothing() {
    let server = Server::start(&routes("{min: 0, max: 1, queue: 2}")).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(server.put(202, "/m", json!({"mode": "loop"})).await.id());
    }
    let refused = server.put(429, "/m", json!({"mode": "loop"})).await;
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(refused.header("content-type"), "application/problem+json");
    assert!(refused.text("detail").contains("1 tasks of this route run and 2 wait"), "{refused:?}");
    let db = rusqlite::Connection::open(server.path("tasks.db")).expect("the store");
    let stored: i64 = db.query_row("SELECT count(*) FROM tasks", [], |row| row.get(0)).expect("a count");
    assert_eq!(stored, 3);
    server.delete(200, &format!("/tasks/{}", ids[2])).await;
    let again = server.put(202, "/m", json!({"mode": "loop"})).await;
    assert_eq!(again.text("State"), "NotStarted");
    ids[2] = again.id();
    for id in ids {
        server.delete(200, &format!("/tasks/{id}")).await;
    }
}

#[tokio::test]
async fn waiting_tasks_run_in_the_order_of_their_submission() {
    let server = Server::start(&routes("{min: 1, max: 1, queue: 100}")).await;
    let mut ids = Vec::new();
    for _ in 0..30 {
        ids.push(server.put(202, "/m", json!({"mode": "sleep-ms", "ms": 5})).await.id());
    }
    let mut starts = Vec::new();
    for id in &ids {
        starts.push(server.ended(id).await.text("StartingTime").to_owned());
    }
    assert!(starts.is_sorted(), "{starts:?}");
}

#[tokio::test]
async fn no_more_than_max_run_at_once_and_slots_are_named() {
    let server = Server::start(&routes("{min: 0, max: 3, queue: 100}")).await;
    let mut ids = Vec::new();
    for _ in 0..10 {
        ids.push(server.put(202, "/m", json!({"mode": "loop"})).await.id());
    }
    for id in &ids[..3] {
        server.running(id).await;
    }
    for id in &ids[3..] {
        assert_eq!(server.get(200, &format!("/tasks/{id}")).await.text("State"), "NotStarted");
    }
    for id in &ids {
        server.delete(200, &format!("/tasks/{id}")).await;
    }
    let db = rusqlite::Connection::open(server.path("tasks.db")).expect("the store");
    let mut query = db.prepare("SELECT DISTINCT slot FROM tasks WHERE slot IS NOT NULL").expect("a query");
    let slots: Vec<String> = query.query_map([], |row| row.get(0)).expect("rows").map(|s| s.expect("text")).collect();
    let mut numbers: Vec<&str> =
        slots.iter().filter_map(|slot| slot.split_once("/__Put_m__/")).map(|(_, n)| n).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, ["0", "1", "2"], "{slots:?}");
}

#[tokio::test]
async fn a_client_that_hangs_up_leaves_a_whole_task_or_none() {
    let server = Server::start(&routes("{min: 0, max: 4, queue: 1000}")).await;
    for micros in (0..3000).step_by(60) {
        let sent = server.request("PUT", "/m").json(&json!({"mode": "sleep-ms", "ms": 1})).send();
        drop(tokio::time::timeout(std::time::Duration::from_micros(micros), sent).await);
    }
    // Every task that was stored ends.
    eventually("an empty queue", || async {
        let db = rusqlite::Connection::open(server.path("tasks.db")).expect("the store");
        let open: i64 =
            db.query_row("SELECT count(*) FROM tasks WHERE state < 2", [], |row| row.get(0)).expect("a count");
        (open == 0).then_some(())
    })
    .await;
}

/// A component that computes for some 100 ms while it is instantiated.
fn slow_to_start(folder: &std::path::Path) -> String {
    let start = r#"
        (func $slow (local i64)
          (loop $again
            (br_if $again (i64.lt_u (local.tee 0 (i64.add (local.get 0) (i64.const 1))) (i64.const 300000000)))))
        (start $slow)
        (func (export "run") (param i32) (result i32) (unreachable))"#;
    with_core_module(folder, "slow.wasm", &module_with(start))
}

#[tokio::test]
async fn instances_kept_ready_spare_a_task_the_start_of_its_guest() {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let slow = slow_to_start(folder.path());
    let routes = format!(
        "routes:\n  - {{method: PUT, path: /cold, component: {slow}, pool: {{min: 0}}}}\n  - {{method: PUT, path: /ready, component: {slow}, pool: {{min: 1}}}}\n"
    );
    let server = Server::start_in(folder, &routes).await;
    let (cold, server) = (server.run("/cold", Value::Null).await.seconds("StartingTime", "CompletedTime"), &server);
    // Each use makes the next one ready in the background.
    for _ in 0..2 {
        eventually("a task that finds its guest ready", || async move {
            let ready = server.run("/ready", Value::Null).await.seconds("StartingTime", "CompletedTime");
            (ready < cold / 5.0).then_some(())
        })
        .await;
    }
    let again = server.run("/cold", Value::Null).await.seconds("StartingTime", "CompletedTime");
    assert!(again > cold / 5.0, "{again} s after {cold} s");
}

#[tokio::test]
async fn instances_kept_ready_leave_places_for_other_routes() {
    let m = component("misbehaving.wasm");
    let routes = format!(
        "routes:\n  - {{method: PUT, path: /many, component: {m}, pool: {{min: 1000, max: 1000}}}}\n  - {{method: PUT, path: /other, component: {m}, pool: {{min: 0}}}}\n"
    );
    let server = Server::start(&routes).await;
    for path in ["/many", "/other", "/many", "/other"] {
        let ended = server.run(path, json!({"mode": "sleep-ms", "ms": 1})).await;
        assert_eq!(ended.text("State"), "Completed", "{path}");
    }
}

#[tokio::test]
async fn the_bodies_of_open_tasks_are_bounded_together() {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let head = "server: {listen: \"127.0.0.1:0\", body_limit: 32MiB}\nstore: {url: \"sqlite::memory:\"}\n";
    let server = Server::start_with(folder, head, &routes("{min: 0, max: 1, queue: 100}")).await;
    let large = json!({"mode": "loop", "padding": "x".repeat(30 << 20)});
    let mut ids = Vec::new();
    for _ in 0..8 {
        ids.push(server.put(202, "/m", large.clone()).await.id());
    }
    let refused = server.put(429, "/m", large.clone()).await;
    assert!(refused.text("detail").contains("256 MiB"), "{refused:?}");
    server.put(202, "/m", json!({"mode": "loop"})).await;
    server.delete(200, &format!("/tasks/{}", ids[7])).await;
    server.put(202, "/m", large).await;
}
