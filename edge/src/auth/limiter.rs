//! How often an address may be wrong, and what is recorded of it.
//!
//! Invariant: counted per canonical address (an IPv4-mapped IPv6 address is its IPv4 address, an
//! IPv6 address its /64), bounded in number; a correct credential is refused too while the
//! address is over its limit, so guessing gains nothing.

use crate::limits::{AUTH_ADDRESSES_MAX, AUTH_FAILURES_MAX, AUTH_WINDOW_MS, REFUSALS_INTERVAL_MS};
use moltbot_core::time::Timestamp;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is counted of an address.
#[derive(Debug, Clone, Copy)]
struct Count {
    failures: u32,
    since: Timestamp,
}

/// What is to be recorded of an address prefix.
#[derive(Debug, Clone, Copy)]
struct Unreported {
    failures: u64,
    last_report: Timestamp,
}

#[derive(Default)]
struct Counts {
    addresses: BTreeMap<IpAddr, Count>,
    prefixes: BTreeMap<String, Unreported>,
}

/// A refusal to be recorded: address prefix and how many since the last one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Address prefix, as `203.0.113.0/24`.
    pub prefix: String,
    /// Refusals since the last report.
    pub count: u64,
}

/// Counts wrong credentials.
#[derive(Default)]
pub struct Limiter {
    counts: Mutex<Counts>,
}

impl Limiter {
    /// Milliseconds until this address may try again; `None` when it may now.
    pub fn wait_ms(&self, address: IpAddr, now: Timestamp) -> Option<i64> {
        let counts = self.lock();
        let count = counts.addresses.get(&canonical(address))?;
        let age = now.since_ms(count.since);
        (count.failures >= AUTH_FAILURES_MAX && age < AUTH_WINDOW_MS)
            .then_some(AUTH_WINDOW_MS - age)
    }

    /// Counts a failure; returns a report when one is due.
    pub fn failed(&self, address: IpAddr, now: Timestamp) -> Option<Report> {
        let mut counts = self.lock();
        let address = canonical(address);
        count(&mut counts.addresses, address, now);
        report(&mut counts.prefixes, prefix(address), now)
    }

    /// Forgets the failures of an address that proved itself.
    pub fn succeeded(&self, address: IpAddr) {
        self.lock().addresses.remove(&canonical(address));
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn count(addresses: &mut BTreeMap<IpAddr, Count>, address: IpAddr, now: Timestamp) {
    if !addresses.contains_key(&address) {
        make_room(addresses, |count| {
            now.since_ms(count.since) < AUTH_WINDOW_MS
        });
    }
    let fresh = Count {
        failures: 0,
        since: now,
    };
    let count = addresses.entry(address).or_insert(fresh);
    if now.since_ms(count.since) >= AUTH_WINDOW_MS {
        *count = fresh;
    }
    count.failures = count.failures.saturating_add(1);
}

fn report(
    prefixes: &mut BTreeMap<String, Unreported>,
    prefix: String,
    now: Timestamp,
) -> Option<Report> {
    let is_recent = |known: &Unreported| now.since_ms(known.last_report) < REFUSALS_INTERVAL_MS;
    if let Some(known) = prefixes.get_mut(&prefix).filter(|known| is_recent(known)) {
        known.failures += 1;
        return None;
    }
    make_room(prefixes, is_recent);
    let fresh = Unreported {
        failures: 0,
        last_report: now,
    };
    let before = prefixes.insert(prefix.clone(), fresh);
    Some(Report {
        prefix,
        count: before.map_or(0, |before| before.failures) + 1,
    })
}

/// Forgets what does not count any more when there is too much of it, and one that does if need be.
fn make_room<K: Ord, V>(map: &mut BTreeMap<K, V>, counts: impl Fn(&V) -> bool) {
    if map.len() >= AUTH_ADDRESSES_MAX {
        map.retain(|_, value| counts(value));
    }
    if map.len() >= AUTH_ADDRESSES_MAX {
        map.pop_first();
    }
}

/// The address that counts: IPv4 also when mapped into IPv6, the /64 of an IPv6 address.
pub fn canonical(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::from((u128::from(v6) & !u128::from(u64::MAX)).to_be_bytes()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

fn prefix(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        // Whoever has one /64 usually has a /48 of them.
        IpAddr::V6(v6) => {
            let [a, b, c, ..] = v6.segments();
            format!("{}/48", Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_host_in_other_notations_is_one_address() {
        let limiter = Limiter::default();
        let (v4, mapped) = (
            "203.0.113.9".parse().unwrap(),
            "::ffff:203.0.113.9".parse().unwrap(),
        );
        for n in 0..AUTH_FAILURES_MAX {
            assert_eq!(
                limiter.wait_ms(v4, Timestamp(0)),
                None,
                "after {n} failures"
            );
            limiter.failed(if n % 2 == 0 { v4 } else { mapped }, Timestamp(0));
        }
        assert_eq!(limiter.wait_ms(mapped, Timestamp(0)), Some(AUTH_WINDOW_MS));
        assert_eq!(limiter.wait_ms(v4, Timestamp(AUTH_WINDOW_MS)), None);
        let a = canonical("2001:db8::1".parse().unwrap());
        assert_eq!(a, canonical("2001:db8::ffff:1".parse().unwrap()));
    }

    #[test]
    fn reports_are_aggregated_per_minute() {
        let limiter = Limiter::default();
        let address = "203.0.113.9".parse().unwrap();
        let first = limiter.failed(address, Timestamp(0)).unwrap();
        assert_eq!(
            first,
            Report {
                prefix: "203.0.113.0/24".into(),
                count: 1
            }
        );
        assert_eq!(limiter.failed(address, Timestamp(1)), None);
        limiter.succeeded(address);
        let neighbour = "203.0.113.77".parse().unwrap();
        assert_eq!(limiter.failed(neighbour, Timestamp(2)), None);
        assert_eq!(limiter.failed(address, Timestamp(60_000)).unwrap().count, 3);
        assert_eq!(
            prefix("2001:db8:1:2::5".parse().unwrap()),
            "2001:db8:1::/48"
        );
    }
}
