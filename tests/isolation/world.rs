//! A server with two tenants, acme and bolt; acme attacks, bolt's probes are timed.

use crate::support::{Answer, Server, ask, component, eventually, hash};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Probes during each attack; half as many before it and after it are the measure.
const PROBES: usize = 200;
/// What is asserted of the median probe; the table tells the true ratio.
const SLOWER: f64 = 20.0;
/// No probe is counted as slow below this, in seconds: a median alone is some milliseconds.
const QUICK: f64 = 0.05;

pub const ACME: &str = "acme-key";
pub const BOLT: &str = "bolt-key";
pub const ROOT: &str = "root-key";

pub struct World {
    pub server: Server,
    rows: RefCell<Vec<Row>>,
    is_enough: Cell<bool>,
    /// MiB that the server may have at most.
    memory: f64,
    /// MiB that its folder may grow by in a row.
    disk: f64,
}

struct Row {
    attack: String,
    got: String,
    alone: Vec<f64>,
    attacked: Vec<f64>,
    failures: Vec<String>,
    resident: f64,
    grown: f64,
}

/// The users, who may manage, and what acme may use.
fn configuration(quota: &str) -> String {
    let user = |id: &str, key: &str, roles: &str| {
        format!(
            "    - {{id: {id}, name: {id}, api_keys: ['{}'], groups: [{id}], roles: [{roles}]}}\n",
            hash("key", key)
        )
    };
    let users = [user("acme", ACME, ""), user("bolt", BOLT, ""), user("root", ROOT, "admin")].concat();
    format!(
        "auth:\n  users:\n{users}  schemes: {{key: {{type: api_key, in: header, name: X-API-KEY}}}}\n  default: key\n\
         admin: {{auth: key, access: {{roles: [admin]}}}}\nstate: {{secret: hosts}}\nvariables: {{hosts: secret}}\n\
         tenants:\n  acme: {{prefix: /acme, members: {{groups: [acme]}}, quota: {{{quota}}}}}\n  \
         bolt: {{prefix: /bolt, members: {{groups: [bolt]}}, quota: {{submits_per_second: 100000}}}}\nroutes: []\n"
    )
}

impl World {
    /// Acme has its quota, and a plugin `bad` that does as it is told; bolt has a probe.
    pub async fn new(quota: &str) -> Self {
        let server = Server::start(&configuration(quota)).await;
        let world =
            Self { server, rows: RefCell::new(Vec::new()), is_enough: Cell::new(false), memory: 900.0, disk: 200.0 };
        world.uploads(BOLT, "probe", &component("hello.wasm")).await;
        world.routes(201, BOLT, "probe", json!({"plugin": "probe"})).await;
        world.uploads(ACME, "bad", &component("misbehaving.wasm")).await;
        world
    }

    pub fn folder(&self) -> &Path {
        self.server.folder().path()
    }

    /// A request with somebody's key.
    pub fn request(&self, key: &str, method: &str, path: &str) -> RequestBuilder {
        self.server.request(method, path).header("X-API-KEY", key)
    }

    pub async fn ask(&self, key: &str, method: &str, path: &str, body: Value) -> Answer {
        ask(self.request(key, method, path).json(&body)).await.expect("an answer")
    }

    /// The status alone: an answer may be without end.
    pub async fn status(&self, key: &str, method: &str, path: &str) -> u16 {
        let sent = self.request(key, method, path).json(&Value::Null).send().await;
        sent.expect("an answer").status().as_u16()
    }

