//! Owns the writing of XML, in the mapping that `xml` describes.
//! Must not know what is written.

use super::{is_element_name, is_xml_char};
use crate::codec::token::{Token, Tokens, quote, unquote_lossy};
use crate::value::Json;

/// The members that RFC 9457's schema knows; its elements for them have no attributes.
const PROBLEM_MEMBERS: [&str; 5] = ["type", "title", "status", "detail", "instance"];

/// Writes a value below a root element of this name.
#[must_use]
pub fn encode(root: &str, value: &Json) -> String {
    Writer::new(value, "item").document(root, "")
}

/// Writes problem details (RFC 9457, appendix B): in their namespace, arrays as `<i>` children, and the RFC's own members
/// without attributes. Others carry ours, which its schema allows.
#[must_use]
pub fn encode_problem(problem: &Json) -> String {
    Writer::new(problem, "i").document("problem", " xmlns=\"urn:ietf:rfc:7807\"")
}

struct Writer<'a> {
    tokens: Tokens<'a>,
    out: String,
    /// The name of an array's elements.
    item: &'static str,
    /// Whether the members that are written now are a problem's own.
    bare_members: bool,
}

impl<'a> Writer<'a> {
    fn new(value: &'a Json, item: &'static str) -> Self {
        let mut out = String::with_capacity(value.as_str().len().saturating_mul(2));
        out.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        Self { tokens: Tokens::of(value.as_str()), out, item, bare_members: item == "i" }
    }

    fn document(mut self, root: &str, attributes: &str) -> String {
        self.out.push('<');
        self.out.push_str(root);
        self.out.push_str(attributes);
        if let Some(token) = self.tokens.step() {
            self.rest(root, token, false);
        }
        self.out.push('\n');
        self.out
    }

    /// Writes what follows an element's name and own attributes. Recurses as deep as values nest, which `Json` bounds.
    fn rest(&mut self, tag: &str, token: Token<'_>, is_bare: bool) {
        match token {
            Token::Object if self.tokens.at_close() => {
                self.tokens.step();
                self.kind("object");
            }
            Token::Object => {
                self.out.push('>');
                self.members();
            }
            Token::Array => {
                self.kind("array");
                self.items();
            }
            Token::Null => self.kind("null"),
            Token::Number(text) | Token::Bool(text) => {
                let kind = if matches!(token, Token::Bool(_)) { "boolean" } else { "number" };
                if is_bare {
                    self.out.push('>')
                } else {
                    self.kind(kind)
                }
                self.out.push_str(text);
            }
            Token::Text(quoted) | Token::Key(quoted) => {
                let text = unquote_lossy(quoted);
                if text.chars().all(is_xml_char) {
                    self.out.push('>');
                    self.escape(&text, false);
                } else {
                    self.out.push_str(" encoding=\"json\">");
                    self.escape(&literal(&text), false);
                }
            }
            Token::Close => self.out.push('>'),
        }
        self.out.push_str("</");
        self.out.push_str(tag);
        self.out.push('>');
    }

    fn kind(&mut self, kind: &str) {
        self.out.push_str(" type=\"");
        self.out.push_str(kind);
        self.out.push_str("\">");
    }

    fn items(&mut self) {
        let item = self.item;
        let bare = std::mem::take(&mut self.bare_members);
        while let Some(token) = self.tokens.step().filter(|token| *token != Token::Close) {
            self.out.push('<');
            self.out.push_str(item);
            self.rest(item, token, false);
        }
        self.bare_members = bare;
    }

    fn members(&mut self) {
        let bare = std::mem::take(&mut self.bare_members);
        while let Some(Token::Key(quoted)) = self.tokens.step() {
            let key = unquote_lossy(quoted);
            // `i` would make an array of a problem's member.
            let is_name = is_element_name(&key) && !(self.item == "i" && key == "i");
            let tag = if is_name { key.as_ref() } else { "entry" };
            self.out.push('<');
            self.out.push_str(tag);
            if !is_name {
                self.name(&key);
            }
            match self.tokens.step() {
                Some(token) => self.rest(tag, token, bare && PROBLEM_MEMBERS.contains(&tag)),
                None => return,
            }
        }
        self.bare_members = bare;
    }

    /// Writes a key as an attribute.
    fn name(&mut self, key: &str) {
        self.out.push_str(" name=\"");
        if key.chars().all(is_xml_char) {
            self.escape(key, true);
            self.out.push('"');
        } else {
            self.escape(&literal(key), true);
            self.out.push_str("\" name-encoding=\"json\"");
        }
    }

    /// Writes text such that no reader changes it.
    fn escape(&mut self, text: &str, in_attribute: bool) {
        for letter in text.chars() {
            match letter {
                '&' => self.out.push_str("&amp;"),
                '<' => self.out.push_str("&lt;"),
                '>' => self.out.push_str("&gt;"),
                '"' if in_attribute => self.out.push_str("&quot;"),
                '\r' => self.out.push_str("&#13;"),
                '\n' if in_attribute => self.out.push_str("&#10;"),
                '\t' if in_attribute => self.out.push_str("&#9;"),
                _ => self.out.push(letter),
            }
        }
    }
}

fn literal(text: &str) -> String {
    let mut out = String::new();
    quote(text, &mut out);
    out
}
