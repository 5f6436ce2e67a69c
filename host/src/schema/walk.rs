//! Owns which parts of a schema are schemas, the bounds that keep checks cheap, and moving a schema's references.
//! Must not check values.

use super::{MAX_DEPTH, MAX_FAULTS};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// The one dialect; a schema may also name none.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
/// How many schemas may apply inside one another to the same value. A longer chain, or one that comes back to itself,
/// would let a value decide how much of our stack a check needs.
const MAX_CHAIN: usize = 24;
const MAX_SCHEMAS: usize = 2_000;
/// How many schemas may lead from one to the next, by being inside it or by reference: a compiler recurses that deep.
const MAX_PATH: usize = 200;
const MAX_PATTERNS: usize = 200;

/// Whether a subschema applies to the value itself, or to a part of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    Same,
    Part,
}

const ONE: [(&str, Reach); 12] = [
    ("not", Reach::Same),
    ("if", Reach::Same),
    ("then", Reach::Same),
    ("else", Reach::Same),
    ("items", Reach::Part),
    ("contains", Reach::Part),
    ("additionalProperties", Reach::Part),
    ("propertyNames", Reach::Part),
    ("unevaluatedItems", Reach::Part),
    ("unevaluatedProperties", Reach::Part),
    ("contentSchema", Reach::Part),
    ("additionalItems", Reach::Part),
];
const LISTS: [(&str, Reach); 4] =
    [("allOf", Reach::Same), ("anyOf", Reach::Same), ("oneOf", Reach::Same), ("prefixItems", Reach::Part)];
const MAPS: [(&str, Reach); 5] = [
    ("dependentSchemas", Reach::Same),
    ("properties", Reach::Part),
    ("patternProperties", Reach::Part),
    // Definitions apply to nothing by themselves.
    ("$defs", Reach::Part),
    ("definitions", Reach::Part),
];
/// What makes the target of a reference depend on more than the text of the reference.
const REFUSED: [&str; 5] = ["$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveRef", "$recursiveAnchor"];

/// The schemas directly inside one, each with its pointer from there.
fn children(schema: &Value) -> Vec<(String, Reach, &Value)> {
    let Some(keywords) = schema.as_object() else { return Vec::new() };
    let mut found = Vec::new();
    for (keyword, reach) in ONE {
        found.extend(keywords.get(keyword).map(|child| (format!("/{keyword}"), reach, child)));
    }
    for (keyword, reach) in LISTS {
        let list = keywords.get(keyword).and_then(Value::as_array).into_iter().flatten();
        found.extend(list.enumerate().map(|(position, child)| (format!("/{keyword}/{position}"), reach, child)));
    }
    for (keyword, reach) in MAPS {
        let map = keywords.get(keyword).and_then(Value::as_object).into_iter().flatten();
        found.extend(map.map(|(name, child)| (format!("/{keyword}/{}", escaped(name)), reach, child)));
    }
    found
}

/// RFC 6901 §3
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The pointer that a reference holds: RFC 6901 §6, percent-decoded.
fn pointer_of(reference: &str) -> Option<String> {
    let fragment = reference.strip_prefix('#').filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
    percent_encoding::percent_decode_str(fragment).decode_utf8().ok().map(Into::into)
}

/// A schema's own parts, by pointer.
struct Parts<'a> {
    by_pointer: HashMap<String, &'a Value>,
    /// The longest chain from a part, once known.
    chains: HashMap<String, usize>,
    /// How many schemas a part is with its references followed, once known; `None` while it is being counted.
    sizes: HashMap<String, Option<usize>>,
}

