//! The integration fixture of the original, Pode's tests of asynchronous routes: two users, who may call, see, stop and
//! find what, and what comes out.

use crate::support::{Answer, MINDY, MORTY, Server, User, component, eventually, ids, morty_and_mindy};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The original's eight routes, and two more: one whose tasks Support may read, one for everybody.
fn fixture() -> String {
    let (sleeper, m) = (component("sleeper.wasm"), component("misbehaving.wasm"));
    let using = "using: [uSleepTime, uMessage]";
    format!(
        r#"
variables: {{uSleepTime: 2, uMessage: coming from using}}
state: {{data: {{sleepTime: 0.5, Message: coming from a state}}}}
{auth}
  default: both
routes:
  - {{method: PUT, path: /auth/asyncUsing, component: {sleeper}, {using}, access: {{groups: [software]}}}}
  - {{method: PUT, path: /auth/asyncState, component: {sleeper}, state: {{read: [data]}}, access: {{groups: [Software]}}}}
  - {{method: PUT, path: /auth/asyncStateNoColumn, component: {sleeper}, state: {{read: [data]}}, access: {{groups: [Support]}}}}
  - {{method: PUT, path: /auth/asyncParam, component: {sleeper}, arguments: {{sleepTime2: 0.1, times: 5, Message: coming as argument}}}}
  - {{method: PUT, path: /auth/asyncUsingNotCancellable, component: {sleeper}, {using}, cancellable: false}}
  - {{method: PUT, path: /auth/asyncUsingCancellable, component: {sleeper}, {using}}}
  - {{method: PUT, path: /auth/asyncInfiniteLoop, component: {m}}}
  - {{method: PUT, path: /auth/asyncInfiniteLoopTimeout, component: {m}, cancellable: false, timeout: 3s}}
  - {{method: PUT, path: /auth/shared, component: {m}, permission: {{read: {{groups: [Support]}}}}}}
  - {{method: PUT, path: /open, component: {sleeper}, {using}, auth: none}}
task_routes:
  - {{operation: get, path: /task, in: [path, query], id_name: id}}
  - {{operation: stop, path: /task, in: [path, query], id_name: id}}
  - {{operation: query, path: /tasks, in: [body]}}
"#,
        auth = morty_and_mindy().trim_end(),
    )
}

/// A route, what it is sent, and what comes out: a message, or nothing when it does not end by itself.
struct Route {
    path: &'static str,
    input: fn() -> Value,
    result: Option<&'static str>,
    cancellable: bool,
}

const fn sleeping(path: &'static str, result: &'static str, cancellable: bool) -> Route {
    Route { path, input: || Value::Null, result: Some(result), cancellable }
}

const fn looping(path: &'static str, cancellable: bool) -> Route {
    Route { path, input: || json!({"mode": "loop"}), result: None, cancellable }
}

const USING: Route = sleeping("/auth/asyncUsing", "coming from using", true);
const STATE: Route = sleeping("/auth/asyncState", "coming from a state", true);
const FOR_SUPPORT: Route = sleeping("/auth/asyncStateNoColumn", "coming from a state", true);
const PARAM: Route = sleeping("/auth/asyncParam", "coming as argument", true);
const NOT_CANCELLABLE: Route = sleeping("/auth/asyncUsingNotCancellable", "coming from using", false);
const CANCELLABLE: Route = sleeping("/auth/asyncUsingCancellable", "coming from using", true);
const LOOP: Route = looping("/auth/asyncInfiniteLoop", true);
const LOOP_TIMEOUT: Route = looping("/auth/asyncInfiniteLoopTimeout", false);
const ROUTES: [&Route; 8] =
    [&USING, &STATE, &FOR_SUPPORT, &PARAM, &NOT_CANCELLABLE, &CANCELLABLE, &LOOP, &LOOP_TIMEOUT];

impl Route {
    /// `__Put_auth_asyncUsing__`
    fn name(&self) -> String {
        format!("__Put{}__", self.path.replace('/', "_"))
    }
}

async fn call(server: &Server, user: User, status: u16, method: &str, path: &str, input: Value) -> Answer {
    let request = user.asks(server.request(method, path));
    server.send(status, if input.is_null() { request } else { request.json(&input) }).await
}

async fn query(server: &Server, user: User, document: Value) -> Answer {
    call(server, user, 200, "POST", "/tasks", document).await
}

