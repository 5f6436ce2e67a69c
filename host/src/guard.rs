//! Owns which addresses and ports the host may connect to on behalf of others: what is globally reachable unicast, and
//! what the configuration names. Must not connect, or know what is sent.

mod lookup;

pub use lookup::{Lookup, Resolver, system_lookup};

use ipnet::IpNet;
use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use url::{Host, Url};

/// Ports from 1024 on that the Fetch Standard (§2.9, "port blocking") keeps web pages from.
const BLOCKED: [u16; 20] = [
    1719,
    1720,
    1723,
    2049,
    3659,
    4045,
    4190,
    5060,
    5061,
    6000,
    6566,
    6665,
    6666,
    6667,
    6668,
    6669,
    6679,
    6697,
    10080,
    u16::MAX,
];

/// IPv4 blocks of the IANA special-purpose registry that are no ordinary hosts on the Internet.
const SPECIAL_V4: [([u8; 4], u8, &str); 16] = [
    ([0, 0, 0, 0], 8, "an address of this network"),
    ([10, 0, 0, 0], 8, "a private address"),
    ([100, 64, 0, 0], 10, "a shared address of carriers"),
    ([127, 0, 0, 0], 8, "a loopback address"),
    ([169, 254, 0, 0], 16, "a link-local address"),
    ([172, 16, 0, 0], 12, "a private address"),
    ([192, 0, 0, 0], 24, "an address of protocols"),
    ([192, 0, 2, 0], 24, "an address for documentation"),
    ([192, 88, 99, 0], 24, "an address of 6to4 relays"),
    ([192, 168, 0, 0], 16, "a private address"),
    ([198, 18, 0, 0], 15, "an address for benchmarks"),
    ([198, 51, 100, 0], 24, "an address for documentation"),
    ([203, 0, 113, 0], 24, "an address for documentation"),
    ([224, 0, 0, 0], 4, "a multicast address"),
    ([255, 255, 255, 255], 32, "the broadcast address"),
    ([240, 0, 0, 0], 4, "a reserved address"),
];

/// IPv6 blocks, those within others first. What is in none of them and not in 2000::/3 is nobody's.
const SPECIAL_V6: [([u16; 4], u8, &str); 12] = [
    ([0x64, 0xff9b, 1, 0], 48, "an address of a local NAT64"),
    ([0x100, 0, 0, 0], 64, "a discarded address"),
    ([0x2001, 0, 0, 0], 32, "a Teredo address"),
    ([0x2001, 0, 0, 0], 23, "an address of protocols"),
    ([0x2001, 0xdb8, 0, 0], 32, "an address for documentation"),
    ([0x2002, 0, 0, 0], 16, "a 6to4 address"),
    ([0x3fff, 0, 0, 0], 20, "an address for documentation"),
    ([0x5f00, 0, 0, 0], 16, "an address of segment routing"),
    ([0xfc00, 0, 0, 0], 7, "a private address"),
    ([0xfe80, 0, 0, 0], 10, "a link-local address"),
    ([0xfec0, 0, 0, 0], 10, "a site-local address"),
    ([0xff00, 0, 0, 0], 8, "a multicast address"),
];

/// What of an address must not be called; `None`: it is an ordinary host on the Internet.
#[must_use]
pub fn special(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    }
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    let bits = address.to_bits();
    let within = |block: &&([u8; 4], u8, &str)| {
        let shift = 32 - u32::from(block.1);
        bits.checked_shr(shift) == Ipv4Addr::from(block.0).to_bits().checked_shr(shift)
    };
    SPECIAL_V4.iter().find(within).map(|(.., what)| *what)
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    let bits = address.to_bits();
    let embedded = || Ipv4Addr::from_bits((bits & u128::from(u32::MAX)) as u32);
    match bits {
        0 => return Some("the unspecified address"),
        1 => return Some("a loopback address"),
        _ if bits >> 32 == 0xffff => return Some("an IPv4 address in IPv6 form"),
        _ if bits >> 32 == 0 => return Some("an IPv4 address in IPv6 form"),
        // RFC 6052: the network translates it, so it is what the IPv4 address in it is.
        _ if bits >> 32 == 0x0064_ff9b << 64 => return special_v4(embedded()),
        _ => {}
    }
    let within = |block: &&([u16; 4], u8, &str)| {
        let [a, b, c, d] = block.0;
        let shift = 128 - u32::from(block.1);
        bits >> shift == Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).to_bits() >> shift
    };
    let named = SPECIAL_V6.iter().find(within).map(|(.., what)| *what);
    named.or_else(|| (bits >> 125 != 1).then_some("a reserved address"))
}

/// Whether a port is one that web servers use: 80, 443, and those from 1024 on that no other protocol owns.
#[must_use]
pub fn is_plain_port(port: u16) -> bool {
    matches!(port, 80 | 443) || (port >= 1024 && !BLOCKED.contains(&port))
}

