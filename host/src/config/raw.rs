//! Owns the configuration as it stands in the file: every value typed and in its bounds, with its place, and absent
//! where the file says nothing.
//! Must not know defaults, or rules between values: `validate` does.

pub mod auth;
pub mod callback;
pub mod component;
pub mod grants;
pub mod logs;
pub mod plugins;
pub mod tenant;

use self::auth::{RawAdmin, RawAllowed, RawAuth, RawCaller, RawTls};
use self::callback::{RawCallback, RawCallbacks};
use self::component::RawComponent;
use self::grants::RawGrants;
use self::logs::RawLogs;
use self::plugins::RawPlugins;
use self::tenant::RawTenant;
use super::fault::Sink;
use super::node::{Node, Value};
use super::reader::{At, Fields, boolean, duration, object, positive, positive_or_none, size, text, whole, word};
use super::{MAX_INSTANCES, values};
use crate::codec::Format;
use crate::ids::IdScheme;
use crate::route::OnLostHost;
use crate::route::task_route::{IdPlace, Operation};
use crate::value::Json;
use std::net::SocketAddr;
use std::time::Duration;

/// The longest name of a variable, in bytes.
pub const MAX_NAME: usize = 128;
const MAX_QUEUE: u32 = 10_000_000;
const MAX_RATE: u32 = 1_000_000;
const MAX_CONNECTIONS: u32 = 1_000_000;

const METHODS: [(&str, &str); 5] =
    [("GET", "GET"), ("POST", "POST"), ("PUT", "PUT"), ("PATCH", "PATCH"), ("DELETE", "DELETE")];
const ON_LOST_HOST: [(&str, OnLostHost); 2] = [("fail", OnLostHost::Fail), ("rerun", OnLostHost::Rerun)];
const OPERATIONS: [(&str, Operation); 4] =
    [("get", Operation::Get), ("stop", Operation::Stop), ("query", Operation::Query), ("events", Operation::Events)];
const FORMATS: [(&str, Format); 3] =
    [("application/json", Format::Json), ("application/xml", Format::Xml), ("application/yaml", Format::Yaml)];
const PLACES: [(&str, IdPlace); 5] = [
    ("path", IdPlace::Path),
    ("query", IdPlace::Query),
    ("header", IdPlace::Header),
    ("cookie", IdPlace::Cookie),
    ("body", IdPlace::Body),
];

/// The whole file.
pub struct RawConfig {
    /// `server`
    pub server: RawServer,
    /// `store`
    pub store: RawStore,
    /// `node.name`
    pub node: Option<At<String>>,
    /// `node.slots`
    pub slots: Option<At<u32>>,
    /// `variables`; `None` when it is faulty
    pub variables: Option<Vec<(String, Json)>>,
    /// `state`
    pub state: Vec<(String, Json)>,
    /// `logs`
    pub logs: RawLogs,
    /// `routes`
    pub routes: Vec<RawRoute>,
    /// `task_routes`
    pub task_routes: Option<Vec<RawTaskRoute>>,
    /// `auth`
    pub auth: RawAuth,
    /// `admin`
    pub admin: Option<RawAdmin>,
    /// `openapi`
    pub openapi: RawOpenApi,
    /// `callbacks`
    pub callbacks: RawCallbacks,
    /// `plugins`
    pub plugins: RawPlugins,
    /// `tenants`
    pub tenants: Vec<RawTenant>,
    /// `audit.retention`
    pub audit: Option<At<Duration>>,
}

/// `openapi`
pub struct RawOpenApi {
    /// `path`
    pub path: Option<At<String>>,
    /// `ui`
    pub ui: Option<At<String>>,
    /// `auth`
    pub auth: Option<At<String>>,
    /// `title`
    pub title: Option<At<String>>,
    /// `version`
    pub version: Option<At<String>>,
    /// `description`
    pub description: Option<At<String>>,
    /// `schema_names.task`
    pub task: Option<At<String>>,
    /// `schema_names.query`
    pub query: Option<At<String>>,
}

