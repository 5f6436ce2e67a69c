//! Owns how authentication is written: schemes, and the requirements of operations.
//! Must not know how anybody is authenticated.

use super::Input;
use super::names::key;
use crate::auth::{KeyPlace, Scheme};
use crate::task::access::Allowed;
use serde_json::{Map, Value, json};

/// `components/securitySchemes`; combinations stand in the requirements.
pub fn schemes(input: &Input) -> Map<String, Value> {
    let written = |scheme: &Scheme| match scheme {
        Scheme::Basic => Some(json!({"type": "http", "scheme": "basic"})),
        Scheme::Jwt(_) => Some(json!({"type": "http", "scheme": "bearer", "bearerFormat": "JWT"})),
        Scheme::ApiKey(place) => {
            let (place, name) = match place {
                KeyPlace::Header(name) => ("header", name),
                KeyPlace::Query(name) => ("query", name),
                KeyPlace::Cookie(name) => ("cookie", name),
            };
            Some(json!({"type": "apiKey", "in": place, "name": name}))
        }
        Scheme::All(_) | Scheme::Any(_) => None,
    };
    let schemes = input.auth.schemes.iter();
    schemes.filter_map(|(name, scheme)| Some((key(name), written(scheme)?))).collect()
}

/// An operation's `security`: alternatives, each of which is schemes that must all be passed. Scopes are written when
/// they are the only way in: any one of them admits, so each is an alternative of its own.
pub fn requirement(input: &Input, scheme: Option<&str>, access: &Allowed) -> Value {
    let Some(scheme) = scheme else { return json!([]) };
    let only_scopes = Allowed { scopes: Vec::new(), ..access.clone() }.is_empty();
    let scopes: Vec<Vec<&str>> = match access.scopes.as_slice() {
        scopes if only_scopes && !scopes.is_empty() => scopes.iter().map(|scope| vec![scope.as_str()]).collect(),
        _ => vec![Vec::new()],
    };
    let alternatives = input.auth.alternatives(scheme);
    let written = alternatives.iter().flat_map(|schemes| {
        let with = |scopes| Value::Object(schemes.iter().map(|scheme| (key(scheme), json!(scopes))).collect());
        scopes.iter().map(with)
    });
    Value::Array(written.collect())
}
