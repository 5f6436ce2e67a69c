//! Tenants: what is whose, who may do what, and what each may use.

use crate::deploys::{bytes, detail};
use crate::support::{Answer, Server, component, eventually, hash, sandpool};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use std::time::Instant;

/// Users by what they are: each one's name is its API key.
const USERS: [(&str, &str); 7] = [
    ("root", "roles: [admin]"),
    ("auditor", "roles: [auditor]"),
    ("ada", "groups: [acme]"),
    ("alf", "groups: [acme-staff]"),
    ("amy", "groups: [acme-audit]"),
    ("bob", "groups: [bolt]"),
    ("both", "groups: [acme, bolt]"),
];

/// A configuration with acme, whose quota is given, and bolt.
pub fn configuration(acme: &str, more: &str) -> String {
    let user =
        |(name, what): &(&str, &str)| format!("    - {{id: {name}, api_keys: ['{}'], {what}}}\n", hash("key", name));
    let users: String = USERS.iter().map(user).collect();
    format!(
        "auth:\n  users:\n{users}  schemes: {{key: {{type: api_key, in: header, name: X-API-KEY}}}}\n  default: key\n\
         openapi: {{auth: key}}\n\
         admin: {{auth: key, access: {{roles: [admin]}}, viewers: {{roles: [auditor]}}}}\n\
         tenants:\n  acme: {{prefix: /acme, members: {{groups: [acme, acme-staff]}}, admins: {{groups: [acme]}}, \
         viewers: {{groups: [acme-audit]}}, quota: {{{acme}}}}}\n  \
         bolt: {{prefix: /bolt, members: {{groups: [bolt]}}}}\n{more}"
    )
}

async fn server(acme: &str) -> Server {
    Server::start(&configuration(acme, "routes: []\n")).await
}

impl Server {
    /// A request of this user's.
    pub fn by(&self, user: &str, method: &str, path: &str) -> RequestBuilder {
        self.request(method, path).header("X-API-KEY", user)
    }

    async fn get_by(&self, user: &str, status: u16, path: &str) -> Answer {
        self.send(status, self.by(user, "GET", path)).await
    }

    pub async fn put_by(&self, user: &str, status: u16, path: &str, body: Value) -> Answer {
        self.send(status, self.by(user, "PUT", path).json(&body)).await
    }

    pub async fn upload_by(&self, user: &str, status: u16, name: &str, file: &str) -> Answer {
        self.send(status, self.by(user, "PUT", &format!("/-/plugins/{name}")).body(bytes(file))).await
    }

    /// The task, ended, as this user sees it.
    pub async fn run_by(&self, user: &str, path: &str, body: Value) -> Answer {
        let request = self.by(user, "PUT", path).header("Prefer", "wait=30").json(&body);
        self.send(200, request).await
    }

    /// What `/-/tenants` says of a tenant.
    pub async fn tenant(&self, name: &str) -> Value {
        let all = self.get_by("root", 200, "/-/tenants").await;
        all.body.as_array().expect("tenants").iter().find(|tenant| tenant["Name"] == name).expect("is there").clone()
    }
}

fn names(answer: &Answer) -> Vec<&str> {
    answer.body.as_array().expect("a list").iter().map(|entry| entry["Name"].as_str().expect("a name")).collect()
}

fn route(path: &str, plugin: &str) -> Value {
    json!({"method": "PUT", "path": path, "plugin": plugin})
}

