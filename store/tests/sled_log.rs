//! What the log on sled promises beyond the suite all logs share.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests may panic as tests do"
)]

use moltbot_core::chain::{Cursor, Hash};
use moltbot_core::error::CodecError;
use moltbot_core::ids::Seq;
use moltbot_store::error::{ErrorKind, StoreError};
use moltbot_store::log::EventLog;
use moltbot_store::settings::{LOG_VALUE_BYTES_MAX, StoreSettings};
use moltbot_store::sled_log::SledLog;
use moltbot_store::testing::conformance::all;
use moltbot_store::testing::records;
use std::path::Path;
use tempfile::{TempDir, tempdir};

fn open(path: &Path) -> Result<SledLog, StoreError> {
    SledLog::open(path, &StoreSettings::default())
}

/// A closed log of so many batches of ten records, all in sled.
fn written(batches: usize, payload_bytes: usize) -> TempDir {
    let home = tempdir().unwrap();
    let path = home.path().join("data");
    for _ in 0..batches {
        append_into_sled(&path, 10, payload_bytes);
    }
    home
}

/// As one group: what opens a log puts what the tail holds into sled.
fn append_into_sled(path: &Path, count: usize, payload_bytes: usize) {
    let mut log = open(path).unwrap();
    log.append(&records(log.head(), count, payload_bytes))
        .unwrap();
    drop(log);
    open(path).unwrap();
}

/// Changes the stored values behind the log's back.
fn tamper(path: &Path, change: impl FnOnce(&sled::Tree)) {
    // A child process of another test may hold a copy of the lock until it runs its own program.
    let db = (0..100).find_map(|_| {
        let db = sled::Config::new().path(path).open().ok();
        db.or_else(|| {
            std::thread::sleep(std::time::Duration::from_millis(20));
            None
        })
    });
    let db = db.unwrap();
    change(&db.open_tree("log").unwrap());
    db.flush().unwrap();
}

fn flip(tree: &sled::Tree, key: &[u8], at: usize) {
    let mut value = tree.get(key).unwrap().unwrap().to_vec();
    value[at] ^= 1;
    tree.insert(key, value).unwrap();
}

fn key(first: u64, part: u16) -> Vec<u8> {
    [first.to_be_bytes().as_slice(), &part.to_be_bytes()].concat()
}

#[test]
fn a_second_open_says_that_the_log_is_in_use() {
    let home = tempdir().unwrap();
    let path = home.path().join("data");
    let log = open(&path).unwrap();
    assert!(matches!(open(&path), Err(StoreError::Locked { .. })));
    let refused = SledLog::open_or_set_aside(&path, &StoreSettings::default());
    assert!(matches!(refused, Err(StoreError::Locked { .. })));
    let reader = log.reader();
    drop(log);
    assert!(matches!(open(&path), Err(StoreError::Locked { .. })));
    drop(reader);
    open(&path).unwrap();
}

#[test]
fn a_damaged_record_is_named_and_the_log_set_aside() {
    let home = written(5, 100);
    let path = home.path().join("data");
    tamper(&path, |tree| flip(tree, &key(21, 0), 700));

    let error = open(&path).err().unwrap();
    let StoreError::Codec {
        error: CodecError::Damaged { seq, .. },
        ..
    } = &error
    else {
        panic!("{error}");
    };
    assert!((Seq(21)..=Seq(30)).contains(seq), "{error}");

    let opened = SledLog::open_or_set_aside(&path, &StoreSettings::default()).unwrap();
    assert_eq!(opened.log.head(), Cursor::START);
    let aside = opened.set_aside.unwrap();
    assert_eq!(aside.path, home.path().join("data.damaged-1"));
    assert_eq!(aside.error.to_string(), error.to_string());
    assert!(aside.path.join("db").exists());
}

