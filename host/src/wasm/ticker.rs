//! Owns the thread that advances the engine's epoch, by which every guest is interrupted.
//! Must not know guests: it counts who needs ticks, and how fast.

use super::turnstile::Turnstile;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};
use wasmtime::Engine;

/// The time slice of a guest among others.
const TICK: Duration = Duration::from_millis(5);
/// The tick while a stop is under way: a victim behind n other guests waits for n short slices, not n long ones.
const KICK: Duration = Duration::from_micros(50);
/// The least time between two nudges: many short tasks must not cut those of others into shreds.
const NUDGES: Duration = Duration::from_micros(200);

/// Interrupts all guests that are on a core, once.
pub struct Nudge {
    engine: Engine,
    began: Instant,
    /// When the last one was, in nanoseconds from the start.
    last: AtomicU64,
    /// One came too soon after another; the ticker makes up for it.
    late: AtomicBool,
    ticker: OnceLock<Thread>,
}

impl Nudge {
    /// Of the guests of this engine.
    pub fn new(engine: Engine) -> Self {
        let (last, late) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { engine, began: Instant::now(), last, late, ticker: OnceLock::new() }
    }

    /// Nudges now, or as soon as the last time is [`NUDGES`] ago.
    pub fn now(&self) {
        let now = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let last = self.last.load(Ordering::Relaxed);
        let is_over = u128::from(now.saturating_sub(last)) >= NUDGES.as_nanos();
        if is_over && self.last.compare_exchange(last, now, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            self.engine.increment_epoch();
        } else if !self.late.swap(true, Ordering::AcqRel) {
            self.ticker.get().inspect(|thread| thread.unpark());
        }
    }
}

/// Ticks while guests run, sleeps while none does, and is joined when dropped.
pub struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    engine: Engine,
    nudge: Arc<Nudge>,
    turnstile: Arc<Turnstile>,
    busy: AtomicUsize,
    kicks: AtomicUsize,
    end: AtomicBool,
}

impl Ticker {
    /// Starts the thread. It also looks, at each tick, whether guests that pause may go on.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(nudge: Arc<Nudge>, turnstile: Arc<Turnstile>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            engine: nudge.engine.clone(),
            nudge,
            turnstile,
            busy: AtomicUsize::new(0),
            kicks: AtomicUsize::new(0),
            end: AtomicBool::new(false),
        });
        let ticked = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("epoch".into()).spawn(move || tick(&ticked))?;
        _ = shared.nudge.ticker.set(thread.thread().clone());
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Keeps ticking as long as the guard lives.
    pub fn busy(&self) -> Counted {
        self.count(|shared| &shared.busy)
    }

    /// Ticks at once, and fast as long as the guard lives: it stands for a guest that is to go now.
    pub fn kick(&self) -> Counted {
        let counted = self.count(|shared| &shared.kicks);
        self.shared.engine.increment_epoch();
        counted
    }

    fn count(&self, counter: fn(&Shared) -> &AtomicUsize) -> Counted {
        if counter(&self.shared).fetch_add(1, Ordering::AcqRel) == 0 {
            self.thread().inspect(|thread| thread.unpark());
        }
        Counted { shared: Arc::clone(&self.shared), counter }
    }

    fn thread(&self) -> Option<&Thread> {
        self.thread.as_ref().map(JoinHandle::thread)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.end.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            drop(thread.join());
        }
    }
}

/// One user of the ticker.
pub struct Counted {
    shared: Arc<Shared>,
    counter: fn(&Shared) -> &AtomicUsize,
}

impl Drop for Counted {
    fn drop(&mut self) {
        (self.counter)(&self.shared).fetch_sub(1, Ordering::AcqRel);
    }
}

fn tick(shared: &Shared) {
    let is_late = || shared.nudge.late.load(Ordering::Acquire);
    while !shared.end.load(Ordering::Acquire) {
        if shared.kicks.load(Ordering::Acquire) > 0 {
            std::thread::sleep(KICK);
        } else if is_late() {
            std::thread::sleep(NUDGES);
        } else if shared.busy.load(Ordering::Acquire) > 0 {
            // A kick unparks, and so ends the slice early.
            std::thread::park_timeout(TICK);
            if is_late() {
                continue;
            }
        } else {
            std::thread::park();
        }
        shared.nudge.late.store(false, Ordering::Release);
        shared.engine.increment_epoch();
        shared.turnstile.tick();
    }
}
