//! What a route grants its guests of the file system, and that they do not get out of it: by no path, link or rename. And
//! the other ways out: sockets, names, handles, memory of the host.

use crate::support::{Answer, Server, component};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A folder with a secret, and beside it `config` for the server, `read` and `write` for guests.
struct World {
    folder: TempDir,
    server: Server,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for name in ["read/sub", "write/inner", "config"] {
            fs::create_dir_all(at(name)).expect("writable");
        }
        fs::write(at("secret.txt"), "secret").expect("writable");
        fs::write(at("read/notes.txt"), "notes").expect("writable");
        fs::write(at("write/inner/own.txt"), "inner").expect("writable");
        symlink(at("secret.txt"), at("read/absolute")).expect("a link");
        symlink("../secret.txt", at("read/relative")).expect("a link");
        symlink("..", at("read/parent")).expect("a link");
        symlink("sub/../notes.txt", at("read/inside")).expect("a link");
        symlink("absolute", at("read/chained")).expect("a link");
        let m = component("misbehaving.wasm");
        let (read, write, inner) = (at("read"), at("write"), at("write/inner"));
        let routes = format!(
            "routes:\n  - {{method: PUT, path: /none, component: {m}}}\n  \
             - {{method: PUT, path: /m, component: {m}, grants: {{directories: [\"{}\", {{path: \"{}\", as: /data, mode: write}}]}}}}\n  \
             - {{method: PUT, path: /inner, component: {m}, grants: {{directories: [{{path: \"{}\", as: /inner}}]}}}}\n",
            read.display(),
            write.display(),
            inner.display()
        );
        let config = Arc::new(tempfile::tempdir_in(at("config")).expect("a folder"));
        let server = Server::start_in(config, &routes).await;
        Self { folder, server }
    }

    fn at(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    async fn files(&self, path: &str, calls: Value) -> Vec<Value> {
        let ended = self.server.run(path, json!({"mode": "files", "calls": calls})).await;
        ended.body["Result"].as_array().unwrap_or_else(|| panic!("{ended:?}")).clone()
    }

    async fn file(&self, call: Value) -> Value {
        self.files("/m", json!([call])).await.remove(0)
    }

    fn secret(&self) -> String {
        fs::read_to_string(self.at("secret.txt")).expect("the secret")
    }
}

fn error(told: &Value) -> &str {
    told["error"].as_str().unwrap_or("")
}

#[tokio::test]
async fn a_guest_has_the_directories_that_are_granted() {
    let world = World::new().await;
    let ended = world.server.run("/m", json!({"mode": "env"})).await;
    assert_eq!(ended.body["Result"]["preopens"], json!(["/read", "/data"]));
    assert_eq!(world.file(json!(["read", "/read", "notes.txt"])).await, "notes");
    assert_eq!(world.file(json!(["read", "/read", "inside"])).await, "notes");
    assert_eq!(world.file(json!(["write", "/data", "new.txt", "new"])).await, 3);
    assert_eq!(fs::read_to_string(world.at("write/new.txt")).expect("written"), "new");
    assert_eq!(error(&world.files("/none", json!([["read", "/read", "notes.txt"]])).await[0]), "not granted");
}

