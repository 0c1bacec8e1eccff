//! Canonical bytes of a record.
//!
//! ```text
//! frame  = length u32 LE ‖ crc32c u32 LE ‖ body ‖ hash [32]
//! length = bytes of body and hash, at most 1 MiB; crc32c covers body and hash
//! body   = bincode 2 (little endian, variable-length integers) of
//!          seq u64, at_ms i64, actor string, cause option<u64>, correlation u64, stream string,
//!          kind u16, version u16, critical bool, payload bytes
//! hash   = blake3(hash of the record before ‖ body)
//! ```
//!
//! Invariant: this form never changes. The hash of the record before is not stored: the reader
//! carries it from frame to frame, so a frame only verifies at its own place.

use crate::chain::{Cursor, Hash};
use crate::error::CodecError;
use crate::ids::Seq;
use crate::record::Record;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The largest frame that is written or read.
pub const FRAME_BYTES_MAX: usize = 1 << 20;
/// What decoding may claim. Bincode counts integers at full width, so a frame may claim more than
/// it has bytes: twice as much lets every frame that was written be read.
const DECODED_BYTES_MAX: usize = 2 * FRAME_BYTES_MAX;
const HEADER_BYTES: usize = 8;
const HASH_BYTES: usize = 32;

type Config = bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    bincode::config::Limit<DECODED_BYTES_MAX>,
>;

/// The one bincode configuration of everything stored.
pub(crate) fn config() -> Config {
    bincode::config::standard().with_limit::<DECODED_BYTES_MAX>()
}

#[derive(Serialize)]
struct BodyRef<'a> {
    seq: u64,
    at_ms: i64,
    actor: &'a str,
    cause: Option<u64>,
    correlation: u64,
    stream: &'a str,
    kind: u16,
    version: u16,
    critical: bool,
    payload: &'a [u8],
}

#[derive(Deserialize)]
struct Body {
    seq: u64,
    at_ms: i64,
    actor: String,
    cause: Option<u64>,
    correlation: u64,
    stream: String,
    kind: u16,
    version: u16,
    critical: bool,
    payload: Vec<u8>,
}

/// Links a record to its predecessor: sets `prev_hash` and `hash`. Every record that is appended
/// went through here.
pub fn link(mut record: Record, prev: Hash) -> Result<Record, CodecError> {
    record.prev_hash = prev;
    record.hash = prev.next(&encode_body(&record)?);
    Ok(record)
}

/// Appends the frame of a linked record to `out`.
pub fn encode_frame(record: &Record, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let body = encode_body(record)?;
    let length = body.len() + HASH_BYTES;
    if length > FRAME_BYTES_MAX {
        return Err(CodecError::TooLarge {
            bytes: length,
            max: FRAME_BYTES_MAX,
        });
    }
    let crc = crc32c::crc32c_append(crc32c::crc32c(&body), &record.hash.0);
    out.reserve(HEADER_BYTES + length);
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&body);
    out.extend_from_slice(&record.hash.0);
    Ok(())
}

/// Decodes the frame at the start of `bytes`, which must follow `after`. Returns the record and
/// the number of bytes it took.
pub fn decode_frame(bytes: &[u8], after: Cursor) -> Result<(Record, usize), CodecError> {
    let seq = after.seq.next();
    let torn = || CodecError::Torn { seq };
    let (header, rest) = bytes.split_at_checked(HEADER_BYTES).ok_or_else(torn)?;
    let length = le_u32(header, 0).ok_or_else(torn)? as usize;
    let crc = le_u32(header, 4).ok_or_else(torn)?;
    if !(HASH_BYTES..=FRAME_BYTES_MAX).contains(&length) {
        return Err(CodecError::Damaged {
            seq,
            what: "frame length",
        });
    }
    let frame = rest.get(..length).ok_or_else(torn)?;
    if crc32c::crc32c(frame) != crc {
        return Err(CodecError::Damaged {
            seq,
            what: "checksum",
        });
    }
    let (body, hash) = frame.split_at(length - HASH_BYTES);
    let record = decode_body(body, after)?;
    if record.hash.0 != hash {
        return Err(CodecError::Unlinked { seq });
    }
    Ok((record, HEADER_BYTES + length))
}

/// Decodes all frames in `bytes`, the first of which must follow `after`.
pub fn decode_frames(mut bytes: &[u8], after: Cursor) -> Result<Vec<Record>, CodecError> {
    let mut cursor = after;
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let (record, used) = decode_frame(bytes, cursor)?;
        cursor = record.cursor();
        records.push(record);
        bytes = bytes.get(used..).unwrap_or_default();
    }
    Ok(records)
}

