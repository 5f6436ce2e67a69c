//! Owns `sandpool serve`. Must not know how a server is built.

use super::{Ending, Refusal, say};
use crate::app::{App, welcome};
use crate::config::Config;
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The configuration (YAML, TOML or JSON, by its ending)
    #[arg(long, short, value_name = "FILE", default_value = "sandpool.yaml")]
    config: PathBuf,
}

pub fn serve(arguments: &Arguments) -> Result<Ending, Refusal> {
    let config = Config::load(&arguments.config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().thread_name("http").enable_all().build()?;
    runtime.block_on(async {
        // Before the welcome, so that whoever reads it can rely on a graceful end.
        let signals = shutdown_signals()?;
        let (routes, task_routes) = (config.routes.clone(), config.task_routes.clone());
        let app = App::build(config).await?;
        say(&welcome(app.address()?, &routes, &task_routes));
        app.run(signals).await?;
        Ok(Ending::Ok)
    })
}

/// The signals that ask for the end, each once: the first begins the shutdown, the second ends its grace.
fn shutdown_signals() -> std::io::Result<mpsc::Receiver<()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (asked, signals) = mpsc::channel(2);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if asked.send(()).await.is_err() {
                return;
            }
        }
    });
    Ok(signals)
}
