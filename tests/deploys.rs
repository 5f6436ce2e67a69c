//! Plugins and routes that come at runtime: uploaded, checked, run, replaced, paused, rolled back, removed; and what is
//! noted of who did so.

use crate::support::{Answer, MINDY, MORTY, Server, User, assembled, component, eventually, morty_and_mindy, sandpool};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::Output;
use std::sync::Arc;

/// A server without routes.
pub async fn bare() -> Server {
    Server::start("routes: []\n").await
}

pub fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(component(name)).expect("a component")
}

pub fn upload(server: &Server, name: &str, component: Vec<u8>) -> RequestBuilder {
    server.request("PUT", &format!("/-/plugins/{name}")).body(component)
}

/// The component under this name and version.
pub async fn uploaded(server: &Server, name: &str, version: &str, file: &str) -> Answer {
    server.send(201, upload(server, &format!("{name}?version={version}"), bytes(file))).await
}

/// A route that runs a plugin.
pub async fn routed(server: &Server, status: u16, name: &str, plugin: &str, more: Value) -> Answer {
    let mut route = json!({"method": "PUT", "path": format!("/{name}"), "plugin": plugin});
    more.as_object().expect("keys").iter().for_each(|(key, value)| route[key] = value.clone());
    server.put(status, &format!("/-/routes/{name}"), route).await
}

pub fn detail(answer: &Answer) -> &str {
    answer.text("detail")
}

fn variant(file: &str, mark: &str) -> Vec<u8> {
    with_mark(bytes(file), mark)
}

/// A valid component whose bytes no other has: a custom section at its end says so.
pub fn with_mark(mut bytes: Vec<u8>, mark: &str) -> Vec<u8> {
    let name = "mark";
    let length = u8::try_from(1 + name.len() + mark.len()).expect("short");
    bytes.extend([0, length, 4]);
    bytes.extend(name.bytes());
    bytes.extend(mark.bytes());
    bytes
}

fn run(server: &Server, arguments: &[&str]) -> Output {
    sandpool().args(arguments).args(["--server", &server.base]).output().expect("runs")
}

#[tokio::test]
async fn an_uploaded_component_runs() {
    let server = bare().await;
    let plugin = server.send(201, upload(&server, "hello", bytes("hello.wasm"))).await;
    let digest = plugin.text("Digest").strip_prefix("sha256:").expect("a digest").to_owned();
    assert_eq!((plugin.text("Name"), plugin.text("Version"), plugin.text("World")), ("hello", &digest[..12], "route"));
    let again = server.send(200, upload(&server, "hello", bytes("hello.wasm"))).await;
    assert_eq!(again.text("CreationTime"), plugin.text("CreationTime"), "the same version");
    let route = routed(&server, 201, "greet", "hello", json!({"summary": "Greets"})).await;
    assert_eq!((route.text("State"), route.text("Origin"), route.text("Component")), ("Active", "Api", "hello@latest"));
    let ended = server.run("/greet", json!({})).await;
    assert_eq!((ended.text("State"), ended.text("Name")), ("Completed", "greet"), "{ended:?}");
    let listed = server.get(200, "/-/plugins").await;
    assert_eq!(listed.body[0]["Routes"], json!(["greet"]), "{listed:?}");
    let document = server.get(200, "/openapi.json").await;
    assert_eq!(document.body["paths"]["/greet"]["put"]["summary"], "Greets");
    let fetched = server.request("GET", "/-/plugins/hello").header("accept", "application/wasm").send().await;
    assert_eq!(fetched.expect("an answer").bytes().await.expect("bytes"), bytes("hello.wasm"));
}

#[tokio::test]
async fn what_was_deployed_outlives_the_server() {
    let mut server = bare().await;
    uploaded(&server, "hello", "1", "hello.wasm").await;
    routed(&server, 201, "greet", "hello@1", json!({})).await;
    routed(&server, 201, "paused", "hello@1", json!({})).await;
    server.send(200, server.request("POST", "/-/routes/paused/pause")).await;
    let waiting = server.put(202, "/paused", json!({})).await.id();
    server.kill();
    // Another host has compiled nothing yet: it takes the component from the store.
    let folder = Arc::clone(server.folder());
    let cache = folder.path().join("other-cache");
    let environment = [("SANDPOOL_CACHE", cache.to_str().expect("text"))];
    let server = Server::start_with_environment(folder.clone(), &environment, "routes: []\n").await;
    assert_eq!(server.run("/greet", json!({})).await.text("State"), "Completed");
    assert_eq!(server.get(200, &format!("/tasks/{waiting}")).await.text("State"), "NotStarted", "still paused");
    server.send(200, server.request("POST", "/-/routes/paused/resume")).await;
    assert_eq!(server.ended(&waiting).await.text("State"), "Completed");
}

