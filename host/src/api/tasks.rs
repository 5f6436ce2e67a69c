//! Owns the task routes for one task: getting and stopping it, and how tasks are answered.
//! Must not know how a stop is done.

use super::caller::Caller;
use super::problem::Problem;
use super::{Api, etag, request};
use crate::codec::{Answer, encode_view};
use crate::ids::TaskId;
use crate::route::task_route::{Operation, TaskRoute};
use crate::runner::StopError;
use crate::task::Task;
use crate::task::view::AsyncTask;
use axum::body::Bytes;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::sync::Arc;

/// A request about one task.
#[derive(Clone, Copy)]
pub struct AboutTask<'a> {
    pub api: &'a Api,
    pub task_route: &'a TaskRoute,
    /// The path's.
    pub parameters: &'a [(String, String)],
    pub parts: &'a Parts,
}

impl AboutTask<'_> {
    /// Lets the caller in, to be answered in a format of the task route.
    pub async fn admit(&self) -> Result<Caller, Problem> {
        let Self { api, task_route, parts, .. } = self;
        Caller::admit(api, task_route.auth.as_deref(), &task_route.responses, parts).await
    }

    /// The task that the request names, if the caller may read it.
    pub async fn task(&self, caller: &Caller) -> Result<Arc<Task>, Problem> {
        let text = request::task_id(self.task_route, self.parameters, &self.parts.uri, &self.parts.headers)?;
        // What can be no id is an id that nobody has; what the caller may not read is one too.
        let id = TaskId::parse(&text).map_err(|_| unknown(&text))?;
        self.api.0.runner.get(&id).await?.filter(|task| caller.may_read(task)).ok_or_else(|| unknown(&text))
    }
}

pub async fn answer(about: AboutTask<'_>) -> Result<Response, Problem> {
    let caller = about.admit().await?;
    let task = about.task(&caller).await?;
    let (AboutTask { api, parts, .. }, id) = (about, &task.id);
    if about.task_route.operation == Operation::Stop {
        if !caller.may_write(&task) {
            return Err(Problem::new(403, "You may read this task, but not stop it."));
        }
        let stopped = api.0.runner.stop(id).await.map_err(|error| match error {
            StopError::Unknown(_) => unknown(id.as_str()),
            other => other.into(),
        })?;
        return Ok(show(StatusCode::OK, &stopped, caller.answer));
    }
    let task = match request::wait_of_query(&parts.uri)? {
        Some(longest) => api.0.runner.wait(id, longest).await?.ok_or_else(|| unknown(id.as_str()))?,
        None => task,
    };
    let body = Bytes::from(encode_view(caller.answer.format, "AsyncTask", &AsyncTask::from(&*task)));
    let tag = etag::of(&body);
    Ok(negotiated(etag::answer(body, tag, caller.answer.media_type, &parts.headers)))
}

/// A task as an answer.
pub fn show(status: StatusCode, task: &Task, answer: Answer) -> Response {
    respond_with(status, &AsyncTask::from(task), "AsyncTask", answer)
}

/// Tasks as an answer.
pub fn list(status: StatusCode, tasks: &[Task], answer: Answer) -> Response {
    let views: Vec<AsyncTask<'_>> = tasks.iter().map(AsyncTask::from).collect();
    respond_with(status, &views, "AsyncTasks", answer)
}

/// Anything as an answer.
pub fn respond_with(status: StatusCode, view: &impl Serialize, root: &str, answer: Answer) -> Response {
    let mut response = (status, encode_view(answer.format, root, view)).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(answer.media_type));
    negotiated(response)
}

/// It depends on `Accept`; and a running task changes at any moment, so it is asked for again each time, by its tag.
pub fn negotiated(mut response: Response) -> Response {
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// There is no such task, or none for this caller.
pub fn unknown(id: &str) -> Problem {
    let shown: String = id.chars().take(TaskId::MAX_SHOWN).collect();
    Problem::new(404, format!("There is no task with the id `{shown}`."))
}