#[test]
fn a_log_of_a_newer_form_is_refused_and_left_as_it_is() {
    let home = written(5, 100);
    let path = home.path().join("data");
    let tail = path.join("tail");
    let mut bytes = std::fs::read(&tail).unwrap();
    // Both headers as a newer version might write them: its own form, and more behind.
    for header in [0, 4096] {
        let header = &mut bytes[header..header + 4096];
        header[..8].copy_from_slice(b"mb-tail\x02");
        header[8..100].fill(7);
    }
    std::fs::write(&tail, &bytes).unwrap();
    let before = std::fs::read(path.join("db")).unwrap();

    let error = open(&path).err().unwrap();
    assert!(error.to_string().contains("newer version"), "{error}");
    let refused = SledLog::open_or_set_aside(&path, &StoreSettings::default());
    assert!(matches!(refused, Err(StoreError::Newer { found: 2, .. })));
    assert_eq!(std::fs::read(&tail).unwrap(), bytes);
    assert_eq!(std::fs::read(path.join("db")).unwrap(), before);
    assert!(!home.path().join("data.damaged-1").exists());
}

#[test]
fn every_kind_of_damage_is_named() {
    type Damage = fn(&sled::Tree);
    let cases: [(&str, u64, Damage); 6] = [
        ("the first hash", 1, |tree| flip(tree, &key(1, 0), 3)),
        ("a later hash", 31, |tree| flip(tree, &key(31, 0), 3)),
        ("a lost group", 21, |tree| {
            tree.remove(key(21, 0)).unwrap();
        }),
        ("a swapped group", 21, |tree| {
            let other = tree.get(key(11, 0)).unwrap().unwrap();
            tree.insert(key(21, 0), other).unwrap();
        }),
        ("a cut group", 50, |tree| {
            let mut value = tree.get(key(41, 0)).unwrap().unwrap().to_vec();
            value.pop();
            tree.insert(key(41, 0), value).unwrap();
        }),
        ("an alien key", 51, |tree| {
            tree.insert(key(99, 0), vec![0; 40]).unwrap();
        }),
    ];
    for (what, expected, damage) in cases {
        let home = written(5, 100);
        let path = home.path().join("data");
        tamper(&path, damage);
        let error = open(&path).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
        let text = error.to_string();
        assert!(text.contains(&format!("#{expected}")), "{what}: {text}");
    }
}

#[test]
fn a_damaged_base_is_named() {
    type Damage = fn(&sled::Tree);
    let cases: [(&str, Damage); 3] = [
        ("its hash", |tree| flip(tree, &key(0, 0), 20)),
        ("its size", |tree| {
            tree.insert(key(0, 0), vec![0; 39]).unwrap();
        }),
        ("that it is lost", |tree| {
            tree.remove(key(0, 0)).unwrap();
        }),
    ];
    for (what, damage) in cases {
        let home = tempdir().unwrap();
        let path = home.path().join("data");
        let mut log = open(&path).unwrap();
        let hash = Hash([5; 32]);
        log.begin_at(Cursor { seq: Seq(70), hash }).unwrap();
        drop(log);
        append_into_sled(&path, 10, 100);
        tamper(&path, damage);
        let error = open(&path).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
        let opened = SledLog::open_or_set_aside(&path, &StoreSettings::default()).unwrap();
        assert_eq!(opened.log.reader().base(), Cursor::START);
        assert!(opened.set_aside.is_some());
    }
}

#[test]
fn damage_in_any_part_of_a_long_log_is_named() {
    const BATCHES: usize = 24;
    let home = tempdir().unwrap();
    let (path, damaged) = (home.path().join("data"), home.path().join("copy"));
    for _ in 0..BATCHES {
        append_into_sled(&path, 500, 10);
    }
    for batch in (0..BATCHES as u64).step_by(3) {
        let first = batch * 500 + 1;
        copy(&path, &damaged);
        tamper(&damaged, |tree| flip(tree, &key(first, 0), 1000));
        match open(&damaged).err().unwrap() {
            StoreError::Codec {
                error: CodecError::Damaged { seq, .. },
                ..
            } => assert!((Seq(first)..Seq(first + 500)).contains(&seq), "{seq}"),
            other => panic!("{other}"),
        }
        std::fs::remove_dir_all(&damaged).unwrap();
        copy(&path, &damaged);
        tamper(&damaged, |tree| {
            for entry in tree.range(key(first, 0)..key(first + 1, 0)) {
                tree.remove(entry.unwrap().0).unwrap();
            }
        });
        let lost = open(&damaged).err().unwrap().to_string();
        assert!(lost.contains(&format!("#{first}")), "{lost}");
        std::fs::remove_dir_all(&damaged).unwrap();
    }
}

