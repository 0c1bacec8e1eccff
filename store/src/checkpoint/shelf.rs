//! Checkpoints as objects: put, read, thinned out.

use super::Signed;
use crate::envelope::corrupt;
use crate::error::{ErrorKind, StoreError};
use crate::layout;
use crate::replica::{Created, Replica};
use crate::settings::{
    CHECKPOINT_BYTES_MAX, CHECKPOINTS_NEWEST_KEPT, CHECKPOINTS_READ_AT_ONCE, CHECKPOINTS_READ_MAX,
};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use moltbot_core::ids::Seq;
use std::collections::BTreeSet;

/// A checkpoint and where it was found.
#[derive(Debug, Clone)]
pub struct Held {
    /// The object or file, for people.
    pub place: String,
    /// What is in it.
    pub signed: Signed,
}

/// Stores a checkpoint. Safe to repeat after any failure: one that is there already and says the
/// same of the same log counts, whenever it was signed. One that says something else is `Corrupt`:
/// this log is not the one that was signed then.
pub async fn put(replica: &Replica, signed: &Signed) -> Result<(), StoreError> {
    let cursor = signed.checkpoint.cursor;
    let path = layout::checkpoint(cursor.seq);
    let bytes = Bytes::from(signed.encode()?);
    if replica.create(&path, bytes).await? == Created::New {
        return Ok(());
    }
    let Some(Held { signed: found, .. }) = get(replica, cursor.seq).await? else {
        return Err(StoreError::Remote {
            operation: "read",
            object: path.to_string(),
            reason: "it exists but cannot be read".to_owned(),
        });
    };
    if found.checkpoint.cursor == cursor && found.checkpoint.log == signed.checkpoint.log {
        return Ok(());
    }
    Err(corrupt(
        path.as_ref(),
        format!(
            "it was signed for another history: record #{} has the hash {} here and {} there",
            cursor.seq, cursor.hash, found.checkpoint.cursor.hash
        ),
    ))
}

/// The checkpoint that ends with this record; `None` when there is none.
pub async fn get(replica: &Replica, seq: Seq) -> Result<Option<Held>, StoreError> {
    let path = layout::checkpoint(seq);
    let Some(bytes) = replica.get(&path).await? else {
        return Ok(None);
    };
    let place = path.to_string();
    if bytes.len() > CHECKPOINT_BYTES_MAX {
        return Err(corrupt(&place, "it is too large for a checkpoint"));
    }
    let signed = Signed::decode(&place, &bytes)?;
    if signed.checkpoint.cursor.seq != seq {
        let found = signed.checkpoint.cursor.seq;
        return Err(corrupt(
            &place,
            format!("it was signed for record #{found}"),
        ));
    }
    Ok(Some(Held { place, signed }))
}

/// The newest checkpoint that can be read; `None` when there is none.
pub async fn newest(replica: &Replica) -> Result<Option<Held>, StoreError> {
    for seq in list(replica).await?.into_iter().rev() {
        match get(replica, seq).await {
            Ok(None) => {}
            // A damaged one is for whoever verifies the log.
            Err(error) if error.kind() == ErrorKind::Corrupt => {}
            found => return found,
        }
    }
    Ok(None)
}

/// Every checkpoint, or the newest [`CHECKPOINTS_READ_MAX`] where there are more, oldest first. One that was thinned out meanwhile is left out; one that cannot
/// be read is an error.
pub async fn all(replica: &Replica) -> Result<Vec<Held>, StoreError> {
    let mut seqs = list(replica).await?;
    let newest = seqs.split_off(seqs.len().saturating_sub(CHECKPOINTS_READ_MAX));
    let read = stream::iter(newest)
        .map(|seq| get(replica, seq))
        .buffered(CHECKPOINTS_READ_AT_ONCE);
    let found: Vec<Option<Held>> = read.try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

/// Deletes older checkpoints that others make needless; how many. Whatever fails is found again at the
/// next time.
pub async fn thin(replica: &Replica) -> Result<usize, StoreError> {
    let seqs = list(replica).await?;
    let kept = kept(&seqs);
    let mut deleted = 0;
    for seq in seqs.iter().filter(|seq| !kept.contains(seq)) {
        replica.delete(&layout::checkpoint(*seq)).await?;
        deleted += 1;
    }
    Ok(deleted)
}

async fn list(replica: &Replica) -> Result<Vec<Seq>, StoreError> {
    let names = replica.list(layout::CHECKPOINTS).await?;
    let mut seqs: Vec<Seq> = names.iter().filter_map(layout::number).map(Seq).collect();
    seqs.sort_unstable();
    Ok(seqs)
}

/// The newest ones, and of the rest the oldest in each power of two of distance from the newest: so
/// the first one always stays, and there are never more than 64 besides the newest.
fn kept(sorted: &[Seq]) -> BTreeSet<Seq> {
    let Some(newest) = sorted.last() else {
        return BTreeSet::new();
    };
    let (older, newer) = sorted.split_at(sorted.len().saturating_sub(CHECKPOINTS_NEWEST_KEPT));
    let mut kept: BTreeSet<Seq> = newer.iter().copied().collect();
    let mut distances = BTreeSet::new();
    for seq in older {
        let distance = (newest.0 - seq.0).checked_ilog2();
        if distances.insert(distance) {
            kept.insert(*seq);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_the_newest_the_first_and_a_bounded_number_however_often_it_runs() {
        let mut seqs: Vec<Seq> = Vec::new();
        for seq in (1..200_000).step_by(97) {
            seqs.push(Seq(seq));
            let kept = kept(&seqs);
            seqs.retain(|seq| kept.contains(seq));
        }
        assert_eq!(seqs[0], Seq(1));
        assert!(seqs.len() <= CHECKPOINTS_NEWEST_KEPT + 64, "{}", seqs.len());
        let newest = &seqs[seqs.len() - CHECKPOINTS_NEWEST_KEPT..];
        assert!(newest.windows(2).all(|pair| pair[1].0 - pair[0].0 == 97));
        // No part of the past is without any: gaps at most double.
        let end = newest[0].0;
        for pair in seqs.windows(2).filter(|pair| pair[1].0 < end) {
            let distance = seqs[seqs.len() - 1].0 - pair[1].0;
            assert!(pair[1].0 - pair[0].0 <= 4 * distance, "{pair:?}");
        }
    }
}
