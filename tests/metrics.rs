//! What operators see: metrics, log lines with their request and task, traces.

use crate::support::{Answer, Server, component, eventually};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

fn routes() -> String {
    format!(
        r#"
auth: {{schemes: {{key: {{type: api_key, in: query, name: api_key}}}}}}
routes:
  - {{method: PUT, path: /m, name: m, component: {m}, pool: {{min: 1, max: 1, queue: 1}}}}
  - {{method: PUT, path: /locked, name: locked, component: {m}, auth: key}}
"#,
        m = component("misbehaving.wasm")
    )
}

async fn start(environment: &[(&str, &str)]) -> Server {
    Server::start_with_environment(Arc::new(tempfile::tempdir().expect("a folder")), environment, &routes()).await
}

/// The samples of an OpenMetrics text, which must be valid.
fn samples(text: &str) -> HashMap<String, f64> {
    let (mut samples, mut types) = (HashMap::new(), HashMap::<&str, &str>::new());
    let mut family = ("", "");
    let body = text.strip_suffix("# EOF\n").expect("an end");
    for line in body.lines() {
        if let Some(described) = line.strip_prefix("# ") {
            let mut words = described.splitn(3, ' ');
            let (kind, name, rest) = (words.next(), words.next().expect("a name"), words.next().unwrap_or(""));
            match kind {
                Some("HELP") => assert!(rest.ends_with('.') && !rest.ends_with(".."), "{line}"),
                Some("TYPE") => {
                    assert!(types.insert(name, rest).is_none(), "declared twice: {line}");
                    family = (name, rest);
                }
                Some("UNIT") => assert!(name.ends_with(&format!("_{rest}")) && name == family.0, "{line}"),
                _ => panic!("no OpenMetrics: {line}"),
            }
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let name = series.split('{').next().expect("a name");
        let suffixes: &[&str] = match family.1 {
            "counter" => &["_total"],
            "gauge" => &[""],
            "info" => &["_info"],
            "histogram" => &["_sum", "_count", "_bucket"],
            other => panic!("an unknown type: {other}"),
        };
        let own = suffixes.iter().any(|suffix| name.strip_suffix(suffix) == Some(family.0));
        assert!(own && name.starts_with("sandpool_"), "in {family:?}: {line}");
        let value = value.parse::<f64>().expect("a number");
        assert!(samples.insert(series.to_owned(), value).is_none(), "twice: {line}");
    }
    samples
}

pub async fn metrics(server: &Server) -> HashMap<String, f64> {
    let answer = server.get(200, "/-/metrics").await;
    assert_eq!(answer.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    samples(answer.body.as_str().expect("text"))
}

#[tokio::test]
async fn the_metrics_tell_what_happened() {
    let server = start(&[]).await;
    let before = metrics(&server).await;
    assert_eq!(before[r#"sandpool_slots_max{route="m"}"#], 1.0, "known before the first task");
    for _ in 0..2 {
        assert_eq!(server.run("/m", json!({"mode": "sleep-ms", "ms": 20})).await.text("State"), "Completed");
    }
    assert_eq!(server.run("/m", json!({"mode": "fail"})).await.text("State"), "Failed");
    let running = server.put(202, "/m", json!({"mode": "loop"})).await.id();
    server.running(&running).await;
    let waiting = server.put(202, "/m", json!({"mode": "loop"})).await.id();
    server.put(429, "/m", json!({"mode": "loop"})).await;
    server.put(401, "/locked?api_key=wrong", json!({})).await;
    server.get(404, "/nothing-1").await;
    server.get(404, "/nothing-2").await;
    let now = metrics(&server).await;
    for (series, count) in [
        (r#"sandpool_tasks_submitted_total{route="m"}"#, 5.0),
        (r#"sandpool_tasks_refused_total{route="m",reason="queue_full"}"#, 1.0),
        (r#"sandpool_tasks_ended_total{route="m",state="Completed"}"#, 2.0),
        (r#"sandpool_tasks_ended_total{route="m",state="Failed"}"#, 1.0),
        (r#"sandpool_tasks_ended_total{route="m",state="Aborted"}"#, 0.0),
        (r#"sandpool_tasks_running{route="m"}"#, 1.0),
        (r#"sandpool_tasks_waiting{route="m"}"#, 1.0),
        (r#"sandpool_slots_used{route="m"}"#, 1.0),
        (r#"sandpool_queue_wait_seconds_count{route="m"}"#, 4.0),
        (r#"sandpool_run_seconds_count{route="m"}"#, 3.0),
        (r#"sandpool_auth_failures_total{kind="unauthenticated"}"#, 1.0),
        (r#"sandpool_http_requests_total{method="PUT",status="202"}"#, 5.0),
        (r#"sandpool_http_requests_total{method="PUT",status="429"}"#, 1.0),
        (r#"sandpool_http_requests_total{method="GET",status="404"}"#, 2.0),
        ("sandpool_http_requests_in_flight", 1.0),
    ] {
        assert_eq!(now[series], count, "{series}");
    }
    assert!(now[r#"sandpool_run_seconds_sum{route="m"}"#] >= 0.04);
    assert!(now["sandpool_connections_open"] >= 1.0 && now["sandpool_guest_instantiate_seconds_count"] >= 4.0);
    // Each task is inserted, claimed and finished.
    assert!(now["sandpool_store_batch_operations_sum"] >= 12.0 && now["sandpool_store_commit_seconds_count"] >= 12.0);
    assert!(now["sandpool_process_start_time_seconds"] > 1.7e9);
    assert!(!now.keys().any(|series| series.contains("nothing")), "paths are no labels");
    server.delete(200, &format!("/tasks/{waiting}")).await;
    server.delete(200, &format!("/tasks/{running}")).await;
    let now = metrics(&server).await;
    assert_eq!(now[r#"sandpool_tasks_ended_total{route="m",state="Aborted"}"#], 2.0);
    let gauges = ["tasks_running", "tasks_waiting", "slots_used"].map(|name| format!("sandpool_{name}{{route=\"m\"}}"));
    assert_eq!(gauges.map(|series| now[&series]), [0.0; 3]);
}

#[tokio::test]
async fn strangers_see_that_it_lives_and_no_metrics() {
    let server = start(&[]).await;
    for field in ["X-Forwarded-For", "Forwarded"] {
        let from_afar = |path: &str| server.request("GET", path).header(field, "192.0.2.7");
        let refused = server.send(403, from_afar("/-/metrics")).await;
        assert!(refused.text("detail").contains("on this machine"), "{refused:?}");
        assert_eq!(refused.header("content-type"), "application/problem+json");
        server.send(200, from_afar("/-/live")).await;
        server.send(200, from_afar("/-/ready")).await;
    }
    server.send(405, server.request("POST", "/-/metrics")).await;
}

fn log_lines(server: &Server) -> Vec<Value> {
    let log = server.log();
    log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|fault| panic!("{fault}: {line}"))).collect()
}

#[tokio::test]
async fn log_lines_name_their_request_and_their_task_and_no_secret() {
    let server = start(&[("SANDPOOL_LOG", "trace")]).await;
    let request = server.request("PUT", "/m?api_key=topsecret").header("X-Request-Id", "from-the-client-1");
    let request = request.header("Prefer", "wait=60").header("Cookie", "topsecret=1").bearer_auth("topsecret");
    let ended = server.send(200, request.json(&json!({"mode": "fail"}))).await;
    assert_eq!((ended.header("x-request-id"), ended.text("State")), ("from-the-client-1", "Failed"));
    server.send(401, server.request("PUT", "/locked?api_key=topsecret")).await;
    let made = server.get(200, "/-/live").await;
    assert_eq!(made.header("x-request-id").len(), 36, "a UUID");
    let (lines, id) = (log_lines(&server), ended.id());
    let answered = lines.iter().find(|line| line["span"]["id"] == "from-the-client-1" && line["message"] == "answered");
    let answered = answered.expect("the request's line");
    assert_eq!((&answered["span"]["task"], &answered["status"]), (&json!(id), &json!(200)), "{answered}");
    assert_eq!((&answered["span"]["method"], &answered["span"]["path"]), (&json!("PUT"), &json!("/m")));
    let end =
        lines.iter().find(|line| line["message"] == "ended" && line["task"] == json!(id)).expect("the task's end");
    assert_eq!((&end["state"], &end["route"], &end["attempt"]), (&json!("Failed"), &json!("m"), &json!(1)), "{end}");
    assert!(end["run_seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{end}");
    assert!(!server.log().contains("topsecret"), "{}", server.log());
}

/// A span as a collector gets it.
#[derive(Debug, Clone, Default, PartialEq)]
struct Span {
    name: String,
    trace: String,
    id: String,
    parent: String,
    /// Attributes whose values are texts.
    attributes: HashMap<String, String>,
}

/// The fields of a protocol buffer whose values have a length.
fn fields(mut bytes: &[u8]) -> Vec<(u64, &[u8])> {
    fn number(bytes: &mut &[u8]) -> u64 {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            number |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return number;
            }
        }
    }
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = number(&mut bytes);
        let length = match tag & 7 {
            0 => {
                number(&mut bytes);
                continue;
            }
            1 => 8,
            5 => 4,
            2 => usize::try_from(number(&mut bytes)).expect("a length"),
            other => panic!("wire type {other}"),
        };
        let (value, rest) = bytes.split_at(length);
        if tag & 7 == 2 {
            fields.push((tag >> 3, value));
        }
        bytes = rest;
    }
    fields
}

fn inner<'a>(outer: &[(u64, &'a [u8])], number: u64) -> Vec<(u64, &'a [u8])> {
    outer.iter().filter(|(field, _)| *field == number).flat_map(|(_, value)| fields(value)).collect()
}

/// `opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest`
fn spans(body: &[u8]) -> Vec<Span> {
    let scopes = inner(&inner(&fields(body), 1), 2);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let read = |span: &[u8]| {
        let mut read = Span::default();
        for (field, value) in fields(span) {
            match field {
                1 => read.trace = hex(value),
                2 => read.id = hex(value),
                4 => read.parent = hex(value),
                5 => read.name = text(value),
                9 => {
                    let pair = fields(value);
                    let words = inner(&pair, 2).first().map(|(_, value)| text(value)).unwrap_or_default();
                    read.attributes.insert(text(pair[0].1), words);
                }
                _ => {}
            }
        }
        read
    };
    scopes.iter().filter(|(field, _)| *field == 2).map(|(_, span)| read(span)).collect()
}

/// What a collector has got.
#[derive(Default)]
struct Collected {
    spans: Mutex<Vec<Span>>,
    bodies: Mutex<Vec<Vec<u8>>>,
}

/// A collector of traces: its URL and what it has got. One that `hangs` reads and never answers.
fn collector(hangs: bool) -> (String, Arc<Collected>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let collected = Arc::<Collected>::default();
    let into = Arc::clone(&collected);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, into) = (stream.expect("a connection"), Arc::clone(&into));
            std::thread::spawn(move || while collect(&stream, &into, hangs).is_some() {});
        }
    });
    (url, collected)
}

/// One request; `None` at the connection's end.
fn collect(mut stream: &TcpStream, into: &Collected, hangs: bool) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    while reader.read_line(&mut head).ok().filter(|read| *read > 2).is_some() {}
    for line in head.lines() {
        let field = line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        length = field.map_or(length, |(_, value)| value.trim().parse().expect("a length"));
    }
    head.starts_with("POST /v1/traces ").then_some(())?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    into.spans.lock().expect("no panic").extend(spans(&body));
    into.bodies.lock().expect("no panic").push(body);
    if hangs {
        loop {
            std::thread::park();
        }
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n").ok()
}

impl Collected {
    async fn find(&self, what: &str, is_it: impl Fn(&Span) -> bool) -> Span {
        eventually(what, || async { self.spans.lock().expect("no panic").iter().find(|span| is_it(span)).cloned() })
            .await
    }

    /// The span of a task's run.
    async fn run_of(&self, task: &str) -> Span {
        self.find("the task's span", |span| span.name == "task" && span.attributes["task"] == task).await
    }
}

async fn submit_traced(server: &Server, input: Value) -> Answer {
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    server.send(202, server.request("PUT", "/m").header("traceparent", traceparent).json(&input)).await
}

fn exporting(url: &str) -> [(&str, &str); 2] {
    [("OTEL_EXPORTER_OTLP_ENDPOINT", url), ("OTEL_BSP_SCHEDULE_DELAY", "50")]
}

#[tokio::test]
async fn a_task_and_its_request_belong_to_the_clients_trace() {
    let (url, collected) = collector(false);
    let mut server = start(&exporting(&url)).await;
    let id = submit_traced(&server, json!({"mode": "fail"})).await.id();
    let run = collected.run_of(&id).await;
    assert_eq!((run.trace.as_str(), run.parent.as_str()), (TRACE, PARENT), "{run:?}");
    assert_eq!((run.attributes["route"].as_str(), run.attributes["state"].as_str()), ("m", "Failed"));
    let request = collected.find("the request's span", |span| span.name == "request" && span.trace == TRACE).await;
    assert_eq!(request.parent, PARENT);
    assert_eq!((request.attributes["task"].as_str(), request.attributes["path"].as_str()), (id.as_str(), "/m"));
    // Without a client's span, or with one that is none, the request's span is the parent.
    let faulty = server.request("PUT", "/m").header("traceparent", format!("00-{TRACE}-0000000000000000-01"));
    let other = server.send(202, faulty.json(&json!({"mode": "sleep-ms", "ms": 1}))).await.id();
    let run = collected.run_of(&other).await;
    let request = collected.find("its request", |span| span.id == run.parent).await;
    assert_eq!((request.name.as_str(), &request.trace, request.parent.as_str()), ("request", &run.trace, ""));
    assert_ne!(run.trace, TRACE);
    // What is left at the end is exported then.
    let slow = [("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "600000")];
    server.kill();
    let mut server = Server::start_with_environment(Arc::clone(server.folder()), &slow, &routes()).await;
    let last = server.run("/m", json!({"mode": "sleep-ms", "ms": 1})).await.id();
    server.terminate();
    assert!(server.exit().await.success());
    collected.run_of(&last).await;
    let named =
        collected.bodies.lock().expect("no panic").iter().any(|body| body.windows(8).any(|at| at == b"sandpool"));
    assert!(named, "the service's name");
}

#[tokio::test]
async fn a_task_keeps_its_trace_over_a_restart_and_without_an_exporter() {
    let mut server = start(&[]).await;
    let first = server.put(202, "/m", json!({"mode": "loop"})).await.id();
    server.running(&first).await;
    let waiting = submit_traced(&server, json!({"mode": "sleep-ms", "ms": 1})).await.id();
    server.kill();
    let (url, collected) = collector(false);
    let server = Server::start_with_environment(Arc::clone(server.folder()), &exporting(&url), &routes()).await;
    assert_eq!(server.ended(&waiting).await.text("State"), "Completed");
    let run = collected.run_of(&waiting).await;
    assert_eq!((run.trace.as_str(), run.parent.as_str()), (TRACE, PARENT), "{run:?}");
}

#[tokio::test]
async fn a_collector_that_hangs_does_not_hold_up_the_end() {
    let (url, collected) = collector(true);
    let mut environment = exporting(&url).to_vec();
    environment.push(("OTEL_EXPORTER_OTLP_TIMEOUT", "60000"));
    let mut server = start(&environment).await;
    let id = server.run("/m", json!({"mode": "sleep-ms", "ms": 1})).await.id();
    collected.run_of(&id).await;
    let asked = Instant::now();
    server.terminate();
    assert!(server.exit().await.success());
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    assert!(server.log().contains("the last traces could not be exported"), "{}", server.log());
}
