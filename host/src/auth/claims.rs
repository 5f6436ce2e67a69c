//! Owns what a token says once its signature is verified: until when, for whom, and who its holder is.
//! Must not know how tokens are signed.

use super::settings::{ClaimNames, Jwt};
use crate::principal::Principal;
use serde_json::{Map, Value};

/// How many seconds the clocks of issuer and server may differ.
const LEEWAY: f64 = 30.0;
/// The longest id of a user, in bytes.
const MAX_ID: usize = 256;

/// The claims of a token.
pub type Claims = Map<String, Value>;

/// What is kept of a verified token.
#[derive(Clone)]
pub struct Token {
    principal: Principal,
    /// `exp`, in seconds since 1970.
    expires: f64,
    /// `nbf`
    begins: Option<f64>,
}

impl Token {
    /// Takes verified claims (RFC 7519 §4.1).
    ///
    /// # Errors
    /// Why they are not for us, in words for the log.
    pub fn of(claims: &Claims, scheme: &Jwt) -> Result<Self, String> {
        if let Some(issuer) = &scheme.issuer
            && claims.get("iss").and_then(Value::as_str) != Some(issuer)
        {
            return Err("the token is not of the issuer (`iss`)".into());
        }
        check_audience(claims.get("aud"), &scheme.audience)?;
        let expires = claims.get("exp").and_then(Value::as_f64).ok_or("the token has no end (`exp`)")?;
        let begins = match claims.get("nbf") {
            None | Some(Value::Null) => None,
            Some(begins) => Some(begins.as_f64().ok_or("the token's beginning (`nbf`) is no number")?),
        };
        Ok(Self { principal: principal_of(claims, &scheme.claims)?, expires, begins })
    }

    /// The holder, when the token is valid at this second since 1970.
    ///
    /// # Errors
    /// Why it is not, in words for the log.
    pub fn holder_at(&self, now: f64) -> Result<&Principal, &'static str> {
        if self.expires <= now - LEEWAY {
            return Err("the token has expired (`exp`)");
        }
        if self.begins.is_some_and(|begins| begins > now + LEEWAY) {
            return Err("the token is not valid yet (`nbf`)");
        }
        Ok(&self.principal)
    }
}

/// A token that names whom it is for must name us.
fn check_audience(claim: Option<&Value>, audience: &[String]) -> Result<(), String> {
    let is_ours = |value: &Value| value.as_str().is_some_and(|value| audience.iter().any(|own| own == value));
    match claim {
        None | Some(Value::Null) if audience.is_empty() => Ok(()),
        Some(value) if is_ours(value) => Ok(()),
        Some(Value::Array(values)) if values.iter().any(is_ours) => Ok(()),
        Some(_) if audience.is_empty() => {
            Err("the token is for an audience (`aud`), but the scheme has no `audience`".into())
        }
        _ => Err("the token is for another audience (`aud`)".into()),
    }
}

fn principal_of(claims: &Claims, names: &ClaimNames) -> Result<Principal, String> {
    let id = match at(claims, &names.id) {
        Some(Value::String(id)) => id.clone(),
        Some(Value::Number(id)) => id.to_string(),
        _ => return Err(format!("the token has no user id (`{}`)", names.id)),
    };
    if id.is_empty() || id.len() > MAX_ID || id.contains(char::is_control) {
        return Err(format!("the token's user id (`{}`) is empty, too long or not printable", names.id));
    }
    Ok(Principal {
        id,
        groups: list(at(claims, &names.groups)),
        roles: list(at(claims, &names.roles)),
        scopes: words(at(claims, &names.scopes)),
    })
}

/// The value of a claim. Its name may hold dots itself, as URLs do, so it is a path only when there is no such claim.
fn at<'a>(claims: &'a Claims, name: &str) -> Option<&'a Value> {
    claims.get(name).or_else(|| {
        let (first, rest) = name.split_once('.')?;
        rest.split('.').try_fold(claims.get(first)?, |value, name| value.get(name))
    })
}

/// The texts of a list, or a text alone.
fn list(claim: Option<&Value>) -> Vec<String> {
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    match claim {
        Some(Value::Array(values)) => values.iter().filter_map(text).collect(),
        Some(value) => text(value).into_iter().collect(),
        None => Vec::new(),
    }
}

