//! Tests of `callback` and `callbacks`: what is read, and every fault with its place.
//! Must not test how callbacks are resolved or sent.

use super::Format;
use super::tests::{ROUTE, faults, folder, loaded};
use crate::route::expression::Template;
use std::time::Duration;

fn route(callback: &str) -> String {
    format!("routes: [{{method: put, path: '/a/{{id}}', component: ids.wasm, callback: {callback}}}]\n")
}

fn template(text: &str) -> Template {
    Template::parse(text).expect(text)
}

#[test]
fn defaults_and_values_are_read() {
    let folder = folder();
    let config = loaded(&route("{}"), Format::Yaml, folder.path());
    let rule = config.routes[0].callback.clone().expect("a callback");
    assert_eq!((rule.url, rule.method), (template("$request.body#/callbackUrl"), template("POST")));
    assert_eq!((rule.content_type.media_type(), rule.send_result), ("application/json", false));
    assert_eq!((rule.headers.len(), rule.event.as_str()), (0, "_a_{id}_Callback"));
    assert_eq!((config.callbacks.timeout, config.callbacks.keys.len()), (Duration::from_secs(15), 0));
    assert_eq!((config.callbacks.schedule.attempts, config.callbacks.schedule.waits.len()), (8, 7));
    let text = route(
        "{url: 'https://h/{$request.path.id}', method: put, content_type: application/xml, \
         headers: {X-A: \"$request.header.b\"}, send_result: true, event: e}",
    ) + "callbacks: {allow: [10.0.0.0/8, 'x:80'], attempts: 2, schedule: [1s, 2m], timeout: 3s,\n  \
           signing_secret: [whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw, \"twenty-four bytes, or more\"]}";
    let config = loaded(&text, Format::Yaml, folder.path());
    let rule = config.routes[0].callback.clone().expect("a callback");
    assert_eq!(
        (rule.method.written(), rule.content_type.media_type(), rule.send_result),
        ("put", "application/xml", true)
    );
    assert_eq!((rule.headers, rule.event), (vec![("X-A".into(), template("$request.header.b"))], "e".into()));
    assert_eq!(config.callbacks.schedule.waits, [1, 120].map(Duration::from_secs));
    assert_eq!((config.callbacks.keys.len(), config.callbacks.guard.ports().len()), (2, 1));
    assert!(!format!("{config:?}").contains("twenty-four"));
    let config = loaded(ROUTE, Format::Yaml, folder.path());
    assert_eq!(config.routes[0].callback, None);
}

#[test]
fn faults_of_a_callback() {
    let cases = [
        ("5", "a:1:72: expected a map for a route's `callback`, found the number 5"),
        ("{urll: x}", "a:1:73: unknown key `urll` in a route's `callback`; did you mean `url`?"),
        (
            "{url: \"$request.bodi\"}",
            "a:1:78: url: expected $url, $method, $request.header.NAME, $request.query.NAME, $request.path.NAME or $request.body#/POINTER",
        ),
        ("{url: 'https://h/{$url'}", "a:1:78: url: expected `}` after the expression that begins with `{$`"),
        (
            "{url: 'http://127.0.0.1/?token=hunter2'}",
            "a:1:78: url: 127.0.0.1 is a loopback address; `callbacks.allow` exempts hosts and addresses",
        ),
        (
            "{url: 'https://u:hunter2@h/'}",
            "a:1:78: url: expected a URL without user name and password; `callbacks.allow` exempts hosts and addresses",
        ),
        ("{url: 'https://u:hunter2@h/{$method}'}", "a:1:78: url: expected a URL without user name and password"),
        ("{url: 'h/{$method}'}", "a:1:78: url: expected http://, https:// or an expression at its beginning"),
        ("{url: '{$request.path.order}'}", "a:1:78: url: expected a parameter of the route's path, found `order`"),
        ("{method: GET}", "a:1:81: method: expected POST, PUT, PATCH or an expression, found `GET`"),
        (
            "{content_type: text/plain}",
            "a:1:87: content_type: expected application/json, application/xml or application/yaml, found the text `text/plain`",
        ),
        (
            "{headers: {Webhook-Id: x}}",
            "a:1:83: headers: expected a header field other than webhook-id, which the callback or its connection sets",
        ),
        (
            "{headers: {Host: x}}",
            "a:1:83: headers: expected a header field other than host, which the callback or its connection sets",
        ),
        ("{headers: {'a b': x}}", "a:1:83: headers: expected the name of a header field"),
        ("{headers: {X-A: \"hunter2\\n\"}}", "a:1:88: X-A: expected visible ASCII characters"),
        ("{headers: {X-A: 5}}", "a:1:88: X-A: expected a text, found a number; put it in quotes"),
        ("{headers: {X-A: a, x-a: b}}", "a:1:91: headers: expected each name once, `x-a` is that of line 1"),
        ("{send_result: 5}", "a:1:86: send_result: expected true or false, found the number 5"),
    ];
    for (callback, told) in cases {
        let found = faults(&route(callback), Format::Yaml);
        assert_eq!(found, told, "{callback}");
        assert!(!found.contains("hunter2"));
    }
}

#[test]
fn faults_of_the_delivery() {
    let cases = [
        (
            "{allow: ['10.0.0.0/40']}",
            "a:2:21: allow: expected an address, a CIDR block or a host name, such as 10.0.0.0/8, [::1]:8080 or hooks.internal:443",
        ),
        (
            "{signing_secret: hunter2}",
            "a:2:29: signing_secret: expected a secret of at least 24 bytes, found 7; `echo whsec_$(openssl rand -base64 32)` makes one",
        ),
        ("{signing_secret: []}", "a:2:29: signing_secret: expected at least one value, found an empty list"),
        ("{signing_secret: 5}", "a:2:29: signing_secret: expected a text, found a number; put it in quotes"),
        ("{attempts: 0}", "a:2:23: attempts: expected a whole number from 1 to 100, found the number 0"),
        ("{schedule: [1s, 8d]}", "a:2:28: schedule: expected a duration of at most 7d, found the text `8d`"),
        ("{timeout: 10m}", "a:2:22: timeout: expected a duration of at most 5m, found the text `10m`"),
    ];
    for (callbacks, told) in cases {
        assert_eq!(faults(&format!("{ROUTE}callbacks: {callbacks}"), Format::Yaml), told, "{callbacks}");
    }
}
