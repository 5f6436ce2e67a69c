//! Owns values that nobody may see, and the stored forms of passwords and API keys.
//! Must not know who presents them, or how: that is the schemes' work.

use argon2::{Argon2, Params, PasswordHasher, PasswordVerifier, password_hash::phc};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;

/// The longest password, in bytes, that is checked or hashed.
pub const MAX_PASSWORD: usize = 1024;
/// The most memory of one password check, in KiB.
const MAX_MEMORY: u32 = 1 << 20;
/// The most passes and lanes of one password check.
const MAX_PASSES: u32 = 64;
const MAX_LANES: u32 = 16;
/// The least memory, and memory times passes, that OWASP's password storage cheat sheet takes for safe.
const SAFE_MEMORY: u32 = 7168;
const SAFE_WORK: u64 = 5 * 7168;

/// A value that is shown nowhere; it compares in constant time.
#[derive(Clone)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Takes a value.
    #[must_use]
    pub fn new(value: impl Into<Vec<u8>>) -> Self {
        Self(value.into().into())
    }

    /// The value itself.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

/// Random bytes of the system.
///
/// # Errors
/// When the system has none.
pub fn random<const LENGTH: usize>() -> Result<[u8; LENGTH], getrandom::Error> {
    let mut bytes = [0; LENGTH];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// What an API key is stored as: its SHA-256. Keys are long and random, so they need neither salt nor slowness.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// What stands before the digest.
    pub const PREFIX: &'static str = "sha256:";

    /// Of a key.
    #[must_use]
    pub fn of(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// Reads `sha256:` and 64 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(Self::PREFIX).filter(|digits| digits.len() == 64)?;
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(digits.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).ok().filter(|pair| !pair.starts_with('+'))?;
            *byte = u8::from_str_radix(pair, 16).ok()?;
        }
        Some(Self(digest))
    }

    /// As a configuration has it.
    #[must_use]
    pub fn show(&self) -> String {
        self.0.iter().fold(Self::PREFIX.to_owned(), |text, byte| text + &format!("{byte:02x}"))
    }

    /// Whether both are of the same key, in constant time.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// The digest.
    #[must_use]
    pub fn digest(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("KeyHash(…)")
    }
}

/// What a password is stored as: Argon2id in the PHC string format.
#[derive(Clone, PartialEq)]
pub struct PasswordHash {
    text: String,
    phc: phc::PasswordHash,
    cost: Params,
}

