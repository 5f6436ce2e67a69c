//! Owns invoking a route: a request becomes a task and is answered at once, or after the wait that it asks for.
//! Must not know how tasks run.

use super::caller::Caller;
use super::problem::Problem;
use super::{Api, Surface, body, request, tasks};
use crate::route::Route;
use crate::runner::{Deployed, LoadedRoute, SubmitError};
use crate::task::Invocation;
use crate::trace::TraceParent;
use crate::value::Json;
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use std::sync::Arc;

/// Seconds after which a client may look at its task.
const RETRY_AFTER: u32 = 1;
/// Seconds after which a client may ask whether a drained route is back.
const DRAIN_RETRY: u32 = 30;

pub async fn invoke(
    api: &Api,
    surface: &Surface,
    deployed: &Deployed,
    path_parameters: Vec<(String, String)>,
    parts: &Parts,
    body: Body,
) -> Result<Response, Problem> {
    let Surface { options, endpoints, .. } = surface;
    let version = deployed.version(spread);
    let loaded = version.ok_or_else(|| Problem::new(503, "The route has no version that takes tasks."))?;
    let route = &loaded.route;
    let caller = Caller::admit(api, route.auth.as_deref(), &route.responses, parts).await?;
    let admitted = caller.principal.as_ref().is_some_and(|principal| route.access.admits(principal));
    if !route.access.is_empty() && !admitted {
        return Err(Problem::new(403, "You may not call this route."));
    }
    let rate = rated(surface, route, &caller, parts)?;
    let key = request::idempotency_key(&parts.headers)?;
    if api.0.runner.is_draining() {
        return Err(SubmitError::Draining.into());
    }
    check_open(deployed, loaded)?;
    let base = request::base_url(options, &parts.headers)?;
    let input = body::read(&parts.headers, body, options.body_limit).await?;
    check(loaded, &input)?;
    let (method, headers) = (&route.method, &parts.headers);
    let seen = request::for_guests(&base, method, &parts.uri, headers, path_parameters, &surface.authenticator);
    // Kept though nobody exports spans here: whoever the task calls may.
    let traceparent = request::traceparent(headers).or_else(|| TraceParent::of(&tracing::Span::current()));
    let callback = match &route.callback {
        Some(rule) => options.callbacks.resolve(rule, &seen, &input)?.map(Box::new),
        None => None,
    };
    let (sse, user) = (super::sse(endpoints, &base, route), caller.principal);
    let invocation =
        Arc::new(Invocation { input, request: seen, user, tenant: route.tenant.clone(), traceparent, sse, callback });
    let mut task = api.0.runner.submit(loaded, invocation, key).await?;
    let location = api.location(endpoints, &base, task.id.as_str());
    let wait = request::wait_preference(&parts.headers);
    if let Some(longest) = wait {
        // The task exists; a store that cannot be read now must not look as if it did not.
        if let Ok(Some(later)) = api.0.runner.wait(&task.id, longest).await {
            task = later;
        }
    }
    let ended = wait.filter(|_| task.state.is_final());
    let status = if ended.is_some() { StatusCode::OK } else { StatusCode::ACCEPTED };
    let mut response = tasks::show(status, &task, caller.answer);
    tracing::Span::current().record("task", task.id.as_str());
    let fields = response.headers_mut();
    fields.extend(rate.into_iter().flatten());
    if let Some(location) = location.and_then(|location| HeaderValue::try_from(location).ok()) {
        fields.insert(header::LOCATION, location);
    }
    match ended {
        Some(waited) => {
            if let Ok(applied) = HeaderValue::try_from(format!("wait={}", waited.as_secs())) {
                fields.insert("preference-applied", applied);
            }
        }
        None => drop(fields.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER))),
    }
    Ok(response)
}

/// Counts a submit by its caller and by the route's tenant; answers the header fields that tell what the caller has left.
fn rated(
    surface: &Surface,
    route: &Route,
    caller: &Caller,
    parts: &Parts,
) -> Result<Option<[(HeaderName, HeaderValue); 2]>, Problem> {
    let rate = surface.limiter.as_ref().map(|limiter| limiter.take(&caller.bucket(parts), "You")).transpose()?;
    rated_by_tenant(surface, route)?;
    Ok(rate)
}

/// Counts a submit by the route's tenant.
pub fn rated_by_tenant(surface: &Surface, route: &Route) -> Result<(), Problem> {
    let limiter = route.tenant.as_ref().and_then(|tenant| surface.of_tenants.get_key_value(tenant));
    let Some((tenant, limiter)) = limiter else { return Ok(()) };
    let refused = |_: &Problem| _ = surface.options.metrics.tenant(tenant).refused.inc();
    limiter.take("", &format!("The tenant {tenant}")).inspect_err(refused).map(drop)
}

/// A number out of all that there are, as good as any other.
pub fn spread() -> u32 {
    let mut bytes = [0; 4];
    // Without entropy every task goes to the first version, which is better than none.
    let _ = getrandom::fill(&mut bytes);
    u32::from_ne_bytes(bytes)
}

/// Whether the route takes tasks.
fn check_open(deployed: &Deployed, loaded: &LoadedRoute) -> Result<(), Problem> {
    if !deployed.is_open() {
        let problem = Problem::new(503, "The route is being drained, and takes no tasks.");
        return Err(problem.with_header(header::RETRY_AFTER, HeaderValue::from(DRAIN_RETRY)));
    }
    match loaded.guests() {
        Some(Err(_)) => Err(Problem::new(503, "The route's component cannot be used. The host's log says why.")),
        _ => Ok(()),
    }
}

/// The input against what the component says that it takes.
fn check(loaded: &LoadedRoute, input: &Json) -> Result<(), Problem> {
    let schema = loaded.description().and_then(|description| description.input_schema.as_ref());
    let Some(schema) = schema else { return Ok(()) };
    schema.validate(input).map_err(Problem::invalid)
}
