//! Whatever was acknowledged survives a lost power supply, at every moment of an append and of a
//! checkpoint.
//!
//! The state of a disk after a loss is modelled on copies of the files: any part of what was written
//! since the last sync may be there or not. Only the writer changes the tail, so between two appends
//! a copy of sled's file that a checkpoint is writing is such a state.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests may panic as tests do"
)]

use moltbot_core::chain::{Cursor, Hash};
use moltbot_core::ids::Seq;
use moltbot_core::record::Record;
use moltbot_store::error::{ErrorKind, StoreError};
use moltbot_store::log::EventLog;
use moltbot_store::settings::StoreSettings;
use moltbot_store::sled_log::SledLog;
use moltbot_store::testing::conformance::all;
use moltbot_store::testing::records;
use moltbot_store::testing::rng::Rng;
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use tempfile::{TempDir, tempdir};

const SECTOR: usize = 512;

/// A tail of which each half takes seven small batches.
const TAIL_BYTES: usize = 64 << 10;

fn open(path: &Path) -> Result<SledLog, StoreError> {
    let settings = StoreSettings {
        tail_bytes: TAIL_BYTES,
        ..StoreSettings::default()
    };
    SledLog::open(path, &settings)
}

/// The files of a log as they are at a moment.
#[derive(Clone)]
struct Files {
    sled: Vec<u8>,
    conf: Vec<u8>,
    tail: Vec<u8>,
    /// Of sled's page table, written when it was opened: its name and content.
    snapshots: Vec<(String, Vec<u8>)>,
}

impl Files {
    fn of(path: &Path) -> Files {
        let read = |name: &str| std::fs::read(path.join(name)).unwrap();
        Files {
            sled: read("db"),
            conf: read("conf"),
            tail: read("tail"),
            snapshots: std::fs::read_dir(path)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .filter(|name| name.starts_with("snap."))
                .map(|name| (name.clone(), read(&name)))
                .collect(),
        }
    }

    fn write(&self) -> (TempDir, PathBuf) {
        let home = tempdir().unwrap();
        let path = home.path().join("data");
        std::fs::create_dir_all(path.join("blobs")).unwrap();
        for (name, bytes) in [
            ("db", &self.sled),
            ("conf", &self.conf),
            ("tail", &self.tail),
        ] {
            std::fs::write(path.join(name), bytes).unwrap();
        }
        for (name, bytes) in &self.snapshots {
            std::fs::write(path.join(name), bytes).unwrap();
        }
        (home, path)
    }

    /// Where a log that finds these files begins.
    fn base(&self) -> Result<Cursor, StoreError> {
        let (_home, path) = self.write();
        Ok(open(&path)?.reader().base())
    }

    /// What a log that finds these files holds; that it can be appended to, and keeps it.
    fn recovered(&self) -> Result<Vec<Record>, StoreError> {
        let (_home, path) = self.write();
        let mut log = open(&path)?;
        let mut found = all(&*log.reader(), 1 << 20)?;
        assert_eq!(
            log.head(),
            found.last().map_or(log.reader().base(), Record::cursor)
        );
        let more = records(log.head(), 1, 100);
        log.append(&more)?;
        drop(log);
        found.extend(more);
        assert_eq!(all(&*open(&path)?.reader(), 1 << 20)?, found);
        found.pop();
        Ok(found)
    }
}

/// Any of the sectors that changed may have reached the disk.
fn torn(before: &[u8], after: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut torn = after.to_vec();
    for (at, sector) in torn.chunks_mut(SECTOR).enumerate() {
        let start = (at * SECTOR).min(before.len());
        let old = &before[start..before.len().min(start + SECTOR)];
        if rng.below(2) == 0 {
            sector.fill(0);
            sector[..old.len()].copy_from_slice(old);
        }
    }
    torn
}

