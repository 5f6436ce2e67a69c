//! What a route grants its guests of web servers and of the environment, and nothing beside it.

use crate::support::{Answer, Server, component, eventually, sandpool};
use crate::web::Web;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Twenty times the 50 ms that the contract allows: these machines are noisy.
const SOON: Duration = Duration::from_millis(1000);
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Routes `/fetch` and `/m` with these grants, as YAML.
fn routes(grants: &str) -> String {
    let (fetcher, misbehaving) = (component("fetcher.wasm"), component("misbehaving.wasm"));
    format!(
        "routes:\n  - {{method: PUT, path: /fetch, component: {fetcher}, grants: {grants}}}\n  \
         - {{method: PUT, path: /m, component: {misbehaving}, grants: {grants}, memory: 128MiB}}\n"
    )
}

/// A server whose guests may ask these.
async fn granting(entries: &[&str]) -> Server {
    Server::start(&routes(&format!("{{http: {}}}", json!(entries)))).await
}

fn detail(ended: &Answer) -> String {
    ended.text("Error").rsplit(": ").next().unwrap_or("").to_owned()
}

/// What came of one request of `misbehaving`.
async fn outcome(server: &Server, input: Value) -> Value {
    outcomes(server, input).await.remove(0)
}

async fn outcomes(server: &Server, mut input: Value) -> Vec<Value> {
    input["mode"] = json!("requests");
    let ended = server.run("/m", input).await;
    ended.body["Result"].as_array().unwrap_or_else(|| panic!("{ended:?}")).clone()
}

#[tokio::test]
async fn a_granted_server_is_asked_and_the_trace_goes_along() {
    let web = Web::start().await;
    let server = granting(&[&web.authority]).await;
    let submit = server.request("PUT", "/fetch").header("traceparent", PARENT);
    let input = json!({"url": web.url("/a?b=c"), "method": "POST", "headers": {"X-Own": "own"}, "body": "hello"});
    let id = server.send(202, submit.json(&input)).await.id();
    let ended = server.ended(&id).await;
    assert_eq!(ended.text("State"), "Completed", "{ended:?}");
    assert_eq!(ended.body["Result"]["status"], 200);
    let head = web.heads().remove(0);
    assert!(head.starts_with("post /a?b=c http/1.1\r\n"), "{head}");
    for field in [
        format!("\r\nhost: {}\r\n", web.authority),
        format!("\r\ntraceparent: {PARENT}\r\n"),
        "\r\nx-own: own\r\n".into(),
        "\r\ncontent-length: 5\r\n".into(),
        "\r\nconnection: close\r\n".into(),
    ] {
        assert!(head.contains(&field), "{field} in {head}");
    }
    let submit = server.request("PUT", "/fetch").header("traceparent", PARENT);
    let input = json!({"url": web.url("/"), "headers": {"traceparent": "00-own"}});
    let id = server.send(202, submit.json(&input)).await.id();
    server.ended(&id).await;
    let head = web.heads().remove(1);
    assert!(head.contains("\r\ntraceparent: 00-own\r\n") && !head.contains(PARENT), "{head}");
}

#[tokio::test]
async fn whoever_is_not_granted_gets_no_packet() {
    let (granted, other) = (Web::start().await, Web::start().await);
    let by_name = format!("localhost:{}", other.port);
    let server = granting(&[&granted.authority, &by_name, "*.localhost:*"]).await;
    let port = other.port;
    for (url, error) in [
        (other.url("/"), "HttpRequestDenied"),
        (format!("http://127.0.0.2:{port}/"), "HttpRequestDenied"),
        (format!("http://[::1]:{port}/"), "HttpRequestDenied"),
        (format!("http://0x7f.1:{port}/"), "HttpRequestDenied"),
        ("http://169.254.169.254/latest/meta-data/".into(), "HttpRequestDenied"),
        ("http://not-granted.example.com/".into(), "HttpRequestDenied"),
        // The grant is for a name; where that leads is no address that a grant names.
        (format!("http://localhost:{port}/"), "DestinationIpProhibited"),
        (format!("http://{}@{}/", granted.authority, other.authority), "HttpRequestUriInvalid"),
        // The server that may be asked sends to one that may not.
        (granted.url(&format!("/redirect?{}", other.url("/"))), "HttpRequestDenied"),
        (granted.url(&format!("/redirect?http://localhost:{port}/")), "DestinationIpProhibited"),
    ] {
        let ended = server.run("/fetch", json!({ "url": url })).await;
        assert_eq!(ended.text("State"), "Failed", "{url}");
        assert_eq!(detail(&ended), error, "{url}: {ended:?}");
    }
    assert_eq!(other.accepted(), 0);
    let redirected = server.run("/fetch", json!({"url": granted.url("/redirect?/there")})).await;
    assert_eq!(redirected.body["Result"]["url"], granted.url("/there"));
    let connect = outcome(&server, json!({"authority": granted.authority, "method": "CONNECT"})).await;
    assert_eq!(connect["error"], "HttpRequestMethodInvalid");
}

