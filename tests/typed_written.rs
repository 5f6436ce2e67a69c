//! Typed routes whose components are written as text, so that they return exactly these bytes: every way to return, results
//! that cannot be read, inputs in other formats, and types that are refused.

use crate::support::{Answer, Server, module_with, sandpool};
use serde_json::{Value, json};
use std::path::Path;

/// A component: its types, the parameters and results of its `run`, and the items of its core module.
fn written(folder: &Path, name: &str, types: &str, run: &str, code: &str) -> String {
    let module = module_with(code);
    let lifted = |export: &str, ty: &str| {
        format!(
            r#"(func ${export} {ty} (canon lift (core func $i "{export}") (memory (core memory $i "memory")) (realloc (core func $i "cabi_realloc"))))
               (export "{export}" (func ${export}))"#
        )
    };
    let describe =
        if code.contains("\"describe\"") { lifted("describe", "(result $description)") } else { String::new() };
    let text = format!(
        "(component {types} (core module $m {module}) (core instance $i (instantiate $m)) {} {describe})",
        lifted("run", run)
    );
    let file = folder.join(name).with_extension("wasm");
    std::fs::write(&file, wat::parse_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))).expect("writable");
    file.display().to_string()
}

/// A server that runs each of these components at `/NAME`, with 256 MiB.
async fn server(components: &[(&str, &str, &str, &str)]) -> Server {
    let folder = std::sync::Arc::new(tempfile::tempdir().expect("a folder"));
    let routes = components.iter().map(|(name, types, run, code)| {
        let file = written(folder.path(), name, types, run, code);
        format!("  - {{method: PUT, path: /{name}, component: {file}, memory: 256MiB}}\n")
    });
    let routes = format!("routes:\n{}", routes.collect::<String>());
    Server::start_in(folder, &routes).await
}

fn ends(ended: &Answer, state: &str, error: &str, result: &Value) {
    assert_eq!(ended.text("State"), state, "{ended:?}");
    let said = ended.body["Error"].as_str().unwrap_or_default();
    assert!(said == error || (error.ends_with('…') && said.starts_with(error.trim_end_matches('…'))), "{ended:?}");
    assert_eq!(ended.body.get("Result").unwrap_or(&Value::Null), result, "{ended:?}");
}

/// The record of world `route`, by a name of its own.
const FAILURE: &str = r#"(type $record (record (field "message" string) (field "detail" (option string))))
    (export $failure "failure" (type $record))"#;
/// Fails with the message `no tea` and these bytes as detail.
fn failing(length: usize, detail: &str) -> String {
    format!(
        r#"(data (i32.const 64) "no tea") (data (i32.const 96) "{detail}")
           (func (export "run") (result i32)
             (i32.store8 (i32.const 32) (i32.const 1))
             (i32.store (i32.const 36) (i32.const 64)) (i32.store (i32.const 40) (i32.const 6))
             (i32.store8 (i32.const 44) (i32.const 1))
             (i32.store (i32.const 48) (i32.const 96)) (i32.store (i32.const 52) (i32.const {length}))
             (i32.const 32))"#
    )
}

