//! Owns how typed values are taken from nodes: a map is asked for its keys one by one, and what was not asked for
//! is an unknown key. Every fault is reported once, and reading goes on.
//! Must not know which keys a configuration has.

use super::fault::{Place, Sink, did_you_mean};
use super::node::{Entry, Node, Value, excerpt};
use super::units;
use crate::value::Json;
use std::time::Duration;

/// A value and where it stood, for rules that are checked later.
#[derive(Debug, Clone, PartialEq)]
pub struct At<T> {
    /// The place.
    pub place: Place,
    /// The value.
    pub value: T,
}

/// An entry of a list whose entries may be written out or short.
pub enum Item<'a, T> {
    /// Short: a value.
    Value(At<T>),
    /// Written out.
    Map(Fields<'a>),
}

/// Reads a node's value, or says what was expected and what was found.
pub trait Read<T>: Fn(&Node) -> Result<T, String> {}
impl<T, F: Fn(&Node) -> Result<T, String>> Read<T> for F {}

/// The keys of a map.
pub struct Fields<'a> {
    sink: &'a Sink,
    /// What the map is, as faults name it: `a route`.
    what: &'static str,
    place: Place,
    entries: &'a [Entry],
    asked: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// The keys of `node`; `None` after a fault when it is no map.
    pub fn of(node: &'a Node, what: &'static str, sink: &'a Sink) -> Option<Self> {
        let entries = match &node.value {
            Value::Map(entries) => entries.as_slice(),
            Value::Faulty => return None,
            _ => {
                sink.report(node.place, format!("expected a map for {what}, found {}", node.found()));
                return None;
            }
        };
        Some(Self { sink, what, place: node.place, entries, asked: Vec::new() })
    }

    /// No keys at all.
    #[must_use]
    pub fn none(what: &'static str, place: Place, sink: &'a Sink) -> Self {
        Self { sink, what, place, entries: &[], asked: Vec::new() }
    }

    /// The node under `key`; `None` when the key is absent or nothing stands after it.
    pub fn node(&mut self, key: &'static str) -> Option<&'a Node> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
        }
        let entry = self.entries.iter().find(|entry| entry.key == key);
        entry.map(|entry| &entry.node).filter(|node| !node.is_nothing())
    }

    /// Whether something stands under `key`, faulty or not. A rule about a faulty value would be a second fault of it.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key && !entry.node.is_nothing())
    }

    /// The value under `key`; `None` when it is absent, or after a fault.
    pub fn take<T>(&mut self, key: &'static str, read: impl Read<T>) -> Option<At<T>> {
        self.node(key).and_then(|node| value_of(key, node, &read, self.sink))
    }

    /// The value under `key`, whose absence is a fault.
    pub fn require<T>(&mut self, key: &'static str, read: impl Read<T>) -> Option<At<T>> {
        let node = self.node(key);
        if node.is_none() {
            self.sink.report(self.place, format!("{} needs the key `{key}`", self.what));
        }
        node.and_then(|node| value_of(key, node, &read, self.sink))
    }

    /// The values of the list under `key`, or its only value; faulty ones are left out.
    pub fn list<T>(&mut self, key: &'static str, read: impl Read<T>) -> Option<Vec<At<T>>> {
        let node = self.node(key)?;
        let nodes = match &node.value {
            Value::List(nodes) => nodes.as_slice(),
            _ => std::slice::from_ref(node),
        };
        Some(nodes.iter().filter_map(|node| value_of(key, node, &read, self.sink)).collect())
    }

    /// The same, where an empty list is a fault.
    pub fn some<T>(&mut self, key: &'static str, read: impl Read<T>) -> Option<Vec<At<T>>> {
        if let Some(node) = self.node(key).filter(|node| node.value == Value::List(Vec::new())) {
            self.sink.report(node.place, format!("{key}: expected at least one value, found an empty list"));
        }
        self.list(key, read)
    }

    /// The maps of the list under `key`; `None` when it is absent, or after a fault when it is no list.
    pub fn maps(&mut self, key: &'static str, what: &'static str) -> Option<Vec<Self>> {
        let node = self.node(key)?;
        match &node.value {
            Value::List(nodes) => Some(nodes.iter().filter_map(|node| Self::of(node, what, self.sink)).collect()),
            Value::Faulty => None,
            _ => {
                self.sink.report(node.place, format!("{key}: expected a list, found {}", node.found()));
                None
            }
        }
    }

    /// The entries of the list under `key`, or its only one, each a map or a value; faulty ones are left out.
    pub fn items<T>(&mut self, key: &'static str, what: &'static str, read: impl Read<T>) -> Vec<Item<'a, T>> {
        let sink = self.sink;
        let Some(node) = self.node(key) else { return Vec::new() };
        let nodes = match &node.value {
            Value::List(nodes) => nodes.as_slice(),
            _ => std::slice::from_ref(node),
        };
        let item = |node: &'a Node| match node.value {
            Value::Map(_) => Self::of(node, what, sink).map(Item::Map),
            _ => value_of(key, node, &read, sink).map(Item::Value),
        };
        nodes.iter().filter_map(item).collect()
    }

    /// The map under `key`; without keys when it is absent, or after a fault when it is no map.
    pub fn section(&mut self, key: &'static str, what: &'static str) -> Self {
        let node = self.node(key);
        node.and_then(|node| Self::of(node, what, self.sink)).unwrap_or_else(|| Self::none(what, self.place, self.sink))
    }

    /// The maps under freely chosen names of the map under `key`.
    pub fn named(&mut self, key: &'static str, what: &'static str, item: &'static str) -> Vec<(At<String>, Self)> {
        let sink = self.sink;
        let Some(fields) = self.node(key).and_then(|node| Self::of(node, what, sink)) else { return Vec::new() };
        let named = fields.entries.iter().filter_map(|entry| {
            let name = At { place: entry.place, value: entry.key.clone() };
            Self::of(&entry.node, item, sink).map(|fields| (name, fields))
        });
        named.collect()
    }

    /// The values under freely chosen names of the map under `key`; faulty ones are left out.
    pub fn pairs<T>(
        &mut self,
        key: &'static str,
        what: &'static str,
        check: impl Fn(&str) -> Result<(), String>,
        read: impl Read<T>,
    ) -> Vec<(At<String>, At<T>)> {
        let sink = self.sink;
        let Some(fields) = self.node(key).and_then(|node| Self::of(node, what, sink)) else { return Vec::new() };
        let pairs = fields.entries.iter().filter_map(|entry| {
            if let Err(message) = check(&entry.key) {
                sink.report(entry.place, format!("{key}: {message}"));
                return None;
            }
            let name = At { place: entry.place, value: entry.key.clone() };
            value_of(&entry.key, &entry.node, &read, sink).map(|value| (name, value))
        });
        pairs.collect()
    }

    /// Where the map begins.
    #[must_use]
    pub fn place(&self) -> Place {
        self.place
    }

    /// Reports a fault of the map as a whole; what it is stands before the words.
    pub fn report(&self, words: &str) {
        self.sink.report(self.place, format!("{} {words}", self.what));
    }

    /// All values as JSON, by freely chosen names of at most `longest` bytes.
    #[must_use]
    pub fn values(self, longest: usize) -> Vec<(String, Json)> {
        let mut values = Vec::new();
        for entry in self.entries {
            if entry.key.is_empty() || entry.key.len() > longest {
                let found = excerpt(&entry.key);
                self.sink.report(entry.place, format!("expected a name of 1 to {longest} bytes, found `{found}`"));
            }
            match entry.node.json() {
                Ok(value) => values.push((entry.key.clone(), value)),
                Err(message) => self.sink.report(entry.node.place, message),
            }
        }
        values
    }

    /// Reports the keys that nobody asked for.
    pub fn finish(self) {
        for entry in self.entries.iter().filter(|entry| !self.asked.contains(&entry.key.as_str())) {
            let near = did_you_mean(&entry.key, self.asked.iter().copied());
            let hint = if near.is_empty() { format!("; it may have {}", self.asked.join(", ")) } else { near };
            // A hash without quotes falls apart into keys at its commas.
            let shown =
                entry.key.split_once('$').map_or_else(|| excerpt(&entry.key), |(start, _)| excerpt(start) + "…");
            self.sink.report(entry.place, format!("unknown key `{shown}` in {}{hint}", self.what));
        }
    }
}

