//! A follower: a read-only copy that stays close behind the gateway that writes, whatever becomes
//! of that one, of the remote log, and of itself.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]
#![allow(unreachable_pub, reason = "a module of a test has no outside")]

#[path = "follow/forgetting.rs"]
mod forgetting;
#[path = "follow/refusals.rs"]
mod refusals;
#[path = "follow/remote.rs"]
mod remote;
#[path = "support/s3.rs"]
mod s3;
mod support;

use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;
use support::client::{ALL, Client, Device, text};
use support::{Gateway, Home, PATIENCE};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A directory that several homes use as their remote, and a device that the first one lets in.
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

    /// A writer with one answered message that is shipped, and a client of it.
    async fn writer(&mut self, home: &Home) -> (Gateway, Client) {
        let writer = home.start();
        self.device.redeem(&writer).await;
        let mut client = self.device.connect(&writer, &ALL).await.unwrap();
        client.chat("main", "echo first", "r1").await;
        writer.shipped().await;
        (writer, client)
    }

    /// Everything in the remote but what is shown to belong to it by its name: files and sizes.
    fn files(&self) -> Vec<(String, u64)> {
        let mut files = Vec::new();
        collect(self.dir.path(), &mut files);
        files.sort();
        files
    }
}

fn collect(folder: &Path, into: &mut Vec<(String, u64)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, into);
        } else {
            let size = path.metadata().unwrap().len();
            into.push((path.display().to_string(), size));
        }
    }
}

/// Waits until the follower has this record; its `/status` then.
async fn reaches(follower: &Gateway, seq: u64) -> Value {
    follower
        .status_where(|status| status["headSeq"].as_u64() >= Some(seq))
        .await
}

/// Asks until the answer fits.
async fn until(
    client: &mut Client,
    method: &str,
    params: Value,
    fits: impl Fn(&Value) -> bool,
) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = client.request(method, params.clone()).await.unwrap();
        if fits(&answer) {
            return answer;
        }
        assert!(Instant::now() < deadline, "still {answer}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_follower_shows_what_the_writer_shipped_and_writes_nothing() {
    let mut shared = Shared::new();
    let (home, other) = (shared.home(), shared.home());
    let (writer, mut client) = shared.writer(&home).await;
    let before = shared.files();
    let follower = other.follow();
    let mut reader = shared.device.connect(&follower, &ALL).await.unwrap();
    assert_eq!(reader.history("main").await, client.history("main").await);

    // What is new comes by itself, and is told as it is by the writer.
    let head = reader.request("log.subscribe", json!({})).await.unwrap();
    assert_eq!(head["head"]["seq"], head["shippedSeq"]);
    assert_eq!(
        shared.files(),
        before,
        "a follower wrote into the remote log"
    );
    client.chat("main", "echo second", "r2").await;
    let seq = writer.shipped().await;
    let log = reader
        .event_where("log", |log| log["head"]["seq"].as_u64() >= Some(seq))
        .await;
    assert_eq!(
        log["shippedSeq"].as_u64(),
        Some(seq),
        "it shows only what is shipped"
    );
    assert_eq!(reader.history("main").await, client.history("main").await);
    let listed = reader.request("sessions.list", json!({})).await.unwrap();
    assert_eq!(listed["sessions"][0]["lastMessagePreview"], "second");
    let devices = reader.request("device.pair.list", json!({})).await.unwrap();
    assert_eq!(devices["paired"][0]["displayName"], "Device 1");
    let devices = follower.admin("GET", "devices").await;
    assert_eq!(
        (
            devices.status,
            devices.body["paired"].as_array().unwrap().len()
        ),
        (200, 1)
    );

    let instance = std::fs::read_to_string(home.path().join("instance")).unwrap();
    let status = reaches(&follower, seq).await;
    assert_eq!(
        (&status["role"], &status["ok"]),
        (&json!("follower"), &json!(true))
    );
    assert_eq!(status["follower"]["writer"], instance.trim());
    assert_eq!(status["epoch"], 1);
    assert_eq!(writer.status().await.unwrap()["role"], "writer");
    assert_eq!(follower.get("/ready").await.unwrap().0, 200);
    let current = |s: &Value| s["lagEvents"] == 0 && s["lastContactAgeMs"].is_i64();
    let storage = until(&mut reader, "storage.status", json!({}), current).await;
    assert_eq!(
        (&storage["role"], &storage["state"]),
        (&json!("follower"), &json!("ok"))
    );
    assert_eq!(storage["shipped"]["seq"].as_u64(), Some(seq));
    let hello = &reader.hello["moltbot"];
    assert_eq!(hello["follower"]["writer"], instance.trim());
    assert!(
        hello["readOnly"]
            .as_str()
            .unwrap()
            .contains(instance.trim()),
        "{hello}"
    );

    // The one that is turned out there is out here too.
    let mut gone = Device::new(2);
    gone.redeem(&writer).await;
    let seq = writer.shipped().await;
    reaches(&follower, seq).await;
    let mut leaving = gone.connect(&follower, &["operator.read"]).await.unwrap();
    let revoke = json!({ "deviceId": gone.id() });
    client.request("device.revoke", revoke).await.unwrap();
    assert_eq!(
        leaving.wait_closed().await,
        (1008, "device revoked".to_owned())
    );
}