#[tokio::test]
async fn what_is_granted_for_reading_is_not_changed() {
    let world = World::new().await;
    let calls = json!([
        ["write", "/read", "notes.txt", "changed"],
        ["write", "/read", "new.txt", "new"],
        ["truncate", "/read", "notes.txt"],
        ["set-size", "/read", "notes.txt"],
        ["create-directory", "/read", "new"],
        ["unlink", "/read", "notes.txt"],
        ["symlink", "/read", "new", "notes.txt"],
        ["link", "/read", "notes.txt", "new"],
        ["rename", "/read", "notes.txt", "new"],
    ]);
    for told in world.files("/m", calls).await {
        assert!(
            ["not-permitted", "read-only", "access", "bad-descriptor", "invalid"].contains(&error(&told)),
            "{told}"
        );
    }
    let mut names: Vec<String> = fs::read_dir(world.at("read"))
        .expect("the folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert_eq!(names, ["absolute", "chained", "inside", "notes.txt", "parent", "relative", "sub"]);
    assert_eq!(fs::read_to_string(world.at("read/notes.txt")).expect("there"), "notes");
}

#[tokio::test]
async fn no_path_and_no_link_leads_out() {
    let world = World::new().await;
    let secret = world.at("secret.txt").display().to_string();
    let mut calls = Vec::new();
    for path in [
        "../secret.txt",
        "sub/../../secret.txt",
        "./../secret.txt",
        "/secret.txt",
        secret.as_str(),
        "absolute",
        "relative",
        "chained",
        "parent/secret.txt",
        "parent/../secret.txt",
        "/proc/self/environ",
        "/etc/passwd",
    ] {
        calls.push(json!(["read", "/read", path]));
        calls.push(json!(["write", "/read", path, "changed"]));
    }
    calls.push(json!(["open-directory", "/read", ".."]));
    calls.push(json!(["open-directory", "/read", "parent"]));
    calls.push(json!(["open-directory", "/read", "/"]));
    // What a guest may write to, it may fill with links; they lead nowhere.
    calls.push(json!(["symlink", "/data", "out", "../secret.txt"]));
    calls.push(json!(["read", "/data", "out"]));
    calls.push(json!(["write", "/data", "out", "changed"]));
    calls.push(json!(["symlink", "/data", "absolute", secret]));
    calls.push(json!(["read", "/data", "absolute"]));
    calls.push(json!(["link", "/data", "../secret.txt", "hard"]));
    calls.push(json!(["read", "/data", "hard"]));
    calls.push(json!(["rename", "/data", "../secret.txt", "moved"]));
    calls.push(json!(["rename", "/data", "new.txt", "../moved.txt"]));
    calls.push(json!(["create-directory", "/data", "../made"]));
    calls.push(json!(["unlink", "/data", "../secret.txt"]));
    for (call, told) in calls.iter().zip(world.files("/m", json!(calls)).await) {
        let is_harmless = call[0] == "symlink";
        assert!(is_harmless || !error(&told).is_empty(), "{call}: {told}");
    }
    assert_eq!(world.secret(), "secret");
    assert!(!world.at("made").exists() && !world.at("moved.txt").exists());
}

#[tokio::test]
async fn a_directory_stays_the_one_that_was_granted() {
    let world = World::new().await;
    fs::create_dir(world.at("private")).expect("writable");
    fs::write(world.at("private/own.txt"), "private").expect("writable");
    assert_eq!(world.files("/inner", json!([["read", "/inner", "own.txt"]])).await, ["inner"]);
    // One guest moves what another is granted away, and puts a link to elsewhere in its place.
    let swapped = world
        .files("/m", json!([["rename", "/data", "inner", "moved"], ["symlink", "/data", "inner", "../private"]]))
        .await;
    assert_eq!(swapped, [Value::Null, Value::Null]);
    assert_eq!(fs::read_to_string(world.at("write/inner/own.txt")).expect("the trap"), "private");
    for _ in 0..3 {
        assert_eq!(world.files("/inner", json!([["read", "/inner", "own.txt"]])).await, ["inner"]);
    }
}

#[tokio::test]
async fn a_file_that_never_opens_does_not_hold_up_a_stop() {
    let world = World::new().await;
    let made = std::process::Command::new("mkfifo").arg(world.at("read/pipe")).status().expect("mkfifo");
    assert!(made.success());
    let id = world.server.put(202, "/m", json!({"mode": "files", "calls": [["read", "/read", "pipe"]]})).await.id();
    world.server.running(&id).await;
    let began = Instant::now();
    let stopped = world.server.delete(200, &format!("/tasks/{id}")).await;
    assert_eq!(stopped.text("State"), "Aborted");
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(world.file(json!(["read", "/read", "notes.txt"])).await, "notes");
}

#[tokio::test]
async fn open_files_are_bounded() {
    let world = World::new().await;
    let ended = world.server.run("/m", json!({"mode": "open-files", "directory": "/read", "path": "notes.txt"})).await;
    assert_eq!(ended.text("State"), "Failed", "{ended:?}");
    let files = fs::read_dir(format!("/proc/{}/fd", world.server.pid())).expect("files").count();
    assert!(files < 256, "{files} are still open");
    assert_eq!(world.file(json!(["read", "/read", "notes.txt"])).await, "notes");
}

async fn alone() -> Server {
    let m = component("misbehaving.wasm");
    Server::start(&format!("routes:\n  - {{method: PUT, path: /m, component: {m}}}\n")).await
}

#[tokio::test]
async fn no_socket_opens_and_no_name_is_resolved() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a flag");
    let port = listener.local_addr().expect("an address").port();
    let server = alone().await;
    let ended = server.run("/m", json!({"mode": "sockets", "port": port})).await;
    let told = &ended.body["Result"];
    for what in ["connect", "listen", "datagrams", "lookup"] {
        let denied = ["access-denied", "permanent-resolver-failure", "not-supported"];
        assert!(told[what].as_str().is_some_and(|told| denied.contains(&told)), "{what}: {ended:?}");
    }
    assert!(listener.accept().is_err(), "somebody connected");
}

