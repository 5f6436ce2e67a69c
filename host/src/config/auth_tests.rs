//! Owns the tests of who may call, as files say it. Must not know other keys: `tests` does.

use super::tests::{ROUTE, faults, folder, loaded};
use super::*;
use crate::auth::{Algorithm, ClaimNames, Jwt, KeyPlace, KeySource, KeyUrl, PasswordHash, Scheme, Secret, User};
use crate::principal::Principal;
use crate::task::access::Allowed;

const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA";
const KEY: &str = "sha256:08b27ba3ee3ab95f9b0cd0be8fa5a6a9dc2ad59c9be5d5e4a0ed3c8b2ddc9ac5";

const FULL: &str = r#"
server: {listen: 0.0.0.0:8443, tls: {certificate: ids.wasm, key: components/sleep.wasm}}
auth:
  users:
    - {id: M0R7Y302, name: morty, password: 'HASH', api_keys: [KEY], groups: [Software, Platform], roles: admin, scopes: [a]}
    - {id: R0B0T}
  schemes:
    login: {type: basic}
    key: {type: api_key, in: header, name: X-API-KEY}
    asked: {type: api_key, in: query, name: key}
    cookie: {type: api_key, in: Cookie, name: key}
    token: {type: jwt, issuer: https://i.example/a, audience: [us, them], claims: {groups: realm.groups, scopes: scp}}
    url: {type: jwt, jwks_url: "https://i.example/keys", algorithms: [RS256, EdDSA]}
    file: {type: jwt, jwks_file: ids.wasm, issuer: me}
    shared: {type: jwt, secret: a shared secret of many letters and digits, algorithms: HS512}
    both: {all: [key, login]}
    either: {any: [both, token]}
  default: both
admin: {auth: either, access: {roles: [admin]}}
routes:
  - {method: PUT, path: /a, component: ids.wasm}
  - method: PUT
    path: /b
    component: ids.wasm
    auth: token
    access: {users: M0R7Y302, groups: [Software], roles: [r], scopes: [s]}
    permission: {read: {groups: [Support]}, write: {roles: [operator]}}
task_routes:
  - {operation: get, path: /task}
  - {operation: stop, path: /task, auth: login}
"#;

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

fn full() -> String {
    FULL.replace("HASH", HASH).replace("KEY", KEY).replace(&format!("X-API-{KEY}"), "X-API-KEY")
}

#[test]
fn every_key_of_auth_is_read() {
    let folder = folder();
    let config = loaded(&full(), Format::Yaml, folder.path());
    let path = |name: &str| folder.path().join(name);
    assert_eq!(config.server.tls, Some(Tls { certificate: path("ids.wasm"), key: path("components/sleep.wasm") }));
    let principal = |id: &str| Principal { id: id.into(), ..Principal::default() };
    let morty = User {
        principal: Principal {
            groups: texts(&["Software", "Platform"]),
            roles: texts(&["admin"]),
            scopes: texts(&["a"]),
            ..principal("M0R7Y302")
        },
        name: "morty".into(),
        password: PasswordHash::parse(HASH).ok(),
        api_keys: auth::KeyHash::parse(KEY).into_iter().collect(),
    };
    let robot = User { principal: principal("R0B0T"), name: "R0B0T".into(), password: None, api_keys: Vec::new() };
    assert_eq!(config.auth.users, [morty, robot]);
    let url = |text: &str| KeyUrl::parse(text).expect("a URL");
    let all: Vec<_> = auth::ASYMMETRIC.iter().map(|(_, algorithm)| *algorithm).collect();
    let jwt = |keys, algorithms: &[Algorithm], issuer: Option<&str>| Jwt {
        keys,
        algorithms: algorithms.to_vec(),
        issuer: issuer.map(str::to_owned),
        audience: Vec::new(),
        claims: ClaimNames::default(),
    };
    let token = Jwt {
        audience: texts(&["us", "them"]),
        claims: ClaimNames { groups: "realm.groups".into(), scopes: "scp".into(), ..ClaimNames::default() },
        ..jwt(KeySource::Discovery(url("https://i.example/a")), &all, Some("https://i.example/a"))
    };
    let some = [Algorithm::RS256, Algorithm::EdDSA];
    let secret = Secret::new("a shared secret of many letters and digits");
    let schemes = [
        ("login", Scheme::Basic),
        ("key", Scheme::ApiKey(KeyPlace::Header("X-API-KEY".into()))),
        ("asked", Scheme::ApiKey(KeyPlace::Query("key".into()))),
        ("cookie", Scheme::ApiKey(KeyPlace::Cookie("key".into()))),
        ("token", Scheme::Jwt(Box::new(token))),
        ("url", Scheme::Jwt(Box::new(jwt(KeySource::Url(url("https://i.example/keys")), &some, None)))),
        ("file", Scheme::Jwt(Box::new(jwt(KeySource::File(path("ids.wasm")), &all, Some("me"))))),
        ("shared", Scheme::Jwt(Box::new(jwt(KeySource::Secret(secret), &[Algorithm::HS512], None)))),
        ("both", Scheme::All(vec!["key".into(), "login".into()])),
        ("either", Scheme::Any(vec!["both".into(), "token".into()])),
    ];
    assert_eq!(config.auth.schemes, schemes.map(|(name, scheme)| (name.into(), scheme)));
    assert_eq!(config.auth.default.as_deref(), Some("both"));
    let access = Allowed { roles: texts(&["admin"]), ..Allowed::default() };
    assert_eq!(config.admin, Some(Admin { scheme: Some("either".into()), access, viewers: Allowed::default() }));
    let [a, b] = config.routes.as_slice() else { panic!("two routes") };
    assert_eq!((a.auth.as_deref(), &a.access), (Some("both"), &Allowed::default()));
    assert_eq!(b.auth.as_deref(), Some("token"));
    let access = Allowed {
        users: texts(&["M0R7Y302"]),
        groups: texts(&["Software"]),
        roles: texts(&["r"]),
        scopes: texts(&["s"]),
    };
    assert_eq!(b.access, access);
    assert_eq!((b.permission.read.groups.len(), b.permission.write.roles.as_slice()), (1, &*texts(&["operator"])));
    let of_tasks: Vec<_> = config.task_routes.iter().map(|route| route.auth.as_deref()).collect();
    assert_eq!(of_tasks, [Some("both"), Some("login")]);
    assert!(config.auth.warnings().is_empty());
}

#[test]
fn none_means_open() {
    let text = "
auth: {schemes: {login: {type: basic}}, default: login}
routes: [{method: put, path: /a, component: ids.wasm, auth: none}, {method: put, path: /b, component: ids.wasm}]
";
    let config = loaded(text, Format::Yaml, folder().path());
    let of_routes: Vec<_> = config.routes.iter().map(|route| route.auth.as_deref()).collect();
    assert_eq!((of_routes, config.admin), (vec![None, Some("login")], None));
    assert!(config.task_routes.iter().all(|route| route.auth.as_deref() == Some("login")));
    let admin = format!("{ROUTE}admin: {{auth: none}}");
    let open = Admin { scheme: None, access: Allowed::default(), viewers: Allowed::default() };
    assert_eq!(loaded(&admin, Format::Yaml, folder().path()).admin, Some(open));
}

#[test]
fn weak_hashes_are_warned_of() {
    let weak = HASH.replace("m=19456", "m=64");
    let text = format!("{ROUTE}auth: {{users: [{{id: morty, password: '{weak}'}}]}}");
    let warnings = loaded(&text, Format::Yaml, folder().path()).auth.warnings();
    assert!(
        warnings.len() == 1 && warnings.iter().all(|warning| warning.contains("`morty`") && !warning.contains("$"))
    );
}

/// The faults of a file with one route and this `auth`, without their places.
fn words(auth: &str) -> String {
    let text = format!("{ROUTE}auth: {auth}").replace("HASH", HASH).replace("KEY", KEY);
    let found = faults(&text, Format::Yaml);
    let words: Vec<_> = found.lines().filter_map(|line| line.split_once(": ")).map(|(_, words)| words).collect();
    words.join("\n")
}

#[test]
fn faults_of_users() {
    let hash = "expected a hash that begins with `$argon2id$`, found";
    let advice = "write what `sandpool hash password` prints";
    let key = "api_keys: expected `sha256:` and 64 hexadecimal digits, found a text that is no such hash; \
               write what `sandpool hash key` prints";
    let cases = [
        ("{users: [{name: x}]}", "a user needs the key `id`".to_owned()),
        ("{users: [{id: 5}]}", "id: expected a text, found the number 5; put it in quotes".to_owned()),
        ("{users: [{id: x, password: hunter2}]}", format!("password: {hash} a text that is none; {advice}")),
        ("{users: [{id: x, password: 12345}]}", format!("password: {hash} a number that is none; {advice}")),
        ("{users: [{id: x, password: [hunter2]}]}", format!("password: {hash} a list that is none; {advice}")),
        ("{users: [{id: x, password: $hunter2}]}", format!("password: expected an Argon2id hash; {advice}")),
        (
            "{users: [{id: x, pasword: hunter2}]}",
            "unknown key `pasword` in a user; did you mean `password`?".to_owned(),
        ),
        ("{users: [{id: x, api_keys: [hunter2]}]}", key.to_owned()),
        ("{users: [{id: x, api_keys: 'sha256:hunter2'}]}", key.to_owned()),
        (
            "{users: [{id: x, api_keys: KEY}, {id: y, api_keys: [KEY]}]}",
            "api_keys: expected a key of its own, found that of line 2".to_owned(),
        ),
        ("{users: [{id: x}, {id: X}]}", "id: expected one of its own, `X` is that of line 2".to_owned()),
        (
            "{users: [{id: x, name: n}, {id: y, name: N}]}",
            "name: expected one of its own, `N` is that of line 2".to_owned(),
        ),
    ];
    for (auth, told) in cases {
        assert_eq!(words(auth), told, "{auth}");
    }
}

#[test]
fn faults_of_schemes() {
    let cases = [
        (
            "{default: lgin, schemes: {login: {type: basic}}}",
            "default: expected `none` or a name under `auth.schemes`, found `lgin`; did you mean `login`?",
        ),
        ("{schemes: {login: basic}}", "expected a map for a scheme, found the text `basic`"),
        ("{schemes: {login: {}}}", "a scheme needs one of the keys `type`, `all` and `any`"),
        (
            "{schemes: {login: {type: basc}}}",
            "type: expected basic, api_key or jwt, found the text `basc`; did you mean `basic`?",
        ),
        ("{schemes: {login: {type: basic, realm: x}}}", "unknown key `realm` in a scheme; it may have type"),
        ("{schemes: {none: {type: basic}}}", "expected a name other than `none`"),
        (
            "{schemes: {k: {type: api_key, in: body}}}",
            "a scheme needs the key `name`\nin: expected header, query or cookie, found the text `body`",
        ),
        (
            "{schemes: {k: {type: api_key, in: header, name: 'a b'}}}",
            "name: expected a letter or '_', then letters, digits, '_' or '-', found the text `a b`",
        ),
        ("{schemes: {a: {all: []}}}", "all: expected at least one value, found an empty list"),
        ("{schemes: {a: {any: [other]}}}", "any: expected `none` or a name under `auth.schemes`, found `other`"),
        ("{schemes: {a: {any: [none]}}}", "any: expected names under `auth.schemes`, found `none`"),
        ("{schemes: {a: {any: [a]}}}", "this scheme consists of itself: a → a"),
        ("{schemes: {a: {any: [b, c]}, b: {all: c}, c: {any: [b]}}}", "this scheme consists of itself: b → c → b"),
        (
            "{schemes: {t: {type: jwt}}}",
            "a scheme of type jwt needs one of the keys jwks_url, jwks_file, secret and issuer",
        ),
        (
            "{schemes: {t: {type: jwt, issuer: me}}}",
            "issuer: expected an https URL (relative URL without a base), since its keys are looked up there; or say where: `jwks_url`",
        ),
        (
            "{schemes: {t: {type: jwt, jwks_url: 'http://a.example'}}}",
            "jwks_url: expected an https URL: whoever is on the way could exchange the keys",
        ),
        (
            "{schemes: {t: {type: jwt, jwks_url: 'https://u:hunter2@a.example'}}}",
            "jwks_url: expected a URL without user name and password",
        ),
        ("{schemes: {t: {type: jwt, secret: hunter2}}}", "secret: expected at least 32 bytes, found 7"),
        ("{schemes: {t: {type: jwt, secret: 12345}}}", "secret: expected a text, found a number; put it in quotes"),
        (
            "{schemes: {t: {type: jwt, secret: hunter2hunter2hunter2hunter2hunter2, jwks_url: 'https://a.example'}}}",
            "expected one of jwks_url, jwks_file and secret, found jwks_url and secret",
        ),
        (
            "{schemes: {t: {type: jwt, jwks_url: 'https://a.example', algorithms: [HS256]}}}",
            "algorithms: expected for public keys some of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA, found HS256",
        ),
        (
            "{schemes: {t: {type: jwt, secret: hunter2hunter2hunter2hunter2hunter2, algorithms: [RS256]}}}",
            "algorithms: expected for a shared secret some of HS256, HS384, HS512, found RS256",
        ),
        (
            "{schemes: {t: {type: jwt, jwks_url: 'https://a.example', algorithms: [none]}}}",
            "algorithms: expected HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 or EdDSA, found the text `none`",
        ),
        (
            "{schemes: {t: {type: jwt, jwks_file: nowhere}}}",
            "jwks_file: expected a file at /etc/sandpool/nowhere, found nothing",
        ),
    ];
    for (auth, told) in cases {
        assert_eq!(words(auth), told, "{auth}");
    }
}

#[test]
fn faults_of_routes() {
    let text = "
auth: {schemes: {login: {type: basic}}}
routes:
  - {method: put, path: /a, component: ids.wasm, auth: logn}
  - {method: put, path: /b, component: ids.wasm, access: {groups: [x]}}
  - {method: put, path: /c, component: ids.wasm, auth: none, access: {}}
  - {method: put, path: /d, component: ids.wasm, auth: login, access: {group: [x]}, permission: {raed: {}}}
task_routes: [{operation: get, path: /t, auth: lgin}]
admin: {access: {roles: [admin]}}
";
    let told = "\
a:4:56: auth: expected `none` or a name under `auth.schemes`, found `logn`; did you mean `login`?
a:5:58: access: nobody is asked who they are here; name a scheme as `auth`, or as `auth.default`
a:6:70: access: nobody is asked who they are here; name a scheme as `auth`, or as `auth.default`
a:7:72: unknown key `group` in `access`; did you mean `groups`?
a:7:98: unknown key `raed` in a route's `permission`; did you mean `read`?
a:8:48: auth: expected `none` or a name under `auth.schemes`, found `lgin`; did you mean `login`?
a:9:17: access: nobody is asked who they are here; name a scheme as `auth`, or as `auth.default`";
    assert_eq!(faults(text, Format::Yaml), told);
    let admin = format!("{ROUTE}admin: {{}}");
    assert_eq!(faults(&admin, Format::Yaml), "a:2:8: `admin` needs the key `auth`, since there is no `auth.default`");
    let tls = format!("{ROUTE}server: {{tls: {{certificate: c.pem}}}}");
    let told = "a:2:15: `server.tls` needs the key `key`\n\
                a:2:29: certificate: expected a file at /etc/sandpool/c.pem, found nothing";
    assert_eq!(faults(&tls, Format::Yaml), told);
}

#[test]
fn other_machines_reach_only_what_asks() {
    let text = |default: &str, rest: &str| {
        format!(
            "server: {{listen: '0.0.0.0:80'}}\nauth: {{schemes: {{l: {{type: basic}}}}, default: {default}}}\n\
             routes: [{{method: put, path: /a, component: ids.wasm}}, {{method: put, path: /b, component: ids.wasm, auth: l}}]\n{rest}"
        )
    };
    let told = |open: &str| {
        format!(
            "a:1:18: listen: other machines reach 0.0.0.0:80, and nobody asks who they are at {open}; \
             give that an `auth`, listen at 127.0.0.1, or say `open: true` if that is meant"
        )
    };
    loaded(&text("l", ""), Format::Yaml, folder().path());
    assert_eq!(
        faults(&text("none", ""), Format::Yaml),
        told("PUT /a, GET /tasks, DELETE /tasks, POST/GET/QUERY /tasks/query, GET /events")
    );
    assert_eq!(faults(&text("l", "admin: {auth: none}"), Format::Yaml), told("/-/"));
    assert_eq!(
        faults(&text("l", "task_routes: [{operation: get, path: /t, auth: none}]"), Format::Yaml),
        told("GET /t")
    );
    loaded(&text("none", "").replace("{listen", "{open: true, listen"), Format::Yaml, folder().path());
    loaded(&text("none", "").replace("0.0.0.0", "127.0.0.1"), Format::Yaml, folder().path());
}

#[test]
fn values_of_variables_are_not_shown() {
    let text = "
server: {listen: '${SECRET}', public_url: 'https://u:hunter2@a/?x'}
auth:
  users: [{id: x, password: '${SECRET}', api_keys: ['${SECRET}', 'x${SECRET}']}]
  schemes: {'t': {type: '${SECRET}'}, u: {type: jwt, secret: '${SECRET}'}, v: {any: ['a${SECRET}']}, w: '${SECRET}'}
  default: ${SECRET}
store: {retention: 'x-${SECRET}-y'}
routes:
  - method: ${SECRET}
    path: /${SECRET}/{
    name: n/${SECRET}
    component: ${SECRET}
    using: ['u-${SECRET}']
  - {method: get, path: '/${SECRET}', component: '/${SECRET}/a-path-that-is-longer-than-what-is-shown-of-it-in-a-fault'}
  - {method: get, path: '/${SECRET}', component: 'ids.wasm', memory: '${SECRET}'}
admin: {auth: '${SECRET}'}
";
    let found = faults(text, Format::Yaml);
    assert!(found.lines().count() > 15, "{found}");
    for secret in ["t0p-secret", "t0p", "hunter2"] {
        assert!(!found.contains(secret), "{secret} in\n{found}");
    }
    assert!(found.contains(
        "listen: expected an address and a port such as 127.0.0.1:8080 or [::1]:8080, found the value of a variable"
    ));
    assert!(found.contains("found a text with the value of a variable"));
    assert!(found.contains("component: expected a file at /etc/sandpool/${SECRET}, found nothing"), "{found}");
}
