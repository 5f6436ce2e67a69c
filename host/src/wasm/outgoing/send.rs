//! Owns sending a guest's request: name, connection, TLS and HTTP/1.1, on a thread that neither guests nor clients wait for.
//! Must not decide whom a guest may ask, but by the grants that come with the order.

use super::{BODY, HEAD, body};
use crate::guard::{Lookup, Resolver, plain};
use crate::route::grants::Grants;
use http::{Request, Response, StatusCode};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use rustls_platform_verifier::BuilderVerifierExt;
use std::error::Error as _;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::task::AbortOnDropHandle;
use url::Host;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

/// Connections of all guests at once.
const CONNECTIONS: usize = 256;
/// Names that are looked up at once: each one holds a thread, which cannot be stopped.
const LOOKUPS: usize = 32;
/// Addresses of a name that are tried.
const ADDRESSES: usize = 4;
/// Clients of the server come before guests' requests, and these before guests.
const NICENESS: i32 = 5;
/// Fields of a response's head.
const FIELDS: usize = 100;

/// How long may be waited.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// For the name, the connection and TLS.
    pub connect: Duration,
    /// For the response's head, once connected.
    pub first_byte: Duration,
    /// For each further part.
    pub between_bytes: Duration,
}

impl Times {
    /// Not longer than the guest asks for.
    pub fn shortened(self, options: Option<&RequestOptions>) -> Self {
        let Some(asked) = options else { return self };
        let least = |own: Duration, asked: Option<Duration>| asked.map_or(own, |asked| own.min(asked));
        Self {
            connect: least(self.connect, asked.connect_timeout),
            first_byte: least(self.first_byte, asked.first_byte_timeout),
            between_bytes: least(self.between_bytes, asked.between_bytes_timeout),
        }
    }
}

/// A request that was admitted.
pub struct Order {
    /// What says to which addresses the name may lead.
    pub grants: Arc<Grants>,
    /// Whom.
    pub host: Host<String>,
    /// Where.
    pub port: u16,
    /// Whether by https.
    pub is_tls: bool,
    /// What.
    pub request: Request<WasiBody>,
    /// For how long.
    pub times: Times,
    /// The task's share of requests, kept while there is a connection.
    pub place: OwnedSemaphorePermit,
}

/// A response, and its connection, which ends when this is dropped.
pub type Answer = (Response<WasiBody>, AbortOnDropHandle<()>);
/// A request under way, which ends when this is dropped.
pub type Sending = AbortOnDropHandle<Result<Answer, Error>>;

/// Sends guests' requests.
pub struct Sender {
    /// Started by the first request.
    runtime: Mutex<Option<Runtime>>,
    connecting: Arc<Connecting>,
}

struct Connecting {
    resolver: Resolver,
    connections: Arc<Semaphore>,
    tls: OnceCell<TlsConnector>,
}

impl Sender {
    /// A sender that looks names up in this way.
    pub fn new(lookup: Lookup) -> Self {
        let resolver = Resolver::new(lookup, LOOKUPS);
        let connections = Arc::new(Semaphore::new(CONNECTIONS));
        let connecting = Connecting { resolver, connections, tls: OnceCell::new() };
        Self { runtime: Mutex::default(), connecting: Arc::new(connecting) }
    }

    /// Begins to send.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn begin(&self, order: Order) -> Result<Sending, Error> {
        let connecting = Arc::clone(&self.connecting);
        let mut runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner);
        let started = match runtime.take() {
            Some(started) => started,
            None => start().map_err(|error| Error::InternalError(Some(error.to_string())))?,
        };
        let sending = started.spawn(async move { connecting.send(order).await });
        *runtime = Some(started);
        Ok(AbortOnDropHandle::new(sending))
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        // Dropped on an async thread, a runtime must not wait for its own threads.
        if let Some(runtime) = self.runtime.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            runtime.shutdown_background();
        }
    }
}

fn start() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(LOOKUPS + 1)
        .thread_name("outgoing")
        .enable_all()
        .on_thread_start(|| _ = rustix::process::setpriority_process(None, NICENESS))
        .build()
}

