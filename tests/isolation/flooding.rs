//! Attacks by how much a guest says, and by what is to be kept for it.

use super::world::{ACME, World};
use crate::following::Stream;
use serde_json::{Value, json};

fn endless(mode: &str) -> Value {
    json!({"mode": mode, "endless": true, "bytes": 100})
}

#[tokio::test]
async fn whoever_reports_without_end_slows_nobody_else() {
    let world = World::new("running: 4, submits_per_second: 100000, stored: 64MiB").await;
    let pid = world.server.pid();
    let logs = json!({"level": "trace", "forward": "trace"});
    world
        .routes(201, ACME, "m", json!({"pool": {"max": 64, "queue": 1000}, "logs": logs, "sse": {"group": "g"}}))
        .await;
    world.under("calls of the host", world.endless("/acme/m", endless("flood-ticks"), 4)).await;
    world.under("progress", world.endless("/acme/m", endless("flood-progress"), 4)).await;
    world.under("lines of log", world.endless("/acme/m", endless("flood-log"), 4)).await;
    world.under("lines of output", world.endless("/acme/m", endless("flood-stdout"), 4)).await;
    let empty = json!({"mode": "flood-stdout", "endless": true, "empty": true});
    world.under("empty lines, 4,096 a call", world.endless("/acme/m", empty, 4)).await;
    world.under("events", world.endless("/acme/m", endless("flood-events"), 4)).await;
    world.under("all at once, and followed", followed(&world)).await;
    world.judge(pid).await;
}

async fn followed(world: &World) -> String {
    let mut readers = Vec::new();
    for _ in 0..8 {
        readers.push(Stream::of(world.request(ACME, "GET", "/events?group=acme:g")).await);
    }
    // They never read.
    let got = world.endless("/acme/m", endless("flood-all"), 4).await;
    format!("{got}, {} streams", readers.len())
}

#[tokio::test]
async fn whoever_has_much_kept_takes_no_room_from_others() {
    let world = World::new("running: 4, submits_per_second: 100000, stored: 64MiB, state: 4MiB").await;
    let pid = world.server.pid();
    let names: Vec<String> = (0..40).map(|number| format!("flood-{number}")).collect();
    let pool = json!({"max": 64, "queue": 1000});
    world.routes(201, ACME, "m", json!({"pool": pool, "memory": "128MiB", "state": {"write": names}})).await;
    let large = json!({"mode": "huge-result", "bytes": 8 << 20});
    world.under("variables up to the quota", variables(&world)).await;
    world.under("300 tasks with bodies of 1 MB that wait", bodies(&world)).await;
    world.under("results of 8 MiB, again and again", world.again("/acme/m", large, 4)).await;
    world.judge(pid).await;
}

/// 40 variables of 900 KB, where 4 MiB are allowed.
async fn variables(world: &World) -> String {
    let flood = json!({"mode": "state-flood", "count": 40, "bytes": 900_000});
    let ended = world.runs(ACME, "/acme/m", flood.clone()).await;
    let set = ended.body["Result"]["set"].as_u64().unwrap_or(99);
    assert!((1..=4).contains(&set), "{ended:?}");
    let why = ended.body["Result"]["lastError"]["message"].as_str().unwrap_or("").to_owned();
    while world.goes_on() {
        world.runs(ACME, "/acme/m", flood.clone()).await;
    }
    format!("{set} of 40 set, then: {why}")
}

async fn bodies(world: &World) -> String {
    let filling = "x".repeat(1_000_000);
    let sleeping = json!({"mode": "sleep-ms", "ms": 3_600_000, "filling": filling});
    world.endless("/acme/m", sleeping, 300).await
}
