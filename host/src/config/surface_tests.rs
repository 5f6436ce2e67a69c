//! Owns the tests of the HTTP surface's keys: `openapi`, `server.cors`, `server.rate_limit` and the like.
//! Must not know other keys: `tests` does.

use super::tests::{ROUTE, faults, folder, loaded};
use super::*;

#[test]
fn the_surface_is_read() {
    let text = format!(
        "server: {{connections: 50, cors: ['https://a.example', 'http://localhost:3000'], rate_limit: {{submits_per_second: 5}}}}\n\
         auth: {{schemes: {{login: {{type: basic}}}}}}\n\
         openapi: {{path: /api.json, ui: none, title: A, version: 2.0.0, auth: login, description: D, schema_names: {{task: Job}}}}\n\
         {ROUTE}"
    )
    .replace("path: /a,", "path: /a, summary: Put an order, tags: [orders, b],");
    let config = loaded(&text, Format::Yaml, folder().path());
    assert_eq!((config.server.connections, config.server.cors.len()), (50, 2));
    assert_eq!(config.server.rate_limit, Some(RateLimit { per_second: 5, burst: 5 }));
    let openapi = config.openapi;
    assert_eq!(
        (openapi.path.as_deref(), openapi.ui, openapi.auth.as_deref()),
        (Some("/api.json"), None, Some("login"))
    );
    assert_eq!((openapi.info.title.as_str(), openapi.info.version.as_str()), ("A", "2.0.0"));
    assert_eq!((openapi.schema_names.task.as_str(), openapi.schema_names.query.as_str()), ("Job", "AsyncTaskQuery"));
    let route = config.routes.first().expect("a route");
    assert_eq!(
        (route.summary.as_deref(), route.tags.as_slice()),
        (Some("Put an order"), &["orders".into(), "b".into()][..])
    );
}

#[test]
fn the_documentation_is_on_unless_it_is_moved_or_left_out() {
    let with = |openapi: &str| loaded(&format!("{openapi}{ROUTE}"), Format::Yaml, folder().path()).openapi;
    let all = ["/openapi.json", "/docs", "/docs/", "/docs/{*file}"];
    assert_eq!(with("").patterns(), all);
    assert_eq!(with("openapi: {path: none}\n").patterns(), [""; 0]);
    assert_eq!(with("openapi: {ui: /}\n").patterns(), ["/openapi.json", "/", "/{*file}"]);
    assert_eq!(with("openapi: {ui: none}\n").patterns(), ["/openapi.json"]);
}

#[test]
fn faults_of_the_surface_say_what_instead() {
    let fault = |text: &str| faults(&format!("{text}{ROUTE}"), Format::Yaml);
    let cases = [
        ("openapi: {path: none, ui: /docs}\n", "ui: expected `none`"),
        ("openapi: {path: '/a/{b}'}\n", "without parameters"),
        ("openapi: {auth: nobody}\n", "nobody"),
        ("openapi: {schema_names: {other: X}}\n", "other"),
        ("server: {cors: ['https://a.example/path']}\n", "an origin such as"),
        ("server: {cors: ['*', 'https://a.example']}\n", "`*` alone"),
        ("server: {rate_limit: {burst: 5}}\n", "submits_per_second"),
        ("server: {rate_limit: {submits_per_second: 0}}\n", "submits_per_second"),
        ("task_routes: [{operation: get, path: /docs}]\n", "the documentation by default"),
    ];
    for (text, words) in cases {
        let found = fault(text);
        assert!(found.contains(words), "{text}: {found}");
    }
}
