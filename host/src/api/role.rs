//! Owns who may use the management endpoints, for whose things, and how they want to be answered.
//! Must not know the endpoints.

use super::caller::{Caller, not_acceptable};
use super::edge::Peer;
use super::problem::Problem;
use super::{Api, Surface, request};
use crate::codec::{Answer, Format, negotiate};
use crate::principal::Principal;
use crate::task::access::Allowed;
use crate::tenant::{Tenant, named, of_name};
use axum::http::request::Parts;
use std::sync::Arc;

/// Who may use the management endpoints.
#[derive(Debug, Clone, PartialEq)]
pub struct Admin {
    /// The authentication scheme; `None`: open to everybody.
    pub scheme: Option<Arc<str>>,
    /// Who of those who pass it; nobody named: all of them.
    pub access: Allowed,
    /// Who may look at everything.
    pub viewers: Allowed,
}

/// What somebody may manage.
#[derive(Debug, Clone)]
pub struct Role {
    /// The tenant whose things it is about; `None`: everything.
    pub tenant: Option<Arc<Tenant>>,
    may_change: bool,
    /// Whether that is all that the caller may see, and not only what was asked for.
    is_bound: bool,
}

/// Who manages, and how they want to be answered.
pub struct Manager {
    pub principal: Option<Principal>,
    pub role: Role,
    pub answer: Answer,
}

impl Manager {
    /// Lets somebody look.
    ///
    /// # Errors
    /// 401, 403, 406.
    pub async fn looking(api: &Api, parts: &Parts) -> Result<Self, Problem> {
        let manager = Self::of(api, authenticate(api, parts).await?, parts)?;
        if let Some(tenant) = manager.role.bound_to() {
            api.0.looks.take(&tenant.name, "The tenant's members")?;
        }
        Ok(manager)
    }

    /// Lets in who has been authenticated.
    ///
    /// # Errors
    /// 403, 406.
    pub fn of(api: &Api, principal: Option<Principal>, parts: &Parts) -> Result<Self, Problem> {
        let role = Role::of(&api.now(), principal.as_ref(), parts)?;
        let answer = negotiate(request::accepted(&parts.headers), &Format::ALL);
        Ok(Self { principal, role, answer: answer.ok_or_else(|| not_acceptable(&Format::ALL))? })
    }

    /// The caller's name, if anybody was asked.
    pub fn name(&self) -> Option<String> {
        self.principal.as_ref().map(|principal| principal.id.clone())
    }
}

/// Who wants to use the management endpoints, if anybody is asked.
///
/// # Errors
/// 401.
pub async fn authenticate(api: &Api, parts: &Parts) -> Result<Option<Principal>, Problem> {
    let surface = api.now();
    let scheme = surface.options.admin.as_ref().and_then(|admin| admin.scheme.as_deref());
    Caller::authenticate(api, scheme, parts).await
}

impl Role {
    /// Lets somebody look, however they want to be answered.
    ///
    /// # Errors
    /// 401, 403.
    pub async fn looking(api: &Api, parts: &Parts) -> Result<Self, Problem> {
        let principal = authenticate(api, parts).await?;
        Self::of(&api.now(), principal.as_ref(), parts)
    }

    /// Whether the caller may see what is no tenant's.
    ///
    /// # Errors
    /// 403.
    pub fn check_host(&self) -> Result<(), Problem> {
        match self.is_bound {
            false => Ok(()),
            true => Err(Problem::new(403, "Only the host's own administrators see this.")),
        }
    }

    /// The role of a caller; `?tenant=` narrows it down.
    fn of(surface: &Surface, principal: Option<&Principal>, parts: &Parts) -> Result<Self, Problem> {
        let tenants = &surface.options.tenants;
        let asked = request::parameter(&parts.uri, "tenant");
        let is = |allowed: &Allowed| principal.is_some_and(|principal| allowed.admits(principal));
        let of_host = match &surface.options.admin {
            None if Peer::of(parts).is_local(&parts.headers) => Some(true),
            None => {
                let words = "Only callers on this machine may do this; `admin` in the configuration lets others.";
                return Err(Problem::new(403, words));
            }
            Some(admin) if admin.access.is_empty() || is(&admin.access) => Some(true),
            Some(admin) if is(&admin.viewers) => Some(false),
            Some(_) => None,
        };
        let unknown = |name: &str| Problem::new(404, format!("There is no tenant `{}`.", shown(name)));
        if let Some(may_change) = of_host {
            let tenant = match &asked {
                Some(name) => Some(Arc::clone(named(tenants, name).ok_or_else(|| unknown(name))?)),
                None => None,
            };
            return Ok(Self { tenant, may_change, is_bound: false });
        }
        let own = tenants.iter().filter(|tenant| principal.is_some_and(|principal| tenant.may_look(principal)));
        let own: Vec<&Arc<Tenant>> = own.collect();
        let tenant = match (own.as_slice(), &asked) {
            ([], _) => return Err(Problem::new(403, "You may not manage this server.")),
            (own, Some(name)) => *own.iter().find(|tenant| *tenant.name == **name).ok_or_else(|| unknown(name))?,
            ([only], None) => *only,
            (own, None) => {
                let names: Vec<&str> = own.iter().map(|tenant| &*tenant.name).collect();
                let words =
                    format!("You manage {}: say for which of them this is, with `?tenant=`.", names.join(" and "));
                return Err(Problem::new(400, words));
            }
        };
        Ok(Self { may_change: is(&tenant.admins), tenant: Some(Arc::clone(tenant)), is_bound: true })
    }

    /// The tenant whose things are all that the caller may see; `None`: it may see everything.
    pub fn bound_to(&self) -> Option<&Arc<Tenant>> {
        self.tenant.as_ref().filter(|_| self.is_bound)
    }

    /// Whether the caller may change anything.
    ///
    /// # Errors
    /// 403.
    pub fn check_change(&self) -> Result<(), Problem> {
        match self.may_change {
            true => Ok(()),
            false => Err(Problem::new(403, "You may look at this, and change nothing.")),
        }
    }

    /// The full form of a name that the caller gave.
    pub fn full_name(&self, name: &str) -> String {
        self.tenant.as_ref().map_or_else(|| name.to_owned(), |tenant| tenant.full_name(name))
    }

    /// Whether something with this full name is to be shown.
    pub fn sees(&self, name: &str) -> bool {
        self.sees_tenant(of_name(name))
    }

    /// Whether something of this tenant is to be shown.
    pub fn sees_tenant(&self, tenant: Option<&str>) -> bool {
        self.tenant.as_ref().is_none_or(|own| tenant == Some(&*own.name))
    }

    /// The name of the tenant that all is about, or else of the one of these that has something with this name.
    pub fn tenant_of(&self, name: Option<&str>, tenants: &[Arc<Tenant>]) -> Option<Arc<str>> {
        let of_name = || named(tenants, name.and_then(of_name)?);
        self.tenant.as_ref().or_else(of_name).map(|tenant| Arc::clone(&tenant.name))
    }
}

fn shown(name: &str) -> String {
    name.chars().take(64).collect()
}
