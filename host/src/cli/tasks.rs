//! Owns what the commands share about tasks of a server: where one is, how it is waited for, how it and its end are shown.
//! Must not know how it is followed.

use super::client::{ANSWER, Answer, Client, variable};
use super::{Ending, Refusal, say, say_error};
use crate::task::log::Line;
use crate::value::present;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::time::{Duration, Instant};

/// What a path segment holds as it is.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The longest that one request waits: proxies let go of longer ones.
const STEP: Duration = Duration::from_secs(30);

/// Where the task routes are.
#[derive(Debug, clap::Args)]
pub struct Routes {
    /// The path of the server's task routes [default: $SANDPOOL_TASKS, else /tasks]
    #[arg(long, value_name = "PATH", value_parser = absolute)]
    tasks: Option<String>,
}

/// A path from the server's root.
pub fn absolute(text: &str) -> Result<String, String> {
    if text.starts_with('/') { Ok(text.to_owned()) } else { Err("expected a path that begins with `/`".into()) }
}

impl Routes {
    /// Their path, without a slash at its end.
    pub fn path(&self) -> String {
        let path = self.tasks.clone().or_else(|| variable("SANDPOOL_TASKS")).unwrap_or_else(|| "/tasks".into());
        path.trim_end_matches('/').to_owned()
    }
}

/// A task that somebody names.
#[derive(Debug, clap::Args)]
pub struct Named {
    /// The task: its id, or the path or URL that `Location` gave
    #[arg(value_name = "ID")]
    task: String,
    #[command(flatten)]
    routes: Routes,
}

impl Named {
    /// Where the server has it.
    pub fn path(&self, client: &Client) -> Result<String, Refusal> {
        match self.task.as_str() {
            "" => Err("ID: expected the id of a task".into()),
            path if path.starts_with('/') => Ok(path.to_owned()),
            url if url.starts_with("http://") || url.starts_with("https://") => client.own_path(url),
            id => Ok(path_of(&self.routes, id)),
        }
    }
}

/// Where the server has the task with this id.
pub fn path_of(routes: &Routes, id: &str) -> String {
    format!("{}/{}", routes.path(), segment(id))
}

/// A name as a segment of a path.
pub fn segment(name: &str) -> impl std::fmt::Display {
    utf8_percent_encode(name, SEGMENT)
}

/// A path below a task's own, which may name the task in its query.
pub fn below(path: &str, name: &str) -> String {
    match path.split_once('?') {
        Some((path, query)) => format!("{path}/{name}?{query}"),
        None => format!("{path}/{name}"),
    }
}

/// A method and a path.
pub fn target(text: &str) -> Result<(String, String), String> {
    match text.split_whitespace().collect::<Vec<_>>()[..] {
        [method, path] if path.starts_with('/') => Ok((method.to_ascii_uppercase(), path.to_owned())),
        _ => Err("expected a method and a path, such as 'PUT /orders/{id}'".into()),
    }
}

/// An AsyncTask, as far as it is shown.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Task {
    pub id: String,
    pub name: String,
    pub state: String,
    pub progress: Option<f64>,
    pub user: Option<String>,
    pub creation_time: Option<String>,
    pub starting_time: Option<String>,
    pub completed_time: Option<String>,
    pub error: Option<String>,
    pub sse: Option<Sse>,
    #[serde(default, deserialize_with = "present")]
    pub result: Option<Box<RawValue>>,
}

/// Where a task can be followed.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Sse {
    pub url: String,
}

impl Task {
    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        matches!(self.state.as_str(), "Completed" | "Failed" | "Aborted")
    }

    /// Where it stands: `Running, 40 %`, `Failed: no money`.
    pub fn standing(&self) -> String {
        let progress = self.progress.filter(|_| !self.is_over()).map(|percent| format!(", {percent:.0} %"));
        let error = self.error.as_ref().map(|error| format!(": {error}"));
        Line::cut(format!("{}{}{}", self.state, progress.unwrap_or_default(), error.unwrap_or_default()))
    }

    /// All of it that a reader wants, line by line.
    pub fn card(&self) -> String {
        let result = self.result.as_ref().map(|result| result.get().to_owned());
        let standing = Some(self.standing());
        let lines = [
            ("id", &Some(self.id.clone())),
            ("route", &Some(self.name.clone())),
            ("state", &standing),
            ("user", &self.user),
            ("created", &self.creation_time),
            ("started", &self.starting_time),
            ("ended", &self.completed_time),
            ("result", &result),
        ];
        let lines = lines.into_iter().filter_map(|(title, value)| value.as_ref().map(|value| (title, value)));
        lines.map(|(title, value)| format!("{title:<8} {value}")).collect::<Vec<_>>().join("\n")
    }
}

/// How a command about this task ends: 0 only when it is completed.
pub fn ending(task: &Task) -> Ending {
    if task.state == "Completed" { Ending::Ok } else { Ending::FailedTask }
}

/// Shows how a task that was waited for stands: its result on standard output, anything else on standard error.
pub fn show(answer: &Answer, as_json: bool) -> Result<Ending, Refusal> {
    let task: Task = answer.read()?;
    if as_json {
        say(&answer.text);
        return Ok(ending(&task));
    }
    if !task.is_over() {
        say_error(&format!("{} has not ended: {}", task.id, task.standing()));
    } else if task.state != "Completed" {
        say_error(&task.standing());
    }
    if let Some(result) = &task.result {
        say(result.get());
    }
    Ok(ending(&task))
}

/// The task once it has ended, or as it stands after so many seconds.
pub async fn wait(client: &Client, path: &str, seconds: u32) -> Result<Answer, Refusal> {
    let until = Instant::now() + Duration::from_secs(seconds.into());
    loop {
        let left = until.saturating_duration_since(Instant::now());
        // Whole seconds, and never one too few.
        let step = Duration::from_secs(left.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)).min(STEP);
        let request = client.request(Method::GET, path).query(&[("wait", step.as_secs())]).timeout(ANSWER + step);
        let answer = client.ask(request).await?;
        if left.is_zero() || answer.read::<Task>()?.is_over() {
            return Ok(answer);
        }
    }
}
