//! Who writes the log, and its newest snapshot.

use crate::chain::Hash;
use crate::ids::{Epoch, InstanceId, Seq};
use serde::{Deserialize, Serialize};

/// What the log says of its own keeping.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Storage {
    /// The writer's generation.
    pub epoch: Epoch,
    /// The writer.
    pub writer: InstanceId,
    /// The record with which it began.
    pub started: Seq,
    /// The newest snapshot: the last record in it and the hash of the object.
    pub snapshot: Option<(Seq, Hash)>,
}
