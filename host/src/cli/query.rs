//! Owns `sandpool query`: finds tasks, page by page, and lists them. Must not know what a query means.

use super::client::{Answer, Client, MOST_BYTES, Server, block_on};
use super::tasks::{self, Task, absolute};
use super::terminal::table;
use super::{Ending, Refusal, say, say_error};
use crate::value::Json;
use reqwest::Method;
use reqwest::header::LINK;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

/// The most tasks that one request asks for, as the server has it.
const PAGE: u32 = 1000;
/// The most tasks that are listed.
const MOST_TASKS: i64 = 100_000;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The query, in JSON or YAML: '{State: {op: EQ, value: Failed}, Progress: {op: LT, value: 50}}'
    #[arg(value_name = "DOCUMENT", value_parser = document)]
    document: Option<Value>,
    /// In this state: NotStarted, Running, Completed, Failed or Aborted
    #[arg(long)]
    state: Option<String>,
    /// Of the route with this name, in which `*` and `?` stand for any letters
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    /// Of this user
    #[arg(long, value_name = "ID")]
    of_user: Option<String>,
    /// Whose error holds this text
    #[arg(long, value_name = "TEXT")]
    error: Option<String>,
    /// Made since then: RFC 3339, such as 2026-11-24T00:00:00Z
    #[arg(long, value_name = "DATE")]
    since: Option<String>,
    /// The most tasks
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=MOST_TASKS))]
    limit: u32,
    /// The order: a field, with `-` before it the greatest first [default: the newest first]
    #[arg(long, value_name = "FIELD", allow_hyphen_values = true)]
    order: Option<String>,
    /// Answers the AsyncTasks as a JSON array
    #[arg(long)]
    json: bool,
    /// The path of the server's query route [default: `query` below --tasks]
    #[arg(long, value_name = "PATH", value_parser = absolute)]
    path: Option<String>,
    #[command(flatten)]
    tasks: tasks::Routes,
    #[command(flatten)]
    server: Server,
}

fn document(text: &str) -> Result<Value, String> {
    let value: Value = match Json::parse(text.to_owned()) {
        Ok(json) => serde_json::from_str(json.as_str()).map_err(|error| error.to_string())?,
        Err(_) => serde_yaml::from_str(text).map_err(|error| format!("neither JSON nor YAML: {error}"))?,
    };
    if value.is_object() { Ok(value) } else { Err("expected {Field: {op: …, value: …}, …}".into()) }
}

impl Arguments {
    /// The document with what the flags say.
    fn query(&self) -> Result<Value, Refusal> {
        let mut query = self.document.as_ref().and_then(Value::as_object).cloned().unwrap_or_else(Map::new);
        let is_pattern = self.route.as_ref().is_some_and(|name| name.contains(['*', '?']));
        for (flag, field, op, value) in [
            ("state", "State", "EQ", &self.state),
            ("route", "Name", if is_pattern { "LIKE" } else { "EQ" }, &self.route),
            ("of-user", "User", "EQ", &self.of_user),
            ("error", "Error", "LIKE", &self.error),
            ("since", "CreationTime", "GE", &self.since),
        ] {
            let Some(value) = value else { continue };
            if query.insert(field.to_owned(), json!({"op": op, "value": value})).is_some() {
                return Err(format!("--{flag}: the query already has a condition on {field}").into());
            }
        }
        Ok(Value::Object(query))
    }
}

pub fn query(arguments: &Arguments) -> Result<Ending, Refusal> {
    let query = arguments.query()?;
    let client = arguments.server.client()?;
    let path = arguments.path.clone().unwrap_or_else(|| format!("{}/query", arguments.tasks.path()));
    let (found, has_more) = block_on(pages(&client, arguments, &path, &query))?;
    if arguments.json {
        let tasks: Vec<&str> = found.iter().map(|task| task.get()).collect();
        say(&format!("[{}]", tasks.join(",\n")));
        return Ok(Ending::Ok);
    }
    let tasks: Vec<Task> = found.iter().map(|task| serde_json::from_str(task.get())).collect::<Result<_, _>>()?;
    let rows = tasks.into_iter().map(|task| {
        let standing = task.standing();
        [task.id, task.name, task.creation_time.unwrap_or_default(), task.user.unwrap_or_default(), standing]
    });
    say(&table(["ID", "ROUTE", "CREATED", "USER", "STATE"], rows.collect()));
    if has_more {
        say_error(&format!("these are the first {}: there are more, see --limit", found.len()));
    }
    Ok(Ending::Ok)
}

/// The tasks, and whether there are more than the limit.
async fn pages(
    client: &Client,
    arguments: &Arguments,
    path: &str,
    query: &Value,
) -> Result<(Vec<Box<RawValue>>, bool), Refusal> {
    let mut found: Vec<Box<RawValue>> = Vec::new();
    let mut bytes = 0;
    let mut next: Option<String> = None;
    loop {
        let missing = arguments.limit.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
        let request = match &next {
            Some(next) => client.request(Method::POST, next),
            None => {
                let order = arguments.order.iter().map(|order| ("order", order.clone()));
                let limit = std::iter::once(("limit", missing.min(PAGE).to_string()));
                client.request(Method::POST, path).query(&limit.chain(order).collect::<Vec<_>>())
            }
        };
        let answer = client.ask(request.json(query)).await?;
        bytes += answer.text.len();
        if bytes > MOST_BYTES {
            return Err(format!("the tasks have more than {MOST_BYTES} bytes: ask for fewer by --limit").into());
        }
        let page: Vec<Box<RawValue>> = answer.read()?;
        let has_more = page.len() > missing as usize;
        found.extend(page.into_iter().take(missing as usize));
        next = next_page(client, &answer);
        if found.len() >= arguments.limit as usize || next.is_none() {
            return Ok((found, has_more || next.is_some()));
        }
    }
}

/// RFC 8288: `<URL>; rel="next"`.
fn next_page(client: &Client, answer: &Answer) -> Option<String> {
    let (place, _) = answer.field(LINK)?.strip_prefix('<')?.split_once(">; rel=\"next\"")?;
    Some(client.path_of(place))
}