#[tokio::test]
async fn a_follower_that_is_killed_goes_on_from_its_copy() {
    let mut shared = Shared::new();
    let (home, other) = (shared.home(), shared.home());
    let (writer, mut client) = shared.writer(&home).await;
    let mut follower = other.follow();
    let seen = writer.shipped().await;
    reaches(&follower, seen).await;
    follower.kill();
    client.chat("main", "echo while it was dead", "r2").await;
    let seq = writer.shipped().await;

    let follower = other.follow();
    let opened = follower.wait_for_log("the copy is open");
    assert!(opened.contains(&format!("head={seq}")), "{opened}");
    let mut reader = shared.device.connect(&follower, &ALL).await.unwrap();
    assert_eq!(reader.history("main").await, client.history("main").await);
    drop(follower);

    // The copy alone is enough to read, and it says how old it is.
    let away = shared.dir.path().with_extension("away");
    drop(writer);
    std::fs::rename(shared.dir.path(), &away).unwrap();
    std::fs::create_dir(shared.dir.path()).unwrap();
    let mut refused = other.launch_follower();
    // An empty directory is another log: the copy is none of its beginnings.
    assert_eq!(refused.wait().code(), Some(4), "{}", refused.log());
    let line = refused.wait_for_log("moltbot: ");
    assert!(
        line.contains("follower") && line.contains("remove"),
        "{line}"
    );
    std::fs::remove_dir(shared.dir.path()).unwrap();
    std::fs::rename(&away, shared.dir.path()).unwrap();
    let follower = other.follow();
    reaches(&follower, seq).await;
}

#[tokio::test]
async fn a_follower_goes_on_through_a_takeover_and_can_become_the_writer() {
    let mut shared = Shared::new();
    let (home, other, third) = (shared.home(), shared.home(), shared.home());
    let (mut first, mut client) = shared.writer(&home).await;
    let mut follower = third.follow();
    let mut reader = shared.device.connect(&follower, &ALL).await.unwrap();

    let second = other.start_with(&["--takeover"]);
    let late = json!({ "sessionKey": "main", "message": "echo late", "idempotencyKey": "late" });
    client.request("chat.send", late).await.unwrap();
    assert_eq!(first.wait().code(), Some(5), "{}", first.log());
    let mut client = shared.device.connect(&second, &ALL).await.unwrap();
    client.chat("main", "echo after", "r2").await;
    let seq = second.shipped().await;
    let status = reaches(&follower, seq).await;
    let owner = std::fs::read_to_string(other.path().join("instance")).unwrap();
    assert_eq!(status["follower"]["writer"], owner.trim());
    assert_eq!(status["epoch"], 2);
    let history = reader.history("main").await;
    assert_eq!(history, client.history("main").await);
    let said: Vec<&str> = history.iter().map(text).collect();
    assert!(
        !said.contains(&"echo late"),
        "what was orphaned is nobody's: {said:?}"
    );

    // The follower sees how many tails there are, as every gateway does.
    drop(second);
    follower.terminate();
    assert_eq!(follower.wait().code(), Some(0));
    let promoted = third.start_with(&["--takeover"]);
    let mut client = shared.device.connect(&promoted, &ALL).await.unwrap();
    assert_eq!(client.history("main").await, history);
    assert_eq!(
        client.chat("main", "echo mine", "r3").await["state"],
        "final"
    );
    assert_eq!(promoted.status().await.unwrap()["epoch"], 3);
}
