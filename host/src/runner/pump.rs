//! Owns when what running tasks say is stored: at once when little is said, and in rounds when much is.
//! Must not know what is said, or who is told.

use super::Runner;
use super::drive::TRIES_WHILE_DRAINING;
use super::live::Live;
use crate::ids::TaskId;
use crate::store::Note;
use crate::task::event::TaskEvent;
use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, OwnedMutexGuard};

/// The pause between two rounds. What a guest says in between is merged.
const PAUSE: Duration = Duration::from_millis(100);
/// A round takes no further task beyond so many bytes, so that floods leave the store its time for others.
const ROUND_BYTES: usize = 1024 * 1024;
/// Nor beyond so many events.
const ROUND_EVENTS: usize = 1024;
/// The pause after the store failed.
const FAILED_PAUSE: Duration = Duration::from_millis(500);

/// Which tasks have said something.
#[derive(Debug, Default)]
pub struct Pump {
    marked: Mutex<Vec<TaskId>>,
    woken: Notify,
}

impl Pump {
    /// This task has said something; asked for once a round.
    pub fn mark(&self, id: TaskId) {
        self.marked.lock().unwrap_or_else(PoisonError::into_inner).push(id);
        self.woken.notify_one();
    }

    fn take(&self) -> Vec<TaskId> {
        std::mem::take(&mut *self.marked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Tasks that wait for a round, the one that has waited longest first.
#[derive(Default)]
struct Watched {
    order: VecDeque<Arc<Live>>,
    known: HashSet<TaskId>,
}

impl Watched {
    fn add(&mut self, live: Arc<Live>) {
        if self.known.insert(live.id().clone()) {
            self.order.push_back(live);
        }
    }

    fn next(&mut self) -> Option<Arc<Live>> {
        let live = self.order.pop_front()?;
        self.known.remove(live.id());
        Some(live)
    }
}

impl Runner {
    /// Stores what running tasks say, until the host has drained.
    pub async fn pump(self) {
        let mut watched = Watched::default();
        loop {
            let pump = &self.0.pump;
            let next_round = async {
                match watched.order.is_empty() {
                    true => pump.woken.notified().await,
                    false => tokio::time::sleep(PAUSE).await,
                }
            };
            tokio::select! {
                biased;
                () = self.0.drained.cancelled() => return,
                () = next_round => {}
            }
            pump.take().iter().filter_map(|id| self.0.board.find(id)).for_each(|live| watched.add(live));
            self.round(&mut watched).await;
            // A lone report goes out at once, and so does the next one after a pause.
            if watched.order.is_empty() {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn round(&self, watched: &mut Watched) {
        let now = self.0.options.clock.now();
        let (mut notes, mut told, mut bytes, mut events) = (Vec::new(), Vec::new(), 0, 0);
        for _ in 0..watched.order.len() {
            if bytes >= ROUND_BYTES || events >= ROUND_EVENTS {
                break;
            }
            let Some(live) = watched.next() else { break };
            let Ok(turn) = Arc::clone(&live.turn).try_lock_owned() else {
                // Whoever holds it tells what there is, but perhaps not what comes.
                watched.add(live);
                continue;
            };
            if let Some(note) = live.note(now) {
                events += note.events.len();
                bytes += note.events.iter().map(TaskEvent::size).sum::<usize>();
                bytes += note.log.as_ref().map_or(0, String::len);
                notes.push(note);
                told.push((Arc::clone(&live), turn));
            }
            if live.has_more(now) {
                watched.add(live);
            }
        }
        if !notes.is_empty() {
            self.store_notes(notes, told).await;
        }
    }

    /// Asks the store until it takes them: what is said is not lost, and nobody says more meanwhile than there is room for.
    async fn store_notes(&self, notes: Vec<Note>, told: Vec<(Arc<Live>, OwnedMutexGuard<()>)>) {
        let mut tries_left = TRIES_WHILE_DRAINING;
        while let Err(error) = self.0.options.store.note(notes.clone()).await {
            tracing::error!(tasks = notes.len(), "what tasks say could not be stored, asking again: {error}");
            tries_left -= u32::from(self.is_draining());
            if tries_left == 0 {
                break;
            }
            tokio::time::sleep(FAILED_PAUSE).await;
        }
        for (live, _turn) in told {
            live.room.notify_waiters();
        }
    }
}
