//! Owns how routes become ones that can be offered: their components found, compiled and asked what they are.
//! Must not know where routes came from.

use super::{Options, Site, SiteError};
use crate::api::{Documentation, Endpoints};
use crate::config::{self, Config};
use crate::plugins::chosen;
use crate::route::table::TableFault;
use crate::route::{IdRule, Route, Source};
use crate::runner::{Deployed, Guests, Ids, LoadedRoute};
use crate::store::registry::{Plugin, Revision};
use crate::wasm::{LoadError, Loader, Program};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Components with more bytes are compiled while the server runs already: they take seconds.
const BACKGROUND: usize = 1 << 20;

/// Routes to be offered.
pub struct Offered {
    /// The routes.
    pub deployed: Vec<Deployed>,
    /// Those whose components are still to be compiled.
    pub pending: Vec<Pending>,
}

/// A route whose component is still to be compiled.
pub struct Pending {
    loaded: Arc<LoadedRoute>,
    file: PathBuf,
}

/// Loads routes, and keeps those that have not changed.
pub(super) async fn all(
    options: &Options,
    plugins: &[Plugin],
    routes: &[Arc<Route>],
    before: &[Deployed],
    in_background: bool,
) -> Result<Offered, SiteError> {
    let (mut deployed, mut pending, mut faults) = (Vec::new(), Vec::new(), Vec::new());
    for route in routes {
        let old = before.iter().find(|old| old.main().is_some_and(|loaded| loaded.route.name == route.name));
        let loaded = match &route.component {
            Source::File(path) => file(options, route, path, old, in_background).await.map(|(loaded, later)| {
                pending.extend(later.then(|| Pending { loaded: Arc::clone(&loaded), file: path.clone() }));
                Deployed::single(loaded)
            }),
            Source::Plugin(_) => versions(options, plugins, route, old).await,
        };
        match loaded {
            Ok(loaded) => deployed.push(loaded),
            Err(fault) => faults.push(format!("route {} {}: {fault}", route.method, route.path)),
        }
    }
    if faults.is_empty() { Ok(Offered { deployed, pending }) } else { Err(SiteError::Routes(faults.join("\n"))) }
}

/// Loads a route that came at runtime.
pub(super) async fn runtime(
    options: &Options,
    plugins: &[Plugin],
    config: &Config,
    revision: &Revision,
    before: Option<&Deployed>,
) -> Result<Deployed, String> {
    let route = config.route(&revision.name, &revision.definition, config::Format::Json);
    versions(options, plugins, &route.map_err(|faults| faults.to_string())?, before).await
}

/// The version of before, if it is the same.
fn same(before: Option<&Deployed>, route: &Route, digest: &str) -> Option<Arc<LoadedRoute>> {
    let is_same =
        |loaded: &&Arc<LoadedRoute>| *loaded.route == *route && loaded.digest().is_some_and(|own| **own == *digest);
    before.into_iter().flat_map(Deployed::versions).find(is_same).map(Arc::clone)
}

/// A route on a file; whether its component is still to be compiled.
async fn file(
    options: &Options,
    route: &Arc<Route>,
    path: &Path,
    before: Option<&Deployed>,
    in_background: bool,
) -> Result<(Arc<LoadedRoute>, bool), String> {
    let (loader, route, path, before) =
        (Arc::clone(&options.loader), Arc::clone(route), path.to_owned(), before.cloned());
    let loading = tokio::task::spawn_blocking(move || {
        let binary = loader.read(&path)?;
        if let Some(loaded) = same(before.as_ref(), &route, binary.digest()) {
            return Ok((loaded, false));
        }
        let ids = ids(&loader, &route)?;
        if in_background && binary.size() > BACKGROUND && !loader.is_compiled(&binary) {
            return Ok((Arc::new(LoadedRoute::new(route, ids)), true));
        }
        let guests = guests(&loader, &route, &loader.program(&binary)?)?;
        Ok((Arc::new(LoadedRoute::ready(route, ids, guests)), false))
    });
    loading.await.map_err(|error| error.to_string())?.map_err(|fault: LoadError| fault.to_string())
}

