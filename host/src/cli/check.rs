//! Owns `sandpool check`. Must not know what a fault is.

use super::{Ending, Refusal, say};
use crate::app;
use crate::config::Config;
use crate::site;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The configuration to check
    #[arg(value_name = "FILE", default_value = "sandpool.yaml")]
    config: PathBuf,
}

pub fn check(arguments: &Arguments) -> Result<Ending, Refusal> {
    let config = Config::load(&arguments.config)?;
    let loaded = site::load_files(&config.routes, &app::lone_loader()?)?;
    site::endpoints(&config, &loaded)?;
    for warning in config.auth.warnings() {
        say(&format!("{}: warning: {warning}", arguments.config.display()));
    }
    let routes = if config.routes.len() == 1 { "route" } else { "routes" };
    let uploaded = config.routes.len() - loaded.len();
    let unchecked = if uploaded > 0 {
        format!(", {uploaded} of them on uploaded plugins, which are not looked at")
    } else {
        String::new()
    };
    say(&format!("{}: ok, {} {routes}{unchecked}", arguments.config.display(), config.routes.len()));
    Ok(Ending::Ok)
}
