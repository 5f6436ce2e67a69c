//! Owns the one wasmtime engine, its settings, the guests' own runtime threads and the instance budget of the host.
//! Must not know routes or tasks. Each setting's reason and measurement: `docs/adr/0002-engine.md`.

use super::control::Control;
use super::imports;
use super::instance::HostState;
use super::kept::Kept;
use super::limits::{CORE_INSTANCES, MEMORIES, TABLE_ELEMENTS, TABLES};
use super::outgoing::Sender;
use super::ticker::{Nudge, Ticker};
use super::turnstile::Turnstile;
use crate::executor::{Cancel, CpuTime};
use crate::guard::system_lookup;
use crate::metrics::{Histogram, Metrics};
use crate::route::MAX_MEMORY;
use crate::tenant::{Account, Ledger};
use std::sync::Arc;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use wasmtime::component::Linker;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// Tasks that can have an instance at once in this process.
pub const INSTANCES: u32 = 1_000;
/// Instances that are kept ready beside them.
const READY: u32 = 500;
/// Instances for what is no task, beside both: makers of ids, components that describe themselves.
const OTHERS: u32 = 100;
/// All that can live at once.
const ALL: u32 = INSTANCES + READY + OTHERS;
/// Bytes of memory that an instance leaves mapped for the next one in its place, instead of page faults.
const KEEP_RESIDENT: usize = 1 << 20;
/// How many empty places may keep such memory, so that what an idle host holds is bounded.
const WARM_SLOTS: u32 = 16;
/// Guests yield to the HTTP side when both want a core.
const GUEST_NICENESS: i32 = 10;

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the WebAssembly engine: {0}")]
pub struct EngineError(String);

/// The engine and all that every guest shares. One a process.
pub struct WasmEngine {
    pub(super) engine: Engine,
    pub(super) linker: Linker<HostState>,
    pub(super) ticker: Ticker,
    /// Sends guests' requests to web servers.
    pub(super) sender: Arc<Sender>,
    /// One permit a task's instance.
    pub(super) instances: Arc<Semaphore>,
    /// One permit an instance for something else.
    pub(super) others: Arc<Semaphore>,
    /// The places of ready instances: none of them takes one from a task.
    pub(super) kept: Arc<Kept>,
    /// Who may be on a core.
    pub(super) turnstile: Arc<Turnstile>,
    /// What tenants use.
    pub(super) ledger: Arc<Ledger>,
    /// How long it took to make instances.
    pub(super) instantiate: Histogram,
    guests: Option<Runtime>,
}

impl WasmEngine {
    /// Starts the engine, its ticker and the guests' threads, one for each core; guests' CPU time is charged there.
    ///
    /// # Errors
    /// [`EngineError`] when the system refuses threads or memory.
    pub fn start(metrics: &Metrics, ledger: Arc<Ledger>) -> Result<Arc<Self>, EngineError> {
        let engine = pooling_or_on_demand().map_err(|error| EngineError(format!("{error:#}")))?;
        let linker = imports::linker(&engine).map_err(|error| EngineError(format!("{error:#}")))?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let nudge = Arc::new(Nudge::new(engine.clone()));
        let nudged = Arc::clone(&nudge);
        let turnstile = Arc::new(Turnstile::new(cores, move || nudged.now()));
        let ticker = Ticker::start(nudge, Arc::clone(&turnstile)).map_err(|error| EngineError(error.to_string()))?;
        let guests = guest_runtime(cores).map_err(|error| EngineError(error.to_string()))?;
        let [instances, others] = [INSTANCES, OTHERS].map(|most| Arc::new(Semaphore::new(most as usize)));
        let kept = Kept::new(READY);
        let sender = Arc::new(Sender::new(system_lookup()));
        let instantiate = metrics.instantiate.clone();
        let guests = Some(guests);
        Ok(Arc::new(Self {
            engine,
            linker,
            ticker,
            sender,
            instances,
            others,
            kept,
            turnstile,
            ledger,
            instantiate,
            guests,
        }))
    }

    /// For what is no task: it takes turns with this account, and is stopped by nobody.
    pub(super) fn control(&self, account: &Arc<Account>) -> Control {
        Control::new(Arc::new(Cancel::default()), &self.turnstile, Arc::clone(account), Arc::new(CpuTime::default()))
    }

    pub(super) fn spawn<F>(&self, guest: F) -> Option<tokio::task::JoinHandle<F::Output>>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.guests.as_ref().map(|runtime| runtime.spawn(guest))
    }
}

impl Drop for WasmEngine {
    fn drop(&mut self) {
        // Dropped on an async thread, a runtime must not wait for its own threads.
        if let Some(guests) = self.guests.take() {
            guests.shutdown_background();
        }
    }
}

/// Settings that shape compiled code: the compile child must use the same.
pub fn code_settings() -> Config {
    let mut config = Config::new();
    config.epoch_interruption(true);
    config.wasm_component_model(true);
    // Nothing that the supported toolchains emit needs these, and each is attack surface.
    config.wasm_memory64(false);
    config.wasm_relaxed_simd(false);
    config.wasm_gc(false);
    config.wasm_function_references(false);
    config.wasm_exceptions(false);
    config
}

/// The best allocator that this machine has.
fn pooling_or_on_demand() -> wasmtime::Result<Engine> {
    let pooling = |keep_resident| {
        let mut config = code_settings();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool_settings(keep_resident)));
        Engine::new(&config)
    };
    pooling(true)
        // Linux before 6.7 has no PAGEMAP_SCAN, and without it keeping memory resident means clearing all of it.
        .or_else(|_| pooling(false))
        // Every slot reserves 4 GiB of addresses; a host with 39-bit addresses or `ulimit -v` has not that many.
        .or_else(|error| {
            tracing::warn!("no pooling allocator here ({error:#}); instances are allocated on demand, which is slower");
            Engine::new(&code_settings())
        })
}

fn pool_settings(keep_resident: bool) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    // The totals are what ALL of the largest components need: none of them can leave others without.
    pool.total_component_instances(ALL)
        .total_stacks(ALL)
        .total_core_instances(ALL * count(CORE_INSTANCES))
        .total_memories(ALL * count(MEMORIES))
        .total_tables(ALL * count(TABLES))
        .max_core_instances_per_component(count(CORE_INSTANCES))
        .max_memories_per_component(count(MEMORIES))
        .max_memories_per_module(count(MEMORIES))
        .max_tables_per_component(count(TABLES))
        .max_tables_per_module(count(TABLES))
        .table_elements(TABLE_ELEMENTS)
        .max_memory_size(usize::try_from(MAX_MEMORY).unwrap_or(usize::MAX));
    if keep_resident {
        pool.pagemap_scan(Enabled::Yes)
            .linear_memory_keep_resident(KEEP_RESIDENT)
            .table_keep_resident(64 << 10)
            .max_unused_warm_slots(WARM_SLOTS);
    }
    pool
}

fn guest_runtime(threads: usize) -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("guest")
        .enable_all()
        // A stopped guest waits in the global queue; look there before each poll.
        .global_queue_interval(1)
        .max_blocking_threads(16)
        .on_thread_start(|| _ = rustix::process::setpriority_process(None, GUEST_NICENESS))
        .build()
}
