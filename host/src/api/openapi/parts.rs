//! Owns the small parts that operations share: references, contents, headers, parameters, and problem responses.
//! Must not know routes.

use serde_json::{Map, Value, json};

/// Media types of problems, in each format.
const PROBLEM_TYPES: [&str; 3] = ["application/problem+json", "application/problem+xml", "application/problem+yaml"];

/// Every problem that operations name: status, key, meaning, the header fields that come with it.
const PROBLEMS: [(u16, &str, &str, &[&str]); 12] = [
    (400, "BadRequest", "The request is malformed; a body's fault has its line and column", &[]),
    (401, "Unauthorized", "Credentials are missing or wrong", &["WWW-Authenticate"]),
    (403, "Forbidden", "The caller is known but may not do this", &[]),
    (404, "NotFound", "There is no such task, or the caller may not see it", &[]),
    (406, "NotAcceptable", "None of the media types that `Accept` allows is offered", &[]),
    (409, "Conflict", "The generated id exists, or the callback cannot be sent now", &[]),
    (410, "Gone", "The task has ended already", &[]),
    (413, "ContentTooLarge", "The body is larger than this server reads", &[]),
    (415, "UnsupportedMediaType", "Bodies of this type are not read", &[]),
    (423, "Locked", "The route does not let its tasks be stopped", &[]),
    (429, "TooManyRequests", "A queue, quota or rate limit is full; nothing was stored", &["Retry-After"]),
    (503, "ServiceUnavailable", "The host is shutting down, or its store does not answer", &["Retry-After"]),
];
/// Apart from those, because its name is the longest.
const UNPROCESSABLE: (u16, &str, &str) = (
    422,
    "UnprocessableContent",
    "The input does not match the route's schema, the callback's URL is refused, or the `Idempotency-Key` was used with another payload",
);

/// Puts a value under a key of an object.
pub fn put(into: &mut Value, key: &str, value: Value) {
    if let Some(fields) = into.as_object_mut() {
        fields.insert(key.to_owned(), value);
    }
}

/// A reference to a schema of the document.
pub fn schema_ref(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// A reference to a parameter of the document.
pub fn parameter_ref(name: &str) -> Value {
    json!({"$ref": format!("#/components/parameters/{name}")})
}

/// A reference to a header of the document.
pub fn header_ref(name: &str) -> Value {
    json!({"$ref": format!("#/components/headers/{name}")})
}

/// A body of one schema in each of these media types.
pub fn content<'a>(types: impl IntoIterator<Item = &'a str>, schema: &Value) -> Value {
    Value::Object(types.into_iter().map(|name| (name.to_owned(), json!({"schema": schema}))).collect())
}

/// The responses of an operation: what succeeds, these problems, and `default` for every other.
pub fn responses(successes: Vec<(&str, Value)>, problems: &[u16]) -> Value {
    let mut found: Map<String, Value> =
        successes.into_iter().map(|(status, response)| (status.to_owned(), response)).collect();
    let known = PROBLEMS.iter().map(|(status, key, ..)| (*status, *key)).chain([(UNPROCESSABLE.0, UNPROCESSABLE.1)]);
    for (status, key) in known.filter(|(status, _)| problems.contains(status)) {
        found.insert(status.to_string(), json!({"$ref": format!("#/components/responses/{key}")}));
    }
    found.insert("default".into(), json!({"$ref": "#/components/responses/OtherProblem"}));
    Value::Object(found)
}

