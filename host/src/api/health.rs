//! Owns the endpoints that supervisors, load balancers and collectors of metrics ask.
//! Must not touch the store: a slow disk is no reason to restart.

use super::Api;
use super::problem::or_problem;
use super::role::Manager;
use crate::metrics::MEDIA_TYPE;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

/// `GET /-/live`: the process answers.
pub async fn live() -> impl IntoResponse {
    axum::Json(serde_json::json!({ "status": "live" }))
}

/// `GET /-/ready`: 200 while new tasks are taken, 503 while the host goes down.
pub async fn ready(State(api): State<Api>) -> impl IntoResponse {
    let (status, word) = match api.0.runner.is_draining() {
        true => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
        false => (StatusCode::OK, "ready"),
    };
    (status, axum::Json(serde_json::json!({ "status": word })))
}

/// `GET /-/metrics`: what the server counts and measures of itself, for those who may manage it.
pub async fn metrics(State(api): State<Api>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let admitted = Manager::looking_at_host(&api, &parts).await;
    let text = || ([(header::CONTENT_TYPE, MEDIA_TYPE)], api.now().options.metrics.text()).into_response();
    or_problem(admitted.map(|_| text()), &parts)
}
