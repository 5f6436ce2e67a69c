//! What surrounds the routes: the OpenAPI document and its page, input schemas, CORS and OPTIONS, compression, request
//! ids, rate limits, and who may manage the server.

use crate::support::{Answer, Server, component, described, sandpool};
use serde_json::{Value, json};
use std::sync::Arc;

fn folder() -> Arc<tempfile::TempDir> {
    Arc::new(tempfile::tempdir().expect("a folder"))
}

/// A server with these keys of `server`, and these lines.
async fn with(keys: &str, lines: &str) -> Server {
    let head = format!("server: {{listen: \"127.0.0.1:0\"{keys}}}\nstore: {{url: \"sqlite:tasks.db\"}}\n");
    Server::start_with(folder(), &head, lines).await
}

fn hello() -> String {
    format!("routes:\n  - {{method: PUT, path: /hello, component: {}}}\n", component("hello.wasm"))
}

#[tokio::test]
async fn the_document_tells_of_every_route_and_is_the_commands() {
    let described = component("described.wasm");
    let lines = format!(
        "openapi: {{title: Orders, version: 2.0.1, schema_names: {{task: Job, query: JobQuery}}}}\n{}  \
         - {{method: PUT, path: '/orders/{{id}}', component: {described}, summary: Put an order, tags: [orders],\
         responses: [application/xml, application/json]}}\n",
        hello()
    );
    let server = with("", &lines).await;
    let shown = server.get(200, "/openapi.json").await;
    assert_eq!(shown.header("content-type"), "application/json");
    assert_eq!(shown.body["info"], json!({"title": "Orders", "version": "2.0.1"}));
    let order = &shown.body["paths"]["/orders/{id}"]["put"];
    assert_eq!((&order["summary"], &order["tags"]), (&json!("Put an order"), &json!(["orders"])));
    let content = &order["responses"]["202"]["content"];
    assert!(content["application/xml"].is_object() && content["application/yaml"].is_null(), "{content}");
    let input = &shown.body["components"]["schemas"]["PutOrdersByIdInput"];
    assert_eq!(input["properties"]["quantity"]["maximum"], 100, "{input}");
    assert!(shown.body["components"]["schemas"]["JobQuery"].is_object());
    for path in ["/hello", "/tasks/{taskId}", "/tasks", "/tasks/query"] {
        assert!(shown.body["paths"][path].is_object(), "{path}");
    }
    let known = server.request("GET", "/openapi.json").header("If-None-Match", shown.header("etag"));
    server.send(304, known).await;
    let yaml = server.send(200, server.request("GET", "/openapi.json").header("Accept", "application/yaml")).await;
    let yaml: Value = serde_yaml::from_str(yaml.body.as_str().expect("a text")).expect("YAML");
    assert_eq!(yaml, shown.body);
    let file = server.path("sandpool.yaml");
    for (flag, read) in [("--json", from_json as fn(&str) -> Value), ("--yaml", from_yaml)] {
        let printed = sandpool().arg("openapi").arg(&file).arg(flag).output().expect("runs");
        assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
        assert_eq!(read(&String::from_utf8_lossy(&printed.stdout)), shown.body, "{flag}");
    }
}

fn from_json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

fn from_yaml(text: &str) -> Value {
    serde_yaml::from_str(text).expect("YAML")
}

#[tokio::test]
async fn the_documentation_moves_is_left_out_and_asks_who_reads_it() {
    let none = with("", &format!("openapi: {{path: none}}\n{}", hello())).await;
    none.get(404, "/openapi.json").await;
    none.get(404, "/docs").await;
    let moved = with(
        "",
        &format!(
            "auth: {{users: [{{id: u, api_keys: ['{}']}}], schemes: {{key: {{type: api_key, in: header, name: X-Key}}}}}}\n\
             openapi: {{path: /v1/api.json, ui: /v1/docs, auth: key}}\n{}",
            // SHA-256 of `secret`.
            "sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b",
            hello()
        ),
    )
    .await;
    moved.get(404, "/openapi.json").await;
    for path in ["/v1/api.json", "/v1/docs", "/v1/docs/docs.js"] {
        moved.get(401, path).await;
        moved.send(200, moved.request("GET", path).header("X-Key", "secret")).await;
    }
}

