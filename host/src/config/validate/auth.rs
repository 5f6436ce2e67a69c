//! Owns the rules of who may call: users, schemes, access, and what other machines may reach without proving who they are.
//! Must not know how values are written, nor how a scheme works.

use super::super::fault::{Place, did_you_mean};
use super::super::node::excerpt;
use super::super::raw::auth::{RawAdmin, RawAllowed, RawAuth, RawCaller, RawJwt, RawScheme, RawTls, RawUser};
use super::super::reader::At;
use super::super::{Admin, Tls};
use super::{Rules, or, values_of};
use crate::auth::{ASYMMETRIC, Algorithm, ClaimNames, Jwt, KeyPlace, KeySource, KeyUrl, SYMMETRIC};
use crate::auth::{Scheme, Settings, User};
use crate::principal::Principal;
use crate::task::access::Allowed;
use std::collections::HashMap;
use std::sync::Arc;

/// How a route says that it needs no scheme.
const NONE: &str = "none";

/// The schemes that others may name.
pub struct Names {
    known: Vec<Arc<str>>,
    default: Option<Arc<str>>,
}

impl Names {
    /// Whether who names this scheme, or none, is open to everybody.
    pub fn is_open(&self, named: Option<&At<String>>) -> bool {
        named.map_or(self.default.is_none(), |at| at.value == NONE)
    }
}

