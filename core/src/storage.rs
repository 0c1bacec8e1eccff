//! Who writes the log, its newest snapshots, and the key that vouches for it.

use crate::chain::Hash;
use crate::event::SnapshotTaken;
use crate::ids::{Epoch, InstanceId, Seq, hex, unhex};
use crate::record::Record;
use crate::time::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::VecDeque;
use std::fmt;

/// How many snapshots are remembered; older ones are still in the log.
const SNAPSHOTS_MAX: usize = 5;

/// What the log says of its own keeping.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Storage {
    /// The writer's generation.
    pub epoch: Epoch,
    /// The writer.
    pub writer: InstanceId,
    /// The record with which it began.
    pub started: Seq,
    /// The newest snapshots, newest first.
    pub snapshots: VecDeque<SnapshotInfo>,
    /// Which log this is: the hash of its first record.
    pub log: Hash,
    /// The key that checkpoints are signed with; `None` before the first.
    pub checkpoint_key: Option<CheckpointKey>,
}

/// A snapshot, as the log tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotInfo {
    /// The last record in it.
    pub seq: Seq,
    /// The hash of the object.
    pub object_hash: Hash,
    /// The size of the object.
    pub bytes: u64,
    /// When it was recorded.
    pub at: Timestamp,
}

/// The public part of the Ed25519 key that signs checkpoints of the log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckpointKey(pub [u8; 32]);

impl CheckpointKey {
    /// The key in sixty-four hex digits, if it is one.
    pub fn from_hex(text: &str) -> Option<CheckpointKey> {
        unhex(text)?.try_into().ok().map(CheckpointKey)
    }
}

impl fmt::Debug for CheckpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Display for CheckpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl Serialize for CheckpointKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&hex(&self.0))
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for CheckpointKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            CheckpointKey::from_hex(&text)
                .ok_or_else(|| serde::de::Error::custom("a public key is 64 hex digits"))
        } else {
            Deserialize::deserialize(deserializer).map(CheckpointKey)
        }
    }
}

impl Storage {
    pub(crate) fn snapshot_taken(&mut self, record: &Record, event: &SnapshotTaken) {
        self.snapshots.push_front(SnapshotInfo {
            seq: event.seq,
            object_hash: event.object_hash,
            bytes: event.bytes,
            at: record.at,
        });
        self.snapshots.truncate(SNAPSHOTS_MAX);
    }
}
