//! Forking: a copy of the log as it was after one of its records, as a log of its own.
//!
//! Invariant: the fork holds the same records, byte for byte, up to the last whole command at or
//! before the one that was asked for, the data keys and snapshots they name, and all blobs. What was
//! forgotten since stays forgotten: its keys do not go with it, and the records that say so are
//! added at its end, as records of their own. It has no head, so whoever starts on it first owns it.
//! The original is only read; the place of the fork must be empty and outside of it.

use crate::error::StoreError;
use crate::layout;
use crate::new_log::NewLog;
use crate::replica::Replica;
use crate::restore::Verified;
use crate::retry::retry;
use crate::scan::Scan;
use crate::settings::{FORK_SNAPSHOTS_MAX, StoreSettings};
use moltbot_core::chain::{Cursor, Hash};
use moltbot_core::codec;
use moltbot_core::error::CodecError;
use moltbot_core::event::Event;
use moltbot_core::ids::{KeyId, Seq};
use moltbot_core::record::Record;
use object_store::path::Path;
use std::collections::{BTreeMap, BTreeSet};

/// Called with the records that go into the fork, in order.
pub type See<'a> = dyn FnMut(&[Record]) -> Result<(), StoreError> + Send + 'a;

/// A fork that is whole and verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forked {
    /// What was found when it was read back.
    pub log: Verified,
    /// The last record that it has in common with its original.
    pub at: Cursor,
    /// Records after that one: what was forgotten since.
    pub tombstones: usize,
    /// Data keys in it.
    pub keys: usize,
    /// Blobs in it.
    pub blobs: usize,
    /// Snapshots in it.
    pub snapshots: usize,
}

/// Copies the log up to `at` into an empty place and verifies the copy. Memory is bounded; what a
/// failed attempt wrote is removed.
pub async fn fork(
    source: &Scan,
    target: &Replica,
    at: Seq,
    settings: &StoreSettings,
    see: &mut See<'_>,
) -> Result<Forked, StoreError> {
    check_place(source.replica(), target)?;
    let mut log = NewLog::begin(target, settings).await?;
    let copied = copy(source, &mut log, at, see).await;
    if copied.is_err() {
        log.abandon().await;
    }
    copied
}

fn check_place(source: &Replica, target: &Replica) -> Result<(), StoreError> {
    let folder = |replica: &Replica| format!("{}/", replica.location.trim_end_matches('/'));
    let (from, to) = (folder(source), folder(target));
    if to.starts_with(&from) || from.starts_with(&to) {
        return Err(StoreError::Invalid(format!(
            "a fork must lie outside of its original `{}`: name another place than `{}`",
            source.location, target.location
        )));
    }
    Ok(())
}

async fn copy(
    source: &Scan,
    log: &mut NewLog,
    at: Seq,
    see: &mut See<'_>,
) -> Result<Forked, StoreError> {
    let mut named = copy_records(source, log, at, see).await?;
    let end = log.head();
    let tombstones = forgotten_since(source, end, &named).await?;
    for event in &tombstones {
        let tombstone = entomb(event, log.head())?;
        keep(log, &mut named, vec![tombstone], see).await?;
    }
    let keys = copy_keys(source, log, &named).await?;
    let mut blobs = 0;
    let from = source.replica();
    for blob in retry(&source.settings, || from.list(layout::BLOBS)).await? {
        blobs += usize::from(copy_object(source, log, blob).await?);
    }
    let mut snapshots = 0;
    for (seq, hash) in named.snapshots.iter().rev().take(FORK_SNAPSHOTS_MAX) {
        let path = layout::snapshot(*seq);
        // One that is gone or is another one by now would not count.
        let object = retry(&source.settings, || from.get(&path)).await?;
        if let Some(object) = object.filter(|object| Hash::of(object) == *hash) {
            log.put(path, object).await?;
            snapshots += 1;
        }
    }
    Ok(Forked {
        log: log.finish().await?,
        at: end,
        tombstones: tombstones.len(),
        keys,
        blobs,
        snapshots,
    })
}

