//! Owns `sandpool submit`: a request to a route becomes a task, which may be waited for or watched.
//! Must not know how a task is followed.

use super::client::{Client, MOST_BYTES, Server, block_on};
use super::tasks::{self, Task, target};
use super::watch::{self, Patience};
use super::{Ending, Refusal, say, say_error};
use crate::value::Json;
use reqwest::Method;
use reqwest::header::LOCATION;
use std::io::Read;
use std::path::Path;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The route: a path, or a method and a path; without a method it is PUT
    #[arg(value_name = "[METHOD] PATH", value_parser = route)]
    route: (String, String),
    /// The input: JSON, @FILE (by its ending JSON, YAML or XML), or - for JSON from standard input
    #[arg(long, value_name = "JSON|@FILE|-")]
    input: Option<String>,
    /// Makes no second task for the same key and input
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Waits so long for its end, and prints its result; exit code 1 says that it is not completed
    #[arg(long, value_name = "SECONDS", conflicts_with = "follow")]
    wait: Option<u32>,
    /// Watches it to its end, and prints its result
    #[arg(long)]
    follow: bool,
    /// Answers the AsyncTask as JSON; with --follow, what `watch --json` answers
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    tasks: tasks::Routes,
    #[command(flatten)]
    patience: Patience,
    #[command(flatten)]
    server: Server,
}

fn route(text: &str) -> Result<(String, String), String> {
    if text.starts_with('/') { target(&format!("PUT {text}")) } else { target(text) }
}

/// A body and its type.
struct Input {
    bytes: Vec<u8>,
    media_type: &'static str,
}

fn input(text: &str) -> Result<Input, Refusal> {
    let (name, media_type, bytes) = match (text, text.strip_prefix('@')) {
        ("-", _) => ("standard input", "application/json", read("standard input", std::io::stdin().lock())?),
        (_, Some(file)) => {
            let path = Path::new(file);
            let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
            let media_type = match ending.as_str() {
                "yaml" | "yml" => "application/yaml",
                "xml" => "application/xml",
                _ => "application/json",
            };
            let opened = std::fs::File::open(path);
            (file, media_type, read(file, opened.map_err(|error| format!("{file}: cannot be read: {error}"))?)?)
        }
        _ => ("--input", "application/json", text.into()),
    };
    if media_type == "application/json" {
        let text = String::from_utf8(bytes.clone()).map_err(|_| format!("{name}: no UTF-8"))?;
        Json::parse(text).map_err(|fault| format!("{name}: no JSON: {fault}"))?;
    }
    Ok(Input { bytes, media_type })
}

fn read(name: &str, source: impl Read) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    let longest = MOST_BYTES as u64;
    source.take(longest + 1).read_to_end(&mut bytes).map_err(|error| format!("{name}: cannot be read: {error}"))?;
    if bytes.len() as u64 > longest { Err(format!("{name}: has more than {longest} bytes").into()) } else { Ok(bytes) }
}

pub fn submit(arguments: &Arguments) -> Result<Ending, Refusal> {
    let input = arguments.input.as_deref().map(input).transpose()?;
    let client = arguments.server.client()?;
    block_on(async {
        let (method, path) = &arguments.route;
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| format!("`{method}` is no method"))?;
        let mut request = client.request(method, path);
        if let Some(key) = &arguments.idempotency_key {
            request = request.header("idempotency-key", key);
        }
        if let Some(Input { bytes, media_type }) = input {
            request = request.header("content-type", media_type).body(bytes);
        }
        let answer = client.ask(request).await?;
        let task: Task = answer.read()?;
        let place = answer.field(LOCATION).map(|location| client.path_of(location));
        let place = place.unwrap_or_else(|| tasks::path_of(&arguments.tasks, &task.id));
        if arguments.wait.is_none() && !arguments.follow {
            say(if arguments.json { &answer.text } else { &task.id });
            return Ok(Ending::Ok);
        }
        // Whatever happens now, there is a task.
        say_error(&task.id);
        end(&client, arguments, &place).await
    })
}

async fn end(client: &Client, arguments: &Arguments, place: &str) -> Result<Ending, Refusal> {
    match arguments.wait {
        Some(seconds) => tasks::show(&tasks::wait(client, place, seconds).await?, arguments.json),
        None => watch::to_the_end(client, place, &arguments.patience, arguments.json).await,
    }
}
