//! A receiver of callbacks: an HTTP server that answers as a test says and keeps what it was sent.

use crate::support::eventually;
use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// What a receiver was sent.
#[derive(Debug, Clone)]
pub struct Received {
    pub method: String,
    /// With its query.
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub at: Instant,
}

impl Received {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).expect("UTF-8")
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

/// What it answers.
#[derive(Debug, Clone)]
pub enum Reply {
    Status(u16),
    With(u16, &'static str, String),
    Never,
}

/// A running receiver.
pub struct Receiver {
    pub base: String,
    received: Arc<Mutex<Vec<Received>>>,
    serving: tokio::task::JoinHandle<()>,
}

impl Receiver {
    /// One that answers each request by what it is and by how many came before it on the same path.
    pub async fn start(reply: impl Fn(&Received, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let (kept, reply) = (Arc::clone(&received), Arc::new(reply));
        let answer = move |request: Request| {
            let (kept, reply) = (Arc::clone(&kept), Arc::clone(&reply));
            async move { answer(request, &kept, &*reply).await }
        };
        let router = Router::new().fallback(answer);
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { base, received, serving }
    }

    /// All that came on this path.
    pub fn on(&self, path: &str) -> Vec<Received> {
        let received = self.received.lock().expect("what came");
        received.iter().filter(|one| one.path == path).cloned().collect()
    }

    /// The first so many on this path.
    pub async fn await_on(&self, path: &str, count: usize) -> Vec<Received> {
        eventually(&format!("{count} requests to {path}"), || async {
            Some(self.on(path)).filter(|received| received.len() >= count)
        })
        .await
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(
    request: Request,
    kept: &Mutex<Vec<Received>>,
    reply: &(dyn Fn(&Received, usize) -> Reply + Send + Sync),
) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 64 << 20).await.expect("a body");
    let path = parts.uri.path_and_query().map_or("", |path| path.as_str()).to_owned();
    let (method, headers) = (parts.method.to_string(), parts.headers);
    let received = Received { method, path, headers, body, at: Instant::now() };
    let reply = {
        let mut kept = kept.lock().expect("what came");
        let before = kept.iter().filter(|one| one.path == received.path).count();
        let reply = reply(&received, before);
        kept.push(received);
        reply
    };
    let status = |code| StatusCode::from_u16(code).expect("a status");
    match reply {
        Reply::Status(code) => status(code).into_response(),
        Reply::With(code, name, value) => {
            let value = HeaderValue::try_from(value).expect("a value");
            (status(code), [(HeaderName::from_static(name), value)]).into_response()
        }
        Reply::Never => std::future::pending().await,
    }
}