/// Copies the data keys that are in use; how many there are.
async fn copy_keys(source: &Scan, log: &mut NewLog, named: &Named) -> Result<usize, StoreError> {
    for key in &named.keys {
        if !copy_object(source, log, layout::key(key)).await? {
            return Err(StoreError::Invalid(format!(
                "the data key `keys/{key}` is not there, and no record says that it was forgotten, \
                 so no gateway would start on this fork; put it back from a backup of the bucket"
            )));
        }
    }
    Ok(named.keys.len())
}

/// What the records of a log name beside them.
#[derive(Default)]
struct Named {
    /// Data keys that are in use.
    keys: BTreeSet<KeyId>,
    snapshots: BTreeMap<Seq, Hash>,
}

impl Named {
    fn note(&mut self, record: &Record) {
        match record.event() {
            Ok(Event::DataKeyCreated(created)) => {
                self.keys.insert(created.key);
            }
            Ok(Event::ContentForgotten(forgotten)) => {
                self.keys.retain(|key| !forgotten.keys.contains(key));
            }
            Ok(Event::SnapshotTaken(taken)) => {
                self.snapshots.insert(taken.seq, taken.object_hash);
            }
            _ => {}
        }
    }
}

/// The records after the fork that forgot what these keys seal, cut down to these keys.
async fn forgotten_since(
    source: &Scan,
    end: Cursor,
    named: &Named,
) -> Result<Vec<Record>, StoreError> {
    let mut found = Vec::new();
    let mut read = end;
    loop {
        let page = source.page(read, source.head().seq).await?;
        let Some(last) = page.last() else {
            return Ok(found);
        };
        read = last.cursor();
        for mut record in page {
            let Ok(Event::ContentForgotten(mut forgotten)) = record.event() else {
                continue;
            };
            forgotten.keys.retain(|key| named.keys.contains(key));
            if !forgotten.keys.is_empty() {
                let event = Event::from(forgotten);
                record.payload = event.encode().map_err(|error| cannot_add(&error))?;
                record.version = event.version();
                found.push(record);
            }
        }
    }
}

/// A tombstone of the original as a record of the fork: the same event at the same time by the same
/// actor.
fn entomb(original: &Record, after: Cursor) -> Result<Record, StoreError> {
    let seq = after.seq.next();
    let record = Record {
        seq,
        cause: None,
        correlation: seq,
        ..original.clone()
    };
    codec::link(record, after.hash).map_err(|error| cannot_add(&error))
}

fn cannot_add(error: &CodecError) -> StoreError {
    StoreError::Internal(format!("cannot add a record to a fork: {error}"))
}

async fn copy_records(
    source: &Scan,
    log: &mut NewLog,
    at: Seq,
    see: &mut See<'_>,
) -> Result<Named, StoreError> {
    let mut named = Named::default();
    let mut read = Cursor::START;
    // The records of the command whose end was not seen yet.
    let mut command: Vec<Record> = Vec::new();
    loop {
        // One more than is wanted says whether the last command goes on after it.
        let page = source.page(read, at.next()).await?;
        let Some(last) = page.last() else {
            break;
        };
        read = last.cursor();
        let mut whole = Vec::with_capacity(page.len());
        for record in page {
            let goes_on = command.last().is_some_and(|last| record.continues(last));
            if !goes_on {
                whole.append(&mut command);
            }
            if record.seq <= at {
                command.push(record);
            } else if goes_on {
                command.clear();
            }
        }
        keep(log, &mut named, whole, see).await?;
    }
    keep(log, &mut named, command, see).await?;
    Ok(named)
}

async fn keep(
    log: &mut NewLog,
    named: &mut Named,
    records: Vec<Record>,
    see: &mut See<'_>,
) -> Result<(), StoreError> {
    for record in &records {
        named.note(record);
    }
    see(&records)?;
    log.push(records).await
}

/// False when the object is not there.
async fn copy_object(source: &Scan, log: &mut NewLog, path: Path) -> Result<bool, StoreError> {
    let Some(bytes) = retry(&source.settings, || source.replica().get(&path)).await? else {
        return Ok(false);
    };
    log.put(path, bytes).await?;
    Ok(true)
}
