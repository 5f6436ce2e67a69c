//! Owns the tests of how a task comes to be: ids, duplicates, and callers that go away.
//! Must not repeat the tests of queues.

use super::beside;
use super::scripted::Act;
use super::world::{Lane, World, at, invocation, ms, pool, route};
use crate::executor::IdGenerator;
use crate::ids::TaskId;
use crate::route::Route;
use crate::runner::{Ids, SubmitError};
use crate::store::double::Operation;
use crate::task::state::State;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// Makes the same id again and again, after this time, or fails.
struct Same(Duration, Result<&'static str, &'static str>);

impl IdGenerator for Same {
    fn generate(&self) -> BoxFuture<'static, Result<TaskId, String>> {
        let Self(after, answer) = *self;
        Box::pin(async move {
            if !after.is_zero() {
                tokio::time::sleep(after).await;
            }
            answer.map(|id| TaskId::parse(id).expect("an id")).map_err(str::to_owned)
        })
    }
}

fn with_ids(world: &World, after: u64, answer: Result<&'static str, &'static str>) -> Lane {
    let one_place = Route { pool: pool(1, 0), timeout: Some(ms(1_000)), ..route() };
    world.load_with(one_place, [Act::complete(5)], Ids::Guest(Arc::new(Same(ms(after), answer))))
}

#[tokio::test(start_paused = true)]
async fn an_id_that_is_taken_is_refused_and_its_place_is_free_again() {
    let world = World::new();
    let lane = with_ids(&world, 0, Ok("one"));
    let id = world.submit(&lane).await;
    let first = world.ended(&id).await;
    for _ in 0..3 {
        let refused = world.try_submit(&lane).await;
        assert!(matches!(&refused, Err(SubmitError::IdTaken(taken)) if *taken == id), "{refused:?}");
    }
    assert_eq!(world.get(&id).await, first);
    assert_eq!(lane.guests.calls().len(), 1);
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn an_id_of_a_live_task_does_not_touch_it() {
    let world = World::new();
    let ids = || Ids::Guest(Arc::new(Same(ms(0), Ok("one"))));
    let lane = world.load_with(route(), [Act::complete(50)], ids());
    let id = world.submit(&lane).await;
    assert!(matches!(world.try_submit(&lane).await, Err(SubmitError::IdTaken(_))));
    assert_eq!(world.state(&id).await, State::Running);
    assert_eq!(world.ended(&id).await.completed, Some(at(50)));
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn a_generator_that_fails_leaves_nothing() {
    let world = World::new();
    let lane = with_ids(&world, 0, Err("no more ids"));
    for _ in 0..3 {
        let refused = world.try_submit(&lane).await;
        assert!(matches!(&refused, Err(SubmitError::IdGenerator(why)) if why == "no more ids"), "{refused:?}");
    }
    assert_eq!(world.store.calls(Operation::Insert), 0);
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn a_place_is_held_while_the_id_is_made_and_time_counts_from_then() {
    let world = World::new();
    let lane = with_ids(&world, 30, Ok("one"));
    let (runner, loaded) = (world.runner.clone(), lane.loaded.clone());
    let first = beside(async move { runner.submit(&loaded, invocation(), None).await });
    world.settle().await;
    assert!(matches!(world.try_submit(&lane).await, Err(SubmitError::QueueFull { .. })));
    let task = first.await.expect("no panic").expect("is taken");
    assert_eq!((task.created, task.expires), (at(30), Some(at(1_030))));
}

/// Polls a submit so often, with time for everything else in between, and drops it. `true`: it had its answer.
async fn dropped_after(world: &World, lane: &Lane, polls: u32) -> bool {
    let mut submit = Box::pin(world.runner.submit(&lane.loaded, invocation(), None));
    for _ in 0..polls {
        let polled = poll_fn(|context| Poll::Ready(submit.as_mut().poll(context))).await;
        if polled.is_ready() {
            return true;
        }
        world.pass(10).await;
    }
    false
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_leaves_a_whole_task_or_none() {
    let mut left_tasks = Vec::new();
    for polls in 0.. {
        let world = World::new();
        let lane = with_ids(&world, 5, Ok("one"));
        let answered = dropped_after(&world, &lane, polls).await;
        world.pass(100).await;
        let left = world.store.records();
        left_tasks.push(left.len());
        assert!(left.iter().all(|task| task.state == State::Completed), "{left:?}");
        world.is_idle();
        if answered {
            break;
        }
    }
    // Never polled; waiting for the id; waiting for the store; answered.
    assert_eq!(left_tasks, [0, 0, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_while_the_store_works_leaves_a_whole_task_or_none() {
    for (fails, before) in [(false, true), (false, false), (true, true)] {
        let world = World::new();
        let lane = with_ids(&world, 0, Ok("one"));
        world.store.fail_next(Operation::Insert, u32::from(fails));
        let hold =
            if before { world.store.hold(Operation::Insert) } else { world.store.hold_answers(Operation::Insert) };
        let mut submit = Box::pin(world.runner.submit(&lane.loaded, invocation(), None));
        assert!((&mut submit).now_or_never().is_none());
        world.settle().await;
        drop(submit);
        world.settle().await;
        assert_eq!(lane.guests.calls().len(), 0, "what may not be stored does not run");
        drop(hold);
        world.pass(100).await;
        let states: Vec<_> = world.store.records().into_iter().map(|task| task.state).collect();
        assert_eq!(states, if fails { vec![] } else { vec![State::Completed] });
        world.is_idle();
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_is_seen_only_after_it_is_stored() {
    let world = World::new();
    let lane = with_ids(&world, 0, Ok("one"));
    let hold = world.store.hold(Operation::Insert);
    let (runner, loaded) = (world.runner.clone(), lane.loaded.clone());
    let submitting = beside(async move { runner.submit(&loaded, invocation(), None).await });
    world.pass(10).await;
    let id = TaskId::parse("one").expect("an id");
    assert_eq!(world.runner.get(&id).await.expect("reads"), None);
    assert!(!submitting.is_finished());
    drop(hold);
    submitting.await.expect("no panic").expect("is taken");
    assert!(world.runner.get(&id).await.expect("reads").is_some());
}
