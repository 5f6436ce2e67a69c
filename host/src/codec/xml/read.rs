//! Owns the reading of XML bodies, by events and without recursion.
//! Must not trust anything about the body.

use super::tree::{Member, Tree};
use super::{MAX_NAME, is_name, is_xml_char};
use crate::codec::fault::{Excerpt, Fault};
use crate::codec::number;
use crate::codec::token::unquote;
use crate::value::{Json, MAX_DEPTH};
use quick_xml::XmlVersion;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesDecl, BytesRef, BytesStart, Event};
use quick_xml::reader::Reader;
use std::borrow::Cow;

/// How many elements a body may have: each takes up to 200 bytes of memory while the body is read.
pub const MAX_ELEMENTS: usize = 250_000;
/// How many attributes an element may have; three are ours, others are ignored at best.
pub const MAX_ATTRIBUTES: usize = 16;

/// Reads a body.
///
/// # Errors
/// The first fault.
pub fn decode(text: &str) -> Result<Json, Fault> {
    if let Some(at) = text.find(|letter| !is_xml_char(letter)) {
        return Err(Fault::at(text, at, "a character that XML excludes"));
    }
    let mut reader = Reader::from_str(text);
    let mut builder = Builder { text, open: Vec::new(), elements: 0, root: None };
    loop {
        let at = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
        let event = reader.read_event().map_err(|error| {
            let at = usize::try_from(reader.error_position()).unwrap_or(usize::MAX);
            Fault::at(text, at, format!("malformed XML: {}", inner_message(&error)))
        })?;
        if event == Event::Eof {
            break;
        }
        builder.take(event, at).map_err(|message| Fault::at(text, at, message))?;
    }
    if let Some(open) = builder.open.last() {
        let message = format!("malformed XML: the element {} is not closed", Excerpt(open.name));
        return Err(Fault::at(text, text.len(), message));
    }
    let root = builder.root.ok_or_else(|| Fault::at(text, text.len(), "malformed XML: no element"))?;
    let mut json = String::with_capacity(text.len());
    root.write(&mut json);
    // Repeated elements nest one level deeper than they stand, so depth has its last word here.
    Json::parse(json).map_err(|fault| Fault::at(text, 0, fault.message))
}

fn inner_message(error: &quick_xml::Error) -> String {
    match error {
        quick_xml::Error::Syntax(error) => error.to_string(),
        quick_xml::Error::IllFormed(error) => error.to_string(),
        error => error.to_string(),
    }
}

struct Builder<'a> {
    text: &'a str,
    open: Vec<Open<'a>>,
    elements: usize,
    root: Option<Tree<'a>>,
}

/// An element whose end was not reached yet.
struct Open<'a> {
    name: &'a str,
    marks: Marks,
    text: Cow<'a, str>,
    children: Vec<Member<'a>>,
}

/// What our attributes say of an element.
#[derive(Default)]
struct Marks {
    kind: Option<String>,
    key: Option<String>,
    is_json_key: bool,
    is_json: bool,
}

impl<'a> Builder<'a> {
    fn take(&mut self, event: Event<'a>, at: usize) -> Result<(), String> {
        match event {
            Event::Start(tag) => self.start(&tag, at),
            Event::Empty(tag) => {
                self.start(&tag, at)?;
                self.end()
            }
            Event::End(_) => self.end(),
            Event::Text(text) => self.append(text.xml10_content()),
            Event::CData(text) => self.append(Cow::Owned(text.xml10_content().into_owned())),
            Event::GeneralRef(reference) => self.append(resolve(&reference)?),
            Event::Decl(declaration) => check_declaration(&declaration, at),
            Event::PI(_) => Err("a processing instruction, which is not read here".into()),
            Event::DocType(_) => Err("a document type declaration, which is not read here".into()),
            Event::Comment(_) | Event::Eof => Ok(()),
        }
    }

