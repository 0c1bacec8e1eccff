//! People on channels and replies to them, as far as a client without a channel gets: what is
//! refused, and to whom.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod support;

use moltbot_channels::testing::telegram::{Fault, Person, TelegramServer};
use moltbot_edge::limits::{AUTH_FAILURES_MAX, AUTH_WINDOW_MS};
use serde_json::{Value, json};
use std::time::Duration;
use support::client::{ALL, CHAT, Client, Device};
use support::{Gateway, Home};

/// A device with these scopes.
async fn enter(gateway: &Gateway, scopes: &[&str]) -> Client {
    let mut device = Device::new(1);
    device.redeem(gateway).await;
    device.connect(gateway, scopes).await.unwrap()
}

/// Sends a request that must fail: the error.
async fn fails(client: &mut Client, method: &str, params: Value) -> Value {
    client.request(method, params).await.unwrap_err()
}

#[tokio::test]
async fn without_a_channel_nobody_waits_and_nothing_is_on_its_way() {
    let home = Home::new();
    let gateway = home.start();
    let mut client = enter(&gateway, &ALL).await;
    let shipped = gateway.shipped().await;
    let people = client.request("peer.list", json!({})).await.unwrap();
    let nobody = json!({
        "pending": [], "approved": [], "blocked": [], "hasMore": false, "shippedSeq": shipped,
    });
    assert_eq!(people, nobody);
    let replies = client.request("delivery.list", json!({})).await.unwrap();
    let none = json!({ "deliveries": [], "hasMore": false, "shippedSeq": shipped });
    assert_eq!(replies, none);
    let beside_devices = gateway.admin("GET", "devices").await.body;
    assert_eq!(beside_devices["peers"], nobody);
    for event in [
        "peer.pair.requested",
        "peer.pair.resolved",
        "delivery.changed",
    ] {
        let events = client.hello["features"]["events"].as_array().unwrap();
        assert!(events.contains(&json!(event)), "{event}");
    }
}

#[tokio::test]
async fn whoever_or_whatever_is_not_there_is_refused_in_words() {
    let home = Home::new();
    let gateway = home.start();
    let mut client = enter(&gateway, &ALL).await;
    let nobody = json!({ "peerId": "p1" });
    let nothing = json!({ "deliveryId": "d1" });
    let table = [
        ("peer.approve", nobody.clone(), "unknown_peer"),
        ("peer.block", nobody, "unknown_peer"),
        (
            "peer.approve",
            json!({ "code": "abcd-2345" }),
            "unknown_code",
        ),
        ("delivery.resend", nothing.clone(), "unknown_delivery"),
        ("delivery.cancel", nothing, "unknown_delivery"),
    ];
    for (method, params, code) in table {
        let error = fails(&mut client, method, params).await;
        assert_eq!(error["details"]["code"], code, "{method}: {error}");
        assert_eq!(error["code"], "INVALID_REQUEST");
    }
    let table = [
        ("peer.approve", json!({}), "either property 'peerId' or"),
        (
            "peer.approve",
            json!({ "peerId": "p1", "code": "ABCDEFGH" }),
            "either property 'peerId' or",
        ),
        (
            "peer.approve",
            json!({ "peerId": "p1", "isOperator": "yes" }),
            "property 'isOperator' must be boolean",
        ),
        ("peer.approve", json!({ "code": 7 }), "must be string"),
        ("peer.block", json!({ "peerId": "" }), "fewer than 1"),
        (
            "delivery.resend",
            json!({}),
            "required property 'deliveryId'",
        ),
    ];
    for (method, params, words) in table {
        let error = fails(&mut client, method, params).await;
        let said = error["message"].as_str().unwrap();
        assert!(
            said.starts_with(&format!("invalid {method} params: ")) && said.contains(words),
            "{said}"
        );
    }
}

