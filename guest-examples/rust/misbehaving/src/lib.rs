//! Does on request whatever a component should not do, so that the host's tests can watch it cope.
//!
//! The input is `{"mode": "…"}`; some modes read further fields. Each module below holds the modes of one kind.
//! What Rust has no words for is written by hand in `../wat`.

mod answers;
mod escapes;
mod floods;
mod hogs;
mod requests;
mod script;
mod shared;
mod system;
mod takers;

use serde_json::{Value, json};

wit_bindgen::generate!({
    path: ["../../../wit", "wit"],
    world: "example:misbehaving/misbehaving",
    generate_all,
});

use sandpool::route::log::{self, Level};

struct Misbehaving;

export!(Misbehaving);

impl Guest for Misbehaving {
    fn run(args: Args, state: State) -> Result<String, Failure> {
        log_panics();
        let input: Value = serde_json::from_str(&args.input)
            .map_err(|error| failure(format!("the input is not JSON: {error}"), json!({})))?;
        let mode = input.get("mode").and_then(Value::as_str).unwrap_or("");
        match mode {
            "loop" => hogs::endless_loop(),
            "memory-hog" => hogs::memory_hog(),
            "memory-panic" => hogs::memory_panic(),
            "fill-loop" => hogs::fill_loop(),
            "stack-overflow" => Ok(hogs::stack_overflow()),
            "trap" => Ok(hogs::the_guilty_function()),
            "huge-result" => answers::huge_result(&input),
            "bad-json" => Ok(answers::BAD_JSON.to_owned()),
            "fail" => Err(answers::fail()),
            "fail-until" => answers::fail_until(&input, args.attempt),
            "flood-log" => floods::log(&input),
            "flood-progress" => floods::progress(&input),
            "flood-ticks" => floods::ticks(&input),
            "flood-events" => floods::events(&input),
            "flood-stdout" => floods::stdout(&input),
            "flood-all" => floods::all(&input),
            "script" => script::run(&input),
            "state-flood" => shared::flood(&input, &state),
            "state-denied" => shared::denied(&input, &state),
            "forget-handle" => Ok(shared::forget_handle(state)),
            "poll-forever" => Ok(system::poll_forever()),
            "stdin" => system::read_stdin(),
            "exit" => system::exit_now(&input),
            "spin-ms" => system::spin(&input),
            "sleep-ms" => system::sleep(&input),
            "stdout" => system::print(&input),
            "env" => Ok(system::environment()),
            "files" => escapes::files(&input),
            "open-files" => escapes::open_files(&input),
            "sockets" => escapes::sockets(&input),
            "requests" => requests::send(&input),
            "handles" => takers::handles(&input),
            "host-memory" => takers::host_memory(&input),
            _ => Err(failure(
                format!("mode is not one that this component knows: {mode:?}"),
                json!({ "field": "mode", "got": mode }),
            )),
        }
    }
}

/// Where a component has no standard error, the text of a panic would go nowhere: the host sees only the
/// trap that ends it. This sends the text to the task's log first.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        log::write(Level::Error, &panic.to_string().replace('\n', " "), &[]);
    }));
}

/// The number called `name` in the input, else the default.
fn number(input: &Value, name: &str, default: u64) -> Result<u64, Failure> {
    let Some(given) = input.get(name) else {
        return Ok(default);
    };
    given
        .as_u64()
        .ok_or_else(|| failure(format!("{name} must be an integer, 0 or more"), json!({ "field": name, "got": given })))
}

fn failure(message: impl Into<String>, detail: Value) -> Failure {
    Failure { message: message.into(), detail: Some(detail.to_string()) }
}