    fn start(&mut self, tag: &BytesStart<'a>, at: usize) -> Result<(), String> {
        self.elements += 1;
        if self.elements > MAX_ELEMENTS {
            return Err(format!("more than {MAX_ELEMENTS} elements"));
        }
        // Containers nest as deep as values may, and a scalar stands in the innermost.
        if self.open.len() > MAX_DEPTH {
            return Err(format!("nested deeper than {MAX_DEPTH} levels"));
        }
        if self.open.is_empty() && self.root.is_some() {
            return Err("malformed XML: a second root element".into());
        }
        let length = tag.name().as_ref().len();
        let name = self.text.get(at + 1..at + 1 + length).unwrap_or("");
        if length > MAX_NAME {
            return Err(format!("an element's name of more than {MAX_NAME} bytes"));
        }
        if !is_name(name) {
            return Err(format!("malformed XML: {} is no name", Excerpt(name)));
        }
        if let Some(parent) = self.open.last_mut() {
            if !is_blank(&parent.text) {
                return Err(format!("text beside the element {}, which would be lost", Excerpt(name)));
            }
            parent.text = Cow::Borrowed("");
        }
        let marks = marks_of(tag)?;
        self.open.push(Open { name, marks, text: Cow::Borrowed(""), children: Vec::new() });
        Ok(())
    }

    fn append(&mut self, text: Cow<'a, str>) -> Result<(), String> {
        let Some(open) = self.open.last_mut() else {
            return if is_blank(&text) {
                Ok(())
            } else {
                Err("malformed XML: text outside of the root element".into())
            };
        };
        if open.children.is_empty() {
            if open.text.is_empty() {
                open.text = text
            } else {
                open.text.to_mut().push_str(&text)
            }
            return Ok(());
        }
        let is_lost = !is_blank(&text);
        if is_lost {
            Err(format!("text beside elements in {}, which would be lost", Excerpt(open.name)))
        } else {
            Ok(())
        }
    }

    fn end(&mut self) -> Result<(), String> {
        let Some(Open { name, marks, text, children }) = self.open.pop() else {
            return Ok(());
        };
        let key = match &marks.key {
            Some(key) if name != "entry" => {
                return Err(format!("the attribute `name` ({}) on another element than `entry`", Excerpt(key)));
            }
            Some(key) if marks.is_json_key => Cow::Owned(json_string(key)?),
            Some(key) => Cow::Owned(key.clone()),
            None => Cow::Borrowed(name),
        };
        let value = value_of(name, &marks, text, children)?;
        match self.open.last_mut() {
            Some(parent) => parent.children.push((key, value)),
            None => self.root = Some(value),
        }
        Ok(())
    }
}

/// XML's white space (§2.3).
fn is_blank(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
}

