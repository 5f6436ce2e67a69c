//! Bindings and components for languages whose own tools make none.
//!
//!     guest-tools bindings c|go WIT WORLD FOLDER
//!     guest-tools component WIT WORLD CORE-MODULE COMPONENT [ADAPTER]
//!
//! ADAPTER is a folder with `adapter.wat`, a core module that stands for `wasi_snapshot_preview1`, and `adapter.wit`,
//! whose world `adapter` says what that imports.

use std::path::Path;

use anyhow::{Context, Result, bail};
use wit_bindgen_core::{Files, WorldGenerator};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, WorldId};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["bindings", "c", wit, world, folder] => bindings(wit_bindgen_c::Opts::default().build(), wit, world, folder),
        ["bindings", "go", wit, world, folder] => {
            let options = wit_bindgen_go::Opts { format: wit_bindgen_go::Format::False, ..Default::default() };
            bindings(options.build(), wit, world, folder)
        }
        ["component", wit, world, core, to] => component(wit, world, core, to, None),
        ["component", wit, world, core, to, adapter] => component(wit, world, core, to, Some(adapter)),
        _ => bail!("usage: bindings c|go WIT WORLD FOLDER, or component WIT WORLD CORE-MODULE COMPONENT [ADAPTER]"),
    }
}

fn resolved(wit: impl AsRef<Path>, world: &str) -> Result<(Resolve, WorldId)> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(wit)?;
    let world = resolve.select_world(&[package], Some(world))?;
    Ok((resolve, world))
}

fn bindings(mut generator: Box<dyn WorldGenerator>, wit: &str, world: &str, folder: &str) -> Result<()> {
    let (mut resolve, world) = resolved(wit, world)?;
    let mut files = Files::default();
    generator.generate(&mut resolve, world, &mut files)?;
    for (name, content) in files.iter() {
        let file = Path::new(folder).join(name);
        std::fs::create_dir_all(file.parent().context("a file is in a folder")?)?;
        std::fs::write(&file, content).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

fn component(wit: &str, world: &str, core: &str, to: &str, adapter: Option<&str>) -> Result<()> {
    let mut module = wat::parse_file(core)?;
    // The bindings in C bring the interface with them as an object file; those in Go do not.
    if !module.windows(14).any(|bytes| bytes == b"component-type") {
        embed(&mut module, wit, world)?;
    }
    let mut encoder = ComponentEncoder::default();
    encoder.validate(true).module(&module)?;
    if let Some(folder) = adapter {
        let mut module = wat::parse_file(Path::new(folder).join("adapter.wat"))?;
        embed(&mut module, Path::new(folder).join("adapter.wit"), "adapter")?;
        encoder.adapter("wasi_snapshot_preview1", &module)?;
    }
    std::fs::write(to, encoder.encode()?).with_context(|| format!("cannot write {to}"))
}

fn embed(module: &mut Vec<u8>, wit: impl AsRef<Path>, world: &str) -> Result<()> {
    let (resolve, world) = resolved(wit, world)?;
    embed_component_metadata(module, &resolve, world, StringEncoding::UTF8, false)
}
