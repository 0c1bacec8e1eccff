//! The stored form of segments: frozen bytes, and no damage goes unnoticed.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "helpers of tests may panic as tests do"
)]

use moltbot_core::chain::{Cursor, Hash};
use moltbot_core::ids::{Epoch, InstanceId, Seq, hex};
use moltbot_core::record::Record;
use moltbot_store::error::{ErrorKind, StoreError};
use moltbot_store::segment::{HEADER_BYTES_MAX, Merge, decode, decode_header, encode};
use moltbot_store::testing::records;
use proptest::prelude::*;

fn start(seq: u64) -> Cursor {
    Cursor {
        seq: Seq(seq),
        hash: if seq == 0 { Hash::ZERO } else { Hash([7; 32]) },
    }
}

fn small() -> (Vec<Record>, Vec<u8>) {
    let records = records(start(41), 2, 12);
    let bytes = encode(Epoch(3), &"writer-1".into(), &records).unwrap();
    (records, bytes.to_vec())
}

fn assert_corrupt<T: std::fmt::Debug>(result: Result<T, StoreError>, what: &str) {
    let error = result.expect_err(what);
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
    assert!(error.to_string().contains("`x.seg`"), "{what}: {error}");
}

/// Two segments that follow one another, in two epochs, as one.
fn merged() -> (Vec<Record>, Vec<u8>) {
    let records = records(start(41), 4, 12);
    let parts = [
        (encode(Epoch(3), &"writer-1".into(), &records[..1]).unwrap()),
        (encode(Epoch(5), &"writer-2".into(), &records[1..]).unwrap()),
    ];
    let mut merge = Merge::default();
    for part in &parts {
        assert!(merge.push("x.seg", part).unwrap());
    }
    let bytes = merge.finish().unwrap();
    (records, bytes.to_vec())
}

#[test]
fn the_bytes_of_a_merged_segment_are_frozen() {
    let (_, bytes) = merged();
    let lines: Vec<String> = bytes.chunks(32).map(hex).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn a_merged_segment_holds_the_records_of_both_and_names_the_last_writer() {
    let (records, bytes) = merged();
    let segment = decode("x.seg", &bytes).unwrap();
    assert_eq!(segment.records, records);
    assert_eq!(segment.header.epoch, Epoch(5));
    assert_eq!(segment.header.writer, InstanceId::from("writer-2"));
    assert_eq!(segment.header.from(), start(41));
    assert_eq!(segment.header.to(), records[3].cursor());
}

#[test]
fn what_does_not_follow_is_not_merged() {
    let records = records(start(41), 4, 12);
    let part = |epoch, range: std::ops::Range<usize>| {
        encode(Epoch(epoch), &"w".into(), &records[range]).unwrap()
    };
    for (second, why) in [
        (part(3, 2..4), "a record is missing"),
        (part(3, 0..1), "it is the same one"),
        (part(2, 1..4), "an older epoch wrote it later"),
    ] {
        let mut merge = Merge::default();
        assert!(merge.push("x.seg", &part(3, 0..1)).unwrap());
        assert!(!merge.push("x.seg", &second).unwrap(), "{why}");
        assert_eq!(merge.finish().unwrap(), part(3, 0..1), "{why}");
    }
    let mut merge = Merge::default();
    let mut damaged = part(3, 0..1).to_vec();
    let last = damaged.len() - 40;
    damaged[last] ^= 1;
    assert_corrupt(merge.push("x.seg", &damaged), "damaged");
}

#[test]
fn the_bytes_of_a_segment_are_frozen() {
    let (_, bytes) = small();
    let lines: Vec<String> = bytes.chunks(32).map(hex).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn a_segment_decodes_to_what_was_encoded() {
    let (records, bytes) = small();
    let segment = decode("x.seg", &bytes).unwrap();
    assert_eq!(segment.records, records);
    assert_eq!(segment.header.epoch, Epoch(3));
    assert_eq!(segment.header.writer, InstanceId::from("writer-1"));
    assert_eq!(segment.header.from(), start(41));
    assert_eq!(segment.header.to(), records[1].cursor());
    let first_bytes = &bytes[..bytes.len().min(HEADER_BYTES_MAX) - 40];
    assert_eq!(decode_header("x.seg", first_bytes).unwrap(), segment.header);
}

#[test]
fn every_truncation_and_extension_is_detected() {
    for (_, mut bytes) in [small(), merged()] {
        for end in 0..bytes.len() {
            assert_corrupt(decode("x.seg", &bytes[..end]), &format!("cut at {end}"));
        }
        bytes.push(0);
        assert_corrupt(decode("x.seg", &bytes), "one byte more");
    }
}

#[test]
fn every_flipped_bit_is_detected() {
    for (_, bytes) in [small(), merged()] {
        let header_end = bytes.len() - 32 - packed_bytes(&bytes);
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_corrupt(decode("x.seg", &damaged), &format!("bit {bit}"));
            if bit / 8 < header_end {
                assert_corrupt(decode_header("x.seg", &damaged), &format!("bit {bit}"));
            }
        }
    }
}

#[test]
fn a_bomb_is_refused_before_it_is_unpacked() {
    // Valid sums, but the content is said to be larger than any segment.
    let mut bytes = b"MBTSEG\0\x01".to_vec();
    let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 3).unwrap();
    for size in [0, 64 << 20, bomb.len()] {
        bytes.extend_from_slice(&u32::try_from(size).unwrap().to_le_bytes());
    }
    let crc = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes.extend_from_slice(&bomb);
    let hash = Hash::of(&bytes);
    bytes.extend_from_slice(&hash.0);
    assert_corrupt(decode("x.seg", &bytes), "declared size");

    // The same, with a lie about the size.
    bytes[12..16].copy_from_slice(&1000_u32.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..20]);
    bytes[20..24].copy_from_slice(&crc.to_le_bytes());
    let end = bytes.len() - 32;
    let hash = Hash::of(&bytes[..end]);
    bytes[end..].copy_from_slice(&hash.0);
    assert_corrupt(decode("x.seg", &bytes), "undeclared size");
}

#[test]
fn only_linked_records_are_encoded() {
    let mut records = records(start(0), 3, 5);
    assert!(encode(Epoch(1), &"w".into(), &[]).is_err());
    records.remove(1);
    let refused = encode(Epoch(1), &"w".into(), &records);
    assert!(matches!(refused, Err(StoreError::NotNext { .. })));
}

fn packed_bytes(bytes: &[u8]) -> usize {
    u32::from_le_bytes(bytes[16..20].try_into().unwrap()) as usize
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn segments_round_trip_and_are_deterministic(
        after in 0_u64..1_000_000,
        epoch in any::<u64>(),
        writer in "[a-z0-9-]{0,64}",
        count in 1_usize..60,
        payload_bytes in 0_usize..3000,
    ) {
        let writer = InstanceId(writer);
        let records = records(start(after), count, payload_bytes);
        let bytes = encode(Epoch(epoch), &writer, &records).unwrap();
        prop_assert_eq!(&bytes, &encode(Epoch(epoch), &writer, &records).unwrap());
        let segment = decode("x.seg", &bytes).unwrap();
        prop_assert_eq!(segment.records, records);
        prop_assert_eq!(segment.header.epoch, Epoch(epoch));
        prop_assert_eq!(segment.header.writer, writer);
    }

    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(decode("x.seg", &bytes).is_err());
        prop_assert!(decode("x.seg", &[b"MBTSEG\0\x01".as_slice(), &bytes].concat()).is_err());
    }
}
