//! Owns compiled components on disk: native code that this host wrote, and nothing else is ever loaded.
//! Must not know what a component is for.

use super::compile::Compiler;
use rustix::process::geteuid;
use sha2::{Digest, Sha256};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use wasmtime::Engine;
use wasmtime::component::Component;

/// The most bytes of compiled code that are kept.
const MOST_BYTES: u64 = 4 << 30;
/// How often it is noted that a file is still used.
const USE_NOTED: Duration = Duration::from_secs(24 * 3600);
/// No compile takes this long.
const LEFTOVER_AGE: Duration = Duration::from_secs(3600);

/// Why a component has no compiled code.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The folder cannot be used, or others can write to it.
    #[error("the cache of compiled components at {}: {why}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What is wrong, and what to do.
        why: String,
    },
    /// The compiler refused, or went past its limits.
    #[error("{0}")]
    Compile(String),
}

/// The folder of compiled components. A file's name says which component and which engine settings it is for.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    compiler: Compiler,
}

impl Cache {
    /// Opens the folder, and makes it where it is missing. Loading a file from it runs it as native code,
    /// so it must belong to this user, and nobody else may write to it.
    ///
    /// # Errors
    /// [`CacheError::Folder`] says what is wrong with it.
    pub fn open(folder: &Path, compiler: Compiler) -> Result<Self, CacheError> {
        let fault = |why: String| CacheError::Folder { path: folder.into(), why };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| fault(format!("cannot be made: {error}; name another folder in SANDPOOL_CACHE")))?;
        let facts = fs::metadata(folder).map_err(|error| fault(error.to_string()))?;
        if facts.uid() != geteuid().as_raw() || facts.mode() & 0o022 != 0 {
            let why = "others could write native code into it; give it to this user with mode 0700, or name another folder in SANDPOOL_CACHE";
            return Err(fault(why.into()));
        }
        remove_leftovers(folder);
        Ok(Self { folder: folder.into(), compiler })
    }

    /// The folder of a user who names none: `$SANDPOOL_CACHE`, else `sandpool` in the XDG cache folder.
    #[must_use]
    pub fn default_folder(variable: impl Fn(&str) -> Option<String>) -> PathBuf {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        set("SANDPOOL_CACHE")
            .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("sandpool")))
            .or_else(|| set("HOME").map(|home| home.join(".cache/sandpool")))
            .unwrap_or_else(|| PathBuf::from("/var/cache/sandpool"))
    }

    fn file(&self, engine: &Engine, digest: &str) -> PathBuf {
        let mut settings = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut settings);
        self.folder.join(format!("{digest}-{:016x}.cwasm", settings.finish()))
    }

    /// Whether the component with this digest was compiled before, as far as the folder's list tells.
    pub(super) fn has(&self, engine: &Engine, digest: &str) -> bool {
        let file = self.file(engine, digest);
        file.is_file() && digest_file(&file).is_file()
    }

    /// The compiled form of the component with this digest, if it is in the folder.
    pub(super) fn load(&self, engine: &Engine, digest: &str) -> Option<Component> {
        load(engine, &self.file(engine, digest))
    }

    /// Removes what was used longest ago until the folder is small enough. Who has a file mapped keeps it.
    fn trim(&self, most: u64) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        let files = entries.flatten().map(|entry| entry.path());
        let of_code = files.filter(|path| path.extension().is_some_and(|ending| ending == "cwasm"));
        let mut files: Vec<_> = of_code
            .filter_map(|path| fs::metadata(&path).and_then(|facts| Ok((facts.modified()?, facts.len(), path))).ok())
            .collect();
        files.sort();
        let mut total: u64 = files.iter().map(|(_, size, _)| size).sum();
        for (_, size, path) in files {
            if total <= most {
                return;
            }
            drop(fs::remove_file(digest_file(&path)).and_then(|()| fs::remove_file(&path)));
            total = total.saturating_sub(size);
        }
    }

    /// Compiles a component into the folder.
    pub(super) fn compile(&self, engine: &Engine, binary: &[u8], digest: &str) -> Result<Component, CacheError> {
        let file = self.file(engine, digest);
        let scratch = self.scratch_name();
        let compiled = self.compiler.compile(engine, binary, &scratch);
        let placed = compiled.map_err(CacheError::Compile).and_then(|()| {
            self.place(&scratch, &file).map_err(|error| CacheError::Folder {
                path: self.folder.clone(),
                why: format!("cannot be written: {error}"),
            })
        });
        if placed.is_err() {
            drop(fs::remove_file(&scratch));
        }
        placed?;
        self.trim(MOST_BYTES);
        load(engine, &file).ok_or_else(|| CacheError::Folder {
            path: file,
            why: "the file that was just written cannot be read back".into(),
        })
    }

    fn scratch_name(&self) -> PathBuf {
        self.folder.join(format!("{}.tmp", uuid::Uuid::new_v4()))
    }

    /// First the code, then its digest: a file without a fitting digest is never loaded.
    fn place(&self, scratch: &Path, file: &Path) -> io::Result<()> {
        let digest = hex_digest(&fs::read(scratch)?);
        let note = self.scratch_name();
        let mut written = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&note)?;
        written.write_all(digest.as_bytes())?;
        fs::rename(scratch, file)?;
        fs::rename(note, digest_file(file))
    }
}

