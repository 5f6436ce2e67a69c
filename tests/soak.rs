//! Everything at once, at random, for as long as it is told: uploads, routes, reloads, tasks, restarts. After each step
//! what the server says in one place must agree with what it says elsewhere and with what it acknowledged.
//!
//! `SANDPOOL_SOAK=10m` is the long run, with a verdict on memory; without it the same code runs for some 20 s.
//! `SANDPOOL_SOAK_SEED=…` repeats the choices of an earlier run.

mod checks;
mod model;
mod routes;
mod tasks;
mod worker;

use crate::kills::watch_ends;
use crate::support::{RETURNS_ONE_CHARACTER, Server, component, eventually, module_with, with_core_module};
use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use worker::{Components, Worker};

const WORKERS: usize = 4;
/// After each the workers pause and all is compared.
const ROUND: Duration = Duration::from_secs(3);
const SHORT: Duration = Duration::from_secs(20);
/// Names of the routes that come and go with the file.
const OF_FILE: u64 = 4;
/// How far the median of a minute may be from the median of all after the first.
const FLAT: f64 = 0.10;

/// What the test has beside its workers.
pub struct Soak {
    pub server: Server,
    pub workers: Vec<Worker>,
    /// Tasks of the fixed route that were acknowledged around kills.
    pub acknowledged: Vec<String>,
    /// The routes that the file has now, beside the fixed one.
    pub of_file: Vec<u64>,
    /// The newest deed that was compared.
    pub audited: u64,
    began: Instant,
    /// Seconds since the begin; MiB that are resident, and those of them that wait for the next instances.
    memory: Vec<(f64, f64, f64)>,
    counts: BTreeMap<&'static str, usize>,
    seed: u64,
}

/// `10m`, `90s`
fn length() -> Duration {
    let Ok(text) = std::env::var("SANDPOOL_SOAK") else { return SHORT };
    let (number, unit) = text.split_at(text.len().saturating_sub(1));
    let number: u64 = number.parse().expect("SANDPOOL_SOAK is like 10m or 90s");
    match unit {
        "m" => Duration::from_secs(60 * number),
        "s" => Duration::from_secs(number),
        _ => panic!("SANDPOOL_SOAK is like 10m or 90s, not {text}"),
    }
}

fn seed() -> u64 {
    let given = std::env::var("SANDPOOL_SOAK_SEED").ok().map(|text| text.parse().expect("a number"));
    given
        .unwrap_or_else(|| u64::from(std::process::id()) << 20 | u64::from(Instant::now().elapsed().subsec_nanos()) | 1)
}

fn configuration(of_file: &[u64], broken: bool) -> String {
    let hello = component("hello.wasm");
    let mut text =
        "server: {listen: \"127.0.0.1:0\", shutdown_grace: 1s}\nstore: {url: \"sqlite:tasks.db\"}\nroutes:\n"
            .to_owned();
    text.push_str(&format!(
        "  - {{name: fixed, method: PUT, path: /fixed, component: {hello}, pool: {{queue: 5000}}}}\n"
    ));
    for number in of_file {
        text.push_str(&format!("  - {{name: file-{number}, method: PUT, path: /file/{number}, component: {hello}}}\n"));
    }
    if broken {
        text.push_str("  - {name: file-9, method: PUT, path: /file/9, component: nothing.wasm}\n");
    }
    text
}

