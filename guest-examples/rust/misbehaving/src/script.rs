//! Reports what the input says, call by call: nothing of it is bad in itself, but no honest component would ask for some of it.
//!
//! `{"mode": "script", "calls": [["begin", 7, 80], ["tick", 1], ["get"], ["log", "warn", "text", {"name": "value"}], …]}`.
//! The result is a list of what each `get` returned.

use serde_json::{Value, json};

use crate::sandpool::route::log::Level;
use crate::sandpool::route::{events, log, progress};
use crate::system::{print_to, sleep};
use crate::wasi::cli::{stderr, stdout};
use crate::{Failure, failure};

const LEVELS: [(&str, Level); 5] = [
    ("trace", Level::Trace),
    ("debug", Level::Debug),
    ("info", Level::Info),
    ("warn", Level::Warn),
    ("error", Level::Error),
];

pub fn run(input: &Value) -> Result<String, Failure> {
    let calls = input.get("calls").and_then(Value::as_array);
    let calls = calls.ok_or_else(|| failure("calls must be a list", json!({ "field": "calls" })))?;
    let mut got = Vec::new();
    for call in calls {
        got.extend(one(call)?);
    }
    Ok(Value::from(got).to_string())
}

fn one(call: &Value) -> Result<Option<Value>, Failure> {
    let at = |index: usize| call.get(index).unwrap_or(&Value::Null);
    let text = |index: usize| at(index).as_str().unwrap_or("");
    let whole = |index: usize| u32::try_from(at(index).as_u64().unwrap_or(0)).unwrap_or(u32::MAX);
    match text(0) {
        "set" => progress::set(number(at(1))),
        "begin" => progress::begin(whole(1), number(at(2))),
        "tick" => progress::tick(whole(1)),
        "timed" => progress::timed(number(at(1)), number(at(2))),
        "get" => return Ok(Some(Value::from(progress::get()))),
        "log" => log::write(level(text(1)), text(2), &fields(at(3))),
        "event" => events::send(text(1), &at(2).to_string()),
        "stdout" => print_to(&stdout::get_stdout(), text(1))?,
        "stderr" => print_to(&stderr::get_stderr(), text(1))?,
        "sleep-ms" => drop(sleep(&json!({ "ms": at(1) }))?),
        "fail" => return Err(failure(text(1), json!({}))),
        _ => return Err(failure(format!("{call} is no call"), json!({ "field": "calls" }))),
    }
    Ok(None)
}

/// JSON cannot say all numbers: `"NaN"`, `"inf"` and the like are texts.
fn number(value: &Value) -> f64 {
    let parsed = value.as_str().and_then(|text| text.parse().ok());
    parsed.or_else(|| value.as_f64()).unwrap_or(f64::NAN)
}

fn level(name: &str) -> Level {
    LEVELS.iter().find(|(known, _)| *known == name).map_or(Level::Info, |(_, level)| *level)
}

fn fields(value: &Value) -> Vec<(String, String)> {
    let fields = value.as_object().into_iter().flatten();
    fields.map(|(name, value)| (name.clone(), value.as_str().unwrap_or("").to_owned())).collect()
}