#[tokio::test]
async fn a_component_that_cannot_run_is_refused_and_nothing_is_kept() {
    let server = bare().await;
    let wat = |name: &str| std::fs::read(assembled(&format!("{name}.wat"), server.folder().path())).expect("assembled");
    let cases: [(&str, Vec<u8>, u16, &[&str]); 6] = [
        ("x", b"no wasm".to_vec(), 422, &["is no WebAssembly component", "wasm-tools component new"]),
        ("x", wat("core-module"), 422, &["is a core WebAssembly module"]),
        ("x", wat("no-run"), 422, &["does not fit world `route`", "run"]),
        ("x", wat("alien-import"), 422, &["imports what this host does not give: "]),
        ("..", Vec::new(), 404, &[]),
        ("a%2F..%2Fb", bytes("hello.wasm"), 400, &["`a/../b`: expected 1 to 64 characters"]),
    ];
    for (name, component, status, words) in cases {
        let refused = server.send(status, upload(&server, name, component)).await;
        words.iter().for_each(|words| assert!(detail(&refused).contains(words), "{refused:?}"));
    }
    let cut = bytes("hello.wasm")[..1000].to_vec();
    let refused = server.send(422, upload(&server, "cut", cut)).await;
    assert!(detail(&refused).contains("is no valid component"), "{refused:?}");
    let latest = server.send(400, upload(&server, "x?version=latest", bytes("hello.wasm"))).await;
    assert!(detail(&latest).contains("`latest` always names the newest"), "{latest:?}");
    assert_eq!(server.get(200, "/-/plugins").await.body, json!([]));
    let store = rusqlite::Connection::open(server.path("tasks.db")).expect("the store");
    assert_eq!(store.query_row("SELECT count(*) FROM chunks", [], |row| row.get::<_, i64>(0)), Ok(0));
}

#[tokio::test]
async fn versions_never_change() {
    let server = bare().await;
    uploaded(&server, "hello", "1", "hello.wasm").await;
    let other = upload(&server, "hello?version=1", bytes("counter.wasm"));
    let refused = server.send(409, other).await;
    assert!(detail(&refused).contains("versions never change"), "{refused:?}");
    let versions = server.get(200, "/-/plugins/hello").await;
    assert_eq!(versions.body.as_array().map(Vec::len), Some(1));
    let store = rusqlite::Connection::open(server.path("tasks.db")).expect("the store");
    let kept = store.query_row("SELECT count(DISTINCT digest) FROM chunks", [], |row| row.get::<_, i64>(0));
    assert_eq!(kept, Ok(1), "nothing of the other is kept");
}

#[tokio::test]
async fn the_latest_version_takes_new_tasks_and_running_ones_end_on_theirs() {
    let server = bare().await;
    uploaded(&server, "work", "1", "phases.wasm").await;
    routed(&server, 201, "work", "work", json!({})).await;
    let id = server.put(202, "/work", json!({"steps": 10, "pause_ms": 50})).await.id();
    server.running(&id).await;
    uploaded(&server, "work", "2", "hello.wasm").await;
    let second = server.run("/work", json!({})).await;
    assert!(second.body["Result"]["greeting"].is_string(), "{second:?}");
    assert_eq!(server.ended(&id).await.body["Result"]["steps"], 10);
    // One that names its version keeps it.
    routed(&server, 200, "work", "work@1", json!({})).await;
    assert_eq!(server.run("/work", json!({"steps": 1, "pause_ms": 1})).await.body["Result"]["steps"], 1);
    server.send(200, server.request("POST", "/-/routes/work/rollback")).await;
    assert!(server.run("/work", json!({})).await.body["Result"]["greeting"].is_string());
    let revisions = server.get(200, "/-/routes/work/revisions").await;
    let of = |index: usize| revisions.body[index]["Definition"]["plugin"].clone();
    assert_eq!([of(0), of(1), of(2)], ["work", "work@1", "work"], "{revisions:?}");
    server.send(200, server.request("POST", "/-/routes/work/rollback?revision=2")).await;
    assert_eq!(server.get(200, "/-/routes/work").await.text("Component"), "work@1");
    server.send(404, server.request("POST", "/-/routes/work/rollback?revision=99")).await;
}

