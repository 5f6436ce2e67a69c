//! Owns the tests of signed tokens, forged ones above all. Must not know where keys come from: `keys_tests` does.

use super::tests::{Manual, headers};
use super::*;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};

/// The time of these tests, in seconds since 1970.
pub const NOW: i64 = 1_800_000_000;
pub const RSA: &[u8] = include_bytes!("fixtures/rsa.pem");
pub const RSA_2: &[u8] = include_bytes!("fixtures/rsa2.pem");
const RSA_PUBLIC: &[u8] = include_bytes!("fixtures/rsa.pub.pem");
const P256: &[u8] = include_bytes!("fixtures/p256.pem");
const P384: &[u8] = include_bytes!("fixtures/p384.pem");
const ED25519: &[u8] = include_bytes!("fixtures/ed25519.pem");
const SHARED: &str = "a shared secret of many letters and digits";

/// The private key of a fixture.
pub fn private(algorithm: Algorithm, pem: &[u8]) -> EncodingKey {
    match algorithm {
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => Ok(EncodingKey::from_secret(pem)),
        Algorithm::ES256 | Algorithm::ES384 => EncodingKey::from_ec_pem(pem),
        Algorithm::EdDSA => EncodingKey::from_ed_pem(pem),
        _ => EncodingKey::from_rsa_pem(pem),
    }
    .expect("a key")
}

/// The public key of a fixture, as a key set has it.
pub fn public(id: Option<&str>, algorithm: Algorithm, pem: &[u8]) -> Value {
    let mut jwk = Jwk::from_encoding_key(&private(algorithm, pem), algorithm).expect("public");
    jwk.common.key_id = id.map(str::to_owned);
    jwk.common.key_algorithm = None;
    serde_json::to_value(jwk).expect("JSON")
}

/// A key set.
pub fn key_set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

/// A signed token.
pub fn signed(id: Option<&str>, algorithm: Algorithm, pem: &[u8], claims: &Value) -> String {
    let header = Header { kid: id.map(str::to_owned), ..Header::new(algorithm) };
    encode(&header, claims, &private(algorithm, pem)).expect("signed")
}

/// Claims that are right.
pub fn claims() -> Value {
    json!({"iss": "https://issuer.example", "aud": ["other", "us"], "sub": "M0R7Y302", "exp": NOW + 60, "nbf": NOW,
        "groups": ["Software"], "roles": "admin", "scope": "read write"})
}

/// Settings with one scheme, `token`.
pub fn settings(keys: KeySource, algorithms: &[Algorithm]) -> Settings {
    let jwt = Jwt {
        keys,
        algorithms: algorithms.to_vec(),
        issuer: Some("https://issuer.example".into()),
        audience: vec!["us".into()],
        claims: ClaimNames::default(),
    };
    Settings { schemes: vec![("token".into(), Scheme::Jwt(Box::new(jwt)))], ..Settings::default() }
}

/// All algorithms for public keys.
pub fn asymmetric() -> Vec<Algorithm> {
    ASYMMETRIC.map(|(_, algorithm)| algorithm).to_vec()
}

/// The answer to a token.
pub async fn ask(authenticator: &Authenticator, token: &str) -> Result<Principal, Refusal> {
    let fields = headers(&[("authorization", &format!("Bearer {token}"))]);
    authenticator.authenticate("token", &Presented { headers: &fields, query: &[] }).await
}

/// An authenticator at [`NOW`] whose key set is in a file.
fn by_file(keys: &[Value]) -> (Authenticator, Arc<Manual>, tempfile::NamedTempFile) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), key_set(keys)).expect("written");
    let clock = Arc::new(Manual::default());
    clock.set(NOW);
    let settings = settings(KeySource::File(file.path().into()), &asymmetric());
    (
        Authenticator::new(settings, Arc::clone(&clock) as Arc<dyn Clock>, &Metrics::default()).expect("random"),
        clock,
        file,
    )
}

fn all_keys() -> Vec<Value> {
    vec![
        public(Some("rsa"), Algorithm::RS256, RSA),
        public(Some("p256"), Algorithm::ES256, P256),
        public(Some("p384"), Algorithm::ES384, P384),
        public(Some("ed"), Algorithm::EdDSA, ED25519),
    ]
}

