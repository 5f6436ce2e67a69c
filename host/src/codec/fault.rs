//! Owns what is wrong with a body, and where.
//! Must not know any format's rules.

use super::Incoming;
use std::fmt;

/// Why a body cannot be read. Its `Display` is one line for the client: `line 2, column 8: …`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct DecodeFault {
    /// What the body was read as.
    pub incoming: Incoming,
    /// Line of the fault, from 1.
    pub line: usize,
    /// Column of the fault in characters, from 1.
    pub column: usize,
    /// What is wrong, without the position.
    pub message: String,
}

/// A place in a text; both count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Place {
    /// The place of the byte at `offset`; the end of the text when it is beyond.
    #[must_use]
    pub fn of(text: &str, offset: usize) -> Self {
        let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
        let lines = before.split(|byte| *byte == b'\n');
        let last = lines.clone().next_back().unwrap_or_default();
        Self { line: lines.count(), column: String::from_utf8_lossy(last).chars().count() + 1 }
    }

    /// The place at a line and a column that counts bytes, both from 1, as `serde_json` tells them.
    #[must_use]
    pub fn of_byte_column(text: &str, line: usize, column: usize) -> Self {
        let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
        Self { line, ..Self::of(text, start + column.saturating_sub(1)) }
    }
}

/// A fault of one format's reader.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub place: Place,
    /// What.
    pub message: String,
}

impl Fault {
    /// A fault at a byte of the text.
    pub fn at(text: &str, offset: usize, message: impl Into<String>) -> Self {
        Self { place: Place::of(text, offset), message: message.into() }
    }

    /// As the client sees it.
    #[must_use]
    pub fn of(self, incoming: Incoming) -> DecodeFault {
        DecodeFault { incoming, line: self.place.line, column: self.place.column, message: self.message }
    }
}

/// The body as text, or where it stops being UTF-8. A byte order mark is not part of it.
///
/// # Errors
/// A [`Fault`] at the first byte that is not UTF-8.
pub fn text_of(bytes: &[u8]) -> Result<&str, Fault> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let good = std::str::from_utf8(good).unwrap_or_default();
        Fault::at(good, good.len(), "the bytes are not UTF-8")
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// The beginning of a text in backquotes, in one line.
#[derive(Debug, Clone, Copy)]
pub struct Excerpt<'a>(pub &'a str);

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 60;
        formatter.write_str("`")?;
        for letter in self.0.chars().take(MOST) {
            match letter.is_control() {
                true => write!(formatter, "{}", letter.escape_default())?,
                false => write!(formatter, "{letter}")?,
            }
        }
        formatter.write_str(if self.0.chars().nth(MOST).is_some() { "…`" } else { "`" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters() {
        let text = "é\nàb\n";
        let places = [(0, (1, 1)), (2, (1, 2)), (3, (2, 1)), (5, (2, 2)), (7, (3, 1)), (99, (3, 1))];
        for (offset, (line, column)) in places {
            assert_eq!(Place::of(text, offset), Place { line, column }, "{offset}");
        }
        assert_eq!(Place::of_byte_column(text, 2, 3), Place { line: 2, column: 2 });
        assert_eq!(Place::of_byte_column(text, 9, 9), Place { line: 9, column: 1 });
    }

    #[test]
    fn the_first_bad_byte_is_named() {
        let fault = text_of(b"{\n \"\xc3\xa9a\": \"\xff\"").expect_err("no UTF-8");
        assert_eq!(fault.place, Place { line: 2, column: 9 });
        assert_eq!(text_of(b"\xef\xbb\xbf1"), Ok("1"));
    }

    #[test]
    fn excerpts_are_short_and_in_one_line() {
        assert_eq!(Excerpt("a\nb").to_string(), "`a\\nb`");
        assert_eq!(Excerpt(&"x".repeat(1000)).to_string(), format!("`{}…`", "x".repeat(60)));
    }
}
