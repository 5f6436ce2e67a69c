//! Owns one instance of a guest: its store, from instantiation to the end of its one call.
//! Must not know how many there are, or who stops it.

use super::bindings::route::sandpool::route::types::{Args, Failure, Request, User};
use super::bindings::route::{Route, RoutePre};
use super::control::Control;
use super::granted::Granted;
use super::imports::StateHandle;
use super::limits::Limits;
use super::outgoing::{Outgoing, Sender};
use super::stdio::{LineLog, Reports};
use super::trap;
use super::typed::{RUN, Signature};
use crate::executor::Call;
use crate::principal::Principal;
use crate::task::ending::{Fault, Outcome};
use crate::task::log::{Level, Line};
use crate::value::Json;
use std::sync::Arc;
use wasmtime::component::{Func, InstancePre, Resource};
use wasmtime::{Engine, Store, UpdateDeadline};
use wasmtime_wasi::{ResourceTable, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView};

/// The most bytes of a guest's answer.
pub const MAX_RESULT: usize = 8 << 20;
/// The most bytes that a task may move through one host call, its answer included.
const HOST_CALL_BYTES: usize = MAX_RESULT + (1 << 20);
/// The most random bytes of one call.
const RANDOM_BYTES: u64 = 64 << 10;

/// What the host keeps for one instance.
pub struct HostState {
    wasi: WasiCtx,
    outgoing: Outgoing,
    pub(super) table: ResourceTable,
    pub(super) reports: Reports,
    pub(super) limits: Limits,
    control: Arc<Control>,
    output: [LineLog; 2],
}

impl HostState {
    fn new(memory: u64, control: Arc<Control>, granted: &Granted, sender: &Arc<Sender>) -> wasmtime::Result<Self> {
        let reports = Reports::default();
        let output = [Level::Info, Level::Warn].map(|level| LineLog::new(reports.clone(), level));
        let [stdout, stderr] = output.clone();
        let mut wasi = WasiCtx::builder();
        wasi.stdout(stdout)
            .stderr(stderr)
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .max_random_size(RANDOM_BYTES);
        granted.give(&mut wasi)?;
        let outgoing = Outgoing::new(Arc::clone(granted.grants()), Arc::clone(sender));
        let mut table = ResourceTable::new();
        table.set_max_capacity(granted.handles());
        Ok(Self { wasi: wasi.build(), outgoing, table, reports, limits: Limits::new(memory), control, output })
    }

    fn finish_output(&self) {
        self.output.iter().for_each(LineLog::finish);
    }
}

impl WasiView for HostState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for HostState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.outgoing.view(&mut self.table)
    }
}

/// A store in which the limits hold from the first instruction.
///
/// # Errors
/// When what is granted cannot be given.
pub fn new_store(
    engine: &Engine,
    memory: u64,
    control: Arc<Control>,
    granted: &Granted,
    sender: &Arc<Sender>,
) -> wasmtime::Result<Store<HostState>> {
    let mut store = Store::new(engine, HostState::new(memory, control, granted, sender)?);
    store.limiter(|state| &mut state.limits);
    store.set_hostcall_fuel(HOST_CALL_BYTES);
    store.set_max_component_handles(granted.handles());
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|context| match context.data().control.interrupt() {
        Some(interrupt) => Err(interrupt.into()),
        // Not `Yield`: it would wake itself without ever letting the runtime look at its timers and sockets.
        None => Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now()))),
    });
    Ok(store)
}

/// A component that is linked, and how its `run` is called.
pub enum Guest {
    /// World `route`.
    Route(Box<RoutePre<HostState>>),
    /// With types of its own.
    Typed(InstancePre<HostState>, Arc<Signature>),
}

enum Entry {
    Route(Route),
    Typed(Func, Arc<Signature>),
}

impl Guest {
    /// The component, ready for instances.
    pub fn pre(&self) -> &InstancePre<HostState> {
        match self {
            Self::Route(pre) => pre.instance_pre(),
            Self::Typed(pre, _) => pre,
        }
    }

    async fn instantiate(&self, store: &mut Store<HostState>) -> wasmtime::Result<Entry> {
        Ok(match self {
            Self::Route(pre) => Entry::Route(pre.instantiate_async(store).await?),
            Self::Typed(pre, signature) => {
                let run = pre.instantiate_async(&mut *store).await?.get_func(&mut *store, RUN);
                Entry::Typed(run.ok_or_else(|| wasmtime::format_err!("there is no `run`"))?, Arc::clone(signature))
            }
        })
    }
}

