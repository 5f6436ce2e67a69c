//! The process is killed at random moments: every acknowledged task is there afterwards and ends exactly once.

use crate::support::{Server, component};
use rusqlite::Connection;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const TASKS: usize = 1_000;
const KILLS: u32 = 20;
const CLIENTS: usize = 16;

fn routes() -> String {
    format!(
        r#"
state: {{fail: 0, rerun: 0}}
routes:
  - {{method: PUT, path: /fail, component: {c}, arguments: {{name: fail}}, state: {{write: [fail]}}, pool: {{max: 4, queue: 5000}}}}
  - {{method: PUT, path: /rerun, component: {c}, arguments: {{name: rerun}}, state: {{write: [rerun]}}, pool: {{max: 4, queue: 5000}}, retry: {{on_lost_host: rerun}}}}
  - {{method: PUT, path: /slow, component: {m}, pool: {{max: 8, queue: 5000}}, retry: {{on_lost_host: rerun}}}}
"#,
        c = component("counter.wasm"),
        m = component("misbehaving.wasm")
    )
}

/// Cheap and repeatable enough; the schedule itself is the machine's.
pub fn random(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

/// Records each end that the store ever writes: an ended task that ends again makes a second row.
pub fn watch_ends(server: &Server) {
    let db = Connection::open(server.path("tasks.db")).expect("the store");
    db.busy_timeout(Duration::from_secs(30)).expect("a timeout");
    db.execute_batch(
        "CREATE TABLE ends (id TEXT, state INTEGER);
         CREATE TRIGGER an_end AFTER UPDATE OF state ON tasks WHEN NEW.state >= 2
         BEGIN INSERT INTO ends VALUES (NEW.id, NEW.state); END;",
    )
    .expect("a trigger");
}

/// Submits until the server dies; answers the ids that were acknowledged.
async fn submit_until_killed(server: &Server, share: usize, number: usize) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for nth in 0..share {
        let (path, input) = match (nth + number) % 3 {
            0 => ("/fail", json!(null)),
            1 => ("/rerun", json!(null)),
            _ => ("/slow", json!({"mode": "sleep-ms", "ms": 20})),
        };
        let Ok(answer) = server.request("PUT", path).json(&input).send().await else { break };
        if answer.status().as_u16() != 202 {
            break;
        }
        let Ok(task) = answer.json::<serde_json::Value>().await else { break };
        acknowledged.push(task["Id"].as_str().expect("an id").to_owned());
    }
    acknowledged
}

#[tokio::test]
async fn every_acknowledged_task_ends_exactly_once() {
    let mut server = Server::start(&routes()).await;
    watch_ends(&server);
    let folder = Arc::clone(server.folder());
    let mut seed = 0x5eed_u64 ^ u64::from(std::process::id());
    let mut acknowledged = Vec::new();
    for round in 0..KILLS {
        let wanted = TASKS * (round as usize + 1) / KILLS as usize;
        let share = (wanted.saturating_sub(acknowledged.len())).div_ceil(CLIENTS) + 1;
        let moment = Duration::from_micros(random(&mut seed) % 60_000);
        let submitting =
            futures_util::future::join_all((0..CLIENTS).map(|number| submit_until_killed(&server, share, number)));
        let pid = server.pid();
        let killing = async {
            tokio::time::sleep(moment).await;
            // SAFETY: a signal to our own child, which has not been waited for.
            #[allow(unsafe_code)]
            let sent = unsafe { libc::kill(pid, libc::SIGKILL) };
            assert_eq!(sent, 0);
        };
        let (batches, ()) = tokio::join!(submitting, killing);
        acknowledged.extend(batches.into_iter().flatten());
        server.kill();
        server = Server::start_in(Arc::clone(&folder), &routes()).await;
    }
    while acknowledged.len() < TASKS {
        acknowledged.extend(submit_until_killed(&server, TASKS - acknowledged.len(), 0).await);
    }
    let mut states = BTreeMap::<String, usize>::new();
    for id in &acknowledged {
        let ended = server.ended(id).await;
        let lost = ended.text("Error").starts_with("Host lost");
        assert!(ended.text("State") == "Completed" || lost, "{ended:?}");
        *states.entry(format!("{}{}", ended.text("State"), if lost { " (host lost)" } else { "" })).or_default() += 1;
    }
    let db = Connection::open(server.path("tasks.db")).expect("the store");
    let count = |query: &str| db.query_row(query, [], |row| row.get::<_, i64>(0)).expect("a count");
    let (stored, open) = (count("SELECT count(*) FROM tasks"), count("SELECT count(*) FROM tasks WHERE state < 2"));
    let (ends, ended_twice) =
        (count("SELECT count(*) FROM ends"), count("SELECT count(*) - count(DISTINCT id) FROM ends"));
    println!(
        "{KILLS} kills, {} acknowledged, {stored} stored, {ends} ends, {ended_twice} of them double: {states:?}",
        acknowledged.len()
    );
    assert!(usize::try_from(stored).expect("a count") >= acknowledged.len());
    assert_eq!((open, ended_twice, ends), (0, 0, stored));
    assert!(states.contains_key("Completed"));
    counted_at_least_once(&server, &db).await;
}

/// A task that may not run twice has counted at most once; one that may, at least once.
async fn counted_at_least_once(server: &Server, db: &Connection) {
    let value = |name: &str| {
        let text: String =
            db.query_row("SELECT value FROM variables WHERE name = ?1", [name], |row| row.get(0)).expect("a variable");
        text.parse::<i64>().expect("a number")
    };
    let tasks = |name: &str, also: &str| {
        let query = format!("SELECT count(*) FROM tasks WHERE name = '__Put_{name}__' AND {also}");
        db.query_row(&query, [], |row| row.get::<_, i64>(0)).expect("a count")
    };
    let (counted, completed, all) = (value("fail"), tasks("fail", "state = 2"), tasks("fail", "1"));
    assert!(completed <= counted && counted <= all, "at most once: {completed} <= {counted} <= {all}");
    assert!(tasks("rerun", "state = 2") <= value("rerun"), "at least once");
    // On a machine so slow that a task meets every kill, it may be one of those that seem to kill their host.
    assert_eq!(tasks("rerun", "state <> 2 AND attempt < 11"), 0, "what may rerun completes");
    assert_eq!(server.get(200, "/-/live").await.status, 200);
}
