//! Guests that report as fast as they can: what a report costs, and what their flood costs the submits of other routes.

use crate::executor;
use crate::http::{self, exchange};
use crate::sample::{at, component};
use crate::server::Server;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// How many guests flood at once.
const FLOODS: usize = 8;
const CONNECTIONS: usize = 8;
const SUBMITS: usize = 200;
const ROUNDS: usize = 11;
/// How many reports the cost of one is taken of.
const REPORTS: u32 = 300_000;

/// Kinds of floods, and what their guests are told.
const KINDS: [(&str, &str); 5] = [
    ("progress", r#""mode":"flood-progress""#),
    ("log", r#""mode":"flood-log","bytes":100"#),
    ("stdout", r#""mode":"flood-stdout","bytes":100"#),
    ("events", r#""mode":"flood-events","bytes":100"#),
    ("in turns", r#""mode":"flood-all","bytes":100"#),
];

/// A route whose tasks nobody can follow, and one whose tasks have events.
const ROUTES: [&str; 2] = ["/flood", "/followed"];

fn server() -> Server {
    let m = component("misbehaving.wasm");
    let route = |path: &str, more: &str| {
        format!(
            "  - {{method: PUT, path: {path}, component: {}, pool: {{min: 0, max: {FLOODS}}}{more}}}\n",
            m.display()
        )
    };
    http::server("", &(route(ROUTES[0], "") + &route(ROUTES[1], ", sse: {}")))
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    address: String,
}

impl Connection {
    async fn to(server: &Server) -> Self {
        let stream = TcpStream::connect(&server.address).await.expect("a connection");
        stream.set_nodelay(true).expect("no delay");
        Self { stream, buffer: Vec::new(), address: server.address.clone() }
    }

    async fn send(&mut self, method: &str, path: &str, body: &str) -> String {
        let head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n", self.address);
        let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
        exchange(&mut self.stream, &request, &mut self.buffer).await
    }

    /// Submits; the task's id.
    async fn submit(&mut self, path: &str, body: &str) -> String {
        let task = self.send("PUT", path, body).await;
        task.split("\"Id\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("an id").to_owned()
    }

    async fn ended(&mut self, id: &str) -> String {
        let task = self.send("GET", &format!("/tasks/{id}?wait=120"), "").await;
        assert!(task.contains("\"Completed\""), "{task}");
        task
    }
}

/// Nanoseconds of one report of each kind, beside the same guest whose reports go nowhere.
pub async fn costs() {
    let engine = executor::engine();
    let nowhere = executor::Guests::new(&engine, component("misbehaving.wasm"));
    let server = server();
    let mut connection = Connection::to(&server).await;
    for (kind, told) in KINDS {
        let calls = if kind == "in turns" { 3 * REPORTS } else { REPORTS };
        let input = format!("{{{told},\"count\":{REPORTS}}}");
        let mut nanos = [Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            let began = Instant::now();
            nowhere.complete(&input).await;
            nanos[0].push(began.elapsed().as_nanos() as f64 / f64::from(calls));
            // Events of a route that has them are held back: they would be measured to cost as much as that says.
            let held_back = ["events", "in turns"].contains(&kind);
            for (path, nanos) in ROUTES.iter().take(if held_back { 1 } else { 2 }).zip(&mut nanos[1..]) {
                let began = Instant::now();
                let id = connection.submit(path, &input).await;
                connection.ended(&id).await;
                nanos.push(began.elapsed().as_nanos() as f64 / f64::from(calls));
            }
        }
        let [nowhere, reported, followed] = nanos.map(|mut nanos| median(&mut nanos));
        print!(
            "   {kind:<9} {nowhere:>4.0} ns a report that goes nowhere; reported {reported:>4.0} ns ({:.2})",
            reported / nowhere
        );
        match followed.is_nan() {
            true => println!(),
            false => println!(", of a route with events {followed:>4.0} ns ({:.2})", followed / nowhere),
        }
    }
}

/// What was measured of one kind's rounds.
#[derive(Default)]
struct Seen {
    submits: Vec<Duration>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    rate: Vec<f64>,
    resident: f64,
}

/// Submits of a small route alone, beside guests that spin, and beside as many that flood: all kinds at once where nobody
/// follows, then each kind, and all at once, of a route with events.
pub async fn beside() {
    let server = server();
    let mut connection = Connection::to(&server).await;
    let mixed: Vec<&str> = KINDS[..4].iter().map(|(_, told)| *told).collect();
    let [plain, followed] = ROUTES;
    let mut kinds = vec![("alone", plain, vec![]), ("spinning", plain, vec![r#""mode":"loop""#])];
    kinds.push(("unfollowed", plain, mixed.clone()));
    kinds.extend(KINDS.map(|(kind, told)| (kind, followed, vec![told])));
    kinds.push(("all kinds", followed, mixed));
    let mut seen: Vec<Seen> = kinds.iter().map(|_| Seen::default()).collect();
    submits(&server).await;
    let before = server.resident();
    for _ in 0..ROUNDS {
        for ((_, path, told), seen) in kinds.iter().zip(&mut seen) {
            let mut floods = Vec::new();
            for number in 0..if told.is_empty() { 0 } else { FLOODS } {
                let input = format!("{{{},\"endless\":true}}", told[number % told.len()]);
                floods.push(connection.submit(path, &input).await);
            }
            for id in &floods {
                while !connection.send("GET", &format!("/tasks/{id}"), "").await.contains("\"Running\"") {}
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
            let (mut times, rate) = submits(&server).await;
            seen.resident = seen.resident.max(server.resident());
            for id in floods {
                connection.send("DELETE", &format!("/tasks/{id}"), "").await;
            }
            times.sort_unstable();
            seen.p50.push(at(&times, 0.5));
            seen.p99.push(at(&times, 0.99));
            seen.rate.push(rate);
            seen.submits.extend(times);
        }
    }
    println!("   resident before: {before:.1} MiB; ratios to `spinning`: the median of {ROUNDS} rounds by turns");
    println!(
        "   (who sends events is held back and leaves the cores to others: `events` and `in turns` compare with `alone`)"
    );
    let (spinning_p50, spinning_p99, spinning_rate) = (seen[1].p50.clone(), seen[1].p99.clone(), seen[1].rate.clone());
    for ((kind, ..), seen) in kinds.iter().zip(&mut seen) {
        seen.submits.sort_unstable();
        println!(
            "   {kind:<10} submit p50 {:.2} ms ({:.2}), p99 {:.2} ms ({:.2}); {:.0} tasks/s ({:.2}); resident {:.1} MiB",
            at(&seen.submits, 0.5),
            ratio(&seen.p50, &spinning_p50),
            at(&seen.submits, 0.99),
            ratio(&seen.p99, &spinning_p99),
            median(&mut seen.rate.clone()),
            ratio(&seen.rate, &spinning_rate),
            seen.resident,
        );
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The median of the rounds' own ratios.
fn ratio(values: &[f64], to: &[f64]) -> f64 {
    median(&mut values.iter().zip(to).map(|(value, to)| value / to).collect::<Vec<_>>())
}

/// How long each submit took, and how many tasks a second went from submit to end.
async fn submits(server: &Server) -> (Vec<Duration>, f64) {
    let began = Instant::now();
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut connection = Connection::to(server).await;
        clients.push(tokio::spawn(async move {
            let (mut times, mut ids) = (Vec::with_capacity(SUBMITS), Vec::with_capacity(SUBMITS));
            for _ in 0..SUBMITS {
                let began = Instant::now();
                ids.push(connection.submit("/t", "").await);
                times.push(began.elapsed());
            }
            for id in ids {
                connection.ended(&id).await;
            }
            times
        }));
    }
    let mut times = Vec::new();
    for client in clients {
        times.extend(client.await.expect("no panic"));
    }
    let rate = times.len() as f64 / began.elapsed().as_secs_f64();
    (times, rate)
}
