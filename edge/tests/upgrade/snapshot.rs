//! Snapshots of another version of the state: not read, the log is folded instead.

use moltbot_core::chain::Cursor;
use moltbot_core::projection::transcript::Transcripts;
use moltbot_core::record::Record;
use moltbot_core::state::State;
use moltbot_edge::gateway::Phase;
use moltbot_edge::snapshots::{decode, rebuild};
use moltbot_edge::view::Model;
use moltbot_store::log::EventLog;
use moltbot_store::memory_log::MemoryLog;
use moltbot_store::snapshot::{Section, Snapshot};
use moltbot_store::testing::records;
use tokio::sync::watch;

fn folded(records: &[Record]) -> Model {
    let mut model = Model::default();
    for record in records {
        model.apply(record, &record.event().unwrap());
    }
    model
}

/// A snapshot with this version of the state, which says something that the log does not: so that
/// whoever reads it is found out.
fn snapshot(records: &[Record], version: u16) -> Snapshot {
    let cursor = records.last().unwrap().cursor();
    let mut marked = folded(records);
    marked.state.storage.writer = "the snapshot".into();
    let section = |name: &str, version, bytes| Section {
        name: name.to_owned(),
        version,
        bytes,
    };
    let transcripts = marked.transcripts.encode().unwrap();
    Snapshot {
        seq: cursor.seq,
        record_hash: cursor.hash,
        sections: vec![
            section("state", version, marked.state.encode().unwrap()),
            section("transcripts", Transcripts::VERSION, transcripts),
        ],
    }
}

#[test]
fn only_a_snapshot_of_this_version_of_the_state_is_read() {
    let all = records(Cursor::START, 50, 10);
    let mut log = MemoryLog::default();
    log.append(&all).unwrap();
    let phase = watch::Sender::new(Phase::Opening);
    for version in [State::VERSION - 1, State::VERSION, State::VERSION + 1] {
        let found = decode(&snapshot(&all[..40], version));
        let model = rebuild(found, &*log.reader(), &phase).unwrap();
        assert_eq!(model.state.cursor, log.head());
        let is_read = model.state.storage.writer.as_str() == "the snapshot";
        assert_eq!(is_read, version == State::VERSION, "version {version}");
        assert_eq!(model == folded(&all), !is_read);
    }
}
