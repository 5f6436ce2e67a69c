//! Owns `/-/plugins`: uploaded, listed, fetched and removed. Must not know where plugins are kept.

use super::changing;
use crate::api::edge::Peer;
use crate::api::problem::{Problem, or_problem};
use crate::api::role::{Manager, Role};
use crate::api::tasks::respond_with;
use crate::api::{Api, body, request};
use crate::clock::Timestamp;
use crate::plugins::{Upload, UploadError, Uploaded};
use crate::store::registry::Plugin;
use crate::tenant::{named, of_name};
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::sync::Arc;

/// What carries the signature of an upload.
const SIGNATURE: HeaderName = HeaderName::from_static("plugin-signature");
/// The media type of WebAssembly (WebAssembly Web API, registered with IANA).
const WASM: &str = "application/wasm";

/// A version of a plugin as management shows it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct PluginView<'a> {
    name: &'a str,
    version: &'a str,
    digest: String,
    size: u64,
    creation_time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    world: Option<&'static str>,
    routes: Vec<Arc<str>>,
}

impl<'a> PluginView<'a> {
    fn of(plugin: &'a Plugin, routes: Vec<Arc<str>>) -> Self {
        Self {
            name: &plugin.name,
            version: &plugin.version,
            digest: format!("sha256:{}", plugin.digest),
            size: plugin.size,
            creation_time: plugin.created,
            created_by: plugin.by.as_deref(),
            signer: plugin.signer.as_deref(),
            world: None,
            routes,
        }
    }
}

/// `GET /-/plugins`: all versions of all plugins.
pub async fn list(State(api): State<Api>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    or_problem(found(&api, &parts, None).await, &parts)
}

/// `GET /-/plugins/{name}`: its versions; the component itself for those who accept `application/wasm`.
pub async fn get(State(api): State<Api>, Path(name): Path<String>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let accepts = parts.headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let answer = match accepts.starts_with(WASM) {
        true => component(&api, &parts, &name).await,
        false => found(&api, &parts, Some(&name)).await,
    };
    or_problem(answer, &parts)
}

async fn found(api: &Api, parts: &Parts, name: Option<&str>) -> Result<Response, Problem> {
    let manager = Manager::looking(api, parts).await?;
    let managed = &api.0.managed;
    let all = managed.plugins.list().await?;
    let name = name.map(|name| manager.role.full_name(name));
    let is_meant =
        |plugin: &&Plugin| manager.role.sees(&plugin.name) && name.as_ref().is_none_or(|name| *plugin.name == **name);
    let plugins: Vec<&Plugin> = all.iter().filter(is_meant).collect();
    if name.is_some() && plugins.is_empty() {
        return Err(unknown());
    }
    let mut views = Vec::with_capacity(plugins.len());
    for plugin in plugins {
        views.push(PluginView::of(plugin, managed.routes.users(plugin).await));
    }
    Ok(respond_with(StatusCode::OK, &views, "Plugins", manager.answer))
}

async fn component(api: &Api, parts: &Parts, name: &str) -> Result<Response, Problem> {
    let name = Role::looking(api, parts).await?.full_name(name);
    let version = request::parameter(&parts.uri, "version");
    let all = api.0.managed.plugins.list().await?;
    let is_meant = |plugin: &&Plugin| {
        *plugin.name == *name
            && version.as_deref().is_none_or(|version| version == "latest" || *plugin.version == *version)
    };
    let plugin = all.iter().rfind(is_meant).ok_or_else(unknown)?;
    let bytes = api.0.managed.registry.component(&plugin.digest, plugin.size).await?.ok_or_else(unknown)?;
    let digest = HeaderValue::try_from(format!("\"{}\"", plugin.digest)).ok();
    let mut response = ([(header::CONTENT_TYPE, WASM)], bytes).into_response();
    response.headers_mut().extend(digest.map(|digest| (header::ETAG, digest)));
    Ok(response)
}

fn unknown() -> Problem {
    Problem::new(404, "There is no such plugin.")
}

/// `PUT /-/plugins/{name}`: the body is the component. 201 for a new version, 200 for one that was there with these bytes.
pub async fn put(State(api): State<Api>, Path(name): Path<String>, request: Request) -> Response {
    changing(api, request, move |api, manager, parts, body| {
        Box::pin(async move {
            let tenant = manager.role.tenant.as_ref().map(|tenant| tenant.name.to_string());
            if let Some(tenant) = of_name(&name).filter(|name| named(&api.now().options.tenants, name).is_none()) {
                return Err(Problem::new(404, format!("There is no tenant `{tenant}`.")));
            }
            let upload = Upload {
                name: manager.role.full_name(&name),
                version: request::parameter(&parts.uri, "version"),
                // A tenant's members share its places.
                caller: tenant.or_else(|| manager.name()).unwrap_or_else(|| {
                    Peer::of(&parts).0.map_or_else(String::new, |peer| peer.ip().to_canonical().to_string())
                }),
                by: manager.name(),
                signature: parts.headers.get(&SIGNATURE).and_then(|value| value.to_str().ok()).map(str::to_owned),
            };
            let managed = &api.0.managed;
            let mut body = Box::pin(Body::into_data_stream(body));
            let uploaded = match body::check_encoding(&parts.headers) {
                Ok(()) => managed.plugins.upload(upload, &mut body).await.map_err(Problem::from),
                Err(problem) => Err(problem),
            };
            if uploaded.is_err() {
                body::drain(body).await;
            }
            let Uploaded { plugin, is_new, inspection } = uploaded?;
            if is_new {
                managed.routes.plugin_changed(&plugin.name).await;
            }
            let mut view = PluginView::of(&plugin, managed.routes.users(&plugin).await);
            view.world = inspection.world;
            let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
            Ok(respond_with(status, &view, "Plugin", manager.answer))
        })
    })
    .await
}

/// `DELETE /-/plugins/{name}`: one version, or all. Those that a route runs stay.
pub async fn remove(State(api): State<Api>, Path(name): Path<String>, request: Request) -> Response {
    changing(api, request, move |api, manager, parts, _| {
        Box::pin(async move {
            let name = manager.role.full_name(&name);
            let version = request::parameter(&parts.uri, "version");
            match api.0.managed.routes.remove_plugin(&name, version.as_deref()).await? {
                0 => Err(unknown()),
                _ => Ok(StatusCode::NO_CONTENT.into_response()),
            }
        })
    })
    .await
}

impl From<UploadError> for Problem {
    fn from(error: UploadError) -> Self {
        let status = match &error {
            UploadError::Name(_) | UploadError::Broken(_) => 400,
            UploadError::TooLarge(_) => 413,
            UploadError::Busy(_) | UploadError::Quota(_) => 429,
            UploadError::Slow => 408,
            UploadError::Unfit(_) | UploadError::Signature(_) => 422,
            UploadError::Taken(_) => 409,
            UploadError::Store(_) => 503,
            UploadError::Host(words) => {
                tracing::error!("an upload failed: {words}");
                return Self::new(500, "The upload failed on this host. Nothing was kept.");
            }
        };
        let problem = match error {
            UploadError::Store(error) => return error.into(),
            UploadError::Quota(words) => {
                return Self::new(429, format!("The quota is used up: {words}. Nothing was kept.")).retry_after(60);
            }
            other => Self::new(status, format!("The component was not taken: {other}.")),
        };
        if status == 429 { problem.retry_after(5) } else { problem }
    }
}
