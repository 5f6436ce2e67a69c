//! Callbacks: whom a task's end is told, in which words, when again, and who is never called.

use crate::receiver::{Received, Receiver, Reply};
use crate::support::{Answer, Server, component, eventually};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::net::ToSocketAddrs;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Receivers listen on this machine.
const ALLOW: &str = "allow: [127.0.0.0/8]";
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// What must not be called, in every notation.
const FORBIDDEN: &str = include_str!("forbidden_urls.txt");

async fn taking() -> Receiver {
    Receiver::start(|_, _| Reply::Status(204)).await
}

/// A server with these `callbacks` and one route at `/m` with this `callback`.
async fn serving(callbacks: &str, callback: &str) -> Server {
    let m = component("misbehaving.wasm");
    Server::start(&format!(
        "callbacks: {{{callbacks}}}\nroutes:\n  - {{method: PUT, path: /m, component: {m}, callback: {callback}}}\n"
    ))
    .await
}

/// Submits a task that ends at once, and is told to this URL.
async fn submit(server: &Server, url: &str) -> String {
    server.put(202, "/m", json!({"mode": "sleep-ms", "ms": 1, "callbackUrl": url})).await.id()
}

/// The task once its callback is over.
async fn told(server: &Server, id: &str) -> Answer {
    server.until(id, |task| matches!(task["CallbackInfo"]["State"].as_str(), Some("Completed" | "Failed"))).await
}

async fn deliveries(server: &Server, id: &str) -> Value {
    server.get(200, &format!("/tasks/{id}/callbacks")).await.body
}

#[tokio::test]
async fn ends_are_told_in_three_formats() {
    let (receiver, m) = (taking().await, component("misbehaving.wasm"));
    let route = |name: &str, rest: &str| {
        format!(
            "  - {{method: PUT, path: /{name}, component: {m}, callback: {{url: '{}/{name}', {rest}}}}}\n",
            receiver.base
        )
    };
    let server = Server::start(&format!(
        "callbacks: {{{ALLOW}}}\nroutes:\n{}{}{}{}",
        route("json", "send_result: true, event: done"),
        route("xml", "send_result: true, content_type: application/xml, method: put"),
        route("yaml", "content_type: application/yaml, method: PATCH"),
        route("bare", ""),
    ))
    .await;
    let submit = |path: &'static str, input: Value| {
        let request = server.request("PUT", path).header("traceparent", TRACE).json(&input);
        async { server.ended(&server.send(202, request).await.id()).await }
    };
    let completed = submit("/json", json!({"mode": "sleep-ms", "ms": 1})).await;
    let failed = submit("/xml", json!({"mode": "fail"})).await;
    let trapped = submit("/yaml", json!({"mode": "stack-overflow"})).await;
    let sent = receiver.await_on("/json", 1).await.remove(0);
    assert_eq!(sent.method, "POST");
    assert_eq!(sent.header("webhook-id"), completed.id());
    assert_eq!((sent.header("content-type"), sent.header("traceparent")), ("application/json", TRACE));
    assert!(sent.header("user-agent").starts_with("sandpool/") && !sent.headers.contains_key("webhook-signature"));
    let age = chrono::Utc::now().timestamp() - sent.header("webhook-timestamp").parse::<i64>().expect("seconds");
    assert!((0..60).contains(&age), "{age}");
    assert_eq!(
        sent.json(),
        json!({
            "Id": completed.id(), "Name": "__Put_json__", "Url": format!("{}/json", server.base), "Method": "PUT",
            "EventName": "done", "State": "Completed", "Result": completed.body["Result"],
            "CompletedTime": completed.body["CompletedTime"],
        })
    );
    let sent = receiver.await_on("/xml", 1).await.remove(0);
    assert_eq!((sent.method.as_str(), sent.header("content-type")), ("PUT", "application/xml"));
    let text = sent.text();
    for part in ["<TaskCallback>", &format!("<Id>{}</Id>", failed.id()), "<State>Failed</State>", "<Result", "<Error>"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let sent = receiver.await_on("/yaml", 1).await.remove(0);
    assert_eq!((sent.method.as_str(), sent.header("content-type")), ("PATCH", "application/yaml"));
    let text = sent.text();
    assert!(text.contains(&trapped.id()) && text.contains("EventName: \"_yaml_Callback\""), "{text}");
    assert!(!text.contains("Result"), "{text}");
    submit("/bare", json!({"mode": "sleep-ms", "ms": 1})).await;
    let sent = receiver.await_on("/bare", 1).await.remove(0).json();
    assert_eq!((&sent["State"], sent.get("Result")), (&json!("Completed"), None), "it is not asked for");
    let id = server.put(202, "/bare", json!({"mode": "loop"})).await.id();
    server.delete(200, &format!("/tasks/{id}")).await;
    let sent = receiver.await_on("/bare", 2).await.remove(1).json();
    assert_eq!((&sent["State"], &sent["Error"]), (&json!("Aborted"), &json!("Aborted by the user")));
    for (path, id) in [("/json", completed.id()), ("/bare", id)] {
        let info = told(&server, &id).await.body["CallbackInfo"].clone();
        assert_eq!(info, json!({"State": "Completed", "Tentative": 1, "Url": format!("{}{path}", receiver.base)}));
    }
}

