//! What the gateway relies on when it receives.

use std::collections::BTreeSet;

use super::{Platform, assert_clean, message, receive, receive_all, texts};
use crate::channel::{ChatKind, InboundContent, Mark};
use crate::error::ChannelErrorKind;

pub(super) async fn run<P: Platform>(start: &impl AsyncFn() -> P) {
    an_account_has_an_immutable_id(start().await).await;
    a_wrong_token_is_told_without_showing_it(start().await).await;
    a_message_says_who_wrote_what_where(start().await).await;
    what_was_received_comes_again_until_it_is_confirmed(start().await).await;
    an_error_confirms_nothing(start().await).await;
    messages_keep_their_order(start().await).await;
    a_dropped_wait_loses_nothing(start().await).await;
    a_restart_goes_on_from_the_recorded_mark(start().await).await;
    marks_and_keys_are_the_same_after_a_restart(start().await).await;
    what_nobody_answers_can_be_confirmed(start().await).await;
}

async fn an_account_has_an_immutable_id(platform: impl Platform) {
    let channel = platform.channel();
    let account = channel.identify().await.expect("the bot is known");
    assert_eq!(channel.identify().await.as_ref(), Ok(&account));
    assert_safe_id(account.id.as_str());
    assert!(!account.name.is_empty());
}

async fn a_wrong_token_is_told_without_showing_it(platform: impl Platform) {
    let stranger = platform.stranger();
    let error = stranger.identify().await.expect_err("a stranger");
    assert_eq!(error.kind(), ChannelErrorKind::Invalid);
    assert!(error.to_string().contains("_TOKEN"), "{error}");
    let error = stranger
        .inbox(None)
        .receive()
        .await
        .expect_err("a stranger");
    assert_eq!(error.kind(), ChannelErrorKind::Invalid);

    let away = platform.unreachable().identify().await.expect_err("away");
    assert!(matches!(away.kind(), ChannelErrorKind::Transient { .. }));
    assert_clean(&away, &platform.token());
    let printed = format!(
        "{:?} {:?}",
        platform.channel(),
        platform.channel().inbox(None)
    );
    assert!(!printed.contains(&platform.token()), "{printed}");
}

async fn a_message_says_who_wrote_what_where(platform: impl Platform) {
    let channel = platform.channel();
    let account = channel.identify().await.expect("the bot is known");
    platform.say(1, "hello");
    platform.say(2, "你好");
    let inbound = receive_all(&mut channel.inbox(None), 2).await;
    let (first, second) = (message(&inbound[0]), message(&inbound[1]));
    assert_eq!(
        (first.text.as_str(), second.text.as_str()),
        ("hello", "你好")
    );
    assert_eq!(first.account, account.id);
    assert_eq!(first.chat, platform.chat(1));
    assert_eq!(second.chat, platform.chat(2));
    assert_eq!(first.chat_kind, ChatKind::Direct);
    assert!(first.is_addressed);
    assert_ne!(first.sender.id, second.sender.id);
    assert_safe_id(first.sender.id.as_str());
    assert!(!first.sender.name.is_empty());
    assert!(
        first.at_ms > 1_000_000_000_000,
        "milliseconds: {}",
        first.at_ms
    );
}

async fn what_was_received_comes_again_until_it_is_confirmed(platform: impl Platform) {
    let mut inbox = platform.channel().inbox(None);
    platform.say(1, "a");
    platform.say(1, "b");
    let first = receive_all(&mut inbox, 2).await;
    let again = receive_all(&mut inbox, 2).await;
    assert_eq!(first, again);
    assert_eq!(platform.pending(), 2, "confirmed early");

    inbox.confirm(first[0].mark).await.expect("confirmed");
    assert_eq!(texts(&receive(&mut inbox).await), ["b"]);
    assert_eq!(platform.pending(), 1);
    // Going back is ignored.
    inbox.confirm(Mark(0)).await.expect("ignored");
    assert_eq!(texts(&receive(&mut inbox).await), ["b"]);

    inbox.confirm(first[1].mark).await.expect("confirmed");
    platform.say(1, "c");
    assert_eq!(texts(&receive(&mut inbox).await), ["c"]);
    assert_eq!(platform.pending(), 1);
}

async fn an_error_confirms_nothing(platform: impl Platform) {
    platform.say(1, "a");
    let mut away = platform.unreachable().inbox(None);
    let error = away.receive().await.expect_err("away");
    assert!(matches!(error.kind(), ChannelErrorKind::Transient { .. }));
    assert_clean(&error, &platform.token());
    assert_eq!(
        texts(&receive(&mut platform.channel().inbox(None)).await),
        ["a"]
    );
}

async fn messages_keep_their_order(platform: impl Platform) {
    let expected: Vec<String> = (0..20).map(|n| format!("m{n}")).collect();
    for (n, text) in (1_u8..).zip(&expected) {
        platform.say(1 + n % 2, text);
    }
    let inbound = receive_all(&mut platform.channel().inbox(None), expected.len()).await;
    assert_eq!(texts(&inbound), expected);
    assert!(inbound.windows(2).all(|pair| pair[0].mark < pair[1].mark));
    let keys: BTreeSet<&str> = inbound.iter().map(|one| one.key.as_str()).collect();
    assert_eq!(keys.len(), expected.len(), "a key for each");
    keys.into_iter().for_each(assert_safe_id);
}

async fn a_dropped_wait_loses_nothing(platform: impl Platform) {
    let mut inbox = platform.channel().inbox(None);
    for text in ["a", "b"] {
        // Begun and left, before and while something comes.
        tokio::select! {
            biased;
            _ = inbox.receive() => {}
            () = tokio::task::yield_now() => {}
        }
        platform.say(1, text);
    }
    assert_eq!(texts(&receive_all(&mut inbox, 2).await), ["a", "b"]);
}

async fn a_restart_goes_on_from_the_recorded_mark(platform: impl Platform) {
    for text in ["a", "b", "c"] {
        platform.say(1, text);
    }
    let before = receive_all(&mut platform.channel().inbox(None), 3).await;
    let mut inbox = platform.channel().inbox(Some(before[1].mark));
    assert_eq!(receive(&mut inbox).await, before[2..]);
}

async fn marks_and_keys_are_the_same_after_a_restart(platform: impl Platform) {
    platform.say(1, "a");
    let before = receive_all(&mut platform.channel().inbox(None), 1).await;
    let after = receive_all(&mut platform.channel().inbox(None), 1).await;
    assert_eq!(before, after);
}

async fn what_nobody_answers_can_be_confirmed(platform: impl Platform) {
    let mut inbox = platform.channel().inbox(None);
    platform.make_noise();
    let noise = receive_all(&mut inbox, 1).await;
    assert!(matches!(noise[0].content, InboundContent::Ignored { .. }));
    inbox.confirm(noise[0].mark).await.expect("confirmed");
    platform.say(1, "a");
    assert_eq!(texts(&receive(&mut inbox).await), ["a"]);
    assert_eq!(platform.pending(), 1);
}

/// Ids go into recorded names.
fn assert_safe_id(id: &str) {
    let is_safe = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    assert!(!id.is_empty() && id.chars().all(is_safe), "{id}");
}
