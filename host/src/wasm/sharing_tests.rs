//! Two tenants' guests in one real engine.

use super::{Cache, Compiler, GuestPool, Loader, WasmEngine};
use crate::executor::{Call, Cancel, CpuTime, EventSink, Executor, VariableError, Variables, Versioned};
use crate::ids::IdScheme;
use crate::route::{IdRule, OnLostHost, PoolSize, Retry, Route, Source, StateGrants};
use crate::task::ending::{Outcome, StopReason};
use crate::task::log::Level;
use crate::task::progress::Step;
use crate::task::{Invocation, Request};
use crate::tenant::{Account, Ledger, Quota, Tenant};
use crate::value::Json;
use futures_util::future::BoxFuture;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

struct Nobody;

impl EventSink for Nobody {
    fn progress(&self, _: Step) {}
    fn percent(&self) -> f64 {
        0.0
    }
    fn log(&self, _: Level, _: String, _: Vec<(String, String)>) {}
    fn event(&self, _: String, _: Json) {}
    fn room(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

impl Variables for Nobody {
    fn get(&self, _: String) -> BoxFuture<'_, Result<Option<Versioned>, VariableError>> {
        Box::pin(async { Ok(None) })
    }
    fn set(&self, _: String, _: Json) -> BoxFuture<'_, Result<u64, VariableError>> {
        Box::pin(async { Ok(1) })
    }
    fn update(&self, _: String, _: Option<u64>, _: Json) -> BoxFuture<'_, Result<u64, VariableError>> {
        Box::pin(async { Ok(1) })
    }
    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

fn route(tenant: &str, min: u32) -> Arc<Route> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-examples/target/components/misbehaving.wasm");
    Arc::new(Route {
        tenant: Some(tenant.into()),
        name: tenant.into(),
        method: "PUT".into(),
        path: format!("/{tenant}"),
        component: Source::File(file),
        arguments: Json::object([]),
        variables: Json::object([]),
        state: StateGrants::default(),
        grants: Default::default(),
        timeout: None,
        run_timeout: None,
        cpu_limit: None,
        pool: PoolSize { min, max: 64, queue: 0 },
        memory: 64 << 20,
        cancellable: true,
        id: IdRule::Scheme(IdScheme::Uuid),
        sse: None,
        retry: Retry { attempts: 1, backoff: Duration::ZERO, on_lost_host: OnLostHost::Fail },
        logs: Default::default(),
        responses: Vec::new(),
        auth: None,
        access: Default::default(),
        permission: Default::default(),
        callback: None,
        summary: None,
        tags: Vec::new(),
    })
}

/// One tenant's route.
struct Side {
    route: Arc<Route>,
    guests: GuestPool,
    account: Arc<Account>,
}

/// A call that runs.
struct Running {
    cancel: Arc<Cancel>,
    cpu: Arc<CpuTime>,
    outcome: JoinHandle<Outcome>,
}

impl Running {
    async fn stop(self) -> Duration {
        let asked = Instant::now();
        self.cancel.fire(StopReason::User);
        assert_eq!(self.outcome.await.expect("no panic"), Outcome::Stopped(StopReason::User));
        asked.elapsed()
    }
}

impl Side {
    fn start(&self, input: &str) -> Running {
        let request = Request {
            method: "PUT".into(),
            url: "http://127.0.0.1/".into(),
            path_parameters: Vec::new(),
            query: Vec::new(),
            headers: Vec::new(),
        };
        let (cancel, cpu) = (Arc::<Cancel>::default(), Arc::<CpuTime>::default());
        let call = Call {
            task: IdScheme::Uuid.generate(),
            attempt: 1,
            route: Arc::clone(&self.route),
            invocation: Arc::new(Invocation {
                input: Json::parse(input.into()).expect("JSON"),
                request,
                user: None,
                tenant: self.route.tenant.clone(),
                traceparent: None,
                sse: None,
                callback: None,
            }),
            cancel: Arc::clone(&cancel),
            sink: Arc::new(Nobody),
            variables: Arc::new(Nobody),
            cpu: Arc::clone(&cpu),
        };
        Running { cancel, cpu, outcome: tokio::spawn(self.guests.run(call)) }
    }

