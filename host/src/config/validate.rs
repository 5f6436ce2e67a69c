//! Owns the defaults of a configuration, and the rules between its values and with the file system.
//! Must not know how values are written.

mod auth;
mod callback;
mod component;
mod grants;
mod logs;
mod tenant;

use self::auth::{Names, allowed};
pub use self::grants::Own;
use self::logs::CommonLogs;
use super::endpoints;
use super::env::Lookup;
use super::fault::{Place, Sink, did_you_mean};
use super::node::{Node, Value, excerpt};
use super::raw::grants::RawGrants;
use super::raw::{
    RawConfig, RawId, RawOpenApi, RawPool, RawRetry, RawRoute, RawServer, RawStore, RawStoreUrl, RawTaskRoute,
};
use super::reader::At;
use super::values::{NONE, is_node_name_char};
use super::{Admin, Config, MAX_INSTANCES, OpenApi, Origins, Plugins, RateLimit, Server, Store, StoreUrl};
use crate::api::openapi::{Info, SchemaNames};
use crate::codec::Format;
use crate::guard::Guard;
use crate::ids::IdScheme;
use crate::route::grants::Grants;
use crate::route::task_route::TaskRoute;
use crate::route::{IdRule, OnLostHost, PoolSize, Retry, Route, SseRule, StateGrants, default_name};
use crate::task::access::Permission;
use crate::tenant::Tenant;
use crate::value::Json;
use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

/// What the rules need beside the values.
struct Rules<'a> {
    /// The folder at which relative paths begin.
    base: &'a Path,
    sink: &'a Sink,
    /// Whether the routes come from a client: then they name no files of this host.
    from_client: bool,
}

/// Checks grants that belong to no configuration.
pub fn grants_alone(raw: RawGrants, base: &Path, sink: &Sink) -> Grants {
    Rules { base, sink, from_client: false }.grants(raw, &Own::default())
}

/// What is common to all routes.
struct Common<'a> {
    /// `None` when they are faulty.
    variables: Option<&'a [(String, Json)]>,
    names: &'a Names,
    logs: CommonLogs,
    guard: &'a Guard,
    own: &'a Own,
    tenants: &'a [Arc<Tenant>],
}

/// Checks a raw configuration; what it makes of a faulty one must not be used.
pub fn config(raw: RawConfig, base: &Path, sink: &Sink, variable: Lookup<'_>) -> Config {
    let rules = Rules { base, sink, from_client: false };
    let own = rules.own(&raw, variable);
    rules.config(raw, own)
}

/// The same of one whose routes a client wrote; what is the host's own is known from before.
pub fn config_of_client(raw: RawConfig, base: &Path, sink: &Sink, own: Own) -> Config {
    Rules { base, sink, from_client: true }.config(raw, own)
}

fn pairs<A, B>(raw: Vec<(At<A>, At<B>)>) -> Vec<(A, B)> {
    raw.into_iter().map(|(name, value)| (name.value, value.value)).collect()
}

/// What nobody is asked at who they are, in words; and whether that is everything.
struct Open {
    endpoints: Vec<String>,
    is_all: bool,
}

/// The value, or the default.
fn or<T>(at: Option<At<T>>, default: T) -> T {
    at.map_or(default, |at| at.value)
}

