//! Owns the management of plugins and routes as its callers see it: who may, what is noted of it, how it is answered.
//! Must not know how a route is loaded.

pub(super) mod audit;
pub(super) mod plugins;
pub(super) mod pools;
pub(super) mod routes;
pub(super) mod state;
pub(super) mod tasks;
pub(super) mod tenants;

use super::edge::Peer;
use super::problem::{Problem, or_problem};
use super::role::{self, Manager};
use super::{Api, body, request};
use crate::clock::{Clock, Timestamp};
use crate::plugins::Plugins;
use crate::store::StoreError;
use crate::store::registry::{Deed, Plugin, Registry, Revision, Standing};
use crate::tenant::Ledger;
use crate::value::Json;
use axum::body::Body;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::response::Response;
use futures_util::future::BoxFuture;
use percent_encoding::percent_decode_str;
use serde::Serialize;
use std::sync::Arc;

/// What is managed.
#[derive(Clone)]
pub struct Managed {
    /// Uploaded components.
    pub plugins: Plugins,
    /// Routes.
    pub routes: Arc<dyn Routes>,
    /// Keeps what was done.
    pub registry: Arc<dyn Registry>,
    /// What tenants may use, and have used.
    pub ledger: Arc<Ledger>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// When this host started.
    pub since: Timestamp,
}

/// The routes of a server, as they are managed.
pub trait Routes: Send + Sync + 'static {
    /// Those that are meant, by their names and tenants; sorted by name.
    fn list<'a>(
        &'a self,
        is_meant: &'a (dyn Fn(&str, Option<&str>) -> bool + Send + Sync),
    ) -> BoxFuture<'a, Vec<RouteView>>;
    /// The names of those that came at runtime.
    fn names(&self) -> BoxFuture<'_, Vec<Arc<str>>>;
    /// Creates or replaces a route; `true`: it is new.
    fn put(&self, route: Written) -> BoxFuture<'_, Result<(RouteView, bool), RouteFault>>;
    /// Removes a route: it takes no more tasks, and those that it has run to their end.
    fn remove<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), RouteFault>>;
    /// Pauses, drains or resumes a route.
    fn set_standing<'a>(&'a self, name: &'a str, standing: Standing) -> BoxFuture<'a, Result<RouteView, RouteFault>>;
    /// Puts a former definition in force again, as a new one; without a number the one before the present.
    fn roll_back<'a>(
        &'a self,
        name: &'a str,
        revision: Option<&'a str>,
        by: Option<String>,
    ) -> BoxFuture<'a, Result<RouteView, RouteFault>>;
    /// The definitions that a route has had, newest first.
    fn revisions<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<Revision>, RouteFault>>;
    /// The names of the routes that run this version of a plugin.
    fn users<'a>(&'a self, plugin: &'a Plugin) -> BoxFuture<'a, Vec<Arc<str>>>;
    /// Removes a version of a plugin that no route runs, or all of them; answers how many there were.
    fn remove_plugin<'a>(&'a self, name: &'a str, version: Option<&'a str>) -> BoxFuture<'a, Result<u32, RouteFault>>;
    /// There is a new latest version of this plugin.
    fn plugin_changed<'a>(&'a self, name: &'a str) -> BoxFuture<'a, ()>;
}

/// A route as a client wrote it.
#[derive(Debug, Clone)]
pub struct Written {
    /// Its name.
    pub name: String,
    /// Its definition, as it was sent.
    pub text: String,
    /// Whether that is YAML; JSON otherwise.
    pub is_yaml: bool,
    /// The same, decoded.
    pub definition: Json,
    /// Who wrote it.
    pub by: Option<String>,
}

/// Why a route cannot be changed so. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum RouteFault {
    /// The definition is wrong.
    #[error("{}", .0.join("\n"))]
    Faults(Vec<String>),
    /// It is not for the API, or in the way of something else.
    #[error("{0}")]
    Conflict(String),
    /// There are as many as there may be.
    #[error("{0}")]
    Full(String),
    /// There is no such former definition.
    #[error("there is no such former definition of this route")]
    NoRevision,
    /// There is no such route.
    #[error("there is no such route")]
    Unknown,
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where a route came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub enum Origin {
    /// The configuration file.
    File,
    /// A client, at runtime.
    #[default]
    Api,
}

/// A route as management shows it.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RouteView {
    /// Its name.
    pub name: Arc<str>,
    /// The tenant that has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Arc<str>>,
    /// Where it came from.
    pub origin: Origin,
    /// `Active`, `Paused`, `Draining`, `Compiling` or `Faulty`.
    pub state: &'static str,
    /// Its method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Its path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The file, or plugin and versions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// The components that run now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub digests: Vec<String>,
    /// Which of its definitions is in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// When that was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed_time: Option<Timestamp>,
    /// By whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed_by: Option<String>,
    /// Why it is not offered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// The definition in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub definition: Option<Json>,
}