#[tokio::test]
async fn run_may_return_in_every_way() {
    let number = |number: i32| format!(r#"(func (export "run") (result i32) (i32.const {number}))"#);
    let (detailed, plain) = (failing(10, r#"{\"why\": 1}"#), failing(5, "never"));
    let (zero, one, seven) = (number(0), number(1), number(7));
    let server = server(&[
        ("plain", "", "(result u32)", &seven),
        ("nothing", "", "", r#"(func (export "run"))"#),
        ("good", "", "(result (result))", &zero),
        ("bad", "", "(result (result))", &one),
        ("text", "", "(result (result u32 (error string)))", &plain),
        ("like-failure", FAILURE, "(result (result (error $failure)))", &detailed),
        ("no-detail", FAILURE, "(result (result (error $failure)))", &plain),
        ("number", "", "(result (result (error u8)))", NUMBER),
    ])
    .await;
    for (path, state, error, result) in [
        ("/plain", "Completed", "", json!(7)),
        ("/nothing", "Completed", "", Value::Null),
        ("/good", "Completed", "", Value::Null),
        ("/bad", "Failed", "The component failed without saying why", Value::Null),
        ("/text", "Failed", "no tea", Value::Null),
        ("/like-failure", "Failed", "no tea", json!({"why": 1})),
        ("/no-detail", "Failed", "no tea", Value::Null),
        ("/number", "Failed", "The component failed; the task's result says why", json!(9)),
    ] {
        let ended = server.run(path, Value::Null).await;
        ends(&ended, state, error, &result);
        if path == "/no-detail" {
            assert!(server.stored_log(&ended.id()).contains("the failure's detail was dropped: "), "{ended:?}");
        }
    }
}

/// `err(9)`; what has two parts comes by address.
const NUMBER: &str = r#"(func (export "run") (result i32)
    (i32.store8 (i32.const 32) (i32.const 1)) (i32.store8 (i32.const 33) (i32.const 9)) (i32.const 32))"#;

/// A `run` that returns an address and a length, by address.
fn pointing(address: u32, length: u32) -> String {
    format!(
        r#"(data (i32.const 64) "\ff\fe")
           (func (export "run") (result i32)
             (drop (memory.grow (i32.const 1600)))
             (i32.store (i32.const 32) (i32.const {address})) (i32.store (i32.const 36) (i32.const {length})) (i32.const 32))"#
    )
}

#[tokio::test]
async fn results_that_cannot_be_read_are_told_as_such() {
    let enumerated = r#"(type $e (enum "a" "b")) (export $color "color" (type $e))"#;
    let address = |address: u32| format!(r#"(func (export "run") (result i32) (i32.const {address}))"#);
    let (no_text, misaligned, outside) = (pointing(64, 2), pointing(2, 1), pointing(8, u32::MAX));
    let (ten_million, ten_million_texts) = (pointing(64, 10_000_000), pointing(1 << 16, 10_000_000));
    let (odd, beyond, surrogate, number) = (address(33), address(1 << 20), address(0xd800), address(99));
    let cases = [
        ("no-text", "", "(result string)", &*no_text, "Bad result: invalid utf-8…"),
        ("text-outside", "", "(result string)", &outside, "Bad result: string pointer/length out of bounds of memory"),
        ("misaligned", "", "(result (list u32))", &misaligned, "Bad result: list pointer is not aligned"),
        ("outside", "", "(result (list u32))", &outside, "Bad result: list pointer/length out of bounds of memory"),
        ("odd", "", "(result string)", &odd, "Bad result: return pointer not aligned"),
        ("beyond", "", "(result string)", &beyond, "Bad result: pointer out of bounds of memory"),
        ("surrogate", "", "(result char)", &surrogate, "Bad result: converted integer out of range for `char`"),
        ("enum", enumerated, "(result $color)", &number, "Bad result: discriminant 99 out of range [0..2)"),
        ("option", "", "(result (option u8))", OPTION, "Bad result: discriminant 9 out of range [0..2)"),
        ("result", "", "(result (result u8))", OPTION, "Bad result: discriminant 9 out of range [0..2)"),
        ("records", "", "(result (list (tuple u8 u8)))", &ten_million, "Host call limit…"),
        ("texts", "", "(result (list string))", &ten_million_texts, "Host call limit…"),
        ("bytes", "", "(result (list u8))", &ten_million, "Host call limit…"),
    ];
    let server = server(&cases.map(|(name, types, run, code, _)| (name, types, run, code))).await;
    let before = server.resident_mib();
    for (name, _, _, _, error) in cases {
        ends(&server.run(&format!("/{name}"), Value::Null).await, "Failed", error, &Value::Null);
    }
    assert!(server.resident_mib() - before < 200.0, "{before} → {} MiB", server.resident_mib());
}

/// An option whose mark is neither 0 nor 1.
const OPTION: &str = r#"(func (export "run") (result i32) (i32.store8 (i32.const 32) (i32.const 9)) (i32.const 32))"#;

#[tokio::test]
async fn memory_that_a_guest_allocates_badly_is_its_trap() {
    let folder = std::sync::Arc::new(tempfile::tempdir().expect("a folder"));
    let mut routes = String::from("routes:\n");
    for (name, ty, address) in [("outside", "string", 0x7fff_fff8_u32), ("odd", "(list u32)", 2)] {
        let file = folder.path().join(name).with_extension("wasm");
        let text = format!(
            r#"(component
                (core module $m (memory (export "memory") 1)
                  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const {address}))
                  (func (export "run") (param i32 i32)))
                (core instance $i (instantiate $m))
                (func $run (param "x" {ty}) (canon lift
                  (core func $i "run") (memory (core memory $i "memory")) (realloc (core func $i "cabi_realloc"))))
                (export "run" (func $run)))"#
        );
        std::fs::write(&file, wat::parse_str(&text).expect("valid text")).expect("writable");
        routes += &format!("  - {{method: PUT, path: /{name}, component: {}}}\n", file.display());
    }
    let server = Server::start_in(folder, &routes).await;
    for (path, input, fault) in [
        ("/outside", json!("tea"), "The guest trapped: realloc return: beyond end of memory"),
        ("/odd", json!([1]), "The guest trapped: realloc return: result not aligned"),
    ] {
        ends(&server.run(path, input).await, "Failed", fault, &Value::Null);
    }
}

/// `run: func(name: string, id: u64) -> tuple<u64, string>`
const NAMED: (&str, &str, &str, &str) = (
    "named",
    "",
    r#"(param "name" string) (param "id" u64) (result (tuple u64 string))"#,
    r#"(func (export "run") (param i32 i32 i64) (result i32)
         (i64.store (i32.const 32) (local.get 2))
         (i32.store (i32.const 40) (local.get 0)) (i32.store (i32.const 44) (local.get 1)) (i32.const 32))"#,
);