#[tokio::test]
async fn inputs_are_checked_against_the_components_schema() {
    let described = component("described.wasm");
    let server = Server::start(&format!(
        "routes:\n  - {{method: PUT, path: /a, component: {described}}}\n  - {{method: PUT, path: /b, component: {described}}}\n"
    ))
    .await;
    let refused = server.put(422, "/a", json!({"item": "Pickle!", "quantity": 101})).await;
    assert_eq!(refused.header("content-type"), "application/problem+json");
    let mut pointers: Vec<&str> = refused.body["errors"]
        .as_array()
        .expect("faults")
        .iter()
        .filter_map(|fault| fault["pointer"].as_str())
        .collect();
    pointers.sort_unstable();
    assert_eq!(pointers, ["/item", "/quantity"], "{refused:?}");
    let detail = refused.body["errors"][1]["detail"].as_str().unwrap_or_default();
    assert!(!detail.is_empty(), "{refused:?}");
    let empty = server.send(422, server.request("PUT", "/b")).await;
    assert_eq!(empty.body["errors"][0]["pointer"], "");
    let taken = server.run("/b", json!({"item": "pickle", "quantity": 3})).await;
    assert_eq!(taken.body["Result"], json!({"item": "pickle", "quantity": 3, "total": 450}));
    let stored: i64 = rusqlite::Connection::open(server.path("tasks.db"))
        .and_then(|db| db.query_row("SELECT count(*) FROM tasks", [], |row| row.get(0)))
        .expect("a count");
    assert_eq!(stored, 1, "refused inputs are not stored");
}

#[tokio::test]
async fn a_describe_that_never_answers_is_a_fault_of_the_component() {
    let folder = folder();
    let looping = described(folder.path(), "looping.wasm", "(loop $again (br $again)) (unreachable)");
    let trapping = described(folder.path(), "trapping.wasm", "(unreachable)");
    for (file, words) in [(looping, "CPU limit"), (trapping, "unreachable")] {
        let config = folder.path().join("c.yaml");
        let text = format!(
            "routes:\n  - {{method: PUT, path: /a, component: {file}}}\n  - {{method: PUT, path: /b, component: {file}}}\n"
        );
        std::fs::write(&config, text).expect("written");
        let checked = sandpool().arg("check").arg(&config).output().expect("runs");
        let said = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert_eq!(checked.status.code(), Some(2), "{said}");
        assert!(said.contains("its `describe` failed") && said.contains(words), "{said}");
        assert!(said.contains("route PUT /a") && said.contains("route PUT /b"), "{said}");
    }
}

fn allow(answer: &Answer, name: &str) -> Vec<String> {
    let mut methods: Vec<String> = answer.header(name).split(',').map(|method| method.trim().to_owned()).collect();
    methods.sort();
    methods
}

