//! Owns what is taken out of a request besides its body: URLs, ids, preferences, and the request as guests see it.
//! Must not answer anything.

use super::Options;
use super::problem::Problem;
use crate::auth::Authenticator;
use crate::route::task_route::{IdPlace, TaskRoute};
use crate::task;
use crate::trace::TraceParent;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri, header};
use std::time::Duration;

/// The longest time that a request may ask to wait for a task's end.
pub const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// Fields that carry credentials whatever is configured: guests never see them.
const CREDENTIALS: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "x-api-key"];

/// The values of `Accept`.
pub fn accepted(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers.get_all(header::ACCEPT).into_iter().filter_map(|value| value.to_str().ok())
}

/// The base of URLs in answers: what is configured, else what the client called.
pub fn base_url(options: &Options, headers: &HeaderMap) -> Result<String, Problem> {
    if let Some(url) = &options.public_url {
        return Ok(url.clone());
    }
    // RFC 9112 §3.2: one valid Host field, which has no user information (RFC 9110 §4.2.4).
    let mut hosts = headers.get_all(header::HOST).into_iter();
    let host = hosts.next().and_then(|host| host.to_str().ok()).filter(|host| !host.contains('@'));
    match (host.and_then(|host| host.parse::<Authority>().ok()), hosts.next()) {
        (Some(authority), None) => Ok(format!("{}://{authority}", if options.tls { "https" } else { "http" })),
        _ => Err(Problem::new(400, "The request needs exactly one valid `Host` header field.")),
    }
}

/// The request as guests see it.
pub fn for_guests(
    base: &str,
    method: &str,
    uri: &Uri,
    headers: &HeaderMap,
    path_parameters: Vec<(String, String)>,
    authenticator: &Authenticator,
) -> task::Request {
    let is_credential = |name: &str| CREDENTIALS.contains(&name) || authenticator.hides_header(name);
    let visible = headers.iter().filter(|(name, _)| !is_credential(name.as_str()));
    let mut query = query(uri);
    let all = query.len();
    query.retain(|(name, _)| !authenticator.hides_query(name));
    let path = match uri.path_and_query() {
        // A credential in the query must not be kept in the URL either.
        Some(_) if query.len() < all => {
            let mut shown = form_urlencoded::Serializer::new(String::new());
            format!("{}?{}", uri.path(), shown.extend_pairs(&query).finish()).trim_end_matches('?').to_owned()
        }
        Some(path) => path.as_str().to_owned(),
        None => "/".to_owned(),
    };
    task::Request {
        method: method.to_owned(),
        url: format!("{base}{path}"),
        path_parameters,
        query,
        headers: visible
            .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect(),
    }
}

/// The query's pairs, decoded.
pub fn query(uri: &Uri) -> Vec<(String, String)> {
    form_urlencoded::parse(uri.query().unwrap_or("").as_bytes()).into_owned().collect()
}

/// The value of the query's first parameter of this name.
pub fn parameter(uri: &Uri, name: &str) -> Option<String> {
    query(uri).into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
}

/// The task id of a request to a task route.
pub fn task_id(
    task_route: &TaskRoute,
    parameters: &[(String, String)],
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<String, Problem> {
    let name = &task_route.id_name;
    let pair = |pairs: &[(String, String)]| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let found = task_route.places.iter().find_map(|place| match place {
        IdPlace::Path => pair(parameters),
        IdPlace::Query => pair(&query(uri)),
        IdPlace::Header => headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned),
        IdPlace::Cookie => cookie(headers, name),
        IdPlace::Body => None,
    });
    found.ok_or_else(|| {
        let places: Vec<String> = task_route
            .places
            .iter()
            .map(|place| match place {
                IdPlace::Path => format!("path segment {}/{{{name}}}", task_route.path.trim_end_matches('/')),
                IdPlace::Query => format!("query parameter `{name}`"),
                IdPlace::Header => format!("header field `{name}`"),
                IdPlace::Cookie => format!("cookie `{name}`"),
                IdPlace::Body => "body".to_owned(),
            })
            .collect();
        Problem::new(400, format!("The request names no task. Give its id as {}.", places.join(" or ")))
    })
}

