//! The stored form of records in the local log.
//!
//! ```text
//! group = hash of the record before the first [32] ‖ frames (see `moltbot_core::codec`)
//! key   = seq of the first record u64 BE ‖ part u16 BE
//! value = the part-th 4 KiB of the group
//! base  = under the key of seq 0: seq u64 BE ‖ hash [32] of the record the first group follows;
//!         absent for a log from seq 1
//! ```
//!
//! A batch is one group in the tail; on their way into sled, small groups are joined and large ones
//! split. Groups are cut into parts because sled keeps up to twenty values in one leaf and must not
//! be given a leaf of 128 KiB.
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

/// Writes these groups, which follow each other, as groups of about `group_bytes_max`.
pub(super) fn insert<'a>(
    batch: &mut sled::Batch,
    groups: impl IntoIterator<Item = &'a Group>,
    group_bytes_max: usize,
) -> Result<(), StoreError> {
    let mut next: Option<Group> = None;
    for group in groups {
        let mut frames = group.frames()?;
        while let Some((before, frame)) = frames.next()? {
            match &mut next {
                Some(next) if next.bytes.len() + frame.len() <= group_bytes_max => {
                    next.bytes.extend_from_slice(frame);
                }
                next => {
                    let bytes = [before.hash.0.as_slice(), frame].concat();
                    let first = before.seq.next();
                    if let Some(full) = next.replace(Group { first, bytes }) {
                        insert_parts(batch, &full)?;
                    }
                }
            }
        }
    }
    next.map_or(Ok(()), |last| insert_parts(batch, &last))
}

fn insert_parts(batch: &mut sled::Batch, group: &Group) -> Result<(), StoreError> {
    for (part, value) in group.bytes.chunks(LOG_VALUE_BYTES_MAX).enumerate() {
        let part = u16::try_from(part).map_err(|_| {
            StoreError::Internal(format!("group #{} has too many parts", group.first))
        })?;
        batch.insert(&key(group.first, part), value);
    }
    Ok(())
}

/// What the first group follows.
pub(super) fn base(log: &sled::Tree) -> Result<Cursor, StoreError> {
    let stored = log
        .get(key(Seq::ZERO, 0))
        .map_err(|error| read_error("read", error))?;
    let Some(stored) = stored else {
        return Ok(Cursor::START);
    };
    match stored.split_first_chunk() {
        Some((seq, hash)) if hash.len() == HASH_BYTES => Ok(Cursor {
            seq: Seq(u64::from_be_bytes(*seq)),
            hash: Hash(hash.first_chunk().copied().unwrap_or_default()),
        }),
        _ => Err(StoreError::Corrupt {
            place: PLACE.to_owned(),
            reason: format!("its base has {} bytes", stored.len()),
        }),
    }
}

/// Has the first group follow this.
pub(super) fn insert_base(batch: &mut sled::Batch, base: Cursor) {
    let value = [base.seq.0.to_be_bytes().as_slice(), &base.hash.0].concat();
    batch.insert(&key(Seq::ZERO, 0), value);
}

/// Removes every record after `last`, and at seq 0 the base. The group that holds `last` is written
/// anew without them.
pub(super) fn cut_after(
    batch: &mut sled::Batch,
    log: &sled::Tree,
    last: Seq,
) -> Result<(), StoreError> {
    let kept = containing(log, last)?;
    let all = if last == Seq::ZERO { last } else { Seq(1) };
    let from = kept.as_ref().map_or(all, |group| group.first);
    for entry in log.range(key(from, 0)..).keys() {
        batch.remove(entry.map_err(|error| read_error("read", error))?);
    }
    let Some(mut group) = kept else {
        return Ok(());
    };
    let (_, dropped) = group.skip_to(last.next())?;
    let kept_bytes = group.bytes.len() - dropped.len();
    group.bytes.truncate(kept_bytes);
    insert_parts(batch, &group)
}

