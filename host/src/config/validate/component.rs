//! Owns which component a route runs: one source, whose shares are not all nothing.
//! Must not know whether a plugin is there: plugins come and go.

use super::super::raw::component::RawComponent;
use super::super::reader::At;
use super::Rules;
use crate::route::{PluginChoice, Source};
use std::path::PathBuf;
use std::sync::Arc;

impl Rules<'_> {
    /// `component`, `plugin` and `split` of a route.
    pub fn source(&self, raw: RawComponent) -> Option<Source> {
        let Some(At { place, value: (name, version) }) = raw.plugin else {
            return raw.file.map(|file| Source::File(self.own_file("component", &file)));
        };
        let name = name.into();
        if raw.split.is_empty() {
            return Some(Source::Plugin(PluginChoice { name, versions: vec![(version.map(Into::into), 1)] }));
        }
        if version.is_some() {
            self.sink.report(place, "plugin: expected a name without a version, since `split` names the versions");
        }
        let version = |version: String| (version != "latest").then(|| Arc::from(version));
        let shares = raw.split.into_iter().filter(|(_, share)| share.value > 0);
        let versions: Vec<_> = shares.map(|(name, share)| (version(name.value), share.value)).collect();
        if versions.is_empty() {
            self.sink.report(place, "split: expected a version with a share above 0, found none");
            return None;
        }
        Some(Source::Plugin(PluginChoice { name, versions }))
    }

    /// A file of this host, which only its operator may name.
    pub fn own_file(&self, key: &str, at: &At<String>) -> PathBuf {
        if self.from_client {
            let message =
                format!("{key}: expected an uploaded `plugin`, a file of this host is not to be had by its API");
            self.sink.report(at.place, message);
            return PathBuf::new();
        }
        self.file(key, at)
    }
}
