//! Owns guests' requests to web servers: which are granted, how many and how large they may be.
//! Must not connect: `send` does, to what is admitted here.

mod body;
mod send;

pub use send::Sender;

use self::send::{Order, Times};
use crate::executor::Call;
use crate::route::grants::Grants;
use crate::trace::TraceParent;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, HeaderValue};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, Method, Request, Response, Uri};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use url::Host;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_http::p2::bindings::http::types as wit;
use wasmtime_wasi_http::p2::types::HostOutgoingRequest;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView,
    WasiHttpHooks, WasiHttpView,
};

/// The most bytes of a body, of a request and of a response.
pub const BODY: u64 = 16 << 20;
/// The most bytes of the head of a response, and of the header fields of a request as they lie in memory.
const HEAD: usize = 32 << 10;
/// Requests of a task that are under way, until their responses are read or dropped.
const REQUESTS: usize = 16;
/// Bytes that a guest may hand over at once, kept until they are sent.
const CHUNK: usize = 16 << 10;
/// The longest times: to connect, until the response begins, and between two parts of it. A guest may shorten them.
const TIMES: Times = Times {
    connect: Duration::from_secs(10),
    first_byte: Duration::from_secs(120),
    between_bytes: Duration::from_secs(60),
};
/// The most bytes of the parts of a request that a guest sets one by one, and that wasmtime keeps whatever their length.
const METHOD: usize = 32;
const AUTHORITY: usize = 512;
const PATH: usize = 16 << 10;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The interface of which [`limit`] replaces functions.
const TYPES: &str = "wasi:http/types@0.2.12";

/// An instance's way to web servers.
pub struct Outgoing {
    context: WasiHttpCtx,
    hooks: Hooks,
}

struct Hooks {
    grants: Arc<Grants>,
    sender: Arc<Sender>,
    places: Arc<Semaphore>,
    /// The attempt that the instance runs; an instance without one asks nobody.
    attempt: Option<Attempt>,
}

struct Attempt {
    parent: Option<TraceParent>,
}

impl Outgoing {
    /// For an instance with these grants.
    pub fn new(grants: Arc<Grants>, sender: Arc<Sender>) -> Self {
        let mut context = WasiHttpCtx::new();
        context.set_field_size_limit(HEAD);
        let places = Arc::new(Semaphore::new(REQUESTS));
        Self { context, hooks: Hooks { grants, sender, places, attempt: None } }
    }

    /// The instance runs this attempt from now on.
    pub fn connect(&mut self, call: &Call) {
        self.hooks.attempt = Some(Attempt { parent: call.invocation.traceparent });
    }

    /// What wasmtime's implementation needs of it.
    pub fn view<'a>(&'a mut self, table: &'a mut wasmtime::component::ResourceTable) -> WasiHttpCtxView<'a> {
        WasiHttpCtxView { hooks: &mut self.hooks, table, ctx: &mut self.context }
    }
}

type Answering = dyn Future<Output = Result<(Response<WasiBody>, Box<Ending>), Error>> + Send;
type Ending = dyn Future<Output = Result<(), Error>> + Send;

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Box<Ending>,
    ) -> Box<Answering> {
        let begun = self.order(request, options).and_then(|order| self.sender.begin(order));
        Box::new(async move {
            let (response, connection) = begun?.await.map_err(|_| Error::InternalError(None))??;
            let ending = async move {
                drop(connection.await);
                Ok(())
            };
            Ok((response, Box::new(ending) as Box<Ending>))
        })
    }

    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(|name| DEFAULT_FORBIDDEN_HEADERS.contains(name) || *name == EXPECT)
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK
    }

    // The ways of others to fail are nothing for the server's own log.
    fn p2_error_from_hyper(&mut self, _error: &hyper::Error) -> wit::ErrorCode {
        wit::ErrorCode::HttpProtocolError
    }

    fn p2_error_from_connect(&mut self, _error: &std::io::Error) -> wit::ErrorCode {
        wit::ErrorCode::DestinationUnavailable
    }

    fn p2_error_from_tls(&mut self, _error: &std::io::Error) -> wit::ErrorCode {
        wit::ErrorCode::TlsProtocolError
    }
}

