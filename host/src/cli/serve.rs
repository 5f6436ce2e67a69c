//! Owns `sandpool serve`. Must not know how a server is built.

use super::{Ending, Refusal, say};
use crate::app::{App, Signals, welcome};
use crate::site::Reading;
use rustix::process::{Signal, set_parent_process_death_signal};
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The configuration (YAML, TOML or JSON, by its ending)
    #[arg(long, short, value_name = "FILE", default_value = "sandpool.yaml")]
    config: PathBuf,
    /// The address to listen at, instead of the configuration's
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Ends with the program that has started it (used by `sandpool dev`)
    #[arg(long, hide = true)]
    with_parent: bool,
}

pub fn serve(arguments: &Arguments) -> Result<Ending, Refusal> {
    if arguments.with_parent {
        set_parent_process_death_signal(Some(Signal::TERM))?;
    }
    let reading = Reading::new(arguments.config.clone(), arguments.listen);
    let config = reading.config()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().thread_name("http").enable_all().build()?;
    let ended = runtime.block_on(async {
        let mut signals = Signals::of_server()?;
        let (routes, task_routes, openapi) =
            (config.routes.clone(), config.task_routes.clone(), config.openapi.clone());
        let app = tokio::select! {
            app = App::build(config, reading) => app?,
            // A start may take long: it compiles, and takes over what the last run left.
            () = signals.next() => return Ok(Ending::Ok),
        };
        say(&welcome(&app.base_url()?, &routes, &task_routes, &openapi));
        app.run(signals).await?;
        Ok(Ending::Ok)
    });
    runtime.shutdown_background();
    ended
}
