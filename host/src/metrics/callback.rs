//! Owns the counts of callbacks. Must not know receivers: whoever calls could make as many series as there are hosts.

use super::Histogram;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// Seconds, up to the longest timeout that is usual.
const BOUNDS: &[f64] = &[0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0];

/// Attempts to tell of tasks' ends.
#[derive(Debug, Clone)]
pub struct CallbackMetrics {
    /// Attempts that were taken.
    pub delivered: Counter,
    /// Attempts that were not.
    pub failed: Counter,
    /// Attempts that were not made, because of where they would have gone.
    pub refused: Counter,
    /// Deliveries that are not over.
    pub pending: Gauge,
    /// How long attempts took.
    pub attempt: Histogram,
}

impl CallbackMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let attempts = Family::<[(&str, &str); 1], Counter>::default();
        registry.register("callback_attempts", "Attempts to send a callback, by outcome", attempts.clone());
        let of = |outcome| attempts.get_or_create_owned(&[("outcome", outcome)]);
        let pending = Gauge::default();
        registry.register("callbacks_pending", "Callbacks whose delivery is not over", pending.clone());
        let attempt = Histogram::new(BOUNDS);
        registry.register_with_unit("callback_attempt", "How long attempts took", Unit::Seconds, attempt.clone());
        let (delivered, failed, refused) = (of("delivered"), of("failed"), of("refused"));
        Self { delivered, failed, refused, pending, attempt }
    }
}
