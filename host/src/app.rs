//! Owns the assembly: builds the server from a configuration, in order, and takes it down in reverse.
//! Must not decide anything that a layer below can decide.

mod connections;
mod tls;

use self::connections::{Bounded, connection_limit};
use self::tls::Certificate;
use crate::api::Api;
use crate::api::manage::Managed;
use crate::callback::{self, Callbacks};
use crate::clock::{Clock, SystemClock};
use crate::config::{self, Config, OpenApi};
use crate::events::{self, Hub};
use crate::metrics::Metrics;
use crate::plugins::{self, Plugins};
use crate::route::task_route::TaskRoute;
use crate::route::{Route, Source};
use crate::runner::{self, LoadedRoute, Runner};
use crate::site::{self, Reading, Site, SiteError};
use crate::store::registry::Registry;
use crate::store::sqlite::SqliteStore;
use crate::store::{Store, StoreError};
use crate::tenant::Ledger;
use crate::wasm::{COMPILE_COMMAND, Cache, CacheError, Compiler, EngineError, Loader, WasmEngine};
use axum_server::{Handle, Server};
use futures_util::{Stream, stream};
use hyper_util::rt::TokioTimer;
use std::collections::HashMap;
use std::io::IsTerminal;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long a client may take to send the head of a request.
const HEAD_TIME_LIMIT: Duration = Duration::from_secs(10);
/// The most bytes of a request's head.
const HEAD_BYTES: usize = 64 * 1024;
/// How long connections may go on once all tasks have ended.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A component cannot be used.
    #[error("{0}")]
    Load(String),
    /// The engine did not start.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// No place for compiled code.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The store did not open, or did not answer at start.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The address cannot be had.
    #[error(
        "cannot listen at {address}: {error}. Stop the program that uses it, or set `server.listen` to another port (0: any free one)"
    )]
    Listen {
        /// What is configured.
        address: SocketAddr,
        /// The system's words.
        error: std::io::Error,
    },
    /// The certificate or its key cannot be used.
    #[error("TLS is not possible: {0}")]
    Tls(String),
    /// The routes cannot be offered.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// There can be no client for callbacks.
    #[error("callbacks cannot be sent: {0}")]
    Callbacks(String),
    /// The server broke.
    #[error("the server broke: {0}")]
    Serve(std::io::Error),
}

/// The signals that ask for the end (the first begins the shutdown, the second ends its grace), and, of a server, the one
/// that asks for the configuration to be read again.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// `None`: it asks for no end.
    hangup: Option<Signal>,
    reread: Option<Signal>,
}

impl Signals {
    /// From now on SIGTERM, SIGINT and SIGHUP are taken here, and each asks for the end.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: Some(signal(SignalKind::hangup())?),
            reread: None,
        })
    }

    /// The same of a server: SIGHUP asks for the configuration to be read again, unless it says that the terminal is gone.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn of_server() -> std::io::Result<Self> {
        let mut signals = Self::new()?;
        if !std::io::stderr().is_terminal() {
            signals.reread = signals.hangup.take();
        }
        Ok(signals)
    }

    /// The next one that asks for the end.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            () = received(&mut self.hangup) => {}
        }
    }
}

/// Resolves when the signal comes; never without one.
async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// A server that is built and listens, but does not answer yet.
pub struct App {
    runner: Runner,
    hub: Hub,
    store: Arc<dyn Store>,
    api: Api,
    listener: TcpListener,
    site: Site,
    callbacks: Callbacks,
    certificate: Option<Certificate>,
    connections: u32,
    grace: Duration,
    metrics: Arc<Metrics>,
    /// Kept so that the engine goes last.
    _loader: Arc<Loader>,
}

/// What loads components into an engine of its own. Blocks for some milliseconds.
///
/// # Errors
/// When the engine does not start, or the cache cannot be used.
pub fn loader(metrics: &Metrics, ledger: Arc<Ledger>) -> Result<Loader, AppError> {
    Ok(Loader::new(WasmEngine::start(metrics, ledger)?, cache()?))
}

/// The same for one command: nothing of it is told to anybody.
///
/// # Errors
/// As for [`loader`].
pub fn lone_loader() -> Result<Loader, AppError> {
    let metrics = Arc::<Metrics>::default();
    loader(&metrics, Ledger::new(Arc::clone(&metrics)))
}

/// The compile cache of this program: the user's folder, filled by this program as its own child.
///
/// # Errors
/// When the folder cannot be used.
fn cache() -> Result<Cache, AppError> {
    let folder = Cache::default_folder(|name| std::env::var(name).ok());
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("sandpool"));
    tracing::debug!("compiled components are kept in {}, made by `{COMPILE_COMMAND}`", folder.display());
    Ok(Cache::open(&folder, Compiler::Child(program))?)
}

