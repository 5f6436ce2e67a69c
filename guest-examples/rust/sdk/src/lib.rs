//! The Rust side of Sandpool's guest interface: implement [`Route`], hand the type to [`export!`], and the crate is a
//! component of world `web-route`.
//!
//! Inputs and results are types of serde. `?` turns every error into a [`Failure`] with the error's message.

pub mod http;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// What `wit_bindgen` makes of the WIT.
#[doc(hidden)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../../wit",
        world: "web-route",
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_component",
    });
}

pub use bindings::Args;
pub use bindings::sandpool::route::{log, progress};

/// A route: what it takes, what it gives, what it does.
pub trait Route {
    /// What the body of a request must be.
    type Input: DeserializeOwned;
    /// What a task results in.
    type Output: Serialize;

    /// One line, such as `Sum the square roots of a range`.
    const SUMMARY: &'static str;
    /// The long version, in CommonMark.
    const DESCRIPTION: &'static str = "";
    /// JSON Schemas (2020-12) of the input, which the host checks, and of the result.
    const INPUT_SCHEMA: Option<&'static str> = None;
    const RESULT_SCHEMA: Option<&'static str> = None;

    /// Does the work of one task.
    fn run(input: Self::Input, args: &Args, state: &State) -> Result<Self::Output, Failure>;
}

/// Makes a type that implements [`Route`] the component's.
#[macro_export]
macro_rules! export {
    ($route:ty) => {
        struct Component;

        impl $crate::bindings::Guest for Component {
            fn run(
                args: $crate::Args,
                state: $crate::bindings::State,
            ) -> Result<String, $crate::bindings::Failure> {
                $crate::run::<$route>(&args, state)
            }

            fn describe() -> $crate::bindings::Description {
                $crate::describe::<$route>()
            }
        }

        $crate::bindings::export_component!(Component with_types_in $crate::bindings);
    };
}

/// Why a task failed: one sentence for the client, and more for programs.
#[derive(Debug)]
pub struct Failure {
    message: String,
    detail: Option<Value>,
}

impl Failure {
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), detail: None }
    }

    /// The same with more about it: the `Result` of the failed task.
    pub fn with(self, detail: Value) -> Self {
        Self { detail: Some(detail), ..self }
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(error.to_string())
    }
}

/// The shared variables that the route is granted, as values.
pub struct State(bindings::State);

/// A variable's value, and the version to build on.
pub struct Versioned {
    pub value: Value,
    pub version: u64,
}

/// Why a variable could not be read or written.
pub enum StateError {
    /// It is at this version; 0: it does not exist. Read it again, and try again.
    Conflict(u64),
    /// Trying again is of no use.
    Refused(Failure),
}

impl State {
    pub fn get(&self, name: &str) -> Result<Option<Versioned>, Failure> {
        let found = self.0.get(name).map_err(|error| refused(name, error))?;
        let versioned = |found: bindings::sandpool::route::state::Versioned| {
            Ok(Versioned { value: serde_json::from_str(&found.value)?, version: found.version })
        };
        found.map(versioned).transpose()
    }

    /// Writes it whatever its present value.
    pub fn set(&self, name: &str, value: &Value) -> Result<u64, Failure> {
        self.0.set(name, &value.to_string()).map_err(|error| refused(name, error))
    }

    /// Writes it only if it is at version `expected` (compare-and-set); `None`: only if it does not exist.
    pub fn update(&self, name: &str, expected: Option<u64>, value: &Value) -> Result<u64, StateError> {
        self.0.update(name, expected, &value.to_string()).map_err(|error| match error {
            RawError::Conflict(version) => StateError::Conflict(version),
            error => StateError::Refused(refused(name, error)),
        })
    }

    pub fn names(&self) -> Vec<String> {
        self.0.names()
    }
}

use bindings::sandpool::route::state::StateError as RawError;

fn refused(name: &str, error: RawError) -> Failure {
    match error {
        RawError::Denied => {
            Failure::new(format!("this route may not use {name}")).with(json!({"variable": name, "reason": "denied"}))
        }
        RawError::Conflict(version) => conflict(name, version),
        RawError::Unavailable(why) => Failure::new(format!("{name} cannot be used: {why}"))
            .with(json!({"variable": name, "reason": "unavailable"})),
    }
}

/// The failure of a route that does not try again.
pub fn conflict(name: &str, version: u64) -> Failure {
    Failure::new(format!("{name} is at version {version}"))
        .with(json!({"variable": name, "reason": "conflict", "version": version}))
}

/// Sends an event of the task's own to those who follow it.
pub fn send(name: &str, data: &Value) {
    bindings::sandpool::route::events::send(name, &data.to_string());
}

#[doc(hidden)]
pub fn run<R: Route>(args: &Args, state: bindings::State) -> Result<String, bindings::Failure> {
    let answer = || -> Result<String, Failure> {
        let input = serde_json::from_str(&args.input)?;
        Ok(serde_json::to_string(&R::run(input, args, &State(state))?)?)
    };
    answer().map_err(|Failure { message, detail }| bindings::Failure {
        message,
        detail: detail.map(|detail| detail.to_string()),
    })
}

#[doc(hidden)]
pub fn describe<R: Route>() -> bindings::Description {
    bindings::Description {
        summary: R::SUMMARY.to_owned(),
        description: R::DESCRIPTION.to_owned(),
        input_schema: R::INPUT_SCHEMA.map(str::to_owned),
        result_schema: R::RESULT_SCHEMA.map(str::to_owned),
    }
}
