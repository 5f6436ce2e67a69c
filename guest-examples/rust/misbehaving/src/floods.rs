//! Calls the host far more often than anyone could want to know. `count` says how often, a million times by default.

use serde_json::{Value, json};

use crate::sandpool::route::log::Level;
use crate::sandpool::route::{events, log, progress};
use crate::{Failure, number};

const DEFAULT: u64 = 1_000_000;

/// Writes log lines, each with its number.
pub fn log(input: &Value) -> Result<String, Failure> {
    flood(input, |i, _| {
        log::write(Level::Info, &format!("line {i}"), &[("i".to_owned(), i.to_string())]);
    })
}

/// Reports progress, a little more each time.
pub fn progress(input: &Value) -> Result<String, Failure> {
    flood(input, |i, count| {
        progress::set(100.0 * (i + 1) as f64 / count as f64);
    })
}

/// Sends events called `flood`, each with its number as data.
pub fn events(input: &Value) -> Result<String, Failure> {
    flood(input, |i, _| events::send("flood", &i.to_string()))
}

fn flood(input: &Value, call: impl Fn(u64, u64)) -> Result<String, Failure> {
    let count = number(input, "count", DEFAULT)?;
    for i in 0..count {
        call(i, count);
    }
    Ok(json!({ "calls": count }).to_string())
}