#[test]
fn an_append_that_power_loss_interrupts_is_there_or_wholly_absent() {
    let home = tempdir().unwrap();
    let path = home.path().join("data");
    let mut log = open(&path).unwrap();
    let mut rng = Rng::new(3);
    let (mut written, mut lost, mut kept) = (Vec::new(), 0, 0);
    for round in 0..30 {
        let before = Files::of(&path);
        let count = usize::try_from(rng.below(3)).unwrap() + 1;
        let batch = records(log.head(), count, 3000);
        log.append(&batch).unwrap();
        written.extend(batch.iter().cloned());
        // A checkpoint is another test.
        let after = Files::of(&path);
        if before.tail[..8192] != after.tail[..8192] {
            continue;
        }
        let mut files = after.clone();
        files.tail = torn(&before.tail, &after.tail, &mut rng);
        let found = files
            .recovered()
            .unwrap_or_else(|error| panic!("{round}: {error}"));
        let acknowledged = &written[..written.len() - batch.len()];
        let is_whole = files.tail == after.tail;
        assert!(
            found == written || (!is_whole && found == acknowledged),
            "{round}"
        );
        lost += u32::from(found == acknowledged);
        kept += u32::from(after.recovered().unwrap() == written);
    }
    assert!(lost > 5 && kept > 5, "{lost} lost, {kept} kept");
}

#[test]
fn a_checkpoint_may_end_anywhere() {
    let home = tempdir().unwrap();
    let path = home.path().join("data");
    let mut log = open(&path).unwrap();
    let mut rng = Rng::new(5);
    let mut written: Vec<Record> = Vec::new();
    let mut rounds = 0;
    while rounds < 12 {
        let before = Files::of(&path);
        let batch = records(log.head(), 1, 2000);
        log.append(&batch).unwrap();
        let after = Files::of(&path);
        let acknowledged = written.clone();
        written.extend(batch);
        if before.tail[..8192] == after.tail[..8192] {
            continue;
        }
        rounds += 1;
        // Power is lost while the header is written,
        let mut files = before.clone();
        files.tail[..8192].copy_from_slice(&torn(&before.tail, &after.tail, &mut rng)[..8192]);
        assert_eq!(files.recovered().unwrap(), acknowledged);
        // before the checkpoint has done anything,
        files.tail.clone_from(&after.tail);
        assert_eq!(files.recovered().unwrap(), written);
        // in the middle of what it writes,
        let middle = Files::of(&path);
        assert_eq!(middle.recovered().unwrap(), written);
        for now in [&after, &middle] {
            files.sled = torn(&before.sled, &now.sled, &mut rng);
            assert_eq!(files.recovered().unwrap(), written);
        }
    }
}

#[test]
fn what_passes_the_tail_by_follows_what_is_in_it() {
    let home = tempdir().unwrap();
    let path = home.path().join("data");
    let mut log = open(&path).unwrap();
    log.append(&records(log.head(), 3, 100)).unwrap();
    let before = Files::of(&path);
    log.append(&records(log.head(), 20, 5000)).unwrap();
    let written = all(&*log.reader(), 1 << 20).unwrap();
    assert_eq!(written.len(), 23);
    let mut files = Files::of(&path);
    assert_eq!(files.recovered().unwrap(), written);
    // Power is lost after sled was synced and before the tail has a new generation.
    files.tail.clone_from(&before.tail);
    assert_eq!(files.recovered().unwrap(), written);
    log.append(&records(log.head(), 3, 100)).unwrap();
    let written = all(&*log.reader(), 1 << 20).unwrap();
    assert_eq!(Files::of(&path).recovered().unwrap(), written);
}

