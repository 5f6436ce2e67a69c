//! Owns values as JSON text, within a bound. Must not read any.

use super::{EXACT, Shape, Typed};
use crate::value::Json;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::fmt::Write;

/// The text would be longer than it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it has more than {0} bytes as JSON")]
pub struct TooLarge(pub usize);

impl Shape {
    /// A value of this type as JSON of at most `limit` bytes.
    ///
    /// # Errors
    /// [`TooLarge`], as soon as that is plain.
    pub fn write(&self, value: &Typed, limit: usize) -> Result<Json, TooLarge> {
        let mut out = Text { text: String::new(), limit };
        out.value(self, value)?;
        if out.text.len() > limit {
            return Err(TooLarge(limit));
        }
        // What is written here is JSON: this cannot fail.
        Ok(Json::parse(out.text).unwrap_or_else(|_| Json::null()))
    }
}

struct Text {
    text: String,
    limit: usize,
}

impl Text {
    /// At each value: the text outgrows the limit by one value at most, and that is as large as it is in memory.
    fn value(&mut self, shape: &Shape, value: &Typed) -> Result<(), TooLarge> {
        if self.text.len() > self.limit {
            return Err(TooLarge(self.limit));
        }
        match (shape, value) {
            (_, Typed::Bool(true)) => self.text.push_str("true"),
            (_, Typed::Bool(false)) => self.text.push_str("false"),
            (_, Typed::Integer(number)) => self.integer(*number),
            (_, Typed::Float(number)) => self.float(shape, *number),
            (_, Typed::Char(one)) => self.quoted(one.encode_utf8(&mut [0; 4])),
            (_, Typed::Text(text)) => self.quoted(text),
            (_, Typed::Bytes(bytes)) => {
                self.text.push('"');
                BASE64_STANDARD.encode_string(bytes, &mut self.text);
                self.text.push('"');
            }
            (Shape::Record(fields), Typed::Items(items)) => {
                for (position, ((name, shape), item)) in fields.iter().zip(items).enumerate() {
                    self.text.push(if position > 0 { ',' } else { '{' });
                    self.member(name, shape, item)?;
                }
                self.text.push_str(if fields.is_empty() { "{}" } else { "}" });
            }
            (Shape::List(shape), Typed::Items(items)) => self.items(items.iter().map(|item| (shape.as_ref(), item)))?,
            (Shape::Tuple(shapes), Typed::Items(items)) => self.items(shapes.iter().zip(items))?,
            (Shape::Option(shape), Typed::Option(Some(some))) => self.value(shape, some)?,
            (_, Typed::Case(position, carried)) => self.case(shape, *position, carried.as_deref())?,
            (Shape::Flags(names), Typed::Flags(set)) => {
                self.text.push('[');
                for (nth, name) in set.iter().filter_map(|position| names.get(*position)).enumerate() {
                    self.text.push_str(if nth > 0 { "," } else { "" });
                    self.quoted(name);
                }
                self.text.push(']');
            }
            _ => self.text.push_str("null"),
        }
        Ok(())
    }

    fn items<'a>(&mut self, items: impl Iterator<Item = (&'a Shape, &'a Typed)>) -> Result<(), TooLarge> {
        self.text.push('[');
        for (position, (shape, item)) in items.enumerate() {
            self.text.push_str(if position > 0 { "," } else { "" });
            self.value(shape, item)?;
        }
        self.text.push(']');
        Ok(())
    }

    fn member(&mut self, name: &str, shape: &Shape, value: &Typed) -> Result<(), TooLarge> {
        self.quoted(name);
        self.text.push(':');
        self.value(shape, value)
    }

    fn case(&mut self, shape: &Shape, position: usize, carried: Option<&Typed>) -> Result<(), TooLarge> {
        let (name, payload) = shape.case(position).unwrap_or_default();
        match (payload, carried) {
            (Some(payload), Some(carried)) => {
                self.text.push('{');
                self.member(name, payload, carried)?;
                self.text.push('}');
            }
            _ if matches!(shape, Shape::Result(..)) => {
                self.text.push('{');
                self.quoted(name);
                self.text.push_str(":null}");
            }
            _ => self.quoted(name),
        }
        Ok(())
    }

    fn integer(&mut self, number: i128) {
        let mark = if number.abs() > EXACT { "\"" } else { "" };
        // Into a string: never fails.
        let _ = write!(self.text, "{mark}{number}{mark}");
    }

    /// The shortest digits that give the same number again.
    #[allow(clippy::cast_possible_truncation)]
    fn float(&mut self, shape: &Shape, number: f64) {
        let digits = match shape {
            _ if number.is_nan() => Ok("\"NaN\"".to_owned()),
            _ if number.is_infinite() => Ok(if number > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" }.to_owned()),
            Shape::Float32 => serde_json::to_string(&(number as f32)),
            _ => serde_json::to_string(&number),
        };
        self.text.push_str(digits.as_deref().unwrap_or("null"));
    }

    fn quoted(&mut self, text: &str) {
        quote(text, &mut self.text);
    }
}

/// A JSON string (RFC 8259 §7).
fn quote(text: &str, out: &mut String) {
    out.push('"');
    let mut plain = 0;
    for (position, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(text.get(plain..position).unwrap_or_default());
        plain = position + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            control => drop(write!(out, "\\u{control:04x}")),
        }
    }
    out.push_str(text.get(plain..).unwrap_or_default());
    out.push('"');
}
