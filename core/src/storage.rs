//! Who writes the log, and its newest snapshots.

use crate::chain::Hash;
use crate::event::SnapshotTaken;
use crate::ids::{Epoch, InstanceId, Seq};
use crate::record::Record;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

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
