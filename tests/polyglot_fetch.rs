//! The behaviour `fetch` of the conformance suite: requests to web servers, in every language alike.

use crate::polyglot::Tour;
use serde_json::json;

/// A granted server gets the request as it is meant and its answer arrives; all else is a failure that names the reason.
pub async fn fetch(tour: &Tour) {
    let (web, other) = (&tour.web, &tour.other);
    let seen = tour.gives(json!({"do": "fetch", "url": web.url("/a/%C3%BC?q=1&q=%202#part")})).await;
    assert_eq!(seen["status"], 200, "{seen}");
    assert!(
        seen["body"].as_str().is_some_and(|head| head.starts_with("GET /a/%C3%BC?q=1&q=%202 HTTP/1.1\r\n")),
        "{seen}"
    );
    let seen =
        tour.gives(json!({"do": "fetch", "url": format!("http://{}?q", web.authority), "method": "DELETE"})).await;
    assert!(seen["body"].as_str().is_some_and(|head| head.starts_with("DELETE /?q HTTP/1.1\r\n")), "{seen}");

    for text in [String::new(), "größe \u{1F600} \0\"\r\n".into(), "ß".repeat(100_000)] {
        let headers = json!({"Content-Type": "text/x-tour", "X-Own": "a, b"});
        let input =
            json!({"do": "fetch", "url": web.url("/mirror"), "method": "POST", "headers": headers, "body": text});
        let seen = tour.gives(input).await;
        assert_eq!((&seen["status"], &seen["body"]), (&json!(201), &json!(text)));
        let headers = json!([
            ["content-type", "text/x-tour"],
            ["content-length", text.len().to_string()],
            ["x-two", "a"],
            ["x-two", "b"]
        ]);
        assert_eq!(seen["headers"], headers);
        let head = web.heads().pop().expect("a request");
        assert!(head.starts_with("post /mirror ") && head.contains("\r\nx-own: a, b\r\n"), "{head}");
    }
    let seen = tour.gives(json!({"do": "fetch", "url": web.url("/redirect?/there")})).await;
    assert_eq!(
        (&seen["status"], &seen["body"], &seen["headers"][0]),
        (&json!(302), &json!(""), &json!(["location", "/there"]))
    );

    let before = web.accepted();
    let ipv6 = format!("http://[::1]:{}/", web.port);
    let refused = [
        (json!({"url": other.url("/")}), "HTTP-request-denied"),
        (json!({"url": ipv6, "method": "POST", "body": "x"}), "HTTP-request-denied"),
        (json!({"url": format!("http://{}/", tour.nobody)}), "connection-refused"),
        (json!({"url": "ftp://example.com/"}), "HTTP-request-URI-invalid"),
        (json!({"url": "http:///"}), "HTTP-request-URI-invalid"),
        (json!({"url": web.url("/a b")}), "HTTP-request-URI-invalid"),
        (json!({"url": web.url("/"), "method": "NO WAY"}), "HTTP-request-method-invalid"),
        (json!({"url": web.url("/"), "headers": {"Host": "x"}}), "header-refused"),
        (json!({"url": web.url("/"), "headers": {"x": "a\nb"}}), "header-refused"),
    ];
    for (mut input, reason) in refused {
        input["do"] = json!("fetch");
        let detail = json!({"url": input["url"], "reason": reason});
        tour.refuses(input, &format!("the request failed: {reason}"), detail).await;
    }
    assert_eq!((web.accepted(), other.accepted()), (before, 0));
    for (path, reason) in
        [("/no-http", "HTTP-protocol-error"), ("/latin-1", "body-not-UTF-8"), ("/endless", "HTTP-response-body-size")]
    {
        let detail = json!({"url": web.url(path), "reason": reason});
        tour.refuses(json!({"do": "fetch", "url": web.url(path)}), &format!("the request failed: {reason}"), detail)
            .await;
    }
    let cut = tour.shows(json!({"do": "fetch", "url": web.url("/cut")})).await;
    assert_eq!(cut.text("State"), "Failed", "{cut:?}");
}
