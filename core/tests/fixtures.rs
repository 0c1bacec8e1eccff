//! The golden fixtures: one recorded event of every kind, frozen for ever.
//!
//! `MOLTBOT_FREEZE=1 cargo test -p moltbot-core --test fixtures` writes the fixtures that are
//! missing, from the samples in `fixtures/samples.rs`; it never touches one that is there.

#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

#[path = "fixtures/samples.rs"]
mod samples;

use moltbot_core::actor::Actor;
use moltbot_core::chain::{Cursor, Hash};
use moltbot_core::codec::{decode_frame, encode_frame, link};
use moltbot_core::command::{Action, Command};
use moltbot_core::decide::decide;
use moltbot_core::event::{Event, KINDS, UnknownEvent, kind_name};
use moltbot_core::evolve::evolve;
use moltbot_core::ids::{Entropy, Seq, hex, unhex};
use moltbot_core::record::Record;
use moltbot_core::state::State;
use moltbot_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A frozen event.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Fixture {
    kind: u16,
    version: u16,
    name: String,
    critical: bool,
    payload_hex: String,
    json: serde_json::Value,
    frame_hex: String,
}

#[test]
fn every_kind_has_a_fixture_of_its_newest_version() {
    for (kind, name, version) in KINDS {
        let path = path(*version, name);
        if freezing() && !path.exists() {
            freeze(&path, &fixture_of(&samples::of(*kind)));
        }
        assert!(
            path.exists(),
            "no fixture: run with MOLTBOT_FREEZE=1 to write {}",
            path.display()
        );
        let fixture = read(&path);
        assert_eq!((fixture.kind, fixture.version), (*kind, *version));
    }
}

#[test]
fn every_fixture_is_of_a_known_kind_by_its_own_name() {
    for (path, fixture) in all() {
        assert_eq!(path, self::path(fixture.version, &fixture.name));
        assert_eq!(
            kind_name(fixture.kind),
            fixture.name,
            "{} was renamed",
            path.display()
        );
        let newest = KINDS.iter().find(|(kind, ..)| *kind == fixture.kind);
        let (_, _, newest) = newest.expect("a kind is never removed");
        assert!(
            fixture.version <= *newest,
            "{} is from the future",
            path.display()
        );
    }
}

#[test]
fn every_frozen_payload_still_means_what_it_meant() {
    for (path, fixture) in all() {
        let payload = unhex(&fixture.payload_hex).expect("payload_hex is hex");
        let event = Event::decode(fixture.kind, fixture.version, &payload).expect("it decodes");
        assert!(
            !matches!(event, Event::Unknown(_)),
            "{} is not understood",
            path.display()
        );
        assert_eq!(event.critical(), fixture.critical, "{}", path.display());
        // An older version is upcast: it shows and is written in the newest form.
        if event.version() == fixture.version {
            assert_eq!(event.to_json(), fixture.json, "{}", path.display());
            assert_eq!(
                event.encode().map(|bytes| hex(&bytes)),
                Ok(fixture.payload_hex)
            );
        }
    }
}

#[test]
fn every_frozen_frame_still_holds_its_record() {
    for (path, fixture) in all() {
        let frame = unhex(&fixture.frame_hex).expect("frame_hex is hex");
        let (record, used) = decode_frame(&frame, Cursor::START).expect("the frame is whole");
        assert_eq!(used, frame.len(), "{}", path.display());
        assert_eq!(
            (record.kind, record.version),
            (fixture.kind, fixture.version)
        );
        assert_eq!(hex(&record.payload), fixture.payload_hex);
        let mut again = Vec::new();
        encode_frame(&record, &mut again).expect("the record fits");
        assert_eq!(again, frame, "{}", path.display());
    }
}