#[tokio::test]
async fn expressions_are_resolved_and_secrets_are_not_shown() {
    let (receiver, m) = (taking().await, component("misbehaving.wasm"));
    let server = Server::start(&format!(
        r#"
callbacks: {{{ALLOW}}}
routes:
  - {{method: PUT, path: /m, component: {m}}}
  - method: PUT
    path: /orders/{{id}}
    component: {m}
    callback:
      url: "{{$request.body#/hooks/0/base}}/{{$request.path.id}}?token=hunter2&m={{$method}}"
      method: $request.query.with
      headers: {{X-Custom: $request.header.x-custom, X-Order: "no. {{$request.path.id}}", X-Secret: hunter2, X-None: $request.header.x-none, X-Auth: $request.header.authorization}}
"#
    ))
    .await;
    let input = json!({"mode": "sleep-ms", "ms": 1, "hooks": [{"base": receiver.base}]});
    let request = server.request("PUT", "/orders/a%2Fb?with=put").header("X-Custom", "yes").json(&input);
    let id = server.send(202, request.header("Authorization", "Bearer hunter2")).await.id();
    let sent = receiver.await_on("/a%2Fb?token=hunter2&m=PUT", 1).await.remove(0);
    assert_eq!((sent.method.as_str(), sent.header("x-custom"), sent.header("x-order")), ("PUT", "yes", "no. a/b"));
    assert_eq!(sent.header("x-secret"), "hunter2");
    assert!(!sent.headers.contains_key("x-none") && !sent.headers.contains_key("x-auth"), "{sent:?}");
    let task = told(&server, &id).await;
    assert_eq!(
        task.body["CallbackSettings"],
        json!({
            "UrlField": "{$request.body#/hooks/0/base}/{$request.path.id}?***", "Method": "$request.query.with",
            "ContentType": "application/json", "SendResult": false, "EventName": "_orders_{id}_Callback",
            "HeaderFields": {
                "X-Custom": "$request.header.x-custom", "X-Order": "***{$request.path.id}", "X-Secret": "***",
                "X-None": "$request.header.x-none", "X-Auth": "$request.header.authorization",
            },
        })
    );
    assert_eq!(task.body["CallbackInfo"]["Url"], format!("{}/a%2Fb?***", receiver.base));
    let filter = "filter[CallbackSettings][op]=LIKE&filter[CallbackSettings][value]=_orders_";
    let found = server.get(200, &format!("/tasks/query?{filter}")).await;
    assert_eq!(found.body[0]["CallbackInfo"], task.body["CallbackInfo"]);
    let shown = format!("{task:?}{found:?}{}{}", deliveries(&server, &id).await, server.log());
    assert!(!shown.contains("hunter2"), "{shown}");
    let document = server.get(200, "/openapi.json").await.body;
    let callbacks = &document["paths"]["/orders/{id}"]["put"]["callbacks"];
    assert!(
        callbacks.to_string().contains("$request.body#/hooks/0/base") && !callbacks.to_string().contains("hunter2")
    );
}

