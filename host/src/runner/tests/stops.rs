//! Owns the tests of a user's stop: in each phase of a task, twice, and against its end.
//! Must not repeat the tests of timeouts and of the host's own end.

use super::beside;
use super::scripted::Act;
use super::world::{EVER, World, at, ms, rerun, retry, route};
use crate::ids::{IdScheme, TaskId};
use crate::route::Route;
use crate::runner::StopError;
use crate::store::double::Operation;
use crate::task::state::State;

const BY_THE_USER: Option<&str> = Some("Aborted by the user");

/// Stops the task, which must be possible, and checks what is answered and stored.
async fn stops(world: &World, id: &TaskId, millis: u64) {
    let task = world.stop(id).await.expect("stops");
    assert_eq!((task.state, task.error.as_deref(), task.completed), (State::Aborted, BY_THE_USER, Some(at(millis))));
    assert_eq!(world.store.record(id).as_ref(), Some(&*task), "its end is stored when the stop answers");
    world.settle().await;
    assert_eq!(world.get(id).await, task);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_task_never_starts() {
    let world = World::new();
    let lane = world.load(route(), [Act::complete(100)]);
    let (first, second) = (world.submit(&lane).await, world.submit(&lane).await);
    let third = world.submit(&lane).await;
    world.pass(30).await;
    stops(&world, &second, 30).await;
    assert_eq!(world.get(&second).await.attempt, 0);
    world.ended(&third).await;
    let ran: Vec<_> = lane.guests.calls().into_iter().map(|call| call.task).collect();
    assert_eq!(ran, [first, third]);
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_being_claimed_is_stopped_before_it_does_anything() {
    for answered in [false, true] {
        let world = World::new();
        let lane = world.load(route(), [Act::hang()]);
        let store = &world.store;
        let hold = if answered { store.hold_answers(Operation::Claim) } else { store.hold(Operation::Claim) };
        let id = world.submit(&lane).await;
        assert_eq!(world.state(&id).await, State::NotStarted);
        let (runner, same) = (world.runner.clone(), id.clone());
        let stopping =
            beside(async move { tokio::time::timeout(EVER, runner.stop(&same)).await.expect("is answered") });
        world.pass(40).await;
        assert!(!stopping.is_finished(), "its end cannot be stored yet");
        drop(hold);
        let task = stopping.await.expect("no panic").expect("stops");
        assert_eq!((task.state, task.completed), (State::Aborted, Some(at(40))));
        world.settle().await;
        world.is_idle();
    }
}

#[tokio::test(start_paused = true)]
async fn a_running_task_is_gone_when_the_stop_answers() {
    let world = World::new();
    let lane = world.load(route(), [Act::hang().deaf(25).says(30.0)]);
    let id = world.submit(&lane).await;
    world.pass(10).await;
    stops(&world, &id, 35).await;
    assert_eq!(lane.guests.calls()[0].ended, Some(35));
    assert_eq!(world.get(&id).await.progress, Some(30.0));
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn a_pausing_task_is_stopped_at_once() {
    let world = World::new();
    let lane = world.load(Route { retry: retry(9, 1_000), ..route() }, [Act::fail(10)]);
    let id = world.submit(&lane).await;
    world.pass(50).await;
    stops(&world, &id, 50).await;
    assert_eq!(world.get(&id).await.due, None);
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn a_stop_while_a_further_attempt_is_being_recorded_counts() {
    let world = World::new();
    let lane = world.load(Route { retry: retry(9, 0), ..route() }, [Act::fail(10)]);
    world.store.fail_next(Operation::Postpone, 2);
    let id = world.submit(&lane).await;
    world.pass(10).await;
    stops(&world, &id, 160).await;
    assert_eq!(lane.guests.calls().len(), 1);
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn a_task_whose_end_is_being_recorded_ends_as_it_did() {
    let world = World::new();
    let lane = world.load(route(), [Act::complete(10)]);
    world.store.fail_next(Operation::Finish, 3);
    let id = world.submit(&lane).await;
    world.pass(15).await;
    assert_eq!(world.state(&id).await, State::Running);
    assert!(matches!(world.stop(&id).await, Err(StopError::Ended(State::Completed))));
    assert_eq!(world.get(&id).await.completed, Some(at(10)));
    world.settle().await;
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn two_stops_are_both_answered_with_the_one_end() {
    let world = World::new();
    let lane = world.load(route(), [Act::hang().deaf(5)]);
    let id = world.submit(&lane).await;
    let (one, other) = futures_util::join!(world.stop(&id), world.stop(&id));
    assert_eq!(one.expect("stops"), other.expect("stops"));
    assert!(matches!(world.stop(&id).await, Err(StopError::Ended(State::Aborted))));
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_comes_with_the_end_has_one_winner() {
    for (stop_after, stopped) in [(9, true), (10, false), (11, false)] {
        let world = World::new();
        let lane = world.load(route(), [Act::complete(10)]);
        let id = world.submit(&lane).await;
        tokio::time::sleep(ms(stop_after)).await;
        let answer = world.stop(&id).await;
        let state = world.store.record(&id).expect("is there").state;
        match answer {
            Ok(task) => assert!(stopped && task.state == State::Aborted && state == State::Aborted),
            Err(StopError::Ended(ended)) => assert!(!stopped && ended == State::Completed && state == ended),
            Err(other) => panic!("{other}"),
        }
        world.settle().await;
        world.is_idle();
    }
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_answers_after_the_cancel_has_answered() {
    let world = World::new();
    let lane = world.load(route(), [Act::complete(20).deaf(50)]);
    let id = world.submit(&lane).await;
    world.pass(10).await;
    assert!(matches!(world.stop(&id).await, Err(StopError::Ended(State::Completed))));
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn a_failure_after_the_cancel_is_not_tried_again() {
    let world = World::new();
    let lane = world.load(Route { retry: retry(9, 10), ..route() }, [Act::fail(20).deaf(50)]);
    let id = world.submit(&lane).await;
    world.pass(10).await;
    stops(&world, &id, 20).await;
    assert_eq!(lane.guests.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_stopped_says_why() {
    let world = World::new();
    let lane = world.load(Route { cancellable: false, ..route() }, [Act::complete(10)]);
    let id = world.submit(&lane).await;
    assert!(matches!(world.stop(&id).await, Err(StopError::NotCancellable)));
    assert_eq!(world.ended(&id).await.state, State::Completed);
    assert!(matches!(world.stop(&id).await, Err(StopError::Ended(State::Completed))));
    let unknown = IdScheme::Uuid.generate();
    assert!(matches!(world.stop(&unknown).await, Err(StopError::Unknown(id)) if id == unknown));
    world.store.fail_next(Operation::Get, 1);
    assert!(matches!(world.stop(&id).await, Err(StopError::Store(_))));
}

#[tokio::test(start_paused = true)]
async fn the_record_says_whether_a_task_may_be_stopped() {
    let world = World::new();
    let lane = world.load(Route { cancellable: true, ..route() }, [Act::hang()]);
    world.submit(&lane).await;
    let id = world.submit(&lane).await;
    world.runner.drain(tokio::time::sleep(ms(0))).await;
    // The route is configured anew before the next start; what the client was told still holds.
    let next = World::after(&world);
    next.load(Route { cancellable: false, ..route() }, [Act::hang()]);
    next.recover().await;
    assert!(next.get(&id).await.cancellable);
    stops(&next, &id, 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_answered_though_the_host_goes_down_and_leaves_the_task() {
    let world = World::new();
    let lane = world.load(Route { retry: rerun(), ..route() }, [Act::hang().deaf(10)]);
    let id = world.submit(&lane).await;
    let runner = world.runner.clone();
    let draining = beside(async move { runner.drain(tokio::time::sleep(ms(5))).await });
    world.pass(7).await;
    assert!(matches!(world.stop(&id).await, Err(StopError::Left)));
    draining.await.expect("no panic");
    assert_eq!(world.state(&id).await, State::Running);
    assert!(matches!(world.stop(&id).await, Err(StopError::Left)), "it has not ended");
    world.is_idle();
}
