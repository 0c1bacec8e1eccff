//! Snapshots of another version of the state: not read, the log is folded instead.

use moltbot_core::chain::{Cursor, Hash};
use moltbot_core::codec;
use moltbot_core::event::{Event, SnapshotTaken};
use moltbot_core::ids::{Epoch, InstanceId, Seq};
use moltbot_core::projection::transcript::Transcripts;
use moltbot_core::record::Record;
use moltbot_core::state::State;
use moltbot_core::time::Timestamp;
use moltbot_edge::gateway::Phase;
use moltbot_edge::snapshots;
use moltbot_edge::view::Model;
use moltbot_store::claim::{ClaimRequest, claim};
use moltbot_store::keys::{Keyring, MasterKeys};
use moltbot_store::layout;
use moltbot_store::log::EventLog;
use moltbot_store::memory_log::MemoryLog;
use moltbot_store::replica::{Replica, ReplicaKind};
use moltbot_store::segment;
use moltbot_store::settings::StoreSettings;
use moltbot_store::snapshot::{self, Section, Snapshot};
use moltbot_store::testing::records;
use object_store::memory::InMemory;
use std::sync::Arc;
use tokio::sync::watch;

const RECORDS: usize = 2_500;

fn folded(records: &[Record]) -> Model {
    let mut model = Model::default();
    for record in records {
        model.apply(record, &record.event().unwrap());
    }
    model
}

/// A remote log with a snapshot of this version of the state, which says something that the log does
/// not, so that whoever reads it is found out; and the model of whoever does not.
async fn with_snapshot(version: u16) -> (Replica, Model) {
    let replica = Replica::over(Arc::new(InMemory::new()), ReplicaKind::Memory);
    let mut all = records(Cursor::START, RECORDS, 10);
    let cursor = all.last().unwrap().cursor();
    let mut marked = folded(&all);
    marked.state.storage.writer = "the snapshot".into();
    let section = |name: &str, version, bytes| Section {
        name: name.to_owned(),
        version,
        bytes,
    };
    let transcripts = marked.transcripts.encode().unwrap();
    let snapshot = Snapshot {
        seq: cursor.seq,
        record_hash: cursor.hash,
        sections: vec![
            section("state", version, marked.state.encode().unwrap()),
            section("transcripts", Transcripts::VERSION, transcripts),
        ],
    };
    let stored = snapshot::put(&replica, &snapshot).await.unwrap();
    let taken = Event::from(SnapshotTaken {
        seq: cursor.seq,
        record_hash: cursor.hash,
        object_hash: stored.hash,
        bytes: stored.bytes,
    });
    let mut record = records(cursor, 1, 0).remove(0);
    (record.kind, record.version) = (taken.kind(), taken.version());
    record.payload = taken.encode().unwrap();
    record.hash = Hash::ZERO;
    all.push(codec::link(record, cursor.hash).unwrap());
    // The snapshot ends where a segment does.
    for part in [&all[..RECORDS], &all[RECORDS..]] {
        let bytes = segment::encode(Epoch(0), &InstanceId::from("before"), part).unwrap();
        let path = layout::segment(part[0].seq);
        replica.create(&path, bytes).await.unwrap();
    }
    (replica, folded(&all))
}

#[tokio::test]
async fn only_a_snapshot_of_this_version_of_the_state_is_read() {
    for version in [State::VERSION - 1, State::VERSION, State::VERSION + 1] {
        let (replica, expected) = with_snapshot(version).await;
        let request = ClaimRequest {
            instance: "after".into(),
            takeover: false,
            at: Timestamp(0),
            software: "test".to_owned(),
            nonce: "test".to_owned(),
        };
        let mut log = MemoryLog::new();
        let mut decoded = None;
        let mut usable = |snapshot: &Snapshot| {
            decoded = snapshots::decode(snapshot);
            decoded.is_some()
        };
        let claimed = claim(
            &replica,
            &mut log,
            &Keyring::in_memory(MasterKeys::default()),
            &request,
            &StoreSettings::default(),
            &mut usable,
            &mut |_, _| {},
        )
        .await
        .unwrap();
        let begun = decoded.filter(|model| Some(model.state.cursor) == claimed.anchor);
        let is_read = begun.is_some();
        assert_eq!(is_read, version == State::VERSION, "version {version}");
        let phase = watch::Sender::new(Phase::Opening);
        let model = snapshots::rebuild(begun, &*log.reader(), &phase).unwrap();
        assert_eq!(model.state.cursor, log.head());
        let kept = log.reader().base();
        assert_eq!(kept.seq == Seq(RECORDS as u64), is_read, "{kept}");
        if !is_read {
            // Everything is as whoever folds the log has it, with the start that came after.
            let started = log.reader().get(log.head().seq).unwrap().unwrap();
            let mut expected = expected;
            expected.apply(&started, &started.event().unwrap());
            assert_eq!(model, expected);
        }
    }
}
