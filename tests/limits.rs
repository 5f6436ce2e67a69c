//! Each way in which a guest can go wrong has its own plain words, and harms nobody else.

use crate::support::{
    RETURNS_ONE_CHARACTER, Server, assembled, component, eventually, module_with, sandpool, with_core_module,
};
use serde_json::{Value, json};
use std::sync::Arc;

async fn server() -> Server {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let routes = format!(
        r#"
routes:
  - {{method: PUT, path: /m, component: {misbehaving}, memory: 16MiB}}
  - {{method: PUT, path: /roomy, component: {misbehaving}, memory: 256MiB}}
  - {{method: PUT, path: /table-hog, component: {table_hog}, run_timeout: 1s}}
  - {{method: PUT, path: /invalid-utf8, component: {invalid_utf8}}}
  - {{method: PUT, path: /reenter, component: {reenter}}}
"#,
        misbehaving = component("misbehaving.wasm"),
        table_hog = assembled("table-hog.wat", folder.path()),
        invalid_utf8 = assembled("invalid-utf8.wat", folder.path()),
        reenter = assembled("reenter.wat", folder.path()),
    );
    Server::start_in(folder, &routes).await
}

#[tokio::test]
async fn each_fault_has_its_own_words() {
    let server = server().await;
    let cases = [
        ("/m", json!({"mode": "stack-overflow"}), "Stack overflow: the guest's calls nested too deep"),
        ("/m", json!({"mode": "memory-panic"}), "Memory limit: the guest needed more than 16384 KiB"),
        ("/m", json!({"mode": "bad-json"}), "Bad result: it is no JSON text, line 1, column 2: "),
        ("/roomy", json!({"mode": "huge-result"}), "Host call limit: the guest moved too much data through host calls"),
        ("/roomy", json!({"mode": "huge-result", "bytes": 9 << 20}), "Bad result: it has more than 8 MiB"),
        ("/invalid-utf8", Value::Null, "Bad result: "),
        ("/reenter", Value::Null, "The guest trapped: "),
        ("/m", json!({"mode": "exit"}), "The guest exited with code 1 instead of returning a result"),
        ("/m", json!({"mode": "trap"}), "The guest trapped: wasm trap: wasm `unreachable` instruction executed"),
    ];
    for (path, input, words) in cases {
        let ended = server.run(path, input.clone()).await;
        assert_eq!(ended.text("State"), "Failed", "{path} {input}");
        assert!(ended.text("Error").starts_with(words), "{path} {input}: {}", ended.text("Error"));
        assert!(ended.body.get("Result").is_none());
    }
    let ended = server.run("/m", json!({"mode": "sleep-ms", "ms": 1})).await;
    assert_eq!(ended.text("State"), "Completed");
}

#[tokio::test]
async fn a_trap_leaves_its_backtrace_and_the_guests_words_in_the_tasks_log() {
    let server = server().await;
    let id = server.run("/m", json!({"mode": "trap"})).await.id();
    let log = server.stored_log(&id);
    assert!(log.contains("the guilty function panics, as it was told to"), "{log}");
    assert!(log.contains("at misbehaving::hogs::the_guilty_function"), "{log}");
    assert!(!log.contains("_R") && !log.contains("_ZN"), "mangled names: {log}");
}

#[tokio::test]
async fn table_growth_is_refused_and_the_guest_can_be_stopped() {
    let server = server().await;
    let before = server.resident_mib();
    let ended = server.run("/table-hog", Value::Null).await;
    assert!(["Failed", "Aborted"].contains(&ended.text("State")), "{ended:?}");
    assert!(server.resident_mib() < before + 64.0, "from {before} to {} MiB", server.resident_mib());
}

#[tokio::test]
async fn stdout_and_stderr_become_log_lines() {
    let server = server().await;
    let id = server.run("/m", json!({"mode": "stdout", "lines": 3})).await.id();
    let log = server.stored_log(&id);
    for line in [r#""level":"info","message":"stdout line "#, r#""level":"warn","message":"stderr line "#] {
        assert_eq!(log.matches(line).count(), 3, "{log}");
    }
}

#[tokio::test]
async fn a_flood_of_logs_keeps_a_bounded_tail() {
    let server = server().await;
    let ended = server.run("/m", json!({"mode": "flood-log", "count": 100_000})).await;
    assert_eq!(ended.body["Result"], json!({"calls": 100_000}));
    let log = server.stored_log(&ended.id());
    assert!(log.len() < 200 * 1024, "{} bytes", log.len());
    assert!(log.contains("earlier lines were dropped") && log.contains("line 99999"), "{log}");
}

#[tokio::test]
async fn guests_are_granted_nothing() {
    let server = server().await;
    let ended = server.run("/m", json!({"mode": "env"})).await;
    assert_eq!(ended.body["Result"], json!({"env": {}, "args": [], "preopens": []}));
}

