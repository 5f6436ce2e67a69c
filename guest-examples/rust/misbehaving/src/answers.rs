//! Answers that are too long, not JSON, or failures.

use serde_json::{Value, json};

use crate::{Failure, failure, number};

/// What is returned where JSON is called for.
pub const BAD_JSON: &str = "{this is not JSON";

/// A JSON text of `bytes` bytes in all, 64 MiB unless the input says otherwise.
pub fn huge_result(input: &Value) -> Result<String, Failure> {
    let bytes = usize::try_from(number(input, "bytes", 64 << 20)?).unwrap_or(usize::MAX);
    let mut text = String::with_capacity(bytes);
    text.push('"');
    text.extend(std::iter::repeat_n('x', bytes.saturating_sub(2)));
    text.push('"');
    Ok(text)
}

/// A failure like any other.
pub fn fail() -> Failure {
    failure("failed as it was told to", json!({ "code": 42 }))
}

/// Fails on the attempts before the one numbered `n`, 2 unless the input says otherwise.
pub fn fail_until(input: &Value, attempt: u32) -> Result<String, Failure> {
    let wanted = number(input, "n", 2)?;
    if u64::from(attempt) < wanted {
        return Err(failure(
            format!("attempt {attempt} fails, attempt {wanted} will not"),
            json!({ "attempt": attempt }),
        ));
    }
    Ok(json!({ "attempt": attempt }).to_string())
}
