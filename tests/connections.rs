//! Careless and hostile clients: silent, slow, too many, malformed.

use crate::support::{Server, component, eventually};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

async fn server() -> Server {
    let routes = format!("routes:\n  - {{method: PUT, path: /m, component: {}}}\n", component("hello.wasm"));
    Server::start(&routes).await
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.base.trim_start_matches("http://")).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    stream
}

/// What comes until the server hangs up.
fn all(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn silent_and_slow_connections_are_closed() {
    let server = server().await;
    let starts: [&[u8]; 4] = [b"", b"PRI * HT", b"PUT /m HT", b"PUT /m HTTP/1.1\r\nhost: x\r\n"];
    let waiting: Vec<_> = starts
        .iter()
        .map(|start| {
            let mut stream = connect(&server);
            stream.write_all(start).expect("sent");
            std::thread::spawn(move || all(stream))
        })
        .collect();
    for closed in waiting {
        let said = closed.join().expect("no panic");
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{said}");
    }
}

#[tokio::test]
async fn more_connections_than_files_leave_the_server_answering() {
    let routes = format!("routes:\n  - {{method: PUT, path: /m, component: {}}}\n", component("hello.wasm"));
    let server = Server::start_with_files(200, &routes).await;
    server.get(200, "/-/live").await;
    let crowd: Vec<TcpStream> = (0..300).map(|_| connect(&server)).collect();
    // On the connection that is there; and a task needs files of its own.
    server.get(200, "/-/live").await;
    assert_eq!(server.run("/m", serde_json::Value::Null).await.text("State"), "Completed");
    assert!(server.log().contains("a connection was refused"), "{}", server.log());
    drop(crowd);
    let fresh = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().expect("a client");
    eventually("an answer on a new connection", || async {
        let answer = fresh.get(format!("{}/-/live", server.base)).send().await;
        answer.ok().filter(|answer| answer.status() == 200)
    })
    .await;
}

#[tokio::test]
async fn malformed_requests_are_refused_and_store_nothing() {
    let server = server().await;
    let huge = format!("PUT /m HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(100_000));
    for request in [
        "nonsense\r\n\r\n",
        "PUT /m HTTP/1.1\r\nhost: a b\r\nconnection: close\r\n\r\n",
        "PUT /m HTTP/1.1\r\nhost: u:p@example.com\r\nconnection: close\r\n\r\n",
        "PUT /m HTTP/1.1\r\nconnection: close\r\n\r\n",
        "PUT /m HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n",
        "PUT /m HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
        "PUT /m HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999\r\nexpect: 100-continue\r\n\r\n",
        &huge,
    ] {
        let mut stream = connect(&server);
        stream.write_all(request.as_bytes()).expect("sent");
        let head: String = request.chars().take(60).collect();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).expect("an answer");
        assert!(answer.starts_with(b"HTTP/1.1 4"), "{head}: {}", String::from_utf8_lossy(&answer));
    }
    let db = rusqlite::Connection::open(server.path("tasks.db")).expect("the store");
    let stored: i64 = db.query_row("SELECT count(*) FROM tasks", [], |row| row.get(0)).expect("a count");
    assert_eq!(stored, 0);
}
