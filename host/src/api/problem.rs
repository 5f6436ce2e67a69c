//! Owns how errors look: problem details (RFC 9457), in words for clients. Must not tell them what only operators
//! may know: that is logged.

use super::request;
use crate::auth::{Refusal, RefusalKind};
use crate::callback::ResendError;
use crate::callback::target::TargetFault;
use crate::codec::{DecodeFault, Format, encode_problem, negotiate_problem};
use crate::runner::{StopError, SubmitError};
use crate::schema::SchemaFault;
use crate::store::StoreError;
use crate::task::query::QueryFault;
use crate::value::Json;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// An error as a client sees it.
#[derive(Debug)]
pub struct Problem {
    document: Box<Document>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// The RFC's members; `type` is `about:blank`, whose title is the status's.
#[derive(Debug, Serialize)]
struct Document {
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<SchemaFault>,
}

impl Problem {
    /// A problem with this status; `detail` says what, where, and what instead.
    pub fn new(status: u16, detail: impl Into<String>) -> Self {
        let known = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // RFC 9110 renamed two of those that the library knows.
        let title = match known.as_u16() {
            413 => "Content Too Large",
            422 => "Unprocessable Content",
            _ => known.canonical_reason().unwrap_or("Error"),
        };
        let document = Document {
            title,
            status: known.as_u16(),
            detail: detail.into(),
            line: None,
            column: None,
            errors: Vec::new(),
        };
        Self { document: Box::new(document), headers: Vec::new() }
    }

    /// With a header field.
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// With `Retry-After`.
    pub fn retry_after(self, seconds: u32) -> Self {
        self.with_header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// A body that is malformed at this place.
    pub fn malformed(fault: &DecodeFault) -> Self {
        let mut problem = Self::new(400, format!("The body is no {} that can be read: {fault}.", fault.incoming));
        problem.document.line = Some(fault.line);
        problem.document.column = Some(fault.column);
        problem
    }

    /// A definition with these faults, each of which says where.
    pub fn faults(words: &str, faults: Vec<String>) -> Self {
        let mut problem = Self::new(422, format!("{words} `errors` names each fault."));
        let fault = |message| SchemaFault { pointer: String::new(), message };
        problem.document.errors = faults.into_iter().map(fault).collect();
        problem
    }

    /// What it says.
    pub fn detail(&self) -> &str {
        &self.document.detail
    }

    /// An input that is not what the route takes, in these places.
    pub fn invalid(faults: Vec<SchemaFault>) -> Self {
        let mut problem = Self::new(422, "The input does not match the route's schema; `errors` names each fault.");
        problem.document.errors = faults;
        problem
    }
}

impl Problem {
    /// The answer, in the format that the client likes best: an error is never refused for its format.
    pub fn respond<'a>(self, accepted: impl IntoIterator<Item = &'a str>) -> Response {
        let answer = negotiate_problem(accepted, &Format::ALL);
        let status = StatusCode::from_u16(self.document.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let document = Json::from_serialize(&self.document).unwrap_or_else(|_| Json::null());
        let mut response = (status, encode_problem(answer.format, &document)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(answer.media_type));
        // A cache may keep some errors unasked (RFC 9110 §15.1). They depend on `Accept`, and may be gone at any moment.
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        // Several challenges are several fields.
        for (name, value) in self.headers {
            response.headers_mut().append(name, value);
        }
        response
    }
}

/// The answer, or the problem in the format that the client likes best.
pub fn or_problem(answer: Result<Response, Problem>, request: &Parts) -> Response {
    answer.unwrap_or_else(|problem| problem.respond(request::accepted(&request.headers)))
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if let StoreError::TooBroad(_) = error {
            return Self::new(422, format!("{error}."));
        }
        tracing::error!("{error}");
        Self::new(503, "The task store does not answer. Try again.").retry_after(1)
    }
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Draining => {
                Self::new(503, "The host is shutting down and takes no new tasks. Nothing was stored.").retry_after(5)
            }
            SubmitError::QueueFull { .. } => Self::new(429, format!("The queue is full: {error}.")).retry_after(1),
            SubmitError::RouteGone => Self::new(404, sentence(&error.to_string())),
            SubmitError::TenantFull { .. } | SubmitError::StoreFull(_) => {
                Self::new(429, format!("The quota is used up: {error}.")).retry_after(1)
            }
            SubmitError::BodiesFull => Self::new(429, format!("There is no room: {error}.")).retry_after(1),
            SubmitError::KeyReused => Self::new(422, format!("The submission was refused: {error}.")),
            SubmitError::IdTaken(_) => Self::new(409, format!("The generated id is taken: {error}.")),
            SubmitError::IdGenerator(why) => {
                tracing::error!("id generator: {why}");
                Self::new(500, "The route's id generator failed. Nothing was stored.")
            }
            SubmitError::Store(error) => error.into(),
        }
    }
}

impl From<StopError> for Problem {
    fn from(error: StopError) -> Self {
        let status = match error {
            StopError::Unknown(_) => 404,
            StopError::Ended(_) => 410,
            StopError::NotCancellable => 423,
            StopError::Left => 503,
            StopError::Store(error) => return error.into(),
        };
        Self::new(status, sentence(&error.to_string()))
    }
}

impl From<TargetFault> for Problem {
    fn from(fault: TargetFault) -> Self {
        let mut problem = Self::new(422, sentence(&fault.message));
        let errors = fault.pointer.map(|pointer| SchemaFault { pointer, message: fault.message });
        problem.document.errors.extend(errors);
        problem
    }
}

impl From<ResendError> for Problem {
    fn from(error: ResendError) -> Self {
        let status = match error {
            ResendError::NoCallback => 404,
            ResendError::NotEnded | ResendError::Busy => 409,
            ResendError::Store(error) => return error.into(),
        };
        Self::new(status, sentence(&error.to_string()))
    }
}

/// With a capital first letter and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    format!("{}{}.", first.unwrap_or_default(), letters.as_str())
}

impl From<QueryFault> for Problem {
    fn from(fault: QueryFault) -> Self {
        Self::new(400, format!("{}.", fault.message))
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        tracing::info!("a caller was not let in: {}", refusal.reason);
        match refusal.kind {
            RefusalKind::Busy => Self::new(503, "Too many passwords are being checked. Try again.").retry_after(1),
            RefusalKind::Unavailable => {
                Self::new(503, "The keys that tokens are verified with cannot be had now. Try again.").retry_after(5)
            }
            RefusalKind::Unauthenticated => {
                let problem = Self::new(401, "Valid credentials are needed here.");
                let challenges = refusal.challenges.iter().filter_map(|text| HeaderValue::try_from(text).ok());
                challenges.fold(problem, |problem, text| problem.with_header(header::WWW_AUTHENTICATE, text))
            }
        }
    }
}
