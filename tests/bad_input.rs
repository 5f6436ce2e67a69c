//! Bad input: each kind has a clear message and does no harm.

use crate::support::{Server, assembled, compile_bomb, component, sandpool};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

/// What `serve` says, and that it exits with 2.
fn refusal(folder: &Path, config: &str) -> String {
    let file = folder.join("sandpool.yaml");
    std::fs::write(&file, config).expect("writable");
    let ran = sandpool().args(["serve", "--config"]).arg(&file).output().expect("the program runs");
    assert_eq!(ran.status.code(), Some(2), "{ran:?}");
    String::from_utf8_lossy(&ran.stderr).into_owned()
}

fn with_component(folder: &Path, file: &str) -> String {
    refusal(
        folder,
        &format!("server: {{listen: \"127.0.0.1:0\"}}\nroutes:\n  - {{method: PUT, path: /a, component: {file}}}\n"),
    )
}

#[test]
fn files_that_are_no_route_component_are_named_with_what_they_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = folder.path().join("text.wasm").display().to_string();
    std::fs::write(&text, "hello").expect("writable");
    let torn = folder.path().join("torn.wasm").display().to_string();
    let bytes = std::fs::read(component("hello.wasm")).expect("a component");
    std::fs::write(&torn, &bytes[..bytes.len() / 2]).expect("writable");
    for (file, words) in [
        (text, "is no WebAssembly component. Build it"),
        (torn, "is no valid component: "),
        (assembled("core-module.wat", folder.path()), "is a core WebAssembly module, not a component"),
        (
            assembled("no-run.wat", folder.path()),
            "which exports `run: func(args: args, state: state) -> result<json, failure>`",
        ),
        (assembled("alien-import.wat", folder.path()), "imports what this host does not give: evil:pkg/thing@1.0.0"),
        (component("ids.wasm"), "does not fit world `route`"),
        ("/does/not/exist.wasm".into(), "/does/not/exist.wasm"),
    ] {
        let said = with_component(folder.path(), &file);
        assert!(said.contains(words) && said.contains(&file), "{file}: {said}");
    }
}

#[test]
fn a_component_that_compiles_for_ever_is_given_up_without_harm() {
    let folder = tempfile::tempdir().expect("a folder");
    let bomb = compile_bomb(folder.path());
    let said = with_component(folder.path(), &bomb);
    assert!(said.contains("bomb.wasm") && said.contains("of memory or"), "{said}");
    // The same by types: a tree that doubles thirty times is refused by the validator.
    let mut types = String::from("(type $t0 (tuple u8 u8))");
    types.extend((1..=30).map(|level| format!("(type $t{level} (tuple $t{0} $t{0}))", level - 1)));
    let file = folder.path().join("types.wasm");
    std::fs::write(&file, wat::parse_str(format!("(component {types})")).expect("valid text")).expect("writable");
    let said = with_component(folder.path(), &file.display().to_string());
    assert!(said.contains("types.wasm") && said.contains("is no valid component"), "{said}");
}

#[test]
fn five_faults_are_reported_at_once_with_their_places() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = format!(
        "server: {{listen: \"127.0.0.1:0\", bodylimit: 1MiB}}\nstore: {{retention: soon}}\nroutes:\n  - method: PUT\n    path: orders\n    component: {}\n    pool: {{min: 3, max: 2}}\n    id: uuid4\n",
        component("hello.wasm")
    );
    let said = refusal(folder.path(), &config);
    let place = |line: u32| format!("sandpool.yaml:{line}:");
    for (line, words) in [(1, "body_limit"), (2, "retention"), (5, "path"), (7, "min"), (8, "uuid")] {
        let found = said.lines().find(|found| found.contains(&place(line)) && found.contains(words));
        assert!(found.is_some(), "line {line} ({words}) is not in\n{said}");
    }
    assert_eq!(said.lines().count(), 5, "{said}");
}

#[test]
fn a_taken_port_is_said_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let said = refusal(
        folder.path(),
        &format!(
            "server: {{listen: \"{address}\"}}\nroutes:\n  - {{method: PUT, path: /a, component: {}}}\n",
            component("hello.wasm")
        ),
    );
    assert!(said.contains(&format!("cannot listen at {address}: ")) && said.contains("server.listen"), "{said}");
    assert!(!folder.path().join("sandpool.db").exists(), "nothing is left behind");
}

fn with_store(folder: &Path, store: &str) -> String {
    refusal(
        folder,
        &format!(
            "server: {{listen: \"127.0.0.1:0\"}}\nstore: {{url: \"{store}\"}}\nroutes:\n  - {{method: PUT, path: /a, component: {}}}\n",
            component("hello.wasm")
        ),
    )
}

