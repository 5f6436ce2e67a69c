//! Owns the endpoints that supervisors and load balancers ask. Must not touch the store: a slow disk is no reason to restart.

use super::Api;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;

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
