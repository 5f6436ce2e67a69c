//! Owns the reading of TOML into nodes; its dates become texts.
//! Must not know what a configuration may hold.

use super::fault::{Place, Sink};
use super::node::{Entry, Lines, MAX_DEPTH, Node, Origin, Value};
use crate::codec::scalar;
use ::toml::Spanned;
use ::toml::de::{DeInteger, DeTable, DeValue};
use std::borrow::Cow;

/// Reads a document; `None` after a fault.
pub fn parse(text: &str, sink: &Sink) -> Option<Node> {
    let reader = Reader { lines: Lines::of(text), sink };
    let (table, errors) = DeTable::parse_recoverable(text);
    let root = DeValue::Table(table.into_inner());
    let node = match errors.first() {
        None => Some(reader.node(Place { line: 1, column: 1 }, &root, 0)),
        // The further ones are mostly its consequences.
        Some(error) => {
            let place = reader.lines.place(error.span().map_or(0, |span| span.start));
            sink.report(place, format!("malformed TOML: {}", error.message()));
            None
        }
    };
    dismantle(root);
    node
}

/// Drops the parser's tree without recursion, which could overflow the stack: the parser bounds how deep values nest
/// and how long dotted keys are, but not what both come to.
fn dismantle(root: DeValue<'_>) {
    let mut values = vec![root];
    while let Some(value) = values.pop() {
        match value {
            DeValue::Array(items) => values.extend(items.into_iter().map(Spanned::into_inner)),
            DeValue::Table(table) => values.extend(table.into_iter().map(|(_, value)| value.into_inner())),
            _ => {}
        }
    }
}

struct Reader<'a> {
    lines: Lines<'a>,
    sink: &'a Sink,
}

impl Reader<'_> {
    fn node(&self, place: Place, value: &DeValue<'_>, depth: usize) -> Node {
        let value = match value {
            DeValue::Array(_) | DeValue::Table(_) if depth >= MAX_DEPTH => {
                self.sink.report(place, format!("nested deeper than {MAX_DEPTH} levels"));
                Value::Faulty
            }
            DeValue::String(text) => Value::Text(text.as_ref().into(), Origin::Quoted),
            DeValue::Integer(integer) => self.number(place, integer_of(integer), integer.as_str()),
            DeValue::Float(float) => self.number(place, scalar::number(float.as_str()), float.as_str()),
            DeValue::Boolean(value) => Value::Bool(*value),
            DeValue::Datetime(date) => Value::Text(date.to_string(), Origin::Quoted),
            DeValue::Array(items) => Value::List(items.iter().map(|item| self.spanned(item, depth + 1)).collect()),
            DeValue::Table(table) => {
                let mut members: Vec<_> = table.iter().collect();
                // The parser sorts keys by name.
                members.sort_by_key(|(key, _)| key.span().start);
                Value::Map(members.into_iter().map(|(key, value)| self.entry(key, value, depth + 1)).collect())
            }
        };
        Node { place, value }
    }

    fn entry(&self, key: &Spanned<Cow<'_, str>>, value: &Spanned<DeValue<'_>>, depth: usize) -> Entry {
        let place = self.lines.place(key.span().start);
        Entry { key: key.get_ref().as_ref().into(), place, node: self.spanned(value, depth) }
    }

    fn spanned(&self, value: &Spanned<DeValue<'_>>, depth: usize) -> Node {
        self.node(self.lines.place(value.span().start), value.get_ref(), depth)
    }

    fn number(&self, place: Place, number: Option<String>, text: &str) -> Value {
        if number.is_none() {
            self.sink.report(place, format!("expected a number that JSON can hold, found {text}"));
        }
        number.map_or(Value::Faulty, Value::Number)
    }
}

fn integer_of(integer: &DeInteger<'_>) -> Option<String> {
    match integer.radix() {
        10 => scalar::number(integer.as_str()),
        radix => u128::from_str_radix(integer.as_str(), radix).ok().map(|number| number.to_string()),
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
    fn order_digits_and_dates_are_kept() {
        let text = "b = 1_000\na = 0.50\nd = +5\nc = 0xff\n[t]\nx.z = 1979-05-27T07:32:00Z\nx.a = true\n[[l]]\n[[l]]\nn = -0.0";
        assert_eq!(
            read(text),
            r#"{"b":1000,"a":0.50,"d":5,"c":255,"t":{"x":{"z":"1979-05-27T07:32:00Z","a":true}},"l":[{},{"n":-0.0}]}"#
        );
    }

    #[test]
    fn faults_have_their_places() {
        let cases = [
            ("a = ", "a:1:5: malformed TOML: string values must be quoted, expected literal string"),
            ("'é' = 1\n'é' = 2", "a:2:1: malformed TOML: duplicate key"),
            ("'é' = [1, nan]", "a:1:11: expected a number that JSON can hold, found nan"),
        ];
        for (text, told) in cases {
            assert_eq!(read(text), told, "{text}");
        }
        assert!(read(&format!("a = {}", "[".repeat(100_000))).starts_with("a:1:"));
        let tables = format!("a{} = ", ".a".repeat(70));
        let nested = format!("{tables}{}1{}", format!("{{{tables}").repeat(70), "}".repeat(70));
        assert_eq!(read(&nested), "a:1:258: nested deeper than 128 levels");
        assert!(read(&(nested + "\n=")).starts_with("a:2:1: malformed TOML"));
    }
}