#[tokio::test]
async fn members_manage_what_is_below_their_prefix() {
    let server = server("").await;
    let plugin = server.upload_by("ada", 201, "hello", "hello.wasm").await;
    assert_eq!((plugin.text("Name"), plugin.text("CreatedBy")), ("acme:hello", "ada"));
    let made = server.put_by("ada", 201, "/-/routes/greet", route("/acme/greet", "hello")).await;
    assert_eq!(
        (made.text("Name"), made.text("Tenant"), made.text("Component")),
        ("acme:greet", "acme", "acme:hello@latest")
    );
    // The same name is another plugin for the next tenant.
    server.upload_by("bob", 201, "hello", "hello.wasm").await;
    let unknown = server.send(404, server.by("root", "PUT", "/-/plugins/nosuch:hello").body(bytes("hello.wasm"))).await;
    assert!(detail(&unknown).contains("no tenant `nosuch`"), "{unknown:?}");
    let outside = server.put_by("ada", 422, "/-/routes/x", route("/x", "hello")).await;
    assert!(outside.body["errors"].to_string().contains("below /acme"), "{outside:?}");
    let others = server.put_by("ada", 422, "/-/routes/x", route("/bolt/x", "hello")).await;
    assert!(others.body["errors"].to_string().contains("below /acme"), "{others:?}");
    let ended = server.run_by("ada", "/acme/greet", json!({})).await;
    assert_eq!((ended.text("State"), ended.text("Name")), ("Completed", "acme:greet"));
    server.send(200, server.by("ada", "POST", "/-/routes/greet/pause")).await;
    server.send(200, server.by("ada", "POST", "/-/routes/greet/resume")).await;
    server.put_by("ada", 200, "/-/routes/acme:greet", route("/acme/greet2", "acme:hello")).await;
    server.send(200, server.by("ada", "POST", "/-/routes/greet/rollback")).await;
    assert_eq!(server.get_by("ada", 200, "/-/routes/greet/revisions").await.body.as_array().map(Vec::len), Some(3));
    server.send(204, server.by("ada", "DELETE", "/-/routes/greet")).await;
    server.send(204, server.by("ada", "DELETE", "/-/plugins/hello")).await;
    assert_eq!(names(&server.get_by("root", 200, "/-/plugins").await), ["bolt:hello"]);
}

