//! Owns what a follower has been told and has not read yet: bounded, and over once it is full.
//! Must not know what it holds.

use super::Frame;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// The most events that wait for a reader.
const MAX_FRAMES: usize = 1024;
/// With more bytes than these waiting, none is added: a reader that is there is not cut off for one large event.
const MAX_BYTES: usize = 1024 * 1024;

/// What comes out of a queue.
#[derive(Debug, PartialEq, Eq)]
pub enum Item {
    /// The next event.
    Frame(Frame),
    /// Nothing more will come.
    End,
    /// Nothing more will come, because too much was waiting.
    TooSlow,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Queue(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    frames: VecDeque<Frame>,
    bytes: usize,
    ended: Option<bool>,
    reader: Option<Waker>,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event. `false`: there is no room, and the queue has ended.
    pub fn push(&self, frame: Frame) -> bool {
        let mut state = self.state();
        let fits = state.frames.is_empty() || (state.frames.len() < MAX_FRAMES && state.bytes <= MAX_BYTES);
        if !fits {
            drop(state);
            self.end(true);
            return false;
        }
        if state.ended.is_none() {
            state.bytes += frame.len();
            state.frames.push_back(frame);
        }
        let reader = state.reader.take();
        drop(state);
        reader.into_iter().for_each(Waker::wake);
        true
    }

    /// Whether nothing more comes.
    pub fn is_over(&self) -> bool {
        self.state().ended.is_some()
    }

    /// Nothing more comes after what is in it.
    pub fn end(&self, too_slow: bool) {
        let mut state = self.state();
        state.ended.get_or_insert(too_slow);
        let reader = state.reader.take();
        drop(state);
        reader.into_iter().for_each(Waker::wake);
    }

    /// The next event, waiting for it. For one reader.
    pub async fn next(&self) -> Item {
        poll_fn(|context| {
            let mut state = self.state();
            if let Some(frame) = state.frames.pop_front() {
                state.bytes -= frame.len();
                return Poll::Ready(Item::Frame(frame));
            }
            match state.ended {
                Some(true) => Poll::Ready(Item::TooSlow),
                Some(false) => Poll::Ready(Item::End),
                None => {
                    state.reader = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}
