//! Owns `sandpool new`. Must not know what a project holds.

use super::{Ending, Refusal, say};
use crate::project::{self, Language};
use std::path::Path;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The project's name, also of its folder: letters, digits, - and _
    name: String,
    /// What it is written in: rust, js, python, c, cpp, go or zig
    #[arg(long, value_name = "LANGUAGE", value_parser = language)]
    lang: &'static Language,
}

fn language(name: &str) -> Result<&'static Language, String> {
    Language::named(name).ok_or_else(|| format!("expected one of {}", Language::names(", ")))
}

pub fn new(arguments: &Arguments) -> Result<Ending, Refusal> {
    let Arguments { name, lang } = arguments;
    project::create(name, lang, Path::new(""))?;
    say(&format!(
        "{name}: made, in {}. Its code is in {name}/{}. Next:\n\n  cd {name}\n  sandpool build --test\n  sandpool dev",
        lang.name, lang.source
    ));
    Ok(Ending::Ok)
}
