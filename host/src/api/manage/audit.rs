//! Owns `/-/audit`: what was done to the server, newest first. Must not know how it came to be noted.

use crate::api::problem::{Problem, or_problem};
use crate::api::role::Manager;
use crate::api::tasks::respond_with;
use crate::api::{Api, request};
use crate::clock::Timestamp;
use crate::store::registry::{DeedFilter, NumberedDeed};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use std::sync::Arc;

/// The entries of a page, unless `limit` says fewer or more.
const PAGE: u32 = 100;
const LARGEST_PAGE: u32 = 1000;

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct DeedView {
    number: u64,
    time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    action: String,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl From<NumberedDeed> for DeedView {
    fn from(NumberedDeed { number, deed }: NumberedDeed) -> Self {
        Self {
            number,
            time: deed.at,
            tenant: deed.tenant,
            user: deed.by,
            address: deed.from,
            action: deed.action,
            status: deed.status,
            detail: deed.detail,
        }
    }
}

/// `GET /-/audit`: `?before=NUMBER&limit=COUNT`, and of these only those `?by=USER`, with `?action=TEXT`, `?since=` and `?until=` times.
pub async fn list(State(api): State<Api>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let answer = async {
        let manager = Manager::looking(&api, &parts).await?;
        let number = |name: &str, default: u64| match request::parameter(&parts.uri, name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| Problem::new(400, format!("`{name}` must be a whole number."))),
        };
        let time = |name: &str| match request::parameter(&parts.uri, name) {
            None => Ok(None),
            Some(text) => text
                .parse()
                .map(Some)
                .map_err(|_| Problem::new(400, format!("`{name}` must be a time such as 2026-11-24T12:00:00Z."))),
        };
        let filter = DeedFilter {
            before: number("before", u64::MAX)?,
            tenant: manager.role.tenant.as_ref().map(|tenant| Arc::clone(&tenant.name)),
            by: request::parameter(&parts.uri, "by"),
            action: request::parameter(&parts.uri, "action"),
            since: time("since")?,
            until: time("until")?,
        };
        let limit = u32::try_from(number("limit", PAGE.into())?).unwrap_or(u32::MAX).clamp(1, LARGEST_PAGE);
        let deeds = api.0.managed.registry.deeds(filter, limit).await?;
        let views: Vec<DeedView> = deeds.into_iter().map(DeedView::from).collect();
        Ok(respond_with(StatusCode::OK, &views, "Deeds", manager.answer))
    };
    or_problem(answer.await, &parts)
}