impl Hooks {
    /// The request as it may be sent. Nothing has left this process when it is refused.
    fn order(&self, request: Request<WasiBody>, options: Option<RequestOptions>) -> Result<Order, Error> {
        let (mut head, body) = request.into_parts();
        let is_tls = head.uri.scheme() == Some(&Scheme::HTTPS);
        let (host, port) = target(&head.uri, is_tls)?;
        let Some(attempt) = self.attempt.as_ref().filter(|_| self.grants.may_ask(&host, port)) else {
            return Err(Error::HttpRequestDenied);
        };
        if head.method == Method::CONNECT {
            return Err(Error::HttpRequestMethodInvalid);
        }
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Error::ConnectionLimitReached)?;
        if length(&head.headers).is_some_and(|length| length > BODY) {
            return Err(Error::HttpRequestBodySize(Some(BODY)));
        }
        let name = if port == default_port(is_tls) { host.to_string() } else { format!("{host}:{port}") };
        head.headers.insert(HOST, HeaderValue::try_from(name).map_err(|_| Error::HttpRequestUriInvalid)?);
        head.headers.insert(CONNECTION, HeaderValue::from_static("close"));
        if let (Some(parent), false) = (attempt.parent, head.headers.contains_key(TRACEPARENT)) {
            let parent = HeaderValue::try_from(parent.to_string()).map_err(|_| Error::InternalError(None))?;
            head.headers.insert(TRACEPARENT, parent);
        }
        // Only a proxy would be told the whole URL.
        let path = head.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        head.uri = Uri::from(path);
        let grants = Arc::clone(&self.grants);
        let request = Request::from_parts(head, body::request(body, BODY));
        Ok(Order { grants, host, port, is_tls, request, times: TIMES.shortened(options.as_ref()), place })
    }
}

/// The port of a URL that names none.
fn default_port(is_tls: bool) -> u16 {
    if is_tls { 443 } else { 80 }
}

/// Whom a URL names. What two readers could take for two hosts is refused.
fn target(uri: &Uri, is_tls: bool) -> Result<(Host<String>, u16), Error> {
    let authority = uri.authority().ok_or(Error::HttpRequestUriInvalid)?;
    let port = match (authority.port_u16(), authority.as_str() == authority.host()) {
        (Some(port), _) if !authority.as_str().contains('@') => port,
        (None, true) => default_port(is_tls),
        _ => return Err(Error::HttpRequestUriInvalid),
    };
    let host = Host::parse(authority.host()).map_err(|_| Error::HttpRequestUriInvalid)?;
    Ok((host, port))
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Bounds what a guest can make wasmtime keep of a request: there, each of these may be as long as a host call allows.
pub fn limit<T: WasiHttpView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    type Set<V> = (Resource<HostOutgoingRequest>, V);
    type Done = wasmtime::Result<(Result<(), ()>,)>;
    linker.allow_shadowing(true);
    let mut types = linker.instance(TYPES)?;
    types.func_wrap(
        "[method]outgoing-request.set-method",
        |mut store, (request, value): Set<wit::Method>| -> Done {
            let fits = !matches!(&value, wit::Method::Other(name) if name.len() > METHOD);
            if !fits {
                return Ok((Err(()),));
            }
            Ok((wit::HostOutgoingRequest::set_method(&mut T::http(store.data_mut()), request, value)?,))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-authority",
        |mut store, (request, value): Set<Option<String>>| -> Done {
            if value.as_ref().is_some_and(|value| value.len() > AUTHORITY) {
                return Ok((Err(()),));
            }
            Ok((wit::HostOutgoingRequest::set_authority(&mut T::http(store.data_mut()), request, value)?,))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-path-with-query",
        |mut store, (request, value): Set<Option<String>>| -> Done {
            if value.as_ref().is_some_and(|value| value.len() > PATH) {
                return Ok((Err(()),));
            }
            Ok((wit::HostOutgoingRequest::set_path_with_query(&mut T::http(store.data_mut()), request, value)?,))
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

#[cfg(test)]
mod tests;
