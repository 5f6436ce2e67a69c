//! Owns tenants: who belongs to one, which paths and names are its own, what it may use, and how much CPU time it has left.
//! Must not know how tasks are run or requests answered. The design: `docs/adr/0018-tenants.md`.

mod account;

pub use account::{Account, Ledger};

use crate::principal::Principal;
use crate::route::grants::HttpGrant;
use crate::route::plugin_name;
use crate::task::access::{Allowed, Permission};
use std::sync::Arc;
use std::time::Duration;

/// Stands between a tenant and a name of its own: `acme:orders`. No tenant's name has it.
pub const SEPARATOR: char = ':';

/// What a tenant may use on this host at once, or keep in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// Tasks that run.
    pub running: u32,
    /// Tasks that wait.
    pub waiting: u32,
    /// Bytes of linear memory that its running tasks are allowed together.
    pub memory: u64,
    /// CPU time of its guests in a minute, over time; as much may be used at once after a minute's rest. `None`: no limit.
    pub cpu_per_minute: Option<Duration>,
    /// Tasks that may be submitted in a second. `None`: no limit.
    pub submits_per_second: Option<u32>,
    /// Versions of plugins.
    pub plugins: u32,
    /// Bytes of their components.
    pub plugin_bytes: u64,
    /// Routes that its members bring at runtime.
    pub routes: u32,
    /// Bytes of its tasks in the store.
    pub stored: u64,
    /// Bytes of its shared variables.
    pub state: u64,
    /// Web servers that its members' routes may be granted.
    pub http: Vec<HttpGrant>,
}

impl Quota {
    /// No limit but those of the host: what belongs to no tenant.
    pub const NONE: Self = Self {
        running: u32::MAX,
        waiting: u32::MAX,
        memory: u64::MAX,
        cpu_per_minute: None,
        submits_per_second: None,
        plugins: u32::MAX,
        plugin_bytes: u64::MAX,
        routes: u32::MAX,
        stored: u64::MAX,
        state: u64::MAX,
        http: Vec::new(),
    };
}

impl Default for Quota {
    /// What a tenant has that is given nothing else.
    fn default() -> Self {
        Self {
            running: 4,
            waiting: 1000,
            memory: 512 << 20,
            cpu_per_minute: None,
            submits_per_second: Some(100),
            plugins: 20,
            plugin_bytes: 64 << 20,
            routes: 100,
            stored: 1 << 30,
            state: 16 << 20,
            http: Vec::new(),
        }
    }
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its name.
    pub name: Arc<str>,
    /// Where its paths begin: `/acme` has `/acme` and what is below.
    pub prefix: String,
    /// Who belongs to it: they may call its routes.
    pub members: Allowed,
    /// Who manages its plugins, routes, variables and tasks.
    pub admins: Allowed,
    /// Who may look at all that, and change nothing.
    pub viewers: Allowed,
    /// Its share of the host beside those of others.
    pub weight: u32,
    /// What it may use.
    pub quota: Quota,
}

impl Tenant {
    /// Whether a path is the tenant's.
    #[must_use]
    pub fn has_path(&self, path: &str) -> bool {
        path.strip_prefix(self.prefix.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The full form of a name of its own: `acme:orders` of `orders`, and of itself.
    #[must_use]
    pub fn full_name(&self, name: &str) -> String {
        full_name(&self.name, name)
    }

    /// Whether somebody may look at what is the tenant's.
    #[must_use]
    pub fn may_look(&self, caller: &Principal) -> bool {
        self.admins.admits(caller) || self.viewers.admits(caller)
    }

    /// Whether somebody belongs to it in any way.
    #[must_use]
    pub fn knows(&self, caller: &Principal) -> bool {
        self.members.admits(caller) || self.may_look(caller)
    }

    /// The permission of its tasks: what the route says, and those who manage and look. Without an owner they alone may read one.
    #[must_use]
    pub fn permission(&self, route: &Permission) -> Permission {
        let mut permission = route.clone();
        permission.write.add(&self.admins);
        permission.read.add(&self.viewers);
        permission
    }
}

#[cfg(test)]
impl Tenant {
    /// A tenant of which tests care for this only.
    pub fn with(name: &str, weight: u32, quota: Quota) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            prefix: format!("/{name}"),
            members: Allowed::default(),
            admins: Allowed::default(),
            viewers: Allowed::default(),
            weight,
            quota,
        })
    }
}

/// The tenant in whose name space a full name is.
#[must_use]
pub fn of_name(name: &str) -> Option<&str> {
    name.split_once(SEPARATOR).map(|(tenant, _)| tenant)
}

/// `TENANT:NAME`, also of what has that form already.
#[must_use]
pub fn full_name(tenant: &str, name: &str) -> String {
    match of_name(name) == Some(tenant) {
        true => name.to_owned(),
        false => format!("{tenant}{SEPARATOR}{name}"),
    }
}

/// A text that can name a plugin: `NAME`, or `TENANT:NAME`.
///
/// # Errors
/// What is expected.
pub fn full_plugin_name(text: &str) -> Result<&str, String> {
    let (tenant, name) = text.split_once(SEPARATOR).map_or((None, text), |(tenant, name)| (Some(tenant), name));
    tenant.into_iter().chain([name]).try_for_each(|part| plugin_name(part).map(drop))?;
    Ok(text)
}

/// The tenant that has this path.
#[must_use]
pub fn of_path<'a>(tenants: &'a [Arc<Tenant>], path: &str) -> Option<&'a Arc<Tenant>> {
    tenants.iter().find(|tenant| tenant.has_path(path))
}

/// The tenant of this name.
#[must_use]
pub fn named<'a>(tenants: &'a [Arc<Tenant>], name: &str) -> Option<&'a Arc<Tenant>> {
    tenants.iter().find(|tenant| *tenant.name == *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant() -> Tenant {
        let named = |group: &str| Allowed { groups: vec![group.into()], ..Allowed::default() };
        Tenant {
            members: named("acme"),
            admins: named("acme-admins"),
            viewers: named("acme-auditors"),
            ..(*Tenant::with("acme", 1, Quota::default())).clone()
        }
    }

    #[test]
    fn paths_are_those_below_the_prefix() {
        let acme = tenant();
        assert!(acme.has_path("/acme") && acme.has_path("/acme/x") && acme.has_path("/acme/{id}"));
        assert!(!acme.has_path("/acme2") && !acme.has_path("/") && !acme.has_path("/x/acme"));
    }

    #[test]
    fn names_are_completed_once() {
        let acme = tenant();
        assert_eq!(acme.full_name("orders"), "acme:orders");
        assert_eq!(acme.full_name("acme:orders"), "acme:orders");
        assert_eq!(acme.full_name("other:orders"), "acme:other:orders", "never another's");
        assert_eq!((of_name("acme:orders"), of_name("orders")), (Some("acme"), None));
    }

    #[test]
    fn tasks_are_never_everybodys() {
        let permission = tenant().permission(&Permission::default());
        let task = Permission::of_task(&permission, None).expect("somebody is named");
        let caller = |group: &str| Principal { id: "u".into(), groups: vec![group.into()], ..Principal::default() };
        assert!(!task.may_read(None) && !task.may_read(Some(&caller("acme"))), "a member owns its own tasks only");
        assert!(task.may_write(Some(&caller("acme-admins"))));
        assert!(task.may_read(Some(&caller("acme-auditors"))) && !task.may_write(Some(&caller("acme-auditors"))));
    }
}
