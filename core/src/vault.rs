//! Data keys as state: which key seals what, which were forgotten, and what wraps them.
//!
//! Invariant: a scope (`stream|author`) has at most one key in use, and a key that was forgotten is
//! never in use again: what the same author says later gets another key. Keys themselves are not
//! here, only their ids.

use crate::content::Content;
use crate::event::{ContentForgotten, DataKeyCreated};
use crate::ids::{KeyId, Seq};
use crate::record::Record;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A key that is in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealingKey {
    /// The key.
    pub key: KeyId,
    /// How many texts are sealed with it.
    pub texts: u64,
    /// When the first of them was recorded; when the key was, if there is none.
    pub first_at: Timestamp,
    /// When the last of them was recorded.
    pub last_at: Timestamp,
}

/// What was forgotten with one record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// Whose content, as [`crate::forget::Subject`] writes it.
    pub subject: String,
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
    /// The keys that opened it.
    pub keys: Vec<KeyId>,
    /// How many texts were sealed with them.
    pub texts: u64,
    /// The record that says that the keys are gone everywhere.
    pub deleted: Option<Seq>,
}

/// All data keys.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Vault {
    by_scope: BTreeMap<String, SealingKey>,
    scopes: BTreeMap<KeyId, String>,
    forgotten: BTreeMap<KeyId, Seq>,
    tombstones: BTreeMap<Seq, Tombstone>,
    /// Fingerprint of the master key that the data keys were last wrapped anew by.
    pub master_key: Option<String>,
}

impl Vault {
    /// The key that seals what this scope says now.
    pub fn get(&self, scope: &str) -> Option<&KeyId> {
        self.by_scope.get(scope).map(|sealing| &sealing.key)
    }

    /// Every scope and its key in use.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &SealingKey)> {
        self.by_scope.iter()
    }

    /// Every key that was forgotten.
    pub fn forgotten(&self) -> impl Iterator<Item = &KeyId> {
        self.forgotten.keys()
    }

    /// The record that forgot what this key sealed, and what it says.
    pub fn tombstone_of(&self, key: &KeyId) -> Option<(Seq, &Tombstone)> {
        let seq = self.forgotten.get(key)?;
        Some((*seq, self.tombstones.get(seq)?))
    }

    /// What was forgotten with this record.
    pub fn tombstone(&self, seq: Seq) -> Option<&Tombstone> {
        self.tombstones.get(&seq)
    }

    /// Everything that was ever forgotten, oldest first.
    pub fn tombstones(&self) -> impl Iterator<Item = (Seq, &Tombstone)> {
        self.tombstones.iter().map(|(seq, stone)| (*seq, stone))
    }

    pub(crate) fn created(&mut self, record: &Record, event: &DataKeyCreated) {
        let sealing = SealingKey {
            key: event.key.clone(),
            texts: 0,
            first_at: record.at,
            last_at: record.at,
        };
        self.scopes.insert(event.key.clone(), event.scope.clone());
        self.by_scope.insert(event.scope.clone(), sealing);
    }

    /// Counts what a record holds.
    pub(crate) fn sealed(&mut self, at: Timestamp, contents: &[&Content]) {
        for content in contents {
            let scope = self.scopes.get(content.key());
            if let Some(sealing) = scope.and_then(|scope| self.by_scope.get_mut(scope)) {
                sealing.texts += 1;
                sealing.last_at = at;
            }
        }
    }

    pub(crate) fn forget(&mut self, record: &Record, event: &ContentForgotten) {
        let mut texts = 0;
        for key in &event.keys {
            if let Some(scope) = self.scopes.remove(key)
                && let Some(sealing) = self.by_scope.remove(&scope)
            {
                texts += sealing.texts;
            }
            self.forgotten.insert(key.clone(), record.seq);
        }
        let tombstone = Tombstone {
            subject: event.subject.clone(),
            at: record.at,
            by: record.actor.clone(),
            keys: event.keys.clone(),
            texts,
            deleted: None,
        };
        self.tombstones.insert(record.seq, tombstone);
    }

    pub(crate) fn deleted(&mut self, seq: Seq, tombstone: Seq) {
        if let Some(stone) = self.tombstones.get_mut(&tombstone) {
            stone.deleted = Some(seq);
        }
    }
}
