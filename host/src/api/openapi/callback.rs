//! Owns how a route's callback is written: under the runtime expression that its URL is.
//! Must not resolve expressions.

use super::names::key;
use super::{CallbackDoc, parts};
use serde_json::{Value, json};

/// The request that the client is called with, and what it may answer.
pub fn callbacks(callback: &CallbackDoc, operation_id: &str) -> Value {
    let method = callback.method.to_ascii_lowercase();
    let about = if callback.send_result { "with its result" } else { "without its result" };
    let called = json!({
        "operationId": format!("{operation_id}Ended"),
        "summary": format!("The task has ended; sent once, {about}"),
        "description": "Signed as Standard Webhooks say. Sent again, later and later, until it is answered 2xx or 410.",
        "parameters": [
            field("webhook-id", "The same in every try", "msg_3f2b8c1e"),
            field("webhook-timestamp", "Seconds since 1970", "1786600000"),
            field("webhook-signature", "`v1,` and the HMAC-SHA256 of id, timestamp and body, in base64", "v1,K5oZfzN95Z9U"),
        ],
        "requestBody": {
            "required": true,
            "content": parts::content([callback.content_type.as_str()], &parts::schema_ref("TaskCallback")),
        },
        "responses": {
            "2XX": {"description": "Taken"},
            "410": {"description": "Do not call again"},
            "default": {"description": "Call again later"},
        },
    });
    let mut item = json!({});
    parts::put(&mut item, &method, called);
    let mut by_url = json!({});
    parts::put(&mut by_url, &url_key(&callback.url), item);
    let mut named = json!({});
    parts::put(&mut named, &key(&callback.event), by_url);
    named
}

fn field(name: &str, meaning: &str, example: &str) -> Value {
    json!({
        "name": name,
        "in": "header",
        "required": false,
        "description": meaning,
        "schema": {"type": "string", "examples": [example]},
    })
}

/// A whole expression is embedded, as the keys of a Callback Object ask for.
fn url_key(url: &str) -> String {
    if url.starts_with('$') { format!("{{{url}}}") } else { url.to_owned() }
}
