//! The client's side of the tests: starts the program, sends requests with the status that is expected, waits on conditions.

use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;
use std::future::Future;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The longest that any condition is waited for: far beyond what a loaded machine needs.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A component built from `guest-examples/` by `guest-examples/build`.
pub fn component(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-examples/target/components").join(name);
    assert!(file.exists(), "{} is missing: run guest-examples/build", file.display());
    file.canonicalize().expect("it exists").display().to_string()
}

/// A component written as text under `guest-examples/rust/misbehaving/wat/`, assembled into `folder`.
pub fn assembled(name: &str, folder: &Path) -> String {
    let text = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-examples/rust/misbehaving/wat").join(name);
    let binary = wat::parse_file(&text).expect("it is valid text");
    let file = folder.join(name).with_extension("wasm");
    std::fs::write(&file, binary).expect("the folder is writable");
    file.display().to_string()
}

/// A valid component of 166 KiB: one function with 10,000 locals that are all alive in 10,000 blocks, which takes an
/// unlimited compiler some 10 s and 2.3 GB.
pub fn compile_bomb(folder: &Path) -> String {
    let locals = "i64 ".repeat(10_000);
    // The parameter is local 0.
    let blocks: String = (1..=10_000)
        .map(|n| {
            format!(
                "(block (br_if 0 (i64.eqz (local.get {n}))) (local.set {n} (i64.add (local.get {n}) (local.get {}))))",
                (n * 7) % 10_000 + 1
            )
        })
        .collect();
    let bomb =
        module_with(&format!("(func (export \"run\") (param i32) (result i32) (local {locals}) {blocks} unreachable)"));
    with_core_module(folder, "bomb.wasm", &bomb)
}

/// The component of `start-loop.wat` with another core module in place of its own.
pub fn with_core_module(folder: &Path, name: &str, module: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-examples/rust/misbehaving/wat/start-loop.wat");
    let text = std::fs::read_to_string(file).expect("the text");
    let (before, rest) = text.split_once("  (core module $main").expect("a core module");
    let (_, after) = rest.split_once("  (core instance $main").expect("its instance");
    let text = format!("{before}  (core module $main {module})\n  (core instance $main{after}");
    let file = folder.join(name);
    std::fs::write(&file, wat::parse_str(text).expect("valid text")).expect("the folder is writable");
    file.display().to_string()
}

/// A component of world `described-route` whose `describe` is this code.
pub fn described(folder: &Path, name: &str, describe: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-examples/rust/misbehaving/wat/start-loop.wat");
    let text = std::fs::read_to_string(file).expect("the text");
    let failure = r#"(export "failure" (type (eq $failure-record)))"#;
    let run = r#"(export "run" (func $run))"#;
    assert!(text.contains(failure) && text.contains(run) && text.contains("(start $for-ever)"));
    let description = r#"(type $description-record (record (field "summary" string) (field "description" string)
        (field "input-schema" $maybe-text) (field "result-schema" $maybe-text)))
        (export "description" (type (eq $description-record)))"#;
    let lifted = r#"(alias export $types "description" (type $description))
        (func $describe (result $description) (canon lift (core func $main "describe") (memory $mem) (realloc $realloc)))
        (export "describe" (func $describe))"#;
    let code = format!(r#"(func (export "describe") (result i32) {describe})"#);
    let text = text.replace(failure, &format!("{failure} {description}")).replace(run, &format!("{run} {lifted}"));
    let file = folder.join(name);
    let binary = wat::parse_str(text.replace("(start $for-ever)", &code)).expect("valid text");
    std::fs::write(&file, binary).expect("the folder is writable");
    file.display().to_string()
}

