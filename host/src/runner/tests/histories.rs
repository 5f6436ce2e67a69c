//! Owns the random histories: submits, stops, time and a failing store in any order, then a drain and a next start.
//! Must not know what a single step does: only what must hold whatever happens.

use super::beside;
use super::scripted::Act;
use super::world::{EVER, Lane, World, ms, pool, rerun, retry, route};
use crate::ids::TaskId;
use crate::route::{OnLostHost, Retry, Route};
use crate::runner::{Runner, StopError, SubmitError};
use crate::store::double::{Hold, Operation};
use crate::task::state::State;
use proptest::prelude::*;
use std::collections::BTreeSet;
use tokio::task::JoinHandle;

const ROUTES: usize = 3;
const FAILING: [Operation; 5] =
    [Operation::Insert, Operation::Claim, Operation::Finish, Operation::Postpone, Operation::Get];

#[derive(Debug, Clone)]
enum Step {
    Submit { route: usize },
    Stop { which: prop::sample::Index },
    Pass { millis: u64 },
    Fail { operation: Operation, calls: u32 },
    Hold { operation: Operation, answers: bool },
    Release,
}

#[derive(Debug, Clone)]
struct History {
    scripts: Vec<Vec<Act>>,
    steps: Vec<Step>,
    grace: u64,
}

fn any_act() -> impl Strategy<Value = Act> {
    let act = prop_oneof![
        4 => (0..60_u64).prop_map(Act::complete),
        2 => (0..60_u64).prop_map(Act::fail),
        1 => (0..60_u64).prop_map(Act::fault),
        1 => Just(Act::hang()),
    ];
    (act, prop_oneof![3 => Just(0), 1 => 1..30_u64], any::<bool>())
        .prop_map(|(act, deaf, says)| if says { act.deaf(deaf).says(50.0) } else { act.deaf(deaf) })
}

fn any_step() -> impl Strategy<Value = Step> {
    let operation = || prop::sample::select(&FAILING[..]);
    prop_oneof![
        6 => (0..ROUTES).prop_map(|route| Step::Submit { route }),
        3 => any::<prop::sample::Index>().prop_map(|which| Step::Stop { which }),
        4 => (0..60_u64).prop_map(|millis| Step::Pass { millis }),
        1 => (operation(), 1..5_u32).prop_map(|(operation, calls)| Step::Fail { operation, calls }),
        1 => (operation(), any::<bool>()).prop_map(|(operation, answers)| Step::Hold { operation, answers }),
        1 => Just(Step::Release),
    ]
}

fn any_history() -> impl Strategy<Value = History> {
    let scripts = prop::collection::vec(prop::collection::vec(any_act(), 0..12), ROUTES);
    (scripts, prop::collection::vec(any_step(), 1..40), 0..80_u64).prop_map(|(scripts, steps, grace)| History {
        scripts,
        steps,
        grace,
    })
}

fn routes() -> [Route; ROUTES] {
    let again = Retry { on_lost_host: OnLostHost::Rerun, ..retry(2, 30) };
    [
        Route { name: "a".into(), pool: pool(1, 2), timeout: Some(ms(150)), retry: retry(3, 20), ..route() },
        Route { name: "b".into(), pool: pool(2, 3), run_timeout: Some(ms(100)), retry: again, ..route() },
        Route { name: "c".into(), pool: pool(3, 1), cancellable: false, retry: rerun(), ..route() },
    ]
}

/// One run of a history on a first host.
struct Run {
    world: World,
    lanes: Vec<Lane>,
    submits: Vec<JoinHandle<Result<TaskId, SubmitError>>>,
    stops: Vec<JoinHandle<()>>,
    holds: Vec<Hold>,
}

