//! Owns the reading of YAML bodies: parser events go straight into JSON text, without a tree, so that memory is bounded by
//! the body and the aliases' budget. An anchor is the range of text that its value became.
//! Must not trust anything about the body. (The configuration's reader keeps places and goes on after faults instead.)

use crate::codec::fault::{Excerpt, Fault, Place};
use crate::codec::number;
use crate::codec::scalar::{self, Scalar};
use crate::codec::token::quote;
use crate::value::{Json, MAX_DEPTH};
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};
use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// How many bytes of JSON all aliases together may stand for: a few lines of nested aliases could stand for terabytes.
pub const MAX_ALIASED: usize = 1 << 20;

/// How many indicators of `[…]` and `{…}` the parser may read between two events. It keeps the pieces of such a value, about
/// 400 bytes for each indicator, until it knows that the value is no key.
pub const MAX_AHEAD: usize = 100_000;

/// Reads a body; an empty one is `null`. A body that is JSON is read as such: it means the same, at any size.
///
/// # Errors
/// The first fault.
pub fn decode(text: &str) -> Result<Json, Fault> {
    if text.trim_start().starts_with(['{', '['])
        && let Ok(json) = crate::codec::json::decode(text)
    {
        return Ok(json);
    }
    // The parser takes NUL for the end of its input, and lets other controls pass that YAML excludes (§5.1).
    if let Some(at) = text.find(|letter| matches!(letter, '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f')) {
        return Err(Fault::at(text, at, "a control character, which must be escaped"));
    }
    let mut builder = Builder::default();
    // Events are pulled one by one: the parser's own loader recurses, so a body could overflow its stack.
    let ahead = Cell::new(0);
    let mut parser = Parser::new_from_iter(metered(text, &ahead));
    while let Some(event) = parser.next_event() {
        let place = place_of(event.as_ref().map_or_else(|error| *error.marker(), |(_, span)| span.start));
        // What the parser says of a text that was cut off is not to be believed, whether it is a fault or not.
        if ahead.replace(0) > MAX_AHEAD {
            let message = format!("a value in [] or {{}} with more than {MAX_AHEAD} indicators; write it in lines");
            return Err(Fault { place, message });
        }
        let taken = event.map_err(|error| fault_of(error.info()));
        taken.and_then(|(event, _)| builder.take(event)).map_err(|message| Fault { place, message })?;
    }
    if builder.out.is_empty() {
        builder.out.push_str("null");
    }
    Json::parse(builder.out).map_err(|fault| Fault { place: Place { line: 1, column: 1 }, message: fault.message })
}

/// The parser's words, where ours are not clearer.
fn fault_of(words: &str) -> String {
    match words {
        "recursion limit exceeded" => format!("nested deeper than {MAX_DEPTH} levels"),
        words => format!("malformed YAML: {words}"),
    }
}

/// The letters of `text`, which end when the parser has read too far ahead. Only after the first bracket does it do so.
fn metered<'t>(text: &'t str, ahead: &'t Cell<usize>) -> impl Iterator<Item = char> + 't {
    let mut in_brackets = false;
    text.chars().take_while(move |letter| {
        in_brackets |= matches!(letter, '[' | '{');
        if in_brackets && matches!(letter, '[' | ']' | '{' | '}' | ',' | ':' | '?' | '&' | '*' | '!' | '"' | '\'') {
            ahead.set(ahead.get() + 1);
        }
        ahead.get() <= MAX_AHEAD
    })
}

fn place_of(marker: Marker) -> Place {
    Place { line: marker.line().max(1), column: marker.col() + 1 }
}

/// The JSON text so far, and what is open in it.
#[derive(Default)]
struct Builder {
    out: String,
    documents: usize,
    open: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    aliased: usize,
}

/// A value that aliases may name: its text, and how many levels nest in it.
struct Anchored {
    range: Range<usize>,
    height: usize,
}

/// A list or map whose end was not reached yet.
struct Open {
    anchor: usize,
    start: usize,
    height: usize,
    content: Content,
}

enum Content {
    List,
    /// The keys so far, and whether the last one lacks its value.
    Map {
        keys: HashSet<String>,
        pending: bool,
    },
}

