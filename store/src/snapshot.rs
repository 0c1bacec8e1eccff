//! Snapshots: the state after a record, in sections, so that a cold start need not fold the log.
//!
//! A snapshot is an envelope (magic, sizes, header, crc32c, zstd, blake3) with magic
//! `MBTSNAP\x01`, this header, and sections one after another as its content.
//!
//! | bytes | field of the header |
//! |---|---|
//! | 8 | seq of the last record it contains |
//! | 32 | hash of that record |
//!
//! | bytes | field of a section |
//! |---|---|
//! | 2 + n | name, after its length |
//! | 2 | version of the section |
//! | 4 | size of the bytes |
//! | … | bytes |
//!
//! Invariant: a snapshot is created once and never changed, and counts only together with the
//! event `snapshot_taken` that names its seq and hash; without that it is an unused object.
//! Does not know what the sections mean: a reader skips names and versions it does not know and
//! rebuilds those from the log.

use crate::envelope::{self, Fields, Form, corrupt};
use crate::error::StoreError;
use crate::layout;
use crate::replica::{Created, Replica};
use crate::settings::SNAPSHOT_CONTENT_BYTES_MAX;
use bytes::Bytes;
use moltbot_core::chain::{Cursor, Hash};
use moltbot_core::ids::Seq;

const FORM: Form = Form {
    magic: *b"MBTSNAP\x01",
    noun: "snapshot",
    content_bytes_max: SNAPSHOT_CONTENT_BYTES_MAX,
};

/// The state after a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The last record it contains.
    pub seq: Seq,
    /// The hash of that record.
    pub record_hash: Hash,
    /// What it holds, in the order it was given.
    pub sections: Vec<Section>,
}

/// One part of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// What it is, as `state`.
    pub name: String,
    /// Version of its form.
    pub version: u16,
    /// Its content, as its owner encoded it.
    pub bytes: Vec<u8>,
}

/// A snapshot that is in the object store, as `snapshot_taken` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// Hash of the object.
    pub hash: Hash,
    /// Size of the object.
    pub bytes: u64,
}

impl Snapshot {
    /// The position after which the log continues it.
    pub fn cursor(&self) -> Cursor {
        Cursor {
            seq: self.seq,
            hash: self.record_hash,
        }
    }

    /// The bytes of the section with this name and version.
    pub fn section(&self, name: &str, version: u16) -> Option<&[u8]> {
        let section = self
            .sections
            .iter()
            .find(|section| section.name == name && section.version == version)?;
        Some(&section.bytes)
    }
}

impl Stored {
    fn of(object: &[u8]) -> Stored {
        Stored {
            hash: Hash::of(object),
            bytes: object.len() as u64,
        }
    }
}

/// The object and its hash.
pub fn encode(snapshot: &Snapshot) -> Result<(Bytes, Hash), StoreError> {
    let mut header = Vec::with_capacity(40);
    header.extend_from_slice(&snapshot.seq.0.to_le_bytes());
    header.extend_from_slice(&snapshot.record_hash.0);

    let mut content = Vec::new();
    for section in &snapshot.sections {
        envelope::put_text(&section.name, &mut content)?;
        content.extend_from_slice(&section.version.to_le_bytes());
        let size = u32::try_from(section.bytes.len()).map_err(|_| {
            StoreError::Internal(format!("section `{}` is too large", section.name))
        })?;
        content.extend_from_slice(&size.to_le_bytes());
        content.extend_from_slice(&section.bytes);
    }
    let object = envelope::seal(FORM, &header, &content)?;
    let hash = Hash::of(&object);
    Ok((object, hash))
}

/// The snapshot in the object at `place`; every byte is verified.
pub fn decode(place: &str, object: &[u8]) -> Result<Snapshot, StoreError> {
    let (header, content) = envelope::open(FORM, place, object)?;
    let mut fields = Fields::new(place, header);
    let seq = Seq(fields.u64()?);
    let record_hash = fields.hash()?;
    fields.end()?;

    let mut fields = Fields::new(place, &content);
    let mut sections = Vec::new();
    while !fields.is_empty() {
        let name = fields.text()?;
        let version = fields.u16()?;
        let size = fields.size()?;
        let bytes = fields.take(size)?.to_vec();
        sections.push(Section {
            name,
            version,
            bytes,
        });
    }
    Ok(Snapshot {
        seq,
        record_hash,
        sections,
    })
}

/// Stores a snapshot. Safe to repeat after any failure: one that is there already and contains
/// the same record counts, whoever stored it.
pub async fn put(replica: &Replica, snapshot: &Snapshot) -> Result<Stored, StoreError> {
    let (object, _) = encode(snapshot)?;
    let path = layout::snapshot(snapshot.seq);
    let stored = Stored::of(&object);
    if replica.create(&path, object).await? == Created::New {
        return Ok(stored);
    }
    match get(replica, snapshot.seq).await? {
        Some((existing, stored)) if existing.cursor() == snapshot.cursor() => Ok(stored),
        Some(_) => Err(corrupt(path.as_ref(), "it belongs to another history")),
        None => Err(StoreError::Remote {
            operation: "read",
            object: path.to_string(),
            reason: "it exists but cannot be read".to_owned(),
        }),
    }
}

/// The seqs of all snapshots, newest first. The list may lack a very new one.
pub async fn list(replica: &Replica) -> Result<Vec<Seq>, StoreError> {
    let names = replica.list(layout::SNAPSHOTS).await?;
    let mut seqs: Vec<Seq> = names.iter().filter_map(layout::number).map(Seq).collect();
    seqs.sort_unstable_by(|a, b| b.cmp(a));
    Ok(seqs)
}

/// The snapshot after this record, with what `snapshot_taken` must say about it; `None` when there
/// is none.
pub async fn get(replica: &Replica, seq: Seq) -> Result<Option<(Snapshot, Stored)>, StoreError> {
    let path = layout::snapshot(seq);
    let Some(object) = replica.get(&path).await? else {
        return Ok(None);
    };
    let snapshot = decode(path.as_ref(), &object)?;
    if snapshot.seq != seq {
        let reason = format!("it contains record #{}", snapshot.seq);
        return Err(corrupt(path.as_ref(), reason));
    }
    Ok(Some((snapshot, Stored::of(&object))))
}

#[cfg(test)]
mod tests;