/// The largest section of a snapshot that is read.
const SECTION_BYTES_MAX: usize = 256 << 20;

/// A projection as bytes for a snapshot; versioned as a whole by its owner.
pub(crate) fn encode_section(
    what: &'static str,
    value: &impl Serialize,
) -> Result<Vec<u8>, CodecError> {
    let config = bincode::config::standard().with_limit::<SECTION_BYTES_MAX>();
    bincode::serde::encode_to_vec(value, config).map_err(|error| CodecError::Encode {
        what,
        reason: error.to_string(),
    })
}

/// The projection of a snapshot's bytes; `None` when they are no such thing.
pub(crate) fn decode_section<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Option<T> {
    let config = bincode::config::standard().with_limit::<SECTION_BYTES_MAX>();
    let (value, used) = bincode::serde::decode_from_slice(bytes, config).ok()?;
    (used == bytes.len()).then_some(value)
}

fn encode_body(record: &Record) -> Result<Vec<u8>, CodecError> {
    let body = BodyRef {
        seq: record.seq.0,
        at_ms: record.at.0,
        actor: &record.actor,
        cause: record.cause.map(|seq| seq.0),
        correlation: record.correlation.0,
        stream: &record.stream,
        kind: record.kind,
        version: record.version,
        critical: record.critical,
        payload: &record.payload,
    };
    bincode::serde::encode_to_vec(body, config()).map_err(|error| CodecError::Encode {
        what: "record",
        reason: error.to_string(),
    })
}

fn decode_body(bytes: &[u8], after: Cursor) -> Result<Record, CodecError> {
    let seq = after.seq.next();
    let (body, used): (Body, usize) =
        bincode::serde::decode_from_slice(bytes, config()).map_err(|_| CodecError::Damaged {
            seq,
            what: "record body",
        })?;
    if used != bytes.len() {
        return Err(CodecError::Damaged {
            seq,
            what: "record body length",
        });
    }
    if body.seq != seq.0 {
        return Err(CodecError::Gap {
            expected: seq,
            found: Seq(body.seq),
        });
    }
    Ok(Record {
        seq,
        at: Timestamp(body.at_ms),
        actor: body.actor,
        cause: body.cause.map(Seq),
        correlation: Seq(body.correlation),
        stream: body.stream,
        kind: body.kind,
        version: body.version,
        critical: body.critical,
        payload: body.payload,
        prev_hash: after.hash,
        hash: after.hash.next(bytes),
    })
}

fn le_u32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(seq: u64, prev: Hash) -> Record {
        let record = Record {
            seq: Seq(seq),
            at: Timestamp(1_795_358_405_123),
            actor: "system".into(),
            cause: (seq > 1).then_some(Seq(seq - 1)),
            correlation: Seq(1),
            stream: "storage".into(),
            kind: 1,
            version: 1,
            critical: true,
            payload: vec![1, 2, 3],
            prev_hash: Hash::ZERO,
            hash: Hash::ZERO,
        };
        link(record, prev).unwrap()
    }

    #[test]
    fn the_bytes_of_a_frame_are_frozen() {
        let mut frame = Vec::new();
        encode_frame(&record(1, Hash::ZERO), &mut frame).unwrap();
        insta::assert_snapshot!(crate::ids::hex(&frame));
    }

    #[test]
    fn frames_follow_each_other_only_in_order() {
        let first = record(1, Hash::ZERO);
        let second = record(2, first.hash);
        let mut bytes = Vec::new();
        encode_frame(&first, &mut bytes).unwrap();
        let split = bytes.len();
        encode_frame(&second, &mut bytes).unwrap();
        assert_eq!(
            decode_frames(&bytes, Cursor::START).unwrap(),
            vec![first, second]
        );
        assert!(decode_frames(&bytes[split..], Cursor::START).is_err());
    }

    #[test]
    fn every_frame_that_is_written_is_read() {
        for spare in [0, 32, 64, 72, 80, 84, 88, 92, 96, 120] {
            let mut large = record(1, Hash::ZERO);
            large.payload = vec![255; FRAME_BYTES_MAX - spare];
            let large = link(large, Hash::ZERO).unwrap();
            let mut frame = Vec::new();
            match encode_frame(&large, &mut frame) {
                Ok(()) => assert_eq!(decode_frames(&frame, Cursor::START), Ok(vec![large])),
                Err(error) => assert!(matches!(error, CodecError::TooLarge { .. }), "{error}"),
            }
        }
    }
}
