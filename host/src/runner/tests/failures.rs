//! Owns the tests of a store that fails, hangs, or says that another host has the task.
//! Must not repeat the tests of what a store does when it works.

use super::beside;
use super::scripted::Act;
use super::world::{EVER, World, at, ms, retry, route};
use crate::route::Route;
use crate::runner::{StopError, SubmitError};
use crate::store::StoreError;
use crate::store::double::Operation;
use crate::task::Ending;
use crate::task::state::{Event, State};

fn ended_elsewhere() -> Ending {
    let error = Some("ended by the other host".into());
    Ending {
        event: Event::Fail,
        at: at(7),
        result: None,
        error,
        progress: None,
        log: String::new(),
        events: Vec::new(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_cannot_be_stored_is_none() {
    let world = World::new();
    let lane = world.load(route(), [Act::complete(5)]);
    world.store.fail_next(Operation::Insert, 1);
    let refused = world.try_submit(&lane).await;
    assert!(matches!(refused, Err(SubmitError::Store(StoreError::Unavailable(_)))), "{refused:?}");
    world.settle().await;
    assert_eq!((world.store.records().len(), lane.guests.calls().len()), (0, 0));
    world.is_idle();
    let id = world.submit(&lane).await;
    assert_eq!(world.ended(&id).await.state, State::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_start_that_cannot_be_stored_is_tried_until_it_is_and_runs_once() {
    let world = World::new();
    let lane = world.load(route(), [Act::complete(5)]);
    world.store.fail_next(Operation::Claim, 20);
    let id = world.submit(&lane).await;
    assert_eq!((world.state(&id).await, lane.guests.calls().len()), (State::NotStarted, 0));
    let task = world.ended(&id).await;
    assert_eq!((task.state, task.attempt, lane.guests.calls().len()), (State::Completed, 1, 1));
    assert_eq!(world.store.calls(Operation::Claim), 21);
    // 50, 100, … 3,200 ms, then 13 times 5 s.
    assert_eq!(lane.guests.began(), [71_350]);
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn an_end_that_cannot_be_stored_is_tried_until_it_is_and_not_shown_before() {
    let world = World::new();
    let lane = world.load(route(), [Act::complete(10).says(50.0)]);
    world.store.fail_next(Operation::Finish, 4);
    let id = world.submit(&lane).await;
    world.pass(10).await;
    let shown = world.get(&id).await;
    assert_eq!((shown.state, shown.progress, shown.completed), (State::Running, Some(50.0), None));
    let task = world.ended(&id).await;
    assert_eq!((task.state, task.completed), (State::Completed, Some(at(10))), "it ended when it ended");
    assert_eq!((world.millis(), lane.guests.calls().len()), (760, 1));
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn nothing_is_shown_before_the_store_has_answered() {
    for operation in [Operation::Claim, Operation::Postpone, Operation::Finish] {
        let world = World::new();
        let lane = world.load(Route { retry: retry(2, 0), ..route() }, [Act::fail(10), Act::complete(10)]);
        let hold = world.store.hold(operation);
        let id = world.submit(&lane).await;
        world.pass(500).await;
        let (shown, stored) = (world.get(&id).await, world.store.record(&id).expect("is there"));
        assert_eq!(*shown, stored, "{operation:?}");
        drop(hold);
        assert_eq!(world.ended(&id).await.state, State::Completed);
        world.is_idle();
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_task_runs_while_an_end_is_being_stored() {
    let world = World::new();
    let lane = world.load(route(), [Act::complete(10), Act::complete(10)]);
    let hold = world.store.hold(Operation::Finish);
    let first = world.submit(&lane).await;
    world.submit(&lane).await;
    world.pass(15).await;
    assert_eq!(lane.guests.began(), [0, 10]);
    drop(hold);
    assert_eq!(world.ended(&first).await.completed, Some(at(10)));
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_cannot_be_stored_is_tried_until_it_is() {
    let world = World::new();
    let lane = world.load(Route { retry: retry(2, 100), ..route() }, [Act::fail(10), Act::complete(10)]);
    world.store.fail_next(Operation::Postpone, 2);
    let id = world.submit(&lane).await;
    world.pass(50).await;
    assert_eq!(world.get(&id).await.due, None);
    let task = world.ended(&id).await;
    assert_eq!((task.state, task.attempt), (State::Completed, 2));
    // Due since 110, stored at 160.
    assert_eq!(lane.guests.began(), [0, 160]);
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn an_end_that_another_host_was_first_with_is_the_one_that_is_shown() {
    let world = World::new();
    let lane = world.load(route(), [Act::complete(10)]);
    let id = world.submit(&lane).await;
    world.pass(5).await;
    world.store.end_elsewhere(&id, &ended_elsewhere());
    let task = world.ended(&id).await;
    assert_eq!((task.state, task.error.as_deref()), (State::Failed, Some("ended by the other host")));
    assert_eq!(task.completed, Some(at(7)));
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn an_end_of_an_attempt_that_is_not_the_newest_is_void() {
    let world = World::new();
    let lane = world.load(route(), [Act::complete(10)]);
    let id = world.submit(&lane).await;
    world.store.take_over(&id, at(5));
    world.pass(10).await;
    let task = world.get(&id).await;
    assert_eq!((task.state, task.attempt, task.slot.as_deref()), (State::Running, 2, Some("other/r/0")));
    assert_eq!(world.store.calls(Operation::Finish), 1);
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn a_task_that_another_host_has_is_not_started() {
    for ended in [true, false] {
        let world = World::new();
        let lane = world.load(route(), [Act::complete(10)]);
        world.submit(&lane).await;
        let id = world.submit(&lane).await;
        if ended {
            world.store.end_elsewhere(&id, &ended_elsewhere())
        } else {
            world.store.take_over(&id, at(5))
        }
        world.pass(20).await;
        let state = if ended { State::Failed } else { State::Running };
        assert_eq!((world.state(&id).await, lane.guests.calls().len()), (state, 1));
        world.is_idle();
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_of_a_task_that_another_host_has_is_void() {
    let world = World::new();
    let lane = world.load(Route { retry: retry(2, 5_000), ..route() }, [Act::fail(10)]);
    let id = world.submit(&lane).await;
    world.store.take_over(&id, at(5));
    let live = world.runner.0.board.find(&id).expect("is live");
    world.pass(100).await;
    assert_eq!(live.task().due, None, "what was not stored was not shown either");
    assert_eq!(world.store.calls(Operation::Claim), 1, "it is not asked for again");
    let task = world.get(&id).await;
    assert_eq!((task.attempt, task.due, lane.guests.calls().len()), (2, None, 1));
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn stops_and_waits_are_answered_when_another_host_has_the_task() {
    for (ended, get_fails) in [(true, 0), (true, 1), (false, 0), (false, 1)] {
        let world = World::new();
        let lane = world.load(route(), [Act::hang()]);
        let id = world.submit(&lane).await;
        if ended {
            world.store.end_elsewhere(&id, &ended_elsewhere())
        } else {
            world.store.take_over(&id, at(5))
        }
        world.store.fail_next(Operation::Get, get_fails);
        let (runner, same) = (world.runner.clone(), id.clone());
        let waiting = beside(async move { runner.wait(&same, EVER).await });
        let stopped = world.stop(&id).await;
        match stopped {
            Err(StopError::Ended(State::Failed)) => assert!(ended),
            Err(StopError::Left) => assert!(!ended),
            other => panic!("{other:?}"),
        }
        let shown = waiting.await.expect("no panic").expect("reads").expect("is there");
        assert_eq!(shown.state, if ended { State::Failed } else { State::Running });
        assert_eq!(world.millis(), 0);
        world.is_idle();
    }
}

#[tokio::test(start_paused = true)]
async fn reads_that_fail_say_so() {
    let world = World::new();
    let lane = world.load(route(), []);
    let id = world.submit(&lane).await;
    world.ended(&id).await;
    world.store.fail_next(Operation::Get, 2);
    assert!(world.runner.get(&id).await.is_err());
    assert!(world.runner.wait(&id, ms(10)).await.is_err());
    assert_eq!(world.state(&id).await, State::Completed);
}
