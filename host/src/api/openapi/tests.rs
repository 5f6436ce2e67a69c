//! Tests of the document: its structure, and one whole example that is compared to a committed file.
//! Must not need a server. `SANDPOOL_BLESS=1` rewrites the file.

use super::*;
use crate::auth::{ClaimNames, Jwt, KeyPlace, KeySource, Scheme};
use crate::ids::IdScheme;
use crate::route::{IdRule, OnLostHost, PoolSize, Retry, Source, StateGrants, default_name};
use crate::schema::Schema;
use crate::task::access::{Allowed, Permission};
use crate::value::Json;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

const POINTER: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'~');

fn route(method: &str, path: &str) -> RouteDoc {
    let object = || Json::parse("{}".into()).expect("JSON");
    let route = Route {
        tenant: None,
        name: default_name(method, path).into(),
        method: method.into(),
        path: path.into(),
        component: Source::File("x.wasm".into()),
        arguments: object(),
        variables: object(),
        state: StateGrants::default(),
        grants: Default::default(),
        timeout: None,
        run_timeout: None,
        cpu_limit: None,
        pool: PoolSize { min: 1, max: 2, queue: 10 },
        memory: 1 << 20,
        cancellable: true,
        id: IdRule::Scheme(IdScheme::Uuid),
        sse: None,
        retry: Retry { attempts: 1, backoff: Duration::ZERO, on_lost_host: OnLostHost::Fail },
        logs: Default::default(),
        auth: None,
        access: Allowed::default(),
        permission: Permission::default(),
        responses: vec![Format::Json],
        callback: None,
        summary: None,
        tags: Vec::new(),
    };
    RouteDoc { route: Arc::new(route), description: None, callback: None }
}

fn task_routes(auth: Option<&str>) -> Vec<TaskRoute> {
    let with = |route| TaskRoute { responses: Format::ALL.into(), auth: auth.map(Into::into), ..route };
    TaskRoute::defaults().into_iter().map(with).collect()
}

fn settings() -> Settings {
    let all = |names: &[&str]| Scheme::All(names.iter().map(|&name| name.into()).collect());
    let schemes = [
        ("login", Scheme::Basic),
        ("key", Scheme::ApiKey(KeyPlace::Header("X-API-KEY".into()))),
        ("token", token()),
        ("both", all(&["key", "login"])),
        ("either", Scheme::Any(vec!["both".into(), "token".into()])),
    ];
    Settings { schemes: schemes.map(|(name, scheme)| (name.into(), scheme)).into(), ..Settings::default() }
}

fn token() -> Scheme {
    Scheme::Jwt(Box::new(Jwt {
        keys: KeySource::File("keys.json".into()),
        algorithms: Vec::new(),
        issuer: None,
        audience: Vec::new(),
        claims: ClaimNames::default(),
    }))
}

/// A route of each kind.
fn example() -> Input {
    let mut order = route("PUT", "/orders/{id}");
    let scoped = Allowed { scopes: vec!["orders".into(), "admin".into()], ..Allowed::default() };
    let route_of_order = Arc::get_mut(&mut order.route).expect("unshared");
    route_of_order.access = scoped;
    route_of_order.id = IdRule::Component("ids.wasm".into());
    route_of_order.auth = Some("either".into());
    route_of_order.responses = Format::ALL.into();
    route_of_order.tags = vec!["orders".into()];
    let schema = |file: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-examples/rust/described/src").join(file);
        Some(Schema::parse(&std::fs::read_to_string(path).expect("a file")).expect("a schema"))
    };
    order.description = Some(Arc::new(Description {
        summary: "Order items".into(),
        description: "Takes an order.".into(),
        input_schema: schema("input.json"),
        result_schema: schema("result.json"),
    }));
    order.callback = Some(CallbackDoc {
        url: "$request.body#/callbackUrl".into(),
        method: "POST".into(),
        content_type: "application/json".into(),
        event: "order_done".into(),
        send_result: true,
    });
    let mut fixed = route("POST", "/count");
    let route_of_fixed = Arc::get_mut(&mut fixed.route).expect("unshared");
    route_of_fixed.cancellable = false;
    route_of_fixed.summary = Some("Count up".into());
    Input {
        info: Info { title: "Orders".into(), version: "1.2.3".into(), description: Some("An **example**.".into()) },
        servers: vec!["http://localhost:8080".into()],
        routes: vec![order, fixed, route("GET", "/hello/{who}/{*rest}")],
        task_routes: task_routes(Some("both")),
        auth: settings(),
        schema_names: SchemaNames::default(),
    }
}

/// Every value in the document, with its pointer.
fn walk<'a>(value: &'a Value, pointer: String, visit: &mut dyn FnMut(&str, &'a Value)) {
    visit(&pointer, value);
    match value {
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(position, item)| walk(item, format!("{pointer}/{position}"), visit));
        }
        Value::Object(fields) => fields.iter().for_each(|(name, field)| {
            walk(field, format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1")), visit);
        }),
        _ => {}
    }
}

