//! Owns the OpenAPI 3.1 document: everything that a client can be told of this server, made of what it is configured
//! with. Must not read configuration files, load components or answer requests.

mod callback;
mod invoke;
mod names;
mod parts;
mod query;
mod schemas;
mod security;
mod tasks;

#[cfg(test)]
mod tests;

use crate::auth::Settings;
use crate::codec::Format;
use crate::route::Route;
use crate::route::callback::CallbackRule;
use crate::route::task_route::TaskRoute;
use crate::schema::Description;
use names::Names;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Everything that the document is made of.
#[derive(Debug, Clone, Default)]
pub struct Input {
    /// Whose API it is.
    pub info: Info,
    /// Base URLs; none: wherever the document was read.
    pub servers: Vec<String>,
    /// The routes, in the order of the document's tags.
    pub routes: Vec<RouteDoc>,
    /// The task routes.
    pub task_routes: Vec<TaskRoute>,
    /// The ways to authenticate.
    pub auth: Settings,
    /// The names of the two schemas that clients meet most.
    pub schema_names: SchemaNames,
}

/// `openapi.title`, `openapi.version`, `openapi.description`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// The API's name.
    pub title: String,
    /// Its version.
    pub version: String,
    /// More about it, in CommonMark.
    pub description: Option<String>,
}

impl Default for Info {
    fn default() -> Self {
        Self { title: "Sandpool".into(), version: "1.0.0".into(), description: None }
    }
}

/// `openapi.schema_names` [Set-PodeAsyncRouteOASchemaName].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaNames {
    /// The AsyncTask object.
    pub task: String,
    /// A query.
    pub query: String,
}

impl Default for SchemaNames {
    fn default() -> Self {
        Self { task: "AsyncTask".into(), query: "AsyncTaskQuery".into() }
    }
}

/// A route, and what the document needs beside it.
#[derive(Debug, Clone)]
pub struct RouteDoc {
    /// The route.
    pub route: Arc<Route>,
    /// What its component says about itself.
    pub description: Option<Arc<Description>>,
    /// Its callback.
    pub callback: Option<CallbackDoc>,
}

/// A route's callback.
#[derive(Debug, Clone)]
pub struct CallbackDoc {
    /// The URL: a literal, a runtime expression, or a text with `{…}` expressions in it.
    pub url: String,
    /// The HTTP method.
    pub method: String,
    /// The media type of its body.
    pub content_type: String,
    /// The event's name.
    pub event: String,
    /// Whether the body holds the result.
    pub send_result: bool,
}

impl From<&CallbackRule> for CallbackDoc {
    fn from(rule: &CallbackRule) -> Self {
        Self {
            url: rule.url.without_literal_query(),
            // An expression may stand for any of them.
            method: if rule.method.is_literal() { rule.method.written().to_owned() } else { "POST".to_owned() },
            content_type: rule.content_type.media_type().to_owned(),
            event: rule.event.clone(),
            send_result: rule.send_result,
        }
    }
}

/// The document. It depends on nothing but the input, so that it can be cached.
#[must_use]
pub fn document(input: &Input) -> Value {
    let names = Names::of(input);
    let context = Context { input, schemas: names.schemas(input) };
    let mut document = Document { paths: Map::new(), schemas: schemas::shared(&context) };
    for (position, route) in input.routes.iter().enumerate() {
        let operation = invoke::operation(&context, route, &names.route(position), &names, &mut document.schemas);
        document.add(&names::path(&route.route.path), &route.route.method, operation);
    }
    for task_route in &input.task_routes {
        for (path, method, operation) in tasks::operations(&context, task_route, &names) {
            document.add(&path, method, operation);
        }
    }
    names::tell_titles_apart(&mut document.schemas);
    let mut components = json!({
        "schemas": document.schemas,
        "responses": parts::problems(),
        "headers": parts::headers(),
        "parameters": parts::parameters(),
    });
    let schemes = security::schemes(input);
    if !schemes.is_empty() {
        parts::put(&mut components, "securitySchemes", Value::Object(schemes));
    }
    let mut info = json!({"title": input.info.title, "version": input.info.version});
    if let Some(text) = &input.info.description {
        parts::put(&mut info, "description", json!(text));
    }
    let mut whole = json!({
        "openapi": "3.1.1",
        "info": info,
        "tags": tags(input),
        "paths": document.paths,
        "components": components,
    });
    if !input.servers.is_empty() {
        let servers: Vec<Value> = input.servers.iter().map(|url| json!({"url": url})).collect();
        parts::put(&mut whole, "servers", Value::Array(servers));
    }
    whole
}

/// What every part of the document is made with.
struct Context<'a> {
    input: &'a Input,
    /// The two configured schema names, as keys of the document.
    schemas: SchemaNames,
}

impl Context<'_> {
    fn task(&self) -> Value {
        parts::schema_ref(&self.schemas.task)
    }

    fn query(&self) -> Value {
        parts::schema_ref(&self.schemas.query)
    }

    /// Whether any caller may ever be refused a task that it can see.
    fn has_permissions(&self) -> bool {
        self.input.routes.iter().any(|doc| doc.route.auth.is_some() || !doc.route.permission.read.is_empty())
    }
}

/// What grows as operations are added.
struct Document {
    paths: Map<String, Value>,
    schemas: Map<String, Value>,
}

impl Document {
    /// Methods that OpenAPI 3.1 has no word for are left out.
    fn add(&mut self, path: &str, method: &str, operation: Value) {
        let method = method.to_ascii_lowercase();
        if !["get", "put", "post", "delete", "options", "head", "patch", "trace"].contains(&method.as_str()) {
            return;
        }
        let item = self.paths.entry(path.to_owned()).or_insert_with(|| json!({}));
        parts::put(item, &method, operation);
    }
}

/// The media types of an operation's answers.
fn media_types(responses: &[Format]) -> impl Iterator<Item = &'static str> {
    responses.iter().map(|format| format.media_type())
}

fn tags(input: &Input) -> Value {
    let mut tags: Vec<&str> = Vec::new();
    let of_routes = input.routes.iter().flat_map(|doc| doc.route.tags.iter().map(String::as_str));
    for tag in of_routes.chain((!input.task_routes.is_empty()).then_some(tasks::TAG)) {
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    let described = |tag: &str| match tag {
        tasks::TAG => json!({"name": tag, "description": "Following, finding and stopping tasks"}),
        _ => json!({"name": tag}),
    };
    Value::Array(tags.into_iter().map(described).collect())
}
