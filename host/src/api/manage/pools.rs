//! Owns `/-/pools` and `/-/nodes`: how busy each route and this host are. Must not know how slots are given out.

use crate::api::Api;
use crate::api::problem::or_problem;
use crate::api::role::Manager;
use crate::api::tasks::respond_with;
use crate::clock::Timestamp;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use std::sync::Arc;

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct PoolView {
    route: Arc<str>,
    /// Instances that are made ready beforehand.
    min: u32,
    /// Tasks that may run at once.
    max: u32,
    /// Tasks that may wait.
    queue: u32,
    /// Slots in use.
    used: i64,
    /// Tasks before their first attempt.
    waiting: i64,
    /// Tasks that have started and not ended.
    running: i64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct NodeView {
    name: String,
    version: &'static str,
    state: &'static str,
    starting_time: Timestamp,
}

/// `GET /-/pools`
pub async fn pools(State(api): State<Api>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let answer = async {
        let manager = Manager::looking(&api, &parts).await?;
        let surface = api.now();
        let routes = surface.endpoints.routes().filter(|route| manager.role.sees_tenant(route.tenant.as_deref()));
        let views: Vec<PoolView> = routes
            .map(|route| {
                let measured = surface.options.metrics.route(&route.name);
                PoolView {
                    route: Arc::clone(&route.name),
                    min: route.pool.min,
                    max: route.pool.max,
                    queue: route.pool.queue,
                    used: measured.slots_used.get(),
                    waiting: measured.waiting.get(),
                    running: measured.running.get(),
                }
            })
            .collect();
        Ok(respond_with(StatusCode::OK, &views, "Pools", manager.answer))
    };
    or_problem(answer.await, &parts)
}

/// `GET /-/nodes`: the hosts on this store. With SQLite there is one.
pub async fn nodes(State(api): State<Api>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let answer = async {
        let manager = Manager::looking_at_host(&api, &parts).await?;
        let runner = &api.0.runner;
        let node = NodeView {
            name: runner.node().to_owned(),
            version: env!("CARGO_PKG_VERSION"),
            state: if runner.is_draining() { "Draining" } else { "Ready" },
            starting_time: api.0.managed.since,
        };
        Ok(respond_with(StatusCode::OK, &[node], "Nodes", manager.answer))
    };
    or_problem(answer.await, &parts)
}
