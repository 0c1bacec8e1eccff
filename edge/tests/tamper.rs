//! Signed checkpoints of a real gateway, and whoever tampers with its log against them.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]
#![allow(unreachable_pub, reason = "a module of a test has no outside")]

#[path = "support/s3.rs"]
mod s3;
mod support;

use moltbot_core::chain::{Cursor, Hash};
use moltbot_core::codec;
use moltbot_core::event::Event;
use moltbot_core::ids::Seq;
use moltbot_core::record::Record;
use moltbot_core::storage::CheckpointKey;
use moltbot_core::time::Timestamp;
use moltbot_store::checkpoint::{Checkpoint, Signed, SigningKey};
use moltbot_store::layout;
use moltbot_store::segment::{self, Segment};
use s3::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use support::client::{ALL, Device};
use support::{Gateway, Home};

const CORRUPT_LOG: i32 = 4;
const CONFIGURATION: i32 = 3;

/// A gateway that talks a little, and stops: everything is shipped and signed.
async fn signed(home: &Home) {
    let mut gateway = home.start();
    let mut device = Device::new(1);
    device.redeem(&gateway).await;
    for n in 0..3 {
        let mut client = device.connect(&gateway, &ALL).await.unwrap();
        client.chat("main", "echo a word", &format!("r{n}")).await;
        gateway.shipped().await;
    }
    stop(&mut gateway);
}

fn stop(gateway: &mut Gateway) {
    gateway.terminate();
    assert_eq!(gateway.wait().code(), Some(0), "{}", gateway.log());
}

