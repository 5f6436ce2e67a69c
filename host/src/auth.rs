//! Owns how callers prove who they are: passwords, API keys, signed tokens, and combinations of these.
//! Must not know what they may do then (`task::access`), nor which server the request came through.

mod claims;
mod fetch;
mod jwt;
mod key_set;
mod keys;
mod passwords;
mod presented;
mod refusal;
mod secret;
mod settings;
mod users;

#[cfg(test)]
mod jwt_tests;
#[cfg(test)]
mod keys_tests;
#[cfg(test)]
mod tests;

pub use presented::{MAX_CREDENTIAL, Presented};
pub use refusal::{REALM, Refusal, RefusalKind};
pub use secret::{KeyHash, MAX_PASSWORD, PasswordHash, Secret, random};
pub use settings::{
    ASYMMETRIC, Algorithm, ClaimNames, Jwt, KeyPlace, KeySource, KeyUrl, MIN_SECRET, SYMMETRIC, Scheme, Settings, User,
};

use crate::clock::Clock;
use crate::metrics::{AuthMetrics, Metrics};
use crate::principal::Principal;
use futures_util::future::BoxFuture;
use jwt::Tokens;
use passwords::{Busy, Passwords};
use presented::Absence;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use users::Users;

/// How deep combinations may nest. The configuration has no cycles; this makes sure.
const MAX_DEPTH: u8 = 16;
/// How often it is looked whether keys have to be fetched.
const REFRESH: Duration = Duration::from_secs(5);
/// The most groups, roles or scopes that a combination unites.
const MAX_UNITED: usize = 10_000;

/// Why nobody can be authenticated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("authentication cannot start: {0}")]
pub struct AuthError(String);

/// Finds out who callers are; clones share it.
#[derive(Clone)]
pub struct Authenticator(Arc<Inner>);

struct Inner {
    settings: Settings,
    clock: Arc<dyn Clock>,
    users: Users,
    passwords: Arc<Passwords>,
    schemes: HashMap<Arc<str>, Method>,
    failures: AuthMetrics,
}

enum Method {
    Basic,
    ApiKey(KeyPlace),
    Jwt(Arc<Tokens>),
    All(Vec<Arc<str>>),
    Any(Vec<Arc<str>>),
}

impl Authenticator {
    /// By these settings. Keys are fetched by [`Self::refresh`], or when a token needs one.
    ///
    /// # Errors
    /// When the system has no random bytes.
    pub fn new(settings: Settings, clock: Arc<dyn Clock>, metrics: &Metrics) -> Result<Self, AuthError> {
        let passwords = Passwords::new().map_err(|error| AuthError(error.to_string()))?;
        Self::build(settings, clock, Arc::new(passwords), &HashMap::new(), metrics.auth.clone())
    }

