//! What is particular to Telegram when receiving.

use std::time::Duration;

use moltbot_channels::telegram::Telegram;
use moltbot_channels::testing::{Fault, Person};
use moltbot_channels::{
    Channel as _, ChannelError, ChannelErrorKind, ChatKind, Inbound, InboundContent, InboundMessage,
};
use serde_json::json;

use super::{li, pair};

fn message(inbound: &Inbound) -> &InboundMessage {
    match &inbound.content {
        InboundContent::Message(message) => message,
        InboundContent::Ignored { reason } => panic!("ignored: {reason}"),
    }
}

#[tokio::test]
async fn a_bot_is_known_by_its_number() {
    let (_server, telegram) = pair().await;
    let account = telegram.identify().await.unwrap();
    assert_eq!(account.id.as_str(), "4242");
    assert_eq!(account.name, "Moltbot");
    assert_eq!(account.handle.as_deref(), Some("moltbot_test_bot"));
}

#[tokio::test]
async fn settings_that_cannot_be_used_are_named() {
    let error = Telegram::new(" ", None).unwrap_err().to_string();
    assert_eq!(error, "TELEGRAM_BOT_TOKEN cannot be used: it is empty");
    let url = "ftp://example.com".parse().unwrap();
    let error = Telegram::new("1:a", Some(url)).unwrap_err().to_string();
    assert!(
        error.starts_with("TELEGRAM_API_URL cannot be used"),
        "{error}"
    );
}

#[tokio::test]
async fn a_webhook_is_deleted_and_what_waited_for_it_comes() {
    let (server, telegram) = pair().await;
    server.set_webhook();
    server.say(&li(), "hi");
    let inbound = telegram.inbox(None).receive().await.unwrap();
    assert_eq!(message(&inbound[0]).text, "hi");
    assert!(server.calls().contains(&"deletewebhook".to_owned()));
}

#[tokio::test]
async fn two_who_receive_for_one_bot_are_told() {
    let (server, telegram) = pair().await;
    let mut inbox = telegram.inbox(None);
    let first = tokio::spawn(async move { inbox.receive().await });
    server
        .wait_until(|| server.calls().len() == 2)
        .await
        .unwrap();
    // The second takes over as soon as its request is there.
    let mut inbox = telegram.inbox(None);
    let second = tokio::spawn(async move { inbox.receive().await });
    let error = first.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ChannelErrorKind::Conflict);
    assert!(error.to_string().contains("another process"), "{error}");
    server.say(&li(), "hi");
    assert_eq!(second.await.unwrap().unwrap().len(), 1);
}

#[tokio::test]
async fn a_wait_ends_with_what_comes_while_it_lasts() {
    let (server, telegram) = pair().await;
    let mut inbox = telegram.inbox(None);
    let waiting = tokio::spawn(async move { inbox.receive().await });
    server
        .wait_until(|| server.calls().len() == 2)
        .await
        .unwrap();
    server.say(&li(), "hi");
    let inbound = waiting.await.unwrap().unwrap();
    assert_eq!(message(&inbound[0]).text, "hi");
}

