//! Owns the shared variables as administrators read and write them. Must not know who else uses them.

use super::caller::not_acceptable;
use super::edge::admit_admin;
use super::problem::{Problem, or_problem};
use super::tasks::respond_with;
use super::{Api, body, request};
use crate::codec::{Answer, Format, negotiate};
use crate::executor::VariableError;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// `GET /-/state`: the names of all variables, sorted.
pub async fn names(State(api): State<Api>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let answer = async {
        admit_admin(&api, &parts).await?;
        let answer = acceptable(&parts.headers)?;
        Ok(respond_with(StatusCode::OK, &api.0.runner.variable_names().await?, "Names", answer))
    };
    or_problem(answer.await, &parts)
}

/// `GET /-/state/{name}`: the variable's value; its version is the ETag.
pub async fn get(State(api): State<Api>, Path(name): Path<String>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let answer = async {
        admit_admin(&api, &parts).await?;
        let answer = acceptable(&parts.headers)?;
        let found = api.0.runner.variable(name.clone()).await?;
        let found = found.ok_or_else(|| Problem::new(404, format!("There is no variable `{}`.", shown(&name))))?;
        let mut response = respond_with(StatusCode::OK, &found.value, "Value", answer);
        response.headers_mut().extend(tag(found.version).map(|tag| (header::ETAG, tag)));
        Ok(response)
    };
    or_problem(answer.await, &parts)
}

/// `PUT /-/state/{name}`: writes the value. With `If-Match` only over that version, with `If-None-Match: *` only if there
/// is none (RFC 9110 §13.1); without either in any case.
pub async fn put(State(api): State<Api>, Path(name): Path<String>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    or_problem(write(&api, name, &parts, body).await, &parts)
}

async fn write(api: &Api, name: String, parts: &Parts, body: Body) -> Result<Response, Problem> {
    admit_admin(api, parts).await?;
    let condition = condition(&parts.headers)?;
    let value = body::read(&parts.headers, body, api.now().options.body_limit).await?;
    match api.0.runner.write_variable(name, condition, value).await {
        Ok(version) => {
            let status = if version == 1 { StatusCode::CREATED } else { StatusCode::NO_CONTENT };
            let mut response = status.into_response();
            response.headers_mut().extend(tag(version).map(|tag| (header::ETAG, tag)));
            Ok(response)
        }
        Err(VariableError::Conflict(version)) => {
            let words = match version {
                0 => "There is no such variable.".to_owned(),
                version => format!("The variable has the version {version} now."),
            };
            let problem = Problem::new(412, format!("{words} Nothing was written."));
            Err(match tag(version).filter(|_| version > 0) {
                Some(tag) => problem.with_header(header::ETAG, tag),
                None => problem,
            })
        }
        Err(VariableError::Limit(words)) => Err(Problem::new(422, format!("The variable cannot be kept: {words}."))),
        Err(error) => {
            tracing::error!("a variable could not be written: {error}");
            Err(Problem::new(503, "The store does not answer. Try again.").retry_after(1))
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

fn acceptable(headers: &HeaderMap) -> Result<Answer, Problem> {
    negotiate(request::accepted(headers), &Format::ALL).ok_or_else(|| not_acceptable(&Format::ALL))
}

fn shown(name: &str) -> String {
    name.chars().take(128).collect()
}