impl Rules<'_> {
    /// The names of all schemes, faulty ones too: who names one of those makes no second fault.
    pub fn names(&self, raw: &RawAuth) -> Names {
        let known = raw.schemes.iter().map(|(name, _)| name.value.as_str().into()).collect();
        let names = Names { known, default: None };
        let default = raw.default.as_ref().and_then(|at| self.named("default", at, &names));
        Names { default, ..names }
    }

    /// `auth`
    pub fn auth(&self, raw: RawAuth, names: &Names) -> Settings {
        self.check_cycles(&raw.schemes);
        let users = self.users(raw.users);
        let mut schemes = Vec::new();
        for (name, scheme) in raw.schemes {
            if name.value.is_empty() || name.value == NONE {
                self.sink.report(name.place, format!("expected a name other than `{}`", name.value));
            }
            if let Some(scheme) = self.scheme(scheme, names) {
                schemes.push((name.value.into(), scheme));
            }
        }
        Settings { users, schemes, default: names.default.clone() }
    }

    /// What a route asks of its callers: the scheme (none: it is open) and who of those who pass it may call.
    pub fn caller(&self, raw: RawCaller, names: &Names) -> (Option<Arc<str>>, Allowed) {
        let scheme = self.scheme_of(raw.auth.as_ref(), names);
        if let Some(access) = raw.access.as_ref().filter(|_| scheme.is_none()) {
            let message = "access: nobody is asked who they are here; name a scheme as `auth`, or as `auth.default`";
            self.sink.report(access.place, message);
        }
        (scheme, raw.access.map(|at| allowed(at.value)).unwrap_or_default())
    }

    /// The scheme that is named, or the default one. A name that is a fault counts as a scheme.
    pub fn scheme_of(&self, named: Option<&At<String>>, names: &Names) -> Option<Arc<str>> {
        match named {
            Some(at) if at.value == NONE => None,
            Some(at) => self.named("auth", at, names).or_else(|| Some(at.value.as_str().into())),
            None => names.default.clone(),
        }
    }

    /// `admin`
    pub fn admin(&self, raw: Option<RawAdmin>, has_tenants: bool, names: &Names) -> Option<Admin> {
        let RawAdmin { place, caller, viewers } = raw?;
        let says_so = caller.auth.is_some();
        let (auth, access) = self.caller(caller, names);
        if auth.is_none() && !says_so && access.is_empty() {
            self.sink.report(place, "`admin` needs the key `auth`, since there is no `auth.default`");
        }
        let viewers = allowed(viewers);
        // Everybody who passes would be an administrator, and so would every tenant.
        if access.is_empty() && (has_tenants || !viewers.is_empty()) {
            let message =
                "`admin` needs the key `access`, since not everybody who passes `auth` is an administrator here";
            self.sink.report(place, message);
        }
        Some(Admin { scheme: auth, access, viewers })
    }

    /// `server.tls`
    pub fn tls(&self, raw: &RawTls) -> Option<Tls> {
        let certificate = raw.certificate.as_ref().map(|file| self.file("certificate", file));
        let key = raw.key.as_ref().map(|file| self.file("key", file));
        Some(Tls { certificate: certificate?, key: key? })
    }

    /// The scheme of this name, which may be `none`.
    fn named(&self, key: &str, at: &At<String>, names: &Names) -> Option<Arc<str>> {
        if at.value == NONE {
            return None;
        }
        let known = names.known.iter().find(|known| ***known == *at.value).cloned();
        if known.is_none() {
            let near = did_you_mean(&at.value, names.known.iter().map(|known| &**known));
            let found = excerpt(&self.sink.without_values(&at.value));
            let message = format!("{key}: expected `none` or a name under `auth.schemes`, found `{found}`{near}");
            self.sink.report(at.place, message);
        }
        known
    }

    fn users(&self, raw: Vec<RawUser>) -> Vec<User> {
        let (mut ids, mut names, mut keys) = (HashMap::new(), HashMap::new(), HashMap::new());
        let mut users = Vec::new();
        for user in raw {
            // Ids compare without case wherever permissions do, so names do too. An id is the name of who has no other.
            let is_unique = self.check_unique("id", user.id.as_ref(), &mut ids);
            let name = user.name.as_ref().or(user.id.as_ref().filter(|_| is_unique));
            self.check_unique("name", name, &mut names);
            for key in &user.api_keys {
                if let Some(line) = keys.insert(*key.value.digest(), key.place.line) {
                    self.sink
                        .report(key.place, format!("api_keys: expected a key of its own, found that of line {line}"));
                }
            }
            let Some(id) = user.id.map(|at| at.value) else { continue };
            users.push(User {
                name: or(user.name, id.clone()),
                principal: Principal {
                    id,
                    groups: values_of(user.groups),
                    roles: values_of(user.roles),
                    scopes: values_of(user.scopes),
                },
                password: user.password.map(|at| at.value),
                api_keys: user.api_keys.into_iter().map(|at| at.value).collect(),
            });
        }
        users
    }

    fn check_unique(&self, key: &str, at: Option<&At<String>>, taken: &mut HashMap<String, Place>) -> bool {
        let earlier = at.and_then(|at| taken.insert(at.value.to_lowercase(), at.place).map(|earlier| (at, earlier)));
        if let Some((at, earlier)) = earlier {
            let found = excerpt(&self.sink.without_values(&at.value));
            let message = format!("{key}: expected one of its own, `{found}` is that of line {}", earlier.line);
            self.sink.report(at.place, message);
        }
        earlier.is_none()
    }

    fn scheme(&self, raw: RawScheme, names: &Names) -> Option<Scheme> {
        let members = |key: &str, members: &[At<String>]| {
            let known = members.iter().filter_map(|member| {
                if member.value == NONE {
                    self.sink.report(member.place, format!("{key}: expected names under `auth.schemes`, found `none`"));
                }
                self.named(key, member, names)
            });
            known.collect()
        };
        Some(match raw {
            RawScheme::Faulty => return None,
            RawScheme::Basic => Scheme::Basic,
            RawScheme::ApiKey(place, name) => {
                let (place, name) = (place?.value, name?.value);
                Scheme::ApiKey(match place {
                    "header" => KeyPlace::Header(name),
                    "query" => KeyPlace::Query(name),
                    _ => KeyPlace::Cookie(name),
                })
            }
            RawScheme::All(found) => Scheme::All(members("all", &found)),
            RawScheme::Any(found) => Scheme::Any(members("any", &found)),
            RawScheme::Jwt(raw) => Scheme::Jwt(Box::new(self.jwt(*raw)?)),
        })
    }

    fn jwt(&self, raw: RawJwt) -> Option<Jwt> {
        if raw.sources.len() > 1 {
            let found = raw.sources.join(" and ");
            self.sink.report(raw.place, format!("expected one of jwks_url, jwks_file and secret, found {found}"));
        }
        let is_shared = raw.sources.first() == Some(&"secret");
        let algorithms = self.algorithms(raw.algorithms, is_shared);
        let keys = match raw.sources.first() {
            Some(&"jwks_url") => raw.url.map(|at| KeySource::Url(at.value)),
            Some(&"jwks_file") => raw.file.map(|at| KeySource::File(self.file("jwks_file", &at))),
            Some(_) => raw.secret.map(|at| KeySource::Secret(at.value)),
            None => self.discovery(raw.place, raw.issuer.as_ref()),
        };
        let [id, groups, roles, scopes] = raw.claims;
        let names = ClaimNames::default();
        Some(Jwt {
            keys: keys?,
            algorithms,
            issuer: raw.issuer.map(|at| at.value),
            audience: values_of(raw.audience),
            claims: ClaimNames {
                id: or(id, names.id),
                groups: or(groups, names.groups),
                roles: or(roles, names.roles),
                scopes: or(scopes, names.scopes),
            },
        })
    }

    /// Without a source of keys, the issuer tells where they are.
    fn discovery(&self, place: Place, issuer: Option<&At<String>>) -> Option<KeySource> {
        let Some(issuer) = issuer else {
            self.sink
                .report(place, "a scheme of type jwt needs one of the keys jwks_url, jwks_file, secret and issuer");
            return None;
        };
        let report = |fault: &String| {
            let message = format!("issuer: {fault}, since its keys are looked up there; or say where: `jwks_url`");
            self.sink.report(issuer.place, message);
        };
        KeyUrl::parse(&issuer.value).inspect_err(report).ok().map(KeySource::Discovery)
    }

    /// A public key must never be taken for a shared secret, so the kind of key decides.
    fn algorithms(&self, named: Option<Vec<At<Algorithm>>>, is_shared: bool) -> Vec<Algorithm> {
        let possible: &[(&str, Algorithm)] = if is_shared { &SYMMETRIC } else { &ASYMMETRIC };
        let Some(named) = named else { return possible.iter().map(|(_, algorithm)| *algorithm).collect() };
        for at in named.iter().filter(|at| possible.iter().all(|(_, algorithm)| *algorithm != at.value)) {
            let names: Vec<_> = possible.iter().map(|(name, _)| *name).collect();
            let (keys, found) = (if is_shared { "a shared secret" } else { "public keys" }, at.value);
            let message = format!("algorithms: expected for {keys} some of {}, found {found:?}", names.join(", "));
            self.sink.report(at.place, message);
        }
        named.into_iter().map(|at| at.value).collect()
    }

    /// Reports each scheme that consists of itself, once a cycle.
    fn check_cycles(&self, schemes: &[(At<String>, RawScheme)]) {
        let mut done: Vec<&str> = Vec::new();
        for (name, _) in schemes {
            let mut path: Vec<&str> = Vec::new();
            self.walk(&name.value, schemes, &mut path, &mut done);
        }
    }

    fn walk<'a>(
        &self,
        name: &'a str,
        schemes: &'a [(At<String>, RawScheme)],
        path: &mut Vec<&'a str>,
        done: &mut Vec<&'a str>,
    ) {
        let Some((at, scheme)) = schemes.iter().find(|(known, _)| known.value == name) else { return };
        if let Some(start) = path.iter().position(|known| *known == name) {
            let cycle: Vec<_> = path.iter().skip(start).chain([&name]).map(|name| excerpt(name)).collect();
            self.sink.report(at.place, format!("this scheme consists of itself: {}", cycle.join(" → ")));
            return;
        }
        if done.contains(&name) {
            return;
        }
        if path.len() >= MAX_NESTED {
            self.sink.report(at.place, format!("schemes are nested deeper than {MAX_NESTED} levels here"));
            return;
        }
        path.push(name);
        if let RawScheme::All(members) | RawScheme::Any(members) = scheme {
            members.iter().for_each(|member| self.walk(&member.value, schemes, path, done));
        }
        path.pop();
        done.push(name);
    }
}

/// How deep combinations may nest: half of what the authenticator follows.
const MAX_NESTED: usize = 8;

/// Those who are named.
pub fn allowed(raw: RawAllowed) -> Allowed {
    let [users, groups, roles, scopes] = raw.0.map(values_of);
    Allowed { users, groups, roles, scopes }
}
