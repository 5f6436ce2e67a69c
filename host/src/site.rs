//! Owns what the server offers now: the configuration's routes and those that came at runtime, loaded and put before
//! clients as a whole, whoever changes them. Must not know HTTP, nor how tasks run.

mod load;
mod manage;
mod watch;

pub use load::{Offered, endpoints, load_files};

use crate::api::manage::RouteFault;
use crate::api::{Endpoints, Options as Surroundings, Stage, Surface};
use crate::auth::{AuthError, Authenticator};
use crate::callback::Callbacks;
use crate::clock::Clock;
use crate::config::{Config, Faults};
use crate::metrics::Metrics;
use crate::plugins::{self, Plugins};
use crate::route::table::TableFault;
use crate::runner::{Deployed, LoadedRoute, Runner};
use crate::store::StoreError;
use crate::store::registry::{Registry, Revision, Standing};
use crate::tenant::{Ledger, of_name};
use crate::value::Json;
use crate::wasm::Loader;
use load::Pending;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::{Mutex, MutexGuard};
use tokio_util::task::AbortOnDropHandle;

/// How a configuration is read.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The file, which is watched.
    pub path: PathBuf,
    /// Before it was read: if it has changed since, it is read again.
    pub since: SystemTime,
    /// The address to listen at, whatever the file says.
    pub listen: Option<SocketAddr>,
}

impl Reading {
    /// A reading that begins now.
    #[must_use]
    pub fn new(path: PathBuf, listen: Option<SocketAddr>) -> Self {
        Self { path, since: SystemTime::now(), listen }
    }

    /// Reads the file.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn config(&self) -> Result<Config, Faults> {
        let mut config = Config::load(&self.path)?;
        config.server.listen = self.listen.unwrap_or(config.server.listen);
        Ok(config)
    }
}

/// What a site is made of.
pub struct Options {
    /// Where the configuration comes from.
    pub reading: Reading,
    /// Loads components.
    pub loader: Arc<Loader>,
    /// Keeps the routes that came at runtime.
    pub registry: Arc<dyn Registry>,
    /// The uploaded components.
    pub plugins: Plugins,
    /// Runs the routes' tasks.
    pub runner: Runner,
    /// Whom tasks' ends are told.
    pub callbacks: Callbacks,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What tenants may use.
    pub ledger: Arc<Ledger>,
    /// What is measured.
    pub metrics: Arc<Metrics>,
}

/// What the server offers; clones share it.
#[derive(Clone)]
pub struct Site(Arc<Inner>);

struct Inner {
    options: Options,
    stage: Stage,
    /// Held by whoever changes what is offered.
    state: Mutex<State>,
}

struct State {
    config: Arc<Config>,
    authenticator: Authenticator,
    /// Keeps the authenticator's keys fresh.
    _refreshing: AbortOnDropHandle<()>,
    files: Vec<Deployed>,
    runtime: BTreeMap<Arc<str>, Runtime>,
    pending: Vec<Pending>,
}

/// A route that came at runtime.
#[derive(Clone)]
struct Runtime {
    revision: Revision,
    standing: Standing,
    /// Or why it is not offered.
    deployed: Result<Deployed, String>,
    /// As it was written, parsed.
    definition: Option<Json>,
}

/// Why there is no site.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// Routes that cannot be offered, one a line.
    #[error("{0}")]
    Routes(String),
    /// Authentication cannot be had as configured.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<TableFault> for SiteError {
    fn from(fault: TableFault) -> Self {
        Self::Routes(fault.to_string())
    }
}

impl Site {
    /// Loads all routes. Those of the file must be right; one that came at runtime and is not any more is set aside.
    ///
    /// # Errors
    /// [`SiteError`]
    pub async fn open(options: Options, config: Config) -> Result<Self, SiteError> {
        let plugins = options.plugins.list().await?;
        let Offered { deployed: files, pending } = load::all(&options, &plugins, &config.routes, &[], true).await?;
        let authenticator = Authenticator::new(config.auth.clone(), Arc::clone(&options.clock), &options.metrics)?;
        let mut runtime = BTreeMap::new();
        let names: Vec<Arc<str>> = config.routes.iter().map(|route| Arc::clone(&route.name)).collect();
        for (revision, standing) in options.registry.routes().await? {
            let deployed = match names.contains(&revision.name) {
                true => Err("the configuration file has a route of this name".into()),
                false => load::runtime(&options, &plugins, &config, &revision, None).await,
            };
            let deployed = deployed.map(|deployed| standing_as(deployed, standing));
            runtime.insert(Arc::clone(&revision.name), Runtime::new(revision, standing, deployed));
        }
        let endpoints = endpoints_or_aside(&config, &files, &mut runtime, |_| true)?;
        for (name, route) in &runtime {
            if let Err(why) = &route.deployed {
                tracing::error!(route = %name, "the route is set aside: {why}");
            }
        }
        let surface = Surface::new(surroundings(&options, &config), authenticator.clone(), endpoints);
        let refreshing = AbortOnDropHandle::new(tokio::spawn(authenticator.clone().refresh()));
        let config = Arc::new(config);
        let state = State { config, authenticator, _refreshing: refreshing, files, runtime, pending };
        let site = Self(Arc::new(Inner { options, stage: Stage::new(surface), state: Mutex::new(state) }));
        site.state().await.open_lanes(&site.0.options.runner);
        Ok(site)
    }

