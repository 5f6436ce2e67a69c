//! Owns `sandpool inspect`. Must not know components' insides.

use super::{Ending, Refusal, say};
use crate::app;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The component's file
    component: PathBuf,
    /// Answers as JSON
    #[arg(long)]
    json: bool,
}

pub fn inspect(arguments: &Arguments) -> Result<Ending, Refusal> {
    let loader = app::lone_loader()?;
    let inspection = loader.program(&loader.read(&arguments.component)?)?.inspect(loader.engine());
    if arguments.json {
        say(&serde_json::to_string_pretty(&inspection)?);
        return Ok(Ending::Ok);
    }
    let list = |names: &[String]| match names {
        [] => "(none)".to_owned(),
        names => names.join("\n         "),
    };
    say(&format!("world    {}", inspection.world.unwrap_or("(fits none)")));
    if let Some(fault) = &inspection.fault {
        say(&format!("because  {fault}"));
    }
    for (name, schema) in [("input ", &inspection.input_schema), ("result", &inspection.result_schema)] {
        if let Some(schema) = schema {
            say(&format!("{name}   {schema}"));
        }
    }
    say(&format!("digest   sha256:{}", inspection.digest));
    say(&format!("size     {} bytes", inspection.size));
    say(&format!("imports  {}", list(&inspection.imports)));
    say(&format!("exports  {}", list(&inspection.exports)));
    Ok(Ending::Ok)
}
