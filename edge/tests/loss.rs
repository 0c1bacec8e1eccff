//! The machine vanishes: the process is killed and its disk is gone. What was acknowledged as
//! replicated is there again, and how much of the rest is lost is measured.
//!
//! `LOSS_ROUNDS` says how often (default 6; the full run is 1,000).

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
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};
use support::Home;
use support::client::{ALL, Client, Device, text};

/// Conversations that are written in at the same time.
const TALKERS: usize = 4;
/// A log lives so many rounds; then another one begins, as each start is to be a usual one.
const ROUNDS_PER_LOG: u64 = 50;

/// What one client was told before its connection broke.
#[derive(Default)]
struct Told {
    /// Numbers of changes of the configuration that are replicated.
    replicated: Vec<u64>,
    /// Messages that were acknowledged, and when.
    local: Vec<(String, Instant)>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_as_replicated_survives_the_machine() {
    let rounds: u64 = std::env::var("LOSS_ROUNDS").map_or(6, |n| n.parse().unwrap());
    let mut losses = Losses::default();
    for first in (1..=rounds).step_by(usize::try_from(ROUNDS_PER_LOG).unwrap()) {
        let last = rounds.min(first + ROUNDS_PER_LOG - 1);
        live_and_vanish(first..=last, &mut losses).await;
    }
    assert!(
        losses.replicated > 0,
        "nothing was replicated, so nothing was tried"
    );
    losses.print(rounds);
}

/// One log, and as many machines as there are rounds.
async fn live_and_vanish(rounds: RangeInclusive<u64>, losses: &mut Losses) {
    let mut server = S3Server::new();
    server.start();
    let home = home(&server);
    let mut device = Device::new(1);
    let mut gateway = home.start();
    device.redeem(&gateway).await;
    gateway.shipped().await;
    for round in rounds {
        let mut clients = Vec::new();
        // Whoever waits for the remote log has everything shipped at once; every other round nobody
        // does.
        if round.is_multiple_of(2) {
            let operator = device.connect(&gateway, &ALL).await.unwrap();
            clients.push(tokio::spawn(configure(operator, round * 1_000_000)));
        }
        for talker in 0..TALKERS {
            let client = device.connect(&gateway, &ALL).await.unwrap();
            clients.push(tokio::spawn(talk(client, format!("r{round}t{talker}"))));
        }
        tokio::time::sleep(Duration::from_millis(20 + mixed(round) % 1_500)).await;
        gateway.kill();
        let killed = Instant::now();
        let mut told = Told::default();
        for client in clients {
            let more = client.await.unwrap();
            told.replicated.extend(more.replicated);
            told.local.extend(more.local);
        }
        home.wipe();

        gateway = home.start();
        let mut client = device.connect(&gateway, &ALL).await.unwrap();
        let config = client.request("config.get", json!({})).await.unwrap();
        let known = number(&config["config"]);
        let newest = told.replicated.last().copied().unwrap_or(0);
        assert!(
            known >= newest,
            "round {round}: change {newest} was acknowledged as replicated, {known} is known"
        );
        losses.note(&mut client, &told, killed).await;
    }
    let (code, _, err) = home.run(&["log", "verify"]);
    assert_eq!(code, 0, "{err}");
}

fn home(server: &S3Server) -> Home {
    Home::new()
        .with("MOLTBOT_REPLICA_URL", &format!("s3://{BUCKET}/loss"))
        .with("AWS_ENDPOINT_URL_S3", &server.url())
        .with("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        .with("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        .with("AWS_REGION", "auto")
}

/// Changes the configuration until the connection breaks; each change waits for the remote log.
async fn configure(mut client: Client, first: u64) -> Told {
    let mut told = Told::default();
    let Some(Ok(config)) = client.attempt("config.get", json!({})).await else {
        return told;
    };
    let mut base = config["hash"].clone();
    for number in first.. {
        let raw = json!({ "assistant": { "instructions": number.to_string() } }).to_string();
        let params = json!({ "raw": raw, "baseHash": base });
        let Some(Ok(changed)) = client.attempt("config.patch", params).await else {
            break;
        };
        if changed["replication"] == "replicated" {
            told.replicated.push(number);
        }
        let Some(Ok(config)) = client.attempt("config.get", json!({})).await else {
            break;
        };
        base = config["hash"].clone();
    }
    told
}

fn number(config: &Value) -> u64 {
    let text = config["assistant"]["instructions"].as_str();
    text.map_or(0, |text| text.parse().unwrap())
}

/// Sends one message after another until the connection breaks.
async fn talk(mut client: Client, session: String) -> Told {
    let mut told = Told::default();
    for n in 0.. {
        let key = format!("{session}-{n}");
        let message = format!("echo {key}");
        let params =
            json!({ "sessionKey": session, "message": message, "idempotencyKey": key.clone() });
        match client.attempt("chat.send", params).await {
            Some(Ok(_)) => told.local.push((key, Instant::now())),
            _ => break,
        }
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    told
}

/// What was lost although it had been acknowledged on the disk that is gone.
#[derive(Default)]
struct Losses {
    replicated: usize,
    acknowledged: usize,
    lost: usize,
    /// How long before the kill the oldest lost message of a round had been acknowledged.
    windows: Vec<Duration>,
}

impl Losses {
    async fn note(&mut self, client: &mut Client, told: &Told, killed: Instant) {
        let sessions: BTreeSet<&str> = told
            .local
            .iter()
            .filter_map(|(key, _)| key.split('-').next())
            .collect();
        let mut known = BTreeSet::new();
        for session in sessions {
            for message in client.history(session).await {
                if message["role"] == "user" {
                    known.insert(text(&message).trim_start_matches("echo ").to_owned());
                }
            }
        }
        let lost = told.local.iter().filter(|(key, _)| !known.contains(key));
        let ages: Vec<Duration> = lost.map(|(_, at)| killed.duration_since(*at)).collect();
        self.replicated += told.replicated.len();
        self.acknowledged += told.local.len();
        self.lost += ages.len();
        self.windows
            .push(ages.into_iter().max().unwrap_or_default());
    }

    fn print(&mut self, rounds: u64) {
        self.windows.sort_unstable();
        let median = self.windows[self.windows.len() / 2];
        let longest = self.windows.last().unwrap();
        println!(
            "{rounds} machines lost: 0 of {} changes acknowledged as replicated; {} of {} messages acknowledged on the disk, the last {median:?} (median), {longest:?} (longest)",
            self.replicated, self.lost, self.acknowledged
        );
    }
}

/// Spreads numbers; the rounds differ, every run is the same.
fn mixed(n: u64) -> u64 {
    (n.wrapping_mul(0x9e37_79b9_7f4a_7c15)) >> 33
}
