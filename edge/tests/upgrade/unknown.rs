//! Records of a newer version: kept as they are, and where they are critical, nothing is decided.

use super::support::client::{ALL, CHAT, Client, Device, text};
use super::support::{Gateway, Home};
use moltbot_core::chain::{Cursor, Hash};
use moltbot_core::codec;
use moltbot_core::ids::Seq;
use moltbot_core::record::Record;
use moltbot_core::time::Timestamp;
use moltbot_store::layout;
use moltbot_store::log::EventLog;
use moltbot_store::segment::{self, Segment};
use moltbot_store::settings::StoreSettings;
use moltbot_store::sled_log::SledLog;
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A kind that no version has yet.
const KIND: u16 = 999;
const PAYLOAD: [u8; 5] = [0, 255, 7, 0, 1];

fn unknown(after: Cursor, critical: bool) -> Record {
    let seq = after.seq.next();
    let record = Record {
        seq,
        at: Timestamp(1_900_000_000_000),
        actor: "system".to_owned(),
        cause: None,
        correlation: seq,
        stream: "future".to_owned(),
        kind: KIND,
        version: 3,
        critical,
        payload: PAYLOAD.to_vec(),
        prev_hash: Hash::ZERO,
        hash: Hash::ZERO,
    };
    codec::link(record, after.hash).unwrap()
}

/// The last segment of the remote log, as it is listed.
fn last_segment(home: &Home) -> Segment {
    let entries = fs::read_dir(home.replica().join(layout::SEGMENTS)).unwrap();
    let last = entries.map(|entry| entry.unwrap().path()).max().unwrap();
    segment::decode("the last segment", &fs::read(last).unwrap()).unwrap()
}

/// What a newer version of the same gateway shipped as its last record: the file and its bytes.
fn shipped_by_a_newer_one(home: &Home, critical: bool) -> (PathBuf, Vec<u8>) {
    let header = last_segment(home).header;
    let record = unknown(header.to(), critical);
    let bytes = segment::encode(header.epoch, &header.writer, &[record]).unwrap();
    let path = layout::segment(header.last.next()).to_string();
    let path = home.replica().join(path);
    fs::write(&path, &bytes).unwrap();
    (path, bytes.to_vec())
}

/// A gateway with a conversation behind it, stopped.
async fn talked(home: &Home) -> Device {
    let mut gateway = home.start();
    let mut device = Device::new(1);
    device.redeem(&gateway).await;
    let mut client = device.connect(&gateway, &ALL).await.unwrap();
    client.chat("main", "echo before", "r1").await;
    gateway.shipped().await;
    stop(&mut gateway);
    device
}

fn stop(gateway: &mut Gateway) {
    gateway.terminate();
    assert_eq!(gateway.wait().code(), Some(0), "{}", gateway.log());
}

/// The row of this record in an export.
fn exported(home: &Home, seq: Seq) -> String {
    let (code, out, error) = home.run(&["log", "export"]);
    assert_eq!(code, 0, "{error}");
    let begins = format!("\"seq\":{seq},");
    let row = out.lines().find(|row| row.contains(&begins));
    row.unwrap_or_else(|| panic!("no #{seq} in {out}"))
        .to_owned()
}

fn holds_it(row: &str, record: &Record) {
    let row: Value = serde_json::from_str(row).unwrap();
    assert_eq!(
        (&row["kind"], &row["version"]),
        (&json!("kind_999"), &json!(3))
    );
    assert_eq!(row["data"]["payload_hex"], "00ff070001");
    assert_eq!(row["hash"], record.hash.to_hex());
    assert_eq!(row["stream"], "future");
}

#[tokio::test]
async fn a_kind_of_the_future_is_restored_kept_and_exported_as_it_was() {
    for wiped in [false, true] {
        let home = Home::new();
        let device = talked(&home).await;
        let record = unknown(last_segment(&home).header.to(), false);
        let (path, bytes) = shipped_by_a_newer_one(&home, false);
        if wiped {
            home.wipe();
        }
        let mut gateway = home.start();
        let mut client = device.connect(&gateway, &ALL).await.unwrap();
        assert!(client.hello["moltbot"]["readOnly"].is_null());
        let end = client.chat("main", "echo after", "r2").await;
        assert_eq!(text(&end["message"]), "after");
        gateway.shipped().await;
        stop(&mut gateway);
        assert_eq!(fs::read(&path).unwrap(), bytes);
        holds_it(&exported(&home, record.seq), &record);
        assert_eq!(home.run(&["log", "verify"]).0, 0);
    }
}

#[tokio::test]
async fn a_kind_of_the_future_that_is_only_here_is_shipped_and_comes_back_byte_for_byte() {
    let home = Home::new();
    talked(&home).await;
    let record = {
        let mut log = SledLog::open(&home.data(), &StoreSettings::default()).unwrap();
        let record = unknown(log.head(), false);
        log.append(std::slice::from_ref(&record)).unwrap();
        record
    };
    let mut gateway = home.start();
    gateway.shipped().await;
    stop(&mut gateway);
    home.wipe();
    let mut gateway = home.start();
    gateway.shipped().await;
    stop(&mut gateway);
    let log = SledLog::open(&home.data(), &StoreSettings::default()).unwrap();
    let restored = log.reader().get(record.seq).unwrap().unwrap();
    assert_eq!(restored, record);
    let frame = |record: &Record| {
        let mut frame = Vec::new();
        codec::encode_frame(record, &mut frame).unwrap();
        frame
    };
    assert_eq!(frame(&restored), frame(&record));
    holds_it(&exported(&home, record.seq), &record);
}

