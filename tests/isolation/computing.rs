//! Attacks by what a guest computes: time, memory, stack, tables, instances, handles.

use super::world::{ACME, World, counted};
use crate::support::{assembled, module_with, with_core_module};
use futures_util::stream::{self, StreamExt};
use serde_json::{Value, json};

/// Tasks that acme has waiting in the second row.
const QUEUED: usize = 10_000;

#[tokio::test]
async fn whoever_computes_without_end_slows_nobody_else() {
    let world = World::new("running: 4, waiting: 10000, submits_per_second: 100000").await;
    let pid = world.server.pid();
    let pool = json!({"max": 64, "queue": QUEUED});
    world.routes(201, ACME, "m", json!({"pool": pool})).await;
    let of = |mode: &str| json!({ "mode": mode });
    world.under("endless loops in every slot", world.endless("/acme/m", of("loop"), 4)).await;
    world.under("10,000 endless loops that wait", queue(&world)).await;
    world.under("one instruction that fills 16 MiB, for ever", world.endless("/acme/m", of("fill-loop"), 4)).await;
    world.under("memory, asked for without end", world.endless("/acme/m", of("memory-hog"), 4)).await;
    world.under("sleep in every slot", world.endless("/acme/m", of("poll-forever"), 4)).await;
    world.under("standard input, read without end", world.endless("/acme/m", of("stdin"), 4)).await;
    world.judge(pid).await;
}

/// Every place in acme's queue has a task that would never end.
async fn queue(world: &World) -> String {
    let submit = |_| async { world.ask(ACME, "PUT", "/acme/m", json!({"mode": "loop"})).await.status.to_string() };
    let statuses: Vec<String> = stream::iter(0..QUEUED + 4).map(submit).buffer_unordered(32).collect().await;
    let got = counted(statuses);
    assert_eq!(got, format!("{} x 202", QUEUED + 4));
    world.enough().await;
    got
}

#[tokio::test]
async fn whoever_takes_memory_stack_or_instances_takes_them_from_nobody() {
    let world = World::new("running: 4, submits_per_second: 100000").await;
    let pid = world.server.pid();
    let spinning = r#"(func (export "run") (param i32) (result i32) (loop br 0) unreachable)"#;
    let greedy = module_with(&format!("{}{spinning}", "(memory 0)".repeat(3)));
    let greedy = with_core_module(world.folder(), "greedy.wasm", &greedy);
    world.uploads(ACME, "greedy", &greedy).await;
    world.uploads(ACME, "table", &assembled("table-hog.wat", world.folder())).await;
    world.uploads(ACME, "start", &assembled("start-loop.wat", world.folder())).await;
    let pool = json!({"max": 64, "queue": 1000});
    world.routes(201, ACME, "m", json!({"pool": pool, "memory": "128MiB"})).await;
    world.routes(201, ACME, "greedy", json!({"pool": pool, "plugin": "greedy"})).await;
    world.routes(201, ACME, "start", json!({"pool": pool, "plugin": "start"})).await;
    world.routes(201, ACME, "table", json!({"pool": pool, "plugin": "table", "run_timeout": "500ms"})).await;
    let of = |mode: &str| json!({ "mode": mode });
    world.under("memory up to the limit, again and again", world.again("/acme/m", of("memory-panic"), 8)).await;
    world.under("tables up to the limit", world.again("/acme/table", Value::Null, 4)).await;
    world.under("900 tasks with four memories each", world.endless("/acme/greedy", Value::Null, 900)).await;
    world.under("a start function without end", world.endless("/acme/start", Value::Null, 8)).await;
    world.under("stack overflow, again and again", world.again("/acme/m", of("stack-overflow"), 8)).await;
    world.under("traps, again and again", world.again("/acme/m", of("trap"), 8)).await;
    let handles = json!({"mode": "handles", "count": 10_000_000});
    world.under("handles without end", world.again("/acme/m", handles, 4)).await;
    let kept = json!({"mode": "host-memory", "way": "fields", "count": 10_000});
    world.under("memory of the host, by header fields", world.again("/acme/m", kept, 4)).await;
    world.judge(pid).await;
}
