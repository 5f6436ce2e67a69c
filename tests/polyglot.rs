//! One conformance suite for the guests of all languages: each folder of `guest-examples` that builds components has one
//! called `tour`, which shows the same behaviours as every other. `guest-examples/README.md` says which.
//!
//! One test for each language: it compiles the component once, runs every behaviour, and prints the language's row of the
//! README's table.

use crate::following::{Stream, data, names};
use crate::polyglot_fetch::fetch;
use crate::support::{Answer, Server, component, eventually, sandpool};
use crate::web::Web;
use futures_util::FutureExt;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Folders of `guest-examples` that hold no language.
const OTHERS: [&str; 4] = ["prebuilt", "recipes", "starter", "target"];

macro_rules! languages {
    ($($name:ident),*) => {
        const LANGUAGES: &[&str] = &[$(stringify!($name)),*];
        $(
            #[tokio::test]
            async fn $name() {
                conforms(stringify!($name)).await;
            }
        )*
    };
}

languages!(c, cpp, go, js, python, rust, zig);

type Behaviour = for<'a> fn(&'a Tour) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

/// What every language must show: the columns of the table.
const BEHAVIOURS: [(&str, Behaviour); 9] = [
    ("echo", |tour| Box::pin(echo(tour))),
    ("sum", |tour| Box::pin(sum(tour))),
    ("cas", |tour| Box::pin(cas(tour))),
    ("events", |tour| Box::pin(events(tour))),
    ("fetch", |tour| Box::pin(fetch(tour))),
    ("fail", |tour| Box::pin(fail(tour))),
    ("raise", |tour| Box::pin(raise(tour))),
    ("loop", |tour| Box::pin(endless(tour))),
    ("describe", |tour| Box::pin(describe(tour))),
];

/// A server with one language's component behind its routes.
pub struct Tour {
    server: Server,
    /// A web server that the route is granted, another that it is not, and a granted address that nobody listens to.
    pub web: Web,
    pub other: Web,
    pub nobody: String,
}

impl Tour {
    /// The finished task of this input.
    pub async fn shows(&self, input: Value) -> Answer {
        self.server.run("/tour/x", input).await
    }

    /// The result of this input.
    pub async fn gives(&self, input: Value) -> Value {
        let ended = self.shows(input).await;
        assert_eq!(ended.text("State"), "Completed", "{ended:?}");
        ended.body["Result"].clone()
    }

    /// The task failed with this message and this detail; null: without.
    pub async fn refuses(&self, input: Value, message: &str, detail: Value) {
        let ended = self.shows(input).await;
        assert_eq!((ended.text("State"), ended.text("Error")), ("Failed", message), "{ended:?}");
        assert_eq!(ended.body.get("Result").cloned().unwrap_or(Value::Null), detail);
    }

    /// The mean of a histogram's series in microseconds.
    async fn mean(&self, name: &str, label: &str) -> f64 {
        let metrics = self.server.get(200, "/-/metrics").await.body;
        let of = |what: &str| {
            let lines = metrics.as_str().expect("text").lines();
            let of_series = lines.filter(|line| line.starts_with(&format!("{name}{what}")) && line.contains(label));
            of_series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>()
        };
        of("_sum") / of("_count") * 1e6
    }
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-examples").canonicalize().expect("the folder")
}

#[test]
fn every_language_is_tested() {
    let folders: BTreeSet<String> = std::fs::read_dir(examples())
        .expect("the folder")
        .map(|entry| entry.expect("an entry"))
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !OTHERS.contains(&name.as_str()))
        .collect();
    let tested: BTreeSet<String> = LANGUAGES.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(folders, tested, "the folders of guest-examples and the languages of this suite");
}

