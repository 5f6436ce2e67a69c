//! Bursts of durable tasks over HTTP against the real program: of anybody, and of callers who prove who they are.

use crate::sample::{component, spread};
use crate::server::Server;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CONNECTIONS: usize = 32;
const TASKS: usize = 20_000;
const SECRET: &str = "a secret of at least thirty-two bytes, for HS256";

/// How callers prove who they are.
#[derive(Clone, Copy)]
enum Proof {
    None,
    Jwt,
    Basic,
}

impl Proof {
    /// The lines of the configuration and the header field of each request.
    fn lines(self) -> (String, String) {
        let scheme = |users: &str, scheme: &str| {
            format!("auth:\n  users: [{users}]\n  schemes: {{s: {scheme}}}\n  default: s\n")
        };
        match self {
            Self::None => (String::new(), String::new()),
            Self::Jwt => {
                let claims = serde_json::json!({"sub": "u", "exp": u32::MAX, "scope": "a b"});
                let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
                let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).expect("a token");
                let lines = scheme("", &format!("{{type: jwt, secret: '{SECRET}', algorithms: [HS256]}}"));
                (lines, format!("authorization: Bearer {token}\r\n"))
            }
            Self::Basic => {
                let mut hash = Command::new(env!("CARGO_BIN_EXE_sandpool"))
                    .args(["hash", "password"])
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .spawn()
                    .expect("the program");
                hash.stdin.take().expect("piped").write_all(b"pickle").expect("written");
                let hash = String::from_utf8(hash.wait_with_output().expect("an end").stdout).expect("text");
                let lines = scheme(&format!("{{id: u, name: morty, password: '{}'}}", hash.trim()), "{type: basic}");
                (lines, "authorization: Basic bW9ydHk6cGlja2xl\r\n".to_owned())
            }
        }
    }
}

/// A server with `/t`, a small route, and these further lines and routes.
pub fn server(lines: &str, routes: &str) -> Server {
    let hello = component("hello.wasm");
    let small = format!(
        "  - {{method: PUT, path: /t, component: {}, pool: {{min: 1, max: 64, queue: {TASKS}}}}}\n",
        hello.display()
    );
    Server::start(&format!("{lines}routes:\n{small}{routes}"))
}

/// Sends a request on a kept connection and reads the answer's body. As little as HTTP/1.1 needs: the client's CPU time
/// comes out of the same two cores.
pub async fn exchange(stream: &mut TcpStream, request: &str, buffer: &mut Vec<u8>) -> String {
    stream.write_all(request.as_bytes()).await.expect("written");
    buffer.clear();
    loop {
        let read = stream.read_buf(buffer).await.expect("read");
        assert!(read > 0, "the server hung up");
        let text = std::str::from_utf8(buffer).expect("text");
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
        if body.len() >= length.parse::<usize>().expect("a number") {
            assert!(head.starts_with("HTTP/1.1 20"), "{head}");
            return body.to_owned();
        }
    }
}

async fn client(address: String, share: usize, proof: String) -> Vec<Duration> {
    let mut stream = TcpStream::connect(&address).await.expect("a connection");
    stream.set_nodelay(true).expect("no delay");
    let submit = format!("PUT /t HTTP/1.1\r\nhost: {address}\r\n{proof}content-length: 0\r\n\r\n");
    let (mut times, mut buffer, mut last) = (Vec::with_capacity(share), Vec::new(), String::new());
    for _ in 0..share {
        let began = Instant::now();
        last = exchange(&mut stream, &submit, &mut buffer).await;
        times.push(began.elapsed());
    }
    let id = last.split("\"Id\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("an id");
    let wait = format!("GET /tasks/{id}?wait=60 HTTP/1.1\r\nhost: {address}\r\n{proof}\r\n");
    assert!(exchange(&mut stream, &wait, &mut buffer).await.contains("\"Completed\""));
    times
}

/// All clients together; how long each of their submits took.
async fn submit_all(server: &Server, proof: &str) -> Vec<Duration> {
    let one = |_| tokio::spawn(client(server.address.clone(), TASKS / CONNECTIONS, proof.to_owned()));
    let clients: Vec<_> = (0..CONNECTIONS).map(one).collect();
    let mut submits = Vec::new();
    for client in clients {
        submits.extend(client.await.expect("no panic"));
    }
    submits
}

/// Bursts of anybody, with JWT and with Basic by turns; the ratios of what they reach.
pub async fn with_proofs() {
    let mut rates = [0.0; 3];
    for _ in 0..3 {
        for (rate, proof) in rates.iter_mut().zip([Proof::None, Proof::Jwt, Proof::Basic]) {
            let (lines, field) = proof.lines();
            let server = self::server(&lines, "");
            let began = Instant::now();
            submit_all(&server, &field).await;
            *rate += TASKS as f64 / began.elapsed().as_secs_f64() / 3.0;
        }
    }
    let [none, jwt, basic] = rates;
    println!("   none {none:.0} tasks/s; JWT {:.2} and Basic {:.2} of that", jwt / none, basic / none);
}

pub async fn burst() {
    let server = self::server("", "");
    let idle = server.resident();
    let (cpu, began) = (server.cpu(), Instant::now());
    let submits = submit_all(&server, "").await;
    let db = rusqlite::Connection::open(server.folder.path().join("tasks.db")).expect("the store");
    // Each client has waited for its own last task; others may still be in their slots.
    let open = || db.query_row("SELECT count(*) FROM tasks WHERE state < 2", [], |row| row.get::<_, i64>(0));
    while open().expect("a count") > 0 {
        assert!(began.elapsed() < Duration::from_secs(120), "tasks that never end");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let seconds = began.elapsed().as_secs_f64();
    let cpu = server.cpu() - cpu;
    let mut query = db.prepare("SELECT completed - created FROM tasks WHERE state = 2").expect("a query");
    let rows = query.query_map([], |row| row.get::<_, i64>(0)).expect("rows");
    let ends: Vec<Duration> =
        rows.map(|micros| Duration::from_micros(micros.expect("a number").unsigned_abs())).collect();
    assert_eq!(ends.len(), TASKS, "all are Completed");
    println!(
        "   {:.0} tasks/s, CPU {:.3} ms a task, resident {idle:.1} → {:.1} MiB",
        TASKS as f64 / seconds,
        cpu * 1e3 / TASKS as f64,
        server.resident()
    );
    println!("      submit answered: {}", spread(submits));
    println!("      created → completed: {}", spread(ends));
}
