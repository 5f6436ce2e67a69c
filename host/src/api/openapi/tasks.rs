//! Owns how the task routes are written: get, stop, query and events.
//! Must not know how requests are answered.

use super::names::{Names, endpoints};
use super::{Context, media_types, parts, query, security};
use crate::route::task_route::{IdPlace, Operation, TaskRoute};
use crate::task::access::Allowed;
use serde_json::{Value, json};

/// The tag of task routes.
pub const TAG: &str = "tasks";
/// Formats in which a query is read.
const QUERY_TYPES: [&str; 3] = ["application/json", "application/xml", "application/yaml"];

/// The operations of a task route: path, method and operation of each.
pub fn operations(context: &Context<'_>, route: &TaskRoute, names: &Names) -> Vec<(String, &'static str, Value)> {
    let written = |(_, method, path): (&str, &'static str, String)| {
        let mut operation = match route.operation {
            Operation::Get if route.log_pattern().as_ref() == Some(&path) => log(route, &path),
            Operation::Get if route.callbacks_pattern().as_ref() == Some(&path) => {
                callbacks(context, route, method, &path)
            }
            Operation::Get => get(context, route, &path),
            Operation::Stop => stop(context, route, &path),
            Operation::Query => query_tasks(context, route, method),
            Operation::Events => events(route),
        };
        parts::put(&mut operation, "operationId", json!(names.task(method, &path)));
        parts::put(&mut operation, "tags", json!([TAG]));
        parts::put(
            &mut operation,
            "security",
            security::requirement(context.input, route.auth.as_deref(), &Allowed::default()),
        );
        (path, method, operation)
    };
    endpoints(route).into_iter().map(written).collect()
}

/// The parameters that may hold the id in a request to this path; one of several is not required.
fn ids(route: &TaskRoute, path: &str) -> Vec<Value> {
    let parameter = |place: &str, required: bool| {
        let mut schema = json!({"type": "string", "examples": ["3f2b8c1e-6f0a-4c55-9d0e-0b7a3f1c9a11"]});
        let mut about = "The task's `Id`";
        match required {
            true => parts::put(&mut schema, "minLength", json!(1)),
            false => about = "The task's `Id`; of several, the first in the route's order counts",
        }
        json!({
            "name": route.id_name,
            "in": place,
            "required": required,
            "description": about,
            "schema": schema,
        })
    };
    if path.contains('{') {
        return vec![parameter("path", true)];
    }
    let places: Vec<&str> = [(IdPlace::Query, "query"), (IdPlace::Header, "header"), (IdPlace::Cookie, "cookie")]
        .into_iter()
        .filter(|(place, _)| route.places.contains(place))
        .map(|(_, name)| name)
        .collect();
    places.iter().map(|place| parameter(place, places.len() == 1)).collect()
}

/// With 401 where somebody must authenticate.
fn problems(route: &TaskRoute, mut others: Vec<u16>) -> Vec<u16> {
    others.extend(route.auth.is_some().then_some(401));
    others
}

fn get(context: &Context<'_>, route: &TaskRoute, path: &str) -> Value {
    let mut parameters = ids(route, path);
    parameters.extend(["Wait", "IfNoneMatch"].map(parts::parameter_ref));
    let found = json!({
        "description": "The task",
        "headers": {"ETag": parts::header_ref("ETag")},
        "content": parts::content(media_types(&route.responses), &context.task()),
    });
    let same =
        json!({"description": "The task is as the client knows it", "headers": {"ETag": parts::header_ref("ETag")}});
    json!({
        "summary": "Get a task",
        "description": "Answers at once, or as soon as the task has ended with `wait`.",
        "parameters": parameters,
        "responses": parts::responses(vec![("200", found), ("304", same)], &problems(route, vec![400, 404, 406, 503])),
    })
}

