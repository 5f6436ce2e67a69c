//! Owns how the documentation is reached: the OpenAPI document, made once for a set of endpoints, and the page that
//! shows it. Must not know what stands in either.

use super::caller::Caller;
use super::openapi::{self, CallbackDoc, Info, Input, RouteDoc, SchemaNames};
use super::problem::Problem;
use super::ui::Docs;
use super::{Api, etag, tasks};
use crate::auth;
use crate::codec::{Format, encode_view};
use crate::route::task_route::TaskRoute;
use crate::runner::LoadedRoute;
use axum::body::Bytes;
use axum::http::HeaderValue;
use axum::http::request::Parts;
use axum::response::Response;
use std::sync::{Arc, OnceLock};

/// The formats of the document; the first is the default.
const FORMATS: [Format; 2] = [Format::Json, Format::Yaml];

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
    /// Written when it is first asked for, in each of [`FORMATS`].
    written: [OnceLock<(Bytes, HeaderValue)>; 2],
}

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

    /// The document in this format, and its tag.
    fn written(&self, format: Format) -> &(Bytes, HeaderValue) {
        let [json, yaml] = &self.written;
        let cell = if format == Format::Json { json } else { yaml };
        cell.get_or_init(|| {
            let body = encode_view(format, "openapi", &self.document());
            let tag = etag::of(&body);
            (body.into(), tag)
        })
    }

    /// The document, in the format that the client likes best.
    pub async fn answer_document(&self, api: &Api, parts: &Parts) -> Result<Response, Problem> {
        let caller = Caller::admit(api, self.scheme.as_deref(), &FORMATS, parts).await?;
        let (body, tag) = self.written(caller.answer.format);
        let response = etag::answer(body.clone(), tag.clone(), caller.answer.media_type, &parts.headers);
        Ok(tasks::negotiated(response))
    }

    /// A file of the page.
    pub async fn answer_page(&self, api: &Api, parts: &Parts) -> Result<Response, Problem> {
        Caller::authenticate(api, self.scheme.as_deref(), parts).await?;
        let found = self.page.as_ref().and_then(|page| page.respond(parts.uri.path(), &parts.headers));
        found.ok_or_else(|| super::nothing_at(parts.uri.path()))
    }
}