/// An instance that has not run yet.
pub struct Instance {
    store: Store<HostState>,
    entry: Entry,
}

impl Instance {
    /// Instantiates a component, which may run code of it.
    ///
    /// # Errors
    /// How that code failed.
    pub async fn new(
        guest: &Guest,
        memory: u64,
        control: Arc<Control>,
        granted: &Granted,
        sender: &Arc<Sender>,
    ) -> Result<Self, Outcome> {
        let store = new_store(guest.pre().engine(), memory, control, granted, sender);
        let mut store = store.map_err(|error| Outcome::Fault(Fault::NotRunnable(format!("{error:#}"))))?;
        match guest.instantiate(&mut store).await {
            Ok(entry) => Ok(Self { store, entry }),
            Err(error) => Err(trap::outcome_of(&error, store.data())),
        }
    }

    /// Runs the attempt to its end. The store and all that is in it are gone when this returns, or when it is dropped.
    pub async fn run(mut self, call: Call, control: Arc<Control>) -> Outcome {
        let state = self.store.data_mut();
        state.control = control;
        state.outgoing.connect(&call);
        state.reports.connect(Arc::clone(&call.sink));
        let Ok(handle) = state.table.push(StateHandle(Arc::clone(&call.variables))) else {
            return Outcome::Fault(Fault::NotRunnable("no room for the state handle".into()));
        };
        let handle = Resource::new_own(handle.rep());
        self.store.set_epoch_deadline(1);
        let (store, args) = (&mut self.store, args_of(&call));
        let ended = match &self.entry {
            Entry::Route(route) => {
                let returned = route.call_run(&mut *store, &args, handle).await;
                store.data().finish_output();
                returned.map(|returned| outcome_of_return(returned, &store.data().reports))
            }
            Entry::Typed(run, signature) => {
                let returned = signature.call(*run, store, args, &call.invocation.input, handle).await;
                store.data().finish_output();
                let outcome = |value| signature.outcome(value, &store.data().reports);
                returned.map(|returned| returned.map_or_else(std::convert::identity, outcome))
            }
        };
        ended.unwrap_or_else(|error| trap::outcome_of(&error, self.store.data()))
    }
}

fn outcome_of_return(returned: Result<String, Failure>, reports: &Reports) -> Outcome {
    match returned {
        Ok(result) => outcome_of_result(result),
        Err(failure) => Outcome::Failed {
            message: Line::cut(failure.message),
            detail: failure.detail.and_then(|detail| detail_of(detail, reports)),
        },
    }
}

fn outcome_of_result(result: String) -> Outcome {
    if result.len() > MAX_RESULT {
        return Outcome::Fault(Fault::BadResult(format!("it has more than {} MiB", MAX_RESULT >> 20)));
    }
    match Json::parse(result) {
        Ok(result) => Outcome::Completed(result),
        Err(fault) => Outcome::Fault(Fault::BadResult(format!("it is no JSON text, {fault}"))),
    }
}

/// The detail of a failure, which is to be a JSON text.
pub fn detail_of(detail: String, reports: &Reports) -> Option<Json> {
    let parsed = if detail.len() > MAX_RESULT { Err("it is too large".to_owned()) } else { Ok(detail) }
        .and_then(|detail| Json::parse(detail).map_err(|fault| fault.to_string()));
    parsed
        .map_err(|fault| reports.log(Level::Warn, format!("the failure's detail was dropped: {fault}"), Vec::new()))
        .ok()
}

fn args_of(call: &Call) -> Args {
    let invocation = &call.invocation;
    let request = invocation.request.clone();
    Args {
        task_id: call.task.to_string(),
        arguments: call.route.arguments.as_str().to_owned(),
        variables: call.route.variables.as_str().to_owned(),
        input: invocation.input.as_str().to_owned(),
        request: Request {
            method: request.method,
            url: request.url,
            path_parameters: request.path_parameters,
            query: request.query,
            headers: request.headers,
        },
        user: invocation.user.clone().map(user_of),
        attempt: call.attempt,
    }
}

fn user_of(principal: Principal) -> User {
    let Principal { id, groups, roles, scopes } = principal;
    User { id, groups, roles, scopes }
}
