//! Attacks on what is somebody else's: memory that was theirs, and whatever has a name.

use super::world::{ACME, BOLT, ROOT, World};
use crate::following::Stream;
use crate::support::{RETURNS_ONE_CHARACTER, component, module_with, with_core_module};
use serde_json::{Value, json};
use std::time::Duration;

/// Writes a pattern all over 32 MiB and a table.
fn writer() -> String {
    module_with(&format!(
        r#"(table $table 5000 funcref) (elem declare func $there) (func $there)
           (data (i32.const 16) "1")
           (func (export "run") (param i32) (result i32)
             (if (i32.eq (memory.grow (i32.const 512)) (i32.const -1)) (then unreachable))
             (memory.fill (i32.const 65536) (i32.const 0xA5) (i32.const 33554432))
             (table.fill $table (i32.const 0) (ref.func $there) (i32.const 5000))
             {RETURNS_ONE_CHARACTER})"#
    ))
}

/// 0 if all memory that it gets is zero and its table is empty, else 1.
fn scanner() -> String {
    module_with(&format!(
        r#"(table $table 5000 funcref)
           (data (i32.const 16) "0")
           (func (export "run") (param i32) (result i32) (local $at i32)
             (if (i32.eq (memory.grow (i32.const 512)) (i32.const -1)) (then unreachable))
             (local.set $at (i32.const 65536))
             (loop $next
               (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then (i32.store8 (i32.const 16) (i32.const 49))))
               (local.set $at (i32.add (local.get $at) (i32.const 8)))
               (br_if $next (i32.lt_u (local.get $at) (i32.const 33619968))))
             (local.set $at (i32.const 0))
             (loop $next
               (if (i32.eqz (ref.is_null (table.get $table (local.get $at))))
                 (then (i32.store8 (i32.const 16) (i32.const 49))))
               (local.set $at (i32.add (local.get $at) (i32.const 1)))
               (br_if $next (i32.lt_u (local.get $at) (i32.const 5000))))
             {RETURNS_ONE_CHARACTER})"#
    ))
}

#[tokio::test]
async fn nothing_of_anothers_memory_is_left_for_the_next() {
    let world = World::new("running: 4, submits_per_second: 100000").await;
    let pid = world.server.pid();
    let file = |name: &str, module: String| with_core_module(world.folder(), name, &module);
    world.uploads(BOLT, "writer", &file("writer.wasm", writer())).await;
    world.uploads(ACME, "scanner", &file("scanner.wasm", scanner())).await;
    let more = |plugin: &str| json!({"plugin": plugin, "pool": {"min": 0, "max": 4, "queue": 1000}});
    world.routes(201, BOLT, "writer", more("writer")).await;
    world.routes(201, ACME, "scanner", more("scanner")).await;
    let reading = async {
        let mut rounds = 0;
        while world.goes_on() || rounds < 20 {
            let written = world.runs(BOLT, "/bolt/writer", Value::Null).await;
            assert_eq!(written.body["Result"], json!(1), "{written:?}");
            let found = world.runs(ACME, "/acme/scanner", Value::Null).await;
            assert_eq!(found.body["Result"], json!(0), "{found:?}");
            rounds += 1;
        }
        format!("nothing in {rounds} instances of 32 MiB")
    };
    world.under("memory and tables that were bolt's", reading).await;
    world.judge(pid).await;
}

/// What has a name of bolt's is not there for acme, whatever it calls it.
#[tokio::test]
async fn nothing_of_anothers_is_reached_by_its_name() {
    let world = World::new("running: 4, submits_per_second: 100000").await;
    let pid = world.server.pid();
    let events = json!({"plugin": "counter", "state": {"write": ["counter"]}, "sse": {"group": "secret"}});
    world.uploads(BOLT, "counter", &component("counter.wasm")).await;
    world.routes(201, BOLT, "counter", events).await;
    let task = world.runs(BOLT, "/bolt/counter", Value::Null).await;
    assert_eq!(task.body["Result"]["value"], 1, "{task:?}");
    let id = task.id();
    world.under("bolt's names in requests", by_request(&world, &id)).await;
    world.under("bolt's tasks, followed by name", by_stream(&world)).await;
    world.under("bolt's names in routes", by_route(&world)).await;
    world.under("the variables of bolt and of the host in a guest", by_guest(&world)).await;
    let again = world.runs(BOLT, "/bolt/counter", Value::Null).await;
    assert_eq!(again.body["Result"], json!({"value": 4, "version": 4}), "nobody else wrote it");
    let seen = world.get(ROOT, "/-/routes").await;
    assert_eq!(seen.body.as_array().map(Vec::len), Some(3), "two of bolt's, one of acme's: {seen:?}");
    world.judge(pid).await;
}

