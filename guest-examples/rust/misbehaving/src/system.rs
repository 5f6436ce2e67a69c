//! Uses what WASI has: clocks, standard streams, the environment.

use serde_json::{Map, Value, json};

use crate::wasi::cli::environment::{get_arguments, get_environment};
use crate::wasi::cli::{exit, stderr, stdin, stdout};
use crate::wasi::clocks::monotonic_clock;
use crate::wasi::filesystem::preopens;
use crate::wasi::io::streams::OutputStream;
use crate::{Failure, failure, number};

const NANOSECONDS_PER_MILLISECOND: u64 = 1_000_000;

/// Waits for ten years, inside the host.
pub fn poll_forever() -> String {
    let ten_years = 10 * 365 * 24 * 60 * 60 * 1000 * NANOSECONDS_PER_MILLISECOND;
    monotonic_clock::subscribe_duration(ten_years).block();
    json!({ "waited": "ten years" }).to_string()
}

/// Reads standard input for ever, whether or not there is any.
pub fn read_stdin() -> ! {
    let stdin = stdin::get_stdin();
    loop {
        let _ = stdin.blocking_read(1);
    }
}

/// Ends the component on the spot, with success if `ok` in the input is true.
pub fn exit_now(input: &Value) -> Result<String, Failure> {
    let ok = input.get("ok").and_then(Value::as_bool).unwrap_or(false);
    exit::exit(if ok { Ok(()) } else { Err(()) });
    Err(failure("exit returned", json!({})))
}

/// Keeps the processor busy for `ms` milliseconds, 100 by default.
pub fn spin(input: &Value) -> Result<String, Failure> {
    let ms = number(input, "ms", 100)?;
    let start = monotonic_clock::now();
    let length = ms.saturating_mul(NANOSECONDS_PER_MILLISECOND);
    let mut rounds = 0u64;
    while monotonic_clock::now().saturating_sub(start) < length {
        rounds = std::hint::black_box(rounds.wrapping_add(1));
    }
    Ok(json!({ "spun": ms }).to_string())
}

/// Sleeps for `ms` milliseconds, 100 by default, without using the processor.
pub fn sleep(input: &Value) -> Result<String, Failure> {
    let ms = number(input, "ms", 100)?;
    let length = ms.saturating_mul(NANOSECONDS_PER_MILLISECOND);
    monotonic_clock::subscribe_duration(length).block();
    Ok(json!({ "slept": ms }).to_string())
}

/// Prints `lines` lines, 3 by default, to standard output and to standard error.
pub fn print(input: &Value) -> Result<String, Failure> {
    let lines = number(input, "lines", 3)?;
    let (out, err) = (stdout::get_stdout(), stderr::get_stderr());
    for i in 1..=lines {
        print_to(&out, &format!("stdout line {i}\n"))?;
        print_to(&err, &format!("stderr line {i}\n"))?;
    }
    Ok(json!({ "lines": lines }).to_string())
}

/// Prints to one of the standard streams, at most 4096 bytes.
pub fn print_to(stream: &OutputStream, line: &str) -> Result<(), Failure> {
    let written = stream.blocking_write_and_flush(line.as_bytes());
    written.map_err(|_| failure("a standard stream is closed", json!({})))
}

/// Everything that is granted through the environment, the arguments and the opened directories.
pub fn environment() -> String {
    let variables: Map<String, Value> =
        get_environment().into_iter().map(|(name, value)| (name, Value::from(value))).collect();
    let directories: Vec<String> = preopens::get_directories().into_iter().map(|(_, path)| path).collect();
    json!({ "env": variables, "args": get_arguments(), "preopens": directories }).to_string()
}