/// A gateway that was killed with one answer under way and one still due, and then went on with a newer
/// version that recorded something critical.
async fn left_by_a_newer_one() -> (Home, Device, Seq) {
    let home = Home::new();
    let device = talked(&home).await;
    let mut gateway = home.start();
    let mut client = device.connect(&gateway, &ALL).await.unwrap();
    for run in ["under-way", "due"] {
        let asked = json!({ "sessionKey": "main", "message": "essay", "idempotencyKey": run });
        client.request("chat.send", asked).await.unwrap();
    }
    let begun = |p: &Value| p["runId"] == "under-way" && p["state"] == "delta";
    client.event_where("chat", begun).await;
    gateway.shipped().await;
    gateway.kill();
    let seq = last_segment(&home).header.last.next();
    shipped_by_a_newer_one(&home, true);
    (home, device, seq)
}

/// Refused, with the code that programs go by and the sentence that people read.
fn is_read_only(answer: Result<Value, Value>, sentence: &str) {
    let refused = answer.unwrap_err();
    assert_eq!(refused["details"]["code"], "read_only", "{refused}");
    assert_eq!(refused["message"], sentence);
}

async fn refuses_everything(client: &mut Client, sentence: &str) {
    let message =
        |key: &str| json!({ "sessionKey": "main", "message": "hello", "idempotencyKey": key });
    let asked = [
        ("chat.send", message("new")),
        // Also what was accepted before is not answered from a state that lacks something.
        ("chat.send", message("r1")),
        ("device.revoke", json!({ "deviceId": Device::new(1).id() })),
        (
            "config.patch",
            json!({ "raw": "{\"assistant\":{\"name\":\"Bo\"}}" }),
        ),
    ];
    for (method, params) in asked {
        let answer = client.request(method, params).await;
        if method == "config.patch" && answer.as_ref().is_err_and(|e| e["details"].is_null()) {
            // It asks for the base first.
            let base = client.request("config.get", json!({})).await.unwrap()["hash"].clone();
            let raw = "{\"assistant\":{\"name\":\"Bo\"}}";
            let again = json!({ "raw": raw, "baseHash": base });
            is_read_only(client.request(method, again).await, sentence);
            continue;
        }
        is_read_only(answer, sentence);
    }
}

#[tokio::test]
async fn a_critical_kind_of_the_future_leaves_a_gateway_that_reads_and_does_nothing() {
    for wiped in [false, true] {
        let (home, device, seq) = left_by_a_newer_one().await;
        if wiped {
            home.wipe();
        }
        let mut gateway = home.start();
        let status = gateway.status().await.unwrap();
        let sentence = status["readOnly"].as_str().unwrap().to_owned();
        for word in [&format!("#{seq} "), "`kind_999` version 3", "newer moltbot"] {
            assert!(sentence.contains(word), "no `{word}` in: {sentence}");
        }
        gateway.wait_for_log(&sentence);
        let head = status["headSeq"].as_u64().unwrap();

        let mut client = device.connect(&gateway, &ALL).await.unwrap();
        assert_eq!(client.hello["moltbot"]["readOnly"], sentence);
        let history = client.history("main").await;
        assert_eq!(text(&history[1]), "before", "what is there can be read");
        let storage = client.request("storage.status", json!({})).await.unwrap();
        assert_eq!(storage["state"], "read_only");
        assert_eq!(storage["lastError"], sentence);
        refuses_everything(&mut client, &sentence).await;
        // No snapshot of a state that lacks something is left for others to find.
        let backup = client.request("storage.backup", json!({})).await;
        let refused = backup.unwrap_err()["message"].to_string();
        assert!(refused.contains(&sentence), "{refused}");
        assert!(!home.replica().join(layout::SNAPSHOTS).exists());
        // Who is not let in yet cannot be, and nobody crashes over it.
        let stranger = Device::new(2).connect(&gateway, &CHAT).await;
        assert!(stranger.is_err());

        is_quiet(&gateway, head).await;
        stop(&mut gateway);
        let (code, out, _) = home.run(&["doctor", "--port", "0"]);
        assert!(
            code == 3 && out.contains(&format!("WRONG  log      {sentence}")),
            "{out}"
        );
        assert_eq!(home.run(&["log", "verify"]).0, 0, "the log itself is whole");
    }
}

/// Nothing was recorded and no model asked, however often the outbox was woken; and waiting costs next
/// to nothing.
async fn is_quiet(gateway: &Gateway, head: u64) {
    let spent = cpu_ms(gateway.pid());
    let began = Instant::now();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let spent = cpu_ms(gateway.pid()) - spent;
    let passed = u64::try_from(began.elapsed().as_millis()).unwrap();
    assert!(spent < passed / 2, "{spent} of {passed} ms");
    let status = gateway.status().await.unwrap();
    assert_eq!(status["headSeq"].as_u64(), Some(head));
    let metrics = reqwest::Client::builder().no_proxy().build().unwrap();
    let metrics = metrics
        .get(gateway.url("/metrics"))
        .bearer_auth(gateway.token());
    let metrics = metrics.send().await.unwrap().text().await.unwrap();
    let value = |name: &str| {
        let value = metrics.lines().find_map(|line| line.strip_prefix(name));
        value.map(|value| value.trim().parse::<f64>().unwrap())
    };
    assert_eq!(value("moltbot_runs_live"), Some(0.0));
    assert!(
        value("moltbot_outbox_depth") >= Some(2.0),
        "what is due stays due"
    );
    assert!(!metrics.contains("moltbot_runs_started_total"), "{metrics}");
}

/// Processor time of a process so far, in milliseconds, from `/proc/<pid>/stat`
/// ([manual](https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html)): a tick is 10 ms.
fn cpu_ms(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks = fields.split(' ').skip(11).take(2);
    ticks
        .map(|ticks| ticks.parse::<u64>().unwrap())
        .sum::<u64>()
        * 10
}