impl PasswordHash {
    /// Reads `$argon2id$v=19$m=…,t=…,p=…$SALT$HASH`.
    ///
    /// # Errors
    /// What is wrong with it, without any of it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if !text.starts_with("$argon2id$") {
            return Err("expected an Argon2id hash".into());
        }
        let malformed = || "expected an Argon2id hash, found a malformed one".to_owned();
        let phc = phc::PasswordHash::new(text).map_err(|_| malformed())?;
        let cost = Params::try_from(&phc).map_err(|_| malformed())?;
        if phc.version.is_some_and(|version| version != 0x13) {
            return Err("expected version 19 of Argon2id (`v=19`)".into());
        }
        // 10 bytes are what a forged password would have to hit by chance.
        if phc.salt.is_none() || phc.hash.as_ref().is_none_or(|hash| hash.len() < 10) {
            return Err(malformed());
        }
        if cost.m_cost() > MAX_MEMORY || cost.t_cost() > MAX_PASSES || cost.p_cost() > MAX_LANES {
            let most = format!("m={MAX_MEMORY}, t={MAX_PASSES}, p={MAX_LANES}");
            return Err(format!("expected an Argon2id hash of at most {most}: each check costs that much"));
        }
        Ok(Self { text: text.into(), phc, cost })
    }

    /// Hashes a password under a new salt with what OWASP recommends: 19 MiB, 2 passes, 1 lane.
    ///
    /// # Errors
    /// When the system has no random bytes, or the password is too long.
    pub fn of(password: &[u8]) -> Result<Self, String> {
        if password.len() > MAX_PASSWORD {
            return Err(format!("a password has at most {MAX_PASSWORD} bytes"));
        }
        let hasher = Argon2::default();
        let phc = hasher.hash_password(password).map_err(|error| format!("the password cannot be hashed: {error}"))?;
        Ok(Self { text: phc.to_string(), phc, cost: hasher.params().clone() })
    }

    /// A hash that no password has, and that takes as long to check as `like`, or as one of the recommended cost.
    ///
    /// # Errors
    /// When the system has no random bytes.
    pub fn decoy(like: Option<&Self>) -> Result<Self, String> {
        let cost = like.map_or_else(Params::default, |like| like.cost.clone());
        let random = |length: usize| {
            let mut bytes = vec![0; length];
            getrandom::fill(&mut bytes).map(|()| STANDARD_NO_PAD.encode(bytes)).map_err(|error| error.to_string())
        };
        let (m, t, p) = (cost.m_cost(), cost.t_cost(), cost.p_cost());
        Self::parse(&format!("$argon2id$v=19$m={m},t={t},p={p}${}${}", random(16)?, random(32)?))
    }

    /// Whether `password` is the one. Takes tens of milliseconds.
    #[must_use]
    pub fn verify(&self, password: &[u8]) -> bool {
        password.len() <= MAX_PASSWORD && Argon2::default().verify_password(password, &self.phc).is_ok()
    }

    /// How much one check computes: KiB times passes.
    #[must_use]
    pub fn work(&self) -> u64 {
        u64::from(self.cost.m_cost()) * u64::from(self.cost.t_cost())
    }

    /// Whether guessing is cheaper than it should be.
    #[must_use]
    pub fn is_weak(&self) -> bool {
        self.cost.m_cost() < SAFE_MEMORY || self.work() < SAFE_WORK
    }

    /// As a configuration has it.
    #[must_use]
    pub fn show(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PasswordHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_only_its_own() {
        let hash = PasswordHash::of(b"pickle").expect("hashed");
        assert!(hash.show().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.show());
        let again = PasswordHash::parse(hash.show()).expect("its own form");
        assert!(again.verify(b"pickle") && !again.verify(b"pickles") && !again.verify(b""));
        assert!(!again.is_weak());
        for like in [Some(&again), None] {
            let decoy = PasswordHash::decoy(like).expect("random bytes");
            assert!(decoy.work() == again.work() && !decoy.verify(b"pickle"));
        }
        assert!(PasswordHash::of(&[b'x'; MAX_PASSWORD + 1]).is_err());
    }

    #[test]
    fn faulty_hashes_are_refused_without_being_shown() {
        let hash = |parameters: &str| format!("$argon2id$v=19${parameters}$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA");
        assert!(PasswordHash::parse(&hash("m=19456,t=2,p=1")).is_ok_and(|hash| !hash.is_weak()));
        assert!(PasswordHash::parse(&hash("m=47104,t=1,p=1")).is_ok_and(|hash| !hash.is_weak()));
        assert!(PasswordHash::parse(&hash("m=8,t=1,p=1")).is_ok_and(|hash| hash.is_weak()));
        assert!(PasswordHash::parse(&hash("m=2097152,t=1,p=1")).is_err_and(|fault| fault.contains("at most")));
        assert!(PasswordHash::parse(&hash("m=65536,t=999,p=1")).is_err_and(|fault| fault.contains("at most")));
        for text in ["pickle", "$argon2id$", "$argon2i$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA", "$2b$12$x"]
        {
            let fault = PasswordHash::parse(text).expect_err(text);
            assert!(fault.starts_with("expected an Argon2id hash") && !fault.contains("pickle"), "{fault}");
        }
    }

    #[test]
    fn key_hashes_round_trip() {
        let hash = KeyHash::of(b"test-api-key");
        assert_eq!(KeyHash::parse(&hash.show()).as_ref(), Some(&hash));
        assert_eq!(KeyHash::parse(&hash.show().to_uppercase().replace("SHA", "sha")).as_ref(), Some(&hash));
        assert!(hash.is(&KeyHash::of(b"test-api-key")) && !hash.is(&KeyHash::of(b"test2-api-key")));
        let signs = format!("sha256:{}", "+1".repeat(32));
        assert!(
            ["test-api-key", "sha256:", "sha256:zz", "sha512:00", &signs]
                .into_iter()
                .all(|t| KeyHash::parse(t).is_none())
        );
    }

    #[test]
    fn nothing_is_shown() {
        let shown = format!(
            "{:?} {:?} {:?}",
            Secret::new("pickle"),
            KeyHash::of(b"pickle"),
            PasswordHash::of(b"pickle").expect("hashed")
        );
        assert_eq!(shown, "Secret(…) KeyHash(…) PasswordHash(…)");
        assert!(Secret::new("a") == Secret::new("a") && Secret::new("a") != Secret::new("ab"));
    }
}
