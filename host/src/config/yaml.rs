//! Owns the reading of YAML 1.2 into nodes: core schema, aliases, merge keys (`<<`), one document.
//! Must not know what a configuration may hold.

use super::fault::{Place, Sink};
use super::node::{Entry, MAX_DEPTH, Node, Origin, Value, excerpt, without_duplicates};
use crate::codec::scalar;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};
use std::borrow::Cow;
use std::collections::HashMap;

/// How many values all aliases together may stand for: a few lines of nested aliases could stand for billions.
const MAX_ALIASED: usize = 10_000;

/// Reads a document; `None` after a fault that leaves no tree.
pub fn parse(text: &str, sink: &Sink) -> Option<Node> {
    // Events are pulled one by one: the parser's own loader recurses, so a file could overflow its stack.
    let mut parser = Parser::new_from_str(text);
    let mut builder = Builder { sink, documents: 0, open: Vec::new(), anchors: HashMap::new(), aliased: 0, root: None };
    while let Some(event) = parser.next_event() {
        let outcome = match event {
            Ok((event, span)) => builder.take(event, place_of(span.start)),
            Err(error) => {
                let place = place_of(*error.marker());
                Err((place, format!("malformed YAML: {}{}", error.info(), hint(text, place))))
            }
        };
        if let Err((place, message)) = outcome {
            sink.report(place, message);
            return None;
        }
    }
    Some(builder.root.unwrap_or(Node { place: Place { line: 1, column: 1 }, value: Value::Null }))
}

/// What to do about the two traps that lie between our own syntax and that of YAML.
fn hint(text: &str, place: Place) -> &'static str {
    match text.lines().nth(place.line.saturating_sub(1)) {
        Some(line) if line.contains("${") => "; inside of {…} and […], put `${…}` in quotes",
        Some(line) if line.contains("sqlite::memory:") => "; put `sqlite::memory:` in quotes",
        _ => "",
    }
}

fn place_of(marker: Marker) -> Place {
    Place { line: marker.line(), column: marker.col() + 1 }
}

/// A fault after which reading cannot go on.
type Stop = (Place, String);

struct Builder<'s> {
    sink: &'s Sink,
    documents: usize,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    aliased: usize,
    root: Option<Node>,
}

/// A list or map whose end was not reached yet.
struct Open {
    place: Place,
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, merged: Vec<Node>, key: Option<Key> },
}

