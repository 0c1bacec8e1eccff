//! One-time links.

use super::support::client::{ALL, Device, now_ms};
use super::support::{Gateway, Home};
use serde_json::{Value, json};

#[tokio::test]
async fn a_one_time_link_lets_one_browser_in_once() {
    let home = Home::new();
    let gateway = home.start();
    let mut device = Device::new(1);
    let grant = issue(&gateway).await;
    let (status, reply) = redeem(&gateway, &device, &grant, &[]).await;
    assert_eq!(status, 200);
    assert_eq!(reply["deviceId"], device.id());
    let mut scopes = ALL.to_vec();
    scopes.sort_unstable();
    assert_eq!(reply["scopes"], json!(scopes));
    device.token = reply["deviceToken"].as_str().map(str::to_owned);
    device.connect(&gateway, &ALL).await.unwrap();
    for device in [Device::new(1), Device::new(2)] {
        let (status, reply) = redeem(&gateway, &device, &grant, &[]).await;
        assert_eq!((status, &reply["code"]), (403, &json!("grant_unknown")));
        assert!(
            reply["error"]
                .as_str()
                .unwrap()
                .contains("moltbot devices link")
        );
        assert!(reply.get("deviceToken").is_none());
    }
    let list = gateway.admin("GET", "devices").await;
    assert_eq!(list.body["paired"].as_array().unwrap().len(), 1);
    assert_eq!(list.body["paired"][0]["approvedBy"], "grant");
}

#[tokio::test]
async fn a_link_is_not_used_up_by_somebody_who_cannot_prove_a_key_or_comes_from_elsewhere() {
    let home = Home::new();
    let gateway = home.start();
    let device = Device::new(1);
    let grant = issue(&gateway).await;
    let spoilt: [fn(&mut Value); 5] = [
        |body| body["device"]["signature"] = json!("AAAA"),
        |body| body["device"]["id"] = json!(Device::new(2).id()),
        |body| body["device"]["publicKey"] = json!(Device::new(2).public_key()),
        |body| body["device"]["signedAt"] = json!(now_ms() - 11 * 60 * 1_000),
        |body| body["grant"] = json!(format!("{}0", body["grant"].as_str().unwrap())),
    ];
    for (n, spoil) in spoilt.iter().enumerate() {
        let mut body = asking(&device, &grant);
        spoil(&mut body);
        let answer = gateway
            .http("POST", "/pairing/grant", &[], body.to_string())
            .await;
        assert_eq!(
            (answer.status, &answer.body["code"]),
            (400, &json!("bad_device")),
            "{n}"
        );
    }
    for body in ["", "[]", "{}", r#"{"grant":7}"#] {
        let answer = gateway.http("POST", "/pairing/grant", &[], body).await;
        assert_eq!(
            (answer.status, &answer.body["code"]),
            (400, &json!("bad_request")),
            "{body}"
        );
    }
    let (status, _) = redeem(
        &gateway,
        &device,
        &grant,
        &[("origin", "http://evil.example")],
    )
    .await;
    assert_eq!(status, 403);
    let wrong = "0".repeat(grant.len());
    let (status, reply) = redeem(&gateway, &device, &wrong, &[]).await;
    assert_eq!((status, &reply["code"]), (403, &json!("grant_unknown")));
    assert_eq!(
        gateway.http("GET", "/pairing/grant", &[], "").await.body["state"],
        "unknown"
    );
    let (status, _) = redeem(&gateway, &device, &grant, &[]).await;
    assert_eq!(status, 200, "it still works for the one who can");
}

#[tokio::test]
async fn only_the_newest_sixteen_links_are_good() {
    let home = Home::new();
    let gateway = home.start();
    let oldest = issue(&gateway).await;
    let second = issue(&gateway).await;
    for _ in 0..15 {
        issue(&gateway).await;
    }
    let device = Device::new(1);
    assert_eq!(redeem(&gateway, &device, &oldest, &[]).await.0, 403);
    assert_eq!(redeem(&gateway, &device, &second, &[]).await.0, 200);
}

async fn issue(gateway: &Gateway) -> String {
    let answer = gateway.admin("POST", "grants").await;
    assert_eq!(answer.body["expiresInMs"], 600_000);
    let url = answer.body["url"].as_str().unwrap();
    let (base, grant) = url.split_once("/#grant=").unwrap();
    assert_eq!(base, gateway.url(""));
    grant.to_owned()
}

fn asking(device: &Device, grant: &str) -> Value {
    let at = now_ms();
    json!({
        "grant": grant,
        "device": {
            "id": device.id(),
            "publicKey": device.public_key(),
            "signature": device.sign(&format!("grant|{grant}|{}|{at}", device.id())),
            "signedAt": at,
        },
        "displayName": "Firefox",
        "platform": "Linux",
        "locale": "en",
        "userAgent": "test",
    })
}

async fn redeem(
    gateway: &Gateway,
    device: &Device,
    grant: &str,
    headers: &[(&str, &str)],
) -> (u16, Value) {
    let body = asking(device, grant).to_string();
    let answer = gateway.http("POST", "/pairing/grant", headers, body).await;
    (answer.status, answer.body)
}