    /// Where requests find what is offered.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.0.stage.clone()
    }

    async fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().await
    }

    /// The version of each offered route that takes over its stored tasks.
    pub async fn heirs(&self) -> Vec<Arc<LoadedRoute>> {
        let state = self.state().await;
        offered(&state.files, &state.runtime).iter().filter_map(Deployed::main).map(Arc::clone).collect()
    }

    /// Makes ready, in the background, what first tasks would otherwise wait for.
    pub async fn prepare(&self) {
        for loaded in self.heirs().await {
            if let Some(Ok(guests)) = loaded.guests() {
                guests.executor.prepare();
            }
        }
    }

    /// Applies a configuration to requests from now on. What needs a new start is named in the log.
    ///
    /// # Errors
    /// Why the present one stays.
    pub async fn reload(&self, config: Config) -> Result<(), SiteError> {
        let mut state = self.state().await;
        let Inner { options, .. } = &*self.0;
        let plugins = options.plugins.list().await?;
        let Offered { deployed: files, pending } =
            load::all(options, &plugins, &config.routes, &state.files, false).await?;
        let mut runtime = BTreeMap::new();
        for (name, before) in &state.runtime {
            let is_taken = config.routes.iter().any(|route| route.name == *name);
            if is_taken && before.deployed.is_err() {
                // Set aside already, and stays so.
                runtime.insert(Arc::clone(name), before.clone());
                continue;
            }
            if is_taken {
                let words = format!("the route {name} came at runtime: remove it there before it comes from the file");
                return Err(SiteError::Routes(words));
            }
            let old = before.deployed.as_ref().ok();
            let deployed = load::runtime(options, &plugins, &config, &before.revision, old).await;
            // What a tenant may have is the operator's to say: a route beyond it is set aside.
            let is_tenants = of_name(name).is_some();
            if let (Err(why), Ok(_), false) = (&deployed, &before.deployed, is_tenants) {
                return Err(SiteError::Routes(format!(
                    "the route {name}, which came at runtime, would be lost: {why}"
                )));
            }
            if let Err(why) = &deployed {
                tracing::error!(route = %name, "the route is set aside: {why}");
            }
            let deployed = deployed.map(|deployed| standing_as(deployed, before.standing));
            runtime.insert(Arc::clone(name), Runtime { deployed, ..before.clone() });
        }
        // Before anything changes. What a tenant holds is never in the operator's way.
        let endpoints = endpoints_or_aside(&config, &files, &mut runtime, |name| of_name(name).is_some())?;
        if config.auth != state.config.auth {
            let new = Authenticator::new(config.auth.clone(), Arc::clone(&options.clock), &options.metrics)?;
            state._refreshing = AbortOnDropHandle::new(tokio::spawn(new.clone().refresh()));
            state.authenticator = new;
        }
        options.runner.init_variables(config.state.clone()).await?;
        warn_of_starts(&state.config, &config);
        let gone: Vec<Arc<str>> = state.names().filter(|name| !has_name(&files, &runtime, name)).collect();
        for loaded in offered(&files, &runtime).iter().filter_map(Deployed::main) {
            options.runner.adopt(loaded).await?;
        }
        (state.files, state.runtime, state.config) = (files, runtime, Arc::new(config));
        state.pending.extend(pending);
        self.show(&state, endpoints);
        gone.iter().for_each(|name| options.runner.close(name));
        options.plugins.limit(limits(&state.config));
        options.ledger.apply(&state.config.tenants);
        options.runner.refresh();
        drop(state);
        self.prepare().await;
        self.forget_unused().await;
        Ok(())
    }

    /// Puts what the state says before clients; the endpoints are those of the state.
    fn show(&self, state: &State, endpoints: Endpoints) {
        let Inner { options, stage, .. } = &*self.0;
        state.open_lanes(&options.runner);
        stage.swap(Surface::new(surroundings(options, &state.config), state.authenticator.clone(), endpoints));
    }

    /// Lets go of components that no route runs.
    async fn forget_unused(&self) {
        let state = self.state().await;
        let offered = offered(&state.files, &state.runtime);
        let used: Vec<&Arc<str>> =
            offered.iter().flat_map(Deployed::versions).filter_map(|loaded| loaded.digest()).collect();
        self.0.options.loader.keep(&|digest| used.iter().any(|used| ***used == *digest));
    }
}