fn trapped(ended: &Answer) -> bool {
    ended.text("State") == "Failed" && ended.text("Error").starts_with("The guest trapped: ")
}

#[tokio::test]
async fn ten_thousand_handles_are_too_many() {
    let server = alone().await;
    let ended = server.run("/m", json!({"mode": "handles"})).await;
    assert!(trapped(&ended), "{ended:?}");
    let ended = server.run("/m", json!({"mode": "handles", "count": 400})).await;
    assert_eq!(ended.body["Result"]["kept"], 400, "{ended:?}");
}

#[tokio::test]
async fn the_host_keeps_little_for_a_guest() {
    let server = alone().await;
    let before = server.resident_mib();
    for way in ["method", "scheme", "authority", "path"] {
        let ended = server.run("/m", json!({"mode": "host-memory", "way": way, "count": 400, "bytes": 1 << 20})).await;
        assert_eq!(ended.body["Result"]["refused"], 400, "{way}: {ended:?}");
    }
    for way in ["fields", "random"] {
        let ended = server.run("/m", json!({"mode": "host-memory", "way": way, "count": 400, "bytes": 1 << 20})).await;
        assert!(trapped(&ended), "{way}: {ended:?}");
    }
    assert!(server.resident_mib() < before + 64.0, "from {before} to {} MiB", server.resident_mib());
}

#[tokio::test]
async fn the_hosts_own_files_are_not_granted() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("sandpool.yaml");
    let m = component("misbehaving.wasm");
    let check = |grants: &str| {
        let text = format!("routes:\n  - {{method: PUT, path: /m, component: \"{m}\", grants: {grants}}}\n");
        fs::write(&config, text).expect("writable");
        let out = crate::support::sandpool().arg("check").arg(&config).output().expect("the program runs");
        String::from_utf8_lossy(&out.stderr).into_owned()
    };
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    fs::create_dir_all(&cache).expect("the cache");
    let components = Path::new(&m).parent().expect("a folder").display().to_string();
    for (grants, words) in [
        ("{directories: [.]}".to_owned(), "sandpool.yaml:2:"),
        (format!("{{directories: [{{path: \"{}\", as: /c, mode: write}}]}}", cache.display()), "holds the cache"),
        (format!("{{directories: [{{path: \"{components}\", as: /c, mode: write}}]}}"), "holds components"),
        ("{directories: [{path: /, as: /all}]}".to_owned(), "holds the configuration"),
        ("{directories: [nowhere]}".to_owned(), "expected a directory at"),
    ] {
        let said = check(&grants);
        assert!(
            said.contains(words) && said.contains("path: expected a directory") || said.contains("directories: "),
            "{grants}: {said}"
        );
        assert!(said.contains(words), "{grants}: {said}");
    }
}
