//! Owns the instances of one route: those that are kept ready, and the way of one attempt through an instance.
//! Must not know queues or tasks' records; how many attempts run at once is the runner's decision.

use super::control::{Control, Metered};
use super::engine::WasmEngine;
use super::granted::Granted;
use super::instance::{Guest, Instance};
use crate::executor::{Call, Cancel, Executor};
use crate::route::Route;
use crate::task::ending::{Fault, Outcome};
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
    memory: u64,
    cpu_limit: Option<Duration>,
    granted: Granted,
    min: usize,
    ready: Mutex<Vec<Ready>>,
    refilling: AtomicBool,
    /// How often in a row an instance could not be made ready.
    failures: AtomicU32,
}

/// An instance that waits for a task, with its share of the host's instances.
struct Ready {
    instance: Instance,
    share: OwnedSemaphorePermit,
    _ready: OwnedSemaphorePermit,
}

impl GuestPool {
    pub(super) fn new(engine: Arc<WasmEngine>, guest: Guest, route: &Route, granted: Granted) -> Self {
        let inner = Arc::new(Inner {
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
        let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let (instance, share) = match ready {
            Some(Ready { instance, share, .. }) => (Some(instance), share),
            None => tokio::select! {
                share = Arc::clone(&self.engine.instances).acquire_owned() => match share {
                    Ok(share) => (None, share),
                    Err(closed) => return Outcome::Fault(Fault::NotRunnable(closed.to_string())),
                },
                reason = cancel.fired() => return Outcome::Stopped(reason),
            },
        };
        let _ticking = self.engine.ticker.busy();
        let control =
            Arc::new(Control::new(Arc::clone(&call.cancel), self.cpu_limit, Arc::clone(&self.engine.executing)));
        let guest = Metered::new(Arc::clone(&control), Arc::clone(self).guest(instance, call, control, share));
        let Some(task) = self.engine.spawn(guest) else {
            return Outcome::Fault(Fault::NotRunnable("the engine has shut down".into()));
        };
        let mut task = AbortOnDropHandle::new(task);
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
        // With every core busy it would take from tasks the very time that it is to save them.
        if !self.engine.has_free_core() || !self.wants_more() || self.refilling.swap(true, Ordering::AcqRel) {
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

    fn wants_more(&self) -> bool {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).len() < self.min
    }

    /// `false`: there is no place for one now.
    async fn make_ready(&self) -> Result<bool, String> {
        let Ok(ready) = Arc::clone(&self.engine.ready).try_acquire_owned() else { return Ok(false) };
        let Ok(share) = Arc::clone(&self.engine.instances).try_acquire_owned() else { return Ok(false) };
        let _ticking = self.engine.ticker.busy();
        let control = Arc::new(Control::new(Arc::default(), Some(READY_TIMEOUT), Arc::clone(&self.engine.executing)));
        let made = Metered::new(Arc::clone(&control), self.instance(control));
        let made = tokio::time::timeout(READY_TIMEOUT, made).await.map_err(|_| "it took too long".to_owned())?;
        let instance = made.map_err(|outcome| format!("{outcome:?}"))?;
        let ready = Ready { instance, share, _ready: ready };
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).push(ready);
        Ok(true)
    }
}

fn host_fault(error: &tokio::task::JoinError) -> Outcome {
    tracing::error!("a guest's thread failed: {error}");
    Outcome::Fault(Fault::NotRunnable("an internal error of the host".into()))
}
