//! Owns the export of traces by OTLP over HTTP, as OpenTelemetry's standard variables set it.
//! Must not know what a span is about, besides the targets whose spans are exported.

use opentelemetry::Key;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData};
use std::sync::atomic::{AtomicBool, Ordering};
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

/// Targets of the spans that are exported: those of this program, and none of the exporter's own.
const TARGETS: [&str; 2] = ["http", "task"];
const SERVICE: &str = "sandpool";

/// The exporter and its thread; `None` when the environment asks for none.
pub fn provider() -> Result<Option<SdkTracerProvider>, ExporterBuildError> {
    if !is_wanted(|name| std::env::var(name).ok()) {
        return Ok(None);
    }
    // The only protocol of this program, whatever `OTEL_EXPORTER_OTLP_PROTOCOL` says.
    let protocol = opentelemetry_otlp::Protocol::HttpBinary;
    let exporter = SpanExporter::builder().with_http().with_protocol(protocol).build()?;
    let exporter = Reporting { exporter, fails: AtomicBool::new(false) };
    // The sampler, the limits, the batches and the service's name are read from the environment by the SDK.
    Ok(Some(SdkTracerProvider::builder().with_resource(resource()).with_batch_exporter(exporter).build()))
}

/// The layer that gives spans to the exporter.
pub fn layer<S>(provider: &SdkTracerProvider) -> impl Layer<S> + use<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(SERVICE))
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_target(false)
        .with_filter(filter_fn(|metadata| metadata.is_span() && TARGETS.contains(&metadata.target())))
}

/// Whether the environment names a collector, and does not turn traces off.
fn is_wanted(variable: impl Fn(&str) -> Option<String>) -> bool {
    let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
    let is = |name: &str, word: &str| set(name).is_some_and(|value| value.trim().eq_ignore_ascii_case(word));
    let named = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
    named.into_iter().any(|name| set(name).is_some())
        && !is("OTEL_SDK_DISABLED", "true")
        && !is("OTEL_TRACES_EXPORTER", "none")
}

/// Which service this is: what `OTEL_SERVICE_NAME` or `OTEL_RESOURCE_ATTRIBUTES` say, or else `sandpool`.
fn resource() -> Resource {
    let named = Resource::builder().build();
    let name = named.get(&Key::from_static_str("service.name")).map(|name| name.to_string()).unwrap_or_default();
    match name.is_empty() || name.starts_with("unknown_service") {
        true => Resource::builder().with_service_name(SERVICE).build(),
        false => named,
    }
}

/// Says when the collector begins to refuse spans, and when it takes them again.
#[derive(Debug)]
struct Reporting {
    exporter: SpanExporter,
    fails: AtomicBool,
}

impl opentelemetry_sdk::trace::SpanExporter for Reporting {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let exported = self.exporter.export(batch).await;
        let failed_before = self.fails.swap(exported.is_err(), Ordering::Relaxed);
        match &exported {
            Err(error) if !failed_before => tracing::warn!("traces cannot be exported and are dropped: {error}"),
            Ok(()) if failed_before => tracing::info!("traces are exported again"),
            _ => {}
        }
        exported
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(variables: &[(&str, &str)]) -> bool {
        let of = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        is_wanted(of)
    }

    #[test]
    fn traces_are_exported_only_when_the_environment_asks_for_it() {
        let general = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
        assert!(!wanted(&[]));
        assert!(wanted(&[general]));
        assert!(wanted(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c:4318/v1/traces")]));
        assert!(!wanted(&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]));
        assert!(!wanted(&[general, ("OTEL_SDK_DISABLED", "True")]));
        assert!(wanted(&[general, ("OTEL_SDK_DISABLED", "false")]));
        assert!(!wanted(&[general, ("OTEL_TRACES_EXPORTER", "none")]));
    }
}
