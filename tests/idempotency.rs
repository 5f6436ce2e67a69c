//! `Idempotency-Key`: a submission that is sent again makes no second task.

use crate::support::{Server, component};
use serde_json::{Value, json};

#[tokio::test]
async fn the_same_key_gives_the_first_task_again() {
    let routes = format!(
        "routes:\n  - {{method: PUT, path: /m, component: {}, pool: {{min: 0, max: 1, queue: 0}}}}\n",
        component("misbehaving.wasm")
    );
    let server = Server::start(&routes).await;
    let submit = |key: &str, input: Value| server.request("PUT", "/m").header("Idempotency-Key", key).json(&input);
    let first = server.send(202, submit("k1", json!({"mode": "loop"}))).await.id();
    server.running(&first).await;
    // Even though the route is full, and as often as one likes.
    for _ in 0..3 {
        assert_eq!(server.send(202, submit("k1", json!({"mode": "loop"}))).await.id(), first);
    }
    let other = server.send(422, submit("k1", json!({"mode": "fail"}))).await;
    assert!(other.text("detail").contains("another payload"), "{other:?}");
    server.send(429, submit("k2", json!({"mode": "loop"}))).await;
    server.send(400, submit(&"x".repeat(256), json!({}))).await;
    server.delete(200, &format!("/tasks/{first}")).await;
    let requests = (0..20).map(|_| submit("k3", json!({"mode": "sleep-ms", "ms": 300})).send());
    let mut ids = std::collections::HashSet::new();
    for answer in futures_util::future::join_all(requests).await {
        let answer = answer.expect("an answer");
        if answer.status() == 202 {
            ids.insert(answer.json::<Value>().await.expect("JSON")["Id"].as_str().expect("an id").to_owned());
        }
    }
    assert_eq!(ids.len(), 1, "at once, too");
}
