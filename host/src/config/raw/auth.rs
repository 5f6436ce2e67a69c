//! Owns who may call, as it stands in the file: `auth`, `admin`, `server.tls`, and the like of routes.
//! Must not know rules between values, nor show a secret in a fault.

use super::super::fault::Place;
use super::super::node::{Node, Value};
use super::super::reader::{At, Fields, mismatch, text, word};
use super::super::values;
use crate::auth::{ASYMMETRIC, Algorithm, KeyHash, KeyUrl, MIN_SECRET, PasswordHash, SYMMETRIC, Secret};

/// The longest id or name of a user, group, role, scope or scheme, in bytes.
const MAX_NAME: usize = 256;

/// `auth`
pub struct RawAuth {
    /// `users`
    pub users: Vec<RawUser>,
    /// `schemes`
    pub schemes: Vec<(At<String>, RawScheme)>,
    /// `default`
    pub default: Option<At<String>>,
}

/// `auth.users[]`
pub struct RawUser {
    /// `id`
    pub id: Option<At<String>>,
    /// `name`
    pub name: Option<At<String>>,
    /// `password`
    pub password: Option<At<PasswordHash>>,
    /// `api_keys`
    pub api_keys: Vec<At<KeyHash>>,
    /// `groups`
    pub groups: Vec<At<String>>,
    /// `roles`
    pub roles: Vec<At<String>>,
    /// `scopes`
    pub scopes: Vec<At<String>>,
}