/// What the next value in a map belongs to.
enum Key {
    Named(String, Place),
    Merge,
    /// A key that was a fault: its value is read and forgotten.
    Faulty,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, place: Place) -> Result<(), Stop> {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err((place, "expected one document, found the beginning of a second one".into()));
                }
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag.as_deref(), place);
                self.open(place, anchor, Content::List(Vec::new()))?;
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag.as_deref(), place);
                self.open(place, anchor, Content::Map { entries: Vec::new(), merged: Vec::new(), key: None })?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Scalar(text, style, anchor, tag) => {
                let value = self.scalar(&text, style, tag.as_deref(), place);
                let is_merge = text == "<<" && style == ScalarStyle::Plain;
                self.add(Node { place, value }, anchor, is_merge);
            }
            Event::Alias(anchor) => {
                let node = self.resolve(anchor, place)?;
                self.add(node, 0, false);
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn open(&mut self, place: Place, anchor: usize, content: Content) -> Result<(), Stop> {
        if self.open.len() >= MAX_DEPTH {
            return Err((place, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        self.open.push(Open { place, anchor, content });
        Ok(())
    }

    fn close(&mut self) {
        let Some(Open { place, anchor, content }) = self.open.pop() else {
            return;
        };
        let value = match content {
            Content::List(nodes) => Value::List(nodes),
            Content::Map { entries, merged, .. } => {
                let mut entries = without_duplicates(entries, self.sink);
                merged.into_iter().for_each(|node| self.merge(node, &mut entries));
                Value::Map(entries)
            }
        };
        self.add(Node { place, value }, anchor, false);
    }

    /// Puts a finished node where it belongs.
    fn add(&mut self, node: Node, anchor: usize, is_merge: bool) {
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let sink = self.sink;
        match self.open.last_mut().map(|open| &mut open.content) {
            None => self.root = Some(node),
            Some(Content::List(nodes)) => nodes.push(node),
            Some(Content::Map { entries, merged, key }) => match key.take() {
                None => *key = Some(if is_merge { Key::Merge } else { key_of(node, sink) }),
                Some(Key::Named(key, place)) => entries.push(Entry { key, place, node }),
                Some(Key::Merge) => merged.push(node),
                Some(Key::Faulty) => {}
            },
        }
    }

    fn scalar(&self, text: &str, style: ScalarStyle, tag: Option<&Tag>, place: Place) -> Value {
        let is_text = tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
        if !is_text {
            self.refuse_tag(tag, place);
        }
        if style != ScalarStyle::Plain || is_text {
            return Value::Text(text.into(), Origin::Quoted);
        }
        if scalar::is_no_json_number(text) {
            self.sink.report(place, format!("expected a number that JSON can hold, found {text}"));
            return Value::Faulty;
        }
        Value::of_plain(text)
    }

    fn refuse_tag(&self, tag: Option<&Tag>, place: Place) {
        if let Some(tag) = tag {
            let name = if tag.is_yaml_core_schema() { Cow::from("!!") } else { Cow::from(&tag.handle) };
            let name = excerpt(&format!("{name}{}", tag.suffix));
            self.sink.report(place, format!("expected no tag other than !!str, found {name}"));
        }
    }

    fn resolve(&mut self, anchor: usize, place: Place) -> Result<Node, Stop> {
        let Some(node) = self.anchors.get(&anchor) else {
            return Err((place, "this alias stands inside of what it stands for".into()));
        };
        let (count, depth) = node.extent();
        self.aliased += count;
        if self.aliased > MAX_ALIASED {
            return Err((place, format!("the aliases up to here stand for more than {MAX_ALIASED} values")));
        }
        if self.open.len() + depth > MAX_DEPTH {
            return Err((place, format!("nested deeper than {MAX_DEPTH} levels by this alias")));
        }
        Ok(node.clone())
    }

    /// What the map has itself comes first, then what was merged first (yaml.org/type/merge.html).
    fn merge(&self, node: Node, entries: &mut Vec<Entry>) {
        let place = node.place;
        let maps = match node.value {
            Value::List(nodes) => nodes,
            value => vec![Node { place, value }],
        };
        for map in maps {
            match map.value {
                Value::Map(merged) => {
                    let is_new = |new: &Entry| !entries.iter().any(|entry| entry.key == new.key);
                    let new: Vec<_> = merged.into_iter().filter(is_new).collect();
                    entries.extend(new);
                }
                _ => self.sink.report(map.place, format!("`<<`: expected a map to merge, found {}", map.found())),
            }
        }
    }
}

fn key_of(node: Node, sink: &Sink) -> Key {
    match node.value {
        Value::Text(text, _) => Key::Named(text, node.place),
        Value::List(_) | Value::Map(_) => {
            sink.report(node.place, format!("expected a text as key, found {}", node.found()));
            Key::Faulty
        }
        _ => {
            sink.report(node.place, format!("expected a text as key, found {}; put it in quotes", node.found()));
            Key::Faulty
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The document as JSON, or its faults.
    fn read(text: &str) -> String {
        let sink = Sink::new("a");
        let json = parse(text, &sink).and_then(|node| node.json().ok());
        sink.finish(json).map_or_else(|faults| faults.to_string(), |json| json.as_str().to_owned())
    }

    #[test]
    fn plain_scalars_follow_the_core_schema() {
        let text = "{a: no, b: on, c: 0x1F, d: '1', e: !!str 2, f: , g: True, h: ~, i: 1e3}";
        assert_eq!(read(text), r#"{"a":"no","b":"on","c":31,"d":"1","e":"2","f":null,"g":true,"h":null,"i":1e3}"#);
        assert_eq!(read("# nothing"), "null");
        assert_eq!(read("a: |\n  x\n   y\nb: >-\n  x\n  y"), r#"{"a":"x\n y\n","b":"x y"}"#);
    }

    #[test]
    fn aliases_and_merge_keys_are_resolved() {
        assert_eq!(read("{a: &x [1, {b: 2}], c: *x}"), r#"{"a":[1,{"b":2}],"c":[1,{"b":2}]}"#);
        let text = "x: &x {a: 1, b: 2}\ny: &y {b: 3, c: 4}\nz: {b: 5, <<: [*x, *y]}\n";
        assert!(read(text).ends_with(r#""z":{"b":5,"a":1,"c":4}}"#), "{}", read(text));
        assert_eq!(read("{'<<': 1}"), r#"{"<<":1}"#);
        assert_eq!(read("<<: 1"), "a:1:5: `<<`: expected a map to merge, found the number 1");
    }

    #[test]
    fn what_cannot_be_a_configuration_is_refused() {
        let cases = [
            ("a: b\n c: d", "a:2:3: malformed YAML: mapping values are not allowed in this context"),
            ("a: 1\n---\nb: 2", "a:2:1: expected one document, found the beginning of a second one"),
            ("a: &x [*x]", "a:1:8: this alias stands inside of what it stands for"),
            ("a: *x", "a:1:4: malformed YAML: while parsing node, found unknown anchor"),
            ("5: x", "a:1:1: expected a text as key, found the number 5; put it in quotes"),
            ("[a]: b", "a:1:1: expected a text as key, found a list"),
            ("a: !x b", "a:1:4: expected no tag other than !!str, found !x"),
            ("a: !!int 5", "a:1:4: expected no tag other than !!str, found !!int"),
            ("a: -.inf", "a:1:4: expected a number that JSON can hold, found -.inf"),
            ("é: 1\na: 2\né: 3", "a:3:1: the key `é` stands in line 1 already"),
            ("é: {é: 1, b: 2, b: 3}", "a:1:17: the key `b` stands in line 1 already"),
        ];
        for (text, told) in cases {
            assert_eq!(read(text), told, "{text}");
        }
        assert!(read("{a: ${B}}").ends_with("; inside of {…} and […], put `${…}` in quotes"));
        assert!(read("url: sqlite::memory:").ends_with("; put `sqlite::memory:` in quotes"));
    }

    #[test]
    fn no_file_is_too_much() {
        assert!(read(&"[".repeat(100_000)).contains("recursion limit exceeded"));
        assert!(read(&("[".repeat(129) + &"]".repeat(129))).contains("nested deeper than 128 levels"));
        assert!(read(&"- ".repeat(100_000)).contains("nested deeper than 128 levels"));
        assert_eq!(read(&("[".repeat(128) + &"]".repeat(128))).len(), 256);
        let deeper = format!("a: &x {}{}\nb: [[*x]]", "[".repeat(126), "]".repeat(126));
        assert_eq!(read(&deeper), "a:2:6: nested deeper than 128 levels by this alias");
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..30 {
            let (this, aliases) = (format!("a{level}"), format!("*a{}, ", level - 1).repeat(10));
            bomb.push_str(&format!("{this}: &{this} [{aliases}]\n"));
        }
        assert!(read(&bomb).contains("the aliases up to here stand for more than 10000 values"), "{}", read(&bomb));
    }
}
