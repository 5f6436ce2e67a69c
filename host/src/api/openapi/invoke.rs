//! Owns how a route is written: what it takes, what it answers, and where to go from there.
//! Must not know how requests are answered.

use super::names::{Names, capitalized, parameters, path};
use super::{Context, RouteDoc, callback, media_types, parts, security};
use crate::route::task_route::{IdPlace, Operation};
use crate::schema::{Description, Schema, parted};
use crate::value::Json;
use serde_json::{Map, Value, json};

const FORM: &str = "application/x-www-form-urlencoded";
/// Formats in which a value keeps its types.
const TYPED: [&str; 2] = ["application/json", "application/yaml"];
const XML: &str = "application/xml";

pub fn operation(
    context: &Context<'_>,
    doc: &RouteDoc,
    id: &str,
    names: &Names,
    schemas: &mut Map<String, Value>,
) -> Value {
    let described = doc.description.as_deref();
    let prefix = capitalized(id);
    let input = described.and_then(|own| own.input_schema.as_ref());
    let input = input.map(|schema| add_parts(schemas, format!("{prefix}Input"), schema));
    let result = described.and_then(|own| own.result_schema.as_ref());
    let result = result.map(|schema| add_parts(schemas, format!("{prefix}Result"), schema));
    let task = match &result {
        Some(result) => {
            let name = format!("{prefix}Task");
            schemas.insert(name.clone(), task_schema(context, result));
            parts::schema_ref(&name)
        }
        None => context.task(),
    };
    let body = body(doc, input.as_ref());
    let mut operation = json!({
        "operationId": id,
        "summary": summary(doc, described),
        "tags": doc.route.tags,
        "parameters": all_parameters(doc),
        "responses": responses(&task, doc, links(context, doc, names), body.is_some()),
        "security": security::requirement(context.input, doc.route.auth.as_deref(), &doc.route.access),
    });
    let text = described.map_or("", |own| own.description.trim());
    let note = match &body {
        Some(_) if input.is_some() => {
            "XML and form bodies are read too; their values are text unless XML says otherwise."
        }
        _ => "",
    };
    let text = [text, note].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n\n");
    if !text.is_empty() {
        parts::put(&mut operation, "description", json!(text));
    }
    if let Some(body) = body {
        parts::put(&mut operation, "requestBody", body);
    }
    if let Some(called) = &doc.callback {
        parts::put(&mut operation, "callbacks", callback::callbacks(called, id));
    }
    operation
}

fn summary(doc: &RouteDoc, described: Option<&Description>) -> String {
    let own = doc.route.summary.as_deref().or(described.map(|own| own.summary.as_str())).unwrap_or("").trim();
    if own.is_empty() {
        format!("Start a task of {} {}", doc.route.method, path(&doc.route.path))
    } else {
        own.to_owned()
    }
}

fn all_parameters(doc: &RouteDoc) -> Value {
    let path = path(&doc.route.path);
    let segments = parameters(&path).into_iter().map(
        |name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string", "minLength": 1}}),
    );
    Value::Array(segments.chain(["Prefer", "IdempotencyKey"].map(parts::parameter_ref)).collect())
}

/// RFC 9110 §9.3: what a body means with these methods is undefined; only a schema asks for one.
fn body(doc: &RouteDoc, input: Option<&Value>) -> Option<Value> {
    let method = doc.route.method.as_str();
    let schema = doc.description.as_deref().and_then(|own| own.input_schema.as_ref());
    let (Some(input), Some(schema)) = (input, schema) else {
        let any = json!({"schema": {"description": "Any value: the task's input"}});
        let texts = json!({"type": "object", "additionalProperties": {"type": "string"}});
        let mut content = json!({FORM: {"schema": texts}});
        TYPED.iter().for_each(|name| parts::put(&mut content, name, any.clone()));
        let element =
            json!({"description": "Any element: the task's input", "xml": {"name": "input", "wrapped": true}});
        parts::put(&mut content, XML, json!({"schema": element}));
        return (!["GET", "HEAD", "DELETE", "OPTIONS", "TRACE"].contains(&method))
            .then(|| json!({"required": false, "content": content}));
    };
    // Without a body the input is null.
    let required = schema.validate(&Json::null()).is_err();
    Some(json!({"required": required, "content": parts::content(TYPED, input)}))
}

fn responses(task: &Value, doc: &RouteDoc, links: Value, has_body: bool) -> Value {
    let content = parts::content(media_types(&doc.route.responses), task);
    let accepted = json!({
        "description": "The task, which is stored and will run",
        "headers": {"Location": parts::header_ref("Location"), "Retry-After": parts::header_ref("RetryAfter")},
        "content": content,
        "links": links,
    });
    let ended = json!({
        "description": "The task, which ended within the wait that `Prefer` asked for",
        "headers": {
            "Location": parts::header_ref("Location"),
            "Preference-Applied": parts::header_ref("PreferenceApplied"),
        },
        "content": content,
        "links": links,
    });
    let mut problems = vec![406, 409, 422, 429, 503];
    if has_body {
        problems.extend([400, 413, 415]);
    }
    if doc.route.auth.is_some() {
        problems.push(401);
        problems.extend((!doc.route.access.is_empty()).then_some(403));
    }
    parts::responses(vec![("200", ended), ("202", accepted)], &problems)
}

/// Adds a component's schema to the document, its definitions beside it, and answers a reference to it.
fn add_parts(schemas: &mut Map<String, Value>, name: String, schema: &Schema) -> Value {
    schemas.extend(parted(schema.document(), "#/components/schemas", &name));
    parts::schema_ref(&name)
}

/// A Failed task's `Result` is the detail of its failure, which the component promises nothing about.
fn task_schema(context: &Context<'_>, result: &Value) -> Value {
    json!({
        "allOf": [context.task()],
        "properties": {"Result": {"anyOf": [result, {"description": "A failure's detail"}]}},
        "xml": {"name": "AsyncTask"},
    })
}

/// Where a client goes with the answer: to every task route that takes the id where a link can put it.
fn links(context: &Context<'_>, doc: &RouteDoc, names: &Names) -> Value {
    let mut links = json!({});
    for (operation, key, about) in
        [(Operation::Get, "GetTask", "Get the task"), (Operation::Stop, "StopTask", "Stop the task")]
    {
        let wanted = operation == Operation::Get || doc.route.cancellable;
        let found = context.input.task_routes.iter().filter(|route| wanted && route.operation == operation);
        let Some((route, place)) = found.clone().find_map(|route| {
            let places = [(IdPlace::Path, "path"), (IdPlace::Query, "query"), (IdPlace::Header, "header")];
            places.iter().find(|(place, _)| route.places.contains(place)).map(|(_, name)| (route, *name))
        }) else {
            continue;
        };
        let Some((_, method, path)) = super::names::endpoints(route).into_iter().next() else { continue };
        let mut parameters = json!({});
        parts::put(&mut parameters, &format!("{place}.{}", route.id_name), json!("$response.body#/Id"));
        let link = json!({"operationId": names.task(method, &path), "parameters": parameters, "description": about});
        parts::put(&mut links, key, link);
    }
    links
}
