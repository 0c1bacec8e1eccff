//! A follower and a remote log that is far away, gone for a while, or put back to an older state.

use super::s3::{ACCESS_KEY, BUCKET, Fault, S3Server, SECRET_KEY};
use super::support::Home;
use super::support::client::{ALL, Device};
use super::{Shared, reaches, until};
use serde_json::{Value, json};

fn home(endpoint: &str) -> Home {
    Home::new()
        .with("MOLTBOT_REPLICA_URL", &format!("s3://{BUCKET}/some/prefix"))
        .with("AWS_ENDPOINT_URL_S3", endpoint)
        .with("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        .with("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        .with("AWS_REGION", "auto")
        .with("MOLTBOT_GATEWAY_TOKEN", super::TOKEN)
}

#[tokio::test]
async fn a_follower_of_a_bucket_may_only_read_and_outlives_its_absence() {
    let mut server = S3Server::new();
    server.start();
    let (writing, reading) = (home(&server.url()), home(&server.url()));
    let mut writer = writing.start();
    let mut device = Device::new(1);
    device.redeem(&writer).await;
    let mut client = device.connect(&writer, &ALL).await.unwrap();
    client.chat("main", "echo before", "r1").await;
    let first = writer.shipped().await;
    let history = client.history("main").await;

    // From here on the credentials read and do nothing else.
    writer.terminate();
    writer.wait();
    server.stop();
    server.becomes(Some(Fault::ReadOnly));
    server.start();
    let mut follower = reading.follow();
    reaches(&follower, first).await;
    let mut reader = device.connect(&follower, &ALL).await.unwrap();
    assert_eq!(reader.history("main").await, history);

    server.stop();
    let away = |s: &Value| s["state"] == "failing" && s["lagMs"].as_i64() > Some(0);
    let storage = until(&mut reader, "storage.status", json!({}), away).await;
    let error = storage["lastError"].as_str().unwrap();
    assert!(!error.is_empty() && !error.contains(SECRET_KEY), "{error}");
    let lag_ms = storage["lagMs"].as_i64().unwrap();
    let older = |s: &Value| s["lagMs"].as_i64() > Some(lag_ms);
    until(&mut reader, "storage.status", json!({}), older).await;
    assert_eq!(
        reader.history("main").await,
        history,
        "what is here is served on"
    );
    let bearer = format!("Bearer {}", follower.token());
    let metrics = follower
        .http("GET", "/metrics", &[("authorization", &bearer)], "")
        .await;
    assert_eq!(metrics.status, 200);

    // Also a start finds the copy enough, and says that it heard from nobody: where there is nobody,
    // and where somebody takes requests and says nothing.
    follower.kill();
    let mut follower = reading.follow();
    follower.kill();
    server.becomes(Some(Fault::Silent));
    server.start();
    let follower = reading.follow();
    let mut reader = device.connect(&follower, &ALL).await.unwrap();
    assert_eq!(reader.history("main").await, history);
    let status = follower.status().await.unwrap();
    assert_eq!(status["follower"]["lastContactAt"], Value::Null, "{status}");
    assert!(status["follower"]["lagMs"].as_i64() > Some(0), "{status}");

    server.stop();
    server.becomes(None);
    server.start();
    let writer = writing.start();
    let mut client = device.connect(&writer, &ALL).await.unwrap();
    client.chat("main", "echo after", "r2").await;
    let seq = writer.shipped().await;
    reaches(&follower, seq).await;
    assert_eq!(reader.history("main").await, client.history("main").await);
    let back = |s: &Value| s["state"] == "ok" && s["lastError"].is_null();
    until(&mut reader, "storage.status", json!({}), back).await;
    assert!(!follower.log().contains(SECRET_KEY), "{}", follower.log());
}

#[tokio::test]
async fn a_follower_without_a_copy_waits_for_the_remote_log_and_for_a_writer() {
    let mut server = S3Server::new();
    let (writing, reading) = (home(&server.url()), home(&server.url()));
    let follower = reading.launch_follower();
    let waits = |word: &'static str| {
        move |status: &Value| {
            let message = status["message"].as_str().unwrap_or_default();
            status["phase"] == "connecting" && message.contains(word)
        }
    };
    follower.status_where(waits("trying again")).await;
    assert_eq!(follower.get("/ready").await.unwrap().0, 503);
    server.start();
    follower.status_where(waits("no gateway has written")).await;
    let writer = writing.start();
    let seq = writer.shipped().await;
    reaches(&follower, seq).await;
    assert_eq!(follower.get("/ready").await.unwrap().0, 200);
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_a_mistake_and_is_not_made() {
    let home = Home::new();
    let mut refused = home.launch_follower();
    assert_eq!(refused.wait().code(), Some(3));
    let line = refused.wait_for_log("moltbot: ");
    assert!(line.contains("MOLTBOT_REPLICA_URL"), "{line}");
    assert!(!home.replica().exists());
}

#[tokio::test]
async fn a_copy_that_is_ahead_of_a_remote_log_that_was_put_back_begins_anew_from_there() {
    let mut shared = Shared::new();
    let (home, other) = (shared.home(), shared.home());
    let (mut writer, mut client) = shared.writer(&home).await;
    let kept = writer.shipped().await;
    client.chat("main", "echo lost", "r2").await;
    let seq = writer.shipped().await;
    let mut follower = other.follow();
    reaches(&follower, seq).await;
    follower.kill();
    writer.kill();

    // An older backup of the bucket has only the segments up to then.
    for (file, _) in shared.files() {
        let number = file.rsplit('/').next().unwrap().strip_suffix(".seg");
        let first: Option<u64> = number.and_then(|number| number.parse().ok());
        if first > Some(kept) {
            std::fs::remove_file(&file).unwrap();
        }
    }
    let follower = other.follow();
    follower.wait_for_log("an older state of it was put back");
    assert_eq!(
        follower.status().await.unwrap()["headSeq"].as_u64(),
        Some(kept)
    );
    let mut reader = shared.device.connect(&follower, &ALL).await.unwrap();
    assert_eq!(reader.history("main").await.len(), 2);
}

#[tokio::test]
async fn another_log_in_the_place_of_the_first_ends_the_follower() {
    let mut shared = Shared::new();
    let (home, other) = (shared.home(), shared.home());
    let (mut writer, _client) = shared.writer(&home).await;
    let seq = writer.shipped().await;
    let mut follower = other.follow();
    reaches(&follower, seq).await;
    follower.kill();
    writer.kill();

    std::fs::remove_dir_all(shared.dir.path().join("log")).unwrap();
    std::fs::remove_dir_all(shared.dir.path().join("head")).unwrap();
    home.wipe();
    let writer = home.start();
    let mut device = Device::new(7);
    device.redeem(&writer).await;
    let mut client = device.connect(&writer, &ALL).await.unwrap();
    for n in 0..4 {
        client.chat("main", "echo other", &format!("o{n}")).await;
    }
    assert!(writer.shipped().await > seq);
    let mut refused = other.launch_follower();
    assert_eq!(refused.wait().code(), Some(4), "{}", refused.log());
    let line = refused.wait_for_log("moltbot: ");
    assert!(line.contains("remove"), "{line}");
}
