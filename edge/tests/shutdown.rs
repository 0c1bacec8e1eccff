//! How a gateway ends, and what the next one finds.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod support;

use serde_json::{Value, json};
use std::net::TcpListener;
use std::time::{Duration, Instant};
use support::client::{ALL, CHAT, Client, Device, text};
use support::{Gateway, Home, PATIENCE};

/// A gateway, a device of it and a client.
async fn started(home: &Home) -> (Gateway, Device, Client) {
    let gateway = home.start();
    let mut device = Device::new(1);
    device.redeem(&gateway).await;
    let client = device.connect(&gateway, &ALL).await.unwrap();
    (gateway, device, client)
}

/// Sends a message with a long answer and waits until it begins to show.
async fn begin(client: &mut Client, run: &str) {
    let params = json!({ "sessionKey": "main", "message": "essay", "idempotencyKey": run });
    client.request("chat.send", params).await.unwrap();
    client
        .event_where("chat", |p| p["runId"] == run && p["state"] == "delta")
        .await;
}

/// The last answer was cut short; another try gives all of it.
async fn is_interrupted_and_can_be_tried_again(client: &mut Client, run: &str) -> Value {
    let history = client.history("main").await;
    assert_eq!(history.len(), 2);
    let last = &history[1];
    assert_eq!(last["role"], "assistant");
    assert_eq!(last["stopReason"], "interrupted");
    assert_eq!(last["__openclaw"]["runId"], run);
    let again = json!({ "sessionKey": "main", "runId": run, "idempotencyKey": "again" });
    let again = client.request("chat.retry", again).await.unwrap();
    assert_eq!(again["status"], "started");
    client
        .event_where("chat", |p| p["runId"] == "again" && p["state"] == "delta")
        .await;
    client
        .request("chat.abort", json!({ "sessionKey": "main" }))
        .await
        .unwrap();
    assert_eq!(client.history("main").await.len(), 2);
    last.clone()
}

#[tokio::test]
async fn a_stop_tells_clients_ships_everything_and_keeps_the_half_answer() {
    let home = Home::new();
    let (mut gateway, device, mut client) = started(&home).await;
    let mut other = device.connect(&gateway, &CHAT).await.unwrap();
    begin(&mut client, "r1").await;
    gateway.terminate();
    for client in [&mut client, &mut other] {
        let told = client.event("shutdown").await;
        assert_eq!(told["reason"], "stop");
        let (code, reason) = client.wait_closed().await;
        assert_eq!((code, reason.as_str()), (1012, "service restart"));
    }
    assert_eq!(gateway.wait().code(), Some(0), "{}", gateway.log());
    gateway.wait_for_log("everything is shipped");

    let (code, out, err) = home.run(&["log", "verify"]);
    assert_eq!(code, 0, "{err}");
    let head = out
        .lines()
        .find_map(|line| line.strip_prefix("head:  #"))
        .unwrap();
    let (seq, hash) = head.split_once(' ').unwrap();
    let seq: u64 = seq.parse().unwrap();

    let gateway = home.start();
    let mut client = device.connect(&gateway, &ALL).await.unwrap();
    let from = json!({ "from": { "seq": seq, "hash": hash } });
    let known = client.request("log.subscribe", from).await.unwrap();
    assert_eq!(
        known["resync"], false,
        "the restarted gateway has another record #{seq}"
    );
    assert_eq!(known["head"]["seq"].as_u64(), Some(seq + 1));
    let page = client.event("log").await;
    assert_eq!(page["records"][0]["kind"], "writer_started");
    let kept = is_interrupted_and_can_be_tried_again(&mut client, "r1").await;
    assert!(text(&kept).starts_with("# On keeping"), "{kept}");
}

#[tokio::test]
async fn an_answer_under_way_when_the_machine_dies_is_shown_as_interrupted() {
    let home = Home::new();
    let (mut gateway, device, mut client) = started(&home).await;
    begin(&mut client, "r1").await;
    gateway.kill();
    assert_eq!(client.wait_closed().await.0, 1006);
    let gateway = home.start();
    let mut client = device.connect(&gateway, &ALL).await.unwrap();
    is_interrupted_and_can_be_tried_again(&mut client, "r1").await;
}

#[tokio::test]
async fn a_message_whose_answer_had_not_begun_is_answered_by_the_next_process() {
    let home = Home::new();
    let (mut gateway, device, mut client) = started(&home).await;
    begin(&mut client, "r1").await;
    let waits = json!({ "sessionKey": "main", "message": "echo later", "idempotencyKey": "r2" });
    client.request("chat.send", waits).await.unwrap();
    gateway.kill();
    let gateway = home.start();
    let mut client = device.connect(&gateway, &ALL).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    while client.history("main").await.len() < 4 {
        assert!(Instant::now() < deadline, "{}", gateway.log());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let history = client.history("main").await;
    assert_eq!(text(&history[1]), "echo later");
    assert_eq!(history[2]["stopReason"], "interrupted");
    assert_eq!(text(&history[3]), "later");
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_remote_that_never_answers() {
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let home = Home::new()
        .with("MOLTBOT_REPLICA_URL", "s3://bucket")
        .with(
            "AWS_ENDPOINT_URL_S3",
            &format!("http://{}", silent.local_addr().unwrap()),
        )
        .with("AWS_ACCESS_KEY_ID", "id")
        .with("AWS_SECRET_ACCESS_KEY", "secret");
    let mut gateway = home.launch(&[]);
    gateway
        .status_where(|status| status["phase"] == "claiming")
        .await;
    let asked = Instant::now();
    gateway.terminate();
    assert_eq!(gateway.wait().code(), Some(0), "{}", gateway.log());
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "it took {:?}",
        asked.elapsed()
    );
}

#[tokio::test]
async fn a_restart_comes_back_on_the_same_port_with_the_same_data() {
    let home = Home::new();
    let free = TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap();
    let gateway = home.launch_on(free.port(), &[]);
    gateway.wait_for_log("ready ");
    let mut device = Device::new(1);
    device.redeem(&gateway).await;
    let mut client = device.connect(&gateway, &ALL).await.unwrap();
    client.chat("main", "echo hello", "r1").await;
    let before = client.history("main").await;
    let first = client.hello["moltbot"].clone();
    for boots in 1..=2_u64 {
        assert_eq!(
            client.request("gateway.restart", json!({})).await.unwrap()["ok"],
            true
        );
        let told = client.event("shutdown").await;
        assert_eq!(told["reason"], "restart");
        assert_eq!(client.wait_closed().await.0, 1012);
        let old = client.hello["moltbot"]["bootId"].clone();
        gateway
            .status_where(|s| s["ok"] == true && s["processId"] != old)
            .await;
        client = device.connect(&gateway, &ALL).await.unwrap();
        let now = &client.hello["moltbot"];
        assert_ne!(now["bootId"], first["bootId"]);
        assert_eq!(
            now["epoch"].as_u64(),
            first["epoch"].as_u64().map(|epoch| epoch + boots)
        );
        assert_eq!(gateway.port(), free.port());
        assert_eq!(client.history("main").await, before);
    }
    assert_eq!(
        client.chat("main", "echo again", "r2").await["state"],
        "final"
    );
}