#[tokio::test]
async fn who_may_only_talk_sees_no_people_and_settles_no_replies() {
    let home = Home::new();
    let gateway = home.start();
    let mut talker = enter(&gateway, &CHAT).await;
    let table = [
        ("peer.list", "operator.pairing"),
        ("peer.approve", "operator.pairing"),
        ("peer.block", "operator.pairing"),
        ("delivery.list", "operator.admin"),
        ("delivery.resend", "operator.admin"),
        ("delivery.cancel", "operator.admin"),
    ];
    for (method, scope) in table {
        let error = fails(&mut talker, method, json!({})).await;
        assert_eq!(error["details"]["missingScope"], scope, "{method}");
    }
    let mut porter = enter(&gateway, &["operator.pairing"]).await;
    porter.request("peer.list", json!({})).await.unwrap();
    let error = fails(&mut porter, "delivery.list", json!({})).await;
    assert_eq!(error["details"]["missingScope"], "operator.admin");
}

#[tokio::test]
async fn codes_are_guessed_no_faster_than_tokens() {
    let home = Home::new();
    let gateway = home.start();
    let mut client = enter(&gateway, &ALL).await;
    let guess = |n: u32| json!({ "code": format!("AAAAAA{n:02}") });
    for n in 0..AUTH_FAILURES_MAX {
        let error = fails(&mut client, "peer.approve", guess(n)).await;
        assert_eq!(error["details"]["code"], "unknown_code", "guess {n}");
        assert!(error["retryAfterMs"].is_null());
    }
    let error = fails(&mut client, "peer.approve", guess(99)).await;
    assert_eq!(error["details"]["code"], "AUTH_RATE_LIMITED");
    assert_eq!(error["retryable"], true);
    let wait = error["retryAfterMs"].as_i64().unwrap();
    assert!((1..=AUTH_WINDOW_MS).contains(&wait), "{wait}");
    // They share one count: a token is not even looked at now.
    let refused = gateway.admin("GET", "devices").await;
    assert_eq!(refused.status, 429, "{}", refused.body);
    // Who is named by id is not guessed.
    let error = fails(&mut client, "peer.approve", json!({ "peerId": "p1" })).await;
    assert_eq!(error["details"]["code"], "unknown_peer");
}

#[tokio::test]
async fn the_admin_api_answers_for_people_as_for_devices() {
    let home = Home::new();
    let gateway = home.start();
    for path in [
        "peers/p1/approve",
        "peers/p1/approve?operator=true",
        "peers/p1/block",
    ] {
        let answer = gateway.admin("POST", path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.body["success"], false);
        assert_eq!(answer.body["peerId"], "p1");
        assert_eq!(answer.body["error"], "nobody of this id has written");
        let read = gateway.admin("GET", path).await;
        assert_eq!(read.status, 404, "a GET changes nothing");
    }
}

#[tokio::test]
async fn the_command_line_says_whom_it_does_not_find() {
    let home = Home::new();
    let gateway = home.start();
    let port = gateway.port().to_string();
    let run = |arguments: &[&str]| home.run(&[arguments, &["--port", &port]].concat());
    let (code, out, _) = run(&["peers", "list"]);
    assert_eq!(code, 0);
    assert!(out.starts_with("Nobody has written yet."), "{out}");
    let (_, out, _) = run(&["peers", "list", "--json"]);
    let list: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(list["pending"], json!([]));
    for arguments in [
        &["peers", "approve", "ABCD2345"][..],
        &["peers", "approve", "ABCD2345", "--operator"],
        &["peers", "block", "ABCD2345"],
    ] {
        let (code, out, error) = run(arguments);
        assert_eq!((code, out.as_str()), (3, ""), "{arguments:?}");
        assert!(
            error.contains("`ABCD2345`") && error.contains("moltbot peers list"),
            "{error}"
        );
    }
}

/// The bot's account as `channels.status` and the event tell it.
fn bot(status: &Value) -> &Value {
    &status["channelAccounts"]["telegram"][0]
}

