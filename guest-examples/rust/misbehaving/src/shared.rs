//! Uses the shared variables in ways that they are not meant for.

use serde_json::{Value, json};

use crate::sandpool::route::state::StateError;
use crate::{Failure, State, number};

/// Sets variables `flood-0`, `flood-1` and so on, `count` of them with `bytes` bytes each, or always the variable
/// `name` when the input has one. Says how many calls went well, how many did not, and why the last one did not.
pub fn flood(input: &Value, state: &State) -> Result<String, Failure> {
    let count = number(input, "count", 10_000)?;
    let bytes = usize::try_from(number(input, "bytes", 100)?).unwrap_or(usize::MAX);
    let name = input.get("name").and_then(Value::as_str);
    let value = Value::from("x".repeat(bytes.saturating_sub(2))).to_string();
    let mut set = 0;
    let mut last_error = Value::Null;
    for i in 0..count {
        let name = name.map_or_else(|| format!("flood-{i}"), str::to_owned);
        match state.set(&name, &value) {
            Ok(_) => set += 1,
            Err(error) => last_error = told(error),
        }
    }
    Ok(json!({ "set": set, "refused": count - set, "lastError": last_error }).to_string())
}

/// Reads a variable that the route has probably not been granted, `name` in the input, and tells what came of it.
pub fn denied(input: &Value, state: &State) -> Result<String, Failure> {
    let name = input.get("name").and_then(Value::as_str);
    let answer = match state.get(name.unwrap_or("not-granted")) {
        Ok(None) => json!({ "value": null }),
        Ok(Some(found)) => {
            let value: Value = serde_json::from_str(&found.value).unwrap_or(Value::Null);
            json!({ "value": value, "version": found.version })
        }
        Err(error) => told(error),
    };
    Ok(answer.to_string())
}

/// Keeps the handle beyond the end of the call.
pub fn forget_handle(state: State) -> String {
    std::mem::forget(state);
    json!({ "forgotten": true }).to_string()
}

fn told(error: StateError) -> Value {
    match error {
        StateError::Denied => json!({ "error": "denied" }),
        StateError::Conflict(version) => json!({ "error": "conflict", "version": version }),
        StateError::Unavailable(why) => json!({ "error": "unavailable", "message": why }),
    }
}
