//! Snapshots of another version of the state: not read, the log is folded instead.

use moltbot_core::chain::{Cursor, Hash};
use moltbot_core::codec;
use moltbot_core::event::{Event, SnapshotTaken};
use moltbot_core::projection::transcript::Transcripts;
use moltbot_core::record::Record;
use moltbot_core::state::State;
use moltbot_edge::gateway::Phase;
use moltbot_edge::snapshots::load_model;
use moltbot_edge::view::Model;
use moltbot_store::log::EventLog;
use moltbot_store::memory_log::MemoryLog;
use moltbot_store::replica::{Replica, ReplicaKind};
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

/// A log with a snapshot of this version of the state, which says something that the log does not: so
/// that whoever reads it is found out. The log, and the model of whoever does not.
async fn with_snapshot(version: u16) -> (Replica, MemoryLog, Model) {
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
    let snapshot = Snapshot {
        seq: cursor.seq,
        record_hash: cursor.hash,
        sections: vec![
            section("state", version, marked.state.encode().unwrap()),
            section(
                "transcripts",
                Transcripts::VERSION,
                marked.transcripts.encode().unwrap(),
            ),
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
    let mut log = MemoryLog::default();
    log.append(&all).unwrap();
    let model = folded(&all);
    (replica, log, model)
}

#[tokio::test]
async fn only_a_snapshot_of_this_version_of_the_state_is_read() {
    let phase = watch::Sender::new(Phase::Opening);
    for version in [State::VERSION - 1, State::VERSION, State::VERSION + 1] {
        let (replica, log, expected) = with_snapshot(version).await;
        let model = load_model(&replica, &*log.reader(), &phase).await.unwrap();
        assert_eq!(model.state.cursor, log.head());
        let is_read = model.state.storage.writer.as_str() == "the snapshot";
        assert_eq!(is_read, version == State::VERSION, "version {version}");
        assert_eq!(model == expected, !is_read);
    }
}