/// Says what keeps a document from being a schema that we take; else how many schemas it is with each reference
/// replaced by what it refers to, `usize::MAX` when it is recursive.
pub fn check(document: &Value) -> Result<usize, String> {
    if depth(document, 0) > MAX_DEPTH {
        return Err(format!("it nests deeper than {MAX_DEPTH} levels"));
    }
    if !matches!(document, Value::Object(_) | Value::Bool(_)) {
        return Err("a schema is an object, or true or false".into());
    }
    let mut parts = Parts { by_pointer: HashMap::new(), chains: HashMap::new(), sizes: HashMap::new() };
    let mut waiting = vec![(String::new(), document)];
    let mut faults = Vec::new();
    let mut patterns = 0;
    while let Some((pointer, part)) = waiting.pop() {
        faults.extend(own_fault(&pointer, part));
        patterns += patterns_of(part);
        waiting.extend(children(part).into_iter().map(|(below, _, child)| (format!("{pointer}{below}"), child)));
        parts.by_pointer.insert(pointer, part);
        if parts.by_pointer.len() > MAX_SCHEMAS || patterns > MAX_PATTERNS {
            return Err(format!("it holds more than {MAX_SCHEMAS} schemas or {MAX_PATTERNS} patterns"));
        }
    }
    let pointers: Vec<String> = parts.by_pointer.keys().cloned().collect();
    if faults.is_empty() {
        faults.extend(pointers.iter().filter_map(|pointer| parts.chain(pointer, 0).err()));
    }
    faults.sort();
    faults.dedup();
    faults.truncate(MAX_FAULTS);
    if faults.is_empty() { parts.size("", 0) } else { Err(faults.join("; ")) }
}

fn depth(value: &Value, level: usize) -> usize {
    match value {
        // Deep enough to be refused: no need to look further.
        _ if level > MAX_DEPTH => level,
        Value::Array(items) => items.iter().map(|item| depth(item, level + 1)).max().unwrap_or(level + 1),
        Value::Object(fields) => fields.values().map(|field| depth(field, level + 1)).max().unwrap_or(level + 1),
        _ => level,
    }
}

fn patterns_of(schema: &Value) -> usize {
    let named = schema.get("patternProperties").and_then(Value::as_object).map_or(0, Map::len);
    named + usize::from(schema.get("pattern").is_some())
}

fn own_fault(pointer: &str, schema: &Value) -> Option<String> {
    let keywords = schema.as_object()?;
    let place = if pointer.is_empty() { "at its root" } else { pointer };
    if let Some(word) = REFUSED.iter().find(|word| keywords.contains_key(**word)) {
        return Some(format!("{place}: {word} is not taken here; refer to parts by `$ref: \"#/$defs/…\"`"));
    }
    if keywords.contains_key("$id") && !pointer.is_empty() {
        return Some(format!("{place}: $id is taken only at the root"));
    }
    match keywords.get("$schema").map(|dialect| dialect.as_str().unwrap_or("")) {
        Some(dialect) if dialect.trim_end_matches('#') != DIALECT => {
            Some(format!("{place}: $schema must be {DIALECT}"))
        }
        _ => None,
    }
}

impl Parts<'_> {
    /// How many schemas apply inside one another to the value that the part at `pointer` is applied to.
    fn chain(&mut self, pointer: &str, above: usize) -> Result<usize, String> {
        if let Some(known) = self.chains.get(pointer).filter(|known| above + **known <= MAX_CHAIN) {
            return Ok(*known);
        }
        if above >= MAX_CHAIN {
            return Err(format!(
                "{MAX_CHAIN} schemas apply inside one another to the same value, or one refers back to itself"
            ));
        }
        let Some(part) = self.by_pointer.get(pointer).copied() else {
            return Err(format!("#{pointer} is no schema in it"));
        };
        let mut longest = 0;
        for (below, reach, _) in children(part) {
            if reach == Reach::Same {
                longest = longest.max(self.chain(&format!("{pointer}{below}"), above + 1)?);
            }
        }
        if let Some(reference) = part.get("$ref") {
            let reference = reference.as_str().unwrap_or("");
            let target = pointer_of(reference).ok_or_else(|| {
                let shown: String = reference.chars().take(80).collect();
                format!("`$ref: \"{shown}\"` leaves the schema; only references like `#/$defs/…` are taken")
            })?;
            longest = longest.max(self.chain(&target, above + 1)?);
        }
        self.chains.insert(pointer.to_owned(), longest + 1);
        Ok(longest + 1)
    }
}

