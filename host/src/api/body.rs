//! Owns reading request bodies: bounded in size and time, and decoded to the one form that guests get.
//! Must not know what the body is for.

use super::problem::Problem;
use crate::value::{Json, JsonFault};
use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use std::time::Duration;

/// The longest time that a client may take to send a body.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// The body as JSON; `null` without one.
pub async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Json, Problem> {
    let bytes = collect(body, limit).await?;
    if bytes.is_empty() {
        return Ok(Json::null());
    }
    check_type(headers)?;
    let text = String::from_utf8(bytes).map_err(|error| Problem::malformed(&not_utf8(&error)))?;
    Json::parse(text).map_err(|fault| Problem::malformed(&fault))
}

async fn collect(body: Body, limit: usize) -> Result<Vec<u8>, Problem> {
    // Said before it is sent: a client that asked with `Expect: 100-continue` need not send it.
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large(limit));
    }
    match tokio::time::timeout(TIME_LIMIT, Limited::new(body, limit).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes().into()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large(limit)),
        Ok(Err(error)) => Err(Problem::new(400, format!("The body could not be read: {error}."))),
        Err(_) => Err(Problem::new(408, format!("The body did not arrive within {} s.", TIME_LIMIT.as_secs()))),
    }
}

fn too_large(limit: usize) -> Problem {
    Problem::new(413, format!("The body has more than the {limit} bytes that `server.body_limit` allows."))
}

/// RFC 9110 §8.3: without a type the server may guess, and JSON is what it reads.
fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let value = value.to_str().unwrap_or("");
    let essence = value.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    // RFC 6839 §3.1: `+json` types are JSON.
    if essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json")) {
        return Ok(());
    }
    Err(Problem::new(415, format!("Bodies of type `{essence}` are not read here. Send `application/json`.")))
}

fn not_utf8(error: &std::string::FromUtf8Error) -> JsonFault {
    let good = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
    let lines = good.split(|byte| *byte == b'\n');
    let last = lines.clone().next_back().map_or(0, <[u8]>::len);
    JsonFault { line: lines.count(), column: last + 1, message: "the bytes are not UTF-8".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bad_byte_is_named() {
        let error = String::from_utf8(b"{\n \"a\": \"\xff\"".to_vec()).expect_err("no UTF-8");
        let fault = not_utf8(&error);
        assert_eq!((fault.line, fault.column), (2, 8));
    }
}
