//! Owns the thread that advances the engine's epoch, by which every guest is interrupted.
//! Must not know guests: it counts who needs ticks, and how fast.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;
use wasmtime::Engine;

/// The time slice of a guest among others.
const TICK: Duration = Duration::from_millis(5);
/// The tick while a stop is under way: a victim behind n other guests waits for n short slices, not n long ones.
const KICK: Duration = Duration::from_micros(50);

/// Ticks while guests run, sleeps while none does, and is joined when dropped.
pub struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    engine: Engine,
    busy: AtomicUsize,
    kicks: AtomicUsize,
    end: AtomicBool,
}

impl Ticker {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(engine: Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            engine,
            busy: AtomicUsize::new(0),
            kicks: AtomicUsize::new(0),
            end: AtomicBool::new(false),
        });
        let ticked = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("epoch".into()).spawn(move || tick(&ticked))?;
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
    while !shared.end.load(Ordering::Acquire) {
        if shared.kicks.load(Ordering::Acquire) > 0 {
            std::thread::sleep(KICK);
        } else if shared.busy.load(Ordering::Acquire) > 0 {
            // A kick unparks, and so ends the slice early.
            std::thread::park_timeout(TICK);
        } else {
            std::thread::park();
        }
        shared.engine.increment_epoch();
    }
}
