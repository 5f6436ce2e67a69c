//! The commands that ask a running server: what they print, how they end, what becomes of lost connections and of secrets.

use crate::faulty_servers::{TASK, fake, respond};
use crate::support::{MORTY, Server, component, eventually, morty_and_mindy, sandpool};
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

/// What a command said and how it ended.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8").trim_end().to_owned();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Each line's.
    fn events(&self) -> Vec<(String, Value)> {
        let event = |line: &str| {
            let event: Value = serde_json::from_str(line).expect("JSON");
            (event["Event"].as_str().expect("a name").to_owned(), event["Data"].clone())
        };
        self.out.lines().map(event).collect()
    }
}

/// The command at this server, which must end so.
#[track_caller]
pub fn at(base: &str, code: i32, arguments: &[&str]) -> Ran {
    let ran = Ran::of(sandpool().args(arguments).args(["--server", base]).output().expect("it runs"));
    assert_eq!(ran.code, Some(code), "{arguments:?}: {ran:?}");
    ran
}

#[track_caller]
fn run(server: &Server, code: i32, arguments: &[&str]) -> Ran {
    at(&server.base, code, arguments)
}

/// A command that goes on while something else happens.
struct Going {
    child: Child,
    folder: tempfile::TempDir,
}

impl Going {
    fn start(base: &str, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str| Stdio::from(fs::File::create(folder.path().join(name)).expect("writable"));
        let mut command = sandpool();
        command.args(arguments).args(["--server", base]).stdout(file("out")).stderr(file("err"));
        Self { child: command.spawn().expect("it starts"), folder }
    }

    fn said(&self, stream: &str) -> String {
        fs::read_to_string(self.folder.path().join(stream)).expect("a file")
    }

    async fn says(&self, words: &str) {
        eventually(words, || async { (self.said("out") + &self.said("err")).contains(words).then_some(()) }).await;
    }

    async fn ends(mut self) -> Ran {
        let status = eventually("the command's end", || {
            let ended = self.child.try_wait().expect("our child");
            async move { ended }
        })
        .await;
        Ran { code: status.code(), out: self.said("out").trim_end().into(), err: self.said("err").trim_end().into() }
    }
}

fn routes() -> String {
    let [phases, hello, misbehaving] = ["phases.wasm", "hello.wasm", "misbehaving.wasm"].map(component);
    format!(
        "routes:\n  \
         - {{method: PUT, path: /told, component: {phases}, sse: {{}}, retry: {{attempts: 9, on_lost_host: rerun}}}}\n  \
         - {{method: PUT, path: /silent, component: {phases}}}\n  \
         - {{method: POST, path: /hello, component: {hello}}}\n  \
         - {{method: PUT, path: /m, component: {misbehaving}}}\n"
    )
}

async fn server() -> Server {
    Server::start(&routes()).await
}

