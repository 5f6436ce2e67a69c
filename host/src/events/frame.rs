//! Owns how an event is written into a stream (WHATWG HTML §9.2, server-sent events).
//! Must not know who reads it.

use crate::store::KeptEvent;
use crate::task::event::{DONE, STATE};
use bytes::Bytes;
use std::fmt::Write;
use std::sync::OnceLock;

/// A piece of a stream; clones share its bytes.
pub type Frame = Bytes;

/// A kept event, written once for all who get it.
pub struct Event {
    /// The event.
    pub kept: KeptEvent,
    alone: OnceLock<Frame>,
    among: OnceLock<Frame>,
}

impl Event {
    /// An event that has not been written yet.
    pub fn new(kept: KeptEvent) -> Self {
        Self { kept, alone: OnceLock::new(), among: OnceLock::new() }
    }

    /// The event for a stream of one task, or of many: there it says whose it is.
    pub fn frame(&self, of_many: bool) -> Frame {
        let KeptEvent { seq, task, name, data, .. } = &self.kept;
        let says_whose = name == STATE || name == DONE;
        if of_many && !says_whose {
            let whose = || format!("{{\"Id\":\"{task}\",\"Data\":{}}}", data.as_str());
            self.among.get_or_init(|| frame(Some(*seq), name, &whose())).clone()
        } else {
            self.alone.get_or_init(|| frame(Some(*seq), name, data.as_str())).clone()
        }
    }
}

/// An event with this name and data. A reader that comes again tells the number that it had last.
#[must_use]
pub fn frame(seq: Option<u64>, name: &str, data: &str) -> Frame {
    let mut text = String::with_capacity(data.len() + name.len() + 48);
    if let Some(seq) = seq {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "id: {seq}");
    }
    let _ = writeln!(text, "event: {name}");
    // A line ends with LF, CR or both; JSON has such only between values.
    for line in data.split(['\n', '\r']) {
        let _ = writeln!(text, "data: {line}");
    }
    text.push('\n');
    text.into()
}

/// A comment, which readers pass over.
#[must_use]
pub fn comment() -> Frame {
    Bytes::from_static(b":\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::TaskId;
    use crate::value::Json;

    #[test]
    fn lines_of_data_stay_data() {
        assert_eq!(frame(Some(7), "x", "[1,\r\n2]"), "id: 7\nevent: x\ndata: [1,\ndata: \ndata: 2]\n\n");
        assert_eq!(frame(None, "x", "1"), "event: x\ndata: 1\n\n");
    }

    #[test]
    fn among_many_an_event_says_whose_it_is() {
        let kept = |name: &str, data: &str| KeptEvent {
            seq: 3,
            task: TaskId::parse("t1").expect("an id"),
            route: "r".into(),
            group: None,
            permission: None,
            name: name.into(),
            data: Json::parse(data.into()).expect("JSON"),
        };
        let progress = Event::new(kept("progress", "40"));
        assert_eq!(progress.frame(false), "id: 3\nevent: progress\ndata: 40\n\n");
        assert_eq!(progress.frame(true), "id: 3\nevent: progress\ndata: {\"Id\":\"t1\",\"Data\":40}\n\n");
        let done = Event::new(kept("done", r#"{"Id":"t1"}"#));
        assert_eq!(done.frame(true), done.frame(false));
    }
}
