//! Owns answers that a client may know already (RFC 9110 §8.8.3, §13.1.2). Must not know what is answered.

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

/// The tag of a content. It is weak, since the same content may be sent compressed.
pub fn of(body: &[u8]) -> HeaderValue {
    let hex: String = Sha256::digest(body).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    HeaderValue::try_from(format!("W/\"{hex}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

/// The content, or 304 for a client that has it.
pub fn answer(body: Bytes, tag: HeaderValue, media_type: &'static str, request: &HeaderMap) -> Response {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let own = opaque(tag.to_str().unwrap_or_default());
    let known = request.get_all(header::IF_NONE_MATCH).into_iter().filter_map(|value| value.to_str().ok());
    let is_known = known.flat_map(|value| value.split(',')).map(opaque).any(|known| known == "*" || known == own);
    let mut response = match is_known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => {
            let mut response = (StatusCode::OK, body).into_response();
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
            response
        }
    };
    response.headers_mut().insert(header::ETAG, tag);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_it_is_not_sent_it_again() {
        let tag = of(b"a");
        let status = |known: &str| {
            let known = HeaderValue::try_from(known.replace("TAG", tag.to_str().expect("ASCII"))).expect("ASCII");
            let request = HeaderMap::from_iter([(header::IF_NONE_MATCH, known)]);
            answer(Bytes::from_static(b"a"), tag.clone(), "text/plain", &request).status().as_u16()
        };
        assert_eq!([status("TAG"), status("\"x\", TAG"), status("*")], [304, 304, 304]);
        assert_eq!([status("\"x\""), status("")], [200, 200]);
    }
}
