//! Attacks by uploads: what is compiled, how it comes, and what it is called.

use super::world::{ACME, World, counted};
use crate::support::{ask, compile_bomb, component};
use serde_json::json;
use std::io::Write;
use std::time::Duration;

/// So many MiB of zeros, compressed a thousandfold.
fn gzip_of_zeros(folder: &std::path::Path, mib: u32) -> Vec<u8> {
    let file = folder.join("zeros.gz");
    let command = format!("head -c {mib}M /dev/zero | gzip -9 > {}", file.display());
    assert!(std::process::Command::new("sh").args(["-c", &command]).status().expect("sh").success());
    std::fs::read(file).expect("it is there")
}

#[tokio::test]
async fn uploads_cost_their_uploader_alone() {
    let world = World::new("plugins: 4, plugin_bytes: 1MiB, submits_per_second: 100000").await;
    let pid = world.server.pid();
    world.under("components that compile without end", bombs(&world)).await;
    world.under("bodies that expand a thousand times", expanding(&world)).await;
    world.under("uploads that never end, that are cut, and that hardly move", slow(&world)).await;
    world.under("names that are paths", names(&world)).await;
    world.under("versions beyond the quota", versions(&world)).await;
    world.judge(pid).await;
}

async fn bombs(world: &World) -> String {
    let bomb = std::fs::read(compile_bomb(world.folder())).expect("a bomb");
    let request = || world.request(ACME, "PUT", "/-/plugins/bomb").body(bomb.clone());
    let upload = || ask(request());
    // One is waited for; of the others some are refused, and one hangs up while it is compiled.
    let others = async {
        let mut statuses = Vec::new();
        while world.goes_on() {
            tokio::select! {
                answer = upload() => statuses.push(answer.expect("an answer").status.to_string()),
                () = world.enough() => statuses.push("hung up".into()),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        statuses
    };
    let (answer, first, second) = tokio::join!(world.patiently(request), others, async {
        tokio::select! {
            answer = upload() => answer.expect("an answer").status.to_string(),
            () = world.enough() => "hung up".into(),
        }
    });
    assert_eq!(answer.status, 422, "{answer:?}");
    assert!(answer.text("detail").contains("of memory or"), "{answer:?}");
    counted(first.into_iter().chain([second, "422 for its memory".into()]))
}

async fn expanding(world: &World) -> String {
    let zeros = gzip_of_zeros(world.folder(), 256);
    world.routes(201, ACME, "m", json!({})).await;
    let mut statuses = Vec::new();
    while world.goes_on() || statuses.is_empty() {
        for path in ["/-/plugins/zeros", "/-/routes/zeros", "/acme/m"] {
            let request = world.request(ACME, "PUT", path).header("content-encoding", "gzip");
            let answer = ask(request.header("content-type", "application/json").body(zeros.clone())).await;
            let status = answer.expect("an answer").status;
            assert!([413, 415, 429].contains(&status), "{path}: {status}");
            statuses.push(format!("{status} of {path}"));
        }
    }
    counted(statuses)
}

/// Connections whose bodies do not come: the server lets go of none of its other clients for them.
async fn slow(world: &World) -> String {
    let authority = world.server.base.strip_prefix("http://").expect("plain HTTP").to_owned();
    let begin = |length: &str, body: &[u8]| {
        let mut stream = std::net::TcpStream::connect(&authority).expect("connects");
        let head =
            format!("PUT /-/plugins/slow HTTP/1.1\r\nhost: {authority}\r\nx-api-key: {ACME}\r\n{length}\r\n\r\n");
        stream.set_nonblocking(true).expect("set");
        drop(stream.write_all(&[head.as_bytes(), body].concat()));
        stream
    };
    let mut held = Vec::new();
    let mut cut = 0;
    for _ in 0..40 {
        held.push(begin("content-length: 1000000", b"abc"));
        held.push(begin("transfer-encoding: chunked", b"3\r\nabc\r\n"));
    }
    while world.goes_on() {
        for stream in &mut held {
            drop(stream.write_all(b"1\r\na\r\n"));
        }
        drop(begin("content-length: 1000", b"abc"));
        cut += 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    format!("{} held, {cut} cut", held.len())
}

async fn names(world: &World) -> String {
    let (long, longer) = ("n".repeat(129), "n".repeat(9_000));
    let dotted = ["..", "../bolt", "%2e%2e", "%2e%2e%2fbolt", "..%2F..%2Fetc"];
    let odd = ["a%00b", "a%0Ab", "%C0%AE", "%ff", "a%5Cb", &long, &longer];
    let route = json!({"method": "PUT", "path": "/acme/x", "plugin": "bad"}).to_string();
    let mut statuses = Vec::new();
    while world.goes_on() || statuses.is_empty() {
        for name in dotted.iter().chain(&odd) {
            for (method, path) in [("PUT", "/-/plugins/"), ("PUT", "/-/routes/"), ("GET", "/tasks/")] {
                let status = world.status_raw(ACME, method, &format!("{path}{name}"), &route).await;
                assert!([400, 403, 404, 405, 409, 414, 422, 429].contains(&status), "{method} {path}{name}: {status}");
                statuses.push(status.to_string());
            }
        }
    }
    for name in ["..", "%2e%2e"] {
        let status = world.status_raw(ACME, "PUT", &format!("/-/state/{name}"), "1").await;
        assert!([422, 429].contains(&status), "a variable `{name}`: {status}");
        statuses.push(status.to_string());
    }
    counted(statuses)
}

/// Four versions are allowed, and 1 MiB of them.
async fn versions(world: &World) -> String {
    let hello = std::fs::read(component("hello.wasm")).expect("a component");
    let mut statuses = Vec::new();
    for number in 0..8 {
        let bytes = crate::deploys::with_mark(hello.clone(), &number.to_string());
        let path = format!("/-/plugins/more?version={number}");
        let answer = world.patiently(|| world.request(ACME, "PUT", &path).body(bytes.clone())).await;
        statuses.push(answer.status.to_string());
    }
    world.enough().await;
    let got = counted(statuses);
    assert!(["3 x 201, 5 x 422", "3 x 201, 5 x 429"].contains(&got.as_str()), "{got}");
    got
}
