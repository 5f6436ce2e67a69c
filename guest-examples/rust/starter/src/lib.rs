//! A route that greets. `sandpool build` makes a component of this crate.

use sandpool_sdk::log::{self, Level};
use sandpool_sdk::{Args, Failure, Route, State, export, progress};
use serde::{Deserialize, Serialize};
use serde_json::json;

struct Greet;

export!(Greet);

#[derive(Deserialize)]
struct Input {
    name: String,
    #[serde(default = "once")]
    times: u32,
}

fn once() -> u32 {
    1
}

#[derive(Serialize)]
struct Greeting {
    greeting: String,
}

impl Route for Greet {
    type Input = Input;
    type Output = Greeting;

    const SUMMARY: &'static str = "Greet somebody";
    const INPUT_SCHEMA: Option<&'static str> = Some(
        r#"{"type": "object", "required": ["name"], "properties":
            {"name": {"type": "string"}, "times": {"type": "integer", "minimum": 1, "maximum": 100}}}"#,
    );
    const RESULT_SCHEMA: Option<&'static str> =
        Some(r#"{"type": "object", "required": ["greeting"], "properties": {"greeting": {"type": "string"}}}"#);

    fn run(Input { name, times }: Input, _args: &Args, _state: &State) -> Result<Greeting, Failure> {
        if name.is_empty() {
            return Err(Failure::new("nobody has an empty name").with(json!({ "name": name })));
        }
        log::write(Level::Info, &format!("greeting {name}"), &[("times".to_owned(), times.to_string())]);
        let mut greetings = Vec::new();
        progress::begin(times, 100.0);
        for _ in 0..times {
            greetings.push(format!("Hello, {name}!"));
            progress::tick(1);
        }
        Ok(Greeting { greeting: greetings.join(" ") })
    }
}