#[tokio::test]
async fn what_is_anothers_is_not_there() {
    let server = server("").await;
    for (user, tenant) in [("ada", "acme"), ("bob", "bolt")] {
        server.upload_by(user, 201, "counter", "counter.wasm").await;
        let mut definition = route(&format!("/{tenant}/count"), "counter");
        definition["arguments"] = json!({"name": "hits"});
        definition["state"] = json!({"write": ["hits"]});
        definition["sse"] = json!({"group": "g"});
        server.put_by(user, 201, "/-/routes/count", definition).await;
    }
    let of_bolt = server.run_by("bob", "/bolt/count", json!({})).await;
    assert_eq!(of_bolt.body["Result"]["value"], 1, "{of_bolt:?}");
    server.run_by("bob", "/bolt/count", json!({})).await;
    let of_acme = server.run_by("ada", "/acme/count", json!({})).await;
    assert_eq!(of_acme.body["Result"]["value"], 1, "a variable of its own: {of_acme:?}");
    assert_eq!(of_acme.body["Sse"]["Group"], "acme:g");
    // Names that lead to bolt's, said by acme.
    for path in
        ["/-/plugins/bolt:counter", "/-/routes/bolt:count", "/-/state/bolt:hits", "/-/routes/bolt:count/revisions"]
    {
        server.get_by("ada", 404, path).await;
        server.get_by("root", 200, path).await;
    }
    server.send(404, server.by("ada", "DELETE", "/-/routes/bolt:count")).await;
    server.send(404, server.by("ada", "DELETE", "/-/plugins/bolt:counter")).await;
    server.send(404, server.by("ada", "DELETE", "/-/state/bolt:hits")).await;
    server.send(404, server.by("ada", "POST", "/-/routes/bolt:count/pause")).await;
    server.send(404, server.by("ada", "GET", "/-/plugins?tenant=bolt")).await;
    let stolen = server.put_by("ada", 422, "/-/routes/steal", route("/acme/steal", "bolt:counter")).await;
    assert!(stolen.body["errors"].to_string().contains("expected one of acme"), "{stolen:?}");
    assert_eq!(names(&server.get_by("ada", 200, "/-/plugins").await), ["acme:counter"]);
    assert_eq!(names(&server.get_by("ada", 200, "/-/routes").await), ["acme:count"]);
    assert_eq!(names(&server.get_by("ada", 200, "/-/tenants").await), ["acme"]);
    assert_eq!(server.get_by("ada", 200, "/-/state").await.body, json!(["acme:hits"]));
    assert_eq!(server.get_by("ada", 200, "/-/state/hits").await.body, json!(1));
    let pools = server.get_by("ada", 200, "/-/pools").await;
    assert_eq!(pools.body.as_array().expect("pools").len(), 1);
    // Its tasks, by id, query, events and bulk.
    let id = of_bolt.id();
    server.get_by("ada", 404, &format!("/tasks/{id}")).await;
    server.send(404, server.by("ada", "DELETE", &format!("/tasks/{id}"))).await;
    let found = server.send(200, server.by("ada", "POST", "/tasks/query").json(&json!({}))).await;
    assert_eq!(
        found.body.as_array().expect("tasks").iter().map(|task| &task["Name"]).collect::<Vec<_>>(),
        ["acme:count"]
    );
    server
        .send(404, server.by("ada", "GET", &format!("/events?taskId={id}")).header("Accept", "text/event-stream"))
        .await;
    let rerun = server.send(200, server.by("ada", "POST", "/-/tasks/rerun?dry_run=true").json(&json!({}))).await;
    assert_eq!(rerun.body["Matched"], 1);
    server.send(403, server.by("ada", "PUT", "/bolt/count").json(&json!({}))).await;
    // The document shows each its own; and to strangers what is the host's.
    for (user, paths) in [("ada", "acme"), ("bob", "bolt"), ("root", "acme bolt"), ("auditor", "")] {
        let document = server.get_by(user, 200, "/openapi.json").await;
        let shown = document.body["paths"].to_string();
        for tenant in ["acme", "bolt"] {
            assert_eq!(shown.contains(&format!("/{tenant}/count")), paths.contains(tenant), "{user}");
        }
    }
    for path in ["/-/metrics", "/-/nodes"] {
        server.get_by("ada", 403, path).await;
    }
}

#[tokio::test]
async fn each_role_may_what_it_may() {
    let server = server("").await;
    server.upload_by("ada", 201, "hello", "hello.wasm").await;
    server.put_by("ada", 201, "/-/routes/greet", route("/acme/greet", "hello")).await;
    // A member calls, and owns what it called; others who only call do not see it.
    let task = server.run_by("alf", "/acme/greet", json!({})).await.id();
    for (user, get, stop) in [("alf", 200, 410), ("ada", 200, 410), ("amy", 200, 403), ("bob", 404, 404)] {
        server.get_by(user, get, &format!("/tasks/{task}")).await;
        server.send(stop, server.by(user, "DELETE", &format!("/tasks/{task}"))).await;
    }
    // Who may look, and who may change.
    for (user, look, change) in [
        ("root", 200, 200),
        ("auditor", 200, 403),
        ("ada", 200, 200),
        ("amy", 200, 403),
        ("alf", 403, 403),
        ("bob", 404, 404),
    ] {
        server.get_by(user, look, "/-/routes/acme:greet").await;
        let paused = server.send(change, server.by(user, "POST", "/-/routes/acme:greet/pause")).await;
        if change == 403 && look == 200 {
            assert!(detail(&paused).contains("change nothing"), "{paused:?}");
        }
    }
    assert_eq!(names(&server.get_by("auditor", 200, "/-/tenants").await), ["acme", "bolt"]);
    server.get_by("auditor", 200, "/-/metrics").await;
    // Who manages two must say which; an administrator may.
    let which = server.get_by("both", 400, "/-/plugins").await;
    assert!(detail(&which).contains("acme and bolt"), "{which:?}");
    assert_eq!(names(&server.get_by("both", 200, "/-/plugins?tenant=acme").await), ["acme:hello"]);
    assert_eq!(names(&server.get_by("root", 200, "/-/plugins?tenant=bolt").await), [""; 0]);
    server.send(201, server.by("root", "PUT", "/-/plugins/own?tenant=bolt").body(bytes("hello.wasm"))).await;
    assert_eq!(names(&server.get_by("bob", 200, "/-/plugins").await), ["bolt:own"]);
    // What was done is noted for those whose things it was about.
    let of_acme = server.get_by("ada", 200, "/-/audit").await;
    let entries = of_acme.body.as_array().expect("entries");
    assert!(entries.iter().all(|entry| entry["Tenant"] == "acme"), "{of_acme:?}");
    assert!(
        entries.iter().any(|entry| entry["Action"] == "POST /-/routes/acme:greet/pause" && entry["User"] == "root")
    );
    // Who may change nothing cannot push out what was.
    for user in ["amy", "auditor", "alf"] {
        let refused = server.get_by("root", 200, &format!("/-/audit?by={user}")).await;
        assert_eq!((&refused.body[0]["Status"], &refused.body[0]["Tenant"]), (&json!(403), &json!("-")), "{refused:?}");
    }
    assert_eq!(server.get_by("root", 200, "/-/audit?action=%2Fpause&until=2020-01-01T00:00:00Z").await.body, json!([]));
    server.get_by("root", 400, "/-/audit?since=yesterday").await;
}

