//! Commands that may come again: durable, part of the state and so of snapshots.
//!
//! Invariant: a key once recorded gives the same answer until it lapses; the oldest go first when
//! there are too many.

use crate::error::Rejection;
use crate::event::CommandRecorded;
use crate::ids::Seq;
use crate::limits::IDEMPOTENCY_KEYS_MAX;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    seq: Seq,
    payload: [u8; 16],
    expires_at: Timestamp,
}

/// The remembered keys.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct IdempotencyKeys {
    entries: BTreeMap<[u8; 16], Entry>,
    expiry: BTreeSet<(Timestamp, [u8; 16])>,
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
        match self.entries.get(&key) {
            Some(entry) if entry.expires_at <= at => Ok(None),
            Some(entry) if entry.payload == payload => Ok(Some(entry.seq)),
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
        let entry = Entry {
            seq,
            payload: event.payload,
            expires_at: event.expires_at,
        };
        if let Some(old) = self.entries.insert(event.key, entry) {
            self.expiry.remove(&(old.expires_at, event.key));
        }
        self.expiry.insert((event.expires_at, event.key));
        while let Some((expires_at, key)) = self.expiry.first().copied() {
            if expires_at > at && self.entries.len() <= IDEMPOTENCY_KEYS_MAX {
                break;
            }
            self.expiry.remove(&(expires_at, key));
            self.entries.remove(&key);
        }
    }
}
