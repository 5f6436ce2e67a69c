//! Owns how tasks are followed over HTTP: server-sent events of one task, a group, a route, or all that may be read.
//! Must not know how events come about.

use super::caller::Caller;
use super::problem::Problem;
use super::{Api, Surface, request, tasks};
use crate::codec::accepts;
use crate::events::{Stream, frame};
use crate::ids::TaskId;
use crate::route::Route;
use crate::route::task_route::TaskRoute;
use crate::store::Scope;
use crate::task::Task;
use crate::task::event::OPEN;
use crate::task::view::AsyncTask;
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;

const MEDIA_TYPE: &str = "text/event-stream";
/// What a reader that comes again has had last.
const LAST_EVENT_ID: &str = "last-event-id";

pub async fn answer(api: &Api, surface: &Surface, task_route: &TaskRoute, parts: &Parts) -> Result<Response, Problem> {
    if !accepts(request::accepted(&parts.headers), MEDIA_TYPE) {
        return Err(Problem::new(406, format!("`Accept` does not allow what is answered here: {MEDIA_TYPE}.")));
    }
    let caller = Caller::of_text(api, task_route.auth.as_deref(), parts).await?;
    let after = after(parts)?;
    let hub = &api.0.hub;
    if hub.is_closed() {
        return Err(Problem::new(503, "The host is shutting down; read on from the last event later.").retry_after(5));
    }
    let scope = scope(surface, &caller, task_route, parts)?;
    let about = match &scope {
        Scope::Task(id) => written(&*followed(api, &caller, id).await?),
        scope => about(scope).to_string(),
    };
    let open = |number| frame(Some(number), OPEN, &about);
    Ok(match hub.follow(scope, caller.principal, after, open).await? {
        Some(stream) => respond(stream),
        // WHATWG HTML §9.2.3: the browser does not come again.
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

/// The task, if the caller may follow it.
async fn followed(api: &Api, caller: &Caller, id: &TaskId) -> Result<Arc<Task>, Problem> {
    let task = api.0.runner.get(id).await?.filter(|task| caller.may_read(task));
    let task = task.ok_or_else(|| tasks::unknown(id.as_str()))?;
    if task.invocation.sse.is_none() {
        let text = format!("The task sends no events, because its route {} is configured without `sse`.", task.name);
        return Err(Problem::new(404, text));
    }
    Ok(task)
}

/// What the request wants to follow. A tenant's groups and routes are there for those who may have to do with them, also
/// by their short names.
fn scope(surface: &Surface, caller: &Caller, task_route: &TaskRoute, parts: &Parts) -> Result<Scope, Problem> {
    let id_name = task_route.id_name.as_str();
    let mut asked = request::query(&parts.uri);
    asked.retain(|(name, _)| [id_name, "group", "route"].contains(&name.as_str()));
    let (name, value) = match asked.as_slice() {
        [] => return Ok(Scope::All),
        [asked] => asked,
        _ => {
            let text =
                format!("The events of one task, one group or one route: give one of `{id_name}`, `group`, `route`.");
            return Err(Problem::new(400, text));
        }
    };
    let shown: String = value.chars().take(TaskId::MAX_SHOWN).collect();
    let caller = caller.principal.as_ref();
    let tenants = || surface.tenants_of(caller);
    let names: Vec<String> =
        std::iter::once(value.clone()).chain(tenants().map(|tenant| tenant.full_name(value))).collect();
    let is_there = |route: &&Arc<Route>| {
        let is_known = |tenant: &Arc<str>| tenants().any(|own| own.name == *tenant);
        route.tenant.as_ref().is_none_or(is_known)
            || caller.is_some_and(|caller| route.access.admits(caller))
            || route.permission.may_read(caller)
    };
    let followed = || surface.endpoints.followed.iter().filter(is_there);
    match name.as_str() {
        "group" => {
            let group = |name: &String| {
                let groups = followed().filter_map(|route| route.sse.as_ref()?.group.as_ref());
                groups.into_iter().find(|group| ***group == **name).map(Arc::clone)
            };
            let found = names.iter().find_map(group).map(Scope::Group);
            found.ok_or_else(|| Problem::new(404, format!("No route sends events of the group `{shown}`.")))
        }
        "route" => {
            let route = |name: &String| followed().find(|route| *route.name == **name);
            let found = names.iter().find_map(route).map(|route| Scope::Route(Arc::clone(&route.name)));
            found.ok_or_else(|| Problem::new(404, format!("There is no route named `{shown}` that sends events.")))
        }
        _ => Ok(Scope::Task(TaskId::parse(value).map_err(|_| tasks::unknown(value))?)),
    }
}

/// What a reader has had: by the header field of browsers, or `after` for those that cannot set one.
fn after(parts: &Parts) -> Result<Option<u64>, Problem> {
    let field = parts.headers.get(LAST_EVENT_ID).map(|value| value.to_str().unwrap_or("?").to_owned());
    let query = || request::parameter(&parts.uri, "after");
    match field.filter(|value| !value.is_empty()).or_else(query) {
        None => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| {
            let text = "`Last-Event-ID` (or `?after=`) must be the id of an event, a whole number.";
            Problem::new(400, text)
        }),
    }
}

fn about(scope: &Scope) -> Value {
    match scope {
        Scope::Group(group) => json!({ "Group": group }),
        Scope::Route(route) => json!({ "Route": route }),
        Scope::Task(_) | Scope::All => json!({}),
    }
}

fn written(task: &Task) -> String {
    serde_json::to_string(&AsyncTask::from(task).without_result()).unwrap_or_default()
}

fn respond(stream: Stream) -> Response {
    let frames = stream::unfold(stream, |mut stream| async move {
        let frame = stream.next().await?;
        Some((Ok::<_, Infallible>(frame), stream))
    });
    let mut response = Body::from_stream(frames).into_response();
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // nginx would gather it.
    fields.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}