/// A core module for [`with_core_module`]: a memory, an allocator that never frees, and these items.
pub fn module_with(items: &str) -> String {
    format!(
        r#"(memory (export "memory") 1)
           (global $next (mut i32) (i32.const 1024))
           (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
             (global.set $next (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
             (global.get $next)
             (global.set $next (i32.add (global.get $next) (local.get 3))))
           {items}"#
    )
}

/// A `run` that returns the one character at address 16.
pub const RETURNS_ONE_CHARACTER: &str = r#"
           (i32.store8 (i32.const 32) (i32.const 0))
           (i32.store (i32.const 36) (i32.const 16))
           (i32.store (i32.const 40) (i32.const 1))
           (i32.const 32)"#;

/// The program with its cache of compiled components shared by all tests.
pub fn sandpool() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sandpool"));
    command.env("SANDPOOL_CACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled"));
    // What the caller has set for programs of its own.
    for name in [
        "SANDPOOL_LOG",
        "SANDPOOL_URL",
        "SANDPOOL_USER",
        "SANDPOOL_TOKEN",
        "SANDPOOL_HEADERS",
        "SANDPOOL_TASKS",
        "SANDPOOL_TENANT",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    ] {
        command.env_remove(name);
    }
    command
}

/// What `sandpool hash` makes of a secret.
pub fn hash(kind: &str, secret: &str) -> String {
    let mut child = sandpool()
        .args(["hash", kind])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    child.stdin.take().expect("piped").write_all(secret.as_bytes()).expect("written");
    let out = child.wait_with_output().expect("an end");
    assert!(out.status.success());
    String::from_utf8_lossy(&out.stdout).trim().to_owned()
}

/// One of the two users of the original's tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    pub id: &'static str,
    pub name: &'static str,
    pub key: &'static str,
}

/// In the groups Software and Platform.
pub const MORTY: User = User { id: "M0R7Y302", name: "morty", key: "test-api-key" };
/// In the groups Support and Software.
pub const MINDY: User = User { id: "MINDY021", name: "mindy", key: "test2-api-key" };

impl User {
    /// The request with both of the user's credentials.
    pub fn asks(self, request: RequestBuilder) -> RequestBuilder {
        request.basic_auth(self.name, Some("pickle")).header("X-API-KEY", self.key)
    }
}

/// `auth` of the configuration: the two users, and the scheme `both` that asks for a key and a password of one of them.
pub fn morty_and_mindy() -> String {
    let password = hash("password", "pickle");
    let user = |user: User, groups: &str| {
        let User { id, name, key } = user;
        let key = hash("key", key);
        format!("{{id: {id}, name: {name}, password: '{password}', api_keys: ['{key}'], groups: [{groups}]}}")
    };
    format!(
        r#"
auth:
  users:
    - {morty}
    - {mindy}
  schemes:
    login: {{type: basic}}
    key: {{type: api_key, in: header, name: X-API-KEY}}
    both: {{all: [key, login]}}
"#,
        morty = user(MORTY, "Software, Platform"),
        mindy = user(MINDY, "Support, Software"),
    )
}

/// The ids of the tasks that a query found, sorted.
pub fn ids(answer: &Answer) -> Vec<String> {
    let tasks = answer.body.as_array().expect("an array");
    let mut ids: Vec<String> = tasks.iter().map(|task| task["Id"].as_str().expect("an id").to_owned()).collect();
    ids.sort();
    ids
}

/// A running server, killed when dropped.
pub struct Server {
    child: Child,
    /// `http://127.0.0.1:PORT`
    pub base: String,
    /// Everything it printed before it was ready.
    pub welcome: Vec<String>,
    folder: Arc<TempDir>,
    client: Client,
}

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    pub fn text(&self, field: &str) -> &str {
        self.body.get(field).and_then(Value::as_str).unwrap_or("")
    }

    /// Seconds between two of the task's dates.
    pub fn seconds(&self, from: &str, to: &str) -> f64 {
        let at = |field: &str| {
            let date = chrono::DateTime::parse_from_rfc3339(self.text(field)).expect("RFC 3339");
            date.timestamp_micros()
        };
        (at(to) - at(from)) as f64 / 1e6
    }

    pub fn id(&self) -> String {
        self.text("Id").to_owned()
    }
}