/// The position of this seq, if the log reaches it.
pub(super) fn cursor(log: &sled::Tree, seq: Seq) -> Result<Option<Cursor>, StoreError> {
    for known in [Cursor::START, base(log)?] {
        if seq == known.seq {
            return Ok(Some(known));
        }
    }
    let Some(group) = containing(log, seq)? else {
        return Ok(None);
    };
    let (cursor, _) = group.skip_to(seq.next())?;
    Ok((cursor.seq == seq).then_some(cursor))
}

/// The group that would hold this seq, if the log reaches it.
pub(super) fn containing(log: &sled::Tree, seq: Seq) -> Result<Option<Group>, StoreError> {
    let Some(entry) = log.range(..=key(seq, u16::MAX)).next_back() else {
        return Ok(None);
    };
    let (found, _) = entry.map_err(|error| read_error("read", error))?;
    let first = first_of(&found)?;
    if first == Seq::ZERO {
        return Ok(None);
    }
    Groups::over(log.range(key(first, 0)..=key(first, u16::MAX)))
        .next()
        .transpose()
}

/// All groups that begin in this range.
pub(super) fn within(log: &sled::Tree, from: Seq, to: Option<Seq>) -> Groups {
    let from = key(from.max(Seq(1)), 0);
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
    Ok(Some(first_of(&entry.0)?).filter(|first| *first > Seq::ZERO))
}

/// All groups from the one that holds this seq.
pub(super) fn from(log: &sled::Tree, seq: Seq) -> Result<Groups, StoreError> {
    let first = match log.range(..=key(seq, u16::MAX)).next_back() {
        Some(entry) => first_of(&entry.map_err(|error| read_error("read", error))?.0)?,
        None => seq,
    };
    Ok(Groups::over(log.range(key(first.max(Seq(1)), 0)..)))
}

impl Group {
    /// These linked records, which follow `before`.
    pub(super) fn of(before: Cursor, records: &[Record]) -> Result<Group, StoreError> {
        let mut bytes = before.hash.0.to_vec();
        for record in records {
            codec::encode_frame(record, &mut bytes).map_err(|error| {
                StoreError::Internal(format!("record #{} cannot be stored: {error}", record.seq))
            })?;
        }
        let first = before.seq.next();
        Ok(Group { first, bytes })
    }

    /// As it was stored; says nothing about whether it verifies.
    pub(super) fn stored(first: Seq, bytes: Vec<u8>) -> Group {
        Group { first, bytes }
    }

    /// What is stored.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Checks all of it; the record it follows, and its last one.
    pub(super) fn verify(&self) -> Result<(Cursor, Cursor), StoreError> {
        let Frames { before, bytes } = self.frames()?;
        let last = codec::verify_frames(bytes, before).map_err(bad)?;
        Ok((before, last))
    }

    /// The record before `seq` and the frames from `seq` on. What is skipped is not verified: it
    /// was when the log was opened.
    pub(super) fn skip_to(&self, seq: Seq) -> Result<(Cursor, &[u8]), StoreError> {
        let mut frames = self.frames()?;
        while frames.before.seq.next() < seq && frames.next()?.is_some() {}
        Ok((frames.before, frames.bytes))
    }

    fn frames(&self) -> Result<Frames<'_>, StoreError> {
        let (hash, bytes) = self
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
        let before = Cursor { seq, hash };
        Ok(Frames { before, bytes })
    }
}

/// The frames that are left of a group, taken apart but not verified.
struct Frames<'a> {
    before: Cursor,
    bytes: &'a [u8],
}

impl<'a> Frames<'a> {
    /// The next one, and the record before it.
    fn next(&mut self) -> Result<Option<(Cursor, &'a [u8])>, StoreError> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let before = self.before;
        let seq = before.seq.next();
        let torn = || bad(CodecError::Torn { seq });
        let (length, _) = self.bytes.split_first_chunk().ok_or_else(torn)?;
        let end = FRAME_HEADER_BYTES + u32::from_le_bytes(*length) as usize;
        let (frame, rest) = self.bytes.split_at_checked(end).ok_or_else(torn)?;
        let (_, hash) = frame.split_last_chunk().ok_or_else(torn)?;
        let hash = Hash(*hash);
        self.before = Cursor { seq, hash };
        self.bytes = rest;
        Ok(Some((before, frame)))
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
