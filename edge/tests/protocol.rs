//! The gateway protocol, as clients of both generations speak it.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod support;

#[path = "protocol/frames.rs"]
mod frames;
#[path = "protocol/handshake.rs"]
mod handshake;
#[path = "protocol/proof.rs"]
mod proof;

use serde_json::{Value, json};
use support::Home;
use support::client::{ALL, Client, Device};
use support::connect::{command_line, connect, let_in};

/// A command line that was let in with all scopes.
async fn operator(gateway: &support::Gateway) -> Client {
    let token = gateway.token();
    let_in(gateway, &[], |_| command_line(&ALL, Some(&token))).await
}

#[tokio::test]
async fn the_newest_protocol_that_both_sides_know_is_agreed_on() {
    let home = Home::new();
    let gateway = home.start();
    let token = gateway.token();
    let speaking = |min: u64, max: u64| {
        let mut params = command_line(&["operator.read"], Some(&token));
        params["minProtocol"] = json!(min);
        params["maxProtocol"] = json!(max);
        params
    };
    for (min, max, agreed) in [(3, 3, 3), (4, 4, 4), (3, 4, 4), (1, 9, 4), (0, 3, 3)] {
        let client = let_in(&gateway, &[], |_| speaking(min, max)).await;
        assert_eq!(client.hello["protocol"], agreed, "{min} to {max}");
    }
    for (min, max) in [(5, 9), (0, 2), (4, 3)] {
        let (mut client, answer) = connect(&gateway, &[], |_| speaking(min, max)).await;
        let error = answer.unwrap_err();
        assert_eq!(error["code"], "INVALID_REQUEST");
        assert_eq!(error["message"], "protocol mismatch");
        let details = json!({
            "code": "PROTOCOL_MISMATCH",
            "clientMinProtocol": min,
            "clientMaxProtocol": max,
            "expectedProtocol": 4,
            "minimumProbeProtocol": 3,
        });
        assert_eq!(error["details"], details);
        assert_eq!(
            client.wait_closed().await,
            (1002, "protocol mismatch".to_owned())
        );
    }
}

