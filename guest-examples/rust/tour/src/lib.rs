//! The tour in Rust: what every language shows. `../../../README.md` says what each behaviour is.

use sandpool_sdk::log::{self, Level};
use sandpool_sdk::{Args, Failure, Route, State, StateError, conflict, http, progress, send};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

struct Tour;

sandpool_sdk::export!(Tour);

/// What `input.json` says.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
enum Input {
    Echo(Map<String, Value>),
    Sum(Sum),
    Cas(Cas),
    Events(Events),
    Fetch(Fetch),
    Fail { message: String, detail: Option<Value> },
    Raise { message: String },
    Loop,
}

#[derive(Deserialize)]
struct Sum {
    from: u64,
    to: u64,
    level: Option<String>,
}

#[derive(Deserialize)]
struct Cas {
    name: String,
    by: Option<i64>,
    set: Option<Value>,
    reads: Option<u32>,
    /// Absent, or null, or a version.
    #[serde(default, deserialize_with = "present")]
    expected: Option<Option<u64>>,
}

#[derive(Deserialize)]
struct Events {
    count: Option<u64>,
}

#[derive(Deserialize)]
struct Fetch {
    url: String,
    method: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<String>,
}

/// A field that is there, null or not.
fn present<'de, D: serde::Deserializer<'de>>(field: D) -> Result<Option<Option<u64>>, D::Error> {
    Option::deserialize(field).map(Some)
}

impl Route for Tour {
    type Input = Input;
    type Output = Value;

    const SUMMARY: &'static str = "Tour of the guest interface";
    const DESCRIPTION: &'static str = "Shows what a component can do: `do` says what.";
    const INPUT_SCHEMA: Option<&'static str> = Some(include_str!("input.json"));
    const RESULT_SCHEMA: Option<&'static str> = Some(include_str!("result.json"));

    fn run(input: Input, args: &Args, state: &State) -> Result<Value, Failure> {
        match input {
            Input::Echo(fields) => echo(&fields, args, state),
            Input::Sum(range) => sum(&range),
            Input::Cas(write) => compare_and_set(&write, state),
            Input::Events(events) => Ok(tell(events.count.unwrap_or(3))),
            Input::Fetch(question) => fetch(question),
            Input::Fail { message, detail } => {
                let failure = Failure::new(message);
                Err(match detail {
                    Some(detail) => failure.with(detail),
                    None => failure,
                })
            }
            // An error of any other kind: `?` makes a failure of it.
            Input::Raise { message } => Err(std::io::Error::other(message))?,
            Input::Loop => loop {
                std::hint::spin_loop();
            },
        }
    }
}

fn echo(fields: &Map<String, Value>, args: &Args, state: &State) -> Result<Value, Failure> {
    let name = fields.get("name").and_then(Value::as_str).unwrap_or("world");
    let user = args
        .user
        .as_ref()
        .map(|user| json!({"id": user.id, "groups": user.groups, "roles": user.roles, "scopes": user.scopes}));
    let request = &args.request;
    Ok(json!({
        "greeting": format!("Hello, {name}!"),
        "value": fields.get("value"),
        "task": args.task_id,
        "attempt": args.attempt,
        "arguments": serde_json::from_str::<Value>(&args.arguments)?,
        "variables": serde_json::from_str::<Value>(&args.variables)?,
        "names": state.names(),
        "user": user,
        "request": {
            "method": request.method,
            "url": request.url,
            "path": request.path_parameters,
            "query": request.query,
            "headers": request.headers,
        },
    }))
}

fn sum(range: &Sum) -> Result<Value, Failure> {
    let &Sum { from, to, .. } = range;
    if from > to {
        let failure = Failure::new(format!("from must not be above to: {from} > {to}"));
        return Err(failure.with(json!({"from": from, "to": to})));
    }
    let level = match range.level.as_deref() {
        Some("trace") => Level::Trace,
        Some("debug") => Level::Debug,
        Some("warn") => Level::Warn,
        Some("error") => Level::Error,
        _ => Level::Info,
    };
    let fields = [("from".to_owned(), from.to_string()), ("to".to_owned(), to.to_string())];
    log::write(level, &format!("summing the square roots of {from} to {to}"), &fields);
    let count = to - from + 1;
    let (mut sum, mut halfway) = (0.0, 0.0);
    progress::begin(10, 90.0);
    for tenth in 0..10 {
        for i in from + count * tenth / 10..from + count * (tenth + 1) / 10 {
            sum += (i as f64).sqrt();
        }
        progress::tick(1);
        if tenth == 4 {
            halfway = progress::get();
        }
    }
    progress::set(95.0);
    Ok(json!({"sum": sum, "halfway": halfway, "progress": progress::get()}))
}

fn compare_and_set(write: &Cas, state: &State) -> Result<Value, Failure> {
    let name = &write.name;
    let by = write.by.unwrap_or(1);
    for _ in 0..write.reads.unwrap_or(0) {
        state.get(name)?;
    }
    if let Some(value) = &write.set {
        let version = state.set(name, value)?;
        return Ok(json!({"value": value, "version": version}));
    }
    loop {
        let (expected, value) = match write.expected {
            Some(expected) => (expected, by),
            None => match state.get(name)? {
                Some(found) => (Some(found.version), found.value.as_i64().unwrap_or(0) + by),
                None => (None, by),
            },
        };
        match state.update(name, expected, &json!(value)) {
            Ok(version) => return Ok(json!({"value": value, "version": version})),
            // Another task came first: begin again with the value that is there now.
            Err(StateError::Conflict(_)) if write.expected.is_none() => {}
            Err(StateError::Conflict(version)) => return Err(conflict(name, version)),
            Err(StateError::Refused(failure)) => return Err(failure),
        }
    }
}

fn tell(count: u64) -> Value {
    for number in 1..=count {
        send("tour", &json!({"number": number, "of": count}));
    }
    json!({"sent": count})
}

fn fetch(question: Fetch) -> Result<Value, Failure> {
    let mut request = http::Request::new(question.method.as_deref().unwrap_or("GET"), &question.url);
    for (name, value) in &question.headers {
        request = request.header(name, value);
    }
    if let Some(body) = question.body {
        request = request.body(body);
    }
    let response = request.send()?;
    Ok(json!({"status": response.status, "headers": response.headers, "body": response.text()?}))
}
