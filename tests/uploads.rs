//! What may be uploaded, by whom, and what an upload may cost others.

use crate::deploys::{bare, bytes, detail, routed, upload, uploaded};
use crate::support::{Server, compile_bomb, component, eventually, ids};
use serde_json::json;
use std::sync::Arc;

#[tokio::test]
async fn an_upload_is_bounded_while_it_arrives() {
    let server = Server::start("plugins: {max_size: 100KiB}\nroutes: []\n").await;
    let refused = server.send(413, upload(&server, "large", vec![0; 200 << 10])).await;
    assert!(detail(&refused).contains("more than the 102400 bytes that are allowed"), "{refused:?}");
}

#[tokio::test]
async fn uploads_are_signed_where_keys_are_configured() {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD as base64;
    let key = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a key");
    let public = base64.encode(key.public_key().as_ref());
    let server = Server::start(&format!("plugins: {{keys: {{team: {public}}}}}\nroutes: []\n")).await;
    let component = bytes("hello.wasm");
    let signature = format!("team:{}", base64.encode(key.sign(&component).as_ref()));
    let signed =
        |signature: &str, component: Vec<u8>| upload(&server, "hello", component).header("plugin-signature", signature);
    let cases = [
        (upload(&server, "hello", component.clone()), "must be signed"),
        (signed("nobody:AAAA", component.clone()), "there is no key `nobody`"),
        (signed("team", component.clone()), "found no colon"),
        (signed("team:!", component.clone()), "is no base64"),
        (signed(&signature, bytes("counter.wasm")), "is not that of `team` over these bytes"),
    ];
    for (request, words) in cases {
        let refused = server.send(422, request).await;
        assert!(detail(&refused).contains(words), "{refused:?}");
    }
    let taken = server.send(201, signed(&signature, component)).await;
    assert_eq!(taken.text("Signer"), "team");
}

#[tokio::test]
async fn a_compile_bomb_costs_its_uploader_an_error_and_nobody_else_anything() {
    let server = bare().await;
    uploaded(&server, "hello", "1", "hello.wasm").await;
    routed(&server, 201, "greet", "hello", json!({})).await;
    let bomb = upload(&server, "bomb", std::fs::read(compile_bomb(server.folder().path())).expect("a bomb"));
    let bombing = tokio::spawn(async move { bomb.send().await.expect("an answer") });
    let (mut ran, mut compiler) = (Vec::new(), None);
    while !bombing.is_finished() {
        compiler = compiler.or_else(|| compiler_of(server.pid()));
        ran.push(server.run("/greet", json!({})).await);
    }
    let refused = bombing.await.expect("ends");
    assert_eq!(refused.status(), 422);
    let said = refused.text().await.expect("text");
    assert!(said.contains("of memory or"), "{said}");
    let compiler = compiler.unwrap_or_else(|| panic!("no compile was seen: {said}"));
    assert!(compiler.contains("Seccomp:\t2"), "{compiler}");
    assert!(ran.iter().all(|task| task.text("State") == "Completed"), "others go on");
    assert!(server.resident_mib() < 300.0, "{} MiB", server.resident_mib());
    assert_eq!(ids(&server.get(200, "/tasks/query?limit=1").await).len(), 1);
}

#[tokio::test]
async fn one_caller_uploads_few_components_at_once() {
    use std::io::Write;
    let server = bare().await;
    let authority = server.base.strip_prefix("http://").expect("plain HTTP").to_owned();
    let slow = |name: &str| {
        let mut stream = std::net::TcpStream::connect(&authority).expect("connects");
        let head = format!("PUT /-/plugins/{name} HTTP/1.1\r\nhost: {authority}\r\ncontent-length: 1000\r\n\r\nabc");
        stream.write_all(head.as_bytes()).expect("sent");
        stream
    };
    // Which of several that come together are let in is chance, so there are as many as it takes.
    let held = std::sync::Mutex::new(Vec::new());
    let third = eventually("a refusal", || async {
        held.lock().expect("mine").push(slow("a"));
        let answer = upload(&server, "hello", bytes("hello.wasm")).send().await.ok()?;
        (answer.status() == 429).then_some(answer)
    })
    .await;
    assert!(third.headers().contains_key("retry-after"));
    drop(held);
    eventually("room", || async {
        let answer = upload(&server, "hello", bytes("hello.wasm")).send().await.ok()?;
        answer.status().is_success().then_some(())
    })
    .await;
}

/// The status of this server's compile child, once that has read its input and has given up what it does not need.
fn compiler_of(server: i32) -> Option<String> {
    let processes = std::fs::read_dir("/proc").expect("processes").flatten();
    let statuses = processes.filter_map(|process| std::fs::read_to_string(process.path().join("status")).ok());
    let is_child = |status: &String| status.contains(&format!("PPid:\t{server}\n"));
    statuses.filter(is_child).find(|status| status.contains("NoNewPrivs:\t1"))
}

#[tokio::test]
async fn pages_from_elsewhere_manage_nothing() {
    let file = component("hello.wasm");
    let routes = format!("routes: [{{method: PUT, path: /hello, component: {file}}}]\n");
    let head = "server: {listen: \"127.0.0.1:0\", cors: [\"*\"]}\nstore: {url: \"sqlite:tasks.db\"}\n";
    let server = Server::start_with(Arc::new(tempfile::tempdir().expect("a folder")), head, &routes).await;
    let with = |name: &'static str, value: &'static str| server.request("GET", "/-/plugins").header(name, value);
    for refused in [
        ("host", "evil.example"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("x-forwarded-for", "1.2.3.4"),
    ] {
        server.send(403, with(refused.0, refused.1)).await;
    }
    for admitted in [("host", "localhost:8080"), ("origin", "http://localhost:3000"), ("origin", "http://[::1]:3000")] {
        server.send(200, with(admitted.0, admitted.1)).await;
    }
    server.send(202, server.request("PUT", "/hello").header("origin", "https://other.example")).await;
}
