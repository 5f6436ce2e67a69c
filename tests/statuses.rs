//! Every status code of the contract, provoked in each of the three formats: the answer has the right type and headers,
//! and says the same in each.

use crate::support::{Answer, MINDY, MORTY, Server, component, eventually, morty_and_mindy};
use quick_xml::Reader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesStart, Event};
use reqwest::RequestBuilder;
use serde_json::{Map, Value, json};
use std::sync::Arc;

const FORMATS: [&str; 3] = ["json", "xml", "yaml"];
const JSON: &str = "application/json";

/// What an answer holds.
#[derive(Clone, Copy, PartialEq)]
enum Content {
    Problem,
    /// The same task each time.
    Task,
    /// Each time another task of the same kind.
    NewTask,
    Tasks,
    Nothing,
}
use Content::{NewTask, Nothing, Problem, Task, Tasks};

/// One row: a request, and what is answered.
struct Case {
    /// What `Accept` has before the name of the format.
    accept: &'static str,
    /// The request for the format with this number, without `Accept`.
    request: fn(&World, usize) -> RequestBuilder,
    expected: Expected,
}

struct Expected {
    what: &'static str,
    status: u16,
    content: Content,
    /// Header fields, and a part of (one of) their values.
    headers: &'static [(&'static str, &'static str)],
    /// Members of the body, and for texts a part of them.
    members: Value,
}

/// The server, and what was submitted before.
struct World {
    server: Server,
    /// Ended.
    ended: String,
    /// Running, and not cancellable.
    fixed: String,
    /// Waiting behind a task that never ends.
    waiting: Vec<String>,
    /// Mindy's own.
    mindys: String,
    /// Morty's, which Mindy may read.
    mortys: String,
    /// The entity tag of the ended task in each format.
    tags: Vec<String>,
}

fn routes(folder: &std::path::Path) -> String {
    let (hello, m) = (component("hello.wasm"), component("misbehaving.wasm"));
    let (described, same) = (component("described.wasm"), crate::ids::constant(folder));
    let all = "responses: [application/json, application/xml, application/yaml]";
    format!(
        r#"
{auth}
routes:
  - {{method: PUT, path: /hello, component: {hello}, {all}}}
  - {{method: PUT, path: /loop, component: {m}, {all}, pool: {{min: 0, max: 1, queue: 100}}}}
  - {{method: PUT, path: /full, component: {m}, {all}, pool: {{min: 0, max: 1, queue: 0}}}}
  - {{method: PUT, path: /fixed, component: {m}, {all}, cancellable: false}}
  - {{method: PUT, path: /order, component: {described}, {all}}}
  - {{method: PUT, path: /same-id, component: {hello}, {all}, id: {{component: {same}}}}}
  - {{method: PUT, path: /support, component: {m}, {all}, auth: both, access: {{groups: [Support]}}}}
  - {{method: PUT, path: /shared, component: {m}, {all}, auth: both, permission: {{read: {{groups: [Support]}}}}}}
task_routes:
  - {{operation: get, path: /tasks, {all}}}
  - {{operation: stop, path: /tasks, {all}}}
  - {{operation: query, path: /tasks/query, {all}}}
  - {{operation: get, path: /own, {all}, auth: both}}
  - {{operation: stop, path: /own, {all}, auth: both}}
"#,
        auth = morty_and_mindy().trim_end(),
    )
}

