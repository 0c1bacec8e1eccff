//! Devices: asking in, being let in, turned down, thrown out.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod support;

#[path = "devices/access.rs"]
mod access;
#[path = "devices/admin_api.rs"]
mod admin_api;
#[path = "devices/grants.rs"]
mod grants;

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use support::client::{ALL, CHAT, Client, Device, now_ms};
use support::connect::{let_in, refused};
use support::{Gateway, Home};

/// Comes from another machine, through a proxy.
const FAR: [(&str, &str); 1] = [("x-forwarded-for", "192.0.2.7")];
/// What takes effect at once must be noticed in this time.
const AT_ONCE: Duration = Duration::from_secs(1);

/// The operator's device, let in by a one-time link.
async fn operator(gateway: &Gateway) -> (Device, Client) {
    let mut device = Device::new(1);
    device.redeem(gateway).await;
    let client = device.connect(gateway, &ALL).await.unwrap();
    (device, client)
}

/// A device asks in from far away and hears what to wait for: the error's details.
async fn ask(gateway: &Gateway, device: &Device, scopes: &[&str]) -> Value {
    let token = gateway.token();
    let say = |challenge: &Value| device.connect_params(challenge, scopes, Some(&token));
    let error = refused(gateway, &FAR, say).await;
    assert_eq!(
        (&error["code"], &error["message"]),
        (&json!("NOT_PAIRED"), &json!("pairing required"))
    );
    error["details"].clone()
}

/// A device that was let in comes back from far away.
async fn enter(gateway: &Gateway, device: &Device, scopes: &[&str]) -> Client {
    let token = gateway.token();
    let say = |challenge: &Value| device.connect_params(challenge, scopes, Some(&token));
    let_in(gateway, &FAR, say).await
}

/// Lets a device in with these scopes; it has its token then.
async fn pair(gateway: &Gateway, operator: &mut Client, device: &mut Device, scopes: &[&str]) {
    let asked = ask(gateway, device, scopes).await;
    let request = json!({ "requestId": asked["requestId"] });
    operator
        .request("device.pair.approve", request)
        .await
        .unwrap();
    let client = enter(gateway, device, scopes).await;
    device.token = client.hello["auth"]["deviceToken"]
        .as_str()
        .map(str::to_owned);
}

/// Holds a long poll for a request while something is decided: the state and when it came, and what
/// the decision gave.
async fn poll_while<T>(
    gateway: &Gateway,
    asked: &Value,
    decide: impl Future<Output = T>,
) -> (String, Instant, T) {
    let path = format!("/pairing/{}?wait=25", asked["requestId"].as_str().unwrap());
    let poll = async {
        let answer = gateway.http("GET", &path, &[], "").await;
        (
            answer.body["state"].as_str().unwrap().to_owned(),
            Instant::now(),
        )
    };
    let decide = async {
        // Connections are served in the order in which they come: then the poll is under way.
        for _ in 0..20 {
            assert_eq!(gateway.http("GET", "/health", &[], "").await.status, 200);
        }
        decide.await
    };
    let ((state, at), decided) = tokio::join!(poll, decide);
    (state, at, decided)
}

/// What is said now of a request.
async fn state_of(gateway: &Gateway, request: &str) -> Value {
    gateway
        .http("GET", &format!("/pairing/{request}"), &[], "")
        .await
        .body["state"]
        .clone()
}