#[tokio::test]
async fn versions_share_the_tasks_of_a_route() {
    let server = bare().await;
    server.send(201, upload(&server, "hello?version=a", variant("hello.wasm", "a"))).await;
    server.send(201, upload(&server, "hello?version=b", bytes("counter.wasm"))).await;
    let more = json!({"split": {"a": 50, "b": 50}, "state": {"write": ["counter"]}});
    let route = routed(&server, 201, "both", "hello", more).await;
    assert_eq!(route.text("Component"), "hello@a 50/100, b 50/100");
    let mut seen = BTreeSet::new();
    // That one of them gets none of 64 happens once in 2^63.
    for _ in 0..64 {
        let result = server.run("/both", json!({})).await.body["Result"].clone();
        seen.insert(if result["greeting"].is_string() { "a" } else { "b" });
    }
    assert_eq!(seen.len(), 2, "{seen:?}");
    routed(&server, 200, "both", "hello", json!({"split": {"a": 0, "b": 1}, "state": {"write": ["counter"]}})).await;
    for _ in 0..16 {
        assert!(server.run("/both", json!({})).await.body["Result"]["version"].is_number());
    }
}

#[tokio::test]
async fn a_route_is_paused_drained_and_removed() {
    let server = bare().await;
    uploaded(&server, "work", "1", "phases.wasm").await;
    routed(&server, 201, "work", "work", json!({"pool": {"max": 1}})).await;
    let slow = json!({"steps": 10, "pause_ms": 30});
    let running = server.put(202, "/work", slow.clone()).await.id();
    server.running(&running).await;
    assert_eq!(server.send(200, server.request("POST", "/-/routes/work/pause")).await.text("State"), "Paused");
    let waiting = server.put(202, "/work", slow.clone()).await.id();
    assert_eq!(server.ended(&running).await.text("State"), "Completed", "what runs is not held up");
    assert_eq!(server.get(200, &format!("/tasks/{waiting}")).await.text("State"), "NotStarted");
    server.send(200, server.request("POST", "/-/routes/work/resume")).await;
    server.running(&waiting).await;
    assert_eq!(server.send(200, server.request("POST", "/-/routes/work/drain")).await.text("State"), "Draining");
    let refused = server.put(503, "/work", slow).await;
    assert!(detail(&refused).contains("drained") && refused.header("retry-after") == "30", "{refused:?}");
    server.send(409, server.request("DELETE", "/-/plugins/work")).await;
    server.delete(204, "/-/routes/work").await;
    server.put(404, "/work", json!({})).await;
    assert_eq!(server.ended(&waiting).await.text("State"), "Completed", "what runs, ends");
    server.delete(404, "/-/routes/work").await;
    server.delete(204, "/-/plugins/work").await;
    server.delete(404, "/-/plugins/work").await;
    let store = rusqlite::Connection::open(server.path("tasks.db")).expect("the store");
    assert_eq!(store.query_row("SELECT count(*) FROM chunks", [], |row| row.get::<_, i64>(0)), Ok(0));
    let metrics = server.get(200, "/-/metrics").await;
    assert!(!metrics.body.as_str().expect("text").contains("route=\"work\""), "its series are gone");
    server.send(404, server.request("POST", "/-/routes/work/fly")).await;
}

