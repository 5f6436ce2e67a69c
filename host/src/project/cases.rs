//! Owns the cases of a project: inputs, and what the component must make of them. One JSON object a line.
//! Must not run them.

use super::{CASES, Project, ProjectError, read};
use crate::value::{Json, present};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// What one run is given, and must give.
#[derive(Debug)]
pub struct Case {
    /// The line that it stands on, from 1.
    pub line: usize,
    /// As a request's body would be.
    pub input: Json,
    /// The route's arguments.
    pub arguments: Json,
    /// The route's captured variables.
    pub variables: Json,
    /// Shared variables to begin with; all may be read and written.
    pub state: BTreeMap<String, Json>,
    /// What must come of it.
    pub expected: Expected,
}

/// How a run must end.
#[derive(Debug)]
pub enum Expected {
    /// With this result.
    Result(Value),
    /// With this error, and with this detail, if it says so.
    Error(String, Option<Value>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw<'a> {
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow)]
    variables: Option<&'a RawValue>,
    #[serde(borrow, default)]
    state: BTreeMap<String, &'a RawValue>,
    #[serde(default, deserialize_with = "present")]
    result: Option<Value>,
    error: Option<String>,
    #[serde(default, deserialize_with = "present")]
    detail: Option<Value>,
}

impl Case {
    /// The cases of a project.
    ///
    /// # Errors
    /// When there is no file of cases, or a line of it is none.
    pub fn of(project: &Project) -> Result<Vec<Self>, ProjectError> {
        let file = project.folder.join(CASES);
        let text = read(&file)?.ok_or_else(|| {
            let example = r#"{"input": {"name": "Ada"}, "result": {"greeting": "Hello, Ada!"}}"#;
            ProjectError::new(format!("{} does not exist: write one case a line, such as {example}", file.display()))
        })?;
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        lines
            .map(|(index, line)| {
                Self::parse(index + 1, line)
                    .map_err(|why| ProjectError::new(format!("{}:{}: {why}", file.display(), index + 1)))
            })
            .collect()
    }

    fn parse(line: usize, text: &str) -> Result<Self, String> {
        let raw: Raw<'_> = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let json = |raw: Option<&RawValue>, otherwise: &str| {
            Json::parse(raw.map_or(otherwise, RawValue::get).to_owned()).map_err(|fault| fault.to_string())
        };
        let expected = match (raw.result, raw.error) {
            (Some(result), None) if raw.detail.is_none() => Expected::Result(result),
            (None, Some(error)) => Expected::Error(error, raw.detail),
            _ => return Err("expected `result`, or `error` and perhaps `detail`".into()),
        };
        Ok(Self {
            line,
            input: json(raw.input, "null")?,
            arguments: json(raw.arguments, "{}")?,
            variables: json(raw.variables, "{}")?,
            state: raw
                .state
                .into_iter()
                .map(|(name, raw)| Ok((name, json(Some(raw), "")?)))
                .collect::<Result<_, String>>()?,
            expected,
        })
    }

    /// Why this end is not the expected one; `None`: it is.
    #[must_use]
    pub fn fault(&self, result: Option<&Json>, error: Option<&str>) -> Option<String> {
        let value = result.and_then(|json| serde_json::from_str::<Value>(json.as_str()).ok());
        let got = match (error, result) {
            (Some(error), Some(detail)) => format!("the error {error:?} with the detail {}", detail.as_str()),
            (Some(error), None) => format!("the error {error:?}"),
            (None, result) => result.map_or("null", Json::as_str).to_owned(),
        };
        let (holds, wanted) = match &self.expected {
            Expected::Result(wanted) => {
                (error.is_none() && same(wanted, value.as_ref().unwrap_or(&Value::Null)), wanted.to_string())
            }
            Expected::Error(wanted, None) => (error == Some(wanted), format!("the error {wanted:?}")),
            Expected::Error(wanted, Some(detail)) => (
                error == Some(wanted) && value.as_ref().is_some_and(|value| same(detail, value)),
                format!("the error {wanted:?} with the detail {detail}"),
            ),
        };
        (!holds).then(|| format!("expected {wanted}, got {got}"))
    }
}

/// Equal as JSON: 1 and 1.0 are the same number, which languages write as they like.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, value)| other.get(name).is_some_and(|other| same(value, other)))
        }
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(case: &str, result: Option<&str>, error: Option<&str>) -> Option<String> {
        let result = result.map(|text| Json::parse(text.to_owned()).expect("JSON"));
        Case::parse(1, case).expect("a case").fault(result.as_ref(), error)
    }

    #[test]
    fn ends_are_compared_as_json() {
        assert_eq!(fault(r#"{"result": {"a": [1.0, null]}}"#, Some(r#"{"a":[1,null]}"#), None), None);
        assert_eq!(fault(r#"{"result": null}"#, Some("null"), None), None);
        assert_eq!(fault(r#"{"error": "no"}"#, Some("{}"), Some("no")), None);
        assert_eq!(fault(r#"{"error": "no", "detail": 1}"#, Some("1"), Some("no")), None);
        for (case, result, error, words) in [
            (r#"{"result": 1}"#, Some("2"), None, "expected 1, got 2"),
            (r#"{"result": 1}"#, None, Some("no"), "expected 1, got the error \"no\""),
            (r#"{"result": {"a": 1}}"#, Some(r#"{"a":1,"b":2}"#), None, "expected"),
            (r#"{"error": "no", "detail": null}"#, None, Some("no"), "with the detail null"),
            (r#"{"error": "no"}"#, Some("1"), None, "got 1"),
        ] {
            let said = fault(case, result, error).unwrap_or_default();
            assert!(said.contains(words), "{case}: {said}");
        }
    }

    #[test]
    fn a_line_that_is_no_case_is_refused() {
        for bad in ["{", "{}", r#"{"result": 1, "error": "x"}"#, r#"{"result": 1, "detail": 1}"#, r#"{"reslut": 1}"#] {
            assert!(Case::parse(1, bad).is_err(), "{bad}");
        }
    }
}