impl State {
    /// The endpoints of what is offered.
    fn endpoints(&self) -> Result<Endpoints, TableFault> {
        endpoints(&self.config, &offered(&self.files, &self.runtime))
    }

    fn names(&self) -> impl Iterator<Item = Arc<str>> {
        let files = self.files.iter().filter_map(Deployed::main).map(|loaded| Arc::clone(&loaded.route.name));
        files.chain(self.runtime.keys().map(Arc::clone))
    }

    fn open_lanes(&self, runner: &Runner) {
        for loaded in self.files.iter().filter_map(Deployed::main) {
            runner.open(&loaded.route, false);
        }
        for route in self.runtime.values() {
            if let Some(loaded) = route.deployed.as_ref().ok().and_then(Deployed::main) {
                runner.open(&loaded.route, route.standing == Standing::Paused);
            }
        }
    }
}

/// The endpoints; of routes that came at runtime and cannot stand beside those before them, those that `may_go` are set aside.
fn endpoints_or_aside(
    config: &Config,
    files: &[Deployed],
    runtime: &mut BTreeMap<Arc<str>, Runtime>,
    may_go: impl Fn(&str) -> bool,
) -> Result<Endpoints, TableFault> {
    // One by one only where they cannot all stand beside each other: each look takes in all before.
    if let Ok(endpoints) = endpoints(config, &offered(files, runtime)) {
        return Ok(endpoints);
    }
    let (going, staying): (Vec<Arc<str>>, Vec<Arc<str>>) = runtime.keys().cloned().partition(|name| may_go(name));
    let mut standing = BTreeMap::new();
    for name in staying.into_iter().chain(going) {
        let Some(route) = runtime.get_mut(&name) else { continue };
        standing.insert(Arc::clone(&name), route.clone());
        if may_go(&name)
            && let Err(fault) = endpoints(config, &offered(files, &standing))
        {
            standing.remove(&name);
            tracing::error!(route = %name, "the route is set aside: {fault}");
            route.deployed = Err(fault.to_string());
        }
    }
    endpoints(config, &offered(files, runtime))
}

/// Everything that is offered.
fn offered(files: &[Deployed], runtime: &BTreeMap<Arc<str>, Runtime>) -> Vec<Deployed> {
    let runtime = runtime.values().filter_map(|route| route.deployed.as_ref().ok());
    files.iter().chain(runtime).cloned().collect()
}

fn has_name(files: &[Deployed], runtime: &BTreeMap<Arc<str>, Runtime>, name: &str) -> bool {
    runtime.contains_key(name) || files.iter().filter_map(Deployed::main).any(|loaded| *loaded.route.name == *name)
}

fn standing_as(deployed: Deployed, standing: Standing) -> Deployed {
    deployed.opened(standing != Standing::Draining)
}

fn surroundings(options: &Options, config: &Config) -> Surroundings {
    let server = &config.server;
    Surroundings {
        public_url: server.public_url.clone(),
        tls: server.tls.is_some(),
        body_limit: server.body_limit,
        cors: server.cors.clone(),
        rate_limit: server.rate_limit,
        admin: config.admin.clone(),
        tenants: config.tenants.clone(),
        callbacks: options.callbacks.clone(),
        metrics: Arc::clone(&options.metrics),
    }
}

/// What may be uploaded.
#[must_use]
pub fn limits(config: &Config) -> plugins::Limits {
    plugins::Limits { max_size: config.plugins.max_size, keys: config.plugins.keys.clone() }
}

/// Says which changes have no effect before the next start.
fn warn_of_starts(before: &Config, after: &Config) {
    let (old, new) = (&before.server, &after.server);
    let changes = [
        ("server.listen", old.listen != new.listen),
        ("server.tls", old.tls != new.tls),
        ("server.connections", old.connections != new.connections),
        ("server.cors", old.cors != new.cors),
        ("server.shutdown_grace", old.shutdown_grace != new.shutdown_grace),
        ("store", before.store != after.store),
        ("node", (&before.node, before.slots) != (&after.node, after.slots)),
        ("callbacks", before.callbacks != after.callbacks),
    ];
    for (key, _) in changes.iter().filter(|(_, has_changed)| *has_changed) {
        tracing::warn!("{key} has changed, which takes effect at the next start");
    }
}

impl From<SiteError> for RouteFault {
    fn from(error: SiteError) -> Self {
        match error {
            SiteError::Store(error) => Self::Store(error),
            other => Self::Conflict(other.to_string()),
        }
    }
}
