//! Owns how a route's callback becomes a task's: its expressions are resolved against the request, and what comes of
//! them is checked. Must not look names up, or send anything.

use crate::guard::Guard;
use crate::route::callback::{CallbackRule, METHODS};
use crate::route::expression::{MAX_TEXT, Missing, Nothing, Template};
use crate::task::Request;
use crate::task::callback::{Callback, Shown};
use crate::value::Json;
use http::HeaderValue;
use url::Url;

/// The most bytes of all header fields' values together.
const MAX_HEADERS: usize = 8 * 1024;

/// Why a request cannot have its callback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetFault {
    /// Where the body says what cannot be: a JSON pointer.
    pub pointer: Option<String>,
    /// What is wrong.
    pub message: String,
}

/// The callback of a task; `None`: the request names no URL where the rule looks for one.
///
/// # Errors
/// What the request says wrong.
pub fn resolve(
    rule: &CallbackRule,
    request: &Request,
    input: &Json,
    guard: &Guard,
) -> Result<Option<Callback>, TargetFault> {
    let text = match rule.url.resolve_url(request, input) {
        Ok(text) => text,
        Err(missing) if missing.why == Nothing::Absent && rule.url.whole().is_some() => return Ok(None),
        Err(missing) => return Err(fault_of("URL", &missing)),
    };
    let url = url(&text, guard).map_err(|why| fault_at(&rule.url, format!("the callback's URL is refused: {why}")))?;
    let method = match rule.method.resolve(request, input) {
        Ok(method) => method.to_ascii_uppercase(),
        Err(missing) if missing.why == Nothing::Absent => "POST".to_owned(),
        Err(missing) => return Err(fault_of("method", &missing)),
    };
    if !METHODS.contains(&method.as_str()) {
        let message = format!("the callback's method must be one of {}", METHODS.join(", "));
        return Err(fault_at(&rule.method, message));
    }
    let host = authority(&url);
    let shown = Shown {
        url_field: rule.url.without_literal_query(),
        url: match rule.url.has_literal_query() {
            true => without_query(&url),
            false => url.as_str().to_owned(),
        },
        method: rule.method.written().to_owned(),
        headers: rule.headers.iter().map(|(name, value)| (name.clone(), value.without_literals())).collect(),
    };
    Ok(Some(Callback {
        url: url.into(),
        host,
        method,
        content_type: rule.content_type.media_type().to_owned(),
        headers: headers(rule, request, input)?,
        send_result: rule.send_result,
        event: rule.event.clone(),
        shown,
    }))
}

fn url(text: &str, guard: &Guard) -> Result<Url, String> {
    if text.len() > MAX_TEXT {
        return Err(format!("expected at most {MAX_TEXT} bytes, found {}", text.len()));
    }
    if text.contains(|c: char| c.is_control() || c.is_whitespace()) {
        return Err("expected a URL without blanks".into());
    }
    let mut url = Url::parse(text).map_err(|error| format!("expected an http or https URL ({error})"))?;
    guard.check(&url).map_err(|refusal| refusal.0)?;
    // It is never sent.
    url.set_fragment(None);
    Ok(url)
}

/// Host and port.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or("").trim_end_matches('.');
    format!("{host}:{}", url.port_or_known_default().unwrap_or(0))
}

fn without_query(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    format!("{shown}?***")
}

/// The configured header fields; one whose expression finds nothing is left out.
fn headers(rule: &CallbackRule, request: &Request, input: &Json) -> Result<Vec<(String, String)>, TargetFault> {
    let (mut found, mut bytes) = (Vec::new(), 0);
    for (name, template) in &rule.headers {
        let value = match template.resolve(request, input) {
            Ok(value) => value.trim().to_owned(),
            Err(missing) if missing.why == Nothing::Absent => continue,
            Err(missing) => return Err(fault_of(&format!("header field `{name}`"), &missing)),
        };
        let is_sendable = HeaderValue::from_str(&value).is_ok_and(|value| value.to_str().is_ok());
        bytes += value.len();
        if !is_sendable {
            let message = format!("the callback's header field `{name}` must be visible ASCII characters");
            return Err(fault_at(template, message));
        }
        if bytes > MAX_HEADERS {
            let message = format!("the callback's header fields must have at most {MAX_HEADERS} bytes together");
            return Err(fault_at(template, message));
        }
        found.push((name.clone(), value));
    }
    Ok(found)
}

fn fault_of(what: &str, missing: &Missing) -> TargetFault {
    TargetFault { pointer: missing.pointer.clone(), message: format!("the callback's {what} cannot be had: {missing}") }
}

/// A fault of what a template gave; it is the body's when the template is about the body.
fn fault_at(template: &Template, message: String) -> TargetFault {
    TargetFault { pointer: template.expressions().find_map(|expression| expression.pointer()), message }
}

#[cfg(test)]
mod tests;