/// RFC 6265 §4.2.1
fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let fields = headers.get_all(header::COOKIE).into_iter().filter_map(|field| field.to_str().ok());
    let mut pairs = fields.flat_map(|field| field.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value.trim_matches('"').to_owned())
}

/// `?wait=N`: how long the request wants to wait.
pub fn wait_of_query(uri: &Uri) -> Result<Option<Duration>, Problem> {
    let Some(value) = parameter(uri, "wait") else { return Ok(None) };
    let seconds = value.parse::<u32>().map_err(|_| {
        Problem::new(400, format!("The query parameter `wait` must be whole seconds from 0, not `{value}`."))
    })?;
    Ok(Some(Duration::from_secs(seconds.into()).min(LONGEST_WAIT)))
}

/// The most bytes of an `Idempotency-Key`.
const LONGEST_KEY: usize = 255;

/// `Idempotency-Key` (IETF draft): a string, in quotes or as it is.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().unwrap_or("").trim().trim_matches('"');
    if key.is_empty() || key.len() > LONGEST_KEY {
        let words = format!("`Idempotency-Key` must be 1 to {LONGEST_KEY} visible ASCII characters.");
        return Err(Problem::new(400, words));
    }
    Ok(Some(key.to_owned()))
}

/// The client's span (W3C Trace Context): one valid `traceparent`; any other is ignored, as it asks for.
pub fn traceparent(headers: &HeaderMap) -> Option<TraceParent> {
    let mut fields = headers.get_all("traceparent").into_iter();
    let parent = fields.next()?.to_str().ok().and_then(TraceParent::parse);
    parent.filter(|_| fields.next().is_none())
}

/// `Prefer: wait=N` (RFC 7240 §4.3); a preference that is not understood is ignored (§2).
pub fn wait_preference(headers: &HeaderMap) -> Option<Duration> {
    let fields = headers.get_all("prefer").into_iter().filter_map(|field| field.to_str().ok());
    let mut preferences = fields.flat_map(|field| field.split(',')).filter_map(|preference| {
        let (name, value) = preference.split(';').next()?.split_once('=')?;
        name.trim().eq_ignore_ascii_case("wait").then(|| value.trim().trim_matches('"').parse::<u32>().ok())?
    });
    preferences.next().map(|seconds| Duration::from_secs(seconds.into()).min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::HeaderName::from_static(name), HeaderValue::from_static(value))])
    }

    #[test]
    fn preferences_are_found_among_others() {
        let wait = |value| wait_preference(&headers("prefer", value)).map(|wait| wait.as_secs());
        assert_eq!(wait("wait=10"), Some(10));
        assert_eq!(wait("respond-async, Wait=\"7\"; x=y"), Some(7));
        assert_eq!(wait("wait=4000000000"), Some(LONGEST_WAIT.as_secs()));
        assert_eq!(wait("wait=soon"), None);
        assert_eq!(wait("respond-async"), None);
    }

    #[test]
    fn one_valid_traceparent_is_taken() {
        const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let mut fields = headers("traceparent", VALID);
        assert_eq!(traceparent(&fields).map(|parent| parent.to_string()).as_deref(), Some(VALID));
        fields.append("traceparent", HeaderValue::from_static(VALID));
        assert_eq!(traceparent(&fields), None);
        assert_eq!(traceparent(&headers("traceparent", "00-what")), None);
    }

    #[test]
    fn cookies_are_found_among_others() {
        let found = |value| cookie(&headers("cookie", value), "taskId");
        assert_eq!(found("a=b; taskId=x-1"), Some("x-1".into()));
        assert_eq!(found("xtaskId=1"), None);
    }

    #[test]
    fn credentials_stay_with_the_host() {
        let mut fields = headers("authorization", "Basic secret");
        fields.insert("x-custom", HeaderValue::from_static("kept"));
        let nobody =
            Authenticator::new(Default::default(), std::sync::Arc::new(crate::clock::SystemClock), &Default::default());
        let uri = Uri::from_static("/a?b=c%20d");
        let seen = for_guests("http://h", "PUT", &uri, &fields, Vec::new(), &nobody.expect("no schemes"));
        assert_eq!(seen.headers, [("x-custom".to_owned(), "kept".to_owned())]);
        assert_eq!(seen.url, "http://h/a?b=c%20d");
        assert_eq!(seen.query, [("b".to_owned(), "c d".to_owned())]);
    }
}
