//! Commands that may come again: durable, part of the state and so of snapshots.
//!
//! Invariant: a key once recorded gives the same answer until it lapses; the oldest go first when
//! there are too many.

use crate::error::Rejection;
use crate::event::CommandRecorded;
use crate::ids::{Seq, hex};
use crate::limits::IDEMPOTENCY_KEYS_MAX;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};

/// Half a hash. Stored as its bytes; people see hex, which can also name a member in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct Digest([u8; 16]);

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&hex(&self.0))
        } else {
            self.0.serialize(serializer)
        }
    }
}

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    seq: Seq,
    payload: Digest,
    expires_at: Timestamp,
}

/// The remembered keys.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct IdempotencyKeys {
    entries: BTreeMap<Digest, Entry>,
    expiry: BTreeSet<(Timestamp, Digest)>,
}

impl IdempotencyKeys {
    /// The last record of the command that carried this key; a rejection when that command asked
    /// for something else.
    pub fn find(
        &self,
        key: [u8; 16],
        payload: [u8; 16],
        at: Timestamp,
    ) -> Result<Option<Seq>, Rejection> {
        match self.entries.get(&Digest(key)) {
            Some(entry) if entry.expires_at <= at => Ok(None),
            Some(entry) if entry.payload.0 == payload => Ok(Some(entry.seq)),
            Some(_) => Err(Rejection::new(
                "idempotency_conflict",
                "this idempotency key was used for something else; use a new one",
            )),
            None => Ok(None),
        }
    }

    /// How many keys are remembered.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no key is remembered.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn evolve(&mut self, seq: Seq, at: Timestamp, event: &CommandRecorded) {
        let key = Digest(event.key);
        let entry = Entry {
            seq,
            payload: Digest(event.payload),
            expires_at: event.expires_at,
        };
        if let Some(old) = self.entries.insert(key, entry) {
            self.expiry.remove(&(old.expires_at, key));
        }
        self.expiry.insert((event.expires_at, key));
        while let Some((expires_at, key)) = self.expiry.first().copied() {
            if expires_at > at && self.entries.len() <= IDEMPOTENCY_KEYS_MAX {
                break;
            }
            self.expiry.remove(&(expires_at, key));
            self.entries.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remember(keys: &mut IdempotencyKeys, n: u64, at: i64, expires_at: i64) {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&n.to_be_bytes());
        let event = CommandRecorded {
            key,
            payload: [0; 16],
            expires_at: Timestamp(expires_at),
        };
        keys.evolve(Seq(n), Timestamp(at), &event);
        assert_eq!(keys.entries.len(), keys.expiry.len());
    }

    #[test]
    fn lapsed_keys_go_when_the_next_one_comes() {
        let mut keys = IdempotencyKeys::default();
        assert!(keys.is_empty());
        remember(&mut keys, 1, 0, 10);
        remember(&mut keys, 2, 5, 15);
        remember(&mut keys, 3, 10, 20);
        assert_eq!(keys.len(), 2);
    }

    #[test]
    fn a_key_used_anew_lasts_from_then_on() {
        let mut keys = IdempotencyKeys::default();
        remember(&mut keys, 1, 0, 10);
        remember(&mut keys, 1, 9, 19);
        remember(&mut keys, 2, 10, 20);
        assert_eq!(keys.len(), 2);
    }

    #[test]
    fn beyond_the_bound_the_oldest_key_goes_first() {
        let mut keys = IdempotencyKeys::default();
        let count = IDEMPOTENCY_KEYS_MAX as u64 + 2;
        for n in 0..count {
            remember(&mut keys, n, 0, 10 + i64::try_from(n).unwrap());
        }
        assert_eq!(keys.len(), IDEMPOTENCY_KEYS_MAX);
        let oldest = keys.entries.values().next().unwrap();
        assert_eq!(oldest.seq, Seq(2));
    }

    #[test]
    fn a_record_that_expires_at_once_is_not_kept() {
        let mut keys = IdempotencyKeys::default();
        remember(&mut keys, 1, 10, 10);
        assert!(keys.is_empty());
    }
}
