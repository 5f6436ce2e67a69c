//! Owns what happens to every request around its endpoint: where it came from, its id, its log line, the limit of its
//! URI. Must not know the endpoints.

use super::problem::Problem;
use super::{Api, request};
use crate::metrics::Counted;
use crate::trace;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use std::net::SocketAddr;
use std::time::Instant;
use tower_http::compression::CompressionLayer;
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer, ExposeHeaders};
use tracing::Instrument;

/// The most bytes of a request's target.
const LONGEST_URI: usize = 16 * 1024;
/// The most bytes of a request id that a client brings.
const LONGEST_ID: usize = 128;
/// How long browsers may remember what they may send.
const PREFLIGHT_AGE: std::time::Duration = std::time::Duration::from_secs(600);
/// What pages may read of an answer beside its body.
const EXPOSED: [&str; 9] = [
    "location",
    "link",
    "etag",
    "retry-after",
    "preference-applied",
    "x-request-id",
    "ratelimit",
    "ratelimit-policy",
    "www-authenticate",
];
/// Fields that a proxy adds: such a request comes from elsewhere, whatever its peer.
const FORWARDED: [&str; 3] = ["forwarded", "x-forwarded-for", "x-real-ip"];

/// `X-Request-Id`
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Where a request came from.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub Option<SocketAddr>);

impl Peer {
    /// The other end of the connection.
    pub fn of(parts: &Parts) -> Self {
        Self(parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| *address))
    }

    /// Whether somebody on this machine asks, and not a proxy for somebody else.
    pub fn is_local(self, headers: &HeaderMap) -> bool {
        let here = self.0.is_some_and(|address| address.ip().to_canonical().is_loopback());
        let text = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or_default());
        // A browser here may speak for a page from elsewhere: by a name that was turned on this machine (DNS rebinding),
        // or across origins.
        let host = text(header::HOST).is_none_or(|host| is_loopback(&format!("http://{host}")));
        let origin = text(header::ORIGIN).is_none_or(is_loopback);
        here && host && origin && !FORWARDED.iter().any(|name| headers.contains_key(*name))
    }
}

/// Whether the URL's host can only be this machine.
fn is_loopback(url: &str) -> bool {
    match url::Url::parse(url).ok().as_ref().and_then(url::Url::host) {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.to_canonical().is_loopback(),
        None => false,
    }
}

/// Gives a request its id, which the answer and every log line has, and notes how it went.
pub async fn identify(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let surface = api.now();
    let http = &surface.options.metrics.http;
    let _in_flight = Counted::in_gauge(&http.in_flight);
    let given = request.headers().get(&REQUEST_ID).filter(|id| is_plain(id)).cloned();
    let made = || HeaderValue::try_from(uuid::Uuid::now_v7().to_string()).ok();
    let Some(id) = given.or_else(made) else { return next.run(request).await };
    request.headers_mut().insert(REQUEST_ID, id.clone());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    // An error's level, so that every line has its request, whatever is logged.
    let span = tracing::error_span!(
        target: "http",
        "request",
        id = id.to_str().unwrap_or_default(),
        method = method.as_str(),
        path,
        task = tracing::field::Empty,
        otel.kind = tracing::field::Empty,
    );
    if trace::is_active() {
        span.record("otel.kind", "server");
        if let Some(parent) = request::traceparent(request.headers()) {
            parent.adopt(&span);
        }
    }
    let began = Instant::now();
    async move {
        let mut response = next.run(request).await;
        let milliseconds = began.elapsed().as_secs_f64() * 1000.0;
        tracing::debug!(target: "http", status = response.status().as_u16(), milliseconds, "answered");
        let status = response.status();
        http.answered(method.as_str(), status.as_u16());
        let span = tracing::Span::current();
        trace::attribute(&span, "http.response.status_code", i64::from(status.as_u16()));
        if status.is_server_error() {
            trace::failed(&span, status.to_string());
        }
        response.headers_mut().insert(REQUEST_ID, id);
        response
    }
    .instrument(span)
    .await
}

fn is_plain(id: &HeaderValue) -> bool {
    let bytes = id.as_bytes();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte);
    (1..=LONGEST_ID).contains(&bytes.len()) && bytes.iter().all(plain)
}

/// Refuses targets that are too long to be meant.
pub async fn limit_uri(request: Request, next: Next) -> Response {
    let length = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if length <= LONGEST_URI {
        return next.run(request).await;
    }
    let words = format!(
        "The request's target has {length} bytes; this server reads {LONGEST_URI}. A query may stand in the body."
    );
    Problem::new(414, words).respond(request::accepted(request.headers()))
}

/// RFC 9110 §9.3.7: which methods a path has. What a browser asks before it calls (CORS) is answered elsewhere.
pub async fn options(State(api): State<Api>, request: Request, next: Next) -> Response {
    let preflight = request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let is_cors = preflight && !api.now().options.cors.is_empty();
    if request.method() == Method::OPTIONS && !is_cors && !request.uri().path().starts_with("/-/") {
        return api.allowed(request.uri().path(), request.headers());
    }
    next.run(request).await
}

/// Compresses answers that are worth it, with gzip or brotli, for clients that take it.
pub fn compression() -> CompressionLayer {
    // The best ratio that costs no more than writing the answer does.
    CompressionLayer::new().quality(tower_http::CompressionLevel::Fastest)
}

/// Lets web pages of these origins call (Fetch Standard, CORS protocol); without origins nobody is told anything.
pub fn cors(origins: &[String]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let exposed = EXPOSED.iter().map(|name| HeaderName::from_static(name));
    let layer = CorsLayer::new()
        .allow_methods(AllowMethods::mirror_request())
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(ExposeHeaders::list(exposed))
        .max_age(PREFLIGHT_AGE);
    Some(match origins.iter().any(|origin| origin == "*") {
        // Everybody's pages may call, but never with a visitor's cookies.
        true => layer.allow_origin(AllowOrigin::any()),
        false => {
            let origins = origins.iter().filter_map(|origin| HeaderValue::try_from(origin).ok());
            layer.allow_origin(AllowOrigin::list(origins)).allow_credentials(true)
        }
    })
}
