//! A task's progress: phases, never backwards, 100 for Completed only, and cheap however often it is reported.

use crate::metrics::metrics;
use crate::support::{Answer, Server, component, eventually};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

async fn server() -> Server {
    let (m, phases) = (component("misbehaving.wasm"), component("phases.wasm"));
    let routes = format!(
        "routes:\n  - {{method: PUT, path: /m, component: {m}}}\n  - {{method: PUT, path: /phases, component: {phases}}}\n  \
         - {{method: PUT, path: /twice, component: {m}, retry: {{attempts: 2, backoff: 1ms}}}}\n"
    );
    Server::start(&routes).await
}

fn script(calls: &Value) -> Value {
    json!({"mode": "script", "calls": calls})
}

fn progress(task: &Answer) -> Option<f64> {
    task.body.get("Progress").map(|progress| progress.as_f64().expect("a number"))
}

#[tokio::test]
async fn a_guest_reads_what_it_has_reported() {
    let server = server().await;
    let most = u32::MAX;
    let cases = [
        // A number, the highest so far; what is none changes nothing.
        (
            json!([["get"], ["set", 30], ["get"], ["set", 20], ["get"], ["set", "NaN"], ["get"], ["set", -5], ["get"]]),
            json!([0.0, 30.0, 30.0, 30.0, 30.0]),
        ),
        (
            json!([["set", 12.3456], ["get"], ["set", 250], ["get"], ["set", "-inf"], ["get"]]),
            json!([12.35, 99.99, 99.99]),
        ),
        // Ticks, of any number, and no more than there are.
        (
            json!([["begin", 7, 80], ["tick", 1], ["get"], ["tick", 2], ["get"], ["tick", 0], ["get"]]),
            json!([11.43, 34.29, 34.29]),
        ),
        (
            json!([["begin", 7, 80], ["tick", 7], ["get"], ["tick", 1], ["get"], ["tick", most], ["get"]]),
            json!([80.0, 80.0, 80.0]),
        ),
        (
            json!([["begin", most, 50], ["tick", 2_147_483_648_u32], ["get"], ["tick", most], ["get"]]),
            json!([25.0, 50.0]),
        ),
        (json!([["begin", 0, 50], ["get"], ["tick", 1], ["get"]]), json!([0.0, 50.0])),
        // Outside of a phase they are nothing, and a number ends the phase.
        (
            json!([["tick", 5], ["get"], ["begin", 4, 80], ["tick", 1], ["set", 30], ["tick", 1], ["get"]]),
            json!([0.0, 30.0]),
        ),
        // A phase begins where the one before has got to, and ends nowhere below.
        (
            json!([["begin", 7, 80], ["tick", 7], ["begin", 3, 100], ["get"], ["tick", 1], ["get"]]),
            json!([80.0, 86.67]),
        ),
        (json!([["begin", 4, 80], ["tick", 1], ["begin", 2, 60], ["tick", 1], ["get"]]), json!([40.0])),
        (
            json!([["set", 50], ["begin", 2, 10], ["tick", 2], ["get"], ["begin", 2, "NaN"], ["tick", 2], ["get"]]),
            json!([50.0, 50.0]),
        ),
        // No time at all.
        (
            json!([["timed", 0, 40], ["get"], ["timed", -1, 60], ["get"], ["timed", "NaN", 80], ["get"]]),
            json!([40.0, 60.0, 80.0]),
        ),
        // By the clock to the end, where it stays.
        (
            json!([
                ["set", 90],
                ["timed", 0.01, 95],
                ["sleep-ms", 50],
                ["get"],
                ["timed", 0.01, 100],
                ["sleep-ms", 50],
                ["get"]
            ]),
            json!([95.0, 99.99]),
        ),
    ];
    for (calls, got) in cases {
        let ended = server.run("/m", script(&calls)).await;
        assert_eq!(ended.body["Result"], got, "{calls}");
        assert_eq!(progress(&ended), Some(100.0), "{calls}");
    }
    let calls = json!([["begin", 7, 80], ["tick", 7], ["timed", 0.4, 100], ["sleep-ms", 200], ["get"]]);
    let half = server.run("/m", script(&calls)).await;
    let half = half.body["Result"][0].as_f64().expect("a number");
    assert!((90.0..=99.99).contains(&half), "after half the time, or a little more: {half}");
}

