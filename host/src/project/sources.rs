//! Owns which files of a project are its sources, and whether they have changed.
//! Must not know what they are.

use super::{CASES, CONFIG, Project, ProjectError};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// The most files of a project.
const MAX_FILES: usize = 20_000;
/// What tools leave, and what no component is made of.
const LEFT: [&str; 6] = ["target", "node_modules", "__pycache__", "Cargo.lock", "README.md", CASES];

/// A project's sources at one moment: equal while none is changed, added or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    /// SHA-256 of their paths, lengths and times, in hex.
    pub digest: String,
    /// The same of the configuration.
    pub config: String,
    /// The folders that hold them.
    pub folders: Vec<PathBuf>,
}

impl Sources {
    /// Looks at the project's files.
    ///
    /// # Errors
    /// When a folder cannot be read, or there are more than 20,000 files.
    pub fn of(project: &Project) -> Result<Self, ProjectError> {
        let mut walk = Walk { project, folders: Vec::new(), lines: Vec::new() };
        for root in [&project.folder, &project.wit] {
            // The interface is within the project, or it is not.
            if !walk.folders.contains(root) {
                walk.folder(root)?;
            }
        }
        walk.lines.sort();
        Ok(Self {
            digest: hex(&walk.lines.join("\n")),
            config: hex(&line(&project.folder.join(CONFIG))),
            folders: walk.folders,
        })
    }
}

struct Walk<'a> {
    project: &'a Project,
    folders: Vec<PathBuf>,
    lines: Vec<String>,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path) -> Result<(), ProjectError> {
        let refused = |error: std::io::Error| ProjectError::io("read", folder, &error);
        self.folders.push(folder.to_owned());
        for entry in fs::read_dir(folder).map_err(refused)? {
            let entry = entry.map_err(refused)?;
            let path = entry.path();
            let kind = entry.file_type().map_err(refused)?;
            if self.is_left(&entry.file_name().to_string_lossy(), &path) {
                continue;
            }
            if kind.is_dir() {
                self.folder(&path)?;
            } else {
                self.lines.push(line(&path));
            }
            if self.lines.len() > MAX_FILES {
                let folder = self.project.folder.display();
                return Err(ProjectError::new(format!("{folder} has more than {MAX_FILES} files: is it a project?")));
            }
        }
        Ok(())
    }

    fn is_left(&self, name: &str, path: &Path) -> bool {
        (name.starts_with(['.', '#']) && name != ".cargo")
            || name.ends_with('~')
            || LEFT.contains(&name)
            || (name == CONFIG && path.parent() == Some(&self.project.folder))
            || *path == self.project.component
            || *path == self.project.scratch()
    }
}

/// What tells one version of a file from another.
pub(super) fn line(path: &Path) -> String {
    let (length, time) = fs::metadata(path).map_or((0, None), |facts| {
        let time = facts.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        (facts.len(), time)
    });
    format!("{} {length} {time:?}", path.display())
}

pub(super) fn hex(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}