/// `server`
pub struct RawServer {
    /// `listen`
    pub listen: Option<At<SocketAddr>>,
    /// `open`; true when it is faulty
    pub open: bool,
    /// `tls`
    pub tls: Option<RawTls>,
    /// `public_url`
    pub public_url: Option<At<String>>,
    /// `body_limit`
    pub body_limit: Option<At<u64>>,
    /// `shutdown_grace`
    pub shutdown_grace: Option<At<Duration>>,
    /// `connections`
    pub connections: Option<At<u32>>,
    /// `cors`
    pub cors: Vec<At<String>>,
    /// `rate_limit.submits_per_second` and `.burst`
    pub rate_limit: [Option<At<u32>>; 2],
}

/// `store`
pub struct RawStore {
    /// `url`
    pub url: Option<At<RawStoreUrl>>,
    /// `retention`
    pub retention: Option<At<Duration>>,
    /// `retention_failed`
    pub retention_failed: Option<At<Duration>>,
}

/// `store.url`
pub enum RawStoreUrl {
    /// A file, relative to the configuration's folder.
    File(String),
    /// No file.
    Memory,
}

/// `routes[]`
pub struct RawRoute {
    /// `method`
    pub method: Option<At<&'static str>>,
    /// `path`
    pub path: Option<At<String>>,
    /// `name`
    pub name: Option<At<String>>,
    /// `component`, `plugin` and `split`
    pub component: RawComponent,
    /// `arguments`
    pub arguments: Option<At<Json>>,
    /// `using`
    pub using: Vec<At<String>>,
    /// `state.read`
    pub read: Vec<At<String>>,
    /// `state.write`
    pub write: Vec<At<String>>,
    /// `grants`
    pub grants: RawGrants,
    /// `timeout`, `run_timeout`, `cpu_limit`, `memory`
    pub limits: RawLimits,
    /// `pool`
    pub pool: RawPool,
    /// `responses`
    pub responses: Option<Vec<At<Format>>>,
    /// `cancellable`
    pub cancellable: Option<At<bool>>,
    /// `id`
    pub id: Option<RawId>,
    /// `sse`
    pub sse: Option<RawSse>,
    /// `retry`
    pub retry: RawRetry,
    /// `logs`
    pub logs: RawLogs,
    /// `auth` and `access`
    pub caller: RawCaller,
    /// `permission.read`
    pub may_read: RawAllowed,
    /// `permission.write`
    pub may_write: RawAllowed,
    /// `callback`
    pub callback: Option<RawCallback>,
    /// `summary`
    pub summary: Option<At<String>>,
    /// `tags`
    pub tags: Vec<At<String>>,
}

/// The limits of `routes[]`
pub struct RawLimits {
    /// `timeout`
    pub timeout: Option<At<Option<Duration>>>,
    /// `run_timeout`
    pub run_timeout: Option<At<Duration>>,
    /// `cpu_limit`
    pub cpu_limit: Option<At<Duration>>,
    /// `memory`
    pub memory: Option<At<u64>>,
}

/// `routes[].pool`
pub struct RawPool {
    /// `min`
    pub min: Option<At<u32>>,
    /// `max`
    pub max: Option<At<u32>>,
    /// `queue`
    pub queue: Option<At<u32>>,
}

/// `routes[].id`
pub enum RawId {
    /// A word.
    Scheme(IdScheme),
    /// `{component: FILE}`
    Component(At<String>),
}

/// `routes[].sse`
pub struct RawSse {
    /// `group`
    pub group: Option<At<String>>,
    /// `send_result`
    pub send_result: Option<At<bool>>,
}

/// `routes[].retry`
pub struct RawRetry {
    /// `attempts`
    pub attempts: Option<At<u32>>,
    /// `backoff`
    pub backoff: Option<At<Duration>>,
    /// `on_lost_host`
    pub on_lost_host: Option<At<OnLostHost>>,
}

/// `task_routes[]`
pub struct RawTaskRoute {
    /// `operation`
    pub operation: Option<At<Operation>>,
    /// `path`
    pub path: Option<At<String>>,
    /// `in`
    pub places: Option<Vec<At<IdPlace>>>,
    /// `responses`
    pub responses: Option<Vec<At<Format>>>,
    /// `id_name`
    pub id_name: Option<At<String>>,
    /// `auth`
    pub auth: Option<At<String>>,
}

