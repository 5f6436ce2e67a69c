//! Owns trace context (W3C Trace Context): its text, and how spans continue it and give it on.
//! Must not know who exports spans. While nobody does, spans cost nothing here.

use opentelemetry::trace::{SpanContext, SpanId, Status, TraceContextExt, TraceFlags, TraceId, TraceState};
use opentelemetry::{Context, Value};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Whether spans are exported.
static ACTIVE: AtomicBool = AtomicBool::new(false);
/// The flags that are known: sampled, and random trace id (Trace Context Level 2).
const KNOWN_FLAGS: u8 = 0x03;

/// From now on spans are exported.
pub fn activate() {
    ACTIVE.store(true, Ordering::Relaxed);
}

/// Whether spans are exported.
#[must_use]
pub fn is_active() -> bool {
    ACTIVE.load(Ordering::Relaxed)
}

/// A span of some process: what `traceparent` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct TraceParent {
    trace: [u8; 16],
    span: [u8; 8],
    flags: u8,
}

impl TraceParent {
    /// Reads a value of `traceparent` (§3.2). Later versions are read as far as they are known, as it asks for.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let [version] = hex(parts.next()?)?;
        let (trace, span, [flags]) = (hex(parts.next()?)?, hex(parts.next()?)?, hex(parts.next()?)?);
        let ends = parts.next().is_none();
        let valid = version != 0xff && (ends || version > 0) && trace != [0; 16] && span != [0; 8];
        valid.then_some(Self { trace, span, flags: flags & KNOWN_FLAGS })
    }

    /// This span, while it is recorded or would be.
    #[must_use]
    pub fn of(span: &Span) -> Option<Self> {
        if !is_active() {
            return None;
        }
        let context = span.context();
        let own = context.span().span_context().clone();
        let flags = own.trace_flags().to_u8() & KNOWN_FLAGS;
        own.is_valid().then(|| Self { trace: own.trace_id().to_bytes(), span: own.span_id().to_bytes(), flags })
    }

    /// Makes `span`, which has not been entered, a child of this one.
    pub fn adopt(&self, span: &Span) {
        if is_active() {
            let (trace, own) = (TraceId::from_bytes(self.trace), SpanId::from_bytes(self.span));
            let context = SpanContext::new(trace, own, TraceFlags::new(self.flags), true, TraceState::NONE);
            // Fails for a span that is not exported.
            drop(span.set_parent(Context::new().with_remote_span_context(context)));
        }
    }
}

/// Adds to what is exported of a span, and not logged.
pub fn attribute(span: &Span, name: &'static str, value: impl Into<Value>) {
    if is_active() {
        span.set_attribute(name, value);
    }
}

/// Marks a span as failed.
pub fn failed(span: &Span, why: String) {
    if is_active() {
        span.set_status(Status::error(why));
    }
}

/// Exactly `N` bytes in lower case.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

impl fmt::Display for TraceParent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (trace, span) = (u128::from_be_bytes(self.trace), u64::from_be_bytes(self.span));
        write!(formatter, "00-{trace:032x}-{span:016x}-{:02x}", self.flags)
    }
}

impl From<TraceParent> for String {
    fn from(parent: TraceParent) -> Self {
        parent.to_string()
    }
}

impl TryFrom<String> for TraceParent {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("no `traceparent`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn read(text: &str) -> Option<String> {
        TraceParent::parse(text).map(|parent| parent.to_string())
    }

    #[test]
    fn a_valid_one_is_written_as_it_was_read() {
        for flags in ["00", "01", "02", "03"] {
            let text = format!("00-{TRACE}-{SPAN}-{flags}");
            assert_eq!(read(&text), Some(text));
        }
        let parent = TraceParent::parse(&format!("00-{TRACE}-{SPAN}-01")).expect("valid");
        let stored = serde_json::to_string(&parent).expect("JSON");
        assert_eq!(serde_json::from_str::<TraceParent>(&stored).expect("JSON"), parent);
    }

    #[test]
    fn flags_that_are_not_known_are_not_passed_on() {
        assert_eq!(read(&format!("00-{TRACE}-{SPAN}-fd")), Some(format!("00-{TRACE}-{SPAN}-01")));
    }

    #[test]
    fn later_versions_are_read_as_far_as_they_are_known() {
        let known = Some(format!("00-{TRACE}-{SPAN}-01"));
        assert_eq!(read(&format!("cc-{TRACE}-{SPAN}-01")), known);
        assert_eq!(read(&format!("cc-{TRACE}-{SPAN}-01-what-will-be")), known);
        assert_eq!(read(&format!("cc-{TRACE}-{SPAN}-01.what-will-be")), None);
    }

    #[test]
    fn what_is_not_valid_is_ignored() {
        let zeros = "0".repeat(32);
        for text in [
            String::new(),
            "00".into(),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{zeros}-{SPAN}-01"),
            format!("00-{TRACE}-{}-01", &zeros[..16]),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("00-{TRACE}-{SPAN}-01-"),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("0-{TRACE}-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", &TRACE[1..]),
            format!("00-{}é-{SPAN}-01", &TRACE[2..]),
            format!(" 00-{TRACE}-{SPAN}-01"),
        ] {
            assert_eq!(read(&text), None, "{text}");
        }
    }
}
