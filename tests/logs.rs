//! A task's log: while it runs and after its end, from a line on, as text and in every format, for those who may read.

use crate::support::{Server, component, eventually};
use serde_json::{Value, json};

fn sleeper(arguments: &str) -> String {
    format!("{{method: PUT, path: /s, component: {}, arguments: {arguments}}}", component("sleeper.wasm"))
}

#[tokio::test]
async fn a_log_is_read_while_the_task_runs_and_after_its_end() {
    let server = Server::start(&format!("routes:\n  - {}\n", sleeper("{sleepTime2: 600, Message: m}"))).await;
    let id = server.put(202, "/s", Value::Null).await.id();
    let path = format!("/tasks/{id}/log");
    let lines = eventually("two lines of a running task", || async {
        let log = server.get(200, &path).await;
        (log.body.as_array().is_some_and(|lines| lines.len() >= 2)).then_some(log.body)
    })
    .await;
    assert_eq!((&lines[0]["seq"], &lines[1]["seq"]), (&json!(1), &json!(2)), "{lines}");
    assert!(lines[1]["message"].as_str().is_some_and(|text| text.contains('m')), "{lines}");
    let rest = server.get(200, &format!("{path}?after=1")).await.body;
    assert_eq!(rest, json!([lines[1]]));
    assert_eq!(server.get(200, &path).await.body, lines, "it still runs");
    server.delete(200, &format!("/tasks/{id}")).await;
    assert_eq!(server.get(200, &path).await.body, lines, "what was logged outlives the task");
    let text = server.send(200, server.request("GET", &path).header("Accept", "text/plain")).await;
    assert_eq!(text.header("content-type"), "text/plain; charset=utf-8");
    let text = text.body.as_str().expect("a text").to_owned();
    let first =
        format!("{} info  {}\n", lines[0]["at"].as_str().unwrap_or(""), lines[0]["message"].as_str().unwrap_or(""));
    assert!(text.starts_with(&first), "{text}");
    server.get(404, "/tasks/nobody/log").await;
    server.get(400, &format!("{path}?after=x")).await;
    server.send(406, server.request("GET", &path).header("Accept", "image/png")).await;
    server.delete(405, &path).await;
}

#[tokio::test]
async fn a_log_is_for_those_who_may_read_the_task() {
    // SHA-256 of `secret` and `other`.
    let keys = [
        "sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b",
        "sha256:d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa",
    ];
    let server = Server::start(&format!(
        "auth:\n  users: [{{id: a, api_keys: ['{}']}}, {{id: b, api_keys: ['{}']}}]\n  \
         schemes: {{key: {{type: api_key, in: header, name: X-Key}}}}\n  default: key\nroutes:\n  - {}\n\
         task_routes:\n  - {{operation: get, path: /task, in: query, responses: [application/yaml, application/json]}}\n",
        keys[0],
        keys[1],
        sleeper("{sleepTime2: 0.01, Message: m}")
    ))
    .await;
    let with = |method: &str, path: &str, key: &str| server.request(method, path).header("X-Key", key);
    let id = server.send(202, with("PUT", "/s", "secret")).await;
    let id = id.id();
    let path = format!("/task/log?taskId={id}");
    let log = eventually("the log", || async {
        let log = server.send(200, with("GET", &path, "secret")).await;
        (log.header("content-type") == "application/yaml" && log.body.to_string().contains("seq: 1")).then_some(log)
    })
    .await;
    assert!(log.body.as_str().is_some_and(|text| text.starts_with("- seq: 1")), "{log:?}");
    server.send(404, with("GET", &path, "other")).await;
    server.get(401, &path).await;
}
