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
use serde::{Deserialize, Serialize, Serializer};

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

/// The body of a record, borrowed from it or from its bytes.
#[derive(Serialize, Deserialize)]
struct Body<'a> {
    seq: u64,
    at_ms: i64,
    actor: &'a str,
    cause: Option<u64>,
    correlation: u64,
    stream: &'a str,
    kind: u16,
    version: u16,
    critical: bool,
    // The same bytes as a sequence of u8, but written in one piece.
    #[serde(serialize_with = "as_bytes")]
    payload: &'a [u8],
}

fn as_bytes<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

/// Links a record to its predecessor: sets `prev_hash` and `hash`. Every record that is appended
/// went through here.
pub fn link(mut record: Record, prev: Hash) -> Result<Record, CodecError> {
    let mut body = Vec::new();
    encode_body(&record, &mut body)?;
    record.prev_hash = prev;
    record.hash = prev.next(&body);
    Ok(record)
}

/// The body of a record: what its hash covers after the hash of the record before it.
pub fn body(record: &Record) -> Result<Vec<u8>, CodecError> {
    let mut body = Vec::new();
    encode_body(record, &mut body)?;
    Ok(body)
}

/// The record of a body that follows `after`, as [`body`] gives it; its hash is computed anew, so
/// whoever knows the hash it had compares the two.
pub fn decode_body(body: &[u8], after: Cursor) -> Result<Record, CodecError> {
    let hash = after.hash.next(body);
    let frame = Frame { body, hash };
    Ok(frame.record(&frame.decode(after)?, after))
}

/// Appends the frame of a linked record to `out`; after an error `out` is as it was.
pub fn encode_frame(record: &Record, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let start = out.len();
    let result = append_frame(record, out);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

fn append_frame(record: &Record, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    encode_body(record, out)?;
    out.extend_from_slice(&record.hash.0);
    let (header, frame) = out.split_at_mut(start + HEADER_BYTES);
    if frame.len() > FRAME_BYTES_MAX {
        return Err(CodecError::TooLarge {
            bytes: frame.len(),
            max: FRAME_BYTES_MAX,
        });
    }
    let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
    let crc = crc32c::crc32c(frame);
    if let Some(header) = header.last_chunk_mut::<HEADER_BYTES>() {
        let sizes = (u64::from(crc) << 32) | u64::from(length);
        *header = sizes.to_le_bytes();
    }
    Ok(())
}

/// Decodes the frame at the start of `bytes`, which must follow `after`. Returns the record and
/// the number of bytes it took.
pub fn decode_frame(bytes: &[u8], after: Cursor) -> Result<(Record, usize), CodecError> {
    let frame = Frame::at(bytes, after)?;
    let body = frame.decode(after)?;
    frame.verify(after)?;
    Ok((frame.record(&body, after), frame.size()))
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

/// Checks all frames in `bytes` as [`decode_frames`] does, without making records of them. Returns
/// the position after the last.
pub fn verify_frames(mut bytes: &[u8], after: Cursor) -> Result<Cursor, CodecError> {
    let mut cursor = after;
    while !bytes.is_empty() {
        let frame = Frame::at(bytes, cursor)?;
        frame.decode(cursor)?;
        frame.verify(cursor)?;
        cursor = frame.cursor(cursor);
        bytes = bytes.get(frame.size()..).unwrap_or_default();
    }
    Ok(cursor)
}

/// The parts of a frame whose checksum fits.
struct Frame<'a> {
    body: &'a [u8],
    hash: Hash,
}

impl<'a> Frame<'a> {
    fn at(bytes: &'a [u8], after: Cursor) -> Result<Frame<'a>, CodecError> {
        let seq = after.seq.next();
        let torn = || CodecError::Torn { seq };
        let (length, rest) = bytes.split_first_chunk().ok_or_else(torn)?;
        let (crc, rest) = rest.split_first_chunk().ok_or_else(torn)?;
        let length = u32::from_le_bytes(*length) as usize;
        if !(HASH_BYTES..=FRAME_BYTES_MAX).contains(&length) {
            return Err(CodecError::Damaged {
                seq,
                what: "frame length",
            });
        }
        let frame = rest.get(..length).ok_or_else(torn)?;
        if crc32c::crc32c(frame) != u32::from_le_bytes(*crc) {
            return Err(CodecError::Damaged {
                seq,
                what: "checksum",
            });
        }
        let (body, hash) = frame.split_last_chunk().ok_or_else(torn)?;
        let hash = Hash(*hash);
        Ok(Frame { body, hash })
    }

    fn size(&self) -> usize {
        HEADER_BYTES + self.body.len() + HASH_BYTES
    }

    fn cursor(&self, after: Cursor) -> Cursor {
        Cursor {
            seq: after.seq.next(),
            hash: self.hash,
        }
    }

    fn decode(&self, after: Cursor) -> Result<Body<'a>, CodecError> {
        let seq = after.seq.next();
        let damaged = |what| CodecError::Damaged { seq, what };
        let (body, used): (Body<'a>, usize) =
            bincode::serde::borrow_decode_from_slice(self.body, config())
                .map_err(|_| damaged("record body"))?;
        if used != self.body.len() {
            return Err(damaged("record body length"));
        }
        if body.seq != seq.0 {
            return Err(CodecError::Gap {
                expected: seq,
                found: Seq(body.seq),
            });
        }
        Ok(body)
    }

    fn verify(&self, after: Cursor) -> Result<(), CodecError> {
        if after.hash.next(self.body) == self.hash {
            return Ok(());
        }
        Err(CodecError::Unlinked {
            seq: after.seq.next(),
        })
    }

    fn record(&self, body: &Body<'_>, after: Cursor) -> Record {
        Record {
            seq: Seq(body.seq),
            at: Timestamp(body.at_ms),
            actor: body.actor.to_owned(),
            cause: body.cause.map(Seq),
            correlation: Seq(body.correlation),
            stream: body.stream.to_owned(),
            kind: body.kind,
            version: body.version,
            critical: body.critical,
            payload: body.payload.to_vec(),
            prev_hash: after.hash,
            hash: self.hash,
        }
    }
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

fn encode_body(record: &Record, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let body = Body {
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
    bincode::serde::encode_into_std_write(body, out, config())
        .map(drop)
        .map_err(|error| CodecError::Encode {
            what: "record",
            reason: error.to_string(),
        })
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
    fn a_body_and_the_hash_before_it_give_the_record_back() {
        let first = record(1, Hash::ZERO);
        let second = record(2, first.hash);
        let bytes = body(&second).unwrap();
        assert_eq!(second.hash, first.hash.next(&bytes));
        assert_eq!(decode_body(&bytes, first.cursor()), Ok(second.clone()));
        assert_ne!(
            decode_body(
                &bytes,
                Cursor {
                    seq: Seq(1),
                    ..Cursor::START
                }
            ),
            Ok(second)
        );
        assert!(decode_body(&bytes, Cursor::START).is_err(), "another seq");
        assert!(decode_body(&bytes[1..], first.cursor()).is_err());
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