/// `components/responses`
pub fn problems() -> Value {
    let response = |status: Option<(u16, &str)>, meaning: &str, fields: &[&str]| {
        let mut body = content(PROBLEM_TYPES, &schema_ref("Problem"));
        if let (Some((status, key)), Some(types)) = (status, body.as_object_mut()) {
            let example = json!({"title": words(key), "status": status, "detail": format!("{meaning}.")});
            types.values_mut().for_each(|one| put(one, "example", example.clone()));
        }
        let mut response = json!({"description": meaning, "content": body});
        if !fields.is_empty() {
            let headers: Map<String, Value> =
                fields.iter().map(|name| ((*name).to_owned(), header_ref(&name.replace('-', "")))).collect();
            put(&mut response, "headers", Value::Object(headers));
        }
        response
    };
    let (status, key, meaning) = UNPROCESSABLE;
    let known = PROBLEMS.iter().copied().chain([(status, key, meaning, &[][..])]);
    let mut found: Map<String, Value> = known
        .map(|(status, key, meaning, fields)| (key.to_owned(), response(Some((status, key)), meaning, fields)))
        .collect();
    found.insert("OtherProblem".into(), response(None, "Any other problem", &[]));
    Value::Object(found)
}

/// `Not Found` of `NotFound`.
fn words(key: &str) -> String {
    let spaced = key.chars().flat_map(|c| c.is_ascii_uppercase().then_some(' ').into_iter().chain([c]));
    spaced.collect::<String>().trim_start().to_owned()
}

/// `components/headers`
pub fn headers() -> Value {
    let text = |meaning: &str, example: &str| json!({"description": meaning, "schema": {"type": "string", "examples": [example]}});
    json!({
        "Location": {
            "description": "Where to get the task",
            "schema": {
                "type": "string",
                "format": "uri-reference",
                "examples": ["http://localhost:8080/tasks/3f2b8c1e-6f0a-4c55-9d0e-0b7a3f1c9a11"],
            },
        },
        "RetryAfter": {
            "description": "Seconds to wait before the next try",
            "schema": {"type": "integer", "minimum": 0, "examples": [1]},
        },
        "PreferenceApplied": text("The preference that was followed (RFC 7240)", "wait=10"),
        "ETag": text("The version of what was answered, for `If-None-Match`", "\"7d1a\""),
        "Link": text("The next page (RFC 8288), if there is one", "</tasks/query?page=abc>; rel=\"next\""),
        "WWWAuthenticate": text("How to authenticate (RFC 9110)", "Basic realm=\"sandpool\""),
    })
}

/// `components/parameters`
pub fn parameters() -> Value {
    let header = |name: &str, meaning: &str, schema: Value| json!({"name": name, "in": "header", "description": meaning, "required": false, "schema": schema});
    let query = |name: &str, meaning: &str, schema: Value| json!({"name": name, "in": "query", "description": meaning, "required": false, "schema": schema});
    json!({
        "Prefer": header(
            "Prefer",
            "`wait=N` waits up to N seconds for the task's end, and answers 200 if it comes (RFC 7240)",
            json!({"type": "string", "examples": ["wait=10", "respond-async"]}),
        ),
        "IdempotencyKey": header(
            "Idempotency-Key",
            "Makes a retry safe: the same key, caller and payload gives the first task again",
            json!({"type": "string", "minLength": 1, "maxLength": 255, "examples": ["8e03978e-40d5-43dd-bc93-6894a57f9324"]}),
        ),
        "IfNoneMatch": header(
            "If-None-Match",
            "The `ETag` of an earlier answer: 304 if it still holds",
            json!({"type": "string", "examples": ["\"7d1a\""]}),
        ),
        "LastEventId": header(
            "Last-Event-ID",
            "Resumes after this event",
            json!({"type": "string", "examples": ["42"]}),
        ),
        "Wait": query(
            "wait",
            "Seconds to wait for the task's end, 300 at most",
            json!({"type": "integer", "minimum": 0, "maximum": u32::MAX, "examples": [10]}),
        ),
        "Limit": query(
            "limit",
            "How many tasks a page has",
            json!({"type": "integer", "minimum": 1, "maximum": 1000, "default": 100, "examples": [20]}),
        ),
        "Page": query(
            "page",
            "The token of the `Link` header, which leads to the next page",
            json!({"type": "string"}),
        ),
    })
}
