//! Owns which of a task's lines go to this host's own log as well, and that a flood of them does not.
//! Must not know who wrote a line, or where the host's log goes.

use crate::clock::Timestamp;
use crate::ids::TaskId;
use crate::route::Route;
use crate::task::log::{Level, Line};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use std::sync::{Arc, Mutex, PoisonError};

/// How many lines a task may forward at once, and how many each second after that.
const OF_TASK: (f64, f64) = (20.0, 10.0);
/// The same of all tasks of a route together.
const OF_ROUTE: (f64, f64) = (200.0, 100.0);

/// What one task forwards.
pub struct Forward {
    task: TaskId,
    route: Arc<str>,
    least: Option<Level>,
    room: Mutex<Room>,
    of_route: Arc<RouteRoom>,
}

/// How many more lines all tasks of a route may forward.
pub struct RouteRoom(Mutex<Room>);

impl Default for RouteRoom {
    fn default() -> Self {
        Self(Mutex::new(Room::of(OF_ROUTE)))
    }
}

/// How many more lines may go, and how many did not.
struct Room {
    limit: (f64, f64),
    lines: f64,
    at: Option<Timestamp>,
    left_out: u64,
}

/// What becomes of a line.
#[derive(Debug, PartialEq)]
enum Fate {
    /// It goes, after a word about so many that did not.
    Goes(u64),
    LeftOut,
}

impl Room {
    fn of(limit: (f64, f64)) -> Self {
        Self { limit, lines: limit.0, at: None, left_out: 0 }
    }

    fn take(&mut self, now: Timestamp) -> Fate {
        let passed = self.at.map_or(0.0, |at| now.remaining(at).as_secs_f64());
        // A clock that was set back gives no room, and takes none.
        self.at = Some(self.at.map_or(now, |at| at.max(now)));
        let (burst, per_second) = self.limit;
        self.lines = (self.lines + passed * per_second).min(burst);
        if self.lines < 1.0 {
            self.left_out += 1;
            return Fate::LeftOut;
        }
        self.lines -= 1.0;
        Fate::Goes(std::mem::take(&mut self.left_out))
    }
}

impl Forward {
    /// What this task of this route forwards.
    pub fn new(task: TaskId, route: &Route, of_route: Arc<RouteRoom>) -> Self {
        let room = Mutex::new(Room::of(OF_TASK));
        Self { task, route: Arc::clone(&route.name), least: route.logs.forward, room, of_route }
    }

    /// Forwards a line if it matters enough and there is room.
    pub fn line(&self, line: &Line) {
        if self.least.is_none_or(|least| line.level < least) {
            return;
        }
        // Written after the lock is released: whoever reads the log may be slow.
        let fate = self.room.lock().unwrap_or_else(PoisonError::into_inner).take(line.at);
        let Fate::Goes(left_out) = fate else { return };
        self.note(left_out);
        match self.of_route.0.lock().unwrap_or_else(PoisonError::into_inner).take(line.at) {
            Fate::LeftOut => {}
            Fate::Goes(0) => self.write(line),
            Fate::Goes(left_out) => {
                tracing::warn!(target: "guest", route = %self.route, left_out, "lines of this route are left out here: too many");
                self.write(line);
            }
        }
    }

    fn write(&self, line: &Line) {
        let (task, route) = (&self.task, &self.route);
        let fields =
            (!line.fields.is_empty()).then(|| serde_json::to_string(&Fields(&line.fields)).unwrap_or_default());
        // What a guest breaks is indented, so that it cannot pass for a line of the host's.
        let message = line.message.trim_end_matches('\n').replace('\n', "\n    ");
        macro_rules! write {
            ($level:ident) => {
                tracing::event!(
                    target: "guest",
                    tracing::Level::$level,
                    from = "guest",
                    %task,
                    %route,
                    fields,
                    "{message}"
                )
            };
        }
        match line.level {
            Level::Trace => write!(TRACE),
            Level::Debug => write!(DEBUG),
            Level::Info => write!(INFO),
            Level::Warn => write!(WARN),
            Level::Error => write!(ERROR),
        }
    }

    fn note(&self, left_out: u64) {
        if left_out > 0 {
            let (task, route) = (&self.task, &self.route);
            tracing::warn!(target: "guest", %task, %route, left_out, "lines of this task are left out here: too many");
        }
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        let room = self.room.get_mut().unwrap_or_else(PoisonError::into_inner);
        let left_out = std::mem::take(&mut room.left_out);
        self.note(left_out);
    }
}

/// Fields as a JSON object; a name that occurs twice is there twice.
struct Fields<'a>(&'a [(String, String)]);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_flood_passes_as_a_burst_and_then_at_its_rate() {
        let mut room = Room::of(OF_TASK);
        let start = Timestamp(1_000_000_000);
        let mut flood = |from: u64, millis: u64| {
            let at = |milli| start.after(Duration::from_millis(milli));
            (from..from + millis)
                .map(|milli| room.take(at(milli)))
                .filter(|fate| *fate != Fate::LeftOut)
                .collect::<Vec<_>>()
        };
        let first = flood(0, 1000);
        assert!((29..=30).contains(&first.len()), "{first:?}");
        assert_eq!(first[..20], [const { Fate::Goes(0) }; 20]);
        assert!(first[20..].iter().all(|fate| matches!(fate, Fate::Goes(70..=101))), "{first:?}");
        // After a quiet time there is room for a burst again, and no more.
        assert!((29..=30).contains(&flood(3_600_000, 1000).len()));
        assert_eq!(flood(0, 1000), [], "a clock that goes back");
    }
}