fn log(route: &TaskRoute, path: &str) -> Value {
    let lines = json!({
        "type": "array",
        "items": {
            "type": "object",
            "required": ["seq", "at", "level", "message"],
            "properties": {
                "seq": {"type": "integer", "minimum": 0, "description": "The line's number in the task's log"},
                "at": {"type": "string", "format": "date-time"},
                "level": {"type": "string", "enum": ["trace", "debug", "info", "warn", "error"]},
                "message": {"type": "string"},
                "fields": {
                    "type": "array",
                    "description": "Names and values",
                    "items": {"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 2},
                },
            },
        },
        "xml": {"name": "Log", "wrapped": true},
    });
    let mut content = parts::content(media_types(&route.responses), &lines);
    parts::put(&mut content, "text/plain", json!({"schema": {"type": "string"}}));
    let mut parameters = ids(route, path);
    parameters.push(json!({
        "name": "after",
        "in": "query",
        "required": false,
        "description": "Only lines with a greater `seq`",
        "schema": {"type": "integer", "minimum": 0, "maximum": i64::MAX},
    }));
    let found = json!({"description": "The newest lines of the task's log", "content": content});
    json!({
        "summary": "Read a task's log",
        "description": "What the guest logged or wrote to stdout and stderr: the newest 64 KiB.",
        "parameters": parameters,
        "responses": parts::responses(vec![("200", found)], &problems(route, vec![400, 404, 406, 503])),
    })
}

fn callbacks(context: &Context<'_>, route: &TaskRoute, method: &str, path: &str) -> Value {
    let delivery = parts::schema_ref("TaskDelivery");
    if method == "POST" {
        let queued = json!({
            "description": "The delivery, which begins anew",
            "content": parts::content(media_types(&route.responses), &delivery),
        });
        let mut others = vec![400, 404, 406, 409, 503];
        others.extend(context.has_permissions().then_some(403));
        return json!({
            "summary": "Send a task's callback again",
            "description": "Once its delivery is over, whether it was taken or given up.",
            "parameters": ids(route, path),
            "responses": parts::responses(vec![("202", queued)], &problems(route, others)),
        });
    }
    let item = json!({"allOf": [delivery], "xml": {"name": "item"}});
    let all = json!({"type": "array", "items": item, "xml": {"name": "Deliveries", "wrapped": true}});
    let found = json!({
        "description": "The deliveries: one, or none of a task without a callback",
        "content": parts::content(media_types(&route.responses), &all),
    });
    json!({
        "summary": "Look at a task's callback",
        "description": "Where its delivery stands, and the newest attempts.",
        "parameters": ids(route, path),
        "responses": parts::responses(vec![("200", found)], &problems(route, vec![400, 404, 406, 503])),
    })
}

fn stop(context: &Context<'_>, route: &TaskRoute, path: &str) -> Value {
    let stopped = json!({
        "description": "The task, which is stopped: its `State` is `Aborted`",
        "content": parts::content(media_types(&route.responses), &context.task()),
    });
    let mut others = vec![400, 404, 406, 410, 423, 503];
    others.extend(context.has_permissions().then_some(403));
    json!({
        "summary": "Stop a task",
        "description": "Whatever the task does, an endless loop included, it is over when this is answered.",
        "parameters": ids(route, path),
        "responses": parts::responses(vec![("200", stopped)], &problems(route, others)),
    })
}

fn events(route: &TaskRoute) -> Value {
    let filter = |name: &str, meaning: &str| {
        json!({
            "name": name,
            "in": "query",
            "required": false,
            "description": meaning,
            "schema": {"type": "string"},
        })
    };
    let after = json!({
        "name": "after",
        "in": "query",
        "required": false,
        "description": "As `Last-Event-ID`, for clients that cannot set it",
        "schema": {"type": "integer", "minimum": 0, "maximum": i64::MAX},
    });
    let stream = json!({
        "description": "Events: `open`, `state`, `progress`, `log`, those of the component, `done`",
        "content": {"text/event-stream": {
            "schema": {"type": "string"},
            "example": "id: 7\nevent: progress\ndata: 40\n\n",
        }},
    });
    let over = json!({"description": "The task has ended and its events have been told: do not come again"});
    json!({
        "summary": "Follow tasks",
        "description": "Server-sent events of the tasks that the caller may read: of one task, which end with it, of a \
                        group or of a route; else of all.",
        "parameters": [
            filter(&route.id_name, "One task"),
            filter("group", "The tasks of a group"),
            filter("route", "The tasks of a route, by its name"),
            after,
            parts::parameter_ref("LastEventId"),
        ],
        "responses": parts::responses(vec![("200", stream), ("204", over)], &problems(route, vec![400, 404, 406, 503])),
    })
}

fn query_tasks(context: &Context<'_>, route: &TaskRoute, method: &str) -> Value {
    let order = json!({
        "name": "order",
        "in": "query",
        "required": false,
        "description": "The field to order by, descending after `-`; newest first without it",
        "schema": {"type": "string", "enum": query::orders()},
    });
    let mut parameters = vec![parts::parameter_ref("Limit"), order, parts::parameter_ref("Page")];
    let list = json!({
        "type": "array",
        "items": context.task(),
        "xml": {"name": "AsyncTasks", "wrapped": true},
    });
    let found = json!({
        "description": "The tasks that meet the query and that the caller may read",
        "headers": {"Link": parts::header_ref("Link")},
        "content": parts::content(media_types(&route.responses), &list),
    });
    let mut others = vec![400, 406, 503];
    if method == "POST" {
        others.extend([413, 415]);
    } else {
        parameters.extend(query_parameters(context, route));
    }
    let mut operation = json!({
        "summary": "Find tasks",
        "description": "The method QUERY (RFC 10008) is taken like POST.",
        "parameters": parameters,
        "responses": parts::responses(vec![("200", found)], &problems(route, others)),
    });
    if method == "POST" {
        let body = json!({"required": true, "content": parts::content(QUERY_TYPES, &context.query())});
        parts::put(&mut operation, "requestBody", body);
    }
    operation
}

/// The forms of a query outside of a body.
fn query_parameters(context: &Context<'_>, route: &TaskRoute) -> Vec<Value> {
    let whole = |place: &str| {
        json!({
            "name": "query",
            "in": place,
            "required": false,
            "description": "A query as a JSON document",
            "content": {"application/json": {"schema": context.query()}},
        })
    };
    let mut parameters = Vec::new();
    if route.places.contains(&IdPlace::Query) {
        parameters.push(json!({
            "name": "filter",
            "in": "query",
            "required": false,
            "description": "A query as `filter[State][op]=EQ&filter[State][value]=Completed`",
            "style": "deepObject",
            "explode": true,
            "schema": context.query(),
        }));
        parameters.push(whole("query"));
    }
    parameters.extend(route.places.contains(&IdPlace::Header).then(|| whole("header")));
    parameters
}
