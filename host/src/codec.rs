//! Owns the forms in which values cross HTTP: JSON, XML, YAML and forms in, JSON, XML and YAML out, and the choice
//! between them. Whatever comes in becomes the one form of values, [`Json`]; work and memory are linear in a body's length.
//! Must not know requests, answers, or what a value is for.

pub mod fault;
pub mod form;
#[cfg(test)]
mod hostile_tests;
pub mod json;
pub mod negotiate;
pub mod number;
pub mod scalar;
#[cfg(test)]
mod tests;
pub mod token;
pub mod xml;
pub mod yaml;

pub use fault::DecodeFault;
pub use negotiate::{Answer, accepts, negotiate, negotiate_problem, prefers_text};

use crate::value::Json;
use serde::Serialize;
use std::fmt;

/// A format of bodies in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// RFC 8259.
    Json,
    /// XML 1.0, in the mapping of [`xml`].
    Xml,
    /// YAML 1.2, in the mapping of [`yaml`].
    Yaml,
}

/// A format of requests' bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Incoming {
    /// One that is also answered in.
    Format(Format),
    /// A form.
    Form,
}

/// Why a body is not read, whatever is in it (415).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnreadType {
    /// Its media type.
    #[error(
        "bodies of type `{0}` are not read here; send application/json, application/xml, application/yaml or application/x-www-form-urlencoded"
    )]
    Type(String),
    /// Its character set.
    #[error("bodies in `{0}` are not read here; send UTF-8")]
    Charset(String),
}

impl Format {
    /// The registered media type: of bodies, and the one to answer with.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Xml => "application/xml",
            // RFC 9512
            Self::Yaml => "application/yaml",
        }
    }

    /// The media type of problem details. RFC 9457 registers those of JSON and XML; that of YAML is built alike, with the
    /// suffix that RFC 9512 registers, so that a client can tell an error from a value in YAML, too.
    #[must_use]
    pub const fn problem_type(self) -> &'static str {
        match self {
            Self::Json => "application/problem+json",
            Self::Xml => "application/problem+xml",
            Self::Yaml => "application/problem+yaml",
        }
    }

    /// Other names that are understood: RFC 7303's for XML, those that RFC 9512 deprecates for YAML, an old one for JSON.
    #[must_use]
    pub const fn aliases(self) -> &'static [&'static str] {
        match self {
            Self::Json => &["text/json"],
            Self::Xml => &["text/xml"],
            Self::Yaml => &["application/x-yaml", "text/yaml", "text/x-yaml"],
        }
    }

    /// All of them.
    pub const ALL: [Self; 3] = [Self::Json, Self::Xml, Self::Yaml];

    /// The structured suffix (RFC 6839, RFC 7303, RFC 9512).
    const fn suffix(self) -> &'static str {
        match self {
            Self::Json => "+json",
            Self::Xml => "+xml",
            Self::Yaml => "+yaml",
        }
    }

    fn is_named(self, essence: &str) -> bool {
        let has_suffix = essence.starts_with("application/") && essence.ends_with(self.suffix());
        essence == self.media_type() || self.aliases().contains(&essence) || has_suffix
    }
}

impl fmt::Display for Incoming {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Format(Format::Json) => "JSON",
            Self::Format(Format::Xml) => "XML",
            Self::Format(Format::Yaml) => "YAML",
            Self::Form => "form",
        })
    }
}

/// What to read a body as by its `Content-Type` (RFC 9110 §8.3).
///
/// # Errors
/// A type or character set that is not read (415).
pub fn incoming(content_type: &str) -> Result<Incoming, UnreadType> {
    let mut pieces = content_type.split(';');
    let essence = pieces.next().unwrap_or("").trim().to_ascii_lowercase();
    for (name, value) in pieces.filter_map(|piece| piece.split_once('=')) {
        let charset = value.trim().trim_matches('"').to_ascii_lowercase();
        // US-ASCII is part of UTF-8.
        if name.trim().eq_ignore_ascii_case("charset") && !["utf-8", "utf8", "us-ascii"].contains(&charset.as_str()) {
            return Err(UnreadType::Charset(charset));
        }
    }
    if essence == "application/x-www-form-urlencoded" {
        return Ok(Incoming::Form);
    }
    let format = Format::ALL.into_iter().find(|format| format.is_named(&essence));
    format.map(Incoming::Format).ok_or(UnreadType::Type(essence))
}

/// Reads a body. Whether there is one is the caller's to see: an empty text is `null` in YAML, `{}` as a form, and a fault
/// otherwise. The result is nested at most [`MAX_DEPTH`](crate::value::MAX_DEPTH) deep, no key of it occurs twice, its
/// strings are Unicode and its numbers within [`number`]'s bounds; numbers keep their digits.
///
/// # Errors
/// The first fault and its place. Every fault is the sender's (400).
pub fn decode(incoming: Incoming, bytes: &[u8]) -> Result<Json, DecodeFault> {
    let text = fault::text_of(bytes);
    let decoded = text.and_then(|text| match incoming {
        Incoming::Format(Format::Json) => json::decode(text),
        Incoming::Format(Format::Xml) => xml::decode(text),
        Incoming::Format(Format::Yaml) => yaml::decode(text),
        Incoming::Form => form::decode(text),
    });
    decoded.map_err(|fault| fault.of(incoming))
}

/// Writes a value. `root` names the root element of XML and must be an XML name; the other formats have no use for it.
/// Numbers keep their value; halves of surrogate pairs, which only JSON can spell, become U+FFFD in XML and YAML.
#[must_use]
pub fn encode(format: Format, root: &str, value: &Json) -> Vec<u8> {
    match format {
        Format::Json => value.as_str().as_bytes().to_vec(),
        Format::Xml => xml::encode(root, value).into_bytes(),
        Format::Yaml => yaml::encode(value).into_bytes(),
    }
}

/// Writes what serializes to JSON, as [`encode`] writes a value.
#[must_use]
pub fn encode_view(format: Format, root: &str, view: &impl Serialize) -> Vec<u8> {
    match format {
        Format::Json => serde_json::to_vec(view).unwrap_or_default(),
        format => encode(format, root, &Json::from_serialize(view).unwrap_or_else(|_| Json::null())),
    }
}

/// Writes problem details. In XML they follow RFC 9457's appendix B, which has its own namespace and its own arrays.
#[must_use]
pub fn encode_problem(format: Format, problem: &Json) -> Vec<u8> {
    match format {
        Format::Xml => xml::encode_problem(problem).into_bytes(),
        Format::Json | Format::Yaml => encode(format, "", problem),
    }
}
