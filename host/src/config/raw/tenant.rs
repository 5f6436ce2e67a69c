//! Owns tenants as they stand in the file. Must not know defaults, nor rules between tenants.

use super::super::node::Node;
use super::super::reader::{At, Fields, positive, size, text, whole};
use super::super::values;
use super::auth::{RawAllowed, allowed};
use super::{MAX_QUEUE, MAX_RATE};
use crate::config::MAX_INSTANCES;
use crate::route::grants::HttpGrant;
use std::time::Duration;

const MAX_WEIGHT: u32 = 1_000;
const MAX_COUNT: u32 = 1_000_000;
const MAX_BYTES: u64 = 1 << 50;

/// `tenants.NAME`
pub struct RawTenant {
    /// Its name.
    pub name: At<String>,
    /// `prefix`
    pub prefix: Option<At<String>>,
    /// `members`
    pub members: RawAllowed,
    /// `admins`
    pub admins: Option<RawAllowed>,
    /// `viewers`
    pub viewers: RawAllowed,
    /// `weight`
    pub weight: Option<At<u32>>,
    /// `quota`
    pub quota: RawQuota,
}

/// `tenants.NAME.quota`
pub struct RawQuota {
    /// `running`
    pub running: Option<At<u32>>,
    /// `waiting`
    pub waiting: Option<At<u32>>,
    /// `memory`
    pub memory: Option<At<u64>>,
    /// `cpu_per_minute`
    pub cpu_per_minute: Option<At<Duration>>,
    /// `submits_per_second`
    pub submits_per_second: Option<At<u32>>,
    /// `plugins`
    pub plugins: Option<At<u32>>,
    /// `plugin_bytes`
    pub plugin_bytes: Option<At<u64>>,
    /// `routes`
    pub routes: Option<At<u32>>,
    /// `stored`
    pub stored: Option<At<u64>>,
    /// `state`
    pub state: Option<At<u64>>,
    /// `http`
    pub http: Vec<At<HttpGrant>>,
}

/// Reads `tenants`.
pub fn tenants(fields: &mut Fields<'_>) -> Vec<RawTenant> {
    let named = fields.named("tenants", "`tenants`", "a tenant");
    named.into_iter().map(|(name, fields)| tenant(name, fields)).collect()
}

fn tenant(name: At<String>, mut fields: Fields<'_>) -> RawTenant {
    let prefix = fields.require("prefix", values::prefix);
    let members = allowed(fields.section("members", "`members`"));
    let has_admins = fields.has("admins");
    let admins = allowed(fields.section("admins", "`admins`"));
    let viewers = allowed(fields.section("viewers", "`viewers`"));
    let weight = fields.take("weight", whole(1, MAX_WEIGHT));
    let quota = quota(fields.section("quota", "a tenant's `quota`"));
    fields.finish();
    RawTenant { name, prefix, members, admins: has_admins.then_some(admins), viewers, weight, quota }
}

fn quota(mut fields: Fields<'_>) -> RawQuota {
    let quota = RawQuota {
        running: fields.take("running", whole(1, MAX_INSTANCES)),
        waiting: fields.take("waiting", whole(0, MAX_QUEUE)),
        memory: fields.take("memory", size(64 << 10, MAX_BYTES)),
        cpu_per_minute: fields.take("cpu_per_minute", positive),
        submits_per_second: fields.take("submits_per_second", whole(1, MAX_RATE)),
        plugins: fields.take("plugins", whole(0, MAX_COUNT)),
        plugin_bytes: fields.take("plugin_bytes", size(0, MAX_BYTES)),
        routes: fields.take("routes", whole(0, MAX_COUNT)),
        stored: fields.take("stored", size(1 << 20, MAX_BYTES)),
        state: fields.take("state", size(0, MAX_BYTES)),
        http: fields
            .list("http", |node: &Node| text(node).and_then(|found| HttpGrant::parse(&found)))
            .unwrap_or_default(),
    };
    fields.finish();
    quota
}
