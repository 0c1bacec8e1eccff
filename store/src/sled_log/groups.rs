//! The stored form of records in the local log.
//!
//! ```text
//! group = hash of the record before the first [32] ‖ frames (see `moltbot_core::codec`)
//! key   = seq of the first record u64 BE ‖ part u16 BE
//! value = the part-th 4 KiB of the group
//! ```
//!
//! A committed batch is one group, or several when it is large. Groups are cut into parts because
//! sled keeps up to twenty values in one leaf and must not be given a leaf of 128 KiB.
//! Invariant: groups follow each other without a gap, each naming the hash it follows.

use super::PLACE;
use super::disk::read_error;
use crate::error::StoreError;
use crate::settings::LOG_VALUE_BYTES_MAX;
use moltbot_core::chain::{Cursor, Hash};
use moltbot_core::codec;
use moltbot_core::error::CodecError;
use moltbot_core::ids::Seq;
use moltbot_core::record::Record;

const KEY_BYTES: usize = 10;
const FRAME_HEADER_BYTES: usize = 8;
const HASH_BYTES: usize = 32;

/// A group as it is stored.
pub(super) struct Group {
    pub(super) first: Seq,
    bytes: Vec<u8>,
}

/// Writes these records, which follow `before`, as groups of about `group_bytes_max`.
pub(super) fn insert(
    batch: &mut sled::Batch,
    before: Cursor,
    records: &[Record],
    group_bytes_max: usize,
) -> Result<(), StoreError> {
    let mut follows = before;
    let mut head = before;
    let mut group = before.hash.0.to_vec();
    for record in records {
        let start = group.len();
        codec::encode_frame(record, &mut group).map_err(|error| {
            StoreError::Internal(format!("record #{} cannot be stored: {error}", record.seq))
        })?;
        if start > HASH_BYTES && group.len() > group_bytes_max {
            let frame = group.split_off(start);
            insert_parts(batch, follows.seq.next(), &group)?;
            follows = head;
            group = [follows.hash.0.as_slice(), &frame].concat();
        }
        head = record.cursor();
    }
    insert_parts(batch, follows.seq.next(), &group)
}

fn insert_parts(batch: &mut sled::Batch, first: Seq, group: &[u8]) -> Result<(), StoreError> {
    for (part, value) in group.chunks(LOG_VALUE_BYTES_MAX).enumerate() {
        let part = u16::try_from(part)
            .map_err(|_| StoreError::Internal(format!("group #{first} has too many parts")))?;
        batch.insert(&key(first, part), value);
    }
    Ok(())
}

/// Removes every record after `last`. The group that holds `last` is written anew without them.
pub(super) fn cut_after(
    batch: &mut sled::Batch,
    log: &sled::Tree,
    last: Seq,
) -> Result<(), StoreError> {
    let kept = containing(log, last)?
        .map(|group| group.decode())
        .transpose()?;
    let from = match &kept {
        Some((before, _)) => before.seq.next(),
        None => Seq::ZERO,
    };
    for entry in log.range(key(from, 0)..).keys() {
        batch.remove(entry.map_err(|error| read_error("read", error))?);
    }
    let Some((before, mut records)) = kept else {
        return Ok(());
    };
    records.retain(|record| record.seq <= last);
    insert(batch, before, &records, usize::MAX)
}

/// The group that would hold this seq, if the log reaches it.
pub(super) fn containing(log: &sled::Tree, seq: Seq) -> Result<Option<Group>, StoreError> {
    let Some(entry) = log.range(..=key(seq, u16::MAX)).next_back() else {
        return Ok(None);
    };
    let (found, _) = entry.map_err(|error| read_error("read", error))?;
    let first = first_of(&found)?;
    Groups::over(log.range(key(first, 0)..=key(first, u16::MAX)))
        .next()
        .transpose()
}

/// All groups that begin in this range.
pub(super) fn within(log: &sled::Tree, from: Seq, to: Option<Seq>) -> Groups {
    let from = key(from, 0);
    Groups::over(match to {
        Some(to) => log.range(from..key(to, 0)),
        None => log.range(from..),
    })
}

/// The first seq of the last group; `None` for an empty log.
pub(super) fn last_first(log: &sled::Tree) -> Result<Option<Seq>, StoreError> {
    let Some(entry) = log.last().map_err(|error| read_error("read", error))? else {
        return Ok(None);
    };
    first_of(&entry.0).map(Some)
}

