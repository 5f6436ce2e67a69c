//! Owns what one task has said since its followers were last told: merged, in order, and bounded whatever a guest does.
//! Must not know followers, locks or the store.

use crate::task::event::TaskEvent;
use crate::task::log::{Level, Line};
use crate::value::Json;
use std::collections::VecDeque;

/// The most events of a guest's own that wait; it waits with one more.
const MAX_EVENTS: usize = 256;
/// The most bytes of them.
const MAX_BYTES: usize = 256 * 1024;
/// The most log lines that wait, and their bytes; further ones are counted.
const MAX_LINES: usize = 100;
const MAX_LINE_BYTES: usize = 64 * 1024;
/// How many events of a task are kept for those who resume, and their bytes.
const KEPT_EVENTS: usize = 4096;
const KEPT_BYTES: usize = 1024 * 1024;

/// See the module.
#[derive(Debug, Default)]
pub struct Backlog {
    waiting: Vec<TaskEvent>,
    /// How many of them are the guest's own, and their bytes.
    own: (usize, usize),
    /// How many of them are log lines, and their bytes.
    lines: (usize, usize),
    /// How many lines were left out since, and the last of them.
    left_out: Option<(u64, Line)>,
    /// The progress that was told last.
    shown: f64,
    /// The sizes of the events that the store has, oldest first.
    kept: VecDeque<u32>,
    kept_bytes: usize,
}

impl Backlog {
    /// Of a task whose followers know of this progress, and of which events of these sizes are kept.
    pub fn after(progress: Option<f64>, kept: &[usize]) -> Self {
        let mut backlog = Self { shown: progress.unwrap_or(0.0), ..Self::default() };
        kept.iter().for_each(|size| backlog.keep(*size));
        backlog
    }

    /// The task has got this far.
    pub fn progress(&mut self, percent: Option<f64>) {
        if let Some(percent) = percent.filter(|percent| *percent > self.shown) {
            self.shown = percent;
            self.say_left_out();
            self.waiting.push(TaskEvent::progress(percent));
        }
    }

    /// The task's log has a new line.
    pub fn log(&mut self, line: &Line) {
        if self.lines.0 >= MAX_LINES || self.lines.1 >= MAX_LINE_BYTES {
            let count = self.left_out.as_ref().map_or(0, |(count, _)| *count);
            let marker = Line { message: String::new(), fields: Vec::new(), level: Level::Warn, ..*line };
            self.left_out = Some((count + 1, marker));
            return;
        }
        let event = TaskEvent::log(line);
        self.lines = (self.lines.0 + 1, self.lines.1 + event.size());
        self.waiting.push(event);
    }

    /// Whether another event of the guest's own may come.
    pub fn has_room(&self) -> bool {
        self.own.0 < MAX_EVENTS && self.own.1 < MAX_BYTES
    }

    /// The guest has sent an event; without room it is dropped.
    pub fn event(&mut self, name: String, data: Json) {
        if self.has_room() {
            self.say_left_out();
            let event = TaskEvent::custom(name, data);
            self.own = (self.own.0 + 1, self.own.1 + event.size());
            self.waiting.push(event);
        }
    }

    /// What waits, for the store.
    pub fn take(&mut self) -> Vec<TaskEvent> {
        self.say_left_out();
        (self.own, self.lines) = Default::default();
        let taken = std::mem::take(&mut self.waiting);
        taken.iter().for_each(|event| self.keep(event.size()));
        taken
    }

    fn keep(&mut self, size: usize) {
        self.kept_bytes += size;
        self.kept.push_back(u32::try_from(size).unwrap_or(u32::MAX));
    }

    /// A line in the place of those that were left out.
    fn say_left_out(&mut self) {
        if let Some((count, mut line)) = self.left_out.take() {
            line.message = format!("{count} lines were left out here; the task's log has the newest");
            self.waiting.push(TaskEvent::log(&line));
        }
    }

    /// How many events of the task the store shall keep, once there are too many. Some are let go at once rather than
    /// one with each new one.
    pub fn trim(&mut self) -> Option<u32> {
        if self.kept.len() <= KEPT_EVENTS + KEPT_EVENTS / 4 && self.kept_bytes <= KEPT_BYTES + KEPT_BYTES / 4 {
            return None;
        }
        while (self.kept.len() > KEPT_EVENTS || self.kept_bytes > KEPT_BYTES)
            && self.kept.len() > 1
            && let Some(oldest) = self.kept.pop_front()
        {
            self.kept_bytes -= oldest as usize;
        }
        u32::try_from(self.kept.len()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn line(seq: u64) -> Line {
        Line { seq, ..Line::new(Timestamp(0), Level::Info, format!("line {seq}"), Vec::new(), 1024) }
    }

    fn told(backlog: &mut Backlog) -> Vec<(String, String)> {
        backlog.take().iter().map(|event| (event.name.to_string(), event.data.as_str().to_owned())).collect()
    }

    #[test]
    fn order_is_kept_and_progress_is_told_once() {
        let mut backlog = Backlog::after(Some(10.0), &[]);
        backlog.progress(Some(10.0));
        backlog.progress(Some(40.0));
        backlog.event("half".into(), Json::null());
        backlog.progress(Some(40.0));
        backlog.progress(Some(12.0));
        backlog.progress(Some(50.5));
        let pairs = told(&mut backlog);
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, data)| (name.as_str(), data.as_str())).collect();
        assert_eq!(pairs, [("progress", "40"), ("half", "null"), ("progress", "50.5")]);
        assert!(told(&mut backlog).is_empty());
    }

    #[test]
    fn a_flood_of_lines_is_cut_and_says_so() {
        let mut backlog = Backlog::default();
        (1..=100_000).for_each(|seq| backlog.log(&line(seq)));
        let pairs = told(&mut backlog);
        assert_eq!(pairs.len(), MAX_LINES + 1);
        let last = &pairs.last().expect("a marker").1;
        assert!(last.contains("99900 lines were left out") && last.contains("\"seq\":100000"), "{last}");
        backlog.log(&line(100_001));
        assert_eq!(told(&mut backlog).len(), 1);
    }

    #[test]
    fn a_flood_of_events_has_to_wait() {
        let mut backlog = Backlog::default();
        let large = Json::from_serialize(&"x".repeat(60 * 1024)).expect("JSON");
        (0..100).for_each(|_| backlog.event("e".into(), large.clone()));
        assert!(!backlog.has_room());
        assert_eq!(backlog.take().len(), 5);
        assert!(backlog.has_room());
    }

    #[test]
    fn only_the_newest_are_kept() {
        let mut backlog = Backlog::default();
        let mut kept = 0;
        for round in 0..200 {
            (0..50).for_each(|_| backlog.event("e".into(), Json::null()));
            let (taken, keep) = (backlog.take(), backlog.trim());
            kept += taken.len();
            assert!(kept <= KEPT_EVENTS + KEPT_EVENTS / 4 + 50, "round {round}");
            kept = keep.map_or(kept, |keep| keep as usize);
        }
        assert!(kept >= KEPT_EVENTS / 2, "{kept}");
    }
}
