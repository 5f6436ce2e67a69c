//! Owns the JSON Schema (2020-12) of a type. Must not read values.
//!
//! It accepts whatever the reader accepts; where JSON Schema cannot say it (the range of an integer that is written as
//! text), it accepts more.

use super::{Integer, Shape};
use serde_json::{Map, Value, json};

impl Shape {
    /// The schema of its values.
    #[must_use]
    pub fn document(&self) -> Value {
        match self {
            Self::Nothing => json!({"type": ["null", "object"], "maxProperties": 0}),
            Self::Bool => json!({"type": "boolean"}),
            Self::Integer(integer) => integer_document(*integer),
            Self::Float32 | Self::Float64 => {
                json!({"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]})
            }
            Self::Char => json!({"type": "string", "minLength": 1, "maxLength": 1}),
            Self::Text => json!({"type": "string"}),
            Self::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
            Self::List(item) => json!({"type": "array", "items": item.document()}),
            Self::Record(fields) => record(fields),
            Self::Tuple(items) => {
                let prefix: Vec<Value> = items.iter().map(Self::document).collect();
                json!({"type": "array", "prefixItems": prefix, "minItems": items.len(), "maxItems": items.len()})
            }
            Self::Variant(_) | Self::Result(..) => cases(self),
            Self::Enum(names) => json!({"enum": names}),
            Self::Option(inner) => optional(inner.document()),
            Self::Flags(names) => json!({"type": "array", "items": {"enum": names}, "uniqueItems": true}),
        }
    }
}

fn integer_document(integer: Integer) -> Value {
    let (least, greatest) = integer.range();
    let bound = |value: i128| i64::try_from(value).map(Value::from).or_else(|_| u64::try_from(value).map(Value::from));
    let mut document = json!({"type": "integer"});
    if let (Some(keywords), Ok(least), Ok(greatest)) = (document.as_object_mut(), bound(least), bound(greatest)) {
        keywords.insert("minimum".into(), least);
        keywords.insert("maximum".into(), greatest);
        if integer.bits == 64 {
            keywords.insert("type".into(), json!(["integer", "string"]));
            keywords.insert("pattern".into(), json!(if integer.signed { "^-?[0-9]{1,19}$" } else { "^[0-9]{1,20}$" }));
        }
    }
    document
}

fn record(fields: &[(String, Shape)]) -> Value {
    let properties: Map<String, Value> = fields.iter().map(|(name, shape)| (name.clone(), shape.document())).collect();
    let needed = fields.iter().filter(|(_, shape)| !matches!(shape, Shape::Option(_)));
    let required: Vec<&String> = needed.map(|(name, _)| name).collect();
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

/// A case without a payload is its name, one with a payload an object of that one member; those of `result` always are.
fn cases(shape: &Shape) -> Value {
    let always = matches!(shape, Shape::Result(..));
    let (plain, carrying): (Vec<_>, Vec<_>) = shape.cases().partition(|(_, carried)| carried.is_none() && !always);
    let names: Vec<&str> = plain.into_iter().map(|(name, _)| name).collect();
    let mut all: Vec<Value> = if names.is_empty() { Vec::new() } else { vec![json!({"enum": names})] };
    all.extend(carrying.into_iter().map(|(name, carried)| {
        let payload = carried.map_or_else(|| json!({"type": "null"}), Shape::document);
        json!({"type": "object", "properties": {name: payload}, "required": [name], "additionalProperties": false})
    }));
    json!({"anyOf": all})
}

/// `null` as one more of the schema's types where it names types, so that the document stays easy to read.
fn optional(mut inner: Value) -> Value {
    let types = match inner.get("type") {
        Some(Value::String(one)) => Some(json!([one, "null"])),
        Some(Value::Array(many)) => Some(Value::Array(many.iter().cloned().chain([json!("null")]).collect())),
        _ => None,
    };
    match (types, inner.as_object_mut()) {
        (Some(types), Some(keywords)) => drop(keywords.insert("type".into(), types)),
        _ => inner = json!({"anyOf": [inner, {"type": "null"}]}),
    }
    inner
}
