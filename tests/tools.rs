//! What tools of others say: schemathesis, openapi-spec-validator, a generated client, a browser, followers of events.
//! `tests/tools/install` installs them; `tests/run` calls it.

mod followers;

use crate::support::{Server, component, hash};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How schemathesis asks.
const SCHEMATHESIS: &str = include_str!("tools/schemathesis.toml");

pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/tools").join(name)
}

/// Python in the tools' virtualenv.
pub fn python() -> Command {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../tools/bin/python");
    assert!(program.exists(), "{} is missing: run tests/tools/install TARGET/tools", program.display());
    let mut command = Command::new(program);
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONPATH", script("")).env("NO_PROXY", "*");
    command.stdin(Stdio::null());
    command
}

/// What it printed, once it has ended well.
fn passes(command: &mut Command) -> String {
    let out = command.output().expect("it starts");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{command:?}\n{text}{}", String::from_utf8_lossy(&out.stderr));
    text
}

/// Routes and task routes of all sorts, open to everybody.
async fn open() -> Server {
    let [described, hello, counter, sleeper] =
        ["described", "hello", "counter", "sleeper"].map(|name| component(&format!("{name}.wasm")));
    let all = "responses: [application/json, application/xml, application/yaml]";
    let routes = format!(
        r#"
openapi: {{title: Orders & <more>, version: 2.1.0, description: "An **example**."}}
variables: {{uSleepTime: 0.05, uMessage: coming from using}}
routes:
  - {{method: PUT, path: '/orders/{{id}}', component: {described}, {all}, tags: [orders]}}
  - {{method: POST, path: /orders, component: {described}, responses: [application/xml, application/json], tags: [orders]}}
  - {{method: GET, path: '/hello/{{who}}/{{*rest}}', component: {hello}, responses: [application/yaml, application/json]}}
  - {{method: DELETE, path: '/counters/{{name}}', component: {hello}, cancellable: false}}
  - {{method: PATCH, path: /hello, component: {hello}, id: ulid}}
  - {{method: POST, path: /count, component: {counter}, state: {{write: [counter]}}}}
  - {{method: PUT, path: /sleep, component: {sleeper}, using: [uSleepTime, uMessage], sse: {{group: sleepers, send_result: true}}}}
task_routes:
  - {{operation: get, path: /tasks, in: [path, query, header, cookie], {all}}}
  - {{operation: stop, path: /tasks, in: [path, header]}}
  - {{operation: query, path: /tasks/query, in: [body, query, header], {all}}}
  - {{operation: events, path: /events}}
"#
    );
    Server::start(&routes).await
}

/// Routes that ask for two credentials, and one that asks for none.
async fn guarded() -> Server {
    let (described, hello) = (component("described.wasm"), component("hello.wasm"));
    let (password, key) = (hash("password", "pickle"), hash("key", "test-api-key"));
    let routes = format!(
        r#"
auth:
  users: [{{id: M0R7Y302, name: morty, password: '{password}', api_keys: ['{key}'], groups: [Software]}}]
  schemes:
    login: {{type: basic}}
    key: {{type: api_key, in: header, name: X-API-KEY}}
    both: {{all: [key, login]}}
  default: both
openapi: {{auth: none}}
routes:
  - {{method: PUT, path: '/orders/{{id}}', component: {described}, responses: [application/json, application/xml, application/yaml], access: {{groups: [Software]}}}}
  - {{method: GET, path: '/hello/{{who}}', component: {hello}, responses: [application/yaml, application/json], permission: {{read: {{groups: [Support]}}}}}}
  - {{method: DELETE, path: '/counters/{{name}}', component: {hello}, cancellable: false}}
  - {{method: PUT, path: /open, component: {hello}, auth: none}}
"#
    );
    Server::start(&routes).await
}

/// Lets schemathesis try every operation, and expects it to have found nothing.
fn schemathesis(server: &Server, operations: usize, credentials: &str) {
    let configuration = server.path("schemathesis.toml");
    std::fs::write(&configuration, format!("{SCHEMATHESIS}{credentials}")).expect("the folder is writable");
    let mut command = python();
    command.args(["-m", "schemathesis.cli", "--config-file"]).arg(configuration);
    command.args(["run", "--no-color", "--warnings", "off", &format!("{}/openapi.json", server.base)]);
    let report = passes(command.current_dir(server.folder().path()));
    assert!(report.contains(&format!("Tested: {operations}\n")), "{report}");
    assert!(!report.contains("Errors") && !report.contains("❌"), "{report}");
}

#[tokio::test]
async fn schemathesis_finds_nothing_on_open_routes() {
    schemathesis(&open().await, 16, "");
}

