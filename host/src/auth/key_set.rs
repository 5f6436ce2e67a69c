//! Owns the keys that tokens are verified with, and which of them fit a token.
//! Must not know where key sets come from.

use super::secret::Secret;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// How many keys of a set are looked at, and how many may be tried for one token.
const MAX_KEYS: usize = 100;
const MAX_TRIED: usize = 8;

/// A key, and what it may be used for.
struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

/// Keys that are valid at the same time.
#[derive(Default)]
pub struct KeySet {
    keys: Vec<Key>,
    /// Tells sets apart; all zeros: no set was read yet.
    pub fingerprint: [u8; 32],
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<serde_json::Value>,
}

impl KeySet {
    /// A shared secret, whatever id a token gives it.
    #[must_use]
    pub fn of_secret(secret: &Secret, allowed: &[Algorithm]) -> Self {
        let algorithms = of_family(AlgorithmFamily::Hmac, allowed);
        let key = DecodingKey::from_secret(secret.expose());
        Self { keys: vec![Key { id: None, algorithms, key }], fingerprint: Sha256::digest(secret.expose()).into() }
    }

    /// Reads a JSON Web Key Set (RFC 7517 §5). Keys that are not understood or not meant for signatures are left out;
    /// symmetric ones too: whoever may read the set could sign with them.
    ///
    /// # Errors
    /// What is wrong with it as a whole.
    pub fn parse(text: &[u8], allowed: &[Algorithm]) -> Result<Self, String> {
        let document: Document =
            serde_json::from_slice(text).map_err(|_| "it is no JSON Web Key Set, an object with `keys`".to_owned())?;
        let jwks = document.keys.into_iter().take(MAX_KEYS).filter_map(|key| serde_json::from_value(key).ok());
        let keys: Vec<_> = jwks.filter_map(|jwk| key_of(&jwk, allowed)).collect();
        if keys.is_empty() {
            return Err("it holds no public key for the scheme's `algorithms`".into());
        }
        Ok(Self { keys, fingerprint: Sha256::digest(text).into() })
    }

    /// Whether no set was read yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// The keys that may have signed a token of this algorithm: those with its key id, and those without any.
    pub fn fitting(&self, id: Option<&str>, algorithm: Algorithm) -> impl Iterator<Item = &DecodingKey> {
        let fits = move |key: &&Key| {
            let same = id.is_none() || key.id.is_none() || key.id.as_deref() == id;
            same && key.algorithms.contains(&algorithm)
        };
        self.keys.iter().filter(fits).map(|key| &key.key).take(MAX_TRIED)
    }
}

fn of_family(family: AlgorithmFamily, allowed: &[Algorithm]) -> Vec<Algorithm> {
    allowed.iter().copied().filter(|algorithm| algorithm.family() == family).collect()
}

/// The key of a JWK, when it can verify one of the allowed algorithms.
fn key_of(jwk: &Jwk, allowed: &[Algorithm]) -> Option<Key> {
    let mut algorithms = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => of_family(AlgorithmFamily::Rsa, allowed),
        AlgorithmParameters::EllipticCurve(parameters) => {
            let algorithm = match parameters.curve {
                EllipticCurve::P256 => Algorithm::ES256,
                EllipticCurve::P384 => Algorithm::ES384,
                _ => return None,
            };
            allowed.iter().copied().filter(|other| *other == algorithm).collect()
        }
        AlgorithmParameters::OctetKeyPair(parameters) if parameters.curve == EllipticCurve::Ed25519 => {
            of_family(AlgorithmFamily::Ed, allowed)
        }
        _ => return None,
    };
    if let Some(named) = jwk.common.key_algorithm {
        algorithms.retain(|algorithm| named == (*algorithm).into());
    }
    let for_signatures = jwk.common.public_key_use.as_ref().is_none_or(|used| *used == PublicKeyUse::Signature);
    let operations = jwk.common.key_operations.as_ref();
    let verifies = operations.is_none_or(|operations| operations.contains(&KeyOperations::Verify));
    if algorithms.is_empty() || !for_signatures || !verifies {
        return None;
    }
    Some(Key { id: jwk.common.key_id.clone(), algorithms, key: DecodingKey::from_jwk(jwk).ok()? })
}
