//! Tails that lost against another writer: they are counted wherever storage is shown, listed with
//! where they parted from the log, exported in the form of the log, and never read back.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]
#![allow(unreachable_pub, reason = "a module of a test has no outside")]

mod support;

use serde_json::{Value, json};
use std::time::Instant;
use support::client::{ALL, Client, Device};
use support::{Gateway, Home, PATIENCE};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const USAGE: i32 = 2;
const CORRUPT: i32 = 4;

/// Two homes with one remote, and what the fenced one of them left.
struct Lost {
    dir: tempfile::TempDir,
    device: Device,
    /// The one that wrote first.
    loser: Home,
    /// The one that writes now.
    owner: Home,
    /// The last record of the log when the takeover began.
    shipped: u64,
    gateway: Gateway,
}

fn home(dir: &tempfile::TempDir) -> Home {
    let url = format!("file://{}", dir.path().display());
    Home::new()
        .with("MOLTBOT_REPLICA_URL", &url)
        .with("MOLTBOT_GATEWAY_TOKEN", TOKEN)
}

/// A gateway takes a message after another one took the log over.
async fn lose() -> Lost {
    let dir = tempfile::tempdir().unwrap();
    let (loser, owner) = (home(&dir), home(&dir));
    let mut device = Device::new(1);
    let mut first = loser.start();
    device.redeem(&first).await;
    let mut client = device.connect(&first, &ALL).await.unwrap();
    client.chat("main", "echo shipped", "r1").await;
    let shipped = first.shipped().await;
    let gateway = owner.start_with(&["--takeover"]);
    let late =
        json!({ "sessionKey": "main", "message": "echo too late", "idempotencyKey": "late" });
    client.request("chat.send", late).await.unwrap();
    assert_eq!(first.wait().code(), Some(5), "{}", first.log());
    Lost {
        dir,
        device,
        loser,
        owner,
        shipped,
        gateway,
    }
}

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The records of an export: what stands between its first and its last line.
fn records(export: &str) -> Vec<Value> {
    let mut lines = lines(export);
    assert_eq!(lines.remove(0)["format"], "moltbot-log-export");
    assert!(lines.pop().unwrap()["end"].is_object());
    lines
}

