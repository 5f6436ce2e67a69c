//! Owns the reading of JSON into nodes. YAML is no substitute: its readers refuse `\ud83d\ude00`, for one.
//! Must not know what a configuration may hold.

use super::fault::Sink;
use super::node::{Entry, Lines, Node, Origin, Value, without_duplicates};
use crate::value::Json;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// Reads a document; `None` after a fault.
pub fn parse(text: &str, sink: &Sink) -> Option<Node> {
    let lines = Lines::of(text);
    // Checks the syntax and the depth of the whole, so that what follows meets neither.
    if let Err(fault) = Json::parse(text.to_owned()) {
        let place = lines.place_of_byte_column(fault.line, fault.column);
        sink.report(place, format!("malformed JSON: {}", fault.message));
        return None;
    }
    let raw = serde_json::from_str(text).ok()?;
    Some(Reader { text, lines, sink }.node(raw))
}

struct Reader<'a> {
    text: &'a str,
    lines: Lines<'a>,
    sink: &'a Sink,
}

impl<'a> Reader<'a> {
    /// A raw value is a piece of the file's text, so its address tells its place.
    fn place(&self, raw: &RawValue) -> super::fault::Place {
        self.lines.place(raw.get().as_ptr().addr().saturating_sub(self.text.as_ptr().addr()))
    }

    fn node(&self, raw: &'a RawValue) -> Node {
        let text = raw.get();
        let value = match text.as_bytes().first() {
            Some(b'{') => Value::Map(self.entries(serde_json::from_str(text).unwrap_or_default())),
            Some(b'[') => {
                let items: Vec<&'a RawValue> = serde_json::from_str(text).unwrap_or_default();
                Value::List(items.into_iter().map(|item| self.node(item)).collect())
            }
            Some(b'"') => self.string(raw).map_or(Value::Faulty, |text| Value::Text(text, Origin::Quoted)),
            Some(b't') => Value::Bool(true),
            Some(b'f') => Value::Bool(false),
            Some(b'n') => Value::Null,
            _ => Value::Number(text.into()),
        };
        Node { place: self.place(raw), value }
    }

    fn entries(&self, members: Members<'a>) -> Vec<Entry> {
        let entry = |(key, value)| {
            self.string(key).map(|text| Entry { key: text, place: self.place(key), node: self.node(value) })
        };
        without_duplicates(members.0.into_iter().filter_map(entry).collect(), self.sink)
    }

    /// A string; `None` after a fault: raw values may hold escapes of half a surrogate pair.
    fn string(&self, raw: &RawValue) -> Option<String> {
        let report = |error: &serde_json::Error| {
            let message = crate::value::fault_of(error).message;
            self.sink.report(self.place(raw), format!("malformed text: {message}"));
        };
        serde_json::from_str(raw.get()).inspect_err(report).ok()
    }
}

/// An object's members as they stand in the text, duplicates included.
#[derive(Default)]
struct Members<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
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
    fn any_json_is_read() {
        let text = "\t{\"a\\u00e9\\ud83d\\ude00\\/\" :\r\n\t[1E+2, -0, 1.50, true, false, null, {}, [ ], \"\\b\u{7f}\\\"\"]}\n";
        assert_eq!(read(text), "{\"aé😀/\":[1E+2,-0,1.50,true,false,null,{},[],\"\\b\u{7f}\\\"\"]}");
    }

    #[test]
    fn faults_have_their_places() {
        let cases = [
            ("", "a:1:1: malformed JSON: EOF while parsing a value"),
            ("{\"é\": }", "a:1:7: malformed JSON: expected value"),
            ("{}\n x", "a:2:2: malformed JSON: trailing characters"),
            ("{\n \"b\": 1,\n \"é\": 1, \"\\u0062\": 2}", "a:3:10: the key `b` stands in line 2 already"),
            ("[\"é\", \"\\ud800\"]", "a:1:7: malformed text: unexpected end of hex escape"),
        ];
        for (text, told) in cases {
            assert_eq!(read(text), told, "{text}");
        }
        assert_eq!(read(&"[".repeat(100_000)), "a:1:129: malformed JSON: nested deeper than 128 levels");
    }

    proptest::proptest! {
        #[test]
        fn texts_survive(key: String, text: String) {
            let document = serde_json::json!([{ key: text }]).to_string();
            assert_eq!(read(&document), document);
        }
    }
}