async fn reason(authenticator: &Authenticator, token: &str) -> String {
    let refusal = ask(authenticator, token).await.expect_err("refused");
    assert_eq!(refusal.kind, RefusalKind::Unauthenticated);
    assert_eq!(refusal.challenges, ["Bearer realm=\"sandpool\", error=\"invalid_token\""]);
    assert!(!refusal.reason.contains(token));
    refusal.reason
}

#[tokio::test]
async fn each_algorithm_is_verified_by_its_key() {
    let (authenticator, _, _file) = by_file(&all_keys());
    let signers = [
        ("rsa", RSA, &ASYMMETRIC[..6]),
        ("p256", P256, &ASYMMETRIC[6..7]),
        ("p384", P384, &ASYMMETRIC[7..8]),
        ("ed", ED25519, &ASYMMETRIC[8..]),
    ];
    for (id, pem, algorithms) in signers {
        for (name, algorithm) in algorithms {
            for id in [Some(id), None] {
                let found = ask(&authenticator, &signed(id, *algorithm, pem, &claims())).await.expect(name);
                assert_eq!((found.id.as_str(), found.scopes.len()), ("M0R7Y302", 2));
                assert_eq!((found.groups, found.roles), (vec!["Software".to_owned()], vec!["admin".to_owned()]));
            }
        }
    }
}

#[tokio::test]
async fn a_shared_secret_verifies_its_family_only() {
    let symmetric = SYMMETRIC.map(|(_, algorithm)| algorithm);
    let clock = Arc::new(Manual::default());
    clock.set(NOW);
    let settings = settings(KeySource::Secret(Secret::new(SHARED)), &symmetric);
    let authenticator = Authenticator::new(settings, clock, &Metrics::default()).expect("random");
    for algorithm in symmetric {
        for id in [None, Some("any")] {
            ask(&authenticator, &signed(id, algorithm, SHARED.as_bytes(), &claims())).await.expect("in");
        }
        assert!(
            reason(&authenticator, &signed(None, algorithm, b"another secret", &claims())).await.contains("signature")
        );
    }
    assert!(reason(&authenticator, &signed(None, Algorithm::RS256, RSA, &claims())).await.contains("algorithm"));
}

#[tokio::test]
async fn forged_tokens_are_refused() {
    let (authenticator, _, _file) = by_file(&all_keys());
    let good = signed(Some("rsa"), Algorithm::RS256, RSA, &claims());
    ask(&authenticator, &good).await.expect("in");
    let parts: Vec<&str> = good.split('.').collect();
    let &[header, body, signature] = parts.as_slice() else { panic!("three parts") };
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let mut other = claims();
    other["sub"] = "MINDY021".into();
    let none = |name: &str| part(&json!({"alg": name, "typ": "JWT"}));
    // A public key is known to everybody: it must never be taken for a shared secret (RFC 8725 §2.1).
    let jwk_modulus = public(None, Algorithm::RS256, RSA)["n"].as_str().map(str::to_owned).expect("a modulus");
    let crit = Header { crit: Some(vec!["exp".into()]), ..Header::new(Algorithm::RS256) };
    let own_key = Header {
        jwk: serde_json::from_value(public(Some("mine"), Algorithm::RS256, RSA_2)).ok(),
        jku: Some("http://127.0.0.1:1/keys".into()),
        kid: Some("rsa".into()),
        ..Header::new(Algorithm::RS256)
    };
    let forged = [
        format!("{}.{body}.", none("none")),
        format!("{}.{body}.{signature}", none("None")),
        format!("{}.{body}.", none("HS256")),
        signed(Some("rsa"), Algorithm::HS256, RSA_PUBLIC, &claims()),
        signed(None, Algorithm::HS256, jwk_modulus.as_bytes(), &claims()),
        signed(Some("rsa"), Algorithm::RS256, RSA_2, &claims()),
        encode(&own_key, &claims(), &private(Algorithm::RS256, RSA_2)).expect("signed"),
        encode(&crit, &claims(), &private(Algorithm::RS256, RSA)).expect("signed"),
        format!("{header}.{}.{signature}", part(&other)),
        format!("{}.{body}.{signature}", part(&json!({"alg": "PS256", "kid": "rsa"}))),
        format!("{}.{body}.{signature}", part(&json!({"alg": "ES256", "kid": "rsa"}))),
        format!("{header}.{body}."),
        format!("{header}.{body}"),
        format!("{good}.{signature}"),
        format!("{good}A"),
        "x".into(),
        "..".into(),
        "a.b.c.d.e".into(),
    ];
    for token in &forged {
        reason(&authenticator, token).await;
    }
    ask(&authenticator, &good).await.expect("still in");
}

