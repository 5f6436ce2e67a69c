//! Owns reading JSON as a value of a type: all its faults, each with its place, within bounds.
//! Must not write any.

use super::{EXACT, Integer, MAX_VALUE, Shape, Typed, VALUE_BYTES, some_of};
use crate::schema::{MAX_FAULTS, SchemaFault};
use crate::value::{Json, fault_of};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Number, Value};

/// The most characters of a number or name that a fault shows.
const SHOWN: usize = 60;
/// How many comparisons of names cost as much as a byte.
const NAMES_A_BYTE: usize = 4;

impl Shape {
    /// Reads a value of this type.
    ///
    /// # Errors
    /// What is wrong with it, and where; up to [`MAX_FAULTS`].
    pub fn read(&self, json: &Json) -> Result<Typed, Vec<SchemaFault>> {
        let mut reader = Reader { faults: Vec::new(), left: MAX_VALUE };
        let read = match serde_json::from_str(json.as_str()) {
            Ok(value) => reader.value(&Path::Root, self, value),
            // The text is JSON; what a machine number cannot hold is all that is left.
            Err(error) => reader.fault(&Path::Root, &fault_of(&error).message),
        };
        match read {
            Some(read) if reader.faults.is_empty() => Ok(read),
            _ => Err(reader.faults),
        }
    }
}

