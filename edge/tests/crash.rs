//! Killed at any moment under load, again and again: nothing that was acknowledged is lost, nothing
//! is there twice, and the chain stays whole.
//!
//! `CRASH_ROUNDS` says how often (default 10; the full run is 200).

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]
#![allow(clippy::print_stdout, reason = "what it found is worth reading")]

mod support;

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use support::client::{ALL, Client, Device, text};
use support::{Gateway, Home};

const CLIENTS: usize = 8;
const RESTART_MAX: Duration = Duration::from_secs(1);

/// What a client knows when its connection breaks.
struct Ledger {
    session: String,
    /// Keys of messages that were acknowledged.
    acknowledged: Vec<String>,
    /// Key of the message that was not.
    open: Option<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_nothing_acknowledged_is_lost_or_doubled() {
    let rounds: u64 = std::env::var("CRASH_ROUNDS").map_or(10, |n| n.parse().unwrap());
    let home = Home::new();
    let mut device = Device::new(1);
    let mut gateway = home.start();
    device.redeem(&gateway).await;
    let mut restarts = Vec::new();
    let mut all: BTreeSet<String> = BTreeSet::new();
    for round in 1..=rounds {
        let mut clients = Vec::new();
        for client in 0..CLIENTS {
            let connected = device.connect(&gateway, &ALL).await.unwrap();
            clients.push(tokio::spawn(send_until_cut(
                connected,
                format!("r{round}c{client}"),
            )));
        }
        tokio::time::sleep(Duration::from_millis(5 + mixed(round) % 500)).await;
        gateway.kill();
        let mut ledgers = Vec::new();
        for client in clients {
            ledgers.push(client.await.unwrap());
        }
        gateway = restart(&home, &mut restarts).await;
        check(&device, &gateway, &ledgers, &mut all).await;
        if round % 5 == 0 {
            gateway.shipped().await;
            gateway.kill();
            home.wipe();
            gateway = restart(&home, &mut restarts).await;
            check(&device, &gateway, &ledgers, &mut all).await;
        }
    }
    gateway.shipped().await;
    gateway.kill();
    whole_log_has_each_once(&home, &all);
    restarts.sort_unstable();
    let (median, slowest) = (restarts[restarts.len() / 2], restarts[restarts.len() - 1]);
    println!(
        "{rounds} rounds, {} messages; restarts: median {median:?}, slowest {slowest:?}",
        all.len()
    );
    // The bound is that of the shipped binary; an unoptimised one on a busy machine proves nothing.
    assert!(
        cfg!(debug_assertions) || slowest < RESTART_MAX,
        "a restart took {slowest:?}"
    );
}

/// Starts the gateway again; notes how long it took from the start of the process to `/ready`.
async fn restart(home: &Home, restarts: &mut Vec<Duration>) -> Gateway {
    let started = Instant::now();
    let gateway = home.launch(&[]);
    while gateway
        .get("/ready")
        .await
        .is_none_or(|(status, _)| status != 200)
    {
        assert!(
            started.elapsed() < support::PATIENCE,
            "not ready; its log:\n{}",
            gateway.log()
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let took = started.elapsed();
    if took > RESTART_MAX {
        println!("a restart took {took:?}:\n{}", gateway.log());
    }
    restarts.push(took);
    gateway
}

/// Sends messages to its own conversation as fast as answers come, until the connection breaks.
async fn send_until_cut(mut client: Client, session: String) -> Ledger {
    let mut ledger = Ledger {
        session,
        acknowledged: Vec::new(),
        open: None,
    };
    loop {
        let key = format!("{}m{}", ledger.session, ledger.acknowledged.len());
        ledger.open = Some(key.clone());
        match client
            .attempt("chat.send", message(&ledger.session, &key))
            .await
        {
            None => return ledger,
            Some(Ok(_)) => ledger.acknowledged.push(key),
            Some(Err(error)) => {
                // Too many of its messages wait for an answer.
                assert_eq!(error["details"]["code"], "session_busy", "{error}");
                if !an_answer_came(&mut client).await {
                    return ledger;
                }
            }
        }
    }
}

/// Waits until a run ends; false when the connection breaks instead.
async fn an_answer_came(client: &mut Client) -> bool {
    loop {
        match client.frame().await {
            None => return false,
            Some(frame) if frame["payload"]["state"] == "final" => return true,
            Some(_) => {}
        }
    }
}

/// Every acknowledged message is there once; one that was not is sent again and then is there once.
async fn check(device: &Device, gateway: &Gateway, ledgers: &[Ledger], all: &mut BTreeSet<String>) {
    let mut client = device.connect(gateway, &ALL).await.unwrap();
    for ledger in ledgers {
        let counts = counts(&client.history(&ledger.session).await);
        let mut expected = BTreeSet::new();
        for key in &ledger.acknowledged {
            assert_eq!(
                counts.get(key),
                Some(&1),
                "acknowledged `{key}`: {counts:?}"
            );
            expected.insert(key.clone());
        }
        let again = ledger.acknowledged.last().into_iter().chain(&ledger.open);
        for key in again {
            let answer = send_again(&mut client, &ledger.session, key).await;
            let was_there = counts.contains_key(key);
            assert_eq!(
                answer["status"] != "started",
                was_there,
                "`{key}`: {answer}"
            );
            expected.insert(key.clone());
        }
        let counts = self::counts(&client.history(&ledger.session).await);
        assert!(
            counts.keys().eq(expected.iter()),
            "{counts:?} is not {expected:?}"
        );
        assert!(counts.values().all(|count| *count == 1), "{counts:?}");
        all.extend(expected);
    }
}

/// Sends a message again with the same key, as soon as its conversation takes it.
async fn send_again(client: &mut Client, session: &str, key: &str) -> Value {
    loop {
        match client.request("chat.send", message(session, key)).await {
            Ok(answer) => return answer,
            Err(error) => assert_eq!(error["details"]["code"], "session_busy", "{error}"),
        }
        client.event_where("chat", |p| p["state"] == "final").await;
    }
}

fn message(session: &str, key: &str) -> Value {
    json!({ "sessionKey": session, "message": format!("echo {key}"), "idempotencyKey": key })
}

/// How often each message of a person is in a history.
fn counts(history: &[Value]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for said in history.iter().filter(|message| message["role"] == "user") {
        let key = said["__openclaw"]["idempotencyKey"].as_str().unwrap();
        assert_eq!(text(said), format!("echo {key}"));
        *counts.entry(key.to_owned()).or_default() += 1;
    }
    counts
}

/// The replicated log verifies from its first byte to its last and holds exactly these messages.
fn whole_log_has_each_once(home: &Home, all: &BTreeSet<String>) {
    let (code, out, err) = home.run(&["log", "verify"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("whole: "), "{out}");
    let (code, out, err) = home.run(&["log", "export"]);
    assert_eq!(code, 0, "{err}");
    let mut received = BTreeSet::new();
    for line in out.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        if record["kind"] == "message_received" {
            let run = record["data"]["run"].as_str().unwrap().to_owned();
            assert!(received.insert(run), "twice: {record}");
        }
    }
    assert_eq!(&received, all);
}

/// A number without pattern for each round, the same in every run.
fn mixed(round: u64) -> u64 {
    let mixed = (round ^ (round >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 32
}
