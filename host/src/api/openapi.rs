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

use crate::route::Route;
use crate::schema::Description;
use names::Names;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// The media type of the document.
pub const MEDIA_TYPE: &str = "application/vnd.oai.openapi+json;version=3.1";

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
    pub task_routes: Vec<TaskRouteDoc>,
    /// The ways to authenticate, by the names that requirements use.
    pub security_schemes: Vec<(String, Scheme)>,
    /// The names of the two schemas that clients meet most.
    pub schema_names: SchemaNames,
}

/// `openapi.title`, `openapi.version`.
#[derive(Debug, Clone)]
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
#[derive(Debug, Clone)]
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
    /// The media types of its answers, the default one first.
    pub responses: Vec<String>,
    /// What its component says about itself.
    pub description: Option<Arc<Description>>,
    /// Who may call it; `None`: everybody.
    pub security: Option<Requirement>,
    /// Its callback.
    pub callback: Option<CallbackDoc>,
    /// `summary`; it wins over the component's own.
    pub summary: Option<String>,
    /// `tags`
    pub tags: Vec<String>,
}

/// What a task route does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskOperation {
    /// Answers a task.
    Get,
    /// Stops a task.
    Stop,
    /// Answers the tasks that meet conditions.
    Query,
    /// Streams events.
    Events,
}

/// Where a request may name a task or hold a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A path segment after the task route's path.
    Path,
    /// The query.
    Query,
    /// A header field.
    Header,
    /// A cookie.
    Cookie,
    /// The body.
    Body,
}

/// A task route.
#[derive(Debug, Clone)]
pub struct TaskRouteDoc {
    /// What it does.
    pub operation: TaskOperation,
    /// Its path, without the id.
    pub path: String,
    /// Where the id or the query may be.
    pub places: Vec<Place>,
    /// The name of the id's parameter, field or cookie.
    pub id_name: String,
    /// The media types of its answers, the default one first; not looked at for events.
    pub responses: Vec<String>,
    /// Who may call it; `None`: everybody.
    pub security: Option<Requirement>,
    /// `summary`
    pub summary: Option<String>,
    /// `tags`; none: `tasks`.
    pub tags: Vec<String>,
}

/// Alternatives, each of which is schemes that must all be passed: `all` is one alternative of several schemes, `any`
/// several alternatives of one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requirement {
    /// The names of the schemes of each alternative.
    pub alternatives: Vec<Vec<String>>,
}

/// A way to authenticate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP Basic.
    Basic,
    /// A key in this place, under this name.
    ApiKey(KeyPlace, String),
    /// A JSON Web Token as bearer token.
    Jwt,
}

/// Where an API key is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPlace {
    /// A header field.
    Header,
    /// A query parameter.
    Query,
    /// A cookie.
    Cookie,
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
        self.input.routes.iter().any(|doc| doc.security.is_some() || !doc.route.permission.read.is_empty())
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

fn tags(input: &Input) -> Value {
    let of_routes = input.routes.iter().flat_map(|route| route.tags.iter());
    let of_tasks = input.task_routes.iter().flat_map(|route| route.tags.iter());
    let mut tags: Vec<&str> = Vec::new();
    for tag in of_routes.chain(of_tasks).map(String::as_str) {
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    if input.task_routes.iter().any(|route| route.tags.is_empty()) && !tags.contains(&tasks::TAG) {
        tags.push(tasks::TAG);
    }
    let described = |tag: &str| match tag {
        tasks::TAG => json!({"name": tag, "description": "Following, finding and stopping tasks"}),
        _ => json!({"name": tag}),
    };
    Value::Array(tags.into_iter().map(described).collect())
}
