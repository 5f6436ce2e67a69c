//! Owns the rules of `grants`: each directory is there, has a name of its own, and holds nothing of the host's own.
//! Must not know how values are written, nor what guests do with a grant.

use super::super::node::excerpt;
use super::super::raw::grants::{RawDirectory, RawGrants};
use super::super::raw::{RawConfig, RawStoreUrl};
use super::super::reader::At;
use super::{Rules, or, pairs, values_of};
use crate::route::grants::{Directory, Grants, Variable};
use crate::wasm::Cache;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// What no guest may get at by a directory.
#[derive(Clone, Default)]
pub struct Own {
    /// Files and folders that hold secrets, or tasks of others, or code that runs outside of the sandbox.
    secret: Vec<(&'static str, PathBuf)>,
    /// Files that decide what runs.
    components: Vec<PathBuf>,
}

impl Rules<'_> {
    /// What is the host's own, by the configuration.
    pub fn own(&self, raw: &RawConfig, variable: &dyn Fn(&str) -> Option<String>) -> Own {
        let store = match &raw.store.url {
            None => Some("sandpool.db"),
            Some(At { value: RawStoreUrl::File(path), .. }) => Some(path.as_str()),
            Some(At { value: RawStoreUrl::Memory, .. }) => None,
        };
        let key = raw.server.tls.as_ref().and_then(|tls| tls.key.as_ref());
        let secret = [
            Some(("the configuration", real(&self.base.join("x")))),
            store.map(|path| ("the store", real(&self.base.join(path)))),
            key.map(|at| ("the server's key", real(&self.base.join(&at.value)))),
            Some(("the cache of compiled components", real(&Cache::default_folder(variable)))),
        ];
        let components = raw.routes.iter().filter_map(|route| route.component.file.as_ref());
        Own {
            secret: secret.into_iter().flatten().collect(),
            components: components.map(|at| real(&self.base.join(&at.value))).collect(),
        }
    }

    /// `grants` of a route.
    pub fn grants(&self, raw: RawGrants, own: &Own) -> Grants {
        let mut taken: HashMap<String, usize> = HashMap::new();
        let mut directories = Vec::new();
        for raw in raw.directories {
            let place = raw.name.as_ref().map_or(raw.place, |name| name.place);
            let Some(directory) = self.directory(raw, own) else { continue };
            if let Some(line) = taken.insert(directory.name.clone(), place.line) {
                let name = excerpt(&directory.name);
                self.sink.report(place, format!("as: expected a path of its own, `{name}` is that of line {line}"));
            }
            directories.push(directory);
        }
        let env = pairs(raw.env).into_iter().map(|(name, value)| Variable { name, value });
        Grants { http: values_of(raw.http), env: env.collect(), directories }
    }

    fn directory(&self, raw: RawDirectory, own: &Own) -> Option<Directory> {
        let At { place, value: written } = raw.path?;
        let path = self.base.join(&written);
        let shown = || excerpt(&self.sink.without_values(&path.display().to_string()));
        let found = match path.metadata() {
            Ok(found) if found.is_dir() => None,
            Ok(_) => Some("something else".to_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Some("nothing".to_owned()),
            Err(error) => Some(format!("the fault `{error}`")),
        };
        if let Some(found) = found {
            self.sink.report(place, format!("path: expected a directory at {}, found {found}", shown()));
            return None;
        }
        let real = real(&path);
        let may_write = or(raw.may_write, false);
        let secret = own.secret.iter().find(|(_, own)| own.starts_with(&real)).map(|(what, _)| *what);
        let component = own.components.iter().any(|own| may_write && own.starts_with(&real)).then_some("components");
        if let Some(what) = secret.or(component) {
            let message = format!("path: expected a directory that guests may get, {} holds {what}", shown());
            self.sink.report(place, message);
            return None;
        }
        let last = path.file_name().and_then(|name| name.to_str()).map(|name| format!("/{name}"));
        let Some(name) = raw.name.map(|name| name.value).or(last) else {
            self.sink.report(place, "path: expected `as` beside it, since it does not end in a name");
            return None;
        };
        Some(Directory { path: real, name, may_write })
    }
}

/// The path without symbolic links, as far as it exists.
fn real(path: &Path) -> PathBuf {
    match (path.canonicalize(), path.parent(), path.file_name()) {
        (Ok(real), ..) => real,
        (Err(_), Some(parent), Some(name)) if !parent.as_os_str().is_empty() => real(parent).join(name),
        (Err(_), Some(_), Some(name)) => Path::new(".").canonicalize().unwrap_or_default().join(name),
        _ => path.to_owned(),
    }
}
