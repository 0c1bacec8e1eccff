//! Conversations with the provider's protocol in between, over a server that refuses what the
//! provider would refuse.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod support;

use moltbot_agent::testing::{AnthropicServer, Chunking, Fault, Plan, Reply, ScriptedAnswer};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use support::client::{ALL, Client, Device, text};
use support::{Gateway, Home, PATIENCE};

const KEY: &str = "sk-ant-test-0123456789abcdefghijklmnop";
const ANSWER: &str = "Gewiß: **one** log, 一条日志, and every word of it is kept.";

/// A gateway that asks the server, and a client of it.
struct Talk {
    server: AnthropicServer,
    gateway: Gateway,
    client: Client,
    _home: Home,
}

impl Talk {
    async fn with_key(key: &str, plan: Plan) -> Talk {
        let server = AnthropicServer::start(plan).await.unwrap();
        let home = Home::new()
            .with("ANTHROPIC_API_KEY", key)
            .with("ANTHROPIC_BASE_URL", server.url())
            .with("MOLTBOT_LOG", "debug");
        let gateway = home.start();
        let mut device = Device::new(1);
        device.redeem(&gateway).await;
        let client = device.connect(&gateway, &ALL).await.unwrap();
        assert_eq!(client.hello["moltbot"]["model"]["provider"], "anthropic");
        Talk {
            server,
            gateway,
            client,
            _home: home,
        }
    }

    async fn over(replies: Vec<Reply>) -> Talk {
        Talk::with_key(KEY, Plan::new(KEY, replies)).await
    }

    /// What was sent to the provider was right, and the key is nowhere but in its header.
    async fn assert_sound(mut self) {
        for request in self.server.requests() {
            assert_eq!(request.violations, Vec::<String>::new());
        }
        let history = self.client.history("main").await;
        for place in [self.gateway.log(), Value::from(history).to_string()] {
            assert!(
                !place.contains(KEY) && !place.contains("0123456789abcdef"),
                "{place}"
            );
        }
    }

    async fn last(&mut self) -> Value {
        self.client.history("main").await.pop().unwrap()
    }
}

fn answer(said: &str) -> ScriptedAnswer {
    ScriptedAnswer::new(said)
}

