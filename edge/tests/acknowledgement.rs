//! When an answer is given, row by row: what is `Local`, what waits for the remote log and for how
//! long, what a deployment may change about it, and the one rule that it may not.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]
#![allow(unreachable_pub, reason = "a module of a test has no outside")]

#[path = "acknowledgement/platforms.rs"]
mod platforms;
#[path = "support/s3.rs"]
mod s3;
mod support;

use s3::{ACCESS_KEY, BUCKET, Fault, S3Server, SECRET_KEY};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use support::client::{ALL, Client, Device};
use support::{Gateway, Home};

/// How long an approval waits for the remote log.
const WAIT: Duration = Duration::from_secs(5);

/// A gateway whose remote log is a server that can go away or fall silent.
struct Remote {
    server: S3Server,
    home: Home,
    gateway: Gateway,
    device: Device,
    client: Client,
}

impl Remote {
    async fn begin(variables: &[(&str, &str)]) -> Remote {
        let mut server = S3Server::new();
        server.start();
        let mut home = Home::new()
            .with("MOLTBOT_REPLICA_URL", &format!("s3://{BUCKET}/log"))
            .with("AWS_ENDPOINT_URL_S3", &server.url())
            .with("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .with("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
        for (name, value) in variables {
            home = home.with(name, value);
        }
        let gateway = home.start();
        let mut device = Device::new(1);
        device.redeem(&gateway).await;
        let client = device.connect(&gateway, &ALL).await.unwrap();
        gateway.shipped().await;
        Remote {
            server,
            home,
            gateway,
            device,
            client,
        }
    }

    /// From here on the remote takes requests and says nothing.
    fn falls_silent(&mut self) {
        self.server.stop();
        self.server.becomes(Some(Fault::Silent));
        self.server.start();
    }

    /// From here on nobody is there.
    fn goes_away(&mut self) {
        self.server.stop();
    }

    fn comes_back(&mut self) {
        self.server.stop();
        self.server.becomes(None);
        self.server.start();
    }

    async fn ask(&mut self, method: &str, params: Value) -> Value {
        let answer = self.client.request(method, params).await;
        answer.unwrap_or_else(|error| panic!("{method}: {error}\n{}", self.gateway.log()))
    }

    async fn patch(&mut self, raw: Value) -> Value {
        let base = self.ask("config.get", json!({})).await["hash"].clone();
        let raw = raw.to_string();
        self.ask("config.patch", json!({ "baseHash": base, "raw": raw }))
            .await
    }
}

/// Asks to be let in as a browser does; the id of its request.
async fn knock(device: &Device, gateway: &Gateway) -> Value {
    let origin = gateway.url("");
    let mut client = Client::open(gateway, &[("origin", &origin)]).await;
    let challenge = client.event("connect.challenge").await;
    let params = device.connect_params(&challenge, &ALL, Some(&gateway.token()));
    let refused = client.request("connect", params).await.unwrap_err();
    refused["details"]["requestId"].clone()
}

fn message(key: &str) -> Value {
    json!({ "sessionKey": "main", "message": format!("echo {key}"), "idempotencyKey": key })
}

/// Whether the record behind an answer is in the remote log, as the answer itself says.
fn is_shipped(answer: &Value) -> bool {
    answer["shippedSeq"].as_u64() >= answer["seq"].as_u64()
}

#[tokio::test]
async fn a_message_is_answered_when_it_is_on_this_disk() {
    let mut remote = Remote::begin(&[]).await;
    remote.falls_silent();
    let sent = remote.ask("chat.send", message("m1")).await;
    assert_eq!(sent.get("replication"), None, "{sent}");
    assert!(!is_shipped(&sent), "the remote says nothing: {sent}");
    let history = remote
        .ask("chat.history", json!({ "sessionKey": "main" }))
        .await;
    assert!(
        history["shippedSeq"].as_u64() < sent["seq"].as_u64(),
        "{history}"
    );
    let listed = remote.ask("sessions.list", json!({})).await;
    assert!(listed["shippedSeq"].as_u64() < listed["sessions"][0]["lastSeq"].as_u64());

    remote.comes_back();
    remote.gateway.shipped().await;
    let again = remote.ask("chat.send", message("m1")).await;
    assert_eq!(
        again["seq"], sent["seq"],
        "the same message is the same record"
    );
    assert!(is_shipped(&again), "{again}");
}

#[tokio::test]
async fn a_revocation_holds_at_once_and_is_answered_when_it_is_in_the_remote_log() {
    let mut remote = Remote::begin(&[]).await;
    let mut guest = Device::new(2);
    let redeemed = guest.redeem(&remote.gateway).await;
    assert_eq!(redeemed["replication"], "replicated", "{redeemed}");
    let mut theirs = guest.connect(&remote.gateway, &ALL).await.unwrap();

    remote.falls_silent();
    let asked = Instant::now();
    let revoke = json!({ "deviceId": guest.id() });
    let id = remote.client.post("device.revoke", revoke).await;
    assert_eq!(theirs.wait_closed().await.1, "device revoked");
    let in_force = asked.elapsed();
    let answer = remote.client.answer(&id).await.unwrap();
    assert!(in_force < WAIT && asked.elapsed() >= WAIT, "{in_force:?}");
    assert_eq!(answer["replication"], "pending_replication", "{answer}");
    assert!(!is_shipped(&answer), "{answer}");

    // It goes on by itself; what is asked then is answered when it is safe.
    remote.comes_back();
    remote.gateway.shipped().await;
    let answer = remote
        .patch(json!({ "assistant": { "name": "Ada" } }))
        .await;
    assert_eq!(answer["replication"], "replicated", "{answer}");
    assert!(is_shipped(&answer), "{answer}");
    let mut asking = Device::new(3);
    let request = knock(&asking, &remote.gateway).await;
    let path = "devices/approve-all";
    let approved = remote.gateway.admin("POST", path).await.body;
    assert_eq!(approved["approved"], json!([request]), "{approved}");
    assert_eq!(approved["replication"], "replicated", "{approved}");
    asking.token = Some(remote.gateway.token());
    asking.connect(&remote.gateway, &ALL).await.unwrap();
}

#[tokio::test]
async fn a_deployment_may_have_messages_answered_when_they_are_in_the_remote_log() {
    let mut remote = Remote::begin(&[("MOLTBOT_ACK", "replicated")]).await;
    let sent = remote.ask("chat.send", message("m1")).await;
    assert_eq!(sent["replication"], "replicated", "{sent}");
    assert!(is_shipped(&sent), "{sent}");

    remote.falls_silent();
    let asked = Instant::now();
    let id = remote.client.post("chat.send", message("m2")).await;
    // Nobody else waits for it, on the same connection either.
    let history = remote
        .ask("chat.history", json!({ "sessionKey": "main" }))
        .await;
    assert!(asked.elapsed() < WAIT, "{:?}", asked.elapsed());
    assert!(history["messages"].is_array());
    let answer = remote.client.answer(&id).await.unwrap();
    assert!(asked.elapsed() >= WAIT, "{:?}", asked.elapsed());
    assert_eq!(answer["replication"], "pending_replication", "{answer}");
    assert_eq!(answer["status"], "started", "{answer}");
    remote.comes_back();
    remote.gateway.shipped().await;
}

#[tokio::test]
async fn a_deployment_may_have_approvals_answered_when_they_are_on_this_disk() {
    let mut remote = Remote::begin(&[("MOLTBOT_ACK", "local")]).await;
    remote.falls_silent();
    let asked = Instant::now();
    let answer = remote
        .patch(json!({ "assistant": { "name": "Ada" } }))
        .await;
    assert!(asked.elapsed() < WAIT, "{:?}", asked.elapsed());
    assert_eq!(answer["replication"], "pending_replication", "{answer}");
    let mut guest = Device::new(2);
    let redeemed = guest.redeem(&remote.gateway).await;
    assert!(asked.elapsed() < WAIT, "{:?}", asked.elapsed());
    assert_eq!(redeemed["replication"], "pending_replication", "{redeemed}");
    guest.connect(&remote.gateway, &ALL).await.unwrap();
}

#[tokio::test]
async fn the_level_can_be_configured_and_the_variable_wins() {
    let mut remote = Remote::begin(&[]).await;
    let sent = remote.ask("chat.send", message("m1")).await;
    assert_eq!(sent.get("replication"), None, "{sent}");
    remote.client.chat_end("m1").await;
    let refused = remote
        .client
        .request("config.get", json!({}))
        .await
        .unwrap()["hash"]
        .clone();
    let bad = json!({ "storage": { "ack": "quorum" } }).to_string();
    let bad = json!({ "baseHash": refused, "raw": bad });
    let refused = remote
        .client
        .request("config.patch", bad)
        .await
        .unwrap_err();
    assert_eq!(refused["details"]["code"], "config_invalid", "{refused}");
    remote
        .patch(json!({ "storage": { "ack": "replicated" } }))
        .await;
    let sent = remote.ask("chat.send", message("m2")).await;
    assert_eq!(sent["replication"], "replicated", "{sent}");

    remote.gateway.shipped().await;
    remote.gateway.kill();
    let home = remote.home.with("MOLTBOT_ACK", "local");
    let gateway = home.start();
    let mut client = remote.device.connect(&gateway, &ALL).await.unwrap();
    let sent = client.request("chat.send", message("m3")).await.unwrap();
    assert_eq!(sent.get("replication"), None, "{sent}");

    let (code, _, said) = home.with("MOLTBOT_ACK", "quorum").run(&["doctor"]);
    assert!(
        code == 3 && said.contains("MOLTBOT_ACK must be"),
        "{code} {said}"
    );
}
