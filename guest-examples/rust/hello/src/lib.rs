//! The smallest useful route: answers with a greeting and with everything it was given. Copy it to start your own.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

// Makes Rust of the WIT: the trait `Guest` with the functions to export, the types that they use (`Args`,
// `State`, `Failure`), and a module for each interface to import.
wit_bindgen::generate!({ path: "../../../wit", world: "route" });

use sandpool::route::log::{self, Level};

/// Stands for this component; `export!` makes its `run` the component's.
struct Hello;

export!(Hello);

/// The answer. `RawValue` passes JSON on as it came, without a change to its numbers or its order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    greeting: String,
    arguments: &'a RawValue,
    variables: &'a RawValue,
    input: &'a RawValue,
    request: Request<'a>,
    user: Option<User<'a>>,
    task_id: &'a str,
    attempt: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    method: &'a str,
    url: &'a str,
    path_parameters: BTreeMap<&'a str, OneOrMore<'a>>,
    query: BTreeMap<&'a str, OneOrMore<'a>>,
    headers: BTreeMap<&'a str, OneOrMore<'a>>,
}

#[derive(Serialize)]
struct User<'a> {
    id: &'a str,
    groups: &'a [String],
    roles: &'a [String],
    scopes: &'a [String],
}

/// The value of a parameter, or its values if the request names it more than once.
#[derive(Serialize)]
#[serde(untagged)]
enum OneOrMore<'a> {
    One(&'a str),
    More(Vec<&'a str>),
}

impl Guest for Hello {
    fn run(args: Args, _state: State) -> Result<String, Failure> {
        let name = name_to_greet(&args);
        log::write(Level::Info, &format!("hello, {name}"), &[("attempt".to_owned(), args.attempt.to_string())]);
        let request = &args.request;
        let answer = Answer {
            greeting: format!("Hello, {name}!"),
            arguments: json("arguments", &args.arguments)?,
            variables: json("variables", &args.variables)?,
            input: json("input", &args.input)?,
            request: Request {
                method: &request.method,
                url: &request.url,
                path_parameters: grouped(&request.path_parameters),
                query: grouped(&request.query),
                headers: grouped(&request.headers),
            },
            user: args.user.as_ref().map(|user| User {
                id: &user.id,
                groups: &user.groups,
                roles: &user.roles,
                scopes: &user.scopes,
            }),
            task_id: &args.task_id,
            attempt: args.attempt,
        };
        serde_json::to_string(&answer).map_err(|error| Failure {
            message: format!("the answer cannot be written as JSON: {error}"),
            detail: None,
        })
    }
}

/// The `name` in the input if there is one, else the user's, else the world's.
fn name_to_greet(args: &Args) -> String {
    let input: Value = serde_json::from_str(&args.input).unwrap_or(Value::Null);
    let named = input.get("name").and_then(Value::as_str);
    let user = args.user.as_ref().map(|user| user.id.as_str());
    named.or(user).unwrap_or("world").to_owned()
}

/// Checks that `text` is JSON. The host never hands over anything else; but a component that says so when
/// it does is easier to put right than one that traps.
fn json<'a>(field: &str, text: &'a str) -> Result<&'a RawValue, Failure> {
    serde_json::from_str(text).map_err(|error| Failure {
        message: format!("{field} is not JSON: {error}"),
        detail: Some(serde_json::json!({ "field": field }).to_string()),
    })
}

/// Gathers the values of each name, in their order.
fn grouped(pairs: &[(String, String)]) -> BTreeMap<&str, OneOrMore<'_>> {
    let mut all = BTreeMap::new();
    for (name, value) in pairs {
        all.entry(name.as_str())
            .and_modify(|values| match values {
                OneOrMore::One(first) => *values = OneOrMore::More(vec![*first, value]),
                OneOrMore::More(list) => list.push(value),
            })
            .or_insert(OneOrMore::One(value));
    }
    all
}