/// Asks for the storage status until it counts the orphans.
async fn counted(client: &mut Client, count: u64) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let storage = client.request("storage.status", json!({})).await.unwrap();
        if storage["orphans"].as_u64() == Some(count) {
            return storage;
        }
        assert!(Instant::now() < deadline, "still {storage}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_did_not_get_into_the_log_is_listed_and_exported_and_stays_where_it_is() {
    let lost = lose().await;
    let instance = std::fs::read_to_string(lost.loser.path().join("instance")).unwrap();
    let instance = instance.trim();

    let (code, out, error) = lost.owner.run(&["log", "orphans", "list"]);
    assert_eq!(code, 0, "{error}");
    let words = format!("parted from the log after #{}", lost.shipped);
    assert!(out.contains(&words) && out.contains(instance), "{out}");
    let (_, out, _) = lost.owner.run(&["log", "orphans", "list", "--json"]);
    let rows = lines(&out);
    let row = &rows[0];
    assert_eq!(rows.len(), 1, "{out}");
    assert_eq!(row["first"].as_u64(), Some(lost.shipped + 1), "{row}");
    assert_eq!(
        (&row["epoch"], &row["writer"]),
        (&json!(1), &json!(instance))
    );
    assert_eq!(
        (&row["inLog"], &row["forkedAfter"]["seq"]),
        (&json!(true), &json!(lost.shipped))
    );

    let name = row["name"].as_str().unwrap();
    let (code, out, said) = lost.owner.run(&["log", "orphans", "export", &name[..12]]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("whole") && said.contains(&words), "{said}");
    // The form of the log's own export: a person checks it without this gateway, or any.
    let file = lost.owner.path().join("orphan.jsonl");
    std::fs::write(&file, &out).unwrap();
    let verified = lost.owner.run(&["log", "verify", file.to_str().unwrap()]);
    assert_eq!(verified.0, 0, "{verified:?}");
    let (exported, log) = (records(&out), lost.owner.run(&["log", "export"]).1);
    let log = records(&log);
    assert_eq!(exported.len() as u64, row["records"].as_u64().unwrap());
    let kinds: Vec<&str> = exported
        .iter()
        .map(|r| r["kind"].as_str().unwrap())
        .collect();
    assert!(kinds.contains(&"message_received"), "{kinds:?}");
    let parted = usize::try_from(lost.shipped).unwrap() - 1;
    assert_eq!(
        exported[0]["prev_hash"], log[parted]["hash"],
        "it hangs on the log there"
    );
    let names = |record: &Value| {
        record
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&exported[0]), names(&log[0]), "one form for both");
    for record in &exported {
        assert!(
            !log.iter().any(|r| r["hash"] == record["hash"]),
            "{record} is in the log"
        );
    }

    // Nothing reads it back: not the one that writes now, and not one that restores everything.
    let mut client = lost.device.connect(&lost.gateway, &ALL).await.unwrap();
    assert_eq!(client.history("main").await.len(), 2);
    let restored = home(&lost.dir);
    let restored = restored.start_with(&["--takeover"]);
    let mut client = lost.device.connect(&restored, &ALL).await.unwrap();
    assert_eq!(client.history("main").await.len(), 2);

    let storage = counted(&mut client, 1).await;
    assert_eq!(storage["orphans"], 1);
    restored.wait_for_log("moltbot log orphans list");
    let bearer = format!("Bearer {TOKEN}");
    let answer = reqwest::Client::builder().no_proxy().build().unwrap();
    let metrics = answer
        .get(restored.url("/metrics"))
        .header("authorization", bearer);
    let metrics = metrics.send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("moltbot_log_orphans 1"), "{metrics}");
    let (_, out, _) = lost.owner.run(&["doctor"]);
    assert!(out.contains("moltbot log orphans list"), "{out}");
}

#[tokio::test]
async fn a_log_without_orphans_says_so_and_an_unknown_name_is_a_mistake() {
    let home = Home::new();
    let gateway = home.start();
    let mut device = Device::new(1);
    device.redeem(&gateway).await;
    let mut client = device.connect(&gateway, &ALL).await.unwrap();
    counted(&mut client, 0).await;
    let (code, out, _) = home.run(&["log", "orphans", "list"]);
    assert!(
        code == 0 && out.contains("everything that was recorded"),
        "{code} {out}"
    );
    assert_eq!(home.run(&["log", "orphans", "list", "--json"]).1, "");
    let (code, _, said) = home.run(&["log", "orphans", "export", "0000000007"]);
    assert!(
        code == USAGE && said.contains("moltbot log orphans list"),
        "{code} {said}"
    );
    assert!(!home.run(&["doctor"]).1.contains("orphans"));
}

#[tokio::test]
async fn a_damaged_tail_is_named_and_exports_nothing() {
    let lost = lose().await;
    let folder = std::fs::read_dir(lost.dir.path().join("orphan")).unwrap();
    let folder = folder.map(|entry| entry.unwrap().path()).next().unwrap();
    let file = std::fs::read_dir(&folder)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();

    let (code, out, said) = lost.owner.run(&["log", "orphans", "list"]);
    assert_eq!(code, CORRUPT, "{out}");
    let name = folder.file_name().unwrap().to_str().unwrap();
    assert!(out.contains("DAMAGED") && out.contains(name), "{out}");
    assert!(said.contains("orphan/"), "{said}");
    let (code, out, _) = lost.owner.run(&["log", "orphans", "export", name]);
    assert_eq!((code, out.as_str()), (CORRUPT, ""));
}