#[tokio::test]
async fn several_parameters_are_members_of_a_body_in_any_format() {
    let server = server(&[NAMED]).await;
    for (kind, body) in [
        ("application/json", r#"{"id": 7, "name": "tea"}"#),
        ("application/yaml", "name: tea\nid: 7\n"),
        ("application/xml", "<order><name>tea</name><id>7</id></order>"),
        ("application/x-www-form-urlencoded", "name=tea&id=7"),
    ] {
        let request =
            server.request("PUT", "/named").header("content-type", kind).header("prefer", "wait=60").body(body);
        let ended = server.send(200, request).await;
        ends(&ended, "Completed", "", &json!([7, "tea"]));
    }
    let refused = server.put(422, "/named", json!({"name": 1})).await;
    let faults = json!([
        {"pointer": "/name", "detail": "name: expected string, got 1"},
        {"pointer": "/id", "detail": "id: missing, expected u64"},
    ]);
    assert_eq!(refused.body["errors"], faults);
}

/// Says `Tea` about itself, and schemas that its types contradict.
const DESCRIBED: &str = r#"(data (i32.const 64) "Tea") (data (i32.const 96) "{\"type\": \"array\"}")
    (func (export "run") (param i32) (result i32) (local.get 0))
    (func (export "describe") (result i32)
      (i32.store (i32.const 16) (i32.const 64)) (i32.store (i32.const 20) (i32.const 3))
      (i32.store (i32.const 24) (i32.const 64)) (i32.store (i32.const 28) (i32.const 3))
      (i32.store8 (i32.const 32) (i32.const 1))
      (i32.store (i32.const 36) (i32.const 96)) (i32.store (i32.const 40) (i32.const 17))
      (i32.store8 (i32.const 44) (i32.const 0))
      (i32.const 16))"#;

#[tokio::test]
async fn the_texts_of_describe_stand_beside_the_schemas_of_the_types() {
    let description = r#"(type $d (record (field "summary" string) (field "description" string)
        (field "input-schema" (option string)) (field "result-schema" (option string))))
        (export $description "description" (type $d))"#;
    let server = server(&[("described", description, r#"(param "x" u8) (result u8)"#, DESCRIBED)]).await;
    let document = server.get(200, "/openapi.json").await.body;
    let operation = &document["paths"]["/described"]["put"];
    assert_eq!(operation["summary"], "Tea");
    assert!(operation["description"].as_str().is_some_and(|text| text.starts_with("Tea\n")), "{operation}");
    let schema = json!({"type": "integer", "minimum": 0, "maximum": 255});
    assert!(document["components"]["schemas"].as_object().expect("schemas").values().any(|found| *found == schema));
    let refused = server.put(422, "/described", json!([])).await;
    assert_eq!(refused.body["errors"][0]["detail"], "expected u8, got an array of 0");
    ends(&server.run("/described", json!(255)).await, "Completed", "", &json!(255));
}

#[test]
fn what_cannot_cross_is_refused_with_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let resource = r#"(type $r (resource (rep i32))) (export $thing "thing" (type $r))"#;
    let wide = format!("(type $wide (tuple {}))", "u8 ".repeat(900));
    let run = |parameters: &str| format!(r#"(func (export "run") (param {parameters}) unreachable)"#);
    let (one, two, six) = (run("i32"), run("i32 i32"), run("i32 i32 i32"));
    for (name, types, ty, code, fault) in [
        ("owned", resource, r#"(param "x" (list (own $thing)))"#, &two, "its parameter `x`: []: a resource (of which"),
        ("borrowed", resource, r#"(param "x" (borrow $thing))"#, &one, "its parameter `x`: a resource (of which"),
        // The bounds are those of all parameters together.
        (
            "wide",
            &wide,
            r#"(param "a" $wide) (param "b" $wide) (param "c" $wide)"#,
            &six.replace("i32 i32 i32", "i32"),
            "its parameter `c`: `run` has more than 2000 types",
        ),
    ] {
        let file = written(folder.path(), name, types, ty, code);
        let facts = inspected(&file);
        assert!(
            facts["world"].is_null() && facts["fault"].as_str().is_some_and(|said| said.contains(fault)),
            "{facts}"
        );
    }
}

fn inspected(file: &str) -> Value {
    let seen = sandpool().args(["inspect", "--json", file]).output().expect("it runs");
    serde_json::from_slice(&seen.stdout).unwrap_or_else(|_| json!({"stderr": String::from_utf8_lossy(&seen.stderr)}))
}

#[test]
fn what_is_asynchronous_is_refused_at_load() {
    let folder = tempfile::tempdir().expect("a folder");
    let code = r#"(func (export "run") (param i32) unreachable)"#;
    for (name, types, ty, fault) in [
        ("streams", "", r#"(param "x" (stream u8))"#, "async"),
        ("futures", "", r#"(param "x" (future u8))"#, "async"),
        ("async", r#"(type $run-type (func async (param "x" u8)))"#, "(type $run-type)", "async"),
    ] {
        let facts = inspected(&written(folder.path(), name, types, ty, code));
        assert!(facts["stderr"].as_str().is_some_and(|said| said.contains(fault)), "{facts}");
    }
}