#[tokio::test]
async fn stores_that_cannot_be_used_are_said_with_what_to_do() {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    std::fs::write(folder.path().join("text.db"), "this is no database, but a text of some length".repeat(100))
        .expect("writable");
    let newer = rusqlite::Connection::open(folder.path().join("newer.db")).expect("a database");
    newer
        .execute_batch("PRAGMA application_id = 0x53504F4C; PRAGMA user_version = 9999; CREATE TABLE tasks (id TEXT);")
        .expect("made");
    drop(newer);
    for (store, words) in [
        ("sqlite:text.db", "text.db"),
        ("sqlite:text.db/below.db", "below.db"),
        ("sqlite:no/such/folder/tasks.db", "no/such/folder"),
        ("sqlite:newer.db", "9999"),
    ] {
        let said = with_store(folder.path(), store);
        assert!(said.contains(words), "{store}: {said}");
        assert!(said.lines().count() <= 3, "{said}");
    }
    let routes = format!("routes:\n  - {{method: PUT, path: /a, component: {}}}\n", component("hello.wasm"));
    let first = Server::start_in(Arc::clone(&folder), &routes).await;
    let said = with_store(folder.path(), "sqlite:tasks.db");
    assert!(said.contains("tasks.db") && said.contains("in use"), "{said}");
    first.get(200, "/-/ready").await;
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_400_413_or_415() {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let head = "server: {listen: \"127.0.0.1:0\", body_limit: 10KiB}\nstore: {url: \"sqlite:tasks.db\"}\n";
    let routes = format!("routes:\n  - {{method: PUT, path: /a, component: {}}}\n", component("hello.wasm"));
    let server = Server::start_with(folder, head, &routes).await;
    let body = |bytes: Vec<u8>| server.request("PUT", "/a").header("Content-Type", "application/json").body(bytes);
    for (text, line, column) in [
        (b"{\n  \"a\": ,\n}".to_vec(), 2, 8),
        (b"[1, 2".to_vec(), 1, 5),
        (b"{} {}".to_vec(), 1, 4),
        (b"\"\xff\"".to_vec(), 1, 2),
        ("[".repeat(5000).into_bytes(), 1, 129),
        (b"nul".to_vec(), 1, 3),
    ] {
        let refused = server.send(400, body(text)).await;
        assert_eq!((&refused.body["line"], &refused.body["column"]), (&json!(line), &json!(column)), "{refused:?}");
        assert!(refused.text("detail").contains(&format!("line {line}, column {column}: ")), "{refused:?}");
        assert_eq!((refused.text("title"), &refused.body["status"]), ("Bad Request", &json!(400)));
    }
    let large = server.send(413, body(vec![b' '; 10 * 1024 + 1])).await;
    assert!(large.text("detail").contains("10240 bytes"), "{large:?}");
    server.send(202, body([vec![b' '; 10 * 1024 - 2], b"{}".to_vec()].concat())).await;
    let text = server.request("PUT", "/a").header("Content-Type", "text/plain").body("x");
    assert!(server.send(415, text).await.text("detail").contains("application/json"));
    let json_like =
        server.request("PUT", "/a").header("Content-Type", "application/vnd.x+json; charset=utf-8").body("1");
    server.send(202, json_like).await;
    server.send(202, server.request("PUT", "/a").body("{\"a\": 1}")).await;
    let stored: i64 = rusqlite::Connection::open(server.path("tasks.db"))
        .and_then(|db| db.query_row("SELECT count(*) FROM tasks", [], |row| row.get(0)))
        .expect("a count");
    assert_eq!(stored, 3, "refused requests store nothing");
}

#[tokio::test]
async fn a_damaged_cache_is_compiled_again_and_a_cache_that_others_can_write_to_is_refused() {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let cache = folder.path().join("cache");
    let run = || {
        let ran = sandpool().args(["run", &component("hello.wasm"), "--json"]).env("SANDPOOL_CACHE", &cache).output();
        ran.expect("the program runs")
    };
    assert_eq!(run().status.code(), Some(0));
    let compiled = || {
        let files = std::fs::read_dir(&cache).expect("the cache").map(|file| file.expect("a file").path());
        files.filter(|file| file.extension().is_some_and(|e| e == "cwasm")).collect::<Vec<_>>()
    };
    let [file] = compiled().try_into().expect("one file");
    let mut bytes = std::fs::read(&file).expect("code");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(&file, &bytes).expect("writable");
    let again = run();
    assert_eq!(again.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&again.stderr).contains("damaged"), "{again:?}");
    assert_ne!(std::fs::read(&file).expect("code")[middle], bytes[middle]);
    let result: Value = serde_json::from_slice(&again.stdout).expect("JSON");
    assert_eq!(result["State"], "Completed");
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&cache, std::fs::Permissions::from_mode(0o777)).expect("ours");
    let refused = run();
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("SANDPOOL_CACHE"), "{refused:?}");
}
