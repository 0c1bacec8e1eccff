//! Requests, responses and events, sound and broken.

use super::operator;
use super::support::client::{ALL, Client, Device};
use super::support::connect::command_line;
use super::support::{Gateway, Home};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

/// The frame limit before the handshake, and after it.
const FRAME_BYTES_MAX: [usize; 2] = [64 * 1024, 512 * 1024];

#[tokio::test]
async fn the_first_frame_is_a_connect_request_or_the_socket_closes() {
    let home = Home::new();
    let gateway = home.start();
    for text in [
        "hello",
        "[]",
        "{}",
        r#"{"type":"event","id":"1","method":"connect"}"#,
    ] {
        let mut client = challenged(&gateway).await;
        client.send_text(text).await;
        assert_eq!(client.frame().await, None, "no answer to {text}");
        assert_eq!(
            client.closed,
            Some((1008, "invalid request frame".to_owned())),
            "{text}"
        );
    }
    let mut client = challenged(&gateway).await;
    let error = client.request("health", json!({})).await.unwrap_err();
    let words = "invalid handshake: first request must be connect";
    assert_eq!(
        (&error["code"], &error["message"]),
        (&json!("INVALID_REQUEST"), &json!(words))
    );
    assert_eq!(client.wait_closed().await, (1008, words.to_owned()));
    let mut client = challenged(&gateway).await;
    client.send_message(Message::binary(vec![1, 2, 3])).await;
    assert_eq!(client.frame().await, None);
    assert_eq!(client.wait_closed().await.0, 1003);
    let mut client = challenged(&gateway).await;
    let error = client
        .request("connect", json!({ "minProtocol": 3 }))
        .await
        .unwrap_err();
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .starts_with("invalid connect params: "),
        "{error}"
    );
    assert_eq!(client.wait_closed().await.0, 1008);
}

