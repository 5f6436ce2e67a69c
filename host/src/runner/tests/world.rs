//! Owns what a runner test stands on: a paused clock, a store double, routes with scripted guests, and the check of
//! what must hold at any moment.
//! Must not know what a single test is about.

use super::scripted::{Act, Guests, Scripted};
use crate::clock::{Clock, Timestamp};
use crate::ids::{IdScheme, TaskId};
use crate::route::{IdRule, OnLostHost, PoolSize, Retry, Route, Source, StateGrants};
use crate::runner::live::Live;
use crate::runner::{Ids, Inner, LoadedRoute, Options, Recovered, Runner, StopError, SubmitError};
use crate::store::double::Double;
use crate::task::state::State;
use crate::task::{Invocation, Request, Task};
use crate::tenant::Ledger;
use crate::value::Json;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tokio::time::Instant;

/// Longer than anything that a test waits for.
pub const EVER: Duration = Duration::from_secs(30 * 86_400);
/// When tests begin.
pub const START: Timestamp = Timestamp(1_720_142_400_000_000);

/// The time of the runtime, which stands still while anything can go on.
struct PausedClock(Instant);

impl Clock for PausedClock {
    fn now(&self) -> Timestamp {
        START.after(self.0.elapsed())
    }
}

/// A route and what its guests do.
#[derive(Clone)]
pub struct Lane {
    pub loaded: Arc<LoadedRoute>,
    pub guests: Arc<Scripted>,
}

/// One host.
pub struct World {
    pub runner: Runner,
    pub store: Arc<Double>,
    start: Instant,
    lanes: Mutex<Vec<Lane>>,
}

pub fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// So many milliseconds after the start.
pub fn at(millis: u64) -> Timestamp {
    START.after(ms(millis))
}

/// A route without limits that runs one task at a time and tries once.
pub fn route() -> Route {
    Route {
        name: "r".into(),
        tenant: None,
        method: "PUT".into(),
        path: "/r".into(),
        component: Source::File("r.wasm".into()),
        arguments: Json::null(),
        variables: Json::null(),
        state: StateGrants::default(),
        grants: Default::default(),
        timeout: None,
        run_timeout: None,
        cpu_limit: None,
        pool: pool(1, 10),
        memory: 1 << 20,
        cancellable: true,
        id: IdRule::Scheme(IdScheme::Uuid),
        sse: None,
        retry: retry(1, 0),
        logs: Default::default(),
        responses: Vec::new(),
        auth: None,
        access: Default::default(),
        permission: Default::default(),
        callback: None,
        summary: None,
        tags: Vec::new(),
    }
}

pub fn pool(max: u32, queue: u32) -> PoolSize {
    PoolSize { min: 0, max, queue }
}

pub fn retry(attempts: u32, backoff: u64) -> Retry {
    Retry { attempts, backoff: ms(backoff), on_lost_host: OnLostHost::Fail }
}

/// One attempt, again after a lost host.
pub fn rerun() -> Retry {
    Retry { on_lost_host: OnLostHost::Rerun, ..retry(1, 0) }
}

pub fn invocation() -> Arc<Invocation> {
    let request = Request {
        method: "PUT".into(),
        url: "http://localhost/r".into(),
        path_parameters: Vec::new(),
        query: Vec::new(),
        headers: Vec::new(),
    };
    Arc::new(Invocation {
        input: Json::null(),
        request,
        user: None,
        tenant: None,
        traceparent: None,
        sse: None,
        callback: None,
    })
}

impl World {
    pub fn new() -> Self {
        Self::over(Arc::default(), Instant::now(), 1000)
    }

    /// A host that runs so many tasks at once.
    pub fn with_slots(slots: u32) -> Self {
        Self::over(Arc::default(), Instant::now(), slots)
    }

    /// A further process over the same store. The former one is expected to be gone.
    pub fn after(former: &Self) -> Self {
        Self::over(Arc::clone(&former.store), former.start, 1000)
    }

    fn over(store: Arc<Double>, start: Instant, slots: u32) -> Self {
        let runner = Runner::new(Options {
            store: Arc::clone(&store) as _,
            clock: Arc::new(PausedClock(start)),
            node: "host-1".into(),
            retention: EVER,
            retention_failed: EVER,
            slots,
            ledger: Ledger::new(Arc::default()),
            metrics: Arc::default(),
        });
        let watched = Arc::downgrade(&runner.0);
        store.watch(Box::new(move |id, history| visible(&watched, id, history)));
        Self { runner, store, start, lanes: Mutex::default() }
    }

    pub fn load(&self, route: Route, script: impl IntoIterator<Item = Act>) -> Lane {
        self.load_with(route, script, Ids::Scheme(IdScheme::Uuid))
    }

    pub fn load_with(&self, route: Route, script: impl IntoIterator<Item = Act>, ids: Ids) -> Lane {
        let guests = Scripted::new(self.start, route.pool.max, Arc::clone(&self.store), script);
        let executor = Arc::new(Guests(Arc::clone(&guests)));
        let lane = Lane {
            loaded: Arc::new(LoadedRoute::ready(
                Arc::new(route),
                ids,
                crate::runner::Guests { executor, description: None, digest: "".into() },
            )),
            guests,
        };
        self.runner.open(&lane.loaded.route, false);
        self.lanes.lock().expect("no panic").push(lane.clone());
        lane
    }

