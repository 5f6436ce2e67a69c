//! Owns how single values of a configuration are written: addresses, URLs, paths and names.
//! Must not know where in the configuration they stand, nor rules between them.

use super::node::Node;
use super::raw::{MAX_NAME, RawStoreUrl};
use super::reader::{mismatch, text};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::net::{Ipv4Addr, SocketAddr};

/// An address to listen at. Names other than `localhost` would need a resolver.
pub fn listen(node: &Node) -> Result<SocketAddr, String> {
    let found = text(node)?;
    let address = match found.strip_prefix("localhost:") {
        Some(port) => port.parse().ok().map(|port| (Ipv4Addr::LOCALHOST, port).into()),
        None => found.parse().ok(),
    };
    address.map_or_else(|| mismatch("an address and a port such as 127.0.0.1:8080 or [::1]:8080", node), Ok)
}

/// A base URL, without trailing slashes.
pub fn public_url(node: &Node) -> Result<String, String> {
    let found = text(node)?;
    let trimmed = found.trim_end_matches('/');
    let is_base = trimmed.parse::<http::Uri>().is_ok_and(|uri| {
        let has_host = uri.host().is_some_and(|host| !host.is_empty());
        matches!(uri.scheme_str(), Some("http" | "https")) && has_host && !trimmed.contains(['?', '#', '@'])
    });
    if is_base { Ok(trimmed.into()) } else { mismatch("a URL such as https://host/base, without a query", node) }
}

/// Where tasks are kept.
pub fn store_url(node: &Node) -> Result<RawStoreUrl, String> {
    let found = text(node)?;
    if found.starts_with("postgres:") || found.starts_with("postgresql:") {
        return Err("PostgreSQL is not supported by this version; expected sqlite:PATH or sqlite::memory:".into());
    }
    match found.strip_prefix("sqlite:") {
        Some(":memory:") => Ok(RawStoreUrl::Memory),
        // `sqlite:///absolute` and `sqlite://relative` are what many other programs take.
        Some(path) if !path.trim_start_matches("//").is_empty() && !path.starts_with(':') => {
            Ok(RawStoreUrl::File(path.strip_prefix("//").unwrap_or(path).into()))
        }
        _ => mismatch("sqlite:PATH or sqlite::memory:", node),
    }
}

/// The name of a host: it stands in slots between slashes.
pub fn node_name(node: &Node) -> Result<String, String> {
    let is_name = |name: &str| name.len() <= 64 && name.chars().all(is_node_name_char);
    let expected = "1 to 64 letters, digits, '.', '_' or '-'";
    text(node).and_then(|name| if is_name(&name) { Ok(name) } else { mismatch(expected, node) })
}

/// Whether a host's name may hold `c`.
pub fn is_node_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

/// The name of a variable.
pub fn name(node: &Node) -> Result<String, String> {
    let name = text(node)?;
    if name.len() <= MAX_NAME { Ok(name) } else { mismatch(&format!("a name of 1 to {MAX_NAME} bytes"), node) }
}

/// The name of a route: it stands in URLs, slots and logs. Clients take `.` and `..` in an URL for steps.
pub fn route_name(node: &Node) -> Result<String, String> {
    let found = name(node)?;
    let is_plain = !found.contains(['/', '\\']) && !found.contains(|c: char| c.is_control() || c.is_whitespace());
    let short = found.rsplit(':').next().unwrap_or("");
    match is_plain && ![".", ".."].contains(&short) {
        true => Ok(found),
        false => mismatch("a name without slashes and blanks, and neither `.` nor `..`", node),
    }
}

/// A public Ed25519 key (RFC 8032), 32 bytes in base64.
pub fn ed25519_key(node: &Node) -> Result<[u8; 32], String> {
    let found = BASE64_STANDARD.decode(text(node)?).ok().and_then(|bytes| bytes.try_into().ok());
    found.map_or_else(|| mismatch("a public Ed25519 key: its 32 bytes in base64", node), Ok)
}

/// A route's path. Requests carry any other letter percent-encoded, so it would never match.
pub fn path(node: &Node) -> Result<String, String> {
    let path = text(node)?;
    // Clients and proxies take the step before it is sent, so that it would lead elsewhere.
    if path.split('/').any(|segment| [".", ".."].contains(&segment)) {
        return mismatch("a path without the steps `.` and `..`", node);
    }
    if !path.starts_with('/') {
        return mismatch("a path that begins with `/`", node);
    }
    if path == "/-" || path.starts_with("/-/") {
        return mismatch("a path outside of `/-/`, which is Sandpool's own", node);
    }
    match path.chars().find(|c| !c.is_ascii_graphic() || matches!(c, '?' | '#')) {
        Some(other) => {
            Err(format!("expected a path of visible ASCII characters without `?` and `#`, found {other:?} in it"))
        }
        None => Ok(path),
    }
}

/// What takes the place of a path where there shall be nothing.
pub const NONE: &str = "none";

/// A path without parameters, or `none`.
pub fn path_or_none(node: &Node) -> Result<String, String> {
    let found = text(node)?;
    if found == NONE {
        return Ok(found);
    }
    let path = path(node)?;
    let is_plain = !path.contains(['{', '}']) && (path == "/" || !path.ends_with('/'));
    if is_plain { Ok(path) } else { mismatch("a path without parameters and without a slash at its end", node) }
}

/// Where a tenant's paths begin.
pub fn prefix(node: &Node) -> Result<String, String> {
    match path_or_none(node)?.as_str() {
        "/" | NONE => mismatch("a path such as /acme, below which everything is the tenant's", node),
        path => Ok(path.to_owned()),
    }
}

/// An origin of web pages (RFC 6454): scheme, host and port, nothing more; or `*`.
pub fn origin(node: &Node) -> Result<String, String> {
    let found = text(node)?;
    let is_origin = found.parse::<http::Uri>().is_ok_and(|uri| {
        let plain = uri.path() == "/" && !found.ends_with('/') && !found.contains(['?', '#', '@']);
        uri.scheme_str().is_some() && uri.host().is_some_and(|host| !host.is_empty()) && plain
    });
    let expected = "`*`, or an origin such as https://app.example.com, without a path";
    if found == "*" || is_origin { Ok(found) } else { mismatch(expected, node) }
}

/// A task route's path.
pub fn task_path(node: &Node) -> Result<String, String> {
    let path = path(node)?;
    let is_plain = !path.contains(['{', '}']);
    if is_plain { Ok(path) } else { mismatch("a path without parameters: the task's id is added to it", node) }
}

/// A name that can be a header's, a cookie's, and a path parameter's.
pub fn token(node: &Node) -> Result<String, String> {
    let token = name(node)?;
    let is_token = token.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && token.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    if is_token { Ok(token) } else { mismatch("a letter or '_', then letters, digits, '_' or '-'", node) }
}