fn value_of<T>(key: &str, node: &Node, read: &impl Read<T>, sink: &Sink) -> Option<At<T>> {
    if node.value == Value::Faulty {
        return None;
    }
    let report = |message: &String| sink.report(node.place, format!("{key}: {message}"));
    read(node).inspect_err(report).ok().map(|value| At { place: node.place, value })
}

/// `expected …, found …`.
pub fn mismatch<T>(expected: &str, node: &Node) -> Result<T, String> {
    Err(format!("expected {expected}, found {}", node.found()))
}

/// A text that is not empty.
pub fn text(node: &Node) -> Result<String, String> {
    match &node.value {
        Value::Text(text, _) if !text.is_empty() => Ok(text.clone()),
        Value::Bool(_) | Value::Number(_) => mismatch("a text", node).map_err(|message| message + "; put it in quotes"),
        _ => mismatch("a text", node),
    }
}

/// `true` or `false`.
pub fn boolean(node: &Node) -> Result<bool, String> {
    match *node.typed() {
        Value::Bool(value) => Ok(value),
        _ => mismatch("true or false", node),
    }
}

/// A whole number in a range.
pub fn whole(least: u32, most: u32) -> impl Read<u32> {
    move |node| {
        let number = match &*node.typed() {
            Value::Number(digits) => digits.parse().ok().filter(|number| (least..=most).contains(number)),
            _ => None,
        };
        number.map_or_else(|| mismatch(&format!("a whole number from {least} to {most}"), node), Ok)
    }
}

