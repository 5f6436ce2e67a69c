//! Owns callbacks as they stand in the file: `callback` of a route, and `callbacks`.
//! Must not know rules between values, nor show a secret in a fault.

use super::super::fault::Place;
use super::super::node::{Node, Value};
use super::super::reader::{At, Fields, boolean, mismatch, positive, text, whole, word};
use super::FORMATS;
use crate::callback::SigningKey;
use crate::codec::Format;
use crate::guard::Allow;
use crate::route::expression::Template;
use std::time::Duration;

/// The most attempts of a delivery.
const MAX_ATTEMPTS: u32 = 100;
/// The longest wait between two attempts, and the longest time of one.
const MAX_WAIT: Duration = Duration::from_secs(7 * 86_400);
const MAX_TIMEOUT: Duration = Duration::from_secs(300);
/// The longest name of an event, in bytes.
const MAX_EVENT: usize = 256;
/// Header fields that belong to the connection or to the callback itself (RFC 9110 §7.6.1).
const OWN_HEADERS: [&str; 12] = [
    "connection",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "date",
];

/// `routes[].callback`
pub struct RawCallback {
    /// Where it begins.
    pub place: Place,
    /// `url`
    pub url: Option<At<Template>>,
    /// `url` stands there, faulty or not.
    pub has_url: bool,
    /// `method`
    pub method: Option<At<Template>>,
    /// `content_type`
    pub content_type: Option<At<Format>>,
    /// `headers`
    pub headers: Vec<(At<String>, At<Template>)>,
    /// `send_result`
    pub send_result: Option<At<bool>>,
    /// `event`
    pub event: Option<At<String>>,
}

/// `callbacks`
pub struct RawCallbacks {
    /// `allow`
    pub allow: Vec<At<Allow>>,
    /// `signing_secret`
    pub keys: Vec<At<SigningKey>>,
    /// `attempts`
    pub attempts: Option<At<u32>>,
    /// `schedule`
    pub schedule: Option<Vec<At<Duration>>>,
    /// `timeout`
    pub timeout: Option<At<Duration>>,
}

/// Reads `callback` of a route.
pub fn of_route(route: &mut Fields<'_>) -> Option<RawCallback> {
    if !route.has("callback") {
        route.node("callback");
        return None;
    }
    let mut fields = route.section("callback", "a route's `callback`");
    let callback = RawCallback {
        place: fields.place(),
        has_url: fields.has("url"),
        url: fields.take("url", template),
        method: fields.take("method", template),
        content_type: fields.take("content_type", word(&FORMATS, &[])),
        headers: fields.pairs("headers", "a callback's `headers`", header_name, header_value),
        send_result: fields.take("send_result", boolean),
        event: fields.take("event", event),
    };
    fields.finish();
    Some(callback)
}

/// Reads `callbacks`.
pub fn of_server(mut fields: Fields<'_>) -> RawCallbacks {
    let callbacks = RawCallbacks {
        allow: fields
            .list("allow", |node: &Node| text(node).and_then(|found| Allow::parse(&found)))
            .unwrap_or_default(),
        keys: fields.some("signing_secret", secret).unwrap_or_default(),
        attempts: fields.take("attempts", whole(1, MAX_ATTEMPTS)),
        schedule: fields.some("schedule", up_to(MAX_WAIT, "7d")),
        timeout: fields.take("timeout", up_to(MAX_TIMEOUT, "5m")),
    };
    fields.finish();
    callbacks
}

fn up_to(most: Duration, shown: &'static str) -> impl Fn(&Node) -> Result<Duration, String> {
    move |node| match positive(node)? {
        found if found > most => mismatch(&format!("a duration of at most {shown}"), node),
        found => Ok(found),
    }
}

fn template(node: &Node) -> Result<Template, String> {
    Template::parse(&text(node)?)
}

/// What a literal may hold is not shown.
fn header_value(node: &Node) -> Result<Template, String> {
    let Value::Text(found, _) = &node.value else {
        return Err(format!("expected a text, found {}; put it in quotes", node.kind()));
    };
    let template = Template::parse(found)?;
    if template.is_literal() && !http::HeaderValue::from_str(found).is_ok_and(|value| value.to_str().is_ok()) {
        return Err("expected visible ASCII characters".into());
    }
    Ok(template)
}

fn header_name(name: &str) -> Result<(), String> {
    if name.parse::<http::HeaderName>().is_err() {
        return Err("expected the name of a header field".into());
    }
    let lower = name.to_ascii_lowercase();
    let is_own = OWN_HEADERS.contains(&lower.as_str());
    if is_own || ["content-", "webhook-"].iter().any(|start| lower.starts_with(start)) {
        return Err(format!("expected a header field other than {lower}, which the callback or its connection sets"));
    }
    Ok(())
}

fn event(node: &Node) -> Result<String, String> {
    let found = text(node)?;
    let is_name = found.len() <= MAX_EVENT && !found.contains(char::is_control);
    if is_name { Ok(found) } else { mismatch(&format!("a name of at most {MAX_EVENT} printable bytes"), node) }
}

/// A signing secret, which is not shown.
fn secret(node: &Node) -> Result<SigningKey, String> {
    match &node.value {
        Value::Text(found, _) => SigningKey::parse(found),
        _ => Err(format!("expected a text, found {}; put it in quotes", node.kind())),
    }
}
