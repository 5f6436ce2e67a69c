//! Owns `sandpool watch`: a task's bar, log and events, up to its end, across lost connections.
//! Must not know how a server keeps events.

use super::client::{ANSWER, Answer, Client, MOST_BYTES, Server, block_on, innermost};
use super::tasks::{self, Named, Task};
use super::terminal::{self, above, bar};
use super::{Ending, Refusal, say, say_error};
use crate::task::event::{DONE, ERROR, LOG, MISSED, OPEN, PROGRESS, STATE};
use crate::task::log::Line;
use crate::value::Json;
use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use indicatif::ProgressBar;
use reqwest::header::{ETAG, IF_NONE_MATCH};
use reqwest::{Method, Response};
use serde_json::Value;
use sse_stream::SseByteStream;
use std::io::Error;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A stream that says nothing for so long is lost: a server sends a comment every 15 s.
const SILENCE: Duration = Duration::from_secs(45);
/// Between two attempts to reach a server that went away.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    task: Named,
    #[command(flatten)]
    patience: Patience,
    /// Answers each event as a line of JSON, {"Event": …, "Data": …}; the last one is `done` with the AsyncTask
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

/// How long a server may be away.
#[derive(Debug, clap::Args)]
pub struct Patience {
    /// How long the server may be away while the task is watched
    #[arg(long = "patience", value_name = "SECONDS", default_value_t = 60)]
    seconds: u32,
}

pub fn watch(arguments: &Arguments) -> Result<Ending, Refusal> {
    let client = arguments.server.client()?;
    let path = arguments.task.path(&client)?;
    block_on(to_the_end(&client, &path, &arguments.patience, arguments.json))
}

/// Watches the task at this path to its end. Ctrl-C ends watching only.
pub async fn to_the_end(client: &Client, path: &str, patience: &Patience, as_json: bool) -> Result<Ending, Refusal> {
    let screen = Screen { bar: bar(100, terminal::TASK, !as_json), as_json };
    let watched = tokio::select! {
        watched = Watching::new(client, path, &screen).end(patience) => watched,
        _ = tokio::signal::ctrl_c() => {
            screen.bar.finish_and_clear();
            say_error("no longer watched; the task goes on");
            return Ok(Ending::FailedTask);
        }
    };
    screen.bar.finish_and_clear();
    let answer = watched?;
    if as_json {
        screen.event(DONE, &answer.text);
        return Ok(tasks::ending(&answer.read()?));
    }
    tasks::show(&answer, false)
}

/// What is drawn.
struct Screen {
    bar: ProgressBar,
    as_json: bool,
}

impl Screen {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn progress(&self, percent: f64) {
        self.bar.set_position(percent.clamp(0.0, 100.0) as u64);
    }

    /// Something about the watching itself.
    fn note(&self, text: &str) {
        above(&self.bar, &Line::cut(text.to_owned()));
    }

    fn event(&self, name: &str, data: &str) {
        if self.as_json {
            let data = Json::parse(data.to_owned()).unwrap_or_else(|_| Json::null());
            // JSON breaks lines between values only.
            let line = format!("{{\"Event\":{},\"Data\":{}}}", Value::from(name), data.as_str());
            return say(&line.replace(['\n', '\r'], " "));
        }
        match name {
            PROGRESS => self.progress(data.parse().unwrap_or_default()),
            LOG => match serde_json::from_str::<Line>(data) {
                Ok(line) => self.note(&terminal::written(&line)),
                Err(_) => self.note(data),
            },
            OPEN | STATE => {
                if let Ok(task) = serde_json::from_str::<Task>(data) {
                    self.bar.set_message(task.state.clone());
                    task.progress.into_iter().for_each(|percent| self.progress(percent));
                }
            }
            MISSED => self.note(&format!("({data} earlier events are no longer kept)")),
            _ => self.note(&format!("event {name} {data}")),
        }
    }
}

/// How far the watching has come; it goes on from there over another connection.
struct Watching<'a> {
    client: &'a Client,
    path: &'a str,
    screen: &'a Screen,
    /// Where the task's events are, if it has any.
    events: Option<String>,
    /// The event that was had last.
    last: Option<String>,
    /// The newest line of the log that was had, without events.
    seq: u64,
    /// The task as it was last, without events.
    tag: Option<String>,
    /// Something has come since the connection was lost.
    is_heard: bool,
}

impl<'a> Watching<'a> {
    fn new(client: &'a Client, path: &'a str, screen: &'a Screen) -> Self {
        Self { client, path, screen, events: None, last: None, seq: 0, tag: None, is_heard: false }
    }