#[tokio::test]
async fn a_task_without_a_url_has_no_callback() {
    let server = serving(ALLOW, "{}").await;
    let id = server.put(202, "/m", json!({"mode": "sleep-ms", "ms": 1})).await.id();
    let task = server.ended(&id).await;
    assert_eq!((task.body.get("CallbackSettings"), task.body.get("CallbackInfo")), (None, None));
    assert_eq!(deliveries(&server, &id).await, json!([]));
    server.send(404, server.request("POST", &format!("/tasks/{id}/callbacks"))).await;
}

fn verified(sent: &Received, key: &[u8]) -> bool {
    let text =
        [sent.header("webhook-id").as_bytes(), b".", sent.header("webhook-timestamp").as_bytes(), b".", &sent.body];
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let signed = |one: &str| {
        let tag = one.strip_prefix("v1,").and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default();
        hmac::verify(&key, &text.concat(), &tag).is_ok()
    };
    sent.header("webhook-signature").split(' ').any(signed)
}

#[tokio::test]
async fn each_secret_signs_while_one_follows_another() {
    let receiver = taking().await;
    let (old, new) = ("whsec_b2xkIHNlY3JldCBvZiBlbm91Z2ggYnl0ZXM=", "a new secret of more than enough bytes");
    for (secrets, keys) in [
        (format!("'{new}'"), [true, false]),
        (format!("['{new}', '{old}']"), [true, true]),
        (format!("'{old}'"), [false, true]),
    ] {
        let server = serving(&format!("{ALLOW}, signing_secret: {secrets}"), "{}").await;
        let id = submit(&server, &format!("{}/{}", receiver.base, keys[0])).await;
        told(&server, &id).await;
        let sent = receiver.on(&format!("/{}", keys[0])).pop().expect("it came");
        assert_eq!(sent.header("webhook-id"), id);
        let by = [new.as_bytes(), &STANDARD.decode(&old[6..]).expect("base64")].map(|key| verified(&sent, key));
        assert_eq!(by, keys, "{sent:?}");
        assert!(!server.log().contains(new));
    }
}

