//! Owns the HTTP surface: which request goes where. Must not know SQL or wasmtime.

mod body;
mod callbacks;
mod caller;
mod docs;
mod edge;
mod etag;
mod events;
mod health;
mod invoke;
mod logs;
pub mod manage;
pub mod openapi;
mod problem;
mod query;
mod rate;
mod request;
mod role;
mod tasks;
mod ui;

pub use docs::{Documentation, page_patterns};
pub use rate::RateLimit;
pub use role::Admin;

use crate::auth::Authenticator;
use crate::callback::Callbacks;
use crate::events::Hub;
use crate::metrics::Metrics;
use crate::principal::Principal;
use crate::route::Route;
use crate::route::table::{Found, Table, TableFault};
use crate::route::task_route::{IdPlace, Operation, TaskRoute};
use crate::runner::{Deployed, LoadedRoute, Runner};
use crate::task::Sse;
use crate::tenant::Tenant;
use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use docs::Documents;
use manage::Managed;
use percent_encoding::percent_decode_str;
use problem::{Problem, or_problem};
use rate::{Limiter, SUBMITS};
use std::collections::BTreeMap;
use std::future::{Ready, ready};
use std::sync::Arc;
use tasks::AboutTask;

/// How many changes a tenant's members may make by the management endpoints: each is checked, stored and noted.
const CHANGES: RateLimit = RateLimit { per_second: 10, burst: 50 };

/// And how many requests that only look.
const LOOKS: RateLimit = RateLimit { per_second: 50, burst: 200 };

/// What the surface is configured with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The base of URLs in answers; `None`: from the request's `Host`.
    pub public_url: Option<String>,
    /// Whether clients connect by TLS.
    pub tls: bool,
    /// The most bytes of a request's body.
    pub body_limit: usize,
    /// Web pages of these origins may call.
    pub cors: Vec<String>,
    /// How many tasks a caller may submit.
    pub rate_limit: Option<RateLimit>,
    /// Who may use the management endpoints; `None`: whoever is on this machine.
    pub admin: Option<Admin>,
    /// Who else there is, each for its own things.
    pub tenants: Vec<Arc<Tenant>>,
    /// Whom tasks' ends are told.
    pub callbacks: Callbacks,
    /// What is measured.
    pub metrics: Arc<Metrics>,
}

/// The HTTP surface; clones share it.
#[derive(Clone)]
pub struct Api(Arc<Inner>);

struct Inner {
    runner: Runner,
    hub: Hub,
    managed: Managed,
    /// How many changes each tenant's members may make.
    changes: Limiter,
    /// And how often they may look.
    looks: Limiter,
    stage: Stage,
}

/// Where the surface stands that requests meet; clones share it.
#[derive(Clone)]
pub struct Stage(Arc<ArcSwap<Surface>>);

/// Everything that a configuration says of the surface; swapped as a whole.
pub struct Surface {
    options: Options,
    authenticator: Authenticator,
    limiter: Option<Arc<Limiter>>,
    /// How many tasks each tenant may submit, by its name.
    of_tenants: BTreeMap<Arc<str>, Arc<Limiter>>,
    endpoints: Endpoints,
}

impl Stage {
    /// A stage with this surface.
    #[must_use]
    pub fn new(surface: Surface) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(surface)))
    }

    /// From now on requests meet this surface; those under way are not touched. How much of its rate each caller has
    /// used stays, unless the rate changes.
    pub fn swap(&self, mut surface: Surface) {
        let before = self.0.load();
        if before.options.rate_limit == surface.options.rate_limit {
            surface.limiter.clone_from(&before.limiter);
        }
        for (name, limiter) in &mut surface.of_tenants {
            if let Some(known) = before.of_tenants.get(name).filter(|known| known.limit() == limiter.limit()) {
                limiter.clone_from(known);
            }
        }
        self.0.store(Arc::new(surface));
    }
}

impl Surface {
    /// A surface with these endpoints.
    #[must_use]
    pub fn new(options: Options, authenticator: Authenticator, endpoints: Endpoints) -> Self {
        let limiter = options.rate_limit.map(|limit| Arc::new(Limiter::new(limit, SUBMITS)));
        let of_tenant = |tenant: &Arc<Tenant>| {
            let per_second = tenant.quota.submits_per_second?;
            Some((
                Arc::clone(&tenant.name),
                Arc::new(Limiter::new(RateLimit { per_second, burst: per_second }, SUBMITS)),
            ))
        };
        let of_tenants = options.tenants.iter().filter_map(of_tenant).collect();
        Self { options, authenticator, limiter, of_tenants, endpoints }
    }

    /// The tenants that a caller belongs to.
    fn tenants_of(&self, caller: Option<&Principal>) -> impl Iterator<Item = &Arc<Tenant>> {
        self.options.tenants.iter().filter(move |tenant| caller.is_some_and(|caller| tenant.knows(caller)))
    }
}

