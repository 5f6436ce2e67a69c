//! The same calls through the `Executor` seam, and stops.

use crate::sample::{component, spread};
use futures_util::future::BoxFuture;
use sandpool::executor::{Call, Cancel, EventSink, Executor, VariableError, Variables, Versioned};
use sandpool::ids::IdScheme;
use sandpool::metrics::Metrics;
use sandpool::route::{IdRule, OnLostHost, PoolSize, Retry, Route, Source, StateGrants};
use sandpool::task::ending::{Outcome, StopReason};
use sandpool::task::log::Level;
use sandpool::task::progress::Step;
use sandpool::task::{Invocation, Request};
use sandpool::tenant::Ledger;
use sandpool::value::Json;
use sandpool::wasm::{Cache, Compiler, GuestPool, Loader, WasmEngine};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

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

fn route(file: PathBuf) -> Arc<Route> {
    Arc::new(Route {
        tenant: None,
        name: "bench".into(),
        method: "PUT".into(),
        path: "/bench".into(),
        component: Source::File(file),
        arguments: Json::object([]),
        variables: Json::object([]),
        state: StateGrants::default(),
        grants: Default::default(),
        timeout: None,
        run_timeout: None,
        cpu_limit: None,
        pool: PoolSize { min: 1, max: 64, queue: 0 },
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

fn guests(engine: &Arc<WasmEngine>, route: &Route) -> GuestPool {
    let folder = std::env::temp_dir().join(format!("sandpool-bench-{}", std::process::id()));
    let cache = Cache::open(&folder, Compiler::InProcess).expect("a cache");
    let loader = Loader::new(Arc::clone(engine), cache);
    let file = if let Source::File(file) = &route.component { Some(file) } else { None };
    let binary = loader.read(file.expect("a file")).expect("a component");
    let program = loader.program(&binary).expect("it compiles");
    let guests = loader.route(route, &program).expect("a route");
    drop(std::fs::remove_dir_all(folder));
    guests
}

fn call(route: &Arc<Route>, input: &str) -> Call {
    let request = Request {
        method: "PUT".into(),
        url: "http://127.0.0.1/hello".into(),
        path_parameters: Vec::new(),
        query: Vec::new(),
        headers: Vec::new(),
    };
    Call {
        task: IdScheme::Uuid.generate(),
        attempt: 1,
        route: Arc::clone(route),
        invocation: Arc::new(Invocation {
            input: Json::parse(input.into()).expect("JSON"),
            request,
            user: None,
            tenant: None,
            traceparent: None,
            sse: None,
            callback: None,
        }),
        cancel: Arc::new(Cancel::default()),
        sink: Arc::new(Nobody),
        variables: Arc::new(Nobody),
        cpu: Arc::default(),
    }
}

/// An engine without tenants.
pub fn engine() -> Arc<WasmEngine> {
    WasmEngine::start(&Metrics::default(), Ledger::new(Arc::default())).expect("an engine")
}

/// Guests of one component whose reports go nowhere.
pub struct Guests {
    route: Arc<Route>,
    pool: GuestPool,
}

impl Guests {
    pub fn new(engine: &Arc<WasmEngine>, file: PathBuf) -> Self {
        let route = route(file);
        Self { pool: guests(engine, &route), route }
    }

    /// One call, which must complete.
    pub async fn complete(&self, input: &str) {
        let outcome = self.pool.run(call(&self.route, input)).await;
        assert!(matches!(outcome, Outcome::Completed(_)), "{outcome:?}");
    }
}

/// Nanoseconds a call, `in_flight` calls at a time.
pub async fn nanos_per_call(engine: &Arc<WasmEngine>, in_flight: u32) -> f64 {
    let route = route(component("hello.wasm"));
    let guests = Arc::new(guests(engine, &route));
    let calls = 40_000 / in_flight;
    let round = |calls: u32| {
        let (route, guests) = (route.clone(), guests.clone());
        async move {
            let workers: Vec<_> = (0..in_flight)
                .map(|_| {
                    let (route, guests) = (route.clone(), guests.clone());
                    tokio::spawn(async move {
                        for _ in 0..calls {
                            let outcome = guests.run(call(&route, "null")).await;
                            assert!(matches!(outcome, Outcome::Completed(_)), "{outcome:?}");
                        }
                    })
                })
                .collect();
            for worker in workers {
                worker.await.expect("no panic");
            }
        }
    };
    round(calls / 10).await;
    let began = Instant::now();
    round(calls).await;
    began.elapsed().as_nanos() as f64 / f64::from(calls * in_flight)
}

/// Stops one of `spinners` spinning guests, again and again, and starts another in its place.
pub async fn stops(engine: Arc<WasmEngine>, spinners: usize) {
    let route = route(component("misbehaving.wasm"));
    let guests = Arc::new(guests(&engine, &route));
    let start = || {
        let call = call(&route, r#"{"mode": "loop"}"#);
        let cancel = Arc::clone(&call.cancel);
        (cancel, tokio::spawn(guests.run(call)))
    };
    let mut running: Vec<_> = (0..spinners).map(|_| start()).collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut times = Vec::new();
    for round in 0..300 {
        tokio::time::sleep(Duration::from_micros(3_000 + (round * 7_919) % 10_000)).await;
        let (cancel, guest) = running.remove((round as usize * 31) % running.len());
        let asked = Instant::now();
        cancel.fire(StopReason::User);
        let outcome = guest.await.expect("no panic");
        times.push(asked.elapsed());
        assert_eq!(outcome, Outcome::Stopped(StopReason::User));
        running.push(start());
    }
    for (cancel, guest) in running {
        cancel.fire(StopReason::User);
        drop(guest.await);
    }
    println!("   {spinners:>2} spinning: {}", spread(times));
}
