//! How often an address may be wrong, and what is recorded of it.
//!
//! Invariant: counted per canonical address (an IPv4-mapped IPv6 address is its IPv4 address, an
//! IPv6 address its /64), bounded in number; a correct credential is refused too while the
//! address is over its limit, so guessing gains nothing.

use crate::limits::{AUTH_ADDRESSES_MAX, AUTH_FAILURES_MAX, AUTH_WINDOW_MS, REFUSALS_INTERVAL_MS};
use moltbot_core::time::Timestamp;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// What is counted of an address.
#[derive(Debug, Clone, Copy)]
struct Count {
    failures: u32,
    since: Timestamp,
    last_report: Option<Timestamp>,
    unreported: u64,
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
    counts: Mutex<BTreeMap<IpAddr, Count>>,
}

impl Limiter {
    /// Milliseconds until this address may try again; `None` when it may now.
    pub fn wait_ms(&self, address: IpAddr, now: Timestamp) -> Option<i64> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.get(&canonical(address))?;
        let age = now.since_ms(count.since);
        (count.failures >= AUTH_FAILURES_MAX && age < AUTH_WINDOW_MS)
            .then_some(AUTH_WINDOW_MS - age)
    }

    /// Counts a failure; returns a report when one is due.
    pub fn failed(&self, address: IpAddr, now: Timestamp) -> Option<Report> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let address = canonical(address);
        if counts.len() >= AUTH_ADDRESSES_MAX && !counts.contains_key(&address) {
            counts.retain(|_, count| now.since_ms(count.since) < AUTH_WINDOW_MS);
            if counts.len() >= AUTH_ADDRESSES_MAX {
                counts.pop_first();
            }
        }
        let fresh = Count {
            failures: 0,
            since: now,
            last_report: None,
            unreported: 0,
        };
        let count = counts.entry(address).or_insert(fresh);
        if now.since_ms(count.since) >= AUTH_WINDOW_MS {
            count.failures = 0;
            count.since = now;
        }
        count.failures = count.failures.saturating_add(1);
        count.unreported += 1;
        let due = count
            .last_report
            .is_none_or(|at| now.since_ms(at) >= REFUSALS_INTERVAL_MS);
        due.then(|| {
            count.last_report = Some(now);
            Report {
                prefix: prefix(address),
                count: std::mem::take(&mut count.unreported),
            }
        })
    }

    /// Forgets the failures of an address that proved itself.
    pub fn succeeded(&self, address: IpAddr) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.remove(&canonical(address));
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
        IpAddr::V6(v6) => format!("{v6}/64"),
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
        assert_eq!(limiter.failed(address, Timestamp(60_000)).unwrap().count, 2);
    }
}