    /// By new settings, with what the old ones have learnt: checked passwords, and keys of schemes that did not change.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn renewed(&self, settings: Settings) -> Result<Self, AuthError> {
        let (clock, passwords) = (Arc::clone(&self.0.clock), Arc::clone(&self.0.passwords));
        Self::build(settings, clock, passwords, &self.0.schemes, self.0.failures.clone())
    }

    fn build(
        settings: Settings,
        clock: Arc<dyn Clock>,
        passwords: Arc<Passwords>,
        old: &HashMap<Arc<str>, Method>,
        failures: AuthMetrics,
    ) -> Result<Self, AuthError> {
        for warning in settings.warnings() {
            tracing::warn!("{warning}");
        }
        let mut schemes = HashMap::new();
        for (name, scheme) in &settings.schemes {
            let method = match scheme {
                Scheme::Basic => Method::Basic,
                Scheme::ApiKey(place) => Method::ApiKey(place.clone()),
                Scheme::All(members) => Method::All(members.clone()),
                Scheme::Any(members) => Method::Any(members.clone()),
                Scheme::Jwt(jwt) => Method::Jwt(match old.get(name) {
                    Some(Method::Jwt(tokens)) if tokens.settings() == &**jwt => Arc::clone(tokens),
                    _ => {
                        let tokens = Tokens::new(Arc::clone(name), jwt.as_ref().clone(), Arc::clone(&clock));
                        Arc::new(tokens.map_err(|error| AuthError(error.to_string()))?)
                    }
                }),
            };
            schemes.insert(Arc::clone(name), method);
        }
        let users = Users::new(&settings.users, Arc::clone(&passwords)).map_err(AuthError)?;
        Ok(Self(Arc::new(Inner { settings, clock, users, passwords, schemes, failures })))
    }

    /// What it works by.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Whether this header field carries credentials, so that neither a log, a task nor a guest may see it.
    #[must_use]
    pub fn hides_header(&self, name: &str) -> bool {
        let known = ["authorization", "proxy-authorization", "cookie"];
        let is_key = |place: &KeyPlace| matches!(place, KeyPlace::Header(own) if own.eq_ignore_ascii_case(name));
        known.iter().any(|known| known.eq_ignore_ascii_case(name)) || self.key_places().any(is_key)
    }

    /// Whether this query parameter carries credentials.
    #[must_use]
    pub fn hides_query(&self, name: &str) -> bool {
        self.key_places().any(|place| matches!(place, KeyPlace::Query(own) if own == name))
    }

    fn key_places(&self) -> impl Iterator<Item = &KeyPlace> {
        self.0.schemes.values().filter_map(|method| match method {
            Method::ApiKey(place) => Some(place),
            _ => None,
        })
    }

    /// How many password checks and signatures were computed, and not remembered, since the start.
    #[must_use]
    pub fn computed(&self) -> (u64, u64) {
        let tokens = self.tokens().map(|tokens| tokens.computed()).sum();
        (self.0.passwords.computed(), tokens)
    }

    /// Keeps the keys of tokens fresh, the first ones at once; runs until it is dropped.
    pub async fn refresh(self) {
        loop {
            self.refresh_once().await;
            tokio::time::sleep(REFRESH).await;
        }
    }

    /// Fetches the keys whose time has come; a slow source holds up no other one.
    pub async fn refresh_once(&self) {
        futures_util::future::join_all(self.tokens().map(|tokens| tokens.keys.refresh())).await;
    }

    fn tokens(&self) -> impl Iterator<Item = &Arc<Tokens>> {
        self.0.schemes.values().filter_map(|method| match method {
            Method::Jwt(tokens) => Some(tokens),
            _ => None,
        })
    }

    /// Who the caller is, by the scheme of this name.
    ///
    /// # Errors
    /// [`Refusal`]
    pub async fn authenticate(&self, scheme: &str, credentials: &Presented<'_>) -> Result<Principal, Refusal> {
        self.0.check(scheme, *credentials, 0).await.inspect_err(|refusal| {
            let counter = match refusal.kind {
                RefusalKind::Unauthenticated => &self.0.failures.unauthenticated,
                RefusalKind::Busy => &self.0.failures.busy,
                RefusalKind::Unavailable => &self.0.failures.unavailable,
            };
            counter.inc();
        })
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Authenticator").field(&self.0.settings).finish()
    }
}