/// The digest by which components are known: SHA-256 in lower-case hex.
pub fn hex_digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut hex, byte| {
        hex.push_str(&format!("{byte:02x}"));
        hex
    })
}

/// Scratch files of compiles that never came to their end.
fn remove_leftovers(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let age = fs::metadata(&path).and_then(|facts| facts.modified()).ok().and_then(|at| at.elapsed().ok());
        if path.extension().is_some_and(|ending| ending == "tmp") && age.is_some_and(|age| age > LEFTOVER_AGE) {
            drop(fs::remove_file(path));
        }
    }
}

fn digest_file(file: &Path) -> PathBuf {
    file.with_extension("sha256")
}

/// Sets the time by which the cache knows what was used longest ago.
fn note_use(file: &Path) {
    let age = fs::metadata(file).and_then(|facts| facts.modified()).ok().and_then(|at| at.elapsed().ok());
    if age.is_some_and(|age| age > USE_NOTED) {
        drop(fs::File::options().append(true).open(file).and_then(|file| file.set_modified(SystemTime::now())));
    }
}

fn load(engine: &Engine, file: &Path) -> Option<Component> {
    let expected = fs::read_to_string(digest_file(file)).ok()?;
    // A torn or altered file must not be mapped as code.
    if hex_digest(&fs::read(file).ok()?) != expected {
        tracing::warn!("{} is damaged and is compiled again", file.display());
        return None;
    }
    note_use(file);
    // SAFETY: the file was written by this program's compiler into a folder that only this user can write to
    // (checked in `open`), and its digest is the one noted when it was written.
    #[allow(unsafe_code)]
    let loaded = unsafe { Component::deserialize_file(engine, file) };
    loaded.inspect_err(|error| tracing::debug!("{} is compiled again: {error:#}", file.display())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::open(folder.path(), Compiler::InProcess).expect("a cache");
        let now = SystemTime::now();
        for (name, age) in [("old", 30), ("new", 10), ("middle", 20)] {
            let path = folder.path().join(name).with_extension("cwasm");
            fs::write(&path, [0; 100]).expect("written");
            fs::write(digest_file(&path), "digest").expect("written");
            let file = fs::File::options().append(true).open(&path).expect("open");
            file.set_modified(now - Duration::from_secs(age)).expect("aged");
        }
        cache.trim(200);
        let left = |name: &str, ending: &str| folder.path().join(name).with_extension(ending).exists();
        assert_eq!(["old", "middle", "new"].map(|name| left(name, "cwasm")), [false, true, true]);
        assert!(!left("old", "sha256") && left("new", "sha256"));
    }
}
