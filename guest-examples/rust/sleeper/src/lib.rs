//! Three routes in one: sleeps, then answers with a message. The parameters come from wherever the route's
//! configuration puts them: its `arguments`, the variables it captures with `using`, or the shared state.

use std::time::Duration;

use serde_json::{Value, json};

// Later paths build on earlier ones: this component's own world, in `wit`, includes Sandpool's.
wit_bindgen::generate!({
    path: ["../../../wit", "wit"],
    world: "example:sleeper/sleeper",
    generate_all,
});

use sandpool::route::log::{self, Level};
use sandpool::route::progress;
use sandpool::route::state::StateError;
use wasi::clocks::monotonic_clock;

struct Sleeper;

export!(Sleeper);

/// What to do, wherever it was found.
struct Plan {
    /// How long to sleep each time.
    time: Duration,
    /// How many times.
    times: u32,
    /// The result.
    message: Value,
}

impl Guest for Sleeper {
    fn run(args: Args, state: State) -> Result<String, Failure> {
        let plan = plan(&args, &state)?;
        log(format!("sleepTime={}", plan.time.as_secs_f64()));
        log(format!("Message={}", plain(&plan.message)));
        sleep_with_progress(&plan);
        Ok(json!({ "InnerValue": plan.message }).to_string())
    }
}

/// Looks into the arguments first, then into the captured variables, then into the shared state.
fn plan(args: &Args, state: &State) -> Result<Plan, Failure> {
    let arguments = object("arguments", &args.arguments)?;
    if arguments.get("sleepTime2").is_some() {
        return Ok(Plan {
            time: seconds("arguments", &arguments, "sleepTime2")?,
            times: times(&arguments)?,
            message: message("arguments", &arguments, "Message")?,
        });
    }
    let variables = object("variables", &args.variables)?;
    if variables.get("uSleepTime").is_some() {
        return Ok(Plan {
            time: seconds("variables", &variables, "uSleepTime")?,
            times: 1,
            message: message("variables", &variables, "uMessage")?,
        });
    }
    let data = data_of(state)?;
    Ok(Plan {
        time: seconds("state data", &data, "sleepTime")?,
        times: 1,
        message: message("state data", &data, "Message")?,
    })
}

/// The value of the shared variable `data`.
fn data_of(state: &State) -> Result<Value, Failure> {
    let nowhere = "no parameters: neither sleepTime2 among the route's arguments, nor uSleepTime among its \
                   variables";
    match state.get("data") {
        Ok(Some(found)) => object("state data", &found.value),
        Ok(None) => Err(failure(format!("{nowhere}, and the state variable data does not exist"), "data")),
        Err(StateError::Denied) => {
            Err(failure(format!("{nowhere}, and the state variable data is not granted"), "data"))
        }
        Err(StateError::Conflict(_)) => Err(failure("the state variable data was in use", "data")),
        Err(StateError::Unavailable(why)) => {
            Err(failure(format!("the state variable data cannot be read: {why}"), "data"))
        }
    }
}

/// Sleeps as planned; the progress follows the clock.
fn sleep_with_progress(plan: &Plan) {
    progress::timed(plan.time.as_secs_f64() * f64::from(plan.times), 100.0);
    for _ in 0..plan.times {
        sleep(plan.time);
    }
}

/// `std::thread::sleep` panics on wasm32-unknown-unknown: there is no clock in the language itself. WASI has one.
fn sleep(time: Duration) {
    let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    monotonic_clock::subscribe_duration(nanoseconds).block();
}

fn object(place: &str, text: &str) -> Result<Value, Failure> {
    match serde_json::from_str(text) {
        Ok(value @ Value::Object(_)) => Ok(value),
        _ => Err(failure(format!("{place} must be an object"), place)),
    }
}

/// A number of seconds; fractions are welcome.
fn seconds(place: &str, object: &Value, name: &str) -> Result<Duration, Failure> {
    let number = object.get(name).and_then(Value::as_f64);
    number
        .and_then(|number| Duration::try_from_secs_f64(number).ok())
        .ok_or_else(|| failure(format!("{name} in the {place} must be a number of seconds, 0 or more"), name))
}

/// How many times to sleep: the optional argument `times`.
fn times(arguments: &Value) -> Result<u32, Failure> {
    let Some(given) = arguments.get("times") else { return Ok(1) };
    let number = given.as_u64().and_then(|number| u32::try_from(number).ok());
    number.ok_or_else(|| failure("times in the arguments must be an integer, 0 or more", "times"))
}

fn message(place: &str, object: &Value, name: &str) -> Result<Value, Failure> {
    let found = object.get(name).cloned();
    found.ok_or_else(|| failure(format!("{name} is missing in the {place}"), name))
}

/// A value as one would print it: a text without its quotes.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn log(line: String) {
    log::write(Level::Info, &line, &[]);
}

fn failure(message: impl Into<String>, field: &str) -> Failure {
    Failure { message: message.into(), detail: Some(json!({ "field": field }).to_string()) }
}
