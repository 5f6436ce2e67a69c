//! Owns a task's captured log: a ring of the newest lines, bounded in bytes, with a marker for what was dropped.
//! Must not know where lines come from or who reads them.

use crate::clock::Timestamp;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::VecDeque;

/// The most bytes of a text of a guest's that is kept elsewhere, such as a failure's message.
const MAX_TEXT: usize = 8 * 1024;
const OVERHEAD: usize = 64;

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Finest detail.
    Trace,
    /// For developers.
    Debug,
    /// The course of things.
    Info,
    /// Odd, but no failure.
    Warn,
    /// A failure.
    Error,
}

impl Level {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, level)| *level == self).map_or("", |(name, _)| name)
    }

    /// All levels by name.
    pub const NAMES: [(&str, Self); 5] = [
        ("trace", Self::Trace),
        ("debug", Self::Debug),
        ("info", Self::Info),
        ("warn", Self::Warn),
        ("error", Self::Error),
    ];
}

/// What is kept of a task's lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogRules {
    /// The most bytes of all lines together; the newest line stays in any case.
    pub bytes: usize,
    /// The most bytes of one line; the rest of a longer line is cut.
    pub line: usize,
    /// The lowest level that is kept.
    pub level: Level,
    /// The lowest level, of those kept, that the host's own log gets as well.
    pub forward: Option<Level>,
}

impl LogRules {
    /// The most bytes of one line that any rules may allow.
    pub const LONGEST_LINE: usize = 64 * 1024;
}

impl Default for LogRules {
    fn default() -> Self {
        Self { bytes: 64 * 1024, line: 8 * 1024, level: Level::Trace, forward: Some(Level::Warn) }
    }
}

/// One line of a task's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Its number in the task's log, from 1; given by the log.
    pub seq: u64,
    /// When it was written.
    pub at: Timestamp,
    /// How much it matters.
    pub level: Level,
    /// Its text.
    pub message: String,
    /// Named values beside the text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<(String, String)>,
}

impl Line {
    /// A line, cut so that it and its fields have at most `longest` bytes.
    #[must_use]
    pub fn new(at: Timestamp, level: Level, message: String, fields: Vec<(String, String)>, longest: usize) -> Self {
        let message = cut(message, longest);
        let mut room = longest.saturating_sub(message.len());
        let one_line = |text: String| cut(text, longest).replace('\n', "\u{fffd}");
        let fields = fields.into_iter().map(|(name, value)| (one_line(name), one_line(value)));
        let fits = |(name, value): &(String, String)| {
            let size = name.len() + value.len() + OVERHEAD;
            let enough = size <= room;
            room = room.saturating_sub(size);
            enough
        };
        Self { seq: 0, at, level, message, fields: fields.take_while(fits).collect() }
    }

    /// A guest's text, cut to some length and without control characters that could drive a reader's terminal.
    #[must_use]
    pub fn cut(text: String) -> String {
        cut(text, MAX_TEXT)
    }

    fn size(&self) -> usize {
        let fields: usize = self.fields.iter().map(|(name, value)| name.len() + value.len() + OVERHEAD).sum();
        OVERHEAD + self.message.len() + fields
    }
}

