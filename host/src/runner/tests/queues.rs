//! Owns the tests of slots and queues: who is next, who is refused, what routes share.
//! Must not repeat the unit tests of a lane.

use super::scripted::Act;
use super::world::{World, pool, route};
use crate::route::Route;
use crate::runner::SubmitError;
use crate::task::state::State;

#[tokio::test(start_paused = true)]
async fn tasks_start_in_the_order_of_their_submission() {
    let world = World::new();
    let lane = world.load(Route { pool: pool(2, 10), ..route() }, [30, 10, 30, 10, 10, 10].map(Act::complete));
    let mut submitted = Vec::new();
    for _ in 0..6 {
        submitted.push(world.submit(&lane).await);
    }
    for id in &submitted {
        assert_eq!(world.ended(id).await.state, State::Completed);
    }
    let calls = lane.guests.calls();
    assert_eq!(calls.iter().map(|call| call.task.clone()).collect::<Vec<_>>(), submitted);
    assert_eq!(lane.guests.began(), [0, 0, 10, 30, 40, 40]);
    // The lowest free slot is taken.
    let slots: Vec<_> = calls.iter().map(|call| call.slot.as_str()).collect();
    let [zero, one] = ["host-1/r/0", "host-1/r/1"];
    assert_eq!((&slots[..3], slots[3]), (&[zero, one, one][..], zero));
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn as_many_run_as_the_pool_has_slots() {
    let world = World::new();
    let lane = world.load(Route { pool: pool(3, 10), ..route() }, (0..9).map(|_| Act::complete(10)));
    for _ in 0..9 {
        world.submit(&lane).await;
    }
    for running in [3, 3, 3, 0] {
        assert_eq!(lane.guests.running(), running);
        world.pass(10).await;
    }
    assert_eq!(lane.guests.began(), [0, 0, 0, 10, 10, 10, 20, 20, 20]);
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn one_more_than_slots_and_queue_is_refused_and_nothing_of_it_is_left() {
    let world = World::new();
    let lane = world.load(Route { pool: pool(2, 1), ..route() }, [10, 20, 30, 5].map(Act::complete));
    for _ in 0..3 {
        world.submit(&lane).await;
    }
    for _ in 0..2 {
        let refused = world.try_submit(&lane).await;
        assert!(matches!(refused, Err(SubmitError::QueueFull { running: 2, queue: 1 })), "{refused:?}");
    }
    assert_eq!(world.store.records().len(), 3);
    world.pass(10).await;
    let id = world.submit(&lane).await;
    assert!(world.try_submit(&lane).await.is_err());
    world.ended(&id).await;
    world.pass(20).await;
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn routes_do_not_wait_for_each_other() {
    let world = World::new();
    let busy = world.load(Route { pool: pool(1, 0), ..route() }, [Act::hang()]);
    let other = world.load(Route { name: "other".into(), pool: pool(1, 0), ..route() }, [Act::complete(10)]);
    world.submit(&busy).await;
    assert!(world.try_submit(&busy).await.is_err());
    let id = world.submit(&other).await;
    assert_eq!(world.ended(&id).await.slot.as_deref(), Some("host-1/other/0"));
}

#[tokio::test(start_paused = true)]
async fn a_wait_answers_the_end_or_the_task_as_it_stands() {
    let world = World::new();
    let lane = world.load(route(), [Act::complete(100)]);
    let id = world.submit(&lane).await;
    let wait =
        async |millis| world.runner.wait(&id, super::world::ms(millis)).await.expect("reads").expect("is there").state;
    assert_eq!((wait(40).await, world.millis()), (State::Running, 40));
    assert_eq!((wait(500).await, world.millis()), (State::Completed, 100));
    assert_eq!((wait(500).await, world.millis()), (State::Completed, 100));
}