fn send(message: &str, run: &str) -> Value {
    json!({ "sessionKey": "main", "message": message, "idempotencyKey": run })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_in_pieces_of_one_byte_is_seen_growing_and_arrives_whole() {
    let slowly = answer(ANSWER)
        .chunked(Chunking::Bytes(1))
        .paced(Duration::from_micros(200));
    let mut talk = Talk::over(vec![Reply::Answer(slowly)]).await;
    talk.client
        .request("chat.send", send("hello", "r1"))
        .await
        .unwrap();
    let mut deltas = 0;
    let end = loop {
        let event = talk
            .client
            .event_where("chat", |p| p["runId"] == "r1")
            .await;
        if event["state"] != "delta" {
            break event;
        }
        assert!(ANSWER.starts_with(text(&event["message"])), "{event}");
        deltas += 1;
    };
    assert!(deltas > 0);
    assert_eq!(end["state"], "final");
    assert_eq!(text(&end["message"]), ANSWER);
    let last = talk.last().await;
    assert_eq!(text(&last), ANSWER);
    assert_eq!(
        last["usage"]["input"].as_u64(),
        Some(ScriptedAnswer::INPUT_TOKENS)
    );
    assert_eq!(last["provider"], "anthropic");
    talk.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_fails_keeps_what_was_said_and_can_be_tried_again() {
    for fault in [
        Fault::ErrorEvent("overloaded_error"),
        Fault::Cut,
        Fault::EndEarly,
    ] {
        let broken = answer("The first half").failing(fault);
        let replies = vec![Reply::Answer(broken), Reply::Answer(answer(ANSWER))];
        let mut talk = Talk::over(replies).await;
        let end = talk.client.chat("main", "hello", "r1").await;
        assert_eq!(end["state"], "error", "{fault:?}");
        is_a_plain_sentence(&end["errorMessage"]);
        let last = talk.last().await;
        assert_eq!(last["stopReason"], "error");
        assert_eq!(text(&last), "The first half");
        assert_eq!(last["errorMessage"], end["errorMessage"]);
        assert_eq!(
            talk.server.requests().len(),
            1,
            "half an answer was not tried again unasked"
        );

        let again = json!({ "sessionKey": "main", "runId": "r1", "idempotencyKey": "r2" });
        talk.client.request("chat.retry", again).await.unwrap();
        assert_eq!(talk.client.chat_end("r2").await["state"], "final");
        let history = talk.client.history("main").await;
        assert_eq!(
            history.iter().map(text).collect::<Vec<_>>(),
            ["hello", ANSWER]
        );
        talk.assert_sound().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_overload_before_the_first_word_is_waited_out() {
    let replies = vec![
        Reply::overloaded(),
        Reply::Close,
        Reply::Answer(answer(ANSWER)),
    ];
    let mut talk = Talk::over(replies).await;
    let end = talk.client.chat("main", "hello", "r1").await;
    assert_eq!(
        (end["state"].as_str(), text(&end["message"])),
        (Some("final"), ANSWER)
    );
    assert_eq!(talk.server.requests().len(), 3);
    assert_eq!(talk.client.history("main").await.len(), 2);
    talk.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_key_is_one_plain_sentence_without_the_key() {
    let wrong = "sk-ant-wrong-0123456789abcdefghijklmnop";
    let mut talk = Talk::with_key(wrong, Plan::answering(KEY, ANSWER)).await;
    let end = talk.client.chat("main", "hello", "r1").await;
    assert_eq!(end["state"], "error");
    assert_eq!(end["errorKind"], "model_auth");
    is_a_plain_sentence(&end["errorMessage"]);
    assert_eq!(
        talk.server.requests().len(),
        1,
        "a wrong key does not become right"
    );
    let last = talk.last().await;
    assert_eq!(last["errorCode"], "model_auth");
    let places = [end.to_string(), last.to_string(), talk.gateway.log()];
    assert!(
        places.iter().all(|place| !place.contains(wrong)),
        "{places:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abort_is_seen_before_it_is_answered_and_keeps_what_was_said() {
    let endless = answer("Once upon a time").failing(Fault::Hang);
    let replies = vec![Reply::Answer(endless), Reply::Answer(answer(ANSWER))];
    let mut talk = Talk::over(replies).await;
    talk.client
        .request("chat.send", send("a story", "r1"))
        .await
        .unwrap();
    let whole = |p: &Value| text(&p["message"]) == "Once upon a time";
    talk.client.event_where("chat", whole).await;
    let id = talk
        .client
        .post("chat.abort", json!({ "sessionKey": "main" }))
        .await;
    let mut aborted = false;
    let response = loop {
        let frame = talk.client.frame().await.unwrap();
        aborted |= frame["event"] == "chat" && frame["payload"]["state"] == "aborted";
        if frame["id"] == id {
            break frame;
        }
    };
    assert!(aborted, "the answer came before the event: {response}");
    assert_eq!(
        response["payload"],
        json!({ "ok": true, "aborted": true, "runIds": ["r1"] })
    );
    let last = talk.last().await;
    assert_eq!(
        (last["stopReason"].as_str(), text(&last)),
        (Some("aborted"), "Once upon a time")
    );
    assert_eq!(
        talk.client.chat("main", "go on", "r2").await["state"],
        "final"
    );
    let deadline = Instant::now() + PATIENCE;
    while talk.server.abandoned() == 0 {
        assert!(
            Instant::now() < deadline,
            "the provider is still being listened to"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    talk.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_sent_at_once_are_answered_one_after_the_other_each_knowing_the_one_before() {
    let replies = ["one", "two", "three"]
        .map(|said| Reply::Answer(answer(said)))
        .to_vec();
    let mut talk = Talk::over(replies).await;
    for run in ["r1", "r2", "r3"] {
        let message = send(&format!("question {run}"), run);
        talk.client.post("chat.send", message).await;
    }
    talk.client.chat_end("r3").await;
    let asked = talk.server.requests().pop().unwrap().body["messages"].clone();
    let said = |role: &str, text: &str| json!({ "role": role, "content": text });
    let expected = json!([
        said("user", "question r1"),
        said("assistant", "one"),
        said("user", "question r2"),
        said("assistant", "two"),
        said("user", "question r3"),
    ]);
    assert_eq!(asked, expected);
    talk.assert_sound().await;
}

/// One sentence for a person: no code, no JSON, no address.
fn is_a_plain_sentence(message: &Value) {
    let text = message.as_str().unwrap();
    assert!(
        text.starts_with(char::is_uppercase) && text.ends_with('.'),
        "{text}"
    );
    assert!(
        !text.contains(['{', '\n']) && !text.contains("://"),
        "{text}"
    );
    assert!(text.len() < 200, "{text}");
}
