//! Followers of server-sent events that others have written: httpx-sse in Python, and EventSource in Chromium. Both
//! connect again by themselves, with the id of the last event.

use super::{python, script};
use crate::following::{Event, Stream, names};
use crate::support::{Server, component, eventually};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};

/// A follower that runs until `done`, or until it is dropped.
pub struct Follower {
    child: Child,
    lines: Receiver<Value>,
    /// What has come: `{type, id, data}` of each event; `(connected)`, `(lost)` and `(refused)` of connections.
    pub seen: Vec<Value>,
}

impl Follower {
    /// httpx-sse, with these header fields in its requests.
    pub fn python(url: &str, fields: &[(&str, &str)]) -> Self {
        let mut command = python();
        command.arg(script("follow.py"));
        for (name, value) in fields {
            command.arg("--header").arg(format!("{name}:{value}"));
        }
        Self::start(command.arg(url))
    }

    /// Chromium, in the page `/-/live` of the server at `base`.
    pub fn browser(base: &str, url: &str) -> Self {
        Self::start(python().arg(script("eventsource.py")).arg(format!("{base}/-/live")).arg(url))
    }

    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let out = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                drop(sender.send(serde_json::from_str(&line).expect("JSON lines")));
            }
        });
        Self { child, lines, seen: Vec::new() }
    }

    /// Follows until this has come; what came so far is in `seen`.
    pub async fn until(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let mut looked_at = 0;
        eventually(what, || {
            self.seen.extend(self.lines.try_iter());
            let found = self.seen.iter().skip(looked_at).find(|line| is_it(line)).cloned();
            looked_at = self.seen.len();
            async move { found }
        })
        .await
    }

    /// Follows to the end of the follower, which must be a good one.
    pub async fn ended(mut self) -> Vec<Value> {
        let status = eventually("the follower's end", || {
            self.seen.extend(self.lines.try_iter());
            let exited = self.child.try_wait().expect("our child");
            async move { exited }
        })
        .await;
        // The pipe's end comes with the last line.
        self.seen.extend(self.lines.iter());
        assert!(status.success(), "{:?}", self.seen);
        std::mem::take(&mut self.seen)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Of what followers saw, the events alone.
pub fn events(seen: &[Value]) -> Vec<Value> {
    seen.iter().filter(|line| line["type"].as_str().is_some_and(|name| !name.starts_with('('))).cloned().collect()
}

/// Names and data of the events with the ids 1 to 6.
const EVENTS: [(&str, &str); 6] = [
    ("open", "{}"),
    ("state", r#"{"State":"Running"}"#),
    ("progress", "11.43"),
    ("log", "two\nlines"),
    ("step", r#"{"step":1}"#),
    ("done", r#"{"State":"Completed"}"#),
];

/// A server that ends each stream after two events, and closes its port after so many streams.
struct Unreliable {
    address: SocketAddr,
    listener: TcpListener,
    /// The `Last-Event-ID` and the `X-Key` of each stream.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Unreliable {
    fn listen(address: &str) -> Self {
        let listener = TcpListener::bind(address).expect("a port");
        Self { address: listener.local_addr().expect("an address"), listener, asked: Arc::default() }
    }

    /// Serves so many streams, in threads.
    fn serve(self, streams: usize) -> (Arc<Mutex<Vec<String>>>, std::thread::JoinHandle<()>) {
        let asked = Arc::clone(&self.asked);
        let served = move || {
            for stream in self.listener.incoming() {
                if self.asked.lock().expect("no panic").len() == streams {
                    return;
                }
                let (stream, asked, address) = (stream.expect("a connection"), Arc::clone(&self.asked), self.address);
                std::thread::spawn(move || {
                    answer(&stream, &asked);
                    // A last connection shows the loop that it may be over.
                    drop(TcpStream::connect(address));
                });
            }
        };
        (asked, std::thread::spawn(served))
    }
}

fn answer(mut stream: &TcpStream, asked: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let Some(request) = lines.next() else { return };
    let fields: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let head = |kind: &str| format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: {kind}\r\n\r\n");
    if !request.starts_with("GET /events ") {
        drop(stream.write_all((head("application/json") + "{}").as_bytes()));
        return;
    }
    let field = |wanted: &str| {
        let found =
            fields.iter().filter_map(|line| line.split_once(": ")).find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map_or("", |(_, value)| value)
    };
    let last = field("last-event-id");
    let from: usize = last.parse().unwrap_or(0);
    let mut text = head("text/event-stream") + "retry: 20\n: a comment\n\n";
    for (number, (name, data)) in EVENTS.iter().enumerate().skip(from).take(2) {
        text += &format!("id: {}\nevent: {name}\ndata: {}\n\n", number + 1, data.replace('\n', "\ndata: "));
    }
    drop(stream.write_all(text.as_bytes()));
    asked.lock().expect("no panic").push(format!("{last}{}", field("x-key")));
}

/// Loses its connection, then the server, and then its connection to the next server.
async fn comes_to_the_end(key: &str, follower: impl FnOnce(&str) -> Follower) {
    let server = Unreliable::listen("127.0.0.1:0");
    let address = server.address.to_string();
    let (asked, serving) = server.serve(1);
    let mut follower = follower(&format!("http://{address}"));
    follower.until("the second event", |line| line["id"] == "2").await;
    eventually("the server's end", || async { serving.is_finished().then_some(()) }).await;
    follower.until("the loss", |line| line["type"] == "(lost)").await;
    let (again, _) = Unreliable::listen(&address).serve(usize::MAX);
    follower.until("the end", |line| line["type"] == "done").await;
    let seen = events(&follower.ended().await);
    let expected: Vec<Value> =
        (1..).zip(EVENTS).map(|(id, (name, data))| json!({"type": name, "id": id.to_string(), "data": data})).collect();
    assert_eq!(seen, expected);
    assert_eq!(*asked.lock().expect("no panic"), [key]);
    assert_eq!(*again.lock().expect("no panic"), [format!("2{key}"), format!("4{key}")]);
}

#[tokio::test]
async fn httpx_sse_follows_beyond_the_end_of_a_server() {
    comes_to_the_end("key", |base| Follower::python(&format!("{base}/events"), &[("X-Key", "key")])).await;
}

#[tokio::test]
async fn a_browser_follows_beyond_the_end_of_a_server() {
    comes_to_the_end("", |base| Follower::browser(base, "/events")).await;
}

/// A task is followed from its submission to its end, while its server crashes and comes again.
async fn sees_all_of_a_task(follower: impl FnOnce(&Server, &str) -> Follower) {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let phases = component("phases.wasm");
    let routes = format!(
        "routes:\n  - {{method: PUT, path: /p, component: {phases}, sse: {{}}, retry: {{on_lost_host: rerun}}}}\n"
    );
    let mut server = Server::start_in(Arc::clone(&folder), &routes).await;
    let listen = server.base.trim_start_matches("http://").to_owned();
    // The first attempt does not end before the crash, however long a browser takes to start.
    let input = json!({"steps": 8, "pause_ms": 50, "seconds": 600});
    let id = server.put(202, "/p", input).await.id();
    let path = format!("/events?taskId={id}&after=0");
    let mut follower = follower(&server, &path);
    follower
        .until("the last step", |line| line["data"].as_str().is_some_and(|data| data == r#"{"of":8,"step":8}"#))
        .await;
    server.kill();
    follower.until("the loss", |line| line["type"] == "(lost)").await;
    let head = format!("server: {{listen: \"{listen}\"}}\nstore: {{url: \"sqlite:tasks.db\"}}\n");
    let server = Server::start_with(folder, &head, &routes).await;
    follower
        .until("the second attempt", |line| line["data"].as_str().is_some_and(|data| data.contains("\"Attempt\":2")))
        .await;
    server.delete(200, &format!("/tasks/{id}")).await;
    let seen: Vec<Event> =
        events(&follower.ended().await).iter().map(parsed).filter(|event| event.name != "open").collect();
    let kept = Stream::open(&server, &path, None).await.rest().await;
    assert_eq!(seen, kept[1..], "{:?}", names(&seen));
    assert_eq!(names(&seen).last(), Some(&"done"));
}

fn parsed(line: &Value) -> Event {
    let text = |member: &str| line[member].as_str().expect("a text");
    Event {
        id: text("id").parse().expect("a number"),
        name: text("type").to_owned(),
        data: serde_json::from_str(text("data")).expect("JSON"),
    }
}

#[tokio::test]
async fn httpx_sse_sees_all_of_a_task() {
    sees_all_of_a_task(|server, path| Follower::python(&format!("{}{path}", server.base), &[])).await;
}

#[tokio::test]
async fn a_browser_sees_all_of_a_task() {
    sees_all_of_a_task(|server, path| Follower::browser(&server.base, path)).await;
}

#[tokio::test]
async fn a_refusal_is_told() {
    let routes = format!("routes:\n  - {{method: PUT, path: /m, component: {}}}\n", component("hello.wasm"));
    let server = Server::start(&routes).await;
    let seen = Follower::python(&format!("{}/nothing", server.base), &[]).ended().await;
    assert_eq!(seen, [json!({"type": "(refused)", "status": 404})]);
    let seen = Follower::browser(&server.base, "/nothing").ended().await;
    assert_eq!(seen, [json!({"type": "(lost)", "state": 2})]);
}
