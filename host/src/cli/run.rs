//! Owns `sandpool run`: one attempt of one component, here, with a progress bar and the log on standard error.
//! Must not know how guests are run.

use super::terminal::{self, above};
use super::{Ending, Refusal, say};
use crate::app;
use crate::clock::{Clock, SystemClock};
use crate::config;
use crate::executor::{Call, Cancel, EventSink, Executor};
use crate::ids::IdScheme;
use crate::metrics::Metrics;
use crate::project::Case;
use crate::route::grants::Grants;
use crate::route::{IdRule, MAX_MEMORY, OnLostHost, PoolSize, Retry, Route, Source, StateGrants};
use crate::runner::GrantedVariables;
use crate::store::sqlite::SqliteStore;
use crate::store::{Store, StoreUrl};
use crate::task::access::{Allowed, Permission};
use crate::task::ending::{Outcome, StopReason};
use crate::task::log::{Level, Line, LogRules};
use crate::task::progress::{Meter, Step};
use crate::task::{Invocation, Request};
use crate::value::Json;
use crate::wasm::Loader;
use futures_util::future::BoxFuture;
use indicatif::ProgressBar;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The component's file
    component: PathBuf,
    /// The input, as a request's body would be
    #[arg(long, value_name = "JSON", default_value = "null", value_parser = json)]
    input: Json,
    /// The route's arguments, an object
    #[arg(long, value_name = "JSON", default_value = "{}", value_parser = json)]
    arguments: Json,
    /// The route's captured variables, an object
    #[arg(long, value_name = "JSON", default_value = "{}", value_parser = json)]
    variables: Json,
    /// Shared variables to begin with, an object of names and values; all may be read and written
    #[arg(long, value_name = "JSON", default_value = "{}", value_parser = variables)]
    state: Vars,
    /// What it may do, as `grants` of a route: {http: [api.example.com], env: {MODE: test}, directories: [data]}
    #[arg(long, value_name = "GRANTS", default_value = "{}", value_parser = grants)]
    grants: Grants,
    /// The most memory, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=(MAX_MEMORY >> 20)))]
    memory: u64,
    /// Stops it after so many seconds
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<f64>,
    /// Answers {"State": …, "Result": …, "Error": …} as JSON, and draws no progress bar
    #[arg(long)]
    json: bool,
}

type Vars = BTreeMap<String, Json>;

fn json(text: &str) -> Result<Json, String> {
    Json::parse(text.to_owned()).map_err(|fault| format!("no JSON: {fault}"))
}

fn variables(text: &str) -> Result<Vars, String> {
    let raw: BTreeMap<String, &RawValue> =
        serde_json::from_str(text).map_err(|error| format!("no JSON object: {error}"))?;
    raw.into_iter().map(|(name, value)| json(value.get()).map(|value| (name, value))).collect()
}

fn grants(text: &str) -> Result<Grants, String> {
    config::grants(text, Path::new("")).map_err(|faults| faults.to_string())
}

/// The longest that a case may take.
const CASE: f64 = 60.0;

impl Arguments {
    /// What a case of a project asks for.
    pub(super) fn of_case(component: &Path, case: &Case) -> Self {
        Self {
            component: component.to_owned(),
            input: case.input.clone(),
            arguments: case.arguments.clone(),
            variables: case.variables.clone(),
            state: case.state.clone(),
            grants: Grants::default(),
            memory: 64,
            timeout: Some(CASE),
            json: true,
        }
    }
}

pub fn run(arguments: &Arguments) -> Result<Ending, Refusal> {
    let terminal = Terminal::new(!arguments.json && std::io::stderr().is_terminal());
    let outcome = attempt(&app::lone_loader()?, arguments, &terminal)?;
    terminal.bar.finish_and_clear();
    Ok(answer(outcome, arguments.json))
}

pub(super) fn attempt(loader: &Loader, arguments: &Arguments, terminal: &Arc<Terminal>) -> Result<Outcome, Refusal> {
    let route = Arc::new(route(arguments));
    let guests = loader.route(&route, &loader.program(&loader.read(&arguments.component)?)?)?;
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&StoreUrl::SqliteMemory, &Metrics::default())?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let vars = arguments.state.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        store.init_variables(vars).await?;
        let call = call(arguments, &route, &store, Arc::clone(terminal));
        let cancel = Arc::clone(&call.cancel);
        let mut running = guests.run(call);
        let timeout = arguments.timeout.map(Duration::try_from_secs_f64).transpose()?;
        let outcome = tokio::select! {
            outcome = &mut running => return Ok(outcome),
            _ = tokio::signal::ctrl_c() => StopReason::User,
            () = sleep(timeout) => StopReason::Timeout,
        };
        cancel.fire(outcome);
        Ok(running.await)
    })
}

