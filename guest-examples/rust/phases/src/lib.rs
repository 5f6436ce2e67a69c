//! Shows all that a client can follow: progress in two phases, a line of log and an event of its own at each step.
//!
//! The input, all of it optional: `{"steps": 7, "pause_ms": 100, "seconds": 1}`.

use std::time::Duration;

use serde_json::{Value, json};

// Later paths build on earlier ones: this component's own world, in `wit`, includes Sandpool's.
wit_bindgen::generate!({
    path: ["../../../wit", "wit"],
    world: "example:phases/phases",
    generate_all,
});

use sandpool::route::log::{self, Level};
use sandpool::route::{events, progress};
use wasi::clocks::monotonic_clock;

/// Where the first phase ends, in per cent.
const FIRST_ENDS: f64 = 80.0;

struct Phases;

export!(Phases);

/// What to do.
struct Plan {
    /// How many ticks the first phase has.
    steps: u32,
    /// How long each of them takes.
    pause: Duration,
    /// How long the second phase takes.
    rest: Duration,
}

impl Guest for Phases {
    fn run(args: Args, _state: State) -> Result<String, Failure> {
        let plan = plan(&args)?;
        // To 80 per cent by ticks: the host divides what is left by their number.
        progress::begin(plan.steps, FIRST_ENDS);
        for step in 1..=plan.steps {
            sleep(plan.pause);
            progress::tick(1);
            log::write(
                Level::Info,
                &format!("step {step} of {}", plan.steps),
                &[("step".to_owned(), step.to_string())],
            );
            events::send("step", &json!({ "step": step, "of": plan.steps }).to_string());
        }
        // To the end by the clock: the host advances it, even while this component sleeps.
        log::write(Level::Info, &format!("waiting {} s", plan.rest.as_secs_f64()), &[]);
        progress::timed(plan.rest.as_secs_f64(), 100.0);
        sleep(plan.rest);
        Ok(json!({ "steps": plan.steps }).to_string())
    }
}

fn plan(args: &Args) -> Result<Plan, Failure> {
    let input: Value = serde_json::from_str(&args.input)
        .map_err(|error| failure(format!("the input is not JSON: {error}"), json!({})))?;
    let steps = number("steps", 7.0, &input)?;
    if steps.fract() != 0.0 || steps > f64::from(u32::MAX) {
        return Err(failure(format!("steps must be an integer, 0 or more, not {steps}"), json!({ "field": "steps" })));
    }
    let pause = duration("pause_ms", number("pause_ms", 100.0, &input)? / 1000.0)?;
    let rest = duration("seconds", number("seconds", 1.0, &input)?)?;
    Ok(Plan { steps: steps as u32, pause, rest })
}

/// The number called `name`, 0 or more, else the default. In a form it is a text.
fn number(name: &str, default: f64, input: &Value) -> Result<f64, Failure> {
    let number = match input.get(name) {
        None => Some(default),
        Some(Value::String(text)) => text.trim().parse().ok(),
        Some(value) => value.as_f64(),
    };
    number.filter(|number| *number >= 0.0).ok_or_else(|| {
        let got = input.get(name);
        failure(format!("{name} must be a number, 0 or more"), json!({ "field": name, "got": got }))
    })
}

fn duration(name: &str, seconds: f64) -> Result<Duration, Failure> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| failure(format!("{name} is too long a time"), json!({ "field": name })))
}

/// `std::thread::sleep` panics on wasm32-unknown-unknown: there is no clock in the language itself. WASI has one.
fn sleep(time: Duration) {
    let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    monotonic_clock::subscribe_duration(nanoseconds).block();
}

fn failure(message: impl Into<String>, detail: Value) -> Failure {
    Failure { message: message.into(), detail: Some(detail.to_string()) }
}
