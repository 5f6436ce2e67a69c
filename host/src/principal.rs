//! Owns who a caller is. Must not know how that was found out.

use serde::{Deserialize, Serialize};

/// An authenticated caller. An anonymous one is `None` wherever a principal is optional.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// The id under which the user owns tasks.
    pub id: String,
    /// Groups that the user belongs to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Roles that the user holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Scopes of the user's credential.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
}
