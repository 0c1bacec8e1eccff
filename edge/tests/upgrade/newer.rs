//! Files and objects of a newer form: refused in one sentence, and nothing is touched.

use super::support::Home;
use moltbot_core::chain::Hash;
use moltbot_store::layout;
use std::fs;
use std::path::{Path, PathBuf};

const CONFIGURATION: i32 = 3;

/// A home that a gateway left with something in it.
fn left() -> Home {
    let home = Home::new();
    let mut gateway = home.start();
    gateway.terminate();
    assert_eq!(gateway.wait().code(), Some(0));
    home
}

/// Every file below a folder, and what is in it.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(contents(&path));
        } else {
            all.push((path.clone(), fs::read(path).unwrap()));
        }
    }
    all.sort();
    all
}

/// A start must fail and say this, before it claims or changes anything of the remote log.
fn refuses_to_start(home: &Home, words: &[&str]) {
    let before = contents(&home.replica());
    let (code, _, error) = home.run(&["serve", "--port", "0"]);
    assert_eq!(code, CONFIGURATION, "{error}");
    let always = [
        "written by a newer version of moltbot",
        "nothing was changed",
    ];
    for word in always.iter().chain(words) {
        assert!(error.contains(word), "no `{word}` in: {error}");
    }
    assert!(
        before == contents(&home.replica()),
        "the remote log changed"
    );
    assert!(!home.path().join("data.damaged-1").exists());
}

#[test]
fn a_local_log_of_a_newer_form_is_neither_opened_nor_moved_away() {
    let home = left();
    let tail = home.data().join("tail");
    let mut bytes = fs::read(&tail).unwrap();
    for header in [0, 4096] {
        bytes[header..header + 8].copy_from_slice(b"mb-tail\x02");
        bytes[header + 8..header + 80].fill(9);
    }
    fs::write(&tail, bytes).unwrap();
    let data = contents(&home.data());
    refuses_to_start(&home, &["the local log", "form 2"]);
    assert!(contents(&home.data()) == data, "it was changed");
}

/// The last object of a folder, as a newer version would write it.
fn renew(home: &Home, folder: &str) -> PathBuf {
    let entries = fs::read_dir(home.replica().join(folder)).unwrap();
    let path = entries.map(|entry| entry.unwrap().path()).max().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[7] = 2;
    let header = u32::from_le_bytes(bytes[8..12].try_into().unwrap()) as usize;
    let crc = crc32c::crc32c(&bytes[..20 + header]).to_le_bytes();
    bytes[20 + header..24 + header].copy_from_slice(&crc);
    let end = bytes.len() - 32;
    let hash = Hash::of(&bytes[..end]).0;
    bytes[end..].copy_from_slice(&hash);
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn a_segment_of_a_newer_form_is_named_and_left_alone() {
    for wiped in [false, true] {
        let home = left();
        let path = renew(&home, layout::SEGMENTS);
        if wiped {
            home.wipe();
        }
        let name = path.file_name().unwrap().to_str().unwrap();
        refuses_to_start(&home, &[name, "form 2"]);
        let (code, _, error) = home.run(&["log", "verify"]);
        assert!(
            code == CONFIGURATION && error.contains("newer version"),
            "{error}"
        );
    }
}
