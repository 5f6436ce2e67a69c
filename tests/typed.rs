//! Typed routes: components whose `run` has types of its own. `typed-order` is the example; `typed-types` has every type,
//! and misbehaves on request.

use crate::support::{Answer, Server, component, eventually, sandpool};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

fn routes() -> String {
    let (order, types) = (component("typed-order.wasm"), component("typed-types.wasm"));
    format!(
        "state: {{}}\nroutes:\n  - {{method: PUT, path: /orders, component: {order}, state: {{write: [orders]}}}}\n  \
         - {{method: PUT, path: /types, component: {types}, state: {{write: [count]}}, cpu_limit: 20s, memory: 64MiB, \
         retry: {{attempts: 3, backoff: 0s}}}}\n"
    )
}

async fn server() -> Server {
    Server::start(&routes()).await
}

fn everything() -> Value {
    json!({
        "yes": true,
        "a-u8": 255, "a-s8": -128, "a-u16": 65535, "a-s16": -32768, "a-u32": 4_294_967_295_u32, "a-s32": i32::MIN,
        "a-u64": "18446744073709551615", "a-s64": -9_007_199_254_740_992_i64,
        "single": 0.1, "double": -1.5e300,
        "letter": "\u{1f980}", "text": "a\"b\\c\n\u{0}é", "bytes": "AAH/",
        "points": [{"x": 1.5, "y": "NaN"}, {"x": "-Infinity", "y": 2.0}], "pair": ["a", 1],
        "color": "green", "rights": ["read", "share-it"],
        "picks": ["nothing", {"number": 7}, {"place": {"x": 0.0, "y": 0.0}}, {"some-point": null}],
        "perhaps": null, "maybe-point": {"x": 1.0, "y": 2.0},
        "tried": {"err": "no"}, "done": {"ok": null},
    })
}

/// An order of one kind of tea.
fn order(id: u64) -> Value {
    json!({"items": [{"id": id, "name": "tea", "quantity": 2}]})
}

fn receipt(number: u64) -> Value {
    json!({"number": number, "lines": [["tea", 150]], "total": 150, "speed": "standard", "note": null})
}

fn fails(ended: &Answer, message: &str) {
    assert_eq!(ended.text("State"), "Failed", "{ended:?}");
    assert!(ended.text("Error").contains(message), "{ended:?}");
}

#[tokio::test]
async fn values_of_all_types_come_back() {
    let server = server().await;
    let ended = server.run("/types", json!({"deed": "echo", "all": everything()})).await;
    assert_eq!(ended.text("State"), "Completed", "{ended:?}");
    assert_eq!(ended.body["Result"]["all"], everything());
    assert_eq!(ended.body["Result"]["task"], json!(ended.id()), "the parameter `args` is the usual record");
    // An option may be left out; 64 bits may be text or a number.
    let mut other = everything();
    other["a-s64"] = json!("-12");
    other.as_object_mut().expect("an object").remove("perhaps");
    let ended = server.run("/types", json!({"deed": "echo", "all": other})).await;
    assert_eq!(
        (&ended.body["Result"]["all"]["a-s64"], &ended.body["Result"]["all"]["perhaps"]),
        (&json!(-12), &json!(null))
    );
}

#[tokio::test]
async fn a_body_that_does_not_fit_is_422_with_every_fault() {
    let server = server().await;
    let body = json!({"items": [{"id": -1, "name": "tea", "quantity": 1}, {"id": 2, "quantity": 1.5}], "speed": "slow", "gift": 1});
    let refused = server.put(422, "/orders", body).await;
    assert!(refused.header("content-type").starts_with("application/problem+json"));
    let expected = json!([
        {"pointer": "/items/0/id", "detail": "items[0].id: expected u64, got -1"},
        {"pointer": "/items/1/name", "detail": "items[1].name: missing, expected string"},
        {"pointer": "/items/1/quantity", "detail": "items[1].quantity: expected u32, got 1.5"},
        {"pointer": "/speed", "detail": "speed: expected enum: \"standard\" | \"express\", got a string"},
        {"pointer": "/gift", "detail": "gift: unknown here; there are items | speed | note"},
    ]);
    assert_eq!(refused.body["errors"], expected);
    let refused = server.put(422, "/orders", Value::Null).await;
    assert_eq!(refused.body["errors"], json!([{"pointer": "", "detail": "expected record: an object, got null"}]));
    // As for schemas that components bring: forms are text, XML says what is not.
    let typed = r#"<order><items type="array"><item><id type="number">1</id><name>tea</name><quantity>2</quantity></item></items></order>"#;
    for (kind, body, fault) in [
        ("application/x-www-form-urlencoded", "items=1&note=x", "items: expected list: an array, got a string"),
        ("application/xml", typed, "expected u32, got a string"),
    ] {
        let refused = server.send(422, server.request("PUT", "/orders").header("content-type", kind).body(body)).await;
        assert!(refused.body["errors"].to_string().contains(fault), "{refused:?}");
    }
}