    /// Brings in what the store holds, for the routes that are loaded.
    pub async fn recover(&self) -> Recovered {
        let lanes = self.lanes.lock().expect("no panic").clone();
        let find = |name: &str| lanes.iter().find(|lane| *lane.loaded.route.name == *name);
        let recovered = self.runner.recover(|name| find(name).map(|lane| Arc::clone(&lane.loaded))).await;
        self.check();
        recovered.expect("recovers")
    }

    pub async fn try_submit(&self, lane: &Lane) -> Result<TaskId, SubmitError> {
        let task = self.runner.submit(&lane.loaded, invocation(), None).await;
        self.check();
        task.map(|task| {
            assert_eq!(Some(&*task), self.store.history(&task.id).first(), "what is answered is stored");
            task.id.clone()
        })
    }

    pub async fn submit(&self, lane: &Lane) -> TaskId {
        let id = self.try_submit(lane).await.expect("is taken");
        self.settle().await;
        id
    }

    /// Lets everything happen that can happen without time passing.
    pub async fn settle(&self) {
        for _ in 0..20 {
            tokio::task::yield_now().await;
            self.check();
        }
    }

    /// Lets so much time pass, and everything happen that can.
    pub async fn pass(&self, millis: u64) {
        tokio::time::sleep(ms(millis)).await;
        self.settle().await;
    }

    /// The end of a task, which must come.
    pub async fn ended(&self, id: &TaskId) -> Arc<Task> {
        let task = self.runner.wait(id, EVER).await.expect("reads").expect("is there");
        assert!(task.state.is_final(), "it never ends: {task:?}");
        self.settle().await;
        assert_eq!(self.store.record(id).as_ref(), Some(&*task));
        task
    }

    /// A stop, which must be answered.
    pub async fn stop(&self, id: &TaskId) -> Result<Arc<Task>, StopError> {
        let answer = tokio::time::timeout(EVER, self.runner.stop(id)).await.expect("a stop is answered");
        self.check();
        answer
    }

    /// The task as clients see it.
    pub async fn get(&self, id: &TaskId) -> Arc<Task> {
        self.runner.get(id).await.expect("reads").expect("is there")
    }

    pub async fn state(&self, id: &TaskId) -> State {
        self.get(id).await.state
    }

    /// Milliseconds since the first host's start.
    pub fn millis(&self) -> u128 {
        self.start.elapsed().as_millis()
    }

    /// How many tasks a route would let in now; they are not let in.
    pub fn room(&self, lane: &Lane) -> usize {
        let admissions = self.runner.0.lanes.of(&lane.loaded.route);
        let taken: Vec<_> = std::iter::from_fn(|| admissions.admit(1).ok()).collect();
        taken.len()
    }

    /// Asserts what must hold at any moment.
    pub fn check(&self) {
        let mut faults = self.store.faults();
        for lane in self.lanes.lock().expect("no panic").iter() {
            faults.extend(lane.guests.faults());
        }
        for live in self.runner.0.board.all() {
            let history = self.store.history(&live.task().id);
            faults.extend(shown_is_stored(&live, &history).err());
        }
        let ends = self.store.writes().into_iter().filter(|write| write.record.state.is_final());
        let mut ended: Vec<TaskId> = ends.map(|write| write.record.id).collect();
        let all = ended.len();
        ended.sort();
        ended.dedup();
        assert_eq!(ended.len(), all, "a task ended twice");
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }

    /// Asserts that nothing is left of any task in this process.
    pub fn is_idle(&self) {
        self.check();
        assert_eq!(self.runner.0.board.all().len(), 0, "no task is live");
        for lane in self.lanes.lock().expect("no panic").iter() {
            let pool = lane.loaded.route.pool;
            assert_eq!(lane.guests.running(), 0, "no guest runs");
            assert_eq!(self.room(lane), (pool.max + pool.queue) as usize, "all places are free");
        }
    }
}

/// Store first, then publish: whatever a GET shows of a live task is a record that the store had.
fn visible(runner: &Weak<Inner>, id: &TaskId, history: &[Task]) -> Result<(), String> {
    let live = runner.upgrade().and_then(|inner| inner.board.find(id));
    live.map_or(Ok(()), |live| shown_is_stored(&live, history))
}

fn shown_is_stored(live: &Live, history: &[Task]) -> Result<(), String> {
    let mut shown = (*live.snapshot()).clone();
    shown.check()?;
    if !shown.state.is_final() {
        shown.progress = None;
    }
    // A note of progress is no write of the record, and may come between the record's writes.
    let same = |stored: &Task| match stored.state.is_final() {
        true => *stored == shown,
        false => Task { progress: None, ..stored.clone() } == shown,
    };
    if history.iter().any(same) {
        return Ok(());
    }
    Err(format!("shown before it was stored: {shown:?}\nthe store had {history:?}"))
}
