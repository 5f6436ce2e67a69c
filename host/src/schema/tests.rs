//! Tests of the schemas that guests bring. Must not need a guest.

use super::*;
use serde_json::json;
use std::time::{Duration, Instant};

fn schema(document: &Value) -> Schema {
    Schema::parse(&document.to_string()).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(document: &Value) -> String {
    Schema::parse(&document.to_string()).expect_err("refused").to_string()
}

fn value(document: &Value) -> Json {
    Json::from_serialize(document).expect("JSON")
}

fn pointers(faults: &[SchemaFault]) -> Vec<&str> {
    faults.iter().map(|fault| fault.pointer.as_str()).collect()
}

#[test]
fn each_fault_has_its_pointer_and_no_value() {
    let order = schema(&json!({
        "type": "object",
        "required": ["item"],
        "properties": {
            "quantity": {"type": "integer", "minimum": 1, "maximum": 100},
            "a/b~c": {"items": {"$ref": "#/$defs/name"}},
        },
        "$defs": {"name": {"type": "string", "pattern": "^[a-z]+$"}},
    }));
    assert_eq!(order.validate(&value(&json!({"item": 1, "quantity": 100}))), Ok(()));
    let faults = order.validate(&value(&json!({"quantity": 101, "a/b~c": ["ok", "SECRET"]}))).expect_err("faults");
    let mut found = pointers(&faults);
    found.sort_unstable();
    assert_eq!(found, ["", "/a~1b~0c/1", "/quantity"]);
    assert!(faults.iter().all(|fault| !fault.message.contains("SECRET")), "{faults:?}");
    assert!(faults.iter().any(|fault| fault.message.contains("maximum of 100")), "{faults:?}");
}

#[test]
fn faults_are_bounded() {
    let numbers = schema(&json!({"items": {"type": "integer"}}));
    let faults = numbers.validate(&value(&json!(vec!["x"; 1_000]))).expect_err("faults");
    assert_eq!(faults.len(), MAX_FAULTS);
    let faults = numbers.validate(&value(&json!(vec!["x"; 100_000]))).expect_err("faults");
    assert_eq!(pointers(&faults), ["/0"]);
    let strict = schema(&json!({"additionalProperties": false}));
    let faults = strict.validate(&value(&json!({"x".repeat(5_000): 1}))).expect_err("a fault");
    assert!(faults.iter().all(|fault| fault.message.chars().count() <= MESSAGE_CHARS + 1));
}

#[test]
fn a_regex_bomb_is_linear() {
    let bomb = schema(&json!({"pattern": "^(a+)+$"}));
    let began = Instant::now();
    assert!(bomb.validate(&value(&json!("a".repeat(100_000) + "!"))).is_err());
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert!(refused(&json!({"pattern": "((a{1000}){1000}){1000}"})).contains("valid schema"));
    assert!(refused(&json!({"pattern": "^(?=a)"})).contains("valid schema"), "no look-ahead: it could backtrack");
    let many: Vec<_> = (0..=200).map(|number| json!({"pattern": format!("^{number}")})).collect();
    assert!(refused(&json!({"anyOf": many})).contains("patterns"));
}

#[test]
fn references_stay_inside() {
    for reference in ["https://example.com/s.json", "file:///etc/passwd", "other.json", "#name", "//h/s#/$defs/a"] {
        assert!(refused(&json!({"properties": {"a": {"$ref": reference}}})).contains("leaves the schema"));
    }
    assert!(refused(&json!({"$ref": "#/$defs/none"})).contains("is no schema in it"));
    assert!(refused(&json!({"$ref": "#/default", "default": {}})).contains("is no schema in it"));
    assert!(refused(&json!({"$dynamicRef": "#x"})).contains("$dynamicRef"));
    assert!(refused(&json!({"items": {"$id": "https://example.com/x"}})).contains("$id"));
    assert!(refused(&json!({"$schema": "http://json-schema.org/draft-07/schema#"})).contains("2020-12"));
    // A property's name and data are no keywords.
    schema(&json!({"properties": {"$ref": {"type": "string"}}, "default": {"$ref": "https://example.com"}}));
    let spaced = schema(&json!({"$ref": "#/$defs/a%20b~1c", "$defs": {"a b/c": {"type": "null"}}}));
    assert!(spaced.validate(&Json::null()).is_ok() && spaced.validate(&value(&json!(1))).is_err());
}

#[test]
fn size_and_depth_are_bounded() {
    let mut deep = json!(true);
    for _ in 0..MAX_DEPTH {
        deep = json!({"not": deep});
    }
    assert!(refused(&json!({"not": deep})).contains("deeper"));
    assert!(Schema::parse(&"[".repeat(100_000)).is_err());
    assert!(refused(&json!({"description": "x".repeat(MAX_BYTES)})).contains("bytes"));
    assert!(refused(&json!(1)).contains("object"));
    assert!(refused(&json!({"type": "none"})).contains("no valid schema"));
    assert!(refused(&json!({"$ref": "#"})).contains("itself"));
    let chain: serde_json::Map<String, Value> =
        (0..5_000).map(|number| (format!("d{number}"), json!({"$ref": format!("#/$defs/d{}", number + 1)}))).collect();
    assert!(Schema::parse(&json!({"$ref": "#/$defs/d0", "$defs": chain}).to_string()).is_err());
}

/// The schemas and values that make a naive check exponential, or as deep as the value times the schema.
#[test]
fn recursive_schemas_stay_cheap() {
    let branch = |name: &str| json!({"properties": {name: {"$ref": "#/$defs/node"}}});
    let tree = schema(&json!({
        "$ref": "#/$defs/node",
        "$defs": {"node": {
            "type": ["object", "string"],
            "allOf": [branch("a"), branch("a"), {"anyOf": [branch("a"), branch("a")]}],
            "oneOf": [branch("a"), {"type": "null"}],
        }},
    }));
    let nested = |leaf: Value| (0..100).fold(leaf, |inner, _| json!({"a": inner}));
    let began = Instant::now();
    assert_eq!(tree.validate(&value(&nested(json!("leaf")))), Ok(()));
    let faults = tree.validate(&value(&nested(json!(1)))).expect_err("a number");
    assert_eq!(pointers(&faults), [""]);
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

/// Each of these would end the process by a stack overflow, not by an error.
#[test]
fn stacks_are_deep_enough() {
    let step = |number: usize, inner: Value| (format!("d{number}"), inner);
    let target = |number: usize| format!("#/$defs/d{number}");
    // As many definitions, each reached through a property of the one before, as a schema may have.
    let long: serde_json::Map<String, Value> = (0..2_000)
        .map(|number| step(number, json!({"properties": {"a": {"$ref": target(number + 1)}}})))
        .chain([step(2_000, json!(true))])
        .collect();
    let long = Schema::parse(&json!({"$ref": "#/$defs/d0", "$defs": long}).to_string());
    assert!(long.is_err(), "{long:?}");
    // The longest chain at each level of the deepest value.
    let chained: serde_json::Map<String, Value> = (0..20)
        .map(|number| step(number, json!({"$ref": target(number + 1)})))
        .chain([step(20, json!({"additionalProperties": {"$ref": target(0)}, "type": "object"}))])
        .collect();
    let chained = schema(&json!({"$ref": "#/$defs/d0", "$defs": chained}));
    let nested = |leaf: Value| (0..crate::value::MAX_DEPTH - 2).fold(leaf, |inner, _| json!({"a": inner}));
    assert_eq!(chained.validate(&value(&nested(json!({})))), Ok(()));
    assert!(chained.validate(&value(&nested(json!(1)))).is_err());
}

#[test]
fn moved_references_lead_to_the_same_parts() {
    let document = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://example.com/order",
        "properties": {"$ref": {"$ref": "#/$defs/a"}, "me": {"$ref": "#"}, "x": {"$ref": "#/properties/me"}},
        "anyOf": [{"$ref": "#/$defs/a%20~1b/items"}, true],
        "enum": [{"$ref": "#/$defs/a"}],
        "$defs": {"a": true, "a /b": {"items": {"$ref": "#/definitions/A"}}},
        "definitions": {"A": {"properties": {"ä b": true}, "$ref": "#/$defs/a%20~1b/properties/%C3%A4%20b"}},
    });
    let moved = parted(&document, "#/components/schemas", "Order");
    let expected = [
        (
            "Order",
            json!({
                "properties": {
                    "$ref": {"$ref": "#/components/schemas/Order_a"},
                    "me": {"$ref": "#/components/schemas/Order"},
                    "x": {"$ref": "#/components/schemas/Order/properties/me"},
                },
                "anyOf": [{"$ref": "#/components/schemas/Order_a__b/items"}, true],
                "enum": [{"$ref": "#/$defs/a"}],
            }),
        ),
        ("Order_a", json!(true)),
        ("Order_a__b", json!({"items": {"$ref": "#/components/schemas/Order_A_"}})),
        (
            "Order_A_",
            json!({
                "properties": {"ä b": true},
                "$ref": "#/components/schemas/Order_a__b/properties/%C3%A4%20b",
            }),
        ),
    ];
    assert_eq!(moved, expected.map(|(name, part)| (name.to_owned(), part)));
}
