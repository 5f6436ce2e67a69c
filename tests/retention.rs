//! Finished tasks go when they are old enough, and not before.

use crate::support::{Server, component, eventually};
use serde_json::json;
use std::sync::Arc;

#[tokio::test]
async fn completed_and_failed_tasks_have_retentions_of_their_own() {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let head =
        "server: {listen: \"127.0.0.1:0\"}\nstore: {url: \"sqlite:tasks.db\", retention: 1s, retention_failed: 1h}\n";
    let routes = format!("routes:\n  - {{method: PUT, path: /m, component: {}}}\n", component("misbehaving.wasm"));
    let server = Server::start_with(folder, head, &routes).await;
    let running = server.put(202, "/m", json!({"mode": "loop"})).await.id();
    let failed = server.run("/m", json!({"mode": "fail"})).await.id();
    let completed = server.run("/m", json!({"mode": "sleep-ms", "ms": 1})).await.id();
    eventually("the removal", || async {
        let answer = server.request("GET", &format!("/tasks/{completed}")).send().await.expect("an answer");
        (answer.status().as_u16() == 404).then_some(())
    })
    .await;
    server.get(200, &format!("/tasks/{failed}")).await;
    server.delete(200, &format!("/tasks/{running}")).await;
}

#[tokio::test]
async fn a_store_in_memory_serves_and_leaves_no_file() {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let head = "server: {listen: \"127.0.0.1:0\"}\nstore: {url: \"sqlite::memory:\"}\n";
    let routes = format!("routes:\n  - {{method: PUT, path: /m, component: {}}}\n", component("misbehaving.wasm"));
    let server = Server::start_with(folder, head, &routes).await;
    let ended = server.run("/m", json!({"mode": "sleep-ms", "ms": 1})).await;
    assert_eq!(server.get(200, &format!("/tasks/{}", ended.id())).await.body, ended.body);
    let mut files: Vec<_> =
        std::fs::read_dir(server.folder().path()).expect("a folder").map(|f| f.expect("a file").file_name()).collect();
    files.sort();
    assert_eq!(files, ["log.json", "sandpool.yaml"]);
}