#[test]
fn what_was_rewound_never_comes_back() {
    let home = tempdir().unwrap();
    let path = home.path().join("data");
    let mut log = open(&path).unwrap();
    for _ in 0..9 {
        log.append(&records(log.head(), 2, 100)).unwrap();
    }
    let written = all(&*log.reader(), 1 << 20).unwrap();
    let before = Files::of(&path);
    log.rewind(written[4].cursor()).unwrap();
    let after = Files::of(&path);
    assert_eq!(after.recovered().unwrap(), written[..5]);
    // Power is lost when the tail was cut and sled was not: nothing was rewound yet.
    let mut files = after.clone();
    let (_home, other) = before.write();
    drop(open(&other).unwrap());
    files.sled = Files::of(&other).sled;
    assert_eq!(files.recovered().unwrap(), written);
    // Another history takes its place, for which the old frames fit but for their generation.
    for _ in 0..3 {
        log.append(&records(log.head(), 1, 50)).unwrap();
    }
    let anew = all(&*log.reader(), 1 << 20).unwrap();
    assert_eq!(Files::of(&path).recovered().unwrap(), anew);
}

#[test]
fn opening_may_end_anywhere() {
    let home = tempdir().unwrap();
    let path = home.path().join("data");
    // What a rewind leaves without a page is filled with zeros when the log is opened. Go on
    // until that is something which sled cannot do without unless it has its snapshot.
    let (before, after, written) = (0..50)
        .find_map(|_| {
            let mut log = open(&path).unwrap();
            for _ in 0..8 {
                log.append(&records(log.head(), 2, 20_000)).unwrap();
            }
            log.rewind(Cursor::START).unwrap();
            log.append(&records(log.head(), 2, 20_000)).unwrap();
            let written = all(&*log.reader(), 1 << 20).unwrap();
            drop(log);
            let before = Files::of(&path);
            drop(open(&path).unwrap());
            let after = Files::of(&path);
            let mut files = after.clone();
            files.snapshots.clear();
            files
                .recovered()
                .is_err()
                .then_some((before, after, written))
        })
        .unwrap();
    assert_eq!(before.recovered().unwrap(), written);
    assert_eq!(after.recovered().unwrap(), written);
    let [(name, snapshot)] = after.snapshots.as_slice() else {
        panic!("{} snapshots", after.snapshots.len());
    };
    assert!(before.snapshots.iter().all(|(old, _)| old < name));
    let unfinished = format!("{name}.generating");
    // Power is lost, or the process killed, while the snapshot is written,
    for bytes in [0, 1, 12, 13, snapshot.len() / 2, snapshot.len() - 1] {
        let mut files = before.clone();
        let torn = (unfinished.clone(), snapshot[..bytes].to_vec());
        files.snapshots.push(torn);
        assert_eq!(files.recovered().unwrap(), written, "{bytes}");
    }
    let mut files = before.clone();
    let zeros = (unfinished.clone(), vec![0; snapshot.len()]);
    files.snapshots.push(zeros);
    assert_eq!(files.recovered().unwrap(), written);
    // when it has not got its name, but the zeros and perhaps the old one are on the disk.
    let whole = (unfinished, snapshot.clone());
    for sled in [&before.sled, &after.sled] {
        for mut snapshots in [Vec::new(), before.snapshots.clone()] {
            snapshots.push(whole.clone());
            let mut files = after.clone();
            files.sled.clone_from(sled);
            files.snapshots = snapshots;
            assert_eq!(files.recovered().unwrap(), written);
            let (_home, path) = files.write();
            drop(open(&path).unwrap());
            let names = Files::of(&path).snapshots;
            assert!(names.iter().all(|(name, _)| !name.ends_with(".generating")));
        }
    }
}