#[tokio::test]
async fn no_memory_survives_from_one_task_to_the_next() {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    // Counts its calls in memory: every task must be the first.
    let counting = format!(
        r#"(data (i32.const 16) "0")
           (func (export "run") (param i32) (result i32)
             (i32.store8 (i32.const 16) (i32.add (i32.load8_u (i32.const 16)) (i32.const 1)))
             {RETURNS_ONE_CHARACTER})"#
    );
    let counting = with_core_module(folder.path(), "counting.wasm", &module_with(&counting));
    let routes =
        format!("routes:\n  - {{method: PUT, path: /count, component: {counting}, pool: {{min: 1, max: 1}}}}\n");
    let server = Server::start_in(folder, &routes).await;
    for _ in 0..30 {
        assert_eq!(server.run("/count", Value::Null).await.body["Result"], json!(1));
    }
}

#[tokio::test]
async fn what_a_guest_takes_is_given_back() {
    let server = server().await;
    let before = server.resident_mib();
    for _ in 0..20 {
        assert_eq!(server.run("/m", json!({"mode": "memory-panic"})).await.text("State"), "Failed");
    }
    assert!(server.resident_mib() < before + 64.0, "from {before} to {} MiB", server.resident_mib());
}

#[tokio::test]
async fn large_strings_are_given_back() {
    let server = server().await;
    let before = server.resident_mib();
    for _ in 0..4 {
        let mut ids = Vec::new();
        for _ in 0..8 {
            ids.push(server.put(202, "/roomy", json!({"mode": "huge-result", "bytes": 8 << 20})).await.id());
        }
        for id in ids {
            assert_eq!(server.get(200, &format!("/tasks/{id}?wait=60")).await.text("State"), "Completed");
        }
    }
    eventually("what was there before", || async { (server.resident_mib() < before + 100.0).then_some(()) }).await;
}

#[tokio::test]
async fn greedy_components_leave_room_for_others() {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let memories = |count: usize| {
        let memories: String = (0..count).map(|_| "(memory 0)").collect();
        let spinning = r#"(func (export "run") (param i32) (result i32) (loop br 0) unreachable)"#;
        module_with(&format!("{memories}{spinning}"))
    };
    let greedy = with_core_module(folder.path(), "greedy.wasm", &memories(3));
    let too_greedy = with_core_module(folder.path(), "too-greedy.wasm", &memories(99));
    let config = folder.path().join("too-greedy.yaml");
    std::fs::write(&config, format!("routes:\n  - {{method: PUT, path: /a, component: {too_greedy}}}\n"))
        .expect("writable");
    let checked = sandpool().arg("check").arg(&config).output().expect("the program runs");
    assert_eq!(checked.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&checked.stderr).contains("too-greedy.wasm"), "{checked:?}");
    let hello = component("hello.wasm");
    let routes = format!(
        "routes:\n  - {{method: PUT, path: /greedy, component: {greedy}, pool: {{min: 0, max: 900}}}}\n  - {{method: PUT, path: /hello, component: {hello}}}\n"
    );
    let server = Server::start_in(folder, &routes).await;
    let mut greedy = Vec::new();
    for _ in 0..900 {
        greedy.push(server.put(202, "/greedy", Value::Null).await.id());
    }
    server.running(&greedy[899]).await;
    let ended = server.run("/hello", Value::Null).await;
    assert_eq!(ended.text("State"), "Completed", "{ended:?}");
}

#[tokio::test]
async fn an_endless_error_text_is_cut() {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    // A failure whose message is a megabyte of NULs.
    let failing = r#"(func (export "run") (param i32) (result i32)
        (drop (memory.grow (i32.const 20)))
        (i32.store8 (i32.const 32) (i32.const 1))
        (i32.store (i32.const 36) (i32.const 65536))
        (i32.store (i32.const 40) (i32.const 1048576))
        (i32.store8 (i32.const 44) (i32.const 0))
        (i32.const 32))"#;
    let failing = with_core_module(folder.path(), "failing.wasm", &module_with(failing));
    let routes = format!("routes:\n  - {{method: PUT, path: /fail, component: {failing}}}\n");
    let server = Server::start_in(folder, &routes).await;
    let ended = server.run("/fail", Value::Null).await;
    assert_eq!(ended.text("State"), "Failed");
    assert!(ended.text("Error").len() < 40_000 && ended.text("Error").ends_with('…'), "{}", ended.text("Error").len());
    assert!(!ended.text("Error").contains('\0'));
}

#[tokio::test]
async fn a_large_body_reaches_a_guest_that_has_the_memory() {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let head = "server: {listen: \"127.0.0.1:0\", body_limit: 32MiB}\nstore: {url: \"sqlite:tasks.db\"}\n";
    let m = component("misbehaving.wasm");
    let routes = format!(
        "routes:\n  - {{method: PUT, path: /roomy, component: {m}, memory: 256MiB}}\n  - {{method: PUT, path: /tight, component: {m}, memory: 8MiB}}\n"
    );
    let server = Server::start_with(folder, head, &routes).await;
    let input = json!({"mode": "sleep-ms", "ms": 1, "padding": "x".repeat(20 << 20)});
    assert_eq!(server.run("/roomy", input.clone()).await.text("State"), "Completed");
    let tight = server.run("/tight", input).await;
    assert_eq!(tight.text("Error"), "Memory limit: the guest needed more than 8192 KiB");
}
