//! Owns `/-/routes`: routes written, paused, drained, rolled back and removed at runtime. Must not know how they run.

use super::{RouteView, Written, changing};
use crate::api::body;
use crate::api::problem::{Problem, or_problem};
use crate::api::role::Manager;
use crate::api::tasks::respond_with;
use crate::api::{Api, request};
use crate::clock::Timestamp;
use crate::store::registry::{Revision, Standing};
use crate::value::Json;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// The most bytes of a definition.
const MOST_BYTES: usize = 256 << 10;
/// The same of a tenant's, whose former definitions are kept too.
const MOST_BYTES_OF_TENANT: usize = 64 << 10;

/// A former definition as management shows it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct RevisionView {
    revision: u64,
    changed_time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    changed_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    definition: Option<Json>,
}

impl From<Revision> for RevisionView {
    fn from(revision: Revision) -> Self {
        Self {
            revision: revision.revision,
            changed_time: revision.created,
            changed_by: revision.by,
            definition: Json::parse(revision.definition.to_string()).ok(),
        }
    }
}

/// `GET /-/routes`: those of the file and those that came at runtime.
pub async fn list(State(api): State<Api>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let answer = async {
        let manager = Manager::looking(&api, &parts).await?;
        let routes = api.0.managed.routes.list(&|_, tenant| manager.role.sees_tenant(tenant)).await;
        Ok(respond_with(StatusCode::OK, &routes, "Routes", manager.answer))
    };
    or_problem(answer.await, &parts)
}

/// `GET /-/routes/{name}`
pub async fn get(State(api): State<Api>, Path(name): Path<String>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let answer = async {
        let manager = Manager::looking(&api, &parts).await?;
        let full = manager.role.full_name(&name);
        // A route of the file has the name that the file says, whoever's it is.
        let is_meant = |known: &str, tenant: Option<&str>| {
            *known == *full || (*known == *name && manager.role.sees_tenant(tenant))
        };
        let route = api.0.managed.routes.list(&is_meant).await.pop();
        let route = route.ok_or_else(|| Problem::new(404, "There is no route of this name."))?;
        Ok(respond_with(StatusCode::OK, &route, "Route", manager.answer))
    };
    or_problem(answer.await, &parts)
}

/// `PUT /-/routes/{name}`: a route as in the configuration file, in JSON or YAML.
pub async fn put(State(api): State<Api>, Path(name): Path<String>, request: Request) -> Response {
    changing(api, request, move |api, manager, parts, body| {
        Box::pin(async move {
            let most = if manager.role.tenant.is_some() { MOST_BYTES_OF_TENANT } else { MOST_BYTES };
            let (text, is_yaml, definition) = body::read_text(&parts.headers, body, most).await?;
            let name = manager.role.full_name(&name);
            let written = Written { name, text, is_yaml, definition, by: manager.name() };
            let (view, is_new) = api.0.managed.routes.put(written).await?;
            let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
            Ok(respond_with(status, &view, "Route", manager.answer))
        })
    })
    .await
}

/// `DELETE /-/routes/{name}`
pub async fn remove(State(api): State<Api>, Path(name): Path<String>, request: Request) -> Response {
    changing(api, request, move |api, manager, _, _| {
        Box::pin(async move {
            api.0.managed.routes.remove(&manager.role.full_name(&name)).await?;
            Ok(StatusCode::NO_CONTENT.into_response())
        })
    })
    .await
}

/// `GET /-/routes/{name}/revisions`: its definitions, newest first.
pub async fn revisions(State(api): State<Api>, Path(name): Path<String>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let answer = async {
        let manager = Manager::looking(&api, &parts).await?;
        let revisions = api.0.managed.routes.revisions(&manager.role.full_name(&name)).await?;
        let views: Vec<RevisionView> = revisions.into_iter().map(RevisionView::from).collect();
        Ok(respond_with(StatusCode::OK, &views, "Revisions", manager.answer))
    };
    or_problem(answer.await, &parts)
}

/// `POST /-/routes/{name}/{action}`: `pause`, `resume`, `drain`; `rollback` puts the definition before this one, or that
/// of `?revision=`, in force again, as a new one.
pub async fn act(State(api): State<Api>, Path((name, action)): Path<(String, String)>, request: Request) -> Response {
    changing(api, request, move |api, manager, parts, _| {
        Box::pin(async move {
            let (routes, name) = (&api.0.managed.routes, manager.role.full_name(&name));
            let view: RouteView = match action.as_str() {
                "pause" => routes.set_standing(&name, Standing::Paused).await?,
                "resume" => routes.set_standing(&name, Standing::Active).await?,
                "drain" => routes.set_standing(&name, Standing::Draining).await?,
                "rollback" => {
                    let revision = request::parameter(&parts.uri, "revision");
                    routes.roll_back(&name, revision.as_deref(), manager.name()).await?
                }
                other => {
                    let words = format!("There is no `{other}` here, only pause, resume, drain and rollback.");
                    return Err(Problem::new(404, words));
                }
            };
            Ok(respond_with(StatusCode::OK, &view, "Route", manager.answer))
        })
    })
    .await
}
