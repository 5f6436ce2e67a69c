//! Owns the schemas that every document has: the task, problems, callbacks, and a query.
//! Must not know routes.

use super::{Context, parts, query};
use serde_json::{Map, Value, json};

/// `components/schemas` without those of routes.
pub fn shared(context: &Context<'_>) -> Map<String, Value> {
    let mut schemas = Map::new();
    schemas.insert(context.schemas.task.clone(), task());
    schemas.insert(context.schemas.query.clone(), query::schema());
    schemas.insert("TaskState".into(), state());
    schemas.insert("TaskAccess".into(), access());
    schemas.insert("TaskCallback".into(), callback());
    schemas.insert("TaskDelivery".into(), delivery());
    schemas.insert("Problem".into(), problem());
    schemas.extend(parts_of_task().map(|(name, schema)| (name.to_owned(), schema)));
    schemas
}

fn time(meaning: &str) -> Value {
    json!({"type": "string", "format": "date-time", "description": meaning})
}

fn text(meaning: &str) -> Value {
    json!({"type": "string", "description": meaning})
}

fn state() -> Value {
    json!({
        "type": "string",
        "description": "Where a task stands; it ends as one of the last three",
        "enum": ["NotStarted", "Running", "Completed", "Failed", "Aborted"],
    })
}

fn access() -> Value {
    let names = |of: &str| {
        json!({
            "type": "array",
            "items": {"type": "string", "xml": {"name": "item"}},
            "xml": {"wrapped": true},
            "description": of,
        })
    };
    json!({
        "type": "object",
        "description": "Who may; one name in common is enough",
        "properties": {
            "Users": names("Users, by id"),
            "Groups": names("Groups"),
            "Roles": names("Roles"),
            "Scopes": names("Scopes"),
        },
    })
}