impl Rules<'_> {
    /// Checks it.
    fn config(&self, raw: RawConfig, own: Own) -> Config {
        let names = self.names(&raw.auth);
        let task_routes = raw.task_routes.map(|found| {
            let task_routes = found.into_iter().filter_map(|raw| self.task_route(raw, &names));
            task_routes.collect::<Vec<_>>()
        });
        let openapi_place = [&raw.openapi.path, &raw.openapi.ui].into_iter().flatten().map(|at| at.place).next();
        let openapi = self.openapi(raw.openapi, &names);
        endpoints::check(&raw.routes, task_routes.as_deref(), (&openapi, openapi_place), self.sink);
        self.check_names(&raw.routes);
        let task_routes: Vec<_> = match task_routes {
            Some(task_routes) => task_routes.into_iter().map(|at| at.value).collect(),
            None => TaskRoute::defaults().into_iter().map(|route| self.by_default(route, &names)).collect(),
        };
        let own_paths =
            task_routes.iter().map(|route| route.path.clone()).chain(openapi.patterns()).collect::<Vec<_>>();
        let tenants = self.tenants(raw.tenants, &own_paths);
        let admin = self.admin(raw.admin, !tenants.is_empty(), &names);
        self.check_listener(&raw.server, self.open(&raw.routes, &task_routes, admin.as_ref(), &names));
        let callbacks = self.callbacks(raw.callbacks);
        let common = Common {
            variables: raw.variables.as_deref(),
            names: &names,
            logs: self.logs(&raw.logs),
            guard: &callbacks.guard,
            own: &own,
            tenants: &tenants,
        };
        let routes = raw.routes.into_iter().map(|route| self.route(route, &common).map(Arc::new));
        // A route that is missing here was reported.
        let routes = routes.flatten().collect();
        Config {
            server: self.server(raw.server),
            store: self.store(raw.store),
            node: raw.node.map_or_else(host_name, |name| name.value),
            slots: or(raw.slots, MAX_INSTANCES),
            state: raw.state,
            routes,
            task_routes,
            auth: self.auth(raw.auth, &names),
            admin,
            openapi,
            callbacks,
            plugins: Plugins { max_size: or(raw.plugins.max_size, 64 << 20), keys: pairs(raw.plugins.keys) },
            tenants,
            audit_retention: or(raw.audit, 90 * 24 * HOUR),
            origin: Origins {
                tree: Arc::new(Node { place: Place::FILE, value: Value::Null }),
                base: self.base.into(),
                own,
            },
        }
    }

    /// Other machines reach only what asks who they are, unless that is said to be meant.
    fn check_listener(&self, raw: &RawServer, open: Open) {
        const MOST_NAMED: usize = 5;
        let Some(At { place, value }) = &raw.listen else { return };
        if value.ip().to_canonical().is_loopback() || raw.open || open.endpoints.is_empty() {
            return;
        }
        let mut found = open.endpoints;
        let more = found.len().saturating_sub(MOST_NAMED);
        found.truncate(MOST_NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let message = match open.is_all {
            true => format!(
                "listen: other machines reach {value}, and no route asks who they are; \
                 listen at 127.0.0.1, or say `open: true` if that is meant"
            ),
            false => format!(
                "listen: other machines reach {value}, and nobody asks who they are at {}{more}; \
                 give that an `auth`, listen at 127.0.0.1, or say `open: true` if that is meant",
                found.join(", ")
            ),
        };
        self.sink.report(*place, message);
    }

    fn open(&self, routes: &[RawRoute], task_routes: &[TaskRoute], admin: Option<&Admin>, names: &Names) -> Open {
        let mut endpoints = Vec::new();
        for route in routes.iter().filter(|route| names.is_open(route.caller.auth.as_ref())) {
            let method = route.method.as_ref().map_or("", |method| method.value);
            let path = route.path.as_ref().map_or("a route", |path| path.value.as_str());
            endpoints.push(excerpt(format!("{method} {}", self.sink.without_values(path)).trim_start()));
        }
        let of_tasks = task_routes.iter().filter(|route| route.auth.is_none());
        endpoints
            .extend(of_tasks.map(|route| format!("{} {}", route.operation.methods().join("/"), excerpt(&route.path))));
        let is_all = endpoints.len() == routes.len() + task_routes.len();
        endpoints.extend(admin.filter(|admin| admin.scheme.is_none()).map(|_| "/-/".to_owned()));
        Open { endpoints, is_all }
    }

    /// `*` says everything, so nothing may stand beside it.
    fn origins(&self, raw: Vec<At<String>>) -> Vec<String> {
        if raw.len() > 1
            && let Some(all) = raw.iter().find(|at| at.value == "*")
        {
            self.sink.report(all.place, "cors: expected `*` alone, or only origins");
        }
        values_of(raw)
    }

    fn openapi(&self, raw: RawOpenApi, names: &Names) -> OpenApi {
        let given = |at: Option<At<String>>, default: &str| {
            let path = or(at, default.to_owned());
            (path != NONE).then_some(path)
        };
        let ui_place = raw.ui.as_ref().map(|at| at.place);
        let path = given(raw.path, "/openapi.json");
        let ui = given(raw.ui, if path.is_some() { "/docs" } else { NONE });
        if let (None, Some(_), Some(place)) = (&path, &ui, ui_place) {
            self.sink.report(place, "ui: expected `none`, since `path` is `none`: the page shows that document");
        }
        let auth = raw.auth.and_then(|at| self.scheme_of(Some(&at), names));
        let (info, known) = (Info::default(), SchemaNames::default());
        OpenApi {
            path,
            ui,
            auth,
            info: Info {
                title: or(raw.title, info.title),
                version: or(raw.version, info.version),
                description: raw.description.map(|at| at.value),
            },
            schema_names: SchemaNames { task: or(raw.task, known.task), query: or(raw.query, known.query) },
        }
    }

    fn server(&self, raw: RawServer) -> Server {
        let [submits, burst] = raw.rate_limit;
        let submits = submits.map(|at| at.value);
        Server {
            listen: or(raw.listen, (Ipv4Addr::LOCALHOST, 8080).into()),
            tls: raw.tls.and_then(|tls| self.tls(&tls)),
            public_url: raw.public_url.map(|url| url.value),
            body_limit: usize::try_from(or(raw.body_limit, 1 << 20)).unwrap_or(usize::MAX),
            shutdown_grace: or(raw.shutdown_grace, Duration::from_secs(30)),
            connections: or(raw.connections, 10_000),
            cors: self.origins(raw.cors),
            rate_limit: submits.map(|per_second| RateLimit { per_second, burst: or(burst, per_second) }),
        }
    }

    fn store(&self, raw: RawStore) -> Store {
        Store {
            url: match or(raw.url, RawStoreUrl::File("sandpool.db".into())) {
                RawStoreUrl::File(path) => StoreUrl::SqliteFile(self.base.join(path)),
                RawStoreUrl::Memory => StoreUrl::SqliteMemory,
            },
            retention: or(raw.retention, 24 * HOUR),
            retention_failed: or(raw.retention_failed, 7 * 24 * HOUR),
        }
    }

    fn route(&self, mut raw: RawRoute, common: &Common<'_>) -> Option<Route> {
        let tenant = self.tenant_of(&raw, common.tenants);
        let component = self.source(raw.component);
        let id = match raw.id {
            None => IdRule::Scheme(IdScheme::default()),
            Some(RawId::Scheme(scheme)) => IdRule::Scheme(scheme),
            Some(RawId::Component(file)) => IdRule::Component(self.own_file("component", &file)),
        };
        let logs = self.logs_of_route(&raw.logs, &common.logs);
        let variables = common.variables.map_or_else(Json::null, |variables| self.captured(&raw.using, variables));
        let pool = self.pool(&raw.pool);
        let (auth, access) = self.caller(raw.caller, common.names);
        let place = raw.path.as_ref().map_or(Place::FILE, |path| path.place);
        let grants = match tenant {
            Some(tenant) => self.without_own(raw.grants, place, tenant),
            None => raw.grants,
        };
        let grants = self.grants(grants, common.own);
        let (method, path) = (raw.method?.value, raw.path?.value);
        let memory = or(raw.limits.memory.take(), 64 << 20);
        let callback = raw.callback.and_then(|raw| self.callback(raw, &path, common.guard));
        let mut permission = Permission { read: allowed(raw.may_read), write: allowed(raw.may_write) };
        self.check_names_of_client(place, &permission, &access);
        if let Some(tenant) = tenant {
            permission = tenant.permission(&permission);
            self.check_of_tenant(place, &grants, &raw.using, memory, tenant);
        }
        let of_tenant = |name: &str| tenant.map_or_else(|| name.to_owned(), |tenant| tenant.full_name(name));
        Some(Route {
            name: raw.name.map_or_else(|| default_name(method, &path), |name| name.value).into(),
            tenant: tenant.map(|tenant| Arc::clone(&tenant.name)),
            method: method.into(),
            path,
            component: match tenant {
                Some(tenant) => self.own_plugin(component?, place, tenant),
                None => component?,
            },
            arguments: or(raw.arguments, Json::object([])),
            variables,
            state: StateGrants { read: values_of(raw.read), write: values_of(raw.write) },
            grants: grants.into(),
            timeout: or(raw.limits.timeout, Some(600 * Duration::from_secs(60))),
            run_timeout: raw.limits.run_timeout.map(|at| at.value),
            cpu_limit: raw.limits.cpu_limit.map(|at| at.value),
            pool,
            memory,
            cancellable: or(raw.cancellable, true),
            responses: formats(raw.responses),
            id,
            sse: raw.sse.map(|sse| SseRule {
                group: sse.group.map(|group| of_tenant(&group.value).into()),
                send_result: or(sse.send_result, false),
            }),
            retry: retry(raw.retry),
            logs,
            access: match tenant {
                Some(tenant) if access.is_empty() && auth.is_some() => tenant.members.clone(),
                _ => access,
            },
            auth,
            permission,
            callback,
            summary: raw.summary.map(|at| at.value),
            tags: values_of(raw.tags),
        })
    }

    /// The variables of `using`, each once.
    fn captured(&self, using: &[At<String>], variables: &[(String, Json)]) -> Json {
        let mut captured: Vec<&(String, Json)> = Vec::new();
        for name in using {
            match variables.iter().find(|(known, _)| *known == name.value) {
                Some(variable) if captured.iter().any(|(known, _)| *known == variable.0) => {}
                Some(variable) => captured.push(variable),
                None => {
                    let near = did_you_mean(&name.value, variables.iter().map(|(known, _)| known.as_str()));
                    let found = excerpt(&self.sink.without_values(&name.value));
                    let message = format!("using: expected a name under `variables`, found `{found}`{near}");
                    self.sink.report(name.place, message);
                }
            }
        }
        Json::object(captured.into_iter().map(|(name, value)| (name.as_str(), value)))
    }

    fn pool(&self, raw: &RawPool) -> PoolSize {
        let value = |at: &Option<At<u32>>, default| at.as_ref().map_or(default, |at| at.value);
        let pool = PoolSize { min: value(&raw.min, 1), max: value(&raw.max, 2), queue: value(&raw.queue, 1000) };
        if let Some(At { place, value }) = &raw.min
            && *value > pool.max
        {
            let default = if raw.max.is_none() { " by default" } else { "" };
            let message = format!("min: expected at most `max`, which is {}{default}, found {value}", pool.max);
            self.sink.report(*place, message);
        }
        pool
    }

    /// A file that must be there. What it holds is for others to judge.
    fn file(&self, key: &str, at: &At<String>) -> PathBuf {
        let path = self.base.join(&at.value);
        let found = match path.metadata() {
            Ok(found) if found.is_file() => return path,
            Ok(found) if found.is_dir() => "a folder".to_owned(),
            Ok(_) => "something that is no file".to_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound => "nothing".to_owned(),
            Err(error) => format!("the fault `{error}`"),
        };
        let shown = excerpt(&self.sink.without_values(&path.display().to_string()));
        self.sink.report(at.place, format!("{key}: expected a file at {shown}, found {found}"));
        path
    }

    /// A task route that the file does not name.
    fn by_default(&self, route: TaskRoute, names: &Names) -> TaskRoute {
        TaskRoute { auth: self.scheme_of(None, names), ..route }
    }

    fn task_route(&self, raw: RawTaskRoute, names: &Names) -> Option<At<TaskRoute>> {
        let operation = raw.operation?.value;
        let mut places = raw.places.as_ref().map_or_else(|| operation.default_places(), |_| Vec::new());
        for At { place, value } in raw.places.into_iter().flatten() {
            if !operation.may_look_at(value) {
                self.sink.report(
                    place,
                    "in: a query is looked for in body, query and header; an id in path, query, header and cookie, \
                     and that of `events` in query only",
                );
            } else if !places.contains(&value) {
                places.push(value);
            }
        }
        let auth = self.scheme_of(raw.auth.as_ref(), names);
        let At { place, value: path } = raw.path?;
        let id_name = or(raw.id_name, TaskRoute::DEFAULT_ID_NAME.into());
        Some(At {
            place,
            value: TaskRoute { operation, path, places, id_name, responses: formats(raw.responses), auth },
        })
    }

    /// Tasks are stored under their route's name, so two routes cannot share one.
    fn check_names(&self, routes: &[RawRoute]) {
        let mut taken: HashMap<String, (Place, &str, &str)> = HashMap::new();
        for route in routes {
            let (Some(method), Some(path)) = (&route.method, &route.path) else {
                continue;
            };
            let (name, place) = match &route.name {
                Some(name) => (name.value.clone(), name.place),
                None => (default_name(method.value, &path.value), path.place),
            };
            match taken.get(&name) {
                // The same method and path are a fault of their own.
                Some((_, other, at)) if *other == method.value && *at == path.value => {}
                Some((earlier, ..)) => {
                    let message = format!("name: expected one of its own, `{name}` is that of line {}", earlier.line);
                    self.sink.report(place, message);
                }
                None => {
                    taken.insert(name, (place, method.value, &path.value));
                }
            }
        }
    }
}

fn values_of<T>(values: Vec<At<T>>) -> Vec<T> {
    values.into_iter().map(|at| at.value).collect()
}

/// The formats of answers, each once.
fn formats(raw: Option<Vec<At<Format>>>) -> Vec<Format> {
    let mut formats = Vec::new();
    for At { value, .. } in raw.into_iter().flatten() {
        if !formats.contains(&value) {
            formats.push(value);
        }
    }
    if formats.is_empty() { vec![Format::Json] } else { formats }
}

fn retry(raw: RawRetry) -> Retry {
    Retry {
        attempts: or(raw.attempts, 1),
        backoff: or(raw.backoff, Duration::from_secs(1)),
        on_lost_host: or(raw.on_lost_host, OnLostHost::Fail),
    }
}

/// This machine's name, as far as it can be a node's.
fn host_name() -> String {
    let files = ["/proc/sys/kernel/hostname", "/etc/hostname"];
    let found = files.iter().find_map(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
    let name: String = found.trim().chars().filter(|c| is_node_name_char(*c)).take(64).collect();
    if name.is_empty() { "localhost".into() } else { name }
}