impl World {
    async fn new() -> Self {
        let folder = Arc::new(tempfile::tempdir().expect("a folder"));
        let routes = routes(folder.path());
        let head = "server: {listen: \"127.0.0.1:0\", body_limit: 1KiB}\nstore: {url: \"sqlite:tasks.db\"}\n";
        let server = Server::start_with(folder, head, &routes).await;
        let endless = json!({"mode": "loop"});
        let fixed = server.put(202, "/fixed", endless.clone()).await.id();
        server.put(202, "/full", endless.clone()).await;
        let first = server.put(202, "/loop", endless.clone()).await.id();
        server.running(&first).await;
        let mut waiting = Vec::new();
        for _ in FORMATS {
            waiting.push(server.put(202, "/loop", endless.clone()).await.id());
        }
        server.put(202, "/same-id", Value::Null).await;
        let keyed = server.request("PUT", "/hello").header("Idempotency-Key", "k").json(&json!({"first": true}));
        let keyed = server.send(202, keyed).await.id();
        server.ended(&keyed).await;
        let mindys = server.send(202, MINDY.asks(server.request("PUT", "/support").json(&endless))).await.id();
        let mortys = server.send(202, MORTY.asks(server.request("PUT", "/shared").json(&endless))).await.id();
        let ended = server.run("/order", json!({"item": "pickle", "quantity": 3})).await.id();
        let mut tags = Vec::new();
        for format in FORMATS {
            let request = server.request("GET", &format!("/tasks/{ended}"));
            let shown = server.send(200, request.header("Accept", format!("application/{format}"))).await;
            tags.push(shown.header("etag").to_owned());
        }
        Self { server, ended, fixed, waiting, mindys, mortys, tags }
    }

    fn ask(&self, method: &str, path: &str) -> RequestBuilder {
        self.server.request(method, path)
    }

    fn put(&self, path: &str, content_type: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.ask("PUT", path).header("Content-Type", content_type).body(body)
    }
}

macro_rules! case {
    ($status:literal $content:ident, $what:literal, $request:expr, [$($header:expr),*], $members:tt) => {
        Case {
            accept: "application/",
            request: $request,
            expected: Expected {
                what: $what,
                status: $status,
                content: $content,
                headers: &[$($header),*],
                members: json!($members),
            },
        }
    };
}