#[test]
fn an_unknown_kind_is_kept_as_it_is_and_stops_deciding_only_if_critical() {
    let event = Event::Unknown(UnknownEvent {
        kind: 60_000,
        version: 3,
        payload: vec![0, 255, 7],
    });
    for critical in [false, true] {
        let mut record = record_of(&event);
        record.critical = critical;
        let record = link(record, Hash::ZERO).expect("a record has bytes");
        let mut frame = Vec::new();
        encode_frame(&record, &mut frame).expect("the record fits");
        let (read, _) = decode_frame(&frame, Cursor::START).expect("the frame is whole");
        assert_eq!(read, record);
        assert_eq!(read.event().as_ref(), Ok(&event));
        assert_eq!(event.encode(), Ok(vec![0, 255, 7]));
        assert_eq!(kind_name(60_000), "kind_60000");

        let mut state = State::default();
        evolve(&mut state, &read, &event);
        let bytes = state.encode().expect("a state has bytes");
        let restored = State::decode(&bytes).expect("a snapshot is a state");
        for state in [state, restored] {
            let answer = decide(&state, &some_command()).map_err(|rejection| rejection.code);
            assert_eq!(answer.err(), critical.then_some("read_only"));
        }
    }
}

#[test]
fn a_newer_version_of_a_known_kind_is_unknown() {
    for (kind, name, version) in KINDS {
        let event = Event::decode(*kind, version + 1, &[1]).expect("kept as it is");
        assert!(matches!(event, Event::Unknown(_)), "{name}");
        assert_eq!((event.kind(), event.version()), (*kind, version + 1));
    }
}

fn some_command() -> Command {
    Command {
        at: Timestamp(1),
        actor: Actor::System,
        entropy: Entropy::default(),
        cause: None,
        correlation: None,
        idempotency: None,
        action: Action::ExpirePairings,
    }
}

fn record_of(event: &Event) -> Record {
    Record {
        seq: Seq(1),
        at: Timestamp(1_795_358_405_123),
        actor: "system".into(),
        cause: None,
        correlation: Seq(1),
        stream: event.stream(),
        kind: event.kind(),
        version: event.version(),
        critical: event.critical(),
        payload: event.encode().expect("a sample is sealed"),
        prev_hash: Hash::ZERO,
        hash: Hash::ZERO,
    }
}

fn fixture_of(event: &Event) -> Fixture {
    let record = link(record_of(event), Hash::ZERO).expect("a record has bytes");
    let mut frame = Vec::new();
    encode_frame(&record, &mut frame).expect("the record fits");
    Fixture {
        kind: record.kind,
        version: record.version,
        name: kind_name(record.kind),
        critical: record.critical,
        payload_hex: hex(&record.payload),
        json: event.to_json(),
        frame_hex: hex(&frame),
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn path(version: u16, name: &str) -> PathBuf {
    folder().join(format!("v{version}/{name}.json"))
}

/// Every fixture there is, of every version.
fn all() -> Vec<(PathBuf, Fixture)> {
    let list = |folder: &Path| -> Vec<PathBuf> {
        let entries = folder.read_dir().expect("the folder is there");
        entries
            .map(|entry| entry.expect("it can be listed").path())
            .collect()
    };
    let versions = list(&folder()).into_iter().filter(|path| path.is_dir());
    let mut paths: Vec<PathBuf> = versions.flat_map(|folder| list(&folder)).collect();
    paths.sort();
    assert!(!paths.is_empty(), "there are no fixtures");
    let fixtures = paths.into_iter().map(|path| {
        let fixture = read(&path);
        (path, fixture)
    });
    fixtures.collect()
}

fn read(path: &Path) -> Fixture {
    let text = std::fs::read_to_string(path).expect("a fixture can be read");
    serde_json::from_str(&text).expect("a fixture is JSON of this form")
}

#[expect(clippy::disallowed_methods, reason = "a test asks how it is run")]
fn freezing() -> bool {
    std::env::var("MOLTBOT_FREEZE").is_ok_and(|value| value == "1")
}

#[expect(clippy::disallowed_methods, reason = "freezing a fixture writes it")]
fn freeze(path: &Path, fixture: &Fixture) {
    std::fs::create_dir_all(path.parent().expect("a file has a folder")).expect("it can be made");
    let text = serde_json::to_string_pretty(fixture).expect("a fixture is JSON");
    std::fs::write(path, text + "\n").expect("a fixture can be written");
}
