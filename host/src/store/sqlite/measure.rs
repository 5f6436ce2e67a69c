//! Owns the measurement of what the store costs. It must not be taken for a test: it asserts nothing. In release:
//! `cargo test --release -p sandpool --lib store::sqlite::measure -- --ignored --nocapture --test-threads 1`.

use super::SqliteStore;
use super::tests::{ending, open, task};
use crate::clock::Timestamp;
use crate::store::{Claim, Store};
use crate::task::Task;
use futures_util::future::join_all;
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};
use tempfile::TempDir;

fn cpu(clock: ClockId) -> Duration {
    Duration::try_from(clock_gettime(clock)).unwrap_or_default()
}

/// CPU time that the writer's thread has used.
async fn writer_cpu(store: &SqliteStore) -> Duration {
    store.writer.ask(0, |_| Ok(cpu(ClockId::ThreadCPUTime))).await.expect("answers")
}

fn claim(task: &Task) -> Claim {
    Claim { id: task.id.clone(), attempts_before: 0, at: Timestamp(5), slot: "host-1/orders/0".into() }
}

async fn lives(store: &SqliteStore, tasks: &[Task]) {
    let end = ending();
    for wave in tasks.chunks(512) {
        join_all(wave.iter().map(|task| store.insert(task))).await;
        join_all(wave.iter().map(|task| store.claim(claim(task)))).await;
        join_all(wave.iter().map(|task| store.finish(&task.id, 1, &end))).await;
    }
}

#[tokio::test]
#[ignore = "a measurement"]
async fn cpu_of_a_small_task_in_large_batches() {
    let folder = TempDir::new().expect("a folder");
    let store = open(&folder.path().join("s.db")).expect("opens");
    for stored in (0..10).map(|round| round * 20_000) {
        let tasks: Vec<Task> = (0..20_000).map(|_| task()).collect();
        let (process, thread, batches) = (cpu(ClockId::ProcessCPUTime), writer_cpu(&store).await, store.batches());
        lives(&store, &tasks).await;
        let thread = (writer_cpu(&store).await - thread).as_secs_f64() * 1e6 / 20_000.0;
        let process = (cpu(ClockId::ProcessCPUTime) - process).as_secs_f64() * 1e6 / 20_000.0;
        let batches = store.batches() - batches;
        println!("{stored} stored: {process:.1} µs a life, {thread:.1} of it the writer; {batches} batches of 60000");
    }
}

#[tokio::test]
#[ignore = "a measurement"]
async fn latency_of_inserts() {
    for clients in [1, 8, 64, 256] {
        let folder = TempDir::new().expect("a folder");
        let store = open(&folder.path().join("s.db")).expect("opens");
        let until = Instant::now() + Duration::from_secs(8);
        let (process, start) = (cpu(ClockId::ProcessCPUTime), Instant::now());
        let client = async |_| {
            let mut latencies = Vec::new();
            while Instant::now() < until {
                let (task, asked) = (task(), Instant::now());
                store.insert(&task).await.expect("inserts");
                latencies.push(asked.elapsed());
            }
            latencies
        };
        let mut latencies: Vec<Duration> = join_all((0..clients).map(client)).await.concat();
        latencies.sort();
        let at = |share: f64| latencies[(share * (latencies.len() - 1) as f64) as usize];
        let rate = latencies.len() as f64 / start.elapsed().as_secs_f64();
        let process = (cpu(ClockId::ProcessCPUTime) - process).as_secs_f64() * 1e6 / latencies.len() as f64;
        let batch = store.operations() as f64 / store.batches() as f64;
        println!(
            "{clients} clients: {rate:.0} inserts/s, p50 {:.1?} p99 {:.1?} p99.9 {:.1?} max {:.1?}, {batch:.1} a batch, {process:.1} µs",
            at(0.5),
            at(0.99),
            at(0.999),
            at(1.0)
        );
    }
}
