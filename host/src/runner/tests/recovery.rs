//! Owns the tests of a start over what a former process left.
//! Must not know how a process dies: the store is as it left it.

use super::scripted::Act;
use super::world::{START, World, at, invocation, ms, pool, rerun, retry, route};
use crate::ids::{IdScheme, TaskId};
use crate::route::{OnLostHost, Retry, Route};
use crate::runner::Recovered;
use crate::store::double::Operation;
use crate::task::Task;
use crate::task::state::State;

/// A task of route `r` that waits.
fn queued(world: &World) -> Task {
    let task = Task::new(IdScheme::Uuid.generate(), "r".into(), START, invocation());
    world.store.left_behind(task.clone());
    task
}

/// A task of route `r` in the middle of this attempt, after a change.
fn running(world: &World, attempt: u32, change: impl FnOnce(&mut Task)) -> TaskId {
    let mut task = queued(world);
    for _ in 0..attempt {
        task.start(START, "former/r/0".into()).expect("starts");
    }
    change(&mut task);
    world.store.left_behind(task.clone());
    task.id
}

#[tokio::test(start_paused = true)]
async fn queued_tasks_run_in_their_order() {
    let world = World::new();
    let tasks: Vec<TaskId> = (0..4).map(|_| queued(&world).id).collect();
    // More than the queue takes: who was let in once stays in.
    let lane = world.load(Route { pool: pool(1, 1), ..route() }, [10, 10, 10, 10].map(Act::complete));
    assert_eq!(world.recover().await, Recovered { queued: 4, failed: 0, ..Recovered::default() });
    assert!(world.try_submit(&lane).await.is_err(), "the queue is full");
    for id in &tasks {
        assert_eq!(world.ended(id).await.state, State::Completed);
    }
    assert_eq!(lane.guests.calls().into_iter().map(|call| call.task).collect::<Vec<_>>(), tasks);
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn what_was_running_fails_unless_it_may_run_again() {
    let world = World::new();
    let id = running(&world, 1, |task| task.progress = Some(40.0));
    let lane = world.load(Route { retry: retry(5, 10), ..route() }, []);
    world.pass(20).await;
    assert_eq!(world.recover().await, Recovered { queued: 0, failed: 1, ..Recovered::default() });
    let task = world.get(&id).await;
    let why = Some("Host lost: the host stopped while the task was running");
    assert_eq!((task.state, task.error.as_deref(), task.completed), (State::Failed, why, Some(at(20))));
    assert_eq!((task.progress, lane.guests.calls().len()), (Some(40.0), 0));
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn what_may_run_again_does_as_a_further_attempt() {
    let world = World::new();
    let id = running(&world, 1, |_| {});
    let lane = world.load(Route { retry: rerun(), ..route() }, [Act::complete(10)]);
    world.pass(20).await;
    assert_eq!(world.recover().await, Recovered { queued: 1, failed: 0, ..Recovered::default() });
    let task = world.ended(&id).await;
    assert_eq!((task.state, task.attempt, task.started), (State::Completed, 2, Some(START)));
    assert_eq!(lane.guests.began(), [20]);
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn a_task_that_kills_its_host_is_given_up_after_ten_reruns() {
    let world = World::new();
    let twice = Retry { attempts: 2, ..rerun() };
    let (last, one_too_many) = (running(&world, 11, |_| {}), running(&world, 12, |_| {}));
    world.load(Route { retry: twice, ..route() }, [Act::complete(10)]);
    assert_eq!(world.recover().await, Recovered { queued: 1, failed: 1, ..Recovered::default() });
    assert_eq!(world.state(&one_too_many).await, State::Failed);
    assert_eq!(world.ended(&last).await.attempt, 12);
}

#[tokio::test(start_paused = true)]
async fn a_pause_goes_on_where_it_was() {
    for on_lost_host in [OnLostHost::Fail, OnLostHost::Rerun] {
        let world = World::new();
        let future = running(&world, 1, |task| task.due = Some(at(150)));
        let past = running(&world, 1, |task| task.due = Some(at(5)));
        let retry = Retry { on_lost_host, ..retry(2, 100) };
        let lane = world.load(Route { retry, ..route() }, [Act::complete(10), Act::complete(10)]);
        world.pass(20).await;
        assert_eq!(world.recover().await, Recovered { queued: 2, failed: 0, ..Recovered::default() });
        assert_eq!(world.ended(&past).await.completed, Some(at(30)));
        assert_eq!(world.get(&future).await.due, Some(at(150)));
        let task = world.ended(&future).await;
        assert_eq!((task.completed, task.attempt), (Some(at(160)), 2));
        assert_eq!(lane.guests.began(), [20, 150]);
        world.is_idle();
    }
}

#[tokio::test(start_paused = true)]
async fn what_expired_meanwhile_ends_without_running() {
    let world = World::new();
    let waited = running(&world, 0, |task| task.expires = Some(at(10)));
    let ran = running(&world, 1, |task| task.expires = Some(at(10)));
    let paused = running(&world, 1, |task| {
        task.expires = Some(at(10));
        task.due = Some(at(5_000));
    });
    let lane = world.load(Route { retry: rerun(), ..route() }, []);
    world.pass(20).await;
    assert_eq!(world.recover().await, Recovered { queued: 3, failed: 0, ..Recovered::default() });
    for id in [waited, ran, paused] {
        let task = world.ended(&id).await;
        let end = (task.state, task.error.as_deref(), task.completed);
        assert_eq!(end, (State::Aborted, Some("Timeout"), Some(at(20))));
    }
    assert_eq!((lane.guests.calls().len(), world.millis()), (0, 20));
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn a_run_timeout_counts_over_hosts() {
    let world = World::new();
    let (first, second) = (running(&world, 1, |_| {}), running(&world, 1, |_| {}));
    let limits = Route { retry: rerun(), run_timeout: Some(ms(100)), ..route() };
    let lane = world.load(limits, [Act::hang()]);
    world.pass(60).await;
    world.recover().await;
    for id in [first, second] {
        let task = world.ended(&id).await;
        assert_eq!((task.error.as_deref(), task.completed), (Some("Run timeout"), Some(at(100))));
    }
    assert_eq!(lane.guests.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn tasks_of_a_route_that_is_gone_wait_for_it_and_lost_ones_fail() {
    let world = World::new();
    let waiting = queued(&world).id;
    let paused = running(&world, 1, |task| task.due = Some(at(50)));
    let lost = running(&world, 1, |_| {});
    world.load(Route { name: "another".into(), ..route() }, []);
    let orphans = [("r".to_owned(), 2)].into();
    assert_eq!(world.recover().await, Recovered { queued: 0, failed: 1, orphans });
    let why = Some("Route gone: the task's route is no longer configured");
    let task = world.get(&lost).await;
    assert_eq!((task.state, task.error.as_deref()), (State::Failed, why));
    for (id, state) in [(&waiting, State::NotStarted), (&paused, State::Running)] {
        assert_eq!(world.get(id).await.state, state);
        let stopped = world.runner.stop(id).await.expect("nobody drives it");
        assert_eq!((stopped.state, world.get(id).await.state), (State::Aborted, State::Aborted));
    }
    world.is_idle();
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_fails_the_start() {
    let world = World::new();
    running(&world, 1, |_| {});
    world.store.fail_next(Operation::OpenTasks, 1);
    assert!(world.runner.recover(|_| None).await.is_err());
    world.store.fail_next(Operation::Finish, 1);
    assert!(world.runner.recover(|_| None).await.is_err());
    assert_eq!(world.recover().await, Recovered { queued: 0, failed: 1, ..Recovered::default() });
}

#[tokio::test(start_paused = true)]
async fn everything_that_a_drained_host_left_goes_on() {
    let world = World::new();
    let again = Retry { attempts: 2, backoff: ms(100), on_lost_host: OnLostHost::Rerun };
    let route = Route { pool: pool(2, 9), retry: again, ..route() };
    let lane = world.load(route.clone(), [Act::fail(10), Act::hang(), Act::hang()]);
    let (pausing, cut_off) = (world.submit(&lane).await, world.submit(&lane).await);
    world.pass(20).await;
    let also_cut_off = world.submit(&lane).await;
    let waiting = world.submit(&lane).await;
    assert_eq!(world.runner.drain(tokio::time::sleep(ms(10))).await, 2);
    world.is_idle();

    let next = World::after(&world);
    let lane = next.load(route, [10, 10, 10, 10].map(Act::complete));
    assert_eq!(next.recover().await, Recovered { queued: 4, failed: 0, ..Recovered::default() });
    for (id, attempt) in [(&pausing, 2), (&cut_off, 2), (&also_cut_off, 2), (&waiting, 1)] {
        let task = next.ended(id).await;
        assert_eq!((task.state, task.attempt), (State::Completed, attempt));
    }
    assert_eq!(lane.guests.began(), [30, 30, 40, 110]);
    next.is_idle();
}