impl App {
    /// Builds the server of a configuration that was read so: the port first, since it is the likeliest to be
    /// taken, then engine, store, components, tasks.
    ///
    /// # Errors
    /// [`AppError`] with the first thing that cannot be had; nothing is left behind.
    pub async fn build(config: Config, reading: Reading) -> Result<Self, AppError> {
        let address = config.server.listen;
        let listener = listen(address).map_err(|error| AppError::Listen { address, error })?;
        let certificate = match &config.server.tls {
            Some(files) => Some(Certificate::load(files).await.map_err(AppError::Tls)?),
            None => None,
        };
        let metrics = Arc::<Metrics>::default();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let ledger = Ledger::new(Arc::clone(&metrics));
        ledger.apply(&config.tenants);
        let (measured, charged) = (Arc::clone(&metrics), Arc::clone(&ledger));
        let loader = tokio::task::spawn_blocking(move || loader(&measured, charged));
        let loader = Arc::new(loader.await.map_err(|error| AppError::Load(error.to_string()))??);
        let opened = Arc::new(SqliteStore::open(&config.store.url, &metrics)?);
        let (store, registry): (Arc<dyn Store>, Arc<dyn Registry>) = (Arc::clone(&opened) as _, opened);
        store.init_variables(config.state.clone()).await?;
        let runner = Runner::new(runner::Options {
            store: Arc::clone(&store),
            clock: Arc::clone(&clock),
            node: config.node.clone(),
            retention: config.store.retention,
            retention_failed: config.store.retention_failed,
            slots: config.slots,
            ledger: Arc::clone(&ledger),
            metrics: Arc::clone(&metrics),
        });
        let hub = Hub::new(events::Options { store: Arc::clone(&store), metrics: Arc::clone(&metrics) });
        let callbacks = callbacks(&config.callbacks, Arc::clone(&store), Arc::clone(&clock), Arc::clone(&metrics))?;
        let options = plugins::Options {
            registry: Arc::clone(&registry),
            loader: Arc::clone(&loader),
            ledger: Arc::clone(&ledger),
            clock: Arc::clone(&clock),
        };
        let plugins = Plugins::new(options, site::limits(&config));
        plugins.sweep().await?;
        let (grace, connections) = (config.server.shutdown_grace, config.server.connections);
        let options = site::Options {
            reading,
            loader: Arc::clone(&loader),
            registry: Arc::clone(&registry),
            plugins: plugins.clone(),
            runner: runner.clone(),
            callbacks: callbacks.clone(),
            clock: Arc::clone(&clock),
            ledger: Arc::clone(&ledger),
            metrics: Arc::clone(&metrics),
        };
        let site = Site::open(options, config).await?;
        recover(&runner, &site.heirs().await).await?;
        site.prepare().await;
        let since = clock.now();
        let managed = Managed { plugins, routes: Arc::new(site.clone()), registry, ledger, clock, since };
        let api = Api::new(runner.clone(), hub.clone(), managed, site.stage());
        Ok(Self {
            runner,
            hub,
            store,
            api,
            site,
            callbacks,
            listener,
            certificate,
            connections,
            grace,
            metrics,
            _loader: loader,
        })
    }

    /// The address that it listens at.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn address(&self) -> Result<SocketAddr, AppError> {
        self.listener.local_addr().map_err(AppError::Serve)
    }

    /// The URL at which it listens.
    ///
    /// # Errors
    /// As [`Self::address`].
    pub fn base_url(&self) -> Result<String, AppError> {
        let scheme = if self.certificate.is_some() { "https" } else { "http" };
        Ok(format!("{scheme}://{}", self.address()?))
    }

    /// Serves until the first signal, then drains: new requests get 503, running tasks have their grace, which a second
    /// signal ends; what is left is stopped and recorded, and the store is closed last.
    ///
    /// # Errors
    /// [`AppError::Serve`].
    pub async fn run(self, mut signals: Signals) -> Result<(), AppError> {
        let handle = Handle::new();
        let server = axum_server::from_tcp(self.listener).map_err(AppError::Serve)?.handle(handle.clone());
        let service = self.api.router().into_make_service_with_connect_info::<SocketAddr>();
        let sweeping = tokio::spawn(self.runner.clone().sweep());
        let pacing = tokio::spawn(self.runner.clone().pace());
        let keeping = tokio::spawn(self.runner.clone().keep_quotas());
        let (mut pumping, mut telling) =
            (tokio::spawn(self.runner.clone().pump()), tokio::spawn(self.hub.clone().run()));
        let callbacks_over = CancellationToken::new();
        let delivering = tokio::spawn(self.callbacks.deliver(callbacks_over.clone()));
        let watching_site = tokio::spawn(self.site.run(reread(signals.reread.take())));
        let bounded = Bounded::new(connection_limit(self.connections), self.metrics);
        let (mut serving, watching) = match self.certificate {
            None => (tokio::spawn(limited(server.acceptor(bounded)).serve(service)), None),
            Some(certificate) => {
                let server = limited(server.acceptor(certificate.acceptor().acceptor(bounded)));
                let serving = tokio::spawn(server.serve(service));
                (serving, Some(tokio::spawn(certificate.watch())))
            }
        };
        let mut served = None;
        tokio::select! {
            () = signals.next() => tracing::info!("shutting down: running tasks have {:?}", self.grace),
            // A listener that breaks is an end like any other: nothing that runs is lost.
            broken = &mut serving => served = Some(broken),
            // Nobody would be told anything any more.
            _ = &mut pumping => tracing::error!("the pump of events broke: shutting down"),
            _ = &mut telling => tracing::error!("the hub of events broke: shutting down"),
        }
        let grace_is_over = async {
            tokio::select! {
                () = tokio::time::sleep(self.grace) => {}
                () = signals.next() => {}
            }
        };
        let stopped = self.runner.drain(grace_is_over).await;
        if stopped > 0 {
            tracing::warn!(stopped, "tasks were stopped because their grace was over");
        }
        if !pumping.is_finished() {
            drop(pumping.await);
        }
        self.hub.close();
        if !telling.is_finished() {
            drop(telling.await);
        }
        handle.graceful_shutdown(Some(LAST_ANSWERS));
        let served = match served {
            Some(served) => served,
            None => serving.await,
        };
        drop((sweeping.await, pacing.await, keeping.await));
        // The last ends are told too, if that takes no time.
        callbacks_over.cancel();
        drop(delivering.await);
        [Some(watching_site), watching].into_iter().flatten().for_each(|endless| endless.abort());
        self.store.close().await;
        tracing::info!("shut down");
        served.unwrap_or_else(|error| Err(std::io::Error::other(error))).map_err(AppError::Serve)
    }
}

