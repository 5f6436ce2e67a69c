//! The main job: submit, follow, get the result.

use crate::support::{Server, component};
use serde_json::{Value, json};

fn examples() -> String {
    format!(
        r#"
variables: {{uSleepTime: 0.2, uMessage: coming from using}}
state: {{data: {{sleepTime: 0.2, Message: coming from a state}}}}
routes:
  - {{method: PUT, path: /asyncParam, component: {sleeper}, arguments: {{sleepTime2: 0.1, times: 2, Message: coming as argument}}}}
  - {{method: PUT, path: /asyncUsing, component: {sleeper}, using: [uSleepTime, uMessage]}}
  - {{method: PUT, path: /asyncState, component: {sleeper}, state: {{read: [data]}}}}
  - {{method: PUT, path: "/hello/{{who}}/{{what}}", component: {hello}, arguments: {{a: 1}}, name: greeting}}
  - {{method: PUT, path: /sum, component: {sum}}}
  - {{method: PUT, path: /any, component: {misbehaving}}}
"#,
        sleeper = component("sleeper.wasm"),
        hello = component("hello.wasm"),
        sum = component("sum-of-square-roots.wasm"),
        misbehaving = component("misbehaving.wasm"),
    )
}

fn is_rfc3339_with_microseconds(text: &Value) -> bool {
    let text = text.as_str().unwrap_or("");
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape == "0000-00-00T00:00:00.000000Z"
}

#[tokio::test]
async fn the_three_examples_of_the_seed() {
    let server = Server::start(&examples()).await;
    for (path, message) in [
        ("/asyncParam", "coming as argument"),
        ("/asyncUsing", "coming from using"),
        ("/asyncState", "coming from a state"),
    ] {
        let submitted = server.send(202, server.request("PUT", path)).await;
        assert!(["NotStarted", "Running"].contains(&submitted.text("State")), "{submitted:?}");
        assert!(submitted.body.get("Result").is_none() && submitted.body.get("CompletedTime").is_none());
        let ended = server.ended(&submitted.id()).await;
        assert_eq!(ended.text("State"), "Completed", "{ended:?}");
        assert_eq!(ended.body["Result"], json!({ "InnerValue": message }));
        assert_eq!(ended.body["Progress"], json!(100));
        assert_eq!(ended.text("Name"), format!("__Put_{}__", &path[1..]));
    }
}

#[tokio::test]
async fn the_async_task_has_the_contracts_fields_and_no_others() {
    let server = Server::start(&examples()).await;
    let submitted = server.put(202, "/asyncParam", json!({})).await;
    let id = submitted.id();
    assert_eq!(submitted.header("location"), format!("{}/tasks/{id}", server.base));
    assert_eq!(submitted.header("retry-after"), "1");
    assert_eq!(submitted.header("content-type"), "application/json");
    let running = server.running(&id).await;
    let ended = server.ended(&id).await;
    let fields = |task: &Value| task.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    let always = ["Id", "Name", "State", "Cancellable", "CreationTime", "ExpireTime"];
    let known = ["StartingTime", "CompletedTime", "Progress", "Result", "Attempt", "Url", "Method"];
    for answer in [&submitted, &running, &ended] {
        let fields = fields(&answer.body);
        assert!(always.iter().all(|name| fields.iter().any(|field| field == name)), "{fields:?}");
        assert!(fields.iter().all(|name| always.contains(&&**name) || known.contains(&&**name)), "{fields:?}");
    }
    for name in ["CreationTime", "ExpireTime", "StartingTime", "CompletedTime"] {
        assert!(is_rfc3339_with_microseconds(&ended.body[name]), "{name}: {}", ended.body[name]);
    }
    assert_eq!(ended.body["Attempt"], json!(1));
    assert_eq!(ended.text("Method"), "PUT");
    assert_eq!(ended.text("Url"), format!("{}/asyncParam", server.base));
    assert!(ended.text("CreationTime") <= ended.text("StartingTime"));
    assert!(ended.text("StartingTime") <= ended.text("CompletedTime"));
}

#[tokio::test]
async fn a_guest_sees_its_request_and_no_credentials() {
    let server = Server::start(&examples()).await;
    let request = server
        .request("PUT", "/hello/J%C3%BCrgen/a%2Fb?x=1&x=2&y=%20")
        .header("X-Custom", "kept")
        .header("Authorization", "Basic c2VjcmV0")
        .header("Cookie", "session=secret")
        .header("X-API-KEY", "secret")
        .json(&json!({"n": 12_345_678_901_234_567_890_u64, "deep": [null, false, 0, ""]}));
    let id = server.send(202, request).await.id();
    let ended = server.ended(&id).await;
    let result = &ended.body["Result"];
    assert_eq!(ended.text("Name"), "greeting");
    assert_eq!(result["taskId"], json!(id));
    assert_eq!(result["attempt"], json!(1));
    assert_eq!(result["arguments"], json!({"a": 1}));
    assert_eq!(result["input"], json!({"n": 12_345_678_901_234_567_890_u64, "deep": [null, false, 0, ""]}));
    assert_eq!(result["user"], Value::Null);
    let request = &result["request"];
    assert_eq!(request["method"], "PUT");
    assert_eq!(request["pathParameters"], json!({"who": "Jürgen", "what": "a/b"}));
    assert_eq!(request["query"], json!({"x": ["1", "2"], "y": " "}));
    assert_eq!(request["headers"]["x-custom"], "kept");
    for secret in ["authorization", "cookie", "x-api-key"] {
        assert!(request["headers"].get(secret).is_none(), "{request}");
    }
    let stored = std::fs::read(server.path("tasks.db-wal")).expect("the store's log");
    assert!(!String::from_utf8_lossy(&stored).contains("c2VjcmV0"), "a credential is in the store");
}

