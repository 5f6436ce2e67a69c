//! Tests of targets: what a request makes of a rule, and what is refused.

use super::*;
use crate::codec::Format;
use crate::guard::Allow;

fn rule(url: &str, headers: &[(&str, &str)]) -> CallbackRule {
    let template = |text: &str| Template::parse(text).expect(text);
    CallbackRule {
        url: template(url),
        method: template("$request.query.method"),
        content_type: Format::Yaml,
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), template(value))).collect(),
        send_result: true,
        event: "done".into(),
    }
}

fn resolved(rule: &CallbackRule, query: &[(&str, &str)], body: &str) -> Result<Option<Callback>, TargetFault> {
    let pairs = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    let request = Request {
        method: "PUT".into(),
        url: "http://h/orders/7".into(),
        path_parameters: pairs(&[("id", "7")]),
        query: pairs(query),
        headers: pairs(&[("x-trace", "t 1"), ("x-bad", "a\u{1}b")]),
    };
    let guard = Guard::new(vec![Allow::parse("10.0.0.0/8").expect("an entry")]);
    resolve(rule, &request, &Json::parse(body.into()).expect("JSON"), &guard)
}

#[test]
fn expressions_and_literals_are_resolved() {
    let headers = [
        ("X-Trace", "$request.header.x-trace"),
        ("X-Mixed", "id {$request.path.id}"),
        ("X-Secret", "hunter2"),
        ("X-None", "$request.header.none"),
        ("X-Null", "a{$request.body#/null}"),
    ];
    let rule = rule("$request.body#/url", &headers);
    let found = resolved(&rule, &[("method", "patch")], r#"{"url": "HTTP://Example.com:80/a?q=1#f", "null": null}"#);
    let callback = found.expect("valid").expect("a callback");
    assert_eq!(callback.url, "http://example.com/a?q=1");
    assert_eq!((callback.host.as_str(), callback.method.as_str()), ("example.com:80", "PATCH"));
    assert_eq!((callback.content_type.as_str(), callback.event.as_str()), ("application/yaml", "done"));
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(callback.headers, [pair("X-Trace", "t 1"), pair("X-Mixed", "id 7"), pair("X-Secret", "hunter2")]);
    assert_eq!(callback.shown.url_field, "$request.body#/url");
    assert_eq!(callback.shown.url, callback.url);
    let shown: Vec<&str> = callback.shown.headers.iter().map(|(_, value)| value.as_str()).collect();
    assert_eq!(
        shown,
        ["$request.header.x-trace", "***{$request.path.id}", "***", "$request.header.none", "***{$request.body#/null}"]
    );
    assert!(!format!("{callback:?}").contains("hunter2"));
}

#[test]
fn a_literal_query_is_sent_and_not_shown() {
    let rule = rule("https://hooks.example/{$request.path.id}?token=hunter2", &[]);
    let callback = resolved(&rule, &[], "null").expect("valid").expect("a callback");
    assert_eq!(callback.url, "https://hooks.example/7?token=hunter2");
    assert_eq!((callback.shown.url.as_str(), callback.method.as_str()), ("https://hooks.example/7?***", "POST"));
    assert_eq!(callback.shown.url_field, "https://hooks.example/{$request.path.id}?***");
}

#[test]
fn without_a_url_there_is_no_callback() {
    for body in ["null", "{}", r#"{"url": null}"#, "[]", "7"] {
        assert_eq!(resolved(&rule("$request.body#/url", &[]), &[], body), Ok(None), "{body}");
        assert_eq!(resolved(&rule("{$request.body#/url}", &[]), &[], body), Ok(None), "{body}");
    }
    let fault = resolved(&rule("https://h/{$request.body#/x}", &[]), &[], "{}").expect_err("it is not whole");
    assert_eq!(fault.pointer.as_deref(), Some("/x"));
}

#[test]
fn what_cannot_be_called_is_a_fault_that_says_where() {
    let urls = [
        (r#""127.0.0.1""#, "expected an http or https URL"),
        (r#""""#, "expected an http or https URL"),
        (r#""ftp://example.com""#, "expected an http or https URL"),
        (r#""http://127.0.0.1:9/""#, "127.0.0.1 is a loopback address"),
        (r#""http://a:b@example.com/""#, "without user name and password"),
        (r#""http://example.com/a b""#, "without blanks"),
        (r#""http://exam\nple.com/""#, "without blanks"),
        (r#""http://example.com:22/""#, "port 22"),
        (r#"{"a": 1}"#, "finds an array or an object"),
        (r#"true"#, "expected an http or https URL"),
    ];
    for (url, words) in urls {
        let body = format!(r#"{{"to": {{"url": {url}}}}}"#);
        let fault = resolved(&rule("$request.body#/to/url", &[]), &[], &body).expect_err(url);
        assert!(fault.message.contains(words), "{url}: {}", fault.message);
        assert_eq!(fault.pointer.as_deref(), Some("/to/url"));
        assert!(!fault.message.contains("a:b"));
    }
    let long = format!(r#"{{"url": "http://example.com/{}"}}"#, "x".repeat(MAX_TEXT));
    assert!(resolved(&rule("$request.body#/url", &[]), &[], &long).is_err());
    assert!(resolved(&rule("http://10.1.2.3/", &[]), &[], "null").is_ok(), "it is allowed");
    assert!(resolved(&rule("http://10.1.2.3/", &[]), &[("method", "DELETE")], "null").is_err());
    assert!(resolved(&rule("http://10.1.2.3/", &[("X", "$request.header.x-bad")]), &[], "null").is_err());
    let long = format!(r#"{{"x": "{}"}}"#, "x".repeat(MAX_HEADERS + 1));
    assert!(resolved(&rule("http://10.1.2.3/", &[("X", "$request.body#/x")]), &[], &long).is_err());
}