#[tokio::test]
async fn without_a_grant_a_component_that_could_ask_is_loaded_and_denied() {
    let web = Web::start().await;
    let fetcher = component("fetcher.wasm");
    let server = Server::start(&format!("routes:\n  - {{method: PUT, path: /fetch, component: {fetcher}}}\n")).await;
    let ended = server.run("/fetch", json!({"url": web.url("/")})).await;
    assert_eq!(detail(&ended), "HttpRequestDenied", "{ended:?}");
    assert_eq!(web.accepted(), 0);
}

#[tokio::test]
async fn fields_of_the_connection_are_not_the_guests() {
    let web = Web::start().await;
    let server = granting(&[&web.authority]).await;
    for field in ["Host", "Connection", "Transfer-Encoding", "Upgrade", "Proxy-Authorization", "Expect"] {
        let ended = server.run("/fetch", json!({"url": web.url("/"), "headers": {field: "x"}})).await;
        assert_eq!(ended.text("Error"), format!("the header field {field} is refused: HeaderError::Forbidden"));
    }
    assert_eq!(web.accepted(), 0);
}

#[tokio::test]
async fn bodies_and_heads_are_bounded() {
    let web = Web::start().await;
    let server = granting(&[&web.authority]).await;
    let before = server.resident_mib();
    let too_large = "HTTP response body size exceeds limit: 16777216 bytes";
    let endless = outcome(&server, json!({"authority": web.authority, "path": "/endless"})).await;
    assert!(endless["body"].as_str().is_some_and(|body| body.contains("body size") || body == too_large), "{endless}");
    for (path, error) in [
        ("/announced", "HttpResponseBodySize(Some(16777216))"),
        ("/long-head", "HttpResponseHeaderSectionSize(Some(32768))"),
        ("/many-fields", "HttpResponseHeaderSectionSize(Some(32768))"),
        ("/no-http", "HttpProtocolError"),
    ] {
        let told = outcome(&server, json!({"authority": web.authority, "path": path})).await;
        assert_eq!(told["error"], error, "{path}: {told}");
    }
    let upload = |send: Value| json!({"authority": web.authority, "path": "/upload", "method": "POST", "send": send});
    assert_eq!(outcome(&server, upload(json!(1 << 20))).await["body"], 5);
    assert_eq!(outcome(&server, upload(json!("endless"))).await["error"], "HttpRequestBodySize(Some(16777216))");
    assert!(server.resident_mib() < before + 64.0, "from {before} to {} MiB", server.resident_mib());
    let cut = outcome(&server, json!({"authority": web.authority, "path": "/cut"})).await;
    assert!(cut["body"].as_str().is_some_and(|body| body.contains("ncomplete")), "{cut}");
    assert!(!server.log().contains("WARN"), "guests' faults are not the server's: {}", server.log());
}

#[tokio::test]
async fn guests_may_wait_shorter() {
    let web = Web::start().await;
    let server = granting(&[&web.authority]).await;
    let silent = json!({"authority": web.authority, "path": "/silent", "first_byte_ms": 100});
    assert_eq!(outcome(&server, silent).await["error"], "ConnectionReadTimeout");
    let stalled = json!({"authority": web.authority, "path": "/stall", "between_bytes_ms": 100});
    let stalled = outcome(&server, stalled).await;
    assert!(stalled["body"].as_str().is_some_and(|body| body.contains("read timeout")), "{stalled}");
    eventually("the end of both connections", || async { (web.open() == 0).then_some(()) }).await;
}

#[tokio::test]
async fn a_task_has_sixteen_requests_at_once() {
    let web = Web::start().await;
    let server = granting(&[&web.authority]).await;
    let told = outcomes(
        &server,
        json!({"authority": web.authority, "path": "/stall", "hold": true, "count": 20, "between_bytes_ms": 100}),
    )
    .await;
    let refused = |told: &&Value| told["error"] == "ConnectionLimitReached";
    assert_eq!(told.iter().filter(refused).count(), 4, "{told:?}");
    // One after another there may be more.
    let told = outcomes(&server, json!({"authority": web.authority, "count": 20})).await;
    assert!(told.iter().all(|told| told["status"] == 200), "{told:?}");
}

#[tokio::test]
async fn a_stop_ends_what_the_guest_asks() {
    let web = Web::start().await;
    let server = granting(&[&web.authority]).await;
    let upload =
        json!({"mode": "requests", "authority": web.authority, "path": "/silent", "method": "POST", "send": "endless"});
    for input in [
        json!({"mode": "requests", "authority": web.authority, "path": "/silent"}),
        json!({"mode": "requests", "authority": web.authority, "path": "/stall"}),
        json!({"mode": "requests", "authority": web.authority, "path": "/endless", "count": 1_000_000}),
        upload,
    ] {
        let asked = web.accepted();
        let id = server.put(202, "/m", input.clone()).await.id();
        eventually("a request", || async { (web.accepted() > asked).then_some(()) }).await;
        let began = Instant::now();
        let stopped = server.delete(200, &format!("/tasks/{id}")).await;
        assert!(began.elapsed() < SOON, "{input}: {:?}", began.elapsed());
        assert_eq!(stopped.text("State"), "Aborted");
        eventually("the end of its connection", || async { (web.open() == 0).then_some(()) }).await;
    }
}

