//! Owns `sandpool check`. Must not know what a fault is.

use super::{Ending, Refusal, say};
use crate::app;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::wasm::WasmEngine;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The configuration to check
    #[arg(value_name = "FILE", default_value = "sandpool.yaml")]
    config: PathBuf,
}

pub fn check(arguments: &Arguments) -> Result<Ending, Refusal> {
    let config = Config::load(&arguments.config)?;
    let loaded = app::load(&config.routes, &WasmEngine::start(&Metrics::default())?, &app::cache()?)?;
    app::endpoints(&config, &loaded)?;
    for warning in config.auth.warnings() {
        say(&format!("{}: warning: {warning}", arguments.config.display()));
    }
    let routes = if loaded.len() == 1 { "route" } else { "routes" };
    say(&format!("{}: ok, {} {routes}", arguments.config.display(), loaded.len()));
    Ok(Ending::Ok)
}
