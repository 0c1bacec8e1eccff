//! Conversations on Telegram through the real binary, against a strict local Bot API server.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[cfg(feature = "ui")]
#[path = "telegram/browser.rs"]
mod browser;
#[path = "telegram/restarts.rs"]
mod restarts;
mod support;

use moltbot_channels::testing::telegram::{Fault, Person, Sent, TelegramServer};
use serde_json::{Value, json};
use support::client::{ALL, Client, Device};
use support::{Gateway, Home};

/// As long as Telegram's, with the account's id in front.
const TOKEN: &str = "4242:AAEhBOweik6ad9r_QXMENQjcrGbqCr4K-aa";

/// A bot on a local Telegram, the gateway it belongs to, and the operator's device.
struct Story {
    telegram: TelegramServer,
    home: Home,
    gateway: Gateway,
    device: Device,
    operator: Client,
}

impl Story {
    async fn begin(policy: &str) -> Story {
        let telegram = TelegramServer::start(TOKEN).await.unwrap();
        let home = Home::new()
            .with("TELEGRAM_BOT_TOKEN", TOKEN)
            .with("TELEGRAM_API_URL", telegram.url().as_str())
            .with("TELEGRAM_DM_POLICY", policy);
        let gateway = home.start();
        let mut device = Device::new(1);
        device.redeem(&gateway).await;
        let operator = device.connect(&gateway, &ALL).await.unwrap();
        Story {
            telegram,
            home,
            gateway,
            device,
            operator,
        }
    }

    /// Starts the gateway again after its end.
    async fn start_again(&mut self) {
        self.gateway = self.home.start();
        self.operator = self.device.connect(&self.gateway, &ALL).await.unwrap();
    }

    async fn kill_and_start(&mut self) {
        self.gateway.kill();
        self.start_again().await;
    }

    /// Waits until the bot has sent so many messages.
    async fn sent(&self, count: usize) -> Vec<Sent> {
        let sent = self.telegram.wait_for(|sent| sent.len() >= count).await;
        sent.unwrap_or_else(|error| panic!("{error}\n{}", self.gateway.log()))
    }

    /// Waits until the last message of the bot reads like this.
    async fn reads(&self, text: &str) -> Vec<Sent> {
        let reads = |sent: &[Sent]| sent.last().is_some_and(|sent| sent.text() == text);
        let sent = self.telegram.wait_for(reads).await;
        sent.unwrap_or_else(|error| panic!("{error}\n{}", self.gateway.log()))
    }

    async fn list(&mut self, method: &str, rows: &str) -> Vec<Value> {
        let answer = self.operator.request(method, json!({})).await.unwrap();
        answer[rows].as_array().unwrap().clone()
    }

