//! Owns the validated configuration, the only form in which the rest of the program sees it.
//! Must not know how the file was written: `config/` reads it, raw first, then validated.

use crate::route::Route;
use crate::route::task_route::TaskRoute;
use crate::value::Json;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// A configuration without faults.
#[derive(Debug, Clone)]
pub struct Config {
    /// The listener.
    pub server: Server,
    /// Where tasks are kept.
    pub store: Store,
    /// The name of this host, as it stands in slots.
    pub node: String,
    /// Initial values of the shared variables.
    pub state: Vec<(String, Json)>,
    /// The routes.
    pub routes: Vec<Arc<Route>>,
    /// The endpoints that get and stop tasks.
    pub task_routes: Vec<TaskRoute>,
}

/// `server:`
#[derive(Debug, Clone)]
pub struct Server {
    /// The address to listen at.
    pub listen: SocketAddr,
    /// The base of URLs in answers, without a trailing slash; `None`: made of the request's `Host`.
    pub public_url: Option<String>,
    /// The most bytes of a request's body.
    pub body_limit: usize,
    /// How long running tasks may go on after a shutdown was asked for.
    pub shutdown_grace: Duration,
}

/// `store:`
#[derive(Debug, Clone)]
pub struct Store {
    /// Which store, and where.
    pub url: StoreUrl,
    /// How long Completed tasks are kept.
    pub retention: Duration,
    /// How long Failed and Aborted ones are kept.
    pub retention_failed: Duration,
}

pub use crate::store::StoreUrl;