impl Connecting {
    async fn send(&self, order: Order) -> Result<Answer, Error> {
        let Order { grants, host, port, is_tls, request, times, place } = order;
        let deadline = Instant::now() + times.connect;
        let connections = Arc::clone(&self.connections).acquire_owned();
        let connection = timeout_at(deadline, connections).await.map_err(|_| Error::ConnectionLimitReached)?;
        let connection = connection.map_err(|_| Error::InternalError(None))?;
        let addresses = self.addresses(&grants, &host, port, deadline).await?;
        let stream = connected(&addresses, port, deadline).await?;
        let stream: Box<dyn Stream> = match is_tls {
            false => Box::new(stream),
            true => Box::new(self.encrypted(&host, stream, deadline).await?),
        };
        let mut http = http1::Builder::new();
        http.max_buf_size(HEAD).max_headers(FIELDS);
        let (mut sender, connected) = http.handshake(TokioIo::new(stream)).await.map_err(|error| meaning(&error))?;
        let connected = tokio::spawn(async move {
            let _places = (place, connection);
            drop(connected.await);
        });
        let connected = AbortOnDropHandle::new(connected);
        let answered = timeout(times.first_byte, sender.send_request(request)).await;
        let response = answered.map_err(|_| Error::ConnectionReadTimeout)?.map_err(|error| meaning(&error))?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Error::HttpUpgradeFailed);
        }
        // Known from the head: hyper takes the length of a body that follows from there, and 0 where none does.
        if hyper::body::Body::size_hint(response.body()).lower() > BODY {
            return Err(Error::HttpResponseBodySize(Some(BODY)));
        }
        Ok((response.map(|body| body::response(body, BODY, times.between_bytes)), connected))
    }

    /// The addresses that the host may lead to, of those that it leads to.
    async fn addresses(
        &self,
        grants: &Grants,
        host: &Host<String>,
        port: u16,
        deadline: Instant,
    ) -> Result<Vec<IpAddr>, Error> {
        let name = match host {
            // What a grant says of an address itself was heeded before.
            Host::Ipv4(address) => return Ok(vec![(*address).into()]),
            Host::Ipv6(address) => return Ok(vec![(*address).into()]),
            Host::Domain(name) => name,
        };
        let found = timeout_at(deadline, self.resolver.addresses(name)).await.map_err(|_| Error::DnsTimeout)?;
        let unknown = || Error::DnsError { rcode: None, info_code: None };
        let found = found.map_err(|_| unknown())?;
        if found.is_empty() {
            return Err(unknown());
        }
        let admitted: Vec<IpAddr> = found.into_iter().filter(|address| grants.may_connect(*address, port)).collect();
        if admitted.is_empty() { Err(Error::DestinationIpProhibited) } else { Ok(admitted) }
    }

    async fn encrypted(
        &self,
        host: &Host<String>,
        stream: TcpStream,
        deadline: Instant,
    ) -> Result<TlsStream<TcpStream>, Error> {
        let name = match host {
            Host::Domain(name) => ServerName::try_from(plain(name)).map_err(|_| Error::HttpRequestUriInvalid)?,
            Host::Ipv4(address) => ServerName::from(IpAddr::from(*address)),
            Host::Ipv6(address) => ServerName::from(IpAddr::from(*address)),
        };
        let connector = self.tls.get_or_try_init(connector).await?;
        let encrypted = timeout_at(deadline, connector.connect(name, stream)).await;
        encrypted.map_err(|_| Error::ConnectionTimeout)?.map_err(|error| meaning_of_tls(&error))
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// TLS by the system's roots, which are read from files.
async fn connector() -> Result<TlsConnector, Error> {
    let configured = tokio::task::spawn_blocking(|| {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let mut config = builder.with_platform_verifier()?.with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok::<_, rustls::Error>(config)
    });
    let config = configured.await.map_err(|_| Error::InternalError(None))?;
    let config = config.map_err(|error| {
        tracing::warn!("guests cannot use https, since the system's certificates cannot be used: {error}");
        Error::ConfigurationError
    })?;
    Ok(TlsConnector::from(Arc::new(config)))
}

/// A connection to the first address that takes one. None of them takes the time of all.
async fn connected(addresses: &[IpAddr], port: u16, deadline: Instant) -> Result<TcpStream, Error> {
    let mut fault = Error::DestinationUnavailable;
    let count = addresses.len().min(ADDRESSES);
    for (index, address) in addresses.iter().take(count).enumerate() {
        let left = u32::try_from(count - index).unwrap_or(1);
        let share = deadline.saturating_duration_since(Instant::now()) / left;
        fault = match timeout(share, TcpStream::connect(SocketAddr::new(*address, port))).await {
            Ok(Ok(stream)) => {
                drop(stream.set_nodelay(true));
                return Ok(stream);
            }
            Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => Error::ConnectionRefused,
            Ok(Err(_)) => Error::DestinationUnavailable,
            Err(_) => Error::ConnectionTimeout,
        };
    }
    Err(fault)
}

/// A fault of HTTP as guests are told it.
pub fn meaning(error: &hyper::Error) -> Error {
    let mut cause = error.source();
    while let Some(found) = cause {
        if let Some(Error::HttpRequestBodySize(most)) = found.downcast_ref::<Error>() {
            return Error::HttpRequestBodySize(*most);
        }
        if let Some(found) = found.downcast_ref::<io::Error>() {
            let is_cut = found.kind() == ErrorKind::UnexpectedEof;
            return if is_cut { Error::HttpResponseIncomplete } else { meaning_of_tls(found) };
        }
        cause = found.source();
    }
    if error.is_parse_too_large() {
        return Error::HttpResponseHeaderSectionSize(u32::try_from(HEAD).ok());
    }
    match error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        true => Error::HttpResponseIncomplete,
        false => Error::HttpProtocolError,
    }
}

/// A fault of a connection, encrypted or not, as guests are told it.
fn meaning_of_tls(error: &io::Error) -> Error {
    match error.get_ref().and_then(|fault| fault.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
            Error::TlsCertificateError
        }
        Some(rustls::Error::AlertReceived(alert)) => {
            Error::TlsAlertReceived { alert_id: Some(u8::from(*alert)), alert_message: Some(format!("{alert:?}")) }
        }
        Some(_) => Error::TlsProtocolError,
        None => Error::ConnectionTerminated,
    }
}
