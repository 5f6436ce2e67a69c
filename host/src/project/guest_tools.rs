//! Owns bindings and components for languages whose own tools make none (C, Go): `sandpool guest-tools`, for the recipes.
//! Must not know the languages' compilers.

use super::ProjectError;
use std::fs;
use std::path::Path;
use wit_bindgen_core::{Files, WorldGenerator};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, WorldId};

fn refused(error: impl std::fmt::Display) -> ProjectError {
    ProjectError::new(format!("{error:#}"))
}

/// The world of an interface's folder, or of a file that builds on it.
fn resolved(wit: &Path, file: Option<&Path>, world: &str) -> Result<(Resolve, WorldId), ProjectError> {
    let mut resolve = Resolve::default();
    let (mut package, _) = resolve.push_path(wit).map_err(refused)?;
    if let Some(file) = file {
        (package, _) = resolve.push_path(file).map_err(refused)?;
    }
    let world = resolve.select_world(&[package], Some(world)).map_err(refused)?;
    Ok((resolve, world))
}

/// Writes what a language's sources need to see of a world, into a folder.
///
/// # Errors
/// When the language is neither `c` nor `go`, or the interface cannot be read.
pub fn bindings(language: &str, wit: &Path, world: &str, folder: &Path) -> Result<(), ProjectError> {
    let mut generator: Box<dyn WorldGenerator> = match language {
        "c" => wit_bindgen_c::Opts::default().build(),
        "go" => wit_bindgen_go::Opts { format: wit_bindgen_go::Format::False, ..Default::default() }.build(),
        other => return Err(ProjectError::new(format!("expected c or go, found {other}"))),
    };
    let (mut resolve, world) = resolved(wit, None, world)?;
    let mut files = Files::default();
    generator.generate(&mut resolve, world, &mut files).map_err(refused)?;
    for (name, content) in files.iter() {
        let file = folder.join(name);
        let parent = file.parent().unwrap_or(folder);
        fs::create_dir_all(parent).map_err(|error| ProjectError::io("made", parent, &error))?;
        fs::write(&file, content).map_err(|error| ProjectError::io("written", &file, &error))?;
    }
    Ok(())
}

/// Makes a component of a core module. `adapter` is a folder with `adapter.wat`, a core module that stands for
/// `wasi_snapshot_preview1`, and `adapter.wit`, whose world `adapter` says what that imports of the interface's dependencies.
///
/// # Errors
/// When the module does not fit the world.
pub fn component(wit: &Path, world: &str, core: &Path, to: &Path, adapter: Option<&Path>) -> Result<(), ProjectError> {
    let mut module = wat::parse_file(core).map_err(refused)?;
    // The bindings in C bring the interface with them as an object file; those in Go do not.
    if !module.windows(14).any(|bytes| bytes == b"component-type") {
        embed(&mut module, wit, None, world)?;
    }
    let mut encoder = ComponentEncoder::default().validate(true).module(&module).map_err(refused)?;
    if let Some(folder) = adapter {
        let mut module = wat::parse_file(folder.join("adapter.wat")).map_err(refused)?;
        embed(&mut module, wit, Some(&folder.join("adapter.wit")), "adapter")?;
        encoder = encoder.adapter("wasi_snapshot_preview1", &module).map_err(refused)?;
    }
    let component = encoder.encode().map_err(refused)?;
    fs::write(to, component).map_err(|error| ProjectError::io("written", to, &error))
}

fn embed(module: &mut Vec<u8>, wit: &Path, file: Option<&Path>, world: &str) -> Result<(), ProjectError> {
    let (resolve, world) = resolved(wit, file, world)?;
    embed_component_metadata(module, &resolve, world, StringEncoding::UTF8).map_err(refused)
}
