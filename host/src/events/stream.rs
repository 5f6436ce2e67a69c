//! Owns what one follower reads: first what it has not had yet, out of the store, then what comes.
//! Must not know how it is sent.

use super::frame::Event;
use super::queue::Item;
use super::{Frame, HEARTBEAT, Hub, Joined, Seat, comment, frame, may_read};
use crate::metrics::Counted;
use crate::principal::Principal;
use crate::store::Scope;
use crate::store::events::REPLAY_BYTES;
use crate::task::event::{DONE, ERROR};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

/// Milliseconds after which a reader whose stream has broken may come again.
const RETRY: &str = "retry: 1000\n\n";

/// The longest that a stream of somebody in particular lasts: credentials are not asked for again within it.
const LONGEST: Duration = Duration::from_secs(3600);

/// A stream of events.
pub struct Stream {
    hub: Hub,
    scope: Scope,
    principal: Option<Principal>,
    /// Everything up to this number has been read.
    after: u64,
    ready: VecDeque<Frame>,
    /// Of what was read back and waits in `ready`.
    replayed: Option<OwnedSemaphorePermit>,
    seat: Option<Box<Seat>>,
    is_over: bool,
    began: Instant,
    _counted: Counted,
}

impl Stream {
    /// A stream of what comes after this number, which begins with `open`.
    pub(super) fn new(hub: Hub, scope: Scope, principal: Option<Principal>, after: u64, open: Frame) -> Self {
        let ready = VecDeque::from([Frame::from_static(RETRY.as_bytes()), open]);
        let _counted = Counted::in_gauge(&hub.0.metrics.streams);
        let (replayed, seat, is_over, began) = (None, None, false, Instant::now());
        Self { hub, scope, principal, after, ready, replayed, seat, is_over, began, _counted }
    }

    /// The next piece; `None` at the end.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Some(frame);
            }
            if self.is_over || (self.principal.is_some() && self.began.elapsed() >= LONGEST) {
                return None;
            }
            match &self.seat {
                None => self.read().await,
                Some(seat) => match tokio::time::timeout(HEARTBEAT, seat.follower.queue.next()).await {
                    Err(_) => return Some(comment()),
                    Ok(Item::Frame(frame)) => return Some(frame),
                    Ok(Item::End) => self.is_over = true,
                    Ok(Item::TooSlow) => {
                        self.fail("too slow: more events waited than are kept for a reader; read on from the last one");
                    }
                },
            }
        }
    }

    /// Reads on in the store; at its end, what comes is handed over.
    async fn read(&mut self) {
        // What was read before has been sent.
        self.replayed = None;
        let room = Arc::clone(&self.hub.0.replayed);
        let Ok(mut replayed) = Arc::clone(&room).acquire_many_owned(kib(REPLAY_BYTES)).await else { return };
        let page = match self.hub.0.store.replay(self.after, self.scope.clone()).await {
            Ok(page) => page,
            Err(error) => {
                tracing::error!("events could not be read back: {error}");
                return self.fail("the task store does not answer; read on later");
            }
        };
        let of_many = !matches!(self.scope, Scope::Task(_));
        let mut bytes = 0;
        for kept in page.events {
            if may_read(kept.permission.as_deref(), self.principal.as_ref()) {
                self.is_over |= !of_many && kept.name == DONE;
                let frame = Event::new(kept).frame(of_many);
                bytes += frame.len();
                self.ready.push_back(frame);
            }
        }
        if kib(bytes) > kib(REPLAY_BYTES) {
            // Given back first: whoever holds some must not wait for more.
            drop(replayed);
            let Ok(all) = room.acquire_many_owned(kib(bytes)).await else { return };
            replayed = all;
        }
        self.replayed = (!self.ready.is_empty()).then_some(replayed);
        self.after = page.seen;
        if self.is_over {
            return;
        }
        if page.more {
            // Whoever waits while much is looked through is told that the stream is alive.
            if self.ready.is_empty() {
                self.ready.push_back(comment());
            }
            return;
        }
        match self.hub.join(&self.scope, self.principal.as_ref(), self.after) {
            Joined::Seat(seat) => self.seat = Some(seat),
            Joined::Behind => {}
            Joined::Closed => self.is_over = true,
        }
    }

    fn fail(&mut self, why: &str) {
        let why = serde_json::json!({ "Error": why });
        self.ready.push_back(frame(None, ERROR, &why.to_string()));
        self.is_over = true;
    }
}

fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX)
}
