//! A client of server-sent events: reads a stream event by event.

use crate::support::{PATIENCE, Server};
use serde_json::Value;

/// An event as it came.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// 0 without one.
    pub id: u64,
    pub name: String,
    pub data: Value,
}

/// An open stream.
pub struct Stream {
    response: reqwest::Response,
    unread: Vec<u8>,
    /// Comments that have come.
    pub comments: u32,
}

impl Stream {
    /// Opens a stream; the answer must be 200.
    pub async fn open(server: &Server, path: &str, after: Option<u64>) -> Self {
        let mut request = server.request("GET", path).header("accept", "text/event-stream").timeout(PATIENCE * 2);
        if let Some(after) = after {
            request = request.header("last-event-id", after.to_string());
        }
        Self::of(request).await
    }

    /// The stream that this request opens.
    pub async fn of(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status().as_u16(), 200, "{}", response.text().await.unwrap_or_default());
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, unread: Vec::new(), comments: 0 }
    }

    /// The next event; `None` at the end of the stream, or when the server is gone.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some(end) = self.unread.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.unread.drain(..end + 2).collect();
                let block = String::from_utf8(block).expect("UTF-8");
                self.comments +=
                    u32::try_from(block.lines().filter(|line| line.starts_with(':')).count()).expect("few");
                if let Some(event) = parse(&block) {
                    return Some(event);
                }
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await.expect("it says something in time");
            self.unread.extend_from_slice(&chunk.ok()??);
        }
    }

    /// All events up to the end of the stream.
    pub async fn rest(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }

    /// Events up to one of this name, that one included.
    pub async fn up_to(&mut self, name: &str) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let event = self.next().await.unwrap_or_else(|| panic!("the stream ended before {name}: {events:?}"));
            events.push(event);
            if events.last().is_some_and(|event| event.name == name) {
                return events;
            }
        }
    }
}

/// WHATWG HTML §9.2.6
fn parse(block: &str) -> Option<Event> {
    let (mut id, mut name, mut data) = (0, String::new(), Vec::new());
    for line in block.lines() {
        match line.split_once(": ") {
            Some(("id", value)) => id = value.parse().expect("a number"),
            Some(("event", value)) => name = value.to_owned(),
            Some(("data", value)) => data.push(value),
            Some(("retry", _)) => {}
            _ => assert!(line.is_empty() || line.starts_with(':'), "{line}"),
        }
    }
    (!name.is_empty()).then(|| Event { id, name, data: serde_json::from_str(&data.join("\n")).expect("JSON") })
}

/// The names of events.
pub fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.name.as_str()).collect()
}

/// The data of the events of this name.
pub fn data<'a>(events: &'a [Event], name: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event.name == name).map(|event| &event.data).collect()
}