/// The objects in a task, named: generators give unnamed ones names of their own, which may clash.
fn parts_of_task() -> [(&'static str, Value); 4] {
    let permission = json!({
        "type": "object",
        "properties": {"Read": parts::schema_ref("TaskAccess"), "Write": parts::schema_ref("TaskAccess")},
    });
    let callback_settings = json!({
        "type": "object",
        "properties": {
            "UrlField": text("The URL, or the expression for it"),
            "Method": text("The HTTP method"),
            "ContentType": text("The media type of the body"),
            "HeaderFields": {"type": "object", "additionalProperties": {"type": "string"}},
            "SendResult": {"type": "boolean"},
            "EventName": {"type": "string"},
        },
    });
    let callback_info = json!({
        "type": "object",
        "properties": {
            "State": {"type": "string", "enum": ["NotStarted", "Running", "Completed", "Failed"]},
            "Tentative": {"type": "integer", "minimum": 0, "description": "Attempts made"},
            "Url": text("The resolved URL"),
        },
    });
    let sse = json!({"type": "object", "properties": {"Url": text("Its events"), "Group": {"type": "string"}}});
    [
        ("TaskPermission", permission),
        ("TaskCallbackSettings", callback_settings),
        ("TaskCallbackInfo", callback_info),
        ("TaskSse", sse),
    ]
}

fn task() -> Value {
    let mut schema = json!({
        "type": "object",
        "description": "A task; fields without a value are absent",
        "required": ["Id", "Name", "State", "Cancellable", "CreationTime"],
        "properties": {
            "Id": text("Identifies the task"),
            "Name": text("The route's name"),
            "State": parts::schema_ref("TaskState"),
            "Cancellable": {"type": "boolean", "description": "Whether it can be stopped"},
            "CreationTime": time("When the request came"),
            "ExpireTime": time("When it is aborted at the latest"),
            "StartingTime": time("When its first attempt began"),
            "CompletedTime": time("When it ended"),
            "User": text("The owner"),
            "Permission": parts::schema_ref("TaskPermission"),
            "Progress": {"type": "number", "minimum": 0, "maximum": 100, "description": "Per cent done"},
            "Result": {"description": "Any JSON value: the result, or the detail of a failure"},
            "Error": text("Why it did not complete"),
            "CallbackSettings": parts::schema_ref("TaskCallbackSettings"),
            "CallbackInfo": parts::schema_ref("TaskCallbackInfo"),
            "Sse": parts::schema_ref("TaskSse"),
            "Attempt": {"type": "integer", "minimum": 1, "description": "Which attempt is the newest"},
            "Url": text("The URL that was called"),
            "Method": text("The HTTP method that was used"),
        },
        "xml": {"name": "AsyncTask"},
    });
    parts::put(&mut schema, "examples", task_examples());
    schema
}

fn task_examples() -> Value {
    json!([
        {
            "Id": "3f2b8c1e-6f0a-4c55-9d0e-0b7a3f1c9a11",
            "Name": "__Put_orders_{id}__",
            "State": "NotStarted",
            "Cancellable": true,
            "CreationTime": "2026-07-05T13:20:00.000000Z",
            "ExpireTime": "2026-07-05T23:20:00.000000Z",
            "Url": "http://localhost:8080/orders/7",
            "Method": "PUT",
        },
        {
            "Id": "3f2b8c1e-6f0a-4c55-9d0e-0b7a3f1c9a11",
            "Name": "__Put_orders_{id}__",
            "State": "Completed",
            "Cancellable": true,
            "CreationTime": "2026-07-05T13:20:00.000000Z",
            "StartingTime": "2026-07-05T13:20:00.004000Z",
            "CompletedTime": "2026-07-05T13:20:05.123456Z",
            "Progress": 100,
            "Result": {"InnerValue": "coming as argument"},
            "Attempt": 1,
        },
    ])
}

fn callback() -> Value {
    json!({
        "type": "object",
        "required": ["Id", "Name", "Url", "Method", "EventName", "State"],
        "properties": {
            "Id": text("Identifies the task"),
            "Name": text("The route's name"),
            "Url": text("The URL that created the task"),
            "Method": text("The HTTP method that created the task"),
            "EventName": text("The configured event"),
            "State": {"type": "string", "enum": ["Completed", "Failed", "Aborted"]},
            "Result": {"description": "The result, if the route sends it"},
            "Error": text("Why it did not complete"),
            "CompletedTime": time("When it ended"),
        },
        "xml": {"name": "TaskCallback"},
        "examples": [{
            "Id": "3f2b8c1e-6f0a-4c55-9d0e-0b7a3f1c9a11",
            "Name": "__Put_orders_{id}__",
            "Url": "http://localhost:8080/orders/7",
            "Method": "PUT",
            "EventName": "order_done",
            "State": "Completed",
            "CompletedTime": "2026-07-05T13:20:05.123456Z",
        }],
    })
}

fn delivery() -> Value {
    json!({
        "type": "object",
        "required": ["State", "Tentative", "Url", "Event", "Attempts"],
        "properties": {
            "State": {"type": "string", "enum": ["NotStarted", "Running", "Completed", "Failed"]},
            "Tentative": {"type": "integer", "minimum": 0, "description": "Attempts made"},
            "Url": text("The resolved URL"),
            "Event": text("The configured event"),
            "NextAttempt": time("When the next attempt is due"),
            "Attempts": {
                "type": "array",
                "description": "The newest attempts, oldest first",
                "items": {
                    "type": "object",
                    "required": ["At", "Seconds"],
                    "properties": {
                        "At": time("When it began"),
                        "Status": {"type": "integer", "minimum": 100, "maximum": 999, "description": "What the receiver answered"},
                        "Error": text("Why it failed"),
                        "Seconds": {"type": "number", "minimum": 0, "description": "How long it took"},
                    },
                    "xml": {"name": "item"},
                },
                "xml": {"wrapped": true},
            },
        },
        "xml": {"name": "Delivery"},
    })
}

fn problem() -> Value {
    json!({
        "type": "object",
        "description": "Problem details (RFC 9457)",
        "required": ["title", "status", "detail"],
        "properties": {
            "type": {"type": "string", "format": "uri-reference", "default": "about:blank"},
            "title": text("The status in words"),
            "status": {"type": "integer", "minimum": 100, "maximum": 599},
            "detail": text("What is wrong here, and what to do instead"),
            "instance": {"type": "string", "format": "uri-reference"},
            "line": {"type": "integer", "minimum": 1, "description": "Where a body is malformed"},
            "column": {"type": "integer", "minimum": 1, "description": "Where a body is malformed"},
            "errors": {
                "type": "array",
                "description": "Each fault of an input",
                "items": {
                    "type": "object",
                    "required": ["pointer", "detail"],
                    "properties": {
                        "pointer": text("Where in the input: a JSON pointer (RFC 6901)"),
                        "detail": text("What is wrong there"),
                    },
                    "xml": {"name": "item"},
                },
                "xml": {"wrapped": true},
            },
        },
        "xml": {"name": "problem"},
        "examples": [
            {"title": "Not Found", "status": 404, "detail": "There is no task with the id `7`."},
            {
                "title": "Unprocessable Content",
                "status": 422,
                "detail": "The input does not match the route's schema.",
                "errors": [{"pointer": "/quantity", "detail": "101 is greater than the maximum of 100"}],
            },
        ],
    })
}
