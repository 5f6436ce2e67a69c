//! Owns an executor that does what a test's script says, and notes what it was asked to do.
//! Must not know the runner: it sees calls and the store's records, nothing else.

use crate::executor::{Call, Executor};
use crate::ids::TaskId;
use crate::store::double::Double;
use crate::task::ending::{Fault, Outcome};
use crate::task::log::Level;
use crate::task::progress::Step;
use crate::task::state::State;
use crate::value::Json;
use futures_util::future::BoxFuture;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// What one call does.
#[derive(Debug, Clone)]
pub struct Act {
    lasts: Option<Duration>,
    outcome: Outcome,
    deaf: Duration,
    says: Option<f64>,
}

impl Act {
    fn new(lasts: Option<u64>, outcome: Outcome) -> Self {
        Self { lasts: lasts.map(Duration::from_millis), outcome, deaf: Duration::ZERO, says: None }
    }

    pub fn complete(after: u64) -> Self {
        Self::new(Some(after), Outcome::Completed(Json::null()))
    }

    pub fn fail(after: u64) -> Self {
        let outcome = Outcome::Failed { message: "failed as scripted".into(), detail: None };
        Self::new(Some(after), outcome)
    }

    pub fn fault(after: u64) -> Self {
        Self::new(Some(after), Outcome::Fault(Fault::StackOverflow))
    }

    /// Runs until it is cancelled.
    pub fn hang() -> Self {
        Self::new(None, Outcome::Completed(Json::null()))
    }

    /// Goes on for so long after a cancel.
    pub fn deaf(self, millis: u64) -> Self {
        Self { deaf: Duration::from_millis(millis), ..self }
    }

    /// Reports this progress, and logs a line about it.
    pub fn says(self, percent: f64) -> Self {
        Self { says: Some(percent), ..self }
    }
}

/// What the executor was asked to do, in milliseconds since the test's start.
#[derive(Debug, Clone, PartialEq)]
pub struct Called {
    pub task: TaskId,
    pub attempt: u32,
    pub slot: String,
    pub began: u128,
    pub ended: Option<u128>,
}

/// Runs a script: each call takes the next act, and completes at once when there is none.
pub struct Scripted {
    max: usize,
    store: Arc<Double>,
    start: Instant,
    notes: Mutex<Notes>,
}

#[derive(Default)]
struct Notes {
    script: VecDeque<Act>,
    calls: Vec<Called>,
    faults: Vec<String>,
}

impl Scripted {
    pub fn new(start: Instant, max: u32, store: Arc<Double>, script: impl IntoIterator<Item = Act>) -> Arc<Self> {
        let notes = Mutex::new(Notes { script: script.into_iter().collect(), ..Notes::default() });
        Arc::new(Self { max: max as usize, store, start, notes })
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn calls(&self) -> Vec<Called> {
        self.notes().calls.clone()
    }

    /// When calls began, in order.
    pub fn began(&self) -> Vec<u128> {
        self.notes().calls.iter().map(|call| call.began).collect()
    }

    pub fn running(&self) -> usize {
        self.notes().calls.iter().filter(|call| call.ended.is_none()).count()
    }

    /// More at once than the pool allows, and attempts that the store does not know of.
    pub fn faults(&self) -> Vec<String> {
        self.notes().faults.clone()
    }

    fn millis(&self) -> u128 {
        self.start.elapsed().as_millis()
    }

    /// Notes a call; answers its number and its act.
    fn begin(&self, call: &Call) -> (usize, Act) {
        let record = self.store.record(&call.task);
        let running = self.running();
        let mut notes = self.notes();
        if running >= self.max {
            notes.faults.push(format!("{running} run already when {} starts", call.task));
        }
        let stored = record.as_ref().map(|task| (task.state, task.attempt));
        if stored != Some((State::Running, call.attempt)) {
            notes.faults.push(format!("attempt {} of {} runs, and the store says {stored:?}", call.attempt, call.task));
        }
        let slot = record.and_then(|task| task.slot).map(|slot| slot.to_string()).unwrap_or_default();
        let (task, attempt, began) = (call.task.clone(), call.attempt, self.millis());
        notes.calls.push(Called { task, attempt, slot, began, ended: None });
        let act = notes.script.pop_front().unwrap_or_else(|| Act::complete(0));
        (notes.calls.len() - 1, act)
    }
}

/// The scripted executor of one route.
pub struct Guests(pub Arc<Scripted>);

impl Executor for Guests {
    fn run(&self, call: Call) -> BoxFuture<'static, Outcome> {
        let scripted = Arc::clone(&self.0);
        Box::pin(async move {
            let (number, act) = scripted.begin(&call);
            if let Some(percent) = act.says {
                call.sink.progress(Step::Set(percent));
                call.sink.log(Level::Info, format!("attempt {} is at {percent}", call.attempt), Vec::new());
            }
            let regular = async {
                match act.lasts {
                    Some(lasts) => tokio::time::sleep(lasts).await,
                    None => std::future::pending().await,
                }
            };
            let cancelled = async {
                let reason = call.cancel.fired().await;
                if !act.deaf.is_zero() {
                    tokio::time::sleep(act.deaf).await;
                }
                reason
            };
            let outcome = tokio::select! {
                biased;
                () = regular => act.outcome,
                reason = cancelled => Outcome::Stopped(reason),
            };
            let now = scripted.millis();
            if let Some(call) = scripted.notes().calls.get_mut(number) {
                call.ended = Some(now);
            }
            outcome
        })
    }
}
