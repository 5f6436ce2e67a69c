//! Owns the configured users: found by name and password, or by API key.
//! Must not know requests.

use super::passwords::{Busy, Passwords};
use super::secret::{self, KeyHash, PasswordHash};
use super::settings::User;
use crate::principal::Principal;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;

/// The users of a configuration.
pub struct Users {
    by_name: HashMap<String, Login>,
    /// Stands for users that do not exist, so that they take as long as those who do.
    decoy: PasswordHash,
    passwords: Arc<Passwords>,
    /// Blinds digests of keys: how long a look-up takes tells nothing about a stored one.
    key: [u8; 32],
    by_key: HashMap<[u8; 32], (KeyHash, Principal)>,
}

struct Login {
    principal: Principal,
    password: Option<PasswordHash>,
}

impl Users {
    /// Indexes users.
    ///
    /// # Errors
    /// When the system has no random bytes.
    pub fn new(users: &[User], passwords: Arc<Passwords>) -> Result<Self, String> {
        let key = secret::random().map_err(|error| error.to_string())?;
        let hashes = users.iter().filter_map(|user| user.password.as_ref());
        let decoy = PasswordHash::decoy(hashes.max_by_key(|hash| hash.work()))?;
        let (mut by_name, mut by_key) = (HashMap::new(), HashMap::new());
        for user in users {
            let login = Login { principal: user.principal.clone(), password: user.password.clone() };
            by_name.insert(user.name.clone(), login);
            for hash in &user.api_keys {
                by_key.insert(blinded(&key, hash), (hash.clone(), user.principal.clone()));
            }
        }
        Ok(Self { by_name, decoy, passwords, key, by_key })
    }

    /// The user with this name and password. An unknown name is checked like a known one.
    ///
    /// # Errors
    /// [`Busy`]: nothing was checked.
    pub async fn by_password(&self, name: &str, password: &[u8]) -> Result<Option<&Principal>, Busy> {
        let login = self.by_name.get(name);
        let hash = login.and_then(|login| login.password.as_ref()).unwrap_or(&self.decoy);
        let right = self.passwords.verify(name, password, hash).await?;
        Ok(login.filter(|login| right && login.password.is_some()).map(|login| &login.principal))
    }

    /// The user with this API key.
    #[must_use]
    pub fn by_key(&self, key: &str) -> Option<&Principal> {
        let presented = KeyHash::of(key.as_bytes());
        let found = self.by_key.get(&blinded(&self.key, &presented));
        found.filter(|(hash, _)| hash.is(&presented)).map(|(_, principal)| principal)
    }
}

fn blinded(key: &[u8; 32], hash: &KeyHash) -> [u8; 32] {
    Sha256::new_with_prefix(key).chain_update(hash.digest()).finalize().into()
}