/// How many threads of this name the server has.
fn threads(server: &Server, name: &str) -> usize {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).expect("threads");
    let names = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|found| found.trim() == name).count()
}

#[tokio::test]
async fn requests_go_on_while_others_compute() {
    let web = Web::start().await;
    let m = component("misbehaving.wasm");
    let spinners = format!("  - {{method: PUT, path: /spin, component: {m}, pool: {{min: 0, max: 16}}}}\n");
    let grants = format!("{{http: [\"{}\"]}}", web.authority);
    let server = Server::start(&(routes(&grants) + &spinners)).await;
    for _ in 0..16 {
        let id = server.put(202, "/spin", json!({"mode": "loop"})).await.id();
        server.running(&id).await;
    }
    assert_eq!(threads(&server, "outgoing"), 0, "nobody has asked yet");
    let told = outcomes(&server, json!({"authority": web.authority, "count": 16})).await;
    assert!(told.iter().all(|told| told["status"] == 200), "{told:?}");
    assert_eq!(threads(&server, "outgoing"), 1, "a thread that no guest computes on");
}

/// A key and a certificate for 127.0.0.1.
fn certificate(folder: &Path) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
        .arg(folder.join("key.pem"))
        .arg("-out")
        .arg(folder.join("cert.pem"))
        .output();
    assert!(made.expect("openssl").status.success());
}

#[tokio::test]
async fn certificates_are_judged_by_the_systems_roots() {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    certificate(folder.path());
    let head = "server: {listen: \"127.0.0.1:0\", tls: {certificate: cert.pem, key: key.pem}}\n";
    let hello = format!("routes:\n  - {{method: PUT, path: /hello, component: {}}}\n", component("hello.wasm"));
    let target = Server::start_with(Arc::clone(&folder), head, &hello).await;
    let grants = format!("{{http: [\"{}\"]}}", target.base.trim_start_matches("https://"));
    let url = format!("{}/openapi.json", target.base);
    let root = folder.path().join("cert.pem").display().to_string();
    let trusting = Arc::new(tempfile::tempdir().expect("a folder"));
    let server = Server::start_with_environment(trusting, &[("SSL_CERT_FILE", &root)], &routes(&grants)).await;
    let ended = server.run("/fetch", json!({ "url": url })).await;
    assert_eq!(ended.body["Result"]["status"], 200, "{ended:?}");
    let plain = server.run("/fetch", json!({"url": url.replace("https:", "http:")})).await;
    assert!(plain.text("State") == "Failed" || plain.body["Result"]["status"] != 200, "{plain:?}");
    let server = Server::start(&routes(&grants)).await;
    assert_eq!(detail(&server.run("/fetch", json!({ "url": url })).await), "TlsCertificateError");
    let web = Web::start().await;
    let server = granting(&[&web.authority]).await;
    let ended = server.run("/fetch", json!({"url": web.url("/").replace("http:", "https:")})).await;
    assert_eq!(detail(&ended), "ConnectionTimeout", "{ended:?}");
}

#[tokio::test]
async fn a_guest_has_the_environment_that_is_granted_and_its_values_are_shown_nowhere() {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let routes = routes("{env: {MODE: live, TOKEN: \"${GRANTED_TOKEN}\"}}");
    let environment =
        [("GRANTED_TOKEN", "a-granted-secret"), ("NOT_GRANTED", "another-secret"), ("SANDPOOL_LOG", "debug")];
    let server = Server::start_with_environment(folder, &environment, &routes).await;
    let ended = server.run("/m", json!({"mode": "env"})).await;
    let env = json!({"MODE": "live", "TOKEN": "a-granted-secret"});
    assert_eq!(ended.body["Result"], json!({"env": env, "args": [], "preopens": []}));
    assert!(!server.log().contains("a-granted-secret"));
    let file = server.path("faulty.yaml");
    let m = component("misbehaving.wasm");
    let faulty = format!(
        "routes:\n  - {{method: PUT, path: /m, component: {m}, grants: {{env: {{A: [secret-one], B=: secret-two}}}}}}\n"
    );
    std::fs::write(&file, faulty).expect("writable");
    let checked = sandpool().arg("check").arg(&file).output().expect("the program runs");
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(said.contains("A: expected a text, found a list") && !said.contains("secret-"), "{said}");
    assert!(said.contains("env: expected the name of a variable"), "{said}");
}
