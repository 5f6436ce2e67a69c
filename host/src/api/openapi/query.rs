//! Owns the schema of a query: its fields, and which operators and values fit which.
//! Must not run queries.

use super::parts::schema_ref;
use serde_json::{Map, Value, json};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Date,
    Number,
    Boolean,
    State,
}

const FIELDS: [(&str, Kind); 19] = [
    ("Id", Kind::Text),
    ("Name", Kind::Text),
    ("Runspace", Kind::Text),
    ("Output", Kind::Text),
    ("StartingTime", Kind::Date),
    ("CreationTime", Kind::Date),
    ("CompletedTime", Kind::Date),
    ("ExpireTime", Kind::Date),
    ("State", Kind::State),
    ("Error", Kind::Text),
    ("CallbackSettings", Kind::Text),
    ("Cancellable", Kind::Boolean),
    ("EnableSse", Kind::Boolean),
    ("SseGroup", Kind::Text),
    ("Timeout", Kind::Number),
    ("User", Kind::Text),
    ("Url", Kind::Text),
    ("Method", Kind::Text),
    ("Progress", Kind::Number),
];

/// The schema of a query.
pub fn schema() -> Value {
    let fields: Map<String, Value> = FIELDS.iter().map(|(name, kind)| ((*name).to_owned(), condition(*kind))).collect();
    json!({
        "type": "object",
        "description": "Conditions, all of which must hold; none matches every task that the caller may read",
        "additionalProperties": false,
        "properties": fields,
        "xml": {"name": "AsyncTaskQuery"},
        "examples": [
            {},
            {
                "State": {"op": "EQ", "value": "Running"},
                "Name": {"op": "LIKE", "value": "order"},
                "CreationTime": {"op": "GE", "value": "2026-07-05T13:20:00Z"},
            },
        ],
    })
}

fn condition(kind: Kind) -> Value {
    let compared = ["GT", "LT", "GE", "LE", "EQ", "NE"];
    let (operators, value) = match kind {
        Kind::Text => (
            [compared.as_slice(), &["LIKE", "NOTLIKE"]].concat(),
            json!({"type": "string", "description": "Compared without case; LIKE takes `*` and `?`"}),
        ),
        Kind::Date => (
            compared.to_vec(),
            json!({"type": "string", "format": "date-time", "description": "RFC 3339, or like `7/5/2024 1:20:00 PM` (UTC)"}),
        ),
        Kind::Number => (compared.to_vec(), json!({"type": "number"})),
        Kind::Boolean => (vec!["EQ", "NE"], json!({"type": "boolean"})),
        Kind::State => (vec!["EQ", "NE", "LIKE", "NOTLIKE"], schema_ref("TaskState")),
    };
    json!({
        "type": "object",
        "required": ["op", "value"],
        "additionalProperties": false,
        "properties": {"op": {"type": "string", "enum": operators}, "value": value},
    })
}

/// The values of the parameter `order`.
pub fn orders() -> Value {
    let fields = FIELDS.iter().filter(|(name, _)| *name != "Output");
    Value::Array(fields.flat_map(|(name, _)| [json!(name), json!(format!("-{name}"))]).collect())
}