#[tokio::test]
async fn a_quota_is_a_quota() {
    let server = server("plugins: 2, plugin_bytes: 1MiB, routes: 2, state: 1KiB, running: 1, waiting: 2").await;
    server.upload_by("ada", 201, "counter", "counter.wasm").await;
    server.upload_by("ada", 201, "phases", "phases.wasm").await;
    let third = server.upload_by("ada", 429, "hello", "hello.wasm").await;
    assert!(detail(&third).contains("acme") && !third.header("retry-after").is_empty(), "{third:?}");
    let large = server.send(413, server.by("ada", "PUT", "/-/plugins/big").body(vec![0; 2 << 20])).await;
    assert!(detail(&large).contains("1048576"), "{large:?}");
    server.put_by("ada", 201, "/-/routes/slow", route("/acme/slow", "phases")).await;
    let mut count = route("/acme/count", "counter");
    count["arguments"] = json!({"name": "hits"});
    count["state"] = json!({"write": ["hits"]});
    server.put_by("ada", 201, "/-/routes/count", count).await;
    let third = server.put_by("ada", 429, "/-/routes/third", route("/acme/third", "phases")).await;
    assert!(detail(&third).contains("has 2 routes"), "{third:?}");
    // Variables, by their administrators and by guests.
    let much = json!("x".repeat(900));
    server.put_by("ada", 201, "/-/state/much", much).await;
    let full = server.put_by("ada", 422, "/-/state/more", json!("x".repeat(200))).await;
    assert!(detail(&full).contains("acme"), "{full:?}");
    server.put_by("bob", 201, "/-/state/more", json!("x".repeat(200))).await;
    server.put_by("root", 201, "/-/state/own", json!("x".repeat(9000))).await;
    server.put_by("ada", 201, "/-/state/rest", json!("x".repeat(97))).await;
    let refused = server.run_by("ada", "/acme/count", json!({})).await;
    assert_eq!(refused.text("State"), "Failed", "{refused:?}");
    server.send(204, server.by("ada", "DELETE", "/-/state/much")).await;
    server.send(404, server.by("ada", "DELETE", "/-/state/much")).await;
    assert_eq!(server.run_by("ada", "/acme/count", json!({})).await.text("State"), "Completed");
    // Tasks: one runs, two wait, over all its routes.
    let endless = json!({"steps": 1000, "pause_ms": 1000});
    let first = server.put_by("ada", 202, "/acme/slow", endless.clone()).await.id();
    server.put_by("ada", 202, "/acme/slow", endless.clone()).await;
    server.put_by("ada", 202, "/acme/count", json!({})).await;
    let full = server.put_by("ada", 429, "/acme/count", json!({})).await;
    assert!(detail(&full).contains("1 tasks that run and 2 that wait"), "{full:?}");
    eventually("it runs", async || {
        let tenant = server.tenant("acme").await;
        let used = &tenant["Use"];
        let is_so = used["Running"] == 1 && used["Waiting"] == 2 && used["Memory"] == 64 << 20;
        is_so.then_some(())
    })
    .await;
    server.send(200, server.by("ada", "DELETE", &format!("/tasks/{first}"))).await;
    let stopped = server.send(200, server.by("ada", "POST", "/-/tasks/stop").json(&json!({}))).await;
    assert_eq!(stopped.body["Refused"], Value::Null, "{stopped:?}");
    let used = &server.tenant("acme").await["Use"];
    assert_eq!((&used["Plugins"], &used["Routes"], &used["Variables"]), (&json!(2), &json!(2), &json!(2)));
    let metrics = server.get_by("root", 200, "/-/metrics").await;
    assert!(
        metrics.body.as_str().expect("text").contains("sandpool_tenant_refused_total{tenant=\"acme\"} 1"),
        "{metrics:?}"
    );
}