#[tokio::test]
async fn options_name_the_methods_and_pages_of_other_origins_may_call_if_that_is_configured() {
    let server = with(", cors: ['https://app.example']", &hello()).await;
    let options = server.send(204, server.request("OPTIONS", "/hello")).await;
    assert_eq!(allow(&options, "allow"), ["OPTIONS", "PUT"]);
    let options = server.send(204, server.request("OPTIONS", "/tasks/x")).await;
    assert_eq!(allow(&options, "allow"), ["DELETE", "GET", "HEAD", "OPTIONS"]);
    server.send(404, server.request("OPTIONS", "/nowhere")).await;
    let preflight = |server: &Server, origin: &str| {
        let asked = server.request("OPTIONS", "/hello").header("Origin", origin);
        asked.header("Access-Control-Request-Method", "PUT").header("Access-Control-Request-Headers", "content-type")
    };
    let granted = server.send(200, preflight(&server, "https://app.example")).await;
    assert_eq!(granted.header("access-control-allow-origin"), "https://app.example");
    assert_eq!(granted.header("access-control-allow-methods"), "PUT");
    assert_eq!(granted.header("access-control-allow-headers"), "content-type");
    assert_eq!(granted.header("access-control-allow-credentials"), "true");
    let refused = server.send(200, preflight(&server, "https://evil.example")).await;
    assert_eq!(refused.header("access-control-allow-origin"), "");
    let called = server.send(202, server.request("PUT", "/hello").header("Origin", "https://app.example")).await;
    assert_eq!(called.header("access-control-allow-origin"), "https://app.example");
    assert!(called.header("access-control-expose-headers").contains("location"), "{called:?}");
    let closed = with("", &hello()).await;
    let asked = closed.send(204, preflight(&closed, "https://app.example")).await;
    assert_eq!(asked.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn answers_are_compressed_for_clients_that_take_it() {
    let server = with("", &hello()).await;
    let plain = server.get(200, "/openapi.json").await;
    assert_eq!((plain.header("content-encoding"), plain.header("vary")), ("", "accept"));
    for coding in ["gzip", "br"] {
        let response = server.request("GET", "/openapi.json").header("Accept-Encoding", coding).send().await;
        let response = response.expect("an answer");
        let fields = response.headers().clone();
        assert_eq!(fields["content-encoding"], coding);
        let varies: Vec<_> = fields.get_all("vary").iter().filter_map(|value| value.to_str().ok()).collect();
        assert!(varies.join(",").contains("accept-encoding"), "{varies:?}");
        let bytes = response.bytes().await.expect("a body");
        assert!(bytes.len() * 2 < plain.body.to_string().len(), "{coding}: {} bytes", bytes.len());
    }
}

#[tokio::test]
async fn requests_have_ids_and_targets_have_a_limit() {
    let server = with("", &hello()).await;
    let own = server.send(202, server.request("PUT", "/hello").header("X-Request-Id", "abc-1")).await;
    assert_eq!(own.header("x-request-id"), "abc-1");
    let first = server.get(404, "/nowhere").await.header("x-request-id").to_owned();
    let second = server.get(404, "/nowhere").await.header("x-request-id").to_owned();
    assert!(first.len() == 36 && first != second, "{first} {second}");
    let odd = server.send(404, server.request("GET", "/nowhere").header("X-Request-Id", "a b\"<>")).await;
    assert_eq!(odd.header("x-request-id").len(), 36);
    let long = server.get(414, &format!("/tasks/query?query={}", "x".repeat(17_000))).await;
    assert!(long.text("detail").contains("16384"), "{long:?}");
}

#[tokio::test]
async fn each_caller_has_its_own_rate_of_submits() {
    let user = |id: &str, key: &str| format!("{{id: {id}, api_keys: ['{key}']}}");
    let lines = format!(
        "auth:\n  users: [{}, {}]\n  schemes: {{key: {{type: api_key, in: header, name: X-Key}}}}\n  default: key\n{}",
        user("a", "sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"),
        // SHA-256 of `other`.
        user("b", "sha256:d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa"),
        hello()
    );
    let server = with(", rate_limit: {submits_per_second: 1, burst: 2}", &lines).await;
    let submit = |key: &str| server.request("PUT", "/hello").header("X-Key", key);
    let first = server.send(202, submit("secret")).await;
    assert_eq!(first.header("ratelimit-policy"), "\"submits\";q=2;w=2");
    assert_eq!(first.header("ratelimit"), "\"submits\";r=1;t=1");
    // A slow machine may earn one back in between.
    let refused = crate::support::eventually("429", || async {
        let answer = submit("secret").send().await.expect("an answer");
        (answer.status() == 429).then_some(answer)
    })
    .await;
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(refused.headers()["ratelimit"], "\"submits\";r=0;t=1");
    server.send(202, submit("other")).await;
    let got =
        server.send(200, server.request("GET", &format!("/tasks/{}", first.id())).header("X-Key", "secret")).await;
    assert_eq!(got.header("ratelimit"), "", "only submits are counted");
}
