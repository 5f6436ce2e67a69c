//! Owns how a route says which component it runs: a file, or versions of an uploaded plugin.
//! Must not know whether there are such.

use super::super::reader::{At, Fields, Read, mismatch, text, whole};
use crate::route::plugin_name;
use crate::tenant::full_plugin_name;

/// The parts of `split`.
const MAX_SHARE: u32 = 1_000_000;

/// `component`, or `plugin` and `split`
pub struct RawComponent {
    /// `component`
    pub file: Option<At<String>>,
    /// `plugin`: a name, and a version unless it is the latest
    pub plugin: Option<At<(String, Option<String>)>>,
    /// `split`: versions and their shares
    pub split: Vec<(At<String>, At<u32>)>,
}

/// Reads the keys of a route.
pub fn component(fields: &mut Fields<'_>) -> RawComponent {
    let split =
        fields.pairs("split", "a route's `split`", |version| plugin_name(version).map(drop), whole(0, MAX_SHARE));
    let has_plugin = fields.has("plugin");
    let plugin = fields.take("plugin", reference());
    let file = match has_plugin {
        true => fields.take("component", text),
        false => fields.require("component", text),
    };
    if has_plugin && fields.has("component") {
        fields.report("has both `component` and `plugin`; it runs one of them");
    }
    if !has_plugin && fields.has("split") {
        fields.report("needs the key `plugin` beside `split`, whose versions share its tasks");
    }
    RawComponent { file, plugin, split }
}

/// `NAME` or `NAME@VERSION`
fn reference() -> impl Read<(String, Option<String>)> {
    |node| {
        let found = text(node)?;
        let (name, version) = match found.split_once('@') {
            Some((name, version)) => (name, Some(version)),
            None => (found.as_str(), None),
        };
        match full_plugin_name(name).is_ok() && version.is_none_or(|version| plugin_name(version).is_ok()) {
            true => Ok((name.to_owned(), version.filter(|version| *version != "latest").map(str::to_owned))),
            false => mismatch(
                "NAME or NAME@VERSION, each 1 to 64 characters out of A-Z a-z 0-9 . _ + - (or TENANT:NAME)",
                node,
            ),
        }
    }
}
