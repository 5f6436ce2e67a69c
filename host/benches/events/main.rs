//! `cargo bench --bench events`: what following tasks costs, with the real program and real connections.
//!
//! 1. one task's events to 1, 100 and 1,000 followers: events a second, CPU of the server for each that was delivered
//! 2. 10,000 followers of a group: memory, and how long one task's events take to all of them
// A benchmark that cannot go on stops; its output is its purpose.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::print_stdout, missing_docs, unused_qualifications)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

struct Server {
    child: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let components = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-examples/target/components");
        let component = components.join("misbehaving.wasm").canonicalize().expect("run guest-examples/build");
        let config = format!(
            "server: {{listen: \"127.0.0.1:0\", connections: 20000}}\nstore: {{url: \"sqlite:tasks.db\"}}\nroutes:\n  - {{method: PUT, path: /t, component: {}, sse: {{group: g}}}}\n",
            component.display()
        );
        let file = folder.path().join("sandpool.yaml");
        std::fs::write(&file, config).expect("writable");
        let mut child = Command::new(env!("CARGO_BIN_EXE_sandpool"))
            .args(["serve", "--config"])
            .arg(&file)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let first = lines.next().expect("a line").expect("text");
        let address = first.rsplit("http://").next().expect("an address").to_owned();
        // Its later lines must not fill the pipe.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Self { child, address, _folder: folder }
    }

    fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("a live process");
        let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
        fields[11..13].iter().map(|ticks| ticks.parse::<f64>().expect("ticks")).sum::<f64>() / 100.0
    }

    fn resident(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a live process");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
        line.split_whitespace().nth(1).expect("KiB").parse::<f64>().expect("a number") / 1024.0
    }

    async fn follow(&self) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).await.expect("connects");
        stream.write_all(b"GET /events?group=g HTTP/1.1\r\nhost: bench\r\n\r\n").await.expect("written");
        let mut head = Vec::new();
        while !contains(&head, b"event: open") {
            stream.read_buf(&mut head).await.expect("read");
        }
        stream
    }

    async fn submit(&self, events: u32) {
        let body = format!("{{\"mode\":\"flood-events\",\"count\":{events},\"bytes\":100}}");
        let mut stream = TcpStream::connect(&self.address).await.expect("connects");
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

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
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
    let server = Server::start();
    let mut streams = Vec::new();
    for _ in 0..followers {
        streams.push(server.follow().await);
    }
    let resident = server.resident();
    let readers: Vec<_> = streams.into_iter().map(|stream| tokio::spawn(read(stream))).collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let (cpu, began) = (server.cpu(), Instant::now());
    server.submit(events).await;
    let mut heard = 0;
    for reader in readers {
        heard += usize::from(reader.await.expect("no panic"));
    }
    let (took, cpu) = (began.elapsed().as_secs_f64(), server.cpu() - cpu);
    let delivered = f64::from(events) * followers as f64;
    println!(
        "   {followers:>6} followers, {events} events: {:>9.0} delivered/s, {:>6.2} µs CPU each, {took:.2} s, {heard} heard all, {resident:.0} MiB before, {:.0} MiB after",
        delivered / took,
        cpu * 1e6 / delivered,
        server.resident()
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
