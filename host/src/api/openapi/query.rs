//! Owns the schema of a query: its fields, and which operators and values fit which.
//! Must not run queries.

use super::parts::schema_ref;
use crate::task::query::field::{Field, Kind};
use crate::task::query::operator::Operator;
use serde_json::{Map, Value, json};

/// The schema of a query.
pub fn schema() -> Value {
    let fields: Map<String, Value> =
        Field::ALL.iter().map(|field| (field.name().to_owned(), condition(field.kind()))).collect();
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
    let value = match kind {
        Kind::Text => json!({"type": "string", "description": "Compared without case; LIKE takes `*` and `?`"}),
        Kind::Date => {
            json!({"type": "string", "format": "date-time", "description": "RFC 3339, or like `7/5/2024 1:20:00 PM` (UTC)"})
        }
        Kind::Number => json!({"type": "number"}),
        Kind::Boolean => json!({"type": "boolean"}),
        Kind::State => schema_ref("TaskState"),
    };
    let operators: Vec<&str> = Operator::fitting(kind).iter().map(|operator| operator.name()).collect();
    json!({
        "type": "object",
        "required": ["op", "value"],
        "additionalProperties": false,
        "properties": {"op": {"type": "string", "enum": operators}, "value": value},
    })
}

/// The values of the parameter `order`.
pub fn orders() -> Value {
    let fields = Field::ALL.iter().filter(|field| !matches!(field, Field::Output));
    Value::Array(fields.flat_map(|field| [json!(field.name()), json!(format!("-{}", field.name()))]).collect())
}