#[tokio::test]
async fn what_fails_is_tried_again_as_scheduled() {
    let receiver = Receiver::start(|sent, before| match (sent.path.as_str(), before) {
        ("/flaky", 0) => Reply::Status(500),
        ("/flaky", 1) | ("/slow", 0) => Reply::Never,
        ("/later", 0) => Reply::With(429, "retry-after", "2".into()),
        ("/redirect", _) => Reply::With(307, "location", "/elsewhere".into()),
        ("/gone", _) => Reply::Status(410),
        _ => Reply::Status(200),
    })
    .await;
    let server = serving(&format!("{ALLOW}, attempts: 3, schedule: [300ms, 600ms], timeout: 1s"), "{}").await;
    let url = |path: &str| format!("{}{path}", receiver.base);
    let [flaky, later, redirect, gone] = ["/flaky", "/later", "/redirect", "/gone"].map(url);
    let ids = futures_util::future::join_all([&flaky, &later, &redirect, &gone].map(|url| submit(&server, url))).await;
    let over = futures_util::future::join_all(ids.iter().map(|id| told(&server, id))).await;
    let ends: Vec<_> = over
        .iter()
        .map(|task| (&task.body["CallbackInfo"]["State"], &task.body["CallbackInfo"]["Tentative"]))
        .collect();
    assert_eq!(
        ends,
        [
            (&json!("Completed"), &json!(3)),
            (&json!("Completed"), &json!(2)),
            (&json!("Failed"), &json!(3)),
            (&json!("Failed"), &json!(1))
        ]
    );
    let gaps = |path: &str| {
        let at: Vec<Instant> = receiver.on(path).iter().map(|sent| sent.at).collect();
        at.windows(2).map(|two| two[1] - two[0]).collect::<Vec<_>>()
    };
    let (flaky, later) = (gaps("/flaky"), gaps("/later"));
    // The second attempt has no answer for a second, and then its wait.
    assert!(flaky[0] >= Duration::from_millis(300) && flaky[1] >= Duration::from_millis(1_600), "{flaky:?}");
    assert!(later[0] >= Duration::from_secs(2), "{later:?}");
    assert!(receiver.on("/elsewhere").is_empty());
    let listed = deliveries(&server, &ids[0]).await;
    let attempts = listed[0]["Attempts"].as_array().expect("a list");
    assert_eq!((attempts.len(), &attempts[0]["Status"], &attempts[2]["Status"]), (3, &json!(500), &json!(200)));
    assert_eq!(attempts[1]["Error"], "no answer in time");
    assert!(
        attempts[1]["Seconds"].as_f64().is_some_and(|seconds| seconds >= 1.0) && attempts[1].get("Status").is_none()
    );
    assert_eq!(deliveries(&server, &ids[2]).await[0]["Attempts"][2]["Error"], "redirects are not followed");
    let metrics = server.get(200, "/-/metrics").await.body.as_str().expect("a text").to_owned();
    for line in [
        "sandpool_callback_attempts_total{outcome=\"failed\"} 7\n",
        "sandpool_callback_attempts_total{outcome=\"delivered\"} 2\n",
        "sandpool_callbacks_pending 0\n",
        "sandpool_callback_attempt_seconds_count 9\n",
    ] {
        assert!(metrics.contains(line), "{line}{metrics}");
    }
}

