//! Owns the tests of further attempts: when they start, what is recorded of them, what they hold meanwhile.
//! Must not repeat the tests of what ends them.

use super::scripted::Act;
use super::world::{World, at, ms, pool, retry, route};
use crate::route::Route;
use crate::runner::SubmitError;
use crate::store::Store;
use crate::store::double::Operation;
use crate::task::state::State;

#[tokio::test(start_paused = true)]
async fn pauses_double_and_every_step_is_recorded() {
    let world = World::new();
    let lane = world.load(Route { retry: retry(4, 100), ..route() }, [10, 20, 30, 40].map(Act::fail));
    let id = world.submit(&lane).await;
    let task = world.ended(&id).await;
    assert_eq!((task.state, task.error.as_deref()), (State::Failed, Some("failed as scripted")));
    assert_eq!((task.attempt, task.started, task.completed), (4, Some(at(0)), Some(at(800))));
    assert_eq!(lane.guests.began(), [0, 110, 330, 760]);
    assert_eq!(lane.guests.calls().iter().map(|call| call.attempt).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let steps = world.store.writes().into_iter().map(|write| (write.operation, write.record.attempt, write.record.due));
    let expected = [
        (Operation::Insert, 0, None),
        (Operation::Claim, 1, None),
        (Operation::Postpone, 1, Some(at(110))),
        (Operation::Claim, 2, None),
        (Operation::Postpone, 2, Some(at(330))),
        (Operation::Claim, 3, None),
        (Operation::Postpone, 3, Some(at(760))),
        (Operation::Claim, 4, None),
        (Operation::Finish, 4, None),
    ];
    assert_eq!(steps.collect::<Vec<_>>(), expected);
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn a_success_ends_the_attempts() {
    let world = World::new();
    let lane = world.load(Route { retry: retry(9, 10), ..route() }, [Act::fail(5), Act::fault(5), Act::complete(5)]);
    let id = world.submit(&lane).await;
    let task = world.ended(&id).await;
    assert_eq!((task.state, task.attempt, task.completed), (State::Completed, 3, Some(at(45))));
    assert_eq!((task.progress, task.error.as_deref()), (Some(100.0), None));
    world.pass(10_000).await;
    assert_eq!(lane.guests.calls().len(), 3);
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn the_last_fault_is_the_error() {
    let world = World::new();
    let lane = world.load(Route { retry: retry(2, 10), ..route() }, [Act::fail(5), Act::fault(5)]);
    let id = world.submit(&lane).await;
    let task = world.ended(&id).await;
    assert_eq!(task.state, State::Failed);
    assert!(task.error.as_deref().is_some_and(|error| error.starts_with("Stack overflow")), "{task:?}");
}

#[tokio::test(start_paused = true)]
async fn no_slot_is_held_while_pausing() {
    let world = World::new();
    let lane = world.load(Route { retry: retry(2, 100), ..route() }, [Act::fail(10), Act::complete(500)]);
    let (first, second) = (world.submit(&lane).await, world.submit(&lane).await);
    world.pass(10).await;
    let pausing = world.get(&first).await;
    assert_eq!((pausing.state, pausing.due), (State::Running, Some(at(110))));
    assert_eq!(world.state(&second).await, State::Running);
    // Due while the slot is taken, the first queues up again.
    world.pass(400).await;
    assert_eq!(lane.guests.began(), [0, 10]);
    world.ended(&first).await;
    assert_eq!(lane.guests.began(), [0, 10, 510]);
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn a_further_attempt_stands_behind_those_who_wait() {
    let world = World::new();
    let script = [Act::fail(10), Act::complete(50), Act::complete(50), Act::complete(50)];
    let lane = world.load(Route { retry: retry(2, 20), ..route() }, script);
    let first = world.submit(&lane).await;
    world.submit(&lane).await;
    let third = world.submit(&lane).await;
    world.ended(&first).await;
    let order: Vec<_> = lane.guests.calls().into_iter().map(|call| call.task).collect();
    assert_eq!((&order[2], &order[3]), (&third, &first));
}

#[tokio::test(start_paused = true)]
async fn a_pausing_task_counts_as_one_of_the_route() {
    let world = World::new();
    let lane = world.load(Route { retry: retry(2, 100), pool: pool(1, 0), ..route() }, [Act::fail(10)]);
    let id = world.submit(&lane).await;
    world.pass(50).await;
    assert!(matches!(world.try_submit(&lane).await, Err(SubmitError::QueueFull { running: 1, queue: 0 })));
    world.ended(&id).await;
    world.submit(&lane).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_stopped_is_not_tried_again() {
    let world = World::new();
    let limits = Route { timeout: Some(ms(50)), retry: retry(9, 1), ..route() };
    let lane = world.load(limits, [Act::hang()]);
    let id = world.submit(&lane).await;
    assert_eq!(world.ended(&id).await.state, State::Aborted);
    world.pass(1_000).await;
    assert_eq!(lane.guests.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn progress_and_log_go_on_over_attempts() {
    let world = World::new();
    let script = [Act::fail(10).says(60.0), Act::fail(10).says(20.0)];
    let lane = world.load(Route { retry: retry(2, 100), ..route() }, script);
    let id = world.submit(&lane).await;
    assert_eq!(world.get(&id).await.progress, Some(60.0));
    world.pass(115).await;
    assert_eq!((world.get(&id).await.attempt, world.get(&id).await.progress), (2, Some(60.0)));
    assert_eq!(world.ended(&id).await.progress, Some(60.0));
    let log = world.store.log(&id).await.expect("reads").expect("is there");
    assert!(log.contains("attempt 1 is at 60") && log.contains("attempt 2 is at 20"), "{log}");
}
