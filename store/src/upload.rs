//! Objects that are uploaded besides the segments of the log: data keys, blobs and orphans.
//!
//! Invariant: a data key or blob is in the object store before any segment that mentions it, and a local
//! tail that lost is in the object store, whole, before it is dropped from the local log.
//! Everything here is safe to repeat after any failure.

use crate::blobs;
use crate::error::StoreError;
use crate::keys::{Keyring, keys_in};
use crate::layout;
use crate::log::LogReader;
use crate::replica::{Created, Replica};
use crate::segment;
use moltbot_core::chain::{Cursor, Hash};
use moltbot_core::event::Event;
use moltbot_core::ids::{Epoch, InstanceId, KeyId, Seq};
use moltbot_core::record::Record;

/// A local tail that lost against another writer and was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrphanReport {
    /// The first record that is not in the log.
    pub first: Seq,
    /// The last one.
    pub last: Seq,
    /// The objects that hold them.
    pub objects: Vec<String>,
}

/// What records name that lies outside the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Named {
    /// Data keys.
    pub keys: Vec<KeyId>,
    /// Blobs.
    pub blobs: Vec<Hash>,
}

impl Named {
    /// What these records name.
    pub fn by(records: &[Record]) -> Named {
        let blob = |record: &Record| match record.event() {
            Ok(Event::FileWritten(event)) => event.blob,
            _ => None,
        };
        Named {
            keys: keys_in(records),
            blobs: records.iter().filter_map(blob).collect(),
        }
    }

    /// Whether they name nothing.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.blobs.is_empty()
    }
}

/// Creates what is named, if absent: to be done before the segment that names it.
pub async fn named(replica: &Replica, keyring: &Keyring, named: &Named) -> Result<(), StoreError> {
    keys(replica, keyring, &named.keys).await?;
    blobs::upload(replica, &named.blobs).await
}

/// Creates the data keys with these ids. A key that is not on the keyring was forgotten; what it
/// sealed cannot be read any more, here or there.
pub async fn keys(replica: &Replica, keyring: &Keyring, ids: &[KeyId]) -> Result<(), StoreError> {
    for id in ids {
        if let Some(bytes) = keyring.object(id) {
            replica.create(&layout::key(id), bytes).await?;
        } else {
            tracing::debug!(key = %id, "a data key is gone and is not uploaded");
        }
    }
    Ok(())
}

/// Uploads everything in the local log after `after` to `orphan/`, under the name of the writer
/// that recorded it. `None` when there is nothing that anybody would miss.
pub async fn orphan(
    replica: &Replica,
    keyring: &Keyring,
    local: &dyn LogReader,
    after: Cursor,
    writer: (Epoch, &InstanceId),
    segment_bytes_max: usize,
) -> Result<Option<OrphanReport>, StoreError> {
    let (epoch, instance) = writer;
    let mut reached = after;
    let mut tail = None;
    let mut report: Option<OrphanReport> = None;
    loop {
        let records = local.read_whole(reached.seq.next(), segment_bytes_max)?;
        if report.is_none() && only_starts(local, &records)? {
            return Ok(None);
        }
        let (Some(first), Some(_)) = (records.first(), records.last()) else {
            return Ok(report);
        };
        let tail = tail.get_or_insert(first.hash);
        let path = layout::orphan(epoch, instance, tail, first.seq);
        named(replica, keyring, &Named::by(&records)).await?;
        let bytes = segment::encode(epoch, instance, &records)?;
        reached = match replica.create(&path, bytes).await? {
            Created::New => records.last().map_or(reached, Record::cursor),
            Created::Exists => already(replica, local, &path, &records).await?,
        };
        let report = report.get_or_insert_with(|| OrphanReport {
            first: first.seq,
            last: first.seq,
            objects: Vec::new(),
        });
        report.last = reached.seq;
        report.objects.push(path.to_string());
    }
}

/// An earlier attempt uploaded this object, perhaps when the tail was shorter. Returns how far it
/// reaches; anything else under this name is not ours to ignore.
async fn already(
    replica: &Replica,
    local: &dyn LogReader,
    path: &object_store::path::Path,
    records: &[Record],
) -> Result<Cursor, StoreError> {
    let Some(bytes) = replica.get(path).await? else {
        return Err(StoreError::Remote {
            operation: "read",
            object: path.to_string(),
            reason: "it exists but is not there".to_owned(),
        });
    };
    let header = segment::decode(path.as_ref(), &bytes)?.header;
    let from = records.first().map(|record| record.prev_hash);
    if Some(header.before) == from && local.cursor(header.last)? == Some(header.to()) {
        return Ok(header.to());
    }
    Err(StoreError::Corrupt {
        place: format!("`{path}`"),
        reason: "it holds another tail of the same writer and epoch".to_owned(),
    })
}

/// Whether these records, to the end of the log, are only starts of writers that never got to
/// record anything: nobody was told of those, so nobody would miss them.
fn only_starts(local: &dyn LogReader, records: &[Record]) -> Result<bool, StoreError> {
    let last = records.last().map(|record| record.seq);
    if last.is_some_and(|last| last < local.head().seq) {
        return Ok(false);
    }
    for record in records {
        let event = record.event().map_err(|error| StoreError::Codec {
            place: "the local log".to_owned(),
            error,
        })?;
        if !matches!(event, Event::WriterStarted(_)) {
            return Ok(false);
        }
    }
    Ok(true)
}
