//! What a device may do to others, and how its access ends.

use super::support::Home;
use super::support::client::{ALL, CHAT, Device};
use super::support::connect::{connect, let_in, refused};
use super::{AT_ONCE, FAR, ask, enter, operator, pair};
use serde_json::{Value, json};
use std::time::Instant;

#[tokio::test]
async fn a_revoked_device_is_disconnected_at_once_and_cannot_come_back_without_asking() {
    let home = Home::new();
    let gateway = home.start();
    let (_, mut operator) = operator(&gateway).await;
    let mut device = Device::new(2);
    pair(&gateway, &mut operator, &mut device, &CHAT).await;
    let (mut page, mut other_page) = (
        enter(&gateway, &device, &CHAT).await,
        enter(&gateway, &device, &CHAT).await,
    );
    let revoke = async {
        let params = json!({ "deviceId": device.id() });
        let answer = operator.request("device.revoke", params).await.unwrap();
        (answer, Instant::now())
    };
    let closed = async {
        let closed = (page.wait_closed().await, other_page.wait_closed().await);
        (closed, Instant::now())
    };
    let ((answer, revoked), ((first, second), gone)) = tokio::join!(revoke, closed);
    assert_eq!(
        (&answer["ok"], &answer["replication"]),
        (&json!(true), &json!("replicated"))
    );
    assert!(gone.saturating_duration_since(revoked) < AT_ONCE);
    let words = (1008, "device revoked".to_owned());
    assert_eq!((first, second), (words.clone(), words));
    let own_token = device.token.clone();
    let say = |challenge: &Value| device.connect_params(challenge, &CHAT, own_token.as_deref());
    let error = refused(&gateway, &FAR, say).await;
    assert_eq!(
        error["details"]["code"], "AUTH_TOKEN_MISMATCH",
        "its token is worth nothing"
    );
    assert_eq!(ask(&gateway, &device, &CHAT).await["reason"], "not-paired");
    let error = operator
        .request("device.revoke", json!({ "deviceId": device.id() }))
        .await;
    assert_eq!(error.unwrap_err()["details"]["code"], "unknown_device");
}

#[tokio::test]
async fn the_last_administrator_is_not_revoked_by_a_device_but_by_the_machine_itself() {
    let home = Home::new();
    let gateway = home.start();
    let (device, mut client) = operator(&gateway).await;
    let mut second = Device::new(2);
    pair(
        &gateway,
        &mut client,
        &mut second,
        &["operator.read", "operator.pairing"],
    )
    .await;
    let own = json!({ "deviceId": device.id() });
    let error = client
        .request("device.revoke", own.clone())
        .await
        .unwrap_err();
    assert_eq!(error["details"]["code"], "last_operator");
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("moltbot devices revoke")
    );
    let mut helper = enter(&gateway, &second, &["operator.pairing"]).await;
    let error = helper
        .request("device.revoke", own.clone())
        .await
        .unwrap_err();
    assert_eq!(error["details"]["code"], "scope_too_wide");
    let mut third = Device::new(3);
    pair(&gateway, &mut client, &mut third, &ALL).await;
    client
        .request("device.revoke", json!({ "deviceId": third.id() }))
        .await
        .unwrap();
    let error = client.request("device.revoke", own).await.unwrap_err();
    assert_eq!(
        error["details"]["code"], "last_operator",
        "it is the last one again"
    );
    let path = format!("devices/{}/revoke", device.id());
    assert_eq!(gateway.admin("POST", &path).await.body["success"], true);
    assert_eq!(
        client.wait_closed().await,
        (1008, "device revoked".to_owned())
    );
}

#[tokio::test]
async fn only_a_device_with_the_pairing_scope_lets_others_in_and_never_with_more_than_its_own() {
    let home = Home::new();
    let gateway = home.start();
    let (_, mut operator) = operator(&gateway).await;
    let (mut chatter, mut helper) = (Device::new(2), Device::new(3));
    pair(&gateway, &mut operator, &mut chatter, &CHAT).await;
    let helper_scopes = ["operator.pairing", "operator.read"];
    pair(&gateway, &mut operator, &mut helper, &helper_scopes).await;
    let asked = ask(&gateway, &Device::new(4), &ALL).await;
    let request = json!({ "requestId": asked["requestId"] });
    let mut client = enter(&gateway, &chatter, &CHAT).await;
    let own = json!({ "deviceId": chatter.id() });
    let calls = [
        ("device.pair.approve", &request),
        ("device.pair.reject", &request),
        ("device.pair.list", &request),
        ("device.revoke", &own),
        ("device.token.rotate", &own),
    ];
    for (method, params) in calls {
        let error = client.request(method, params.clone()).await.unwrap_err();
        assert_eq!(
            error["details"]["missingScope"], "operator.pairing",
            "{method}"
        );
    }
    let mut client = enter(&gateway, &helper, &helper_scopes).await;
    let error = client
        .request("device.pair.approve", request)
        .await
        .unwrap_err();
    assert_eq!(error["details"]["code"], "scope_too_wide");
    let narrowed = json!({ "requestId": asked["requestId"], "scopes": ["operator.read"] });
    client
        .request("device.pair.approve", narrowed)
        .await
        .unwrap();
    let client = enter(&gateway, &Device::new(4), &ALL).await;
    assert_eq!(client.hello["auth"]["scopes"], json!(["operator.read"]));
}

