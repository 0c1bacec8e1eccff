//! One log has one writer: who may take it over, and what becomes of the one before.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod support;

use moltbot_core::event::Event;
use moltbot_core::ids::Seq;
use moltbot_core::record::Record;
use moltbot_store::log::EventLog;
use moltbot_store::segment;
use moltbot_store::settings::StoreSettings;
use moltbot_store::sled_log::SledLog;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use support::client::{ALL, Client, Device, text};
use support::{Gateway, Home};

const CONFIGURATION: i32 = 3;
const FENCED: i32 = 5;
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A directory that two homes use as their remote.
struct Shared {
    dir: tempfile::TempDir,
    device: Device,
}

impl Shared {
    fn new() -> Shared {
        Shared {
            dir: tempfile::tempdir().unwrap(),
            device: Device::new(1),
        }
    }

    fn home(&self) -> Home {
        let url = format!("file://{}", self.dir.path().display());
        Home::new()
            .with("MOLTBOT_REPLICA_URL", &url)
            .with("MOLTBOT_GATEWAY_TOKEN", TOKEN)
    }

    /// The first gateway with one answered message that is shipped, and a client of it.
    async fn first(&mut self, home: &Home) -> (Gateway, Client) {
        let gateway = home.start();
        self.device.redeem(&gateway).await;
        let mut client = self.device.connect(&gateway, &ALL).await.unwrap();
        assert_eq!(
            client.chat("main", "echo shipped", "r1").await["state"],
            "final"
        );
        gateway.shipped().await;
        (gateway, client)
    }

    /// Everything that lies under `orphan/`.
    fn orphans(&self) -> Vec<Record> {
        segments(&self.dir.path().join("orphan"))
    }
}

#[tokio::test]
async fn a_foreign_gateway_needs_takeover_and_then_fences_the_other_one() {
    let mut shared = Shared::new();
    let (home, other) = (shared.home(), shared.home());
    let (mut first, mut client) = shared.first(&home).await;
    let before = client.history("main").await;

    let mut refused = other.launch(&[]);
    assert_eq!(refused.wait().code(), Some(CONFIGURATION));
    let line = refused.wait_for_log("moltbot: ");
    let owner = std::fs::read_to_string(home.path().join("instance")).unwrap();
    assert!(
        line.contains(owner.trim()) && line.contains("--takeover"),
        "{line}"
    );
    assert_eq!(
        client.chat("main", "echo still here", "r2").await["state"],
        "final"
    );
    first.shipped().await;
    let before = [before, client.history("main").await.split_off(2)].concat();

    let second = other.start_with(&["--takeover"]);
    let mut reader = shared.device.connect(&second, &ALL).await.unwrap();
    assert_eq!(reader.history("main").await, before);
    assert_eq!(second.status().await.unwrap()["epoch"], 2);

    fenced_by_its_next_message(&mut first, &mut client).await;
    let (kept, shipped) = (shared.orphans(), segments(&shared.dir.path().join("log")));
    let received =
        |r: &Record| matches!(r.event(), Ok(Event::MessageReceived(m)) if m.run.0 == "late");
    assert!(
        kept.iter().any(received),
        "the tail is not under orphan/: {kept:?}"
    );
    for record in &local_log(&home) {
        assert!(
            kept.contains(record) || shipped.contains(record),
            "not kept: {record:?}"
        );
    }

    assert_eq!(
        reader.chat("main", "echo mine now", "r3").await["state"],
        "final"
    );
    let now = reader.history("main").await;
    assert_eq!(now[..before.len()], before);
    assert_eq!(text(now.last().unwrap()), "mine now");
    second.shipped().await;
    let (code, out, err) = other.run(&["log", "verify"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("epoch 2"), "{out}");
}

#[tokio::test]
async fn the_same_owner_in_another_place_fences_the_older_process() {
    let mut shared = Shared::new();
    let home = shared.home().with("MOLTBOT_INSTANCE_ID", "container");
    let (mut first, mut client) = shared.first(&home).await;
    let before = client.history("main").await;

    let other = shared.home().with("MOLTBOT_INSTANCE_ID", "container");
    let second = other.start();
    let mut reader = shared.device.connect(&second, &ALL).await.unwrap();
    assert_eq!(reader.history("main").await, before);
    fenced_by_its_next_message(&mut first, &mut client).await;
    assert_eq!(
        reader.chat("main", "echo mine now", "r3").await["state"],
        "final"
    );
    assert!(!shared.orphans().is_empty());
}

#[tokio::test]
async fn a_fenced_gateway_that_comes_back_keeps_its_tail_and_follows_the_new_owner() {
    let mut shared = Shared::new();
    let (home, other) = (shared.home(), shared.home());
    let (mut first, mut client) = shared.first(&home).await;
    let second = other.start_with(&["--takeover"]);
    fenced_by_its_next_message(&mut first, &mut client).await;

    let mut refused = home.launch(&[]);
    assert_eq!(refused.wait().code(), Some(CONFIGURATION));
    let mut reader = shared.device.connect(&second, &ALL).await.unwrap();
    reader.chat("main", "echo theirs", "r2").await;
    second.shipped().await;
    let before = reader.history("main").await;

    let back = home.start_with(&["--takeover"]);
    let mut again = shared.device.connect(&back, &ALL).await.unwrap();
    assert_eq!(again.history("main").await, before);
    assert_eq!(back.status().await.unwrap()["epoch"], 3);
}

/// The fenced gateway still takes a message, for it cannot know; then it ends within a second.
async fn fenced_by_its_next_message(gateway: &mut Gateway, client: &mut Client) {
    let late =
        json!({ "sessionKey": "main", "message": "echo too late", "idempotencyKey": "late" });
    let sent = Instant::now();
    client.request("chat.send", late).await.unwrap();
    let (code, _) = client.wait_closed().await;
    assert_eq!(code, 1012);
    let status = gateway.wait();
    assert!(
        sent.elapsed() < Duration::from_secs(1),
        "it took {:?}",
        sent.elapsed()
    );
    assert_eq!(status.code(), Some(FENCED), "{}", gateway.log());
    let line = gateway.wait_for_log("moltbot: ");
    assert!(
        line.contains("took this log over") && line.contains("orphan/"),
        "{line}"
    );
}

/// The records in all segments below a folder.
fn segments(folder: &Path) -> Vec<Record> {
    let mut records = Vec::new();
    for file in files_below(folder) {
        let bytes = std::fs::read(&file).unwrap();
        let segment = segment::decode(&file.display().to_string(), &bytes).unwrap();
        records.extend(segment.records);
    }
    records
}

/// The records in the local log of a gateway that does not run.
fn local_log(home: &Home) -> Vec<Record> {
    let log = SledLog::open(&home.data(), &StoreSettings::default()).unwrap();
    let reader = log.reader();
    let mut records = Vec::new();
    loop {
        let page = reader.read(Seq(records.len() as u64 + 1), 1 << 20).unwrap();
        if page.is_empty() {
            return records;
        }
        records.extend(page);
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files
}
