//! Requests to web servers, which the route must grant: `grants: {http: ["api.example.com"]}`.
//!
//! A redirect is a response like any other. A component that sends nothing imports no `wasi:http`.

use crate::Failure;
use crate::bindings::wasi::http::outgoing_handler;
use crate::bindings::wasi::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingResponse, Method, OutgoingBody, OutgoingRequest, Scheme,
    http_error_code,
};
use crate::bindings::wasi::io::streams::{InputStream, StreamError};
use serde::de::DeserializeOwned;
use serde_json::json;

/// The most bytes of a response's body, unless [`Request::limit`] says otherwise.
const LIMIT: usize = 1 << 20;
/// Bytes of one read, and of one write.
const READ: u64 = 64 << 10;
const WRITE: usize = 4096;

/// What to ask.
pub struct Request {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
    limit: usize,
}

/// What the server said. Names of header fields are in lower case.
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    url: String,
}

/// Why there is no response: a name of `wasi:http`'s `error-code`, such as `HTTP-request-denied`; `header-refused`; or
/// `body-not-UTF-8`. `?` makes a [`Failure`] of it.
#[derive(Debug)]
pub struct Error {
    pub url: String,
    pub reason: String,
}

impl From<Error> for Failure {
    fn from(Error { url, reason }: Error) -> Self {
        Self::new(format!("the request failed: {reason}")).with(json!({"url": url, "reason": reason}))
    }
}

impl Request {
    pub fn new(method: &str, url: &str) -> Self {
        Self { method: method.into(), url: url.into(), headers: Vec::new(), body: None, limit: LIMIT }
    }

    pub fn get(url: &str) -> Self {
        Self::new("GET", url)
    }

    pub fn post(url: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::new("POST", url).body(body)
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: Some(body.into()), ..self }
    }

    /// The most bytes of the response's body; more is an error, `HTTP-response-body-size`.
    pub fn limit(self, bytes: usize) -> Self {
        Self { limit: bytes, ..self }
    }

    /// Sends it, and waits for the whole response.
    pub fn send(self) -> Result<Response, Error> {
        let response = self.answered().and_then(|response| {
            let headers = response.headers().entries().into_iter();
            let headers = headers.map(|(name, value)| (name, String::from_utf8_lossy(&value).into_owned())).collect();
            Ok((response.status(), headers, read(&response, self.limit)?))
        });
        match response {
            Ok((status, headers, body)) => Ok(Response { status, headers, body, url: self.url }),
            Err(reason) => Err(Error { url: self.url, reason }),
        }
    }

    /// The head of the response.
    fn answered(&self) -> Result<IncomingResponse, String> {
        let fields = Fields::new();
        let length = self.body.as_ref().map(|body| ("content-length".to_owned(), body.len().to_string()));
        for (name, value) in self.headers.iter().chain(&length) {
            fields.append(name, value.as_bytes()).map_err(|_| "header-refused")?;
        }
        let request = OutgoingRequest::new(fields);
        let (scheme, authority, path) = parts(&self.url).ok_or("HTTP-request-URI-invalid")?;
        request.set_method(&method(&self.method)).map_err(|()| "HTTP-request-method-invalid")?;
        request
            .set_scheme(Some(&scheme))
            .and_then(|()| request.set_authority(Some(authority)))
            .and_then(|()| request.set_path_with_query(Some(&path)))
            .map_err(|()| "HTTP-request-URI-invalid")?;
        // The host takes the body while it sends; a request that is not sent takes none.
        let body = self.body.as_ref().and_then(|bytes| Some((request.body().ok()?, bytes)));
        let asked = outgoing_handler::handle(request, None).map_err(reason)?;
        if let Some((body, bytes)) = body {
            // When the server does not want it, the response says why.
            let _ = write(body, bytes);
        }
        wait(&asked)
    }
}

impl Response {
    pub fn text(&self) -> Result<&str, Error> {
        std::str::from_utf8(&self.body).map_err(|_| Error { url: self.url.clone(), reason: "body-not-UTF-8".into() })
    }

    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        Ok(serde_json::from_slice(&self.body)?)
    }
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "CONNECT" => Method::Connect,
        "OPTIONS" => Method::Options,
        "TRACE" => Method::Trace,
        "PATCH" => Method::Patch,
        other => Method::Other(other.into()),
    }
}

/// The scheme, the authority, and the path with the query.
fn parts(url: &str) -> Option<(Scheme, &str, String)> {
    let (scheme, rest) = match (url.strip_prefix("http://"), url.strip_prefix("https://")) {
        (Some(rest), _) => (Scheme::Http, rest),
        (None, Some(rest)) => (Scheme::Https, rest),
        (None, None) => return None,
    };
    let rest = rest.split('#').next().unwrap_or("");
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let slash = if path.starts_with('/') { "" } else { "/" };
    Some((scheme, authority, format!("{slash}{path}")))
}

fn write(body: OutgoingBody, bytes: &[u8]) -> Result<(), ()> {
    let stream = body.write()?;
    for chunk in bytes.chunks(WRITE) {
        stream.blocking_write_and_flush(chunk).map_err(drop)?;
    }
    drop(stream);
    OutgoingBody::finish(body, None).map_err(drop)
}

fn wait(asked: &FutureIncomingResponse) -> Result<IncomingResponse, String> {
    loop {
        if let Some(answered) = asked.get() {
            return answered.map_err(|()| "internal-error")?.map_err(reason);
        }
        asked.subscribe().block();
    }
}

fn read(response: &IncomingResponse, limit: usize) -> Result<Vec<u8>, String> {
    let body = response.consume().map_err(|()| "internal-error")?;
    let stream: InputStream = body.stream().map_err(|()| "internal-error")?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(READ) {
            Ok(read) => bytes.extend(read),
            Err(StreamError::Closed) => return Ok(bytes),
            Err(StreamError::LastOperationFailed(error)) => {
                return Err(http_error_code(&error).map_or_else(|| "internal-error".into(), reason));
            }
        }
        if bytes.len() > limit {
            return Err("HTTP-response-body-size".into());
        }
    }
}

/// The name that the WIT has for an error: `HTTP-request-denied` for `ErrorCode::HttpRequestDenied`.
fn reason(error: ErrorCode) -> String {
    let debug = format!("{error:?}");
    let name = debug.trim_start_matches("ErrorCode::").split(['(', ' ']).next().unwrap_or_default();
    let mut words: Vec<String> = Vec::new();
    for letter in name.chars() {
        match words.last_mut() {
            Some(word) if letter.is_ascii_lowercase() => word.push(letter),
            _ => words.push(letter.to_ascii_lowercase().into()),
        }
    }
    for word in &mut words {
        if ["dns", "http", "ip", "tls", "uri"].contains(&word.as_str()) {
            word.make_ascii_uppercase();
        }
    }
    words.join("-")
}
