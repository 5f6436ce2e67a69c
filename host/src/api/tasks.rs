//! Owns the task routes for one task: getting and stopping it, and how tasks are answered.
//! Must not know how a stop is done.

use super::caller::Caller;
use super::problem::Problem;
use super::view::AsyncTask;
use super::{Api, request};
use crate::codec::{Answer, Format, encode};
use crate::ids::TaskId;
use crate::route::task_route::{Operation, TaskRoute};
use crate::runner::StopError;
use crate::task::Task;
use crate::value::Json;
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

pub async fn answer(
    api: &Api,
    task_route: &TaskRoute,
    parameters: &[(String, String)],
    parts: &Parts,
) -> Result<Response, Problem> {
    let caller = Caller::admit(api, task_route.auth.as_deref(), &task_route.responses, parts).await?;
    let text = request::task_id(task_route, parameters, &parts.uri, &parts.headers)?;
    // What can be no id is an id that nobody has; what the caller may not read is one too.
    let id = TaskId::parse(&text).map_err(|_| unknown(&text))?;
    let task = api.0.runner.get(&id).await?.filter(|task| caller.may_read(task)).ok_or_else(|| unknown(&text))?;
    let task = match task_route.operation {
        Operation::Stop if !caller.may_write(&task) => {
            return Err(Problem::new(403, "You may read this task, but not stop it."));
        }
        Operation::Stop => api.0.runner.stop(&id).await.map_err(|error| match error {
            StopError::Unknown(_) => unknown(&text),
            other => other.into(),
        })?,
        Operation::Get | Operation::Query => match request::wait_of_query(&parts.uri)? {
            Some(longest) => api.0.runner.wait(&id, longest).await?.ok_or_else(|| unknown(&text))?,
            None => task,
        },
    };
    let mut response = show(StatusCode::OK, &task, caller.answer);
    if task_route.operation == Operation::Get {
        tag(&mut response, parts);
    }
    Ok(response)
}

/// RFC 9110 §8.8.3, §13.1.2: the tag of the answer, and no content for a client that has it.
fn tag(response: &mut Response, parts: &Parts) {
    let Some(digest) = response.extensions().get::<BodyDigest>().map(|digest| format!("\"{}\"", digest.0)) else {
        return;
    };
    let Ok(tag) = HeaderValue::try_from(&digest) else { return };
    let known = parts.headers.get_all(header::IF_NONE_MATCH).into_iter().filter_map(|value| value.to_str().ok());
    let mut known = known.flat_map(|value| value.split(',')).map(|known| known.trim().trim_start_matches("W/"));
    if known.any(|known| known == "*" || known == digest) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = Body::empty();
        response.headers_mut().remove(header::CONTENT_TYPE);
    }
    response.headers_mut().insert(header::ETAG, tag);
}

/// The first half of the SHA-256 of an answer's body.
#[derive(Clone)]
struct BodyDigest(String);

/// A task as an answer.
pub fn show(status: StatusCode, task: &Task, answer: Answer) -> Response {
    let body = serde_json::to_vec(&AsyncTask::from(task)).unwrap_or_default();
    respond(status, body, "AsyncTask", answer)
}

/// Tasks as an answer.
pub fn list(status: StatusCode, tasks: &[Task], answer: Answer) -> Response {
    let views: Vec<AsyncTask<'_>> = tasks.iter().map(AsyncTask::from).collect();
    respond(status, serde_json::to_vec(&views).unwrap_or_default(), "AsyncTasks", answer)
}

fn respond(status: StatusCode, json: Vec<u8>, root: &str, answer: Answer) -> Response {
    let body = match answer.format {
        Format::Json => json,
        format => {
            let text = String::from_utf8(json).unwrap_or_default();
            encode(format, root, &Json::parse(text).unwrap_or_else(|_| Json::null()))
        }
    };
    let digest = Sha256::digest(&body).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let mut response = (status, body).into_response();
    response.extensions_mut().insert(BodyDigest(digest));
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(answer.media_type));
    fields.insert(header::VARY, HeaderValue::from_static("accept"));
    // A running task changes at any moment: asked for again each time, by its tag.
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn unknown(id: &str) -> Problem {
    let shown: String = id.chars().take(TaskId::MAX_SHOWN).collect();
    Problem::new(404, format!("There is no task with the id `{shown}`."))
}
