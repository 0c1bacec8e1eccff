//! What is left of a gateway whose machine is gone: everything that was shipped.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]
#![allow(unreachable_pub, reason = "a module of a test has no outside")]

#[path = "support/story.rs"]
mod story;
mod support;

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use story::{look, play};
use support::client::{ALL, Client, Device, text};
use support::{Gateway, Home};

const CORRUPT_LOG: i32 = 4;

#[tokio::test]
async fn a_wiped_machine_comes_back_with_everything_that_was_shipped() {
    let home = Home::new();
    let (mut gateway, story) = play(&home).await;
    gateway.kill();
    home.wipe();

    let (code, out, err) = home.run(&["log", "verify"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("whole: "), "{out}");
    assert!(out.contains(&format!("head:  {}\n", story.head)), "{out}");
    let (code, out, err) = home.run(&["restore", "--dry-run"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("2 conversations, 2 devices"), "{out}");
    assert!(
        out.contains(&format!("head:       {}\n", story.head)),
        "{out}"
    );
    assert!(
        !home.data().exists(),
        "looking at the log changed this machine"
    );

    let gateway = home.start();
    let mut client = story.operator.connect(&gateway, &ALL).await.unwrap();
    assert_eq!(look(&mut client).await, story.seen);
    let status = gateway.status().await.unwrap();
    assert_eq!(status["epoch"].as_u64(), Some(story.epoch + 1));
    let again =
        json!({ "sessionKey": "main", "message": "echo first words", "idempotencyKey": "r1" });
    assert_eq!(
        client.request("chat.send", again).await.unwrap()["status"],
        "ok"
    );
    let end = client.chat("main", "echo more", "r3").await;
    // The interrupted question before it is not answered once more.
    assert_eq!(
        (end["state"].as_str(), text(&end["message"])),
        (Some("final"), "more")
    );
}

#[tokio::test]
async fn a_damaged_local_log_is_kept_aside_and_restored() {
    let home = Home::new();
    let (mut gateway, story) = play(&home).await;
    gateway.kill();
    let database = home.data().join("db");
    let mut bytes = std::fs::read(&database).unwrap();
    // The newest data lies at the front of the first segments; spread the damage over all of it.
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    for at in (64..used).step_by(97) {
        bytes[at] ^= 0x5a;
    }
    std::fs::write(&database, bytes).unwrap();

    let gateway = home.start();
    let mut client = story.operator.connect(&gateway, &ALL).await.unwrap();
    assert_eq!(look(&mut client).await, story.seen);
    assert_eq!(
        gateway.status().await.unwrap()["epoch"].as_u64(),
        Some(story.epoch + 1)
    );
}

#[tokio::test]
async fn a_restart_begins_from_a_snapshot_that_counts_and_from_none_that_does_not() {
    let home = Home::new();
    let mut gateway = home.start();
    let mut device = Device::new(1);
    device.redeem(&gateway).await;
    let mut client = device.connect(&gateway, &ALL).await.unwrap();
    flood(&mut client, 0).await;
    let backup = client.request("storage.backup", json!({})).await.unwrap();
    let snapshot = backup["snapshotSeq"].as_u64().unwrap();
    client.chat("s1", "echo after the snapshot", "last").await;
    gateway.shipped().await;
    let before = histories(&mut client).await;
    assert_eq!(before[1].last().map(text), Some("after the snapshot"));

    gateway.kill();
    home.wipe();
    gateway = home.start();
    let line = gateway.wait_for_log("the state begins from a snapshot");
    assert!(line.contains(&format!("seq={snapshot}")), "{line}");
    client = device.connect(&gateway, &ALL).await.unwrap();
    assert_eq!(histories(&mut client).await, before);

    gateway.shipped().await;
    gateway.kill();
    home.wipe();
    damage(&only_file(&home.replica().join("snapshot")));
    gateway = home.start();
    gateway.wait_for_log("a snapshot cannot be used");
    assert!(!gateway.log().contains("the state begins from a snapshot"));
    client = device.connect(&gateway, &ALL).await.unwrap();
    assert_eq!(histories(&mut client).await, before);
}

#[tokio::test]
async fn a_start_from_a_snapshot_reads_older_history_only_when_asked() {
    let home = Home::new();
    let mut gateway = home.start();
    let mut device = Device::new(1);
    device.redeem(&gateway).await;
    let mut client = device.connect(&gateway, &ALL).await.unwrap();
    let from = client.request("log.subscribe", json!({})).await.unwrap()["head"].clone();
    for (session, run) in [("old", "r1"), ("old", "r2"), ("newer", "r3")] {
        client
            .chat(session, &format!("echo words of {run}"), run)
            .await;
        gateway.shipped().await;
    }
    let backup = client.request("storage.backup", json!({})).await.unwrap();
    let snapshot = backup["snapshotSeq"].as_u64().unwrap();
    client.chat("newer", "echo after it", "r4").await;
    gateway.shipped().await;
    let (old, newer) = (client.history("old").await, client.history("newer").await);
    let titles = titles(&mut client).await;
    gateway.kill();
    home.wipe();
    let aside = take_before(&home, snapshot);
    assert!(aside.len() > 3, "{aside:?}");

    gateway = home.start();
    let line = gateway.wait_for_log("the state begins from a snapshot");
    assert!(line.contains(&format!("seq={snapshot}")), "{line}");
    client = device.connect(&gateway, &ALL).await.unwrap();
    assert_eq!(self::titles(&mut client).await, titles);
    // What is there is served, what cannot be had now is not taken for nothing.
    for (method, params) in [
        ("chat.history", json!({ "sessionKey": "old" })),
        ("log.subscribe", json!({ "from": from })),
    ] {
        let error = client.request(method, params).await.unwrap_err();
        assert_eq!(error["code"], "UNAVAILABLE", "{error}");
        assert!(error["retryAfterMs"].is_u64(), "{error}");
    }
    let newest = json!({ "sessionKey": "newer", "limit": 2 });
    let page = client.request("chat.history", newest).await.unwrap();
    assert_eq!(page["messages"].as_array().unwrap()[..], newer[2..]);
    let params = json!({ "sessionKey": "old", "message": "echo x", "idempotencyKey": "r5" });
    client.request("chat.send", params).await.unwrap();
    let failed = client.event_where("chat", |p| p["runId"] == "r5").await;
    assert_eq!(failed["errorKind"], "history_unavailable", "{failed}");

    for (from, to) in aside {
        std::fs::rename(to, from).unwrap();
    }
    assert_eq!(client.history("newer").await, newer);
    let old_now = client.history("old").await;
    assert_eq!(old_now[..old.len()], old);
    let known = client
        .request("log.subscribe", json!({ "from": from }))
        .await;
    assert_eq!(known.unwrap()["resync"], false);
    let mut next = from["seq"].as_u64().unwrap() + 1;
    while next <= snapshot {
        let page = client.event("log").await;
        for record in page["records"].as_array().unwrap() {
            assert_eq!(record["seq"], next);
            next += 1;
        }
    }
    // The question that failed is answered now, with what was said before.
    let params = json!({ "sessionKey": "old", "runId": "r5", "idempotencyKey": "r6" });
    client.request("chat.retry", params).await.unwrap();
    assert_eq!(text(&client.chat_end("r6").await["message"]), "x");
}

/// What the list of conversations shows of each.
async fn titles(client: &mut Client) -> Vec<(Value, Value, Value)> {
    let list = client.request("sessions.list", json!({})).await.unwrap();
    let sessions = list["sessions"].as_array().unwrap();
    assert!(sessions.iter().all(|row| row["derivedTitle"].is_string()));
    let shown = |row: &Value| {
        let field = |name: &str| row[name].clone();
        (
            field("key"),
            field("derivedTitle"),
            field("lastMessagePreview"),
        )
    };
    sessions.iter().map(shown).collect()
}

/// Moves the segments that end before this record away; where each was and is.
fn take_before(home: &Home, seq: u64) -> Vec<(PathBuf, PathBuf)> {
    let segments = files(&home.replica().join("log"));
    let first = |file: &PathBuf| file.file_stem()?.to_str()?.parse::<u64>().ok();
    let next = segments.iter().skip(1);
    let old = segments
        .iter()
        .zip(next)
        .filter(|(_, next)| first(next) <= Some(seq));
    old.map(|(file, _)| {
        let aside = home.path().join(file.file_name().unwrap());
        std::fs::rename(file, &aside).unwrap();
        (file.clone(), aside)
    })
    .collect()
}

#[tokio::test]
async fn a_lost_data_key_is_named_and_nothing_is_served_without_it() {
    let home = Home::new();
    let mut gateway = with_a_past(&home).await;
    gateway.kill();
    for key in files(&home.replica().join("keys")) {
        let aside = home.path().join("key");
        std::fs::rename(&key, &aside).unwrap();
        let name = format!("keys/{}", key.file_name().unwrap().to_str().unwrap());
        // A start that fails may have fetched the other keys already.
        home.wipe();
        let log = refuses_to_start(&home);
        assert!(
            log.contains(&name) && log.contains("backup"),
            "no `{name}` in:\n{log}"
        );
        std::fs::rename(&aside, &key).unwrap();
    }
    home.start();
}

#[tokio::test]
async fn a_damaged_segment_is_named_and_nothing_is_served_without_it() {
    let home = Home::new();
    let mut gateway = with_a_past(&home).await;
    gateway.kill();
    home.wipe();
    let segment = files(&home.replica().join("log")).swap_remove(1);
    let whole = std::fs::read(&segment).unwrap();
    damage(&segment);
    let name = object(&segment);
    let log = refuses_to_start(&home);
    assert!(
        log.contains(&name) && log.contains(" #"),
        "no `{name}` in:\n{log}"
    );
    let (code, _, err) = home.run(&["log", "verify"]);
    assert_eq!(code, CORRUPT_LOG);
    assert!(err.contains(&name), "{err}");

    std::fs::remove_file(&segment).unwrap();
    let log = refuses_to_start(&home);
    let first: u64 = segment
        .file_stem()
        .unwrap()
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!(log.contains(&format!("has no record #{first}..")), "{log}");

    std::fs::write(&segment, whole).unwrap();
    let gateway = home.start();
    assert!(gateway.log().contains("restored="));
}

/// A gateway with one conversation in several segments.
async fn with_a_past(home: &Home) -> Gateway {
    let gateway = home.start();
    let mut device = Device::new(1);
    device.redeem(&gateway).await;
    let mut client = device.connect(&gateway, &ALL).await.unwrap();
    for run in ["r1", "r2"] {
        client.chat("main", "echo hello", run).await;
        gateway.shipped().await;
    }
    gateway
}

/// Starts a gateway that must end at once; its log.
fn refuses_to_start(home: &Home) -> String {
    let mut gateway = home.launch(&[]);
    let status = gateway.wait();
    gateway.wait_for_log("moltbot: ");
    assert_eq!(status.code(), Some(CORRUPT_LOG), "{}", gateway.log());
    assert!(!gateway.log().contains("ready "));
    gateway.log()
}

const FLOODED: usize = 16;

/// A message to each of many conversations, all answered.
async fn flood(client: &mut Client, round: usize) {
    for session in 0..FLOODED {
        let run = format!("f{round}-{session}");
        let key = format!("s{session}");
        let params = json!({ "sessionKey": key, "message": "echo x", "idempotencyKey": run });
        client.request("chat.send", params).await.unwrap();
    }
    let mut ended = 0;
    while ended < FLOODED {
        client.event_where("chat", |p| p["state"] == "final").await;
        ended += 1;
    }
}

async fn histories(client: &mut Client) -> Vec<Vec<Value>> {
    let mut all = Vec::new();
    for session in 0..FLOODED {
        all.push(client.history(&format!("s{session}")).await);
    }
    all
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|f| f.unwrap().path())
        .collect();
    files.sort();
    files
}

fn only_file(folder: &Path) -> PathBuf {
    let mut files = files(folder);
    assert_eq!(files.len(), 1);
    files.remove(0)
}

fn object(segment: &Path) -> String {
    format!("log/{}", segment.file_name().unwrap().to_str().unwrap())
}

/// Changes a byte in the middle.
fn damage(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(file, bytes).unwrap();
}
