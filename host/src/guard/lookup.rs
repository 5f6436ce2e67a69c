//! Owns looking names up, so many at once. Must not judge what is found, or connect to it.

use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Finds the addresses of a name, on a thread that may wait.
pub type Lookup = Arc<dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync>;

/// Looks names up as the system does.
#[must_use]
pub fn system_lookup() -> Lookup {
    Arc::new(|name| Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect()))
}

/// Looks names up on the runtime's threads for waiting. Each lookup holds one, and cannot be stopped.
#[derive(Clone)]
pub struct Resolver {
    lookup: Lookup,
    places: Arc<Semaphore>,
}

impl Resolver {
    /// A resolver that looks so many names up at once; further ones wait.
    #[must_use]
    pub fn new(lookup: Lookup, at_once: usize) -> Self {
        Self { lookup, places: Arc::new(Semaphore::new(at_once)) }
    }

    /// The addresses of a name.
    ///
    /// # Errors
    /// Why none was found.
    pub async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(io::Error::other)?;
        let (lookup, name) = (Arc::clone(&self.lookup), name.to_owned());
        let found = tokio::task::spawn_blocking(move || {
            let _place = place;
            lookup(&name)
        });
        found.await.map_err(io::Error::other)?
    }
}
