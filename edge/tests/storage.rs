//! How safe the data is, as people and scripts are told: the self-test beside the start, its cause
//! while the log cannot be claimed, "Backup Now", and settings that do not go together.

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
mod support;

use moto::Moto;
use s3::{ACCESS_KEY, BUCKET, Fault, S3Server, SECRET_KEY, free_port};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use support::client::{ALL, Device};
use support::{Gateway, Home, PATIENCE};

/// What is promised to a person who waits for the cause.
const CAUSE_WITHIN: Duration = Duration::from_secs(5);

/// A home whose remote is R2, set by its three secrets, at this address.
fn home(endpoint: &str) -> Home {
    Home::new()
        .with("R2_ACCESS_KEY_ID", ACCESS_KEY)
        .with("R2_SECRET_ACCESS_KEY", SECRET_KEY)
        .with("CF_ACCOUNT_ID", "0123456789abcdef0123456789abcdef")
        .with("R2_BUCKET_NAME", BUCKET)
        .with("R2_ENDPOINT_URL", endpoint)
}

/// The same home with another value.
fn but(mut home: Home, name: &str, value: &str) -> Home {
    home.env.retain(|(known, _)| known != name);
    home.with(name, value)
}

/// The storage status once its self-test is there.
async fn tested(gateway: &Gateway) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let storage = gateway.admin("GET", "storage").await;
        assert_eq!(storage.status, 200);
        if storage.body["selfTest"].is_object() {
            return storage.body;
        }
        assert!(
            Instant::now() < deadline,
            "{}\n{}",
            storage.body,
            gateway.log()
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Starts a gateway in front of what is broken; the self-test's words must name it in time.
async fn names(home: Home, step: &str, code: &str, words: &[&str]) -> (Home, Gateway, Value) {
    let gateway = home.launch(&[]);
    gateway.wait_for_log("listening ");
    let started = Instant::now();
    let storage = tested(&gateway).await;
    assert!(
        started.elapsed() <= CAUSE_WITHIN,
        "{code}: {:?}",
        started.elapsed()
    );
    let found = &storage["selfTest"];
    assert_eq!(
        (&found["ok"], &found["code"]),
        (&json!(false), &json!(code)),
        "{found}"
    );
    assert_eq!(found["step"], step, "{found}");
    assert!(found["at"].is_i64());
    let message = found["message"].as_str().unwrap();
    for word in words {
        assert!(message.contains(word), "no `{word}` in: {message}");
    }
    let log = gateway.wait_for_log("failed its self-test");
    assert!(log.contains(code), "{log}");
    for secret in [ACCESS_KEY, SECRET_KEY, "<Error>", "<Code>"] {
        assert!(!storage.to_string().contains(secret), "{storage}");
        assert!(!gateway.log().contains(secret), "{}", gateway.log());
    }
    (home, gateway, storage)
}

/// While it cannot be claimed, everyone who waits is told why.
async fn is_claiming(gateway: &Gateway, storage: &Value, word: &str) {
    assert_eq!(storage["state"], "claiming");
    assert_eq!(storage["configured"], true);
    assert_eq!(storage["location"], format!("s3://{BUCKET}"));
    let waits = |status: &Value| status["message"].as_str().is_some_and(|m| m.contains(word));
    let status = gateway.status_where(waits).await;
    assert_eq!(status["phase"], "claiming");
    let sync = gateway.admin("POST", "storage/sync").await;
    assert_eq!(sync.status, 503);
}

#[tokio::test]
async fn a_wrong_secret_is_named() {
    let mut server = S3Server::new();
    server.start();
    let home = but(
        home(&server.url()),
        "R2_SECRET_ACCESS_KEY",
        "another-secret-entirely",
    );
    let words = ["R2_SECRET_ACCESS_KEY"];
    let (_home, gateway, storage) = names(home, "put", "secret_key_wrong", &words).await;
    is_claiming(&gateway, &storage, "R2_SECRET_ACCESS_KEY").await;
}

#[tokio::test]
async fn an_unknown_access_key_is_named_in_s3s_words_and_in_r2s() {
    let mut server = S3Server::new();
    server.start();
    let wrong = but(home(&server.url()), "R2_ACCESS_KEY_ID", "AKIDUNKNOWN");
    let words = ["R2_ACCESS_KEY_ID"];
    names(wrong, "put", "access_key_unknown", &words).await;
    let server = S3Server::with(Fault::UnknownKey);
    names(home(&server.url()), "put", "access_key_unknown", &words).await;
}

#[tokio::test]
async fn a_missing_bucket_is_named() {
    let _home = Home::new();
    if let Some(server) = Moto::start().await {
        let home = but(home(&server.url()), "R2_BUCKET_NAME", "not-there");
        let words = ["`not-there`", "wrangler"];
        names(home, "put", "bucket_missing", &words).await;
    }
}

#[tokio::test]
async fn missing_permissions_are_named_by_what_they_prevent() {
    let server = S3Server::with(Fault::ReadOnly);
    let words = ["create", "Object Read & Write"];
    let (_home, gateway, storage) =
        names(home(&server.url()), "put", "access_denied", &words).await;
    is_claiming(&gateway, &storage, "Object Read & Write").await;
    let server = S3Server::with(Fault::NoList);
    names(home(&server.url()), "list", "access_denied", &["list"]).await;
    // The log can do without; forgetting cannot.
    let server = S3Server::with(Fault::NoDelete);
    let (_home, gateway, _) =
        names(home(&server.url()), "delete", "access_denied", &["delete"]).await;
    gateway.wait_for_log("ready ");
}

#[tokio::test]
async fn a_wrong_clock_is_named_and_by_how_much() {
    let server = S3Server::with(Fault::OldClock);
    let words = ["clock", "minutes ahead"];
    names(home(&server.url()), "put", "clock_wrong", &words).await;
}

#[tokio::test]
async fn an_address_where_nobody_is_or_nobody_answers_is_named() {
    let url = format!("http://127.0.0.1:{}", free_port());
    let (_home, gateway, storage) =
        names(home(&url), "put", "unreachable", &["cannot be reached"]).await;
    is_claiming(&gateway, &storage, "cannot be reached").await;
    let words = ["CF_ACCOUNT_ID"];
    names(
        home("http://no-such-host.invalid"),
        "put",
        "name_unknown",
        &words,
    )
    .await;
    // Speaks no TLS.
    let mut server = S3Server::new();
    server.start();
    let url = server.url().replace("http://", "https://");
    names(home(&url), "put", "tls_failed", &["secure"]).await;
    let server = S3Server::with(Fault::Silent);
    names(home(&server.url()), "put", "timeout", &["in time"]).await;
}

#[tokio::test]
async fn a_server_that_overwrites_is_refused() {
    let server = S3Server::with(Fault::IgnoresConditions);
    let home = home(&server.url());
    let mut gateway = home.launch(&[]);
    assert_eq!(gateway.wait().code(), Some(3), "{}", gateway.log());
    let log = gateway.log();
    assert!(
        log.contains("two gateways could overwrite each other"),
        "{log}"
    );
    assert!(log.contains("conditional_put_ignored"), "{log}");
}

#[tokio::test]
async fn a_sound_remote_passes_and_keeps_no_probe() {
    let mut server = S3Server::new();
    server.start();
    let home = home(&server.url());
    let gateway = home.start();
    let storage = tested(&gateway).await;
    assert_eq!(storage["selfTest"]["ok"], true, "{storage}");
    assert_eq!(storage["configured"], true);
    assert_eq!(storage["missing"], Value::Null);
    assert_eq!(storage["warnings"], json!([]));
    let probes = server.path().join(BUCKET).join("probe");
    let left = walk(&probes);
    assert_eq!(left, Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn moto_passes_too() {
    let _home = Home::new();
    if let Some(server) = Moto::start().await {
        let home = home(&server.url());
        let gateway = home.start();
        assert_eq!(tested(&gateway).await["selfTest"]["ok"], true);
    }
}

#[tokio::test]
async fn a_backup_says_what_stands_in_its_way_and_works_again_afterwards() {
    let mut server = S3Server::new();
    server.start();
    let home = home(&server.url());
    let gateway = home.start();
    tested(&gateway).await;
    let mut device = Device::new(1);
    device.redeem(&gateway).await;
    let mut client = device.connect(&gateway, &ALL).await.unwrap();
    client.chat("main", "echo one", "r1").await;
    let sync = gateway.admin("POST", "storage/sync").await;
    assert_eq!(
        (sync.status, &sync.body["success"]),
        (200, &json!(true)),
        "{}",
        sync.body
    );
    assert_eq!(sync.body["message"], "Sync completed successfully");
    assert!(sync.body["lastSync"].is_string());

    server.stop();
    client.chat("main", "echo two", "r2").await;
    let sync = gateway.admin("POST", "storage/sync").await;
    assert_eq!(
        (sync.status, &sync.body["success"]),
        (500, &json!(false)),
        "{}",
        sync.body
    );
    let error = sync.body["error"].as_str().unwrap();
    assert!(error.contains("cannot be reached"), "{error}");
    let storage = gateway.admin("GET", "storage").await.body;
    assert_eq!(storage["selfTest"]["code"], "unreachable");
    assert!(storage["lagEvents"].as_u64().unwrap() > 0 && storage["lagMs"].as_u64().unwrap() > 0);
    assert!(
        storage["lastError"]
            .as_str()
            .unwrap()
            .contains("cannot be reached")
    );

    server.start();
    let deadline = Instant::now() + PATIENCE;
    while gateway.admin("POST", "storage/sync").await.status != 200 {
        assert!(Instant::now() < deadline, "{}", gateway.log());
    }
    let storage = gateway.admin("GET", "storage").await.body;
    assert_eq!(
        (&storage["lagEvents"], &storage["lastError"]),
        (&json!(0), &Value::Null)
    );
}

#[tokio::test]
async fn sleeping_without_storage_is_warned_of() {
    let home = Home::new().with("SANDBOX_SLEEP_AFTER", "10m");
    let gateway = home.start();
    let storage = gateway.admin("GET", "storage").await.body;
    assert_eq!(storage["configured"], false);
    assert_eq!(storage["warnings"][0]["code"], "sleep_without_storage");
    assert_eq!(storage["missing"].as_array().unwrap().len(), 3);
    assert_eq!(storage["selfTest"], Value::Null);
    let sync = gateway.admin("POST", "storage/sync").await;
    assert_eq!((sync.status, &sync.body["success"]), (400, &json!(false)));
    assert_eq!(sync.body["error"], "R2 storage is not configured");
    let awake = Home::new().with("SANDBOX_SLEEP_AFTER", "never");
    let awake = awake.with("R2_ACCESS_KEY_ID", "only-one-of-three");
    let storage = awake.start().admin("GET", "storage").await.body;
    assert_eq!(storage["warnings"].as_array().unwrap().len(), 1);
    assert_eq!(storage["warnings"][0]["code"], "r2_incomplete");
    let (code, _, error) = Home::new()
        .with("SANDBOX_SLEEP_AFTER", "soon")
        .run(&["serve"]);
    assert_eq!(code, 3);
    assert!(error.contains("SANDBOX_SLEEP_AFTER"), "{error}");
}

fn walk(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(walk(&path));
        } else {
            files.push(path);
        }
    }
    files
}
