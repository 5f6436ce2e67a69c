//! Owns the validated configuration, the only form in which the rest of the program sees it.
//! Must not know how the file was written: `config/` reads it, raw first, then validated.

mod endpoints;
mod env;
mod fault;
mod json;
mod node;
mod raw;
mod reader;
mod toml;
mod units;
mod validate;
mod values;
mod yaml;

#[cfg(test)]
mod auth_tests;
#[cfg(test)]
mod callback_tests;
#[cfg(test)]
mod grants_tests;
#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod logs_tests;
#[cfg(test)]
mod surface_tests;
#[cfg(test)]
mod tenant_tests;
#[cfg(test)]
mod tests;

pub use self::fault::{Fault, Faults};
pub use crate::route::grants::Grants;
use crate::store::StoreUrl;

use self::fault::{Place, Sink};
use self::node::{Entry, Node, Origin, Value};
use crate::api::openapi::{Info, SchemaNames};
use crate::api::page_patterns;
pub use crate::api::{Admin, RateLimit};
use crate::auth;
use crate::callback::{Schedule, SigningKey};
use crate::guard::Guard;
use crate::route::Route;
use crate::route::task_route::TaskRoute;
use crate::tenant::Tenant;
use crate::value::Json;
use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The most instances that a route's pool may have.
pub const MAX_INSTANCES: u32 = 1000;

/// The longest file that is read, in bytes.
const MAX_FILE: u64 = 4 << 20;

/// A configuration without faults.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The listener.
    pub server: Server,
    /// Where tasks are kept.
    pub store: Store,
    /// The name of this host, as it stands in slots.
    pub node: String,
    /// How many tasks run at once on this host.
    pub slots: u32,
    /// Initial values of the shared variables.
    pub state: Vec<(String, Json)>,
    /// The routes.
    pub routes: Vec<Arc<Route>>,
    /// The endpoints that get and stop tasks.
    pub task_routes: Vec<TaskRoute>,
    /// Users, and the schemes by which callers prove who they are.
    pub auth: auth::Settings,
    /// Who may call the management endpoints; `None`: whoever is on this machine.
    pub admin: Option<Admin>,
    /// The documentation.
    pub openapi: OpenApi,
    /// How tasks' ends are told.
    pub callbacks: Callbacks,
    /// What may be uploaded.
    pub plugins: Plugins,
    /// The tenants.
    pub tenants: Vec<Arc<Tenant>>,
    /// How long the entries of the audit log are kept.
    pub audit_retention: Duration,
    /// What routes that come later are checked beside.
    origin: Origins,
}

/// Where a configuration came from. All of the same configurations are alike here, and nothing shows: it holds secrets.
#[derive(Clone)]
struct Origins {
    /// What the file says, variables expanded.
    tree: Arc<Node>,
    /// The folder at which relative paths begin.
    base: PathBuf,
    /// What is the host's own.
    own: validate::Own,
}

impl PartialEq for Origins {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl std::fmt::Debug for Origins {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", self.base.display())
    }
}

/// `plugins:`
#[derive(Debug, Clone, PartialEq)]
pub struct Plugins {
    /// The most bytes of a component.
    pub max_size: u64,
    /// Who may sign plugins: names and public Ed25519 keys. With any, each upload must be signed by one.
    pub keys: Vec<(String, [u8; 32])>,
}

/// `openapi:`
#[derive(Debug, Clone, PartialEq)]
pub struct OpenApi {
    /// Where the document is; `None`: nowhere.
    pub path: Option<String>,
    /// Where the page is that shows it; `None`: nowhere.
    pub ui: Option<String>,
    /// The authentication scheme of both; `None`: open to everybody.
    pub auth: Option<Arc<str>>,
    /// Whose API it is.
    pub info: Info,
    /// The names of the schemas that clients meet most.
    pub schema_names: SchemaNames,
}

impl OpenApi {
    /// What is reached under which path pattern, all of it by GET.
    #[must_use]
    pub fn patterns(&self) -> Vec<String> {
        let page = self.ui.iter().flat_map(|path| page_patterns(path));
        self.path.iter().cloned().chain(page).collect()
    }
}

/// `callbacks:`
#[derive(Debug, Clone, PartialEq)]
pub struct Callbacks {
    /// Who may be called.
    pub guard: Guard,
    /// What signs, newest first.
    pub keys: Vec<SigningKey>,
    /// When a failed attempt is made again.
    pub schedule: Schedule,
    /// The longest time of an attempt.
    pub timeout: Duration,
}

/// `server:`
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// The address to listen at.
    pub listen: SocketAddr,
    /// What connections are encrypted with; `None`: they are not.
    pub tls: Option<Tls>,
    /// The base of URLs in answers, without a trailing slash; `None`: made of the request's `Host`.
    pub public_url: Option<String>,
    /// The most bytes of a request's body.
    pub body_limit: usize,
    /// The most connections at once; fewer when the system allows fewer open files.
    pub connections: u32,
    /// Web pages of these origins may call: `*`, or origins such as `https://app.example.com`.
    pub cors: Vec<String>,
    /// How many tasks a caller may submit; `None`: as many as there is room for.
    pub rate_limit: Option<RateLimit>,
    /// How long running tasks may go on after a shutdown was asked for.
    pub shutdown_grace: Duration,
}

