use super::*;
use crate::replica::{Created, Replica, ReplicaKind};
use crate::segment::{self, Segment};
use crate::testing::records;
use crate::{error::ErrorKind, layout};
use bytes::Bytes;
use moltbot_core::codec;
use moltbot_core::event::{CheckpointKeyUsed, Event};
use moltbot_core::ids::InstanceId;
use moltbot_core::record::Record;
use object_store::memory::InMemory;
use std::sync::Arc;

fn key(number: u8) -> SigningKey {
    SigningKey::from_seed(&[number; 32]).unwrap()
}

/// A log of so many records that names these keys, one after another.
fn log(count: usize, keys: &[(u64, &SigningKey)]) -> Vec<Record> {
    let mut log: Vec<Record> = Vec::new();
    while log.len() < count {
        let head = log.last().map_or(Cursor::START, Record::cursor);
        let mut record = records(head, 1, 40).remove(0);
        if let Some((_, key)) = keys.iter().find(|(seq, _)| *seq == record.seq.0) {
            let public_key = key.public();
            let event = Event::from(CheckpointKeyUsed { public_key });
            (record.kind, record.version) = (event.kind(), event.version());
            record.payload = event.encode().unwrap();
            record = codec::link(record, head.hash).unwrap();
        }
        log.push(record);
    }
    log
}

/// The same log, with another record in this place and a chain that fits again.
fn rewritten(log: &[Record], seq: u64) -> Vec<Record> {
    let mut prev = Hash::ZERO;
    let again = log.iter().cloned().map(|mut record| {
        if record.seq.0 == seq {
            record.actor.push('!');
        }
        record = codec::link(record, prev).unwrap();
        prev = record.hash;
        record
    });
    again.collect()
}

fn statement(log: &[Record], seq: usize) -> Checkpoint {
    Checkpoint {
        log: log[0].hash,
        cursor: log[seq - 1].cursor(),
        at: Timestamp(1_800_000_000_000),
        epoch: Epoch(2),
    }
}

fn held(key: &SigningKey, checkpoint: Checkpoint) -> Held {
    Held {
        place: format!("checkpoint {}", checkpoint.cursor.seq),
        signed: key.sign(checkpoint).unwrap(),
    }
}

fn audit(log: &[Record], held: &[Held], pinned: Option<&SigningKey>) -> Report {
    let mut audit = Audit::new(held.to_vec(), pinned.map(SigningKey::public));
    for record in log {
        audit.see(record);
    }
    audit.finish()
}

fn fixed() -> Checkpoint {
    Checkpoint {
        log: Hash([1; 32]),
        cursor: Cursor {
            seq: Seq(0x0102_0304),
            hash: Hash([2; 32]),
        },
        at: Timestamp(1_795_358_405_123),
        epoch: Epoch(7),
    }
}

#[test]
fn the_signed_bytes_and_the_object_are_frozen() {
    let key = key(9);
    let bytes = fixed().bytes(&key.public());
    assert_eq!(bytes.len(), SIGNED_BYTES);
    let signed = key.sign(fixed()).unwrap();
    let object = String::from_utf8(signed.encode().unwrap()).unwrap();
    insta::assert_snapshot!(format!("{}\n{object}", hex(&bytes)));
    let read = Signed::decode("x", object.as_bytes()).unwrap();
    assert_eq!(read, signed);
    assert!(read.is_genuine());
    assert!(!format!("{key:?}").contains(&hex(&[9; 32])));
}

#[test]
fn whatever_is_changed_in_a_checkpoint_it_is_no_longer_genuine() {
    let signed = key(1).sign(fixed()).unwrap();
    let mut forged = vec![signed; 7];
    forged[0].checkpoint.log.0[0] ^= 1;
    forged[1].checkpoint.cursor.seq = Seq(1);
    forged[2].checkpoint.cursor.hash.0[31] ^= 1;
    forged[3].checkpoint.at = Timestamp(0);
    forged[4].checkpoint.epoch = Epoch(8);
    forged[5].public_key = key(2).public();
    forged[6].signature[5] ^= 1;
    assert!(signed.is_genuine());
    assert!(forged.iter().all(|forged| !forged.is_genuine()));
}

