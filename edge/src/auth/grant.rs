//! One-time links for the first browser: `/#grant=…`, ten minutes, once.
//!
//! Invariant: a grant lives in memory only, as a hash; it is printed on a terminal, never logged.

use crate::limits::{GRANT_TTL_MS, GRANTS_MAX};
use crate::stamp;
use moltbot_core::ids::hex;
use moltbot_core::time::Timestamp;
use std::sync::{Mutex, PoisonError};

/// The links that may still be redeemed.
#[derive(Default)]
pub struct Grants {
    open: Mutex<Vec<([u8; 32], Timestamp)>>,
}

impl Grants {
    /// Makes a new grant; the oldest one goes when there are too many.
    pub fn issue(&self, now: Timestamp) -> String {
        let grant = hex(&stamp::random::<24>());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|(_, expires_at)| *expires_at > now);
        if open.len() >= GRANTS_MAX {
            open.remove(0);
        }
        open.push((hash(&grant), now.plus_ms(GRANT_TTL_MS)));
        grant
    }

    /// Uses a grant up. False when it is not (or no longer) one.
    pub fn redeem(&self, grant: &str, now: Timestamp) -> bool {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|(_, expires_at)| *expires_at > now);
        let before = open.len();
        let wanted = hash(grant);
        open.retain(|(hash, _)| *hash != wanted);
        open.len() < before
    }
}

fn hash(grant: &str) -> [u8; 32] {
    *blake3::hash(grant.as_bytes()).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_works_once_and_not_after_ten_minutes() {
        let grants = Grants::default();
        let now = Timestamp(1_000);
        let grant = grants.issue(now);
        assert!(!grants.redeem("other", now));
        assert!(grants.redeem(&grant, now));
        assert!(!grants.redeem(&grant, now));
        let late = grants.issue(now);
        assert!(!grants.redeem(&late, now.plus_ms(GRANT_TTL_MS)));
    }
}