#[tokio::test]
async fn a_faulty_route_says_where_and_changes_nothing() {
    let compiled = tempfile::tempdir().expect("a folder").keep();
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let environment = [("SANDPOOL_CACHE", compiled.to_str().expect("text"))];
    let server = Server::start_with_environment(folder, &environment, "routes: []\n").await;
    uploaded(&server, "hello", "1", "hello.wasm").await;
    let cases = [
        ("method: PUT\npath: /a\nplugin: hello\npool: {max: many}\n", "the route:4:13: max: expected a whole number"),
        ("method: PUT\npath: /a\nplugin: hello\nauth: nobody\n", "auth: expected"),
        (
            "method: PUT\npath: /a\ncomponent: /etc/passwd\n",
            "component: expected an uploaded `plugin`, a file of this host",
        ),
        ("method: PUT\npath: /a\nplugin: hello\nid: {component: /etc/passwd}\n", "component: expected an uploaded"),
        ("method: PUT\npath: /tasks/{id}\nplugin: hello\n", "/tasks/{id}"),
        ("method: PUT\npath: /a\nplugin: hello\nname: other\n", "the route:4:7: name: expected `a`, as in the path"),
        ("method: PUT\npath: /a\nplugin: hello@9\n", "there is no version 9 of a plugin hello"),
        ("method: PUT\npath: /a\nplugin: nobody\n", "there is no version latest of a plugin nobody"),
        ("method: PUT\npath: /a\nplugin: hello@1\nsplit: {\"1\": 1}\n", "plugin: expected a name without a version"),
        ("method: PUT\npath: /a\nplugin: hello\nsplit: {\"1\": 0}\n", "split: expected a version with a share above 0"),
        ("method: PUT\npath: /a\nplugin: hello\narguments: {k: \"${HOME}\"}\nplugins: 1", "unknown key `plugins`"),
        ("- method: PUT\n", "expected a map for a route"),
    ];
    for (text, words) in cases {
        let request = server.request("PUT", "/-/routes/a").header("content-type", "application/yaml").body(text);
        let refused = server.send(422, request).await;
        let errors: Vec<&str> =
            refused.body["errors"].as_array().expect("errors").iter().filter_map(|e| e["detail"].as_str()).collect();
        assert!(errors.iter().any(|error| error.contains(words)), "{text}: {errors:?}");
    }
    // Directories that hold what is the host's own are granted to nobody.
    for (folder, what) in
        [(server.folder().path().to_path_buf(), "the configuration"), (compiled, "the cache of compiled")]
    {
        let grants = json!({"directories": [{"path": folder, "mode": "write"}]});
        let refused = routed(&server, 422, "a", "hello", json!({"grants": grants})).await;
        assert!(refused.body["errors"][0]["detail"].as_str().expect("words").contains(what), "{refused:?}");
    }
    assert_eq!(server.get(200, "/-/routes").await.body, json!([]));
    let xml = server.request("PUT", "/-/routes/a").header("content-type", "application/xml").body("<a/>");
    server.send(415, xml).await;
    // No secret of the host's environment gets into a client's route.
    routed(&server, 201, "a", "hello", json!({"arguments": {"k": "${HOME}"}})).await;
    assert_eq!(server.run("/a", json!({})).await.body["Result"]["arguments"]["k"], "${HOME}");
    // Two routes cannot answer the same request.
    let same = json!({"method": "PUT", "path": "/a", "plugin": "hello"});
    let refused = server.put(409, "/-/routes/b", same).await;
    assert!(detail(&refused).contains("PUT /a is already taken"), "{refused:?}");
}

#[tokio::test]
async fn the_file_and_the_api_never_fight() {
    let file = component("hello.wasm");
    let of_file = format!("routes: [{{name: own, method: PUT, path: /own, component: {file}}}]\n");
    let server = Server::start(&of_file).await;
    uploaded(&server, "hello", "1", "hello.wasm").await;
    let refused = routed(&server, 409, "own", "hello", json!({"path": "/other"})).await;
    assert!(detail(&refused).contains("the configuration file has a route own"), "{refused:?}");
    server.delete(409, "/-/routes/own").await;
    server.send(409, server.request("POST", "/-/routes/own/pause")).await;
    routed(&server, 201, "greet", "hello", json!({})).await;
    let all = server.get(200, "/-/routes").await;
    let origins: Vec<_> = all.body.as_array().expect("routes").iter().map(|r| (&r["Name"], &r["Origin"])).collect();
    assert_eq!(origins, [(&json!("greet"), &json!("Api")), (&json!("own"), &json!("File"))]);
}