#[test]
fn every_behaviour_is_documented() {
    let text = std::fs::read_to_string(examples().join("README.md")).expect("the page");
    let missing: Vec<&str> =
        BEHAVIOURS.iter().map(|(name, _)| *name).filter(|name| !text.contains(&format!("| `{name}` |"))).collect();
    assert!(missing.is_empty(), "guest-examples/README.md does not say what these are: {missing:?}");
}

async fn conforms(language: &str) {
    let file = component(&format!("tour-{language}.wasm"));
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let cache = folder.path().join("compiled");
    let cache = cache.to_str().expect("text");
    let began = Instant::now();
    let seen = sandpool().env("SANDPOOL_CACHE", cache).args(["inspect", "--json", &file]).output().expect("runs");
    let compile = began.elapsed();
    let facts: Value = serde_json::from_slice(&seen.stdout).expect("JSON");
    let exports = facts["exports"].as_array().expect("a list");
    assert!(facts["world"] == "route" && exports.contains(&json!("describe")), "{facts}");
    let memory = least_memory(&file, cache);

    let (web, other) = (Web::start().await, Web::start().await);
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let nobody = free.local_addr().expect("an address").to_string();
    drop(free);
    let granted = [web.authority.as_str(), nobody.as_str()];
    let server = Server::start_as(folder.clone(), &[("SANDPOOL_CACHE", cache)], &routes(&file, &granted)).await;
    let tour = Tour { server, web, other, nobody };
    let mut lacks = Vec::new();
    for (name, behaviour) in BEHAVIOURS {
        // A failed assertion says what was expected; here it counts which behaviours lack.
        if AssertUnwindSafe(behaviour(&tour)).catch_unwind().await.is_err() {
            lacks.push(name);
        }
    }
    for _ in 0..50 {
        tour.server.run("/timed", json!({"do": "events", "count": 0})).await;
    }
    let columns = BEHAVIOURS.map(|(name, _)| if lacks.contains(&name) { "**no**" } else { "yes" }).join(" | ");
    println!(
        "| {language} | {columns} | {} KB | {:.2} s | {:.0} µs | {:.0} µs | {memory} MiB |",
        Path::new(&file).metadata().expect("facts").len() / 1000,
        compile.as_secs_f64(),
        tour.mean("sandpool_guest_instantiate_seconds", "").await,
        tour.mean("sandpool_run_seconds", "route=\"timed\"").await,
    );
    assert!(lacks.is_empty(), "{language} lacks {lacks:?}");
}

/// The least `memory` with which the component answers, in MiB.
fn least_memory(file: &str, cache: &str) -> u32 {
    let enough = |mib: &u32| {
        let input = r#"{"do": "echo", "value": [1, 2, 3]}"#;
        let mut program = sandpool();
        program.env("SANDPOOL_CACHE", cache).args(["run", file, "--input", input, "--memory", &mib.to_string()]);
        program.output().expect("runs").status.success()
    };
    [1, 2, 3, 4, 6, 8, 12, 16, 20, 24, 32, 48, 64].into_iter().find(enough).expect("64 MiB are the default")
}

fn routes(file: &str, granted: &[&str]) -> String {
    format!(
        r#"
server: {{listen: "127.0.0.1:0", body_limit: 4MiB}}
store: {{url: "sqlite:tasks.db"}}
auth:
  users: [{{id: m, name: morty, api_keys: ['{key}'], groups: [Software, Platform], roles: [cook], scopes: [eat]}}]
  schemes: {{key: {{type: api_key, in: header, name: X-API-KEY}}}}
variables: {{colour: grün, size: [1, 2.5]}}
state: {{counter: 40}}
routes:
  - {{method: PUT, path: "/tour/{{place}}", name: tour, component: {file}, arguments: {{a: {{b: null}}}}, using: [colour, size], state: {{read: [counter], write: [counter, fresh, "größe"]}}, pool: {{max: 4}}, sse: {{}}, grants: {{http: {granted}}}}}
  - {{method: PUT, path: /mine, name: mine, component: {file}, auth: key, pool: {{min: 0}}}}
  - {{method: PUT, path: /timed, name: timed, component: {file}}}
"#,
        key = crate::support::hash("key", "pickle"),
        granted = json!(granted),
    )
}

