//! Owns what a route's guests are granted beyond the empty sandbox: web servers, variables of the environment, directories.
//! Must not look names up, connect, or open anything.

use crate::guard::{addresses, is_plain_port, plain, special};
use ipnet::IpNet;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use url::Host;

/// What a route grants. By default nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// The web servers that may be asked.
    pub http: Vec<HttpGrant>,
    /// The environment.
    pub env: Vec<Variable>,
    /// The directories.
    pub directories: Vec<Directory>,
}

/// One entry of `grants.http`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpGrant {
    host: Whom,
    ports: Ports,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Whom {
    /// Whoever is on the Internet.
    Anybody,
    /// The names that end in a dot and this.
    Below(String),
    Name(String),
    Addresses(IpNet),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ports {
    /// 80 and 443.
    Web,
    /// Those that web servers use.
    Plain,
    Only(u16),
}

/// A variable of a guest's environment.
#[derive(Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value, which may be a secret: it is shown nowhere.
    pub value: String,
}

impl fmt::Debug for Variable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}=…", self.name)
    }
}

/// A directory that guests may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// Where it is.
    pub path: PathBuf,
    /// Where guests find it.
    pub name: String,
    /// Whether they may change what is in it.
    pub may_write: bool,
}

impl HttpGrant {
    /// Reads `HOST`, `HOST:PORT` or `HOST:*`, where the host is a name, `*.NAME`, `*`, an address or a CIDR block.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected a host and a port, such as api.example.com:443, *.example.com, 127.0.0.1:8080, \
                                [::1]:8080 or 10.0.0.0/8:443";
        if let Some(block) = addresses(text) {
            return Ok(Self { host: Whom::Addresses(block), ports: Ports::Web });
        }
        let (host, ports) = match text.rsplit_once(':') {
            None => (text, Ports::Web),
            Some((host, "*")) => (host, Ports::Plain),
            Some((host, port)) => match port.parse() {
                Ok(port) if port > 0 => (host, Ports::Only(port)),
                _ => return Err(EXPECTED.into()),
            },
        };
        let name = |name: &str| match Host::parse(name) {
            Ok(Host::Domain(found)) if !name.contains(['/', '*']) && !plain(&found).is_empty() => Some(plain(&found)),
            _ => None,
        };
        let host = match (host, host.strip_prefix("*."), addresses(host)) {
            ("*", ..) => Some(Whom::Anybody),
            (_, Some(parent), _) => name(parent).map(Whom::Below),
            (.., Some(block)) => Some(Whom::Addresses(block)),
            _ => match Host::parse(host) {
                // What the URL standard takes for an address in an odd notation is meant as one.
                Ok(Host::Ipv4(address)) => Some(Whom::Addresses(IpAddr::from(address).into())),
                _ => name(host).map(Whom::Name),
            },
        };
        host.map(|host| Self { host, ports }).ok_or_else(|| EXPECTED.into())
    }

    /// Whether everything that the other one grants is granted by this one.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let host = match (&self.host, &other.host) {
            (Whom::Anybody, Whom::Anybody | Whom::Below(_) | Whom::Name(_)) => true,
            (Whom::Below(parent), Whom::Below(below)) => parent == below || self.names(below),
            (_, Whom::Name(name)) => self.names(name),
            (Whom::Addresses(block), Whom::Addresses(part)) => block.contains(part),
            _ => false,
        };
        host && match (self.ports, other.ports) {
            (_, Ports::Only(port)) => self.is_for(port),
            (Ports::Plain, Ports::Web | Ports::Plain) | (Ports::Web, Ports::Web) => true,
            _ => false,
        }
    }

    fn is_for(&self, port: u16) -> bool {
        match self.ports {
            Ports::Web => matches!(port, 80 | 443),
            Ports::Plain => is_plain_port(port),
            Ports::Only(only) => port == only,
        }
    }

    fn names(&self, name: &str) -> bool {
        match &self.host {
            Whom::Anybody => true,
            Whom::Below(parent) => {
                let below = name.strip_suffix(parent.as_str()).and_then(|rest| rest.strip_suffix('.'));
                below.is_some_and(|rest| !rest.is_empty())
            }
            Whom::Name(granted) => name == granted,
            Whom::Addresses(_) => false,
        }
    }

    fn has(&self, address: IpAddr) -> bool {
        matches!(&self.host, Whom::Addresses(block) if block.contains(&address))
    }
}

