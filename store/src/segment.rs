//! Segments: immutable runs of records in the object store.
//!
//! A segment is an envelope (magic, sizes, header, crc32c, zstd, blake3) with magic `MBTSEG\0\x01`
//! and this header; its content is the frames of the records (see `moltbot_core::codec`), one
//! after another.
//!
//! | bytes | field |
//! |---|---|
//! | 8 | epoch of the writer; of merged segments, the last one's |
//! | 8 | seq of the first record |
//! | 8 | seq of the last record |
//! | 32 | hash of the record before the first; zeros when there is none |
//! | 32 | hash of the last record |
//! | 2 + n | id of that writer, after its length |
//!
//! Segments that follow one another can be merged: the frames stay byte for byte as they were, so
//! the chain does not change, and who wrote which of them in which epoch is still told by the
//! `writer_started` records among them.
//!
//! Invariant: the same records of the same writer and epoch give the same bytes, so a retry can be
//! compared with what is stored (the packed bytes may differ between versions of zstd); a segment
//! that decodes holds the records `first..=last`, chained from `before` to `after`.
//! Does not know where a segment is stored or whether it was shipped.

use crate::envelope::{self, Fields, Form, corrupt};
use crate::error::StoreError;
use crate::settings::{MERGED_CONTENT_BYTES_MAX, OBJECT_RECORDS_MAX, SEGMENT_CONTENT_BYTES_MAX};
use bytes::Bytes;
use moltbot_core::chain::{Cursor, Hash};
use moltbot_core::codec;
use moltbot_core::error::CodecError;
use moltbot_core::ids::{Epoch, InstanceId, Seq};
use moltbot_core::record::Record;

/// As many bytes from the start of a segment are enough for [`decode_header`].
pub const HEADER_BYTES_MAX: usize = 2048;

const FORM: Form = Form {
    magic: *b"MBTSEG\0\x01",
    noun: "segment",
    content_bytes_max: SEGMENT_CONTENT_BYTES_MAX,
};

/// What a segment says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Generation of the writer.
    pub epoch: Epoch,
    /// Who wrote it.
    pub writer: InstanceId,
    /// Its first record.
    pub first: Seq,
    /// Its last record.
    pub last: Seq,
    /// Hash of the record before the first.
    pub before: Hash,
    /// Hash of the last record.
    pub after: Hash,
}

impl SegmentHeader {
    /// The position that must have been reached for this segment to follow.
    pub fn from(&self) -> Cursor {
        Cursor {
            seq: Seq(self.first.0.saturating_sub(1)),
            hash: self.before,
        }
    }

    /// The position after this segment.
    pub fn to(&self) -> Cursor {
        Cursor {
            seq: self.last,
            hash: self.after,
        }
    }
}

/// A segment that was read and verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// What it says about itself.
    pub header: SegmentHeader,
    /// The records `first..=last`.
    pub records: Vec<Record>,
}

/// The bytes of a segment. The records must be linked, contiguous and at least one.
pub fn encode(epoch: Epoch, writer: &InstanceId, records: &[Record]) -> Result<Bytes, StoreError> {
    let [first, ..] = records else {
        return Err(StoreError::Internal("a segment needs a record".to_owned()));
    };
    let before = Cursor {
        seq: Seq(first.seq.0.saturating_sub(1)),
        hash: first.prev_hash,
    };
    let after = follow(before, records)?;
    let header = SegmentHeader {
        epoch,
        writer: writer.clone(),
        first: first.seq,
        last: after.seq,
        before: before.hash,
        after: after.hash,
    };
    let mut content = Vec::new();
    for record in records {
        codec::encode_frame(record, &mut content)
            .map_err(|error| StoreError::Internal(format!("record #{}: {error}", record.seq)))?;
    }
    envelope::seal(FORM, &header_bytes(&header)?, &content)
}

/// Segments that follow one another, on their way to become one.
#[derive(Debug, Default)]
pub struct Merge {
    header: Option<SegmentHeader>,
    content: Vec<u8>,
}