impl Inner {
    fn check<'a>(
        &'a self,
        scheme: &'a str,
        presented: Presented<'a>,
        depth: u8,
    ) -> BoxFuture<'a, Result<Principal, Refusal>> {
        Box::pin(async move {
            match self.schemes.get(scheme).filter(|_| depth < MAX_DEPTH) {
                Some(Method::Basic) => self.basic(presented).await,
                Some(Method::ApiKey(place)) => self.api_key(place, presented),
                Some(Method::Jwt(tokens)) => tokens.authenticate(presented).await,
                Some(Method::All(members)) => self.all(members, presented, depth).await,
                Some(Method::Any(members)) => self.any(members, presented, depth).await,
                // What cannot be checked lets nobody in.
                None => Err(Refusal::unauthenticated(Tokens::challenge(), format!("there is no scheme `{scheme}`"))),
            }
        })
    }

    async fn basic(&self, presented: Presented<'_>) -> Result<Principal, Refusal> {
        let (name, password) = presented.basic().map_err(|absence| match absence {
            Absence::None => Refusal::unauthenticated(basic_challenge(), "no user name and password"),
            Absence::Faulty(why) => Refusal::unauthenticated(basic_challenge(), why),
        })?;
        match self.users.by_password(&name, &password).await {
            Ok(Some(principal)) => Ok(principal.clone()),
            // The name is not told: it could be a password in the wrong field.
            Ok(None) => Err(Refusal::unauthenticated(basic_challenge(), "unknown user or wrong password")),
            Err(Busy) => {
                let refusal = Refusal::unauthenticated(basic_challenge(), "too many password checks wait");
                Err(Refusal { kind: RefusalKind::Busy, ..refusal })
            }
        }
    }

    fn api_key(&self, place: &KeyPlace, presented: Presented<'_>) -> Result<Principal, Refusal> {
        let key = match place {
            KeyPlace::Header(name) => presented.header(name),
            KeyPlace::Query(name) => presented.query(name),
            KeyPlace::Cookie(name) => presented.cookie(name),
        };
        let refused = |why: &str| Refusal::unauthenticated(key_challenge(place), why);
        let key = key.map_err(|absence| match absence {
            Absence::None => refused("no API key"),
            Absence::Faulty(why) => refused(why),
        })?;
        self.users.by_key(key).cloned().ok_or_else(|| refused("unknown API key"))
    }

    /// All for the same user. The first failure ends it: who lacks a key does not get a password checked.
    async fn all(&self, members: &[Arc<str>], presented: Presented<'_>, depth: u8) -> Result<Principal, Refusal> {
        let mut united: Option<Principal> = None;
        for member in members {
            let found = self.check(member, presented, depth + 1).await.map_err(|refusal| Refusal {
                challenges: self.challenges_of(members, depth, Some((member, &refusal))),
                ..refusal
            })?;
            united = Some(match united {
                None => found,
                Some(united) if united.id == found.id => unite(united, found),
                Some(_) => return Err(self.refused(members, depth, "the schemes name different users")),
            });
        }
        united.ok_or_else(|| self.refused(members, depth, "the scheme has no members"))
    }

    async fn any(&self, members: &[Arc<str>], presented: Presented<'_>, depth: u8) -> Result<Principal, Refusal> {
        let mut refusals = Vec::new();
        for member in members {
            match self.check(member, presented, depth + 1).await {
                Ok(principal) => return Ok(principal),
                Err(refusal) => refusals.push(refusal),
            }
        }
        if refusals.is_empty() {
            return Err(self.refused(members, depth, "the scheme has no members"));
        }
        Err(Refusal::united(refusals))
    }

    fn refused(&self, members: &[Arc<str>], depth: u8, reason: &str) -> Refusal {
        let challenges = self.challenges_of(members, depth, None);
        Refusal { kind: RefusalKind::Unauthenticated, challenges, reason: reason.into() }
    }

    /// The challenges of these schemes; one of them has said its own already.
    fn challenges_of(&self, members: &[Arc<str>], depth: u8, said: Option<(&Arc<str>, &Refusal)>) -> Vec<String> {
        let mut challenges = Vec::new();
        for member in members {
            let own = match said {
                Some((who, refusal)) if who == member => refusal.challenges.clone(),
                _ => self.challenges(member, depth + 1),
            };
            challenges.extend(own);
        }
        let mut seen = std::collections::HashSet::new();
        challenges.retain(|challenge| seen.insert(challenge.clone()));
        if challenges.is_empty() { vec![Tokens::challenge()] } else { challenges }
    }

    /// What a caller without any credentials is told.
    fn challenges(&self, scheme: &str, depth: u8) -> Vec<String> {
        match self.schemes.get(scheme).filter(|_| depth < MAX_DEPTH) {
            Some(Method::Basic) => vec![basic_challenge()],
            Some(Method::ApiKey(place)) => vec![key_challenge(place)],
            Some(Method::Jwt(_)) => vec![Tokens::challenge()],
            Some(Method::All(members) | Method::Any(members)) => self.challenges_of(members, depth, None),
            None => Vec::new(),
        }
    }
}

/// RFC 7617 §2.1
fn basic_challenge() -> String {
    format!("Basic realm=\"{REALM}\", charset=\"UTF-8\"")
}

/// API keys have no registered scheme, but a 401 needs a challenge (RFC 9110 §15.5.2): this one says where the key goes.
fn key_challenge(place: &KeyPlace) -> String {
    let (within, name) = match place {
        KeyPlace::Header(name) => ("header", name),
        KeyPlace::Query(name) => ("query", name),
        KeyPlace::Cookie(name) => ("cookie", name),
    };
    format!("ApiKey realm=\"{REALM}\", in=\"{within}\", name=\"{name}\"")
}

fn unite(one: Principal, other: Principal) -> Principal {
    let union = |mut one: Vec<String>, other: Vec<String>| {
        let mut held: std::collections::HashSet<String> = one.iter().cloned().collect();
        one.extend(other.into_iter().filter(|name| held.insert(name.clone())));
        one.truncate(MAX_UNITED);
        one
    };
    Principal {
        id: one.id,
        groups: union(one.groups, other.groups),
        roles: union(one.roles, other.roles),
        scopes: union(one.scopes, other.scopes),
    }
}
