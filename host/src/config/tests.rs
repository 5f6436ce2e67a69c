//! Owns the tests of whole files: what loads, and what is said about files that do not.

use super::*;
use crate::ids::IdScheme;
use crate::route::task_route::{IdPlace, Operation};
use crate::route::{IdRule, OnLostHost, PoolSize, Retry, Source, StateGrants};
use crate::task::access::{Allowed, Permission};

/// A folder with the components that the examples name.
pub fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a scratch folder");
    std::fs::create_dir(folder.path().join("components")).expect("a folder in it");
    for file in ["components/sleep.wasm", "ids.wasm"] {
        std::fs::write(folder.path().join(file), b"").expect("a file in it");
    }
    folder
}

/// Variables of the environment.
pub fn variable(name: &str) -> Option<String> {
    let known = [
        ("LIMIT", "2MiB"),
        ("N", "3"),
        ("DIGITS", "12345"),
        ("YES", "true"),
        ("TRICK", "x: {y"),
        ("SECRET", "t0p-secret"),
    ];
    known.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
}

/// The faults of a text, with the folder's name taken out.
pub fn faults(text: &str, format: Format) -> String {
    let folder = folder();
    let faults = Config::parse(text, format, folder.path(), "a", &variable).expect_err(text);
    faults.to_string().replace(&folder.path().display().to_string(), "/etc/sandpool")
}

/// A text without faults.
pub fn loaded(text: &str, format: Format, folder: &Path) -> Config {
    Config::parse(text, format, folder, "a", &variable).unwrap_or_else(|faults| panic!("{text}\n{faults}"))
}

fn json(text: &str) -> Json {
    Json::parse(text.into()).expect("valid")
}

const FULL: &str = r#"
server: {listen: 127.0.0.1:8081, public_url: "http://localhost:8080/", body_limit: 2MiB, shutdown_grace: 45s}
store: {url: sqlite:tasks.db, retention: 12h, retention_failed: 2d}
node: {name: host-1}
variables: {uSleepTime: 5, uMessage: coming from using, unused: [1]}
state: {data: {sleepTime: 5, Message: coming from a state}, count: 0}
routes:
  - method: put
    path: /orders/{id}
    name: orders
    component: components/sleep.wasm
    arguments: {sleepTime2: 2, Message: coming as argument, big: 12345678901234567890123, exact: 0.10}
    using: [uMessage, uSleepTime, uMessage]
    state: {read: [data], write: counter}
    timeout: -1
    run_timeout: 5m
    cpu_limit: 10s
    pool: {min: 0, max: 4, queue: 10}
    memory: 32MiB
    cancellable: false
    id: {component: ids.wasm}
    retry: {attempts: 3, backoff: 1.5s, on_lost_host: rerun}
task_routes:
  - {operation: get, path: /task, in: [header, query, header], id_name: X-Task}
  - {operation: stop, path: /task, in: cookie}
"#;