#[tokio::test]
async fn a_device_hears_of_requests_only_with_the_pairing_scope() {
    let home = Home::new();
    let gateway = home.start();
    let (_, mut operator) = operator(&gateway).await;
    let mut chatter = Device::new(2);
    pair(&gateway, &mut operator, &mut chatter, &CHAT).await;
    let mut client = enter(&gateway, &chatter, &CHAT).await;
    client.request("log.subscribe", json!({})).await.unwrap();
    ask(&gateway, &Device::new(3), &CHAT).await;
    operator
        .event_where("device.pair.requested", |row| {
            row["deviceId"] == Device::new(3).id()
        })
        .await;
    operator
        .post(
            "chat.send",
            json!({ "sessionKey": "main", "message": "hi", "idempotencyKey": "k" }),
        )
        .await;
    let mut kinds = Vec::new();
    loop {
        let frame = client.frame().await.unwrap();
        let name = frame["event"].as_str().unwrap_or_default();
        assert!(!name.starts_with("device."), "{frame}");
        if name == "chat" && frame["payload"]["state"] == "final" {
            break;
        }
        for row in frame["payload"]["records"].as_array().into_iter().flatten() {
            kinds.push(row["kind"].as_str().unwrap().to_owned());
            let is_told = row["data"].as_object().is_some_and(|data| !data.is_empty());
            match row["kind"].as_str().unwrap() {
                "message_received" | "run_completed" => assert!(is_told, "{row}"),
                kind => assert!(!is_told || !kind.contains("device"), "{row}"),
            }
        }
    }
    assert!(
        kinds.iter().any(|kind| kind == "device_pairing_requested"),
        "{kinds:?}"
    );
}

#[tokio::test]
async fn a_rotated_token_is_worth_nothing_any_more() {
    let home = Home::new();
    let gateway = home.start();
    let (_, mut operator) = operator(&gateway).await;
    let mut device = Device::new(2);
    pair(&gateway, &mut operator, &mut device, &CHAT).await;
    let old = device.token.clone().unwrap();
    let with_old = |challenge: &Value| device.connect_params(challenge, &CHAT, Some(&old));
    let_in(&gateway, &FAR, with_old).await;
    let params = json!({ "deviceId": device.id(), "role": "operator" });
    let answer = operator
        .request("device.token.rotate", params)
        .await
        .unwrap();
    assert_eq!(
        (&answer["ok"], &answer["replication"]),
        (&json!(true), &json!("replicated"))
    );
    assert_eq!(
        (&answer["deviceId"], &answer["role"]),
        (&json!(device.id()), &json!("operator"))
    );
    assert!(answer["rotatedAtMs"].as_i64().is_some());
    let error = refused(&gateway, &FAR, with_old).await;
    assert_eq!(error["details"]["code"], "AUTH_TOKEN_MISMATCH");
    assert_eq!(error["details"]["canRetryWithDeviceToken"], true);
    let client = enter(&gateway, &device, &CHAT).await;
    let new = client.hello["auth"]["deviceToken"].as_str().unwrap();
    assert_ne!(new, old);
    let with_new = |challenge: &Value| device.connect_params(challenge, &CHAT, Some(new));
    let_in(&gateway, &FAR, with_new).await;
}

#[tokio::test]
async fn a_new_gateway_token_ends_every_session_and_keeps_the_devices() {
    let mut home = Home::new().with("MOLTBOT_GATEWAY_TOKEN", "first-token");
    let mut gateway = home.start();
    let (device, _) = operator(&gateway).await;
    gateway.terminate();
    assert_eq!(gateway.wait().code(), Some(0));
    home.env.clear();
    let home = home.with("MOLTBOT_GATEWAY_TOKEN", "second-token");
    let gateway = home.start();
    for token in [device.token.as_deref().unwrap(), "first-token"] {
        let say = |challenge: &Value| device.connect_params(challenge, &CHAT, Some(token));
        let error = refused(&gateway, &FAR, say).await;
        assert_eq!(error["details"]["code"], "AUTH_TOKEN_MISMATCH");
    }
    let say = |challenge: &Value| device.connect_params(challenge, &ALL, Some("second-token"));
    let (_, answer) = connect(&gateway, &FAR, say).await;
    assert_eq!(answer.unwrap()["type"], "hello-ok", "it is still known");
}
