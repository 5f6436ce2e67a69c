//! Owns how authentication is written: schemes, and the requirements of operations.
//! Must not know how anybody is authenticated.

use super::names::key;
use super::{Input, KeyPlace, Requirement, Scheme};
use crate::task::access::Allowed;
use serde_json::{Map, Value, json};

/// `components/securitySchemes`
pub fn schemes(input: &Input) -> Map<String, Value> {
    let written = |scheme: &Scheme| match scheme {
        Scheme::Basic => json!({"type": "http", "scheme": "basic"}),
        Scheme::Jwt => json!({"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}),
        Scheme::ApiKey(place, name) => {
            let place = match place {
                KeyPlace::Header => "header",
                KeyPlace::Query => "query",
                KeyPlace::Cookie => "cookie",
            };
            json!({"type": "apiKey", "in": place, "name": name})
        }
    };
    input.security_schemes.iter().map(|(name, scheme)| (key(name), written(scheme))).collect()
}

/// An operation's `security`. Scopes are written when they are the only way in: any one of them admits, so each is an
/// alternative of its own.
pub fn requirement(requirement: Option<&Requirement>, access: &Allowed) -> Value {
    let Some(requirement) = requirement else { return json!([]) };
    let only_scopes = Allowed { scopes: Vec::new(), ..access.clone() }.is_empty();
    let scopes: Vec<Vec<&str>> = match access.scopes.as_slice() {
        scopes if only_scopes && !scopes.is_empty() => scopes.iter().map(|scope| vec![scope.as_str()]).collect(),
        _ => vec![Vec::new()],
    };
    let alternatives = requirement.alternatives.iter().flat_map(|schemes| {
        scopes
            .iter()
            .map(move |scopes| Value::Object(schemes.iter().map(|scheme| (key(scheme), json!(scopes))).collect()))
    });
    Value::Array(alternatives.collect())
}
