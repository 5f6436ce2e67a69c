//! Owns what a guest may import: the Sandpool interfaces and WASI 0.2, of which only the harmless part works without a grant.
//! Must not know how a guest is instantiated or stopped.

use super::bindings::route::Route;
use super::bindings::route::sandpool::route::state::{Host as StateHost, HostState as StateMethods};
use super::bindings::route::sandpool::route::state::{StateError, Versioned};
use super::bindings::route::sandpool::route::{events, log, progress, types};
use super::instance::HostState;
use super::outgoing;
use crate::executor::{MAX_VALUE, VariableError, Variables};
use crate::task::event;
use crate::task::log::Level;
use crate::task::progress::Step;
use crate::value::Json;
use std::sync::Arc;
use wasmtime::Engine;
use wasmtime::component::{HasSelf, Linker, Resource};

/// The most bytes of an event's name, and of its data.
const EVENT_NAME: usize = 64;
const EVENT_DATA: usize = 64 * 1024;

/// The interfaces given to every guest, by the start of their names.
pub const GIVEN: [&str; 13] = [
    "sandpool:route/types@1.",
    "sandpool:route/state@1.",
    "sandpool:route/progress@1.",
    "sandpool:route/log@1.",
    "sandpool:route/events@1.",
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:http/outgoing-handler@0.2.",
    "wasi:http/types@0.2.",
    "wasi:io/",
    "wasi:random/",
    "wasi:sockets/",
];

/// A linker with everything that guests are given.
pub fn linker(engine: &Engine) -> wasmtime::Result<Linker<HostState>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    outgoing::limit(&mut linker)?;
    Route::add_to_linker::<_, HasSelf<HostState>>(&mut linker, |state| state)?;
    Ok(linker)
}

/// A guest's handle on the shared variables. It ends with its store, and so with the task's call.
pub struct StateHandle(pub(super) Arc<dyn Variables>);

impl types::Host for HostState {}

impl StateHost for HostState {}

impl HostState {
    fn variables(&self, handle: &Resource<StateHandle>) -> wasmtime::Result<Arc<dyn Variables>> {
        Ok(Arc::clone(&self.table.get(handle)?.0))
    }
}

impl StateMethods for HostState {
    async fn get(
        &mut self,
        handle: Resource<StateHandle>,
        name: String,
    ) -> wasmtime::Result<Result<Option<Versioned>, StateError>> {
        let found = self.variables(&handle)?.get(name).await;
        let versioned = |found: crate::executor::Versioned| Versioned {
            value: found.value.as_str().to_owned(),
            version: found.version,
        };
        Ok(found.map(|found| found.map(versioned)).map_err(StateError::from))
    }

    async fn set(
        &mut self,
        handle: Resource<StateHandle>,
        name: String,
        value: String,
    ) -> wasmtime::Result<Result<u64, StateError>> {
        let variables = self.variables(&handle)?;
        Ok(match json(value) {
            Ok(value) => variables.set(name, value).await.map_err(StateError::from),
            Err(error) => Err(error),
        })
    }

    async fn update(
        &mut self,
        handle: Resource<StateHandle>,
        name: String,
        expected: Option<u64>,
        value: String,
    ) -> wasmtime::Result<Result<u64, StateError>> {
        let variables = self.variables(&handle)?;
        Ok(match json(value) {
            Ok(value) => variables.update(name, expected, value).await.map_err(StateError::from),
            Err(error) => Err(error),
        })
    }

    async fn names(&mut self, handle: Resource<StateHandle>) -> wasmtime::Result<Vec<String>> {
        Ok(self.variables(&handle)?.names())
    }

    async fn drop(&mut self, handle: Resource<StateHandle>) -> wasmtime::Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}

fn json(text: String) -> Result<Json, StateError> {
    // Looked at before it is parsed: parsing runs on the guest's thread and cannot be interrupted.
    if text.len() > MAX_VALUE {
        return Err(StateError::Unavailable(format!("the value has more than {MAX_VALUE} bytes")));
    }
    Json::parse(text).map_err(|fault| StateError::Unavailable(format!("the value is no JSON: {fault}")))
}

impl From<VariableError> for StateError {
    fn from(error: VariableError) -> Self {
        match error {
            VariableError::Denied => Self::Denied,
            VariableError::Conflict(version) => Self::Conflict(version),
            VariableError::Limit(why) | VariableError::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

impl progress::Host for HostState {
    fn set(&mut self, percent: f64) -> wasmtime::Result<()> {
        self.reports.progress(Step::Set(percent));
        Ok(())
    }

    fn get(&mut self) -> wasmtime::Result<f64> {
        Ok(self.reports.percent())
    }

    fn begin(&mut self, ticks: u32, until: f64) -> wasmtime::Result<()> {
        self.reports.progress(Step::Begin { ticks, until });
        Ok(())
    }

    fn tick(&mut self, n: u32) -> wasmtime::Result<()> {
        self.reports.progress(Step::Tick(n));
        Ok(())
    }

    fn timed(&mut self, seconds: f64, until: f64) -> wasmtime::Result<()> {
        self.reports.progress(Step::Timed { seconds, until });
        Ok(())
    }
}

impl log::Host for HostState {
    fn write(&mut self, level: log::Level, message: String, fields: Vec<(String, String)>) -> wasmtime::Result<()> {
        let level = match level {
            log::Level::Trace => Level::Trace,
            log::Level::Debug => Level::Debug,
            log::Level::Info => Level::Info,
            log::Level::Warn => Level::Warn,
            log::Level::Error => Level::Error,
        };
        self.reports.log(level, message, fields);
        Ok(())
    }
}

impl events::Host for HostState {
    async fn send(&mut self, name: String, data: String) -> wasmtime::Result<()> {
        let well_named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let fault = if name.is_empty() || name.len() > EVENT_NAME || !name.chars().all(well_named) {
            Some(format!("its name must be 1 to {EVENT_NAME} of A-Z, a-z, 0-9, '.', '_' and '-'"))
        } else if event::OWN.contains(&name.as_str()) {
            Some(format!("the name {name} belongs to the host"))
        } else if data.len() > EVENT_DATA {
            Some(format!("its data has more than {EVENT_DATA} bytes"))
        } else {
            None
        };
        match fault.map_or_else(|| Json::parse(data).map_err(|fault| format!("its data is no JSON: {fault}")), Err) {
            Ok(data) => self.reports.event(name, data).await,
            Err(fault) => self.reports.log(Level::Warn, format!("an event was not sent: {fault}"), Vec::new()),
        }
        Ok(())
    }
}
