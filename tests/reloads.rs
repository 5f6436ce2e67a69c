//! The configuration's file is watched: a right change is applied to new tasks, a wrong one is reported, and nothing
//! that runs is touched.

use crate::support::{MORTY, Server, component, eventually, hash};
use serde_json::json;
use std::path::Path;

const HEAD: &str = "server: {listen: \"127.0.0.1:0\"}\nstore: {url: \"sqlite:tasks.db\"}\n";

/// Writes the file as editors do: another file takes its place.
fn write(server: &Server, text: &str) {
    let file = server.path("sandpool.yaml");
    let next = server.path("next.yaml");
    std::fs::write(&next, format!("{HEAD}{text}")).expect("writable");
    std::fs::rename(next, file).expect("renamed");
}

fn route(path: &str, file: &str, more: &str) -> String {
    format!("  - {{method: PUT, path: {path}, component: {file}{more}}}\n")
}

/// Waits until the log says so.
async fn said(server: &Server, words: &str) {
    eventually(words, || async { server.log().contains(words).then_some(()) }).await;
}

#[tokio::test]
async fn a_changed_file_is_applied_to_new_tasks() {
    let (hello, phases) = (component("hello.wasm"), component("phases.wasm"));
    let server = Server::start(&format!("routes:\n{}", route("/a", &phases, ", pool: {max: 1}"))).await;
    let running = server.put(202, "/a", json!({"steps": 40, "pause_ms": 50})).await.id();
    server.running(&running).await;
    write(
        &server,
        &format!("openapi: {{title: Newer}}\nroutes:\n{}{}", route("/a", &hello, ""), route("/b", &hello, "")),
    );
    eventually("the route", || async {
        (server.request("PUT", "/b").send().await.ok()?.status() == 202).then_some(())
    })
    .await;
    assert_eq!(server.get(200, &format!("/tasks/{running}")).await.text("State"), "Running");
    assert!(server.run("/a", json!({})).await.body["Result"]["greeting"].is_string());
    assert_eq!(server.get(200, "/openapi.json").await.body["info"]["title"], "Newer");
    assert_eq!(server.ended(&running).await.body["Result"]["steps"], 40, "on the component that it began with");
    write(&server, &format!("routes:\n{}", route("/b", &hello, "")));
    eventually("no route", || async { (server.request("PUT", "/a").send().await.ok()?.status() == 404).then_some(()) })
        .await;
}

#[tokio::test]
async fn a_faulty_file_is_reported_and_the_old_one_stays() {
    let hello = component("hello.wasm");
    let server = Server::start(&format!("routes:\n{}", route("/a", &hello, ""))).await;
    write(&server, "routes:\n  - {method: PUT, path: /b, component: nothing.wasm}\nservr: {}\n");
    said(&server, "cannot be applied, the old one stays").await;
    let log = server.log();
    assert!(log.contains("nothing.wasm") && log.contains("unknown key `servr`"), "{log}");
    assert_eq!(server.run("/a", json!({})).await.text("State"), "Completed");
    // A component that is none is found out before anything changes, too.
    std::fs::write(server.path("bad.wasm"), "no wasm").expect("writable");
    write(&server, &format!("routes:\n{}", route("/b", "bad.wasm", "")));
    said(&server, "is no WebAssembly component").await;
    server.put(202, "/a", json!({})).await;
    write(&server, &format!("routes:\n{}", route("/c", &hello, "")));
    said(&server, "has been applied").await;
    server.put(202, "/c", json!({})).await;
}

#[tokio::test]
async fn a_changed_component_is_taken_up() {
    let folder = std::sync::Arc::new(tempfile::tempdir().expect("a folder"));
    let file = folder.path().join("own.wasm");
    let put = |name: &str, to: &Path| {
        let next = to.with_extension("next");
        std::fs::copy(component(name), &next).expect("copied");
        std::fs::rename(next, to).expect("renamed");
    };
    put("phases.wasm", &file);
    let server = Server::start_in(folder, &format!("routes:\n{}", route("/a", "own.wasm", ""))).await;
    assert_eq!(server.run("/a", json!({"steps": 1, "pause_ms": 1})).await.body["Result"]["steps"], 1);
    put("hello.wasm", &file);
    said(&server, "has been applied").await;
    assert!(server.run("/a", json!({})).await.body["Result"]["greeting"].is_string());
}

#[tokio::test]
async fn users_come_and_go_and_what_needs_a_start_is_named() {
    let hello = component("hello.wasm");
    let auth = |key: &str| {
        format!(
            "auth: {{users: [{{id: {}, name: morty, api_keys: ['{}']}}], schemes: {{key: {{type: api_key, in: header, name: X-API-KEY}}}}}}\n",
            MORTY.id,
            hash("key", key)
        )
    };
    let routes = format!("routes:\n{}", route("/a", &hello, ", auth: key"));
    let server = Server::start(&format!("{}{routes}", auth("first-key"))).await;
    let with = |key: &str| server.request("PUT", "/a").header("x-api-key", key.to_owned());
    server.send(202, with("first-key")).await;
    server.send(401, with("second-key")).await;
    write(&server, &format!("node: {{name: other}}\n{}{routes}", auth("second-key")));
    said(&server, "has been applied").await;
    server.send(202, with("second-key")).await;
    server.send(401, with("first-key")).await;
    let log = server.log();
    assert!(log.contains("node has changed, which takes effect at the next start"), "{log}");
}

#[tokio::test]
async fn a_hangup_has_the_file_read_again() {
    let hello = component("hello.wasm");
    let server = Server::start(&format!("routes:\n{}", route("/a", &hello, ""))).await;
    // Nothing has changed, so only the signal can be the reason.
    server.hang_up();
    said(&server, "has been applied").await;
    server.put(202, "/a", json!({})).await;
}
