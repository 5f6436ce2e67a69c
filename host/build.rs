//! Embeds the examples that `sandpool new` makes projects of, and the recipes of `sandpool build`: the same files, as they are.
//! `include_dir` does not see on a stable compiler when files change; `rust-embed` reads the disk in debug builds.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// What is embedded, below the repository. A project in Rust needs only these of that folder.
const ROOTS: [&str; 4] = ["wit", "guest-examples/starter", "guest-examples/recipes", "guest-examples/rust"];
const OF_RUST: [&str; 5] = ["Cargo.toml", "Cargo.lock", ".cargo", "sdk", "starter"];
/// An example with an interface of its own, which is no part of the tours.
const TYPED: &str = "typed-order";
/// What tools leave beside the sources.
const LEFT: [&str; 4] = ["target", "node_modules", "__pycache__", ".DS_Store"];

fn main() -> io::Result<()> {
    let repository = PathBuf::from(env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?).join("..");
    let examples = repository.join("guest-examples");
    let mut files = Vec::new();
    for root in ROOTS {
        find(&repository.join(root), &mut files, &|path| {
            let within = path.strip_prefix(examples.join("rust")).ok().and_then(|path| path.iter().next());
            within.is_none_or(|first| OF_RUST.iter().any(|name| first == *name))
        })?;
    }
    // The folder of each other language has a project file.
    for entry in fs::read_dir(&examples)? {
        let folder = entry?.path();
        if folder.join("sandpool.project.yaml").is_file() && !ROOTS.iter().any(|root| folder.ends_with(root)) {
            find(&folder, &mut files, &|path| !path.ends_with(TYPED))?;
        }
    }
    files.sort();
    let mut table = String::from("[\n");
    for file in &files {
        let name = file.strip_prefix(&repository).map_err(io::Error::other)?;
        writeln!(table, "    ({:?}, include_bytes!({file:?}).as_slice()),", name).map_err(io::Error::other)?;
    }
    table.push(']');
    fs::write(PathBuf::from(env::var("OUT_DIR").map_err(io::Error::other)?).join("embedded.rs"), table)
}

/// The files below a folder. cargo runs this program again when one of them changes, or one comes or goes.
fn find(folder: &Path, files: &mut Vec<PathBuf>, wanted: &dyn Fn(&Path) -> bool) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if !wanted(&path) || LEFT.iter().any(|left| path.ends_with(left)) {
            continue;
        }
        println!("cargo:rerun-if-changed={}", path.display());
        if path.is_dir() {
            find(&path, files, wanted)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
