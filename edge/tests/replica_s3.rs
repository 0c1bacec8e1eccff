//! The remote log behind the S3 protocol, on two servers that share no code; and what happens
//! while the remote is away.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]
#![allow(unreachable_pub, reason = "a module of a test has no outside")]
#![allow(clippy::print_stdout, reason = "what it found is worth reading")]

#[path = "support/moto.rs"]
mod moto;
#[path = "support/s3.rs"]
mod s3;
#[path = "support/story.rs"]
mod story;
mod support;

use moto::Moto;
use s3::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use story::{look, play};
use support::client::{ALL, Client, Device};
use support::{Home, PATIENCE};

/// A home whose remote is a bucket.
fn home(endpoint: &str) -> Home {
    Home::new()
        .with("MOLTBOT_REPLICA_URL", &format!("s3://{BUCKET}/some/prefix"))
        .with("AWS_ENDPOINT_URL_S3", endpoint)
        .with("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        .with("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        .with("AWS_REGION", "auto")
}

#[tokio::test]
async fn a_wiped_machine_comes_back_from_a_bucket_of_s3s() {
    let mut server = S3Server::new();
    server.start();
    comes_back(&home(&server.url())).await;
}

#[tokio::test]
async fn a_wiped_machine_comes_back_from_a_bucket_of_moto() {
    // Installs what its client needs.
    let _home = Home::new();
    if let Some(server) = Moto::start().await {
        comes_back(&home(&server.url())).await;
    }
}

/// Lives, loses the machine, and lives again: the same for every server.
async fn comes_back(home: &Home) {
    let (mut gateway, story) = play(home).await;
    gateway.kill();
    home.wipe();
    let (code, out, err) = home.run(&["log", "verify"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains(&format!("head:  {}\n", story.head)), "{out}");

    let gateway = home.start();
    let mut client = story.operator.connect(&gateway, &ALL).await.unwrap();
    assert_eq!(look(&mut client).await, story.seen);
    let storage = client.request("storage.status", json!({})).await.unwrap();
    assert_eq!(storage["configured"], true);
    assert_eq!(storage["kind"], "s3");
    assert_eq!(storage["epoch"].as_u64(), Some(story.epoch + 1));
    assert_eq!(storage["location"], format!("s3://{BUCKET}/some/prefix"));
    assert_eq!(
        client.chat("main", "echo more", "r3").await["state"],
        "final"
    );
    let backup = client.request("storage.backup", json!({})).await.unwrap();
    assert_eq!(backup["ok"], true);
    assert!(!home.path().join("replica").exists());

    let other = self::home(&home.env[1].1);
    let mut refused = other.launch(&[]);
    assert_eq!(refused.wait().code(), Some(3));
    assert!(!gateway.log().contains(SECRET_KEY));
}

#[tokio::test]
async fn a_remote_that_is_away_at_the_start_is_waited_for() {
    let mut server = S3Server::new();
    let home = home(&server.url());
    let gateway = home.launch(&[]);
    let waits = |status: &Value| status["phase"] == "claiming" && status["message"].is_string();
    let status = gateway.status_where(waits).await;
    assert_eq!(status["ok"], false);
    assert!(!status.to_string().contains(SECRET_KEY), "{status}");
    assert_eq!(gateway.get("/ready").await.unwrap().0, 503);
    let mut early = Client::open(&gateway, &[]).await;
    let challenge = early.event("connect.challenge").await;
    let params = Device::new(1).connect_params(&challenge, &ALL, None);
    let refused = early.request("connect", params).await.unwrap_err();
    assert_eq!(refused["details"]["phase"], "claiming");

    server.start();
    gateway.status_where(|status| status["ok"] == true).await;
    let mut device = Device::new(1);
    device.redeem(&gateway).await;
    let mut client = device.connect(&gateway, &ALL).await.unwrap();
    assert_eq!(
        client.chat("main", "echo hello", "r1").await["state"],
        "final"
    );
}

#[tokio::test]
async fn a_remote_that_goes_away_holds_nobody_up_and_is_caught_up_with() {
    let mut server = S3Server::new();
    server.start();
    let home = home(&server.url());
    let mut gateway = home.start();
    let mut device = Device::new(1);
    device.redeem(&gateway).await;
    let mut client = device.connect(&gateway, &ALL).await.unwrap();
    client.chat("main", "echo before", "r1").await;
    gateway.shipped().await;

    server.stop();
    assert_eq!(
        client.chat("main", "echo meanwhile", "r2").await["state"],
        "final"
    );
    let storage = storage_where(&mut client, |s| s["state"] == "failing").await;
    assert!(storage["lagEvents"].as_u64().unwrap() > 0);
    let error = storage["lastError"].as_str().unwrap();
    assert!(!error.is_empty() && !error.contains("127.0.0.1"), "{error}");
    assert!(
        !error.contains(SECRET_KEY) && !error.contains(ACCESS_KEY),
        "{error}"
    );

    server.start();
    let storage = storage_where(&mut client, |s| s["state"] == "ok").await;
    assert_eq!(storage["lagEvents"], 0);
    assert_eq!(storage["lastError"], Value::Null);
    let history = client.history("main").await;
    gateway.shipped().await;
    gateway.kill();
    home.wipe();
    gateway = home.start();
    client = device.connect(&gateway, &ALL).await.unwrap();
    assert_eq!(client.history("main").await, history);
    let log = gateway.log();
    assert!(
        !log.contains(SECRET_KEY) && !log.contains(ACCESS_KEY),
        "{log}"
    );
}

/// Asks for the storage status until it fits.
async fn storage_where(client: &mut Client, fits: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let storage = client.request("storage.status", json!({})).await.unwrap();
        if fits(&storage) {
            return storage;
        }
        assert!(Instant::now() < deadline, "still {storage}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