#[test]
fn a_newer_form_is_not_taken_for_damage() {
    let error = Signed::decode("x", br#"{"format":2,"all":"new"}"#).unwrap_err();
    assert!(error.to_string().contains("newer version"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    for bad in [&b"{}"[..], b"[]", br#"{"format":1,"seq":1}"#] {
        let error = Signed::decode("x", bad).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    }
}

#[test]
fn a_log_holds_against_every_checkpoint_of_its_own_also_over_a_change_of_keys() {
    let (one, two) = (key(1), key(2));
    let log = log(30, &[(5, &one), (20, &two)]);
    let held = [
        held(&one, statement(&log, 5)),
        held(&one, statement(&log, 19)),
        held(&two, statement(&log, 30)),
    ];
    for pinned in [None, Some(&two)] {
        let report = audit(&log, &held, pinned);
        assert_eq!(report.findings, []);
        assert_eq!(report.checkpoints, 3);
        assert_eq!(report.newest, Some(held[2].signed));
        assert_eq!(
            report.keys,
            [(Seq(5), one.public()), (Seq(20), two.public())]
        );
    }
}

#[test]
fn each_way_to_tamper_is_named_with_its_seq_and_both_hashes() {
    let (one, two) = (key(1), key(2));
    let log = log(30, &[(3, &one)]);
    let other = rewritten(&log, 20);
    let held = [
        held(&one, statement(&log, 10)),
        held(&one, statement(&log, 25)),
    ];
    let only = |report: Report| {
        assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
        report.findings[0].clone()
    };

    let found = only(audit(&log[..24], &held, None));
    assert!(matches!(found, Finding::CutOff { .. }), "{found}");
    let said = found.to_string();
    assert!(said.contains(&log[23].cursor().to_string()), "{said}");
    assert!(said.contains(&log[24].cursor().to_string()), "{said}");

    let found = only(audit(&other, &held, None));
    assert!(matches!(found, Finding::Rewritten { seq: Seq(25), .. }));
    let said = found.to_string();
    let both = [log[24].hash.to_hex(), other[24].hash.to_hex()];
    assert!(both.iter().all(|hash| said.contains(hash)), "{said}");

    let anew = rewritten(&log, 1);
    let report = audit(&anew, &held, None);
    let is_other = |found: &Finding| matches!(found, Finding::OtherLog { .. });
    assert!(report.findings.len() == 2 && report.findings.iter().all(is_other));
    assert!(report.newest.is_none());

    // A checkpoint of the rewritten history, with the key that signed the true one on it.
    let mut forged = super::tests::held(&two, statement(&other, 25));
    forged.signed.public_key = one.public();
    let found = only(audit(&other, &[forged], None));
    assert!(matches!(found, Finding::Forged { .. }), "{found}");

    let foreign = super::tests::held(&two, statement(&log, 25));
    let found = only(audit(&log, std::slice::from_ref(&foreign), None));
    assert!(matches!(found, Finding::OtherKey { .. }), "{found}");
    // Who rewrites the log names a key of his own in it; a pinned key sees that.
    let renamed = super::tests::log(30, &[(3, &two)]);
    let own = super::tests::held(&two, statement(&renamed, 25));
    assert_eq!(
        audit(&renamed, std::slice::from_ref(&own), None).findings,
        []
    );
    let found = only(audit(&renamed, &[own], Some(&one)));
    assert!(matches!(found, Finding::OtherKey { .. }), "{found}");
}

#[test]
fn an_older_checkpoint_of_the_pinned_key_does_not_vouch_for_newer_ones_of_others() {
    let (one, two) = (key(1), key(2));
    let log = log(30, &[(3, &one), (15, &two)]);
    let held = [
        held(&one, statement(&log, 10)),
        held(&two, statement(&log, 25)),
    ];
    assert_eq!(audit(&log, &held, None).findings, []);
    let report = audit(&log, &held, Some(&one));
    assert!(matches!(report.findings[..], [Finding::OtherKey { .. }]));
    assert_eq!(report.newest, Some(held[0].signed));
}

fn segments(log: &[Record], size: usize) -> Vec<Segment> {
    let seal = |records: &[Record]| {
        let bytes = segment::encode(Epoch(1), &InstanceId::from("a"), records).unwrap();
        segment::decode("a segment", &bytes).unwrap()
    };
    log.chunks(size).map(seal).collect()
}

#[test]
fn a_segment_is_proven_by_itself_and_those_between_it_and_the_checkpoint() {
    let key = key(1);
    let log = log(40, &[(3, &key)]);
    let segments = segments(&log, 10);
    let checkpoint = held(&key, statement(&log, 37));
    assert_eq!(prove(&segments[3..], &checkpoint), Ok(7));
    assert_eq!(prove(&segments[1..], &checkpoint), Ok(27));
    assert_eq!(prove(&segments, &checkpoint), Ok(37));

    let with_gap = [segments[1].clone(), segments[3].clone()];
    for nothing in [&segments[..3], &with_gap, &[]] {
        let found = prove(nothing, &checkpoint).unwrap_err();
        assert!(matches!(found, Finding::NotJoined(_)), "{found}");
    }
    let other = self::segments(&rewritten(&log, 32), 10);
    let found = prove(&other[3..], &checkpoint).unwrap_err();
    assert!(matches!(found, Finding::Rewritten { .. }), "{found}");
    // An older segment that was replaced no longer leads to its neighbour.
    let other = self::segments(&rewritten(&log, 12), 10);
    let mixed = [other[1].clone(), segments[2].clone(), segments[3].clone()];
    let found = prove(&mixed, &checkpoint).unwrap_err();
    assert!(matches!(found, Finding::NotJoined(_)), "{found}");
    let mut forged = checkpoint;
    forged.signed.checkpoint.at = Timestamp(1);
    let found = prove(&segments, &forged).unwrap_err();
    assert!(matches!(found, Finding::Forged { .. }), "{found}");
}

fn replica() -> Replica {
    Replica::over(Arc::new(InMemory::new()), ReplicaKind::Memory)
}

#[tokio::test]
async fn a_checkpoint_is_created_once_and_a_repetition_counts_only_for_the_same_history() {
    let (key, replica) = (key(1), replica());
    let log = log(12, &[]);
    put(&replica, &key.sign(statement(&log, 10)).unwrap())
        .await
        .unwrap();
    let mut later = statement(&log, 10);
    later.at = Timestamp(1_900_000_000_000);
    put(&replica, &key.sign(later).unwrap()).await.unwrap();
    let found = newest(&replica).await.unwrap().unwrap();
    assert_eq!(
        found.signed.checkpoint,
        statement(&log, 10),
        "the first one stays"
    );

    let other = rewritten(&log, 4);
    let error = put(&replica, &key.sign(statement(&other, 10)).unwrap())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let said = error.to_string();
    let both = [log[9].hash.to_hex(), other[9].hash.to_hex()];
    assert!(both.iter().all(|hash| said.contains(hash)), "{said}");

    let moved = Bytes::from(key.sign(statement(&log, 11)).unwrap().encode().unwrap());
    let created = replica.create(&layout::checkpoint(Seq(12)), moved).await;
    assert_eq!(created.unwrap(), Created::New);
    let error = get(&replica, Seq(12)).await.unwrap_err();
    assert!(
        error.to_string().contains("signed for record #11"),
        "{error}"
    );
    assert!(all(&replica).await.is_err());
    // What the gateway goes on from is the newest that can be read.
    assert_eq!(
        newest(&replica).await.unwrap().unwrap().signed,
        found.signed
    );
}

#[tokio::test]
async fn old_checkpoints_are_thinned_out_and_the_first_stays() {
    let (key, replica) = (key(1), replica());
    let log = log(300, &[]);
    for seq in 1..=300 {
        put(&replica, &key.sign(statement(&log, seq)).unwrap())
            .await
            .unwrap();
    }
    assert!(thin(&replica).await.unwrap() > 200);
    assert_eq!(thin(&replica).await.unwrap(), 0);
    let all = all(&replica).await.unwrap();
    let seqs: Vec<u64> = all
        .iter()
        .map(|h| h.signed.checkpoint.cursor.seq.0)
        .collect();
    assert_eq!((seqs[0], seqs[seqs.len() - 1]), (1, 300));
    assert!(seqs.len() <= 64 + 9, "{seqs:?}");
    assert_eq!(
        audit(&log, &all, None).findings.len(),
        seqs.len(),
        "the log names no key"
    );
}
