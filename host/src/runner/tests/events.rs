//! Owns the tests of what followers are told of a task, and in which order.
//! Must not know how it is handed on.

use super::beside;
use super::scripted::Act;
use super::world::{Lane, World, invocation, rerun, retry, route};
use crate::ids::TaskId;
use crate::route::Route;
use crate::store::double::Operation;
use crate::store::{Scope, Store};
use crate::task::state::State;
use crate::task::{Invocation, Sse};
use std::sync::Arc;

impl World {
    /// A task that can be followed; what it says is stored from now on.
    async fn follow(&self, lane: &Lane) -> TaskId {
        drop(beside(self.runner.clone().pump()));
        self.submit_followed(lane).await
    }

    async fn submit_followed(&self, lane: &Lane) -> TaskId {
        let sse = Some(Sse { url: None, group: None, send_result: false });
        let invocation = Arc::new(Invocation { sse, ..(*invocation()).clone() });
        let task = self.runner.submit(&lane.loaded, invocation, None).await.expect("is taken");
        self.settle().await;
        task.id.clone()
    }

    /// What the store has been told of a task: of states and ends the state, of log lines the number, else the data.
    async fn told(&self, id: &TaskId) -> Vec<String> {
        let page = self.store.replay(0, Scope::Task(id.clone())).await.expect("reads");
        let short = |event: &crate::store::KeptEvent| {
            let data: serde_json::Value = serde_json::from_str(event.data.as_str()).expect("JSON");
            let data = match event.name.as_str() {
                "state" | "done" => &data["State"],
                "log" => &data["seq"],
                _ => &data,
            };
            format!("{} {}", event.name, data.to_string().trim_matches('"'))
        };
        page.events.iter().map(short).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_course_is_told_in_order() {
    let world = World::new();
    let lane = world.load(route(), [Act::complete(500).says(40.0)]);
    let id = world.follow(&lane).await;
    world.pass(1).await;
    let so_far = ["state NotStarted", "state Running", "progress 40", "log 1"];
    assert_eq!(world.told(&id).await, so_far, "at once");
    assert_eq!(world.ended(&id).await.state, State::Completed);
    assert_eq!(world.told(&id).await, [&so_far[..], &["done Completed"]].concat());
    let stopped = world.load(Route { name: "s".into(), ..route() }, [Act::hang()]);
    let id = world.follow(&stopped).await;
    world.stop(&id).await.expect("stops");
    assert_eq!(world.told(&id).await, ["state NotStarted", "state Running", "done Aborted"]);
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn what_is_said_waits_for_a_store_that_fails() {
    let world = World::new();
    let lane = world.load(route(), [Act::complete(60_000).says(40.0)]);
    world.store.fail_next(Operation::Note, 3);
    let id = world.follow(&lane).await;
    assert_eq!(world.told(&id).await, ["state NotStarted", "state Running"]);
    world.pass(5_000).await;
    assert_eq!(world.told(&id).await, ["state NotStarted", "state Running", "progress 40", "log 1"]);
    world.ended(&id).await;
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn the_end_does_not_overtake_what_was_said_before() {
    let world = World::new();
    let lane = world.load(route(), [Act::complete(50).says(40.0)]);
    let held = world.store.hold(Operation::Note);
    let id = world.follow(&lane).await;
    world.pass(1_000).await;
    assert_eq!(world.state(&id).await, State::Running, "its end waits");
    drop(held);
    world.ended(&id).await;
    let told = ["state NotStarted", "state Running", "progress 40", "log 1", "done Completed"];
    assert_eq!(world.told(&id).await, told);
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn a_further_attempt_is_told_after_what_the_last_one_said() {
    let world = World::new();
    let acts = [Act::fail(0).says(10.0), Act::complete(0).says(5.0)];
    let lane = world.load(Route { retry: retry(2, 0), ..route() }, acts);
    let id = world.follow(&lane).await;
    world.ended(&id).await;
    let told =
        ["state NotStarted", "state Running", "progress 10", "log 1", "state Running", "log 2", "done Completed"];
    assert_eq!(world.told(&id).await, told, "progress never goes back");
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn nothing_is_forgotten_while_the_next_attempt_is_being_claimed() {
    let world = World::new();
    let acts = [Act::fail(10).says(10.0), Act::fail(10).says(20.0), Act::hang().says(30.0)];
    let lane = world.load(Route { retry: retry(3, 0), ..route() }, acts);
    let id = world.follow(&lane).await;
    world.pass(15).await;
    let held = world.store.hold(Operation::Claim);
    world.pass(150).await;
    drop(held);
    world.pass(300).await;
    assert_eq!(world.state(&id).await, State::Running);
    let told = world.told(&id).await;
    assert!(told.ends_with(&["state Running", "progress 30", "log 3"].map(String::from)), "{told:?}");
    world.stop(&id).await.expect("stops");
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn the_next_host_goes_on_where_the_last_one_was() {
    let world = World::new();
    let lane = world.load(Route { retry: rerun(), ..route() }, [Act::hang().says(30.0)]);
    let id = world.follow(&lane).await;
    // Said after the last round: it is the last word.
    world.runner.drain(async {}).await;
    let before = world.told(&id).await;
    assert_eq!(before, ["state NotStarted", "state Running", "progress 30", "log 1"]);
    let next = World::after(&world);
    next.load(Route { retry: rerun(), ..route() }, [Act::complete(500).says(20.0)]);
    drop(beside(next.runner.clone().pump()));
    next.recover().await;
    next.settle().await;
    assert_eq!(next.get(&id).await.progress, Some(30.0));
    next.ended(&id).await;
    let told = [&before[..], &["state Running", "log 2", "done Completed"].map(String::from)].concat();
    assert_eq!(next.told(&id).await, told);
    assert_eq!(next.store.log(&id).await.expect("reads").map(|log| log.lines().count()), Some(2));
    next.is_idle();
}

#[tokio::test(start_paused = true)]
async fn what_is_said_between_two_rounds_is_told_with_the_end() {
    let world = World::new();
    let lane = world.load(route(), [Act::complete(0).says(10.0), Act::complete(0).says(30.0)]);
    // The round after the first one's report is over; the next one is too late.
    let first = world.follow(&lane).await;
    world.ended(&first).await;
    let id = world.submit_followed(&lane).await;
    world.ended(&id).await;
    let told = ["state NotStarted", "state Running", "progress 30", "log 1", "done Completed"];
    assert_eq!(world.told(&id).await, told);
}

#[tokio::test(start_paused = true)]
async fn what_is_said_before_a_pause_outlives_the_host() {
    let world = World::new();
    let acts = [Act::complete(0).says(10.0), Act::fail(0).says(30.0)];
    let lane = world.load(Route { retry: retry(2, 3_600_000), ..route() }, acts);
    let first = world.follow(&lane).await;
    world.ended(&first).await;
    let id = world.submit_followed(&lane).await;
    world.runner.drain(async {}).await;
    assert_eq!(world.told(&id).await, ["state NotStarted", "state Running", "progress 30", "log 1"]);
    assert_eq!(world.store.log(&id).await.expect("reads").map(|log| log.lines().count()), Some(1));
}

#[tokio::test(start_paused = true)]
async fn what_a_lost_host_was_told_is_kept_with_the_failed_task() {
    let world = World::new();
    let lane = world.load(route(), [Act::hang().says(30.0)]);
    let id = world.follow(&lane).await;
    world.pass(1).await;
    // The process is gone; nobody has noted the log with the task yet.
    assert_eq!(world.store.log(&id).await.expect("reads").as_deref(), Some(""));
    let next = World::after(&world);
    next.load(route(), []);
    next.recover().await;
    let task = next.get(&id).await;
    assert_eq!((task.state, task.progress), (State::Failed, Some(30.0)));
    let log = next.store.log(&id).await.expect("reads").expect("is there");
    assert!(log.contains("attempt 1 is at 30") && log.lines().count() == 1, "{log}");
    assert_eq!(next.told(&id).await.last().map(String::as_str), Some("done Failed"));
}

#[tokio::test(start_paused = true)]
async fn of_a_task_that_nobody_can_follow_progress_and_log_are_noted_now_and_then() {
    let world = World::new();
    drop(beside(world.runner.clone().pump()));
    let lane = world.load(route(), [Act::complete(500).says(40.0), Act::hang().says(40.0)]);
    let quick = world.submit(&lane).await;
    world.ended(&quick).await;
    assert_eq!(world.store.calls(Operation::Note), 0, "a quick task is written once");
    let slow = world.submit(&lane).await;
    world.pass(1_500).await;
    assert_eq!(world.store.record(&slow).and_then(|task| task.progress), Some(40.0));
    world.pass(60_000).await;
    assert_eq!(world.store.calls(Operation::Note), 2, "progress, then the log, and nothing that is known");
    assert_eq!(world.store.log(&slow).await.expect("reads").map(|log| log.lines().count()), Some(1));
    assert!(world.told(&slow).await.is_empty());
    world.stop(&slow).await.expect("stops");
    world.is_idle();
}