/// Reads the root of a file.
pub fn config(root: &Node, sink: &Sink) -> Option<RawConfig> {
    let mut fields = match root.value {
        // A file without anything in it lacks routes; that it is no map would be a riddle.
        Value::Null => Fields::none("the configuration", root.place, sink),
        _ => Fields::of(root, "the configuration", sink)?,
    };
    let server = server(fields.section("server", "`server`"));
    let store = store(fields.section("store", "`store`"));
    let mut node = fields.section("node", "`node`");
    let (name, slots) = (node.take("name", values::node_name), node.take("slots", whole(1, MAX_INSTANCES)));
    node.finish();
    let variables = match fields.node("variables") {
        None => Some(Vec::new()),
        Some(node) => Fields::of(node, "`variables`", sink).map(|variables| variables.values(MAX_NAME)),
    };
    let state = fields.section("state", "`state`").values(MAX_NAME);
    let logs = logs::logs(fields.section("logs", "`logs`"));
    let auth = auth::auth(fields.section("auth", "`auth`"));
    let admin = auth::admin(&mut fields);
    let openapi = openapi(fields.section("openapi", "`openapi`"));
    let callbacks = callback::of_server(fields.section("callbacks", "`callbacks`"));
    let plugins = plugins::plugins(fields.section("plugins", "`plugins`"));
    let tenants = tenant::tenants(&mut fields);
    let mut audit = fields.section("audit", "`audit`");
    let kept = audit.take("retention", positive);
    audit.finish();
    let routes_node = fields.node("routes");
    if routes_node.is_none() {
        let message = "expected routes under `routes`, found none; `routes: []` if all of them come at runtime";
        sink.report(root.place, message);
    }
    let routes = fields.maps("routes", "a route").unwrap_or_default().into_iter().map(route).collect();
    // When it is faulty, the default ones are not meant.
    let task_routes = fields.maps("task_routes", "a task route").or(fields.has("task_routes").then(Vec::new));
    let task_routes = task_routes.map(|found| found.into_iter().map(task_route).collect());
    fields.finish();
    Some(RawConfig {
        server,
        store,
        node: name,
        slots,
        variables,
        state,
        logs,
        routes,
        task_routes,
        auth,
        admin,
        openapi,
        callbacks,
        plugins,
        tenants,
        audit: kept,
    })
}

/// Reads the grants of a route that stand by themselves.
pub fn grants_alone(root: &Node, sink: &Sink) -> Option<RawGrants> {
    Fields::of(root, "the grants", sink).map(grants::grants)
}

fn server(mut fields: Fields<'_>) -> RawServer {
    let open = fields.take("open", boolean);
    let is_limited = fields.has("rate_limit");
    let mut rate_limit = fields.section("rate_limit", "`server.rate_limit`");
    let submits = is_limited.then(|| rate_limit.require("submits_per_second", whole(1, MAX_RATE))).flatten();
    let burst = rate_limit.take("burst", whole(1, MAX_RATE));
    rate_limit.finish();
    let server = RawServer {
        listen: fields.take("listen", values::listen),
        open: open.map_or(fields.has("open"), |open| open.value),
        tls: auth::tls(&mut fields),
        public_url: fields.take("public_url", values::public_url),
        body_limit: fields.take("body_limit", size(1 << 10, 64 << 20)),
        shutdown_grace: fields.take("shutdown_grace", duration),
        connections: fields.take("connections", whole(16, MAX_CONNECTIONS)),
        cors: fields.list("cors", values::origin).unwrap_or_default(),
        rate_limit: [submits, burst],
    };
    fields.finish();
    server
}

fn openapi(mut fields: Fields<'_>) -> RawOpenApi {
    let mut names = fields.section("schema_names", "`openapi.schema_names`");
    let (task, query) = (names.take("task", text), names.take("query", text));
    names.finish();
    let openapi = RawOpenApi {
        path: fields.take("path", values::path_or_none),
        ui: fields.take("ui", values::path_or_none),
        auth: fields.take("auth", text),
        title: fields.take("title", text),
        version: fields.take("version", text),
        description: fields.take("description", text),
        task,
        query,
    };
    fields.finish();
    openapi
}

fn store(mut fields: Fields<'_>) -> RawStore {
    let store = RawStore {
        url: fields.take("url", values::store_url),
        retention: fields.take("retention", positive),
        retention_failed: fields.take("retention_failed", positive),
    };
    fields.finish();
    store
}