#[tokio::test]
async fn claims_must_be_right() {
    let (authenticator, _, _file) = by_file(&all_keys());
    let faulty = [
        ("aud", json!("them"), "audience"),
        ("aud", json!(null), "audience"),
        ("iss", json!("https://other.example"), "issuer"),
        ("iss", json!(null), "issuer"),
        ("exp", json!(NOW - 31), "expired"),
        ("exp", json!(null), "no end"),
        ("exp", json!("tomorrow"), "no end"),
        ("nbf", json!(NOW + 31), "not valid yet"),
        ("sub", json!(""), "user id"),
    ];
    for (name, value, why) in faulty {
        let mut claims = claims();
        claims[name] = value;
        let found = reason(&authenticator, &signed(None, Algorithm::ES256, P256, &claims)).await;
        assert!(found.contains(why), "{name}: {found}");
    }
    let mut lenient = claims();
    (lenient["exp"], lenient["nbf"]) = ((NOW - 29).into(), (NOW + 29).into());
    ask(&authenticator, &signed(None, Algorithm::ES256, P256, &lenient)).await.expect("clocks differ");
    let list = signed(None, Algorithm::ES256, P256, &json!(["a"]));
    assert!(reason(&authenticator, &list).await.contains("malformed"));
}

#[tokio::test]
async fn a_verified_token_is_remembered_until_it_expires() {
    let (authenticator, clock, _file) = by_file(&all_keys());
    let token = signed(Some("rsa"), Algorithm::RS256, RSA, &claims());
    for _ in 0..5 {
        ask(&authenticator, &token).await.expect("in");
    }
    assert_eq!(authenticator.computed().1, 1);
    clock.set(NOW + 91);
    assert!(reason(&authenticator, &token).await.contains("expired"));
    let wrong = signed(Some("rsa"), Algorithm::RS256, RSA_2, &claims());
    for computed in 2..4 {
        reason(&authenticator, &wrong).await;
        assert_eq!(authenticator.computed().1, computed, "wrong ones are not remembered");
    }
}

#[tokio::test]
async fn without_a_token_the_challenge_names_no_error() {
    let (authenticator, _, _file) = by_file(&all_keys());
    let ask = |fields: HeaderMapOf| {
        let authenticator = authenticator.clone();
        async move { authenticator.authenticate("token", &Presented { headers: &headers(fields), query: &[] }).await }
    };
    type HeaderMapOf = &'static [(&'static str, &'static str)];
    let none: [HeaderMapOf; 2] = [&[], &[("authorization", "Basic YTpi")]];
    for fields in none {
        assert_eq!(ask(fields).await.expect_err("refused").challenges, ["Bearer realm=\"sandpool\""]);
    }
    let faulty: [HeaderMapOf; 2] =
        [&[("authorization", "Bearer ")], &[("authorization", "Bearer a"), ("authorization", "Bearer b")]];
    for fields in faulty {
        let challenges = ask(fields).await.expect_err("refused").challenges;
        assert_eq!(challenges, ["Bearer realm=\"sandpool\", error=\"invalid_request\""]);
    }
}

#[tokio::test]
async fn only_keys_for_signatures_are_taken() {
    let with = |name: &str, value: Value| {
        let mut key = public(None, Algorithm::RS256, RSA);
        key[name] = value;
        key
    };
    let oct = json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode(SHARED)});
    let odd = json!({"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"});
    let token = signed(None, Algorithm::RS256, RSA, &claims());
    for useless in [with("use", json!("enc")), with("alg", json!("RSA-OAEP")), with("key_ops", json!(["encrypt"]))] {
        let (authenticator, _, _file) = by_file(&[oct.clone(), odd.clone(), useless, json!(5)]);
        let refusal = ask(&authenticator, &token).await.expect_err("no key");
        assert_eq!(refusal.kind, RefusalKind::Unavailable, "{}", refusal.reason);
    }
    let (authenticator, _, _file) = by_file(&[oct, odd, with("alg", json!("RS256"))]);
    ask(&authenticator, &token).await.expect("in");
    reason(&authenticator, &signed(None, Algorithm::RS512, RSA, &claims())).await;
    reason(&authenticator, &signed(None, Algorithm::HS256, SHARED.as_bytes(), &claims())).await;
}