    /// The status of a request whose path is sent as it stands here: clients tidy theirs.
    pub async fn status_raw(&self, key: &str, method: &str, path: &str, body: &str) -> u16 {
        let authority = self.server.base.strip_prefix("http://").expect("plain HTTP");
        let mut stream = TcpStream::connect(authority).await.expect("connects");
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {authority}\r\nx-api-key: {key}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(head.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer).await);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        status.unwrap_or_else(|| panic!("{method} {path}: {answer}"))
    }

    pub async fn get(&self, key: &str, path: &str) -> Answer {
        ask(self.request(key, "GET", path)).await.expect("an answer")
    }

    /// What is answered once it is not too early: a tenant's members change little in a second.
    pub async fn patiently(&self, request: impl Fn() -> RequestBuilder) -> Answer {
        eventually("another answer than 429", || async {
            let answer = ask(request()).await.expect("an answer");
            let is_early = answer.status == 429 && !is_used_up(&answer);
            if is_early {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            (!is_early).then_some(answer)
        })
        .await
    }

    pub async fn changes(&self, key: &str, method: &str, path: &str, body: Value) -> Answer {
        self.patiently(|| self.request(key, method, path).json(&body)).await
    }

    pub async fn uploads(&self, key: &str, name: &str, file: &str) {
        let bytes = std::fs::read(file).expect("a component");
        let path = format!("/-/plugins/{name}");
        let answer = self.patiently(|| self.request(key, "PUT", &path).body(bytes.clone())).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }

    /// A route of somebody's, with the path of its name and whatever else; 201 or why not.
    pub async fn routes(&self, status: u16, key: &str, name: &str, more: Value) -> Answer {
        let tenant = if key == BOLT { "bolt" } else { "acme" };
        let mut route = json!({"method": "PUT", "path": format!("/{tenant}/{name}"), "plugin": "bad"});
        more.as_object().expect("keys").iter().for_each(|(key, value)| route[key] = value.clone());
        let answer = self.changes(key, "PUT", &format!("/-/routes/{name}"), route).await;
        assert_eq!(answer.status, status, "{answer:?}");
        answer
    }

    /// A task of acme's from its submit to its end.
    pub async fn runs(&self, key: &str, path: &str, input: Value) -> Answer {
        let task = self.server.send(202, self.request(key, "PUT", path).json(&input)).await;
        let path = format!("/tasks/{}?wait=60", task.id());
        eventually(&path, || async {
            let task = self.get(key, &path).await;
            task.body.get("CompletedTime").is_some().then_some(task)
        })
        .await
    }

    /// Whether the attack is to go on: the probes are not through yet.
    pub fn goes_on(&self) -> bool {
        !self.is_enough.get()
    }

    /// Waits until the probes are through.
    pub async fn enough(&self) {
        while self.goes_on() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Fills acme's slots with tasks that never end, and keeps them there.
    pub async fn endless(&self, path: &str, input: Value, tasks: usize) -> String {
        let mut statuses = Vec::new();
        for _ in 0..tasks {
            // Who is refused before a large body is read may find the connection closed.
            let answer = ask(self.request(ACME, "PUT", path).json(&input)).await;
            statuses.push(answer.map_or_else(|_| "hung up on".into(), |answer| answer.status.to_string()));
        }
        self.enough().await;
        counted(statuses)
    }

    /// Runs the same again and again, so many at a time, until the probes are through; what became of the tasks.
    pub async fn again(&self, path: &str, input: Value, at_once: usize) -> String {
        let one = || async {
            let mut ends = Vec::new();
            while self.goes_on() {
                let request = self.request(ACME, "PUT", path).header("prefer", "wait=5").json(&input);
                let answer = ask(request).await.expect("an answer");
                let error: String = answer.text("Error").chars().take(40).collect();
                ends.push(match answer.status {
                    200 => format!("{} {error}", answer.text("State")),
                    status => status.to_string(),
                });
            }
            ends
        };
        let ends = futures_util::future::join_all((0..at_once).map(|_| one())).await;
        counted(ends.into_iter().flatten())
    }

    /// Measures bolt's probes before, during and after an attack. The attack goes on while [`Self::goes_on`], and says
    /// what it got.
    pub async fn under(&self, attack: &str, attacking: impl Future<Output = String>) {
        let disk = size(self.folder());
        let (mut alone, mut failures) = (self.probes(PROBES / 2).await, Vec::new());
        self.is_enough.set(false);
        let (attacked, is_over, resident) = (RefCell::new(Probes::default()), Cell::new(false), Cell::new(0.0_f64));
        let probing = async {
            loop {
                let probes = self.probes(1).await;
                let mut all = attacked.borrow_mut();
                all.seconds.extend(probes.seconds);
                all.failures.extend(probes.failures);
                resident.set(resident.get().max(self.server.resident_mib()));
                self.is_enough.set(all.seconds.len() + all.failures.len() >= PROBES);
                if is_over.get() && self.is_enough.get() {
                    return;
                }
            }
        };
        let attacking = async {
            let got = attacking.await;
            is_over.set(true);
            got
        };
        let (got, ()) = tokio::join!(attacking, probing);
        let stopped = self.changes(ACME, "POST", "/-/tasks/stop", json!({})).await;
        assert_eq!(stopped.status, 200, "{stopped:?}");
        let after = self.probes(PROBES / 2).await;
        alone.seconds.extend(after.seconds);
        let attacked = attacked.into_inner();
        failures.extend(attacked.failures.into_iter().chain(alone.failures).chain(after.failures));
        let grown = size(self.folder()) - disk;
        let row = Row {
            attack: attack.into(),
            got,
            alone: alone.seconds,
            attacked: attacked.seconds,
            failures,
            resident: resident.get(),
            grown,
        };
        println!("{row}");
        self.rows.borrow_mut().push(row);
    }

    async fn probes(&self, count: usize) -> Probes {
        let mut probes = Probes::default();
        for _ in 0..count {
            let asked = Instant::now();
            let request =
                self.request(BOLT, "PUT", "/bolt/probe").header("prefer", "wait=10").json(&json!({"name": "b"}));
            let answer = ask(request).await.map_err(|error| error.to_string());
            let took = asked.elapsed().as_secs_f64();
            match answer {
                Ok(answer) if answer.status == 200 && answer.text("State") == "Completed" => probes.seconds.push(took),
                other => probes.failures.push(format!("after {took:.3} s: {other:?}")),
            }
        }
        probes
    }

    /// Prints the table, and judges it.
    pub async fn judge(mut self, pid: i32) {
        let rows = self.rows.take();
        println!(
            "\n| attack | the attacker got | median (alone) | p99 (alone), ms | p99 ratio | failed | MiB | disk, MiB |"
        );
        println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
        rows.iter().for_each(|row| println!("{row}"));
        self.server.get(200, "/-/live").await;
        assert_eq!(self.server.pid(), pid);
        for Row { attack, alone, attacked, failures, resident, grown, .. } in rows {
            assert!(failures.is_empty(), "{attack}: {} of bolt's probes failed: {}", failures.len(), failures[0]);
            assert!(resident < self.memory, "{attack}: {resident} MiB");
            assert!(grown < self.disk, "{attack}: the folder grew by {grown} MiB");
            let (median, measure) = (quantile(&attacked, 50), quantile(&alone, 50).max(QUICK / SLOWER));
            assert!(median < SLOWER * measure, "{attack}: bolt's median probe took {median} s, {measure} s alone");
        }
        self.server.kill();
    }
}

/// Whether a quota refuses, and not the rate of requests.
pub fn is_used_up(answer: &Answer) -> bool {
    answer.text("detail").starts_with("The quota is used up")
}

#[derive(Default)]
struct Probes {
    seconds: Vec<f64>,
    failures: Vec<String>,
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { attack, got, alone, attacked, failures, resident, grown } = self;
        let ms = |samples: &[f64], percent| quantile(samples, percent) * 1000.0;
        let (median, median_alone) = (ms(attacked, 50), ms(alone, 50));
        let (p99, p99_alone) = (ms(attacked, 99), ms(alone, 99));
        write!(
            f,
            "| {attack} | {got} | {median:.1} ({median_alone:.1}) | {p99:.1} ({p99_alone:.1}) | {:.1} | {} of {} | {resident:.0} | {grown:.1} |",
            p99 / p99_alone,
            failures.len(),
            attacked.len() + alone.len(),
        )
    }
}

fn quantile(samples: &[f64], percent: usize) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

/// `3 x this, 1 x that`
pub fn counted(all: impl IntoIterator<Item = String>) -> String {
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    all.into_iter().for_each(|one| *counts.entry(one.trim().to_owned()).or_default() += 1);
    counts.iter().map(|(one, count)| format!("{count} x {one}")).collect::<Vec<_>>().join(", ")
}

/// MiB of all files below.
fn size(folder: &Path) -> f64 {
    let files = std::fs::read_dir(folder).expect("a folder").flatten();
    let bytes: u64 = files.filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum();
    bytes as f64 / f64::from(1 << 20)
}
