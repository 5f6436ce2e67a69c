//! Owns `sandpool openapi`. Must not know what stands in the document.

use super::{Ending, Refusal, say};
use crate::app;
use crate::config::Config;
use crate::site;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The configuration whose document to print
    #[arg(value_name = "FILE", default_value = "sandpool.yaml")]
    config: PathBuf,
    /// Prints JSON, which is the default
    #[arg(long, conflicts_with = "yaml")]
    json: bool,
    /// Prints YAML
    #[arg(long)]
    yaml: bool,
}

pub fn openapi(arguments: &Arguments) -> Result<Ending, Refusal> {
    let config = Config::load(&arguments.config)?;
    // The components are loaded, since they describe themselves.
    let loaded = site::load_files(&config.routes, &app::lone_loader()?)?;
    let document = site::endpoints(&config, &loaded)?.document();
    let text =
        if arguments.yaml { serde_yaml::to_string(&document)? } else { serde_json::to_string_pretty(&document)? };
    say(text.trim_end());
    Ok(Ending::Ok)
}