    /// Waits until replies without an outcome are as wanted.
    async fn deliveries(&mut self, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let deadline = std::time::Instant::now() + support::PATIENCE;
        loop {
            let rows = self.list("delivery.list", "deliveries").await;
            if wanted(&rows) {
                return rows;
            }
            assert!(
                std::time::Instant::now() < deadline,
                "{rows:?}\n{}",
                self.gateway.log()
            );
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// Waits until nothing is on its way, then ends: nothing improper was ever asked of Telegram.
    async fn end(mut self) {
        self.deliveries(<[Value]>::is_empty).await;
        assert_eq!(self.telegram.violations(), Vec::<String>::new());
    }
}

fn li() -> Person {
    Person::new(7, "Li")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_gets_a_code_is_let_in_and_gets_an_answer() {
    let mut story = Story::begin("pairing").await;
    story.telegram.say(&li(), "May I?");
    let asked = story.operator.event("peer.pair.requested").await;
    assert_eq!(asked["name"], "Li");
    assert_eq!(asked["message"], "May I?");
    let code = asked["code"].as_str().unwrap().to_owned();
    let sent = story.sent(1).await;
    assert!(sent[0].text().contains(&code), "{sent:?}");
    assert_eq!(sent[0].chat, 7);
    // He is told once, whatever he writes until somebody answers.
    let again = story.telegram.say(&li(), "Hello?");
    let heard = story
        .telegram
        .wait_until(|| !story.telegram.pending().contains(&again));
    heard.await.unwrap();
    let answer = story
        .operator
        .request("peer.approve", json!({ "code": code.to_lowercase() }))
        .await
        .unwrap();
    assert_eq!(answer["peerId"], "telegram:7");
    let sent = story.sent(2).await;
    assert!(sent[1].text().contains("You can talk to me"), "{sent:?}");
    story.telegram.say(&li(), "echo **bold** & <b>");
    let sent = story.reads("bold & <b>").await;
    assert_eq!(sent.len(), 3, "{sent:?}");
    let html = sent[2].versions.last().unwrap().html.as_deref();
    assert_eq!(html, Some("<b>bold</b> &amp; &lt;b&gt;"));
    assert!(story.telegram.typing().contains(&7));
    let key = "agent:main:telegram:dm:7";
    let history = story.operator.history(key).await;
    assert_eq!(history.len(), 2, "{history:?}");
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_himself_goes_on_with_the_main_conversation() {
    let mut story = Story::begin("pairing").await;
    story.telegram.say(&li(), "It is me");
    let asked = story.operator.event("peer.pair.requested").await;
    let params = json!({ "peerId": asked["peerId"], "isOperator": true });
    story
        .operator
        .request("peer.approve", params)
        .await
        .unwrap();
    story.sent(2).await;
    story.telegram.say(&li(), "echo from my phone");
    story.reads("from my phone").await;
    let history = story.operator.history("main").await;
    assert_eq!(support::client::text(&history[0]), "echo from my phone");
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_answer_is_shown_while_it_is_written_and_stays_one_message() {
    let story = Story::begin("open").await;
    let words: Vec<String> = (0..150).map(|n| format!("word{n}")).collect();
    let said = words.join(" ");
    story.telegram.say(&li(), &format!("echo {said}"));
    let sent = story.reads(&said).await;
    assert_eq!(sent.len(), 1);
    assert!(sent[0].versions.len() > 2, "{:?}", sent[0].versions.len());
    for (earlier, later) in sent[0].versions.iter().zip(sent[0].versions.iter().skip(1)) {
        assert!(later.text.len() > earlier.text.len(), "it only grows");
    }
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_fit_one_message_becomes_several_in_order() {
    let story = Story::begin("open").await;
    // One word of one chunk, so that the demo model does not take all day.
    let said = "y".repeat(4090);
    story.telegram.say(&li(), &format!("echo {said}"));
    story.reads(&said).await;
    let code = "z".repeat(2300);
    story
        .telegram
        .say(&li(), &format!("echo `{code}`\n\n`{code}`"));
    let sent = story.sent(3).await;
    assert_eq!(sent.len(), 3);
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_with_too_many_messages_waits_and_the_others_do_not() {
    let story = Story::begin("open").await;
    for n in 0..12 {
        let words = "word ".repeat(20);
        story.telegram.say(&li(), &format!("echo {words}{n}"));
    }
    let bo = Person::new(8, "Bo");
    story.telegram.say(&bo, "echo quick");
    let of = |sent: &[Sent], chat| sent.iter().filter(|sent| sent.chat == chat).count();
    let is_answered = |sent: &[Sent]| sent.iter().any(|sent| sent.text() == "quick");
    let sent = story.telegram.wait_for(is_answered).await.unwrap();
    assert!(of(&sent, 7) < 12, "{sent:?}");
    let all = story.telegram.wait_for(|sent| of(sent, 7) == 12).await;
    let last = all.unwrap().into_iter().rfind(|sent| sent.chat == 7);
    assert!(last.is_some());
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_that_telegram_asks_for_is_kept() {
    let story = Story::begin("open").await;
    story
        .telegram
        .fault("sendMessage", Fault::Pause { secs: 1 });
    story.telegram.say(&li(), "echo patience");
    story.reads("patience").await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_ends_the_delivery_with_the_reason_of_the_platform() {
    let story = Story::begin("open").await;
    story.telegram.say(&li(), "echo one");
    story.reads("one").await;
    story.telegram.block(&li());
    let mut watcher = story.device.connect(&story.gateway, &ALL).await.unwrap();
    story.telegram.say(&li(), "echo two");
    watcher
        .event_where("delivery.changed", |changed| changed["status"] == "failed")
        .await;
    let failed = restarts::records(&story, "delivery_failed").await;
    assert_eq!(failed[0]["data"]["code"], "blocked", "{failed:?}");
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_new_gets_in_where_only_a_list_may() {
    let mut story = Story::begin("allowlist").await;
    story.telegram.say(&li(), "May I?");
    let heard = story
        .telegram
        .wait_until(|| story.telegram.pending().is_empty());
    heard.await.unwrap();
    assert!(story.list("peer.list", "pending").await.is_empty());
    assert!(story.telegram.sent().is_empty());
    story.gateway.kill();
    story.home = story.home.with("TELEGRAM_DM_ALLOW_FROM", "7, 8");
    story.start_again().await;
    story.telegram.say(&li(), "echo now");
    story.reads("now").await;
    story.end().await;
}