fn cut(mut text: String, longest: usize) -> String {
    if text.len() > longest {
        let end = (0..=longest).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    // Byte by byte first, several times as fast: those above ASCII begin with 0xC2, as some harmless ones do.
    let suspicious = |byte: &u8| (*byte < b' ' && !matches!(byte, b'\n' | b'\t')) || matches!(byte, 0x7f | 0xc2);
    if text.as_bytes().iter().any(suspicious) {
        text = text.replace(|c: char| c.is_control() && !matches!(c, '\n' | '\t'), "\u{fffd}");
    }
    text
}

/// The newest lines of one task.
#[derive(Debug)]
pub struct LogBuffer {
    most: usize,
    lines: VecDeque<Line>,
    bytes: usize,
}

impl LogBuffer {
    /// An empty one that keeps at most so many bytes.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most, lines: VecDeque::new(), bytes: 0 }
    }

    /// A log that goes on from what [`Self::to_json_lines`] wrote.
    #[must_use]
    pub fn from_json_lines(most: usize, text: &str) -> Self {
        let mut log = Self::new(most);
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).for_each(|line| log.restore(line));
        log
    }

    /// Adds a line of before under the number that it has, unless that is there.
    pub fn restore(&mut self, line: Line) {
        if line.seq > self.last() {
            self.add(line);
        }
    }

    /// Adds a line and drops the oldest ones that no longer fit; answers it as it stands there.
    pub fn push(&mut self, line: Line) -> &Line {
        let seq = self.last() + 1;
        self.add(Line { seq, ..line })
    }

    fn add(&mut self, line: Line) -> &Line {
        self.bytes += line.size();
        while self.bytes > self.most
            && let Some(oldest) = self.lines.pop_front()
        {
            self.bytes -= oldest.size();
        }
        self.lines.push_back_mut(line)
    }

    /// The number of the newest line; 0 without any.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.lines.back().map_or(0, |line| line.seq)
    }

    /// The lines, oldest first, after a marker of how many were dropped.
    pub fn lines(&self) -> impl Iterator<Item = Cow<'_, Line>> {
        let marker = self.lines.front().filter(|first| first.seq > 1).map(|first| Line {
            seq: first.seq - 1,
            at: first.at,
            level: Level::Warn,
            message: format!("{} earlier lines were dropped", first.seq - 1),
            fields: Vec::new(),
        });
        marker.map(Cow::Owned).into_iter().chain(self.lines.iter().map(Cow::Borrowed))
    }

    /// One JSON object a line.
    #[must_use]
    pub fn to_json_lines(&self) -> String {
        let mut text = Vec::with_capacity(self.bytes);
        for line in self.lines() {
            // Neither a map with strange keys nor a writer that may fail.
            drop(serde_json::to_writer(&mut text, &*line));
            text.push(b'\n');
        }
        String::from_utf8(text).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: usize = 1000;
    const BYTES: usize = 20_000;

    fn line(message: &str) -> Line {
        Line::new(Timestamp(0), Level::Info, message.into(), Vec::new(), LINE)
    }

    #[test]
    fn a_flood_keeps_the_newest_and_says_how_many_are_gone() {
        let mut log = LogBuffer::new(BYTES);
        for number in 0..100_000 {
            log.push(line(&format!("line {number}")));
        }
        let lines: Vec<Line> = log.lines().map(Cow::into_owned).collect();
        let kept = lines.len() - 1;
        assert_eq!(lines[0].message, format!("{} earlier lines were dropped", 100_000 - kept));
        assert_eq!((lines[kept].message.as_str(), lines[kept].seq), ("line 99999", 100_000));
        assert!(lines.windows(2).all(|pair| pair[0].seq + 1 == pair[1].seq), "no number is missing or twice");
        assert!(log.to_json_lines().len() < 2 * BYTES + 4096);
    }

    #[test]
    fn the_newest_line_stays_even_where_it_is_too_long() {
        let mut log = LogBuffer::new(LINE);
        for _ in 0..3 {
            log.push(line(&"x".repeat(2 * LINE)));
        }
        let lines: Vec<Line> = log.lines().map(Cow::into_owned).collect();
        assert_eq!((lines.len(), lines[1].seq), (2, 3), "the marker and the last one");
    }

    #[test]
    fn a_log_goes_on_after_a_restart() {
        let mut log = LogBuffer::new(BYTES);
        for number in 0..5000 {
            log.push(line(&format!("line {number}")));
        }
        let mut restored = LogBuffer::from_json_lines(BYTES, &log.to_json_lines());
        assert_eq!(restored.push(line("after")).seq, 5001);
        let seqs: Vec<u64> = restored.lines().map(|line| line.seq).collect();
        assert!(seqs.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{seqs:?}");
    }

    #[test]
    fn long_lines_are_cut_at_a_character() {
        let cut = line(&"ä".repeat(LINE));
        assert!(cut.message.ends_with("ä…") && cut.message.len() <= LINE + '…'.len_utf8());
        assert_eq!(line("a\u{1b}[2J\tb\n").message, "a\u{fffd}[2J\tb\n");
        assert_eq!(line("\0\u{7f}\u{80}\u{9f}\u{a0}§é").message, "\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{a0}§é");
        let fields = vec![("k".to_owned(), "v".repeat(LINE)), ("k2".to_owned(), String::new())];
        assert!(Line::new(Timestamp(0), Level::Info, String::new(), fields, LINE).fields.is_empty());
        let fields = vec![("a\u{1b}".to_owned(), "b\nc\u{9b}".to_owned())];
        let clean = Line::new(Timestamp(0), Level::Info, String::new(), fields, LINE).fields;
        assert_eq!(clean, [("a\u{fffd}".to_owned(), "b\u{fffd}c\u{fffd}".to_owned())]);
    }
}
