//! Owns how the documentation is reached: the OpenAPI document, made once for a set of endpoints, and the page that
//! shows it. Must not know what stands in either.

use super::caller::Caller;
use super::openapi::{self, CallbackDoc, Info, Input, RouteDoc, SchemaNames};
use super::problem::Problem;
use super::ui::Docs;
use super::{Api, Options, Surface, etag, tasks};
use crate::auth;
use crate::codec::{Format, encode_view};
use crate::route::task_route::TaskRoute;
use crate::runner::LoadedRoute;
use crate::tenant::Tenant;
use axum::body::Bytes;
use axum::http::HeaderValue;
use axum::http::request::Parts;
use axum::response::Response;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The formats of the document; the first is the default.
const FORMATS: [Format; 2] = [Format::Json, Format::Yaml];

/// How many documents are kept, of readers who know other tenants each.
const MOST_WRITTEN: usize = 16;

/// What the documentation is made with, beside the routes.
#[derive(Debug, Clone)]
pub struct Documentation {
    /// Where the document is.
    pub path: Option<String>,
    /// Where the page is.
    pub ui: Option<String>,
    /// The scheme that a reader of both must pass; `None`: open to everybody.
    pub scheme: Option<Arc<str>>,
    /// Whose API it is.
    pub info: Info,
    /// Names of schemas.
    pub schema_names: SchemaNames,
    /// Base URLs.
    pub servers: Vec<String>,
    /// The ways to authenticate.
    pub auth: auth::Settings,
}

/// The path patterns of a page at this path: itself, its files, and itself with a slash, which leads to the one without.
#[must_use]
pub fn page_patterns(path: &str) -> Vec<String> {
    let path = path.trim_matches('/');
    let folder = if path.is_empty() { "/".to_owned() } else { format!("/{path}/") };
    let files = format!("{folder}{{*file}}");
    let own = (!path.is_empty()).then(|| format!("/{path}"));
    own.into_iter().chain([folder, files]).collect()
}

/// The documentation of a set of endpoints.
pub struct Documents {
    input: Input,
    scheme: Option<Arc<str>>,
    page: Option<Docs>,
    /// Written when it is first asked for, in each format, for readers who know the same tenants.
    written: Mutex<HashMap<Reading, Written>>,
}

/// A format, and the tenants whose routes are shown.
type Reading = (Format, Vec<Arc<str>>);
/// A document, and its tag.
type Written = (Bytes, HeaderValue);

impl Documents {
    /// The documentation of these routes.
    pub fn new(documentation: Documentation, routes: &[Arc<LoadedRoute>], task_routes: &[TaskRoute]) -> Self {
        let Documentation { path, ui, scheme, info, schema_names, servers, auth } = documentation;
        let page = ui.zip(path).map(|(ui, path)| Docs::new(&ui, &path, &info.title));
        let route = |loaded: &Arc<LoadedRoute>| RouteDoc {
            route: Arc::clone(&loaded.route),
            description: loaded.description().cloned(),
            callback: loaded.route.callback.as_ref().map(CallbackDoc::from),
        };
        let routes = routes.iter().map(route).collect();
        let input = Input { info, servers, routes, task_routes: task_routes.to_vec(), auth, schema_names };
        Self { input, scheme, page, written: Default::default() }
    }

    /// The document.
    pub fn document(&self) -> serde_json::Value {
        openapi::document(&self.input)
    }

    /// The document in this format for a reader who knows these tenants, and its tag.
    fn written(&self, format: Format, tenants: Vec<Arc<str>>) -> Written {
        let key = (format, tenants);
        let known = || self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(written) = known().get(&key) {
            return written.clone();
        }
        let mut input = self.input.clone();
        input.routes.retain(|doc| doc.route.tenant.as_ref().is_none_or(|tenant| key.1.contains(tenant)));
        let body = encode_view(format, "openapi", &openapi::document(&input));
        let tag = etag::of(&body);
        let written = (Bytes::from(body), tag);
        let mut known = known();
        if known.len() >= MOST_WRITTEN {
            known.clear();
        }
        known.insert(key, written.clone());
        written
    }

    /// The document, in the format that the client likes best: the host's routes, and those of the client's tenants.
    pub async fn answer_document(&self, api: &Api, surface: &Surface, parts: &Parts) -> Result<Response, Problem> {
        let caller = Caller::admit(api, self.scheme.as_deref(), &FORMATS, parts).await?;
        let Options { admin, tenants, .. } = &surface.options;
        let principal = caller.principal.as_ref();
        let is_admin =
            principal.is_some_and(|principal| admin.as_ref().is_some_and(|admin| admin.access.admits(principal)));
        let known: Vec<&Arc<Tenant>> = match is_admin {
            true => tenants.iter().collect(),
            false => surface.tenants_of(principal).collect(),
        };
        let known = known.into_iter().map(|tenant| Arc::clone(&tenant.name)).collect();
        let (body, tag) = self.written(caller.answer.format, known);
        let response = etag::answer(body, tag, caller.answer.media_type, &parts.headers);
        Ok(tasks::negotiated(response))
    }

    /// A file of the page.
    pub async fn answer_page(&self, api: &Api, parts: &Parts) -> Result<Response, Problem> {
        Caller::authenticate(api, self.scheme.as_deref(), parts).await?;
        let found = self.page.as_ref().and_then(|page| page.respond(parts.uri.path(), &parts.headers));
        found.ok_or_else(|| super::nothing_at(parts.uri.path()))
    }
}