#[tokio::test]
async fn an_unknown_device_waits_with_a_code_until_the_operator_lets_it_in() {
    let home = Home::new();
    let gateway = home.start();
    let (_, mut operator) = operator(&gateway).await;
    let device = Device::new(2);
    let asked = ask(&gateway, &device, &CHAT).await;
    let code = asked["code"].as_str().unwrap();
    assert!(
        code.len() == 6
            && code
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
    );
    assert_eq!(asked["reason"], "not-paired");
    assert_eq!(asked["deviceId"], device.id());
    assert_eq!(asked["adminUrl"], gateway.url("/_admin/"));
    let left_ms = asked["expiresAtMs"].as_i64().unwrap() - now_ms();
    assert!((240_000..=300_000).contains(&left_ms), "{left_ms}");
    let row = operator.event("device.pair.requested").await;
    for name in ["requestId", "deviceId", "code", "expiresAtMs"] {
        assert_eq!(row[name], asked[name], "{name}");
    }
    assert_eq!(row["displayName"], device.name);
    assert_eq!(row["platform"], "Linux");
    assert_eq!(
        (&row["clientId"], &row["clientMode"]),
        (&json!("moltbot-control-ui"), &json!("webchat"))
    );
    assert_eq!(
        (&row["role"], &row["scopes"]),
        (&json!("operator"), &json!(CHAT))
    );
    assert_eq!(
        row["remoteIp"], "127.0.0.1",
        "the header of a proxy nobody trusts says nothing"
    );
    assert_eq!(row["isRepair"], false);
    assert!(row["seq"].as_u64().is_some() && row["ts"].as_i64().is_some());
    let again = ask(&gateway, &device, &CHAT).await;
    assert_eq!(
        (&again["requestId"], &again["code"]),
        (&asked["requestId"], &asked["code"])
    );
    let list = operator
        .request("device.pair.list", json!({}))
        .await
        .unwrap();
    assert_eq!(list["pending"], json!([row]));

    let request = json!({ "requestId": asked["requestId"] });
    let approve = async {
        let answer = operator
            .request("device.pair.approve", request.clone())
            .await
            .unwrap();
        (answer, Instant::now())
    };
    let (state, heard, (answer, approved)) = poll_while(&gateway, &asked, approve).await;
    assert_eq!(state, "approved");
    assert!(heard.saturating_duration_since(approved) < AT_ONCE);
    assert_eq!(
        (&answer["ok"], &answer["replication"]),
        (&json!(true), &json!("replicated"))
    );
    assert_eq!(answer["requestId"], asked["requestId"]);
    assert_eq!(answer["device"]["scopes"], json!(CHAT));
    let resolved = operator.event("device.pair.resolved").await;
    assert_eq!(resolved["requestId"], asked["requestId"]);
    assert_eq!(
        (&resolved["deviceId"], &resolved["decision"]),
        (&json!(device.id()), &json!("approved"))
    );
    let client = enter(&gateway, &device, &CHAT).await;
    assert_eq!(client.hello["auth"]["scopes"], json!(CHAT));
    assert_eq!(
        approved_twice(&mut operator, &request).await,
        "unknown_request"
    );
    let presence = operator
        .event_where("device.presence", |p| p["deviceId"] == device.id())
        .await;
    assert_eq!(presence["connected"], true);
    drop(client);
    let presence = operator
        .event_where("device.presence", |p| p["deviceId"] == device.id())
        .await;
    assert_eq!(presence["connected"], false);
}