/// All that a task is given arrives, and any value goes through as it is.
async fn echo(tour: &Tour) {
    let values = [
        json!(null),
        json!(false),
        json!(0),
        json!(-12.5),
        json!(9_007_199_254_740_991_i64),
        json!(1e300),
        json!(""),
        json!("größe \u{1F600} \"\\/\u{8}\u{c}\n\r\t\u{1} \u{2028} </script> 日本"),
        json!([]),
        json!({}),
        json!([[{"": [null, true, {"ключ": "значение", "a\"b": 1}]}]]),
    ];
    for value in values {
        let seen = tour.gives(json!({"do": "echo", "value": value})).await;
        assert_eq!((&seen["value"], &seen["greeting"]), (&value, &json!("Hello, world!")));
    }
    let deep = (0..100).fold(json!("deep"), |value, _| json!([value]));
    assert_eq!(tour.gives(json!({"do": "echo", "value": deep})).await["value"], deep);
    let long = "ß".repeat(200_000);
    assert_eq!(tour.gives(json!({"do": "echo", "value": long})).await["value"], json!(long));

    let input = json!({"do": "echo", "name": "Zoë 🦊"});
    let path = "/tour/h%C3%A9?q=1&q=%C3%BC&empty=";
    let asked = tour.server.request("PUT", path).header("x-tour", "one").header("x-tour", "two").json(&input);
    let task = tour.server.send(202, asked).await;
    let seen = tour.server.ended(&task.id()).await.body["Result"].clone();
    let request = &seen["request"];
    assert_eq!(seen["greeting"], "Hello, Zoë 🦊!");
    assert_eq!(seen["value"], Value::Null);
    assert_eq!(seen["task"], task.body["Id"]);
    assert_eq!(seen["attempt"], 1);
    assert_eq!(seen["arguments"], json!({"a": {"b": null}}));
    assert_eq!(seen["variables"], json!({"colour": "grün", "size": [1, 2.5]}));
    assert_eq!(seen["names"], json!(["counter", "fresh", "größe"]));
    assert_eq!(seen["user"], Value::Null);
    assert_eq!((&request["method"], &request["url"]), (&json!("PUT"), &json!(format!("{}{path}", tour.server.base))));
    assert_eq!(request["path"], json!([["place", "hé"]]));
    assert_eq!(request["query"], json!([["q", "1"], ["q", "ü"], ["empty", ""]]));
    let headers = request["headers"].as_array().expect("a list");
    let of_tour: Vec<&Value> = headers.iter().filter(|header| header[0] == "x-tour").collect();
    assert_eq!(of_tour, [&json!(["x-tour", "one"]), &json!(["x-tour", "two"])]);

    let mine = tour.server.request("PUT", "/mine").header("x-api-key", "pickle").header("prefer", "wait=60");
    let ended = tour.server.send(200, mine.json(&json!({"do": "echo"}))).await;
    let user = json!({"id": "m", "groups": ["Software", "Platform"], "roles": ["cook"], "scopes": ["eat"]});
    assert_eq!(ended.body["Result"]["user"], user, "{ended:?}");
}