#[tokio::test]
async fn broken_frames_after_the_handshake_are_answered_and_the_socket_stays_open() {
    let home = Home::new();
    let gateway = home.start();
    let mut client = operator(&gateway).await;
    let broken = [
        ("{", "invalid"),
        ("[1,2]", "invalid"),
        ("\"text\"", "invalid"),
        (r#"{"type":"req","id":"","method":"health"}"#, "invalid"),
        (r#"{"type":"req","id":7,"method":"health"}"#, "invalid"),
        (r#"{"type":"res","id":"a","method":"health"}"#, "a"),
        (r#"{"type":"req","id":"b"}"#, "b"),
        (
            r#"{"type":"req","id":"c","method":"health","params":[1]}"#,
            "c",
        ),
    ];
    for (text, id) in broken {
        client.send_text(text).await;
        let error = client.answer(id).await.unwrap_err();
        assert_eq!(error["code"], "INVALID_REQUEST", "{text}");
        let words = error["message"].as_str().unwrap();
        assert!(
            words.starts_with("invalid request frame: "),
            "{text}: {words}"
        );
    }
    assert_eq!(
        client.request("health", json!({})).await.unwrap()["ok"],
        true
    );
    client
        .send_text(r#"{"type":"req","id":"d","method":"health"}"#)
        .await;
    assert_eq!(
        client.answer("d").await.unwrap()["ok"],
        true,
        "params may be left out"
    );
    client.send_message(Message::binary(vec![1])).await;
    assert_eq!(client.wait_closed().await.0, 1003);
}

#[tokio::test]
async fn wrong_requests_are_refused_in_the_words_clients_know() {
    let home = Home::new();
    let gateway = home.start();
    let mut client = operator(&gateway).await;
    let again = command_line(&ALL, Some(&gateway.token()));
    let send = |params| ("chat.send", params);
    let table = [
        (
            ("connect", again),
            "connect is only valid as the first request",
        ),
        (("no.such", json!({})), "unknown method: no.such"),
        (
            send(json!({})),
            "invalid chat.send params: must have required property 'sessionKey'",
        ),
        (
            send(json!({ "sessionKey": "main" })),
            "invalid chat.send params: must have required property 'message'",
        ),
        (
            send(json!({ "sessionKey": "main", "message": "x" })),
            "invalid chat.send params: must have required property 'idempotencyKey'",
        ),
        (
            send(json!({ "sessionKey": "main", "message": 7, "idempotencyKey": "k" })),
            "invalid chat.send params: property 'message' must be string",
        ),
        (
            send(json!({ "sessionKey": "main", "message": "x", "idempotencyKey": "" })),
            "invalid chat.send params: property 'idempotencyKey' must NOT have fewer than 1 characters",
        ),
        (
            (
                "chat.history",
                json!({ "sessionKey": "main", "limit": "all" }),
            ),
            "invalid chat.history params: property 'limit' must be integer",
        ),
        (
            ("device.pair.approve", json!({})),
            "invalid device.pair.approve params: must have required property 'requestId'",
        ),
        (
            ("log.subscribe", json!({ "from": 3 })),
            "invalid log.subscribe params: property 'from' must be {seq, hash}",
        ),
    ];
    for ((method, params), words) in table {
        let error = client.request(method, params).await.unwrap_err();
        assert_eq!(
            (&error["code"], &error["message"]),
            (&json!("INVALID_REQUEST"), &json!(words))
        );
    }
}

#[tokio::test]
async fn frames_have_no_other_top_level_keys_and_events_are_numbered_without_a_gap() {
    let home = Home::new();
    let gateway = home.start();
    let mut device = Device::new(1);
    device.redeem(&gateway).await;
    let mut client = challenged(&gateway).await;
    let mut other = device.connect(&gateway, &ALL).await.unwrap();
    // The other one's events do not count on this connection.
    other.chat("main", "echo before", "r0").await;
    client
        .request("connect", command_line(&ALL, Some(&gateway.token())))
        .await
        .unwrap();
    client.post("log.subscribe", json!({})).await;
    client.post("no.such", json!({})).await;
    let send =
        json!({ "sessionKey": "main", "message": "echo one two three", "idempotencyKey": "r1" });
    client.post("chat.send", send).await;
    // It comes and goes: events that only some may hear leave no gap either.
    drop(other);
    let (mut seq, mut names) = (0, std::collections::BTreeSet::new());
    let (mut chat_ended, mut end_logged) = (false, false);
    while !(chat_ended && end_logged) {
        let frame = client.frame().await.unwrap();
        let keys: Vec<&str> = frame
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        if frame["type"] == "event" {
            seq += 1;
            assert_eq!(frame["seq"], seq, "{frame}");
            assert_eq!(keys, ["event", "payload", "seq", "type"]);
            names.insert(frame["event"].as_str().unwrap().to_owned());
            chat_ended |= frame["event"] == "chat" && frame["payload"]["state"] == "final";
            let rows = frame["payload"]["records"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            end_logged |= rows.iter().any(|row| row["kind"] == "run_completed");
        } else if frame["ok"] == true {
            assert_eq!(keys, ["id", "ok", "payload", "type"]);
        } else {
            assert_eq!(keys, ["error", "id", "ok", "type"]);
        }
    }
    for name in ["agent", "chat", "log"] {
        assert!(names.contains(name), "{name} is missing in {names:?}");
    }
}

#[tokio::test]
async fn a_frame_that_is_too_large_closes_the_socket_with_1009() {
    let home = Home::new();
    let gateway = home.start();
    let [before, after] = FRAME_BYTES_MAX;
    let mut client = challenged(&gateway).await;
    client
        .send_message(Message::text(padded("connect", before + 1)))
        .await;
    assert_eq!(client.wait_closed().await.0, 1009);
    let mut client = operator(&gateway).await;
    client
        .send_message(Message::text(padded("no.such", after)))
        .await;
    let error = client.answer("big").await.unwrap_err();
    assert_eq!(
        error["message"], "unknown method: no.such",
        "a frame of the limit is read"
    );
    client
        .send_message(Message::text(padded("no.such", after + 1)))
        .await;
    assert_eq!(client.wait_closed().await.0, 1009);
    let mut client = challenged(&gateway).await;
    client
        .send_message(Message::text(padded("connect", 8 * after)))
        .await;
    assert_eq!(
        client.wait_closed().await.0,
        1009,
        "also before the handshake"
    );
    assert_eq!(operator(&gateway).await.hello["type"], "hello-ok");
}

/// A socket that has its challenge, which carries no number.
async fn challenged(gateway: &Gateway) -> Client {
    let mut client = Client::open(gateway, &[]).await;
    let frame = client.frame().await.unwrap();
    assert_eq!(frame["event"], "connect.challenge");
    assert!(frame.get("seq").is_none());
    assert!(!frame["payload"]["nonce"].as_str().unwrap().is_empty());
    assert!(frame["payload"]["ts"].as_i64().unwrap() > 0);
    client
}

/// A request of exactly this many bytes.
fn padded(method: &str, bytes: usize) -> String {
    let frame = |fill: &str| -> String {
        let params: Value = json!({ "fill": fill });
        json!({ "type": "req", "id": "big", "method": method, "params": params }).to_string()
    };
    let text = frame(&"x".repeat(bytes - frame("").len()));
    assert_eq!(text.len(), bytes);
    text
}
