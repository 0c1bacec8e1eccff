//! Heads: who owns the remote log since when.
//!
//! Invariant: `head/<epoch>` is created once and never deleted, so of all gateways that want an
//! epoch exactly one gets it, and a head above a writer's epoch tells that writer to stop.

use crate::error::StoreError;
use crate::layout;
use crate::replica::{Created, Replica};
use futures_util::future::try_join3;
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

/// The newest head and its epoch; `None` before the first claim. There is one for every start, so
/// only those after an epoch that is `known` to have been claimed are listed. A stale list does not
/// deceive it: it asks for the epochs after the last one it knows until one is absent.
pub async fn newest(
    replica: &Replica,
    known: Option<Epoch>,
) -> Result<Option<(Epoch, Head)>, StoreError> {
    let known = known.unwrap_or_default();
    let (listed, mut newest, mut following) = try_join3(
        replica.list_after(layout::HEADS, Some(&layout::head(known))),
        read_claimed(replica, known),
        read_claimed(replica, known.next()),
    )
    .await?;
    if known > Epoch(0) && listed.is_empty() && newest.is_none() && following.is_none() {
        // The head of the newest writer is lost; who was the owner before, an older one says.
        return Box::pin(self::newest(replica, None)).await;
    }
    let numbers = listed
        .iter()
        .filter_map(|listed| layout::number(&listed.path));
    if let Some(last) = numbers.max().map(Epoch).filter(|last| *last > known.next()) {
        newest = following.or(newest);
        following = read_claimed(replica, last).await?;
    }
    let mut next = following.as_ref().map(|(epoch, _)| epoch.next());
    newest = following.or(newest);
    while let Some(epoch) = next {
        let found = read_claimed(replica, epoch).await?;
        next = found.as_ref().map(|(epoch, _)| epoch.next());
        newest = found.or(newest);
    }
    Ok(newest)
}

async fn read_claimed(
    replica: &Replica,
    epoch: Epoch,
) -> Result<Option<(Epoch, Head)>, StoreError> {
    if epoch == Epoch(0) {
        return Ok(None);
    }
    let head = read(replica, epoch).await?;
    Ok(head.map(|head| (epoch, head)))
}

/// The head of this epoch; `None` when nobody has claimed it.
pub async fn read(replica: &Replica, epoch: Epoch) -> Result<Option<Head>, StoreError> {
    replica.get_json(&layout::head(epoch)).await
}

/// Claims the epoch. `Exists` means that somebody has it, possibly this very claim.
pub async fn create(replica: &Replica, epoch: Epoch, head: &Head) -> Result<Created, StoreError> {
    replica.create_json(&layout::head(epoch), head).await
}