/// The same sum to the last bit, with progress by ticks and by number, and a line of log at the level that is asked for.
async fn sum(tour: &Tour) {
    let expected: f64 = (1..=100_000).map(|i| f64::from(i).sqrt()).sum();
    let task = tour.shows(json!({"do": "sum", "from": 1, "to": 100_000})).await;
    // JSON has one kind of number: 45 and 45.0 are the same.
    let seen = ["sum", "halfway", "progress"].map(|field| task.body["Result"][field].as_f64());
    assert_eq!(seen, [Some(expected), Some(45.0), Some(95.0)], "{task:?}");
    assert_eq!(task.body["Progress"], 100);
    let events = Stream::open(&tour.server, &format!("/events?taskId={}", task.id()), Some(0)).await.rest().await;
    let progress = data(&events, "progress");
    assert!(progress.iter().any(|percent| percent.as_f64() == Some(95.0)), "{progress:?}");

    for level in ["trace", "debug", "info", "warn", "error"] {
        let task = tour.shows(json!({"do": "sum", "from": 7, "to": 7, "level": level})).await;
        assert_eq!(task.body["Result"]["sum"].as_f64(), Some(7_f64.sqrt()));
        let lines = tour.server.get(200, &format!("/tasks/{}/log", task.id())).await.body;
        let line = json!([lines[0]["level"], lines[0]["message"], lines[0]["fields"]]);
        assert_eq!(line, json!([level, "summing the square roots of 7 to 7", [["from", "7"], ["to", "7"]]]), "{lines}");
        assert_eq!(lines.as_array().map(Vec::len), Some(1), "{lines}");
    }
    let detail = json!({"from": 5, "to": 1});
    tour.refuses(json!({"do": "sum", "from": 5, "to": 1}), "from must not be above to: 5 > 1", detail).await;
}

/// Versions, conflicts and refusals arrive as what they are; what many tasks count at once is not lost.
async fn cas(tour: &Tour) {
    let made = json!({"do": "cas", "name": "größe", "by": 5, "expected": null});
    assert_eq!(tour.gives(made.clone()).await, json!({"value": 5, "version": 1}));
    let conflict = json!({"variable": "größe", "reason": "conflict", "version": 1});
    tour.refuses(made, "größe is at version 1", conflict).await;
    let stale = json!({"do": "cas", "name": "fresh", "by": 5, "expected": 9_007_199_254_740_991_i64});
    tour.refuses(stale, "fresh is at version 0", json!({"variable": "fresh", "reason": "conflict", "version": 0}))
        .await;
    let next = json!({"do": "cas", "name": "größe", "by": -7, "expected": 1});
    assert_eq!(tour.gives(next).await, json!({"value": -7, "version": 2}));
    let set = json!({"do": "cas", "name": "größe", "set": {"any": ["thing", null]}});
    assert_eq!(tour.gives(set).await, json!({"value": {"any": ["thing", null]}, "version": 3}));

    let denied = json!({"variable": "secret", "reason": "denied"});
    tour.refuses(json!({"do": "cas", "name": "secret"}), "this route may not use secret", denied.clone()).await;
    tour.refuses(json!({"do": "cas", "name": "secret", "set": 1}), "this route may not use secret", denied).await;
    let large = tour.shows(json!({"do": "cas", "name": "fresh", "set": "x".repeat(1 << 20)})).await;
    assert!(large.text("Error").starts_with("fresh cannot be used: "), "{}", large.text("Error"));
    assert_eq!(large.body["Result"], json!({"variable": "fresh", "reason": "unavailable"}));

    // Some 140 MB come from the host in one call; the route has 64 MiB.
    let long = json!("ü".repeat(50_000));
    tour.gives(json!({"do": "cas", "name": "fresh", "set": long})).await;
    let kept = tour.gives(json!({"do": "cas", "name": "fresh", "reads": 1400, "set": 0})).await;
    assert_eq!(kept["value"], 0);

    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(tour.server.put(202, "/tour/x", json!({"do": "cas", "name": "counter", "by": 3})).await.id());
    }
    for id in ids {
        let ended = tour.server.ended(&id).await;
        assert_eq!(ended.text("State"), "Completed", "{ended:?}");
    }
    let last = tour.gives(json!({"do": "cas", "name": "counter"})).await;
    assert_eq!(last["value"], 40 + 20 * 3 + 1, "{last}");
}

