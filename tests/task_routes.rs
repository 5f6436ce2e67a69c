//! Task routes where the configuration puts them.

use crate::support::{Server, component};
use serde_json::{Value, json};

#[tokio::test]
async fn the_id_is_found_wherever_the_configuration_says() {
    let routes = format!(
        r#"
routes:
  - {{method: PUT, path: /m, component: {m}}}
task_routes:
  - {{operation: get, path: /task, in: [path, query], id_name: id}}
  - {{operation: get, path: /task-by-header, in: header, id_name: X-Task}}
  - {{operation: get, path: /task-by-cookie, in: [cookie], id_name: task}}
  - {{operation: stop, path: /task, in: [query, header], id_name: id}}
"#,
        m = component("misbehaving.wasm")
    );
    let server = Server::start(&routes).await;
    let submitted = server.put(202, "/m", json!({"mode": "loop"})).await;
    let id = submitted.id();
    assert_eq!(submitted.header("location"), format!("{}/task/{id}", server.base));
    server.get(200, &format!("/task/{id}")).await;
    server.get(200, &format!("/task?id={id}")).await;
    server.send(200, server.request("GET", "/task-by-header").header("X-Task", &id)).await;
    server.send(200, server.request("GET", "/task-by-cookie").header("Cookie", format!("a=b; task={id}"))).await;
    let missing = server.get(400, "/task").await;
    let words = "The request names no task. Give its id as path segment /task/{id} or query parameter `id`.";
    assert_eq!(missing.text("detail"), words);
    server.get(404, "/tasks/default-place-is-not-there").await;
    let stopped = server.send(200, server.request("DELETE", "/task").header("id", &id)).await;
    assert_eq!(stopped.text("State"), "Aborted");
}

#[tokio::test]
async fn unknown_paths_methods_and_waits() {
    let hello = component("hello.wasm");
    let routes = format!(
        "routes:\n  - {{method: PUT, path: /m, component: {hello}}}\n  - {{method: GET, path: /got, component: {hello}}}\n"
    );
    let server = Server::start(&routes).await;
    assert_eq!(server.get(404, "/nothing").await.text("detail"), "There is nothing at /nothing.");
    let other = server.get(405, "/m").await;
    assert_eq!(other.header("allow"), "PUT");
    assert_eq!(server.put(405, "/tasks/x", Value::Null).await.header("allow"), "GET, DELETE");
    assert_eq!(server.delete(405, "/-/live").await.header("allow"), "GET, HEAD");
    let safe = server.send(405, server.request("HEAD", "/got")).await;
    assert_eq!(safe.header("allow"), "GET", "HEAD makes no task");
    let id = server.put(202, "/m", Value::Null).await.id();
    let bad = server.get(400, &format!("/tasks/{id}?wait=soon")).await;
    assert_eq!(bad.text("detail"), "The query parameter `wait` must be whole seconds from 0, not `soon`.");
    server.send(200, server.request("HEAD", &format!("/tasks/{id}"))).await;
    for hostile in ["/tasks/..%2f..%2fetc", "/tasks/%00", "/tasks/a%20b", &format!("/tasks/{}", "x".repeat(500))] {
        server.get(404, hostile).await;
    }
}

#[tokio::test]
async fn public_url_is_the_base_of_every_url() {
    let routes = format!("routes:\n  - {{method: PUT, path: /m, component: {}}}\n", component("hello.wasm"));
    let folder = std::sync::Arc::new(tempfile::tempdir().expect("a folder"));
    let head = "server: {listen: \"127.0.0.1:0\", public_url: \"https://api.example.com/v1/\"}\nstore: {url: \"sqlite:tasks.db\"}\n";
    let server = Server::start_with(folder, head, &routes).await;
    let task = server.put(202, "/m?a=1", Value::Null).await;
    assert_eq!(task.header("location"), format!("https://api.example.com/v1/tasks/{}", task.id()));
    assert_eq!(task.text("Url"), "https://api.example.com/v1/m?a=1");
}