#[test]
fn what_goes_into_sled_is_written_over_room_that_is_there() {
    let home = tempdir().unwrap();
    let path = home.path().join("data");
    let length = || std::fs::metadata(path.join("db")).unwrap().len();
    let mut log = open(&path).unwrap();
    let tree = log.tree("other").unwrap();
    tree.apply([("key", Some([0; 100]))]).unwrap();
    let with_room = length();
    for number in 0..50 {
        tree.apply([("key", Some([number; 100]))]).unwrap();
        assert_eq!(length(), with_room);
    }
    // Sled comes to the end of the room, again and again.
    let mut lengths = std::collections::BTreeSet::new();
    for _ in 0..20 {
        log.append(&records(log.head(), 60, 5000)).unwrap();
        lengths.insert(length());
    }
    assert!((2..20).contains(&lengths.len()), "{lengths:?}");
    let (head, before) = (log.head(), all(&*log.reader(), 1 << 20).unwrap());
    drop((log, tree));
    let log = open(&path).unwrap();
    assert_eq!(log.head(), head);
    assert_eq!(all(&*log.reader(), 1 << 20).unwrap(), before);
}

#[test]
fn damage_anywhere_in_sleds_file_never_yields_a_wrong_record() {
    const WINDOWS: usize = 40;
    let original = written(20, 3000);
    let before = all(
        &*open(&original.path().join("data")).unwrap().reader(),
        1 << 20,
    )
    .unwrap();
    let bytes = std::fs::read(original.path().join("data/db")).unwrap();
    let mut aside = 0;
    for window in 0..WINDOWS {
        let home = tempdir().unwrap();
        let path = home.path().join("data");
        copy(&original.path().join("data"), &path);
        let mut damaged = bytes.clone();
        let start = window * bytes.len() / WINDOWS;
        for byte in damaged.iter_mut().skip(start).take(2000) {
            *byte = 0x5a;
        }
        std::fs::write(path.join("db"), damaged).unwrap();
        let opened = SledLog::open_or_set_aside(&path, &StoreSettings::default()).unwrap();
        // What sled takes for a torn end is lost; the remote log has it.
        let read = all(&*opened.log.reader(), 1 << 20).unwrap();
        assert_eq!(read, before[..read.len()]);
        aside += usize::from(opened.set_aside.is_some());
    }
    assert!(aside > 0);
}

#[test]
fn an_acknowledged_batch_survives_any_torn_write_into_sled_after_it() {
    const SECTOR: usize = 512;
    let home = tempdir().unwrap();
    let (path, torn) = (home.path().join("data"), home.path().join("torn"));
    // So small a tail that all of these batches pass it by.
    let settings = StoreSettings {
        tail_bytes: 0,
        ..StoreSettings::default()
    };
    let mut log = SledLog::open(&path, &settings).unwrap();
    let mut next = numbers(7);
    let mut lost = 0;
    for round in 0..40 {
        let acknowledged = log.head();
        copy(&path, &torn);
        let mut before = std::fs::read(path.join("db")).unwrap();
        let payload_bytes = [4000, 5000, 10_000, 20_000][next() % 4];
        let batch = records(acknowledged, next() % 6 + 1, payload_bytes);
        log.append(&batch).unwrap();
        // Power is lost before the sync, and so before the tail has a new generation: any of the sectors written since may be on the disk, and
        // the file may not have grown.
        let mut after = std::fs::read(path.join("db")).unwrap();
        let length = before.len();
        before.resize(after.len(), 0);
        // Now and then everything had reached the disk.
        let is_whole = round % 4 == 0;
        for (new, old) in after.chunks_mut(SECTOR).zip(before.chunks(SECTOR)) {
            if next().is_multiple_of(2) && !is_whole {
                new.copy_from_slice(old);
            }
        }
        if next().is_multiple_of(3) && !is_whole {
            after.truncate(length);
        }
        std::fs::write(torn.join("db"), &after).unwrap();
        let opened = open(&torn).map_err(|error| format!("round {round}: {error}"));
        let head = opened.unwrap().head();
        assert!(
            head == acknowledged || head == log.head(),
            "round {round}: {head} is neither {acknowledged} nor {}",
            log.head()
        );
        assert!(
            !is_whole || head == log.head(),
            "round {round}: a whole batch was lost"
        );
        lost += usize::from(head == acknowledged);
        std::fs::remove_dir_all(&torn).unwrap();
    }
    assert!(lost > 0, "no write was torn");
}