/// What a reference stands for.
fn resolve(reference: &BytesRef<'_>) -> Result<Cow<'static, str>, String> {
    match reference.resolve_char_ref() {
        Ok(Some(letter)) if is_xml_char(letter) => Ok(Cow::Owned(letter.to_string())),
        Ok(None) => {
            let unknown = || format!("the entity {}, which is not declared", Excerpt(reference));
            resolve_xml_entity(reference).map(Cow::Borrowed).ok_or_else(unknown)
        }
        Ok(Some(_)) | Err(_) => Err(format!("the reference {} to a character that XML excludes", Excerpt(reference))),
    }
}

fn check_declaration(declaration: &BytesDecl<'_>, at: usize) -> Result<(), String> {
    if at > 0 {
        return Err("malformed XML: a declaration that is not at the beginning".into());
    }
    let version = declaration.version().map_err(|error| format!("malformed XML: {error}"))?;
    if version != "1.0" {
        return Err(format!("XML {}; send XML 1.0", Excerpt(&version)));
    }
    match declaration.encoding() {
        Some(Ok(encoding)) if !["utf-8", "us-ascii"].contains(&encoding.to_ascii_lowercase().as_str()) => {
            Err(format!("the encoding {}; send UTF-8", Excerpt(&encoding)))
        }
        Some(Err(error)) => Err(format!("malformed XML: {error}")),
        _ => Ok(()),
    }
}

fn marks_of(tag: &BytesStart<'_>) -> Result<Marks, String> {
    let mut marks = Marks::default();
    // The iterator compares each attribute with all before it, so it must not run far.
    for (count, attribute) in tag.attributes().enumerate() {
        if count >= MAX_ATTRIBUTES {
            return Err(format!("more than {MAX_ATTRIBUTES} attributes"));
        }
        let attribute = attribute.map_err(|error| format!("malformed XML: {error}"))?;
        let name = attribute.key.as_ref();
        let value =
            attribute.normalized_value(XmlVersion::Explicit1_0).map_err(|error| format!("malformed XML: {error}"))?;
        if !value.chars().all(is_xml_char) {
            return Err("a reference to a character that XML excludes".into());
        }
        match (name, value.as_ref()) {
            ("type", _) => marks.kind = Some(value.into_owned()),
            ("name", _) => marks.key = Some(value.into_owned()),
            ("encoding", "json") => marks.is_json = true,
            ("name-encoding", "json") => marks.is_json_key = true,
            ("encoding" | "name-encoding", _) => return Err(format!("{name}={}; it may be `json`", Excerpt(&value))),
            ("xmlns", _) => {}
            _ if ["xmlns:", "xml:", "xsi:"].into_iter().any(|prefix| name.starts_with(prefix)) => {}
            _ => return Err(format!("the attribute {}, which would be lost; send it as an element", Excerpt(name))),
        }
    }
    Ok(marks)
}

fn value_of<'a>(name: &str, marks: &Marks, text: Cow<'a, str>, children: Vec<Member<'a>>) -> Result<Tree<'a>, String> {
    let kind = match marks.kind.as_deref() {
        Some(kind) => kind,
        None if children.is_empty() => "string",
        None => "object",
    };
    let is_container = matches!(kind, "array" | "object");
    if !is_container && !children.is_empty() {
        return Err(format!("elements in {}, whose type is {}", Excerpt(name), Excerpt(kind)));
    }
    if marks.is_json && kind != "string" {
        return Err(format!("the encoding of {}, which is no string", Excerpt(name)));
    }
    let trimmed = text.trim_matches([' ', '\t', '\n', '\r']);
    let literal = |fits: bool| match fits {
        true => Ok(Tree::Literal(Cow::Owned(trimmed.to_owned()))),
        false => Err(format!("{} in {}, whose type is {kind}", Excerpt(trimmed), Excerpt(name))),
    };
    match kind {
        "string" if marks.is_json => json_string(&text).map(|text| Tree::Text(Cow::Owned(text))),
        "string" => Ok(Tree::Text(text)),
        "number" => {
            number::check_size(trimmed)?;
            literal(number::is_json(trimmed))
        }
        "boolean" => literal(matches!(trimmed, "true" | "false")),
        "null" if trimmed.is_empty() => Ok(Tree::Literal(Cow::Borrowed("null"))),
        "array" | "object" if !trimmed.is_empty() => literal(false),
        "array" => match children.iter().find(|(name, _)| name != "item" && name != "i") {
            Some((other, _)) => Err(format!("the element {} in an array; it may be `item`", Excerpt(other))),
            None => Ok(Tree::List(children.into_iter().map(|(_, value)| value).collect())),
        },
        "object" => Ok(Tree::of_children(children)),
        "null" => literal(false),
        _ => Err(format!("the type {}; it may be string, number, boolean, null, array or object", Excerpt(kind))),
    }
}

/// A string of JSON, quotes included.
fn json_string(text: &str) -> Result<String, String> {
    let is_string = text.len() >= 2 && text.starts_with('"') && serde_json::from_str::<String>(text).is_ok();
    let string = is_string.then(|| unquote(text)).flatten();
    string.map(Cow::into_owned).ok_or_else(|| format!("{} is no JSON string", Excerpt(text)))
}
