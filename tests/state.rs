//! Shared variables: durable, versioned, granted by name.

use crate::support::{Server, component};
use serde_json::{Value, json};
use std::sync::Arc;

fn routes() -> String {
    format!(
        r#"
state: {{counter: 40, data: {{sleepTime: 0, Message: initial}}}}
routes:
  - {{method: PUT, path: /count, component: {counter}, state: {{write: [counter]}}, pool: {{max: 8, queue: 1000}}}}
  - {{method: PUT, path: /fresh, component: {counter}, arguments: {{name: fresh}}, state: {{write: [fresh]}}}}
  - {{method: PUT, path: /read-only, component: {counter}, state: {{read: [counter]}}}}
  - {{method: PUT, path: /m, component: {misbehaving}, state: {{read: [data], write: [big]}}}}
"#,
        counter = component("counter.wasm"),
        misbehaving = component("misbehaving.wasm"),
    )
}

#[tokio::test]
async fn concurrent_increments_lose_nothing_and_survive_a_restart() {
    let mut server = Server::start(&routes()).await;
    let mut ids = Vec::new();
    for _ in 0..60 {
        ids.push(server.put(202, "/count", Value::Null).await.id());
    }
    for id in ids {
        assert_eq!(server.ended(&id).await.text("State"), "Completed");
    }
    server.kill();
    let server = Server::start_in(Arc::clone(server.folder()), &routes()).await;
    let ended = server.run("/count", json!({"by": 2})).await;
    assert_eq!(ended.body["Result"], json!({"value": 102, "version": 62}), "the store wins over the initial value");
}

#[tokio::test]
async fn a_variable_that_does_not_exist_is_made_once() {
    let server = Server::start(&routes()).await;
    let ended = server.run("/fresh", json!({"by": 5})).await;
    assert_eq!(ended.body["Result"], json!({"value": 5, "version": 1}));
}

#[tokio::test]
async fn only_granted_names_can_be_used() {
    let server = Server::start(&routes()).await;
    let refused = server.run("/read-only", Value::Null).await;
    assert_eq!(refused.text("State"), "Failed", "{refused:?}");
    assert!(refused.text("Error").contains("denied") || refused.text("Error").contains("not"), "{refused:?}");
    let denied = server.run("/m", json!({"mode": "state-denied", "name": "counter"})).await;
    assert_eq!(denied.body["Result"], json!({"error": "denied"}));
    let granted = server.run("/m", json!({"mode": "state-denied", "name": "data"})).await;
    let value = granted.body["Result"]["value"].clone();
    assert!(value.to_string().contains("initial"), "{granted:?}");
}

#[tokio::test]
async fn a_value_that_is_too_large_is_refused_in_words() {
    let server = Server::start(&routes()).await;
    let input = json!({"mode": "state-flood", "count": 3, "bytes": 2 << 20, "name": "big"});
    let ended = server.run("/m", input).await;
    assert_eq!(ended.body["Result"]["refused"], json!(3), "{ended:?}");
    assert_eq!(ended.body["Result"]["lastError"]["error"], "unavailable");
}

#[tokio::test]
async fn administrators_read_and_write_variables_with_versions() {
    let counter = component("counter.wasm");
    let server = Server::start(&format!(
        "state: {{counter: 41}}\nroutes:\n  - {{method: PUT, path: /count, component: {counter}, state: {{write: [counter]}}}}\n"
    ))
    .await;
    let first = server.get(200, "/-/state/counter").await;
    assert_eq!((first.header("etag"), &first.body), ("\"1\"", &json!(41)));
    server.run("/count", Value::Null).await;
    let put = |tag: &str, value: Value| server.request("PUT", "/-/state/counter").header("If-Match", tag).json(&value);
    let stale = server.send(412, put("\"1\"", json!(0))).await;
    assert_eq!(stale.header("etag"), "\"2\"");
    server.send(412, put("\"abc\"", json!(0))).await;
    let written = server.send(204, put("\"2\"", json!(100))).await;
    assert_eq!(written.header("etag"), "\"3\"");
    assert_eq!(server.run("/count", Value::Null).await.body["Result"]["value"], 101, "guests see it");
    let new = server.request("PUT", "/-/state/a%20b").header("If-None-Match", "*");
    let new = new.header("Content-Type", "application/yaml").body("{x: [1, no]}");
    server.send(201, new).await;
    let again = server.request("PUT", "/-/state/a%20b").header("If-None-Match", "*").json(&json!(1));
    server.send(412, again).await;
    assert_eq!(server.get(200, "/-/state/a%20b").await.body, json!({"x": [1, "no"]}));
    assert_eq!(server.get(200, "/-/state").await.body, json!(["a b", "counter"]));
    server.get(404, "/-/state/nothing").await;
    let long = server.put(422, &format!("/-/state/{}", "x".repeat(129)), json!(1)).await;
    assert!(long.text("detail").contains("128"), "{long:?}");
    server.send(400, put("*", json!(1))).await;
    let post = server.send(405, server.request("POST", "/-/state/counter")).await;
    assert_eq!(post.header("allow"), "GET, HEAD, PUT, DELETE");
    let old = server.request("DELETE", "/-/state/counter").header("If-Match", "\"1\"");
    assert!(server.send(412, old).await.text("detail").contains("Nothing was removed"));
    let tag = server.get(200, "/-/state/counter").await.header("etag").to_owned();
    server.send(204, server.request("DELETE", "/-/state/counter").header("If-Match", &tag)).await;
    server.get(404, "/-/state/counter").await;
    server.delete(404, "/-/state/counter").await;
    // It is new again, and whoever knows the former one does not write over this one.
    server.put(201, "/-/state/counter", json!(7)).await;
    server.send(412, server.request("PUT", "/-/state/counter").header("If-Match", &tag).json(&json!(8))).await;
    let stranger = server.request("GET", "/-/state/counter").header("X-Forwarded-For", "192.0.2.1");
    assert!(server.send(403, stranger).await.text("detail").contains("admin"));
}