/// A stop, and what its answer must agree with.
async fn stop(runner: Runner, id: TaskId) {
    let answer = tokio::time::timeout(EVER, runner.stop(&id)).await.expect("a stop is answered");
    match answer {
        Ok(task) => assert_eq!(task.state, State::Aborted),
        Err(StopError::Ended(state)) => assert!(state.is_final(), "ended as {state}"),
        Err(StopError::Left) => assert!(runner.is_draining()),
        Err(StopError::NotCancellable | StopError::Store(_)) => {}
        Err(StopError::Unknown(id)) => panic!("{id} is unknown"),
    }
}

impl Run {
    fn new(scripts: Vec<Vec<Act>>) -> Self {
        let world = World::new();
        let lanes = routes().into_iter().zip(scripts).map(|(route, script)| world.load(route, script)).collect();
        Self { world, lanes, submits: Vec::new(), stops: Vec::new(), holds: Vec::new() }
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Submit { route } => {
                let (runner, loaded) = (self.world.runner.clone(), self.lanes[route].loaded.clone());
                let submit =
                    async move { Ok(runner.submit(&loaded, super::world::invocation(), None).await?.id.clone()) };
                self.submits.push(beside(submit));
            }
            Step::Stop { which } => {
                let stored = self.world.store.records();
                if !stored.is_empty() {
                    let id = which.get(&stored).id.clone();
                    // A task is known to its caller only once it is on the board.
                    if self.world.runner.0.board.find(&id).is_some() {
                        self.stops.push(beside(stop(self.world.runner.clone(), id)));
                    }
                }
            }
            Step::Pass { millis } => self.world.pass(millis).await,
            Step::Fail { operation, calls } => self.world.store.fail_next(operation, calls),
            Step::Hold { operation, answers: true } => self.holds.push(self.world.store.hold_answers(operation)),
            Step::Hold { operation, answers: false } => self.holds.push(self.world.store.hold(operation)),
            Step::Release => self.holds.clear(),
        }
        self.world.check();
    }

    /// Drains, and answers the ids that were given to callers.
    async fn down(self, grace: u64) -> (World, BTreeSet<TaskId>) {
        let Self { world, submits, mut stops, holds, .. } = self;
        let runner = world.runner.clone();
        let draining = beside(async move { runner.drain(tokio::time::sleep(ms(grace))).await });
        world.pass(5).await;
        drop(holds);
        world.pass(grace + 1).await;
        for live in world.runner.0.board.all() {
            stops.push(beside(stop(world.runner.clone(), live.task().id.clone())));
        }
        draining.await.expect("drains");
        world.is_idle();
        for stop in stops {
            stop.await.expect("a stop keeps its promise");
        }
        let mut given = BTreeSet::new();
        for submit in submits {
            match submit.await.expect("no panic") {
                Ok(id) => assert!(given.insert(id), "an id was given twice"),
                Err(SubmitError::QueueFull { .. } | SubmitError::Store(_)) => {}
                Err(other) => panic!("{other}"),
            }
        }
        (world, given)
    }
}

async fn keeps_every_promise(history: History) {
    let mut run = Run::new(history.scripts);
    for step in history.steps {
        run.step(step).await;
    }
    let (world, given) = run.down(history.grace).await;
    let stored = world.store.records();
    let known: BTreeSet<TaskId> = stored.iter().map(|task| task.id.clone()).collect();
    assert_eq!(given, known, "what was answered is what is stored");
    for task in &stored {
        let left_as_it_should = match task.state {
            State::NotStarted => true,
            State::Running => task.due.is_some() || &*task.name != "a",
            _ => true,
        };
        assert!(left_as_it_should, "{task:?}");
    }
    for operation in FAILING {
        world.store.fail_next(operation, 0);
    }
    let next = World::after(&world);
    for route in routes() {
        next.load(route, []);
    }
    let open = stored.iter().filter(|task| !task.state.is_final()).count();
    assert_eq!(next.recover().await.queued, open);
    for task in &stored {
        assert!(next.ended(&task.id).await.state.is_final());
    }
    next.is_idle();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_keeps_every_promise(history in any_history()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(keeps_every_promise(history));
    }
}
