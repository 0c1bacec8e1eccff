use super::*;
use crate::error::ErrorKind;
use crate::replica::ReplicaKind;
use moltbot_core::ids::hex;
use object_store::memory::InMemory;
use proptest::prelude::*;
use std::sync::Arc;

fn snapshot(seq: u64) -> Snapshot {
    let section = |name: &str, version, bytes: &[u8]| Section {
        name: name.to_owned(),
        version,
        bytes: bytes.to_vec(),
    };
    Snapshot {
        seq: Seq(seq),
        record_hash: Hash([4; 32]),
        sections: vec![
            section("state", 2, b"the state of everything"),
            section("index", 1, b""),
        ],
    }
}

fn replica() -> Replica {
    Replica::over(Arc::new(InMemory::new()), ReplicaKind::Memory)
}

#[test]
fn the_bytes_of_a_snapshot_are_frozen() {
    let (object, hash) = encode(&snapshot(77)).unwrap();
    let lines: Vec<String> = object.chunks(32).map(hex).collect();
    insta::assert_snapshot!(format!("{}\n{hash}", lines.join("\n")));
}

#[test]
fn every_flipped_bit_and_truncation_is_detected() {
    let (object, _) = encode(&snapshot(77)).unwrap();
    for bit in 0..object.len() * 8 {
        let mut damaged = object.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let error = decode("x.snap", &damaged).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "bit {bit}");
    }
    for end in 0..object.len() {
        assert!(decode("x.snap", &object[..end]).is_err());
    }
}

#[test]
fn a_segment_is_not_a_snapshot_and_a_newer_form_is_said_to_be_one() {
    let records = crate::testing::records(Cursor::START, 1, 1);
    let segment =
        crate::segment::encode(moltbot_core::ids::Epoch(1), &"w".into(), &records).unwrap();
    let error = decode("x.snap", &segment).unwrap_err();
    assert!(error.to_string().contains("not a snapshot"), "{error}");
    let newer = Form {
        magic: *b"MBTSNAP\x02",
        ..FORM
    };
    let newer = envelope::seal(newer, b"whatever", b"comes then").unwrap();
    let error = decode("x.snap", &newer).unwrap_err();
    assert!(error.to_string().contains("newer version"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[test]
fn a_section_is_found_by_name_and_version() {
    let snapshot = snapshot(1);
    assert_eq!(
        snapshot.section("state", 2),
        Some(b"the state of everything".as_slice())
    );
    assert_eq!(snapshot.section("state", 1), None);
}

#[tokio::test]
async fn snapshots_are_listed_newest_first_and_read_back() {
    let replica = replica();
    assert_eq!(list(&replica).await.unwrap(), []);
    for seq in [5, 100, 20] {
        put(&replica, &snapshot(seq)).await.unwrap();
    }
    assert_eq!(list(&replica).await.unwrap(), [Seq(100), Seq(20), Seq(5)]);
    let (object, hash) = encode(&snapshot(20)).unwrap();
    let (found, stored) = get(&replica, Seq(20)).await.unwrap().unwrap();
    assert_eq!(found, snapshot(20));
    assert_eq!(stored.hash, hash);
    assert_eq!(stored.bytes, object.len() as u64);
    assert_eq!(get(&replica, Seq(21)).await.unwrap(), None);
}

#[tokio::test]
async fn storing_again_is_harmless_unless_the_history_differs() {
    let replica = replica();
    let stored = put(&replica, &snapshot(5)).await.unwrap();
    assert_eq!(put(&replica, &snapshot(5)).await.unwrap(), stored);
    let mut of_another_version = snapshot(5);
    of_another_version.sections.pop();
    assert_eq!(put(&replica, &of_another_version).await.unwrap(), stored);

    let mut of_another_history = snapshot(5);
    of_another_history.record_hash = Hash([8; 32]);
    let error = put(&replica, &of_another_history).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn a_snapshot_under_the_wrong_name_is_refused() {
    let replica = replica();
    let (object, _) = encode(&snapshot(5)).unwrap();
    let path = layout::snapshot(Seq(6));
    replica.create(&path, object).await.unwrap();
    assert!(get(&replica, Seq(6)).await.is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn snapshots_round_trip(
        seq in any::<u64>(),
        sections in proptest::collection::vec(
            ("[a-z_]{0,20}", any::<u16>(), proptest::collection::vec(any::<u8>(), 0..500)),
            0..6,
        ),
    ) {
        let sections = sections
            .into_iter()
            .map(|(name, version, bytes)| Section { name, version, bytes })
            .collect();
        let snapshot = Snapshot { seq: Seq(seq), record_hash: Hash([1; 32]), sections };
        let (object, _) = encode(&snapshot).unwrap();
        prop_assert_eq!(decode("x.snap", &object).unwrap(), snapshot);
    }
}
