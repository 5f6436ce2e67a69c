//! Queries: where they may stand, what is no query, and page by page.

use crate::support::{Server, component, ids};
use serde_json::json;

#[tokio::test]
async fn the_query_may_stand_in_body_parameter_or_header_and_is_paged() {
    let routes = format!("routes:\n  - {{method: PUT, path: /m, component: {}}}\n", component("misbehaving.wasm"));
    let server = Server::start(&routes).await;
    for number in 0..25 {
        let input = if number % 5 == 0 { json!({"mode": "fail"}) } else { json!({"mode": "sleep-ms", "ms": 1}) };
        server.run("/m", input).await;
    }
    let failed = json!({"State": {"op": "EQ", "value": "Failed"}});
    let text = failed.to_string();
    let encoded = percent_encoding::utf8_percent_encode(&text, percent_encoding::NON_ALPHANUMERIC);
    let body = |content_type: &str, text: &'static str| {
        server.request("POST", "/tasks/query").header("Content-Type", content_type).body(text)
    };
    let requests = [
        server.request("POST", "/tasks/query").json(&failed),
        server.request("QUERY", "/tasks/query").json(&failed),
        body("application/yaml", "State: {op: EQ, value: Failed}"),
        body("application/xml", "<q><State><op>EQ</op><value>Failed</value></State></q>"),
        server.request("GET", &format!("/tasks/query?query={encoded}")),
        server.request("GET", "/tasks/query").header("query", &text),
        server.request("GET", "/tasks/query?filter[State][op]=EQ&filter[State][value]=Failed"),
        server.request("GET", "/tasks/query?filter%5BState%5D%5Bop%5D=eq&filter%5BState%5D%5Bvalue%5D=failed"),
    ];
    let mut answers = Vec::new();
    for request in requests {
        answers.push(server.send(200, request).await);
    }
    for answer in &answers {
        assert_eq!(ids(answer), ids(&answers[0]));
        assert_eq!(ids(answer).len(), 5);
    }
    let (mut path, mut seen) = ("/tasks/query?limit=7&order=-CreationTime".to_owned(), Vec::new());
    loop {
        let page = server.get(200, &path).await;
        seen.extend(ids(&page));
        let Some(next) = page.header("link").strip_prefix('<').and_then(|link| link.split_once(">; rel=\"next\""))
        else {
            break;
        };
        path = next.0.to_owned();
    }
    assert_eq!((seen.len(), seen.iter().collect::<std::collections::HashSet<_>>().len()), (25, 25));
    for (document, words) in [
        (json!({"Colour": {"op": "EQ", "value": "x"}}), "Colour"),
        (json!({"State": {"op": "GT", "value": "Failed"}}), "State"),
        (json!({"Progress": {"op": "LIKE", "value": 1}}), "Progress"),
        (json!({"Name": {"op": "IS", "value": "x"}}), "IS"),
        (json!([]), "query"),
    ] {
        let refused = server.send(400, server.request("POST", "/tasks/query").json(&document)).await;
        assert!(refused.text("detail").contains(words), "{refused:?}");
    }
    assert!(server.get(400, "/tasks/query?page=nonsense").await.text("detail").contains("page token"));
    assert!(server.get(400, "/tasks/query?limit=0").await.text("detail").contains("1 to 1000"));
}
