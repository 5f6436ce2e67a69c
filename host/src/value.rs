//! Owns `Json`, the one form in which values cross Sandpool: JSON text that is known to be valid.
//! Must not know where a value comes from or goes to (HTTP, guests, the store).

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use std::fmt;
use std::sync::Arc;

/// How deep arrays and objects may nest in any value (RFC 8259 §9 lets an implementation set this limit).
/// It keeps every recursive reader behind us, guests included, clear of its stack's end.
pub const MAX_DEPTH: usize = 128;

/// A JSON text (RFC 8259), checked when it was made and cheap to clone. Numbers keep their digits.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Json(Arc<RawValue>);

/// Why a text is no JSON that we take: where (both from 1) and what.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct JsonFault {
    /// Line of the fault, from 1.
    pub line: usize,
    /// Column of the fault in bytes, from 1.
    pub column: usize,
    /// What is wrong, without the position.
    pub message: String,
}

/// Reads a member that may be `null`, which is another thing than none (`deserialize_with`, beside `default`).
///
/// # Errors
/// When it is no such value.
pub fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

impl Json {
    /// Takes a text that must be exactly one JSON value nested at most [`MAX_DEPTH`] deep.
    ///
    /// # Errors
    /// A [`JsonFault`] with the position of the first fault.
    pub fn parse(text: String) -> Result<Self, JsonFault> {
        check_depth(&text)?;
        match RawValue::from_string(text) {
            Ok(raw) => Ok(Self(raw.into())),
            Err(error) => Err(fault_of(&error)),
        }
    }

    /// The JSON text of a value that serializes to JSON.
    ///
    /// # Errors
    /// What the value's `Serialize` reports, for example a map whose keys are no strings.
    pub fn from_serialize<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::value::to_raw_value(value).map(|raw| Self(raw.into()))
    }

    /// `null`.
    #[must_use]
    pub fn null() -> Self {
        Self(RawValue::NULL.to_owned().into())
    }

    /// An object of named values, in the order given.
    #[must_use]
    pub fn object<'a>(entries: impl IntoIterator<Item = (&'a str, &'a Json)>) -> Self {
        let mut text = String::from("{");
        for (position, (name, value)) in entries.into_iter().enumerate() {
            if position > 0 {
                text.push(',');
            }
            text.push_str(&serde_json::Value::from(name).to_string());
            text.push(':');
            text.push_str(value.as_str());
        }
        text.push('}');
        RawValue::from_string(text).map_or_else(|_| Self::null(), |raw| Self(raw.into()))
    }

    /// The JSON text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.get()
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The position and text of a `serde_json` fault, without the position that its own text repeats.
#[must_use]
pub fn fault_of(error: &serde_json::Error) -> JsonFault {
    let text = error.to_string();
    let message = text.split(" at line ").next().unwrap_or(&text).to_owned();
    JsonFault { line: error.line().max(1), column: error.column().max(1), message }
}

fn check_depth(text: &str) -> Result<(), JsonFault> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    let (mut line, mut line_start) = (1, 0);
    for (position, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > MAX_DEPTH {
                    let message = format!("nested deeper than {MAX_DEPTH} levels");
                    return Err(JsonFault { line, column: position - line_start + 1, message });
                }
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            b'\n' => (line, line_start) = (line + 1, position + 1),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_have_line_and_column() {
        let fault = Json::parse("{\n  \"a\": }".into()).expect_err("no value");
        assert_eq!((fault.line, fault.column), (2, 8));
        assert!(!fault.message.contains("line"), "{fault}");
    }

    #[test]
    fn depth_is_bounded_and_strings_do_not_count() {
        assert!(Json::parse("[".repeat(128) + &"]".repeat(128)).is_ok());
        let fault = Json::parse("[".repeat(129) + &"]".repeat(129)).expect_err("too deep");
        assert_eq!((fault.line, fault.column), (1, 129));
        assert!(Json::parse(format!("\"{}\\\"\"", "[".repeat(500))).is_ok());
    }

    #[test]
    fn numbers_keep_their_digits() {
        let text = "[12345678901234567890123,0.10]";
        assert_eq!(Json::parse(text.into()).expect("valid").as_str(), text);
    }

    #[test]
    fn objects_are_composed_of_values() {
        let one = Json::parse("1".into()).expect("valid");
        let object = Json::object([("a\"b", &one), ("n", &Json::null())]);
        assert_eq!(object.as_str(), r#"{"a\"b":1,"n":null}"#);
    }
}