/// What `typed-order` does, in whatever language it is written.
async fn takes_orders(file: &str) {
    let routes = format!(
        "state: {{}}\nroutes:\n  - {{method: PUT, path: /orders, component: {file}, state: {{write: [orders]}}}}\n  \
         - {{method: PUT, path: /denied, component: {file}}}\n"
    );
    let server = Server::start(&routes).await;
    for number in [1, 2] {
        let ended = server.run("/orders", order(1)).await;
        assert_eq!(ended.body["Result"], receipt(number), "{ended:?}");
    }
    let mut express = order(u64::MAX);
    express["speed"] = json!("express");
    express["note"] = json!("é\u{0}");
    let ended = server.run("/orders", express).await;
    assert_eq!((&ended.body["Result"]["speed"], &ended.body["Result"]["note"]), (&json!("express"), &json!("é\u{0}")));
    for (path, input, message, detail) in [
        ("/orders", json!({"items": []}), "empty", json!("empty")),
        ("/orders", order(404), "sold-out", json!({"sold-out": 404})),
    ] {
        let ended = server.run(path, input).await;
        fails(&ended, message);
        assert_eq!(ended.body["Result"], detail);
    }
    let denied = server.run("/denied", order(1)).await;
    fails(&denied, "no-number");
    assert!(denied.body["Result"]["no-number"].as_str().is_some_and(|why| why.contains("Denied")), "{denied:?}");
    let refused = server.put(422, "/orders", json!({"items": [{"id": 1, "name": "tea"}]})).await;
    assert_eq!(refused.body["errors"][0]["detail"], "items[0].quantity: missing, expected u32");
    let schemas = server.get(200, "/openapi.json").await.body["components"]["schemas"].to_string();
    assert!(schemas.contains(r#""quantity""#), "{schemas}");
}

#[tokio::test]
async fn orders_in_rust() {
    takes_orders(&component("typed-order.wasm")).await;
}

#[tokio::test]
async fn orders_in_python() {
    takes_orders(&component("typed-order-python.wasm")).await;
}

#[tokio::test]
async fn failures_keep_their_types_and_are_tried_again() {
    let server = server().await;
    let ended = server.run("/types", json!({"deed": "fail"})).await;
    fails(&ended, "it failed");
    assert_eq!(ended.body["Result"], json!({"message": "it failed", "code": 7, "colors": ["green"]}));
    let ended = server.run("/types", json!({"deed": "attempt"})).await;
    assert_eq!(
        (&ended.body["State"], &ended.body["Result"]["texts"]),
        (&json!("Completed"), &json!(["3"])),
        "{ended:?}"
    );
}

#[tokio::test]
async fn typed_guests_have_the_bounds_of_all_guests() {
    let server = server().await;
    let before = server.resident_mib();
    for (deed, message) in [
        ("trap", "The guest trapped"),
        // More than the host takes out of a guest at once.
        ("many-records", "limit"),
        ("many-texts", "Host call limit"),
        // As JSON each of its characters has six bytes.
        ("wide", "Bad result: it has more than 8 MiB"),
    ] {
        fails(&server.run("/types", json!({"deed": deed})).await, message);
    }
    assert!(server.resident_mib() - before < 200.0, "{before} → {} MiB", server.resident_mib());
    let big = server.run("/types", json!({"deed": "big"})).await;
    assert_eq!(big.body["Result"]["many"].as_array().map(Vec::len), Some(1000));
    let endless = server.put(202, "/types", json!({"deed": "endless"})).await.id();
    server.running(&endless).await;
    server.delete(200, &format!("/tasks/{endless}")).await;
    assert_eq!(server.ended(&endless).await.text("State"), "Aborted");
}

#[tokio::test]
async fn the_api_document_has_the_schemas_of_the_types() {
    let server = server().await;
    let document = server.get(200, "/openapi.json").await.body;
    let schemas = document["components"]["schemas"].as_object().expect("schemas");
    let of = |ending: &str| {
        let found = schemas.iter().find(|(name, _)| name.to_lowercase().contains("orders") && name.ends_with(ending));
        found.map_or_else(|| panic!("no {ending} in {:?}", schemas.keys()), |(_, schema)| schema)
    };
    let id = json!({"type": ["integer", "string"], "minimum": 0, "maximum": u64::MAX, "pattern": "^[0-9]{1,20}$"});
    assert_eq!(of("Input")["properties"]["items"]["items"]["properties"]["id"], id);
    assert_eq!(of("Result")["properties"]["lines"]["items"]["prefixItems"][1], id);
    assert_eq!(of("Input")["required"], json!(["items"]));
}

#[test]
fn inspect_and_run_know_typed_routes() {
    let order = component("typed-order.wasm");
    let seen = sandpool().args(["inspect", "--json", &order]).output().expect("it runs");
    let facts: Value = serde_json::from_slice(&seen.stdout).expect("JSON");
    assert_eq!(facts["world"], "typed-route");
    assert_eq!(facts["input_schema"]["required"], json!(["items"]));
    assert_eq!(facts["result_schema"]["properties"]["total"]["type"], json!(["integer", "string"]));
    let run = |input: &str| {
        let out = sandpool()
            .args(["run", "--json", &order, "--state", r#"{"orders": 41}"#, "--input", input])
            .output()
            .expect("it runs");
        serde_json::from_slice::<Value>(&out.stdout).expect("JSON")
    };
    let ended = run(r#"{"items": [{"id": 1, "name": "tea", "quantity": 1}]}"#);
    assert_eq!((&ended["State"], &ended["Result"]["number"]), (&json!("Completed"), &json!(42)), "{ended}");
    // Nobody has checked the input before: so it is with a task that an older version of the component accepted.
    let ended = run(r#"{"items": [{"id": -1, "name": "tea", "quantity": 1}, 5]}"#);
    let message =
        "The input does not fit the types of the route's component: items[0].id: expected u64, got -1, and 1 more";
    assert_eq!((&ended["State"], &ended["Error"]), (&json!("Failed"), &json!(message)));
    assert_eq!(ended["Result"][1]["pointer"], "/items/1");
}

#[test]
fn types_that_cannot_cross_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let doubling = |n: u32| format!("(type $t{n} (tuple $t{} $t{}))\n", n - 1, n - 1);
    let nested = |n: u32| format!("(type $t{n} (list $t{}))\n", n - 1);
    for (types, parameter, core, fault) in [
        (String::new(), "(list (option (option u8)))", "i32 i32", "its parameter `x`: []: option<option<…>>"),
        ((1..60).map(nested).collect(), "$t59", "i32 i32", "types nest deeper than 32 levels"),
        ((1..12).map(doubling).collect(), "$t11", "i32", "`run` has more than 2000 types and names"),
    ] {
        let text = format!(
            r#"(component
                (type $t0 u8)
                {types}
                (core module $m (memory (export "mem") 1) (func (export "run") (param {core}))
                    (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable))
                (core instance $i (instantiate $m))
                (func $run (param "x" {parameter})
                    (canon lift (core func $i "run") (memory (core memory $i "mem")) (realloc (core func $i "realloc"))))
                (export "run" (func $run)))"#
        );
        let file = folder.path().join("typed.wasm");
        std::fs::write(&file, wat::parse_str(&text).expect("valid text")).expect("writable");
        let seen = sandpool().args(["inspect", "--json"]).arg(&file).output().expect("it runs");
        let facts: Value = serde_json::from_slice(&seen.stdout).expect("JSON");
        let said = facts["fault"].as_str().unwrap_or_default();
        assert!(facts["world"].is_null() && said.contains(fault), "{facts}");
    }
}

/// Puts a component under a name, as deployments do: at once.
fn put(name: &str, to: &Path) {
    let next = to.with_extension("next");
    std::fs::copy(component(name), &next).expect("copied");
    std::fs::rename(next, to).expect("renamed");
}

#[tokio::test]
async fn a_stored_task_that_no_longer_fits_fails_and_says_where() {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let file = folder.path().join("own.wasm");
    put("typed-types.wasm", &file);
    let routes = "routes:\n  - {method: PUT, path: /own, component: own.wasm, pool: {max: 1}}\n";
    let mut server = Server::start_in(folder.clone(), routes).await;
    let endless = server.put(202, "/own", json!({"deed": "endless"})).await.id();
    server.running(&endless).await;
    let waiting = server.put(202, "/own", json!({"deed": "echo", "all": everything()})).await.id();
    server.kill();
    put("typed-order.wasm", &file);
    let server = Server::start_in(folder, routes).await;
    let ended = server.ended(&waiting).await;
    let message = "The input does not fit the types of the route's component: items: missing, expected list: an array, and 2 more";
    assert_eq!((ended.text("State"), ended.text("Error")), ("Failed", message), "{ended:?}");
    assert_eq!(ended.body["Result"][1]["pointer"], "/all");
    server.put(422, "/own", json!({"deed": "echo"})).await;
}

#[tokio::test]
async fn a_route_becomes_typed_while_it_is_served() {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let file = folder.path().join("own.wasm");
    put("hello.wasm", &file);
    let routes = "state: {}\nroutes:\n  - {method: PUT, path: /own, component: own.wasm, state: {write: [orders]}}\n";
    let server = Server::start_in(folder, routes).await;
    assert!(server.run("/own", json!([])).await.body["Result"]["greeting"].is_string());
    put("typed-order.wasm", &file);
    eventually("types", || async {
        (server.request("PUT", "/own").json(&json!([])).send().await.ok()?.status() == 422).then_some(())
    })
    .await;
    assert_eq!(server.run("/own", order(1)).await.body["Result"], receipt(1));
    put("hello.wasm", &file);
    eventually("text", || async {
        (server.request("PUT", "/own").json(&json!([])).send().await.ok()?.status() == 202).then_some(())
    })
    .await;
}

#[tokio::test]
async fn typed_plugins_are_deployed_like_any_other() {
    let server = Server::start("state: {}\nroutes: []\n").await;
    let upload = |version: &str, file: &str| {
        let bytes = std::fs::read(component(file)).expect("a component");
        server.request("PUT", &format!("/-/plugins/order?version={version}")).body(bytes)
    };
    let plugin = server.send(201, upload("1", "typed-order.wasm")).await;
    assert_eq!(plugin.text("World"), "typed-route");
    let route = json!({"method": "PUT", "path": "/orders", "plugin": "order@latest", "state": {"write": ["orders"]}});
    server.put(201, "/-/routes/orders", route).await;
    let refused = server.put(422, "/orders", json!({"items": 1})).await;
    assert_eq!(refused.body["errors"][0]["detail"], "items: expected list: an array, got 1");
    let document = server.get(200, "/openapi.json").await.body;
    assert!(document["components"]["schemas"].to_string().contains(r#""quantity""#), "{document}");
    // Whoever waits for the answer gets it, in the format asked for.
    let yaml = "items:\n- {id: 1, name: tea, quantity: 2}\n";
    let request = server.request("PUT", "/orders").header("content-type", "application/yaml").body(yaml);
    let ended = server.send(200, request.header("prefer", "wait=60")).await;
    assert_eq!(ended.body["Result"], receipt(1), "{ended:?}");
    // What one version's types accepted runs on that version; what comes later meets the types of the next.
    server.send(200, server.request("POST", "/-/routes/orders/pause")).await;
    let waiting = server.put(202, "/orders", order(1)).await.id();
    server.send(201, upload("2", "typed-types.wasm")).await;
    server.send(200, server.request("POST", "/-/routes/orders/resume")).await;
    assert_eq!(server.ended(&waiting).await.body["Result"], receipt(2));
    server.put(422, "/orders", order(1)).await;
    assert_eq!(server.run("/orders", json!({"deed": "echo"})).await.text("State"), "Completed");
}
