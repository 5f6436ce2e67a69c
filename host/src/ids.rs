//! Owns task ids: what one may look like, and the built-in ways to make them.
//! Must not know tasks or guests.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// The longest id, in bytes: it stands in URLs and headers.
pub const MAX_LENGTH: usize = 128;

/// A task's id: 1 to [`MAX_LENGTH`] unreserved URI characters (RFC 3986 §2.3), so that it needs no escaping anywhere.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct TaskId(Arc<str>);

/// Why a text can be no task id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdFault {
    /// Nothing at all.
    #[error("a task id must not be empty")]
    Empty,
    /// Longer than [`MAX_LENGTH`].
    #[error("a task id has at most {MAX_LENGTH} characters, this one has {0} bytes")]
    TooLong(usize),
    /// A character that would need escaping.
    #[error("a task id holds letters, digits, '-', '.', '_' and '~' only, this one holds {0:?}")]
    Character(char),
}

impl TaskId {
    /// Checks a text that is meant to be a task id.
    ///
    /// # Errors
    /// [`IdFault`] says which rule it breaks.
    pub fn parse(text: &str) -> Result<Self, IdFault> {
        if text.is_empty() {
            return Err(IdFault::Empty);
        }
        if text.len() > MAX_LENGTH {
            return Err(IdFault::TooLong(text.len()));
        }
        let unreserved = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~');
        match text.chars().find(|c| !unreserved(c)) {
            Some(other) => Err(IdFault::Character(other)),
            // "." and ".." vanish from URL paths (RFC 3986 §5.2.4).
            None if text == "." || text == ".." => Err(IdFault::Character('.')),
            None => Ok(Self(text.into())),
        }
    }

    /// How much of a text that is no id is shown back.
    pub const MAX_SHOWN: usize = MAX_LENGTH;

    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl TryFrom<String> for TaskId {
    type Error = IdFault;
    fn try_from(text: String) -> Result<Self, IdFault> {
        Self::parse(&text)
    }
}

/// The built-in id generators of a route's `id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IdScheme {
    /// Random UUID (RFC 9562 version 4), the default.
    #[default]
    Uuid,
    /// Time-ordered UUID (RFC 9562 version 7).
    Uuid7,
    /// ULID: 26 characters, time-ordered (github.com/ulid/spec).
    Ulid,
    /// Nano ID: 21 URL-safe characters.
    Nanoid,
}

impl IdScheme {
    /// The names that a configuration may use.
    pub const NAMES: [(&'static str, Self); 4] =
        [("uuid", Self::Uuid), ("uuid7", Self::Uuid7), ("ulid", Self::Ulid), ("nanoid", Self::Nanoid)];

    /// A new id.
    #[must_use]
    pub fn generate(self) -> TaskId {
        TaskId(match self {
            Self::Uuid => uuid::Uuid::new_v4().to_string().into(),
            Self::Uuid7 => uuid::Uuid::now_v7().to_string().into(),
            Self::Ulid => ulid::Ulid::generate().to_string().into(),
            Self::Nanoid => nanoid::nanoid!().into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scheme_makes_valid_distinct_ids() {
        for (name, scheme) in IdScheme::NAMES {
            let (one, other) = (scheme.generate(), scheme.generate());
            assert_ne!(one, other, "{name}");
            assert_eq!(TaskId::parse(one.as_str()).as_ref(), Ok(&one), "{name}");
        }
    }

    #[test]
    fn hostile_ids_are_named() {
        assert_eq!(TaskId::parse(""), Err(IdFault::Empty));
        assert_eq!(TaskId::parse(&"x".repeat(129)), Err(IdFault::TooLong(129)));
        assert_eq!(TaskId::parse("a/b"), Err(IdFault::Character('/')));
        assert_eq!(TaskId::parse(".."), Err(IdFault::Character('.')));
        assert_eq!(TaskId::parse("a\u{0}b"), Err(IdFault::Character('\0')));
    }
}