    /// The median time of a short call, one after another.
    async fn latency(&self) -> Duration {
        let mut times = Vec::new();
        for _ in 0..21 {
            let began = Instant::now();
            let outcome = self.start(r#"{"mode": "script", "calls": []}"#).outcome.await.expect("no panic");
            assert!(matches!(outcome, Outcome::Completed(_)), "{outcome:?}");
            times.push(began.elapsed());
        }
        times.sort();
        times[10]
    }
}

fn tenant(name: &str, quota: Quota) -> Arc<Tenant> {
    Tenant::with(name, 1, quota)
}

fn limited(cpu_per_minute: Duration) -> Quota {
    Quota { cpu_per_minute: Some(cpu_per_minute), ..Quota::default() }
}

fn sides(quota: Quota, min: u32) -> (Arc<Ledger>, Side, Side) {
    let ledger = Ledger::new(Arc::default());
    ledger.apply(&[tenant("a", quota), tenant("b", Quota::default())]);
    let engine = WasmEngine::start(&Default::default(), Arc::clone(&ledger)).expect("an engine");
    let folder = tempfile::tempdir().expect("a folder");
    let loader = Loader::new(engine, Cache::open(folder.path(), Compiler::InProcess).expect("a cache"));
    let [a, b] = [("a", min), ("b", 0)].map(|(name, min)| {
        let route = route(name, min);
        let Source::File(file) = &route.component else { unreachable!("a file") };
        let program = loader.program(&loader.read(file).expect("run guest-examples/build")).expect("it compiles");
        let guests = loader.route(&route, &program).expect("a route");
        Side { account: ledger.account(Some(name)), route, guests }
    });
    (ledger, a, b)
}

const LOOP: &str = r#"{"mode": "loop"}"#;

async fn until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(60), "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenants_short_calls_do_not_wait_for_anothers_endless_ones() {
    let (_, a, b) = sides(Quota::default(), 0);
    b.latency().await;
    let alone = b.latency().await;
    let spinners: Vec<_> = (0..8).map(|_| a.start(LOOP)).collect();
    until("all spin", || spinners.iter().all(|spinner| spinner.cpu.total() > Duration::from_millis(20))).await;
    let beside = b.latency().await;
    let bound = alone.max(Duration::from_millis(1)) * 20;
    assert!(beside < bound, "beside eight spinners {beside:?}, alone {alone:?}");
    // What each was charged is what its guests used.
    let mut sum = Duration::ZERO;
    for spinner in spinners {
        let cpu = Arc::clone(&spinner.cpu);
        assert!(spinner.stop().await < Duration::from_secs(1));
        sum += cpu.total();
    }
    assert_eq!(a.account.used(), sum);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tenants_have_equal_shares_whoever_has_more_guests() {
    let (_, a, b) = sides(Quota::default(), 0);
    let few: Vec<_> = (0..4).map(|_| b.start(LOOP)).collect();
    let many: Vec<_> = (0..16).map(|_| a.start(LOOP)).collect();
    until("all spin", || few.iter().chain(&many).all(|one| one.cpu.total() > Duration::ZERO)).await;
    let before = [a.account.used(), b.account.used()];
    until("some seconds are used", || {
        a.account.used() + b.account.used() > before[0] + before[1] + Duration::from_secs(2)
    })
    .await;
    let [of_a, of_b] = [a.account.used() - before[0], b.account.used() - before[1]].map(|used| used.as_secs_f64());
    // With more cores than b has guests, a may have the rest.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    assert!(cores > 4 || (0.8..1.25).contains(&(of_a / of_b)), "{of_a} s and {of_b} s");
    for one in few.into_iter().chain(many) {
        one.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_without_cpu_time_pauses_and_goes_on() {
    let (ledger, a, b) = sides(limited(Duration::from_millis(200)), 0);
    let spinner = a.start(LOOP);
    let stopped = a.start(LOOP);
    until("the minute's time is used", || a.account.pause().is_some()).await;
    // Both have been interrupted once the time stands still, but for what trickles in.
    let mut used = a.account.used();
    for _ in 0..5 {
        b.latency().await;
        let now = a.account.used();
        assert!(now - used < Duration::from_millis(150), "it went on: {used:?} {now:?}");
        used = now;
    }
    assert!(stopped.stop().await < Duration::from_secs(1), "a guest that pauses is stopped at once");
    ledger.apply(&[tenant("a", limited(Duration::from_secs(600)))]);
    let paused = spinner.cpu.total();
    until("it goes on", || spinner.cpu.total() > paused + Duration::from_millis(300)).await;
    spinner.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_instances_are_ready_than_the_tenant_may_run() {
    let (ledger, a, _b) = sides(Quota { running: 3, ..Quota::default() }, 10);
    a.guests.prepare();
    until("three are ready", || a.guests.ready() == 3).await;
    assert!(a.account.used() > Duration::ZERO, "making them is charged");
    ledger.apply(&[tenant("a", Quota { running: 5, memory: 4 * (64 << 20), ..Quota::default() })]);
    a.guests.prepare();
    until("four have room", || a.guests.ready() == 4).await;
    ledger.apply(&[tenant("a", Quota { running: 1, ..Quota::default() })]);
    a.guests.prepare();
    until("one is left", || a.guests.ready() == 1).await;
}
