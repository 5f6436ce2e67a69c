//! Owns one attempt: the request, what the answer means, and what is noted of it. Must not know what comes next, or
//! which attempts are under way beside it.

use super::body::body;
use super::client::{Clients, refusal, words};
use super::deliver::Options;
use super::sign::signature;
use crate::clock::Timestamp;
use crate::store::outbox::{Due, Record};
use crate::task::Task;
use crate::task::callback::{Attempt, Callback, Standing};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Method, StatusCode, Url};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// An answer, and how long it asks to wait.
    Answered(u16, Option<Duration>),
    /// None, and why.
    Failed(String),
    /// The guard let nothing out.
    Refused(String),
}

impl Outcome {
    /// Whether the receiver took it.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        matches!(self, Self::Answered(200..=299, _))
    }

    /// Whether the receiver wants to hear of it no more.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Answered(410, _))
    }
}

/// What is noted of an attempt that began at this moment and took so long.
#[must_use]
pub fn record(options: &Options, due: &Due, outcome: &Outcome, at: Timestamp, took: Duration) -> Record {
    let asked = match outcome {
        Outcome::Answered(_, asked) => *asked,
        _ => None,
    };
    let failed = due.made.saturating_sub(due.begun).saturating_add(1);
    let wait = match outcome.is_taken() || outcome.is_final() {
        true => None,
        false => options.schedule.after(failed, chance(), asked),
    };
    let standing = match (outcome.is_taken(), wait) {
        (true, _) => Standing::Completed,
        (false, Some(_)) => Standing::Running,
        (false, None) => Standing::Failed,
    };
    let (status, error) = match outcome {
        Outcome::Answered(status, _) if outcome.is_taken() => (Some(*status), None),
        Outcome::Answered(status, _) => (Some(*status), Some(meaning(*status))),
        Outcome::Failed(error) => (None, Some(error.clone())),
        Outcome::Refused(error) => (None, Some(format!("refused: {error}"))),
    };
    let next = wait.map(|wait| options.clock.now().after(wait));
    Record { number: due.number, made_before: due.made, attempt: Attempt { at, status, error, took }, standing, next }
}

fn meaning(status: u16) -> String {
    match status {
        300..=399 => "redirects are not followed".into(),
        410 => "the receiver wants no more of it".into(),
        status => {
            let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
            format!("the receiver answered {status}{}", reason.map(|reason| format!(" {reason}")).unwrap_or_default())
        }
    }
}

/// From 0 to 1. Without the system's randomness everybody waits alike.
fn chance() -> f64 {
    getrandom::u32().map_or(0.0, |random| f64::from(random) / f64::from(u32::MAX))
}

/// Calls the receiver of a task. It takes no longer than the options allow.
pub async fn call(options: &Options, clients: &Clients, task: &Task) -> Outcome {
    let Some(callback) = &task.invocation.callback else { return Outcome::Failed("the task has no callback".into()) };
    // What was let in when the task was submitted may no longer be.
    let url = match Url::parse(&callback.url).map_err(|error| error.to_string()) {
        Ok(url) => url,
        Err(error) => return Outcome::Refused(error),
    };
    if let Err(refusal) = options.guard.check(&url) {
        return Outcome::Refused(refusal.0);
    }
    let body = body(task, callback);
    let headers = headers(options, task, callback, &body);
    let method = callback.method.parse().unwrap_or(Method::POST);
    match clients.of(&url).request(method, url).headers(headers).body(body).send().await {
        Ok(answer) => Outcome::Answered(answer.status().as_u16(), retry_after(answer.headers())),
        Err(error) => match refusal(&error) {
            Some(refusal) => Outcome::Refused(refusal.0),
            None => Outcome::Failed(words(error)),
        },
    }
}

fn headers(options: &Options, task: &Task, callback: &Callback, body: &[u8]) -> HeaderMap {
    let seconds = options.clock.now().0.div_euclid(1_000_000);
    let mut headers = HeaderMap::new();
    let mut put = |name: HeaderName, text: &str| {
        if let Ok(mut value) = HeaderValue::from_str(text) {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    };
    if let Some(parent) = &task.invocation.traceparent {
        put(HeaderName::from_static("traceparent"), &parent.to_string());
    }
    for (name, value) in &callback.headers {
        if let Ok(name) = name.parse() {
            put(name, value);
        }
    }
    put(CONTENT_TYPE, &callback.content_type);
    put(HeaderName::from_static("webhook-id"), task.id.as_str());
    put(HeaderName::from_static("webhook-timestamp"), &seconds.to_string());
    if let Some(signature) = signature(&options.keys, task.id.as_str(), seconds, body) {
        put(HeaderName::from_static("webhook-signature"), &signature);
    }
    headers
}

/// `Retry-After` (RFC 9110 §10.2.3): seconds or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    date.duration_since(SystemTime::now()).ok()
}

/// Measures an attempt.
pub async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let began = Instant::now();
    let done = work.await;
    (done, began.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let asked = |text: &str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(text).expect("a value"))]);
            retry_after(&headers)
        };
        assert_eq!(asked("120"), Some(Duration::from_secs(120)));
        assert_eq!(asked("soon"), None);
        assert_eq!(asked("-1"), None);
        assert_eq!(asked("Sun, 06 Nov 1994 08:49:37 GMT"), None, "it has passed");
        let later = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(100));
        assert!(asked(&later).is_some_and(|wait| (90..=100).contains(&wait.as_secs())));
    }
}
