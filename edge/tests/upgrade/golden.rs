//! Golden homes: the remote log and the local one as a released version left them.
//!
//! `MOLTBOT_FREEZE=1 cargo test -p moltbot-edge --test upgrade` freezes the one of this version when
//! it is missing, in `fixtures/golden/<version>`; it never touches one that is there.
//!
//! ```text
//! replica/…        the remote log, object by object
//! data/…           the local log, file by file, each packed with zstd
//! rows.jsonl       what `moltbot log export` said of it
//! seen.json        what a client saw
//! device-token     the access token that this client was given
//! ```

use super::support::client::{ALL, Client, Device};
use super::support::{Gateway, Home};
use moltbot_core::codec::encode_frame;
use moltbot_store::segment;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// Whoever opens a golden home has to be who wrote it.
const IDENTITY: [(&str, &str); 2] = [
    ("MOLTBOT_INSTANCE_ID", "golden"),
    ("MOLTBOT_GATEWAY_TOKEN", "golden-token-of-a-test"),
];

fn home() -> Home {
    let home = Home::new();
    IDENTITY
        .iter()
        .fold(home, |home, (name, value)| home.with(name, value))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/golden")
}

/// Every golden home there is, oldest first.
fn all() -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    all.sort();
    assert!(!all.is_empty(), "there is no golden home");
    all
}

fn freezing() -> bool {
    std::env::var("MOLTBOT_FREEZE").is_ok_and(|value| value == "1")
}

#[tokio::test]
async fn this_version_has_a_golden_home() {
    let golden = folder().join(env!("CARGO_PKG_VERSION"));
    if freezing() && !golden.exists() {
        freeze(&golden).await;
    }
    assert!(
        golden.exists(),
        "run with MOLTBOT_FREEZE=1 to write {}",
        golden.display()
    );
}

/// A conversation, a changed configuration, a snapshot, and something after it.
async fn freeze(golden: &Path) {
    let home = home();
    let mut gateway = home.start();
    let mut operator = Device::new(1);
    operator.redeem(&gateway).await;
    let mut client = operator.connect(&gateway, &ALL).await.unwrap();
    client.chat("main", "echo 记住 this", "r1").await;
    let base = client.request("config.get", json!({})).await.unwrap()["hash"].clone();
    let raw = json!({ "assistant": { "name": "Ada" } }).to_string();
    let patch = json!({ "baseHash": base, "raw": raw });
    client.request("config.patch", patch).await.unwrap();
    client.request("storage.backup", json!({})).await.unwrap();
    // A start moves what the tail holds into sled, so that both hold something.
    drop(client);
    gateway.terminate();
    assert_eq!(gateway.wait().code(), Some(0));
    gateway = home.start();
    client = operator.connect(&gateway, &ALL).await.unwrap();
    client.chat("work", "echo after the snapshot", "r2").await;
    let seen = look(&mut client).await;
    drop(client);
    gateway.terminate();
    assert_eq!(gateway.wait().code(), Some(0));
    let (code, rows, _) = home.run(&["log", "export"]);
    assert_eq!(code, 0);

    copy(&home.replica(), &golden.join("replica"), &|bytes| bytes);
    let pack = |bytes: Vec<u8>| zstd::bulk::compress(&bytes, 19).unwrap();
    copy(&home.data(), &golden.join("data"), &pack);
    fs::write(golden.join("rows.jsonl"), rows).unwrap();
    let seen = serde_json::to_string_pretty(&seen).unwrap();
    fs::write(golden.join("seen.json"), seen + "\n").unwrap();
    fs::write(golden.join("device-token"), operator.token.unwrap()).unwrap();
}

/// What a client sees, as far as it is the same at every later time.
async fn look(client: &mut Client) -> Value {
    let devices = client.request("device.pair.list", json!({})).await.unwrap();
    let config = client.request("config.get", json!({})).await.unwrap();
    let device = &devices["paired"][0];
    json!({
        "main": client.history("main").await,
        "work": client.history("work").await,
        "device": { "id": device["deviceId"], "scopes": device["scopes"] },
        "config": config["config"],
    })
}

/// Copies all files of a folder, each changed like this.
fn copy(from: &Path, to: &Path, change: &dyn Fn(Vec<u8>) -> Vec<u8>) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target, change);
        } else {
            fs::write(target, change(fs::read(&path).unwrap())).unwrap();
        }
    }
}