#[tokio::test]
async fn failures_while_receiving_are_told_by_kind_and_lose_nothing() {
    let (server, telegram) = pair().await;
    let mut inbox = telegram.inbox(None);
    server.say(&li(), "hi");
    for fault in [
        Fault::CutBefore,
        Fault::CutAfter,
        Fault::Broken(502),
        Fault::Gateway(504),
    ] {
        server.fault("getUpdates", fault.clone());
        let error = inbox.receive().await.unwrap_err();
        assert_eq!(
            error.kind(),
            ChannelErrorKind::Transient {
                retry_after_ms: None
            },
            "{fault:?} {error}"
        );
        assert!(!format!("{error} {error:?}").contains("AA-very-secret"));
    }
    server.fault("getUpdates", Fault::Pause { secs: 3 });
    let error = inbox.receive().await.unwrap_err();
    assert!(
        matches!(
            error,
            ChannelError::Wait {
                retry_after_ms: 3_000,
                ..
            }
        ),
        "{error:?}"
    );
    server.fault("getUpdates", Fault::Delay(Duration::from_millis(1)));
    assert_eq!(inbox.receive().await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_telegram_sends_again_keeps_its_mark() {
    let (server, telegram) = pair().await;
    let mut inbox = telegram.inbox(None);
    let update = server.say(&li(), "hi");
    let first = inbox.receive().await.unwrap().remove(0);
    inbox.confirm(first.mark).await.unwrap();
    server.redeliver(update, 2);
    server.say(&li(), "you");
    for _ in 0..2 {
        let inbound = inbox.receive().await.unwrap();
        assert_eq!(inbound[0], first);
        assert_eq!(message(&inbound[1]).text, "you");
    }
    assert_eq!(inbox.receive().await.unwrap().len(), 1);
}

#[tokio::test]
async fn marks_go_on_rising_when_telegram_numbers_anew() {
    let (server, telegram) = pair().await;
    let mut inbox = telegram.inbox(None);
    server.say(&li(), "before");
    let before = inbox.receive().await.unwrap().remove(0);
    inbox.confirm(before.mark).await.unwrap();
    server.renumber(1_000);
    server.say(&li(), "after");
    let after = inbox.receive().await.unwrap().remove(0);
    assert_eq!(message(&after).text, "after");
    assert!(after.mark > before.mark);
    // Also for a process that begins here, and once it is confirmed.
    let again = telegram.inbox(Some(before.mark)).receive().await.unwrap();
    assert_eq!(again, std::slice::from_ref(&after));
    let fresh = telegram.inbox(None).receive().await.unwrap();
    assert_eq!(fresh[0].key, after.key);
    inbox.confirm(after.mark).await.unwrap();
    server.say(&li(), "later");
    let later = inbox.receive().await.unwrap();
    assert_eq!(message(&later[0]).text, "later");
    assert!(later[0].mark > after.mark);
    assert_eq!(server.pending().len(), 1);
}

#[tokio::test]
async fn in_a_group_the_bot_is_addressed_by_name_or_by_an_answer() {
    let (server, telegram) = pair().await;
    server.say_in_group(&li(), -100, Some(5), "hi all");
    server.say_in_group(&li(), -100, None, "hi @Moltbot_Test_Bot!");
    server.say_in_group(&li(), -100, None, "hi @moltbot_test_bot2");
    let reply = json!({
        "message_id": 1, "date": 1, "chat": {"id": 7, "type": "private", "first_name": "Li"},
        "from": {"id": 4242, "is_bot": true, "first_name": "Moltbot"}, "text": "x",
    });
    server.send(&li(), &json!({"text": "yes", "reply_to_message": reply}));
    let inbound = telegram.inbox(None).receive().await.unwrap();
    let seen: Vec<_> = inbound.iter().map(message).collect();
    let places: Vec<String> = seen.iter().map(|m| m.chat.to_string()).collect();
    assert_eq!(places, ["-100/5", "-100", "-100", "7"]);
    let addressed: Vec<bool> = seen.iter().map(|m| m.is_addressed).collect();
    assert_eq!(addressed, [false, true, false, true]);
    assert_eq!(seen[0].chat_kind, ChatKind::Group);
}

#[tokio::test]
async fn edits_channels_and_what_is_new_to_us_are_only_confirmed() {
    let (server, telegram) = pair().await;
    let from = json!({"id": 7, "is_bot": false, "first_name": "Li"});
    let chat = json!({"id": 7, "type": "private", "first_name": "Li"});
    let text = json!({"message_id": 1, "date": 1, "from": from, "chat": chat, "text": "x"});
    server.update(json!({"edited_message": text}));
    let channel = json!({"id": -9, "type": "channel", "title": "c"});
    server.update(
        json!({"channel_post": {"message_id": 1, "date": 1, "chat": channel, "text": "x"}}),
    );
    server.update(json!({"invented_tomorrow": {"a": 1}}));
    server.update(json!({"message": {"no": "message"}}));
    server.send(&li(), &json!({"new_chat_title": "x"}));
    let inbound = telegram.inbox(None).receive().await.unwrap();
    assert_eq!(inbound.len(), 5);
    for inbound in &inbound {
        assert!(
            matches!(inbound.content, InboundContent::Ignored { .. }),
            "{inbound:?}"
        );
    }
}

#[tokio::test]
async fn a_name_cannot_break_the_line_or_turn_what_follows() {
    let (server, telegram) = pair().await;
    server.say(&Person::new(8, "\u{202e}Ada\nLovelace "), "hi");
    let inbound = telegram.inbox(None).receive().await.unwrap();
    assert_eq!(message(&inbound[0]).sender.name, "AdaLovelace");
}
