//! What tests of this crate and of others need to exercise a log.
//!
//! Invariant: everything here is deterministic; the same arguments give the same records.

pub mod conformance;
pub mod faulty_store;
pub mod rng;
pub mod sim;

use moltbot_core::chain::{Cursor, Hash};
use moltbot_core::codec;
use moltbot_core::ids::Seq;
use moltbot_core::record::Record;
use moltbot_core::time::Timestamp;

/// A kind no binary knows, so the payload may be anything.
pub const KIND: u16 = 60_000;

/// So many linked records after this position, each with a payload of so many bytes that do not
/// compress.
///
/// # Panics
/// When the payload does not fit a record.
#[expect(
    clippy::expect_used,
    reason = "a test asks for payloads that fit a record"
)]
pub fn records(after: Cursor, count: usize, payload_bytes: usize) -> Vec<Record> {
    let mut head = after;
    (0..count)
        .map(|_| {
            let record = record(head, payload(head, payload_bytes));
            let record = codec::link(record, head.hash).expect("the payload fits a record");
            head = record.cursor();
            record
        })
        .collect()
}

fn record(after: Cursor, payload: Vec<u8>) -> Record {
    let seq = after.seq.next();
    Record {
        seq,
        at: Timestamp(1_800_000_000_000 + i64::try_from(seq.0).unwrap_or_default()),
        actor: "system".to_owned(),
        cause: (after.seq > Seq::ZERO).then_some(after.seq),
        correlation: Seq(1),
        stream: "testing".to_owned(),
        kind: KIND,
        version: 1,
        critical: false,
        payload,
        prev_hash: Hash::ZERO,
        hash: Hash::ZERO,
    }
}

fn payload(after: Cursor, bytes: usize) -> Vec<u8> {
    let mut payload = vec![0; bytes];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&after.hash.0);
    hasher.update(&after.seq.0.to_le_bytes());
    hasher.finalize_xof().fill(&mut payload);
    payload
}