#[test]
fn a_log_that_is_begun_at_a_base_begins_there_or_at_the_start() {
    let home = tempdir().unwrap();
    let path = home.path().join("data");
    let mut log = open(&path).unwrap();
    let mut rng = Rng::new(7);
    // What it held before must not come back with the base.
    for _ in 0..20 {
        log.append(&records(log.head(), 1, 2000)).unwrap();
    }
    log.rewind(Cursor::START).unwrap();
    let base = Cursor {
        seq: Seq(1000),
        hash: Hash([3; 32]),
    };
    let before = Files::of(&path);
    log.begin_at(base).unwrap();
    let after = Files::of(&path);
    assert_eq!(before.base().unwrap(), Cursor::START);
    assert_eq!(after.base().unwrap(), base);
    for _ in 0..20 {
        // Power is lost while sled is written,
        let mut files = before.clone();
        files.sled = torn(&before.sled, &after.sled, &mut rng);
        assert!([Cursor::START, base].contains(&files.base().unwrap()));
        // while the header of the tail is.
        files.sled.clone_from(&after.sled);
        files.tail = torn(&before.tail, &after.tail, &mut rng);
        assert_eq!(files.base().unwrap(), base);
        assert_eq!(files.recovered().unwrap(), []);
    }

    let mut written = Vec::new();
    for _ in 0..40 {
        let batch = records(log.head(), 1, 2000);
        log.append(&batch).unwrap();
        written.extend(batch);
        assert_eq!(Files::of(&path).recovered().unwrap(), written);
    }
    // Power is lost when the tail forgot the log and sled did not.
    let before = Files::of(&path);
    log.rewind(Cursor::START).unwrap();
    let mut files = Files::of(&path);
    assert_eq!(files.base().unwrap(), Cursor::START);
    let (_home, other) = before.write();
    drop(open(&other).unwrap());
    files.sled = Files::of(&other).sled;
    assert_eq!(files.recovered().unwrap(), written);
    assert_eq!(files.base().unwrap(), base);
}

#[test]
fn a_tail_and_a_sled_that_do_not_belong_together_are_damage() {
    let home = tempdir().unwrap();
    let path = home.path().join("data");
    let mut log = open(&path).unwrap();
    let empty = Files::of(&path);
    for _ in 0..40 {
        log.append(&records(log.head(), 1, 2000)).unwrap();
    }
    drop(log);
    let whole = Files::of(&path);
    assert_eq!(whole.recovered().unwrap().len(), 40);

    // sled lost what it had synced.
    let mut files = whole.clone();
    files.sled.clone_from(&empty.sled);
    assert_eq!(files.recovered().unwrap_err().kind(), ErrorKind::Corrupt);
    // The tail is that of another history.
    let foreign = tempdir().unwrap();
    let mut log = open(&foreign.path().join("data")).unwrap();
    for _ in 0..40 {
        log.append(&records(log.head(), 1, 2001)).unwrap();
    }
    drop(log);
    files = whole.clone();
    files.tail = Files::of(&foreign.path().join("data")).tail;
    assert_eq!(files.recovered().unwrap_err().kind(), ErrorKind::Corrupt);
    // Then the whole directory is set aside, the tail with it.
    let (_home, path) = files.write();
    let opened = SledLog::open_or_set_aside(&path, &StoreSettings::default()).unwrap();
    assert_eq!(opened.log.head(), Cursor::START);
    assert!(opened.set_aside.unwrap().path.join("tail").exists());
}

#[test]
fn readers_see_the_same_records_while_they_go_into_sled() {
    let home = tempdir().unwrap();
    let mut log = open(&home.path().join("data")).unwrap();
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let reader = log.reader();
            std::thread::spawn(move || {
                let mut seen: Vec<Record> = Vec::new();
                while seen.len() < 600 {
                    let next = Seq(seen.len() as u64 + 1);
                    let page = reader.read(next, 5000).unwrap();
                    assert_eq!(page.first().map_or(next, |record| record.seq), next);
                    seen.extend(page);
                    if let Some(last) = seen.last() {
                        assert_eq!(reader.get(last.seq).unwrap().as_ref(), Some(last));
                    }
                    let middle = Seq(reader.head().seq.0.div_ceil(2));
                    let found = reader.get(middle).unwrap();
                    assert_eq!(found.is_some(), middle > Seq::ZERO);
                }
                seen
            })
        })
        .collect();
    for _ in 0..200 {
        log.append(&records(log.head(), 3, 200)).unwrap();
    }
    let written = all(&*log.reader(), 1 << 20).unwrap();
    for reader in readers {
        assert_eq!(reader.join().unwrap(), written);
    }
}