/// Submits, and checks what the client is told.
async fn create(server: &Server, user: User, route: &Route) -> Answer {
    let created = call(server, user, 202, "PUT", route.path, (route.input)()).await;
    assert_eq!((created.text("User"), created.text("Name")), (user.id, route.name().as_str()));
    assert!(["NotStarted", "Running"].contains(&created.text("State")), "{created:?}");
    let owner = json!({"Users": [user.id]});
    assert_eq!(created.body["Permission"], json!({"Read": owner, "Write": owner}));
    assert_eq!(created.body["Cancellable"], json!(route.cancellable), "{}", route.path);
    assert_eq!(
        (created.text("Method"), created.text("Url")),
        ("PUT", format!("{}{}", server.base, route.path).as_str())
    );
    assert!(created.text("CreationTime") < created.text("ExpireTime"), "{created:?}");
    let members: BTreeSet<&str> = created.body.as_object().expect("an object").keys().map(String::as_str).collect();
    for not_yet in ["Result", "Error", "CompletedTime"] {
        assert!(!members.contains(not_yet), "{created:?}");
    }
    assert_eq!(created.header("location"), format!("{}/task/{}", server.base, created.id()));
    assert_eq!(created.header("retry-after"), "1");
    created
}

async fn ended(server: &Server, user: User, id: &str) -> Answer {
    eventually(&format!("the end of {id}"), || async {
        let task = call(server, user, 200, "GET", &format!("/task/{id}?wait=60"), Value::Null).await;
        task.body.get("CompletedTime").is_some().then_some(task)
    })
    .await
}

