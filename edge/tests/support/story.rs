//! What happens in the life of a gateway, and what must be the same in the next one.

use super::support::client::{ALL, CHAT, Client, Device};
use super::support::{Gateway, Home};
use serde_json::{Value, json};

/// What clients see of a log.
#[derive(Debug, PartialEq)]
pub struct Seen {
    main: Vec<Value>,
    work: Vec<Value>,
    devices: Value,
    config: Value,
}

/// A gateway with a past: two conversations with an interrupted and a stopped answer, a device
/// that was let in, one that waits, one that was turned out, and a changed configuration.
pub struct Story {
    /// The first device, which may do everything.
    pub operator: Device,
    /// What it saw last.
    pub seen: Seen,
    /// The last record, as `#seq hash`.
    pub head: String,
    /// The generation.
    pub epoch: u64,
}

/// Plays the story in an empty home up to the moment when everything is shipped.
pub async fn play(home: &Home) -> (Gateway, Story) {
    let mut gateway = home.start();
    let mut operator = Device::new(1);
    operator.redeem(&gateway).await;
    let mut client = operator.connect(&gateway, &ALL).await.unwrap();
    let end = client.chat("main", "echo first words", "r1").await;
    assert_eq!(end["state"], "final");

    begin(&mut client, "main", "essay", "r2").await;
    gateway.shipped().await;
    gateway.kill();
    gateway = home.start();
    client = operator.connect(&gateway, &ALL).await.unwrap();
    assert_eq!(client.history("main").await[3]["stopReason"], "interrupted");

    begin(&mut client, "work", "essay", "w1").await;
    let stopped = json!({ "sessionKey": "work", "runId": "w1" });
    let stopped = client.request("chat.abort", stopped).await.unwrap();
    assert_eq!(stopped["aborted"], true);
    assert_eq!(client.chat_end("w1").await["state"], "aborted");
    assert_eq!(
        client.chat("work", "echo 中文", "w2").await["state"],
        "final"
    );

    let request = knock(&Device::new(2), &gateway).await;
    let approved = client
        .request("device.pair.approve", json!({ "requestId": request }))
        .await;
    assert_eq!(approved.unwrap()["replication"], "replicated");
    knock(&Device::new(3), &gateway).await;
    let mut gone = Device::new(4);
    gone.redeem(&gateway).await;
    let gone = json!({ "deviceId": gone.id() });
    client.request("device.revoke", gone).await.unwrap();

    let base = client.request("config.get", json!({})).await.unwrap()["hash"].clone();
    let raw = json!({ "assistant": { "name": "Ada" }, "run": { "timeout_s": 120 } });
    let patch = json!({ "baseHash": base, "raw": raw.to_string() });
    client.request("config.patch", patch).await.unwrap();

    gateway.shipped().await;
    let seen = look(&mut client).await;
    let storage = client.request("storage.status", json!({})).await.unwrap();
    let head = format!(
        "#{} {}",
        storage["head"]["seq"],
        storage["head"]["hash"].as_str().unwrap()
    );
    let epoch = storage["epoch"].as_u64().unwrap();
    (
        gateway,
        Story {
            operator,
            seen,
            head,
            epoch,
        },
    )
}

/// Sends a message and waits until the answer begins to show.
pub async fn begin(client: &mut Client, key: &str, message: &str, run: &str) -> Value {
    let params = json!({ "sessionKey": key, "message": message, "idempotencyKey": run });
    client.request("chat.send", params).await.unwrap();
    client
        .event_where("chat", |p| p["runId"] == run && p["state"] == "delta")
        .await
}

/// What is there: both conversations, devices and configuration.
pub async fn look(client: &mut Client) -> Seen {
    let mut devices = client.request("device.pair.list", json!({})).await.unwrap();
    // Both say something about this moment, not about the log.
    devices.as_object_mut().unwrap().remove("shippedSeq");
    for device in devices["paired"].as_array_mut().unwrap() {
        device.as_object_mut().unwrap().remove("connected");
    }
    assert_eq!(devices["paired"].as_array().unwrap().len(), 2);
    assert_eq!(devices["pending"].as_array().unwrap().len(), 1);
    let config = client.request("config.get", json!({})).await.unwrap();
    assert_eq!(config["config"]["assistant"]["name"], "Ada");
    let (main, work) = (client.history("main").await, client.history("work").await);
    assert_eq!((main.len(), work.len()), (4, 4));
    Seen {
        main,
        work,
        devices,
        config,
    }
}

/// Asks to be let in as a browser does; the id of its request.
async fn knock(device: &Device, gateway: &Gateway) -> Value {
    let origin = gateway.url("");
    let mut client = Client::open(gateway, &[("origin", &origin)]).await;
    let challenge = client.event("connect.challenge").await;
    let params = device.connect_params(&challenge, &CHAT, Some(&gateway.token()));
    let refused = client.request("connect", params).await.unwrap_err();
    assert_eq!(refused["code"], "NOT_PAIRED");
    refused["details"]["requestId"].clone()
}
