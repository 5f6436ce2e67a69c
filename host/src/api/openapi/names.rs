//! Owns names in the document: operation ids, schema keys and paths; unique, of safe characters, and the same
//! whatever else is configured, unless two would be alike. Must not know what is named.

use super::{Input, SchemaNames};
use crate::route::task_route::{IdPlace, Operation, TaskRoute};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// The operation ids of one document.
pub struct Names {
    routes: Vec<String>,
    /// By method and path.
    tasks: HashMap<(&'static str, String), String>,
}

impl Names {
    pub fn of(input: &Input) -> Self {
        let routes = input.routes.iter().map(|doc| (doc.route.method.as_str(), doc.route.path.clone()));
        let mut wanted: Vec<Wanted> = routes
            .map(|(method, path)| Wanted { id: operation_id(method, &path), key: format!("{method} {path}") })
            .collect();
        let tasks: Vec<_> = input.task_routes.iter().flat_map(endpoints).collect();
        wanted.extend(
            tasks.iter().map(|(id, method, path)| Wanted { id: (*id).to_owned(), key: format!("{method} {path}") }),
        );
        let mut ids = unique(&wanted).into_iter();
        let routes = ids.by_ref().take(input.routes.len()).collect();
        let tasks = tasks.into_iter().map(|(_, method, path)| (method, path)).zip(ids).collect();
        Self { routes, tasks }
    }

    /// The operation id of the route at this position.
    pub fn route(&self, position: usize) -> String {
        self.routes.get(position).cloned().unwrap_or_default()
    }

    /// The operation id of a task route under this method and path.
    pub fn task(&self, method: &'static str, path: &str) -> String {
        self.tasks.get(&(method, path.to_owned())).cloned().unwrap_or_default()
    }

    /// The configured schema names as keys, apart from each other and from the document's own.
    pub fn schemas(&self, input: &Input) -> SchemaNames {
        let task = Some(key(&input.schema_names.task)).filter(|name| !OWN_SCHEMAS.contains(&name.as_str()));
        let task = task.unwrap_or_else(|| "AsyncTask".into());
        let query = Some(key(&input.schema_names.query))
            .filter(|name| !OWN_SCHEMAS.contains(&name.as_str()) && *name != task)
            .unwrap_or_else(|| format!("{task}Query"));
        SchemaNames { task, query }
    }
}

/// Schemas whose names are not configurable.
const OWN_SCHEMAS: [&str; 9] = [
    "Problem",
    "TaskCallback",
    "TaskState",
    "TaskAccess",
    "TaskPermission",
    "TaskCallbackSettings",
    "TaskCallbackInfo",
    "TaskDelivery",
    "TaskSse",
];

struct Wanted {
    id: String,
    /// What the id is of; nothing else has it.
    key: String,
}

/// Ids that are alike (without case, as some generators make file names of them) get a digest of their key each.
fn unique(wanted: &[Wanted]) -> Vec<String> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for one in wanted {
        *counts.entry(one.id.to_ascii_lowercase()).or_default() += 1;
    }
    let alike = |one: &Wanted| counts.get(&one.id.to_ascii_lowercase()).is_some_and(|count| *count > 1);
    wanted
        .iter()
        .map(|one| if alike(one) { format!("{}_{}", one.id, mark(&one.key)) } else { one.id.clone() })
        .collect()
}

fn mark(key: &str) -> String {
    Sha256::digest(key.as_bytes()).iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

/// `putOrdersById` of `PUT /orders/{id}`.
fn operation_id(method: &str, path: &str) -> String {
    let mut id = method.to_ascii_lowercase();
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        for (position, piece) in segment.split(['{', '}']).enumerate() {
            // What stands between braces is every other piece.
            if position % 2 == 1 {
                id.push_str("By");
            }
            let words = piece.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
            words.for_each(|word| id.push_str(&capitalized(word)));
        }
    }
    id
}

/// With a capital first letter.
pub fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

/// A key of `components`: OpenAPI allows letters, digits, `.`, `-` and `_`.
pub fn key(name: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' };
    let key: String = name.chars().map(safe).collect();
    if key.is_empty() { "_".into() } else { key }
}

/// A path pattern as OpenAPI writes it: `{*rest}` is `{rest}` there.
pub fn path(pattern: &str) -> String {
    pattern.replace("{*", "{")
}

/// The names of a path's parameters, in order.
pub fn parameters(path: &str) -> Vec<&str> {
    path.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect()
}

/// Takes titles away that are also another schema's title or key: generators name types by them.
pub fn tell_titles_apart(schemas: &mut Map<String, Value>) {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for (key, schema) in schemas.iter() {
        *counts.entry(key.to_ascii_lowercase()).or_default() += 1;
        if let Some(title) = schema["title"].as_str() {
            *counts.entry(title.to_ascii_lowercase()).or_default() += 1;
        }
    }
    for schema in schemas.values_mut().filter_map(Value::as_object_mut) {
        let title = schema.get("title").and_then(Value::as_str).map(str::to_ascii_lowercase);
        if title.and_then(|title| counts.get(&title)).is_some_and(|count| *count > 1) {
            schema.remove("title");
        }
    }
}

/// The endpoints of a task route: wanted id, method and path of each.
pub fn endpoints(route: &TaskRoute) -> Vec<(&'static str, &'static str, String)> {
    let in_path = route.places.contains(&IdPlace::Path);
    let elsewhere = route.places.iter().any(|place| !matches!(place, IdPlace::Path | IdPlace::Body));
    let with_id = || format!("{}/{{{}}}", route.path.trim_end_matches('/'), route.id_name);
    let (method, by_path, by_other) = match route.operation {
        Operation::Get => ("GET", "getTask", "findTask"),
        Operation::Stop => ("DELETE", "stopTask", "findAndStopTask"),
        Operation::Query => {
            let body = route.places.contains(&IdPlace::Body).then(|| ("queryTasks", "POST", route.path.clone()));
            let other = elsewhere.then(|| ("listTasks", "GET", route.path.clone()));
            return body.into_iter().chain(other).collect();
        }
        Operation::Events => return vec![("followTasks", "GET", route.path.clone())],
    };
    let path = in_path.then(|| (by_path, method, with_id()));
    let other = elsewhere.then(|| (by_other, method, route.path.clone()));
    let log = route.log_pattern().map(|pattern| ("getTaskLog", "GET", pattern));
    let callbacks = route.callbacks_pattern().into_iter();
    let callbacks = callbacks
        .flat_map(|pattern| [("getTaskCallbacks", "GET", pattern.clone()), ("sendTaskCallbacks", "POST", pattern)]);
    path.into_iter().chain(other).chain(log).chain(callbacks).collect()
}