#[tokio::test]
async fn hello_ok_says_everything_that_clients_read() {
    let home = Home::new();
    let gateway = home.start();
    let mut device = Device::new(1);
    device.redeem(&gateway).await;
    let client = device.connect(&gateway, &ALL).await.unwrap();
    let hello = &client.hello;
    let text = |path: &str| {
        hello
            .pointer(path)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let number = |path: &str| hello.pointer(path).and_then(Value::as_i64).unwrap_or(-1);
    assert_eq!(text("/type"), "hello-ok");
    assert_eq!(text("/server/version"), env!("CARGO_PKG_VERSION"));
    assert!(!text("/server/connId").is_empty());
    for name in [
        "health",
        "status",
        "chat.send",
        "chat.history",
        "chat.abort",
        "log.subscribe",
    ] {
        assert!(
            hello["features"]["methods"]
                .as_array()
                .unwrap()
                .contains(&json!(name)),
            "{name}"
        );
    }
    for name in [
        "connect.challenge",
        "agent",
        "chat",
        "tick",
        "shutdown",
        "log",
        "storage",
    ] {
        assert!(
            hello["features"]["events"]
                .as_array()
                .unwrap()
                .contains(&json!(name)),
            "{name}"
        );
    }
    assert!(hello["snapshot"]["presence"].is_array());
    assert_eq!(hello["snapshot"]["health"]["ok"], true);
    assert!(number("/snapshot/stateVersion/presence") >= 0);
    assert!(number("/snapshot/stateVersion/health") >= 0);
    assert!(number("/snapshot/uptimeMs") >= 0);
    let defaults = json!({
        "defaultAgentId": "main",
        "mainKey": "main",
        "mainSessionKey": "agent:main:main",
        "scope": "per-sender",
    });
    assert_eq!(hello["snapshot"]["sessionDefaults"], defaults);
    assert_eq!(Some(text("/auth/deviceToken")), device.token.as_deref());
    assert_eq!(text("/auth/role"), "operator");
    let mut scopes = ALL.to_vec();
    scopes.sort_unstable();
    assert_eq!(hello["auth"]["scopes"], json!(scopes));
    assert!(number("/auth/issuedAtMs") > 0);
    let policy =
        json!({ "maxPayload": 524_288, "maxBufferedBytes": 1_572_864, "tickIntervalMs": 30_000 });
    assert_eq!(hello["policy"], policy);
    assert_eq!(text("/moltbot/deviceId"), device.id());
    assert_eq!(text("/moltbot/deviceName"), device.name);
    assert!(number("/moltbot/cursor/seq") > 0);
    assert_eq!(text("/moltbot/cursor/hash").len(), 64);
    assert!(number("/moltbot/shippedSeq") >= 0);
    assert_eq!(number("/moltbot/epoch"), 1);
    assert_eq!(hello["moltbot"]["storageConfigured"], false);
    assert_eq!(hello["moltbot"]["devMode"], false);
    assert!(!text("/moltbot/bootId").is_empty());
    assert_eq!(text("/moltbot/model/provider"), "demo");
    assert!(!text("/moltbot/model/name").is_empty());
    assert!(hello["moltbot"].get("readOnly").is_none());
}

#[tokio::test]
async fn any_path_upgrades() {
    let home = Home::new();
    let gateway = home.start();
    let token = gateway.token();
    for path in [
        "/",
        "/ws",
        "/chat/deep?session=main",
        "/health",
        "/api/admin/devices",
    ] {
        let mut client = Client::open_at(&gateway, path, &[]).await;
        client.event("connect.challenge").await;
        let params = command_line(&["operator.read"], Some(&token));
        assert_eq!(
            client.request("connect", params).await.unwrap()["type"],
            "hello-ok",
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_device_that_may_only_read_is_told_which_scope_it_misses_in_its_generations_words() {
    let home = Home::new();
    let gateway = home.start();
    let token = gateway.token();
    let send = json!({ "sessionKey": "main", "message": "hi", "idempotencyKey": "k" });
    for (protocol, code) in [(3, "INVALID_REQUEST"), (4, "FORBIDDEN")] {
        let mut params = command_line(&["operator.read"], Some(&token));
        params["maxProtocol"] = json!(protocol);
        let mut client = let_in(&gateway, &[], |_| params).await;
        assert_eq!(
            client.request("health", json!({})).await.unwrap()["ok"],
            true
        );
        let error = client.request("chat.send", send.clone()).await.unwrap_err();
        assert_eq!(error["code"], code);
        assert_eq!(error["message"], "missing scope: operator.write");
        assert_eq!(error["details"]["code"], "MISSING_SCOPE");
        assert_eq!(error["details"]["missingScope"], "operator.write");
        assert_eq!(
            error["details"]["requiredScopes"],
            json!(["operator.write"])
        );
        let error = client
            .request("device.pair.list", json!({}))
            .await
            .unwrap_err();
        assert_eq!(error["message"], "missing scope: operator.pairing");
        let error = client.request("config.get", json!({})).await.unwrap_err();
        assert_eq!(error["message"], "missing scope: operator.admin");
        assert_eq!(client.history("main").await.len(), 0);
    }
}

#[tokio::test]
async fn without_asking_for_scopes_the_older_protocol_gives_all_and_the_newer_none() {
    let home = Home::new();
    let gateway = home.start();
    let token = gateway.token();
    for (protocol, scopes) in [(3, json!(["operator.admin"])), (4, json!([]))] {
        let mut params = command_line(&[], Some(&token));
        params["maxProtocol"] = json!(protocol);
        let mut client = let_in(&gateway, &[], |_| params).await;
        assert_eq!(client.hello["auth"]["scopes"], scopes);
        assert_eq!(
            client.request("config.get", json!({})).await.is_ok(),
            protocol == 3
        );
    }
}
