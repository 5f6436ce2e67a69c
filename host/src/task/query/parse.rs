//! Owns the reading of query documents, as JSON and as `filter[Field][op]` pairs.
//! Must not know bodies, headers or URLs.

use super::fact::Fact;
use super::field::{Field, Kind};
use super::operator::Operator;
use super::pattern::{Pattern, fold};
use super::{Condition, MAX_VALUE, Operand, Query, QueryFault};
use crate::clock::Timestamp;
use crate::task::state::State;
use crate::value::{Json, fault_of};
use chrono::{DateTime, Datelike, NaiveDateTime};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;
use std::fmt;
use std::marker::PhantomData;

/// How a date may be written in the manner of the original.
const CLASSIC_DATE: &str = "%m/%d/%Y %I:%M:%S %p";
/// How much of a wrong text is shown back.
const SHOWN: usize = 64;

impl Query {
    /// Reads `{Field: {op, value}, …}`.
    ///
    /// # Errors
    /// The first fault, by the document's order.
    pub fn parse(document: &Json) -> Result<Self, QueryFault> {
        let text = document.as_str();
        if !text.trim_start().starts_with('{') {
            return Err(whole("a query is an object: {\"State\": {\"op\": \"EQ\", \"value\": \"Running\"}}"));
        }
        let Entries::<Box<RawValue>>(fields) =
            serde_json::from_str(text).map_err(|error| whole(fault_of(&error).message))?;
        let mut query = Self::default();
        for (name, given) in fields {
            let field = Field::parse(&name)?;
            query.add(field, Parts::read(field, given.get())?)?;
        }
        Ok(query.sorted())
    }

    /// Reads `filter[Field][op]=…` and `filter[Field][value]=…` among the decoded pairs of a query string; other names
    /// are not looked at.
    ///
    /// # Errors
    /// The first fault, by the pairs' order.
    pub fn parse_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, QueryFault> {
        let mut fields: Vec<(Field, Parts)> = Vec::new();
        for (name, value) in pairs.into_iter().filter(|(name, _)| *name == "filter" || name.starts_with("filter[")) {
            let (field, member) = name
                .strip_prefix("filter[")
                .and_then(|rest| rest.strip_suffix(']'))
                .and_then(|inner| inner.split_once("]["))
                .ok_or_else(|| {
                    let shown = shown(name);
                    let message =
                        format!("`{shown}` is no filter: write `filter[Field][op]` and `filter[Field][value]`");
                    QueryFault::new(shown, message)
                })?;
            let field = Field::parse(field)?;
            if !fields.iter().any(|(own, _)| *own == field) {
                fields.push((field, Parts::default()));
            }
            if let Some((_, parts)) = fields.iter_mut().find(|(own, _)| *own == field) {
                parts.put(field, member, Value::from(value))?;
            }
        }
        let mut query = Self::default();
        for (field, parts) in fields {
            query.add(field, parts)?;
        }
        Ok(query.sorted())
    }

    fn add(&mut self, field: Field, parts: Parts) -> Result<(), QueryFault> {
        let name = field.name();
        if self.on(field).is_some() {
            return Err(QueryFault::new(name, format!("`{name}` is named twice")));
        }
        let operator = match parts.operator {
            Some(Value::String(text)) => Operator::parse(&text, field)?,
            Some(_) => return Err(QueryFault::new(name, format!("the `op` of `{name}` must be text"))),
            None => return Err(QueryFault::new(name, format!("`{name}` lacks `op`"))),
        };
        let value = parts.value.ok_or_else(|| QueryFault::new(name, format!("`{name}` lacks `value`")))?;
        let operand = operand(field, operator, &value).map_err(|message| QueryFault::new(name, message))?;
        self.0.push(Condition { field, operator, operand });
        Ok(())
    }

    fn sorted(mut self) -> Self {
        self.0.sort_by_key(|condition| condition.field);
        self
    }
}

/// What stands behind a field's name.
#[derive(Default)]
struct Parts {
    operator: Option<Value>,
    value: Option<Value>,
}

