//! Effects as state: what has to happen, keyed by the record that asked for it.
//!
//! Invariant: an entry is queued once and leaves by exactly one event. Replay rebuilds exactly
//! what was not done; nothing but `edge`'s outbox acts on it.

use crate::ids::{DeliveryId, RunId, Seq};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Something that has to happen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Effect {
    /// A model turn.
    Run(RunId),
    /// A reply to a channel.
    Deliver(DeliveryId),
    /// The data keys that this record forgot are to be deleted everywhere.
    DeleteKeys(Seq),
}

/// All that has to happen, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Outbox {
    entries: BTreeMap<Seq, Effect>,
}

impl Outbox {
    /// What has to happen, with the record that asked for it, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (Seq, &Effect)> {
        self.entries.iter().map(|(seq, effect)| (*seq, effect))
    }

    /// How much has to happen.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing has to happen.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn queue(&mut self, seq: Seq, effect: Effect) {
        self.entries.insert(seq, effect);
    }

    pub(crate) fn done(&mut self, seq: Seq) {
        self.entries.remove(&seq);
    }
}