impl Server {
    /// Starts a server in a folder of its own. `routes` is the configuration without `server` and `store`.
    pub async fn start(routes: &str) -> Self {
        Self::start_in(Arc::new(tempfile::tempdir().expect("a folder")), routes).await
    }

    pub async fn start_in(folder: Arc<TempDir>, routes: &str) -> Self {
        Self::start_with(folder, "server: {listen: \"127.0.0.1:0\"}\nstore: {url: \"sqlite:tasks.db\"}\n", routes).await
    }

    pub async fn start_with(folder: Arc<TempDir>, head: &str, routes: &str) -> Self {
        let file = folder.path().join("sandpool.yaml");
        std::fs::write(&file, format!("{head}{routes}")).expect("the folder is writable");
        Self::spawn(folder, sandpool().args(["serve", "--config"]).arg(&file))
    }

    /// A server with these variables in its environment.
    pub async fn start_with_environment(folder: Arc<TempDir>, environment: &[(&str, &str)], routes: &str) -> Self {
        let head = "server: {listen: \"127.0.0.1:0\"}\nstore: {url: \"sqlite:tasks.db\"}\n";
        Self::start_as(folder, environment, &format!("{head}{routes}")).await
    }

    /// The same with a whole configuration.
    pub async fn start_as(folder: Arc<TempDir>, environment: &[(&str, &str)], configuration: &str) -> Self {
        let file = folder.path().join("sandpool.yaml");
        std::fs::write(&file, configuration).expect("the folder is writable");
        Self::spawn(folder, sandpool().envs(environment.iter().copied()).args(["serve", "--config"]).arg(&file))
    }

