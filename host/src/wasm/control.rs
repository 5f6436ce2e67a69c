//! Owns what surrounds each poll of a guest: its turn, the CPU time that is charged for it, and what the epoch
//! interruption asks: is it to stop, and has it CPU time left? Must not know what a guest does.

use super::turnstile::{Ticket, Turnstile};
use crate::executor::{Cancel, CpuTime};
use crate::task::ending::StopReason;
use crate::tenant::Account;
use futures_util::task::AtomicWaker;
use rustix::time::{ClockId, clock_gettime};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
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
pub struct Control {
    cancel: Arc<Cancel>,
    turnstile: Arc<Turnstile>,
    /// With whom it takes turns.
    account: Arc<Account>,
    /// Whose CPU time it uses.
    payer: Arc<Account>,
    cpu: Arc<CpuTime>,
    cpu_limit: Option<Duration>,
    /// The thread's CPU clock when the running poll began.
    poll_began: AtomicU64,
    /// The guest was interrupted in the running poll: it could go on at once.
    interrupted: AtomicBool,
    /// It has a place in the queue for a turn.
    queued: AtomicBool,
    /// Who polls it.
    poller: AtomicWaker,
}

impl Control {
    /// For an attempt with this stop flag, that takes its turns with this account, and whose CPU time is noted there.
    pub fn new(cancel: Arc<Cancel>, turnstile: &Arc<Turnstile>, account: Arc<Account>, cpu: Arc<CpuTime>) -> Self {
        Self {
            cancel,
            turnstile: Arc::clone(turnstile),
            payer: Arc::clone(&account),
            account,
            cpu,
            cpu_limit: None,
            poll_began: AtomicU64::new(0),
            interrupted: AtomicBool::new(false),
            queued: AtomicBool::new(false),
            poller: AtomicWaker::new(),
        }
    }

    /// With a limit of its CPU time.
    pub fn limited(self, cpu_limit: Option<Duration>) -> Self {
        Self { cpu_limit, ..self }
    }

    /// Charged to this account, and never waiting because that one has used up its CPU time.
    pub fn paid_by(self, payer: Arc<Account>) -> Self {
        Self { payer, ..self }
    }

    /// Called on the guest's own thread at each epoch: why it may not go on, if so. Else it must leave its thread.
    pub fn interrupt(&self) -> Option<Interrupt> {
        if let Some(reason) = self.cancel.reason() {
            return Some(Interrupt::Stop(reason));
        }
        self.interrupted.store(true, Ordering::Relaxed);
        let limit = self.cpu_limit?;
        (self.cpu.total() + self.in_this_poll() > limit).then_some(Interrupt::CpuLimit(limit))
    }

    /// The guest was handed to the runtime, or can go on there: it may deserve to come on at once.
    pub fn arrive(&self) {
        self.turnstile.arrive(&self.account);
    }

    fn in_this_poll(&self) -> Duration {
        Duration::from_nanos(thread_cpu_nanos().saturating_sub(self.poll_began.load(Ordering::Relaxed)))
    }
}

/// What the guest waits for wakes it by this.
impl Wake for Control {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.poller.wake();
        if !self.queued.load(Ordering::Relaxed) {
            self.arrive();
        }
    }
}

/// Polls a guest when it is its turn, and charges what each poll takes.
pub struct Metered<F> {
    future: Pin<Box<F>>,
    control: Arc<Control>,
    ticket: Option<Ticket>,
}

impl<F: Future> Metered<F> {
    /// Meters `future`.
    pub fn new(control: Arc<Control>, future: F) -> Self {
        Self { future: Box::pin(future), control, ticket: None }
    }
}

impl<F: Future> Future for Metered<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Self { future, control, ticket } = &mut *self;
        control.poller.register(context.waker());
        let comes_on = control.turnstile.ask(&control.account, ticket, context.waker());
        control.queued.store(!comes_on, Ordering::Relaxed);
        if !comes_on {
            return Poll::Pending;
        }
        let mut turn = Turn::begin(control);
        let polled = future.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(control))));
        if polled.is_pending() && control.interrupted.load(Ordering::Relaxed) {
            control.queued.store(true, Ordering::Relaxed);
            turn.again = Some((ticket, context.waker()));
        }
        polled
    }
}

impl<F> Drop for Metered<F> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.control.turnstile.leave(&self.control.account, ticket);
        }
    }
}

/// One poll on a core. Given back even when it panics.
struct Turn<'a> {
    control: &'a Control,
    again: Option<(&'a mut Option<Ticket>, &'a Waker)>,
}

impl<'a> Turn<'a> {
    fn begin(control: &'a Control) -> Self {
        control.interrupted.store(false, Ordering::Relaxed);
        control.poll_began.store(thread_cpu_nanos(), Ordering::Relaxed);
        Self { control, again: None }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let control = self.control;
        let used = control.in_this_poll();
        control.cpu.add(used);
        control.payer.charge(used);
        control.turnstile.give_back(&control.account, used, self.again.take());
    }
}

fn thread_cpu_nanos() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
#[path = "control_tests.rs"]
mod tests;