    /// The task once it has ended.
    async fn end(mut self, patience: &Patience) -> Result<Answer, Refusal> {
        let patience = Duration::from_secs(patience.seconds.into());
        let begin: Task = self.client.ask(self.client.request(Method::GET, self.path)).await?.read()?;
        self.events = begin.sse.map(|sse| self.client.path_of(&sse.url));
        let mut away: Option<Instant> = None;
        loop {
            let step = match &self.events {
                Some(url) => self.by_events(&url.clone()).await,
                None => self.by_asking().await,
            };
            let refusal = match step {
                Ok(Some(answer)) => return Ok(answer),
                Ok(None) => {
                    away = None;
                    continue;
                }
                Err(refusal) if refusal.ending == Ending::Unreachable => refusal,
                Err(refusal) => return Err(refusal),
            };
            if std::mem::take(&mut self.is_heard) {
                away = None;
            }
            if away.is_none() && !self.screen.as_json {
                self.screen.note(&format!("{}; trying again", refusal.words));
            }
            if away.get_or_insert_with(Instant::now).elapsed() >= patience {
                return Err(refusal);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Reads events until the task has ended or the connection is lost.
    async fn by_events(&mut self, url: &str) -> Result<Option<Answer>, Refusal> {
        let request = self.client.endless(Method::GET, url).header("accept", "text/event-stream");
        let request = match &self.last {
            Some(id) => request.header("last-event-id", id),
            None => request.query(&[("after", 0)]),
        };
        let sent = tokio::time::timeout(ANSWER, self.client.send(request)).await;
        let response = sent.map_err(|_| self.client.lost("it does not answer"))??;
        match response.status().as_u16() {
            200 => {}
            204 => return self.ended().await,
            // The route of events, or the route's `sse`, is no longer there.
            404 => {
                self.events = None;
                return Ok(None);
            }
            _ => return self.client.read(response).await.map(|_| None),
        }
        let gathered = Arc::new(AtomicUsize::new(0));
        let mut events = pin!(SseByteStream::new(pieces(response, Arc::clone(&gathered))));
        while let Some(event) = events.next().await {
            let event = event.map_err(|error| self.client.lost(innermost(&error)))?;
            gathered.store(0, Ordering::Relaxed);
            self.last = event.id.or_else(|| self.last.take());
            let Some(data) = event.data else { continue };
            self.is_heard = true;
            match event.event.as_deref().unwrap_or("message") {
                DONE => return self.ended().await,
                ERROR => return Err(self.client.lost(Line::cut(data))),
                name => self.screen.event(name, &data),
            }
        }
        Err(self.client.lost("the stream of events has ended before the task"))
    }

    /// The ended task, with its result.
    async fn ended(&self) -> Result<Option<Answer>, Refusal> {
        tasks::wait(self.client, self.path, 0).await.map(Some)
    }

    /// Asks once where the task stands and what it has logged.
    async fn by_asking(&mut self) -> Result<Option<Answer>, Refusal> {
        let mut request = self.client.request(Method::GET, self.path).query(&[("wait", 1)]);
        if let Some(tag) = &self.tag {
            request = request.header(IF_NONE_MATCH, tag);
        }
        let answer = self.client.ask(request).await?;
        let mut is_over = false;
        if answer.status != 304 {
            let task: Task = answer.read()?;
            is_over = task.is_over();
            self.tag = answer.field(ETAG).map(str::to_owned);
            if !is_over {
                self.screen.event(STATE, &answer.text);
            }
        }
        let log = self.client.request(Method::GET, &tasks::below(self.path, "log")).query(&[("after", self.seq)]);
        for line in self.client.ask(log).await?.read::<Vec<Line>>()? {
            self.seq = self.seq.max(line.seq);
            self.screen.event(LOG, &serde_json::to_string(&line)?);
        }
        Ok(is_over.then_some(answer))
    }
}

/// The bytes of a stream, each within [`SILENCE`] of the one before, and of bounded events.
fn pieces(response: Response, gathered: Arc<AtomicUsize>) -> impl Stream<Item = Result<Bytes, Error>> {
    stream::try_unfold((response, gathered), |(mut response, gathered)| async move {
        let piece = tokio::time::timeout(SILENCE, response.chunk()).await;
        let piece = piece.map_err(|_| Error::other(format!("nothing came for {} s", SILENCE.as_secs())))?;
        let Some(piece) = piece.map_err(|error| Error::other(innermost(&error)))? else { return Ok(None) };
        if gathered.fetch_add(piece.len(), Ordering::Relaxed) > MOST_BYTES {
            return Err(Error::other(format!("an event has more than {MOST_BYTES} bytes")));
        }
        Ok(Some((piece, (response, gathered))))
    })
}