/// A home with the remote log of a golden one, and the local one too if wanted.
fn thawed(golden: &Path, with_data: bool) -> Home {
    let home = home();
    copy(&golden.join("replica"), &home.replica(), &|bytes| bytes);
    if with_data {
        let unpack = |bytes: Vec<u8>| zstd::stream::decode_all(&bytes[..]).unwrap();
        copy(&golden.join("data"), &home.data(), &unpack);
    }
    home
}

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The rows of an export that are records; a version may put others around them.
fn rows(text: &str) -> Vec<Value> {
    let rows = text.lines().map(|row| serde_json::from_str(row).unwrap());
    rows.filter(|row: &Value| row["seq"].is_u64() && row["hash"].is_string())
        .collect()
}

/// The rows of an export begin with those that were frozen. A later version may say more of each.
fn assert_begins_with(golden: &Path, exported: &str) {
    let frozen = rows(&fs::read_to_string(golden.join("rows.jsonl")).unwrap());
    let exported = rows(exported);
    assert!(frozen.len() > 10 && exported.len() >= frozen.len());
    for (frozen, row) in frozen.iter().zip(&exported) {
        for name in [
            "seq",
            "at",
            "actor",
            "cause",
            "stream",
            "kind",
            "prev_hash",
            "hash",
        ] {
            assert_eq!(frozen[name], row[name], "{name} of {frozen}");
        }
    }
}

async fn goes_on(golden: &Path, gateway: &Gateway) {
    let mut operator = Device::new(1);
    operator.token = Some(fs::read_to_string(golden.join("device-token")).unwrap());
    let mut client = operator.connect(gateway, &ALL).await.unwrap();
    assert_eq!(look(&mut client).await, json_of(&golden.join("seen.json")));
    let end = client.chat("main", "echo and on it goes", "new").await;
    assert_eq!(end["state"], "final");
    // The key of a message from before the upgrade still recognises it: it is not answered twice. A
    // version may hash what was said in another way; then it takes it for another text and refuses.
    let before = client.history("main").await.len();
    let again =
        json!({ "sessionKey": "main", "message": "echo 记住 this", "idempotencyKey": "r1" });
    match client.request("chat.send", again).await {
        Ok(answer) => assert_eq!(answer["status"], "ok"),
        Err(refused) => assert_eq!(refused["details"]["code"], "idempotency_conflict"),
    }
    assert_eq!(client.history("main").await.len(), before);
    gateway.shipped().await;
}

#[tokio::test]
async fn every_golden_home_opens_shows_the_same_and_goes_on() {
    for golden in all() {
        for with_data in [false, true] {
            let home = thawed(&golden, with_data);
            let mut gateway = home.start();
            let claimed = gateway.wait_for_log("log claimed");
            assert_eq!(claimed.contains("restored=0"), with_data, "{claimed}");
            goes_on(&golden, &gateway).await;
            gateway.terminate();
            assert_eq!(gateway.wait().code(), Some(0));
            let (code, out, error) = home.run(&["log", "verify"]);
            assert_eq!(code, 0, "{out}{error}");
            let (_, out, _) = home.run(&["log", "export"]);
            assert_begins_with(&golden, &out);
            assert_untouched(&golden.join("replica"), &home.replica());
            assert!(!home.path().join("data.damaged-1").exists());
        }
    }
}

/// Every object is still there, byte for byte.
fn assert_untouched(frozen: &Path, now: &Path) {
    for entry in fs::read_dir(frozen).unwrap() {
        let path = entry.unwrap().path();
        let same = now.join(path.file_name().unwrap());
        if path.is_dir() {
            assert_untouched(&path, &same);
        } else {
            assert_eq!(fs::read(&path).unwrap(), fs::read(&same).unwrap());
        }
    }
}

#[test]
fn every_golden_segment_is_written_today_as_it_was_then() {
    for golden in all() {
        let mut segments = 0;
        for entry in fs::read_dir(golden.join("replica/log")).unwrap() {
            let path = entry.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            let read = segment::decode("a golden segment", &bytes).unwrap();
            let header = &read.header;
            let again = segment::encode(header.epoch, &header.writer, &read.records).unwrap();
            assert_eq!(segment::decode("again", &again).unwrap(), read);
            // The same also when packed, for as long as zstd packs the same.
            assert_eq!(again.as_ref(), bytes, "{}", path.display());
            for record in &read.records {
                encode_frame(record, &mut Vec::new()).unwrap();
                let event = record.event().unwrap();
                if event.version() == record.version {
                    assert_eq!(event.encode().unwrap(), record.payload, "#{}", record.seq);
                }
            }
            segments += 1;
        }
        assert!(segments > 3);
    }
}