async fn by_request(world: &World, id: &str) -> String {
    let mut asked = 0;
    while world.goes_on() || asked == 0 {
        for (method, path) in [
            ("GET", format!("/tasks/{id}")),
            ("GET", format!("/tasks/{id}/log")),
            ("DELETE", format!("/tasks/{id}")),
            ("GET", format!("/events?taskId={id}")),
            ("GET", "/events?group=secret".into()),
            ("GET", "/events?route=counter".into()),
            ("GET", "/-/plugins/counter".into()),
            ("GET", "/-/plugins/bolt:counter".into()),
            ("GET", "/-/plugins/bolt%3Acounter".into()),
            ("DELETE", "/-/plugins/bolt:counter".into()),
            ("GET", "/-/routes/bolt:counter".into()),
            ("GET", "/-/routes/bolt:counter/revisions".into()),
            ("DELETE", "/-/routes/bolt:counter".into()),
            ("POST", "/-/routes/bolt:counter/pause".into()),
            ("POST", "/-/routes/bolt:counter/drain".into()),
            ("POST", "/-/routes/bolt:counter/rollback".into()),
            ("GET", "/-/state/bolt:counter".into()),
            ("GET", "/-/state/secret".into()),
            ("PUT", "/bolt/counter".into()),
        ] {
            let status = world.status(ACME, method, &path).await;
            let is_late = status == 429 && method != "GET" && world.goes_on();
            assert!(is_late || [401, 403, 404].contains(&status), "{method} {path}: {status}");
            asked += 1;
        }
        for path in ["/-/plugins", "/-/routes", "/-/pools", "/-/audit", "/-/state", "/-/tenants"] {
            let answer = world.get(ACME, path).await;
            let said = answer.body.to_string();
            // What acme asked stands in its audit log, with the names that it tried.
            let said = if path == "/-/audit" { said.replace("/bolt:counter", "") } else { said };
            assert!(!said.contains("\"User\":\"bolt") && !said.contains("\"bolt"), "{path}: {said}");
            asked += 1;
        }
        for query in
            [json!({}), json!({"Id": {"op": "EQ", "value": id}}), json!({"Name": {"op": "LIKE", "value": "*"}})]
        {
            let found = world.ask(ACME, "POST", "/tasks/query", query.clone()).await;
            assert_eq!(found.body, json!([]), "{query}");
            let stopped = world.changes(ACME, "POST", "/-/tasks/stop", query.clone()).await;
            assert_eq!((stopped.status, &stopped.body["Matched"]), (200, &json!(0)), "{query}: {stopped:?}");
            let rerun = world.changes(ACME, "POST", "/-/tasks/rerun", query.clone()).await;
            assert_eq!((rerun.status, &rerun.body["Matched"]), (200, &json!(0)), "{query}: {rerun:?}");
            asked += 3;
        }
    }
    format!("nothing by {asked} requests")
}

/// Whoever follows bolt's tasks by name hears nothing of them.
async fn by_stream(world: &World) -> String {
    let mut asked = 0;
    while world.goes_on() || asked == 0 {
        for path in ["/events?group=bolt:secret", "/events?group=bolt%3Asecret", "/events?route=bolt:counter"] {
            assert_eq!(world.status(ACME, "GET", path).await, 404, "{path}");
            asked += 1;
        }
    }
    // Everything that acme may follow is nothing of bolt's.
    let mut stream = Stream::of(world.request(ACME, "GET", "/events")).await;
    assert_eq!(stream.up_to("open").await.len(), 1);
    world.runs(BOLT, "/bolt/counter", Value::Null).await;
    let more = tokio::time::timeout(Duration::from_millis(200), stream.next()).await;
    assert!(more.is_err(), "{more:?}");
    // Bolt follows its own by the short name.
    let mut own = Stream::of(world.request(BOLT, "GET", "/events?group=secret")).await;
    assert_eq!(own.up_to("open").await.len(), 1);
    world.runs(BOLT, "/bolt/counter", Value::Null).await;
    own.up_to("done").await;
    format!("nothing by {asked} requests and a stream")
}

async fn by_route(world: &World) -> String {
    let mut refused = 0;
    while world.goes_on() || refused == 0 {
        for (status, name, more) in [
            (422, "a", json!({"plugin": "bolt:counter"})),
            (422, "a", json!({"plugin": "counter"})),
            (422, "a", json!({"using": ["hosts"]})),
            (422, "a", json!({"path": "/bolt/a"})),
            (422, "a", json!({"path": "/a"})),
            (422, "a", json!({"path": "/acme/../bolt/a"})),
            (422, "a", json!({"path": "/acme2/a"})),
            (422, "a", json!({"component": component("hello.wasm")})),
        ] {
            let mut route = json!({"method": "PUT", "path": "/acme/a", "plugin": "bad"});
            more.as_object().expect("keys").iter().for_each(|(key, value)| route[key] = value.clone());
            let answer = world.changes(ACME, "PUT", &format!("/-/routes/{name}"), route).await;
            assert_eq!(answer.status, status, "{more}: {answer:?}");
            refused += 1;
        }
        for name in ["bolt:a", "bolt:counter"] {
            let route = json!({"method": "PUT", "path": "/acme/a", "plugin": "bad"});
            let answer = world.changes(ACME, "PUT", &format!("/-/routes/{name}"), route).await;
            // It is a name of acme's own.
            let own = format!("acme:{name}");
            assert_eq!((answer.status, answer.text("Name")), (201, own.as_str()), "{answer:?}");
            assert_eq!(world.changes(ACME, "DELETE", &format!("/-/routes/{own}"), Value::Null).await.status, 204);
            refused += 1;
        }
    }
    format!("{refused} refusals")
}

async fn by_guest(world: &World) -> String {
    let names = json!(["counter", "bolt:counter", "acme:counter", "secret"]);
    world.routes(201, ACME, "m", json!({"state": {"read": names}})).await;
    let mut asked = 0;
    while world.goes_on() || asked == 0 {
        for name in ["counter", "bolt:counter", "acme:bolt:counter", "secret", ":secret"] {
            let ended = world.runs(ACME, "/acme/m", json!({"mode": "state-denied", "name": name})).await;
            let found = &ended.body["Result"];
            assert!(found["value"].is_null(), "{name}: {ended:?}");
            asked += 1;
        }
    }
    format!("nothing by {asked} names")
}
