//! Owns `sandpool serve`. Must not know how a server is built.

use super::{Ending, Refusal, say};
use crate::app::{App, welcome};
use crate::config::Config;
use std::future::Future;
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};

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
        let asked = shutdown_asked()?;
        let (routes, task_routes) = (config.routes.clone(), config.task_routes.clone());
        let app = App::build(config).await?;
        say(&welcome(&app.base_url()?, &routes, &task_routes));
        app.run(asked).await?;
        Ok(Ending::Ok)
    })
}

/// Resolves at SIGTERM or SIGINT.
fn shutdown_asked() -> std::io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
