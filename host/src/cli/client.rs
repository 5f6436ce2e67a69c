//! Owns how commands talk to a server: where it is, who asks, and what its answers mean for the shell.
//! Must not know what is asked.

use super::{Ending, Refusal};
use crate::task::log::Line;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Client as Http, Method, RequestBuilder, Response};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;
use url::Url;

/// How long a server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a server may take for a whole answer, beside what the request itself asks it to wait.
pub const ANSWER: Duration = Duration::from_secs(60);
/// The most bytes of an answer that are read: beyond any result (8 MiB) and any page of a query.
pub const MOST_BYTES: usize = 64 << 20;

/// Which server, and who asks.
#[derive(clap::Args)]
pub struct Server {
    /// The server's URL [default: $SANDPOOL_URL, else http://127.0.0.1:8080]
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// Asks as this user, by Basic authentication [default: $SANDPOOL_USER]
    #[arg(long, value_name = "NAME:PASSWORD", conflicts_with = "token")]
    user: Option<String>,
    /// Asks with this bearer token [default: $SANDPOOL_TOKEN]
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// Sends this header field too, such as an API key [default: the lines of $SANDPOOL_HEADERS]
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// For whoever manages several tenants: which one deploy, plugins and routes are about [default: $SANDPOOL_TENANT]
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
}

/// Credentials stay out of whatever prints the arguments.
impl std::fmt::Debug for Server {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Server").finish_non_exhaustive()
    }
}

/// A server that can be asked.
pub struct Client {
    http: Http,
    base: Url,
    tenant: Option<String>,
}

/// An answer that is no error.
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body, as the server wrote it.
    pub text: String,
}

impl Answer {
    /// The body, from JSON.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        serde_json::from_str(&self.text).map_err(|error| {
            format!("the answer is not what Sandpool would say: {error}; which server is that?").into()
        })
    }

    /// A header field.
    pub fn field(&self, name: impl reqwest::header::AsHeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// A variable of the environment that says something.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Server {
    /// A client of this server.
    pub fn client(&self) -> Result<Client, Refusal> {
        let base = self.server.clone().or_else(|| variable("SANDPOOL_URL"));
        let base = base_url(&base.unwrap_or_else(|| "http://127.0.0.1:8080".into()))?;
        let http = Http::builder()
            .user_agent(concat!("sandpool/", env!("CARGO_PKG_VERSION")))
            .default_headers(self.fields()?)
            .connect_timeout(CONNECT)
            .redirect(reqwest::redirect::Policy::none());
        Ok(Client { http: http.build()?, base, tenant: self.tenant.clone().or_else(|| variable("SANDPOOL_TENANT")) })
    }

    /// What the command line says counts; what it leaves open, the environment says.
    fn fields(&self) -> Result<HeaderMap, Refusal> {
        let mut fields = HeaderMap::new();
        let of_environment = variable("SANDPOOL_HEADERS").unwrap_or_default();
        let lines = of_environment.lines().filter(|line| !line.trim().is_empty());
        for line in lines.chain(self.headers.iter().map(String::as_str)) {
            let (name, value) = line.split_once(':').ok_or("--header: expected NAME: VALUE")?;
            let name = HeaderName::try_from(name.trim()).map_err(|_| "--header: that is no name of a header field")?;
            fields.insert(name, secret(value.trim())?);
        }
        let (user, token) = match (&self.user, &self.token) {
            (None, None) => (variable("SANDPOOL_USER"), variable("SANDPOOL_TOKEN")),
            of_arguments => (of_arguments.0.clone(), of_arguments.1.clone()),
        };
        match (user, token) {
            (Some(_), Some(_)) => return Err("SANDPOOL_USER and SANDPOOL_TOKEN are both set: expected one".into()),
            (Some(user), None) if !user.contains(':') => return Err("--user: expected NAME:PASSWORD".into()),
            (Some(user), None) => {
                fields.insert(AUTHORIZATION, secret(&format!("Basic {}", BASE64_STANDARD.encode(user)))?);
            }
            (None, Some(token)) => {
                fields.insert(AUTHORIZATION, secret(&format!("Bearer {token}"))?);
            }
            (None, None) => {}
        }
        Ok(fields)
    }
}

/// The server's URL, with a path that ends without a slash. It is not shown before it is known to hold no password.
fn base_url(text: &str) -> Result<Url, Refusal> {
    let mut base = Url::parse(text).map_err(|error| format!("--server: that is no URL: {error}"))?;
    if !matches!(base.scheme(), "http" | "https") {
        return Err("--server: expected a URL that begins with http:// or https://".into());
    }
    if !base.username().is_empty() || base.password().is_some() {
        return Err("--server: expected a URL without credentials: give them by --user or SANDPOOL_USER".into());
    }
    if base.query().is_some() || base.fragment().is_some() {
        return Err(format!("--server: {base}: expected a URL without `?` and `#`").into());
    }
    let path = base.path().trim_end_matches('/').to_owned();
    base.set_path(&path);
    Ok(base)
}

