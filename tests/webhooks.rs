//! A thousand callbacks to a receiver that behaves badly, while the server is killed again and again. Signatures are
//! checked by the library of Standard Webhooks, in `tests/tools/receiver.py`; `tests/tools/install` installs it.

use crate::support::{PATIENCE, Server, component, eventually};
use crate::tools::{python, script};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const TASKS: usize = 1_000;
const KILLS: usize = 10;
const CLIENTS: usize = 8;
const SECRET: &str = "whsec_dGhlIHNlY3JldCBvZiB0aGUgY2hhb3MgdGVzdA==";
/// How long the receiver's second port is closed.
const DOWN: Duration = Duration::from_secs(6);
/// How receivers behave, by path.
const CLASSES: [&str; 8] = ["/fine", "/random", "/hang", "/gone", "/busy", "/redirect", "/down", "/forbidden"];
/// The configured waits, in seconds.
const SCHEDULE: [f64; 6] = [0.2, 0.4, 0.8, 1.6, 3.0, 3.0];

struct Receiver {
    child: Child,
    ports: Value,
    log: PathBuf,
}

impl Receiver {
    fn start(folder: &Path) -> Self {
        let log = folder.join("received.json");
        let mut command = python();
        command.arg(script("receiver.py")).arg(&log).env("WEBHOOK_SECRET", SECRET).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        Self { child, ports: serde_json::from_str(&line).expect("its ports"), log }
    }

    fn port(&self, name: &str) -> u64 {
        self.ports[name].as_u64().expect("a port")
    }

    fn received(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).expect("a whole line")).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn routes(receiver: &Receiver) -> String {
    format!(
        r#"
callbacks:
  allow: ["127.0.0.0/8:{open}", "127.0.0.0/8:{down}"]
  signing_secret: {SECRET}
  attempts: {attempts}
  schedule: [200ms, 400ms, 800ms, 1600ms, 3s]
  timeout: 1s
routes:
  - {{method: PUT, path: /fail, component: {m}, pool: {{max: 8, queue: 5000}}, callback: {{send_result: true}}}}
  - {{method: PUT, path: /rerun, component: {m}, pool: {{max: 8, queue: 5000}}, retry: {{on_lost_host: rerun}}, callback: {{send_result: true}}}}
"#,
        open = receiver.port("open"),
        down = receiver.port("down"),
        attempts = SCHEDULE.len() + 1,
        m = component("misbehaving.wasm")
    )
}

/// A name of this machine that its resolver leads to itself; it is no entry of the allow-list at this port.
fn own_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").expect("a name").trim().to_owned()
}

/// The URL of a task: each class has hosts of its own.
fn url(receiver: &Receiver, class: &str, number: usize) -> String {
    let position = CLASSES.iter().position(|known| *known == class).expect("known");
    let host = format!("127.0.{position}.{}", number % 20 + 1);
    match class {
        "/down" => format!("http://{host}:{}{class}", receiver.port("down")),
        "/forbidden" => format!("http://{}:{}{class}", own_name(), receiver.port("trap")),
        _ => format!("http://{host}:{}{class}", receiver.port("open")),
    }
}

/// Submits until the server dies; answers the ids that were acknowledged, with their classes.
async fn submit_until_killed(
    server: &Server,
    receiver: &Receiver,
    share: usize,
    client: usize,
) -> Vec<(String, &'static str)> {
    let mut acknowledged = Vec::new();
    for nth in 0..share {
        let number = nth * CLIENTS + client;
        let class = CLASSES[(nth + client) % CLASSES.len()];
        let input = json!({"mode": "sleep-ms", "ms": 5, "callbackUrl": url(receiver, class, number)});
        let path = if number.is_multiple_of(3) { "/fail" } else { "/rerun" };
        let Ok(answer) = server.request("PUT", path).json(&input).send().await else { break };
        if answer.status().as_u16() != 202 {
            break;
        }
        let Ok(task) = answer.json::<Value>().await else { break };
        acknowledged.push((task["Id"].as_str().expect("an id").to_owned(), class));
    }
    acknowledged
}