#[test]
fn every_key_is_read() {
    let folder = folder();
    let config = loaded(FULL, Format::Yaml, folder.path());
    assert_eq!(config.server.listen, ([127, 0, 0, 1], 8081).into());
    assert_eq!(config.server.public_url.as_deref(), Some("http://localhost:8080"));
    assert_eq!((config.server.body_limit, config.server.shutdown_grace), (2 << 20, Duration::from_secs(45)));
    assert_eq!(config.store.url, StoreUrl::SqliteFile(folder.path().join("tasks.db")));
    assert_eq!(
        [config.store.retention, config.store.retention_failed],
        [12, 48].map(|h| Duration::from_secs(h * 3600))
    );
    assert_eq!(config.node, "host-1");
    let data = json(r#"{"sleepTime":5,"Message":"coming from a state"}"#);
    assert_eq!(config.state, [("data".into(), data), ("count".into(), json("0"))]);
    let exact = r#"{"sleepTime2":2,"Message":"coming as argument","big":12345678901234567890123,"exact":0.10}"#;
    let route = Route {
        tenant: None,
        name: "orders".into(),
        method: "PUT".into(),
        path: "/orders/{id}".into(),
        component: Source::File(folder.path().join("components/sleep.wasm")),
        arguments: json(exact),
        variables: json(r#"{"uMessage":"coming from using","uSleepTime":5}"#),
        state: StateGrants { read: vec!["data".into()], write: vec!["counter".into()] },
        grants: Default::default(),
        timeout: None,
        run_timeout: Some(Duration::from_secs(300)),
        cpu_limit: Some(Duration::from_secs(10)),
        pool: PoolSize { min: 0, max: 4, queue: 10 },
        memory: 32 << 20,
        cancellable: false,
        id: IdRule::Component(folder.path().join("ids.wasm")),
        sse: None,
        retry: Retry { attempts: 3, backoff: Duration::from_millis(1500), on_lost_host: OnLostHost::Rerun },
        logs: Default::default(),
        responses: vec![crate::codec::Format::Json],
        auth: None,
        access: Allowed::default(),
        permission: Permission::default(),
        callback: None,
        summary: None,
        tags: Vec::new(),
    };
    assert_eq!(config.routes, [Arc::new(route)]);
    let task_route = |operation, places, id_name: &str| {
        let (path, id_name) = ("/task".to_owned(), id_name.to_owned());
        TaskRoute { operation, path, places, id_name, responses: vec![crate::codec::Format::Json], auth: None }
    };
    let get = task_route(Operation::Get, vec![IdPlace::Header, IdPlace::Query], "X-Task");
    assert_eq!(config.task_routes, [get, task_route(Operation::Stop, vec![IdPlace::Cookie], "taskId")]);
}

#[test]
fn what_is_not_said_has_a_default() {
    let folder = folder();
    let text = "\u{feff}server:\nroutes: [{method: PUT, path: /orders/{id}, component: ids.wasm}]";
    let text = text.replace("/orders/{id}", "\"/orders/{id}\"");
    let config = loaded(&text, Format::Yaml, folder.path());
    let server = Server {
        listen: ([127, 0, 0, 1], 8080).into(),
        tls: None,
        public_url: None,
        body_limit: 1 << 20,
        shutdown_grace: Duration::from_secs(30),
        connections: 10_000,
        cors: Vec::new(),
        rate_limit: None,
    };
    assert_eq!(config.server, server);
    assert_eq!(config.store.url, StoreUrl::SqliteFile(folder.path().join("sandpool.db")));
    assert_eq!(config.store.retention, Duration::from_secs(86_400));
    assert_eq!(config.store.retention_failed, Duration::from_secs(7 * 86_400));
    assert!((1..=64).contains(&config.node.len()), "{}", config.node);
    assert_eq!(config.task_routes, TaskRoute::defaults());
    let route = config.routes.first().expect("one route");
    assert_eq!(&*route.name, "__Put_orders_{id}__");
    assert_eq!((&route.arguments, &route.variables), (&json("{}"), &json("{}")));
    assert_eq!((route.timeout, route.run_timeout, route.cpu_limit), (Some(Duration::from_secs(36_000)), None, None));
    assert_eq!(route.pool, PoolSize { min: 1, max: 2, queue: 1000 });
    assert_eq!((route.memory, route.cancellable), (64 << 20, true));
    assert_eq!(route.id, IdRule::Scheme(IdScheme::Uuid));
    let retry = Retry { attempts: 1, backoff: Duration::from_secs(1), on_lost_host: OnLostHost::Fail };
    assert_eq!((&route.state, route.retry), (&StateGrants::default(), retry));
}

#[test]
fn the_three_formats_say_the_same() {
    let yaml = "
node: {name: n}
variables: {v: {b: [1, 2.50, true, 'x\n\n  y'], a: \"\\ud83d\\ude00\"}, day: 1979-05-27}
routes:
  - {method: PUT, path: '/a/{b}', component: ids.wasm, using: [v, day], timeout: 90, pool: {max: 1}}
  - method: POST
    path: /a
    component: ids.wasm
";
    let yaml = yaml.replace("\\ud83d\\ude00", "\\U0001F600");
    let json = r#"{
	"node": {"name": "n"},
	"variables": {"v": {"b": [1, 2.50, true, "x\ny"], "a": "\ud83d\ude00"}, "day": "1979-05-27"},
	"routes": [
		{"method": "PUT", "path": "\/a/{b}", "component": "ids.wasm", "using": ["v", "day"], "timeout": 90, "pool": {"max": 1}},
		{"method": "POST", "path": "/a", "component": "ids.wasm"}
	]
}"#;
    let toml = r#"
node.name = "n"
[variables]
v = {b = [1, 2.50, true, "x\ny"], a = "\U0001F600"}
day = 1979-05-27
[[routes]]
method = "PUT"
path = "/a/{b}"
component = "ids.wasm"
using = ["v", "day"]
timeout = 90
[routes.pool]
max = 1
[[routes]]
method = "POST"
path = "/a"
component = "ids.wasm"
"#;
    let folder = folder();
    let config = loaded(&yaml, Format::Yaml, folder.path());
    assert_eq!(config, loaded(json, Format::Json, folder.path()));
    assert_eq!(config, loaded(toml, Format::Toml, folder.path()));
    let captured = config.routes.first().map(|route| route.variables.as_str().to_owned());
    assert_eq!(captured.as_deref(), Some(r#"{"v":{"b":[1,2.50,true,"x\ny"],"a":"😀"},"day":"1979-05-27"}"#));
}

#[test]
fn variables_take_the_type_that_is_expected() {
    let yaml = r#"
server:
  body_limit: ${LIMIT}
node: {name: "${DIGITS}"}
variables: {plain: "x", trick: "${TRICK}"}
state:
  number: ${N}
  quoted: "${N}"
  escaped: $${N}
  mixed: n${N}
routes:
  - method: put
    path: /${NO:-a}
    name: ${DIGITS}
    component: ids.wasm
    using: trick
    timeout: ${NO:-}
    cancellable: ${YES}
    pool: {min: "${NO:-2}", max: "${N}"}
"#;
    let config = loaded(yaml, Format::Yaml, folder().path());
    assert_eq!((config.server.body_limit, config.node.as_str()), (2 << 20, "12345"));
    let state: Vec<_> = config.state.iter().map(|(_, value)| value.as_str()).collect();
    assert_eq!(state, ["3", "\"3\"", "\"${N}\"", "\"n3\""]);
    let route = config.routes.first().expect("one route");
    assert_eq!((&*route.name, route.path.as_str(), route.pool.min, route.pool.max), ("12345", "/a", 2, 3));
    assert_eq!(route.timeout, Some(Duration::from_secs(36_000)));
    assert_eq!(route.variables.as_str(), r#"{"trick":"x: {y"}"#);
}

#[test]
fn all_faults_are_told_at_once() {
    let text = "\
server:
  listen: 0.0.0.0:80
routes:
  - method: PUTT
    path: /orders/{id}
    component: components/slep.wasm
    timout: 10m
    cancellable: yes
";
    let told = "\
a:2:11: listen: other machines reach 0.0.0.0:80, and no route asks who they are; listen at 127.0.0.1, or say `open: true` if that is meant
a:4:13: method: expected GET, POST, PUT, PATCH or DELETE, found the text `PUTT`; did you mean `PUT`?
a:6:16: component: expected a file at /etc/sandpool/components/slep.wasm, found nothing
a:7:5: unknown key `timout` in a route; did you mean `timeout`?
a:8:18: cancellable: expected true or false, found the text `yes`";
    assert_eq!(faults(text, Format::Yaml), told);
}

/// A route without faults, for a file that has its fault elsewhere.
pub const ROUTE: &str = "routes: [{method: put, path: /a, component: ids.wasm}]\n";

#[test]
fn faults_of_sections() {
    let cases = [
        ("", "a:1:1: expected routes under `routes`, found none; `routes: []` if all of them come at runtime"),
        ("routes: 5", "a:1:9: routes: expected a list, found the number 5"),
        ("routes: [5]", "a:1:10: expected a map for a route, found the number 5"),
        ("- a", "a:1:1: expected a map for the configuration, found a list"),
        ("ROUTE server: 5", "a:2:9: expected a map for `server`, found the number 5"),
        ("ROUTE task_routes: x", "a:2:14: task_routes: expected a list, found the text `x`"),
        ("ROUTE variables: [x]", "a:2:12: expected a map for `variables`, found a list"),
        (
            "ROUTE color: 5",
            "a:2:1: unknown key `color` in the configuration; it may have server, store, node, variables, state, logs, auth, admin, openapi, callbacks, plugins, tenants, audit, routes, task_routes",
        ),
        ("ROUTE server: {lissen: x}", "a:2:10: unknown key `lissen` in `server`; did you mean `listen`?"),
        (
            "ROUTE server: {listen: ':80'}",
            "a:2:18: listen: expected an address and a port such as 127.0.0.1:8080 or [::1]:8080, found the text `:80`",
        ),
        (
            "ROUTE server: {listen: '[::]:80', open: maybe}",
            "a:2:35: open: expected true or false, found the text `maybe`",
        ),
        (
            "ROUTE server: {public_url: 'ftp://x'}",
            "a:2:22: public_url: expected a URL such as https://host/base, without a query, found the text `ftp://x`",
        ),
        (
            "ROUTE server: {body_limit: 1TB}",
            "a:2:22: body_limit: expected a size from 1KiB to 64MiB, found the text `1TB`",
        ),
        ("ROUTE server: {body_limit: 1}", "a:2:22: body_limit: expected a size from 1KiB to 64MiB, found the number 1"),
        (
            "ROUTE server: {shutdown_grace: -1}",
            "a:2:26: shutdown_grace: expected a duration such as 500ms, 30s, 10m, 24h or 7d, found the number -1",
        ),
        (
            "ROUTE store: {url: 'postgres://db/x'}",
            "a:2:14: url: PostgreSQL is not supported by this version; expected sqlite:PATH or sqlite::memory:",
        ),
        (
            "ROUTE store: {url: 'sqlite:'}",
            "a:2:14: url: expected sqlite:PATH or sqlite::memory:, found the text `sqlite:`",
        ),
        ("ROUTE store: {retention: 0}", "a:2:20: retention: expected a duration of more than zero, found the number 0"),
        (
            "ROUTE node: {name: a/b}",
            "a:2:14: name: expected 1 to 64 letters, digits, '.', '_' or '-', found the text `a/b`",
        ),
        ("ROUTE node: {name: 5}", "a:2:14: name: expected a text, found the number 5; put it in quotes"),
        ("ROUTE state: {'': 5}", "a:2:9: expected a name of 1 to 128 bytes, found ``"),
        ("ROUTE state: {x: .nan}", "a:2:12: expected a number that JSON can hold, found .nan"),
        (
            "ROUTE state: {x: '${NO}'}",
            "a:2:12: the environment variable `NO` is not set; set it, or write `${NO:-default}`",
        ),
    ];
    for (text, told) in cases {
        assert_eq!(faults(&text.replace("ROUTE ", ROUTE), Format::Yaml), told, "{text}");
    }
}

#[test]
fn faults_of_a_route() {
    let cases = [
        ("path: /a, component: ids.wasm", "a:1:10: a route needs the key `method`"),
        ("METHOD, path: a, WASM", "path: expected a path that begins with `/`, found the text `a`"),
        (
            "METHOD, path: /-/x, WASM",
            "path: expected a path outside of `/-/`, which is Sandpool's own, found the text `/-/x`",
        ),
        (
            "METHOD, path: /ä, WASM",
            "path: expected a path of visible ASCII characters without `?` and `#`, found 'ä' in it",
        ),
        ("METHOD, path: '/{a', WASM", "the path /{a is malformed: Parameters must be registered with a valid name"),
        (
            "ALL, name: a b",
            "name: expected a name without slashes and blanks, and neither `.` nor `..`, found the text `a b`",
        ),
        ("METHOD, path: /a, component: .", "component: expected a file at /etc/sandpool/., found a folder"),
        ("ALL, arguments: [1]", "arguments: expected a map, found a list"),
        ("ALL, using: uMesage", "using: expected a name under `variables`, found `uMesage`; did you mean `uMessage`?"),
        ("ALL, state: {write: [5]}", "write: expected a text, found the number 5; put it in quotes"),
        (
            "ALL, timeout: 0",
            "timeout: expected a duration of more than zero such as 30s, 10m or 24h, or -1 for none, found the number 0",
        ),
        (
            "ALL, run_timeout: -1",
            "run_timeout: expected a duration such as 500ms, 30s, 10m, 24h or 7d, found the number -1",
        ),
        ("ALL, pool: {max: 1001}", "max: expected a whole number from 1 to 1000, found the number 1001"),
        ("ALL, pool: {min: 5, max: x}", "max: expected a whole number from 1 to 1000, found the text `x`"),
        ("ALL, pool: {min: 3}", "min: expected at most `max`, which is 2 by default, found 3"),
        ("ALL, pool: {min: 3, max: 1}", "min: expected at most `max`, which is 1, found 3"),
        ("ALL, memory: 2GiB", "memory: expected a size from 64KiB to 1GiB, found the text `2GiB`"),
        (
            "ALL, id: uuid8",
            "id: expected uuid, uuid7, ulid, nanoid or {component: FILE}, found the text `uuid8`; did you mean `uuid`?",
        ),
        (
            "ALL, id: {file: x}",
            "a route's `id` needs the key `component`\nunknown key `file` in a route's `id`; it may have component",
        ),
        ("ALL, retry: {attempts: 0}", "attempts: expected a whole number from 1 to 100, found the number 0"),
        (
            "ALL, retry: {on_lost_host: re-run}",
            "on_lost_host: expected fail or rerun, found the text `re-run`; did you mean `rerun`?",
        ),
    ];
    for (text, told) in cases {
        let text = text.replace("ALL", "METHOD, path: /a, WASM");
        let text = text.replace("METHOD", "method: put").replace("WASM", "component: ids.wasm");
        let found = faults(&format!("routes: [{{{text}}}]\nvariables: {{uMessage: x}}"), Format::Yaml);
        // The places are those of one line, so that the words are what matters here.
        let words: Vec<_> = found.lines().filter_map(|line| line.split_once(": ")).map(|(_, words)| words).collect();
        assert_eq!(words.join("\n"), told.trim_start_matches("a:1:10: "), "{text}");
    }
}

#[test]
fn faults_between_endpoints() {
    let text = "
routes:
  - {method: get, path: '/tasks/{x}', component: ids.wasm}
  - {method: get, path: /a/b, component: ids.wasm}
  - {method: get, path: /a_b, component: ids.wasm}
  - {method: GET, path: /a/b, component: ids.wasm}
  - {method: put, path: '/c/{x}', component: ids.wasm, name: c}
  - {method: post, path: '/c/{y}', component: ids.wasm, name: c}
";
    let told = "\
a:3:25: the path /tasks/{x} cannot stand beside /tasks/{taskId} (a task route by default; configure `task_routes` to move it)
a:5:25: name: expected one of its own, `__Get_a_b__` is that of line 4
a:6:25: GET /a/b is already taken (line 4)
a:8:26: the path /c/{y} cannot stand beside /c/{x} (line 7)
a:8:63: name: expected one of its own, `c` is that of line 7";
    assert_eq!(faults(text, Format::Yaml), told);
    let text = "
task_routes:
  - {operation: find, path: /a}
  - {operation: get, path: '/a/{x}'}
  - {operation: get, path: /a, in: []}
  - {operation: get, path: /a, in: [pth]}
  - {operation: get, path: /b, in: path, id_name: a b}
  - {operation: get, path: /c}
  - {operation: get, path: /c}
routes:
  - {method: get, path: '/c/{x}', component: ids.wasm}
";
    let told = "\
a:3:17: operation: expected get, stop, query or events, found the text `find`
a:4:28: path: expected a path without parameters: the task's id is added to it, found the text `/a/{x}`
a:5:36: in: expected at least one value, found an empty list
a:6:37: in: expected path, query, header, cookie or body, found the text `pth`; did you mean `path`?
a:7:51: id_name: expected a letter or '_', then letters, digits, '_' or '-', found the text `a b`
a:9:28: GET /c/{taskId} is already taken (line 8)
a:11:25: the path /c/{x} cannot stand beside /c/{taskId} (line 8)";
    assert_eq!(faults(text, Format::Yaml), told);
}

#[test]
fn a_file_that_cannot_be_read_is_one_fault() {
    let folder = folder();
    let told = |name: &str| {
        let faults = Config::load(&folder.path().join(name)).expect_err(name).to_string();
        faults.replace(&folder.path().display().to_string(), "")
    };
    std::fs::write(folder.path().join("latin.yaml"), b"# \xe4").expect("written");
    std::fs::create_dir(folder.path().join("folder.toml")).expect("made");
    std::fs::write(folder.path().join("long.json"), vec![b' '; (4 << 20) + 1]).expect("written");
    assert_eq!(told("no.yaml"), "/no.yaml: there is no such file; write it, or name another one");
    assert_eq!(told("folder.toml"), "/folder.toml: this is a folder; name the file in it");
    assert_eq!(told("ids.wasm"), "/ids.wasm: expected a file that ends in .yaml, .yml, .json or .toml");
    assert_eq!(told("latin.yaml"), "/latin.yaml: this file is not UTF-8 at byte 3; save it as UTF-8");
    assert_eq!(told("long.json"), "/long.json: this file is longer than 4MiB; name a configuration file");
    std::fs::write(folder.path().join("ok.YML"), ROUTE).expect("written");
    let config = Config::load(&folder.path().join("ok.YML")).expect("no faults");
    assert_eq!(
        config.routes.first().map(|route| route.component.clone()),
        Some(Source::File(folder.path().join("ids.wasm")))
    );
}
