//! Owns `sandpool deploy`: a component becomes a plugin of a running server, and a route on it.
//! Must not know how a server keeps either.

use super::client::{Client, Server, block_on};
use super::tasks::{segment, target};
use super::terminal::bar;
use super::{Ending, Refusal, say};
use crate::route::default_name;
use crate::tenant::full_plugin_name;
use bytes::Bytes;
use futures_util::stream;
use reqwest::{Body, Method};
use serde_json::{Map, Value};
use std::path::PathBuf;
use std::time::Duration;

/// Bytes that are sent at once.
const PIECE: usize = 64 << 10;
/// The longest that an upload may take, with the server's checks and compiling.
const UPLOAD: Duration = Duration::from_secs(60 * 60);

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The component's file
    component: PathBuf,
    /// The route that runs it: its method and path. Without one the component is uploaded only
    #[arg(long, value_name = "METHOD PATH", value_parser = target)]
    route: Option<(String, String)>,
    /// The plugin's name [default: that of the file]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The plugin's version [default: the beginning of its digest]
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    /// The route's name [default: made of method and path]
    #[arg(long, value_name = "NAME", requires = "route")]
    route_name: Option<String>,
    /// What else the route has, as in a configuration: '{pool: {max: 4}, timeout: 10m}'
    #[arg(long, value_name = "YAML", default_value = "{}", value_parser = with, requires = "route")]
    with: Value,
    /// The component's signature, for servers with `plugins.keys`: KEY:SIGNATURE, Ed25519 in base64
    #[arg(long, value_name = "KEY:SIGNATURE")]
    signature: Option<String>,
    /// Answers what the server said of the plugin and the route, as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

fn with(text: &str) -> Result<Value, String> {
    let value: Value = serde_yaml::from_str(text).map_err(|error| format!("no YAML: {error}"))?;
    if value.is_object() { Ok(value) } else { Err("expected a map of a route's keys".into()) }
}

pub fn deploy(arguments: &Arguments) -> Result<Ending, Refusal> {
    let bytes = std::fs::read(&arguments.component)
        .map_err(|error| format!("{}: cannot be read: {error}", arguments.component.display()))?;
    let name = match &arguments.name {
        Some(name) => name.clone(),
        None => arguments.component.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default(),
    };
    full_plugin_name(&name).map_err(|expected| format!("--name: `{name}`: {expected}"))?;
    let client = arguments.server.client()?;
    block_on(async {
        let plugin = upload(&client, arguments, &name, bytes).await?;
        let said = |field: &str| plugin.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        // In full: that of a tenant begins with it.
        let (name, version) = (said("Name"), said("Version"));
        if !arguments.json {
            say(&format!("plugin {name}@{version}  {}", said("Digest")));
        }
        let mut answer = Map::from_iter([("Plugin".to_owned(), plugin.clone())]);
        if let Some((method, path)) = &arguments.route {
            let route_name = arguments.route_name.clone().unwrap_or_else(|| default_name(method, path));
            let mut definition = arguments.with.as_object().cloned().unwrap_or_else(Map::new);
            definition.insert("method".into(), method.clone().into());
            definition.insert("path".into(), path.clone().into());
            definition.insert("plugin".into(), format!("{name}@{version}").into());
            let request = client.request(Method::PUT, &format!("/-/routes/{}", segment(&route_name))).json(&definition);
            let route = client.ask(request).await?;
            let is_new = route.status == 201;
            let route: Value = route.read()?;
            if !arguments.json {
                let word = if is_new { "new" } else { "replaced" };
                say(&format!("route  {method} {path}  {route_name}, {word}"));
            }
            answer.insert("Route".into(), route);
        }
        if arguments.json {
            say(&serde_json::to_string_pretty(&answer)?);
        }
        Ok(Ending::Ok)
    })
}

async fn upload(client: &Client, arguments: &Arguments, name: &str, bytes: Vec<u8>) -> Result<Value, Refusal> {
    let total = bytes.len() as u64;
    let bar = bar(total, "{bar:40} {bytes}/{total_bytes} {msg}", !arguments.json);
    let shown = bar.clone();
    let mut rest = Bytes::from(bytes);
    let next = move || (!rest.is_empty()).then(|| rest.split_to(PIECE.min(rest.len())));
    let pieces = stream::iter(std::iter::from_fn(next).map(move |piece| {
        shown.inc(piece.len() as u64);
        if shown.position() >= shown.length().unwrap_or_default() {
            shown.set_message("the server checks and compiles it");
        }
        Ok::<_, std::io::Error>(piece)
    }));
    let mut request = client
        .request(Method::PUT, &format!("/-/plugins/{name}"))
        .header("content-type", "application/wasm")
        .header("content-length", total)
        .timeout(UPLOAD)
        .body(Body::wrap_stream(pieces));
    if let Some(version) = &arguments.version {
        request = request.query(&[("version", version)]);
    }
    if let Some(signature) = &arguments.signature {
        request = request.header("plugin-signature", signature);
    }
    let answer = client.ask(request).await;
    let is_begun = bar.position() > 0;
    bar.finish_and_clear();
    let answer = answer.map_err(|mut refusal| {
        // Who refuses before all has arrived may close the connection before its reason is read.
        if is_begun && refusal.ending == Ending::Unreachable {
            let most = total / 1024 + 1;
            refusal.words += &format!("; the upload had begun: does its `plugins.max_size` allow {most}KiB?");
        }
        refusal
    });
    answer?.read()
}
