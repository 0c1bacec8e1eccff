//! Heads: who owns the remote log since when.
//!
//! Invariant: `head/<epoch>` is created once and never deleted, so of all gateways that want an
//! epoch exactly one gets it, and a head above a writer's epoch tells that writer to stop.

use crate::error::StoreError;
use crate::layout;
use crate::replica::{Created, Replica};
use bytes::Bytes;
use moltbot_core::ids::{Epoch, InstanceId, Seq};
use moltbot_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The claim of an epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The gateway that owns the log.
    pub owner: InstanceId,
    /// Since when.
    pub at: Timestamp,
    /// The first seq that was free when it claimed the epoch.
    pub from_seq: Seq,
    /// Different for every process, so that two processes of the same gateway never take one
    /// another's claim for their own.
    pub nonce: String,
}

/// The newest head and its epoch; `None` before the first claim. A stale list does not deceive it:
/// it asks for the epochs after the last listed one until one is absent.
pub async fn newest(replica: &Replica) -> Result<Option<(Epoch, Head)>, StoreError> {
    let listed = replica.list(layout::HEADS).await?;
    let last = listed.iter().filter_map(layout::number).max();
    let mut newest = match last {
        Some(number) => read(replica, Epoch(number))
            .await?
            .map(|head| (Epoch(number), head)),
        None => None,
    };
    let mut next = Epoch(last.unwrap_or(0)).next();
    while let Some(head) = read(replica, next).await? {
        newest = Some((next, head));
        next = next.next();
    }
    Ok(newest)
}

/// The head of this epoch; `None` when nobody has claimed it.
pub async fn read(replica: &Replica, epoch: Epoch) -> Result<Option<Head>, StoreError> {
    let path = layout::head(epoch);
    let Some(bytes) = replica.get(&path).await? else {
        return Ok(None);
    };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| StoreError::Corrupt {
            place: format!("`{path}`"),
            reason: error.to_string(),
        })
}

/// Claims the epoch. `Exists` means that somebody has it, possibly this very claim.
pub async fn create(replica: &Replica, epoch: Epoch, head: &Head) -> Result<Created, StoreError> {
    let bytes = serde_json::to_vec(head)
        .map_err(|error| StoreError::Internal(format!("cannot encode a head: {error}")))?;
    replica
        .create(&layout::head(epoch), Bytes::from(bytes))
        .await
}