#[tokio::test]
async fn submits_of_a_tenant_have_a_rate() {
    let file = component("hello.wasm");
    let routes = format!(
        "routes:\n  - {{method: PUT, path: /acme/h, component: {file}}}\n  - {{method: PUT, path: /bolt/h, component: {file}}}\n"
    );
    let server = Server::start(&configuration("submits_per_second: 1", &routes)).await;
    // Its members share it.
    let mut refused = None;
    for user in ["ada", "alf"].into_iter().cycle().take(50) {
        let answer = server.by(user, "PUT", "/acme/h").json(&json!({})).send().await.expect("an answer");
        if answer.status() == 429 {
            refused = Some((answer.headers().contains_key("retry-after"), answer.text().await.expect("text")));
            break;
        }
    }
    let (says_when, words) = refused.expect("more than one a second");
    assert!(says_when && words.contains("The tenant acme may submit 1 tasks a second"), "{words}");
    server.put_by("bob", 202, "/bolt/h", json!({})).await;
    // Nor does a rerun go round it.
    eventually("a rerun is refused", async || {
        let rerun = server.send(200, server.by("ada", "POST", "/-/tasks/rerun").json(&json!({}))).await;
        rerun.body["Refused"].to_string().contains("may submit 1 tasks a second").then_some(())
    })
    .await;
}

