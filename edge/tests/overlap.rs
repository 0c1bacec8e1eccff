//! Two processes on one log at the same time, again and again: the log is restorable every time, it
//! holds whatever either of them acknowledged as replicated, and one of them ends.
//!
//! `OVERLAPS` says how often (default 3; the full run is 100).

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]
#![allow(unreachable_pub, reason = "a module of a test has no outside")]
#![allow(clippy::print_stdout, reason = "what it found is worth reading")]

#[path = "support/s3.rs"]
mod s3;
mod support;

use s3::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY};
use serde_json::json;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};
use support::client::{ALL, Client, Device};
use support::{Gateway, Home, PATIENCE};
use tokio::task::JoinHandle;

const FENCED: i32 = 5;
/// Between two requests of a client: every change that waits for the remote log is a segment.
const PAUSE: Duration = Duration::from_millis(50);
/// Both gateways know it: device tokens are derived from it.
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A log lives so many overlaps; then another one begins, as each check reads all of it.
const OVERLAPS_PER_LOG: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_on_one_log_leave_it_whole() {
    let overlaps: usize = std::env::var("OVERLAPS").map_or(3, |n| n.parse().unwrap());
    let (mut promised, mut ends) = (0, Vec::new());
    for first in (1..=overlaps).step_by(OVERLAPS_PER_LOG) {
        let last = overlaps.min(first + OVERLAPS_PER_LOG - 1);
        promised += overlap(first..=last, &mut ends).await;
    }
    assert!(
        promised >= overlaps,
        "nothing was promised, so nothing was tried"
    );
    ends.sort_unstable();
    println!(
        "{overlaps} overlaps: restorable every time, {promised} changes acknowledged as replicated, all there; the older process ended {:?} (median), {:?} (longest) after the newer one was ready",
        ends[ends.len() / 2],
        ends.last().unwrap()
    );
}

/// One log that is taken over again and again; how many changes were acknowledged as replicated.
async fn overlap(overlaps: RangeInclusive<usize>, ends: &mut Vec<Duration>) -> usize {
    let mut server = S3Server::new();
    server.start();
    let homes = [home(&server), home(&server)];
    let mut device = Device::new(1);
    let mut old = homes[(overlaps.start() - 1) % 2].start();
    device.redeem(&old).await;
    let mut writing = write(&device, &old, 0).await;
    let mut promised: Vec<String> = Vec::new();
    for overlap in overlaps {
        let next = &homes[overlap % 2];
        let new = next.start_with(&["--takeover"]);
        let ready = Instant::now();
        let writing_too = write(&device, &new, overlap).await;
        // The old one is told by its next ship; nobody else stops it.
        let status = wait(&mut old).await;
        ends.push(ready.elapsed());
        assert_eq!(status, FENCED, "overlap {overlap}: {}", old.log());
        promised.extend(writing.await.unwrap());
        check(next, overlap);
        (old, writing) = (new, writing_too);
    }
    old.shipped().await;
    old.kill();
    promised.extend(writing.await.unwrap());
    let (code, log, err) = homes[0].run(&["log", "export", "--kind", "config_changed"]);
    assert_eq!(code, 0, "{err}");
    for mark in &promised {
        let is_recorded = log.contains(mark.as_str());
        assert!(is_recorded, "{mark} was acknowledged as replicated");
    }
    promised.len()
}

fn home(server: &S3Server) -> Home {
    Home::new()
        .with("MOLTBOT_REPLICA_URL", &format!("s3://{BUCKET}/overlap"))
        .with("AWS_ENDPOINT_URL_S3", &server.url())
        .with("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        .with("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        .with("AWS_REGION", "auto")
        .with("MOLTBOT_GATEWAY_TOKEN", TOKEN)
}

/// The log as it is now can be restored, chain and state.
fn check(home: &Home, overlap: usize) {
    for arguments in [&["log", "verify"][..], &["restore", "--dry-run"]] {
        let (code, _, err) = home.run(arguments);
        assert_eq!(code, 0, "overlap {overlap}, {arguments:?}: {err}");
    }
}

/// Writes into a gateway until its connection breaks; what it acknowledged as replicated.
async fn write(device: &Device, gateway: &Gateway, number: usize) -> JoinHandle<Vec<String>> {
    let configuring = device.connect(gateway, &ALL).await.unwrap();
    let talking = device.connect(gateway, &ALL).await.unwrap();
    tokio::spawn(async move {
        let (marks, ()) = tokio::join!(configure(configuring, number), talk(talking, number));
        marks
    })
}

async fn configure(mut client: Client, number: usize) -> Vec<String> {
    let mut marks = Vec::new();
    for n in 0.. {
        let Some(Ok(config)) = client.attempt("config.get", json!({})).await else {
            break;
        };
        let mark = format!("mark {number}.{n} end");
        let raw = json!({ "assistant": { "instructions": mark } }).to_string();
        let params = json!({ "raw": raw, "baseHash": config["hash"] });
        match client.attempt("config.patch", params).await {
            Some(Ok(changed)) if changed["replication"] == "replicated" => marks.push(mark),
            Some(_) => {}
            None => break,
        }
        tokio::time::sleep(PAUSE).await;
    }
    marks
}

async fn talk(mut client: Client, number: usize) {
    for n in 0.. {
        let session = format!("s{number}-{}", n % 5);
        let params = json!({
            "sessionKey": session, "message": "echo hello", "idempotencyKey": format!("{number}-{n}"),
        });
        if client.attempt("chat.send", params).await.is_none() {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits for the end of a process while its clients go on writing.
async fn wait(gateway: &mut Gateway) -> i32 {
    let deadline = Instant::now() + PATIENCE;
    while !gateway.has_ended() {
        assert!(
            Instant::now() < deadline,
            "it does not end: {}",
            gateway.log()
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    gateway.wait().code().unwrap_or(-1)
}
