//! Owns the tests of `timeout` and `run_timeout`: to the millisecond, wherever the task is.
//! Must not repeat the tests of other stops.

use super::scripted::Act;
use super::world::{World, at, ms, pool, retry, route};
use crate::route::Route;
use crate::store::double::Operation;
use crate::task::Task;
use crate::task::state::State;

fn assert_aborted(task: &Task, millis: u64, why: &str) {
    let end = (task.state, task.completed, task.error.as_deref());
    assert_eq!(end, (State::Aborted, Some(at(millis)), Some(why)), "{task:?}");
}

#[tokio::test(start_paused = true)]
async fn a_running_task_ends_when_its_time_is_up() {
    let world = World::new();
    let lane = world.load(Route { timeout: Some(ms(100)), ..route() }, [Act::hang()]);
    world.pass(7).await;
    let id = world.submit(&lane).await;
    assert_eq!(world.get(&id).await.expires, Some(at(107)));
    world.pass(99).await;
    assert_eq!(world.state(&id).await, State::Running);
    assert_aborted(&*world.ended(&id).await, 107, "Timeout");
    assert_eq!(world.millis(), 107);
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn a_waiting_task_ends_when_its_time_is_up() {
    let world = World::new();
    let lane = world.load(Route { timeout: Some(ms(100)), ..route() }, [Act::hang().deaf(50)]);
    let first = world.submit(&lane).await;
    world.pass(20).await;
    let second = world.submit(&lane).await;
    let task = world.ended(&second).await;
    assert_aborted(&task, 120, "Timeout");
    assert_eq!((task.attempt, task.started, world.millis()), (0, None, 120));
    // The guest did not hear its cancel at once.
    assert_aborted(&*world.ended(&first).await, 150, "Timeout");
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_time_counts_and_nothing_happens_later() {
    let world = World::new();
    let limits = Route { timeout: Some(ms(100)), run_timeout: Some(ms(100)), ..route() };
    let lane = world.load(limits, [Act::complete(99), Act::complete(100)]);
    let in_time = world.submit(&lane).await;
    assert_eq!(world.ended(&in_time).await.completed, Some(at(99)));
    world.pass(500).await;
    assert_eq!(world.state(&in_time).await, State::Completed);
    // An answer in the same millisecond is still an answer.
    let just_in_time = world.submit(&lane).await;
    assert_eq!(world.ended(&just_in_time).await.state, State::Completed);
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn without_limits_a_task_runs_on() {
    let world = World::new();
    let lane = world.load(route(), [Act::hang()]);
    let id = world.submit(&lane).await;
    world.pass(1_000_000_000).await;
    assert_eq!(world.state(&id).await, State::Running);
}

#[tokio::test(start_paused = true)]
async fn run_timeout_counts_from_the_start_and_timeout_from_the_creation() {
    let world = World::new();
    let limits = Route { timeout: Some(ms(140)), run_timeout: Some(ms(100)), ..route() };
    let lane = world.load(limits, [Act::complete(30), Act::hang(), Act::hang()]);
    world.submit(&lane).await;
    let (second, third) = (world.submit(&lane).await, world.submit(&lane).await);
    assert_aborted(&*world.ended(&second).await, 130, "Run timeout");
    assert_aborted(&*world.ended(&third).await, 140, "Timeout");
    assert_eq!(world.get(&third).await.started, Some(at(130)));
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn run_timeout_counts_from_the_first_attempt() {
    let world = World::new();
    let limits = Route { run_timeout: Some(ms(100)), retry: retry(9, 10), ..route() };
    let lane = world.load(limits, [Act::fail(40), Act::hang()]);
    let id = world.submit(&lane).await;
    let task = world.ended(&id).await;
    assert_aborted(&task, 100, "Run timeout");
    assert_eq!((task.started, task.attempt), (Some(at(0)), 2));
    assert_eq!(lane.guests.began(), [0, 50]);
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn both_limits_end_a_pause_between_attempts() {
    for (limits, why) in [
        (Route { run_timeout: Some(ms(100)), ..route() }, "Run timeout"),
        (Route { timeout: Some(ms(100)), ..route() }, "Timeout"),
    ] {
        let world = World::new();
        let lane = world.load(Route { retry: retry(9, 5_000), ..limits }, [Act::fail(40)]);
        let id = world.submit(&lane).await;
        let task = world.ended(&id).await;
        assert_aborted(&task, 100, why);
        assert_eq!((task.attempt, lane.guests.calls().len()), (1, 1));
        world.is_idle();
    }
}

#[tokio::test(start_paused = true)]
async fn run_timeout_ends_the_wait_for_a_slot_of_a_further_attempt() {
    let world = World::new();
    let limits = Route { run_timeout: Some(ms(100)), retry: retry(2, 10), ..route() };
    let lane = world.load(limits, [Act::fail(40), Act::hang()]);
    let (first, second) = (world.submit(&lane).await, world.submit(&lane).await);
    assert_aborted(&*world.ended(&first).await, 100, "Run timeout");
    assert_aborted(&*world.ended(&second).await, 140, "Run timeout");
    assert_eq!(lane.guests.calls().len(), 2);
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn a_start_counts_from_when_it_is_recorded() {
    let world = World::new();
    let limits = Route { run_timeout: Some(ms(100)), ..route() };
    let lane = world.load(limits, [Act::complete(90)]);
    // 50 + 100 + 200 + 400 ms of asking again.
    world.store.fail_next(Operation::Claim, 4);
    let id = world.submit(&lane).await;
    let task = world.ended(&id).await;
    assert_eq!((task.state, task.started, task.completed), (State::Completed, Some(at(750)), Some(at(840))));
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn a_stopped_task_frees_its_place_for_the_next() {
    let world = World::new();
    let limits = Route { timeout: Some(ms(100)), pool: pool(2, 1), ..route() };
    let lane = world.load(limits, [Act::hang(), Act::hang(), Act::complete(5)]);
    let first = world.submit(&lane).await;
    world.submit(&lane).await;
    world.pass(50).await;
    let third = world.submit(&lane).await;
    world.ended(&first).await;
    assert_eq!(world.ended(&third).await.completed, Some(at(105)));
    world.is_idle();
}
