//! The integration fixture of the original: two users, who may call what, see what, stop what.

use crate::support::{Answer, Server, component, sandpool};
use serde_json::{Value, json};
use std::io::Write;
use std::process::Stdio;

/// What `sandpool hash` makes of a secret.
pub fn hash(kind: &str, secret: &str) -> String {
    let mut child = sandpool()
        .args(["hash", kind])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    child.stdin.take().expect("piped").write_all(secret.as_bytes()).expect("written");
    let out = child.wait_with_output().expect("an end");
    assert!(out.status.success());
    String::from_utf8_lossy(&out.stdout).trim().to_owned()
}

fn fixture() -> String {
    let password = hash("password", "pickle");
    let keys = ["test-api-key", "test2-api-key"].map(|key| hash("key", key));
    let (sleeper, m) = (component("sleeper.wasm"), component("misbehaving.wasm"));
    let using = "using: [uSleepTime, uMessage]";
    format!(
        r#"
variables: {{uSleepTime: 0.1, uMessage: coming from using}}
state: {{data: {{sleepTime: 0.1, Message: coming from a state}}}}
auth:
  users:
    - {{id: M0R7Y302, name: morty, password: '{password}', api_keys: ['{morty}'], groups: [Software, Platform]}}
    - {{id: MINDY021, name: mindy, password: '{password}', api_keys: ['{mindy}'], groups: [Support, Software]}}
  schemes:
    login: {{type: basic}}
    key: {{type: api_key, in: header, name: X-API-KEY}}
    both: {{all: [key, login]}}
  default: both
routes:
  - {{method: PUT, path: /auth/asyncUsing, component: {sleeper}, {using}, access: {{groups: [software]}}}}
  - {{method: PUT, path: /auth/asyncState, component: {sleeper}, state: {{read: [data]}}, access: {{groups: [Software]}}, permission: {{read: {{groups: [Support]}}}}}}
  - {{method: PUT, path: /auth/asyncStateNoColumn, component: {sleeper}, state: {{read: [data]}}, access: {{groups: [Support]}}}}
  - {{method: PUT, path: /auth/asyncParam, component: {sleeper}, arguments: {{sleepTime2: 0.1, Message: coming as argument}}}}
  - {{method: PUT, path: /auth/asyncUsingNotCancellable, component: {sleeper}, {using}, cancellable: false}}
  - {{method: PUT, path: /auth/asyncUsingCancellable, component: {sleeper}, {using}}}
  - {{method: PUT, path: /auth/asyncInfiniteLoop, component: {m}, arguments: {{}}}}
  - {{method: PUT, path: /auth/asyncInfiniteLoopTimeout, component: {m}, cancellable: false, timeout: 300ms}}
  - {{method: PUT, path: /open, component: {sleeper}, {using}, auth: none}}
"#,
        morty = keys[0],
        mindy = keys[1],
    )
}

#[derive(Clone, Copy)]
struct User(&'static str, &'static str);
const MORTY: User = User("morty", "test-api-key");
const MINDY: User = User("mindy", "test2-api-key");

async fn call(server: &Server, user: User, status: u16, method: &str, path: &str, input: Value) -> Answer {
    let request = server.request(method, path).basic_auth(user.0, Some("pickle")).header("X-API-KEY", user.1);
    let request = if input.is_null() { request } else { request.json(&input) };
    server.send(status, request).await
}

async fn ended(server: &Server, user: User, id: &str) -> Answer {
    call(server, user, 200, "GET", &format!("/tasks/{id}?wait=60"), Value::Null).await
}