/// Events of the guest's own, in their order.
async fn events(tour: &Tour) {
    let task = tour.shows(json!({"do": "events", "count": 300})).await;
    assert_eq!(task.body["Result"], json!({"sent": 300}), "{task:?}");
    let events = Stream::open(&tour.server, &format!("/events?taskId={}", task.id()), Some(0)).await.rest().await;
    let expected: Vec<Value> = (1..=300).map(|number| json!({"number": number, "of": 300})).collect();
    assert_eq!(data(&events, "tour"), expected.iter().collect::<Vec<_>>());
    assert_eq!(names(&events).last(), Some(&"done"));
    assert_eq!(tour.gives(json!({"do": "events"})).await, json!({"sent": 3}));
}

/// A failure with what its task says of it, or without.
async fn fail(tour: &Tour) {
    let detail = json!({"why": ["größe", 1.5, null], "":{}});
    let message = "no \"pickles\" 🥒 left";
    tour.refuses(json!({"do": "fail", "message": message, "detail": detail}), message, detail.clone()).await;
    tour.refuses(json!({"do": "fail", "message": "plain"}), "plain", Value::Null).await;
    tour.refuses(json!({"do": "fail", "message": "falsy", "detail": false}), "falsy", json!(false)).await;
}

/// An exception, error or the like of the language's own is a failure with its message, not a trap.
async fn raise(tour: &Tour) {
    tour.refuses(json!({"do": "raise", "message": "the oven is cold"}), "the oven is cold", Value::Null).await;
}

/// An endless loop is stopped, and its slot is free.
async fn endless(tour: &Tour) {
    for _ in 0..3 {
        let mut ids = Vec::new();
        for _ in 0..4 {
            ids.push(tour.server.put(202, "/tour/x", json!({"do": "loop"})).await.id());
        }
        for id in &ids {
            tour.server.running(id).await;
        }
        for id in ids {
            let asked = Instant::now();
            let stopped = tour.server.delete(200, &format!("/tasks/{id}")).await;
            assert_eq!((stopped.text("State"), stopped.text("Error")), ("Aborted", "Aborted by the user"));
            // Far more than the 50 ms of the contract: these machines are noisy.
            assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
        }
    }
    tour.gives(json!({"do": "events", "count": 0})).await;
    eventually("an idle server", || async {
        let before = tour.server.cpu_seconds();
        tokio::time::sleep(Duration::from_millis(200)).await;
        (tour.server.cpu_seconds() - before < 0.1).then_some(())
    })
    .await;
}

/// The component's own words and schemas, in the OpenAPI document and before each task.
async fn describe(tour: &Tour) {
    let document = tour.server.get(200, "/openapi.json").await.body;
    let operation = &document["paths"]["/tour/{place}"]["put"];
    let schemas = examples().join("rust/tour/src");
    let of_file = |name: &str| -> Value {
        serde_json::from_str(&std::fs::read_to_string(schemas.join(name)).expect("the schema")).expect("JSON")
    };
    assert_eq!(operation["summary"], "Tour of the guest interface", "{operation}");
    assert!(operation["description"].as_str().is_some_and(|text| text.contains("`do` says what")), "{operation}");
    for (name, file) in [("PutTourByPlaceInput", "input.json"), ("PutTourByPlaceResult", "result.json")] {
        let (mut seen, mut expected) = (document["components"]["schemas"][name].clone(), of_file(file));
        // The document has one dialect, and leaves out the titles of schemas that it shows more than once.
        for schema in [&mut seen, &mut expected] {
            let schema = schema.as_object_mut().expect("a schema");
            schema.remove("$schema");
            schema.remove("title");
        }
        assert_eq!(seen, expected);
    }
    let refused = tour.server.put(422, "/tour/x", json!({"do": "dance"})).await;
    assert!(refused.body["errors"].to_string().contains("/do"), "{refused:?}");
}

