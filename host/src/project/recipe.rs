//! Owns a build: the recipe of the project's language, run by bash; the component is put in its place only when it is wanted.
//! Must not know what the recipes do.

use super::sources::{hex, line};
use super::{Project, ProjectError, Sources, embedded};
use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A recipe's exit code when something is missing that it cannot install; it has said what.
const MISSING: i32 = 86;

/// How a recipe ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Built {
    /// Nothing has changed since the component was made.
    Fresh,
    /// There is a new component, which [`Build::keep`] puts in its place.
    New,
    /// Something is missing. The recipe has said what, and how to install it.
    Missing,
    /// The compilers have said why.
    Failed,
}

/// One build of a project; another one waits until this is dropped.
pub struct Build<'a> {
    project: &'a Project,
    _lock: File,
    script: String,
    /// Of all that the component is made of.
    stamp: String,
}

impl<'a> Build<'a> {
    /// Reads what the project is made of. `program` is this program, for the recipes.
    ///
    /// # Errors
    /// When the project's folders cannot be read or made.
    pub fn of(project: &'a Project, program: &Path) -> Result<Self, ProjectError> {
        let lock = lock(&project.scratch())?;
        let sources = Sources::of(project)?;
        let script = script(project, program);
        // What this program makes for some languages changes with it.
        let tools = if script.contains("\"$SANDPOOL\" ") { line(program) } else { String::new() };
        let stamp = hex(&format!("{} {} {tools}", sources.digest, hex(&script)));
        Ok(Self { project, _lock: lock, script, stamp })
    }

    /// Runs the recipe, unless nothing has changed. What the tools say goes to standard error.
    ///
    /// # Errors
    /// When bash cannot be started, or a folder not be made.
    pub fn run(&self) -> Result<Built, ProjectError> {
        if self.project.component.is_file() && fs::read_to_string(self.stamp_file()).is_ok_and(|had| had == self.stamp)
        {
            return Ok(Built::Fresh);
        }
        let _toolchains = lock(&toolchains(self.project))?;
        drop(fs::remove_file(self.made()));
        let status = Command::new("bash")
            .args(["-c", &self.script, "sandpool build"])
            .stdin(Stdio::null())
            // Standard output is this program's own.
            .stdout(std::io::stderr())
            .status()
            .map_err(|error| ProjectError::new(format!("bash cannot be started: {error}: install it")))?;
        match status.code() {
            Some(0) if self.made().is_file() => Ok(Built::New),
            Some(MISSING) => Ok(Built::Missing),
            _ => Ok(Built::Failed),
        }
    }

    /// The component that the recipe has made.
    #[must_use]
    pub fn made(&self) -> PathBuf {
        self.project.made()
    }

    /// Puts the new component in its place, in one step for those who read it meanwhile.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn keep(&self) -> Result<(), ProjectError> {
        let (made, to) = (self.made(), &self.project.component);
        fs::rename(&made, to).map_err(|error| ProjectError::io("written", to, &error))?;
        let file = self.stamp_file();
        fs::write(&file, &self.stamp).map_err(|error| ProjectError::io("written", &file, &error))
    }

    fn stamp_file(&self) -> PathBuf {
        self.project.scratch().join("stamp")
    }
}

/// Makes a folder, and waits until nobody else builds in it.
fn lock(folder: &Path) -> Result<File, ProjectError> {
    let refused = |error: std::io::Error| ProjectError::io("made", folder, &error);
    fs::create_dir_all(folder).map_err(refused)?;
    let file = File::create(folder.join("lock")).map_err(refused)?;
    file.lock().map_err(refused)?;
    Ok(file)
}

/// What is installed for the language: for this project alone, unless the environment names a folder for all.
fn toolchains(project: &Project) -> PathBuf {
    shared().map_or_else(|| project.component.with_file_name("toolchain"), |all| all.join(project.language.toolchain))
}

fn shared() -> Option<PathBuf> {
    env::var_os("SANDPOOL_TOOLCHAINS")
        .filter(|folder| !folder.is_empty())
        .and_then(|path| std::path::absolute(path).ok())
}

/// The recipe after what it is given: bash's own variables, which the compilers do not see.
fn script(project: &Project, program: &Path) -> String {
    let (toolchains, scratch, made) = (toolchains(project), project.scratch(), project.made());
    let flag = |name: &str| if env::var_os(name).is_some_and(|value| value == "1") { "1" } else { "0" };
    let given = [
        ("PROJECT", &*project.folder.to_string_lossy()),
        ("ENTRY", &project.entry),
        ("WIT", &project.wit.to_string_lossy()),
        ("WORLD", &project.world),
        ("OUT", &made.to_string_lossy()),
        ("SCRATCH", &scratch.to_string_lossy()),
        ("TOOLCHAINS", &toolchains.to_string_lossy()),
        ("SHARED", if shared().is_some() { "1" } else { "0" }),
        ("SANDPOOL", &program.to_string_lossy()),
        ("STRICT", flag("SANDPOOL_STRICT")),
        ("SYSTEM", flag("SANDPOOL_SYSTEM_PACKAGES")),
    ];
    let mut script: String =
        given.iter().map(|(name, value)| format!("{name}='{}'\n", value.replace('\'', r"'\''"))).collect();
    for part in ["common"].iter().chain(project.language.recipe) {
        let (_, content) = embedded("guest-examples/recipes").find(|(name, _)| name == part).unwrap_or_default();
        script.push_str(&String::from_utf8_lossy(content));
    }
    script
}