/// A place in the value.
enum Path<'a> {
    Root,
    Member(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

impl Path<'_> {
    /// As JSON pointer (RFC 6901), and in the words of a message: `items[0].id`.
    fn texts(&self) -> (String, String) {
        match self {
            Self::Root => (String::new(), String::new()),
            Self::Member(above, name) => {
                let (pointer, place) = above.texts();
                let dot = if place.is_empty() { "" } else { "." };
                (format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1")), format!("{place}{dot}{name}"))
            }
            Self::Item(above, position) => {
                let (pointer, place) = above.texts();
                (format!("{pointer}/{position}"), format!("{place}[{position}]"))
            }
        }
    }
}

struct Reader {
    faults: Vec<SchemaFault>,
    /// Bytes that the value may still take.
    left: usize,
}

impl Reader {
    fn fault(&mut self, path: &Path<'_>, message: &str) -> Option<Typed> {
        if self.faults.len() < MAX_FAULTS {
            let (pointer, place) = path.texts();
            let message = if place.is_empty() { message.to_owned() } else { format!("{place}: {message}") };
            self.faults.push(SchemaFault { pointer, message });
        }
        None
    }

    fn unexpected(&mut self, path: &Path<'_>, shape: &Shape, seen: &Value) -> Option<Typed> {
        self.fault(path, &format!("expected {}, got {}", shape.expected(), words(seen)))
    }

    fn full(&self) -> bool {
        self.faults.len() >= MAX_FAULTS || self.left == 0
    }

    /// Whether there is room for one more value.
    fn takes(&mut self, path: &Path<'_>, bytes: usize) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left = self.left.saturating_sub(VALUE_BYTES + bytes);
        if self.left == 0 {
            self.faults.truncate(MAX_FAULTS - 1);
            let most = MAX_VALUE / VALUE_BYTES;
            self.fault(path, &format!("there are too many values up to here; about {most} may come in"));
        }
        self.left > 0
    }

    fn value(&mut self, path: &Path<'_>, shape: &Shape, value: Value) -> Option<Typed> {
        if !self.takes(path, 0) {
            return None;
        }
        match (shape, value) {
            (Shape::Option(_), Value::Null) => Some(Typed::Option(None)),
            (Shape::Option(inner), value) => {
                self.value(path, inner, value).map(|some| Typed::Option(Some(Box::new(some))))
            }
            (Shape::Nothing, Value::Null) => Some(Typed::Nothing),
            (Shape::Nothing, Value::Object(members)) if members.is_empty() => Some(Typed::Nothing),
            (Shape::Bool, Value::Bool(value)) => Some(Typed::Bool(value)),
            (Shape::Integer(integer), value) => match integer_of(*integer, &value) {
                Some(number) => Some(Typed::Integer(number)),
                None => self.unexpected(path, shape, &value),
            },
            (Shape::Float32 | Shape::Float64, value) => match float_of(shape, &value) {
                Some(number) => Some(Typed::Float(number)),
                None => self.unexpected(path, shape, &value),
            },
            (Shape::Char, Value::String(text)) => {
                let mut letters = text.chars();
                match (letters.next(), letters.next()) {
                    (Some(one), None) => Some(Typed::Char(one)),
                    _ => self.fault(path, &format!("expected {}, got a longer one or none", shape.expected())),
                }
            }
            (Shape::Text, Value::String(text)) => self.takes(path, text.len()).then_some(Typed::Text(text)),
            (Shape::Bytes, Value::String(text)) => match BASE64_STANDARD.decode(&text) {
                // A byte takes as much as any other value where it goes.
                Ok(bytes) => self.takes(path, bytes.len().saturating_mul(VALUE_BYTES)).then_some(Typed::Bytes(bytes)),
                Err(error) => self.fault(path, &format!("expected {}, got a faulty one: {error}", shape.expected())),
            },
            (Shape::List(item), Value::Array(items)) => self.items(path, items, |_| item),
            (Shape::Tuple(shapes), Value::Array(items)) if items.len() == shapes.len() => {
                self.items(path, items, |position| shapes.get(position).unwrap_or(&Shape::Nothing))
            }
            (Shape::Record(fields), Value::Object(members)) => self.record(path, fields, members),
            (Shape::Variant(_) | Shape::Enum(_) | Shape::Result(..), value) => self.case(path, shape, value),
            (Shape::Flags(names), Value::Array(items)) => self.flags(path, names, &items),
            (shape, value) => self.unexpected(path, shape, &value),
        }
    }

    fn items<'s>(&mut self, path: &Path<'_>, items: Vec<Value>, shape: impl Fn(usize) -> &'s Shape) -> Option<Typed> {
        let mut read = Vec::with_capacity(items.len());
        for (position, item) in items.into_iter().enumerate() {
            if self.full() {
                return None;
            }
            read.extend(self.value(&Path::Item(path, position), shape(position), item));
        }
        self.faults.is_empty().then_some(Typed::Items(read))
    }

    fn record(
        &mut self,
        path: &Path<'_>,
        fields: &[(String, Shape)],
        mut members: Map<String, Value>,
    ) -> Option<Typed> {
        let mut read = Vec::with_capacity(fields.len());
        for (name, shape) in fields {
            if self.full() || !self.takes(path, name.len()) {
                return None;
            }
            let here = Path::Member(path, name);
            read.extend(match (members.remove(name), shape) {
                (Some(value), _) => self.value(&here, shape, value),
                (None, Shape::Option(_)) => Some(Typed::Option(None)),
                (None, _) => self.fault(&here, &format!("missing, expected {}", shape.expected())),
            });
        }
        for name in members.keys() {
            let known = some_of(fields.iter().map(|(name, _)| name.clone()));
            let shown: String = name.chars().take(SHOWN).collect();
            self.fault(&Path::Member(path, &shown), &format!("unknown here; there are {known}"));
            if self.full() {
                break;
            }
        }
        self.faults.is_empty().then_some(Typed::Items(read))
    }

    fn case(&mut self, path: &Path<'_>, shape: &Shape, value: Value) -> Option<Typed> {
        let mut looked_at = 0;
        let mut found = |name: &str| {
            let cases = shape.cases().inspect(|_| looked_at += 1);
            cases.enumerate().find(|(_, (known, _))| *known == name)
        };
        let found = match &value {
            Value::String(name) => found(name),
            Value::Object(members) if members.len() == 1 => members.keys().next().and_then(|name| found(name)),
            _ => None,
        };
        // Looking through many names takes time, which is bounded as memory is.
        if !self.takes(path, looked_at / NAMES_A_BYTE) {
            return None;
        }
        let always = matches!(shape, Shape::Result(..));
        match value {
            Value::String(name) if !always => match found {
                Some((position, (_, None))) if self.takes(path, name.len()) => Some(Typed::Case(position, None)),
                _ => self.unexpected(path, shape, &Value::String(name)),
            },
            Value::Object(members) if members.len() == 1 => {
                let (name, payload) = members.into_iter().next()?;
                match (found, payload) {
                    (Some((position, (name, Some(carried)))), payload) => {
                        let here = Path::Member(path, name);
                        self.takes(path, name.len());
                        self.value(&here, carried, payload).map(|read| Typed::Case(position, Some(Box::new(read))))
                    }
                    (Some((position, _)), Value::Null) if always => Some(Typed::Case(position, None)),
                    (Some(_), payload) if always => {
                        let message = format!("expected null, got {}", words(&payload));
                        self.fault(&Path::Member(path, &name), &message)
                    }
                    _ => {
                        let shown: String = name.chars().take(SHOWN).collect();
                        let expected = shape.expected();
                        self.fault(path, &format!("expected {expected}, got an object with the member {shown:?}"))
                    }
                }
            }
            value => self.unexpected(path, shape, &value),
        }
    }

    fn flags(&mut self, path: &Path<'_>, names: &[String], items: &[Value]) -> Option<Typed> {
        let mut set = Vec::new();
        for (position, item) in items.iter().enumerate() {
            let here = Path::Item(path, position);
            if self.full() || !self.takes(path, names.len() / NAMES_A_BYTE) {
                return None;
            }
            match names.iter().position(|name| item.as_str() == Some(name)) {
                Some(flag) if set.contains(&flag) => drop(self.fault(&here, "this flag is there already")),
                Some(flag) => set.push(flag),
                None => {
                    let known = some_of(names.iter().map(|name| format!("\"{name}\"")));
                    self.fault(&here, &format!("expected {known}, got {}", words(item)));
                }
            }
        }
        set.sort_unstable();
        self.faults.is_empty().then_some(Typed::Flags(set))
    }
}