/// The task's progress as clients see it, each value once, from its submission to its end.
async fn watched(server: &Server, id: &str) -> (Vec<f64>, Answer) {
    let seen = std::cell::RefCell::new(Vec::<f64>::new());
    let ended = eventually("the end", || async {
        let task = server.get(200, &format!("/tasks/{id}")).await;
        let is_completed = task.text("State") == "Completed";
        if let Some(progress) = progress(&task) {
            let mut seen = seen.borrow_mut();
            assert!(seen.last().is_none_or(|last| *last <= progress), "{progress} after {seen:?}");
            assert_eq!(progress == 100.0, is_completed, "{task:?}");
            if seen.last() != Some(&progress) {
                seen.push(progress);
            }
        }
        task.body.get("CompletedTime").is_some().then_some(task)
    })
    .await;
    (seen.into_inner(), ended)
}

#[tokio::test]
async fn phases_follow_each_other_and_never_go_back() {
    let server = server().await;
    let id = server.put(202, "/phases", json!({"steps": 7, "pause_ms": 40, "seconds": 0.5})).await.id();
    let (seen, ended) = watched(&server, &id).await;
    assert_eq!(ended.body["Result"], json!({"steps": 7}), "{ended:?}");
    let (ticks, timed): (Vec<f64>, Vec<f64>) = seen.iter().partition(|percent| **percent <= 80.0);
    let steps: Vec<f64> = (0..=7).map(|step| (f64::from(step) * 8000.0 / 7.0).round() / 100.0).collect();
    assert!(ticks.len() > 1 && ticks.iter().all(|percent| steps.contains(percent)), "{seen:?}");
    assert!(timed.len() > 2, "by the clock, while the guest sleeps: {seen:?}");
    assert_eq!(seen.last(), Some(&100.0));
}

#[tokio::test]
async fn only_a_completed_task_has_100() {
    let server = server().await;
    let ended = server.run("/m", script(&json!([["begin", 7, 80], ["tick", 3], ["fail", "as told"]]))).await;
    assert_eq!((ended.text("State"), progress(&ended)), ("Failed", Some(34.29)), "what was reached stays");
    let ended = server.run("/m", script(&json!([["set", 100], ["fail", "as told"]]))).await;
    assert_eq!((ended.text("State"), progress(&ended)), ("Failed", Some(99.99)));
    let ended = server.run("/m", script(&json!([["set", 10]]))).await;
    assert_eq!((ended.text("State"), progress(&ended)), ("Completed", Some(100.0)));
    let ended = server.run("/m", json!({"mode": "fail"})).await;
    assert_eq!((ended.text("State"), progress(&ended)), ("Failed", None), "nothing was reported");
    // A second attempt begins where the first has got to.
    let ended = server.run("/twice", script(&json!([["begin", 4, 80], ["tick", 1], ["fail", "as told"]]))).await;
    assert_eq!((&ended.body["Attempt"], progress(&ended)), (&json!(2), Some(35.0)), "{ended:?}");
    // Of a stopped one it is what clients saw last, or a little more where it goes by the clock.
    let calls = [json!([["set", 42], ["sleep-ms", 3_600_000]]), json!([["timed", 3600, 100], ["sleep-ms", 3_600_000]])];
    for calls in calls {
        let id = server.put(202, "/m", script(&calls)).await.id();
        let shown = server.until(&id, |task| task["Progress"].as_f64().is_some_and(|percent| percent > 0.0)).await;
        let stopped = server.delete(200, &format!("/tasks/{id}")).await;
        let (before, after) = (progress(&shown).unwrap_or(0.0), progress(&stopped).unwrap_or(0.0));
        assert!(stopped.text("State") == "Aborted" && before <= after && after < before + 5.0, "{shown:?} {stopped:?}");
        assert_eq!(progress(&server.get(200, &format!("/tasks/{id}")).await), Some(after));
    }
}

#[tokio::test]
async fn a_million_reports_cost_little_and_write_next_to_nothing() {
    const WRITES: f64 = 200.0;
    let server = server().await;
    let written = || async { metrics(&server).await["sandpool_store_batch_operations_sum"] };
    for mode in ["flood-progress", "flood-ticks"] {
        let (before, began) = (written().await, Instant::now());
        let id = server.put(202, "/m", json!({"mode": mode, "count": 1_000_000})).await.id();
        let (seen, ended) = watched(&server, &id).await;
        let took = began.elapsed();
        assert_eq!(ended.body["Result"], json!({"calls": 1_000_000}), "{ended:?}");
        assert!(took < Duration::from_secs(20), "{mode} took {took:?}");
        let writes = written().await - before;
        assert!((3.0..WRITES).contains(&writes), "{mode}: {writes} operations");
        println!("{mode}: a million reports in {took:?}, {writes} store operations, {} values seen", seen.len());
    }
}
