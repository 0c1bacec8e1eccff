//! One-time links for the first browser: `/#grant=…`, ten minutes, once; and the tickets that the
//! admin page gets for its browser from Cloudflare Access: one minute, once.
//!
//! Invariant: a grant lives in memory only, as a hash; it is printed on a terminal or answered to
//! whom Access vouches for, never logged. Whoever redeems it acts as the one it was issued to.

use crate::limits::{GRANT_TTL_MS, GRANTS_MAX, TICKET_TTL_MS};
use crate::stamp;
use moltbot_core::actor::Actor;
use moltbot_core::ids::hex;
use moltbot_core::time::Timestamp;
use std::sync::{Mutex, PoisonError};

/// The links that may still be redeemed.
#[derive(Default)]
pub struct Grants {
    open: Mutex<Vec<Grant>>,
}

struct Grant {
    hash: [u8; 32],
    expires_at: Timestamp,
    actor: Actor,
}

impl Grants {
    /// Makes a new link.
    pub fn issue(&self, now: Timestamp) -> String {
        self.open(now, GRANT_TTL_MS, Actor::Grant)
    }

    /// Makes a ticket for the browser of this actor.
    pub fn issue_ticket(&self, actor: Actor, now: Timestamp) -> String {
        self.open(now, TICKET_TTL_MS, actor)
    }

    /// The oldest one goes when there are too many.
    fn open(&self, now: Timestamp, ttl_ms: i64, actor: Actor) -> String {
        let grant = hex(&stamp::random::<24>());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|grant| grant.expires_at > now);
        if open.len() >= GRANTS_MAX {
            open.remove(0);
        }
        open.push(Grant {
            hash: hash(&grant),
            expires_at: now.plus_ms(ttl_ms),
            actor,
        });
        grant
    }

    /// Uses a grant up: who acts by it. `None` when it is not (or no longer) one.
    pub fn redeem(&self, grant: &str, now: Timestamp) -> Option<Actor> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|grant| grant.expires_at > now);
        let wanted = hash(grant);
        let place = open.iter().position(|grant| grant.hash == wanted)?;
        Some(open.remove(place).actor)
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
        assert_eq!(grants.redeem("other", now), None);
        assert_eq!(grants.redeem(&grant, now), Some(Actor::Grant));
        assert_eq!(grants.redeem(&grant, now), None);
        let late = grants.issue(now);
        assert_eq!(grants.redeem(&late, now.plus_ms(GRANT_TTL_MS)), None);
    }

    #[test]
    fn a_ticket_names_its_holder_and_works_for_one_minute() {
        let grants = Grants::default();
        let (now, li) = (Timestamp(1_000), Actor::Access("p1".into()));
        let (ticket, late) = (
            grants.issue_ticket(li.clone(), now),
            grants.issue_ticket(li.clone(), now),
        );
        let in_time = now.plus_ms(TICKET_TTL_MS - 1);
        assert_eq!(grants.redeem(&ticket, in_time), Some(li));
        assert_eq!(grants.redeem(&late, in_time.plus_ms(1)), None);
    }
}