#[tokio::test]
async fn schemathesis_finds_nothing_on_guarded_routes() {
    let credentials = "\n[auth.openapi]\n\
        login = { username = \"morty\", password = \"pickle\" }\n\
        key = { api_key = \"test-api-key\" }\n";
    schemathesis(&guarded().await, 13, credentials);
}

#[tokio::test]
async fn the_document_is_valid() {
    for server in [open().await, guarded().await] {
        for (accept, name) in [("application/json", "openapi.json"), ("application/yaml", "openapi.yaml")] {
            let answer =
                server.request("GET", "/openapi.json").header("Accept", accept).send().await.expect("an answer");
            assert_eq!(answer.headers()["content-type"], accept);
            std::fs::write(server.path(name), answer.bytes().await.expect("a body")).expect("the folder is writable");
            let mut command = python();
            command.args(["-m", "openapi_spec_validator", "--errors", "all"]).arg(server.path(name));
            let report = passes(&mut command);
            assert!(report.trim_end().ends_with(": OK"), "{report}");
        }
    }
}

#[tokio::test]
async fn a_generated_client_submits_polls_and_stops() {
    let (described, sleeper) = (component("described.wasm"), component("sleeper.wasm"));
    let routes = format!(
        r#"
routes:
  - {{method: PUT, path: '/orders/{{id}}', component: {described}, tags: [orders]}}
  - {{method: POST, path: /orders, component: {described}, tags: [orders]}}
  - {{method: GET, path: /long, component: {sleeper}, arguments: {{sleepTime2: 600, Message: m}}}}
"#
    );
    let server = Server::start(&routes).await;
    passes(python().arg(script("client.py")).arg(&server.base).arg(server.folder().path()));
}

/// What `browser.py` saw, which must be without complaints and from this server alone.
fn browse(server: &Server, arguments: &[&str]) -> Value {
    let mut command = python();
    command.arg(script("browser.py")).arg(format!("{}/docs", server.base)).arg(server.path("docs.png"));
    let report: Value = serde_json::from_str(&passes(command.args(arguments))).expect("JSON");
    assert_eq!(report["complaints"], serde_json::json!([]), "{report}");
    let requests: Vec<_> = report["requests"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    assert!(requests.len() >= 5, "{requests:?}");
    let own = format!("{}/", server.base);
    assert!(requests.iter().all(|url| url.starts_with(&own) || url.starts_with("data:")), "{requests:?}");
    report
}

#[tokio::test]
async fn a_browser_shows_the_document() {
    let server = open().await;
    let report = browse(&server, &["/orders/{id}"]);
    let text = report["text"].as_str().expect("a text");
    for part in
        ["Orders & <more>", "2.1.0", "An example.", "Order items", "/hello/{who}/{rest}", "Stop a task", "/tasks/query"]
    {
        assert!(text.contains(part), "{part} is not in the page: {text}");
    }
    assert!(report["rows"].as_u64().is_some_and(|rows| rows > 100), "the page is blank: {}", report["rows"]);
}

#[tokio::test]
async fn a_browser_tries_an_operation() {
    let server = open().await;
    // Opens the operation, and presses the button once the body that it sends is there.
    let press = r##"(async () => {
        const found = async (selector, fits = () => true) => {
            for (;;) {
                const element = document.querySelector(`#operations-orders-postOrders ${selector}`);
                if (element && fits(element)) return element;
                await new Promise(requestAnimationFrame);
            }
        };
        (await found(".opblock-summary-control")).click();
        await found("textarea", (body) => body.value.includes("pickle"));
        (await found("button.execute")).click();
    })()"##;
    let report = browse(&server, &["/orders/{id}", press, "__Post_orders__"]);
    assert!(report["requests"].as_array().is_some_and(|all| all.contains(&format!("{}/orders", server.base).into())));
    let tasks = server.get(200, "/tasks/query").await;
    assert_eq!(tasks.body.as_array().map(Vec::len), Some(1), "the button makes one task: {tasks:?}");
}

#[tokio::test]
async fn the_page_has_one_address_and_a_tag() {
    let server = open().await;
    let page = server.get(200, "/docs").await;
    let tag = page.header("etag").to_owned();
    let again = server.send(304, server.request("GET", "/docs").header("If-None-Match", &tag)).await;
    assert_eq!((again.header("etag"), &again.body), (tag.as_str(), &Value::from("")));
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build();
    let slash = client.expect("a client").get(format!("{}/docs/", server.base)).send().await.expect("an answer");
    assert_eq!((slash.status().as_u16(), slash.headers()["location"].as_bytes()), (308, &b"../docs"[..]));
    assert_eq!(server.get(200, "/docs/").await.body, page.body, "the redirect leads to the page");
}
