//! Owns how a key set gets here: from a file, or over HTTP within narrow limits.
//! Must not know what a key is, nor when to fetch.

use super::settings::{KeySource, KeyUrl};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, Url, header};
use serde::Deserialize;
use std::error::Error;
use std::io::Read;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

/// The most bytes of a key set or of an issuer's description of itself.
const MAX_BYTES: usize = 1 << 20;
const CONNECT_TIME: Duration = Duration::from_secs(3);
const WHOLE_TIME: Duration = Duration::from_secs(5);
const MAX_REDIRECTS: usize = 3;

/// Fetches key sets. The client is made at the first fetch: it reads the system's certificates.
#[derive(Default)]
pub struct Fetcher(OnceLock<Client>);

/// What an issuer says about itself (OpenID Connect Discovery 1.0 §3), as far as it matters here.
#[derive(Deserialize)]
struct Description {
    issuer: String,
    jwks_uri: String,
}

impl Fetcher {
    /// The bytes of a key set.
    ///
    /// # Errors
    /// Why there are none, in words for the log.
    pub async fn fetch(&self, source: &KeySource, issuer: Option<&str>) -> Result<Vec<u8>, String> {
        match source {
            KeySource::Secret(_) => Err("a shared secret is never fetched".into()),
            KeySource::File(path) => {
                let path = path.clone();
                let reading = tokio::task::spawn_blocking(move || read(&path));
                reading.await.map_err(|error| error.to_string())?
            }
            KeySource::Url(url) => self.get(url.url().clone()).await,
            KeySource::Discovery(base) => {
                let text = self.get(base.discovery()).await?;
                let described: Description =
                    serde_json::from_slice(&text).map_err(|_| "the issuer does not describe itself".to_owned())?;
                // §4.3: else one issuer could give tokens in the name of another.
                if issuer.is_some_and(|issuer| issuer != described.issuer) {
                    return Err("the issuer calls itself otherwise than `issuer` does".into());
                }
                let keys = KeyUrl::parse(&described.jwks_uri).map_err(|why| format!("its `jwks_uri`: {why}"))?;
                match base.may_name(&keys) {
                    true => self.get(keys.url().clone()).await,
                    false => Err("its `jwks_uri` is no https URL".into()),
                }
            }
        }
    }

    async fn get(&self, url: Url) -> Result<Vec<u8>, String> {
        let client = self.client()?;
        let mut answer = client.get(url).header(header::ACCEPT, "application/json").send().await.map_err(words)?;
        if answer.status() != http::StatusCode::OK {
            return Err(format!("it answers {}", answer.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(words)? {
            if body.len() + chunk.len() > MAX_BYTES {
                return Err(format!("it is longer than {MAX_BYTES} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn client(&self) -> Result<&Client, String> {
        if let Some(client) = self.0.get() {
            return Ok(client);
        }
        let client = Client::builder()
            .connect_timeout(CONNECT_TIME)
            .timeout(WHOLE_TIME)
            .redirect(Policy::custom(|attempt| match is_same_host(&attempt) {
                true => attempt.follow(),
                false => attempt.error("it redirects to another host, or too often"),
            }))
            .user_agent(concat!("sandpool/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(words)?;
        Ok(self.0.get_or_init(|| client))
    }
}

fn is_same_host(attempt: &Attempt<'_>) -> bool {
    let same = |first: &Url| first.origin() == attempt.url().origin();
    attempt.previous().len() <= MAX_REDIRECTS && attempt.previous().first().is_some_and(same)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(limit).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() > MAX_BYTES { Err(format!("it is longer than {MAX_BYTES} bytes")) } else { Ok(bytes) }
}

/// An error with its causes, without the URL: that may hold a key in its query.
fn words(error: reqwest::Error) -> String {
    let error = error.without_url();
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