async fn approved_twice(operator: &mut Client, request: &Value) -> String {
    let error = operator
        .request("device.pair.approve", request.clone())
        .await
        .unwrap_err();
    error["details"]["code"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_device_may_be_let_in_with_less_than_it_asks_for_and_does_not_ask_again() {
    let home = Home::new();
    let gateway = home.start();
    let (_, mut operator) = operator(&gateway).await;
    let device = Device::new(2);
    let asked = ask(&gateway, &device, &ALL).await;
    let narrowed = json!({ "requestId": asked["requestId"], "scopes": ["operator.read", "other"] });
    operator
        .request("device.pair.approve", narrowed)
        .await
        .unwrap();
    let mut client = enter(&gateway, &device, &ALL).await;
    assert_eq!(client.hello["auth"]["scopes"], json!(["operator.read"]));
    let send = json!({ "sessionKey": "main", "message": "hi", "idempotencyKey": "k" });
    let error = client.request("chat.send", send).await.unwrap_err();
    assert_eq!(error["details"]["missingScope"], "operator.write");
}

#[tokio::test]
async fn a_paired_device_that_wants_more_asks_for_that_and_keeps_what_it_has() {
    let home = Home::new();
    let gateway = home.start();
    let (_, mut operator) = operator(&gateway).await;
    let mut device = Device::new(2);
    pair(&gateway, &mut operator, &mut device, &CHAT).await;
    let asked = ask(&gateway, &device, &ALL).await;
    assert_eq!(asked["reason"], "scope-upgrade");
    operator
        .event_where("device.pair.requested", |row| row["isRepair"] == true)
        .await;
    enter(&gateway, &device, &CHAT).await;
    let request = json!({ "requestId": asked["requestId"], "scopes": ["operator.pairing"] });
    operator
        .request("device.pair.approve", request)
        .await
        .unwrap();
    let client = enter(&gateway, &device, &ALL).await;
    let scopes = json!(["operator.pairing", "operator.read", "operator.write"]);
    assert_eq!(client.hello["auth"]["scopes"], scopes);
    let node = |challenge: &Value| {
        let mut params = device.connect_params(challenge, &[], Some(&gateway.token()));
        params["role"] = json!("node");
        device.sign_connect(&mut params, 2);
        params
    };
    let error = refused(&gateway, &FAR, node).await;
    assert_eq!(error["details"]["reason"], "role-upgrade");
    let request = json!({ "requestId": error["details"]["requestId"] });
    operator
        .request("device.pair.approve", request)
        .await
        .unwrap();
    let mut client = let_in(&gateway, &FAR, node).await;
    assert_eq!(client.hello["auth"]["role"], "node");
    let error = client
        .request("chat.history", json!({ "sessionKey": "main" }))
        .await
        .unwrap_err();
    assert_eq!(error["message"], "unauthorized role: node");
}

#[tokio::test]
async fn a_device_that_is_turned_down_hears_it_and_may_ask_again() {
    let home = Home::new();
    let gateway = home.start();
    let (_, mut operator) = operator(&gateway).await;
    let device = Device::new(2);
    let asked = ask(&gateway, &device, &CHAT).await;
    assert_eq!(
        state_of(&gateway, asked["requestId"].as_str().unwrap()).await,
        "pending"
    );
    let request = json!({ "requestId": asked["requestId"] });
    let reject = operator.request("device.pair.reject", request);
    let (state, _, answer) = poll_while(&gateway, &asked, reject).await;
    assert_eq!(state, "rejected");
    let answer = answer.unwrap();
    assert_eq!(
        (&answer["ok"], &answer["replication"]),
        (&json!(true), &json!("replicated"))
    );
    assert_eq!(answer["deviceId"], device.id());
    let resolved = operator.event("device.pair.resolved").await;
    assert_eq!(resolved["decision"], "rejected");
    assert_eq!(state_of(&gateway, "no-such-request").await, "unknown");
    let again = ask(&gateway, &device, &CHAT).await;
    assert_ne!(again["requestId"], asked["requestId"]);
    let list = operator
        .request("device.pair.list", json!({}))
        .await
        .unwrap();
    assert_eq!(list["pending"].as_array().unwrap().len(), 1);
    assert_eq!(list["paired"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_request_that_the_device_itself_replaced_has_expired_and_was_not_turned_down() {
    let home = Home::new();
    let gateway = home.start();
    let device = Device::new(2);
    let asked = ask(&gateway, &device, &CHAT).await;
    let more = ask(&gateway, &device, &ALL);
    let (state, _, more) = poll_while(&gateway, &asked, more).await;
    assert_eq!(state, "expired");
    assert_ne!(more["requestId"], asked["requestId"]);
    let waiting = gateway.admin("GET", "devices").await;
    assert_eq!(waiting.body["pending"][0]["requestId"], more["requestId"]);
    assert_eq!(waiting.body["pending"].as_array().unwrap().len(), 1);
}