/// A duration, zero included.
pub fn duration(node: &Node) -> Result<Duration, String> {
    match &*node.typed() {
        Value::Number(text) | Value::Text(text, _) => units::duration(text),
        _ => None,
    }
    .map_or_else(|| mismatch("a duration such as 500ms, 30s, 10m, 24h or 7d", node), Ok)
}

/// A duration that is not zero.
pub fn positive(node: &Node) -> Result<Duration, String> {
    match duration(node)? {
        Duration::ZERO => mismatch("a duration of more than zero", node),
        duration => Ok(duration),
    }
}

/// A duration that is not zero, or `-1` for none.
pub fn positive_or_none(node: &Node) -> Result<Option<Duration>, String> {
    match &*node.typed() {
        Value::Number(number) if number == "-1" => Ok(None),
        _ => positive(node)
            .map(Some)
            .or_else(|_| mismatch("a duration of more than zero such as 30s, 10m or 24h, or -1 for none", node)),
    }
}

/// A size in bytes in a range.
pub fn size(least: u64, most: u64) -> impl Read<u64> {
    move |node| {
        let bytes = match &*node.typed() {
            Value::Number(text) | Value::Text(text, _) => units::size(text),
            _ => None,
        };
        let expected = || format!("a size from {} to {}", units::show_size(least), units::show_size(most));
        bytes.filter(|bytes| (least..=most).contains(bytes)).map_or_else(|| mismatch(&expected(), node), Ok)
    }
}

/// One of some words, in any case; `others` are named as possible too, but are read elsewhere.
pub fn word<T: Copy>(words: &'static [(&'static str, T)], others: &'static [&'static str]) -> impl Read<T> {
    move |node| {
        let found = match &node.value {
            Value::Text(text, _) => text.as_str(),
            _ => "",
        };
        let names = || words.iter().map(|(name, _)| *name);
        let expected: Vec<_> = names().chain(others.iter().copied()).collect();
        let known = words.iter().find(|(name, _)| name.eq_ignore_ascii_case(found));
        known.map(|(_, value)| *value).ok_or_else(|| {
            let (last, first) = expected.split_last().unwrap_or((&"", &[]));
            let near = did_you_mean(found, names());
            format!("expected {} or {last}, found {}{near}", first.join(", "), node.found())
        })
    }
}

/// A map of any values.
pub fn object(node: &Node) -> Result<Json, String> {
    match node.value {
        Value::Map(_) => node.json(),
        _ => mismatch("a map", node),
    }
}
