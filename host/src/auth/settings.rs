//! Owns what authentication is configured with, after validation.
//! Must not know how a configuration is written, nor how a scheme works.

use super::secret::{KeyHash, PasswordHash, Secret};
use crate::principal::Principal;
use reqwest::Url;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

pub use jsonwebtoken::Algorithm;

/// Algorithms whose key is a shared secret.
pub const SYMMETRIC: [(&str, Algorithm); 3] =
    [("HS256", Algorithm::HS256), ("HS384", Algorithm::HS384), ("HS512", Algorithm::HS512)];
/// Algorithms whose key is public.
pub const ASYMMETRIC: [(&str, Algorithm); 9] = [
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("EdDSA", Algorithm::EdDSA),
];
/// The least bytes of a shared secret (RFC 7518 §3.2).
pub const MIN_SECRET: usize = 32;

/// `auth:`
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// The users that the file names.
    pub users: Vec<User>,
    /// The schemes by name.
    pub schemes: Vec<(Arc<str>, Scheme)>,
    /// The scheme of routes that name none; `None`: they are open.
    pub default: Option<Arc<str>>,
}

impl Settings {
    /// The ways through a scheme: alternatives, each of which is the plain schemes that must all be passed. A combination
    /// of combinations multiplies; past 64 alternatives the rest is left out.
    #[must_use]
    pub fn alternatives(&self, name: &str) -> Vec<Vec<Arc<str>>> {
        const MOST: usize = 64;
        let Some((name, scheme)) = self.schemes.iter().find(|(known, _)| &**known == name) else { return Vec::new() };
        match scheme {
            Scheme::Basic | Scheme::ApiKey(_) | Scheme::Jwt(_) => vec![vec![Arc::clone(name)]],
            Scheme::Any(names) => names.iter().flat_map(|name| self.alternatives(name)).take(MOST).collect(),
            Scheme::All(names) => names.iter().fold(vec![Vec::new()], |found, name| {
                let further = self.alternatives(name);
                let joined = found.iter().flat_map(|one| further.iter().map(|other| [one.as_slice(), other].concat()));
                joined.take(MOST).collect()
            }),
        }
    }

    /// What should be mended though it works, in words for the log.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let weak = self.users.iter().filter(|user| user.password.as_ref().is_some_and(PasswordHash::is_weak));
        weak.map(|user| {
            format!(
                "the password hash of user `{}` is cheap to guess against; make a new one with `sandpool hash password`",
                user.principal.id
            )
        })
        .collect()
    }
}

/// A user of `auth.users`.
#[derive(Debug, Clone, PartialEq)]
pub struct User {
    /// Who it is once it has proved that.
    pub principal: Principal,
    /// The name that it logs in with.
    pub name: String,
    /// Its password; without one it cannot log in.
    pub password: Option<PasswordHash>,
    /// Its API keys.
    pub api_keys: Vec<KeyHash>,
}

/// A scheme of `auth.schemes`.
#[derive(Debug, Clone, PartialEq)]
pub enum Scheme {
    /// Name and password (RFC 7617).
    Basic,
    /// A key of a user.
    ApiKey(KeyPlace),
    /// A signed token (RFC 7519, RFC 6750).
    Jwt(Box<Jwt>),
    /// All of these schemes, for the same user.
    All(Vec<Arc<str>>),
    /// One of these schemes, the first that succeeds.
    Any(Vec<Arc<str>>),
}

/// Where a request has its API key, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyPlace {
    /// A header field.
    Header(String),
    /// A query parameter.
    Query(String),
    /// A cookie.
    Cookie(String),
}

/// A scheme of signed tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct Jwt {
    /// Where keys come from.
    pub keys: KeySource,
    /// The algorithms that a token may be signed with.
    pub algorithms: Vec<Algorithm>,
    /// Who must have issued it.
    pub issuer: Option<String>,
    /// Whom it must be meant for, one of these; none: it must not name an audience.
    pub audience: Vec<String>,
    /// Where in it the principal stands.
    pub claims: ClaimNames,
}

/// The claims that make a principal: their names, or paths such as `realm_access.roles`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimNames {
    /// The user's id.
    pub id: String,
    /// A list of groups.
    pub groups: String,
    /// A list of roles.
    pub roles: String,
    /// Scopes: a list, or a text with blanks between them.
    pub scopes: String,
}

impl Default for ClaimNames {
    fn default() -> Self {
        Self { id: "sub".into(), groups: "groups".into(), roles: "roles".into(), scopes: "scope".into() }
    }
}

/// Where the keys come from that tokens are verified with.
#[derive(Debug, Clone, PartialEq)]
pub enum KeySource {
    /// A secret that the issuer shares.
    Secret(Secret),
    /// A key set (RFC 7517) in a file.
    File(PathBuf),
    /// A key set at a URL.
    Url(KeyUrl),
    /// A key set at the URL that this issuer names (OpenID Connect Discovery 1.0).
    Discovery(KeyUrl),
}

/// A URL that keys may be fetched from: `https`, or `http` of this machine.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyUrl(Url);

impl KeyUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// What was expected, without the text: a URL may hold a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("expected an https URL ({error})"))?;
        match url.scheme() {
            _ if !url.username().is_empty() || url.password().is_some() => {
                Err("expected a URL without user name and password".into())
            }
            "https" => Ok(Self(url)),
            "http" if is_loopback(&url) => Ok(Self(url)),
            "http" => Err("expected an https URL: whoever is on the way could exchange the keys".into()),
            _ => Err("expected an https URL".into()),
        }
    }

    /// The URL.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.0
    }

    /// Whether this URL may lead to that one, so that nothing is weaker on the way.
    #[must_use]
    pub fn may_name(&self, other: &Self) -> bool {
        self.0.scheme() == "http" || other.0.scheme() == "https"
    }

    /// Where an OpenID Connect issuer describes itself.
    #[must_use]
    pub fn discovery(&self) -> Url {
        let mut url = self.0.clone();
        url.set_path(&format!("{}/.well-known/openid-configuration", self.0.path().trim_end_matches('/')));
        url
    }
}

/// Without its query, which may hold a key.
impl fmt::Display for KeyUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = self.0.origin().ascii_serialization();
        write!(formatter, "{origin}{}", self.0.path())
    }
}

impl fmt::Debug for KeyUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "KeyUrl({self})")
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or("");
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_over_tls_or_from_here() {
        for text in ["https://a.example/keys", "http://127.0.0.1:5/k", "http://[::1]/k", "http://localhost/k"] {
            assert!(KeyUrl::parse(text).is_ok(), "{text}");
        }
        for text in
            ["http://a.example/k", "http://localhost.a.example", "ftp://a/k", "a", "https://u:pw@a/k", "file:///k", ""]
        {
            let fault = KeyUrl::parse(text).expect_err(text);
            assert!(!fault.contains("pw"), "{fault}");
        }
        let url = KeyUrl::parse("https://a.example/realms/x/?token=t0psecret").expect("a URL");
        assert_eq!(format!("{url} {url:?}"), "https://a.example/realms/x/ KeyUrl(https://a.example/realms/x/)");
        assert!(url.discovery().as_str().starts_with("https://a.example/realms/x/.well-known/openid-configuration"));
        let local = KeyUrl::parse("http://localhost/k").expect("a URL");
        assert!(local.may_name(&url) && !url.may_name(&local));
    }
}
