//! Owns what the server counts and measures of itself, and its text for `/-/metrics`.
//! Must not know who counts. A handle costs an atomic or two an event; handles are looked up once and kept.

mod callback;
mod histogram;
mod http;
mod route;
mod tenant;

pub use callback::CallbackMetrics;
pub use histogram::Histogram;
pub use http::HttpMetrics;
pub use route::{Refused, RouteMetrics};
pub use tenant::TenantMetrics;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use route::Routes;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::{SystemTime, UNIX_EPOCH};
use tenant::Tenants;

/// The media type of [`Metrics::text`].
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Seconds, for what takes a fraction of a millisecond to a second.
const SHORT: &[f64] = &[
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0,
];
/// Operations of one transaction; the most is the writer's limit.
const BATCHES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// Everything that is counted and measured; one a server.
pub struct Metrics {
    registry: Registry,
    routes: Routes,
    tenants: Tenants,
    /// Operations of each committed transaction of the store.
    pub store_batch: Histogram,
    /// How long each of them took, from its begin to its commit.
    pub store_commit: Histogram,
    /// How long it took to make an instance.
    pub instantiate: Histogram,
    /// Requests.
    pub http: HttpMetrics,
    /// Callers who were not let in.
    pub auth: AuthMetrics,
    /// Attempts to send callbacks.
    pub callbacks: CallbackMetrics,
    /// Client connections that are open.
    pub connections: Gauge,
    /// Server-sent events.
    pub events: EventMetrics,
}

/// Server-sent events.
#[derive(Debug, Clone, Default)]
pub struct EventMetrics {
    /// Streams that are open and have read what was kept for them.
    pub streams: Gauge,
    /// Events that were handed to a stream.
    pub sent: Counter,
    /// Streams that were ended because their reader was too slow.
    pub cut: Counter,
}

/// Callers who were not let in, by the kind of the answer.
#[derive(Debug, Clone, Default)]
pub struct AuthMetrics {
    /// No or wrong credentials.
    pub unauthenticated: Counter,
    /// More password checks waited than could be made soon.
    pub busy: Counter,
    /// The keys of tokens could not be had.
    pub unavailable: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("sandpool");
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The version of the server", version);
        let started = Gauge::<f64, AtomicU64>::default();
        started.set(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64());
        let help = "When the process started, since the epoch";
        registry.register_with_unit("process_start_time", help, Unit::Seconds, started);
        let routes = Routes::new(&mut registry);
        let tenants = Tenants::new(&mut registry);
        let (store_batch, store_commit) = (Histogram::new(BATCHES), Histogram::new(SHORT));
        let help = "Operations of each transaction that the store committed";
        registry.register("store_batch_operations", help, store_batch.clone());
        let help = "How long each transaction of the store took, with its commit";
        registry.register_with_unit("store_commit", help, Unit::Seconds, store_commit.clone());
        let instantiate = Histogram::new(SHORT);
        let help = "How long it took to make an instance of a guest";
        registry.register_with_unit("guest_instantiate", help, Unit::Seconds, instantiate.clone());
        let connections = Gauge::default();
        registry.register("connections_open", "Client connections that are open", connections.clone());
        let http = HttpMetrics::new(&mut registry);
        let auth = AuthMetrics::new(&mut registry);
        let events = EventMetrics::new(&mut registry);
        let callbacks = CallbackMetrics::new(&mut registry);
        Self {
            registry,
            routes,
            tenants,
            store_batch,
            store_commit,
            instantiate,
            http,
            auth,
            callbacks,
            connections,
            events,
        }
    }
}

impl EventMetrics {
    fn new(registry: &mut Registry) -> Self {
        let events = Self::default();
        registry.register("event_streams_open", "Streams of events that are open", events.streams.clone());
        registry.register("events_sent", "Events that were handed to a stream", events.sent.clone());
        let help = "Streams that were ended because their reader was too slow";
        registry.register("event_streams_cut", help, events.cut.clone());
        events
    }
}

