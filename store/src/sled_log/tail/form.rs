//! The bytes of the tail's headers and frames.

use super::super::groups::Group;
use crate::error::StoreError;
use crate::settings::TAIL_BLOCK_BYTES;
use moltbot_core::chain::{Cursor, Hash};
use moltbot_core::ids::Seq;
use std::ops::Range;

/// What a header begins with, before the version of the form.
const MAGIC: [u8; 7] = *b"mb-tail";
/// Version of the form, of the tail and of all that sled holds beside it: a log always has a tail, so
/// whoever changes the form of anything in the local log raises this.
pub(super) const FORM: u8 = 1;
const HEADER_BYTES: usize = 8 + 8 + 8 + 8 + 32;
const PREFIX_BYTES: usize = 4 + 4 + 8 + 8 + 8;
/// Both headers.
const HEADERS_BYTES: u64 = 2 * TAIL_BLOCK_BYTES as u64;

/// What a generation begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Counts the uses of the file.
    pub(super) generation: u64,
    /// Size of the file.
    pub(super) bytes: u64,
    /// What the first frame follows.
    pub(super) base: Cursor,
}

impl Header {
    /// Of a new file.
    pub(super) fn first(base: Cursor, bytes: usize) -> Header {
        Header {
            generation: 1,
            bytes: bytes as u64,
            base,
        }
    }

    /// Of the next use.
    pub(super) fn next(&self, base: Cursor) -> Header {
        Header {
            generation: self.generation + 1,
            base,
            ..*self
        }
    }

    /// The newest version that a header of this file is written in, if it is not a known one.
    pub(super) fn newer_form(file: &[u8]) -> Option<u8> {
        let blocks = file.chunks(TAIL_BLOCK_BYTES).take(2);
        let forms = blocks.filter_map(|block| match block.strip_prefix(&MAGIC)? {
            [form, rest @ ..] if *form > FORM => {
                // Where all else is of our form, the version is what was damaged.
                let ours = [&MAGIC[..], &[FORM], rest].concat();
                Header::decode(&ours).is_none().then_some(*form)
            }
            _ => None,
        });
        forms.max()
    }

    /// Those that can be read, the newest last.
    pub(super) fn all(file: &[u8]) -> Vec<Header> {
        let blocks = file.chunks(TAIL_BLOCK_BYTES).take(2);
        let mut found: Vec<Header> = blocks.filter_map(Header::decode).collect();
        found.sort_by_key(|header| header.generation);
        found
    }

    /// Its place in the file: that of the header before the last.
    pub(super) fn at(&self) -> u64 {
        self.generation % 2 * TAIL_BLOCK_BYTES as u64
    }

    /// Where its frames are: the half that the generation before the last had.
    pub(super) fn frames(&self) -> Range<u64> {
        let block = TAIL_BLOCK_BYTES as u64;
        let half = self.bytes.saturating_sub(HEADERS_BYTES) / (2 * block) * block;
        let start = HEADERS_BYTES + self.generation % 2 * half;
        start..start + half
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(TAIL_BLOCK_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.push(FORM);
        for number in [self.generation, self.bytes, self.base.seq.0] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.base.hash.0);
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes.resize(TAIL_BLOCK_BYTES, 0);
        bytes
    }

    fn decode(block: &[u8]) -> Option<Header> {
        let (mut fields, crc) = block.split_at_checked(HEADER_BYTES)?;
        if crc32c::crc32c(fields).to_le_bytes() != *crc.first_chunk()?
            || take(&mut fields)? != MAGIC
            || take(&mut fields)? != [FORM]
        {
            return None;
        }
        let header = Header {
            generation: u64::from_le_bytes(take(&mut fields)?),
            bytes: u64::from_le_bytes(take(&mut fields)?),
            base: Cursor {
                seq: Seq(u64::from_le_bytes(take(&mut fields)?)),
                hash: Hash(take(&mut fields)?),
            },
        };
        Some(header)
    }

    /// Part of a hash that nobody knew before the record it belongs to was written.
    fn mark(&self) -> [u8; 8] {
        self.base.hash.0.first_chunk().copied().unwrap_or_default()
    }
}

/// A frame whose checksum fits.
pub(super) struct Frame {
    pub(super) generation: u64,
    mark: [u8; 8],
    pub(super) group: Group,
}

impl Frame {
    /// The frame that begins here, of whatever generation.
    pub(super) fn decode(mut bytes: &[u8]) -> Option<Frame> {
        let crc: [u8; 4] = take(&mut bytes)?;
        let covered = bytes;
        let length = u32::from_le_bytes(take(&mut bytes)?) as usize;
        let generation = u64::from_le_bytes(take(&mut bytes)?);
        let mark = take(&mut bytes)?;
        let first = Seq(u64::from_le_bytes(take(&mut bytes)?));
        let group = bytes.get(..length)?;
        let covered = covered.get(..PREFIX_BYTES - crc.len() + length)?;
        (generation > 0 && crc32c::crc32c(covered).to_le_bytes() == crc).then(|| Frame {
            generation,
            mark,
            group: Group::stored(first, group.to_vec()),
        })
    }

    pub(super) fn is_of(&self, header: &Header) -> bool {
        self.generation == header.generation && self.mark == header.mark()
    }
}

/// The size of this group's frame in the file: whole blocks.
pub(super) fn blocks_bytes(group: &Group) -> usize {
    (PREFIX_BYTES + group.bytes().len()).next_multiple_of(TAIL_BLOCK_BYTES)
}

/// The blocks of this group's frame, in place of what was in `blocks`.
pub(super) fn encode_frame(
    header: &Header,
    group: &Group,
    blocks: &mut Vec<u8>,
) -> Result<(), StoreError> {
    let length = u32::try_from(group.bytes().len())
        .map_err(|_| StoreError::Internal(format!("group #{} is too large", group.first)))?;
    blocks.clear();
    blocks.extend_from_slice(&[0; 4]);
    blocks.extend_from_slice(&length.to_le_bytes());
    blocks.extend_from_slice(&header.generation.to_le_bytes());
    blocks.extend_from_slice(&header.mark());
    blocks.extend_from_slice(&group.first.0.to_le_bytes());
    blocks.extend_from_slice(group.bytes());
    if let Some((crc, covered)) = blocks.split_first_chunk_mut() {
        *crc = crc32c::crc32c(covered).to_le_bytes();
    }
    blocks.resize(blocks.len().next_multiple_of(TAIL_BLOCK_BYTES), 0);
    Ok(())
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (field, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*field)
}