/// `server.tls:`, both as PEM
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The file with the certificate, and those between it and a root.
    pub certificate: PathBuf,
    /// The file with its private key.
    pub key: PathBuf,
}

/// `store:`
#[derive(Debug, Clone, PartialEq)]
pub struct Store {
    /// Which store, and where.
    pub url: StoreUrl,
    /// How long Completed tasks are kept.
    pub retention: Duration,
    /// How long Failed and Aborted ones are kept.
    pub retention_failed: Duration,
}

/// How a configuration is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// YAML 1.2.
    Yaml,
    /// JSON (RFC 8259).
    Json,
    /// TOML 1.1.
    Toml,
}

impl Format {
    /// The format of a file, by the ending of its name.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "yaml" | "yml" => Some(Self::Yaml),
            "json" => Some(Self::Json),
            "toml" => Some(Self::Toml),
            _ => None,
        }
    }
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(path: &Path) -> Result<Self, Faults> {
        let name = path.display().to_string();
        let read = Format::of(path)
            .ok_or_else(|| "expected a file that ends in .yaml, .yml, .json or .toml".to_owned())
            .and_then(|format| Ok((format, read(path)?)));
        match read {
            Ok((format, text)) => {
                let base = path.parent().unwrap_or(Path::new(""));
                Self::parse(&text, format, base, &name, &|variable| std::env::var(variable).ok())
            }
            Err(message) => {
                let sink = Sink::new(&name);
                sink.report(Place::FILE, message);
                sink.finish(None)
            }
        }
    }

    /// Reads and checks a text as if it stood in a file of this name in the folder `base`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(
        text: &str,
        format: Format,
        base: &Path,
        name: &str,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Faults> {
        let sink = Sink::new(name);
        // A byte order mark is no part of the text; some editors write one.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let root = parse(text, format, &sink);
        let config = root.and_then(|mut root| {
            env::expand(&mut root, variable, &sink);
            let raw = raw::config(&root, &sink)?;
            let mut config = validate::config(raw, base, &sink, variable);
            config.origin.tree = Arc::new(root);
            Some(config)
        });
        sink.finish(config)
    }

    /// Reads and checks a route that a client wrote, as one of this configuration: it may name its schemes and variables,
    /// but no files, and no variable of the environment is expanded.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn route(&self, name: &str, text: &str, format: Format) -> Result<Arc<Route>, Faults> {
        let sink = Sink::new("the route");
        let root = parse(text, format, &sink);
        let route = root.and_then(|mut route| {
            let place = route.place;
            match &mut route.value {
                Value::Map(entries) => {
                    if let Some(other) = entries.iter().find(|entry| entry.key == "name" && !entry.node.is_text(name)) {
                        let message = format!("name: expected `{name}`, as in the path, or nothing");
                        sink.report(other.node.place, message);
                    }
                    entries.retain(|entry| entry.key != "name");
                    let node = Node { place, value: Value::Text(name.into(), Origin::Quoted) };
                    entries.push(Entry { key: "name".into(), place, node });
                }
                _ => {
                    sink.report(place, format!("expected a map for a route, found {}", route.found()));
                    return None;
                }
            }
            let mut root = (*self.origin.tree).clone();
            if let Value::Map(entries) = &mut root.value {
                entries.retain(|entry| entry.key != "routes");
                let routes = Node { place, value: Value::List(vec![route]) };
                entries.push(Entry { key: "routes".into(), place, node: routes });
            }
            let raw = raw::config(&root, &sink)?;
            validate::config_of_client(raw, &self.origin.base, &sink, self.origin.own.clone()).routes.pop()
        });
        sink.finish(route)
    }
}

/// Reads and checks grants that are written as those of a route, on a command line. Relative paths begin at `base`.
///
/// # Errors
/// Everything that is wrong with them.
pub fn grants(text: &str, base: &Path) -> Result<Grants, Faults> {
    let sink = Sink::new("--grants");
    let raw = yaml::parse(text, &sink).and_then(|root| raw::grants_alone(&root, &sink));
    let grants = raw.map(|raw| validate::grants_alone(raw, base, &sink));
    sink.finish(grants)
}

fn parse(text: &str, format: Format, sink: &Sink) -> Option<Node> {
    match format {
        Format::Yaml => yaml::parse(text, sink),
        Format::Json => json::parse(text, sink),
        Format::Toml => toml::parse(text, sink),
    }
}

/// The file's text, or why there is none and what to do.
fn read(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes));
    match read.map_err(|error| (error.kind(), error.to_string())) {
        Err((ErrorKind::NotFound, _)) => return Err("there is no such file; write it, or name another one".into()),
        Err((ErrorKind::IsADirectory, _)) => return Err("this is a folder; name the file in it".into()),
        Err((ErrorKind::PermissionDenied, _)) => {
            return Err("this file may not be read; let the user that runs Sandpool read it".into());
        }
        Err((_, error)) => return Err(format!("this file cannot be read ({error}); mend that, or name another one")),
        Ok(_) if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_FILE) => {
            let most = units::show_size(MAX_FILE);
            return Err(format!("this file is longer than {most}; name a configuration file"));
        }
        Ok(_) => {}
    }
    String::from_utf8(bytes).map_err(|error| {
        let position = error.utf8_error().valid_up_to() + 1;
        format!("this file is not UTF-8 at byte {position}; save it as UTF-8")
    })
}
