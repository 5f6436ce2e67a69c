//! Owns the HTTP client of callbacks: it connects to addresses that the guard admits, follows nothing, and asks nobody
//! on the way. Must not know what it sends, or what an answer means.

use crate::guard::{Guard, Lookup, Refusal, Resolver};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use std::collections::HashMap;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The longest time to connect.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// How long a connection is kept for the next attempt.
const IDLE_TIME: Duration = Duration::from_secs(10);
/// How many names are looked up at once: each one holds a thread, which cannot be stopped.
const LOOKUPS: usize = 128;
/// The most characters of an error that is kept.
const MAX_WORDS: usize = 300;

/// A client for each port that the allow-list names, and one for all the others: a resolver does not learn the port.
pub struct Clients {
    by_port: HashMap<u16, Client>,
    other: Client,
}

impl Clients {
    /// Clients whose requests take no longer than this.
    ///
    /// # Errors
    /// When the system's certificates cannot be used.
    pub fn new(guard: &Arc<Guard>, timeout: Duration, lookup: &Lookup) -> Result<Self, String> {
        let resolver = Resolver::new(Arc::clone(lookup), LOOKUPS);
        let client = |port: Option<u16>| {
            let (guard, resolver) = (Arc::clone(guard), resolver.clone());
            Client::builder()
                .dns_resolver(Arc::new(Guarded { guard, port, resolver }))
                .redirect(Policy::none())
                .no_proxy()
                .connect_timeout(CONNECT_TIME.min(timeout))
                .timeout(timeout)
                .pool_idle_timeout(IDLE_TIME)
                .pool_max_idle_per_host(1)
                .user_agent(concat!("sandpool/", env!("CARGO_PKG_VERSION")))
                .build()
                .map_err(words)
        };
        let by_port = guard.ports().into_iter().map(|port| Ok((port, client(Some(port))?)));
        Ok(Self { by_port: by_port.collect::<Result<_, String>>()?, other: client(None)? })
    }

    /// The client for a URL.
    pub fn of(&self, url: &Url) -> &Client {
        url.port_or_known_default().and_then(|port| self.by_port.get(&port)).unwrap_or(&self.other)
    }
}

/// A resolver that keeps what must not be called to itself. What it answers is what is connected to, so a name that
/// leads elsewhere a moment later leads nowhere.
struct Guarded {
    guard: Arc<Guard>,
    port: Option<u16>,
    resolver: Resolver,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let (guard, port, resolver) = (Arc::clone(&self.guard), self.port, self.resolver.clone());
        Box::pin(async move {
            let name = name.as_str();
            let found = resolver.addresses(name).await?;
            let (mut admitted, mut refused) = (Vec::new(), None);
            for address in found {
                match guard.admits(name, address, port) {
                    Ok(()) => admitted.push(SocketAddr::new(address, 0)),
                    Err(refusal) => refused = Some(refusal),
                }
            }
            match refused {
                Some(refusal) if admitted.is_empty() => Err(refusal.into()),
                _ => Ok(Box::new(admitted.into_iter()) as Addrs),
            }
        })
    }
}

/// The guard's refusal, if an error is one.
#[must_use]
pub fn refusal(error: &reqwest::Error) -> Option<Refusal> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(refusal) = error.downcast_ref::<Refusal>() {
            return Some(refusal.clone());
        }
        cause = error.source();
    }
    None
}

/// An error with its causes, without the URL: that may hold a secret.
#[must_use]
pub fn words(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let what = if error.is_connect() { "no connection" } else { "no answer" };
    let error = error.without_url();
    let (mut text, mut cause) = (what.to_owned(), error.source());
    while let Some(error) = cause {
        let words = error.to_string();
        // Some say what their cause says.
        if !text.ends_with(&words) {
            text.push_str(&format!(": {words}"));
        }
        cause = error.source();
    }
    text.chars().take(MAX_WORDS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::Allow;
    use std::io;
    use std::net::IpAddr;
    use std::sync::Mutex;

    /// Names as a hostile name server would answer them.
    fn hostile() -> Lookup {
        let turn = Mutex::new(0);
        Arc::new(move |name| {
            let addresses: &[&str] = match name.trim_end_matches('.') {
                "127.0.0.1.nip.test" | "localtest.test" => &["127.0.0.1"],
                "metadata.google.test" => &["169.254.169.254"],
                "inner.test" => &["10.1.2.3", "fd00::1"],
                "mapped.test" => &["::ffff:127.0.0.1"],
                "nat64.test" => &["64:ff9b::7f00:1"],
                "zero.test" => &["0.0.0.0", "::"],
                "mixed.test" => &["127.0.0.1", "8.8.8.8"],
                "rebinding.test" => {
                    let mut turn = turn.lock().expect("a turn");
                    *turn += 1;
                    if *turn % 2 == 1 { &["8.8.8.8"] } else { &["127.0.0.1"] }
                }
                _ => return Err(io::Error::other("no such name")),
            };
            Ok(addresses.iter().map(|address| address.parse().expect("an address")).collect())
        })
    }

    async fn resolved(allow: &[&str], port: Option<u16>, name: &str) -> Result<Vec<IpAddr>, String> {
        let guard = Arc::new(Guard::new(allow.iter().map(|entry| Allow::parse(entry).expect(entry)).collect()));
        let guarded = Guarded { guard, port, resolver: Resolver::new(hostile(), 1) };
        let found = guarded.resolve(name.parse().expect("a name")).await;
        found.map(|found| found.map(|address| address.ip()).collect()).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn names_never_lead_to_forbidden_addresses() {
        let names = [
            "127.0.0.1.nip.test",
            "localtest.test",
            "metadata.google.test",
            "inner.test",
            "mapped.test",
            "nat64.test",
            "zero.test",
        ];
        for name in names {
            let words = resolved(&[], None, name).await.expect_err(name);
            assert!(words.starts_with(&format!("an address of `{name}` is ")), "{words}");
        }
        assert_eq!(resolved(&[], None, "mixed.test").await, Ok(vec!["8.8.8.8".parse().expect("an address")]));
        assert!(resolved(&["inner.test"], None, "inner.test").await.is_ok());
        assert!(resolved(&["inner.test:8443"], None, "inner.test").await.is_err());
        assert!(resolved(&["inner.test:8443"], Some(8443), "inner.test").await.is_ok());
        assert_eq!(resolved(&["10.0.0.0/8"], None, "inner.test").await.map(|found| found.len()), Ok(1));
        assert!(resolved(&[], None, "nobody.test").await.is_err_and(|words| words == "no such name"));
    }

    #[tokio::test]
    async fn a_name_that_changes_is_judged_each_time() {
        let guard = Arc::new(Guard::default());
        let guarded = Guarded { guard, port: None, resolver: Resolver::new(hostile(), 1) };
        for is_admitted in [true, false, true, false] {
            let found = guarded.resolve("rebinding.test".parse().expect("a name")).await;
            assert_eq!(found.is_ok(), is_admitted);
        }
    }

    #[tokio::test]
    async fn a_refusal_is_found_in_the_clients_error() {
        let guard = Arc::new(Guard::default());
        let clients = Clients::new(&guard, Duration::from_secs(5), &hostile()).expect("clients");
        let url = Url::parse("http://inner.test:8080/?token=secret").expect("a URL");
        let error = clients.of(&url).post(url.clone()).send().await.expect_err("refused");
        assert!(refusal(&error).is_some_and(|refusal| refusal.0.contains("inner.test")), "{error:?}");
        assert!(!words(error).contains("secret"));
    }
}
