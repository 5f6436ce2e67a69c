//! Sends requests in ways that no honest component would.

use serde_json::{Value, json};

use crate::wasi::http::outgoing_handler;
use crate::wasi::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingResponse, Method, OutgoingBody, OutgoingRequest, RequestOptions,
    Scheme,
};
use crate::wasi::io::streams::StreamError;
use crate::{Failure, failure, number};

const NANOSECONDS_PER_MILLISECOND: u64 = 1_000_000;

/// Sends `count` requests (1 by default) to `authority` and tells what came of each: a status and the number of bytes
/// that followed, or an error. Further fields of the input: `path`, `scheme`, `method`, `header` (one `[name, value]`),
/// `send` (how many bytes of a body, without end when it is `"endless"`), and `connect_ms`, `first_byte_ms` and `between_bytes_ms`.
/// With `hold` it first sends all of them, and reads what comes only then.
pub fn send(input: &Value) -> Result<String, Failure> {
    let count = number(input, "count", 1)?;
    let hold = input.get("hold").and_then(Value::as_bool).unwrap_or(false);
    let mut told = Vec::new();
    let mut held = Vec::new();
    for _ in 0..count {
        let begun = begin(input)?;
        match hold {
            true => held.push(begun.and_then(|asked| head(&asked))),
            false => told.push(end(begun.and_then(|asked| head(&asked)))),
        }
    }
    told.extend(held.into_iter().map(end));
    Ok(Value::from(told).to_string())
}

fn begin(input: &Value) -> Result<Result<FutureIncomingResponse, ErrorCode>, Failure> {
    let text = |name: &str| input.get(name).and_then(Value::as_str);
    let headers = Fields::new();
    if let Some(header) = input.get("header") {
        let part = |index: usize| header.get(index).and_then(Value::as_str).unwrap_or("");
        if let Err(error) = headers.append(part(0), part(1).as_bytes()) {
            return Err(failure(format!("{error:?}"), json!({})));
        }
    }
    let request = OutgoingRequest::new(headers);
    let scheme = if text("scheme") == Some("https") { Scheme::Https } else { Scheme::Http };
    let method = text("method").map_or(Method::Get, |method| match method {
        "POST" => Method::Post,
        "CONNECT" => Method::Connect,
        other => Method::Other(other.into()),
    });
    let set = request
        .set_scheme(Some(&scheme))
        .and_then(|()| request.set_method(&method))
        .and_then(|()| request.set_authority(text("authority")))
        .and_then(|()| request.set_path_with_query(Some(text("path").unwrap_or("/"))));
    set.map_err(|()| failure("the host takes no such request", json!({})))?;
    let options = RequestOptions::new();
    let time =
        |name: &str| input.get(name).and_then(Value::as_u64).map(|ms| ms.saturating_mul(NANOSECONDS_PER_MILLISECOND));
    let _ = options.set_connect_timeout(time("connect_ms"));
    let _ = options.set_first_byte_timeout(time("first_byte_ms"));
    let _ = options.set_between_bytes_timeout(time("between_bytes_ms"));
    let body = match input.get("send") {
        None => None,
        Some(bytes) => Some((request.body().map_err(|()| failure("no body", json!({})))?, bytes.as_u64())),
    };
    let asked = outgoing_handler::handle(request, Some(options));
    if let (Ok(_), Some((body, bytes))) = (&asked, body) {
        write(body, bytes.unwrap_or(u64::MAX));
    }
    Ok(asked)
}

/// Writes zeros until the host takes no more.
fn write(body: OutgoingBody, bytes: u64) {
    let Ok(stream) = body.write() else { return };
    let mut left = bytes;
    while left > 0 {
        let chunk = left.min(4096);
        if stream.blocking_write_and_flush(&vec![0; usize::try_from(chunk).unwrap_or(0)]).is_err() {
            return;
        }
        left -= chunk;
    }
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
}

fn head(asked: &FutureIncomingResponse) -> Result<IncomingResponse, ErrorCode> {
    loop {
        match asked.get() {
            Some(Ok(answered)) => return answered,
            Some(Err(())) => return Err(ErrorCode::InternalError(None)),
            None => asked.subscribe().block(),
        }
    }
}

fn end(answered: Result<IncomingResponse, ErrorCode>) -> Value {
    match answered {
        Ok(response) => json!({ "status": response.status(), "body": rest(&response) }),
        Err(error) => json!({ "error": format!("{error:?}").replace("ErrorCode::", "") }),
    }
}

/// The number of bytes of the body, or why it ended.
fn rest(response: &IncomingResponse) -> Value {
    let Ok(body) = response.consume() else { return Value::from("no body") };
    let Ok(stream) = body.stream() else { return Value::from("no stream") };
    let mut bytes = 0;
    loop {
        match stream.blocking_skip(1 << 20) {
            Ok(read) => bytes += read,
            Err(StreamError::Closed) => return Value::from(bytes),
            Err(StreamError::LastOperationFailed(error)) => return Value::from(error.to_debug_string()),
        }
    }
}