    /// A server that may open so many files.
    pub async fn start_with_files(files: u32, routes: &str) -> Self {
        let folder = Arc::new(tempfile::tempdir().expect("a folder"));
        let file = folder.path().join("sandpool.yaml");
        std::fs::write(&file, format!("server: {{listen: \"127.0.0.1:0\"}}\n{routes}")).expect("writable");
        let program = sandpool();
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -n {files}; exec \"$0\" \"$@\"")]).arg(program.get_program());
        shell.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Self::spawn(folder, shell.args(["serve", "--config"]).arg(&file))
    }

    /// `sandpool serve` or `sandpool dev` with these words, at a port of its own.
    pub fn start_command(folder: Arc<TempDir>, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let environment = environment.iter().copied();
        Self::spawn(folder, sandpool().args(arguments).args(["--listen", "127.0.0.1:0"]).envs(environment))
    }

    /// A server on a terminal; what appears there is also in the file `terminal`.
    pub async fn start_on_terminal(routes: &str) -> Self {
        let folder = Arc::new(tempfile::tempdir().expect("a folder"));
        let file = folder.path().join("sandpool.yaml");
        std::fs::write(&file, format!("server: {{listen: \"127.0.0.1:0\"}}\n{routes}")).expect("writable");
        let program = sandpool();
        let command = format!("{} serve --config {}", program.get_program().display(), file.display());
        let mut script = Command::new("script");
        script.args(["-qefc", &command]).arg(folder.path().join("terminal")).stdin(Stdio::null());
        script.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Self::spawn(folder, &mut script)
    }

    fn spawn(folder: Arc<TempDir>, command: &mut Command) -> Self {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.path().join("log.json"));
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(log.expect("the folder is writable"))
            .spawn()
            .expect("the program starts");
        let welcome = read_welcome(&mut child);
        let Some(base) = welcome.iter().find_map(|line| line.split_once(" listening on ")) else {
            drop(child.wait());
            panic!("no server: {}", std::fs::read_to_string(folder.path().join("log.json")).unwrap_or_default());
        };
        let base = base.1.to_owned();
        let client = Client::builder().no_proxy().timeout(PATIENCE * 2).build().expect("a client");
        Self { child, base, welcome, folder, client }
    }

    pub fn folder(&self) -> &Arc<TempDir> {
        &self.folder
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log.json")).unwrap_or_default()
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a process id")
    }

    /// SIGKILL: as a crash or a power cut of the process.
    pub fn kill(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// SIGTERM, without waiting.
    pub fn terminate(&self) {
        self.signal(libc::SIGTERM);
    }

    /// SIGHUP, without waiting.
    pub fn hang_up(&self) {
        self.signal(libc::SIGHUP);
    }

    fn signal(&self, signal: i32) {
        // SAFETY: a signal to our own child, which has not been waited for.
        #[allow(unsafe_code)]
        let sent = unsafe { libc::kill(self.pid(), signal) };
        assert_eq!(sent, 0);
    }

    pub async fn exit(&mut self) -> ExitStatus {
        eventually("the server's exit", || {
            let exited = self.child.try_wait().expect("our child");
            async move { exited }
        })
        .await
    }

    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        self.client.request(method, format!("{}{path}", self.base))
    }

    pub async fn send(&self, status: u16, request: RequestBuilder) -> Answer {
        let answer = ask(request).await.expect("an answer");
        assert_eq!(answer.status, status, "{}", answer.body);
        answer
    }

    pub async fn get(&self, status: u16, path: &str) -> Answer {
        self.send(status, self.request("GET", path)).await
    }

    pub async fn put(&self, status: u16, path: &str, input: Value) -> Answer {
        self.send(status, self.request("PUT", path).json(&input)).await
    }

    pub async fn delete(&self, status: u16, path: &str) -> Answer {
        self.send(status, self.request("DELETE", path)).await
    }

    /// Submits and waits for the end.
    pub async fn run(&self, path: &str, input: Value) -> Answer {
        let id = self.put(202, path, input).await.id();
        self.ended(&id).await
    }

    /// The task with this id once it has ended.
    pub async fn ended(&self, id: &str) -> Answer {
        self.until(id, |task| task.get("CompletedTime").is_some()).await
    }

    /// The task with this id once it runs.
    pub async fn running(&self, id: &str) -> Answer {
        self.until(id, |task| task["State"] == "Running").await
    }

    pub async fn until(&self, id: &str, holds: impl Fn(&Value) -> bool) -> Answer {
        eventually(&format!("task {id}"), || async {
            let answer = self.get(200, &format!("/tasks/{id}")).await;
            holds(&answer.body).then_some(answer)
        })
        .await
    }

    /// CPU seconds that the process has used.
    pub fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("a live process");
        let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
        let ticks: f64 = fields[11].parse::<f64>().expect("utime") + fields[12].parse::<f64>().expect("stime");
        ticks / 100.0
    }

    /// Resident memory in MiB, the program's own code included.
    pub fn resident_mib(&self) -> f64 {
        self.memory_mib("VmRSS")
    }

    /// A line of the process's status in MiB.
    pub fn memory_mib(&self, what: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("a live process");
        let line = status.lines().find(|line| line.starts_with(&format!("{what}:"))).expect(what);
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).expect("KiB") / 1024.0
    }

    /// The captured log of a task, as stored.
    pub fn stored_log(&self, id: &str) -> String {
        let db = rusqlite::Connection::open(self.path("tasks.db")).expect("the store");
        let query = "SELECT log FROM tasks WHERE id = ?1";
        db.query_row(query, [id], |row| row.get(0)).expect("a log")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The lines up to the one that says how to try the server, or up to the end of a server that did not start.
fn read_welcome(child: &mut Child) -> Vec<String> {
    let out = BufReader::new(child.stdout.take().expect("piped"));
    let (lines, arrived) = mpsc::channel();
    std::thread::spawn(move || {
        for line in out.lines().map_while(Result::ok) {
            drop(lines.send(line));
        }
    });
    let mut welcome = Vec::new();
    while let Ok(line) = arrived.recv_timeout(PATIENCE) {
        let last = line.contains("Prefer: wait") || line.contains("sandpool deploy");
        welcome.push(line);
        if last {
            break;
        }
    }
    welcome
}

/// Whatever is answered, if anything is.
pub async fn ask(request: RequestBuilder) -> reqwest::Result<Answer> {
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await?;
    Ok(Answer { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) })
}

/// Asks again until there is an answer.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "{what} did not come within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
