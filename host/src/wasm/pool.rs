//! Owns the instances of one route: those that are kept ready, and the way of one attempt through an instance.
//! Must not know queues or tasks' records; how many attempts run at once is the runner's decision.

use super::control::{Control, Metered};
use super::engine::WasmEngine;
use super::granted::Granted;
use super::instance::{Guest, Instance};
use super::kept::Place;
use crate::executor::{Call, Cancel, Executor};
use crate::route::Route;
use crate::task::ending::{Fault, Outcome};
use crate::tenant::Account;
use futures_util::future::BoxFuture;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::AbortOnDropHandle;

/// How long an instance may take to become ready. One that takes longer is left to the tasks that need it.
const READY_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest pause after an instance could not be made ready.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// One route's guests.
pub struct GuestPool(Arc<Inner>);

struct Inner {
    engine: Arc<WasmEngine>,
    guest: Guest,
    account: Arc<Account>,
    memory: u64,
    cpu_limit: Option<Duration>,
    granted: Granted,
    min: usize,
    ready: Mutex<Vec<Ready>>,
    refilling: AtomicBool,
    /// How often in a row an instance could not be made ready.
    failures: AtomicU32,
}

/// An instance that waits for a task, in its place.
struct Ready {
    instance: Instance,
    _place: Place,
}

impl GuestPool {
    pub(super) fn new(engine: Arc<WasmEngine>, guest: Guest, route: &Route, granted: Granted) -> Self {
        let inner = Arc::new(Inner {
            account: engine.ledger.account(route.tenant.as_deref()),
            engine,
            guest,
            memory: route.memory,
            cpu_limit: route.cpu_limit,
            granted,
            min: route.pool.min as usize,
            ready: Mutex::default(),
            refilling: AtomicBool::new(false),
            failures: AtomicU32::new(0),
        });
        Self(inner)
    }

    /// How many instances are ready now.
    #[must_use]
    pub fn ready(&self) -> usize {
        self.0.ready.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Executor for GuestPool {
    fn run(&self, call: Call) -> BoxFuture<'static, Outcome> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            let cancel = Arc::clone(&call.cancel);
            let outcome = inner.attempt(call, &cancel).await;
            inner.refill();
            outcome
        })
    }

    fn prepare(&self) {
        self.0.refill();
    }
}

impl Inner {
    /// Runs the attempt on a guest thread. When it is stopped, the task is aborted there, which drops its store:
    /// at the next epoch if it is executing, at once if it waits for the host.
    async fn attempt(self: &Arc<Self>, call: Call, cancel: &Cancel) -> Outcome {
        let share = tokio::select! {
            biased;
            share = Arc::clone(&self.engine.instances).acquire_owned() => match share {
                Ok(share) => share,
                Err(closed) => return Outcome::Fault(Fault::NotRunnable(closed.to_string())),
            },
            reason = cancel.fired() => return Outcome::Stopped(reason),
        };
        let instance = self.pop().map(|ready| ready.instance);
        let _ticking = self.engine.ticker.busy();
        let account = Arc::clone(&self.account);
        let control = Control::new(Arc::clone(&call.cancel), &self.engine.turnstile, account, Arc::clone(&call.cpu));
        let control = Arc::new(control.limited(self.cpu_limit));
        let arriving = Arc::clone(&control);
        let guest = Metered::new(Arc::clone(&control), Arc::clone(self).guest(instance, call, control, share));
        let Some(task) = self.engine.spawn(guest) else {
            return Outcome::Fault(Fault::NotRunnable("the engine has shut down".into()));
        };
        let mut task = AbortOnDropHandle::new(task);
        arriving.arrive();
        self.refill();
        tokio::select! {
            ended = &mut task => ended.unwrap_or_else(|error| host_fault(&error)),
            reason = cancel.fired() => {
                task.abort();
                let _fast = self.engine.ticker.kick();
                match task.await {
                    Err(error) if error.is_cancelled() => Outcome::Stopped(reason),
                    ended => ended.unwrap_or_else(|error| host_fault(&error)),
                }
            }
        }
    }

    async fn guest(
        self: Arc<Self>,
        ready: Option<Instance>,
        call: Call,
        control: Arc<Control>,
        _share: OwnedSemaphorePermit,
    ) -> Outcome {
        let instance = match ready {
            Some(ready) => ready,
            None => match self.instance(Arc::clone(&control)).await {
                Ok(instance) => instance,
                Err(outcome) => return outcome,
            },
        };
        instance.run(call, control).await
    }

    /// Makes an instance, and measures how long that takes.
    async fn instance(&self, control: Arc<Control>) -> Result<Instance, Outcome> {
        let began = Instant::now();
        let made = Instance::new(&self.guest, self.memory, control, &self.granted, &self.engine.sender).await;
        self.engine.instantiate.observe(began.elapsed());
        made
    }

    /// Makes instances ready in the background until there are `min`. One that fails is tried again only after a pause.
    fn refill(self: &Arc<Self>) {
        while self.engine.kept.is_over(&self.account) && self.pop().is_some() {}
        // With every core busy it would take from tasks the very time that it is to save them.
        if !self.engine.turnstile.has_free_core() || !self.wants_more() || self.refilling.swap(true, Ordering::AcqRel) {
            return;
        }
        let inner = Arc::clone(self);
        self.engine.spawn(async move {
            let mut made = Ok(true);
            while matches!(made, Ok(true)) && inner.wants_more() {
                made = inner.make_ready().await;
            }
            if let Err(why) = &made {
                let failures = inner.failures.fetch_add(1, Ordering::AcqRel);
                let pause = LONGEST_PAUSE.min(Duration::from_secs(1) * 2_u32.saturating_pow(failures));
                tracing::warn!("no instance can be kept ready, tasks make their own: {why}; next try in {pause:?}");
                tokio::time::sleep(pause).await;
            }
            inner.refilling.store(false, Ordering::Release);
            if matches!(made, Ok(true)) {
                inner.failures.store(0, Ordering::Release);
                // An instance that was taken meanwhile found `refilling` set.
                inner.refill();
            }
        });
    }

    fn pop(&self) -> Option<Ready> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Who has used up its CPU time gets none ready: it would have to wait for it.
    fn wants_more(&self) -> bool {
        let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner).len();
        ready < self.min && self.account.pause().is_none()
    }

    /// `false`: there is no place for one now.
    async fn make_ready(&self) -> Result<bool, String> {
        let Some(place) = self.engine.kept.place(&self.account, self.memory) else { return Ok(false) };
        let _ticking = self.engine.ticker.busy();
        let control = Arc::new(self.engine.control(&self.account).limited(Some(READY_TIMEOUT)));
        let made = Metered::new(Arc::clone(&control), self.instance(control));
        let made = match tokio::time::timeout(READY_TIMEOUT, made).await {
            Ok(made) => made,
            // It has not failed: it had no turns.
            Err(_) if self.account.pause().is_some() => return Ok(false),
            Err(_) => return Err("it took too long".into()),
        };
        let instance = made.map_err(|outcome| format!("{outcome:?}"))?;
        let ready = Ready { instance, _place: place };
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).push(ready);
        Ok(true)
    }
}

fn host_fault(error: &tokio::task::JoinError) -> Outcome {
    tracing::error!("a guest's thread failed: {error}");
    Outcome::Fault(Fault::NotRunnable("an internal error of the host".into()))
}