/// One step in the life of a log.
#[derive(Debug, Clone)]
enum Step {
    Append {
        count: usize,
        payload_bytes: usize,
    },
    Reopen,
    /// The process is killed, or the power is lost while this batch is written.
    Crash {
        payload_bytes: usize,
        seed: u64,
    },
    Rewind {
        back: usize,
    },
    /// The log begins here, on a new disk or on this one.
    Begin {
        seq: u64,
        is_on_new_disk: bool,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let append = (
        1..4_usize,
        prop_oneof![Just(10), Just(1500), Just(4000), Just(20_000)],
    )
        .prop_map(|(count, payload_bytes)| Step::Append {
            count,
            payload_bytes,
        });
    let crash = (10..6000_usize, any::<u64>()).prop_map(|(payload_bytes, seed)| Step::Crash {
        payload_bytes,
        seed,
    });
    let rewind = prop_oneof![0..6_usize, Just(usize::MAX)].prop_map(|back| Step::Rewind { back });
    let begin = (1..10_000_u64, any::<bool>()).prop_map(|(seq, is_on_new_disk)| Step::Begin {
        seq,
        is_on_new_disk,
    });
    let step =
        prop_oneof![24 => append, 3 => Just(Step::Reopen), 4 => crash, 3 => rewind, 1 => begin];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn nothing_acknowledged_is_ever_lost_or_altered(steps in steps()) {
        let mut homes = vec![tempdir().unwrap()];
        let mut path = homes[0].path().join("data");
        let mut log = open(&path).unwrap();
        let mut written: Vec<Record> = Vec::new();
        let mut base = Cursor::START;
        for step in steps {
            match step {
                Step::Append { count, payload_bytes } => {
                    let batch = records(log.head(), count, payload_bytes);
                    log.append(&batch).unwrap();
                    written.extend(batch);
                }
                Step::Reopen => {
                    drop(log);
                    log = open(&path).unwrap();
                }
                Step::Crash { payload_bytes, seed } => {
                    let before = Files::of(&path);
                    let batch = records(log.head(), 2, payload_bytes);
                    log.append(&batch).unwrap();
                    let mut files = Files::of(&path);
                    let is_in_tail = before.tail[..8192] == files.tail[..8192];
                    if is_in_tail {
                        files.tail = torn(&before.tail, &files.tail, &mut Rng::new(seed));
                    }
                    let (home, crashed) = files.write();
                    log = open(&crashed).unwrap();
                    let is_kept = log.head().seq.0 - base.seq.0 > written.len() as u64;
                    prop_assert!(is_kept || is_in_tail);
                    if is_kept {
                        written.extend(batch);
                    }
                    path = crashed;
                    homes.push(home);
                }
                Step::Rewind { back } => {
                    written.truncate(written.len().saturating_sub(back));
                    let to = written.last().map_or(base, Record::cursor);
                    log.rewind(to).unwrap();
                }
                Step::Begin { seq, is_on_new_disk } => {
                    base = Cursor { seq: Seq(seq), hash: Hash::of(&seq.to_le_bytes()) };
                    written.clear();
                    if is_on_new_disk {
                        let home = tempdir().unwrap();
                        path = home.path().join("data");
                        homes.push(home);
                        log = open(&path).unwrap();
                    }
                    log.rewind(Cursor::START).unwrap();
                    log.begin_at(base).unwrap();
                }
            }
            prop_assert_eq!(log.reader().base(), base);
            prop_assert_eq!(log.head(), written.last().map_or(base, Record::cursor));
        }
        prop_assert_eq!(&all(&*log.reader(), 10_000).unwrap(), &written);
        drop(log);
        prop_assert_eq!(&all(&*open(&path).unwrap().reader(), 10_000).unwrap(), &written);
    }
}
