//! Owns the walk over a text that is known to be JSON, piece by piece and without a tree, so that numbers keep their
//! digits and no size of value costs more than its text.
//! Must not be used on texts that were not checked.

use std::borrow::Cow;

/// A piece of a JSON text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token<'a> {
    /// `{`
    Object,
    /// `[`
    Array,
    /// `}` or `]`
    Close,
    /// A member's name, with its quotes.
    Key(&'a str),
    /// A string, with its quotes.
    Text(&'a str),
    /// A number.
    Number(&'a str),
    /// `true` or `false`.
    Bool(&'a str),
    /// `null`
    Null,
}

/// The pieces of a JSON text, each with the offset at which it stands.
#[derive(Debug)]
pub struct Tokens<'a> {
    text: &'a str,
    at: usize,
    /// The containers that are open: `true` for an object.
    open: Vec<bool>,
    key_next: bool,
}

impl<'a> Tokens<'a> {
    /// The pieces of `text`, which must be JSON.
    #[must_use]
    pub fn of(text: &'a str) -> Self {
        Self { text, at: 0, open: Vec::new(), key_next: false }
    }

    /// The next piece without its offset.
    pub fn step(&mut self) -> Option<Token<'a>> {
        self.next().map(|(_, token)| token)
    }

    /// Whether the container that was just opened closes at once, without taking a piece.
    #[must_use]
    pub fn at_close(&self) -> bool {
        let rest = self.text.get(self.at..).unwrap_or("");
        rest.trim_start_matches([' ', '\t', '\n', '\r']).starts_with(['}', ']'])
    }

    /// The length of the string that begins at `start`, quotes included.
    fn string_end(&self, start: usize) -> usize {
        let bytes = self.text.as_bytes().get(start + 1..).unwrap_or_default();
        let mut escaped = false;
        let end = bytes.iter().position(|byte| {
            let ends = *byte == b'"' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            ends
        });
        end.map_or(self.text.len(), |end| start + end + 2)
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = (usize, Token<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(self.at)? {
                b' ' | b'\t' | b'\n' | b'\r' | b':' => {}
                b',' => self.key_next = self.open.last() == Some(&true),
                _ => break,
            }
            self.at += 1;
        }
        let start = self.at;
        let first = bytes.get(start)?;
        self.at = match first {
            b'"' => self.string_end(start),
            b'{' | b'[' | b'}' | b']' => start + 1,
            _ => {
                let rest = bytes.get(start..).unwrap_or_default();
                let end =
                    rest.iter().position(|byte| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r'));
                end.map_or(bytes.len(), |end| start + end)
            }
        };
        let piece = self.text.get(start..self.at).unwrap_or("");
        let token = match first {
            b'{' | b'[' => {
                let is_object = *first == b'{';
                self.open.push(is_object);
                self.key_next = is_object;
                if is_object { Token::Object } else { Token::Array }
            }
            b'}' | b']' => {
                self.open.pop();
                self.key_next = false;
                Token::Close
            }
            b'"' if self.key_next => {
                self.key_next = false;
                Token::Key(piece)
            }
            b'"' => Token::Text(piece),
            b'n' => Token::Null,
            b't' | b'f' => Token::Bool(piece),
            _ => Token::Number(piece),
        };
        Some((start, token))
    }
}

/// What a string stands for; `None` when it holds half of a surrogate pair, which is no character.
#[must_use]
pub fn unquote(quoted: &str) -> Option<Cow<'_, str>> {
    if quoted.contains('\\') {
        return serde_json::from_str(quoted).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(quoted.trim_start_matches('"').trim_end_matches('"')))
}

/// What a string stands for, with U+FFFD for half surrogate pairs.
#[must_use]
pub fn unquote_lossy(quoted: &str) -> Cow<'_, str> {
    unquote(quoted).or_else(|| serde_json::from_str(&without_halves(quoted)).ok().map(Cow::Owned)).unwrap_or_default()
}

/// The string with `\ufffd` in the place of each half surrogate pair.
fn without_halves(quoted: &str) -> String {
    let mut out = String::with_capacity(quoted.len());
    let mut rest = quoted;
    while let Some(at) = rest.find('\\') {
        out.push_str(rest.get(..at).unwrap_or(""));
        rest = rest.get(at..).unwrap_or("");
        let unit = |at: usize| rest.get(at..at + 2).filter(|start| *start == "\\u").and(hex(rest, at + 2));
        let (kept, length) = match (unit(0), unit(6)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => (true, 12),
            (Some(0xD800..=0xDFFF), _) => (false, 6),
            (Some(_), _) => (true, 6),
            (None, _) => (true, 2),
        };
        out.push_str(if kept { rest.get(..length).unwrap_or("") } else { "\\ufffd" });
        rest = rest.get(length..).unwrap_or("");
    }
    out + rest
}

fn hex(text: &str, at: usize) -> Option<u16> {
    u16::from_str_radix(text.get(at..at + 4)?, 16).ok()
}

/// Writes a string of JSON in which everything outside of ASCII letters' neighbourhood that some reader trips over is
/// escaped: controls, line separators, byte order marks and non-characters. Readable to JSON, and to YAML of any version.
pub fn quote(text: &str, out: &mut String) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(letter)))
            }
            _ => out.push(letter),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_pieces_are_found() {
        let text = " {\"a\" : [1.50, \"x\\\"]\", true ],\"b\":{\"c\":null},\"d\":[]} ";
        let tokens: Vec<_> = Tokens::of(text).collect();
        let pieces = [
            (1, Token::Object),
            (2, Token::Key("\"a\"")),
            (8, Token::Array),
            (9, Token::Number("1.50")),
            (15, Token::Text("\"x\\\"]\"")),
            (23, Token::Bool("true")),
            (28, Token::Close),
        ];
        assert_eq!(tokens.get(..7), Some(pieces.as_slice()));
        assert_eq!(tokens.len(), 16);
    }

    #[test]
    fn empty_containers_are_seen_ahead() {
        let mut tokens = Tokens::of("[ [ ], 1]");
        tokens.next();
        assert!(!tokens.at_close());
        tokens.next();
        assert!(tokens.at_close());
    }

    #[test]
    fn halves_of_surrogate_pairs_are_no_characters() {
        assert_eq!(unquote(r#""\ud83d\ude00\u00e9""#).as_deref(), Some("😀é"));
        assert_eq!(unquote(r#""\ud83d""#), None);
        assert_eq!(unquote_lossy(r#""a\ud83dx\\ud83d\ude00\ud83d\ude00\"""#), "a\u{fffd}x\\ud83d\u{fffd}😀\"");
        assert_eq!(unquote_lossy(r#""plain""#), "plain");
    }

    proptest::proptest! {
        #[test]
        fn what_is_quoted_is_unquoted(text: String) {
            let mut quoted = String::new();
            quote(&text, &mut quoted);
            assert_eq!(unquote(&quoted).as_deref(), Some(text.as_str()));
        }
    }
}
