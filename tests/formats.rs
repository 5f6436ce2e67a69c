//! Bodies and answers in JSON, XML and YAML; forms; what is not read or cannot be answered.

use crate::support::{Server, component};
use serde_json::{Value, json};

async fn server() -> Server {
    let m = component("misbehaving.wasm");
    let hello = component("hello.wasm");
    let routes = format!(
        r#"
routes:
  - {{method: PUT, path: /hello, component: {hello}, responses: [application/json, application/xml, application/yaml]}}
  - {{method: PUT, path: /yaml, component: {hello}, responses: [application/yaml]}}
  - {{method: PUT, path: /m, component: {m}}}
task_routes:
  - {{operation: get, path: /tasks, responses: [application/json, application/yaml, application/xml]}}
  - {{operation: stop, path: /tasks}}
  - {{operation: query, path: /tasks/query, responses: [application/json, application/xml, application/yaml]}}
"#
    );
    Server::start(&routes).await
}

#[tokio::test]
async fn bodies_are_read_in_every_format() {
    let server = server().await;
    for (content_type, body, input) in [
        ("application/json", r#"{"n": 1.50, "a": [null, true]}"#, json!({"n": 1.50, "a": [null, true]})),
        ("application/yaml", "n: 1.5\na: [null, true]\nno: no\n", json!({"n": 1.5, "a": [null, true], "no": "no"})),
        ("text/yaml; charset=utf-8", "- 1\n- x: y\n", json!([1, {"x": "y"}])),
        (
            "application/xml",
            "<order><qty>3</qty><tag>a</tag><tag>b</tag></order>",
            json!({"qty": "3", "tag": ["a", "b"]}),
        ),
        ("text/xml", r#"<order><qty type="number">3</qty></order>"#, json!({"qty": 3})),
        ("application/x-www-form-urlencoded", "a=1&b=x+y&a=2", json!({"a": ["1", "2"], "b": "x y"})),
    ] {
        let request = server.request("PUT", "/hello").header("Content-Type", content_type).body(body);
        let id = server.send(202, request).await.id();
        let ended = server.ended(&id).await;
        assert_eq!(ended.body["Result"]["input"], input, "{content_type}");
    }
}

#[tokio::test]
async fn answers_are_negotiated_by_q_values_and_wildcards() {
    let server = server().await;
    for (accept, content_type, start) in [
        ("*/*", "application/json", "{"),
        ("application/xml", "application/xml", "<?xml"),
        ("text/xml, application/json;q=0.5", "text/xml", "<?xml"),
        ("application/xml;q=0.2, application/yaml;q=0.9", "application/yaml", "Id: "),
        ("application/*;q=0.3, application/yaml", "application/yaml", "Id: "),
        ("application/json;q=0, */*", "application/xml", "<?xml"),
    ] {
        let request = server.request("PUT", "/hello").header("Accept", accept);
        let answer = server.send(202, request).await;
        assert_eq!(answer.header("content-type"), content_type, "{accept}");
        let text = answer.body.as_str().map_or_else(|| answer.body.to_string(), str::to_owned);
        assert!(text.starts_with(start), "{accept}: {text}");
    }
    let default = server.send(202, server.request("PUT", "/yaml")).await;
    assert_eq!(default.header("content-type"), "application/yaml");
    let refused = server.send(406, server.request("PUT", "/yaml").header("Accept", "application/json")).await;
    assert_eq!(refused.text("detail"), "`Accept` allows none of what is answered here: application/yaml.");
    let stored: i64 = rusqlite::Connection::open(server.path("tasks.db"))
        .and_then(|db| db.query_row("SELECT count(*) FROM tasks", [], |row| row.get(0)))
        .expect("a count");
    assert_eq!(stored, 7, "what cannot be answered is not stored");
}

#[tokio::test]
async fn problems_come_in_every_format() {
    let server = server().await;
    for (accept, content_type, part) in [
        ("application/json", "application/problem+json", "\"status\":404"),
        ("application/xml", "application/problem+xml", "<status>404</status>"),
        ("application/yaml", "application/problem+yaml", "status: 404"),
    ] {
        let answer = server.send(404, server.request("GET", "/tasks/nobody").header("Accept", accept)).await;
        assert_eq!(answer.header("content-type"), content_type, "{accept}");
        let text = answer.body.as_str().map_or_else(|| answer.body.to_string(), str::to_owned);
        assert!(text.contains(part), "{accept}: {text}");
    }
    // What cannot be answered is said first, in the default format; where nothing is, that is said.
    let refused = server.send(406, server.request("GET", "/tasks/nobody").header("Accept", "image/png")).await;
    assert_eq!(refused.header("content-type"), "application/problem+json");
    server.send(404, server.request("GET", "/nowhere").header("Accept", "image/png")).await;
}

#[tokio::test]
async fn a_query_without_conditions_can_be_written_in_every_format() {
    let server = server().await;
    let query =
        |content_type, body| server.request("POST", "/tasks/query").header("Content-Type", content_type).body(body);
    for (content_type, body) in [
        ("application/json", "{}"),
        ("application/yaml", "{}"),
        ("application/xml", "<AsyncTaskQuery/>"),
        ("text/xml; charset=utf-8", "<AsyncTaskQuery></AsyncTaskQuery>"),
    ] {
        assert_eq!(server.send(200, query(content_type, body)).await.body, json!([]), "{content_type}");
    }
    for (content_type, body) in
        [("application/json", "\"\""), ("application/xml", "<AsyncTaskQuery>x</AsyncTaskQuery>")]
    {
        server.send(400, query(content_type, body)).await;
    }
}

#[tokio::test]
async fn hostile_and_malformed_bodies_are_refused_with_their_place() {
    let server = server().await;
    let aliases: String =
        (1..12).map(|n| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(", "))).collect();
    let bomb = format!("a0: &a0 [x]\n{aliases}");
    let deep = "[{a: ".repeat(20_000);
    for (content_type, body, words) in [
        ("application/yaml", bomb.as_str(), "alias"),
        ("application/yaml", deep.as_str(), "deep"),
        ("application/yaml", "a: 1\na: 2\n", "line 2, column 1"),
        ("application/json", r#"{"a": 1, "a": 2}"#, "line 1, column 10"),
        ("application/xml", "<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>", "line 1, column 1"),
        ("application/xml", "<a><b></a>", "line 1, column"),
    ] {
        let request = server.request("PUT", "/hello").header("Content-Type", content_type).body(body.to_owned());
        let refused = server.send(400, request).await;
        assert!(refused.text("detail").to_lowercase().contains(words), "{content_type}: {refused:?}");
        assert!(refused.body["line"].is_u64() && refused.body["column"].is_u64(), "{refused:?}");
    }
    for content_type in ["image/png", "application/json; charset=utf-16"] {
        let request = server.request("PUT", "/hello").header("Content-Type", content_type).body("{}");
        server.send(415, request).await;
    }
}

#[tokio::test]
async fn a_task_reads_back_the_same_from_yaml_and_xml() {
    let server = server().await;
    let input = json!({"text": "no", "a b": ["", " x ", null, 0, false, {}], "n": 1e3, "é<&>": "\u{7}line\r\n"});
    let id = server.put(202, "/hello", input.clone()).await.id();
    server.ended(&id).await;
    for accept in ["application/yaml", "application/xml"] {
        let shown = server.send(200, server.request("GET", &format!("/tasks/{id}")).header("Accept", accept)).await;
        let text = shown.body.as_str().expect("no JSON").to_owned();
        // Sent back as an input, it is the object that JSON shows.
        let again = server.request("PUT", "/hello").header("Content-Type", accept).body(text);
        let again = server.ended(&server.send(202, again).await.id()).await;
        let task = server.get(200, &format!("/tasks/{id}")).await;
        assert_eq!(again.body["Result"]["input"], task.body, "{accept}");
        assert_eq!(again.body["Result"]["input"]["Result"]["input"], input);
    }
}

#[tokio::test]
async fn a_get_has_a_tag_and_304() {
    let server = server().await;
    let ended = server.run("/hello", Value::Null).await;
    let path = format!("/tasks/{}", ended.id());
    let tag = ended.header("etag").to_owned();
    assert!(tag.starts_with("W/\"") && tag.len() > 10, "{tag}");
    let same = server
        .send(
            304,
            server.request("GET", &path).header("If-None-Match", format!("\"x\", {}", tag.trim_start_matches("W/"))),
        )
        .await;
    assert_eq!((same.header("etag"), &same.body), (tag.as_str(), &json!("")));
    server.send(200, server.request("GET", &path).header("If-None-Match", "\"other\"")).await;
    let yaml = server.send(200, server.request("GET", &path).header("Accept", "application/yaml")).await;
    assert_ne!(yaml.header("etag"), tag, "another representation has another tag");
}
