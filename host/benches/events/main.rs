//! `cargo bench --bench events`: what following tasks costs, with the real program and real connections.
//!
//! 1. one task's events to 1, 100 and 1,000 followers: events a second, CPU of the server for each that was delivered
//! 2. 10,000 followers of a group: memory, and how long one task's events take to all of them
// A benchmark that cannot go on stops; its output is its purpose.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::print_stdout, missing_docs, unused_qualifications)]

#[path = "../shared/server.rs"]
mod server;

use server::Server;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A server with one route, whose tasks can be followed.
struct Followed(Server);

impl Followed {
    fn start() -> Self {
        let components = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-examples/target/components");
        let component = components.join("misbehaving.wasm").canonicalize().expect("run guest-examples/build");
        let route = format!("{{method: PUT, path: /t, component: {}, sse: {{group: g}}}}", component.display());
        Self(Server::start(&format!("routes: [{route}]\n")))
    }

    async fn follow(&self) -> TcpStream {
        let mut stream = TcpStream::connect(&self.0.address).await.expect("connects");
        stream.write_all(b"GET /events?group=g HTTP/1.1\r\nhost: bench\r\n\r\n").await.expect("written");
        let mut head = Vec::new();
        while !contains(&head, b"event: open") {
            stream.read_buf(&mut head).await.expect("read");
        }
        stream
    }

    async fn submit(&self, events: u32) {
        let body = format!("{{\"mode\":\"flood-events\",\"count\":{events},\"bytes\":100}}");
        let mut stream = TcpStream::connect(&self.0.address).await.expect("connects");
        let request = format!(
            "PUT /t HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.expect("written");
        let mut answer = Vec::new();
        while !contains(&answer, b"202 Accepted") {
            stream.read_buf(&mut answer).await.expect("read");
        }
    }
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|found| found == wanted)
}

/// Reads up to the end of the task. `false`: it was cut off before.
async fn read(mut stream: TcpStream) -> bool {
    let mut buffer = Vec::with_capacity(256 << 10);
    loop {
        let tail = buffer.len().min(64);
        buffer.drain(..buffer.len() - tail);
        if stream.read_buf(&mut buffer).await.expect("read") == 0 || contains(&buffer, b"event: error") {
            return false;
        }
        if contains(&buffer, b"event: done") {
            return true;
        }
    }
}

async fn fan_out(followers: usize, events: u32) {
    let server = Followed::start();
    let mut streams = Vec::new();
    for _ in 0..followers {
        streams.push(server.follow().await);
    }
    let resident = server.0.resident();
    let readers: Vec<_> = streams.into_iter().map(|stream| tokio::spawn(read(stream))).collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let (cpu, began) = (server.0.cpu(), Instant::now());
    server.submit(events).await;
    let mut heard = 0;
    for reader in readers {
        heard += usize::from(reader.await.expect("no panic"));
    }
    let (took, cpu) = (began.elapsed().as_secs_f64(), server.0.cpu() - cpu);
    let stored = ["tasks.db", "tasks.db-wal"].map(|name| server.0.folder.path().join(name));
    let store =
        stored.iter().filter_map(|file| file.metadata().ok()).map(|file| file.len() as f64).sum::<f64>() / 1_048_576.0;
    let delivered = f64::from(events) * followers as f64;
    println!(
        "   {followers:>6} followers, {events} events: {:>9.0} delivered/s, {:>6.2} µs CPU each, {took:.2} s, {heard} heard all, {resident:.0} MiB before, {:.0} MiB after, {store:.1} MiB stored",
        delivered / took,
        cpu * 1e6 / delivered,
        server.0.resident()
    );
}

fn main() {
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let files = rustix::process::Rlimit { current: files.maximum, ..files };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, files).expect("up to the maximum");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    println!("1. events of one task to all who follow its group");
    for (followers, events) in [(1, 4_000), (100, 4_000), (1_000, 1_000)] {
        runtime.block_on(fan_out(followers, events));
    }
    println!("2. the same, many followers");
    runtime.block_on(fan_out(10_000, 20));
}