/// The same, where a text is a list of words (RFC 8693 §4.2).
fn words(claim: Option<&Value>) -> Vec<String> {
    match claim {
        Some(Value::String(text)) => text.split_ascii_whitespace().map(str::to_owned).collect(),
        claim => list(claim),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::secret::Secret;
    use crate::auth::settings::KeySource;
    use serde_json::json;

    fn scheme(issuer: Option<&str>, audience: &[&str], claims: ClaimNames) -> Jwt {
        Jwt {
            keys: KeySource::Secret(Secret::new("s")),
            algorithms: Vec::new(),
            issuer: issuer.map(str::to_owned),
            audience: audience.iter().map(|&audience| audience.to_owned()).collect(),
            claims,
        }
    }

    fn token(claims: &Value, scheme: &Jwt) -> Result<Token, String> {
        Token::of(claims.as_object().expect("an object"), scheme)
    }

    #[test]
    fn a_principal_is_read_by_names_and_paths() {
        let names = ClaimNames {
            id: "user.id".into(),
            groups: "https://a.example/groups".into(),
            roles: "realm_access.roles".into(),
            scopes: "scp".into(),
        };
        let claims = json!({"exp": 10, "user": {"id": 7}, "https://a.example/groups": ["Domain Users", 5, ""],
            "realm_access": {"roles": "the admin"}, "scp": " read  write "});
        let found = token(&claims, &scheme(None, &[], names)).expect("valid");
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        let wanted = Principal {
            id: "7".into(),
            groups: texts(&["Domain Users"]),
            roles: texts(&["the admin"]),
            scopes: texts(&["read", "write"]),
        };
        assert_eq!(found.holder_at(0.0), Ok(&wanted));
        let scopes = json!({"exp": 10, "sub": "a", "scope": ["read", "write"]});
        let found = token(&scopes, &scheme(None, &[], ClaimNames::default())).expect("valid");
        assert_eq!(found.principal.scopes, texts(&["read", "write"]));
    }

    #[test]
    fn issuer_audience_and_id_must_be_ours() {
        let ours = scheme(Some("https://i"), &["a", "b"], ClaimNames::default());
        let with = |name: &str, value: Value| {
            let mut claims = json!({"exp": 10, "sub": "u", "iss": "https://i", "aud": "a"});
            claims[name] = value;
            token(&claims, &ours).map(|token| token.principal.id)
        };
        for (name, value) in [("aud", json!(["x", "b"])), ("x", json!(1)), ("exp", json!(9.5)), ("nbf", json!(null))] {
            assert_eq!(with(name, value), Ok("u".into()), "{name}");
        }
        let wrong = [
            ("aud", json!("c")),
            ("aud", json!(["c"])),
            ("aud", json!([])),
            ("aud", json!(null)),
            ("aud", json!({"a": "a"})),
            ("iss", json!("https://i/")),
            ("iss", json!(["https://i"])),
            ("iss", json!(null)),
            ("sub", json!("")),
            ("sub", json!(null)),
            ("sub", json!("a\nb")),
            ("sub", json!("x".repeat(257))),
            ("exp", json!(null)),
            ("exp", json!("10")),
            ("nbf", json!("soon")),
        ];
        for (name, value) in wrong {
            assert!(with(name, value.clone()).is_err(), "{name} {value}");
        }
        let none = scheme(None, &[], ClaimNames::default());
        assert!(
            token(&json!({"exp": 10, "sub": "u", "aud": "a"}), &none).is_err_and(|why| why.contains("no `audience`"))
        );
        assert!(token(&json!({"exp": 10, "sub": "u", "iss": "anyone"}), &none).is_ok());
    }

    #[test]
    fn clocks_may_differ_a_little() {
        let claims = json!({"exp": 1000, "nbf": 500, "sub": "u"});
        let token = token(&claims, &scheme(None, &[], ClaimNames::default())).expect("valid");
        let at = |now: f64| token.holder_at(now).map(|holder| holder.id.as_str());
        assert_eq!([at(470.0), at(750.0), at(1029.0)], [Ok("u"); 3]);
        assert!(at(469.0).is_err_and(|why| why.contains("nbf")));
        assert!(at(1030.0).is_err_and(|why| why.contains("exp")));
    }
}