fn operation_ids(document: &Value) -> Vec<String> {
    let mut ids = Vec::new();
    walk(document, String::new(), &mut |_, value| {
        // A link names the operation of another place.
        let own = value.get("operationId").filter(|_| value.get("responses").is_some());
        ids.extend(own.and_then(Value::as_str).map(str::to_owned));
    });
    ids
}

#[test]
fn the_example_is_the_committed_one() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api/openapi/example.json");
    let document = document(&example());
    if std::env::var_os("SANDPOOL_BLESS").is_some() {
        let text = serde_json::to_string_pretty(&document).expect("JSON") + "\n";
        std::fs::write(&file, text).expect("written");
    }
    let committed: Value = serde_json::from_str(&std::fs::read_to_string(file).expect("a file")).expect("JSON");
    assert!(document == committed, "the document has changed: run with SANDPOOL_BLESS=1 and look at the difference");
    assert_eq!(document.to_string(), super::document(&example()).to_string(), "the same input gives the same text");
}

#[test]
fn every_reference_resolves() {
    let document = document(&example());
    let mut count = 0;
    walk(&document, String::new(), &mut |pointer, value| {
        let Some(reference) = value.get("$ref").and_then(Value::as_str) else { return };
        let target = reference.strip_prefix('#').and_then(|target| document.pointer(target));
        assert!(target.is_some(), "{pointer}: {reference} leads nowhere");
        count += 1;
    });
    assert!(count > 50, "{count}");
}

#[test]
fn every_link_leads_to_an_operation() {
    let document = document(&example());
    let ids = operation_ids(&document);
    let mut targets = BTreeSet::new();
    walk(&document, String::new(), &mut |pointer, value| {
        let links = value.get("links").and_then(Value::as_object).into_iter().flatten();
        for (_, link) in links {
            let target = link["operationId"].as_str().expect("an id").to_owned();
            assert!(ids.contains(&target), "{pointer}: {target}");
            targets.insert(target);
        }
    });
    assert_eq!(targets.into_iter().collect::<Vec<_>>(), ["getTask", "stopTask"]);
    let fixed = &document["paths"]["/count"]["post"]["responses"]["202"]["links"];
    assert!(fixed["StopTask"].is_null() && fixed["GetTask"]["parameters"]["path.taskId"] == "$response.body#/Id");
}

#[test]
fn every_example_matches_its_schema() {
    let document = document(&example());
    let mut count = 0;
    walk(&document, String::new(), &mut |pointer, value| {
        let examples = value.get("examples").and_then(Value::as_array).into_iter().flatten();
        for example in examples {
            // RFC 6901 §6: the pointer as a URI's fragment.
            let fragment = utf8_percent_encode(pointer, POINTER);
            let mut whole = json!({"$ref": format!("#{fragment}")});
            whole.as_object_mut().expect("an object").extend(document.as_object().expect("an object").clone());
            let validator = jsonschema::draft202012::options().should_validate_formats(true).build(&whole);
            let validator = validator.unwrap_or_else(|error| panic!("{pointer}: {error}"));
            let faults: Vec<_> = validator.iter_errors(example).map(|error| error.to_string()).collect();
            assert!(faults.is_empty(), "{pointer}: {example}: {faults:?}");
            count += 1;
        }
    });
    assert!(count > 12, "{count}");
}

#[test]
fn operation_ids_are_unique_and_stable_whatever_the_paths() {
    let paths =
        ["/a-b", "/a/b", "/A/b", "/a_b/", "/", "/{id}", "/{a}x{b}", "/ä/ö", "/ü", "/x.y/{*rest}", "/a/{b}", "/a/by-b"];
    let input = |paths: &[&str]| {
        let both = ["PUT", "POST"].into_iter().flat_map(|method| paths.iter().map(move |path| route(method, path)));
        Input { routes: both.collect(), task_routes: task_routes(None), ..Input::default() }
    };
    let by_path = |document: &Value| {
        let mut ids = BTreeMap::new();
        for (path, item) in document["paths"].as_object().expect("paths") {
            for (method, operation) in item.as_object().expect("methods") {
                ids.insert(format!("{method} {path}"), operation["operationId"].as_str().expect("an id").to_owned());
            }
        }
        ids
    };
    let found = by_path(&document(&input(&paths)));
    let lower: BTreeSet<String> = found.values().map(|id| id.to_ascii_lowercase()).collect();
    assert_eq!(lower.len(), found.len(), "{found:?}");
    let safe = |id: &String| id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    assert!(found.values().all(safe), "{found:?}");
    assert_eq!(found["put /{id}"], "putById");
    let mut turned = paths;
    turned.reverse();
    assert_eq!(by_path(&document(&input(&turned))), found, "the order does not count");
}