fn components() -> Components {
    let folder = tempfile::tempdir().expect("a folder");
    let run =
        format!(r#"(data (i32.const 16) "7") (func (export "run") (param i32) (result i32) {RETURNS_ONE_CHARACTER})"#);
    let tiny = with_core_module(folder.path(), "tiny.wasm", &module_with(&run));
    let bytes = |file: &str| std::fs::read(file).expect("a component");
    Components {
        tiny: bytes(&tiny),
        phases: bytes(&component("phases.wasm")),
        misbehaving: bytes(&component("misbehaving.wasm")),
    }
}

#[tokio::test]
async fn all_that_the_server_says_agrees() {
    let (length, seed) = (length(), seed());
    println!("SANDPOOL_SOAK_SEED={seed} for {length:?}");
    let components = components();
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let server = Server::start_as(folder, &[], &configuration(&[], false)).await;
    watch_ends(&server);
    let workers = (0..WORKERS)
        .map(|number| Worker::new(number, seed.wrapping_mul(2 * number as u64 + 1) | 1, components.clone()))
        .collect();
    let mut soak = Soak {
        server,
        workers,
        acknowledged: Vec::new(),
        of_file: Vec::new(),
        audited: 0,
        began: Instant::now(),
        memory: Vec::new(),
        counts: BTreeMap::new(),
        seed: seed | 1,
    };
    // Memory is judged before the first restart.
    let steady = length - Duration::from_secs(120).min(length * 2 / 5);
    while soak.began.elapsed() < steady {
        soak.round(true).await;
    }
    let flat = soak.memory_by_minute();
    let mut kills = 0;
    while soak.began.elapsed() < length || kills < 2 {
        soak.restart(kills % 2 == 0).await;
        kills += 1;
        soak.round(false).await;
        while soak.began.elapsed() < length && length > 3 * SHORT && soak.began.elapsed().as_secs() % 20 > 3 {
            soak.round(false).await;
        }
    }
    let states = soak.end().await;
    soak.report(&states, &flat);
    if let [_, later @ ..] = flat.as_slice()
        && later.len() > 2
    {
        let steady = median(later.iter().map(|(all, _)| *all).collect());
        let is_flat = |all: f64| (all - steady).abs() <= FLAT * steady;
        assert!(later.iter().all(|(all, _)| is_flat(*all)), "memory is not flat: {flat:?} MiB by minute");
    }
}

impl Soak {
    /// All workers for a while, and the file with them; then all is compared.
    async fn round(&mut self, measure: bool) {
        let until = Instant::now() + ROUND;
        let reload = self.below(3) == 0;
        let next: Vec<u64> = (0..OF_FILE).filter(|_| self.below(2) == 0).collect();
        let broken = self.below(3) == 0;
        let Self { server, workers, of_file, memory, began, counts, .. } = self;
        let server = &*server;
        let working = join_all(workers.iter_mut().map(|worker| worker.round(server, until)));
        let sampling = async {
            while measure && Instant::now() < until {
                memory.push((began.elapsed().as_secs_f64(), server.resident_mib(), kept_mib(server)));
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        let writing = async {
            if reload {
                if broken {
                    write_broken(server, of_file).await;
                    *counts.entry("write a faulty file").or_default() += 1;
                }
                write(server, &configuration(&next, false));
                *of_file = next;
                offered(server, of_file).await;
                *counts.entry("reload the file").or_default() += 1;
            }
        };
        tokio::join!(working, sampling, writing);
        *counts.entry("compare all").or_default() += 1;
        self.compare().await;
    }

    fn below(&mut self, bound: u64) -> u64 {
        crate::kills::random(&mut self.seed) % bound
    }

    /// Ends the server while clients submit, and starts it again: what was acknowledged is there.
    async fn restart(&mut self, by_kill: bool) {
        let submitting = join_all((0..8).map(|_| submit_until_refused(&self.server)));
        let pid = self.server.pid();
        let ending = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let signal = if by_kill { libc::SIGKILL } else { libc::SIGTERM };
            // SAFETY: a signal to our own child, which has not been waited for.
            #[allow(unsafe_code)]
            let sent = unsafe { libc::kill(pid, signal) };
            assert_eq!(sent, 0);
        };
        let (batches, ()) = tokio::join!(submitting, ending);
        self.acknowledged.extend(batches.into_iter().flatten());
        self.server.exit().await;
        let folder = Arc::clone(self.server.folder());
        self.server = Server::start_as(folder, &[], &configuration(&self.of_file, false)).await;
        *self.counts.entry(if by_kill { "restart by SIGKILL" } else { "restart by SIGTERM" }).or_default() += 1;
        for worker in &mut self.workers {
            worker.model.open.values_mut().for_each(|task| task.is_restarted = true);
            worker.agree(&self.server).await;
        }
        self.compare().await;
    }

    /// Medians of each whole minute, in MiB: what is resident, and that without what waits for the next instances.
    fn memory_by_minute(&self) -> Vec<(f64, f64)> {
        let mut minutes: BTreeMap<u64, Vec<(f64, f64)>> = BTreeMap::new();
        for (at, resident, kept) in &self.memory {
            minutes.entry((at / 60.0) as u64).or_default().push((*resident, resident - kept));
        }
        let whole = |samples: Vec<(f64, f64)>| {
            let (resident, used): (Vec<f64>, Vec<f64>) = samples.into_iter().unzip();
            (resident.len() > 40).then(|| (median(resident), median(used)))
        };
        minutes.into_values().filter_map(whole).collect()
    }

    fn report(&self, states: &BTreeMap<String, usize>, flat: &[(f64, f64)]) {
        let mut steps: BTreeMap<&str, usize> = self.counts.clone();
        let mut refusals: BTreeMap<u16, usize> = BTreeMap::new();
        for worker in &self.workers {
            worker.steps.iter().for_each(|(step, count)| *steps.entry(step).or_default() += count);
            worker.refusals.iter().for_each(|(status, count)| *refusals.entry(*status).or_default() += count);
        }
        println!("\n{:.0} s", self.began.elapsed().as_secs_f64());
        let table = |name: &str, rows: Vec<(String, String)>| {
            println!("\n| {name} | |\n| --- | --- |");
            rows.iter().for_each(|(key, value)| println!("| {key} | {value} |"));
        };
        table("step", steps.iter().map(|(step, count)| ((*step).to_owned(), count.to_string())).collect());
        table("refused with", refusals.iter().map(|(status, count)| (status.to_string(), count.to_string())).collect());
        table("tasks", states.iter().map(|(state, count)| (state.clone(), count.to_string())).collect());
        let rows = flat
            .iter()
            .zip(1..)
            .map(|((all, used), minute)| (minute.to_string(), format!("{all:.1}, {used:.1}")))
            .collect();
        table("minute: MiB resident, and without what is kept for instances", rows);
    }
}

/// MiB of places for instances that are empty and still resident: nobody may touch those pages.
fn kept_mib(server: &Server) -> f64 {
    let maps = std::fs::read_to_string(format!("/proc/{}/smaps", server.pid())).expect("a live process");
    let (mut is_empty, mut kib) = (false, 0.0);
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some("Rss:"), Some(rss)) if is_empty => kib += rss.parse::<f64>().expect("KiB"),
            (Some(first), Some(rights)) if first.contains('-') && !first.ends_with(':') => is_empty = rights == "---p",
            _ => {}
        }
    }
    kib / 1024.0
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

