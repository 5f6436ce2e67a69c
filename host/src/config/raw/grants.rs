//! Owns `grants` of a route as it stands in the file. Must not look at the file system, nor show a value of `env` in a fault.

use super::super::fault::Place;
use super::super::node::{Node, Value};
use super::super::reader::{At, Fields, Item, mismatch, text, word};
use crate::route::grants::HttpGrant;

/// What guests may do with a directory: may they write?
const MODES: [(&str, bool); 2] = [("read", false), ("write", true)];

/// `routes[].grants`
#[derive(Default)]
pub struct RawGrants {
    /// `http`
    pub http: Vec<At<HttpGrant>>,
    /// `env`
    pub env: Vec<(At<String>, At<String>)>,
    /// `directories`
    pub directories: Vec<RawDirectory>,
}

/// `routes[].grants.directories[]`
pub struct RawDirectory {
    /// Where it begins.
    pub place: Place,
    /// `path`
    pub path: Option<At<String>>,
    /// `as`
    pub name: Option<At<String>>,
    /// `mode`
    pub may_write: Option<At<bool>>,
}

/// Reads `grants` of a route.
pub fn grants(mut fields: Fields<'_>) -> RawGrants {
    let http = fields.list("http", |node: &Node| text(node).and_then(|found| HttpGrant::parse(&found)));
    let env = fields.pairs("env", "`env` of `grants`", variable_name, variable_value);
    let directories = fields.items("directories", "a directory of `grants`", text);
    fields.finish();
    let directories = directories.into_iter().map(|item| match item {
        Item::Value(path) => RawDirectory { place: path.place, path: Some(path), name: None, may_write: None },
        Item::Map(fields) => directory(fields),
    });
    RawGrants { http: http.unwrap_or_default(), env, directories: directories.collect() }
}

fn directory(mut fields: Fields<'_>) -> RawDirectory {
    let directory = RawDirectory {
        place: fields.place(),
        path: fields.require("path", text),
        name: fields.take("as", directory_name),
        may_write: fields.take("mode", word(&MODES, &[])),
    };
    fields.finish();
    directory
}

fn variable_name(name: &str) -> Result<(), String> {
    let is_name = !name.is_empty() && !name.contains(['=', '\0']);
    if is_name { Ok(()) } else { Err("expected the name of a variable, without `=`".into()) }
}

/// A value may be a secret: it is not shown.
fn variable_value(node: &Node) -> Result<String, String> {
    match &node.value {
        Value::Text(found, _) if !found.contains('\0') => Ok(found.clone()),
        Value::Text(..) => Err("expected a text without NUL".into()),
        _ => Err(format!("expected a text, found {}; put it in quotes", node.kind())),
    }
}

/// Where guests find a directory: an absolute path in its plain form.
fn directory_name(node: &Node) -> Result<String, String> {
    let found = text(node)?;
    let is_plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(char::is_control);
    let is_name = found.strip_prefix('/').is_some_and(|rest| rest.is_empty() || rest.split('/').all(is_plain));
    if is_name { Ok(found) } else { mismatch("a path such as /data, without `.`, `..` and a slash at its end", node) }
}
