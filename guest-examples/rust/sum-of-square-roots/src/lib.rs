//! The classic long computation: sums the square roots of all integers from `Start` to `End`, and shows how far it is.

use serde_json::{Value, json};

wit_bindgen::generate!({ path: "../../../wit", world: "route" });

use sandpool::route::progress;

/// How often the progress is reported, at most.
const STEPS: u64 = 100;

/// The largest integer up to which a 64-bit float holds each one exactly.
const LARGEST: u64 = 1 << 53;

struct SumOfSquareRoots;

export!(SumOfSquareRoots);

impl Guest for SumOfSquareRoots {
    fn run(args: Args, _state: State) -> Result<String, Failure> {
        let (start, end) = range(&args)?;
        let sum = sum_of_square_roots(start, end);
        Ok(json!({ "InnerValue": sum }).to_string())
    }
}

/// Sums in steps of about the same size and reports each one. Adding up the steps' own sums also keeps the
/// rounding error small.
fn sum_of_square_roots(start: u64, end: u64) -> f64 {
    let count = end - start + 1;
    let steps = count.min(STEPS);
    progress::begin(steps as u32, 100.0);
    let mut sum = 0.0;
    for step in 0..steps {
        let from = start + count * step / steps;
        let to = start + count * (step + 1) / steps;
        sum += (from..to).map(|i| (i as f64).sqrt()).sum::<f64>();
        progress::tick(1);
    }
    sum
}

/// Reads `Start` and `End` and checks them against each other.
fn range(args: &Args) -> Result<(u64, u64), Failure> {
    let input: Value = serde_json::from_str(&args.input)
        .map_err(|error| failure(format!("the input is not JSON: {error}"), json!({})))?;
    if !(input.is_object() || input.is_null()) {
        return Err(failure("the input must be an object with Start and End", json!({ "field": "", "got": input })));
    }
    let start = integer("Start", 1, &input, &args.request.query)?;
    let end = integer("End", 10_000_000, &input, &args.request.query)?;
    if start > end {
        return Err(failure(
            format!("Start must not be above End: {start} > {end}"),
            json!({ "field": "Start", "expected": format!("at most End, {end}"), "got": start }),
        ));
    }
    Ok((start, end))
}

/// The integer called `name`: from the input, else from the request's query, else the default.
fn integer(name: &str, default: u64, input: &Value, query: &[(String, String)]) -> Result<u64, Failure> {
    let given = match input.get(name) {
        Some(value) => value.clone(),
        None => match query.iter().find(|(key, _)| key == name) {
            Some((_, text)) => Value::from(text.as_str()),
            None => return Ok(default),
        },
    };
    let number = match &given {
        // The fields of a form and of a query are texts.
        Value::String(text) => text.trim().parse().ok(),
        // JSON knows no integers: 10 and 10.0 and 1e1 are the same number.
        Value::Number(number) => number.as_u64().or_else(|| whole(number.as_f64()?)),
        _ => None,
    };
    number.filter(|&number| number <= LARGEST).ok_or_else(|| {
        failure(
            format!("{name} must be an integer from 0 to {LARGEST}, not {given}"),
            json!({ "field": name, "expected": format!("an integer from 0 to {LARGEST}"), "got": given }),
        )
    })
}

/// A float that is an integer in the range of this route.
fn whole(number: f64) -> Option<u64> {
    let fits = number.fract() == 0.0 && (0.0..=LARGEST as f64).contains(&number);
    fits.then_some(number as u64)
}

fn failure(message: impl Into<String>, detail: Value) -> Failure {
    Failure { message: message.into(), detail: Some(detail.to_string()) }
}