#[tokio::test]
async fn falsy_results_are_kept() {
    let server = Server::start(&examples()).await;
    let ended = server.run("/any", json!({"mode": "huge-result", "bytes": 2})).await;
    assert_eq!(ended.text("State"), "Completed");
    assert_eq!(ended.body.get("Result"), Some(&json!("")));
}

#[tokio::test]
async fn a_failure_has_its_message_and_detail() {
    let server = Server::start(&examples()).await;
    let ended = server.run("/any", json!({"mode": "fail"})).await;
    assert_eq!(ended.text("State"), "Failed");
    assert_eq!(ended.text("Error"), "failed as it was told to");
    assert_eq!(ended.body["Result"], json!({"code": 42}));
    assert_ne!(ended.body["Progress"], json!(100));
}

#[tokio::test]
async fn a_get_right_after_the_202_finds_the_task() {
    let server = Server::start(&examples()).await;
    for _ in 0..50 {
        let id = server.put(202, "/any", json!({"mode": "huge-result", "bytes": 2})).await.id();
        server.get(200, &format!("/tasks/{id}")).await;
    }
}

#[tokio::test]
async fn prefer_wait_answers_the_finished_task() {
    let server = Server::start(&examples()).await;
    let waiting = server.request("PUT", "/asyncUsing").header("Prefer", "respond-async, wait=30");
    let ended = server.send(200, waiting).await;
    assert_eq!(ended.text("State"), "Completed");
    assert_eq!(ended.header("preference-applied"), "wait=30");
    assert!(ended.header("location").ends_with(&ended.id()));
    let impatient = server.request("PUT", "/any").header("Prefer", "wait=0").json(&json!({"mode": "loop"}));
    let running = server.send(202, impatient).await;
    assert_eq!(running.header("preference-applied"), "");
    server.delete(200, &format!("/tasks/{}", running.id())).await;
}

#[tokio::test]
async fn get_with_wait_polls_until_the_end() {
    let server = Server::start(&examples()).await;
    let id = server.put(202, "/asyncParam", json!(null)).await.id();
    let ended = server.get(200, &format!("/tasks/{id}?wait=30")).await;
    assert_eq!(ended.text("State"), "Completed");
    let endless = server.put(202, "/any", json!({"mode": "loop"})).await.id();
    let running = server.get(200, &format!("/tasks/{endless}?wait=0")).await;
    assert!(running.body.get("CompletedTime").is_none());
    server.delete(200, &format!("/tasks/{endless}")).await;
}

#[tokio::test]
async fn progress_only_grows_and_is_100_at_the_end_only() {
    let server = Server::start(&examples()).await;
    let id = server.put(202, "/sum", json!({"Start": 1, "End": 20_000_000})).await.id();
    let mut last = 0.0;
    let mut steps = 0;
    loop {
        let task = server.get(200, &format!("/tasks/{id}")).await;
        let percent = task.body["Progress"].as_f64().unwrap_or(0.0);
        assert!(percent >= last, "{percent} after {last}");
        steps += i32::from(percent > last);
        last = percent;
        if task.text("State") == "Completed" {
            break;
        }
        assert!(percent < 100.0, "{task:?}");
    }
    assert_eq!(last, 100.0);
    assert!(steps > 2, "progress was seen to move {steps} times");
    let ended = server.ended(&id).await;
    let sum = ended.body["Result"]["InnerValue"].as_f64().expect("a number");
    assert!((sum - 59_628_482_256.0).abs() < 1e6, "{sum}");
}

#[tokio::test]
async fn the_welcome_names_the_routes_and_a_line_that_works() {
    let server = Server::start(&examples()).await;
    let text = server.welcome.join("\n");
    for line in ["PUT    /asyncParam", "PUT    /hello/{who}/{what}", "GET    /tasks/{taskId}", "DELETE /tasks"] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    let curl = server.welcome.iter().find(|line| line.contains("Prefer: wait")).expect("a line to try");
    let out = std::process::Command::new("sh").args(["-c", &format!("{curl} -s")]).output().expect("curl runs");
    let task: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    assert_eq!(task["State"], "Completed");
}
