//! What wasmtime alone takes: the same component, allocator and limits, without anything of Sandpool.

use crate::sample::component;
use std::time::Instant;
use wasmtime::component::{Component, HasSelf, Linker, Resource, ResourceTable};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

wasmtime::component::bindgen!({
    path: "../wit",
    world: "sandpool:route/route",
    exports: { default: async },
    with: { "sandpool:route/state.state": Nothing },
});

pub struct Nothing;

struct Host {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

mod imports {
    use super::sandpool::route::state::{StateError, Versioned};
    use super::sandpool::route::{events, log, progress, state, types};
    use super::{Host, Nothing, Resource};

    impl types::Host for Host {}
    impl state::Host for Host {}
    impl state::HostState for Host {
        fn get(&mut self, _: Resource<Nothing>, _: String) -> Result<Option<Versioned>, StateError> {
            Ok(None)
        }
        fn set(&mut self, _: Resource<Nothing>, _: String, _: String) -> Result<u64, StateError> {
            Ok(1)
        }
        fn update(&mut self, _: Resource<Nothing>, _: String, _: Option<u64>, _: String) -> Result<u64, StateError> {
            Ok(1)
        }
        fn names(&mut self, _: Resource<Nothing>) -> Vec<String> {
            Vec::new()
        }
        fn drop(&mut self, handle: Resource<Nothing>) -> wasmtime::Result<()> {
            self.table.delete(handle)?;
            Ok(())
        }
    }
    impl progress::Host for Host {
        fn set(&mut self, _: f64) {}
        fn get(&mut self) -> f64 {
            0.0
        }
        fn begin(&mut self, _: u32, _: f64) {}
        fn tick(&mut self, _: u32) {}
        fn timed(&mut self, _: f64, _: f64) {}
    }
    impl log::Host for Host {
        fn write(&mut self, _: log::Level, _: String, _: Vec<(String, String)>) {}
    }
    impl events::Host for Host {
        fn send(&mut self, _: String, _: String) {}
    }
}

fn engine() -> Engine {
    let mut config = Config::new();
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(1000).total_stacks(1000).total_core_instances(10_000).total_memories(2000);
    pool.total_tables(4000).table_elements(20_000).max_memory_size(1 << 30);
    pool.pagemap_scan(Enabled::Yes).linear_memory_keep_resident(1 << 20).table_keep_resident(64 << 10);
    config.epoch_interruption(true).allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config).expect("an engine")
}

fn args() -> Args {
    let request = Request {
        method: "PUT".into(),
        url: "http://127.0.0.1/hello".into(),
        path_parameters: Vec::new(),
        query: Vec::new(),
        headers: Vec::new(),
    };
    Args {
        task_id: "f81d4fae-7dec-11d0-a765-00a0c91e6bf6".into(),
        arguments: "{}".into(),
        variables: "{}".into(),
        input: "null".into(),
        request,
        user: None,
        attempt: 1,
    }
}

use self::sandpool::route::types::Request;

async fn call(pre: &RoutePre<Host>) {
    let host = Host { wasi: WasiCtx::builder().build(), table: ResourceTable::new() };
    let mut store = Store::new(pre.engine(), host);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|_| Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now()))));
    let route = pre.instantiate_async(&mut store).await.expect("an instance");
    let handle = store.data_mut().table.push(Nothing).expect("room");
    route.call_run(&mut store, &args(), handle).await.expect("no trap").expect("no failure");
}

/// Nanoseconds a call, `in_flight` calls at a time on the current runtime.
pub async fn nanos_per_call(in_flight: u32) -> f64 {
    let engine = engine();
    let mut linker = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker).expect("WASI");
    Route::add_to_linker::<_, HasSelf<Host>>(&mut linker, |host| host).expect("the interfaces");
    let component = Component::from_file(&engine, component("hello.wasm")).expect("a component");
    let pre = std::sync::Arc::new(
        RoutePre::new(linker.instantiate_pre(&component).expect("its imports")).expect("its world"),
    );
    let calls = 40_000 / in_flight;
    let round = |calls: u32| {
        let pre = pre.clone();
        async move {
            let workers: Vec<_> = (0..in_flight)
                .map(|_| {
                    let pre = pre.clone();
                    tokio::spawn(async move {
                        for _ in 0..calls {
                            call(&pre).await;
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
