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

use moltbot_channels::telegram::Telegram;
use moltbot_channels::testing::emulator::Emulator;
use moltbot_channels::{Channel, Chat, ChatKind, InboundContent, InboundMessage, Inbox};

const TOKEN: &str = "4242:AA-emulated";

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
    let Some(emulator) = Emulator::start_or_skip(TOKEN) else {
        return;
    };
    let telegram = Telegram::new(TOKEN, Some(emulator.url())).unwrap();
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
