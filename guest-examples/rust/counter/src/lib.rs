//! Counts in a shared variable. Other tasks may count in it at the same moment, on other hosts too: nothing gets lost,
//! because each write says which version it builds on (compare-and-set).

use serde_json::{Value, json};

wit_bindgen::generate!({ path: "../../../wit", world: "route" });

use sandpool::route::state::StateError;

/// After so many conflicts in a row something is wrong; no queue of writers is that long.
const ATTEMPTS: u32 = 1000;

struct Counter;

export!(Counter);

impl Guest for Counter {
    fn run(args: Args, state: State) -> Result<String, Failure> {
        let name = name(&args.arguments)?;
        let by = step(&args.input)?;
        for _ in 0..ATTEMPTS {
            let before = state.get(&name).map_err(|error| refused(&name, error))?;
            let value = match &before {
                Some(found) => number(&name, &found.value)?,
                None => 0,
            };
            let value = value.checked_add(by).ok_or_else(|| {
                failure(format!("{name} would leave the range of 64 bits"), json!({ "value": value, "by": by }))
            })?;
            let expected = before.map(|found| found.version);
            match state.update(&name, expected, &value.to_string()) {
                Ok(version) => return Ok(json!({ "value": value, "version": version }).to_string()),
                // Someone else was faster: begin again with the value that is there now.
                Err(StateError::Conflict(_)) => {}
                Err(error) => return Err(refused(&name, error)),
            }
        }
        Err(failure(format!("{name} changed {ATTEMPTS} times in between"), json!({ "variable": name })))
    }
}

/// The variable to count in: the argument `name`, else `counter`.
fn name(arguments: &str) -> Result<String, Failure> {
    match parsed("arguments", arguments)?.get("name") {
        None => Ok("counter".to_owned()),
        Some(Value::String(name)) => Ok(name.clone()),
        Some(other) => Err(failure("the argument name must be a text", json!({ "field": "name", "got": other }))),
    }
}

/// How much to add: `by` in the input, else 1. The field of a form is a text, which will do as well.
fn step(input: &str) -> Result<i64, Failure> {
    let input = parsed("input", input)?;
    let Some(by) = input.get("by") else { return Ok(1) };
    let number = by.as_i64().or_else(|| by.as_str()?.trim().parse().ok());
    number.ok_or_else(|| failure("by must be an integer of 64 bits", json!({ "field": "by", "got": by })))
}

/// The variable's present value.
fn number(name: &str, text: &str) -> Result<i64, Failure> {
    let value = parsed(name, text)?;
    value.as_i64().ok_or_else(|| failure(format!("{name} does not hold an integer"), json!({ "value": value })))
}

fn parsed(what: &str, text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text)
        .map_err(|error| failure(format!("{what} is not JSON: {error}"), json!({ "field": what })))
}

/// A failure that tells what became of the variable.
fn refused(name: &str, error: StateError) -> Failure {
    let detail = json!({ "variable": name });
    match error {
        StateError::Denied => failure(format!("this route may not read and write {name}"), detail),
        StateError::Conflict(version) => failure(format!("{name} is at version {version} already"), detail),
        StateError::Unavailable(why) => failure(format!("{name} cannot be used: {why}"), detail),
    }
}

fn failure(message: impl Into<String>, detail: Value) -> Failure {
    Failure { message: message.into(), detail: Some(detail.to_string()) }
}
