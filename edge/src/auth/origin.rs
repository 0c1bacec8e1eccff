//! Where a request comes from.
//!
//! Invariant: proxy headers count only from configured proxies; a request that carries any of them
//! is never local. A browser is recognised by its `Origin`, and an origin that is not this
//! gateway's own is refused.

use std::net::IpAddr;
use url::Url;
use warp::http::HeaderMap;

/// The peer of a connection and what its headers say.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The address that counts for limits.
    pub address: IpAddr,
    /// Whether the request comes straight from this machine to a loopback name.
    pub local: bool,
    /// The browser's origin.
    pub browser: Browser,
}

/// Which page, if any, sent the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Browser {
    /// No browser page.
    None,
    /// A page of this gateway.
    Same,
    /// A page of somebody else, or of nobody (`null`).
    Foreign,
}

/// What the gateway knows of its own place.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// Proxies whose headers count.
    pub trusted_proxies: Vec<IpAddr>,
    /// The address under which people reach the gateway, if it differs from the request's host.
    pub public_url: Option<Url>,
}

impl Place {
    fn trusts(&self, address: IpAddr) -> bool {
        let mut proxies = self.trusted_proxies.iter();
        proxies.any(|proxy| proxy.to_canonical() == address)
    }
}

const FORWARDING_HEADERS: [&str; 5] = [
    "x-forwarded-for",
    "x-real-ip",
    "x-forwarded-host",
    "forwarded",
    "cf-connecting-ip",
];

impl Origin {
    /// Reads the origin of a request from its TCP peer and headers.
    pub fn of(peer: IpAddr, headers: &HeaderMap, place: &Place) -> Origin {
        let peer = peer.to_canonical();
        let forwarded = FORWARDING_HEADERS
            .iter()
            .any(|name| headers.contains_key(*name));
        let address = if forwarded && place.trusts(peer) {
            client(headers, place).unwrap_or(peer)
        } else {
            peer
        };
        let host = header(headers, "host").unwrap_or_default();
        Origin {
            address,
            local: peer.is_loopback() && !forwarded && is_loopback_name(host_name(host)),
            browser: browser(headers, host, place),
        }
    }
}

/// The last address that is none of our proxies'. Each proxy adds the address it sees at the end;
/// what stands before that was written by whoever sent the request.
fn client(headers: &HeaderMap, place: &Place) -> Option<IpAddr> {
    let lines = headers.get_all("x-forwarded-for").iter().rev();
    let hops = lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
    for hop in hops {
        let address = hop.trim().parse::<IpAddr>().ok()?.to_canonical();
        if !place.trusts(address) {
            return Some(address);
        }
    }
    None
}

fn browser(headers: &HeaderMap, host: &str, place: &Place) -> Browser {
    let Some(origin) = header(headers, "origin") else {
        return Browser::None;
    };
    let Ok(origin) = Url::parse(origin) else {
        return Browser::Foreign;
    };
    let same = |other: &Url| {
        origin.host_str() == other.host_str()
            && origin.port_or_known_default() == other.port_or_known_default()
    };
    let by_host = Url::parse(&format!("{}://{host}", origin.scheme())).is_ok_and(|url| same(&url));
    let by_public = place.public_url.as_ref().is_some_and(same);
    if matches!(origin.scheme(), "http" | "https") && (by_host || by_public) {
        Browser::Same
    } else {
        Browser::Foreign
    }
}

/// The host part of a `Host` header.
fn host_name(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or_default();
    }
    host.split(':').next().unwrap_or_default()
}

fn is_loopback_name(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback())
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use warp::http::{HeaderName, HeaderValue};

    fn check(peer: &str, headers: &[(&str, &str)]) -> Origin {
        let map = headers
            .iter()
            .map(|(name, value)| {
                (
                    name.parse::<HeaderName>().unwrap(),
                    HeaderValue::from_str(value).unwrap(),
                )
            })
            .collect();
        let place = Place {
            trusted_proxies: vec!["10.0.0.1".parse().unwrap()],
            public_url: None,
        };
        Origin::of(peer.parse().unwrap(), &map, &place)
    }

    #[test]
    fn only_a_direct_loopback_peer_is_local() {
        assert!(check("127.0.0.1", &[("host", "127.0.0.1:18789")]).local);
        assert!(check("::1", &[("host", "[::1]:18789")]).local);
        assert!(check("::ffff:127.0.0.1", &[("host", "localhost")]).local);
        assert!(!check("127.0.0.1", &[("host", "evil.example")]).local);
        assert!(
            !check(
                "127.0.0.1",
                &[("host", "localhost"), ("x-forwarded-for", "::1")]
            )
            .local
        );
        assert!(!check("192.0.2.1", &[("host", "localhost")]).local);
    }

    #[test]
    fn forwarded_addresses_count_only_from_trusted_proxies() {
        let by_himself = "198.51.100.1, 203.0.113.9, 10.0.0.1";
        let forwarded = [("host", "a"), ("x-forwarded-for", by_himself)];
        assert_eq!(
            check("10.0.0.1", &forwarded).address.to_string(),
            "203.0.113.9"
        );
        assert_eq!(
            check("10.0.0.2", &forwarded).address.to_string(),
            "10.0.0.2"
        );
    }

    #[test]
    fn only_pages_of_this_gateway_are_its_own() {
        let at = |origin| {
            check(
                "127.0.0.1",
                &[("host", "localhost:18789"), ("origin", origin)],
            )
        };
        assert_eq!(at("http://localhost:18789").browser, Browser::Same);
        assert_eq!(at("http://localhost:1").browser, Browser::Foreign);
        assert_eq!(at("http://evil.example").browser, Browser::Foreign);
        assert_eq!(at("null").browser, Browser::Foreign);
        assert_eq!(
            check("127.0.0.1", &[("host", "localhost")]).browser,
            Browser::None
        );
    }
}