impl From<RouteFault> for Problem {
    fn from(fault: RouteFault) -> Self {
        match fault {
            RouteFault::Faults(faults) => Self::faults("The route is not one that can run.", faults),
            RouteFault::Conflict(words) => Self::new(409, format!("Nothing was changed: {words}.")),
            RouteFault::Full(words) => {
                Self::new(429, format!("The quota is used up: {words}. Nothing was changed.")).retry_after(60)
            }
            RouteFault::NoRevision => Self::new(404, "There is no such former definition of this route."),
            RouteFault::Unknown => Self::new(404, "There is no route of this name."),
            RouteFault::Store(error) => error.into(),
        }
    }
}

/// Whose deeds are noted apart: those of callers who may nothing. No tenant has this name.
const STRANGERS: &str = "-";

/// What a change answers.
pub(super) type Changed = BoxFuture<'static, Result<Response, Problem>>;

/// Lets somebody change something, and notes what became of it. A client that hangs up leaves a whole change, noted.
pub(super) async fn changing(
    api: Api,
    request: Request,
    change: impl FnOnce(Api, Manager, Parts, Body) -> Changed + Send + 'static,
) -> Response {
    let (parts, body) = request.into_parts();
    let asked = parts.clone();
    let changed = tokio::spawn(changed(api, parts, body, change));
    changed.await.unwrap_or_else(|error| {
        tracing::error!("a change broke: {error}");
        or_problem(Err(Problem::new(500, "The change failed on this host; its log says why.")), &asked)
    })
}

async fn changed(
    api: Api,
    parts: Parts,
    body: Body,
    change: impl FnOnce(Api, Manager, Parts, Body) -> Changed + Send + 'static,
) -> Response {
    let mut deed = Deed {
        at: api.0.managed.clock.now(),
        tenant: None,
        by: None,
        from: Peer::of(&parts).0.map(|address| address.ip().to_canonical().to_string()),
        action: action(&parts),
        status: 0,
        detail: None,
    };
    let asked = parts.clone();
    let principal = role::authenticate(&api, &parts).await;
    if let Ok(Some(principal)) = &principal {
        deed.by = Some(principal.id.clone());
    }
    let manager = principal.and_then(|principal| Manager::of(&api, principal, &parts));
    if let Ok(manager) = &manager {
        deed.tenant = manager.role.tenant_of(named(&parts).as_deref(), &api.now().options.tenants);
    }
    let manager = manager.and_then(|manager| admitted(&api, manager));
    if manager.is_err() {
        deed.tenant = Some(STRANGERS.into());
    }
    let answer = match manager {
        Ok(manager) => change(api.clone(), manager, parts, body).await,
        Err(problem) => {
            // Whoever is still sending must be able to read why it was refused.
            body::drain(body.into_data_stream()).await;
            if api.0.changes.take(&format!("refused {:?}", deed.from), "").is_err() {
                // A flood of them is not worth a write each.
                return or_problem(Err(problem), &asked);
            }
            Err(problem)
        }
    };
    deed.detail = answer.as_ref().err().map(|problem| shortened(problem.detail()));
    let response = or_problem(answer, &asked);
    deed.status = response.status().as_u16();
    if let Err(error) = api.0.managed.registry.note_deed(deed).await {
        tracing::error!("what was managed could not be noted: {error}");
    }
    response
}

/// Whether the caller may change something now.
fn admitted(api: &Api, manager: Manager) -> Result<Manager, Problem> {
    manager.role.check_change()?;
    if let Some(tenant) = manager.role.bound_to() {
        api.0.changes.take(&tenant.name, "The tenant's members")?;
    }
    Ok(manager)
}

/// The name of what is to be changed.
fn named(parts: &Parts) -> Option<String> {
    let segment = parts.uri.path().split('/').nth(3)?;
    Some(percent_decode_str(segment).decode_utf8_lossy().into_owned())
}

/// What is asked for: of the query only what says so, since credentials may stand there.
fn action(parts: &Parts) -> String {
    const SHOWN: [&str; 3] = ["version", "revision", "dry_run"];
    let query = request::query(&parts.uri).into_iter().filter(|(name, _)| SHOWN.contains(&name.as_str()));
    let query: String = query.zip(['?', '&']).map(|((name, value), mark)| format!("{mark}{name}={value}")).collect();
    shortened(&format!("{} {}{query}", parts.method, parts.uri.path()))
}

/// The beginning of what a client sent or was told.
fn shortened(text: &str) -> String {
    const MOST: usize = 500;
    text.chars().take(MOST).collect()
}