#[test]
fn parameters_of_paths_are_declared() {
    let document = document(&example());
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("methods") {
            let parameters = operation["parameters"].as_array().expect("parameters");
            let mut declared: Vec<_> =
                parameters.iter().filter(|one| one["in"] == "path").filter_map(|one| one["name"].as_str()).collect();
            declared.sort_unstable();
            let mut named = names::parameters(path);
            named.sort_unstable();
            assert_eq!(declared, named, "{method} {path}");
        }
    }
    assert!(document["paths"]["/hello/{who}/{rest}"].is_object());
}

#[test]
fn requirements_are_all_any_or_none() {
    let document = document(&example());
    assert_eq!(
        document["paths"]["/orders/{id}"]["put"]["security"],
        json!([
            {"key": ["orders"], "login": ["orders"]},
            {"key": ["admin"], "login": ["admin"]},
            {"token": ["orders"]},
            {"token": ["admin"]},
        ])
    );
    assert_eq!(document["paths"]["/count"]["post"]["security"], json!([]));
    assert_eq!(document["paths"]["/tasks/query"]["get"]["security"], json!([{"key": [], "login": []}]));
    assert_eq!(
        document["components"]["securitySchemes"]["key"],
        json!({"type": "apiKey", "in": "header", "name": "X-API-KEY"})
    );
    assert_eq!(document["components"]["securitySchemes"]["token"]["bearerFormat"], "JWT");
    let mixed = Allowed { scopes: vec!["a".into()], groups: vec!["g".into()], ..Allowed::default() };
    assert_eq!(security::requirement(&example(), Some("token"), &mixed), json!([{"token": []}]));
}

#[test]
fn callbacks_are_under_runtime_expressions() {
    let document = document(&example());
    let callbacks = &document["paths"]["/orders/{id}"]["put"]["callbacks"];
    assert!(callbacks["order_done"]["{$request.body#/callbackUrl}"]["post"]["requestBody"].is_object(), "{callbacks}");
    let embedded = CallbackDoc {
        url: "https://{$request.header.x-host}/a?u={$url}".into(),
        method: "PUT".into(),
        content_type: "application/xml".into(),
        event: "a/b c".into(),
        send_result: false,
    };
    let callbacks = callback::callbacks(&embedded, "x");
    let called = &callbacks["a_b_c"]["https://{$request.header.x-host}/a?u={$url}"]["put"];
    assert!(called["requestBody"]["content"]["application/xml"].is_object(), "{callbacks}");
}

#[test]
fn schema_names_are_configurable_and_never_clash() {
    let names = |task: &str, query: &str| {
        let schema_names = SchemaNames { task: task.into(), query: query.into() };
        document(&Input {
            schema_names,
            routes: vec![route("PUT", "/a")],
            task_routes: task_routes(None),
            ..Input::default()
        })
    };
    let schemas = |document: &Value| document["components"]["schemas"].as_object().expect("schemas").len();
    let own = names("Job", "JobFilter");
    let reference = &own["paths"]["/a"]["put"]["responses"]["202"]["content"]["application/json"]["schema"]["$ref"];
    assert_eq!(*reference, "#/components/schemas/Job");
    assert!(own["components"]["schemas"]["JobFilter"].is_object());
    for clash in
        [names("X", "X"), names("Problem", "TaskState"), names("", "a b/c"), names("AsyncTaskQuery", "Problem")]
    {
        assert_eq!(schemas(&clash), schemas(&own));
    }
}

#[test]
fn titles_name_one_schema_each() {
    let mut schemas = json!({
        "A": {"title": "Order", "type": "object"},
        "B": {"title": "order"},
        "C": {"title": "problem"},
        "D": {"title": "Receipt"},
        "E": true,
        "Problem": {},
    });
    names::tell_titles_apart(schemas.as_object_mut().expect("an object"));
    let apart = json!({"A": {"type": "object"}, "B": {}, "C": {}, "D": {"title": "Receipt"}, "E": true, "Problem": {}});
    assert_eq!(schemas, apart);
}

#[test]
fn statuses_are_those_that_can_occur() {
    let document = document(&example());
    let statuses = |path: &str, method: &str| -> Vec<String> {
        document["paths"][path][method]["responses"].as_object().expect("responses").keys().cloned().collect()
    };
    let order = ["200", "202", "400", "401", "403", "406", "409", "413", "415", "422", "429", "503", "default"];
    assert_eq!(statuses("/orders/{id}", "put"), order);
    let open = ["200", "202", "406", "409", "422", "429", "503", "default"];
    assert_eq!(statuses("/hello/{who}/{rest}", "get"), open);
    let stop = ["200", "400", "401", "403", "404", "406", "410", "423", "503", "default"];
    assert_eq!(statuses("/tasks/{taskId}", "delete"), stop);
    assert_eq!(document["paths"]["/orders/{id}"]["put"]["requestBody"]["required"], true);
    assert_eq!(document["paths"]["/count"]["post"]["requestBody"]["required"], false);
    assert!(document["paths"]["/hello/{who}/{rest}"]["get"]["requestBody"].is_null());
}
