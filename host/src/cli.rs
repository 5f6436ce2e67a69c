//! Owns the command line: its words, its exit codes, and what is printed.
//! Must not do any work itself.

mod build;
mod check;
mod client;
mod deploy;
mod dev;
mod get;
mod hash;
mod inspect;
mod new;
mod openapi;
mod plugins;
mod query;
mod routes;
mod run;
mod serve;
mod stop;
mod submit;
mod tasks;
mod terminal;
mod watch;

use crate::telemetry;
use crate::wasm::compile_worker;
use clap::{Parser, Subcommand};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs WebAssembly components as durable asynchronous HTTP tasks.
#[derive(Debug, Parser)]
#[command(
    name = "sandpool",
    version,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 ok, 1 failed task, 2 usage or configuration, 3 cannot reach the server."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes a project: a route in one's own language, ready to be built
    New(new::Arguments),
    /// Builds a project's component with its language's tools
    Build(build::Arguments),
    /// Builds and serves a project, again after each change
    Dev(dev::Arguments),
    /// Serves the routes of a configuration
    Serve(serve::Arguments),
    /// Checks a configuration and its components, and reports every fault
    Check(check::Arguments),
    /// Runs a component once, here, without a server
    Run(Box<run::Arguments>),
    /// Shows what a component imports and exports, its world, digest and size
    Inspect(inspect::Arguments),
    /// Uploads a component to a running server, and puts a route on it
    Deploy(Box<deploy::Arguments>),
    /// Makes a task of a running server's route
    Submit(Box<submit::Arguments>),
    /// Shows a task
    Get(get::Arguments),
    /// Stops a task
    Stop(stop::Arguments),
    /// Finds tasks
    Query(Box<query::Arguments>),
    /// Follows a task to its end: its progress, its log, its events
    Watch(watch::Arguments),
    /// Lists the plugins of a running server
    Plugins(plugins::Arguments),
    /// Lists the routes of a running server, or pauses, resumes, drains, rolls back or removes one
    Routes(routes::Arguments),
    /// Makes what a configuration stores of a password or an API key, which is read from standard input
    Hash(hash::Arguments),
    /// Prints the OpenAPI document of a configuration
    Openapi(openapi::Arguments),
    /// What the recipes of `build` need
    #[command(subcommand, hide = true)]
    GuestTools(build::GuestTools),
    /// Compiles one component from standard input into a file, within limits (used by the server itself)
    #[command(name = crate::wasm::COMPILE_COMMAND, hide = true)]
    CompileWorker {
        /// The file to write.
        into: PathBuf,
    },
}

/// How a command ends, as the shell sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Ok = 0,
    FailedTask = 1,
    Usage = 2,
    Unreachable = 3,
}

/// Why a command could not do its work: the text for standard error.
struct Refusal {
    words: String,
    ending: Ending,
}

impl<E: std::fmt::Display> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self { words: error.to_string(), ending: Ending::Usage }
    }
}

impl Refusal {
    /// A server that should answer does not.
    fn unreachable(words: String) -> Self {
        Self { words, ending: Ending::Unreachable }
    }
}

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    // Exits with 2 by itself when the words are wrong.
    let arguments = Arguments::parse();
    if let Command::CompileWorker { into } = arguments.command {
        return match compile_worker(&into) {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => {
                say_error(&why);
                ExitCode::from(1)
            }
        };
    }
    let telemetry = telemetry::start(matches!(arguments.command, Command::Serve(_)));
    let ended = match arguments.command {
        Command::New(arguments) => new::new(&arguments),
        Command::Build(arguments) => build::build(&arguments),
        Command::Dev(arguments) => dev::dev(&arguments),
        Command::GuestTools(tools) => build::guest_tools(&tools),
        Command::Serve(arguments) => serve::serve(&arguments),
        Command::Check(arguments) => check::check(&arguments),
        Command::Run(arguments) => run::run(&arguments),
        Command::Inspect(arguments) => inspect::inspect(&arguments),
        Command::Deploy(arguments) => deploy::deploy(&arguments),
        Command::Submit(arguments) => submit::submit(&arguments),
        Command::Get(arguments) => get::get(&arguments),
        Command::Stop(arguments) => stop::stop(&arguments),
        Command::Query(arguments) => query::query(&arguments),
        Command::Watch(arguments) => watch::watch(&arguments),
        Command::Plugins(arguments) => plugins::plugins(&arguments),
        Command::Routes(arguments) => routes::routes(&arguments),
        Command::Hash(arguments) => hash::hash(&arguments),
        Command::Openapi(arguments) => openapi::openapi(&arguments),
        Command::CompileWorker { .. } => Ok(Ending::Ok),
    };
    telemetry.stop();
    match ended {
        Ok(ending) => ExitCode::from(ending as u8),
        Err(Refusal { words, ending }) => {
            say_error(&words);
            ExitCode::from(ending as u8)
        }
    }
}

/// Writes to standard output; a reader that has gone away is no error of ours.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    drop(writeln!(out, "{text}").and_then(|()| out.flush()));
}

fn say_error(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn no_command_has_two_arguments_of_one_name() {
        Arguments::command().debug_assert();
    }
}
