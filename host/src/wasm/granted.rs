//! Owns a route's grants as its instances get them: the environment, and directories that were opened when the route was loaded.
//! Must not decide what is granted; requests to web servers are `outgoing`'s.

use crate::route::grants::{Directory, Grants};
use rustix::fs::{Mode, OFlags, open};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder};

/// Handles that a task may hold at once.
const HANDLES: usize = 1_000;
/// The same where each may be an open file, of which the whole process has not many.
const HANDLES_WITH_FILES: usize = 256;

/// What instances of one route are granted.
#[derive(Default)]
pub struct Granted {
    grants: Arc<Grants>,
    directories: Vec<OwnedFd>,
}

impl Granted {
    /// Opens the directories. They stay the same ones, whatever is renamed or linked later: by the path, a guest that may
    /// write to one could put a link in place of another within it, and find that followed when it runs again.
    ///
    /// # Errors
    /// Which directory cannot be opened, and why.
    pub fn open(grants: &Arc<Grants>) -> Result<Self, String> {
        let opened = |directory: &Directory| {
            open(&directory.path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(|error| {
                format!("the granted directory {} cannot be opened: {error}", directory.path.display())
            })
        };
        let directories = grants.directories.iter().map(opened).collect::<Result<_, _>>()?;
        let granted = Self { grants: Arc::clone(grants), directories };
        // Where there is no /proc, it is better to know it now than with each task.
        granted
            .give(&mut WasiCtx::builder())
            .map_err(|error| format!("granted directories cannot be given: {error:#}"))?;
        Ok(granted)
    }

    /// The grants themselves.
    pub fn grants(&self) -> &Arc<Grants> {
        &self.grants
    }

    /// How many handles a task may hold.
    pub fn handles(&self) -> usize {
        if self.directories.is_empty() { HANDLES } else { HANDLES_WITH_FILES }
    }

    /// Gives an instance the environment and the directories.
    ///
    /// # Errors
    /// When a directory cannot be opened again.
    pub fn give(&self, wasi: &mut WasiCtxBuilder) -> wasmtime::Result<()> {
        for variable in &self.grants.env {
            wasi.env(&variable.name, &variable.value);
        }
        for (directory, opened) in self.grants.directories.iter().zip(&self.directories) {
            let perms = if directory.may_write { FsPerms::ReadWrite } else { FsPerms::ReadOnly };
            // The name by which Linux opens what this handle is of, wherever it is now.
            wasi.preopened_dir(format!("/proc/self/fd/{}", opened.as_raw_fd()), &directory.name, perms)?;
        }
        Ok(())
    }
}