/// Writes the file as editors do: another file takes its place.
fn write(server: &Server, text: &str) {
    let next = server.path("next.yaml");
    std::fs::write(&next, text).expect("writable");
    std::fs::rename(next, server.path("sandpool.yaml")).expect("renamed");
}

/// A file that cannot be applied changes nothing.
async fn write_broken(server: &Server, of_file: &[u64]) {
    let seen = std::fs::metadata(server.path("log.json")).map_or(0, |file| file.len());
    write(server, &configuration(of_file, true));
    eventually("the refusal", || async {
        let log = std::fs::read(server.path("log.json")).unwrap_or_default();
        let new = String::from_utf8_lossy(log.get(usize::try_from(seen).ok()?..)?).into_owned();
        tokio::time::sleep(Duration::from_millis(20)).await;
        new.contains("cannot be applied, the old one stays").then_some(())
    })
    .await;
    offered(server, of_file).await;
}

/// Waits until the file's routes are these.
async fn offered(server: &Server, of_file: &[u64]) {
    let known: Vec<String> =
        of_file.iter().map(|number| format!("file-{number}")).chain(["fixed".to_owned()]).collect();
    eventually("the file's routes", || async {
        let routes = server.get(200, "/-/routes").await;
        let of_file = routes.body.as_array()?.iter().filter(|route| route["Origin"] == "File");
        let names: Vec<&str> = of_file.filter_map(|route| route["Name"].as_str()).collect();
        let active = routes.body.as_array()?.iter().all(|route| route["State"] != "Compiling");
        (names == known && active).then_some(())
    })
    .await;
}

/// The ids that were acknowledged before the server went.
async fn submit_until_refused(server: &Server) -> Vec<String> {
    let mut acknowledged = Vec::new();
    while let Ok(answer) = crate::support::ask(server.request("PUT", "/fixed").json(&serde_json::json!({}))).await {
        if answer.status != 202 {
            break;
        }
        acknowledged.push(answer.id());
    }
    acknowledged
}