impl Merge {
    /// Adds the segment at `place`, fully verified. `false`: it does not fit any more, it does not
    /// follow, or an older epoch wrote it; then nothing was added.
    pub fn push(&mut self, place: &str, bytes: &[u8]) -> Result<bool, StoreError> {
        let (next, content) = open(place, bytes)?.0;
        let header = match self.header.take() {
            None => next,
            Some(held) => {
                let records = next.last.0 - held.first.0;
                let is_fitting = self.content.len() + content.len() <= MERGED_CONTENT_BYTES_MAX
                    && records < OBJECT_RECORDS_MAX;
                if !is_fitting || next.from() != held.to() || next.epoch < held.epoch {
                    self.header = Some(held);
                    return Ok(false);
                }
                SegmentHeader {
                    first: held.first,
                    before: held.before,
                    ..next
                }
            }
        };
        self.header = Some(header);
        self.content.extend_from_slice(&content);
        Ok(true)
    }

    /// What the merged segment will say about itself; `None` before anything was added.
    pub fn header(&self) -> Option<&SegmentHeader> {
        self.header.as_ref()
    }

    /// The bytes of the merged segment.
    pub fn finish(self) -> Result<Bytes, StoreError> {
        let header = self
            .header
            .ok_or_else(|| StoreError::Internal("nothing to merge".to_owned()))?;
        envelope::seal(FORM, &header_bytes(&header)?, &self.content)
    }
}

fn header_bytes(header: &SegmentHeader) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::with_capacity(90 + header.writer.0.len());
    bytes.extend_from_slice(&header.epoch.0.to_le_bytes());
    bytes.extend_from_slice(&header.first.0.to_le_bytes());
    bytes.extend_from_slice(&header.last.0.to_le_bytes());
    bytes.extend_from_slice(&header.before.0);
    bytes.extend_from_slice(&header.after.0);
    envelope::put_text(&header.writer.0, &mut bytes)?;
    Ok(bytes)
}

/// The header, from at least the first [`HEADER_BYTES_MAX`] bytes of the segment at `place`.
/// Says nothing about the rest of it.
pub fn decode_header(place: &str, bytes: &[u8]) -> Result<SegmentHeader, StoreError> {
    parse_header(place, envelope::header(FORM, place, bytes)?)
}

/// The whole segment at `place`: every byte is verified, and the chain from `before` to `after`.
pub fn decode(place: &str, bytes: &[u8]) -> Result<Segment, StoreError> {
    let ((header, _), records) = open(place, bytes)?;
    Ok(Segment { header, records })
}

type Opened = ((SegmentHeader, Vec<u8>), Vec<Record>);

/// Header, frames and records of the segment at `place`, fully verified.
fn open(place: &str, bytes: &[u8]) -> Result<Opened, StoreError> {
    let (header, content) = envelope::open(FORM, place, bytes)?;
    let header = parse_header(place, header)?;
    let records =
        codec::decode_frames(&content, header.from()).map_err(|error| codec_error(place, error))?;
    if records.last().map(Record::cursor) != Some(header.to()) {
        return Err(corrupt(place, "its records are not those its header names"));
    }
    Ok(((header, content), records))
}

/// The position after these records, which must follow `before` one by one.
pub(crate) fn follow(before: Cursor, records: &[Record]) -> Result<Cursor, StoreError> {
    records.iter().try_fold(before, |head, record| {
        if record.seq == head.seq.next() && record.prev_hash == head.hash {
            return Ok(record.cursor());
        }
        let given = Cursor {
            seq: Seq(record.seq.0.saturating_sub(1)),
            hash: record.prev_hash,
        };
        Err(StoreError::NotNext { head, given })
    })
}

fn parse_header(place: &str, bytes: &[u8]) -> Result<SegmentHeader, StoreError> {
    let mut fields = Fields::new(place, bytes);
    let header = SegmentHeader {
        epoch: Epoch(fields.u64()?),
        first: Seq(fields.u64()?),
        last: Seq(fields.u64()?),
        before: fields.hash()?,
        after: fields.hash()?,
        writer: InstanceId(fields.text()?),
    };
    fields.end()?;
    if header.first == Seq::ZERO || header.last < header.first || header.last.0 == u64::MAX {
        return Err(corrupt(place, "its header names an impossible range"));
    }
    Ok(header)
}

fn codec_error(place: &str, error: CodecError) -> StoreError {
    StoreError::Codec {
        place: format!("`{place}`"),
        error,
    }
}
