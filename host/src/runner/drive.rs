//! Owns the course of one task from its place in the queue to its recorded end.
//! Must not know where the task came from: a request and a recovery look the same here.

use super::lane::{Admission, Slot, Waiter};
use super::live::Live;
use super::{GrantedVariables, Guests, LoadedRoute, Options, Runner, note_end};
use crate::clock::Timestamp;
use crate::executor::{Call, CpuTime, EventSink};
use crate::metrics::{Counted, RouteMetrics};
use crate::route::OnLostHost;
use crate::store::{Claim, StoreError};
use crate::task::ending::{Fault, Outcome, StopReason};
use crate::task::event::TaskEvent;
use crate::task::log::Level;
use crate::task::state::State;
use crate::task::{Ending, Task};
use crate::trace;
use crate::value::Json;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tracing::{Instrument, Span};

/// The first pause after a store failed; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// What is wrong stands in the host's log: it is for the operator.
const UNUSABLE: &str = "the route's component cannot be used";
/// How often a failing store is asked again once the host goes down.
pub(super) const TRIES_WHILE_DRAINING: u32 = 10;

/// How an attempt went on.
enum Next {
    /// The task is over, in this way.
    End(Outcome),
    /// Another attempt after this pause.
    Again(Duration),
    /// Another host has it, or it is left for the next start.
    Leave,
}

impl Runner {
    /// Drives a task to its end. The waiter is the task's place in the queue; a task that is due later has none yet.
    pub(super) async fn drive(
        &self,
        live: Arc<Live>,
        loaded: Arc<LoadedRoute>,
        admission: Admission,
        mut place: Option<Waiter>,
    ) {
        let metrics = admission.metrics();
        let mut counted = Counted::in_gauge(match live.task().state {
            State::NotStarted => &metrics.waiting,
            _ => &metrics.running,
        });
        let end = loop {
            let next = match self.slot(&live, &loaded, &admission, place.take()).await {
                Ok((slot, guests)) => self.attempt(&live, guests, slot, metrics, &mut counted).await,
                Err(next) => next,
            };
            match next {
                Next::Again(backoff) if self.postpone(&live, backoff).await => {}
                Next::End(outcome) => break Some(outcome),
                Next::Again(_) | Next::Leave => break None,
            }
        };
        match end {
            Some(outcome) => self.end(&live, outcome, metrics, counted).await,
            None => {
                self.leave_word(&live).await;
                self.0.board.remove(live.id());
            }
        }
    }

