//! Owns reading request bodies: bounded in size and time, and decoded to the one form that guests get.
//! Must not know what the body is for.

use super::problem::Problem;
use crate::codec::{self, Format, Incoming};
use crate::value::Json;
use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, HeaderValue, header};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use std::time::Duration;

/// The longest time that a client may take to send a body.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// The body as JSON; `null` without one.
pub async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Json, Problem> {
    let bytes = collect(body, limit).await?;
    check_encoding(headers)?;
    if bytes.is_empty() {
        return Ok(Json::null());
    }
    let incoming = incoming_of(headers)?;
    codec::decode(incoming, &bytes).map_err(|fault| Problem::malformed(&fault))
}

/// The body as JSON or YAML text, whether it is YAML, and what it says. A text without a type is JSON.
pub async fn read_text(headers: &HeaderMap, body: Body, limit: usize) -> Result<(String, bool, Json), Problem> {
    let incoming = incoming_of(headers)?;
    let is_yaml = match incoming {
        Incoming::Format(Format::Json) => false,
        Incoming::Format(Format::Yaml) => true,
        _ => return Err(Problem::new(415, "This is read in `application/json` or `application/yaml`.")),
    };
    let bytes = collect(body, limit).await?;
    check_encoding(headers)?;
    let value = codec::decode(incoming, &bytes).map_err(|fault| Problem::malformed(&fault))?;
    let text = String::from_utf8(bytes).map_err(|_| Problem::new(400, "The body is not UTF-8."))?;
    Ok((text, is_yaml, value))
}

/// Refuses bodies that are compressed: one can expand a thousand times (RFC 9110 §15.5.16 says how).
pub fn check_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    let plain = |value: &HeaderValue| value.to_str().is_ok_and(|value| value.trim().eq_ignore_ascii_case("identity"));
    match headers.get_all(header::CONTENT_ENCODING).iter().all(plain) {
        true => Ok(()),
        false => {
            let problem = Problem::new(415, "Bodies are read as they are, without a `Content-Encoding`.");
            Err(problem.with_header(header::ACCEPT_ENCODING, HeaderValue::from_static("identity")))
        }
    }
}

/// Reads what a client that was refused still sends, for a while: else it would not get to read why.
pub async fn drain<E>(mut body: impl Stream<Item = Result<Bytes, E>> + Unpin) {
    const LONGEST: Duration = Duration::from_secs(5);
    drop(tokio::time::timeout(LONGEST, async { while let Some(Ok(_)) = body.next().await {} }).await);
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
fn incoming_of(headers: &HeaderMap) -> Result<Incoming, Problem> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(Incoming::Format(Format::Json)) };
    codec::incoming(value.to_str().unwrap_or("")).map_err(|unread| Problem::new(415, format!("{unread}.")))
}
