//! Owns the instances of one route: those that are kept ready, and the way of one attempt through an instance.
//! Must not know queues or tasks' records; how many attempts run at once is the runner's decision.

use super::bindings::route::RoutePre;
use super::control::{Control, Metered};
use super::engine::WasmEngine;
use super::instance::{HostState, Instance};
use crate::executor::{Call, Cancel, Executor};
use crate::task::ending::{Fault, Outcome};
use futures_util::future::BoxFuture;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::AbortOnDropHandle;

/// How long an instance may take to become ready. One that takes longer is made only when a task needs it.
const READY_TIMEOUT: Duration = Duration::from_secs(10);

/// One route's guests.
pub struct GuestPool(Arc<Inner>);

struct Inner {
    engine: Arc<WasmEngine>,
    pre: RoutePre<HostState>,
    memory: u64,
    cpu_limit: Option<Duration>,
    /// 0 once an instance could not be made ready: what failed once would fail after each task.
    min: AtomicUsize,
    ready: Mutex<Vec<Ready>>,
    running: AtomicUsize,
    refilling: AtomicBool,
}

/// An instance that waits for a task, with its share of the host's instances.
struct Ready {
    instance: Instance,
    share: OwnedSemaphorePermit,
}

impl GuestPool {
    pub(super) fn new(
        engine: Arc<WasmEngine>,
        pre: RoutePre<HostState>,
        memory: u64,
        cpu_limit: Option<Duration>,
        min: u32,
    ) -> Self {
        let inner = Arc::new(Inner {
            engine,
            pre,
            memory,
            cpu_limit,
            min: AtomicUsize::new(min as usize),
            ready: Mutex::default(),
            running: AtomicUsize::new(0),
            refilling: AtomicBool::new(false),
        });
        inner.refill();
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
            inner.running.fetch_add(1, Ordering::AcqRel);
            let outcome = inner.attempt(call, &cancel).await;
            if inner.running.fetch_sub(1, Ordering::AcqRel) == 1 {
                inner.refill();
            }
            outcome
        })
    }
}

impl Inner {
    /// Runs the attempt on a guest thread. When it is stopped, the task is aborted there, which drops its store:
    /// at the next epoch if it is executing, at once if it waits for the host.
    async fn attempt(self: &Arc<Self>, call: Call, cancel: &Cancel) -> Outcome {
        let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let (instance, share) = match ready {
            Some(Ready { instance, share }) => (Some(instance), share),
            None => tokio::select! {
                share = Arc::clone(&self.engine.instances).acquire_owned() => match share {
                    Ok(share) => (None, share),
                    Err(closed) => return Outcome::Fault(Fault::NotRunnable(closed.to_string())),
                },
                reason = cancel.fired() => return Outcome::Stopped(reason),
            },
        };
        let _ticking = self.engine.ticker.busy();
        let control = Arc::new(Control::new(Arc::clone(&call.cancel), self.cpu_limit));
        let guest = Metered::new(Arc::clone(&control), Arc::clone(self).guest(instance, call, control, share));
        let Some(task) = self.engine.spawn(guest) else {
            return Outcome::Fault(Fault::NotRunnable("the engine has shut down".into()));
        };
        let mut task = AbortOnDropHandle::new(task);
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
            None => match Instance::new(&self.pre, self.memory, Arc::clone(&control)).await {
                Ok(instance) => instance,
                Err(outcome) => return outcome,
            },
        };
        instance.run(call, control).await
    }

    /// Makes instances ready in the background until there are `min`.
    fn refill(self: &Arc<Self>) {
        if self.wants_more() && !self.refilling.swap(true, Ordering::AcqRel) {
            let inner = Arc::clone(self);
            self.engine.spawn(async move {
                while inner.wants_more() && inner.make_ready().await {}
                inner.refilling.store(false, Ordering::Release);
            });
        }
    }

    fn wants_more(&self) -> bool {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).len() < self.min.load(Ordering::Relaxed)
    }

    async fn make_ready(&self) -> bool {
        // Ready instances are a convenience: they never take the last places from tasks.
        let Ok(share) = Arc::clone(&self.engine.instances).try_acquire_owned() else { return false };
        let _ticking = self.engine.ticker.busy();
        let cancel = Arc::new(Cancel::default());
        let control = Arc::new(Control::new(Arc::clone(&cancel), Some(READY_TIMEOUT)));
        let made = Metered::new(Arc::clone(&control), Instance::new(&self.pre, self.memory, control));
        match tokio::time::timeout(READY_TIMEOUT, made).await {
            Ok(Ok(instance)) => {
                self.ready.lock().unwrap_or_else(PoisonError::into_inner).push(Ready { instance, share });
                true
            }
            failed => {
                let why = failed.map_or_else(|_| "it took too long".to_owned(), |made| format!("{:?}", made.err()));
                tracing::warn!("a component's instances cannot be kept ready, each task makes its own: {why}");
                self.min.store(0, Ordering::Relaxed);
                false
            }
        }
    }
}

fn host_fault(error: &tokio::task::JoinError) -> Outcome {
    tracing::error!("a guest's thread failed: {error}");
    Outcome::Fault(Fault::NotRunnable("an internal error of the host".into()))
}