impl AuthMetrics {
    fn new(registry: &mut Registry) -> Self {
        let failures = Family::<[(&str, &str); 1], Counter>::default();
        registry.register("auth_failures", "Callers who were not let in, by kind", failures.clone());
        let of = |kind| failures.get_or_create_owned(&[("kind", kind)]);
        Self { unauthenticated: of("unauthenticated"), busy: of("busy"), unavailable: of("unavailable") }
    }
}

impl Metrics {
    /// The handles of a route; all handles of one name count together.
    #[must_use]
    pub fn route(&self, name: &str) -> RouteMetrics {
        self.routes.of(name)
    }

    /// The handles of a tenant; all handles of one name count together.
    #[must_use]
    pub fn tenant(&self, name: &str) -> TenantMetrics {
        self.tenants.of(name)
    }

    /// Drops the series of a route that is gone; whoever still holds its handles counts unseen.
    pub fn forget_route(&self, name: &str) {
        self.routes.forget(name);
    }

    /// All of it in the OpenMetrics text format.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(16 << 10);
        if let Err(error) = prometheus_client::encoding::text::encode(&mut text, &self.registry) {
            tracing::error!("the metrics cannot be written: {error}");
        }
        text
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// One more in a gauge, until dropped.
#[derive(Debug)]
pub struct Counted(Gauge);

impl Counted {
    /// One more, from now on.
    #[must_use]
    pub fn in_gauge(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::state::State;
    use std::time::Duration;

    #[test]
    fn the_text_has_what_was_counted() {
        let metrics = Metrics::default();
        let route = metrics.route("A \"b\"\\");
        route.ended(State::Failed);
        metrics.route("A \"b\"\\").ended(State::Failed);
        route.refused(Refused::QueueFull);
        let running = Counted::in_gauge(&route.running);
        let text = metrics.text();
        for line in [
            r#"sandpool_tasks_ended_total{route="A \"b\"\\",state="Failed"} 2"#,
            r#"sandpool_tasks_ended_total{route="A \"b\"\\",state="Completed"} 0"#,
            r#"sandpool_tasks_refused_total{route="A \"b\"\\",reason="queue_full"} 1"#,
            r#"sandpool_tasks_running{route="A \"b\"\\"} 1"#,
            r#"sandpool_auth_failures_total{kind="busy"} 0"#,
            "# TYPE sandpool_store_commit_seconds histogram",
            "# UNIT sandpool_store_commit_seconds seconds",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        drop(running);
        assert!(metrics.text().contains(r#"sandpool_tasks_running{route="A \"b\"\\"} 0"#));
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn requests_are_counted_by_method_and_status_only() {
        let metrics = Metrics::default();
        metrics.http.answered("GET", 200);
        metrics.http.answered("GET", 200);
        metrics.http.answered("BREW", 418);
        metrics.http.answered("PUT", 7);
        metrics.http.answered("PUT", 600);
        let text = metrics.text();
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with("sandpool_http_requests_total")).collect();
        assert_eq!(
            lines,
            [
                r#"sandpool_http_requests_total{method="GET",status="200"} 2"#,
                r#"sandpool_http_requests_total{method="other",status="418"} 1"#,
            ]
        );
    }

    #[test]
    fn durations_are_told_in_seconds() {
        let metrics = Metrics::default();
        metrics.instantiate.observe(Duration::from_micros(30));
        metrics.instantiate.observe(Duration::from_secs(3));
        metrics.store_batch.observe_number(2);
        let text = metrics.text();
        for line in [
            "sandpool_guest_instantiate_seconds_count 2",
            "sandpool_guest_instantiate_seconds_sum 3.00003",
            r#"sandpool_guest_instantiate_seconds_bucket{le="0.000025"} 0"#,
            r#"sandpool_guest_instantiate_seconds_bucket{le="0.00005"} 1"#,
            r#"sandpool_guest_instantiate_seconds_bucket{le="1.0"} 1"#,
            r#"sandpool_guest_instantiate_seconds_bucket{le="+Inf"} 2"#,
            r#"sandpool_store_batch_operations_bucket{le="1.0"} 0"#,
            r#"sandpool_store_batch_operations_bucket{le="2.0"} 1"#,
            "sandpool_store_batch_operations_sum 2.0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }
}
