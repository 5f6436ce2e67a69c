//! Servers that are none of ours, or none that should be trusted, as the commands meet them.

use crate::client::at;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A server that answers each request with what `answer` makes of its head, and notes the heads.
pub fn fake(answer: impl Fn(&str, &mut TcpStream) + Send + 'static) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    let heads = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&heads);
    std::thread::spawn(move || {
        for mut connection in listener.incoming().map_while(Result::ok) {
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && connection.read(&mut byte).is_ok_and(|read| read == 1) {
                head.extend(byte);
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            noted.lock().expect("sound").push(head.clone());
            answer(&head, &mut connection);
        }
    });
    (base, heads)
}

pub fn respond(connection: &mut TcpStream, head: &str, body: &str) {
    let length = body.len();
    drop(write!(connection, "HTTP/1.1 {head}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"));
}

/// Sends until nobody reads.
fn flood(connection: &mut TcpStream, media_type: &str, begin: &str) {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\nConnection: close\r\n\r\n{begin}");
    let mut sent = connection.write_all(head.as_bytes());
    while sent.is_ok() {
        sent = connection.write_all(&[b'x'; 65536]);
    }
}

#[test]
fn answers_without_end_are_bounded() {
    let (base, _) = fake(|_, connection| flood(connection, "application/json", "\""));
    for arguments in [&["get", "1"][..], &["query"], &["submit", "/x"]] {
        let ran = at(&base, 2, arguments);
        assert_eq!(ran.err, "the server's answer has more than 67108864 bytes");
    }
}

pub const TASK: &str =
    r#"{"Id":"1","Name":"n","State":"Running","Sse":{"Url":"http://elsewhere.example/feed?taskId=1"}}"#;

#[test]
fn events_without_end_are_bounded_and_credentials_stay_with_the_server() {
    let (base, heads) = fake(|head, connection| match head.starts_with("GET /feed?") {
        true => flood(connection, "text/event-stream", "event: log\ndata: "),
        false => respond(connection, "200 OK", TASK),
    });
    let ran = at(&base, 3, &["watch", "1", "--patience", "0", "--token", "secret"]);
    assert!(ran.err.contains("an event has more than 67108864 bytes"), "{ran:?}");
    // The feed was asked for here, whatever host the task names.
    let heads = heads.lock().expect("sound").clone();
    let asked: Vec<&str> = heads.iter().filter_map(|head| head.split_whitespace().nth(1)).collect();
    assert_eq!(asked, ["/tasks/1", "/feed?taskId=1&after=0"]);
    assert!(heads.iter().all(|head| head.contains("authorization: Bearer secret")), "{heads:?}");
}

#[test]
fn other_servers_and_such_as_cannot_serve_are_told_apart() {
    let cases = [
        ("503 Service Unavailable", r#"{"detail":"draining"}"#, 3, "503: draining"),
        ("502 Bad Gateway", "<html>", 3, "502: the server gives no reason"),
        (
            "301 Moved\r\nLocation: https://new.example/",
            "",
            2,
            "301: the server sends you to https://new.example/: name it",
        ),
        ("500 Oops", r#"{"detail":"red \u001b[31m"}"#, 2, "500: red \u{fffd}[31m"),
        ("200 OK", "<html>", 2, "the answer is not what Sandpool would say"),
        ("200 OK", r#"{"Id":"1"}"#, 2, "missing field `Name`"),
    ];
    for (head, body, code, words) in cases {
        let (base, _) = fake(move |_, connection| respond(connection, head, body));
        let ran = at(&base, code, &["get", "1"]);
        assert!(ran.err.contains(words), "{head}: {ran:?}");
    }
}
