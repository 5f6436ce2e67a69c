//! Owns the HTTP surface: which request goes where. Must not know SQL or wasmtime.

mod body;
mod health;
mod invoke;
pub mod openapi;
mod problem;
mod request;
mod tasks;
mod view;

use crate::route::table::{Found, Table, TableFault};
use crate::route::task_route::{IdPlace, Operation, TaskRoute};
use crate::runner::{LoadedRoute, Runner};
use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use percent_encoding::percent_decode_str;
use problem::Problem;
use std::sync::Arc;

/// What the surface is configured with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The base of URLs in answers; `None`: from the request's `Host`.
    pub public_url: Option<String>,
    /// The most bytes of a request's body.
    pub body_limit: usize,
}

/// The HTTP surface; clones share it.
#[derive(Clone)]
pub struct Api(Arc<Inner>);

struct Inner {
    options: Options,
    runner: Runner,
    endpoints: ArcSwap<Endpoints>,
}

/// Everything that requests are matched against; swapped as a whole.
pub struct Endpoints {
    table: Table<Endpoint>,
    /// Where a client gets a task: the path, and whether the id is a segment or the query parameter of this name.
    get: Option<(String, Option<String>)>,
}

enum Endpoint {
    Invoke(Arc<LoadedRoute>),
    Task(TaskRoute),
}

impl Endpoints {
    /// The endpoints of these routes.
    ///
    /// # Errors
    /// When two of them cannot stand beside each other.
    pub fn new(routes: &[Arc<LoadedRoute>], task_routes: &[TaskRoute]) -> Result<Self, TableFault> {
        let mut table = Table::default();
        for loaded in routes {
            table.insert(&loaded.route.method, &loaded.route.path, Endpoint::Invoke(Arc::clone(loaded)))?;
        }
        for task_route in task_routes {
            for pattern in task_route.patterns() {
                table.insert(task_route.operation.method(), &pattern, Endpoint::Task(task_route.clone()))?;
            }
        }
        let place = |task_route: &TaskRoute| match task_route.places.as_slice() {
            places if places.contains(&IdPlace::Path) => Some((task_route.path.clone(), None)),
            places if places.contains(&IdPlace::Query) => {
                Some((task_route.path.clone(), Some(task_route.id_name.clone())))
            }
            _ => None,
        };
        let get = task_routes.iter().filter(|route| route.operation == Operation::Get).find_map(place);
        Ok(Self { table, get })
    }
}

impl Api {
    /// A surface over `runner`.
    #[must_use]
    pub fn new(options: Options, runner: Runner, endpoints: Endpoints) -> Self {
        Self(Arc::new(Inner { options, runner, endpoints: ArcSwap::from_pointee(endpoints) }))
    }

    /// From now on requests are matched against these; those under way are not touched.
    pub fn swap(&self, endpoints: Endpoints) {
        self.0.endpoints.store(Arc::new(endpoints));
    }

    /// The service to be served.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/-/live", get(health::live))
            .route("/-/ready", get(health::ready))
            .fallback(dispatch)
            .method_not_allowed_fallback(only_get)
            .with_state(self.clone())
    }

    /// Where a client gets the task with this id; `None` when no task route gets one by path or query.
    fn location(&self, endpoints: &Endpoints, base: &str, id: &str) -> Option<String> {
        endpoints.get.as_ref().map(|(path, query)| match query {
            None => format!("{base}{}/{id}", path.trim_end_matches('/')),
            Some(name) => format!("{base}{path}?{name}={id}"),
        })
    }
}

async fn dispatch(State(api): State<Api>, request: Request) -> Response {
    let endpoints = api.0.endpoints.load_full();
    let (parts, body) = request.into_parts();
    // RFC 9110 §9.3.2: HEAD is GET without the content, which the server leaves out.
    let method = if parts.method == Method::HEAD { Method::GET } else { parts.method.clone() };
    let answer = match endpoints.table.find(method.as_str(), parts.uri.path()) {
        Found::Endpoint(Endpoint::Invoke(loaded), parameters) => {
            invoke::invoke(&api, &endpoints, loaded, parameters, &parts, body).await
        }
        Found::Endpoint(Endpoint::Task(task_route), parameters) => {
            tasks::answer(&api, task_route, &parameters, &parts).await
        }
        Found::OtherMethods(allowed) => Err(not_allowed(&method, &allowed)),
        Found::Nothing => {
            let shown = percent_decode_str(parts.uri.path()).decode_utf8_lossy();
            Err(Problem::new(404, format!("There is nothing at {shown}.")))
        }
    };
    answer.unwrap_or_else(IntoResponse::into_response)
}

/// The management endpoints are only read.
async fn only_get(request: Request) -> Problem {
    not_allowed(request.method(), &["GET"])
}

fn not_allowed(method: &Method, allowed: &[&str]) -> Problem {
    let allowed = allowed.join(", ");
    let problem = Problem::new(405, format!("{method} is not possible here, only {allowed}."));
    match HeaderValue::try_from(allowed) {
        Ok(allowed) => problem.with_header(header::ALLOW, allowed),
        Err(_) => problem,
    }
}
