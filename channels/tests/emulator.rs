//! The Telegram channel against `telegram-test-api`, an emulator that others wrote: what we
//! believe of the Bot API is not only what our own server believes.
//!
//! The emulator is an npm package of its own (`tests/telegram-test-api`); without Node.js, or where
//! it cannot be installed, the test says so and is skipped, but not in CI.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test fails by panicking and says when it is skipped"
)]

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use moltbot_channels::telegram::Telegram;
use moltbot_channels::{Channel, Chat, ChatKind, InboundContent, InboundMessage, Inbox};
use serde_json::{Value, json};
use telegram_http::Client;

const TOKEN: &str = "4242:AA-emulated";

/// The emulator; it ends with this value.
struct Emulator {
    url: String,
    process: Child,
    client: Client,
}

impl Emulator {
    /// `Err` says why there is none.
    fn start() -> Result<Emulator, String> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/telegram-test-api");
        if !folder.join("node_modules").is_dir() {
            let install = ["ci", "--no-audit", "--no-fund", "--ignore-scripts"];
            let npm = Command::new("npm")
                .args(install)
                .current_dir(&folder)
                .output();
            let output = npm.map_err(|error| format!("npm: {error}"))?;
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr);
                return Err(format!("npm ci: {said}"));
            }
        }
        let mut process = Command::new("node")
            .arg("start.js")
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("node: {error}"))?;
        let mut url = String::new();
        let stdout = process.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut url).unwrap();
        let url = url.trim().to_owned();
        let client = Client::new();
        Ok(Emulator {
            url,
            process,
            client,
        })
    }

    async fn ask(&self, path: &str, body: &Value) -> Value {
        let request = self.client.post(format!("{}/{path}", self.url)).json(body);
        request.send().await.unwrap().json().await.unwrap()
    }

    /// The person with this id writes to the bot directly.
    async fn say(&self, person: i64, text: &str) {
        let from = json!({"id": person, "first_name": "Li", "username": "li", "is_bot": false});
        let chat = json!({"id": person, "first_name": "Li", "type": "private"});
        let date = 1_700_000_000;
        let message =
            json!({"botToken": TOKEN, "from": from, "chat": chat, "date": date, "text": text});
        self.ask("sendMessage", &message).await;
    }

    /// What the bot's messages say now, with their parameters.
    async fn shown(&self) -> Vec<Value> {
        let history = self
            .ask("getUpdatesHistory", &json!({"token": TOKEN}))
            .await;
        let history = history["result"].as_array().unwrap().clone();
        let messages = history.into_iter().map(|update| update["message"].clone());
        messages
            .filter(|message| message["chat_id"].is_i64())
            .collect()
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn receive(inbox: &mut Box<dyn Inbox>) -> InboundMessage {
    // The emulator does not wait for what comes.
    for _ in 0..20 {
        for inbound in inbox.receive().await.unwrap() {
            inbox.confirm(inbound.mark).await.unwrap();
            if let InboundContent::Message(message) = inbound.content {
                return *message;
            }
        }
    }
    panic!("nothing came");
}

#[tokio::test]
async fn a_conversation_through_an_independent_emulator() {
    let emulator = match Emulator::start() {
        Ok(emulator) => emulator,
        Err(why) => {
            assert!(
                std::env::var_os("CI").is_none(),
                "CI needs the emulator: {why}"
            );
            println!("skipped, there is no emulator: {why}");
            return;
        }
    };
    let telegram = Telegram::new(TOKEN, Some(emulator.url.parse().unwrap())).unwrap();
    let account = telegram.identify().await.unwrap();
    assert_eq!(account.handle.as_deref(), Some("TestNameBot"));

    let mut inbox = telegram.inbox(None);
    emulator.say(7, "hello").await;
    let message = receive(&mut inbox).await;
    assert_eq!(message.text, "hello");
    assert_eq!(message.sender.id.as_str(), "7");
    assert_eq!(message.chat, Chat::parse("7").unwrap());
    assert_eq!(message.chat_kind, ChatKind::Direct);

    let piece = telegram.render("**a** < b").remove(0);
    let posted = telegram
        .post(&message.chat, &piece, Some(&message.message))
        .await;
    let id = posted.unwrap();
    let shown = emulator.shown().await;
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0]["text"], "<b>a</b> &lt; b");
    assert_eq!(shown[0]["parse_mode"], "HTML");
    assert_eq!(
        shown[0]["reply_parameters"]["message_id"].to_string(),
        message.message.0
    );

    let piece = telegram.render("`c`").remove(0);
    telegram.edit(&message.chat, &id, &piece).await.unwrap();
    let shown = emulator.shown().await;
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0]["text"], "<code>c</code>");

    emulator.say(7, "bye").await;
    assert_eq!(receive(&mut inbox).await.text, "bye");
}
