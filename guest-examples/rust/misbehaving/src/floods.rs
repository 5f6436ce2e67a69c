//! Calls the host far more often than anyone could want to know. `count` says how often, a million times by default;
//! with `"endless": true` until it is stopped.

use serde_json::{Value, json};

use crate::sandpool::route::log::Level;
use crate::sandpool::route::{events, log, progress};
use crate::system::print_to;
use crate::wasi::cli::stdout;
use crate::{Failure, number};

const DEFAULT: u64 = 1_000_000;

/// Writes log lines, each with its number, and filled up to `bytes` bytes.
pub fn log(input: &Value) -> Result<String, Failure> {
    let filling = filling(input)?;
    flood(input, |i| {
        log_line(i, &filling);
        Ok(())
    })
}

fn log_line(i: u64, filling: &str) {
    log::write(Level::Info, &format!("line {i}{filling}"), &[("i".to_owned(), i.to_string())]);
}

/// Reports progress, a little more each time.
pub fn progress(input: &Value) -> Result<String, Failure> {
    let count = count(input)?;
    flood(input, |i| {
        set_progress(i, count);
        Ok(())
    })
}

/// Without an end in sight it comes ever closer to 100.
fn set_progress(i: u64, count: Option<u64>) {
    let of = count.unwrap_or(i + DEFAULT);
    progress::set(100.0 * (i + 1) as f64 / of as f64);
}

/// Reports the ticks of one phase that ends at 100 per cent.
pub fn ticks(input: &Value) -> Result<String, Failure> {
    progress::begin(u32::try_from(count(input)?.unwrap_or(u64::MAX)).unwrap_or(u32::MAX), 100.0);
    flood(input, |_| {
        progress::tick(1);
        Ok(())
    })
}

/// Sends events called `flood`, each with its number as data, or with a map of `bytes` bytes.
pub fn events(input: &Value) -> Result<String, Failure> {
    let filling = filling(input)?;
    flood(input, |i| {
        send(i, &filling);
        Ok(())
    })
}

fn send(i: u64, filling: &str) {
    if filling.is_empty() {
        events::send("flood", &i.to_string());
    } else {
        events::send("flood", &format!(r#"{{"i":{i},"filling":"{filling}"}}"#));
    }
}

/// Prints lines, each with its number, and filled up to `bytes` bytes. With `"empty": true` each call prints as many
/// empty lines as it can.
pub fn stdout(input: &Value) -> Result<String, Failure> {
    let out = stdout::get_stdout();
    if input.get("empty").is_some_and(|empty| *empty == Value::Bool(true)) {
        let lines = "\n".repeat(4096);
        return flood(input, |_| print_to(&out, &lines));
    }
    let filling = filling(input)?;
    flood(input, |i| print_to(&out, &format!("line {i}{filling}\n")))
}

/// Progress, an event and a line of log, in turns.
pub fn all(input: &Value) -> Result<String, Failure> {
    let (filling, count) = (filling(input)?, count(input)?);
    flood(input, |i| {
        set_progress(i, count);
        send(i, &filling);
        log_line(i, &filling);
        Ok(())
    })
}

fn filling(input: &Value) -> Result<String, Failure> {
    let bytes = usize::try_from(number(input, "bytes", 0)?).unwrap_or(usize::MAX);
    Ok(std::iter::repeat_n('x', bytes).collect())
}

/// How many calls; none: without end.
fn count(input: &Value) -> Result<Option<u64>, Failure> {
    let is_endless = input.get("endless").is_some_and(|endless| *endless == Value::Bool(true));
    if is_endless { Ok(None) } else { number(input, "count", DEFAULT).map(Some) }
}

fn flood(input: &Value, call: impl Fn(u64) -> Result<(), Failure>) -> Result<String, Failure> {
    let count = count(input)?.unwrap_or(u64::MAX);
    for i in 0..count {
        call(i)?;
    }
    Ok(json!({ "calls": count }).to_string())
}
