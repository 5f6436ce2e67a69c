//! Owns the task routes: getting and stopping one task.
//! Must not know how a stop is done.

use super::problem::Problem;
use super::view::AsyncTask;
use super::{Api, request};
use crate::ids::TaskId;
use crate::route::task_route::{Operation, TaskRoute};
use crate::runner::StopError;
use crate::task::Task;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

pub async fn answer(
    api: &Api,
    task_route: &TaskRoute,
    parameters: &[(String, String)],
    parts: &Parts,
) -> Result<Response, Problem> {
    let text = request::task_id(task_route, parameters, &parts.uri, &parts.headers)?;
    // What can be no id is an id that nobody has.
    let id = TaskId::parse(&text).map_err(|_| unknown(&text))?;
    let task = match task_route.operation {
        Operation::Get => match request::wait_of_query(&parts.uri)? {
            Some(longest) => api.0.runner.wait(&id, longest).await?,
            None => api.0.runner.get(&id).await?,
        }
        .ok_or_else(|| unknown(&text))?,
        Operation::Stop => api.0.runner.stop(&id).await.map_err(|error| match error {
            StopError::Unknown(_) => unknown(&text),
            other => other.into(),
        })?,
    };
    Ok(show(StatusCode::OK, &task))
}

/// A task as an answer.
pub fn show(status: StatusCode, task: &Task) -> Response {
    let body = serde_json::to_vec(&AsyncTask::from(task)).unwrap_or_default();
    let mut response = (status, body).into_response();
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // A running task changes at any moment.
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn unknown(id: &str) -> Problem {
    let shown: String = id.chars().take(TaskId::MAX_SHOWN).collect();
    Problem::new(404, format!("There is no task with the id `{shown}`."))
}