fn ids(answer: &Answer) -> Vec<String> {
    let mut ids: Vec<String> = answer
        .body
        .as_array()
        .expect("an array")
        .iter()
        .map(|task| task["Id"].as_str().expect("an id").to_owned())
        .collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn every_route_asks_for_both_credentials_of_one_user() {
    let server = Server::start(&fixture()).await;
    let path = "/auth/asyncUsing";
    let none = server.send(401, server.request("PUT", path)).await;
    let challenges: Vec<_> = none.headers.get_all("www-authenticate").iter().filter_map(|v| v.to_str().ok()).collect();
    assert!(
        challenges.iter().any(|c| c.starts_with("Basic realm=")) && challenges.iter().any(|c| c.starts_with("ApiKey ")),
        "{challenges:?}"
    );
    server.send(401, server.request("PUT", path).basic_auth("morty", Some("pickle"))).await;
    server.send(401, server.request("PUT", path).header("X-API-KEY", "test-api-key")).await;
    for (name, password, key) in [
        ("morty", "wrong", "test-api-key"),
        ("nobody", "pickle", "test-api-key"),
        ("morty", "pickle", "wrong"),
        ("morty", "pickle", "test2-api-key"),
    ] {
        let request = server.request("PUT", path).basic_auth(name, Some(password)).header("X-API-KEY", key);
        let refused = server.send(401, request).await;
        assert_eq!(refused.text("detail"), "Valid credentials are needed here.", "nothing tells which part was wrong");
    }
    server.send(401, server.request("GET", "/tasks/x")).await;
    server.send(401, server.request("DELETE", "/tasks/x")).await;
    server.send(401, server.request("POST", "/tasks/query").json(&json!({}))).await;
    let log = server.log();
    for secret in ["pickle", "test-api-key", "test2-api-key", "$argon2id$"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[tokio::test]
async fn morty_and_mindy() {
    let server = Server::start(&fixture()).await;
    let refused = call(&server, MORTY, 403, "PUT", "/auth/asyncStateNoColumn", Value::Null).await;
    assert_eq!(refused.text("detail"), "You may not call this route.");
    let mindys = call(&server, MINDY, 202, "PUT", "/auth/asyncStateNoColumn", Value::Null).await;
    assert_eq!(mindys.text("User"), "MINDY021");
    let owner = json!({"Read": {"Users": ["MINDY021"]}, "Write": {"Users": ["MINDY021"]}});
    assert_eq!(mindys.body["Permission"], owner);
    let path = format!("/tasks/{}", mindys.id());
    let unseen = call(&server, MORTY, 404, "GET", &path, Value::Null).await;
    let unknown = call(&server, MORTY, 404, "GET", "/tasks/unknown", Value::Null).await;
    let words = |answer: &Answer, id: &str| answer.text("detail").replace(id, "ID");
    assert_eq!(words(&unseen, &mindys.id()), words(&unknown, "unknown"), "it looks like no task at all");
    call(&server, MORTY, 404, "DELETE", &path, Value::Null).await;
    assert_eq!(ended(&server, MINDY, &mindys.id()).await.body["Result"], json!({"InnerValue": "coming from a state"}));

    let looping = call(&server, MINDY, 202, "PUT", "/auth/asyncInfiniteLoop", json!({"mode": "loop"})).await.id();
    call(&server, MORTY, 404, "DELETE", &format!("/tasks/{looping}"), Value::Null).await;
    let stopped = call(&server, MINDY, 200, "DELETE", &format!("/tasks/{looping}"), Value::Null).await;
    assert_eq!((stopped.text("State"), stopped.text("Error")), ("Aborted", "Aborted by the user"));

    let timed = call(&server, MORTY, 202, "PUT", "/auth/asyncInfiniteLoopTimeout", json!({"mode": "loop"})).await.id();
    call(&server, MORTY, 423, "DELETE", &format!("/tasks/{timed}"), Value::Null).await;
    let timed = ended(&server, MORTY, &timed).await;
    assert_eq!((timed.text("State"), timed.text("Error")), ("Aborted", "Timeout"));

    // Support may read Morty's task of this route, but not stop it.
    let shared = call(&server, MORTY, 202, "PUT", "/auth/asyncState", Value::Null).await.id();
    call(&server, MINDY, 200, "GET", &format!("/tasks/{shared}"), Value::Null).await;
    let forbidden = call(&server, MINDY, 403, "DELETE", &format!("/tasks/{shared}"), Value::Null).await;
    assert_eq!(forbidden.text("detail"), "You may read this task, but not stop it.");

    let open = server.put(202, "/open", Value::Null).await;
    assert!(open.body.get("User").is_none() && open.body.get("Permission").is_none(), "{open:?}");
    call(&server, MORTY, 200, "GET", &format!("/tasks/{}", open.id()), Value::Null).await;
}

#[tokio::test]
async fn queries_return_exactly_what_each_may_read() {
    let server = Server::start(&fixture()).await;
    let mut mortys = Vec::new();
    for path in ["/auth/asyncUsing", "/auth/asyncParam", "/auth/asyncUsingCancellable"] {
        mortys.push(call(&server, MORTY, 202, "PUT", path, Value::Null).await.id());
    }
    let shared = call(&server, MORTY, 202, "PUT", "/auth/asyncState", Value::Null).await.id();
    mortys.push(shared.clone());
    let mut mindys = vec![call(&server, MINDY, 202, "PUT", "/auth/asyncStateNoColumn", Value::Null).await.id(), shared];
    for id in &mortys {
        ended(&server, MORTY, id).await;
    }
    ended(&server, MINDY, &mindys[0]).await;
    mortys.sort();
    mindys.sort();
    let query = |user, document: Value| {
        let server = &server;
        async move { call(server, user, 200, "POST", "/tasks/query", document).await }
    };
    assert_eq!(ids(&query(MORTY, json!({})).await), mortys);
    assert_eq!(ids(&query(MINDY, json!({})).await), mindys);
    let name = "__Put_auth_asyncUsing__";
    let equal = query(MORTY, json!({"Name": {"op": "EQ", "value": name}})).await;
    assert_eq!(equal.body.as_array().map(Vec::len), Some(1));
    let other =
        query(MORTY, json!({"Name": {"op": "ne", "value": name}, "State": {"op": "EQ", "value": "completed"}})).await;
    assert_eq!(ids(&other).len(), 3);
    let seeds = json!({
        "State": {"value": "Completed", "op": "EQ"},
        "CreationTime": {"value": "7/5/2024 1:20:00 PM", "op": "GE"},
        "Name": {"value": "Put", "op": "LIKE"},
        "Cancellable": {"value": true, "op": "EQ"},
    });
    assert_eq!(ids(&query(MORTY, seeds).await), mortys);
}

#[tokio::test]
async fn the_query_may_stand_in_body_parameter_or_header_and_is_paged() {
    let routes = format!("routes:\n  - {{method: PUT, path: /m, component: {}}}\n", component("misbehaving.wasm"));
    let server = Server::start(&routes).await;
    for number in 0..25 {
        let input = if number % 5 == 0 { json!({"mode": "fail"}) } else { json!({"mode": "sleep-ms", "ms": 1}) };
        server.run("/m", input).await;
    }
    let failed = json!({"State": {"op": "EQ", "value": "Failed"}});
    let text = failed.to_string();
    let encoded = percent_encoding::utf8_percent_encode(&text, percent_encoding::NON_ALPHANUMERIC);
    let body = |content_type: &str, text: &'static str| {
        server.request("POST", "/tasks/query").header("Content-Type", content_type).body(text)
    };
    let requests = [
        server.request("POST", "/tasks/query").json(&failed),
        server.request("QUERY", "/tasks/query").json(&failed),
        body("application/yaml", "State: {op: EQ, value: Failed}"),
        body("application/xml", "<q><State><op>EQ</op><value>Failed</value></State></q>"),
        server.request("GET", &format!("/tasks/query?query={encoded}")),
        server.request("GET", "/tasks/query").header("query", &text),
        server.request("GET", "/tasks/query?filter[State][op]=EQ&filter[State][value]=Failed"),
        server.request("GET", "/tasks/query?filter%5BState%5D%5Bop%5D=eq&filter%5BState%5D%5Bvalue%5D=failed"),
    ];
    let mut answers = Vec::new();
    for request in requests {
        answers.push(server.send(200, request).await);
    }
    for answer in &answers {
        assert_eq!(ids(answer), ids(&answers[0]));
        assert_eq!(ids(answer).len(), 5);
    }
    let (mut path, mut seen) = ("/tasks/query?limit=7&order=-CreationTime".to_owned(), Vec::new());
    loop {
        let page = server.get(200, &path).await;
        seen.extend(ids(&page));
        let Some(next) = page.header("link").strip_prefix('<').and_then(|link| link.split_once(">; rel=\"next\""))
        else {
            break;
        };
        path = next.0.to_owned();
    }
    assert_eq!((seen.len(), seen.iter().collect::<std::collections::HashSet<_>>().len()), (25, 25));
    for (document, words) in [
        (json!({"Colour": {"op": "EQ", "value": "x"}}), "Colour"),
        (json!({"State": {"op": "GT", "value": "Failed"}}), "State"),
        (json!({"Progress": {"op": "LIKE", "value": 1}}), "Progress"),
        (json!({"Name": {"op": "IS", "value": "x"}}), "IS"),
        (json!([]), "query"),
    ] {
        let refused = server.send(400, server.request("POST", "/tasks/query").json(&document)).await;
        assert!(refused.text("detail").contains(words), "{refused:?}");
    }
    assert!(server.get(400, "/tasks/query?page=nonsense").await.text("detail").contains("page token"));
    assert!(server.get(400, "/tasks/query?limit=0").await.text("detail").contains("1 to 1000"));
}

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
