//! Owns the writing of YAML that YAML 1.2 and 1.1 read alike: whatever a version could take for something else than a
//! string stands in quotes, escaped as JSON escapes it, and numbers with an exponent are spelled out.
//! Must not know what is written. (`serde_yaml` loses the digits of large numbers and leaves `1:20` without quotes.)

use crate::codec::token::{Token, Tokens, quote, unquote_lossy};
use crate::value::Json;

/// Below this depth values stand in one line, as in JSON: indentation would cost more than what it indents.
const BLOCK_DEPTH: usize = 8;
/// YAML 1.1 reads no longer keys than 1,024 characters without a `?`.
const SHORT_KEY: usize = 1_000;

/// Writes a value as one document.
#[must_use]
pub fn encode(value: &Json) -> String {
    let mut writer = Writer { tokens: Tokens::of(value.as_str()), out: String::with_capacity(value.as_str().len()) };
    if let Some(token) = writer.tokens.step() {
        writer.value(token, 0, Position::Start);
    }
    writer.out.push('\n');
    writer.out
}

/// Where a value begins.
#[derive(Clone, Copy, PartialEq)]
enum Position {
    /// Where a list or map may begin at once: at the start, or after `- `.
    Start,
    /// After `key:` or `? …:`, where a list or map begins in the next line, and a scalar after a blank.
    AfterColon,
}

struct Writer<'a> {
    tokens: Tokens<'a>,
    out: String,
}

impl Writer<'_> {
    /// Writes one value; `depth` is that of a list or map which would begin here.
    fn value(&mut self, token: Token<'_>, depth: usize, position: Position) {
        let is_block = matches!(token, Token::Object | Token::Array) && depth < BLOCK_DEPTH && !self.tokens.at_close();
        if position == Position::AfterColon {
            if is_block { self.line(depth) } else { self.out.push(' ') }
        }
        match token {
            Token::Object if is_block => self.block_map(depth),
            Token::Array if is_block => self.block_list(depth),
            _ => self.flow(token),
        }
    }

    fn line(&mut self, depth: usize) {
        self.out.push('\n');
        self.out.extend(std::iter::repeat_n("  ", depth));
    }

    fn block_list(&mut self, depth: usize) {
        let mut first = true;
        while let Some(token) = self.tokens.step().filter(|token| *token != Token::Close) {
            if !std::mem::take(&mut first) {
                self.line(depth);
            }
            self.out.push_str("- ");
            self.value(token, depth + 1, Position::Start);
        }
    }

    fn block_map(&mut self, depth: usize) {
        let mut first = true;
        while let Some(Token::Key(key)) = self.tokens.step() {
            if !std::mem::take(&mut first) {
                self.line(depth);
            }
            if self.key(key) {
                self.line(depth);
            }
            self.out.push(':');
            match self.tokens.step() {
                Some(token) => self.value(token, depth + 1, Position::AfterColon),
                None => return,
            }
        }
    }

    /// Writes a key, and returns whether it is a long one, with a `?` before it.
    fn key(&mut self, quoted: &str) -> bool {
        let start = self.out.len();
        self.text(quoted);
        let is_long = self.out.len() - start > SHORT_KEY;
        if is_long {
            self.out.insert_str(start, "? ");
        }
        is_long
    }

    /// Writes a value in one line.
    fn flow(&mut self, token: Token<'_>) {
        match token {
            Token::Array => {
                self.out.push('[');
                let mut first = true;
                while let Some(token) = self.tokens.step().filter(|token| *token != Token::Close) {
                    self.out.push_str(if std::mem::take(&mut first) { "" } else { ", " });
                    self.flow(token);
                }
                self.out.push(']');
            }
            Token::Object => {
                self.out.push('{');
                let mut first = true;
                while let Some(Token::Key(key)) = self.tokens.step() {
                    self.out.push_str(if std::mem::take(&mut first) { "" } else { ", " });
                    let is_long = self.key(key);
                    self.out.push_str(if is_long { " : " } else { ": " });
                    match self.tokens.step() {
                        Some(token) => self.flow(token),
                        None => return,
                    }
                }
                self.out.push('}');
            }
            Token::Text(quoted) | Token::Key(quoted) => self.text(quoted),
            Token::Number(digits) => self.number(digits),
            Token::Bool(word) => self.out.push_str(word),
            Token::Null => self.out.push_str("null"),
            Token::Close => {}
        }
    }

    fn text(&mut self, quoted: &str) {
        let text = unquote_lossy(quoted);
        if is_plain(&text) { self.out.push_str(&text) } else { quote(&text, &mut self.out) }
    }

    /// YAML 1.1 takes `1e5` for a string; `1.0e+5` is the same number to all.
    fn number(&mut self, digits: &str) {
        let Some((mantissa, exponent)) = digits.split_once(['e', 'E']) else {
            return self.out.push_str(digits);
        };
        self.out.push_str(mantissa);
        self.out.push_str(if mantissa.contains('.') { "e" } else { ".0e" });
        self.out.push_str(if exponent.starts_with(['+', '-']) { "" } else { "+" });
        self.out.push_str(exponent);
    }
}

/// Whether a string needs no quotes in any version of YAML: words of letters that begin with one and mean nothing else.
fn is_plain(text: &str) -> bool {
    const MEANINGS: [&str; 9] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    text.len() <= 100
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" _-./".contains(&byte))
        && !text.ends_with(' ')
        && !MEANINGS.iter().any(|meaning| meaning.eq_ignore_ascii_case(text))
}
