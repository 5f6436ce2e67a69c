//! Owns how commands talk to a server: where it is, who asks, and what its answers mean for the shell.
//! Must not know what is asked.

use super::Refusal;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client as Http, Method, RequestBuilder, Response};
use serde_json::Value;
use std::io::IsTerminal;
use std::time::Duration;

/// How long a server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// The most bytes of an answer that are read.
const MOST_BYTES: usize = 256 << 20;

/// Which server, and who asks.
#[derive(Debug, clap::Args)]
pub struct Server {
    /// The server's URL [default: $SANDPOOL_URL, else http://127.0.0.1:8080]
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// Asks as this user, by Basic authentication [default: $SANDPOOL_USER]
    #[arg(long, value_name = "NAME:PASSWORD")]
    user: Option<String>,
    /// Asks with this bearer token [default: $SANDPOOL_TOKEN]
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// Sends this header field too, such as an API key [default: the lines of $SANDPOOL_HEADERS]
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
}

/// A server that can be asked.
pub struct Client {
    http: Http,
    base: String,
}

/// An answer that is no error.
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body, as JSON; null without one.
    pub body: Value,
}

impl Server {
    /// A client of this server.
    pub fn client(&self) -> Result<Client, Refusal> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let base = self.server.clone().or_else(|| variable("SANDPOOL_URL"));
        let base = base.unwrap_or_else(|| "http://127.0.0.1:8080".into());
        let parsed = url::Url::parse(&base).map_err(|error| format!("--server: `{base}` is no URL: {error}"))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(format!("--server: `{base}` must begin with http:// or https://").into());
        }
        let mut fields = HeaderMap::new();
        if let Some(user) = self.user.clone().or_else(|| variable("SANDPOOL_USER")) {
            use base64::Engine;
            let basic = base64::prelude::BASE64_STANDARD.encode(user);
            fields.insert(AUTHORIZATION, secret(&format!("Basic {basic}"))?);
        }
        if let Some(token) = self.token.clone().or_else(|| variable("SANDPOOL_TOKEN")) {
            fields.insert(AUTHORIZATION, secret(&format!("Bearer {token}"))?);
        }
        let of_environment = variable("SANDPOOL_HEADERS").unwrap_or_default();
        for line in self.headers.iter().map(String::as_str).chain(of_environment.lines()) {
            let (name, value) = line.split_once(':').ok_or("--header: expected NAME: VALUE")?;
            let name = HeaderName::try_from(name.trim()).map_err(|_| "--header: that is no name of a header field")?;
            fields.insert(name, secret(value.trim())?);
        }
        let http = Http::builder()
            .default_headers(fields)
            .connect_timeout(CONNECT)
            .redirect(reqwest::redirect::Policy::none());
        Ok(Client { http: http.build()?, base: base.trim_end_matches('/').to_owned() })
    }
}

fn secret(text: &str) -> Result<HeaderValue, Refusal> {
    let mut value = HeaderValue::try_from(text).map_err(|_| "credentials hold letters that a header field cannot")?;
    value.set_sensitive(true);
    Ok(value)
}

impl Client {
    /// A request to a path of the server.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = if path.starts_with("http://") || path.starts_with("https://") {
            path.to_owned()
        } else {
            format!("{}{path}", self.base)
        };
        self.http.request(method, url).header("accept", "application/json")
    }

    /// Sends it; whatever the server says.
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, Refusal> {
        request.send().await.map_err(|error| unreachable(&self.base, &error))
    }

    /// Sends it, and reads the answer; an error of the server's is one here.
    pub async fn ask(&self, request: RequestBuilder) -> Result<Answer, Refusal> {
        let mut response = self.send(request).await?;
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| unreachable(&self.base, &error))? {
            if bytes.len() + piece.len() > MOST_BYTES {
                return Err(format!("the server's answer has more than {MOST_BYTES} bytes").into());
            }
            bytes.extend_from_slice(&piece);
        }
        let body: Value = match bytes.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&bytes)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned())),
        };
        if status.is_success() || status.as_u16() == 304 {
            return Ok(Answer { status: status.as_u16(), body });
        }
        Err(refusal(status.as_u16(), &body).into())
    }
}

/// What a problem document says, in lines.
fn refusal(status: u16, body: &Value) -> String {
    let text = |value: &Value, member: &str| value.get(member).and_then(Value::as_str).map(str::to_owned);
    let detail = text(body, "detail").or(body.as_str().map(str::to_owned));
    let detail = detail.unwrap_or_else(|| "the server gives no reason".into());
    let errors = body.get("errors").and_then(Value::as_array).into_iter().flatten().map(|error| {
        let (pointer, message) =
            (text(error, "pointer").unwrap_or_default(), text(error, "detail").unwrap_or_default());
        if pointer.is_empty() { format!("\n  {message}") } else { format!("\n  {pointer}: {message}") }
    });
    format!("{status}: {detail}{}", errors.collect::<String>())
}

fn unreachable(base: &str, error: &reqwest::Error) -> Refusal {
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        words = inner.to_string();
        cause = inner.source();
    }
    Refusal::unreachable(format!("the server at {base} cannot be reached: {words}"))
}

/// A bar on a terminal; nothing elsewhere.
pub fn bar(total: u64, template: &str, is_drawn: bool) -> ProgressBar {
    let is_drawn = is_drawn && std::io::stderr().is_terminal();
    let target = if is_drawn { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(total), target);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// Runs a command that asks a server.
pub fn block_on<T>(asking: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(asking)
}
