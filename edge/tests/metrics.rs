//! What a collector of numbers and a collector of lines get from a gateway.

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
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;
use support::client::{ALL, Client, Device};
use support::{Gateway, Home, PATIENCE};

/// The samples of a scrape by name and labels, read as the text format says.
async fn scrape(gateway: &Gateway) -> BTreeMap<String, f64> {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let asked = http
        .get(gateway.url("/metrics"))
        .bearer_auth(gateway.token());
    let answer = asked.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(
        answer.headers()["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/plain")
    );
    let text = answer.text().await.unwrap();
    assert!(text.ends_with("# EOF\n"), "{text}");
    let mut typed = BTreeMap::new();
    let mut samples = BTreeMap::new();
    for line in text.lines().filter(|line| *line != "# EOF") {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (verb, name) = (words.next().unwrap(), words.next().unwrap());
            assert!(["HELP", "TYPE", "UNIT"].contains(&verb), "{line}");
            if verb == "TYPE" {
                let kind = words.next().unwrap();
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert_eq!(
                    typed.insert(name.to_owned(), kind.to_owned()),
                    None,
                    "{line}"
                );
            }
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap();
        let family = name.split('{').next().unwrap();
        let is_known = typed.keys().any(|known| family.starts_with(known.as_str()));
        assert!(is_known && family.starts_with("moltbot_"), "{line}");
        assert_eq!(
            samples.insert(name.to_owned(), value.parse().unwrap()),
            None,
            "{line}"
        );
    }
    samples
}

fn sum(samples: &BTreeMap<String, f64>, parts: &[&str]) -> f64 {
    let fits = |name: &&String| parts.iter().all(|part| name.contains(part));
    samples
        .iter()
        .filter(|(name, _)| fits(name))
        .map(|(_, value)| value)
        .sum()
}

async fn operator(gateway: &Gateway) -> Client {
    let mut device = Device::new(1);
    device.redeem(gateway).await;
    device.connect(gateway, &ALL).await.unwrap()
}

#[tokio::test]
async fn what_happened_is_counted_where_it_happened() {
    let home = Home::new();
    let gateway = home.start();
    let mut client = operator(&gateway).await;
    assert_eq!(
        client.chat("main", "echo one", "r1").await["state"],
        "final"
    );
    assert_eq!(
        client.chat("main", "echo two", "r2").await["state"],
        "final"
    );
    let essay = json!({ "sessionKey": "main", "message": "essay", "idempotencyKey": "r3" });
    client.request("chat.send", essay).await.unwrap();
    let stop = json!({ "sessionKey": "main", "runId": "r3" });
    client.request("chat.abort", stop).await.unwrap();
    client.chat_end("r3").await;
    let wrong = [("authorization", "Bearer not-the-token")];
    assert_eq!(
        gateway.http("GET", "/metrics", &wrong, "").await.status,
        401
    );
    assert_eq!(
        gateway.http("GET", "/no/such/page", &[], "").await.status,
        404
    );
    gateway.shipped().await;

    let deadline = Instant::now() + PATIENCE;
    let samples = loop {
        let samples = scrape(&gateway).await;
        if sum(&samples, &["runs_ended_total", "cancelled"]) > 0.0 {
            break samples;
        }
        assert!(Instant::now() < deadline, "{samples:?}");
    };
    let status = gateway.status().await.unwrap();
    let head = u32::try_from(status["headSeq"].as_u64().unwrap()).unwrap();
    let counted = |parts: &[&str], expected: u32| {
        assert!(
            (sum(&samples, parts) - f64::from(expected)).abs() < 0.5,
            "{parts:?} {samples:?}"
        );
    };
    counted(&["log_head_seq"], head);
    counted(&["log_shipped_seq"], head);
    counted(&["moltbot_ready"], 1);
    counted(&["sockets_open"], 1);
    counted(&["runs_started_total", "provider=\"demo\""], 3);
    counted(&["runs_ended_total", "provider=\"demo\"", "completed"], 2);
    counted(&["runs_ended_total", "cancelled"], 1);
    counted(&["auth_refusals_total", "wrong gateway token"], 1);
    counted(
        &[
            "http_requests_total",
            "route=\"/metrics\"",
            "status=\"401\"",
        ],
        1,
    );
    counted(
        &["http_requests_total", "route=\"other\"", "status=\"404\""],
        1,
    );
    counted(&["http_requests_total", "no/such"], 0);
    counted(&["build_info"], 1);
    counted(&["outbox_depth"], 0);
    for some in [
        "append_batches_total",
        "append_duration_seconds_count",
        "ship_puts_total",
        "ship_bytes_total",
        "tokens_total",
        "process_resident_bytes",
        "process_start_time_seconds",
        "restore_duration_seconds",
    ] {
        assert!(sum(&samples, &[some]) > 0.0, "{some}: {samples:?}");
    }
    // Everybody's names of pages and sessions make no series.
    let before = samples.len();
    for n in 0..20 {
        gateway.http("GET", &format!("/made/up/{n}"), &[], "").await;
    }
    assert!(scrape(&gateway).await.len() <= before + 2);
}

