//! Owns the one rule of who may see and stop a task, and who may call a route.
//! Must not know how callers are authenticated or where tasks are kept.

use crate::principal::Principal;
use serde::{Deserialize, Serialize};

/// Named users, groups, roles and scopes. One name in common admits a caller; names compare without case.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Allowed {
    /// User ids.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<String>,
    /// Groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Roles.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Scopes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
}

impl Allowed {
    /// Whether nobody is named.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        [&self.users, &self.groups, &self.roles, &self.scopes].iter().all(|names| names.is_empty())
    }

    /// Names these as well.
    pub fn add(&mut self, others: &Self) {
        self.users.extend_from_slice(&others.users);
        self.groups.extend_from_slice(&others.groups);
        self.roles.extend_from_slice(&others.roles);
        self.scopes.extend_from_slice(&others.scopes);
    }

    /// Whether the caller is named, by any of what it is.
    #[must_use]
    pub fn admits(&self, caller: &Principal) -> bool {
        let overlap =
            |named: &[String], held: &[String]| named.iter().any(|name| held.iter().any(|own| same(name, own)));
        self.users.iter().any(|user| same(user, &caller.id))
            || overlap(&self.groups, &caller.groups)
            || overlap(&self.roles, &caller.roles)
            || overlap(&self.scopes, &caller.scopes)
    }
}

/// Who may read a task, and who may stop it. Who may stop it may read it. A task without permissions is everybody's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Permission {
    /// Readers.
    pub read: Allowed,
    /// Those who may stop it.
    pub write: Allowed,
}

impl Permission {
    /// The permissions of a task: the route's, and the owner's. `None` when the task is anonymous and its route names nobody.
    #[must_use]
    pub fn of_task(route: &Self, owner: Option<&Principal>) -> Option<Self> {
        let mut permission = route.clone();
        if let Some(owner) = owner {
            for allowed in [&mut permission.read, &mut permission.write] {
                if !allowed.users.iter().any(|user| same(user, &owner.id)) {
                    allowed.users.push(owner.id.clone());
                }
            }
        }
        let names_somebody = !permission.read.is_empty() || !permission.write.is_empty();
        names_somebody.then_some(permission)
    }

    /// Whether the caller may see the task.
    #[must_use]
    pub fn may_read(&self, caller: Option<&Principal>) -> bool {
        caller.is_some_and(|caller| self.read.admits(caller) || self.write.admits(caller))
    }

    /// Whether the caller may stop the task.
    #[must_use]
    pub fn may_write(&self, caller: Option<&Principal>) -> bool {
        caller.is_some_and(|caller| self.write.admits(caller))
    }
}

/// Names compare without case, as those of the original do.
fn same(one: &str, other: &str) -> bool {
    one == other || one.to_lowercase() == other.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(id: &str, groups: &[&str], roles: &[&str]) -> Principal {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Principal { id: id.into(), groups: owned(groups), roles: owned(roles), scopes: Vec::new() }
    }

    fn groups(names: &[&str]) -> Allowed {
        Allowed { groups: names.iter().map(|&name| name.to_owned()).collect(), ..Allowed::default() }
    }

    #[test]
    fn any_overlap_admits_without_case() {
        let allowed = groups(&["Software", "ÄRZTE"]);
        assert!(allowed.admits(&caller("x", &["other", "software"], &[])));
        assert!(allowed.admits(&caller("x", &["Ärzte"], &[])));
        assert!(!allowed.admits(&caller("software", &["other"], &["Software"])), "a group is no user and no role");
    }

    #[test]
    fn the_owner_always_may_and_is_named_once() {
        let owner = caller("M0R7Y302", &[], &[]);
        let route = Permission { read: groups(&["Support"]), write: Allowed::default() };
        let permission = Permission::of_task(&route, Some(&owner)).expect("somebody");
        assert!(permission.may_read(Some(&owner)) && permission.may_write(Some(&owner)));
        let again = Permission::of_task(&permission, Some(&caller("m0r7y302", &[], &[])));
        assert_eq!(again.as_ref(), Some(&permission));
        let support = caller("s", &["support"], &[]);
        assert!(permission.may_read(Some(&support)) && !permission.may_write(Some(&support)));
        assert!(!permission.may_read(None) && !permission.may_read(Some(&caller("z", &[], &[]))));
    }

    #[test]
    fn who_may_stop_may_read() {
        let permission = Permission { read: Allowed::default(), write: groups(&["ops"]) };
        assert!(permission.may_read(Some(&caller("x", &["ops"], &[]))));
    }

    #[test]
    fn an_anonymous_task_of_an_open_route_is_everybodys() {
        assert_eq!(Permission::of_task(&Permission::default(), None), None);
    }
}