#[tokio::test]
async fn a_hanging_receiver_delays_neither_stops_nor_others() {
    let receiver =
        Receiver::start(|sent, _| if sent.path == "/never" { Reply::Never } else { Reply::Status(200) }).await;
    let other = taking().await;
    let server = serving(&format!("{ALLOW}, timeout: 60s"), "{}").await;
    for _ in 0..20 {
        submit(&server, &format!("{}/never", receiver.base)).await;
    }
    receiver.await_on("/never", 1).await;
    let began = Instant::now();
    let id =
        server.put(202, "/m", json!({"mode": "loop", "callbackUrl": format!("{}/never", receiver.base)})).await.id();
    server.delete(200, &format!("/tasks/{id}")).await;
    let id = submit(&server, &format!("{}/ok", other.base)).await;
    told(&server, &id).await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

/// A key per user: `secret` of a, `other` of b.
const KEYS: [&str; 2] = [
    "sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b",
    "sha256:d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa",
];

#[tokio::test]
async fn deliveries_are_listed_and_sent_again_by_those_who_may() {
    let receiver = Receiver::start(|sent, before| match (sent.path.as_str(), before) {
        ("/open", _) => Reply::Status(200),
        (_, 0) => Reply::Status(500),
        _ => Reply::Status(200),
    })
    .await;
    let m = component("misbehaving.wasm");
    let server = Server::start(&format!(
        "callbacks: {{{ALLOW}, attempts: 1}}\n\
         auth:\n  users: [{{id: a, api_keys: ['{}']}}, {{id: b, api_keys: ['{}'], groups: [Readers]}}]\n  \
         schemes: {{key: {{type: api_key, in: header, name: X-Key}}}}\n  default: key\nroutes:\n  \
         - {{method: PUT, path: /m, component: {m}, callback: {{}}, permission: {{read: {{groups: [Readers]}}}}}}\n\
         task_routes:\n  - {{operation: get, path: /tasks, responses: [application/json, application/xml, application/yaml]}}\n  \
         - {{operation: stop, path: /tasks}}\n",
        KEYS[0], KEYS[1]
    ))
    .await;
    let with = |method: &str, path: &str, key: &str| server.request(method, path).header("X-Key", key);
    let input =
        |mode: &str, path: &str| json!({"mode": mode, "ms": 1, "callbackUrl": format!("{}{path}", receiver.base)});
    let id = server.send(202, with("PUT", "/m", "secret").json(&input("sleep-ms", "/x"))).await.id();
    let path = format!("/tasks/{id}/callbacks");
    let in_state = |state: &'static str| {
        let (server, path) = (&server, &path);
        eventually(state, move || async move {
            let listed = server.send(200, with("GET", path, "secret")).await.body;
            (listed[0]["State"] == state).then_some(listed)
        })
    };
    let listed = in_state("Failed").await;
    assert_eq!((&listed[0]["Event"], &listed[0]["Tentative"]), (&json!("_m_Callback"), &json!(1)));
    assert!(listed[0].get("NextAttempt").is_none() && listed.as_array().is_some_and(|all| all.len() == 1));
    server.get(401, &path).await;
    server.send(200, with("GET", &path, "other")).await;
    server.send(403, with("POST", &path, "other")).await;
    let again = server.send(202, with("POST", &path, "secret")).await;
    assert_eq!((again.text("State"), &again.body["Tentative"]), ("Running", &json!(1)));
    assert_eq!(in_state("Completed").await[0]["Tentative"], 2);
    for (accept, part) in [("application/xml", "<Deliveries"), ("application/yaml", "- State: Completed")] {
        let answer = server.send(200, with("GET", &path, "secret").header("Accept", accept)).await;
        assert!(answer.body.as_str().is_some_and(|text| text.contains(part)), "{answer:?}");
    }
    let open = server.send(202, with("PUT", "/m", "secret").json(&input("loop", "/open"))).await.id();
    server.send(409, with("POST", &format!("/tasks/{open}/callbacks"), "secret")).await;
    let waiting = server.send(200, with("GET", &format!("/tasks/{open}/callbacks"), "secret")).await.body;
    assert_eq!((&waiting[0]["State"], &waiting[0]["Attempts"]), (&json!("NotStarted"), &json!([])));
    server.send(200, with("DELETE", &format!("/tasks/{open}"), "secret")).await;
    let nobody = server.send(202, with("PUT", "/m", "other").json(&input("sleep-ms", "/x"))).await.id();
    server.send(404, with("GET", "/tasks/nobody/callbacks", "secret")).await;
    server.send(200, with("GET", &format!("/tasks/{nobody}/callbacks"), "other")).await;
    server.send(404, with("GET", &format!("/tasks/{nobody}/callbacks"), "secret")).await;
    server.send(405, with("DELETE", &path, "secret")).await;
}

#[tokio::test]
async fn a_restart_keeps_what_is_due_and_when() {
    let receiver = Receiver::start(|_, before| Reply::Status(if before == 0 { 503 } else { 200 })).await;
    let m = component("misbehaving.wasm");
    let routes = format!(
        "callbacks: {{{ALLOW}, schedule: [3s]}}\nroutes:\n  - {{method: PUT, path: /m, component: {m}, callback: {{}}}}\n"
    );
    let mut server = Server::start(&routes).await;
    let id = submit(&server, &format!("{}/x", receiver.base)).await;
    let due = eventually("the first attempt", || async {
        let listed = deliveries(&server, &id).await;
        (listed[0]["Tentative"] == 1).then(|| listed[0]["NextAttempt"].as_str().expect("a date").to_owned())
    })
    .await;
    let first = receiver.on("/x").remove(0).at;
    server.kill();
    let server = Server::start_in(Arc::clone(server.folder()), &routes).await;
    let listed = deliveries(&server, &id).await;
    assert_eq!((&listed[0]["NextAttempt"], &listed[0]["Tentative"]), (&json!(due), &json!(1)));
    told(&server, &id).await;
    let second = receiver.on("/x").remove(1).at;
    assert!(second - first >= Duration::from_secs(3), "{:?}", second - first);
}