#[tokio::test]
async fn a_task_is_submitted_got_and_waited_for() {
    let server = server().await;
    let id = run(&server, 0, &["submit", "POST /hello", "--input", r#"{"name": "you"}"#]).out;
    let got = run(&server, 0, &["get", &id, "--wait", "60"]);
    for line in [&format!("id       {id}"), "route    __Post_hello__", "state    Completed", "result   {"] {
        assert!(got.out.contains(line), "{line} is not in {got:?}");
    }
    // An id, a path and a URL name the same task.
    let url = format!("{}/tasks/{id}", server.base);
    for place in [&id, &format!("/tasks/{id}"), &url] {
        let task = run(&server, 0, &["get", place, "--json"]).json();
        assert_eq!((&task["Id"], &task["Result"]["input"]["name"]), (&json!(id), &json!("you")));
    }
    let wait = ["submit", "post /hello", "--wait", "60", "--input"];
    // The result alone, with its digits; whatever else there is to say goes to standard error.
    let number = "123456789012345678901234567890.10";
    let done = run(&server, 0, &[&wait[..], &[number]].concat());
    assert!(done.out.contains(&format!("\"input\":{number}")) && done.err.len() == 36, "{done:?}");
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in [("a.yaml", "k: [1]"), ("b.xml", "<r><k type=\"array\"><item type=\"number\">1</item></k></r>")]
    {
        let file = folder.path().join(name);
        fs::write(&file, text).expect("writable");
        let done = run(&server, 0, &[&wait[..], &[&format!("@{}", file.display())]].concat());
        assert_eq!(done.json()["input"], json!({"k": [1]}), "{name}");
    }
    let mut child = sandpool();
    child.args(wait).args(["-", "--json", "--server", &server.base]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = child.spawn().expect("it starts");
    child.stdin.take().expect("piped").write_all(b"[null]").expect("written");
    let done = Ran::of(child.wait_with_output().expect("an end"));
    assert_eq!((&done.json()["State"], &done.json()["Result"]["input"]), (&json!("Completed"), &json!([null])));
    let once = ["submit", "POST /hello", "--idempotency-key", "k"];
    assert_eq!(run(&server, 0, &once).out, run(&server, 0, &once).out);
}

#[tokio::test]
async fn tasks_that_do_not_complete_are_exit_code_1() {
    let server = server().await;
    let fail = ["submit", "/m", "--input", r#"{"mode": "fail"}"#];
    for how in [&["--wait", "60"][..], &["--follow"]] {
        let failed = run(&server, 1, &[&fail[..], how].concat());
        assert!(failed.err.ends_with("Failed: failed as it was told to"), "{failed:?}");
        assert_eq!(failed.json(), json!({"code": 42}));
    }
    let id = run(&server, 1, &[&fail[..], &["--wait", "60", "--json"]].concat()).json()["Id"].clone();
    let id = id.as_str().expect("an id");
    run(&server, 0, &["get", id]);
    run(&server, 1, &["get", id, "--wait", "0"]);
    let watched = run(&server, 1, &["watch", id]);
    assert!(watched.err.contains("Failed: failed as it was told to"), "{watched:?}");

    let unended = run(&server, 1, &["submit", "/m", "--input", r#"{"mode": "loop"}"#, "--wait", "1"]);
    assert!(unended.err.contains("has not ended: Running") && unended.out.is_empty(), "{unended:?}");
    let id = unended.err.lines().next().expect("the id").to_owned();
    assert_eq!(run(&server, 0, &["stop", &id]).out, format!("{id}  Aborted: Aborted by the user"));
    let twice = run(&server, 2, &["stop", &id, "--json"]);
    assert_eq!(twice.err, "410: The task has ended already, as Aborted.");
    assert_eq!(run(&server, 1, &["get", &id, "--wait", "9", "--json"]).json()["State"], "Aborted");
}

#[tokio::test]
async fn tasks_are_found_and_listed() {
    let server = server().await;
    for _ in 0..3 {
        run(&server, 0, &["submit", "POST /hello", "--wait", "60"]);
    }
    run(&server, 1, &["submit", "/m", "--wait", "60", "--input", r#"{"mode": "fail"}"#]);
    let listed = run(&server, 0, &["query", "--state", "Failed", "--route", "*_m_*", "--error", "TOLD"]);
    let lines: Vec<&str> = listed.out.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("ID   ") && lines[1].contains("  __Put_m__  "), "{listed:?}");
    assert!(lines[1].ends_with("Failed: failed as it was told to"), "{listed:?}");
    let found = |arguments: &[&str]| {
        let found = run(&server, 0, &[&["query", "--json"], arguments].concat()).json();
        found.as_array().expect("an array").clone()
    };
    assert_eq!(found(&[]).len(), 4);
    assert_eq!(found(&["--route", "__Post_hello__", "--since", "2026-01-01T00:00:00Z"]).len(), 3);
    assert_eq!(found(&["{Name: {op: LIKE, value: hello}}", "--state", "Completed", "--limit", "2"]).len(), 2);
    assert_eq!(found(&["--of-user", "nobody"]), Vec::<Value>::new());
    let oldest = found(&["--order", "CreationTime", "--limit", "1"]);
    assert_eq!(found(&[]).last(), oldest.first());
    let cut = run(&server, 0, &["query", "--limit", "3"]);
    assert_eq!(cut.err, "these are the first 3: there are more, see --limit");
    let mut conflict = vec!["query", r#"{"State": {"op": "NE", "value": "Failed"}}"#];
    assert_eq!(found(&conflict[1..]).len(), 3);
    conflict.extend(["--state", "Failed"]);
    assert_eq!(run(&server, 2, &conflict).err, "--state: the query already has a condition on State");
    let unknown = run(&server, 2, &["query", "{Colour: {op: EQ, value: red}}"]);
    assert!(unknown.err.starts_with("400: ") && unknown.err.contains("Colour"), "{unknown:?}");
    assert!(run(&server, 2, &["query", "[1]"]).err.contains("expected {Field: {op"));
}

#[tokio::test]
async fn more_tasks_than_a_page_holds_come_page_by_page() {
    let server = server().await;
    let submits = (0..1003).map(|_| server.request("POST", "/hello").send());
    futures_util::future::join_all(submits).await;
    let found = run(&server, 0, &["query", "--json", "--limit", "1002"]).json();
    let mut ids: Vec<&str> = found.as_array().expect("tasks").iter().filter_map(|task| task["Id"].as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 1002);
}

#[tokio::test]
async fn what_the_server_refuses_is_exit_code_2_in_its_words() {
    let server = server().await;
    for command in ["get", "stop", "watch"] {
        let refused = run(&server, 2, &[command, "nope"]);
        assert_eq!(refused.err, "404: There is no task with the id `nope`.");
    }
    let cases: [(&[&str], &str); 10] = [
        (&["submit", "/nothing"], "404: There is nothing at /nothing."),
        (&["submit", "/hello"], "405: "),
        (&["submit", "hello"], "expected a method and a path"),
        (&["submit", "/m", "--input", "{"], "--input: no JSON: line 1"),
        (&["submit", "/m", "--input", "@/no/such"], "/no/such: cannot be read"),
        (&["submit", "/m", "--wait", "1", "--follow"], "cannot be used with"),
        (&["get", ""], "expected the id of a task"),
        (&["get", "http://other.example/tasks/1"], "that is not at the server"),
        (&["query", "--path", "query"], "expected a path that begins with `/`"),
        (&["routes", "pause"], "<NAME>"),
    ];
    for (arguments, words) in cases {
        let refused = run(&server, 2, arguments);
        assert!(refused.err.contains(words), "{arguments:?}: {refused:?}");
    }
}

#[test]
fn without_a_server_it_is_exit_code_3() {
    for arguments in [
        &["submit", "/x"][..],
        &["submit", "/x", "--follow"],
        &["get", "1"],
        &["get", "1", "--wait", "1"],
        &["stop", "1"],
        &["query"],
        &["watch", "1"],
        &["plugins"],
        &["routes"],
        &["routes", "pause", "x"],
    ] {
        let ran = at("http://127.0.0.1:9", 3, arguments);
        assert!(ran.err.contains("the server at http://127.0.0.1:9/ cannot be reached: "), "{ran:?}");
    }
}

#[tokio::test]
async fn callers_are_known_by_flags_and_by_the_environment_and_no_secret_is_shown() {
    let auth = morty_and_mindy();
    let task_routes = ["get, path: /tasks", "stop, path: /tasks", "query, path: /tasks/query", "events, path: /events"]
        .map(|route| format!("  - {{operation: {route}, auth: both}}\n"))
        .concat();
    let hello = component("hello.wasm");
    let server = Server::start(&format!(
        "{auth}admin: {{auth: both}}\ntask_routes:\n{task_routes}routes:\n  - {{method: PUT, path: /h, component: {hello}, auth: both, sse: {{}}}}\n"
    ))
    .await;
    let key = format!("X-API-KEY: {}", MORTY.key);
    let flags = ["--user", "morty:pickle", "--header", &key];
    let done = run(&server, 0, &[&["submit", "/h", "--follow"][..], &flags].concat());
    assert_eq!(done.json()["user"]["id"], MORTY.id, "{done:?}");
    for command in [&["query"][..], &["plugins"], &["routes"]] {
        run(&server, 0, &[command, &flags].concat());
        assert!(run(&server, 2, command).err.starts_with("401: "));
    }
    let by_environment = |user: &str, more: &[&str]| {
        let mut command = sandpool();
        command.env("SANDPOOL_URL", &server.base).env("SANDPOOL_USER", user).env("SANDPOOL_HEADERS", &key);
        Ran::of(command.args(["query", "--json"]).args(more).output().expect("it runs"))
    };
    assert_eq!(by_environment("morty:pickle", &[]).json().as_array().map(Vec::len), Some(1));
    // What the command line says counts.
    assert_eq!(by_environment("morty:wrong", &["--user", "morty:pickle"]).code, Some(0));
    assert_eq!(by_environment("morty:pickle", &["--header", "X-API-KEY: hunter2"]).code, Some(2));
    let secrets = [
        by_environment("morty:hunter2", &[]),
        by_environment("hunter2", &[]),
        by_environment("morty:pickle", &["--header", "hunter2"]),
        by_environment("morty:pickle", &["--server", "http://a:hunter2@127.0.0.1:1"]),
        by_environment("morty:pickle", &["--server", "hunter2"]),
        by_environment("morty:pickle", &["--token", "hunter2\u{1}"]),
    ];
    for ran in secrets {
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(!ran.err.is_empty() && !format!("{ran:?}").contains("hunter2"), "{ran:?}");
    }
}

#[tokio::test]
async fn a_task_is_watched_to_its_end_with_and_without_events() {
    let server = server().await;
    let plan = r#"{"steps": 3, "pause_ms": 300, "seconds": 0.1}"#;
    for route in ["/told", "/silent"] {
        let has_events = route == "/told";
        let watched = run(&server, 0, &["submit", route, "--input", plan, "--follow"]);
        assert_eq!(watched.json(), json!({"steps": 3}), "{watched:?}");
        let logged: Vec<&str> = watched.err.lines().filter(|line| line.starts_with("info  step")).collect();
        assert_eq!(logged, [1, 2, 3].map(|step| format!("info  step {step} of 3 step={step}")), "{watched:?}");
        assert_eq!(watched.err.contains(r#"event step {"of":3,"step":1}"#), has_events, "{watched:?}");

        // Whoever comes after the end sees the same.
        let id = watched.err.lines().next().expect("the id");
        let events = run(&server, 0, &["watch", id, "--json"]).events();
        let logged = events.iter().filter(|(name, _)| name == "log").count();
        assert_eq!(logged, 4, "{events:?}");
        let (name, task) = events.last().expect("some");
        assert_eq!(
            (name.as_str(), &task["State"], &task["Result"]),
            ("done", &json!("Completed"), &json!({"steps": 3}))
        );
        assert_eq!(events.iter().any(|(name, _)| name == "progress"), has_events, "{events:?}");
    }
}

#[tokio::test]
async fn a_terminal_shows_a_bar_and_the_log_above_it() {
    let server = server().await;
    let plan = r#"{"steps": 3, "pause_ms": 300, "seconds": 0.1}"#;
    let program = env!("CARGO_BIN_EXE_sandpool");
    let command = format!("{program} submit /told --follow --server {} --input '{plan}'", server.base);
    let shown = Command::new("script").args(["-qec", &command, "/dev/null"]).env("TERM", "xterm").output();
    let shown = String::from_utf8_lossy(&shown.expect("script runs").stdout).into_owned();
    for words in ["█", " %", "Running", "step 3 of 3", r#"{"steps":3}"#] {
        assert!(shown.contains(words), "{words} is not in {shown}");
    }
}

#[tokio::test]
async fn ctrl_c_ends_the_watching_and_not_the_task() {
    let server = server().await;
    let id = run(&server, 0, &["submit", "/m", "--input", r#"{"mode": "loop"}"#]).out;
    server.running(&id).await;
    let watching = Going::start(&server.base, &["watch", &id, "--json"]);
    watching.says("Running").await;
    let sent = Command::new("kill").args(["-INT", &watching.child.id().to_string()]).status();
    assert!(sent.expect("it runs").success());
    let watched = watching.ends().await;
    assert_eq!((watched.code, watched.err.as_str()), (Some(1), "no longer watched; the task goes on"));
    assert_eq!(server.get(200, &format!("/tasks/{id}")).await.text("State"), "Running");
}

#[tokio::test]
async fn a_server_that_comes_back_is_watched_on_and_one_that_stays_away_is_exit_code_3() {
    let mut server = server().await;
    let id = run(&server, 0, &["submit", "/told", "--input", r#"{"steps": 20, "pause_ms": 100}"#]).out;
    let base = server.base.clone();
    let watching = Going::start(&base, &["watch", &id, "--json"]);
    let impatient = Going::start(&base, &["watch", &id, "--patience", "0"]);
    watching.says("step 3 of 20").await;
    impatient.says("step 3 of 20").await;
    server.kill();
    let lost = impatient.ends().await;
    assert!(lost.code == Some(3) && lost.err.contains(" is lost: "), "{lost:?}");
    let port = base.rsplit(':').next().expect("a port");
    let head = format!("server: {{listen: \"127.0.0.1:{port}\"}}\nstore: {{url: \"sqlite:tasks.db\"}}\n");
    let again = Server::start_with(Arc::clone(server.folder()), &head, &routes()).await;
    assert_eq!(again.base, base);
    let watched = watching.ends().await;
    assert_eq!(watched.code, Some(0), "{watched:?}");
    let events = watched.events();
    let lines: Vec<u64> =
        events.iter().filter(|(name, _)| name == "log").filter_map(|(_, line)| line["seq"].as_u64()).collect();
    // Nothing is lost and nothing comes twice, over both connections.
    assert_eq!(lines, (1..=lines.len() as u64).collect::<Vec<_>>(), "{events:?}");
    let opened = events.iter().filter(|(name, _)| name == "open").count();
    assert!(opened == 2 && lines.len() > 21, "{events:?}");
    assert_eq!(events.last().map(|(name, task)| (name.as_str(), &task["State"])), Some(("done", &json!("Completed"))));
}

#[tokio::test]
async fn servers_with_other_task_routes_and_behind_a_path_are_asked_there() {
    let hello = component("hello.wasm");
    let server = Server::start(&format!(
        "task_routes:\n  - {{operation: get, path: /task, in: [query], id_name: id}}\n  - {{operation: stop, path: /task, in: [path]}}\n  \
         - {{operation: query, path: /find}}\n  - {{operation: events, path: /feed}}\n\
         routes:\n  - {{method: PUT, path: /h, component: {hello}}}\n  - {{method: PUT, path: /s, component: {hello}, sse: {{}}}}\n"
    ))
    .await;
    for (route, how) in [("/h", "--wait=60"), ("/h", "--follow"), ("/s", "--follow")] {
        let done = run(&server, 0, &["submit", route, how]);
        assert!(done.json()["greeting"].is_string(), "{done:?}");
    }
    let found = run(&server, 0, &["query", "--path", "/find", "--json"]).json();
    let id = found[0]["Id"].as_str().expect("an id");
    assert_eq!(run(&server, 0, &["get", &format!("/task?id={id}"), "--json"]).json()["Id"], id);
    assert!(run(&server, 2, &["stop", id, "--tasks", "/task"]).err.starts_with("410: "));
    let by_environment =
        sandpool().env("SANDPOOL_TASKS", "/task").args(["stop", id, "--server", &server.base]).output();
    assert!(Ran::of(by_environment.expect("it runs")).err.starts_with("410: "));

    let (base, heads) = fake(|_, connection| respond(connection, "200 OK", &TASK.replace("Running", "Completed")));
    at(&format!("{base}/pool/"), 0, &["get", &format!("{base}/pool/tasks/1")]);
    at(&format!("{base}/pool"), 0, &["get", "1"]);
    let heads = heads.lock().expect("sound").clone();
    assert!(heads.iter().all(|head| head.starts_with("GET /pool/tasks/1 ")), "{heads:?}");
}

#[tokio::test]
async fn an_upload_that_is_refused_before_it_has_arrived_is_told_why() {
    let server = Server::start("plugins: {max_size: 100KiB}\nroutes: []\n").await;
    let file = server.path("large.wasm");
    fs::write(&file, vec![0; 8 << 20]).expect("writable");
    let refused = run(&server, 2, &["deploy", &file.display().to_string()]);
    assert!(refused.err.starts_with("413: "), "{refused:?}");
}

#[tokio::test]
async fn plugins_and_routes_are_listed_and_managed() {
    let server = server().await;
    let hello = component("hello.wasm");
    run(&server, 0, &["deploy", &hello, "--version", "1", "--route", "PUT /x", "--route-name", "x"]);
    let plugins = run(&server, 0, &["plugins"]).out;
    assert!(plugins.starts_with("NAME   VERSION  DIGEST") && plugins.ends_with("  x"), "{plugins}");
    assert_eq!(run(&server, 0, &["plugins", "--json"]).json()[0]["Version"], "1");
    let routes = run(&server, 0, &["routes"]).out;
    let line = routes.lines().find(|line| line.starts_with("x ")).expect("the route");
    for cell in ["PUT /x", "hello@1", "Api", "Active"] {
        assert!(line.contains(cell), "{cell} is not in {routes}");
    }
    assert_eq!(run(&server, 0, &["routes", "--json"]).json().as_array().map(Vec::len), Some(5));
    assert_eq!(run(&server, 0, &["routes", "pause", "x"]).out, "x  Paused");
    assert_eq!(run(&server, 0, &["routes", "drain", "x", "--json"]).json()["State"], "Draining");
    assert!(run(&server, 3, &["submit", "/x"]).err.contains("drained"));
    assert_eq!(run(&server, 0, &["routes", "resume", "x"]).out, "x  Active");
    run(&server, 0, &["deploy", &hello, "--version", "1", "--route", "PUT /y", "--route-name", "x"]);
    run(&server, 0, &["routes", "rollback", "x"]);
    run(&server, 0, &["submit", "/x", "--wait", "60"]);
    run(&server, 0, &["routes", "rollback", "x", "--revision", "2"]);
    run(&server, 0, &["submit", "/y", "--wait", "60"]);
    assert!(run(&server, 2, &["routes", "pause", "x", "--revision", "2"]).err.contains("only for rollback"));
    assert_eq!(run(&server, 0, &["routes", "remove", "x"]).out, "x  removed");
    assert_eq!(run(&server, 2, &["routes", "remove", "x"]).err, "404: There is no route of this name.");
    assert!(run(&server, 2, &["deploy", &hello, "--route-name", "x"]).err.contains("--route <METHOD PATH>"));
}
