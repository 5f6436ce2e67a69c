//! Owns what is counted and measured of each tenant. Must not know what a tenant is.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

type Labels = [(&'static str, String); 1];

/// The handles of one tenant; clones share them.
#[derive(Debug, Clone, Default)]
pub struct TenantMetrics {
    cpu: Counter<f64, AtomicU64>,
    /// Tasks that hold a slot.
    pub running: Gauge,
    /// Tasks that were let in and hold no slot.
    pub waiting: Gauge,
    /// Requests that did not become tasks because of its quota.
    pub refused: Counter,
}

impl TenantMetrics {
    /// So much CPU time was used.
    pub fn cpu(&self, time: Duration) {
        self.cpu.inc_by(time.as_secs_f64());
    }
}

/// The series of all tenants.
#[derive(Debug, Default)]
pub struct Tenants {
    cpu: Family<Labels, Counter<f64, AtomicU64>>,
    running: Family<Labels, Gauge>,
    waiting: Family<Labels, Gauge>,
    refused: Family<Labels, Counter>,
}

impl Tenants {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let tenants = Self::default();
        let help = "CPU time of a tenant's guests";
        registry.register_with_unit("tenant_cpu", help, Unit::Seconds, tenants.cpu.clone());
        registry.register("tenant_running", "Tasks of a tenant that hold a slot", tenants.running.clone());
        let help = "Tasks of a tenant that were let in and hold no slot";
        registry.register("tenant_waiting", help, tenants.waiting.clone());
        let help = "Requests that did not become tasks because of their tenant's quota";
        registry.register("tenant_refused", help, tenants.refused.clone());
        tenants
    }

    pub(super) fn of(&self, name: &str) -> TenantMetrics {
        let own = [("tenant", name.to_owned())];
        TenantMetrics {
            cpu: self.cpu.get_or_create_owned(&own),
            running: self.running.get_or_create_owned(&own),
            waiting: self.waiting.get_or_create_owned(&own),
            refused: self.refused.get_or_create_owned(&own),
        }
    }
}
