//! Owns `/-/tenants`: what each tenant may use, and what it uses. Must not know how that is enforced.

use crate::api::Api;
use crate::api::problem::or_problem;
use crate::api::role::Manager;
use crate::api::tasks::respond_with;
use crate::tenant::{Quota, Tenant, of_name};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use std::sync::Arc;

/// A tenant as management shows it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct TenantView {
    name: Arc<str>,
    prefix: String,
    weight: u32,
    quota: QuotaView,
    #[serde(rename = "Use")]
    used: UseView,
}

/// Sizes in bytes, times in seconds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct QuotaView {
    running: u32,
    waiting: u32,
    memory: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_per_minute: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    submits_per_second: Option<u32>,
    plugins: u32,
    plugin_bytes: u64,
    routes: u32,
    stored: u64,
    state: u64,
}

/// What is used now; CPU time since the host's start, and what is left of the minute's.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct UseView {
    running: u32,
    waiting: u64,
    memory: u64,
    cpu_seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_left: Option<f64>,
    plugins: usize,
    plugin_bytes: u64,
    routes: usize,
    /// Its tasks, and the bytes that they take of the store.
    tasks: u64,
    stored: u64,
    /// Its shared variables, and their bytes.
    variables: u64,
    state: u64,
}

impl From<&Quota> for QuotaView {
    fn from(quota: &Quota) -> Self {
        Self {
            running: quota.running,
            waiting: quota.waiting,
            memory: quota.memory,
            cpu_per_minute: quota.cpu_per_minute.map(|time| time.as_secs_f64()),
            submits_per_second: quota.submits_per_second,
            plugins: quota.plugins,
            plugin_bytes: quota.plugin_bytes,
            routes: quota.routes,
            stored: quota.stored,
            state: quota.state,
        }
    }
}

/// `GET /-/tenants`: all of them, or the caller's own.
pub async fn list(State(api): State<Api>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let answer = async {
        let manager = Manager::looking(&api, &parts).await?;
        let surface = api.now();
        let managed = &api.0.managed;
        let (plugins, routes) = (managed.plugins.list().await?, managed.routes.names().await);
        let usage = api.0.runner.usage().await?;
        let view = |tenant: &Arc<Tenant>| {
            let is_own = |name: &str| of_name(name) == Some(&*tenant.name);
            let own = plugins.iter().filter(|plugin| is_own(&plugin.name));
            let account = managed.ledger.account(Some(&tenant.name));
            let now = api.0.runner.used(Some(&tenant.name));
            let kept = usage.iter().find(|of| of.name == tenant.name);
            let used = UseView {
                running: now.running,
                waiting: now.waiting,
                memory: now.memory,
                cpu_seconds: account.used().as_secs_f64(),
                cpu_left: account.left().map(|left| left.as_secs_f64()),
                plugins: own.clone().count(),
                plugin_bytes: own.map(|plugin| plugin.size).sum(),
                routes: routes.iter().filter(|name| is_own(name)).count(),
                tasks: kept.map_or(0, |kept| kept.tasks),
                stored: kept.map_or(0, |kept| kept.bytes),
                variables: kept.map_or(0, |kept| kept.variables),
                state: kept.map_or(0, |kept| kept.variable_bytes),
            };
            TenantView {
                name: Arc::clone(&tenant.name),
                prefix: tenant.prefix.clone(),
                weight: tenant.weight,
                quota: (&tenant.quota).into(),
                used,
            }
        };
        let own = surface.options.tenants.iter().filter(|tenant| manager.role.sees_tenant(Some(&tenant.name)));
        let views: Vec<TenantView> = own.map(view).collect();
        Ok(respond_with(StatusCode::OK, &views, "Tenants", manager.answer))
    };
    or_problem(answer.await, &parts)
}