#[tokio::test]
async fn every_route_asks_for_both_credentials_of_one_user() {
    let server = Server::start(&fixture()).await;
    let mut asked: Vec<(&str, &str)> = ROUTES.iter().map(|route| ("PUT", route.path)).collect();
    asked.extend([("GET", "/task/x"), ("GET", "/task?id=x"), ("DELETE", "/task?id=x"), ("POST", "/tasks")]);
    for (method, path) in asked {
        let request = || server.request(method, path);
        let login = |name: &str, password: &str| request().basic_auth(name, Some(password));
        for request in [
            request(),
            login("morty", "pickle"),
            request().header("X-API-KEY", MORTY.key),
            login("morty", "pickle").header("X-API-KEY", MINDY.key),
            login("mindy", "pickle").header("X-API-KEY", MORTY.key),
            login("morty", "wrong").header("X-API-KEY", MORTY.key),
            login("nobody", "pickle").header("X-API-KEY", MORTY.key),
            login("morty", "pickle").header("X-API-KEY", "wrong"),
        ] {
            let refused = server.send(401, request).await;
            assert_eq!(refused.text("detail"), "Valid credentials are needed here.", "nothing tells which was wrong");
            let challenges: Vec<&str> =
                refused.headers.get_all("www-authenticate").iter().filter_map(|value| value.to_str().ok()).collect();
            assert!(challenges.iter().any(|text| text.starts_with("Basic realm=")), "{method} {path}: {challenges:?}");
            assert!(
                challenges.iter().any(|text| text.contains("name=\"X-API-KEY\"")),
                "{method} {path}: {challenges:?}"
            );
        }
    }
    assert_eq!(ids(&query(&server, MORTY, json!({})).await), [""; 0], "nothing was stored");
    let log = server.log();
    for secret in ["pickle", MORTY.key, MINDY.key, "$argon2id$"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

/// The original's tests are one story: each part builds on those before.
#[tokio::test]
async fn the_story_of_morty_and_mindy() {
    let server = Server::start(&fixture()).await;
    let looping = create(&server, MINDY, &LOOP).await.id();
    mindy_alone_sees_and_stops_hers(&server, &looping).await;
    let mut mindys = vec![(looping, &LOOP)];
    for route in [&NOT_CANCELLABLE, &CANCELLABLE, &USING, &FOR_SUPPORT, &STATE, &PARAM] {
        mindys.push((create(&server, MINDY, route).await.id(), route));
        if !route.cancellable {
            not_cancellable(&server, MINDY, &mindys[1].0).await;
        }
    }
    let refused = call(&server, MORTY, 403, "PUT", FOR_SUPPORT.path, Value::Null).await;
    assert_eq!(refused.text("detail"), "You may not call this route.");
    let timed = create(&server, MORTY, &LOOP_TIMEOUT).await.id();
    not_cancellable(&server, MORTY, &timed).await;
    let mut mortys = vec![(timed, &LOOP_TIMEOUT)];
    for route in [&NOT_CANCELLABLE, &CANCELLABLE, &USING, &STATE, &PARAM] {
        mortys.push((create(&server, MORTY, route).await.id(), route));
    }
    each_finds_their_own(&server, &mindys, &mortys).await;
    for (user, tasks) in [(MINDY, &mindys), (MORTY, &mortys)] {
        for (id, route) in tasks.iter().filter(|(_, route)| route.result.is_some()) {
            let task = ended(&server, user, id).await;
            assert_eq!(task.text("State"), "Completed", "{task:?}");
            assert_eq!(task.body["Result"], json!({"InnerValue": route.result}), "{}", route.path);
            let gone = call(&server, user, 410, "DELETE", &format!("/task?id={id}"), Value::Null).await;
            assert_eq!(gone.text("detail"), "The task has ended already, as Completed.");
        }
    }
    let timed = ended(&server, MORTY, &mortys[0].0).await;
    assert_eq!((timed.text("State"), timed.text("Error")), ("Aborted", "Timeout"));
    assert!(timed.body.get("Result").is_none() && timed.seconds("CreationTime", "CompletedTime") >= 3.0, "{timed:?}");
    // The end changed nothing in who finds what.
    each_finds_their_own(&server, &mindys, &mortys).await;
    by_state(&server, &mindys, &mortys).await;
}

async fn mindy_alone_sees_and_stops_hers(server: &Server, id: &str) {
    let (path, stop) = (format!("/task/{id}"), format!("/task?id={id}"));
    let running = eventually("her task's start", || async {
        let task = call(server, MINDY, 200, "GET", &path, Value::Null).await;
        (task.text("State") == "Running").then_some(task)
    })
    .await;
    assert!(running.body.get("StartingTime").is_some() && running.text("User") == MINDY.id, "{running:?}");
    for (method, path, unknown) in
        [("GET", &path, "/task/nobody"), ("GET", &stop, "/task?id=nobody"), ("DELETE", &stop, "/task?id=nobody")]
    {
        let unseen = call(server, MORTY, 404, method, path, Value::Null).await;
        let unknown = call(server, MORTY, 404, method, unknown, Value::Null).await;
        let words = |answer: &Answer, id: &str| answer.body.to_string().replace(id, "ID");
        assert_eq!(words(&unseen, id), words(&unknown, "nobody"), "it looks like no task at all");
    }
    let still = call(server, MINDY, 200, "GET", &path, Value::Null).await;
    assert_eq!(still.text("State"), "Running", "Morty's attempt did nothing");
    let stopped = call(server, MINDY, 200, "DELETE", &stop, Value::Null).await;
    assert_eq!((stopped.text("State"), stopped.text("Error")), ("Aborted", "Aborted by the user"));
    assert_eq!((stopped.text("User"), stopped.text("Name")), (MINDY.id, "__Put_auth_asyncInfiniteLoop__"));
    assert_eq!(stopped.body["Cancellable"], json!(true));
    let gone = call(server, MINDY, 410, "DELETE", &stop, Value::Null).await;
    assert_eq!(gone.text("detail"), "The task has ended already, as Aborted.");
    call(server, MORTY, 404, "DELETE", &stop, Value::Null).await;
}

async fn not_cancellable(server: &Server, user: User, id: &str) {
    let refused = call(server, user, 423, "DELETE", &format!("/task?id={id}"), Value::Null).await;
    assert!(refused.text("detail").contains("cancellable: false"), "{refused:?}");
}

type Tasks<'a> = [(String, &'a Route)];

/// The ids of those of the tasks whose route is like this, sorted.
fn whose(tasks: &Tasks<'_>, is: impl Fn(&Route) -> bool) -> Vec<String> {
    let mut ids: Vec<String> = tasks.iter().filter(|(_, route)| is(route)).map(|(id, _)| id.clone()).collect();
    ids.sort();
    ids
}