fn numbers(mut seed: u64) -> impl FnMut() -> usize {
    move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(seed >> 33).unwrap()
    }
}

#[test]
fn an_acknowledged_batch_survives_a_killed_process() {
    let home = tempdir().unwrap();
    let (path, killed) = (home.path().join("data"), home.path().join("killed"));
    let mut log = open(&path).unwrap();
    for round in 0..30 {
        log.append(&records(log.head(), round % 7 + 1, 2000))
            .unwrap();
        // What is in the files now is what another process would find.
        copy(&path, &killed);
        assert_eq!(open(&killed).unwrap().head(), log.head(), "round {round}");
        std::fs::remove_dir_all(&killed).unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.join("blobs")).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

#[test]
fn values_stay_small_and_sled_needs_no_file_beside_its_own() {
    let home = tempdir().unwrap();
    let path = home.path().join("data");
    let mut log = open(&path).unwrap();
    let mut next = numbers(1);
    for _ in 0..60 {
        let payload_bytes = [10, 300, 4000, 30_000, 102_400][next() % 5];
        log.append(&records(log.head(), next() % 16 + 1, payload_bytes))
            .unwrap();
    }
    let keep = log.reader().cursor(Seq(100)).unwrap().unwrap();
    log.rewind(keep).unwrap();
    log.append(&records(keep, 500, 2000)).unwrap();
    drop(log);
    assert_eq!(std::fs::read_dir(path.join("blobs")).unwrap().count(), 0);
    tamper(&path, |tree| {
        for entry in tree {
            let (_, value) = entry.unwrap();
            assert!(value.len() <= LOG_VALUE_BYTES_MAX);
        }
    });
    assert_eq!(open(&path).unwrap().head().seq, Seq(600));
}

#[test]
fn a_large_batch_becomes_several_groups() {
    let home = tempdir().unwrap();
    let path = home.path().join("data");
    let mut log = open(&path).unwrap();
    let batch = records(Cursor::START, 1000, 300);
    log.append(&batch).unwrap();
    assert_eq!(all(&*log.reader(), 1 << 20).unwrap(), batch);
    drop(log);
    tamper(&path, |tree| {
        let firsts = tree.iter().keys().map(|key| key.unwrap()[..8].to_vec());
        let firsts: std::collections::BTreeSet<Vec<u8>> = firsts.collect();
        assert!((4..=8).contains(&firsts.len()), "{} groups", firsts.len());
    });
    assert_eq!(
        all(&*open(&path).unwrap().reader(), 1 << 20).unwrap(),
        batch
    );
}

#[test]
fn trees_beside_the_log_are_kept_and_live_and_die_with_it() {
    let home = written(1, 10);
    let path = home.path().join("data");
    let log = open(&path).unwrap();
    let tree = log.tree("other").unwrap();
    tree.apply([("a", Some("1")), ("b", Some("2"))]).unwrap();
    tree.apply([("a", None::<&str>)]).unwrap();
    assert!(tree.apply([("c", Some([0; 5000]))]).is_err());
    drop((log, tree));

    let log = open(&path).unwrap();
    let entries = log.tree("other").unwrap().entries().unwrap();
    assert_eq!(entries, [(b"b".to_vec(), b"2".to_vec())]);
    drop(log);
    tamper(&path, |tree| flip(tree, &key(1, 0), 50));
    let opened = SledLog::open_or_set_aside(&path, &StoreSettings::default()).unwrap();
    assert_eq!(opened.log.tree("other").unwrap().entries().unwrap(), []);
}

#[test]
fn a_log_can_be_reopened_at_once_many_times() {
    let home = tempdir().unwrap();
    let path = home.path().join("data");
    for round in 0..40 {
        let mut log = open(&path).unwrap();
        assert_eq!(log.head().seq, Seq(round));
        log.append(&records(log.head(), 1, 5000)).unwrap();
    }
}