#[tokio::test]
async fn cpu_time_is_metered_and_a_tenant_without_any_pauses() {
    let file = component("misbehaving.wasm");
    let routes = format!(
        "routes:\n  - {{method: PUT, path: /acme/spin, component: {file}}}\n  - {{method: PUT, path: /bolt/spin, component: {file}}}\n"
    );
    let server = Server::start(&configuration("cpu_per_minute: 500ms", &routes)).await;
    let spin = json!({"mode": "loop"});
    let id = server.put_by("ada", 202, "/acme/spin", spin.clone()).await.id();
    // It may use up its half second, and then a 120th of each further one.
    let used = async || server.tenant("acme").await["Use"]["CpuSeconds"].as_f64().expect("a number");
    eventually("it has used up its minute", async || (used().await >= 0.5).then_some(())).await;
    let (began, before) = (Instant::now(), used().await);
    eventually("it got a little more", async || (used().await > before).then_some(())).await;
    eventually("some seconds passed", async || (began.elapsed().as_secs() >= 3).then_some(())).await;
    let (passed, more) = (began.elapsed().as_secs_f64(), used().await - before);
    println!("{more:.3} s of CPU time in {passed:.1} s, {:.4} of it", more / passed);
    assert!(more < passed / 4.0, "{more} in {passed}: it is not held to a 120th");
    let task = server.get_by("ada", 200, &format!("/tasks/{id}")).await;
    assert_eq!(task.text("State"), "Running", "nothing of it fails: {task:?}");
    // Another task of its own waits for a slot; others' do not.
    let second = server.put_by("ada", 202, "/acme/spin", spin.clone()).await.id();
    let others = server.put_by("bob", 202, "/bolt/spin", spin).await.id();
    eventually("the other tenant's runs", async || {
        (server.get_by("bob", 200, &format!("/tasks/{others}")).await.text("State") == "Running").then_some(())
    })
    .await;
    eventually("the other tenant's is metered", async || {
        (server.tenant("bolt").await["Use"]["CpuSeconds"].as_f64() > Some(0.2)).then_some(())
    })
    .await;
    // Stops reach what pauses and what waits.
    for (user, id) in [("ada", id), ("ada", second), ("bob", others)] {
        let stopped = server.send(200, server.by(user, "DELETE", &format!("/tasks/{id}"))).await;
        assert_eq!(stopped.text("State"), "Aborted");
    }
    let metrics = server.get_by("root", 200, "/-/metrics").await;
    let text = metrics.body.as_str().expect("text");
    assert!(text.contains("sandpool_tenant_cpu_seconds_total{tenant=\"acme\"} 0."), "{text}");
    assert!(text.contains("sandpool_task_cpu_seconds_count{route=\"__Put_acme_spin__\"}"), "{text}");
}

#[tokio::test]
async fn what_a_tenant_stores_is_kept_within_its_quota() {
    let file = component("hello.wasm");
    let routes = format!("routes:\n  - {{method: PUT, path: /acme/h, component: {file}, pool: {{queue: 10000}}}}\n");
    let server =
        Server::start(&configuration("stored: 1MiB, submits_per_second: 100000, waiting: 10000", &routes)).await;
    let body = json!({"name": "x".repeat(20_000)});
    let mut last = None;
    for _ in 0..150 {
        let answer = server.by("ada", "PUT", "/acme/h").json(&body).send().await.expect("an answer");
        // 3 MiB in all: where the oldest cannot go soon enough, the next waits.
        if answer.status() == 202 {
            let task: Value = answer.json().await.expect("a task");
            last = task["Id"].as_str().map(str::to_owned);
        } else {
            assert_eq!(answer.status(), 429);
        }
    }
    let most = 1 << 20;
    eventually("its oldest tasks are gone", async || {
        let used = server.tenant("acme").await["Use"]["Stored"].as_u64().expect("a number");
        (used > 0 && used <= most).then_some(())
    })
    .await;
    server.get_by("ada", 200, &format!("/tasks/{}", last.expect("one was taken"))).await;
}

#[tokio::test]
async fn a_changed_tenant_takes_effect_while_it_runs() {
    let server = server("routes: 1").await;
    server.upload_by("ada", 201, "hello", "hello.wasm").await;
    server.put_by("ada", 201, "/-/routes/one", route("/acme/one", "hello")).await;
    server.put_by("ada", 429, "/-/routes/two", route("/acme/two", "hello")).await;
    let head = "server: {listen: \"127.0.0.1:0\"}\nstore: {url: \"sqlite:tasks.db\"}\n";
    let rewrite = |text: &str| std::fs::write(server.path("sandpool.yaml"), format!("{head}{text}")).expect("written");
    rewrite(&configuration("routes: 2", "routes: []\n"));
    eventually("two are allowed", async || {
        let answer = server.by("ada", "PUT", "/-/routes/two").json(&route("/acme/two", "hello")).send().await;
        (answer.expect("an answer").status() == 201).then_some(())
    })
    .await;
    // A tenant that is gone takes its routes with it: nobody else gets them, and they are there again with it.
    let without = configuration("", "routes: []\n").replace("  acme: {prefix: /acme,", "  other: {prefix: /other,");
    rewrite(&without);
    eventually("its routes are gone", async || {
        let answer = server.by("root", "PUT", "/acme/one").json(&json!({})).send().await.expect("an answer");
        (answer.status() == 404).then_some(())
    })
    .await;
    let aside = server.get_by("root", 200, "/-/routes/acme:one").await;
    assert_eq!((aside.text("State"), aside.text("Tenant")), ("Faulty", "acme"), "{aside:?}");
    assert!(aside.text("Fault").contains("no tenant `acme`"), "{aside:?}");
    rewrite(&configuration("", "routes: []\n"));
    eventually("its routes are there", async || {
        let answer = server.by("ada", "PUT", "/acme/one").json(&json!({})).send().await.expect("an answer");
        (answer.status() == 202).then_some(())
    })
    .await;
}

