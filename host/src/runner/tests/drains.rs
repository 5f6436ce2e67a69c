//! Owns the tests of the host's end: what runs has its grace, what waits is left as it is in the store.
//! Must not know what the next start makes of it.

use super::beside;
use super::scripted::Act;
use super::world::{EVER, World, at, ms, pool, rerun, retry, route};
use crate::route::Route;
use crate::runner::SubmitError;
use crate::store::double::Operation;
use crate::task::state::State;

async fn drain(world: &World, grace: u64) -> usize {
    let stopped = world.runner.drain(tokio::time::sleep(ms(grace))).await;
    world.is_idle();
    stopped
}

#[tokio::test(start_paused = true)]
async fn a_host_without_tasks_ends_at_once() {
    let world = World::new();
    assert!(!world.runner.is_draining());
    assert_eq!((drain(&world, 10_000).await, world.millis()), (0, 0));
    assert!(world.runner.is_draining());
}

#[tokio::test(start_paused = true)]
async fn running_tasks_end_within_the_grace() {
    let world = World::new();
    let lane = world.load(Route { pool: pool(2, 9), ..route() }, [Act::complete(80), Act::fail(40)]);
    let (first, second) = (world.submit(&lane).await, world.submit(&lane).await);
    world.pass(30).await;
    assert_eq!((drain(&world, 60).await, world.millis()), (0, 80));
    assert_eq!(world.state(&first).await, State::Completed);
    assert_eq!(world.state(&second).await, State::Failed);
}

#[tokio::test(start_paused = true)]
async fn running_tasks_are_stopped_after_the_grace() {
    let world = World::new();
    let lane = world.load(Route { pool: pool(2, 9), ..route() }, [Act::hang(), Act::hang().deaf(20)]);
    let (first, second) = (world.submit(&lane).await, world.submit(&lane).await);
    assert_eq!((drain(&world, 50).await, world.millis()), (2, 70));
    for (id, end) in [(first, 50), (second, 70)] {
        let task = world.get(&id).await;
        let why = Some("The host shut down before the task ended");
        assert_eq!((task.state, task.error.as_deref(), task.completed), (State::Aborted, why, Some(at(end))));
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_tasks_stay_in_the_store_as_they_are() {
    let world = World::new();
    let lane = world.load(route(), [Act::complete(10)]);
    let first = world.submit(&lane).await;
    let second = world.submit(&lane).await;
    assert_eq!(drain(&world, 50).await, 0);
    assert_eq!(world.state(&first).await, State::Completed);
    assert_eq!(world.store.history(&second).len(), 1, "nothing was written but its insertion");
    assert_eq!(lane.guests.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_any_grace_only_running_tasks_are_stopped() {
    let world = World::new();
    let retrying = Route { retry: retry(2, 100), ..route() };
    let lane = world.load(retrying, [Act::fail(10), Act::hang()]);
    let (pausing, running) = (world.submit(&lane).await, world.submit(&lane).await);
    let waiting = world.submit(&lane).await;
    world.pass(20).await;
    drain(&world, 0).await;
    assert_eq!((world.state(&running).await, world.state(&waiting).await), (State::Aborted, State::NotStarted));
    let task = world.get(&pausing).await;
    assert_eq!((task.state, task.due), (State::Running, Some(at(110))));
}

#[tokio::test(start_paused = true)]
async fn pausing_tasks_stay_in_the_store_with_their_due_time() {
    let world = World::new();
    let retrying = Route { retry: retry(2, 100), pool: pool(2, 9), ..route() };
    let lane = world.load(retrying, [Act::fail(10), Act::fail(40)]);
    let (first, second) = (world.submit(&lane).await, world.submit(&lane).await);
    world.pass(20).await;
    // The second fails only after the drain has begun.
    assert_eq!((drain(&world, 50).await, world.millis()), (0, 40));
    for (id, due) in [(first, 110), (second, 140)] {
        let task = world.get(&id).await;
        assert_eq!((task.state, task.due), (State::Running, Some(at(due))));
    }
}

#[tokio::test(start_paused = true)]
async fn tasks_that_may_run_again_stay_running() {
    let world = World::new();
    let lane = world.load(Route { retry: rerun(), ..route() }, [Act::hang()]);
    let id = world.submit(&lane).await;
    assert_eq!((drain(&world, 50).await, world.millis()), (1, 50));
    let task = world.get(&id).await;
    assert_eq!((task.state, task.attempt, task.due), (State::Running, 1, None));
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_a_task_that_is_left_ends() {
    let world = World::new();
    let lane = world.load(route(), [Act::complete(10)]);
    world.submit(&lane).await;
    let second = world.submit(&lane).await;
    let (runner, same) = (world.runner.clone(), second.clone());
    let waiting = beside(async move { runner.wait(&same, ms(60_000)).await });
    world.settle().await;
    drain(&world, 50).await;
    let task = waiting.await.expect("no panic").expect("reads").expect("is there");
    assert_eq!((task.state, world.millis()), (State::NotStarted, 10));
}

#[tokio::test(start_paused = true)]
async fn no_tasks_are_taken_any_more() {
    let world = World::new();
    let lane = world.load(route(), [Act::hang()]);
    world.submit(&lane).await;
    let runner = world.runner.clone();
    let draining = beside(async move { runner.drain(tokio::time::sleep(ms(50))).await });
    world.settle().await;
    assert!(matches!(world.try_submit(&lane).await, Err(SubmitError::Draining)));
    assert_eq!((draining.await.expect("no panic"), world.store.records().len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_being_stored_meanwhile_is_answered_and_left_whole() {
    let world = World::new();
    let lane = world.load(route(), []);
    let hold = world.store.hold(Operation::Insert);
    let (runner, loaded) = (world.runner.clone(), lane.loaded.clone());
    let submitting = beside(async move { runner.submit(&loaded, super::world::invocation(), None).await });
    world.settle().await;
    let runner = world.runner.clone();
    let draining = beside(async move { runner.drain(tokio::time::sleep(ms(50))).await });
    world.pass(10).await;
    drop(hold);
    let task = submitting.await.expect("no panic").expect("is taken");
    assert_eq!(draining.await.expect("no panic"), 0);
    assert_eq!(world.state(&task.id).await, State::NotStarted);
    assert_eq!(lane.guests.calls().len(), 0);
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_for_good_cannot_hold_the_host_up() {
    for operation in [Operation::Claim, Operation::Finish, Operation::Postpone] {
        let world = World::new();
        let lane = world.load(Route { retry: retry(2, 10), ..route() }, [Act::fail(10), Act::complete(10)]);
        world.store.fail_next(operation, u32::MAX);
        let id = world.submit(&lane).await;
        world.pass(25).await;
        let (runner, same) = (world.runner.clone(), id.clone());
        let stopping =
            beside(async move { tokio::time::timeout(EVER, runner.stop(&same)).await.expect("is answered") });
        world.settle().await;
        drain(&world, 50).await;
        assert!(world.millis() < 60_000, "{operation:?} held it up until {}", world.millis());
        assert!(stopping.await.expect("no panic").is_err(), "the stop is answered");
        assert!(!world.state(&id).await.is_final());
    }
}