/// Everything that requests are matched against.
pub struct Endpoints {
    table: Table<Endpoint>,
    /// Where a client gets a task: the path, and whether the id is a segment or the query parameter of this name.
    get: Option<(String, Option<String>)>,
    documents: Documents,
    /// Where tasks are followed: the path, and the name of the query parameter for the id.
    events: Option<(String, String)>,
    /// The routes that send events.
    followed: Vec<Arc<Route>>,
    /// All routes, by name.
    routes: BTreeMap<Arc<str>, Deployed>,
}

enum Endpoint {
    Invoke(Deployed),
    Task(TaskRoute),
    Log(TaskRoute),
    Callbacks(TaskRoute),
    Document,
    Page,
}

impl Endpoints {
    /// The endpoints of these routes.
    ///
    /// # Errors
    /// When two of them cannot stand beside each other.
    pub fn new(
        routes: &[Deployed],
        task_routes: &[TaskRoute],
        documentation: Documentation,
    ) -> Result<Self, TableFault> {
        let mut table = Table::default();
        let main: Vec<Arc<LoadedRoute>> = routes.iter().filter_map(Deployed::main).map(Arc::clone).collect();
        for (deployed, loaded) in routes.iter().zip(&main) {
            table.insert(&loaded.route.method, &loaded.route.path, Endpoint::Invoke(deployed.clone()))?;
        }
        for task_route in task_routes {
            for pattern in task_route.patterns() {
                for method in task_route.operation.methods() {
                    table.insert(method, &pattern, Endpoint::Task(task_route.clone()))?;
                }
            }
        }
        for (task_route, pattern) in task_routes.iter().filter_map(|route| Some((route, route.log_pattern()?))) {
            table.insert("GET", &pattern, Endpoint::Log(task_route.clone()))?;
        }
        for (task_route, pattern) in task_routes.iter().filter_map(|route| Some((route, route.callbacks_pattern()?))) {
            for method in TaskRoute::CALLBACKS_METHODS {
                table.insert(method, &pattern, Endpoint::Callbacks(task_route.clone()))?;
            }
        }
        if let Some(path) = &documentation.path {
            table.insert("GET", path, Endpoint::Document)?;
        }
        if let Some(path) = &documentation.ui {
            for pattern in page_patterns(path) {
                table.insert("GET", &pattern, Endpoint::Page)?;
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
        let documents = Documents::new(documentation, &main, task_routes);
        let events = task_routes.iter().find(|route| route.operation == Operation::Events);
        let events = events.map(|route| (route.path.clone(), route.id_name.clone()));
        let followed =
            main.iter().map(|loaded| Arc::clone(&loaded.route)).filter(|route| route.sse.is_some()).collect();
        let named = |loaded: &Arc<LoadedRoute>| Arc::clone(&loaded.route.name);
        let routes = main.iter().map(named).zip(routes.iter().cloned()).collect();
        Ok(Self { table, get, documents, events, followed, routes })
    }

    /// The route of this name.
    fn deployed(&self, name: &str) -> Option<&Deployed> {
        self.routes.get(name)
    }

    /// The definitions of all routes, by name.
    fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.routes.values().filter_map(Deployed::main).map(|loaded| &loaded.route)
    }

    /// The OpenAPI document of these endpoints.
    #[must_use]
    pub fn document(&self) -> serde_json::Value {
        self.documents.document()
    }
}

impl Api {
    /// A surface over `runner`.
    #[must_use]
    pub fn new(runner: Runner, hub: Hub, managed: Managed, stage: Stage) -> Self {
        let changes = Limiter::new(CHANGES, ["make", "changes"]);
        let looks = Limiter::new(LOOKS, ["make", "requests"]);
        Self(Arc::new(Inner { runner, hub, managed, changes, looks, stage }))
    }

    /// The surface as it is now.
    fn now(&self) -> Arc<Surface> {
        self.0.stage.0.load_full()
    }

    /// The service to be served.
    pub fn router(&self) -> Router {
        let endpoints = Router::new()
            .route("/-/live", get(health::live))
            .route("/-/ready", get(health::ready))
            .route("/-/state", get(manage::state::names))
            .route(
                "/-/state/{name}",
                get(manage::state::get).put(manage::state::put).delete(manage::state::remove).fallback(only(&MANAGED)),
            )
            .route("/-/metrics", get(health::metrics))
            .route("/-/plugins", get(manage::plugins::list))
            .route(
                "/-/plugins/{name}",
                get(manage::plugins::get)
                    .put(manage::plugins::put)
                    .delete(manage::plugins::remove)
                    .fallback(only(&MANAGED)),
            )
            .route("/-/routes", get(manage::routes::list))
            .route(
                "/-/routes/{name}",
                get(manage::routes::get)
                    .put(manage::routes::put)
                    .delete(manage::routes::remove)
                    .fallback(only(&MANAGED)),
            )
            .route("/-/routes/{name}/revisions", get(manage::routes::revisions))
            .route("/-/routes/{name}/{action}", post(manage::routes::act).fallback(only(&["POST"])))
            .route("/-/audit", get(manage::audit::list))
            .route("/-/pools", get(manage::pools::pools))
            .route("/-/nodes", get(manage::pools::nodes))
            .route("/-/tenants", get(manage::tenants::list))
            .route("/-/tasks/{action}", post(manage::tasks::act).fallback(only(&["POST"])))
            .fallback(dispatch)
            .method_not_allowed_fallback(only(&["GET", "HEAD"]))
            .layer(edge::compression());
        let endpoints = match edge::cors(&self.now().options.cors) {
            Some(cors) => endpoints.layer(cors),
            None => endpoints,
        };
        // The last layer is the first to see a request.
        endpoints
            .layer(from_fn_with_state(self.clone(), edge::options))
            .layer(from_fn(edge::limit_uri))
            .layer(from_fn_with_state(self.clone(), edge::identify))
            .with_state(self.clone())
    }