/// What a value is, without what may be long or a secret.
fn words(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string().chars().take(SHOWN).collect(),
        Value::String(text) if text.is_empty() => "an empty string".into(),
        Value::String(_) => "a string".into(),
        Value::Array(items) => format!("an array of {}", items.len()),
        Value::Object(_) => "an object".into(),
    }
}

/// `1.0` is an integer as well (JSON Schema 2020-12, Core §4.2.3). Those of 64 bits may be text.
fn integer_of(integer: Integer, value: &Value) -> Option<i128> {
    let number = match value {
        Value::Number(number) => whole(number)?,
        Value::String(text) if integer.bits == 64 => {
            let digits = text.strip_prefix('-').unwrap_or(text);
            let plain = (1..=20).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| text.parse().ok())??
        }
        _ => return None,
    };
    let (least, greatest) = integer.range();
    (least..=greatest).contains(&number).then_some(number)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
fn whole(number: &Number) -> Option<i128> {
    let integer = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
    // Beyond this, a number with a fraction or an exponent is not known to the last digit.
    let exact = || number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() <= EXACT as f64);
    integer.or_else(|| exact().map(|float| float as i128))
}

#[allow(clippy::cast_possible_truncation)]
fn float_of(shape: &Shape, value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => match text.as_str() {
            "NaN" => return Some(f64::NAN),
            "Infinity" => return Some(f64::INFINITY),
            "-Infinity" => return Some(f64::NEG_INFINITY),
            _ => return None,
        },
        _ => return None,
    };
    let narrow = if *shape == Shape::Float32 { f64::from(number as f32) } else { number };
    narrow.is_finite().then_some(narrow)
}
