//! A web server for guests to ask: it answers by path, notes what it was asked, and counts who is there.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A running web server, gone when dropped.
pub struct Web {
    /// `127.0.0.1:PORT`
    pub authority: String,
    pub port: u16,
    noted: Arc<Noted>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Noted {
    heads: Mutex<Vec<String>>,
    accepted: AtomicUsize,
    open: AtomicUsize,
}

impl Web {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let noted = Arc::new(Noted::default());
        let shared = Arc::clone(&noted);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let noted = Arc::clone(&shared);
                noted.accepted.fetch_add(1, Ordering::SeqCst);
                noted.open.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    serve(stream, &noted).await;
                    noted.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { authority: format!("127.0.0.1:{port}"), port, noted, accepting }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.authority)
    }

    /// The heads of all requests so far, in lower case.
    pub fn heads(&self) -> Vec<String> {
        self.noted.heads.lock().expect("no panic").clone()
    }

    /// How many connections there ever were.
    pub fn accepted(&self) -> usize {
        self.noted.accepted.load(Ordering::SeqCst)
    }

    /// How many connections there are.
    pub fn open(&self) -> usize {
        self.noted.open.load(Ordering::SeqCst)
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(mut stream: TcpStream, noted: &Noted) {
    let Some((head, body)) = request(&mut stream).await else { return };
    let path = head.split(' ').nth(1).unwrap_or("/").to_owned();
    noted.heads.lock().expect("no panic").push(head.to_ascii_lowercase());
    let whole = |body: &str| format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    match path.split('?').next().unwrap_or("") {
        "/silent" => {}
        "/stall" => send(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nten bytes.").await,
        "/endless" => {
            send(&mut stream, b"HTTP/1.1 200 OK\r\n\r\n").await;
            while stream.write_all(&[b'x'; 64 << 10]).await.is_ok() {}
        }
        "/announced" => send(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n").await,
        "/long-head" => {
            let head = format!("HTTP/1.1 200 OK\r\nx: {}\r\ncontent-length: 0\r\n\r\n", "x".repeat(64 << 10));
            send(&mut stream, head.as_bytes()).await;
        }
        "/many-fields" => {
            let fields: String = (0..200).map(|number| format!("x-{number}: x\r\n")).collect();
            send(&mut stream, format!("HTTP/1.1 200 OK\r\n{fields}content-length: 0\r\n\r\n").as_bytes()).await;
        }
        "/no-http" => send(&mut stream, b"220 mail.example.com ESMTP\r\n").await,
        "/cut" => return send(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nten bytes.").await,
        "/redirect" => {
            let to = path.split_once('?').map_or("/", |(_, to)| to);
            send(&mut stream, format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n").as_bytes())
                .await;
        }
        "/mirror" => {
            // What was sent, whose length was announced, and under the type that was sent.
            let lower = head.to_ascii_lowercase();
            let field =
                |name: &str| lower.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("").trim().to_owned();
            let length = field("content-length:").parse().unwrap_or(0);
            let mut body = body;
            let mut buffer = vec![0; 64 << 10];
            while body.len() < length {
                match stream.read(&mut buffer).await {
                    Ok(read) if read > 0 => body.extend_from_slice(&buffer[..read]),
                    _ => return,
                }
            }
            let head = format!(
                "HTTP/1.1 201 Created\r\nContent-Type: {}\r\ncontent-length: {length}\r\nX-Two: a\r\nX-Two: b\r\n\r\n",
                field("content-type:")
            );
            send(&mut stream, &[head.as_bytes(), &body].concat()).await;
        }
        "/latin-1" => send(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\ngr\xfc\xdfe!").await,
        "/upload" => {
            // To the end of what was sent, in chunks.
            let mut last = body;
            let mut buffer = vec![0; 64 << 10];
            while !last.ends_with(b"0\r\n\r\n") {
                match stream.read(&mut buffer).await {
                    Ok(read) if read > 0 => {
                        last = [last.as_slice(), &buffer[..read]].concat().split_off(last.len().saturating_sub(8))
                    }
                    _ => return,
                }
            }
            send(&mut stream, whole("taken").as_bytes()).await;
        }
        _ => send(&mut stream, whole(&head).as_bytes()).await,
    }
    // The client hangs up.
    let mut rest = [0; 1024];
    while matches!(stream.read(&mut rest).await, Ok(read) if read > 0) {}
}

/// A request's head, and what came with it of its body.
async fn request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut got = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = got.windows(4).position(|four| four == b"\r\n\r\n") {
            let body = got.split_off(end + 4);
            return Some((String::from_utf8_lossy(&got).into_owned(), body));
        }
        match stream.read(&mut buffer).await {
            Ok(read) if read > 0 => got.extend_from_slice(&buffer[..read]),
            _ => return None,
        }
    }
}

async fn send(stream: &mut TcpStream, bytes: &[u8]) {
    drop(stream.write_all(bytes).await);
}