/// The files of a folder of the replica, in the order of their numbers.
fn files(replica: &Path, folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(replica.join(folder)).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn newest(home: &Home) -> Signed {
    let file = files(&home.replica(), layout::CHECKPOINTS).pop().unwrap();
    Signed::decode("the newest", &fs::read(file).unwrap()).unwrap()
}

fn segments(home: &Home) -> Vec<(PathBuf, Segment)> {
    let read = |path: PathBuf| {
        let segment = segment::decode("a segment", &fs::read(&path).unwrap()).unwrap();
        (path, segment)
    };
    files(&home.replica(), layout::SEGMENTS)
        .into_iter()
        .map(read)
        .collect()
}

/// Writes the log anew: the record with this seq is another, and the chain fits all the same.
fn rewrite(home: &Home, change: impl Fn(&mut Record)) {
    let mut prev = Hash::ZERO;
    for (path, segment) in segments(home) {
        let records: Vec<Record> = segment
            .records
            .into_iter()
            .map(|mut record| {
                change(&mut record);
                let record = codec::link(record, prev).unwrap();
                prev = record.hash;
                record
            })
            .collect();
        let header = segment.header;
        let bytes = segment::encode(header.epoch, &header.writer, &records).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

fn verify(home: &Home, more: &[&str]) -> (i32, String, String) {
    home.run(&[&["log", "verify"], more].concat())
}

/// Verifying must fail, and name all of these.
#[track_caller]
fn refuses(home: &Home, more: &[&str], words: &[&str]) {
    let (code, out, error) = verify(home, more);
    assert_eq!(code, CORRUPT_LOG, "{out}{error}");
    for word in words {
        assert!(error.contains(word), "no `{word}` in: {error}");
    }
}

/// Where somebody keeps a checkpoint who does not trust who keeps the log.
fn exported(home: &Home) -> (tempfile::TempDir, String) {
    let safe = tempfile::tempdir().unwrap();
    let file = safe.path().join("checkpoint.json").display().to_string();
    let (code, out, error) = home.run(&["log", "checkpoint", "--export", &file]);
    assert_eq!(code, 0, "{error}");
    assert!(out.contains(&format!("record: {}\n", newest(home).checkpoint.cursor)));
    (safe, file)
}

fn forget_checkpoints(home: &Home) {
    fs::remove_dir_all(home.replica().join(layout::CHECKPOINTS)).unwrap();
}

#[tokio::test]
async fn a_clean_stop_leaves_a_checkpoint_of_everything_and_its_key_in_the_log() {
    let home = Home::new();
    signed(&home).await;
    let found = newest(&home);
    assert!(found.is_genuine());
    let (_, segment) = segments(&home).pop().unwrap();
    assert_eq!(found.checkpoint.cursor, segment.header.to());
    let named = segment.records.iter().rev().find_map(|record| {
        let Ok(Event::CheckpointKeyUsed(used)) = record.event() else {
            return None;
        };
        Some(used.public_key)
    });
    assert_eq!(named, Some(found.public_key));

    let (code, out, error) = verify(&home, &[]);
    assert_eq!((code, error.as_str()), (0, ""), "{out}");
    assert!(
        out.contains(&format!("signed: up to {}", found.checkpoint.cursor)),
        "{out}"
    );
    assert!(
        out.contains(&format!("key:    {} from #", found.public_key)),
        "{out}"
    );
    let file = home.path().join("checkpoint.key");
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let seed = fs::read_to_string(file).unwrap();
    assert!(!out.contains(seed.trim()));

    // It goes on with the same key and does not name it again.
    let mut gateway = home.start();
    stop(&mut gateway);
    assert_eq!(newest(&home).public_key, found.public_key);
    let (code, out, _) = verify(&home, &[]);
    assert_eq!((code, out.matches("key:  ").count()), (0, 1), "{out}");
    assert!(out.contains("by 2 of 2 checkpoints"), "{out}");
}

#[tokio::test]
async fn a_log_that_was_cut_off_is_whole_but_not_what_was_signed() {
    let home = Home::new();
    signed(&home).await;
    let (_safe, file) = exported(&home);
    let cursor = newest(&home).checkpoint.cursor;
    let last = segments(&home).pop().unwrap();
    fs::remove_file(last.0).unwrap();
    let head = last.1.header.from();
    let words = ["cut off", &cursor.to_string(), &head.to_string()];
    refuses(&home, &[], &words);
    let (code, out, _) = home.run(&["doctor", "--port", "0"]);
    assert!(code == CONFIGURATION && out.contains("WRONG  log"), "{out}");
    assert!(out.contains("cut off"), "{out}");

    // Who cut it off took the checkpoints away as well.
    forget_checkpoints(&home);
    let (code, out, _) = verify(&home, &[]);
    assert_eq!(code, 0);
    assert!(out.contains("signed: nothing"), "{out}");
    refuses(&home, &["--checkpoint", &file], &words);
}

#[tokio::test]
async fn a_history_that_was_written_anew_verifies_but_is_not_what_was_signed() {
    let home = Home::new();
    signed(&home).await;
    let (_safe, file) = exported(&home);
    let cursor = newest(&home).checkpoint.cursor;
    rewrite(&home, |record| {
        if record.seq == Seq(5) {
            record.actor = "device:somebody-else".to_owned();
        }
    });
    let now = segments(&home).pop().unwrap().1.header.to();
    assert_eq!(now.seq, cursor.seq);
    let words = ["rewritten", &cursor.hash.to_hex(), &now.hash.to_hex()];
    refuses(&home, &[], &words);
    forget_checkpoints(&home);
    assert_eq!(verify(&home, &[]).0, 0, "the chain fits");
    let url = format!("file://{file}");
    for named in [&file, &url] {
        refuses(&home, &["--checkpoint", named], &words);
    }

    rewrite(&home, |record| record.at = Timestamp(record.at.0 + 1));
    refuses(
        &home,
        &["--checkpoint", &file],
        &["another log, or this one was written anew"],
    );
}

#[tokio::test]
async fn one_altered_byte_is_found_before_any_checkpoint_is_needed() {
    let home = Home::new();
    signed(&home).await;
    let (path, _) = segments(&home).swap_remove(1);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    refuses(&home, &[], &[name]);
}

#[tokio::test]
async fn a_checkpoint_that_was_swapped_or_forged_is_named() {
    let (home, other) = (Home::new(), Home::new());
    signed(&home).await;
    signed(&other).await;
    let (_safe, foreign) = exported(&other);
    let theirs = newest(&other).checkpoint;
    let ours = newest(&home).checkpoint;
    let words = ["another log", &theirs.log.to_hex(), &ours.log.to_hex()];
    refuses(&home, &["--checkpoint", &foreign], &words);

    let file = files(&home.replica(), layout::CHECKPOINTS).pop().unwrap();
    let genuine = fs::read_to_string(&file).unwrap();
    fs::copy(&foreign, &file).unwrap();
    let seq = ours.cursor.seq;
    if theirs.cursor.seq == seq {
        refuses(&home, &[], &["another log"]);
    }
    let forged = genuine.replace("\"epoch\":1", "\"epoch\":2");
    assert_ne!(forged, genuine);
    fs::write(&file, forged).unwrap();
    refuses(
        &home,
        &[],
        &["forged", &format!("#{seq} "), &ours.cursor.hash.to_hex()],
    );
    let (code, _, error) = home.run(&["log", "checkpoint"]);
    assert!(code == CORRUPT_LOG && error.contains("forged"), "{error}");
    fs::write(&file, "{\"format\":1}").unwrap();
    refuses(&home, &[], &["it is no checkpoint"]);
    fs::write(&file, genuine.replace("\"format\":1", "\"format\":9")).unwrap();
    let (code, _, error) = verify(&home, &[]);
    assert!(
        code == CONFIGURATION && error.contains("newer version"),
        "{error}"
    );
}

/// Signs the log as it is now with another key, beside it.
fn sign_again(home: &Home, key: &SigningKey) {
    let all = segments(home);
    let header = &all.last().unwrap().1.header;
    let checkpoint = Checkpoint {
        log: all[0].1.records[0].hash,
        cursor: header.to(),
        at: Timestamp(1_900_000_000_000),
        epoch: header.epoch,
    };
    let signed = key.sign(checkpoint).unwrap();
    let path = layout::checkpoint(header.last).to_string();
    fs::write(home.replica().join(path), signed.encode().unwrap()).unwrap();
}

#[tokio::test]
async fn who_signs_with_another_key_is_seen_at_once_or_by_who_knows_the_right_one() {
    let home = Home::new();
    signed(&home).await;
    let right = newest(&home).public_key.to_string();
    let key = SigningKey::from_seed(&[7; 32]).unwrap();
    let wrong = key.public().to_string();
    assert_eq!(verify(&home, &["--public-key", &right]).0, 0);
    refuses(
        &home,
        &["--public-key", &wrong],
        &["instead of", &wrong, &right],
    );

    sign_again(&home, &key);
    refuses(&home, &[], &["instead of", &wrong, &right]);

    // The thorough way: a history of one's own, which names one's own key, and is signed with it.
    rewrite(&home, |record| {
        if let Ok(Event::CheckpointKeyUsed(mut used)) = record.event() {
            used.public_key = key.public();
            record.payload = Event::from(used).encode().unwrap();
        }
    });
    sign_again(&home, &key);
    let (code, out, _) = verify(&home, &[]);
    assert_eq!(code, 0, "{out}");
    refuses(
        &home,
        &["--public-key", &right],
        &["instead of", &wrong, &right],
    );
}

/// The part of the storage status about checkpoints, once it fits.
async fn checkpoint_where(gateway: &Gateway, fits: impl Fn(&Value) -> bool) -> Value {
    let deadline = std::time::Instant::now() + support::PATIENCE;
    loop {
        let storage = gateway.admin("GET", "storage").await.body;
        if fits(&storage["checkpoint"]) {
            return storage;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "{storage}\n{}",
            gateway.log()
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

fn key(text: &str) -> CheckpointKey {
    CheckpointKey::from_hex(text).unwrap()
}

#[tokio::test]
async fn a_running_gateway_signs_what_is_new_and_says_so() {
    let seed = "11".repeat(32);
    let public = SigningKey::from_seed(&[0x11; 32]).unwrap().public();
    let home = Home::new()
        .with("MOLTBOT_CHECKPOINT_EVERY", "1s")
        .with("MOLTBOT_CHECKPOINT_KEY", &seed);
    let mut gateway = home.start();
    let storage = checkpoint_where(&gateway, |c| c["seq"].is_u64()).await;
    let checkpoint = &storage["checkpoint"];
    assert_eq!(key(checkpoint["publicKey"].as_str().unwrap()), public);
    assert!(checkpoint["at"].is_i64() && checkpoint["lastError"].is_null());
    let first = checkpoint["seq"].as_u64().unwrap();
    let mut device = Device::new(1);
    device.redeem(&gateway).await;
    let mut client = device.connect(&gateway, &ALL).await.unwrap();
    client.chat("main", "echo more", "r1").await;
    let head = gateway.shipped().await;
    assert!(head > first);
    let covers = |c: &Value| c["seq"].as_u64().is_some_and(|seq| seq >= head);
    checkpoint_where(&gateway, covers).await;
    let metrics = reqwest::Client::builder().no_proxy().build().unwrap();
    let metrics = metrics
        .get(gateway.url("/metrics"))
        .bearer_auth(gateway.token());
    let metrics = metrics.send().await.unwrap().text().await.unwrap();
    let age = metrics
        .lines()
        .find_map(|line| line.strip_prefix("moltbot_checkpoint_age_seconds "));
    assert!(age.unwrap().parse::<f64>().unwrap() >= 0.0, "{age:?}");
    gateway.kill();
    assert!(
        newest(&home).checkpoint.cursor.seq.0 >= head,
        "killed, and still signed"
    );
    assert!(!home.path().join("checkpoint.key").exists());
    assert!(!gateway.log().contains(&seed));
}

#[tokio::test]
async fn keys_come_from_outside_from_the_master_key_or_from_the_home_and_changes_are_recorded() {
    let mut home = Home::new().with("MOLTBOT_MASTER_KEY", "a long enough master key");
    signed(&home).await;
    let derived = newest(&home).public_key;
    assert!(!home.path().join("checkpoint.key").exists());
    home.wipe();
    let mut gateway = home.start();
    stop(&mut gateway);
    assert_eq!(
        newest(&home).public_key,
        derived,
        "the same master key, the same key"
    );

    home = home.with("MOLTBOT_CHECKPOINT_KEY", &"22".repeat(32));
    let mut gateway = home.start();
    stop(&mut gateway);
    let given = newest(&home).public_key;
    assert_ne!(given, derived);
    let (code, out, error) = verify(&home, &["--public-key", &given.to_string()]);
    assert_eq!(code, 0, "{error}");
    let keys: Vec<&str> = out
        .lines()
        .filter(|line| line.starts_with("key:"))
        .collect();
    assert!(
        keys.len() == 2 && keys[0].contains(&derived.to_string()),
        "{out}"
    );
    assert!(keys[1].contains(&given.to_string()), "{out}");
    // The older key no longer counts for what is newer.
    refuses(
        &home,
        &["--public-key", &derived.to_string()],
        &["instead of"],
    );

    let home = Home::new().with("MOLTBOT_CHECKPOINT_KEY", "too short to be one");
    let (code, _, error) = home.run(&["serve", "--port", "0"]);
    assert_eq!(code, CONFIGURATION);
    assert!(
        error.contains("openssl rand -hex 32") && !error.contains("too short"),
        "{error}"
    );
}

#[tokio::test]
async fn the_second_place_holds_what_the_first_may_lose_and_a_gateway_that_starts_is_told() {
    let safe = tempfile::tempdir().unwrap();
    let url = format!("file://{}", safe.path().display());
    let home = Home::new().with("MOLTBOT_CHECKPOINT_URL", &url);
    signed(&home).await;
    let found = newest(&home);
    let copies = files(safe.path(), layout::CHECKPOINTS);
    let copy = Signed::decode("a copy", &fs::read(copies.last().unwrap()).unwrap()).unwrap();
    assert_eq!(copy, found);
    assert_eq!(verify(&home, &[]).0, 0);

    let (last, _) = segments(&home).pop().unwrap();
    fs::remove_file(last).unwrap();
    forget_checkpoints(&home);
    home.wipe();
    let cursor = found.checkpoint.cursor.to_string();
    refuses(&home, &[], &["cut off", &cursor, &url]);
    refuses(&home, &["--checkpoint", &url], &["cut off", &cursor]);

    let gateway = home.start();
    gateway.wait_for_log("speaks against this log");
    let storage = checkpoint_where(&gateway, |c| c["copy"]["location"].is_string()).await;
    let warnings = storage["warnings"].as_array().unwrap();
    let alarm = warnings
        .iter()
        .find(|w| w["code"] == "checkpoint_contradicts_log");
    let alarm = alarm.unwrap_or_else(|| panic!("{storage}"))["message"].to_string();
    // The start put a record of its own where the signed one was.
    let hash = found.checkpoint.cursor.hash.to_hex();
    assert!(
        alarm.contains("rewritten") && alarm.contains(&hash),
        "{alarm}"
    );
}

#[tokio::test]
async fn the_second_place_may_be_another_prefix_of_a_bucket() {
    let mut server = S3Server::new();
    server.start();
    let (log, safe) = (format!("s3://{BUCKET}/log"), format!("s3://{BUCKET}/safe"));
    let with = |home: Home| {
        home.with("MOLTBOT_REPLICA_URL", &log)
            .with("AWS_ENDPOINT_URL_S3", &server.url())
            .with("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .with("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
            .with("AWS_REGION", "auto")
    };
    let home = with(Home::new()).with("MOLTBOT_CHECKPOINT_URL", &safe);
    signed(&home).await;
    let (code, out, error) = verify(&home, &[]);
    assert_eq!(code, 0, "{error}");
    // The same one in both places.
    assert!(out.contains("by 2 of 2 checkpoints"), "{out}");

    // Another log there, as somebody would put it who can write the bucket, and one look at the copy.
    let other = with(Home::new()).with("MOLTBOT_REPLICA_URL", &format!("s3://{BUCKET}/other"));
    signed(&other).await;
    assert_eq!(verify(&other, &[]).0, 0);
    refuses(&other, &["--checkpoint", &safe], &["another log", &safe]);
    let (code, _, error) = verify(&other, &["--checkpoint", &format!("s3://{BUCKET}/nothing")]);
    assert!(
        code == CONFIGURATION && error.contains("no checkpoint in"),
        "{error}"
    );
}

#[tokio::test]
async fn a_second_place_that_fails_is_a_warning_and_holds_nothing_up() {
    let home = Home::new();
    let blocked = home.path().join("blocked");
    fs::write(&blocked, "no folder").unwrap();
    let url = format!("file://{}/inside", blocked.display());
    let home = home
        .with("MOLTBOT_CHECKPOINT_URL", &url)
        .with("MOLTBOT_CHECKPOINT_EVERY", "1s");
    let mut gateway = home.start();
    let storage = checkpoint_where(&gateway, |c| {
        c["seq"].is_u64() && c["copy"]["lastError"].is_string()
    })
    .await;
    let copy = &storage["checkpoint"]["copy"];
    assert_eq!(
        (&copy["location"], &copy["seq"]),
        (&json!(url), &Value::Null)
    );
    gateway.wait_for_log("a checkpoint could not be stored");
    fs::remove_file(&blocked).unwrap();
    stop(&mut gateway);
    // Meanwhile it can be written to: the last one is there.
    let copies = files(&blocked.join("inside"), layout::CHECKPOINTS);
    let copy = Signed::decode("a copy", &fs::read(copies.last().unwrap()).unwrap()).unwrap();
    assert_eq!(copy, newest(&home));
}

#[tokio::test]
async fn a_segment_is_proven_from_files_alone() {
    let home = Home::new();
    signed(&home).await;
    let (safe, checkpoint) = exported(&home);
    let copied: Vec<String> = segments(&home)
        .iter()
        .enumerate()
        .map(|(n, (path, _))| {
            let target = safe.path().join(format!("{n}.seg"));
            fs::copy(path, &target).unwrap();
            target.display().to_string()
        })
        .collect();
    let prove = |segments: &[String]| {
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let elsewhere = Home::new();
        let args = [&["--checkpoint", &checkpoint, "--segment"], &segments[..]].concat();
        verify(&elsewhere, &args)
    };
    let (code, out, error) = prove(&copied[1..]);
    assert_eq!(code, 0, "{error}");
    let cursor = newest(&home).checkpoint.cursor;
    assert!(out.contains(&format!("signed: {cursor}")), "{out}");
    let (code, _, error) = prove(&copied[..1]);
    assert!(
        code == CONFIGURATION && error.contains("prove nothing"),
        "{error}"
    );
    let mut bytes = fs::read(&copied[1]).unwrap();
    bytes[300] ^= 1;
    fs::write(&copied[1], bytes).unwrap();
    assert_eq!(prove(&copied[1..]).0, CORRUPT_LOG);
    assert_ne!(cursor, Cursor::START);
}
