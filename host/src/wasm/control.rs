//! Owns what the epoch interruption asks of each running guest: is it to stop, and has it CPU time left?
//! Must not know what a guest does.

use crate::executor::Cancel;
use crate::task::ending::StopReason;
use rustix::time::{ClockId, clock_gettime};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

/// Why a guest was interrupted. It comes out of the interrupted call as its error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Interrupt {
    /// Somebody asked for the stop.
    #[error("stopped: {0}")]
    Stop(StopReason),
    /// The CPU budget is used up.
    #[error("CPU limit")]
    CpuLimit(Duration),
}

/// One attempt's stop flag and CPU account, shared by its store and by whoever polls it.
#[derive(Debug, Default)]
pub struct Control {
    cancel: Arc<Cancel>,
    executing: Arc<AtomicUsize>,
    cpu_limit: Option<Duration>,
    /// CPU nanoseconds of finished polls.
    spent: AtomicU64,
    /// The thread's CPU clock when the running poll began.
    poll_began: AtomicU64,
}

impl Control {
    /// For an attempt with this stop flag and CPU budget; `executing` counts the guests that are on a thread right now.
    pub fn new(cancel: Arc<Cancel>, cpu_limit: Option<Duration>, executing: Arc<AtomicUsize>) -> Self {
        Self { cancel, executing, cpu_limit, ..Self::default() }
    }

    /// Called on the guest's own thread at each epoch: why it may not go on, if so.
    pub fn interrupt(&self) -> Option<Interrupt> {
        if let Some(reason) = self.cancel.reason() {
            return Some(Interrupt::Stop(reason));
        }
        let limit = self.cpu_limit?;
        let in_this_poll = thread_cpu_nanos().saturating_sub(self.poll_began.load(Ordering::Relaxed));
        let spent = self.spent.load(Ordering::Relaxed).saturating_add(in_this_poll);
        (Duration::from_nanos(spent) > limit).then_some(Interrupt::CpuLimit(limit))
    }
}

/// Counts a guest's polls, and the CPU time of each against a [`Control`] that has a budget.
pub struct Metered<F> {
    future: Pin<Box<F>>,
    control: Arc<Control>,
}

impl<F: Future> Metered<F> {
    /// Meters `future`.
    pub fn new(control: Arc<Control>, future: F) -> Self {
        Self { future: Box::pin(future), control }
    }
}

impl<F: Future> Future for Metered<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let control = Arc::clone(&self.control);
        let _executing = Executing::new(&control.executing);
        if control.cpu_limit.is_none() {
            return self.future.as_mut().poll(context);
        }
        let began = thread_cpu_nanos();
        self.control.poll_began.store(began, Ordering::Relaxed);
        let polled = self.future.as_mut().poll(context);
        self.control.spent.fetch_add(thread_cpu_nanos().saturating_sub(began), Ordering::Relaxed);
        polled
    }
}

/// Counts down even when a poll panics.
struct Executing<'a>(&'a AtomicUsize);

impl<'a> Executing<'a> {
    fn new(counter: &'a AtomicUsize) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(counter)
    }
}

impl Drop for Executing<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn thread_cpu_nanos() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}