fn secret(text: &str) -> Result<HeaderValue, Refusal> {
    let mut value = HeaderValue::try_from(text).map_err(|_| "credentials hold letters that a header field cannot")?;
    value.set_sensitive(true);
    Ok(value)
}

impl Client {
    /// A request to a path of the server, to be answered within [`ANSWER`].
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.endless(method, path).header("accept", "application/json").timeout(ANSWER);
        match self.tenant.as_ref().filter(|_| path.starts_with("/-/")) {
            Some(tenant) => request.query(&[("tenant", tenant)]),
            None => request,
        }
    }

    /// A request whose answer may go on.
    pub fn endless(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base.as_str().trim_end_matches('/')))
    }

    /// A place that the server named, as a path here: nothing is ever sent to another host, which would get the
    /// credentials.
    pub fn path_of(&self, place: &str) -> String {
        let Ok(url) = Url::parse(place) else { return place.to_owned() };
        let path = url.path();
        let prefix = self.base.path().trim_end_matches('/');
        let path = path.strip_prefix(prefix).filter(|rest| rest.starts_with('/')).unwrap_or(path);
        format!("{path}{}", url.query().map(|query| format!("?{query}")).unwrap_or_default())
    }

    /// A URL that somebody typed, as a path here.
    pub fn own_path(&self, place: &str) -> Result<String, Refusal> {
        let url = Url::parse(place).map_err(|error| format!("{place} is no URL: {error}"))?;
        if url.origin() != self.base.origin() {
            return Err(format!("that is not at the server {}: name its server by --server", self.base).into());
        }
        Ok(self.path_of(place))
    }

    /// Sends it; whatever the server says.
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, Refusal> {
        request.send().await.map_err(|error| self.unreachable(&error))
    }

    /// Sends it, and reads the answer; an error of the server's is one here.
    pub async fn ask(&self, request: RequestBuilder) -> Result<Answer, Refusal> {
        let response = self.send(request).await?;
        self.read(response).await
    }

    /// The answer; an error of the server's is one here.
    pub async fn read(&self, mut response: Response) -> Result<Answer, Refusal> {
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
            if bytes.len() + piece.len() > MOST_BYTES {
                return Err(format!("the server's answer has more than {MOST_BYTES} bytes").into());
            }
            bytes.extend_from_slice(&piece);
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let answer = Answer { status: status.as_u16(), headers: response.headers().clone(), text };
        if status.is_success() || status.as_u16() == 304 { Ok(answer) } else { Err(refusal(&answer)) }
    }

    fn unreachable(&self, error: &reqwest::Error) -> Refusal {
        if error.is_builder() {
            return format!("the request cannot be made: {}", innermost(error)).into();
        }
        Refusal::unreachable(format!("the server at {} cannot be reached: {}", self.base, innermost(error)))
    }

    /// The connection is gone.
    pub fn lost(&self, why: impl std::fmt::Display) -> Refusal {
        Refusal::unreachable(format!("the connection to the server at {} is lost: {why}", self.base))
    }
}

/// Why it failed in the end.
pub fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(inner) = error.source() {
        error = inner;
    }
    error.to_string()
}

/// What a problem document says, in lines. A server that cannot serve now counts as one that cannot be reached.
fn refusal(answer: &Answer) -> Refusal {
    let body: Value = serde_json::from_str(&answer.text).unwrap_or(Value::Null);
    let text = |value: &Value, member: &str| value.get(member).and_then(Value::as_str).map(str::to_owned);
    let detail = text(&body, "detail").unwrap_or_else(|| match answer.field(LOCATION) {
        Some(elsewhere) => format!("the server sends you to {elsewhere}: name it by --server"),
        None => "the server gives no reason".into(),
    });
    let errors = body.get("errors").and_then(Value::as_array).into_iter().flatten().map(|error| {
        let (pointer, message) =
            (text(error, "pointer").unwrap_or_default(), text(error, "detail").unwrap_or_default());
        if pointer.is_empty() { format!("\n  {message}") } else { format!("\n  {pointer}: {message}") }
    });
    let words = Line::cut(format!("{}: {detail}{}", answer.status, errors.collect::<String>()));
    match answer.status {
        502..=504 => Refusal::unreachable(words),
        _ => Refusal { words, ending: Ending::Usage },
    }
}

/// Runs a command that asks a server.
pub fn block_on<T>(asking: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(asking)
}
