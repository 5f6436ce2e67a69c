//! Owns the rules of tenants: whose a path and a name are, and what a tenant's routes may have.
//! Must not know how values are written.

use super::super::fault::Place;
use super::super::node::excerpt;
use super::super::raw::RawRoute;
use super::super::raw::grants::RawGrants;
use super::super::raw::tenant::{RawQuota, RawTenant};
use super::super::reader::At;
use super::super::units::show_size;
use super::auth::allowed;
use super::{Rules, or, values_of};
use crate::route::grants::Grants;
use crate::route::{Source, default_name, plugin_name};
use crate::task::access::{Allowed, Permission};
use crate::tenant::{Quota, Tenant, named, of_name, of_path};
use std::sync::Arc;

/// The most users, groups, roles and scopes that a route of a client may name.
const MOST_NAMES: usize = 64;

impl Rules<'_> {
    /// `tenants`; what is not theirs are the paths of the server's own endpoints.
    pub fn tenants(&self, raw: Vec<RawTenant>, endpoints: &[String]) -> Vec<Arc<Tenant>> {
        let mut tenants: Vec<Arc<Tenant>> = Vec::new();
        for raw in raw {
            let name = raw.name.value;
            if let Err(expected) = plugin_name(&name) {
                self.sink.report(raw.name.place, format!("tenants: {expected}, found `{}`", excerpt(&name)));
            }
            let Some(At { place, value: prefix }) = raw.prefix else { continue };
            let members = allowed(raw.members);
            let admins = raw.admins.map_or_else(|| members.clone(), allowed);
            if members.is_empty() || admins.is_empty() {
                let missing = if members.is_empty() { "members" } else { "admins" };
                self.sink.report(raw.name.place, format!("a tenant needs the key `{missing}`, with somebody in it"));
            }
            let tenant = Tenant {
                name: name.into(),
                prefix,
                admins,
                members,
                viewers: allowed(raw.viewers),
                weight: or(raw.weight, 1),
                quota: quota(raw.quota),
            };
            let touching = |other: &&Arc<Tenant>| other.has_path(&tenant.prefix) || tenant.has_path(&other.prefix);
            if let Some(other) = tenants.iter().find(touching) {
                let message =
                    format!("prefix: expected paths of its own, {} is that of the tenant {}", other.prefix, other.name);
                self.sink.report(place, message);
            }
            if let Some(taken) = endpoints.iter().find(|path| tenant.has_path(path)) {
                self.sink.report(place, format!("prefix: expected paths of its own, {taken} is the server's"));
            }
            tenants.push(Arc::new(tenant));
        }
        tenants
    }

    /// The tenant of a route, by its path. Its name says the same: always if a client wrote it, else if it says anything.
    pub fn tenant_of<'a>(&self, raw: &RawRoute, tenants: &'a [Arc<Tenant>]) -> Option<&'a Arc<Tenant>> {
        let (method, path) = (raw.method.as_ref()?, raw.path.as_ref()?);
        let tenant = of_path(tenants, &path.value);
        let name = raw.name.as_ref().map_or_else(|| default_name(method.value, &path.value), |name| name.value.clone());
        let place = raw.name.as_ref().map_or(path.place, |name| name.place);
        let said = of_name(&name);
        let is_known = |said: &&str| named(tenants, said).is_some();
        if let Some(unknown) = said.filter(|said| self.from_client && !is_known(said)) {
            self.sink.report(place, format!("name: there is no tenant `{}`", excerpt(unknown)));
        }
        let said = said.filter(is_known);
        match (tenant, said) {
            (Some(tenant), Some(said)) if *tenant.name == *said => {}
            (Some(tenant), None) if self.from_client => {
                let (name, prefix) = (tenant.full_name(&name), &tenant.prefix);
                let message =
                    format!("name: expected `{name}`, since its path is below {prefix}, found `{}`", excerpt(&name));
                self.sink.report(place, message);
            }
            (_, Some(said)) => {
                let prefix = named(tenants, said).map_or("", |tenant| &tenant.prefix);
                let shown = excerpt(&self.sink.without_values(&path.value));
                let message =
                    format!("path: expected one below {prefix}, which the tenant {said} has, found `{shown}`");
                self.sink.report(path.place, message);
            }
            _ => {}
        }
        tenant
    }

    /// A plugin of a tenant's route is the tenant's.
    pub fn own_plugin(&self, source: Source, place: Place, tenant: &Tenant) -> Source {
        let Source::Plugin(mut choice) = source else { return source };
        if of_name(&choice.name).is_some_and(|other| *other != *tenant.name) {
            let message = format!("plugin: expected one of {}, found `{}`", tenant.name, excerpt(&choice.name));
            self.sink.report(place, message);
        }
        choice.name = tenant.full_name(&choice.name).into();
        Source::Plugin(choice)
    }

    /// Takes out of what a client wants for a tenant's route what none gets, before anybody looks whether it is there.
    pub fn without_own(&self, mut grants: RawGrants, place: Place, tenant: &Tenant) -> RawGrants {
        if self.from_client {
            if !grants.env.is_empty() {
                self.refuse("env", "environment", place, tenant);
            }
            if !grants.directories.is_empty() {
                self.refuse("directories", "directories", place, tenant);
            }
            (grants.env, grants.directories) = Default::default();
        }
        grants
    }

    /// Each name that may read a task is an entry of the store's index, so a client names few.
    pub fn check_names_of_client(&self, place: Place, permission: &Permission, access: &Allowed) {
        let count = |allowed: &Allowed| {
            [&allowed.users, &allowed.groups, &allowed.roles, &allowed.scopes].map(Vec::len).into_iter().sum::<usize>()
        };
        let found = [&permission.read, &permission.write, access].map(count).into_iter().sum::<usize>();
        if self.from_client && found > MOST_NAMES {
            let message =
                format!("permission: expected at most {MOST_NAMES} names, those of `access` included, found {found}");
            self.sink.report(place, message);
        }
    }

    fn refuse(&self, key: &str, what: &str, place: Place, tenant: &Tenant) {
        let message = format!("{key}: expected nothing, a route of the tenant {} gets no {what}", tenant.name);
        self.sink.report(place, message);
    }

    /// A tenant's route needs no more memory than the tenant has; if a client wrote it, it gets no variables of the
    /// configuration, and no web servers but those of the quota.
    pub fn check_of_tenant(&self, place: Place, grants: &Grants, using: &[At<String>], memory: u64, tenant: &Tenant) {
        if memory > tenant.quota.memory {
            let most = show_size(tenant.quota.memory);
            self.sink.report(
                place,
                format!("memory: expected at most {most}, the quota of {}, found {}", tenant.name, show_size(memory)),
            );
        }
        if !self.from_client {
            return;
        }
        if !using.is_empty() {
            self.refuse("using", "variables of the configuration", place, tenant);
        }
        let allowed = &tenant.quota.http;
        if grants.http.iter().any(|wanted| !allowed.iter().any(|allowed| allowed.covers(wanted))) {
            let message = format!("http: expected web servers that the quota of {} names under `http`", tenant.name);
            self.sink.report(place, message);
        }
    }
}

fn quota(raw: RawQuota) -> Quota {
    let default = Quota::default();
    Quota {
        running: or(raw.running, default.running),
        waiting: or(raw.waiting, default.waiting),
        memory: or(raw.memory, default.memory),
        cpu_per_minute: raw.cpu_per_minute.map(|at| at.value),
        submits_per_second: raw.submits_per_second.map(|at| at.value).or(default.submits_per_second),
        plugins: or(raw.plugins, default.plugins),
        plugin_bytes: or(raw.plugin_bytes, default.plugin_bytes),
        routes: or(raw.routes, default.routes),
        stored: or(raw.stored, default.stored),
        state: or(raw.state, default.state),
        http: values_of(raw.http),
    }
}
