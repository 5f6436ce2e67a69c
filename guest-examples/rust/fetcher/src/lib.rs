//! Asks a web server and answers with what that said: `{"url": "https://api.example.com/x", "method": "GET",
//! "headers": {"Accept": "text/plain"}, "body": "…"}`, all but the URL optional. The route must grant the server:
//! `grants: {http: ["api.example.com:443"]}`. Any other is denied before a packet is sent.
//!
//! The host follows no redirects; this component does, up to five of them, and each is checked like the first.

use serde_json::{Map, Value, json};

wit_bindgen::generate!({
    path: ["../../../wit", "wit"],
    world: "example:fetcher/fetcher",
    generate_all,
});

use wasi::http::outgoing_handler;
use wasi::http::types::{ErrorCode, Fields, IncomingResponse, Method, OutgoingBody, OutgoingRequest, Scheme};
use wasi::io::streams::StreamError;

/// Redirects that are followed.
const REDIRECTS: usize = 5;
/// Bytes of one read, and of one write.
const READ: u64 = 64 * 1024;
const WRITE: usize = 4096;

struct Fetcher;

export!(Fetcher);

/// What to ask.
struct Question {
    url: Url,
    method: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
}

/// A URL in its parts.
struct Url {
    scheme: Scheme,
    authority: String,
    path: String,
}

impl Guest for Fetcher {
    fn run(args: Args, _state: State) -> Result<String, Failure> {
        let mut question = question(&args.input)?;
        for _ in 0..=REDIRECTS {
            let response = ask(&question)?;
            match redirect(&question, &response) {
                Some(url) => question.url = url,
                None => return answer(&question.url, &response),
            }
        }
        Err(failure(format!("more than {REDIRECTS} redirects"), "redirects"))
    }
}

fn question(input: &str) -> Result<Question, Failure> {
    let input: Value = serde_json::from_str(input).unwrap_or(Value::Null);
    let text = |name: &str| input.get(name).and_then(Value::as_str).map(str::to_owned);
    let url = text("url").ok_or_else(|| failure("url must be a text", "url"))?;
    let headers = input.get("headers").and_then(Value::as_object).into_iter().flatten();
    Ok(Question {
        url: Url::parse(&url).ok_or_else(|| failure("url must begin with http:// or https://", "url"))?,
        method: text("method").unwrap_or_else(|| "GET".into()),
        headers: headers.map(|(name, value)| (name.clone(), value.as_str().unwrap_or("").to_owned())).collect(),
        body: text("body"),
    })
}

/// Sends the request and waits for the head of the response.
fn ask(question: &Question) -> Result<IncomingResponse, Failure> {
    let headers = Fields::new();
    for (name, value) in &question.headers {
        let added = headers.append(name, value.as_bytes());
        added.map_err(|error| failure(format!("the header field {name} is refused: {error:?}"), "headers"))?;
    }
    if let Some(body) = &question.body {
        let _ = headers.append("content-length", body.len().to_string().as_bytes());
    }
    let request = OutgoingRequest::new(headers);
    let set = request
        .set_method(&method(&question.method))
        .and_then(|()| request.set_scheme(Some(&question.url.scheme)))
        .and_then(|()| request.set_authority(Some(&question.url.authority)))
        .and_then(|()| request.set_path_with_query(Some(&question.url.path)));
    set.map_err(|()| failure("the method or the URL is refused", "url"))?;
    // The host takes the body while it sends; a request that is not sent takes none.
    let body = question.body.as_ref().and_then(|text| Some((request.body().ok()?, text)));
    let asked = outgoing_handler::handle(request, None).map_err(|error| refused(&question.url, &error))?;
    if let Some((body, text)) = body {
        // When the server does not want it, the response says why.
        let _ = write(body, text.as_bytes());
    }
    loop {
        if let Some(answered) = asked.get() {
            let answered = answered.map_err(|()| failure("the response was taken already", "url"))?;
            return answered.map_err(|error| refused(&question.url, &error));
        }
        asked.subscribe().block();
    }
}

fn write(body: OutgoingBody, bytes: &[u8]) -> Result<(), ()> {
    let stream = body.write()?;
    for chunk in bytes.chunks(WRITE) {
        stream.blocking_write_and_flush(chunk).map_err(drop)?;
    }
    drop(stream);
    OutgoingBody::finish(body, None).map_err(drop)
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "OPTIONS" => Method::Options,
        "PATCH" => Method::Patch,
        other => Method::Other(other.into()),
    }
}

/// Where the response sends to, if the request may go there without asking anybody.
fn redirect(question: &Question, response: &IncomingResponse) -> Option<Url> {
    if !matches!(response.status(), 301 | 302 | 303 | 307 | 308) || !matches!(question.method.as_str(), "GET" | "HEAD")
    {
        return None;
    }
    let location = response.headers().get("location").into_iter().next()?;
    let location = String::from_utf8(location).ok()?;
    match location.starts_with('/') && !location.starts_with("//") {
        true => {
            Some(Url { scheme: question.url.scheme.clone(), authority: question.url.authority.clone(), path: location })
        }
        false => Url::parse(&location),
    }
}

/// The result: what the server said.
fn answer(url: &Url, response: &IncomingResponse) -> Result<String, Failure> {
    let headers: Map<String, Value> = response
        .headers()
        .entries()
        .into_iter()
        .map(|(name, value)| (name, Value::from(String::from_utf8_lossy(&value).into_owned())))
        .collect();
    let body = response.consume().and_then(|body| body.stream().map(|stream| (body, stream)));
    let (_body, stream) = body.map_err(|()| failure("the response has no body", "body"))?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(READ) {
            Ok(read) => bytes.extend(read),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(error)) => return Err(failure(error.to_debug_string(), "body")),
        }
    }
    let body = String::from_utf8_lossy(&bytes);
    Ok(json!({ "url": url.to_string(), "status": response.status(), "headers": headers, "body": body }).to_string())
}

impl Url {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
            (Some(rest), _) => (Scheme::Http, rest),
            (None, Some(rest)) => (Scheme::Https, rest),
            (None, None) => return None,
        };
        let rest = rest.split('#').next().unwrap_or("");
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Some(Self { scheme, authority: authority.to_owned(), path })
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if matches!(self.scheme, Scheme::Https) { "https" } else { "http" };
        write!(formatter, "{scheme}://{}{}", self.authority, self.path)
    }
}

fn refused(url: &Url, error: &ErrorCode) -> Failure {
    let error = format!("{error:?}").replace("ErrorCode::", "");
    Failure {
        message: format!("no answer from {}: {error}", url.authority),
        detail: Some(json!({ "error": error, "url": url.to_string() }).to_string()),
    }
}

fn failure(message: impl Into<String>, field: &str) -> Failure {
    Failure { message: message.into(), detail: Some(json!({ "field": field }).to_string()) }
}