#[tokio::test]
async fn a_name_that_the_file_takes_sets_the_other_route_aside() {
    let mut server = bare().await;
    uploaded(&server, "hello", "1", "hello.wasm").await;
    routed(&server, 201, "own", "hello", json!({})).await;
    server.kill();
    let file = component("hello.wasm");
    let of_file = format!("routes: [{{name: own, method: PUT, path: /mine, component: {file}}}]\n");
    let server = Server::start_in(Arc::clone(server.folder()), &of_file).await;
    server.put(404, "/own", json!({})).await;
    assert_eq!(server.run("/mine", json!({})).await.text("State"), "Completed");
    let all = server.get(200, "/-/routes").await;
    let aside = all.body.as_array().expect("routes").iter().find(|route| route["Origin"] == "Api").expect("kept");
    assert_eq!(
        (&aside["State"], &aside["Fault"]),
        (&json!("Faulty"), &json!("the configuration file has a route of this name"))
    );
}

#[tokio::test]
async fn only_who_may_manage_does_and_all_of_it_is_noted() {
    let auth = morty_and_mindy();
    let server =
        Server::start(&format!("{auth}admin: {{auth: both, access: {{groups: [Platform]}}}}\nroutes: []\n")).await;
    let asks = |user: User, request| user.asks(request);
    server.send(401, upload(&server, "hello", bytes("hello.wasm"))).await;
    server.send(403, asks(MINDY, upload(&server, "hello", bytes("hello.wasm")))).await;
    server.send(201, asks(MORTY, upload(&server, "hello?key=secret&version=1", bytes("hello.wasm")))).await;
    for path in ["/-/plugins", "/-/plugins/hello", "/-/routes", "/-/routes/x", "/-/routes/x/revisions", "/-/audit"] {
        server.get(401, path).await;
    }
    for (method, path) in [
        ("DELETE", "/-/plugins/hello"),
        ("PUT", "/-/routes/x"),
        ("DELETE", "/-/routes/x"),
        ("POST", "/-/routes/x/pause"),
    ] {
        server.send(401, server.request(method, path)).await;
    }
    let audit = server.send(200, asks(MORTY, server.request("GET", "/-/audit?limit=7"))).await;
    let deeds: Vec<_> = audit
        .body
        .as_array()
        .expect("deeds")
        .iter()
        .rev()
        .map(|deed| (deed["Status"].as_u64(), deed["User"].as_str()))
        .collect();
    let morty = MORTY.id;
    let mindy = MINDY.id;
    let none = (Some(401), None);
    // Mindy was known, and refused all the same.
    assert_eq!(deeds, [none, (Some(403), Some(mindy)), (Some(201), Some(morty)), none, none, none, none], "{audit:?}");
    let deed = &audit.body[4];
    assert_eq!(deed["Action"], "PUT /-/plugins/hello?version=1");
    assert!(deed["Time"].is_string() && deed["Address"] == "127.0.0.1", "{deed}");
    let before = audit.body[4]["Number"].as_u64().expect("a number");
    let older = server.send(200, asks(MORTY, server.request("GET", &format!("/-/audit?before={before}")))).await;
    assert_eq!(older.body.as_array().map(Vec::len), Some(2));
    server.send(400, asks(MORTY, server.request("GET", "/-/audit?limit=x"))).await;
}