async fn each_finds_their_own(server: &Server, mindys: &Tasks<'_>, mortys: &Tasks<'_>) {
    for (user, tasks, count) in [(MINDY, mindys, 7), (MORTY, mortys, 6)] {
        let all = query(server, user, json!({})).await;
        assert_eq!((ids(&all), ids(&all).len()), (whose(tasks, |_| true), count), "{}", user.name);
        let listed = all.body.as_array().expect("an array");
        assert!(listed.iter().all(|task| task["User"] == user.id), "{listed:?}");
        assert!(listed.is_sorted_by_key(|task| std::cmp::Reverse(task["CreationTime"].as_str())), "newest first");
        for (op, value) in
            [("EQ", LOOP_TIMEOUT.name()), ("NE", LOOP_TIMEOUT.name()), ("EQ", USING.name()), ("ne", USING.name())]
        {
            let found = query(server, user, json!({"Name": {"value": value, "op": op}})).await;
            let equal = op == "EQ";
            assert_eq!(
                ids(&found),
                whose(tasks, |route| (route.name() == value) == equal),
                "{} {op} {value}",
                user.name
            );
        }
        for pattern in ["asyncUsing", "asyncusing", "__Put_*using*", "__put_auth_async?sing*"] {
            let like = query(server, user, json!({"Name": {"value": pattern, "op": "LIKE"}})).await;
            assert_eq!(ids(&like), whose(tasks, |route| route.path.contains("Using")), "{pattern}");
            let unlike = query(server, user, json!({"Name": {"value": pattern, "op": "NOTLIKE"}})).await;
            assert_eq!(ids(&unlike), whose(tasks, |route| !route.path.contains("Using")), "{pattern}");
        }
        // Nobody finds another's, by whatever is asked for.
        let (other, theirs) = if user == MINDY { (MORTY, mortys) } else { (MINDY, mindys) };
        for document in [
            json!({"User": {"op": "EQ", "value": other.id}}),
            json!({"User": {"op": "NE", "value": user.id}}),
            json!({"Id": {"op": "EQ", "value": theirs[0].0}}),
        ] {
            assert_eq!(ids(&query(server, user, document.clone()).await), [""; 0], "{} {document}", user.name);
        }
    }
}

/// By how the tasks ended: the one that was stopped, the one that timed out, the others.
async fn by_state(server: &Server, mindys: &Tasks<'_>, mortys: &Tasks<'_>) {
    for (user, tasks, error) in [(MINDY, mindys, "Aborted by the user"), (MORTY, mortys, "Timeout")] {
        let aborted = query(server, user, json!({"State": {"op": "EQ", "value": "Aborted"}})).await;
        assert_eq!(ids(&aborted), whose(tasks, |route| route.result.is_none()));
        assert_eq!(aborted.body[0]["Error"], error);
        let found = query(server, user, json!({"Error": {"op": "EQ", "value": error}})).await;
        assert_eq!(found.body, aborted.body);
        // The original's example of a query.
        let seeds = json!({
            "State": {"value": "Completed", "op": "EQ"},
            "CreationTime": {"value": "7/5/2024 1:20:00 PM", "op": "GE"},
            "StartingTime": {"value": "7/5/2024 1:20:00 PM", "op": "GT"},
            "Name": {"value": "Put", "op": "LIKE"},
            "Cancellable": {"value": true, "op": "EQ"},
        });
        let found = ids(&query(server, user, seeds.clone()).await);
        assert_eq!(found, whose(tasks, |route| route.result.is_some() && route.cancellable));
        let mut earlier = seeds;
        earlier["CreationTime"]["op"] = json!("LE");
        assert_eq!(ids(&query(server, user, earlier).await), [""; 0]);
    }
}

#[tokio::test]
async fn readers_may_not_stop_and_open_tasks_are_everybodys() {
    let server = Server::start(&fixture()).await;
    let shared = call(&server, MORTY, 202, "PUT", "/auth/shared", json!({"mode": "loop"})).await;
    let permission = json!({"Read": {"Users": [MORTY.id], "Groups": ["Support"]}, "Write": {"Users": [MORTY.id]}});
    assert_eq!(shared.body["Permission"], permission);
    let path = format!("/task/{}", shared.id());
    call(&server, MINDY, 200, "GET", &path, Value::Null).await;
    let forbidden = call(&server, MINDY, 403, "DELETE", &path, Value::Null).await;
    assert_eq!(forbidden.text("detail"), "You may read this task, but not stop it.");
    let open = server.put(202, "/open", Value::Null).await;
    assert!(open.body.get("User").is_none() && open.body.get("Permission").is_none(), "{open:?}");
    call(&server, MORTY, 200, "GET", &format!("/task/{}", open.id()), Value::Null).await;
    let hers = create(&server, MINDY, &CANCELLABLE).await.id();
    let sorted = |mut ids: Vec<String>| {
        ids.sort();
        ids
    };
    let (shared, open) = (shared.id(), open.id());
    assert_eq!(ids(&query(&server, MORTY, json!({})).await), sorted(vec![shared.clone(), open.clone()]));
    assert_eq!(ids(&query(&server, MINDY, json!({})).await), sorted(vec![shared, open, hers]));
    let stopped = call(&server, MORTY, 200, "DELETE", &path, Value::Null).await;
    assert_eq!((stopped.text("State"), stopped.text("Error")), ("Aborted", "Aborted by the user"));
}
