//! Owns `/-/state`: the shared variables as administrators read and write them, each tenant's its own.
//! Must not know who else uses them.

use super::changing;
use crate::api::problem::{Problem, or_problem};
use crate::api::role::Manager;
use crate::api::tasks::respond_with;
use crate::api::{Api, body};
use crate::executor::VariableError;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// `GET /-/state`: the names of all variables, sorted.
pub async fn names(State(api): State<Api>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let answer = async {
        let manager = Manager::looking(&api, &parts).await?;
        let tenant = manager.role.tenant.as_ref().map(|tenant| tenant.name.to_string());
        let names = api.0.runner.variable_names(tenant).await?;
        Ok(respond_with(StatusCode::OK, &names, "Names", manager.answer))
    };
    or_problem(answer.await, &parts)
}

/// `GET /-/state/{name}`: the variable's value; its version is the ETag.
pub async fn get(State(api): State<Api>, Path(name): Path<String>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let answer = async {
        let manager = Manager::looking(&api, &parts).await?;
        let found = api.0.runner.variable(manager.role.full_name(&name)).await?;
        let found = found.ok_or_else(|| unknown(&name))?;
        let mut response = respond_with(StatusCode::OK, &found.value, "Value", manager.answer);
        response.headers_mut().extend(tag(found.version).map(|tag| (header::ETAG, tag)));
        Ok(response)
    };
    or_problem(answer.await, &parts)
}

/// `PUT /-/state/{name}`: writes the value. With `If-Match` only over that version, with `If-None-Match: *` only if there
/// is none (RFC 9110 §13.1); without either in any case.
pub async fn put(State(api): State<Api>, Path(name): Path<String>, request: Request) -> Response {
    changing(api, request, move |api, manager, parts, body| {
        Box::pin(async move {
            let condition = condition(&parts.headers)?;
            let value = body::read(&parts.headers, body, api.now().options.body_limit).await?;
            let name = manager.role.full_name(&name);
            let written = api.0.runner.write_variable(name, condition, value).await;
            let version = written.map_err(|error| problem(error, "written"))?;
            let status = if version == 1 { StatusCode::CREATED } else { StatusCode::NO_CONTENT };
            let mut response = status.into_response();
            response.headers_mut().extend(tag(version).map(|tag| (header::ETAG, tag)));
            Ok(response)
        })
    })
    .await
}

/// `DELETE /-/state/{name}`: removes the variable; with `If-Match` only that version.
pub async fn remove(State(api): State<Api>, Path(name): Path<String>, request: Request) -> Response {
    changing(api, request, move |api, manager, parts, _| {
        Box::pin(async move {
            let expected = match condition(&parts.headers)? {
                Some(None) => return Err(Problem::new(400, "A variable that does not exist cannot be removed.")),
                condition => condition.flatten(),
            };
            let removed = api.0.runner.remove_variable(manager.role.full_name(&name), expected).await;
            match removed.map_err(|error| problem(error, "removed"))? {
                true => Ok(StatusCode::NO_CONTENT.into_response()),
                false => Err(unknown(&name)),
            }
        })
    })
    .await
}

fn unknown(name: &str) -> Problem {
    Problem::new(404, format!("There is no variable `{}`.", shown(name)))
}

fn problem(error: VariableError, done: &str) -> Problem {
    match error {
        VariableError::Conflict(version) => {
            let words = match version {
                0 => "There is no such variable.".to_owned(),
                version => format!("The variable has the version {version} now."),
            };
            let problem = Problem::new(412, format!("{words} Nothing was {done}."));
            match tag(version).filter(|_| version > 0) {
                Some(tag) => problem.with_header(header::ETAG, tag),
                None => problem,
            }
        }
        VariableError::Limit(words) => Problem::new(422, format!("The variable cannot be kept: {words}.")),
        error => {
            tracing::error!("a variable could not be written: {error}");
            Problem::new(503, "The store does not answer. Try again.").retry_after(1)
        }
    }
}

/// Which version is expected: `None`, any; `Some(None)`, that there is none.
fn condition(headers: &HeaderMap) -> Result<Option<Option<u64>>, Problem> {
    let value = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or("").trim());
    match (value(header::IF_MATCH), value(header::IF_NONE_MATCH)) {
        (None, None) => Ok(None),
        (None, Some("*")) => Ok(Some(None)),
        (Some(tag), None) if tag != "*" => {
            let version = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).and_then(|tag| tag.parse().ok());
            // What is no version of ours is the version of no variable.
            Ok(Some(Some(version.unwrap_or(u64::MAX >> 11))))
        }
        _ => Err(Problem::new(
            400,
            "A write takes either `If-Match` with an ETag of this variable, or `If-None-Match: *`.",
        )),
    }
}

fn tag(version: u64) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("\"{version}\"")).ok()
}

fn shown(name: &str) -> String {
    name.chars().take(128).collect()
}
