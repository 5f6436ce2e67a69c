//! Owns `sandpool plugins`: what a running server has been given. Must not know how it came there.

use super::client::{Server, block_on};
use super::terminal::table;
use super::{Ending, Refusal, say};
use reqwest::Method;
use serde::Deserialize;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Answers the plugins as a JSON array
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Plugin {
    name: String,
    version: String,
    digest: String,
    size: u64,
    creation_time: String,
    #[serde(default)]
    routes: Vec<String>,
}

pub fn plugins(arguments: &Arguments) -> Result<Ending, Refusal> {
    let client = arguments.server.client()?;
    let answer = block_on(client.ask(client.request(Method::GET, "/-/plugins")))?;
    let plugins: Vec<Plugin> = answer.read()?;
    if arguments.json {
        say(&answer.text);
        return Ok(Ending::Ok);
    }
    let rows = plugins.into_iter().map(|plugin| {
        let digest = plugin.digest.chars().take("sha256:".len() + 12).collect();
        let size = plugin.size.to_string();
        [plugin.name, plugin.version, digest, size, plugin.creation_time, plugin.routes.join(", ")]
    });
    say(&table(["NAME", "VERSION", "DIGEST", "BYTES", "CREATED", "ROUTES"], rows.collect()));
    Ok(Ending::Ok)
}