/// `auth.schemes.NAME`
pub enum RawScheme {
    /// Something that was reported.
    Faulty,
    /// `type: basic`
    Basic,
    /// `type: api_key`, where it is (`header`, `query` or `cookie`) and its name
    ApiKey(Option<At<&'static str>>, Option<At<String>>),
    /// `type: jwt`
    Jwt(Box<RawJwt>),
    /// `all`
    All(Vec<At<String>>),
    /// `any`
    Any(Vec<At<String>>),
}

/// A scheme of `type: jwt`
pub struct RawJwt {
    /// Where it begins.
    pub place: Place,
    /// Which of `jwks_url`, `jwks_file` and `secret` are there, faulty or not.
    pub sources: Vec<&'static str>,
    /// `jwks_url`
    pub url: Option<At<KeyUrl>>,
    /// `jwks_file`
    pub file: Option<At<String>>,
    /// `secret`
    pub secret: Option<At<Secret>>,
    /// `issuer`
    pub issuer: Option<At<String>>,
    /// `audience`
    pub audience: Vec<At<String>>,
    /// `algorithms`
    pub algorithms: Option<Vec<At<Algorithm>>>,
    /// `claims.id`, `.groups`, `.roles`, `.scopes`
    pub claims: [Option<At<String>>; 4],
}

/// `users`, `groups`, `roles`, `scopes` of `access` and `permission`
#[derive(Default)]
pub struct RawAllowed(pub [Vec<At<String>>; 4]);

/// `auth` and `access`
pub struct RawCaller {
    /// `auth`
    pub auth: Option<At<String>>,
    /// `access`, and where it begins
    pub access: Option<At<RawAllowed>>,
}

/// `admin`
pub struct RawAdmin {
    /// Where it begins.
    pub place: Place,
    /// `auth` and `access`
    pub caller: RawCaller,
    /// `viewers`
    pub viewers: RawAllowed,
}

/// `server.tls`
pub struct RawTls {
    /// `certificate`
    pub certificate: Option<At<String>>,
    /// `key`
    pub key: Option<At<String>>,
}

const TYPES: [(&str, &str); 3] = [("basic", "basic"), ("api_key", "api_key"), ("jwt", "jwt")];
const KEY_PLACES: [(&str, &str); 3] = [("header", "header"), ("query", "query"), ("cookie", "cookie")];
const ALGORITHMS: [(&str, Algorithm); 12] = {
    let ([a, b, c], [d, e, f, g, h, i, j, k, l]) = (SYMMETRIC, ASYMMETRIC);
    [a, b, c, d, e, f, g, h, i, j, k, l]
};

/// Reads `auth`.
pub fn auth(mut fields: Fields<'_>) -> RawAuth {
    let users = fields.maps("users", "a user").unwrap_or_default().into_iter().map(user).collect();
    let schemes = fields.named("schemes", "`auth.schemes`", "a scheme");
    let schemes = schemes.into_iter().map(|(name, fields)| (name, scheme(fields))).collect();
    let default = fields.take("default", text);
    fields.finish();
    RawAuth { users, schemes, default }
}

fn user(mut fields: Fields<'_>) -> RawUser {
    let user = RawUser {
        id: fields.require("id", word_of_users),
        name: fields.take("name", word_of_users),
        password: fields.take("password", password),
        api_keys: fields.list("api_keys", api_key).unwrap_or_default(),
        groups: names(&mut fields, "groups"),
        roles: names(&mut fields, "roles"),
        scopes: names(&mut fields, "scopes"),
    };
    fields.finish();
    user
}

fn scheme(mut fields: Fields<'_>) -> RawScheme {
    let scheme = if fields.has("all") {
        RawScheme::All(names_of_schemes(&mut fields, "all"))
    } else if fields.has("any") {
        RawScheme::Any(names_of_schemes(&mut fields, "any"))
    } else if !fields.has("type") {
        fields.report("needs one of the keys `type`, `all` and `any`");
        return RawScheme::Faulty;
    } else {
        match fields.take("type", word(&TYPES, &[])).map(|at| at.value) {
            Some("basic") => RawScheme::Basic,
            Some("api_key") => {
                let place = fields.require("in", word(&KEY_PLACES, &[]));
                RawScheme::ApiKey(place, fields.require("name", values::token))
            }
            Some("jwt") => RawScheme::Jwt(Box::new(jwt(&mut fields))),
            _ => return RawScheme::Faulty,
        }
    };
    fields.finish();
    scheme
}

fn names_of_schemes(fields: &mut Fields<'_>, key: &'static str) -> Vec<At<String>> {
    fields.some(key, text).unwrap_or_default()
}

fn jwt(fields: &mut Fields<'_>) -> RawJwt {
    let place = fields.place();
    let sources = ["jwks_url", "jwks_file", "secret"].into_iter().filter(|key| fields.has(key)).collect();
    let url = fields.take("jwks_url", key_url);
    let file = fields.take("jwks_file", text);
    let secret = fields.take("secret", secret);
    let issuer = fields.take("issuer", text);
    let audience = fields.some("audience", text).unwrap_or_default();
    let algorithms = fields.some("algorithms", word(&ALGORITHMS, &[]));
    let mut claims = fields.section("claims", "a scheme's `claims`");
    let names = ["id", "groups", "roles", "scopes"].map(|key| claims.take(key, text));
    claims.finish();
    RawJwt { place, sources, url, file, secret, issuer, audience, algorithms, claims: names }
}

/// Reads `auth` and `access` of a route or of `admin`.
pub fn caller(fields: &mut Fields<'_>) -> RawCaller {
    let auth = fields.take("auth", text);
    let has_access = fields.has("access");
    let section = fields.section("access", "`access`");
    let place = section.place();
    let access = allowed(section);
    RawCaller { auth, access: has_access.then_some(At { place, value: access }) }
}

/// Reads `read` and `write` of a route's `permission`.
pub fn permission(mut fields: Fields<'_>) -> (RawAllowed, RawAllowed) {
    let read = allowed(fields.section("read", "`permission.read`"));
    let write = allowed(fields.section("write", "`permission.write`"));
    fields.finish();
    (read, write)
}

/// Reads named users, groups, roles and scopes.
pub fn allowed(mut fields: Fields<'_>) -> RawAllowed {
    let allowed = RawAllowed(["users", "groups", "roles", "scopes"].map(|key| names(&mut fields, key)));
    fields.finish();
    allowed
}

/// Reads `admin`.
pub fn admin(fields: &mut Fields<'_>) -> Option<RawAdmin> {
    let is_there = fields.has("admin");
    let mut fields = fields.section("admin", "`admin`");
    let place = fields.place();
    let caller = caller(&mut fields);
    let viewers = allowed(fields.section("viewers", "`viewers`"));
    fields.finish();
    is_there.then_some(RawAdmin { place, caller, viewers })
}

/// Reads `server.tls`.
pub fn tls(fields: &mut Fields<'_>) -> Option<RawTls> {
    fields.node("tls")?;
    let mut fields = fields.section("tls", "`server.tls`");
    let tls = RawTls { certificate: fields.require("certificate", text), key: fields.require("key", text) };
    fields.finish();
    Some(tls)
}

fn names(fields: &mut Fields<'_>, key: &'static str) -> Vec<At<String>> {
    fields.list(key, word_of_users).unwrap_or_default()
}

/// An id or name of a user, group, role or scope.
fn word_of_users(node: &Node) -> Result<String, String> {
    let found = text(node)?;
    let is_name = found.len() <= MAX_NAME && !found.contains(char::is_control);
    if is_name { Ok(found) } else { mismatch(&format!("a name of at most {MAX_NAME} printable bytes"), node) }
}

/// A password's hash. What else stands there may be the password itself, so it is not shown.
fn password(node: &Node) -> Result<PasswordHash, String> {
    const ADVICE: &str = "; write what `sandpool hash password` prints";
    match &node.value {
        // Hashes have commas, which end a text without quotes inside of `{…}`.
        Value::Text(text, _) if text.starts_with("$argon2id$") && !text.contains(',') => {
            Err("expected a whole Argon2id hash, found the beginning of one; put it in quotes".into())
        }
        Value::Text(text, _) if text.starts_with('$') => PasswordHash::parse(text).map_err(|fault| fault + ADVICE),
        _ => Err(format!("expected a hash that begins with `$argon2id$`, found {} that is none{ADVICE}", node.kind())),
    }
}

/// An API key's hash, never the key.
fn api_key(node: &Node) -> Result<KeyHash, String> {
    let hash = match &node.value {
        Value::Text(text, _) => KeyHash::parse(text),
        _ => None,
    };
    hash.ok_or_else(|| {
        let found = node.kind();
        format!(
            "expected `sha256:` and 64 hexadecimal digits, found {found} that is no such hash; \
             write what `sandpool hash key` prints"
        )
    })
}

/// A shared secret, which is long enough to resist guessing.
fn secret(node: &Node) -> Result<Secret, String> {
    match &node.value {
        Value::Text(text, _) if text.len() >= MIN_SECRET => Ok(Secret::new(text.as_bytes())),
        Value::Text(text, _) => Err(format!("expected at least {MIN_SECRET} bytes, found {}", text.len())),
        _ => Err(format!("expected a text, found {}; put it in quotes", node.kind())),
    }
}

/// A URL of keys; it is not shown, for it may hold a password.
fn key_url(node: &Node) -> Result<KeyUrl, String> {
    text(node).and_then(|found| KeyUrl::parse(&found))
}