#[tokio::test]
async fn every_forbidden_target_is_refused_at_submit() {
    let server = serving("attempts: 1", "{}").await;
    assert!(FORBIDDEN.lines().count() >= 60);
    let odd = [
        "ftp://example.com/",
        "http://user:hunter2@example.com/",
        "http://example.com:25/",
        "example.com",
        "http://",
        "//example.com/",
    ];
    for url in FORBIDDEN.lines().chain(odd) {
        let answer = server.put(422, "/m", json!({"mode": "sleep-ms", "ms": 1, "callbackUrl": url})).await;
        assert_eq!(answer.body["errors"][0]["pointer"], "/callbackUrl", "{url}: {answer:?}");
        assert!(answer.text("detail").starts_with("The callback's URL is refused: "), "{url}: {answer:?}");
        assert!(!format!("{answer:?}").contains("hunter2"));
    }
    for input in [json!({"callbackUrl": ["http://example.com"]}), json!({"callbackUrl": {"a": 1}})] {
        let answer = server.put(422, "/m", input).await;
        assert_eq!(answer.body["errors"][0]["pointer"], "/callbackUrl");
    }
    assert_eq!(server.get(200, "/tasks/query").await.body, json!([]), "nothing was stored");
}

/// Names that this machine's resolver leads to itself, beside those that are refused by name.
fn own_names() -> Vec<String> {
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let names = hosts
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(|line| line.split_whitespace().skip(1));
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let all = names.map(str::to_owned).chain([host.trim().to_owned()]);
    let inner = all.filter(|name| {
        let found = (name.as_str(), 80).to_socket_addrs().map(Iterator::collect::<Vec<_>>).unwrap_or_default();
        let own = name.contains("localhost") || name.starts_with("ip6-");
        !own && !found.is_empty() && found.iter().all(|address| address.ip().is_loopback())
    });
    inner.collect()
}

#[tokio::test]
async fn a_name_that_leads_to_this_machine_is_never_connected_to() {
    let receiver = taking().await;
    let port = receiver.base.rsplit(':').next().expect("a port").to_owned();
    let names = own_names();
    assert!(!names.is_empty(), "this machine has no name that leads to itself");
    let server = serving("attempts: 1", "{}").await;
    for name in &names {
        let id = submit(&server, &format!("http://{name}:{port}/x")).await;
        let task = told(&server, &id).await;
        assert_eq!(task.body["CallbackInfo"]["State"], "Failed", "{name}");
        let error = deliveries(&server, &id).await[0]["Attempts"][0]["Error"].as_str().unwrap_or("").to_owned();
        assert_eq!(error, format!("refused: an address of `{name}` is a loopback address"));
    }
    assert!(receiver.on("/x").is_empty());
    let allowed = serving(&format!("attempts: 1, allow: ['{}:{port}']", names[0]), "{}").await;
    let id = submit(&allowed, &format!("http://{}:{port}/x", names[0])).await;
    assert_eq!(told(&allowed, &id).await.body["CallbackInfo"]["State"], "Completed");
}

#[tokio::test]
async fn what_was_allowed_at_submit_may_be_refused_at_delivery() {
    let receiver = Receiver::start(|_, _| Reply::Status(500)).await;
    let m = component("misbehaving.wasm");
    let routes = |callbacks: &str| {
        format!("callbacks: {{{callbacks}}}\nroutes:\n  - {{method: PUT, path: /m, component: {m}, callback: {{}}}}\n")
    };
    let mut server = Server::start(&routes(&format!("{ALLOW}, schedule: [1s]"))).await;
    let id = submit(&server, &format!("{}/x", receiver.base)).await;
    receiver.await_on("/x", 1).await;
    eventually("the record", || async { (deliveries(&server, &id).await[0]["Tentative"] == 1).then_some(()) }).await;
    server.kill();
    let server = Server::start_in(Arc::clone(server.folder()), &routes("attempts: 2")).await;
    assert_eq!(told(&server, &id).await.body["CallbackInfo"]["State"], "Failed");
    assert_eq!(receiver.on("/x").len(), 1);
}