/// A route on an uploaded plugin.
pub(super) async fn versions(
    options: &Options,
    plugins: &[Plugin],
    route: &Arc<Route>,
    before: Option<&Deployed>,
) -> Result<Deployed, String> {
    let choice = route.component.plugin().ok_or("it names a file of the host")?;
    let loader = &options.loader;
    let mut versions = Vec::new();
    for (share, plugin) in chosen(plugins, choice)? {
        let loaded = match same(before, route, &plugin.digest) {
            Some(loaded) => loaded,
            None => {
                let program = options.plugins.program(plugin).await?;
                let (loader, route) = (Arc::clone(loader), Arc::clone(route));
                let loading = tokio::task::spawn_blocking(move || {
                    let (ids, guests) = (ids(&loader, &route)?, guests(&loader, &route, &program)?);
                    Ok(LoadedRoute::ready(route, ids, guests))
                });
                let loaded = loading.await.map_err(|error| error.to_string())?;
                Arc::new(loaded.map_err(|fault: LoadError| fault.to_string())?)
            }
        };
        versions.push((share, loaded));
    }
    Deployed::new(versions).ok_or_else(|| "it has no version with a share".into())
}

fn ids(loader: &Loader, route: &Route) -> Result<Ids, LoadError> {
    match &route.id {
        IdRule::Scheme(scheme) => Ok(Ids::Scheme(*scheme)),
        IdRule::Component(file) => {
            Ok(Ids::Guest(Arc::new(loader.ids(&loader.program(&loader.read(file)?)?, route.tenant.as_deref())?)))
        }
    }
}

fn guests(loader: &Loader, route: &Route, program: &Program) -> Result<Guests, LoadError> {
    Ok(Guests {
        executor: Arc::new(loader.route(route, program)?),
        description: loader.description(program, route.tenant.as_deref())?,
        digest: program.digest(),
    })
}

/// Loads routes on files at once, where there is no server. Those on uploaded plugins are left out.
///
/// # Errors
/// Every route whose component cannot be used, one a line.
pub fn load_files(routes: &[Arc<Route>], loader: &Loader) -> Result<Vec<Deployed>, SiteError> {
    let (mut deployed, mut faults) = (Vec::new(), Vec::new());
    for route in routes {
        let Source::File(path) = &route.component else { continue };
        let loaded = loader.read(path).and_then(|binary| {
            let guests = guests(loader, route, &loader.program(&binary)?)?;
            Ok(LoadedRoute::ready(Arc::clone(route), ids(loader, route)?, guests))
        });
        match loaded {
            Ok(loaded) => deployed.push(Deployed::single(Arc::new(loaded))),
            Err(fault) => faults.push(format!("route {} {}: {fault}", route.method, route.path)),
        }
    }
    if faults.is_empty() { Ok(deployed) } else { Err(SiteError::Routes(faults.join("\n"))) }
}

/// The endpoints of a configuration with these routes.
///
/// # Errors
/// When two of them cannot stand beside each other.
pub fn endpoints(config: &Config, routes: &[Deployed]) -> Result<Endpoints, TableFault> {
    let openapi = config.openapi.clone();
    let documentation = Documentation {
        path: openapi.path,
        ui: openapi.ui,
        scheme: openapi.auth,
        info: openapi.info,
        schema_names: openapi.schema_names,
        // The page asks whoever served it, so that one comes too.
        servers: config.server.public_url.iter().flat_map(|url| [url.clone(), "/".to_owned()]).collect(),
        auth: config.auth.clone(),
    };
    Endpoints::new(routes, &config.task_routes, documentation)
}

impl Site {
    /// Compiles what is still to be compiled, one after the other; tasks that wait for it start then.
    pub(super) async fn compile_pending(&self) {
        loop {
            let next = {
                let mut state = self.state().await;
                (!state.pending.is_empty()).then(|| state.pending.remove(0))
            };
            let Some(Pending { loaded, file }) = next else { return };
            let route = Arc::clone(&loaded.route);
            tracing::info!(route = %route.name, "compiling {} in the background; its tasks wait", file.display());
            let (loader, began) = (Arc::clone(&self.0.options.loader), Instant::now());
            let compiling = tokio::task::spawn_blocking(move || {
                let made = loader.read(&file).and_then(|binary| guests(&loader, &route, &loader.program(&binary)?));
                made.map_err(|fault| fault.to_string())
            });
            let made = compiling.await.unwrap_or_else(|error| Err(error.to_string()));
            let (name, seconds) = (&loaded.route.name, began.elapsed().as_secs_f64());
            match &made {
                Ok(_) => tracing::info!(route = %name, seconds, "compiled"),
                Err(why) => tracing::error!(route = %name, "the route's component cannot be used: {why}"),
            }
            loaded.resolve(made);
            if let Some(Ok(guests)) = loaded.guests() {
                guests.executor.prepare();
            }
            // What the component says about itself is documented from now on.
            let state = self.state().await;
            match state.endpoints() {
                Ok(endpoints) => self.show(&state, endpoints),
                Err(fault) => tracing::error!("the routes cannot be shown: {fault}"),
            }
        }
    }
}