impl Parts<'_> {
    /// See [`check`]; every reference is known to lead to a part.
    fn size(&mut self, pointer: &str, above: usize) -> Result<usize, String> {
        match self.sizes.get(pointer) {
            Some(Some(known)) => return Ok(*known),
            Some(None) => return Ok(usize::MAX),
            None => {}
        }
        if above >= MAX_PATH {
            return Err(format!("{MAX_PATH} schemas lead from one to the next"));
        }
        self.sizes.insert(pointer.to_owned(), None);
        let Some(part) = self.by_pointer.get(pointer).copied() else { return Ok(0) };
        let inside = children(part).into_iter().map(|(below, _, _)| format!("{pointer}{below}"));
        let reference = part.get("$ref").and_then(Value::as_str).and_then(pointer_of);
        let mut size = 1_usize;
        for next in inside.chain(reference) {
            size = size.saturating_add(self.size(&next, above + 1)?);
        }
        self.sizes.insert(pointer.to_owned(), Some(size));
        Ok(size)
    }
}

/// The schema as parts of a larger document, by name: itself, and each of its definitions, as many tools resolve
/// references to whole parts only. All of them stand under `base` (such as `#/components/schemas`), the schema as `name`:
/// its references lead to where their targets now are, and what only a schema of its own may say is gone.
#[must_use]
pub fn parted(document: &Value, base: &str, name: &str) -> Vec<(String, Value)> {
    let mut root = document.clone();
    let mut found = Vec::new();
    // Pointers of definitions, and the names of the parts that they become.
    let mut places: Vec<(String, String)> = Vec::new();
    if let Some(keywords) = root.as_object_mut() {
        keywords.remove("$schema");
        keywords.remove("$id");
        for map in ["$defs", "definitions"] {
            let Some(Value::Object(definitions)) = keywords.remove(map) else { continue };
            for (key, definition) in definitions {
                let place = part_name(name, &key, &places);
                places.push((format!("/{map}/{}", escaped(&key)), place.clone()));
                found.push((place, definition));
            }
        }
    }
    found.insert(0, (name.to_owned(), root));
    let moved = |reference: &str| {
        let pointer = pointer_of(reference)?;
        let inside = |place: &str| pointer.strip_prefix(place).filter(|rest| rest.is_empty() || rest.starts_with('/'));
        let found = places.iter().find_map(|(place, part)| Some((part.as_str(), inside(place)?)));
        let (part, rest) = found.unwrap_or((name, &pointer));
        Some(format!("{base}/{part}{}", percent_encoding::utf8_percent_encode(rest, NOT_IN_POINTERS)))
    };
    found.iter_mut().for_each(|(_, part)| relocate(part, &moved));
    found
}

/// What a pointer must encode in a URI's fragment (RFC 3986 §3.5).
const NOT_IN_POINTERS: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'/').remove(b'~').remove(b'$').remove(b'-').remove(b'.').remove(b'_');

/// Of letters, digits and `_`, and unlike those before it.
fn part_name(name: &str, key: &str, others: &[(String, String)]) -> String {
    let safe: String = key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let mut part = format!("{name}_{safe}");
    while others.iter().any(|(_, other)| other.eq_ignore_ascii_case(&part)) {
        part.push('_');
    }
    part
}

fn relocate(schema: &mut Value, moved: &dyn Fn(&str) -> Option<String>) {
    let Some(keywords) = schema.as_object_mut() else { return };
    for (keyword, value) in keywords {
        match (keyword.as_str(), value) {
            ("$ref", Value::String(reference)) => {
                if let Some(there) = moved(reference) {
                    *reference = there;
                }
            }
            (one, child) if ONE.iter().any(|(known, _)| *known == one) => relocate(child, moved),
            (list, Value::Array(children)) if LISTS.iter().any(|(known, _)| *known == list) => {
                children.iter_mut().for_each(|child| relocate(child, moved));
            }
            (map, Value::Object(children)) if MAPS.iter().any(|(known, _)| *known == map) => {
                children.values_mut().for_each(|child| relocate(child, moved));
            }
            _ => {}
        }
    }
}