/// One entry of `callbacks.allow`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allow {
    who: Who,
    /// Only this port, which may then be any; `None`: the ports that are allowed anyway.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Who {
    Addresses(IpNet),
    Host(String),
}

impl Allow {
    /// Reads an address, a CIDR block or a host name, each with a port or without: `10.0.0.0/8`, `[::1]:8080`, `hooks.internal:443`.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        const EXPECTED: &str =
            "expected an address, a CIDR block or a host name, such as 10.0.0.0/8, [::1]:8080 or hooks.internal:443";
        if let Some(addresses) = addresses(text) {
            return Ok(Self { who: Who::Addresses(addresses), port: None });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse::<u16>().map_err(|_| EXPECTED)?)),
            None => (text, None),
        };
        if port == Some(0) {
            return Err(EXPECTED.into());
        }
        if let Some(addresses) = addresses(host) {
            return Ok(Self { who: Who::Addresses(addresses), port });
        }
        match Host::parse(host) {
            // What the URL standard takes for an address in an odd notation is meant as one.
            Ok(Host::Ipv4(address)) => Ok(Self { who: Who::Addresses(IpAddr::from(address).into()), port }),
            Ok(Host::Domain(name)) if !host.contains(['/', '*']) => Ok(Self { who: Who::Host(plain(&name)), port }),
            _ => Err(EXPECTED.into()),
        }
    }

    /// Whether it is about this host, or this address of it.
    fn names(&self, host: &str, address: Option<IpAddr>) -> bool {
        match &self.who {
            Who::Addresses(block) => address.is_some_and(|address| block.contains(&address)),
            Who::Host(name) => name == host,
        }
    }
}

/// An address or a block, in brackets or not.
#[must_use]
pub fn addresses(text: &str) -> Option<IpNet> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse::<IpNet>().ok().map(|block| block.trunc()).or_else(|| bare.parse::<IpAddr>().ok().map(IpNet::from))
}

/// A name as it is compared: in lower case, without the dot at its end.
#[must_use]
pub fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// Why something is not called, in words for whoever named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(pub String);

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

/// What may be called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Guard {
    allow: Vec<Allow>,
}

impl Guard {
    /// The Internet, and what these entries name.
    #[must_use]
    pub fn new(allow: Vec<Allow>) -> Self {
        Self { allow }
    }

    /// The ports that entries name: others are judged alike.
    #[must_use]
    pub fn ports(&self) -> BTreeSet<u16> {
        self.allow.iter().filter_map(|entry| entry.port).collect()
    }

    /// Refuses what needs no lookup to be refused: schemes, credentials, ports, literal addresses and names of this machine.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn check(&self, url: &Url) -> Result<(), Refusal> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refusal("expected an http or https URL".into()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refusal("expected a URL without user name and password".into()));
        }
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return Err(Refusal("expected a URL with a host".into()));
        };
        let address = match host {
            Host::Ipv4(address) => IpAddr::V4(address),
            Host::Ipv6(address) => IpAddr::V6(address),
            Host::Domain(name) => return self.check_name(&plain(name), port),
        };
        self.admits("", address, Some(port))
    }

    fn check_name(&self, name: &str, port: u16) -> Result<(), Refusal> {
        let by_name = |entry: &&Allow| entry.names(name, None);
        let own = ["localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"];
        let is_own = name.is_empty() || own.contains(&name) || name.ends_with(".localhost");
        let is_named = self.allow.iter().filter(by_name).any(|entry| entry.port.is_none_or(|only| only == port));
        if is_own && !is_named {
            return Err(Refusal(format!("`{name}` is this machine")));
        }
        // An entry of addresses may be about what the name leads to.
        let may_be_named =
            |entry: &Allow| entry.port == Some(port) && !matches!(&entry.who, Who::Host(host) if host != name);
        if !is_plain_port(port) && !self.allow.iter().any(may_be_named) {
            return Err(refused_port(port));
        }
        Ok(())
    }

    /// Whether this address of a host may be connected to. Without a port: at any that no entry names.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn admits(&self, host: &str, address: IpAddr, port: Option<u16>) -> Result<(), Refusal> {
        let host = plain(host);
        let about = || self.allow.iter().filter(|entry| entry.names(&host, Some(address)));
        if let Some(what) = special(address)
            && !about().any(|entry| entry.port.is_none() || entry.port == port)
        {
            let shown = if host.is_empty() { address.to_string() } else { format!("an address of `{host}`") };
            return Err(Refusal(format!("{shown} is {what}")));
        }
        match port {
            Some(port) if !is_plain_port(port) && !about().any(|entry| entry.port == Some(port)) => {
                Err(refused_port(port))
            }
            _ => Ok(()),
        }
    }
}

fn refused_port(port: u16) -> Refusal {
    Refusal(format!("port {port} is none of web servers"))
}

#[cfg(test)]
mod tests;