impl Builder {
    fn take(&mut self, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err("a second document".into());
                }
                Ok(())
            }
            Event::SequenceStart(anchor, tag) => {
                check_tag(tag.as_deref(), "seq")?;
                self.open(anchor, Content::List)
            }
            Event::MappingStart(anchor, tag) => {
                check_tag(tag.as_deref(), "map")?;
                self.open(anchor, Content::Map { keys: HashSet::new(), pending: false })
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.close();
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let scalar = scalar_of(&text, style, tag.as_deref())?;
                match self.expects_key() {
                    true if anchor > 0 => Err("an anchor on a key".into()),
                    true if style == ScalarStyle::Plain && text == "<<" && scalar == Scalar::Text => {
                        Err("merge keys (`<<`) are not read; write the members out".into())
                    }
                    true => self.key(&text),
                    false => {
                        self.scalar(&text, scalar, anchor);
                        Ok(())
                    }
                }
            }
            Event::Alias(anchor) => self.alias(anchor),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn expects_key(&self) -> bool {
        matches!(self.open.last(), Some(Open { content: Content::Map { pending: false, .. }, .. }))
    }

    /// Begins a value: whatever must stand between it and the one before it in a list. Returns where it begins.
    fn begin(&mut self) -> usize {
        if matches!(self.open.last(), Some(Open { content: Content::List, .. })) && !self.out.ends_with('[') {
            self.out.push(',');
        }
        self.out.len()
    }

    /// Ends a value.
    fn end(&mut self, start: usize, height: usize, anchor: usize) {
        if anchor > 0 {
            self.anchors.insert(anchor, Anchored { range: start..self.out.len(), height });
        }
        if let Some(open) = self.open.last_mut() {
            open.height = open.height.max(height);
            if let Content::Map { pending, .. } = &mut open.content {
                *pending = false;
            }
        }
    }

    fn open(&mut self, anchor: usize, content: Content) -> Result<(), String> {
        if self.open.len() >= MAX_DEPTH {
            return Err(format!("nested deeper than {MAX_DEPTH} levels"));
        }
        if self.expects_key() {
            return Err("a list or map as key".into());
        }
        let start = self.begin();
        self.out.push(if matches!(content, Content::List) { '[' } else { '{' });
        self.open.push(Open { anchor, start, height: 0, content });
        Ok(())
    }

    fn close(&mut self) {
        if let Some(Open { anchor, start, height, content }) = self.open.pop() {
            self.out.push(if matches!(content, Content::List) { ']' } else { '}' });
            self.end(start, height + 1, anchor);
        }
    }

    fn key(&mut self, text: &str) -> Result<(), String> {
        if let Some(Open { content: Content::Map { keys, pending }, .. }) = self.open.last_mut() {
            if !keys.insert(text.to_owned()) {
                return Err(format!("the key {} occurs twice", Excerpt(text)));
            }
            *pending = true;
            self.out.push_str(if keys.len() > 1 { "," } else { "" });
            quote(text, &mut self.out);
            self.out.push(':');
        }
        Ok(())
    }

    fn scalar(&mut self, text: &str, scalar: Scalar, anchor: usize) {
        let start = self.begin();
        match scalar {
            Scalar::Null => self.out.push_str("null"),
            Scalar::Bool(value) => self.out.push_str(if value { "true" } else { "false" }),
            Scalar::Number(digits) => self.out.push_str(&digits),
            Scalar::Text => quote(text, &mut self.out),
        }
        self.end(start, 0, anchor);
    }

    fn alias(&mut self, anchor: usize) -> Result<(), String> {
        if self.expects_key() {
            return Err("an alias as key".into());
        }
        let Some(Anchored { range, height }) = self.anchors.get(&anchor) else {
            return Err("an alias inside of what it stands for".into());
        };
        let (range, height) = (range.clone(), *height);
        self.aliased += range.len();
        if self.aliased > MAX_ALIASED {
            return Err(format!("the aliases up to here stand for more than {MAX_ALIASED} bytes"));
        }
        if self.open.len() + height > MAX_DEPTH {
            return Err(format!("nested deeper than {MAX_DEPTH} levels by this alias"));
        }
        let start = self.begin();
        self.out.extend_from_within(range);
        self.end(start, height, 0);
        Ok(())
    }
}

fn check_tag(tag: Option<&Tag>, own: &str) -> Result<(), String> {
    match tag {
        Some(tag) if !(tag.is_yaml_core_schema() && tag.suffix == own) => Err(unread_tag(tag)),
        _ => Ok(()),
    }
}

fn unread_tag(tag: &Tag) -> String {
    let handle = if tag.is_yaml_core_schema() { "!!" } else { &tag.handle };
    format!("the tag {}, which is not read here", Excerpt(&format!("{handle}{}", tag.suffix)))
}

/// What a scalar is by its style and tag, else by its text.
fn scalar_of(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Scalar, String> {
    let expected = match tag {
        None => None,
        Some(tag) if tag.handle.is_empty() && tag.suffix == "!" => Some("str"),
        Some(tag) if !tag.is_yaml_core_schema() => return Err(unread_tag(tag)),
        Some(tag) => Some(tag.suffix.as_str()),
    };
    let plain = match expected {
        Some("str") => return Ok(Scalar::Text),
        None if style != ScalarStyle::Plain => return Ok(Scalar::Text),
        _ => scalar::resolve(text),
    };
    let fits = match (expected, &plain) {
        (None, _) | (Some("null"), Scalar::Null) | (Some("bool"), Scalar::Bool(_)) => true,
        (Some("int"), Scalar::Number(digits)) => !digits.contains(['.', 'e', 'E']),
        (Some("float"), Scalar::Number(_)) => true,
        (Some("null" | "bool" | "int" | "float"), _) => false,
        (Some(_), _) => return Err(tag.map(unread_tag).unwrap_or_default()),
    };
    if !fits {
        return Err(format!("{} is no {}", Excerpt(text), expected.unwrap_or_default()));
    }
    match &plain {
        Scalar::Text if scalar::is_no_json_number(text) => return Err(format!("{text}, which JSON cannot hold")),
        Scalar::Number(digits) => number::check_size(digits)?,
        _ => {}
    }
    Ok(plain)
}
