//! Makes the host keep things: handles, and memory that is not the component's own.

use serde_json::{Value, json};

use crate::wasi::clocks::monotonic_clock;
use crate::wasi::http::types::{Fields, Method, OutgoingRequest, Scheme};
use crate::wasi::io::poll::Pollable;
use crate::wasi::random::random;
use crate::{Failure, failure, number};

/// Takes `count` handles, 10,000 by default, and keeps them.
pub fn handles(input: &Value) -> Result<String, Failure> {
    let count = number(input, "count", 10_000)?;
    let kept: Vec<Pollable> = (0..count).map(|_| monotonic_clock::subscribe_duration(u64::MAX)).collect();
    Ok(json!({ "kept": kept.len() }).to_string())
}

/// Makes the host keep as much as it will: by `way`, `count` times, `bytes` each.
pub fn host_memory(input: &Value) -> Result<String, Failure> {
    let way = input.get("way").and_then(Value::as_str).unwrap_or("");
    let count = number(input, "count", 400)?;
    let bytes = usize::try_from(number(input, "bytes", 1 << 20)?).unwrap_or(usize::MAX);
    let text = "x".repeat(bytes);
    let mut requests = Vec::new();
    let mut fields = Vec::new();
    let mut refused = 0;
    for _ in 0..count {
        let request = || OutgoingRequest::new(Fields::new());
        let taken = match way {
            "method" => keep(&mut requests, request(), |request| request.set_method(&Method::Other(text.clone()))),
            "scheme" => {
                keep(&mut requests, request(), |request| request.set_scheme(Some(&Scheme::Other(text.clone()))))
            }
            "authority" => keep(&mut requests, request(), |request| request.set_authority(Some(&text))),
            "path" => keep(&mut requests, request(), |request| request.set_path_with_query(Some(&format!("/{text}")))),
            "fields" => keep(&mut fields, Fields::new(), |fields| fields.append("x", text.as_bytes()).map_err(drop)),
            "random" => Ok(drop(random::get_random_bytes(bytes as u64))),
            other => return Err(failure(format!("{other} is no way"), json!({ "field": "way" }))),
        };
        refused += u64::from(taken.is_err());
    }
    Ok(json!({ "kept": requests.len() + fields.len(), "refused": refused }).to_string())
}

fn keep<T>(kept: &mut Vec<T>, thing: T, fill: impl Fn(&T) -> Result<(), ()>) -> Result<(), ()> {
    let filled = fill(&thing);
    kept.push(thing);
    filled
}