#[tokio::test]
async fn without_a_platform_there_is_no_channel() {
    let home = Home::new();
    let gateway = home.start();
    let mut client = enter(&gateway, &CHAT).await;
    let status = client.request("channels.status", json!({})).await.unwrap();
    assert_eq!(status["channelOrder"], json!([]));
    assert_eq!(status["channelAccounts"], json!({}));
    let health = &client.hello["snapshot"]["health"];
    assert_eq!(health["channels"], json!({}));
    let events = client.hello["features"]["events"].as_array().unwrap();
    assert!(events.contains(&json!("channels.changed")));
}

#[tokio::test]
async fn a_platform_is_watched_from_connecting_to_receiving_and_through_a_failure() {
    const TOKEN: &str = "4711:the-token-of-the-status-test-1234567";
    let telegram = TelegramServer::start(TOKEN).await.unwrap();
    // Nobody can say who the bot is before somebody looks.
    telegram.fault("getMe", Fault::Delay(Duration::from_secs(2)));
    let home = Home::new()
        .with("TELEGRAM_BOT_TOKEN", TOKEN)
        .with("TELEGRAM_API_URL", telegram.url().as_str())
        .with("TELEGRAM_DM_POLICY", "allowlist");
    let gateway = home.start();
    let mut client = enter(&gateway, &CHAT).await;
    let mut now = client.request("channels.status", json!({})).await.unwrap();
    assert_eq!(now["channelOrder"], json!(["telegram"]));
    assert_eq!(now["channelLabels"]["telegram"], "Telegram");
    assert_eq!(bot(&now)["dmPolicy"], "allowlist");
    while bot(&now)["state"] != "receiving" {
        assert_eq!(bot(&now)["connected"], false);
        now = client.event("channels.changed").await;
    }
    assert_eq!(bot(&now)["handle"], "moltbot_test_bot");
    assert_eq!(now["channelDefaultAccountId"]["telegram"], "4711");
    assert!(bot(&now)["sinceMs"].as_i64() > Some(0));
    assert_eq!(bot(&now)["lastError"], Value::Null);
    let health = client.request("health", json!({})).await.unwrap();
    assert_eq!(health["channels"]["telegram"]["state"], "receiving");

    telegram.fault(
        "getUpdates",
        Fault::Refused {
            code: 401,
            description: "Unauthorized".into(),
        },
    );
    let person = Person::new(7, "Li");
    telegram.say(&person, "hello");
    while bot(&now)["state"] != "stopped" {
        now = client.event("channels.changed").await;
    }
    let sentence = "Telegram refuses the bot token: check TELEGRAM_BOT_TOKEN";
    assert_eq!(bot(&now)["lastError"], sentence);
    assert_eq!(bot(&now)["running"], false);
    assert!(!now.to_string().contains("status-test"), "{now}");
    let asked = client.request("channels.status", json!({})).await.unwrap();
    assert_eq!(asked["channels"]["telegram"]["lastError"], sentence);
}

#[tokio::test]
async fn who_is_let_in_by_the_policy_has_a_name_and_can_be_said_to_be_the_operator() {
    const TOKEN: &str = "4711:the-token-of-the-open-policy-12345678";
    let telegram = TelegramServer::start(TOKEN).await.unwrap();
    let home = Home::new()
        .with("TELEGRAM_BOT_TOKEN", TOKEN)
        .with("TELEGRAM_API_URL", telegram.url().as_str())
        .with("TELEGRAM_DM_POLICY", "open");
    let gateway = home.start();
    let mut client = enter(&gateway, &ALL).await;
    telegram.say(&Person::new(7, "Li"), "hello");
    let resolved = client.event("peer.pair.resolved").await;
    assert_eq!(resolved["decision"], "approved");
    for is_operator in [false, true, false] {
        let params = json!({ "peerId": "telegram:7", "isOperator": is_operator });
        let said = client.request("peer.approve", params).await.unwrap();
        assert_eq!(
            (&said["peer"]["name"], &said["peer"]["isOperator"]),
            (&json!("Li"), &json!(is_operator))
        );
    }
}