fn route(mut fields: Fields<'_>) -> RawRoute {
    let method = fields.require("method", word(&METHODS, &[]));
    let path = fields.require("path", values::path);
    let name = fields.take("name", values::route_name);
    let component = component::component(&mut fields);
    let arguments = fields.take("arguments", object);
    let using = names(&mut fields, "using");
    let mut state = fields.section("state", "a route's `state`");
    let (read, write) = (names(&mut state, "read"), names(&mut state, "write"));
    state.finish();
    let grants = grants::grants(fields.section("grants", "a route's `grants`"));
    let timeout = fields.take("timeout", positive_or_none);
    let run_timeout = fields.take("run_timeout", positive);
    let cpu_limit = fields.take("cpu_limit", positive);
    let pool = pool(fields.section("pool", "a route's `pool`"));
    let memory = fields.take("memory", size(64 << 10, 1 << 30));
    let responses = fields.some("responses", word(&FORMATS, &[]));
    let cancellable = fields.take("cancellable", boolean);
    let id = id(&mut fields);
    let has_events = fields.has("sse");
    let sse = sse(fields.section("sse", "a route's `sse`"));
    let sse = has_events.then_some(sse);
    let retry = retry(fields.section("retry", "a route's `retry`"));
    let logs = logs::logs(fields.section("logs", "a route's `logs`"));
    let caller = auth::caller(&mut fields);
    let (may_read, may_write) = auth::permission(fields.section("permission", "a route's `permission`"));
    let callback = callback::of_route(&mut fields);
    let (summary, tags) = (fields.take("summary", text), names(&mut fields, "tags"));
    fields.finish();
    let limits = RawLimits { timeout, run_timeout, cpu_limit, memory };
    RawRoute {
        method,
        path,
        name,
        component,
        arguments,
        using,
        read,
        write,
        grants,
        limits,
        pool,
        cancellable,
        responses,
        id,
        sse,
        retry,
        logs,
        caller,
        may_read,
        may_write,
        callback,
        summary,
        tags,
    }
}

/// A list of variables' names.
fn names(fields: &mut Fields<'_>, key: &'static str) -> Vec<At<String>> {
    fields.list(key, values::name).unwrap_or_default()
}

fn pool(mut fields: Fields<'_>) -> RawPool {
    let min = fields.take("min", whole(0, MAX_INSTANCES));
    let max = fields.take("max", whole(1, MAX_INSTANCES));
    let min = min.filter(|_| max.is_some() || !fields.has("max"));
    let queue = fields.take("queue", whole(0, MAX_QUEUE));
    fields.finish();
    RawPool { min, max, queue }
}

fn id(fields: &mut Fields<'_>) -> Option<RawId> {
    let is_map = fields.node("id").is_some_and(|node| matches!(node.value, Value::Map(_)));
    if !is_map {
        let scheme = fields.take("id", word(&IdScheme::NAMES, &["{component: FILE}"]));
        return scheme.map(|scheme| RawId::Scheme(scheme.value));
    }
    let mut id = fields.section("id", "a route's `id`");
    let component = id.require("component", text);
    id.finish();
    component.map(RawId::Component)
}

fn sse(mut fields: Fields<'_>) -> RawSse {
    let sse = RawSse { group: fields.take("group", values::name), send_result: fields.take("send_result", boolean) };
    fields.finish();
    sse
}

fn retry(mut fields: Fields<'_>) -> RawRetry {
    let retry = RawRetry {
        attempts: fields.take("attempts", whole(1, 100)),
        backoff: fields.take("backoff", duration),
        on_lost_host: fields.take("on_lost_host", word(&ON_LOST_HOST, &[])),
    };
    fields.finish();
    retry
}

fn task_route(mut fields: Fields<'_>) -> RawTaskRoute {
    let task_route = RawTaskRoute {
        operation: fields.require("operation", word(&OPERATIONS, &[])),
        path: fields.require("path", values::task_path),
        places: fields.some("in", word(&PLACES, &[])),
        id_name: fields.take("id_name", values::token),
        responses: fields.some("responses", word(&FORMATS, &[])),
        auth: fields.take("auth", text),
    };
    fields.finish();
    task_route
}
