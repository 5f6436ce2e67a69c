//! Owns `plugins` as it stands in the file. Must not know defaults.

use super::super::reader::{At, Fields, size};
use super::super::values;
use crate::route::plugin_name;

/// `plugins`
pub struct RawPlugins {
    /// `max_size`
    pub max_size: Option<At<u64>>,
    /// `keys`: names, and public Ed25519 keys
    pub keys: Vec<(At<String>, At<[u8; 32]>)>,
}

/// Reads `plugins`.
pub fn plugins(mut fields: Fields<'_>) -> RawPlugins {
    let key_name = |name: &str| plugin_name(name).map(drop);
    let plugins = RawPlugins {
        max_size: fields.take("max_size", size(1 << 10, 256 << 20)),
        keys: fields.pairs("keys", "`plugins.keys`", key_name, values::ed25519_key),
    };
    fields.finish();
    plugins
}
