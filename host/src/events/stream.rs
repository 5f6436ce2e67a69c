//! Owns what one follower reads: first what it has not had yet, out of the store, then what comes.
//! Must not know how it is sent.

use super::frame::Event;
use super::queue::Item;
use super::{Frame, HEARTBEAT, Hub, Joined, Seat, comment, frame, may_read};
use crate::principal::Principal;
use crate::store::Scope;
use crate::task::event::{DONE, ERROR};
use std::collections::VecDeque;

/// Milliseconds after which a reader whose stream has broken may come again.
const RETRY: &str = "retry: 1000\n\n";

/// A stream of events.
pub struct Stream {
    hub: Hub,
    scope: Scope,
    principal: Option<Principal>,
    /// Everything up to this number has been read.
    after: u64,
    ready: VecDeque<Frame>,
    seat: Option<Box<Seat>>,
    is_over: bool,
}

impl Stream {
    /// A stream of what comes after this number, which begins with `open`.
    #[must_use]
    pub fn new(hub: Hub, scope: Scope, principal: Option<Principal>, after: u64, open: Frame) -> Self {
        let ready = VecDeque::from([Frame::from_static(RETRY.as_bytes()), open]);
        Self { hub, scope, principal, after, ready, seat: None, is_over: false }
    }

    /// It ends with this.
    #[must_use]
    pub fn ending(mut self, last: Frame) -> Self {
        self.ready.push_back(last);
        self.is_over = true;
        self
    }

    /// The next piece; `None` at the end.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Some(frame);
            }
            if self.is_over {
                return None;
            }
            match &self.seat {
                None => self.read().await,
                Some(seat) => match tokio::time::timeout(HEARTBEAT, seat.follower.queue.next()).await {
                    Err(_) => return Some(comment()),
                    Ok(Item::Frame(frame)) => return Some(frame),
                    Ok(Item::End) => self.is_over = true,
                    Ok(Item::TooSlow) => {
                        self.fail("too slow: more events waited than are kept for a reader; read on from the last one")
                    }
                },
            }
        }
    }

    /// Reads on in the store; at its end, what comes is handed over.
    async fn read(&mut self) {
        let page = match self.hub.0.store.events(self.after, self.scope.clone()).await {
            Ok(page) => page,
            Err(error) => return self.fail(&error.to_string()),
        };
        let of_many = !matches!(self.scope, Scope::Task(_));
        for kept in page.events {
            if may_read(kept.permission.as_deref(), self.principal.as_ref()) {
                self.is_over |= !of_many && kept.name == DONE;
                self.ready.push_back(Event::new(kept).frame(of_many));
            }
        }
        self.after = page.seen;
        if page.more || self.is_over {
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