fn callbacks(
    config: &config::Callbacks,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
) -> Result<Callbacks, AppError> {
    let callbacks = Callbacks::new(callback::Options {
        store,
        clock,
        guard: Arc::new(config.guard.clone()),
        keys: config.keys.clone(),
        schedule: config.schedule.clone(),
        timeout: config.timeout,
        metrics,
    });
    callbacks.map_err(AppError::Callbacks)
}
/// Each time the configuration is to be read again.
fn reread(signal: Option<Signal>) -> impl Stream<Item = ()> + Send {
    stream::unfold(signal, |mut signal| async move {
        received(&mut signal).await;
        Some(((), signal))
    })
}

/// The server with its limits on what clients may send before they are known. HTTP/1.1 only: waiting for the preface of
/// HTTP/2 has no time limit.
fn limited<A>(mut server: Server<SocketAddr, A>) -> Server<SocketAddr, A> {
    let mut http = server.http_builder().clone().http1_only();
    http.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIME_LIMIT).max_buf_size(HEAD_BYTES);
    *server.http_builder() = http;
    server
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

async fn recover(runner: &Runner, loaded: &[Arc<LoadedRoute>]) -> Result<(), StoreError> {
    let by_name: HashMap<&str, &Arc<LoadedRoute>> = loaded.iter().map(|route| (&*route.route.name, route)).collect();
    let recovered = runner.recover(|name| by_name.get(name).map(|route| Arc::clone(route))).await?;
    let runner::Recovered { queued, failed, orphans } = recovered;
    if queued + failed > 0 {
        tracing::info!(queued, failed, "took over the tasks of the last run");
    }
    for (route, waiting) in orphans {
        tracing::warn!(route, waiting, "tasks wait for a route that is not configured; they run once it is");
    }
    Ok(())
}

/// Lines for whoever started the server: where it is, what it serves, what to try.
#[must_use]
pub fn welcome(base: &str, routes: &[Arc<Route>], task_routes: &[TaskRoute], openapi: &OpenApi) -> String {
    let mut lines = vec![format!("sandpool {} listening on {base}", env!("CARGO_PKG_VERSION"))];
    let width = routes.iter().map(|route| route.path.len()).max().unwrap_or(0);
    lines.extend(routes.iter().map(|route| {
        let component = match &route.component {
            Source::File(path) => path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            plugin @ Source::Plugin(_) => plugin.to_string(),
        };
        format!("  {:<6} {:<width$}  {component}", route.method, route.path)
    }));
    lines.extend(task_routes.iter().flat_map(|task_route| {
        let method = task_route.operation.methods().first().copied().unwrap_or_default();
        let beside = [task_route.log_pattern(), task_route.callbacks_pattern()].into_iter().flatten();
        let patterns = task_route.patterns().into_iter().chain(beside);
        patterns.map(move |pattern| format!("  {method:<6} {pattern}"))
    }));
    lines.extend(openapi.path.iter().map(|path| format!("  {:<6} {path}", "GET")));
    lines.extend(openapi.ui.iter().map(|path| format!("  {:<6} {path}", "GET")));
    if let Some(route) = routes.iter().find(|route| !route.path.contains('{')) {
        lines.push("Try:".into());
        lines.push(format!("  curl -X {} {base}{}", route.method, route.path));
        lines.push(format!("  curl -X {} {base}{} -H 'Prefer: wait=10'", route.method, route.path));
    } else {
        lines.push("Try:".into());
        lines.push(format!("  sandpool deploy COMPONENT --route 'PUT /hello' --server {base}"));
    }
    lines.join("\n")
}
