//! Floors: how far `log/` was merged, and into what.
//!
//! A list may be stale and a deleted name in `log/` can be created again by a writer that slept
//! through the deletion, so after compaction neither tells where the log ends. A floor does.
//!
//! Invariant: `floor/<number>` is created once and never deleted, numbers have no gap, and a floor
//! is at or above the one before. Before anything is deleted from `log/` or `compact/` there is a
//! floor that names what replaces it. So, whatever lists say:
//!
//! - every record up to the newest floor is in `compact/`, and nothing in `log/` that begins at or
//!   below it counts;
//! - what was read from `log/`, or was found absent there, is true if no newer floor reaches it
//!   **after** it was read.

use crate::error::StoreError;
use crate::layout;
use crate::replica::{Created, Replica};
use futures_util::future::try_join;
use moltbot_core::chain::{Cursor, Hash};
use moltbot_core::ids::{Epoch, InstanceId, Seq};
use serde::{Deserialize, Serialize};

/// How far `log/` was merged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Floor {
    /// The generation of the writer that merged.
    pub epoch: Epoch,
    /// Who merged.
    pub writer: InstanceId,
    /// The last record that is in `compact/`.
    pub seq: Seq,
    /// Its hash.
    pub hash: Hash,
    /// First and last records of the objects that were made since the floor before.
    pub merged: Vec<(Seq, Seq)>,
}

impl Floor {
    /// The last record that is in `compact/`.
    pub fn cursor(&self) -> Cursor {
        Cursor {
            seq: self.seq,
            hash: self.hash,
        }
    }
}

/// The newest floor and its number; `None` before anything was merged.
pub async fn newest(replica: &Replica) -> Result<Option<(u64, Floor)>, StoreError> {
    let listed = replica.list(layout::FLOORS).await?;
    let Some(known) = listed.iter().filter_map(layout::number).max() else {
        return newer(replica, 0).await;
    };
    let (known, newer) = try_join(
        async { Ok(read(replica, known).await?.map(|floor| (known, floor))) },
        newer(replica, known),
    )
    .await?;
    Ok(newer.or(known))
}

/// The newest floor above the one with this number, by asking for one after the other; no list is
/// believed. 0 stands for no floor.
pub async fn newer(replica: &Replica, number: u64) -> Result<Option<(u64, Floor)>, StoreError> {
    let (mut newest, mut next) = (None, number + 1);
    while let Some(floor) = read(replica, next).await? {
        newest = Some((next, floor));
        next += 1;
    }
    Ok(newest)
}

/// The floor with this number; `None` when there is none yet.
pub async fn read(replica: &Replica, number: u64) -> Result<Option<Floor>, StoreError> {
    replica.get_json(&layout::floor(number)).await
}

/// Creates the floor with this number. `Exists` means that somebody has, possibly we.
pub async fn create(replica: &Replica, number: u64, floor: &Floor) -> Result<Created, StoreError> {
    replica.create_json(&layout::floor(number), floor).await
}