#[tokio::test]
async fn deploy_is_one_command() {
    let server = bare().await;
    let hello = component("hello.wasm");
    let with = "{summary: Greets, pool: {max: 3}}";
    let done = run(&server, &["deploy", &hello, "--route", "PUT /hi/{name}", "--version", "1", "--with", with]);
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{done:?}");
    assert!(
        said.starts_with("plugin hello@1  sha256:") && said.contains("route  PUT /hi/{name}  __Put_hi_{name}__, new"),
        "{said}"
    );
    assert_eq!(server.run("/hi/you", json!({})).await.text("State"), "Completed");
    let json_too = run(&server, &["deploy", &hello, "--route", "put /hi/{name}", "--version", "1", "--json"]);
    let answer: Value = serde_json::from_slice(&json_too.stdout).expect("JSON");
    assert_eq!((&answer["Plugin"]["Version"], &answer["Route"]["State"]), (&json!("1"), &json!("Active")), "{answer}");
    let refusals: [(&[&str], i32, &str); 5] = [
        (&["deploy", "nothing.wasm", "--route", "PUT /x"], 2, "nothing.wasm: cannot be read"),
        (&["deploy", &hello, "--route", "nonsense"], 2, "expected a method and a path"),
        (&["deploy", &hello, "--route", "PUT /x", "--with", "{pool: {max: many}}"], 2, "max: expected a whole number"),
        (&["deploy", &hello, "--name", "a b"], 2, "--name: `a b`: expected 1 to 64"),
        (&["deploy", &component("ids.wasm"), "--route", "PUT /x"], 2, "does not fit world `route`"),
    ];
    for (arguments, code, words) in refusals {
        let refused = run(&server, arguments);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(refused.status.code() == Some(code) && said.contains(words), "{arguments:?}: {refused:?}");
    }
    let nobody = sandpool().args(["deploy", &hello, "--server", "http://127.0.0.1:9"]).output().expect("runs");
    assert_eq!(nobody.status.code(), Some(3), "{nobody:?}");
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("cannot be reached"));
}

#[tokio::test]
async fn tasks_that_wait_for_a_route_run_once_it_comes() {
    let (hello, folder) = (component("phases.wasm"), Arc::new(tempfile::tempdir().expect("a folder")));
    let of_file = format!("routes: [{{name: work, method: PUT, path: /work, component: {hello}, pool: {{max: 1}}}}]\n");
    let mut server = Server::start_in(Arc::clone(&folder), &of_file).await;
    let running = server.put(202, "/work", json!({"steps": 1000, "pause_ms": 1000})).await.id();
    server.running(&running).await;
    let waiting = server.put(202, "/work", json!({"steps": 1, "pause_ms": 1})).await.id();
    server.kill();
    let server = Server::start_in(folder, "routes: []\n").await;
    assert_eq!(server.get(200, &format!("/tasks/{waiting}")).await.text("State"), "NotStarted");
    uploaded(&server, "work", "1", "phases.wasm").await;
    routed(&server, 201, "work", "work", json!({})).await;
    assert_eq!(server.ended(&waiting).await.text("State"), "Completed");
    assert_eq!(server.ended(&running).await.text("Error"), "Route gone: the task's route is no longer configured");
}

#[tokio::test]
async fn former_definitions_are_bounded() {
    let server = bare().await;
    uploaded(&server, "hello", "1", "hello.wasm").await;
    for number in 0..25 {
        let status = if number == 0 { 201 } else { 200 };
        routed(&server, status, "greet", "hello", json!({"arguments": {"number": number}})).await;
    }
    let revisions = server.get(200, "/-/routes/greet/revisions").await;
    let numbers: Vec<_> = revisions.body.as_array().expect("a list").iter().map(|r| r["Revision"].as_u64()).collect();
    assert_eq!(numbers, (6..=25).rev().map(Some).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_route_that_was_set_aside_is_in_nobodys_way() {
    let mut server = bare().await;
    uploaded(&server, "hello", "1", "hello.wasm").await;
    routed(&server, 201, "own", "hello", json!({})).await;
    server.kill();
    let file = component("hello.wasm");
    let of_file = |more: &str| format!("routes: [{{name: own, method: PUT, path: /mine, component: {file}}}{more}]\n");
    let server = Server::start_in(Arc::clone(server.folder()), &of_file("")).await;
    // The file can still be changed,
    let head = "server: {listen: \"127.0.0.1:0\"}\nstore: {url: \"sqlite:tasks.db\"}\n";
    let more = format!(", {{method: PUT, path: /more, component: {file}}}");
    std::fs::write(server.path("sandpool.yaml"), format!("{head}{}", of_file(&more))).expect("writable");
    eventually("the new route", || async {
        (server.request("PUT", "/more").send().await.ok()?.status() == 202).then_some(())
    })
    .await;
    // and what came at runtime can be taken away, which leaves the file's own.
    server.delete(204, "/-/routes/own").await;
    server.delete(409, "/-/routes/own").await;
    assert_eq!(server.run("/mine", json!({})).await.text("State"), "Completed");
}