    /// The answer to OPTIONS.
    fn allowed(&self, path: &str, headers: &HeaderMap) -> Response {
        let surface = self.now();
        let allow = |methods: &[&str]| {
            let mut all = [methods, &["OPTIONS"]].concat();
            all.extend(methods.contains(&"GET").then_some("HEAD"));
            HeaderValue::try_from(all.join(", "))
                .map(|all| (StatusCode::NO_CONTENT, [(header::ALLOW, all)]).into_response())
        };
        match surface.endpoints.table.find("OPTIONS", path) {
            Found::OtherMethods(methods) => allow(&methods).unwrap_or_else(|error| error.to_string().into_response()),
            _ => nothing_at(path).respond(request::accepted(headers)),
        }
    }

    /// Where a client gets the task with this id; `None` when no task route gets one by path or query.
    fn location(&self, endpoints: &Endpoints, base: &str, id: &str) -> Option<String> {
        endpoints.get.as_ref().map(|(path, query)| match query {
            None => format!("{base}{}/{id}", path.trim_end_matches('/')),
            Some(name) => format!("{base}{path}?{name}={id}"),
        })
    }
}

/// Where a task of this route can be followed.
fn sse(endpoints: &Endpoints, base: &str, route: &Route) -> Option<Sse> {
    let rule = route.sse.as_ref()?;
    let url = endpoints.events.as_ref().map(|(path, name)| format!("{base}{path}?{name}="));
    Some(Sse { url, group: rule.group.clone(), send_result: rule.send_result })
}

async fn dispatch(State(api): State<Api>, request: Request) -> Response {
    let surface = api.now();
    let endpoints = &surface.endpoints;
    let (parts, body) = request.into_parts();
    // RFC 9110 §9.3.2: HEAD is GET without the content, which the server leaves out. It is safe, so it makes no task.
    let is_head = parts.method == Method::HEAD;
    let method = if is_head { Method::GET } else { parts.method.clone() };
    let about = |task_route, parameters| AboutTask { api: &api, task_route, parameters, parts: &parts };
    let answer = match endpoints.table.find(method.as_str(), parts.uri.path()) {
        Found::Endpoint(Endpoint::Invoke(_), _) if is_head => Err(not_allowed(&parts.method, &["GET"])),
        Found::Endpoint(Endpoint::Invoke(deployed), parameters) => {
            invoke::invoke(&api, &surface, deployed, parameters, &parts, body).await
        }
        Found::Endpoint(Endpoint::Task(task_route), _) if task_route.operation == Operation::Query => {
            query::answer(&api, task_route, &parts, body).await
        }
        Found::Endpoint(Endpoint::Task(task_route), _) if task_route.operation == Operation::Events => {
            events::answer(&api, &surface, task_route, &parts).await
        }
        Found::Endpoint(Endpoint::Task(task_route), parameters) => tasks::answer(about(task_route, &parameters)).await,
        Found::Endpoint(Endpoint::Log(task_route), parameters) => logs::answer(about(task_route, &parameters)).await,
        Found::Endpoint(Endpoint::Callbacks(task_route), parameters) => {
            callbacks::answer(about(task_route, &parameters)).await
        }
        Found::Endpoint(Endpoint::Document, _) => endpoints.documents.answer_document(&api, &surface, &parts).await,
        Found::Endpoint(Endpoint::Page, _) => endpoints.documents.answer_page(&api, &parts).await,
        Found::OtherMethods(allowed) => Err(not_allowed(&method, &allowed)),
        Found::Nothing => Err(nothing_at(parts.uri.path())),
    };
    or_problem(answer, &parts)
}

fn nothing_at(path: &str) -> Problem {
    Problem::new(404, format!("There is nothing at {}.", percent_decode_str(path).decode_utf8_lossy()))
}

/// What a plugin or a route is asked with.
const MANAGED: [&str; 4] = ["GET", "HEAD", "PUT", "DELETE"];

/// Refuses other methods than these.
fn only(allowed: &'static [&'static str]) -> impl Fn(Request) -> Ready<Response> + Clone {
    move |request| ready(not_allowed(request.method(), allowed).respond(request::accepted(request.headers())))
}

fn not_allowed(method: &Method, allowed: &[&str]) -> Problem {
    let allowed = allowed.join(", ");
    let problem = Problem::new(405, format!("{method} is not possible here, only {allowed}."));
    match HeaderValue::try_from(allowed) {
        Ok(allowed) => problem.with_header(header::ALLOW, allowed),
        Err(_) => problem,
    }
}