    /// Waits for the route's guests, until the task is due, and then for a slot; a stop, the timeout or the host's end
    /// come first.
    async fn slot<'a>(
        &self,
        live: &Live,
        loaded: &'a LoadedRoute,
        admission: &Admission,
        place: Option<Waiter>,
    ) -> Result<(Slot, &'a Guests), Next> {
        let task = live.task();
        let slot = async {
            let guests = guests(live, loaded, &task).await?;
            let place = match place {
                Some(place) => place,
                None => {
                    if task.due.is_some() {
                        self.until(task.due).await;
                    }
                    admission.enqueue()
                }
            };
            Ok((place.await, guests))
        };
        tokio::select! {
            biased;
            reason = live.cancel.fired() => match reason {
                // The grace may be over before this task has seen that the host goes down.
                StopReason::Shutdown => Err(Next::Leave),
                reason => Err(Next::End(Outcome::Stopped(reason))),
            },
            () = self.until(task.expires) => Err(Next::End(Outcome::Stopped(StopReason::Timeout))),
            () = self.until(run_deadline(live, &task)) => Err(Next::End(Outcome::Stopped(StopReason::RunTimeout))),
            () = self.0.draining.cancelled() => Err(Next::Leave),
            slot = slot => slot.map_err(Next::End),
        }
    }

    /// One attempt: recorded as started, run, its slot given back.
    async fn attempt(
        &self,
        live: &Arc<Live>,
        guests: &Guests,
        slot: Slot,
        metrics: &RouteMetrics,
        counted: &mut Counted,
    ) -> Next {
        let mut task = (*live.task()).clone();
        let attempts_before = task.attempt;
        let name: Arc<str> = format!("{}/{}/{}", self.0.options.node, task.name, slot.number()).into();
        let mut at = self.0.options.clock.now();
        let turn = live.turn.lock().await;
        let untold = live.untold();
        let claimed = self
            .insist(&task, || {
                // A start that the store could not take has not been one: `run_timeout` counts from the one it took.
                at = self.0.options.clock.now();
                let events = told_at_start(&task, at, &name, &untold);
                let claim = Claim { id: task.id.clone(), attempts_before, at, slot: Arc::clone(&name), events };
                self.0.options.store.claim(claim)
            })
            .await;
        let ours = match claimed {
            Some(true) => true,
            // A commit that failed may have been one all the same; asked again, it is held back by its own fence.
            Some(false) => self.holds(&task, &name).await,
            None => false,
        };
        if !ours || task.start(at, name).is_err() {
            return Next::Leave;
        }
        if attempts_before == 0 {
            *counted = Counted::in_gauge(&metrics.running);
            metrics.queue_wait.observe(at.remaining(task.created));
        }
        live.publish(task.clone());
        drop(turn);
        let (began, cpu) = (Instant::now(), Arc::default());
        let span = span_of(&task);
        let outcome = self.run(live, guests, &task, &cpu).instrument(span.clone()).await;
        metrics.run.observe(began.elapsed());
        note_cpu(&task, cpu.total(), metrics);
        // The instance is gone, so the next task may have its place while this one's end is written.
        drop(slot);
        let next = match outcome {
            Outcome::Stopped(StopReason::Shutdown) if live.route.retry.on_lost_host == OnLostHost::Rerun => Next::Leave,
            outcome => match live.route.retry.after(task.attempt) {
                Some(backoff) if outcome.is_retryable() => {
                    tracing::debug!(
                        target: "task",
                        task = %task.id,
                        route = %task.name,
                        attempt = task.attempt,
                        "the attempt failed: {outcome:?}"
                    );
                    Next::Again(backoff)
                }
                _ => Next::End(outcome),
            },
        };
        note_next(&span, &next);
        next
    }

    /// Whether the store has the task's next attempt in this slot of this host.
    async fn holds(&self, task: &Task, slot: &str) -> bool {
        let stored = self.0.options.store.get(&task.id).await.ok().flatten();
        stored.is_some_and(|stored| {
            stored.state == State::Running
                && stored.attempt == task.attempt + 1
                && stored.due.is_none()
                && stored.slot.as_deref() == Some(slot)
        })
    }

    async fn run(&self, live: &Arc<Live>, guests: &Guests, task: &Task, cpu: &Arc<CpuTime>) -> Outcome {
        let Options { store, ledger, .. } = &self.0.options;
        let most = ledger.account(live.route.tenant.as_deref()).quota().state;
        let variables = GrantedVariables::new(Arc::clone(store), &live.route, most);
        let mut running = guests.executor.run(Call {
            task: task.id.clone(),
            attempt: task.attempt,
            route: Arc::clone(&live.route),
            invocation: Arc::clone(&task.invocation),
            cancel: Arc::clone(&live.cancel),
            sink: Arc::clone(live) as _,
            variables: Arc::new(variables),
            cpu: Arc::clone(cpu),
        });
        let reason = tokio::select! {
            biased;
            outcome = &mut running => return outcome,
            () = self.until(task.expires) => StopReason::Timeout,
            () = self.until(run_deadline(live, task)) => StopReason::RunTimeout,
        };
        live.cancel.fire(reason);
        running.await
    }

    /// Stores what the task has said, for those who follow it after the next start.
    async fn leave_word(&self, live: &Live) {
        let _turn = live.turn.lock().await;
        if let Some(note) = live.last_note()
            && let Err(error) = self.0.options.store.note(vec![note]).await
        {
            tracing::error!(task = %live.id(), "what it said last could not be stored: {error}");
        }
    }

    /// Records that another attempt follows. `false`: the task is no longer ours.
    async fn postpone(&self, live: &Live, backoff: Duration) -> bool {
        let mut task = (*live.task()).clone();
        task.postpone(self.0.options.clock.now(), backoff);
        let due = task.due.unwrap_or(task.created);
        let noted = self.insist(&task, || self.0.options.store.postpone(&task.id, task.attempt, due)).await;
        if noted == Some(true) {
            live.publish(task);
        }
        noted == Some(true)
    }

    /// Records the end, then shows it.
    async fn end(&self, live: &Live, outcome: Outcome, metrics: &RouteMetrics, counted: Counted) {
        let mut task = (*live.task()).clone();
        let _turn = live.turn.lock().await;
        let ending = Ending::of(outcome, self.0.options.clock.now(), live.reached(), live.log_lines());
        let ending = ending.telling(&task, live.untold());
        let recorded = self.insist(&task, || self.0.options.store.finish(&task.id, task.attempt, &ending)).await;
        drop(counted);
        match (recorded, task.end(&ending)) {
            (Some(true), Ok(())) => {
                note_end(&task, metrics);
                live.publish(task.clone());
            }
            // Somebody else has ended it: what the store says holds.
            (Some(_), _) => self.publish_stored(live, &task, metrics).await,
            (None, _) => tracing::error!(task = %task.id, route = %task.name, "its end could not be recorded"),
        }
        self.0.board.remove(&task.id);
    }

    async fn publish_stored(&self, live: &Live, task: &Task, metrics: &RouteMetrics) {
        let (id, route) = (&task.id, &task.name);
        tracing::warn!(task = %id, %route, attempt = task.attempt, "its end was recorded by another attempt");
        if let Ok(Some(stored)) = self.0.options.store.get(id).await {
            if stored.state.is_final() {
                note_end(&stored, metrics);
            }
            live.publish(stored);
        }
    }

    /// Asks the store until it answers: a full disk must not lose what is known here. `None`: given up at shutdown.
    async fn insist<'a, F>(&'a self, task: &Task, mut ask: impl FnMut() -> F) -> Option<bool>
    where
        F: Future<Output = Result<bool, StoreError>> + 'a,
    {
        let (mut pause, mut tries_left) = (FIRST_PAUSE, TRIES_WHILE_DRAINING);
        loop {
            match ask().await {
                Ok(answer) => return Some(answer),
                Err(error) => {
                    tracing::error!(task = %task.id, route = %task.name, "asking again in {pause:?}: {error}");
                }
            }
            if self.is_draining() {
                tries_left -= 1;
                if tries_left == 0 {
                    return None;
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Resolves at that moment, at once when it has passed (which a timer alone does not), never for `None`.
    async fn until(&self, moment: Option<Timestamp>) {
        let remaining = moment.map(|moment| moment.remaining(self.0.options.clock.now()));
        match remaining {
            Some(Duration::ZERO) => {}
            Some(remaining) => tokio::time::sleep(remaining).await,
            None => std::future::pending().await,
        }
    }
}

/// The guests of the task's route. A task that came before them is held to their schema here: nobody could before.
async fn guests<'a>(live: &Live, loaded: &'a LoadedRoute, task: &Task) -> Result<&'a Guests, Outcome> {
    let waited = loaded.guests().is_none();
    if waited {
        live.log(Level::Info, "waits for the route's component, which is being compiled".into(), Vec::new());
    }
    let guests = loaded.wait().await.map_err(|_| Outcome::Fault(Fault::NotRunnable(UNUSABLE.into())))?;
    let schema = guests.description.as_ref().and_then(|description| description.input_schema.as_ref());
    match schema.filter(|_| waited).map(|schema| schema.validate(&task.invocation.input)) {
        Some(Err(faults)) => {
            let message = "the input does not fit the component's schema".into();
            Err(Outcome::Failed { message, detail: Json::from_serialize(&faults).ok() })
        }
        _ => Ok(guests),
    }
}

/// What the followers of a task are told when its next attempt starts: what they were not told yet comes first.
fn told_at_start(task: &Task, at: Timestamp, slot: &Arc<str>, untold: &[TaskEvent]) -> Vec<TaskEvent> {
    if task.invocation.sse.is_none() {
        return Vec::new();
    }
    let mut started = task.clone();
    let state = started.start(at, Arc::clone(slot)).ok().and_then(|()| TaskEvent::state(&started));
    untold.iter().cloned().chain(state).collect()
}

/// The span of an attempt; none while nobody exports it.
fn span_of(task: &Task) -> Span {
    if !trace::is_active() {
        return Span::none();
    }
    let (id, route, attempt) = (&task.id, &task.name, task.attempt);
    let state = tracing::field::Empty;
    let span = tracing::error_span!(target: "task", parent: None, "task", task = %id, %route, attempt, state);
    if let Some(parent) = &task.invocation.traceparent {
        parent.adopt(&span);
    }
    span
}

/// Measures and logs the CPU time of an attempt.
fn note_cpu(task: &Task, cpu: Duration, metrics: &RouteMetrics) {
    metrics.cpu.observe(cpu);
    let (id, route, attempt) = (&task.id, &task.name, task.attempt);
    tracing::debug!(target: "task", task = %id, %route, attempt, cpu_seconds = cpu.as_secs_f64(), "ran");
}

/// Notes in the span of an attempt where the task stands after it.
fn note_next(span: &Span, next: &Next) {
    if span.is_none() {
        return;
    }
    let state = match next {
        Next::End(Outcome::Completed(_)) => State::Completed,
        Next::End(Outcome::Failed { .. } | Outcome::Fault(_)) => State::Failed,
        Next::End(Outcome::Stopped(_)) => State::Aborted,
        Next::Again(_) | Next::Leave => State::Running,
    };
    span.record("state", state.to_string());
    if state != State::Completed {
        trace::failed(span, state.to_string());
    }
}

/// When the time that a task may run is up; it counts from the first start, over all attempts and the pauses between.
fn run_deadline(live: &Live, task: &Task) -> Option<Timestamp> {
    live.route.run_timeout.zip(task.started).map(|(longest, started)| started.after(longest))
}