/// All groups from the one that holds this seq.
pub(super) fn from(log: &sled::Tree, seq: Seq) -> Result<Groups, StoreError> {
    let first = match log.range(..=key(seq, u16::MAX)).next_back() {
        Some(entry) => first_of(&entry.map_err(|error| read_error("read", error))?.0)?,
        None => seq,
    };
    Ok(Groups::over(log.range(key(first, 0)..)))
}

impl Group {
    /// The record it follows, and its records.
    fn decode(&self) -> Result<(Cursor, Vec<Record>), StoreError> {
        let (before, frames) = self.split()?;
        let records = codec::decode_frames(frames, before).map_err(bad)?;
        Ok((before, records))
    }

    /// Checks all of it; the record it follows, and its last one.
    pub(super) fn verify(&self) -> Result<(Cursor, Cursor), StoreError> {
        let (before, frames) = self.split()?;
        let last = codec::verify_frames(frames, before).map_err(bad)?;
        Ok((before, last))
    }

    /// The record before `seq` and the frames from `seq` on. What is skipped is not verified: it
    /// was when the log was opened.
    pub(super) fn skip_to(&self, seq: Seq) -> Result<(Cursor, &[u8]), StoreError> {
        let (mut before, mut frames) = self.split()?;
        while before.seq.next() < seq && !frames.is_empty() {
            let torn = || {
                bad(CodecError::Torn {
                    seq: before.seq.next(),
                })
            };
            let (length, _) = frames.split_first_chunk().ok_or_else(torn)?;
            let end = FRAME_HEADER_BYTES + u32::from_le_bytes(*length) as usize;
            let (frame, rest) = frames.split_at_checked(end).ok_or_else(torn)?;
            let (_, hash) = frame.split_last_chunk().ok_or_else(torn)?;
            before = Cursor {
                seq: before.seq.next(),
                hash: Hash(*hash),
            };
            frames = rest;
        }
        Ok((before, frames))
    }

    fn split(&self) -> Result<(Cursor, &[u8]), StoreError> {
        let (hash, frames) = self
            .bytes
            .split_first_chunk::<HASH_BYTES>()
            .ok_or_else(|| bad(CodecError::Torn { seq: self.first }))?;
        let Some(seq) = self.first.0.checked_sub(1).map(Seq) else {
            return Err(bad(CodecError::Gap {
                expected: Seq(1),
                found: self.first,
            }));
        };
        let hash = Hash(*hash);
        Ok((Cursor { seq, hash }, frames))
    }
}

/// Puts parts together to groups.
pub(super) struct Groups {
    parts: sled::Iter,
    next: Option<Group>,
}

impl Groups {
    fn over(parts: sled::Iter) -> Groups {
        Groups { parts, next: None }
    }
}

impl Iterator for Groups {
    type Item = Result<Group, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        for part in self.parts.by_ref() {
            let (first, value) = match part
                .map_err(|error| read_error("read", error))
                .and_then(|(key, value)| Ok((first_of(&key)?, value)))
            {
                Ok(part) => part,
                Err(error) => return Some(Err(error)),
            };
            match &mut self.next {
                Some(group) if group.first == first => group.bytes.extend_from_slice(&value),
                next => {
                    let bytes = value.to_vec();
                    if let Some(group) = next.replace(Group { first, bytes }) {
                        return Some(Ok(group));
                    }
                }
            }
        }
        self.next.take().map(Ok)
    }
}

fn key(first: Seq, part: u16) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    let (seq, rest) = key.split_at_mut(8);
    seq.copy_from_slice(&first.0.to_be_bytes());
    rest.copy_from_slice(&part.to_be_bytes());
    key
}

fn first_of(key: &[u8]) -> Result<Seq, StoreError> {
    match key.split_first_chunk() {
        Some((seq, [_, _])) => Ok(Seq(u64::from_be_bytes(*seq))),
        _ => Err(StoreError::Corrupt {
            place: PLACE.to_owned(),
            reason: format!("it has a key of {} bytes", key.len()),
        }),
    }
}

pub(super) fn bad(error: CodecError) -> StoreError {
    StoreError::Codec {
        place: PLACE.to_owned(),
        error,
    }
}