async fn sleep(longest: Option<Duration>) {
    match longest {
        Some(longest) => tokio::time::sleep(longest).await,
        None => std::future::pending().await,
    }
}

fn answer(outcome: Outcome, as_json: bool) -> Ending {
    let (event, result, error) = outcome.into_parts();
    let state = crate::task::state::State::Running.on(event).map_or_else(|fault| fault.to_string(), |s| s.to_string());
    let ending = if error.is_none() { Ending::Ok } else { Ending::FailedTask };
    if as_json {
        let state = Json::from_serialize(&state).unwrap_or_else(|_| Json::null());
        let error = error.as_ref().and_then(|error| Json::from_serialize(error).ok());
        let members = [("State", Some(&state)), ("Result", result.as_ref()), ("Error", error.as_ref())];
        let members = members.into_iter().filter_map(|(name, value)| value.map(|value| (name, value)));
        say(Json::object(members).as_str());
        return ending;
    }
    if let Some(error) = error {
        super::say_error(&format!("{state}: {error}"));
    }
    if let Some(result) = result {
        say(result.as_str());
    }
    ending
}

fn route(arguments: &Arguments) -> Route {
    Route {
        name: "__Run__".into(),
        tenant: None,
        method: "RUN".into(),
        path: "/".into(),
        component: Source::File(arguments.component.clone()),
        arguments: arguments.arguments.clone(),
        variables: arguments.variables.clone(),
        state: StateGrants { read: Vec::new(), write: arguments.state.keys().cloned().collect() },
        grants: Arc::new(arguments.grants.clone()),
        timeout: None,
        run_timeout: None,
        cpu_limit: None,
        pool: PoolSize { min: 0, max: 1, queue: 0 },
        memory: arguments.memory << 20,
        cancellable: true,
        id: IdRule::Scheme(IdScheme::Uuid),
        sse: None,
        retry: Retry { attempts: 1, backoff: Duration::ZERO, on_lost_host: OnLostHost::Fail },
        logs: LogRules::default(),
        responses: Vec::new(),
        auth: None,
        access: Allowed::default(),
        permission: Permission::default(),
        callback: None,
        summary: None,
        tags: Vec::new(),
    }
}

fn call(arguments: &Arguments, route: &Arc<Route>, store: &Arc<dyn Store>, sink: Arc<Terminal>) -> Call {
    let request = Request {
        method: "RUN".into(),
        url: format!("file:{}", arguments.component.display()),
        path_parameters: Vec::new(),
        query: Vec::new(),
        headers: Vec::new(),
    };
    Call {
        task: IdScheme::Uuid.generate(),
        attempt: 1,
        route: Arc::clone(route),
        invocation: Arc::new(Invocation {
            input: arguments.input.clone(),
            request,
            user: None,
            tenant: None,
            traceparent: None,
            sse: None,
            callback: None,
        }),
        cancel: Arc::new(Cancel::default()),
        sink,
        variables: Arc::new(GrantedVariables::new(Arc::clone(store), route, u64::MAX)),
        cpu: Arc::default(),
    }
}

/// Shows what the guest reports.
pub(super) struct Terminal {
    bar: ProgressBar,
    meter: Mutex<Meter>,
}

impl Terminal {
    pub(super) fn new(drawn: bool) -> Arc<Self> {
        Arc::new(Self { bar: terminal::bar(100, terminal::TASK, drawn), meter: Mutex::default() })
    }

    fn line(&self, text: &str) {
        above(&self.bar, text);
    }
}

impl EventSink for Terminal {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn progress(&self, step: Step) {
        let mut meter = self.meter.lock().unwrap_or_else(PoisonError::into_inner);
        meter.apply(step, SystemClock.now());
        self.bar.set_position(meter.percent(SystemClock.now()).unwrap_or(0.0) as u64);
    }

    fn percent(&self) -> f64 {
        let meter = self.meter.lock().unwrap_or_else(PoisonError::into_inner);
        meter.percent(SystemClock.now()).unwrap_or(0.0)
    }

    fn log(&self, level: Level, message: String, fields: Vec<(String, String)>) {
        let line = Line::new(SystemClock.now(), level, message, fields, LogRules::default().line);
        self.line(&terminal::written(&line));
    }

    fn event(&self, name: String, data: Json) {
        self.line(&format!("event {name} {}", data.as_str()));
    }

    fn room(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}
