//! Owns the one tree into which every file format is read, with the place of each key and value.
//! Must not know any file format, nor what a configuration may hold.

use super::fault::{Place, Sink};
use crate::codec::scalar::{self, Scalar};
use crate::value::Json;
use std::borrow::Cow;
use std::collections::HashMap;

/// How deep a configuration may nest: what [`Json`] takes, so that every value in it can become one.
pub const MAX_DEPTH: usize = crate::value::MAX_DEPTH;

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it begins.
    pub place: Place,
    /// What it is.
    pub value: Value,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// Something that was reported as a fault already: no reader says more about it.
    Faulty,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as JSON writes it, with the digits that it had in the file.
    Number(String),
    /// A text.
    Text(String, Origin),
    /// Values in order.
    List(Vec<Node>),
    /// Values by key, in the file's order; no key occurs twice.
    Map(Vec<Entry>),
}

/// How a text came about, which decides whether it may also be read as a number or a boolean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It stands in the file without quotes, and reads as nothing but a text.
    Plain,
    /// It stands in quotes.
    Quoted,
    /// It is the whole value of a variable that stood without quotes: it is what it would be in its place.
    PlainVariable,
    /// The same, in quotes (JSON and TOML have no other way): a text, unless a number or a boolean is expected.
    QuotedVariable,
    /// It holds the value of a variable among other text: a text.
    WithVariable,
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key begins.
    pub place: Place,
    /// The value.
    pub node: Node,
}

impl Value {
    /// What a text is that stands without quotes.
    #[must_use]
    pub fn of_plain(text: &str) -> Self {
        match scalar::resolve(text) {
            Scalar::Null => Self::Null,
            Scalar::Bool(value) => Self::Bool(value),
            Scalar::Number(digits) => Self::Number(digits),
            Scalar::Text => Self::Text(text.into(), Origin::Plain),
        }
    }
}

impl Node {
    /// Whether it is exactly this text.
    #[must_use]
    pub fn is_text(&self, text: &str) -> bool {
        matches!(&self.value, Value::Text(found, _) if found == text)
    }

    /// The value where something else than a text is expected: variables are what their text reads as.
    #[must_use]
    pub fn typed(&self) -> Cow<'_, Value> {
        match &self.value {
            Value::Text(text, Origin::PlainVariable | Origin::QuotedVariable) => Cow::Owned(Value::of_plain(text)),
            value => Cow::Borrowed(value),
        }
    }

    /// Whether nothing stands here, as after a key whose lines are all commented out.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        match &self.value {
            Value::Text(_, Origin::PlainVariable) => *self.typed() == Value::Null,
            value => *value == Value::Null,
        }
    }

    /// The value in the words of a fault: `the number 5`. What a variable or a URL may hold for few eyes only is not
    /// shown: faults end up in logs.
    #[must_use]
    pub fn found(&self) -> String {
        match &self.value {
            Value::Null | Value::Faulty => "nothing".into(),
            Value::Bool(value) => format!("`{value}`"),
            Value::Number(digits) => format!("the number {}", excerpt(digits)),
            Value::Text(_, Origin::PlainVariable | Origin::QuotedVariable) => "the value of a variable".into(),
            Value::Text(_, Origin::WithVariable) => "a text with the value of a variable".into(),
            Value::Text(text, _) if text.contains("://") && text.contains('@') => "a URL with a user name".into(),
            Value::Text(text, _) => format!("the text `{}`", excerpt(text)),
            Value::List(_) => "a list".into(),
            Value::Map(_) => "a map".into(),
        }
    }

    /// What kind of value it is, for faults of values that are secret.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null | Value::Faulty => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::Text(..) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// The value as JSON.
    ///
    /// # Errors
    /// None as long as readers keep to [`MAX_DEPTH`]; a text that says what is wrong otherwise.
    pub fn json(&self) -> Result<Json, String> {
        let mut text = String::new();
        write_json(self, &mut text);
        Json::parse(text).map_err(|fault| fault.message)
    }

    /// How many values it holds, itself included, and how deep they nest.
    #[must_use]
    pub fn extent(&self) -> (usize, usize) {
        let sum = |(count, depth), node: &Self| {
            let (more, deeper) = node.extent();
            (count + more, deeper.max(depth))
        };
        let (count, depth) = match &self.value {
            Value::List(nodes) => nodes.iter().fold((0, 0), sum),
            Value::Map(entries) => entries.iter().map(|entry| &entry.node).fold((0, 0), sum),
            _ => return (1, 0),
        };
        (count + 1, depth + 1)
    }
}

/// The beginning of a text, in one line.
#[must_use]
pub fn excerpt(text: &str) -> String {
    const MOST: usize = 60;
    let rest = if text.chars().count() > MOST { "…" } else { "" };
    let shown: String = text.chars().take(MOST).collect();
    let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    shown.chars().map(escaped).collect::<String>() + rest
}

fn write_json(node: &Node, out: &mut String) {
    let write_text = |text: &str, out: &mut String| out.push_str(&serde_json::Value::from(text).to_string());
    match &node.value {
        Value::Text(_, Origin::PlainVariable) => {
            write_json(&Node { place: node.place, value: node.typed().into_owned() }, out);
        }
        Value::Null | Value::Faulty => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(digits) => out.push_str(digits),
        Value::Text(text, _) => write_text(text, out),
        Value::List(nodes) => {
            out.push('[');
            for (position, node) in nodes.iter().enumerate() {
                out.push_str(if position > 0 { "," } else { "" });
                write_json(node, out);
            }
            out.push(']');
        }
        Value::Map(entries) => {
            out.push('{');
            for (position, entry) in entries.iter().enumerate() {
                out.push_str(if position > 0 { "," } else { "" });
                write_text(&entry.key, out);
                out.push(':');
                write_json(&entry.node, out);
            }
            out.push('}');
        }
    }
}

/// Reports keys that occur twice and keeps the first of each.
#[must_use]
pub fn without_duplicates(entries: Vec<Entry>, sink: &Sink) -> Vec<Entry> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut kept = Vec::new();
    for entry in entries {
        match seen.get(&entry.key) {
            Some(line) => {
                sink.report(entry.place, format!("the key `{}` stands in line {line} already", excerpt(&entry.key)));
            }
            None => {
                seen.insert(entry.key.clone(), entry.place.line);
                kept.push(entry);
            }
        }
    }
    kept
}

/// Finds the place of a byte of a text.
#[derive(Debug)]
pub struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    /// The lines of `text`.
    #[must_use]
    pub fn of(text: &'a str) -> Self {
        let after_breaks =
            text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(position, _)| position + 1);
        Self { text, starts: std::iter::once(0).chain(after_breaks).collect() }
    }

    /// The place of the byte at `offset`.
    #[must_use]
    pub fn place(&self, offset: usize) -> Place {
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let before = self.text.as_bytes().get(start..offset.min(self.text.len())).unwrap_or_default();
        Place { line, column: String::from_utf8_lossy(before).chars().count() + 1 }
    }

    /// The place at a line and a column that counts bytes, both from 1.
    #[must_use]
    pub fn place_of_byte_column(&self, line: usize, column: usize) -> Place {
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or(self.text.len());
        Place { line, ..self.place(start + column.saturating_sub(1)) }
    }
}
