//! Where task ids come from.

use crate::support::{Server, component};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::Arc;

/// A generator that always makes the same id.
const CONSTANT: &str = r#"(component
  (core module $m
    (memory (export "memory") 1)
    (data (i32.const 16) "always-the-same")
    (data (i32.const 64) "\10\00\00\00\0f\00\00\00")
    (global $next (mut i32) (i32.const 1024))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      global.get $next
      (global.set $next (i32.add (global.get $next) (local.get 3))))
    (func (export "generate") (param i32 i32) (result i32) i32.const 64))
  (core instance $i (instantiate $m))
  (func (export "generate") (param "entropy" (list u8)) (result string)
    (canon lift (core func $i "generate") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))"#;

fn generator(folder: &std::path::Path, name: &str, text: &str) -> String {
    let file = folder.join(name);
    std::fs::write(&file, wat::parse_str(text).expect("valid text")).expect("the folder is writable");
    file.display().to_string()
}

/// A generator that always makes `always-the-same`.
pub fn constant(folder: &std::path::Path) -> String {
    generator(folder, "same.wasm", CONSTANT)
}

#[tokio::test]
async fn each_scheme_makes_ids_of_its_shape() {
    let m = component("hello.wasm");
    let route = |id: &str| format!("  - {{method: PUT, path: /{id}, component: {m}, id: {id}}}\n");
    let mut routes = String::from("routes:\n");
    routes.extend(["uuid", "uuid7", "ulid", "nanoid"].map(route));
    routes.push_str(&format!(
        "  - {{method: PUT, path: /own, component: {m}, id: {{component: {}}}}}\n",
        component("ids.wasm")
    ));
    let server = Server::start(&routes).await;
    for (path, length, third_group) in
        [("/uuid", 36, Some('4')), ("/uuid7", 36, Some('7')), ("/ulid", 26, None), ("/nanoid", 21, None)]
    {
        let (one, other) =
            (server.put(202, path, Value::Null).await.id(), server.put(202, path, Value::Null).await.id());
        assert_ne!(one, other);
        assert_eq!(one.len(), length, "{one}");
        assert!(third_group.is_none() || one.chars().nth(14) == third_group, "{one}");
    }
    let mut own = HashSet::new();
    for _ in 0..20 {
        let task = server.put(202, "/own", Value::Null).await;
        assert!(task.id().starts_with("order-"), "{task:?}");
        server.ended(&task.id()).await;
        own.insert(task.id());
    }
    assert_eq!(own.len(), 20);
}

#[tokio::test]
async fn a_taken_id_is_409_and_never_overwrites() {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let same = constant(folder.path());
    let m = component("hello.wasm");
    let routes = format!("routes:\n  - {{method: PUT, path: /a, component: {m}, id: {{component: {same}}}}}\n");
    let server = Server::start_in(folder, &routes).await;
    let first = server.put(202, "/a", json!({"name": "first"})).await;
    assert_eq!(first.id(), "always-the-same");
    let before = server.ended("always-the-same").await;
    let taken = server.put(409, "/a", json!({"name": "second"})).await;
    assert!(taken.text("detail").contains("always-the-same"), "{taken:?}");
    assert_eq!(server.get(200, "/tasks/always-the-same").await.body, before.body);
}

#[tokio::test]
async fn a_generator_that_fails_or_never_ends_is_a_500_that_says_nothing_internal() {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let endless = CONSTANT.replace("i32.const 64))\n  (core inst", "(loop br 0) unreachable))\n  (core inst");
    let unfit = CONSTANT.replace("always-the-same", "no id / at all!");
    let endless = generator(folder.path(), "endless.wasm", &endless);
    let unfit = generator(folder.path(), "unfit.wasm", &unfit);
    let m = component("hello.wasm");
    let routes = format!(
        "routes:\n  - {{method: PUT, path: /endless, component: {m}, id: {{component: {endless}}}}}\n  - {{method: PUT, path: /unfit, component: {m}, id: {{component: {unfit}}}}}\n"
    );
    let server = Server::start_in(folder, &routes).await;
    for path in ["/endless", "/unfit"] {
        let failed = server.put(500, path, Value::Null).await;
        assert_eq!(failed.text("detail"), "The route's id generator failed. Nothing was stored.");
    }
    assert!(server.log().contains("id generator: "), "the operator is told why: {}", server.log());
}