#[tokio::test]
async fn only_the_holder_of_the_token_reads_numbers() {
    let home = Home::new();
    let gateway = home.start();
    let mut client = operator(&gateway).await;
    client.chat("main", "echo one", "r1").await;
    let refused = gateway.http("GET", "/metrics", &[], "").await;
    assert_eq!(refused.status, 401);
    assert!(refused.body["hint"].as_str().unwrap().contains("Bearer"));
}

#[tokio::test]
async fn a_request_id_leads_to_the_record_it_caused() {
    let home = Home::new();
    let gateway = home.start();
    let mut client = operator(&gateway).await;
    let answer = gateway
        .http("GET", "/health", &[("x-request-id", "mine-1")], "")
        .await;
    assert_eq!(answer.header("x-request-id"), "mine-1");
    let answer = gateway
        .http("GET", "/health", &[("x-request-id", "not mine")], "")
        .await;
    assert!(!answer.header("x-request-id").contains(' '));
    assert!(answer.header("x-request-id").len() > 8);

    // The device was let in by a request over HTTP.
    let by_http = |line: &str| line.contains("request{request_id=") && line.contains("recorded");
    assert!(gateway.log().lines().any(by_http), "{}", gateway.log());
    let made = gateway.admin("POST", "grants").await;
    assert!(!made.header("x-request-id").is_empty());
    let sent = json!({ "sessionKey": "main", "message": "echo x", "idempotencyKey": "r9" });
    let seq = client.request("chat.send", sent).await.unwrap()["seq"]
        .as_u64()
        .unwrap();
    client.chat_end("r9").await;
    let log = gateway.log();
    let is_ours = |line: &&str| {
        let has_seq =
            (seq.saturating_sub(3)..=seq + 3).any(|seq| line.contains(&format!("last_seq={seq}")));
        line.contains("recorded")
            && line.contains("frame{")
            && line.contains("connection=")
            && has_seq
    };
    assert!(log.lines().any(|line| is_ours(&line)), "{log}");
}

#[tokio::test]
async fn lines_are_json_when_nobody_looks() {
    let mut home = Home::new().with("MOLTBOT_LOG_FORMAT", "json");
    home.env.push((
        "SLACK_APP_TOKEN".to_owned(),
        "a-canary-that-no-line-shows".to_owned(),
    ));
    let mut gateway = home.launch(&["--bind", "127.0.0.1"]);
    gateway.wait_for_log("\"message\":\"ready\"");
    gateway.terminate();
    gateway.wait();
    let log = gateway.log();
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        assert!(
            line["timestamp"].is_string() && line["level"].is_string(),
            "{line}"
        );
        assert!(line["message"].is_string(), "{line}");
    }
    let ready = log.lines().find(|line| line.contains("\"ready\"")).unwrap();
    let ready: Value = serde_json::from_str(ready).unwrap();
    assert!(
        ready["url"]
            .as_str()
            .unwrap()
            .starts_with("http://127.0.0.1:")
    );
}

/// The table of `docs/metrics.md` as rows of `name | kind | meaning`.
fn documented() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| `moltbot_"));
    rows.filter_map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        // The other table, of alarms, has two columns.
        let [name, kind, _labels, meaning] = cells[..] else {
            return None;
        };
        Some(format!("{name} | {kind} | {meaning}"))
    })
    .collect()
}

#[tokio::test]
async fn every_metric_is_documented_as_it_explains_itself() {
    let home = Home::new();
    let gateway = home.start();
    let mut client = operator(&gateway).await;
    client.chat("main", "echo one", "r1").await;
    let wrong = [("authorization", "Bearer not-the-token")];
    gateway.http("GET", "/metrics", &wrong, "").await;
    let deadline = Instant::now() + PATIENCE;
    // What has no series yet does not explain itself.
    while sum(&scrape(&gateway).await, &["tokens_total"]) < 1.0 {
        assert!(Instant::now() < deadline);
    }
    let token = format!("Bearer {}", gateway.token());
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let asked = http
        .get(gateway.url("/metrics"))
        .header("authorization", token);
    let text = asked.send().await.unwrap().text().await.unwrap();
    let mut helps = BTreeMap::new();
    let mut explained = Vec::new();
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|l| l.split_once(' ')) {
            helps.insert(name.to_owned(), help.trim_end_matches('.').to_owned());
        }
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|l| l.split_once(' ')) {
            explained.push(format!("`{name}` | {kind} | {}", helps[name]));
        }
    }
    explained.sort();
    assert_eq!(documented(), explained, "{}", explained.join("\n"));
}