#[tokio::test]
async fn groups_and_routes_are_followed_by_their_short_names_too() {
    let server = server("").await;
    server.upload_by("ada", 201, "hello", "hello.wasm").await;
    let mut definition = route("/acme/greet", "hello");
    definition["sse"] = json!({"group": "g"});
    server.put_by("ada", 201, "/-/routes/greet", definition).await;
    for path in ["/events?group=g", "/events?group=acme:g", "/events?route=greet", "/events?route=acme:greet"] {
        let follow = |user: &str| server.by(user, "GET", path).header("Accept", "text/event-stream").send();
        for (user, status) in [("ada", 200), ("alf", 200), ("amy", 200), ("bob", 404)] {
            assert_eq!(follow(user).await.expect("an answer").status().as_u16(), status, "{user} {path}");
        }
    }
}

#[tokio::test]
async fn old_entries_of_the_audit_log_go() {
    let text = format!("audit: {{retention: 2s}}\n{}", configuration("", "routes: []\n"));
    let server = Server::start(&text).await;
    server.put_by("ada", 201, "/-/state/x", json!(1)).await;
    assert_eq!(server.get_by("ada", 200, "/-/audit").await.body[0]["Action"], "PUT /-/state/x");
    eventually("it is gone", async || {
        (server.get_by("root", 200, "/-/audit?tenant=acme").await.body == json!([])).then_some(())
    })
    .await;
}

#[tokio::test]
async fn members_deploy_from_the_command_line() {
    let server = server("").await;
    let run = |user: &str, arguments: &[&str]| {
        let header = format!("X-API-KEY: {user}");
        let file = component("hello.wasm");
        let mut command = sandpool();
        command.args(arguments).args(["--server", &server.base, "--header", &header]);
        if arguments[0] == "deploy" {
            command.arg(&file);
        }
        let out = command.output().expect("runs");
        (out.status.code(), String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned())
    };
    let (code, said) = run("ada", &["deploy", "--route", "PUT /acme/greet", "--route-name", "greet"]);
    assert!(code == Some(0) && said.contains("plugin acme:hello@"), "{said}");
    assert_eq!(server.run_by("ada", "/acme/greet", json!({})).await.text("State"), "Completed");
    // Who belongs to two says for which.
    let (code, said) = run("both", &["plugins"]);
    assert!(code != Some(0) && said.contains("acme and bolt"), "{said}");
    let (code, said) = run("both", &["plugins", "--tenant", "acme"]);
    assert!(code == Some(0) && said.contains("acme:hello"), "{said}");
    let (code, said) = run("both", &["deploy", "--route", "PUT /bolt/greet", "--tenant", "bolt"]);
    assert!(code == Some(0) && said.contains("plugin bolt:hello@"), "{said}");
    let (code, said) =
        run("root", &["deploy", "--name", "acme:second", "--route", "PUT /acme/two", "--route-name", "acme:two"]);
    assert!(code == Some(0) && said.contains("plugin acme:second@"), "{said}");
}
