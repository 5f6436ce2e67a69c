//! Owns the counts of requests. Must not see a path: whoever calls could make as many series as there are paths.

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is told apart; the rest is `other`.
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "other"];
/// RFC 9110 §15: status codes are 100 to 599.
const FIRST: u16 = 100;
const CODES: usize = 500;

/// Requests, answered and under way.
#[derive(Debug, Clone)]
pub struct HttpMetrics {
    answered: Answered,
    /// Requests that are being answered.
    pub in_flight: Gauge,
}

/// One counter for each method and status, so that counting is one addition.
#[derive(Debug, Clone)]
struct Answered(Arc<[AtomicU64]>);

impl HttpMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let answered = Answered((0..METHODS.len() * CODES).map(|_| AtomicU64::new(0)).collect());
        registry.register("http_requests", "Requests that were answered, by method and status", answered.clone());
        let in_flight = Gauge::default();
        registry.register("http_requests_in_flight", "Requests that are being answered", in_flight.clone());
        Self { answered, in_flight }
    }

    /// A request was answered.
    pub fn answered(&self, method: &str, status: u16) {
        let method = METHODS.iter().position(|known| *known == method).unwrap_or(METHODS.len() - 1);
        let code = usize::from(status.wrapping_sub(FIRST));
        if let Some(counter) = self.answered.0.get(method * CODES + code).filter(|_| code < CODES) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl TypedMetric for Answered {
    const TYPE: MetricType = MetricType::Counter;
}

impl EncodeMetric for Answered {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (method, counters) in METHODS.iter().zip(self.0.chunks(CODES)) {
            for (status, counter) in (FIRST..).zip(counters) {
                let count = counter.load(Ordering::Relaxed);
                if count > 0 {
                    let labels = [("method", *method), ("status", &status.to_string())];
                    encoder.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&count, None)?;
                }
            }
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}
