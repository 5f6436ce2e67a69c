//! Owns the scheme of signed tokens (RFC 7519) in `Authorization: Bearer` (RFC 6750).
//! Must not know where keys come from.

use super::claims::{Claims, Token};
use super::keys::{Keys, NoKeys};
use super::presented::{Absence, Presented};
use super::refusal::{REALM, Refusal, RefusalKind};
use super::secret;
use super::settings::Jwt;
use crate::clock::Clock;
use crate::principal::Principal;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use moka::sync::Cache;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How many bytes of verified tokens are remembered, and for how long.
const REMEMBERED: u64 = 16 << 20;
const REMEMBERED_FOR: Duration = Duration::from_secs(300);

/// The scheme.
pub struct Tokens {
    settings: Jwt,
    /// Where its keys come from.
    pub keys: Keys,
    clock: Arc<dyn Clock>,
    /// Makes fingerprints worthless outside of this process.
    key: [u8; 32],
    verified: Cache<[u8; 32], Remembered>,
    computed: AtomicU64,
}

#[derive(Clone)]
struct Remembered {
    token: Arc<Token>,
    bytes: u32,
}

impl Tokens {
    /// The scheme of this name.
    ///
    /// # Errors
    /// When the system has no random bytes.
    pub fn new(name: Arc<str>, settings: Jwt, clock: Arc<dyn Clock>) -> Result<Self, getrandom::Error> {
        let verified = Cache::builder()
            .weigher(|_, remembered: &Remembered| remembered.bytes)
            .max_capacity(REMEMBERED)
            .time_to_live(REMEMBERED_FOR)
            .build();
        let keys = Keys::new(name, &settings, Arc::clone(&clock));
        Ok(Self { settings, keys, clock, key: secret::random()?, verified, computed: AtomicU64::new(0) })
    }

    /// What it is configured with.
    #[must_use]
    pub fn settings(&self) -> &Jwt {
        &self.settings
    }

    /// How many signatures were verified since the start.
    #[must_use]
    pub fn computed(&self) -> u64 {
        self.computed.load(Ordering::Relaxed)
    }

    /// The challenge to a caller without a token (RFC 6750 §3).
    #[must_use]
    pub fn challenge() -> String {
        format!("Bearer realm=\"{REALM}\"")
    }

    /// The holder of the presented token.
    ///
    /// # Errors
    /// [`Refusal`]
    pub async fn authenticate(&self, presented: Presented<'_>) -> Result<Principal, Refusal> {
        let token = match presented.authorization("Bearer") {
            Ok(token) => token,
            Err(Absence::None) => return Err(Refusal::unauthenticated(Self::challenge(), "no token")),
            Err(Absence::Faulty(why)) => return Err(refusal("invalid_request", why)),
        };
        let remembered = self.verified.get(&self.fingerprint(token, &self.keys.known().fingerprint));
        let verified = match remembered {
            Some(remembered) => remembered.token,
            None => self.verify(token).await?,
        };
        #[expect(clippy::cast_precision_loss, reason = "microseconds since 1970 stay exact until the year 2255")]
        let now = self.clock.now().0 as f64 / 1e6;
        verified.holder_at(now).cloned().map_err(invalid)
    }

    async fn verify(&self, token: &str) -> Result<Arc<Token>, Refusal> {
        let header =
            decode_header(token).map_err(|_| invalid("the token is malformed, or its algorithm is unknown"))?;
        if !self.settings.algorithms.contains(&header.alg) {
            return Err(invalid("the token's algorithm is not among the scheme's `algorithms`"));
        }
        // RFC 7515 §4.1.11: we understand none of them.
        if header.crit.is_some() {
            return Err(invalid("the token has critical extensions (`crit`)"));
        }
        let set = self.keys.for_token(header.kid.as_deref(), header.alg).await.map_err(|NoKeys| unavailable())?;
        let mut outcome = Err("no key has the token's id (`kid`) and algorithm");
        for key in set.fitting(header.kid.as_deref(), header.alg) {
            self.computed.fetch_add(1, Ordering::Relaxed);
            outcome = match decode::<Claims>(token, key, &only_signature(header.alg)) {
                Ok(data) => Ok(data.claims),
                Err(error) => Err(match error.kind() {
                    ErrorKind::InvalidSignature => "the token's signature is wrong",
                    ErrorKind::Json(_) | ErrorKind::Base64(_) | ErrorKind::Utf8(_) => "the token is malformed",
                    _ => "the token does not fit the key",
                }),
            };
            if outcome.is_ok() {
                break;
            }
        }
        let claims = outcome.map_err(invalid)?;
        let verified = Arc::new(Token::of(&claims, &self.settings).map_err(invalid)?);
        let bytes = u32::try_from(token.len()).unwrap_or(u32::MAX);
        let remembered = Remembered { token: Arc::clone(&verified), bytes };
        self.verified.insert(self.fingerprint(token, &set.fingerprint), remembered);
        Ok(verified)
    }

    /// Other keys make other fingerprints, so that tokens of a withdrawn key are not remembered.
    fn fingerprint(&self, token: &str, keys: &[u8; 32]) -> [u8; 32] {
        Sha256::new_with_prefix(self.key).chain_update(keys).chain_update(token).finalize().into()
    }
}

/// Claims are checked by our own clock and rules.
fn only_signature(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}

fn invalid(reason: impl Into<String>) -> Refusal {
    refusal("invalid_token", reason)
}

fn refusal(error: &str, reason: impl Into<String>) -> Refusal {
    Refusal::unauthenticated(format!("{}, error=\"{error}\"", Tokens::challenge()), reason)
}

fn unavailable() -> Refusal {
    let refusal = Refusal::unauthenticated(Tokens::challenge(), "there are no keys yet to verify tokens with");
    Refusal { kind: RefusalKind::Unavailable, ..refusal }
}
