//! Owns projects of guests: what `sandpool new` makes and `sandpool build` finds, the tools' steps, the cases they are tested by.
//! Must not know routes, tasks, or how guests are run.

mod cases;
mod guest_tools;
mod language;
mod recipe;
mod sources;
mod template;
mod watch;

pub use cases::{Case, Expected};
pub use guest_tools::{bindings, component};
pub use language::Language;
pub use recipe::{Build, Built};
pub use sources::Sources;
pub use template::create;
pub use watch::Watch;

use serde::Deserialize;
use std::io::{ErrorKind, Read};
use std::path::{Component, Path, PathBuf};

/// The file that makes a folder a project.
pub const FILE: &str = "sandpool.project.yaml";
/// The configuration beside it, which `sandpool dev` serves.
pub const CONFIG: &str = "sandpool.yaml";
/// The cases beside it.
pub const CASES: &str = "cases.jsonl";
/// The longest file of these that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;
const WORLD: &str = "web-route";

/// Why a project cannot be made, found or used: a sentence for its author.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ProjectError(String);

impl ProjectError {
    fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }

    /// Something about a file that the system refuses.
    fn io(what: &str, path: &Path, error: &std::io::Error) -> Self {
        Self(format!("{} cannot be {what}: {error}", path.display()))
    }
}

/// A project, with absolute paths.
#[derive(Debug, Clone)]
pub struct Project {
    /// Its folder.
    pub folder: PathBuf,
    /// What it is written in.
    pub language: &'static Language,
    /// Where the code begins, as the language's recipe understands it.
    pub entry: String,
    /// The world of the component.
    pub world: String,
    /// The folder of the interface.
    pub wit: PathBuf,
    /// The file that is made.
    pub component: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    language: String,
    #[serde(default)]
    entry: String,
    world: Option<String>,
    wit: Option<PathBuf>,
    component: Option<PathBuf>,
}

impl Project {
    /// Reads the project of a folder.
    ///
    /// # Errors
    /// When there is none, or its file says something wrong.
    pub fn open(folder: &Path) -> Result<Self, ProjectError> {
        let folder = folder.canonicalize().map_err(|error| ProjectError::io("found", folder, &error))?;
        if folder.to_str().is_none() {
            return Err(ProjectError::new(format!("{} is not UTF-8: move the project", folder.display())));
        }
        let file = folder.join(FILE);
        let text = read(&file)?.ok_or_else(|| {
            ProjectError::new(format!(
                "{} has no {FILE}: make a project with `sandpool new NAME --lang {}`",
                folder.display(),
                Language::names("|")
            ))
        })?;
        let raw: Raw =
            serde_yaml::from_str(&text).map_err(|error| ProjectError::new(format!("{}: {error}", file.display())))?;
        let language = Language::named(&raw.language).ok_or_else(|| {
            let (file, names) = (file.display(), Language::names(", "));
            ProjectError::new(format!("{file}: language: expected one of {names}, found {}", raw.language))
        })?;
        let name = folder.file_name().map_or_else(|| "route".into(), |name| name.to_string_lossy().into_owned());
        let component = raw.component.unwrap_or_else(|| format!("target/{name}.wasm").into());
        if component.extension().is_none_or(|ending| ending != "wasm") {
            let (file, found) = (file.display(), component.display());
            return Err(ProjectError::new(format!("{file}: component: expected a file NAME.wasm, found {found}")));
        }
        Ok(Self {
            component: below(&folder, &component),
            wit: below(&folder, &raw.wit.unwrap_or_else(|| "wit".into())),
            world: raw.world.unwrap_or_else(|| WORLD.into()),
            entry: raw.entry,
            language,
            folder,
        })
    }

    /// What is kept from build to build, beside the component.
    fn scratch(&self) -> PathBuf {
        self.component.with_extension("build")
    }

    /// Where a build puts what it has made, before it is wanted.
    fn made(&self) -> PathBuf {
        self.scratch().join("new.wasm")
    }
}

/// A path from a folder on, without `..`.
fn below(folder: &Path, path: &Path) -> PathBuf {
    let mut whole = folder.to_owned();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                whole.pop();
            }
            Component::CurDir => {}
            part => whole.push(part),
        }
    }
    whole
}

/// The text of a file; `None`: it does not exist.
fn read(path: &Path) -> Result<Option<String>, ProjectError> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ProjectError::io("read", path, &error)),
    };
    let mut text = String::new();
    file.take(MAX_FILE + 1).read_to_string(&mut text).map_err(|error| ProjectError::io("read", path, &error))?;
    if text.len() as u64 > MAX_FILE {
        return Err(ProjectError::new(format!("{} has more than {} MiB", path.display(), MAX_FILE >> 20)));
    }
    Ok(Some(text))
}

/// Files of this repository as they were when the program was built: path below the repository, content.
static EMBEDDED: &[(&str, &[u8])] = &include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// The embedded files below a folder, by their paths below it.
fn embedded(folder: &str) -> impl Iterator<Item = (&'static str, &'static [u8])> {
    let below = format!("{folder}/");
    EMBEDDED.iter().filter_map(move |(path, content)| Some((path.strip_prefix(below.as_str())?, *content)))
}