/// A component that takes seconds to compile does not hold up the start: its tasks are taken, and wait; what it says about
/// itself holds for them, too.
#[tokio::test]
async fn background() {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let cache = folder.path().join("compiled");
    let environment = [("SANDPOOL_CACHE", cache.to_str().expect("text"))];
    let broken = folder.path().join("broken.wasm");
    let python = component("tour-python.wasm");
    let bytes = std::fs::read(&python).expect("a component");
    std::fs::write(&broken, &bytes[..bytes.len() / 2]).expect("writable");
    let configuration = format!(
        "server: {{listen: \"127.0.0.1:0\"}}\nstore: {{url: \"sqlite:tasks.db\"}}\nroutes:\n  \
         - {{method: PUT, path: /big, component: {python}}}\n  - {{method: PUT, path: /small, component: {}}}\n  \
         - {{method: PUT, path: /broken, component: {}}}\n",
        component("hello.wasm"),
        broken.display(),
    );
    let server = Server::start_as(folder.clone(), &environment, &configuration).await;
    let waiting = server.put(202, "/big", json!({"do": "events", "count": 0})).await.id();
    let unfit = server.put(202, "/big", json!({"do": "nothing"})).await.id();
    let views = server.get(200, "/-/routes").await;
    let state = |views: &Answer, path: &str| {
        let views = views.body.as_array().expect("routes");
        views.iter().find(|view| view["Path"] == path).map(|view| view["State"].clone()).expect("the route")
    };
    assert_eq!((state(&views, "/big"), state(&views, "/small")), (json!("Compiling"), json!("Active")));
    assert_eq!(server.run("/small", json!({})).await.text("State"), "Completed", "others do not wait");
    assert_eq!(server.ended(&waiting).await.text("State"), "Completed");
    let log = server.get(200, &format!("/tasks/{waiting}/log")).await;
    assert!(log.body.to_string().contains("waits for the route's component, which is being compiled"), "{log:?}");
    let unfit = server.ended(&unfit).await;
    assert_eq!(unfit.text("Error"), "the input does not fit the component's schema", "{unfit:?}");
    server.put(422, "/big", json!({"do": "nothing"})).await;
    let document = server.get(200, "/openapi.json").await;
    assert_eq!(document.body["paths"]["/big"]["put"]["summary"], "Tour of the guest interface");
    // One that cannot be compiled is known as faulty, and takes no tasks.
    eventually("the fault", || async {
        (state(&server.get(200, "/-/routes").await, "/broken") == "Faulty").then_some(())
    })
    .await;
    let refused = server.put(503, "/broken", json!({})).await;
    assert!(
        refused.text("detail").contains("the host's log says why") || refused.text("detail").contains("log says why")
    );
    assert!(server.log().contains("is no valid component"), "{}", server.log());
}

/// With all languages loaded and compiled before, a restart takes well under a second; measured here, and printed.
#[tokio::test]
async fn warm() {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let route = |language: &&str| {
        format!("  - {{method: PUT, path: /{language}, component: {}}}\n", component(&format!("tour-{language}.wasm")))
    };
    let routes: String = LANGUAGES.iter().map(route).collect();
    let mut server = Server::start_in(folder.clone(), &format!("routes:\n{routes}")).await;
    eventually("all compiled", || async {
        let views = server.get(200, "/-/routes").await;
        views.body.as_array().expect("routes").iter().all(|view| view["State"] == "Active").then_some(())
    })
    .await;
    server.kill();
    let began = Instant::now();
    let server = Server::start_in(folder, &format!("routes:\n{routes}")).await;
    let ready = began.elapsed();
    for language in LANGUAGES {
        assert_eq!(
            server.run(&format!("/{language}"), json!({"do": "events", "count": 0})).await.text("State"),
            "Completed"
        );
    }
    println!(
        "restart with {} languages loaded: {:.2} s; resident {:.0} MiB",
        LANGUAGES.len(),
        ready.as_secs_f64(),
        server.resident_mib()
    );
    assert!(ready < Duration::from_secs(10), "{ready:?}");
}