fn successes() -> Vec<Case> {
    vec![
        case!(200 Task, "a task", |w, _| w.ask("GET", &format!("/tasks/{}", w.ended)),
            [("etag", "W/\""), ("vary", "accept")],
            {"State": "Completed", "Name": "__Put_order__", "Result": {"item": "pickle", "quantity": 3, "total": 450}}),
        case!(200 NewTask, "waited for",
            |w, _| w.put("/order", JSON, r#"{"item": "pickle", "quantity": 2}"#).header("Prefer", "wait=60"),
            [("preference-applied", "wait=60"), ("location", "/tasks/")],
            {"State": "Completed", "Result": {"item": "pickle", "quantity": 2, "total": 300}}),
        case!(200 NewTask, "stopped", |w, n| w.ask("DELETE", &format!("/tasks/{}", w.waiting[n])),
            [], {"State": "Aborted", "Error": "Aborted by the user"}),
        case!(200 Tasks, "found",
            |w, _| w.ask("POST", "/tasks/query").json(&json!({"Id": {"op": "EQ", "value": w.ended}})),
            [], [{"State": "Completed"}]),
        case!(200 Tasks, "found none", |w, _| w.ask("GET", "/tasks/query?filter[Name][op]=EQ&filter[Name][value]=x"),
            [], []),
        case!(202 NewTask, "submitted", |w, _| w.put("/loop", JSON, r#"{"mode": "loop"}"#),
            [("location", "/tasks/"), ("retry-after", "1")],
            {"State": "NotStarted", "Name": "__Put_loop__", "Cancellable": true, "Method": "PUT"}),
        case!(202 Task, "the first task of the key",
            |w, _| w.put("/hello", JSON, r#"{"first":true}"#).header("Idempotency-Key", "k"),
            [("location", "/tasks/")], {"Name": "__Put_hello__"}),
        case!(204 Nothing, "methods", |w, _| w.ask("OPTIONS", "/hello"), [("allow", "PUT, OPTIONS")], null),
        case!(304 Nothing, "known",
            |w, n| w.ask("GET", &format!("/tasks/{}", w.ended)).header("If-None-Match", &w.tags[n]),
            [("etag", "W/\""), ("vary", "accept")], null),
    ]
}

fn refused_bodies() -> Vec<Case> {
    vec![
        case!(400 Problem, "malformed JSON", |w, _| w.put("/hello", JSON, "{\n  \"a\": ,\n}"),
            [], {"detail": "line 2, column 8", "line": 2, "column": 8}),
        case!(400 Problem, "malformed XML", |w, _| w.put("/hello", "application/xml", "<a>\n<b></a>"),
            [], {"detail": "line 2, column", "line": 2}),
        case!(400 Problem, "malformed YAML", |w, _| w.put("/hello", "application/yaml", "a: 1\na: 2\n"),
            [], {"detail": "line 2, column 1", "line": 2, "column": 1}),
        case!(400 Problem, "no query",
            |w, _| w.ask("POST", "/tasks/query").json(&json!({"<Colour>": {"op": "EQ", "value": 1}})),
            [], {"detail": "<Colour>"}),
        case!(400 Problem, "no wait", |w, _| w.ask("GET", &format!("/tasks/{}?wait=soon&x=%26", w.ended)),
            [], {"detail": "not `soon`"}),
        case!(413 Problem, "too large", |w, _| w.put("/hello", JSON, vec![b' '; 1025]), [], {"detail": "1024 bytes"}),
        case!(414 Problem, "too long", |w, _| w.ask("GET", &format!("/tasks/query?query={}", "x".repeat(16 << 10))),
            [], {"title": "URI Too Long", "detail": "reads 16384"}),
        case!(415 Problem, "unread type", |w, _| w.put("/hello", "image/png", "x"), [], {"detail": "`image/png`"}),
        case!(415 Problem, "unread letters", |w, _| w.put("/hello", "application/json; charset=utf-16", "{}"),
            [], {"detail": "utf-16"}),
    ]
}

fn refused_inputs() -> Vec<Case> {
    vec![
        case!(422 Problem, "another payload", |w, _| w.put("/hello", JSON, "{}").header("Idempotency-Key", "k"),
            [], {"detail": "another payload"}),
        case!(422 Problem, "not by the schema", |w, _| w.put("/order", JSON, r#"{"item": "A", "quantity": 101}"#),
        [], {"detail": "`errors`", "errors": [
            {"pointer": "/item", "detail": "^[a-z][a-z ]*$"}, {"pointer": "/quantity", "detail": "maximum of 100"}
        ]}),
        case!(422 Problem, "one fault by the schema",
            |w, _| w.put("/order", JSON, r#"{"item": "a", "quantity": "<&>"}"#),
            [], {"errors": [{"pointer": "/quantity", "detail": "integer"}]}),
    ]
}

fn refused_callers() -> Vec<Case> {
    const CHALLENGES: [(&str, &str); 2] =
        [("www-authenticate", "Basic realm="), ("www-authenticate", "name=\"X-API-KEY\"")];
    vec![
        case!(401 Problem, "nobody", |w, _| w.ask("PUT", "/support"),
            [CHALLENGES[0], CHALLENGES[1]], {"detail": "credentials"}),
        case!(401 Problem, "half a user",
            |w, _| w.ask("GET", &format!("/own/{}", w.mindys)).header("X-API-KEY", MINDY.key),
            [CHALLENGES[0], CHALLENGES[1]], {"detail": "credentials"}),
        case!(403 Problem, "no access", |w, _| MORTY.asks(w.ask("PUT", "/support")),
            [], {"detail": "You may not call this route."}),
        case!(403 Problem, "only a reader", |w, _| MINDY.asks(w.ask("DELETE", &format!("/own/{}", w.mortys))),
            [], {"detail": "You may read this task, but not stop it."}),
        case!(404 Problem, "no such task", |w, _| w.ask("GET", "/tasks/nobody%26"), [], {"detail": "`nobody&`"}),
        case!(404 Problem, "not his to read", |w, _| MORTY.asks(w.ask("GET", &format!("/own/{}", w.mindys))),
            [], {"detail": "There is no task with the id"}),
        case!(404 Problem, "not his to stop", |w, _| MORTY.asks(w.ask("DELETE", &format!("/own/{}", w.mindys))),
            [], {"detail": "There is no task with the id"}),
        case!(404 Problem, "nothing there", |w, _| w.ask("GET", "/nowhere/%3Ca%3E"), [], {"detail": "/nowhere/<a>"}),
    ]
}

fn refused_requests() -> Vec<Case> {
    vec![
        case!(405 Problem, "another method", |w, _| w.ask("GET", "/hello"),
            [("allow", "PUT")], {"detail": "only PUT"}),
        case!(405 Problem, "a task's methods", |w, _| w.ask("PUT", "/tasks/x"), [("allow", "GET, DELETE")], {}),
        case!(405 Problem, "only read", |w, _| w.ask("DELETE", "/-/live"), [("allow", "GET, HEAD")], {}),
        Case {
            // Who takes nothing but problems gets one.
            accept: "application/problem+",
            ..case!(406 Problem, "only problems", |w, _| w.ask("PUT", "/hello"),
                [], {"detail": "application/json, application/xml, application/yaml"})
        },
        case!(409 Problem, "taken", |w, _| w.ask("PUT", "/same-id"), [], {"detail": "always-the-same"}),
        case!(410 Problem, "ended", |w, _| w.ask("DELETE", &format!("/tasks/{}", w.ended)),
            [], {"detail": "The task has ended already, as Completed."}),
        case!(423 Problem, "not cancellable", |w, _| w.ask("DELETE", &format!("/tasks/{}", w.fixed)),
            [], {"detail": "cancellable: false"}),
        case!(429 Problem, "full", |w, _| w.put("/full", JSON, r#"{"mode": "loop"}"#),
            [("retry-after", "1")], {"detail": "1 tasks of this route run and 0 wait"}),
    ]
}

#[tokio::test]
async fn each_status_says_the_same_in_each_format() {
    let world = World::new().await;
    let tables = [successes(), refused_bodies(), refused_inputs(), refused_callers(), refused_requests()];
    for Case { accept, request, expected } in tables.into_iter().flatten() {
        println!("{} {}", expected.status, expected.what);
        let mut answers = Vec::new();
        for (n, format) in FORMATS.into_iter().enumerate() {
            let request = request(&world, n).header("Accept", format!("{accept}{format}"));
            answers.push(world.server.send(expected.status, request).await);
        }
        expected.check(&answers);
    }
}

#[tokio::test]
async fn who_submits_too_fast_is_told_in_each_format() {
    let head = "server: {listen: \"127.0.0.1:0\", rate_limit: {submits_per_second: 1, burst: 1}}\n";
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let routes = routes(folder.path());
    let server = Server::start_with(folder, head, &routes).await;
    let submit = |n: usize| server.request("PUT", "/hello").header("Accept", format!("application/{}", FORMATS[n]));
    let taken = server.send(202, submit(0)).await;
    assert_eq!(taken.header("ratelimit-policy"), "\"submits\";q=1;w=1");
    assert_eq!(taken.header("ratelimit"), "\"submits\";r=0;t=1");
    let mut answers = Vec::new();
    for n in 0..FORMATS.len() {
        // A slow machine may earn a submit in between.
        let refused = || async {
            let answer = answer_to(submit(n)).await;
            (answer.status == 429).then_some(answer)
        };
        answers.push(eventually("429", refused).await);
    }
    let fields = &[("retry-after", "1"), ("ratelimit", "\"submits\";r=0;t=1"), ("ratelimit-policy", "q=1;w=1")];
    Expected::refusal(429, fields, json!({"detail": "1 tasks a second, and 1 at once"})).check(&answers);
}

#[tokio::test]
async fn a_server_that_goes_down_says_so_in_each_format() {
    let head = "server: {listen: \"127.0.0.1:0\", shutdown_grace: 60s}\nstore: {url: \"sqlite:tasks.db\"}\n";
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let routes = routes(folder.path());
    let server = Server::start_with(folder, head, &routes).await;
    let endless = json!({"mode": "loop"});
    let first = server.put(202, "/loop", endless.clone()).await.id();
    server.running(&first).await;
    let waiting = server.put(202, "/loop", endless).await.id();
    server.terminate();
    eventually("the drain", || async {
        (answer_to(server.request("GET", "/-/ready")).await.status == 503).then_some(())
    })
    .await;
    let (mut submits, mut stops) = (Vec::new(), Vec::new());
    for format in FORMATS {
        let accepting =
            |method, path: &str| server.request(method, path).header("Accept", format!("application/{format}"));
        submits.push(server.send(503, accepting("PUT", "/hello")).await);
        stops.push(server.send(503, accepting("DELETE", &format!("/tasks/{waiting}"))).await);
    }
    Expected::refusal(503, &[("retry-after", "5")], json!({"detail": "shutting down"})).check(&submits);
    Expected::refusal(503, &[], json!({"detail": "let go of the task"})).check(&stops);
}

async fn answer_to(request: RequestBuilder) -> Answer {
    let response = request.send().await.expect("an answer");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await.expect("a body");
    Answer { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) }
}

impl Expected {
    fn refusal(status: u16, headers: &'static [(&'static str, &'static str)], members: Value) -> Self {
        Self { what: "refused", status, content: Problem, headers, members }
    }

    /// The answers, one in each format, are what the row says, and all the same.
    fn check(&self, answers: &[Answer]) {
        assert_eq!(answers.len(), FORMATS.len());
        let mut decoded = Vec::new();
        for (format, answer) in FORMATS.into_iter().zip(answers) {
            let about = format!("{} {} in {format}: {answer:?}", self.status, self.what);
            for (name, part) in self.headers.iter().chain(&[("x-request-id", "")]) {
                let mut values = answer.headers.get_all(*name).iter().filter_map(|value| value.to_str().ok());
                assert!(values.any(|value| value.contains(part)), "no `{name}: {part}` in {about}");
            }
            if self.content == Nothing {
                assert_eq!((answer.header("content-type"), &answer.body), ("", &json!("")), "{about}");
                continue;
            }
            assert_eq!(answer.header("cache-control"), "no-cache", "{about}");
            let infix = if self.content == Problem { "problem+" } else { "" };
            assert_eq!(answer.header("content-type"), format!("application/{infix}{format}"), "{about}");
            let varies = answer.headers.get_all("vary").iter().filter_map(|value| value.to_str().ok());
            let mut varies = varies.flat_map(|value| value.split(',')).map(str::trim);
            assert!(varies.any(|name| name.eq_ignore_ascii_case("accept")), "no `vary: accept` in {about}");
            let body = self.decode(format, &answer.body);
            assert!(holds(&self.members, &body), "no {} in {body}, {about}", self.members);
            decoded.push(body);
        }
        for (format, body) in FORMATS.into_iter().zip(&decoded) {
            assert_eq!(body, &decoded[0], "{} {} in {format}", self.status, self.what);
        }
    }

    /// The body as JSON, without what differs from one task to the next.
    fn decode(&self, format: &str, body: &Value) -> Value {
        let mut body = match (format, body) {
            ("json", body) => body.clone(),
            ("xml", Value::String(text)) => self.decode_xml(text),
            (_, Value::String(text)) => serde_yaml::from_str(text).expect("YAML"),
            // The text is JSON, too.
            (_, body) => body.clone(),
        };
        match (self.content, &mut body) {
            (Problem, body) => {
                let members = (&body["status"], body["title"].as_str());
                assert_eq!(members, (&json!(self.status), Some(title(self.status))), "{body}");
                assert!(body["detail"].as_str().is_some_and(|detail| detail.ends_with('.')), "{body}");
            }
            (NewTask, Value::Object(members)) => {
                for (_, value) in members.iter_mut().filter(|(name, _)| *name == "Id" || name.ends_with("Time")) {
                    assert!(value.is_string(), "{value}");
                    *value = json!("its own");
                }
            }
            _ => {}
        }
        body
    }

    fn decode_xml(&self, text: &str) -> Value {
        let root = match self.content {
            // RFC 9457, appendix B.
            Problem => "problem xmlns=\"urn:ietf:rfc:7807\"",
            Tasks => "AsyncTasks",
            _ => "AsyncTask",
        };
        assert!(text.contains(&format!("?>\n<{root}")), "{text}");
        let mut body = from_xml(text);
        if self.content == Problem {
            // The RFC's own members have no attributes; its schema says that this one is a number.
            body["status"] = json!(body["status"].as_str().and_then(|status| status.parse::<u16>().ok()));
        }
        body
    }
}

/// RFC 9110, section 15, and RFC 4918 and 6585.
fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        409 => "Conflict",
        410 => "Gone",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        423 => "Locked",
        429 => "Too Many Requests",
        503 => "Service Unavailable",
        other => panic!("{other} is not in the contract"),
    }
}

/// Whether these members are there, and each text a part of what is there.
fn holds(expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (Value::Object(members), found) => members.iter().all(|(name, value)| holds(value, &found[name])),
        (Value::Array(items), Value::Array(found)) => {
            items.len() == found.len() && items.iter().zip(found).all(|(item, found)| holds(item, found))
        }
        (Value::String(part), Value::String(text)) => text.contains(part),
        _ => expected == found,
    }
}

/// The README's mapping of XML, read by another reader than the host's own.
fn from_xml(text: &str) -> Value {
    let mut reader = Reader::from_str(text);
    loop {
        match reader.read_event().expect("XML") {
            Event::Start(tag) => return element(&mut reader, &tag),
            Event::Eof => panic!("no element: {text}"),
            _ => {}
        }
    }
}

/// What is in the element that this tag opens.
fn element(reader: &mut Reader<&[u8]>, tag: &BytesStart<'_>) -> Value {
    let (mut children, mut text): (Vec<(String, Value)>, _) = (Vec::new(), String::new());
    loop {
        match reader.read_event().expect("XML") {
            Event::Start(child) => {
                let value = element(reader, &child);
                children.push((child.name().as_ref().to_owned(), value));
            }
            Event::Empty(child) => children.push((child.name().as_ref().to_owned(), typed(&child, Vec::new(), ""))),
            Event::Text(piece) => text.push_str(&piece.xml10_content()),
            Event::GeneralRef(name) => match name.resolve_char_ref().expect("a reference") {
                Some(letter) => text.push(letter),
                None => text.push_str(resolve_xml_entity(&name).expect("one of XML's entities")),
            },
            Event::End(_) => return typed(tag, children, &text),
            other => panic!("{other:?}"),
        }
    }
}

/// By the attribute `type`; without it, child elements make an object, and text a text.
fn typed(tag: &BytesStart<'_>, children: Vec<(String, Value)>, text: &str) -> Value {
    let attribute = tag.attributes().flatten().find(|attribute| attribute.key.as_ref() == "type");
    match attribute.map(|attribute| attribute.value.into_owned()).as_deref() {
        Some("number" | "boolean") => serde_json::from_str(text).expect("a number or a boolean"),
        Some("null") => Value::Null,
        Some("array") => children.into_iter().map(|(_, value)| value).collect(),
        Some("object") => Value::Object(children.into_iter().collect::<Map<_, _>>()),
        None if !children.is_empty() => Value::Object(children.into_iter().collect::<Map<_, _>>()),
        other => {
            assert_eq!(other, None, "{text}");
            json!(text)
        }
    }
}