#[tokio::test]
async fn every_callback_comes_signed_and_on_time_through_ten_kills() {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let receiver = Receiver::start(folder.path());
    let (began, routes) = (Instant::now(), routes(&receiver));
    let mut server = Server::start_in(Arc::clone(&folder), &routes).await;
    let mut acknowledged = Vec::new();
    for round in 0..KILLS {
        let wanted = TASKS * (round + 1) / KILLS;
        let share = wanted.saturating_sub(acknowledged.len()).div_ceil(CLIENTS) + 1;
        let clients = (0..CLIENTS).map(|client| submit_until_killed(&server, &receiver, share, client));
        let pid = server.pid();
        let killing = async {
            // Long enough for attempts to be under way, and different each time.
            tokio::time::sleep(Duration::from_millis(300 + 97 * round as u64)).await;
            // SAFETY: a signal to our own child, which has not been waited for.
            #[allow(unsafe_code)]
            let sent = unsafe { libc::kill(pid, libc::SIGKILL) };
            assert_eq!(sent, 0);
        };
        let (submitted, ()) = tokio::join!(futures_util::future::join_all(clients), killing);
        acknowledged.extend(submitted.into_iter().flatten());
        server.kill();
        server = Server::start_in(Arc::clone(&folder), &routes).await;
    }
    let rest = TASKS.saturating_sub(acknowledged.len()).div_ceil(CLIENTS);
    let clients = (0..CLIENTS).map(|client| submit_until_killed(&server, &receiver, rest, client));
    acknowledged.extend(futures_util::future::join_all(clients).await.into_iter().flatten());
    assert!(acknowledged.len() >= TASKS);
    let mut deliveries = Vec::new();
    for (id, class) in &acknowledged {
        deliveries.push((id.as_str(), *class, over(&server, id).await));
    }
    println!("{} callbacks over after {:?}", deliveries.len(), began.elapsed());
    check(&receiver, &deliveries);
    let metrics = server.get(200, "/-/metrics").await.body.to_string();
    assert!(metrics.contains("sandpool_callbacks_pending 0\\n"), "{metrics}");
}

/// The delivery of a task once it is over.
async fn over(server: &Server, id: &str) -> Value {
    eventually(&format!("the end of the callback of {id}"), || async {
        let listed = server.get(200, &format!("/tasks/{id}/callbacks")).await.body;
        matches!(listed[0]["State"].as_str(), Some("Completed" | "Failed")).then(|| listed[0].clone())
    })
    .await
}

fn check(receiver: &Receiver, deliveries: &[(&str, &str, Value)]) {
    let received = receiver.received();
    assert!(received.iter().all(|one| one["path"] != "/trap"), "a forbidden address was connected to");
    assert!(received.iter().all(|one| one["valid"] == true), "a signature is wrong");
    let mut by_task: HashMap<&str, Vec<&Value>> = HashMap::new();
    for one in &received {
        by_task.entry(one["id"].as_str().expect("an id")).or_default().push(one);
    }
    let (mut attempts, mut cut) = (0, 0);
    for (id, class, delivery) in deliveries {
        let came = by_task.get(id).map_or(0, Vec::len);
        let made = usize::try_from(delivery["Tentative"].as_u64().expect("a number")).expect("few");
        let end = (delivery["State"].as_str().expect("a state"), made);
        let what = || format!("{class} {came} times: {delivery}");
        match *class {
            "/forbidden" => assert_eq!((end, came), (("Failed", SCHEDULE.len() + 1), 0), "{}", what()),
            "/gone" => assert!(end == ("Failed", 1) && came >= 1, "{}", what()),
            "/redirect" => assert!(end == ("Failed", SCHEDULE.len() + 1) && came >= made, "{}", what()),
            // Attempts while it was down did not come.
            "/down" => assert!(end.0 == "Completed" && came >= 1, "{}", what()),
            _ => assert!(end.0 == "Completed" && came >= made, "{}", what()),
        }
        attempts += made;
        cut += came.saturating_sub(made);
        check_schedule(class, delivery);
    }
    println!("{attempts} attempts, {} requests, {cut} of attempts that a kill cut off", received.len());
}

/// Each attempt begins no sooner after the one before than the schedule says, or the receiver asked for.
fn check_schedule(class: &str, delivery: &Value) {
    let attempts = delivery["Attempts"].as_array().expect("a list");
    let begins = |attempt: &Value| {
        let date = chrono::DateTime::parse_from_rfc3339(attempt["At"].as_str().expect("a date")).expect("RFC 3339");
        date.timestamp_micros() as f64 / 1e6
    };
    for (position, two) in attempts.windows(2).enumerate() {
        let asked = if class == "/busy" && position == 0 { 2.0 } else { 0.0 };
        let wait = f64::max(SCHEDULE[position], asked) + two[0]["Seconds"].as_f64().expect("seconds");
        let gap = begins(&two[1]) - begins(&two[0]);
        assert!(gap >= wait - 0.001, "{class}: attempt {} after {gap} s instead of {wait}: {delivery}", position + 2);
        assert!(gap <= wait * 1.2 + PATIENCE.as_secs_f64() + DOWN.as_secs_f64(), "{class}: {gap} s, {delivery}");
    }
}
