//! Owns how many connections there may be at once. Must not read requests.

use crate::metrics::{Counted, Metrics};
use axum::Extension;
use axum::middleware::AddExtension;
use axum_server::accept::Accept;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::SockRef;
use std::future::{Ready, ready};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower_layer::Layer;

/// How long a client may take nothing of what is sent to it.
const TAKES_NOTHING: Duration = Duration::from_secs(30);
/// Files that are none of a client's: the store, components, pipes to compilers.
const RESERVED: u64 = 128;
/// Files for what guests are granted, connections and directories, where the system lets this process have so many.
const FOR_GUESTS: u64 = 2048;

/// Raises the limit of open files as far as the system lets this process, and tells how many of the wanted connections
/// fit below it.
pub fn connection_limit(wanted: u32) -> usize {
    let most = u64::from(wanted);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let all = most + RESERVED + FOR_GUESTS;
    let files = maximum.unwrap_or(all).min(all).max(current.unwrap_or(0));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(files), maximum }).map(|()| files);
    let files = raised.ok().or(current).unwrap_or(most);
    usize::try_from(files.saturating_sub(RESERVED).clamp(16, most.max(16))).unwrap_or(16)
}

/// Accepts connections up to a number; one more is closed at once, so that those there are keep being served.
#[derive(Clone)]
pub struct Bounded {
    places: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

/// A connection's place.
pub struct Place {
    _permit: OwnedSemaphorePermit,
    _counted: Counted,
}

impl Bounded {
    /// At most `connections` at once.
    pub fn new(connections: usize, metrics: Arc<Metrics>) -> Self {
        Self { places: Arc::new(Semaphore::new(connections)), metrics }
    }
}

impl<S> Accept<TcpStream, S> for Bounded {
    type Stream = TcpStream;
    /// The place is held by the connection's service, and so as long as the connection.
    type Service = AddExtension<S, Arc<Place>>;
    type Future = Ready<io::Result<(TcpStream, Self::Service)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        ready(match Arc::clone(&self.places).try_acquire_owned() {
            Ok(permit) => {
                let place = Place { _permit: permit, _counted: Counted::in_gauge(&self.metrics.connections) };
                // Small answers go out at once.
                drop(stream.set_nodelay(true));
                // RFC 5482: whoever reads nothing, or is gone, holds no place.
                drop(SockRef::from(&stream).set_tcp_user_timeout(Some(TAKES_NOTHING)));
                Ok((stream, Extension(Arc::new(place)).layer(service)))
            }
            Err(_) => {
                tracing::warn!("a connection was refused: all places are taken");
                Err(io::Error::other("too many connections"))
            }
        })
    }
}
