//! Talking to the assistant over the gateway protocol, through the real binary.

mod support;

use serde_json::json;
use support::Home;
use support::client::{ALL, Device, text};

#[tokio::test]
async fn a_paired_device_chats_with_the_demo_model_and_finds_it_in_the_history() {
    let home = Home::new();
    let gateway = home.start();
    let mut device = Device::new(1);
    device.redeem(&gateway).await;
    let mut client = device.connect(&gateway, &ALL).await.unwrap();
    let params =
        json!({ "sessionKey": "main", "message": "echo hello world", "idempotencyKey": "r1" });
    let started = client.request("chat.send", params.clone()).await.unwrap();
    assert_eq!(started["status"], "started");
    let end = client.chat_end("r1").await;
    assert_eq!(end["state"], "final");
    assert_eq!(end["sessionKey"], "main");
    assert!(text(&end["message"]).contains("hello world"));
    let history = client.history("main").await;
    assert_eq!(history.len(), 2);
    assert_eq!(text(&history[0]), "echo hello world");
    assert_eq!(text(&history[1]), text(&end["message"]));
    let again = client.request("chat.send", params).await.unwrap();
    assert_eq!(again["status"], "ok");
    assert_eq!(client.history("main").await.len(), 2);
    let other = json!({ "sessionKey": "main", "message": "other", "idempotencyKey": "r1" });
    let conflict = client.request("chat.send", other).await.unwrap_err();
    assert_eq!(conflict["details"]["code"], "idempotency_conflict");
}