impl Parts {
    fn read(field: Field, given: &str) -> Result<Self, QueryFault> {
        let name = field.name();
        if !given.starts_with('{') {
            let message = format!("`{name}` must be an object with `op` and `value`");
            return Err(QueryFault::new(name, message));
        }
        // A number beyond every range is valid JSON, but no value.
        let Entries::<Value>(members) = serde_json::from_str(given)
            .map_err(|error| QueryFault::new(name, format!("`{name}`: {}", fault_of(&error).message)))?;
        let mut parts = Self::default();
        for (member, value) in members {
            parts.put(field, &member, value)?;
        }
        Ok(parts)
    }

    fn put(&mut self, field: Field, member: &str, value: Value) -> Result<(), QueryFault> {
        let name = field.name();
        let place = match member.to_ascii_lowercase().as_str() {
            "op" => &mut self.operator,
            "value" => &mut self.value,
            _ => {
                let message = format!("`{name}` takes `op` and `value`, not `{}`", shown(member));
                return Err(QueryFault::new(name, message));
            }
        };
        match place.replace(value) {
            None => Ok(()),
            Some(_) => Err(QueryFault::new(name, format!("`{name}` has `{}` twice", shown(member)))),
        }
    }
}

/// The value, in the field's kind.
fn operand(field: Field, operator: Operator, value: &Value) -> Result<Operand, String> {
    let name = field.name();
    if value.as_str().is_some_and(|text| text.chars().nth(MAX_VALUE).is_some()) {
        return Err(format!("the value of `{name}` has more than {MAX_VALUE} characters"));
    }
    let wrong = |expected: &str| format!("the value of `{name}` must be {expected}, not {}", found(value));
    let text = || value.as_str().ok_or_else(|| wrong("text"));
    if matches!(operator, Operator::Like | Operator::NotLike) {
        return Ok(Operand::Pattern(Pattern::new(text()?)));
    }
    Ok(Operand::Plain(match field.kind() {
        Kind::Text => return Ok(Operand::Text(fold(text()?))),
        Kind::Date => {
            let expected = "a date such as `2024-07-05T13:20:00Z` or `7/5/2024 1:20:00 PM`";
            Fact::Date(value.as_str().and_then(date).ok_or_else(|| wrong(expected))?)
        }
        Kind::Number => Fact::Number(number(value).ok_or_else(|| wrong("a number"))?),
        Kind::Boolean => Fact::Boolean(boolean(value).ok_or_else(|| wrong("true or false"))?),
        Kind::State => {
            let named = |text: &str| State::ALL.into_iter().find(|state| state.to_string().eq_ignore_ascii_case(text));
            let expected = "NotStarted, Running, Completed, Failed or Aborted";
            Fact::State(value.as_str().and_then(named).ok_or_else(|| wrong(expected))?)
        }
    }))
}

/// RFC 3339 with any offset, or month/day/year with AM or PM in UTC. Digits beyond microseconds are cut.
fn date(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(date) = DateTime::parse_from_rfc3339(text) {
        return Some(Timestamp(date.timestamp_micros()));
    }
    let date = NaiveDateTime::parse_from_str(text, CLASSIC_DATE).ok()?;
    // `%Y` takes 24 as the year 24.
    (1900..=9999).contains(&date.year()).then(|| Timestamp(date.and_utc().timestamp_micros()))
}

fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse::<f64>().ok()?,
        _ => return None,
    };
    number.is_finite().then_some(number)
}

fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::String(text) if text.trim().eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.trim().eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// A wrong value, as a fault names it.
fn found(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::String(text) => format!("`{}`", shown(text)),
        Value::Bool(_) | Value::Number(_) => format!("{value}"),
    }
}

/// A text of the caller, short and printable.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

fn whole(message: impl Into<String>) -> QueryFault {
    QueryFault::new("", message)
}

/// An object's entries in their order; a name that stands twice is kept twice.
struct Entries<T>(Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Reader(PhantomData))
    }
}

struct Reader<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
    type Value = Entries<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Entries<T>, M::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Entries(entries))
    }
}