impl Grants {
    /// Whether this host may be asked at this port, as far as that can be known before its name is looked up.
    #[must_use]
    pub fn may_ask(&self, host: &Host<String>, port: u16) -> bool {
        let mut for_port = self.http.iter().filter(|grant| grant.is_for(port));
        match host {
            Host::Domain(name) => {
                let name = plain(name);
                for_port.any(|grant| grant.names(&name))
            }
            Host::Ipv4(address) => self.may_ask_address((*address).into(), port),
            Host::Ipv6(address) => self.may_ask_address((*address).into(), port),
        }
    }

    fn may_ask_address(&self, address: IpAddr, port: u16) -> bool {
        let is_special = special(address).is_some();
        let names = |grant: &HttpGrant| grant.has(address) || (!is_special && matches!(grant.host, Whom::Anybody));
        self.http.iter().any(|grant| grant.is_for(port) && names(grant))
    }

    /// Whether a granted name may lead to this address: to any on the Internet, to another only if a grant names that.
    #[must_use]
    pub fn may_connect(&self, address: IpAddr, port: u16) -> bool {
        special(address).is_none() || self.http.iter().any(|grant| grant.is_for(port) && grant.has(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn grants(entries: &[&str]) -> Grants {
        let http = entries.iter().map(|entry| HttpGrant::parse(entry).expect(entry)).collect();
        Grants { http, ..Grants::default() }
    }

    fn may_ask(entries: &[&str], host: &str, port: u16) -> bool {
        grants(entries).may_ask(&Host::parse(host).expect(host), port)
    }

    #[test]
    fn a_grant_is_for_its_host_and_port_only() {
        let cases = [
            ("api.example.com:443", "api.example.com", 443, true),
            ("api.example.com:443", "API.Example.COM.", 443, true),
            ("API.example.com:443", "api.example.com", 443, true),
            ("api.example.com:443", "api.example.com", 80, false),
            ("api.example.com:443", "example.com", 443, false),
            ("api.example.com:443", "x.api.example.com", 443, false),
            ("api.example.com:443", "api.example.com.evil.test", 443, false),
            ("api.example.com", "api.example.com", 80, true),
            ("api.example.com", "api.example.com", 443, true),
            ("api.example.com", "api.example.com", 8080, false),
            ("api.example.com:*", "api.example.com", 8080, true),
            ("api.example.com:*", "api.example.com", 22, false),
            ("api.example.com:22", "api.example.com", 22, true),
            ("*.example.com:443", "a.example.com", 443, true),
            ("*.example.com:443", "b.a.example.com", 443, true),
            ("*.example.com:443", "example.com", 443, false),
            ("*.example.com:443", "badexample.com", 443, false),
            ("*.example.com:443", ".example.com", 443, false),
            ("*:443", "anybody.test", 443, true),
            ("*:443", "8.8.8.8", 443, true),
            ("*:443", "127.0.0.1", 443, false),
            ("*", "anybody.test", 8080, false),
            ("127.0.0.1:8080", "127.0.0.1", 8080, true),
            ("127.0.0.1:8080", "0x7f.1", 8080, true),
            ("127.1:8080", "127.0.0.1", 8080, true),
            ("127.0.0.1:8080", "127.0.0.1", 8081, false),
            ("127.0.0.1:8080", "127.0.0.2", 8080, false),
            ("127.0.0.1:8080", "localhost", 8080, false),
            ("127.0.0.1:8080", "[::ffff:127.0.0.1]", 8080, false),
            ("localhost:8080", "127.0.0.1", 8080, false),
            ("10.0.0.0/8:*", "10.1.2.3", 8080, true),
            ("10.0.0.0/8:*", "11.1.2.3", 8080, false),
            ("[::1]:8080", "[::1]", 8080, true),
            ("::1", "[0:0:0:0:0:0:0:1]", 80, true),
            ("8.8.8.8:443", "8.8.4.4", 443, false),
        ];
        for (entry, host, port, expected) in cases {
            if host.starts_with('.') {
                assert!(!grants(&[entry]).may_ask(&Host::Domain(host.into()), port), "{entry} {host}");
                continue;
            }
            assert_eq!(may_ask(&[entry], host, port), expected, "{entry} {host}:{port}");
        }
        assert!(!may_ask(&[], "example.com", 443));
    }

    #[test]
    fn a_grant_covers_no_more_than_it_grants() {
        let covers =
            |one: &str, other: &str| HttpGrant::parse(one).expect(one).covers(&HttpGrant::parse(other).expect(other));
        let covered = [
            ("*", "api.example.com"),
            ("*:*", "api.example.com:8080"),
            ("*:443", "*:443"),
            ("*.example.com", "api.example.com:443"),
            ("*.example.com", "*.a.example.com"),
            ("*.example.com", "*.example.com:80"),
            ("api.example.com:443", "API.example.com:443"),
            ("10.0.0.0/8:*", "10.1.0.0/16:8080"),
            ("api.example.com:*", "api.example.com"),
        ];
        let beyond = [
            ("*", "10.0.0.1"),
            ("*", "8.8.8.8"),
            ("*:443", "api.example.com"),
            ("*.example.com", "example.com"),
            ("*.example.com", "*"),
            ("api.example.com", "*.api.example.com"),
            ("api.example.com", "api.example.com:*"),
            ("api.example.com:443", "api.example.com:80"),
            ("10.1.0.0/16", "10.0.0.0/8"),
            ("api.example.com:*", "api.example.com:22"),
        ];
        assert!(covered.iter().all(|(one, other)| covers(one, other)));
        assert_eq!(beyond.iter().find(|(one, other)| covers(one, other)), None);
    }

    #[test]
    fn a_name_leads_inwards_only_to_addresses_that_are_named() {
        let address = |text: &str| text.parse::<IpAddr>().expect(text);
        let by_name = grants(&["inner.test:8080", "*:*"]);
        assert!(by_name.may_connect(address("8.8.8.8"), 8080));
        for inner in ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"] {
            assert!(!by_name.may_connect(address(inner), 8080), "{inner}");
        }
        let by_address = grants(&["inner.test:8080", "10.0.0.0/8:8080"]);
        assert!(by_address.may_connect(address("10.1.2.3"), 8080));
        assert!(!by_address.may_connect(address("10.1.2.3"), 8081));
        assert!(!by_address.may_connect(address("127.0.0.1"), 8080));
    }

    #[test]
    fn what_is_no_grant_is_refused() {
        let faulty = [
            "",
            ":443",
            "*.",
            "*.*.example.com",
            "a.*.example.com",
            "*example.com",
            "*.127.0.0.1:80",
            "https://api.example.com",
            "api.example.com/path",
            "api.example.com:0",
            "api.example.com:65536",
            "api.example.com:https",
            "user@api.example.com:443",
            "10.0.0.0/33:80",
            "a b:80",
        ];
        for text in faulty {
            assert!(HttpGrant::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn values_of_the_environment_are_not_shown() {
        let grants =
            Grants { env: vec![Variable { name: "TOKEN".into(), value: "secret".into() }], ..Grants::default() };
        let shown = format!("{grants:?}");
        assert!(shown.contains("TOKEN") && !shown.contains("secret"), "{shown}");
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text: String, name: String, port: u16) {
            if let Ok(grant) = HttpGrant::parse(&text) {
                let grants = Grants { http: vec![grant], ..Grants::default() };
                let _ = grants.may_ask(&Host::Domain(name), port);
            }
        }
    }
}
