//! Owns the tests of tenants' keys, and of what a path below a tenant's prefix means for a route.
//! Must not know other keys: `tests` does.

use super::tests::{ROUTE, faults, folder, loaded};
use super::*;
use crate::route::Source;
use crate::task::access::Allowed;
use crate::tenant::Quota;

const HEAD: &str = "
auth: {schemes: {key: {type: api_key, in: header, name: X-API-KEY}}, default: key}
admin: {auth: key, access: {roles: [admin]}, viewers: {roles: [auditor]}}
variables: {secret: 1}
node: {slots: 64}
audit: {retention: 30d}
tenants:
  acme:
    prefix: /acme
    members: {groups: [acme]}
    quota: {running: 8, waiting: 9, memory: 128MiB, cpu_per_minute: 30s, submits_per_second: 7, plugins: 2, plugin_bytes: 1MiB,
            routes: 3, stored: 2MiB, state: 4KiB, http: ['*.example.com']}
  bolt: {prefix: /bolt, members: {users: [b]}, admins: {roles: [bolt-admin]}, viewers: {users: [v]}, weight: 5}
";

fn config() -> Config {
    let of_file = "routes: [{method: put, path: /acme/a, component: ids.wasm, using: [secret], sse: {group: g}}]\n";
    loaded(&format!("{HEAD}{of_file}"), Format::Yaml, folder().path())
}

fn named(groups: &str) -> Allowed {
    Allowed { groups: vec![groups.into()], ..Allowed::default() }
}

#[test]
fn tenants_are_read() {
    let config = config();
    assert_eq!((config.slots, config.audit_retention), (64, Duration::from_secs(30 * 86400)));
    let admin = config.admin.expect("there is one");
    assert_eq!(admin.viewers.roles, ["auditor"]);
    let [acme, bolt] = config.tenants.as_slice() else { panic!("two of them") };
    assert_eq!((&*acme.name, acme.prefix.as_str(), acme.weight), ("acme", "/acme", 1));
    assert_eq!((&acme.members, &acme.admins), (&named("acme"), &named("acme")), "members manage unless others do");
    let expected = Quota {
        running: 8,
        waiting: 9,
        memory: 128 << 20,
        cpu_per_minute: Some(Duration::from_secs(30)),
        submits_per_second: Some(7),
        plugins: 2,
        plugin_bytes: 1 << 20,
        routes: 3,
        stored: 2 << 20,
        state: 4 << 10,
        http: acme.quota.http.clone(),
    };
    assert_eq!((&acme.quota, acme.quota.http.len()), (&expected, 1));
    assert_eq!(
        (bolt.admins.roles.as_slice(), bolt.weight, &bolt.quota),
        (&["bolt-admin".to_owned()][..], 5, &Quota::default())
    );
}

#[test]
fn a_route_below_a_prefix_is_the_tenants() {
    let config = config();
    let of_file = &config.routes[0];
    assert_eq!((of_file.tenant.as_deref(), &of_file.access), (Some("acme"), &named("acme")));
    assert_eq!(of_file.sse.as_ref().and_then(|sse| sse.group.as_deref()), Some("acme:g"));
    assert_eq!(of_file.permission.write, named("acme"));
    let route =
        config.route("acme:x", "{method: GET, path: '/acme/x/{id}', plugin: p@1}", Format::Yaml).expect("right");
    assert_eq!(route.tenant.as_deref(), Some("acme"));
    assert!(matches!(&route.component, Source::Plugin(choice) if &*choice.name == "acme:p"));
    let own = config.route("x", "{method: GET, path: /x, plugin: 'acme:p'}", Format::Yaml).expect("right");
    assert_eq!((own.tenant.as_deref(), own.access.is_empty()), (None, true));
}

#[test]
fn what_a_tenants_route_may_not_have_is_refused() {
    let config = config();
    let cases = [
        ("acme:x", "path: /x", "path: expected one below /acme, which the tenant acme has"),
        ("x", "path: /acme/x", "name: expected `acme:x`"),
        ("none:x", "path: /x", "name: there is no tenant `none`"),
        ("bolt:x", "path: /acme/x", "path: expected one below /bolt"),
        ("acme:x", "path: /acme/x, plugin: 'bolt:p'", "plugin: expected one of acme"),
        ("acme:x", "path: /acme/x, using: [secret]", "using: expected nothing"),
        ("acme:x", "path: /acme/x, grants: {env: {A: b}}", "env: expected nothing"),
        ("acme:x", "path: /acme/x, grants: {directories: [{path: /tmp, as: /t}]}", "directories: expected nothing"),
        ("acme:x", "path: /acme/x, grants: {http: [api.example.org]}", "http: expected web servers that the quota"),
        ("acme:x", "path: /acme/x, memory: 256MiB", "memory: expected at most 128MiB"),
        ("acme:x", "path: /acme/x, component: ids.wasm", "component"),
    ];
    let many = format!("{{method: GET, path: /x, plugin: p, permission: {{read: {{users: [{}]}}}}}}", "u, ".repeat(65));
    let found = config.route("x", &many, Format::Yaml).expect_err("too many");
    assert!(found.to_string().contains("at most 64 names, those of `access` included, found 65"), "{found}");
    for (name, keys, words) in cases {
        let plugin = if keys.contains("plugin") || keys.contains("component") { "" } else { ", plugin: p" };
        let found = config.route(name, &format!("{{method: GET, {keys}{plugin}}}"), Format::Yaml).expect_err(keys);
        assert!(found.to_string().contains(words), "{keys}: {found}");
    }
    let granted = "{method: GET, path: /acme/x, plugin: p, grants: {http: ['api.example.com:443']}}";
    assert!(config.route("acme:x", granted, Format::Yaml).is_ok());
}

#[test]
fn faults_of_tenants_say_what_instead() {
    let with = |tenants: &str| format!("tenants: {{{tenants}}}\n{ROUTE}");
    let cases = [
        (with("a: {members: {users: [u]}}"), "a tenant needs the key `prefix`"),
        (with("a: {prefix: /a}"), "a tenant needs the key `members`"),
        (with("a: {prefix: /b, members: {users: [u]}, admins: {}}"), "a tenant needs the key `admins`"),
        (with("a: {prefix: /, members: {users: [u]}}"), "a path such as /acme"),
        (with("a: {prefix: '/b/{x}', members: {users: [u]}}"), "without parameters"),
        (with("a: {prefix: /tasks, members: {users: [u]}}"), "/tasks is the server's"),
        (with("'a:b': {prefix: /b, members: {users: [u]}}"), "1 to 64 characters"),
        (
            with("a: {prefix: /b, members: {users: [u]}}, c: {prefix: /b/c, members: {users: [u]}}"),
            "/b is that of the tenant a",
        ),
        (with("a: {prefix: /b, members: {users: [u]}, quota: {runing: 4}}"), "did you mean"),
        (with("a: {prefix: /b, members: {users: [u]}, quota: {running: 0}}"), "from 1 to 1000"),
        (with("a: {prefix: /b, members: {users: [u]}, quota: {http: ['https://x/y']}}"), "expected a host and a port"),
        (
            format!("admin: {{auth: none}}\n{}", with("a: {prefix: /b, members: {users: [u]}}")),
            "`admin` needs the key `access`",
        ),
    ];
    for (text, words) in cases {
        let found = faults(&text, Format::Yaml);
        assert!(found.contains(words), "{text}: {found}");
    }
}
