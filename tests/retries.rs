//! Attempts: `retry`, backoff, and what a task shows in between.

use crate::support::{Server, component};
use serde_json::json;
use std::sync::Arc;

fn routes() -> String {
    format!(
        r#"
routes:
  - {{method: PUT, path: /twice, component: {m}, retry: {{attempts: 3, backoff: 50ms}}}}
  - {{method: PUT, path: /slowly, component: {m}, retry: {{attempts: 2, backoff: 1h}}}}
  - {{method: PUT, path: /once, component: {m}}}
"#,
        m = component("misbehaving.wasm")
    )
}

#[tokio::test]
async fn a_failed_attempt_is_followed_by_the_next() {
    let server = Server::start(&routes()).await;
    let ended = server.run("/twice", json!({"mode": "fail-until", "n": 3})).await;
    assert_eq!(ended.text("State"), "Completed");
    assert_eq!(ended.body["Result"], json!({"attempt": 3}));
    assert_eq!(ended.body["Attempt"], json!(3));
    let hopeless = server.run("/twice", json!({"mode": "fail-until", "n": 9})).await;
    assert_eq!((hopeless.text("State"), hopeless.body["Attempt"].as_u64()), ("Failed", Some(3)));
    assert_eq!(hopeless.text("Error"), "attempt 3 fails, attempt 9 will not");
    let once = server.run("/once", json!({"mode": "fail-until", "n": 2})).await;
    assert_eq!((once.text("State"), once.body["Attempt"].as_u64()), ("Failed", Some(1)));
}

#[tokio::test]
async fn between_attempts_a_task_is_running_holds_no_slot_can_be_stopped_and_survives_a_restart() {
    let mut server = Server::start(&routes()).await;
    let first = server.put(202, "/slowly", json!({"mode": "fail"})).await.id();
    let second = server.put(202, "/slowly", json!({"mode": "fail"})).await.id();
    let third = server.put(202, "/slowly", json!({"mode": "sleep-ms", "ms": 1})).await.id();
    assert_eq!(server.ended(&third).await.text("State"), "Completed", "two pausing tasks fill no pool of two");
    for id in [&first, &second] {
        let pausing = server.until(id, |task| task["Attempt"] == 1).await;
        assert_eq!(pausing.text("State"), "Running");
    }
    assert_eq!(server.delete(200, &format!("/tasks/{first}")).await.text("State"), "Aborted");
    server.kill();
    let server = Server::start_in(Arc::clone(server.folder()), &routes()).await;
    let pausing = server.get(200, &format!("/tasks/{second}")).await;
    assert_eq!((pausing.text("State"), pausing.body["Attempt"].as_u64()), ("Running", Some(1)), "{pausing:?}");
    assert_eq!(server.delete(200, &format!("/tasks/{second}")).await.text("State"), "Aborted");
}
