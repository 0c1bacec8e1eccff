//! Orphans: local tails that lost against another writer and were kept under `orphan/`.
//!
//! Invariant: nothing in this product reads them back into a log. They are listed, verified and
//! exported, so that a person can decide what becomes of the words in them. Changes nothing.

use crate::error::StoreError;
use crate::layout;
use crate::replica::Replica;
use crate::restore::Survey;
use crate::segment::{self, Segment};
use crate::settings::ORPHANS_MAX;
use moltbot_core::chain::Cursor;
use moltbot_core::ids::{Epoch, InstanceId};
use moltbot_core::record::Record;
use object_store::path::Path;
use std::collections::BTreeMap;

/// The tail of one writer in one epoch, as it is named. Nothing of it was read yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// The name of its folder, `<epoch>-<writer>-<tail>`: what people call it.
    pub name: String,
    /// The epoch of the record after which it was written.
    pub epoch: Epoch,
    /// Who wrote that.
    pub writer: InstanceId,
    objects: Vec<Path>,
}

/// A tail that was read and verified.
#[derive(Debug, Clone)]
pub struct Tail {
    /// The records, whole and chained.
    pub records: Vec<Record>,
    /// What the first of them follows.
    pub from: Cursor,
    /// The objects that hold them.
    pub objects: u64,
    /// Their size as stored.
    pub bytes: u64,
}

/// How a tail hangs on the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fork {
    /// It parted from the log after this record, which both have.
    At(Cursor),
    /// The log has another record where the tail begins: it forked from another tail.
    Elsewhere,
    /// The log does not reach that far.
    Beyond,
}

/// Every tail there is, by epoch and writer, with one request; at most [`ORPHANS_MAX`], the newest.
pub async fn list(replica: &Replica) -> Result<Vec<Orphan>, StoreError> {
    let mut folders: BTreeMap<String, Vec<Path>> = BTreeMap::new();
    for path in replica.list(layout::ORPHANS).await? {
        let parts: Vec<_> = path.parts().collect();
        if let [_, folder, _] = parts.as_slice() {
            let folder = folder.as_ref().to_owned();
            folders.entry(folder).or_default().push(path);
        }
    }
    let orphan = |(name, objects): (String, Vec<Path>)| {
        let (epoch, writer) = layout::orphan_of(&name)?;
        Some(Orphan {
            name,
            epoch,
            writer,
            objects,
        })
    };
    let mut orphans: Vec<Orphan> = folders.into_iter().filter_map(orphan).collect();
    let surplus = orphans.len().saturating_sub(ORPHANS_MAX);
    Ok(orphans.split_off(surplus))
}

/// Reads a tail and checks every byte and link of it. One writer may have lost more than once after
/// the same epoch; then each of its tails stands by itself.
pub async fn read(replica: &Replica, orphan: &Orphan) -> Result<Vec<Tail>, StoreError> {
    let mut tails: Vec<Tail> = Vec::new();
    for path in &orphan.objects {
        // Whatever vanishes between the list and this was tidied away by a person.
        let Some(bytes) = replica.get(path).await? else {
            continue;
        };
        let Segment { header, records } = segment::decode(path.as_ref(), &bytes)?;
        let size = bytes.len() as u64;
        let reached = |tail: &Tail| tail.records.last().map(Record::cursor);
        match tails
            .iter_mut()
            .find(|tail| reached(tail) == Some(header.from()))
        {
            Some(tail) => {
                tail.records.extend(records);
                tail.objects += 1;
                tail.bytes += size;
            }
            None => tails.push(Tail {
                records,
                from: header.from(),
                objects: 1,
                bytes: size,
            }),
        }
    }
    Ok(tails)
}

/// Finds where a tail parted from the log.
pub async fn fork(replica: &Replica, survey: &Survey, tail: &Tail) -> Result<Fork, StoreError> {
    if tail.from == Cursor::START {
        return Ok(Fork::At(Cursor::START));
    }
    if tail.from.seq > survey.tail.cursor.seq {
        return Ok(Fork::Beyond);
    }
    let mut catalog = survey.catalog.clone();
    let Some(held) = catalog.read_holding(replica, tail.from.seq).await? else {
        return Ok(Fork::Beyond);
    };
    let mut records = held.segment.records.iter().map(Record::cursor);
    let is_common = records.any(|cursor| cursor == tail.from);
    Ok(if is_common {
        Fork::At(tail.from)
    } else {
        Fork::Elsewhere
    })
}
