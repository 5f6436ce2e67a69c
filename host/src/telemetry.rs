//! Owns where the server's own log and traces go: the log to standard error, as text on a terminal and as JSON lines
//! otherwise; traces to a collector, when the environment names one. Must not know what is logged or traced.

mod traces;

use crate::trace;
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::io::IsTerminal;
use std::time::Duration;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

/// The variable that sets what is logged, in the syntax of `tracing_subscriber::EnvFilter`.
pub const LOG_VARIABLE: &str = "SANDPOOL_LOG";

/// What is logged without it. Of the lines of guests, `logs.forward` says which.
const LOGGED: &str = "info,guest=trace";

/// It warns of guests' faulty requests, as often as they make them.
const LOUD: &str = "wasmtime_wasi_http";

/// How long the end of the program may be held up by a collector.
const LAST_SPANS: Duration = Duration::from_secs(2);

/// Log and traces, until stopped.
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
}

/// Starts logging, and for a server traces. Called once, before anything else.
pub fn start(is_server: bool) -> Telemetry {
    let wanted = std::env::var(LOG_VARIABLE).ok().filter(|wanted| !wanted.is_empty());
    let parsed = EnvFilter::try_new(wanted.as_deref().unwrap_or(LOGGED));
    let fault = parsed.as_ref().err().map(ToString::to_string);
    let filter = quiet(parsed.unwrap_or_else(|_| EnvFilter::new(LOGGED)), wanted.as_deref());
    let lines = fmt::layer().with_writer(std::io::stderr).with_target(false);
    let log: Box<dyn Layer<Registry> + Send + Sync> = match std::io::stderr().is_terminal() {
        true => lines.with_filter(filter).boxed(),
        // The innermost span is enough: none stands in another.
        false => lines.json().flatten_event(true).with_span_list(false).with_ansi(false).with_filter(filter).boxed(),
    };
    let traces = if is_server { traces::provider() } else { Ok(None) };
    let (traces, no_traces) = traces.map_or_else(|fault| (None, Some(fault)), |provider| (provider, None));
    let logged = tracing_subscriber::registry().with(log);
    // Without traces there is no second layer, not even an empty one: that would refuse nothing, so every span of every
    // crate was made, several at each call of a guest. A second start, as in tests, changes nothing.
    let started = match &traces {
        Some(provider) => logged.with(traces::layer(provider)).try_init(),
        None => logged.try_init(),
    };
    if started.is_ok() && traces.is_some() {
        trace::activate();
    }
    if let Some(fault) = fault {
        tracing::warn!("{LOG_VARIABLE} cannot be read ({fault}); logging at `info`");
    }
    if let Some(fault) = no_traces {
        tracing::warn!("no traces are exported: {fault}");
    }
    Telemetry { traces }
}

/// Without the warnings that guests could flood the log with, unless somebody asks for them.
fn quiet(filter: EnvFilter, wanted: Option<&str>) -> EnvFilter {
    match format!("{LOUD}=error").parse() {
        Ok(directive) if !wanted.is_some_and(|wanted| wanted.contains(LOUD)) => filter.add_directive(directive),
        _ => filter,
    }
}

impl Telemetry {
    /// Exports what is left, for a short time.
    pub fn stop(self) {
        if let Some(Err(fault)) = self.traces.map(|traces| traces.shutdown_with_timeout(LAST_SPANS)) {
            tracing::warn!("the last traces could not be exported: {fault}");
        }
    }
}
