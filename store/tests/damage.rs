//! Damage on the local disk: wherever a file is cut off or a bit flips, what is read is a beginning
//! of what was written, and nothing panics.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use moltbot_core::record::Record;
use moltbot_store::log::EventLog;
use moltbot_store::settings::StoreSettings;
use moltbot_store::sled_log::SledLog;
use moltbot_store::testing::conformance::all;
use moltbot_store::testing::records;
use moltbot_store::testing::rng::Rng;
use std::path::Path;
use tempfile::{TempDir, tempdir};

const SAMPLES: u64 = 200;
const FILES: [&str; 3] = ["db", "conf", "tail"];

fn settings() -> StoreSettings {
    StoreSettings {
        tail_bytes: 64 << 10,
        ..StoreSettings::default()
    }
}

/// A log of which a part is in sled and a part only in the tail.
fn written() -> (TempDir, Vec<Record>) {
    let home = tempdir().unwrap();
    let mut log = SledLog::open(&home.path().join("data"), &settings()).unwrap();
    for round in 0..40 {
        let batch = records(log.head(), round % 5 + 1, 900);
        log.append(&batch).unwrap();
    }
    let written = all(&*log.reader(), 1 << 20).unwrap();
    (home, written)
}

/// Opens a copy of the log in which one file was changed.
fn assert_a_beginning(
    original: &Path,
    written: &[Record],
    file: &str,
    change: impl FnOnce(&mut Vec<u8>),
    what: &str,
) -> bool {
    let home = tempdir().unwrap();
    let path = home.path().join("data");
    std::fs::create_dir_all(path.join("blobs")).unwrap();
    for name in FILES {
        std::fs::copy(original.join(name), path.join(name)).unwrap();
    }
    let mut bytes = std::fs::read(path.join(file)).unwrap();
    change(&mut bytes);
    std::fs::write(path.join(file), bytes).unwrap();

    let opened = SledLog::open_or_set_aside(&path, &settings());
    let mut opened = opened.unwrap_or_else(|error| panic!("{what}: {error}"));
    let read = all(&*opened.log.reader(), 1 << 20).unwrap();
    assert!(written.starts_with(&read), "{what}");
    // It goes on from there.
    let more = records(opened.log.head(), 2, 100);
    opened.log.append(&more).unwrap();
    read.len() < written.len()
}

#[test]
fn a_cut_anywhere_leaves_a_beginning() {
    let (home, written) = written();
    let path = home.path().join("data");
    let mut rng = Rng::new(1);
    let mut shorter = 0;
    for sample in 0..SAMPLES {
        let file = FILES[rng.index(FILES.len())];
        let cut = |bytes: &mut Vec<u8>| bytes.truncate(rng.index(bytes.len()));
        let what = format!("cut {sample} of `{file}`");
        shorter += u64::from(assert_a_beginning(&path, &written, file, cut, &what));
    }
    assert!(shorter > 0, "no cut hit anything");
}

#[test]
fn a_flipped_bit_anywhere_leaves_a_beginning() {
    let (home, written) = written();
    let path = home.path().join("data");
    let mut rng = Rng::new(2);
    let mut shorter = 0;
    for sample in 0..SAMPLES {
        let file = FILES[rng.index(FILES.len())];
        let flip = |bytes: &mut Vec<u8>| {
            let at = rng.index(bytes.len());
            bytes[at] ^= 1 << rng.below(8);
        };
        let what = format!("flip {sample} in `{file}`");
        shorter += u64::from(assert_a_beginning(&path, &written, file, flip, &what));
    }
    assert!(shorter > 0, "no flip hit anything");
}
