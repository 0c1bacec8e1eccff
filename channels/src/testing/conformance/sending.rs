//! What the gateway relies on when it sends.

use std::sync::Arc;
use std::time::Duration;

use super::{Call, Failure, Platform, assert_clean};
use crate::channel::{Channel, MessageId, Piece};
use crate::error::SendError;

pub(super) async fn run<P: Platform>(start: &impl AsyncFn() -> P) {
    pieces_arrive_in_order(start().await).await;
    a_long_reply_fits_and_loses_nothing(start().await).await;
    an_edit_replaces_and_may_be_repeated(start().await).await;
    a_reply_to_a_lost_message_is_posted_all_the_same(start().await).await;
    a_pause_is_kept(start().await).await;
    a_refusal_is_final_and_has_a_sentence(start().await).await;
    refused_markup_is_posted_as_plain_text(start().await).await;
    what_may_have_happened_is_unknown_and_not_repeated(start().await).await;
    what_never_left_is_not_sent(start().await).await;
    typing_is_no_message(start().await).await;
}

/// A platform to which person 1 has written.
fn written_to<P: Platform>(platform: P) -> (P, Arc<dyn Channel>) {
    platform.say(1, "hello");
    let channel = platform.channel();
    (platform, channel)
}

fn piece(channel: &dyn Channel, markdown: &str) -> Piece {
    let mut pieces = channel.render(markdown);
    assert_eq!(pieces.len(), 1, "{markdown}");
    pieces.remove(0)
}

fn without_space(text: &str) -> String {
    text.split_whitespace().collect()
}

async fn pieces_arrive_in_order(platform: impl Platform) {
    let (platform, channel) = written_to(platform);
    for text in ["**a**", "b < c & d", "`e`"] {
        let piece = piece(&*channel, text);
        let posted = channel.post(&platform.chat(1), &piece, None).await;
        assert!(posted.is_ok(), "{posted:?}");
    }
    assert_eq!(platform.shown(), ["a", "b < c & d", "e"]);
    assert_eq!(platform.violations(), Vec::<String>::new());
}

async fn a_long_reply_fits_and_loses_nothing(platform: impl Platform) {
    let (platform, channel) = written_to(platform);
    let paragraph = "Some **bold** words & `code` with 你好 and 👨‍👩‍👧.\n\n".repeat(100);
    let block = "let a = \"<b>\"; // a line of code\n".repeat(200);
    let markdown = format!("{paragraph}```rust\n{block}```\n\n> quoted\n\n{paragraph}");
    let pieces = channel.render(&markdown);
    assert!(pieces.len() > 1 && pieces.len() <= channel.limits().pieces_max);
    for piece in &pieces {
        let posted = channel.post(&platform.chat(1), piece, None).await;
        assert!(posted.is_ok(), "{posted:?}\n{}", piece.markup);
    }
    let plain: String = pieces.iter().map(|piece| piece.plain.as_str()).collect();
    assert_eq!(
        without_space(&platform.shown().concat()),
        without_space(&plain)
    );
    let read = markdown.replace("```rust", "").replace("```", "");
    let read = read
        .replace("**", "")
        .replace("`code`", "code")
        .replace("> ", "");
    assert_eq!(without_space(&plain), without_space(&read));
    assert_eq!(channel.render(" \n\n "), []);
}

async fn an_edit_replaces_and_may_be_repeated(platform: impl Platform) {
    let (platform, channel) = written_to(platform);
    let chat = platform.chat(1);
    let first = channel
        .post(&chat, &piece(&*channel, "a"), None)
        .await
        .expect("posted");
    let other = channel
        .post(&chat, &piece(&*channel, "x"), None)
        .await
        .expect("posted");
    assert_ne!(first, other);
    let better = piece(&*channel, "*b*");
    assert_eq!(channel.edit(&chat, &first, &better).await, Ok(()));
    assert_eq!(
        channel.edit(&chat, &first, &better).await,
        Ok(()),
        "not modified"
    );
    assert_eq!(platform.shown(), ["b", "x"]);
    platform.fail(Call::Edit, Failure::CutAfter);
    let third = piece(&*channel, "c");
    let lost = channel.edit(&chat, &first, &third).await;
    assert!(matches!(lost, Err(SendError::Unknown { .. })), "{lost:?}");
    assert_eq!(
        channel.edit(&chat, &first, &third).await,
        Ok(()),
        "repeated"
    );
    let nowhere = channel
        .edit(&chat, &MessageId("987654".to_owned()), &third)
        .await;
    assert!(
        matches!(nowhere, Err(SendError::Refused { .. })),
        "{nowhere:?}"
    );
    assert_eq!(platform.shown(), ["c", "x"]);
}

async fn a_reply_to_a_lost_message_is_posted_all_the_same(platform: impl Platform) {
    let (platform, channel) = written_to(platform);
    for id in ["987654", "no id of anything"] {
        let lost = MessageId(id.to_owned());
        let posted = channel
            .post(&platform.chat(1), &piece(&*channel, id), Some(&lost))
            .await;
        assert!(posted.is_ok(), "{posted:?}");
    }
    assert_eq!(platform.shown(), ["987654", "no id of anything"]);
}

async fn a_pause_is_kept(platform: impl Platform) {
    let (platform, channel) = written_to(platform);
    let (chat, piece) = (platform.chat(1), piece(&*channel, "a"));
    platform.fail(Call::Post, Failure::Pause);
    let mut waited = false;
    loop {
        match channel.post(&chat, &piece, None).await {
            Ok(_) => break,
            Err(SendError::Wait { retry_after_ms }) => {
                // A caller that does not wait does not reach the platform either.
                let typing = channel.typing(&chat).await;
                assert!(matches!(typing, Err(SendError::Wait { .. })), "{typing:?}");
                tokio::time::sleep(Duration::from_millis(retry_after_ms)).await;
                waited = true;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(waited);
    assert_eq!(platform.shown(), ["a"]);
    assert_eq!(platform.violations(), Vec::<String>::new());
}

async fn a_refusal_is_final_and_has_a_sentence(platform: impl Platform) {
    let (platform, channel) = written_to(platform);
    platform.fail(Call::Post, Failure::Refused);
    let refused = channel
        .post(&platform.chat(1), &piece(&*channel, "a"), None)
        .await;
    let Err(SendError::Refused { code, message }) = refused else {
        panic!("{refused:?}");
    };
    assert!(!code.is_empty() && code.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
    assert!(message.contains(' '), "{message}");
    assert_eq!(platform.shown(), Vec::<String>::new());
}

async fn refused_markup_is_posted_as_plain_text(platform: impl Platform) {
    let (platform, channel) = written_to(platform);
    let chat = platform.chat(1);
    platform.fail(Call::Post, Failure::MarkupRefused);
    let posted = channel
        .post(&chat, &piece(&*channel, "**a** < b"), None)
        .await;
    let id = posted.expect("posted as plain text");
    assert_eq!(platform.shown(), ["a < b"]);
    platform.fail(Call::Edit, Failure::MarkupRefused);
    let edited = channel.edit(&chat, &id, &piece(&*channel, "**c**")).await;
    assert_eq!(edited, Ok(()));
    assert_eq!(platform.shown(), ["c"]);
}

async fn what_may_have_happened_is_unknown_and_not_repeated(platform: impl Platform) {
    let (platform, channel) = written_to(platform);
    let piece = piece(&*channel, "a");
    let failures = [
        (Failure::CutBefore, 0..=0),
        (Failure::CutAfter, 1..=1),
        (Failure::ServerError, 0..=1),
        (Failure::Garbled, 1..=1),
    ];
    for (failure, shown) in failures {
        let before = platform.shown().len();
        platform.fail(Call::Post, failure);
        let error = channel.post(&platform.chat(1), &piece, None).await;
        let error = error.expect_err("the answer was lost");
        assert!(
            matches!(error, SendError::Unknown { .. }),
            "{failure:?} {error:?}"
        );
        assert_clean(&error, &platform.token());
        let now = platform.shown().len() - before;
        assert!(shown.contains(&now), "{failure:?} shown {now} times");
    }
}

async fn what_never_left_is_not_sent(platform: impl Platform) {
    let channel = platform.unreachable();
    let error = channel
        .post(&platform.chat(1), &piece(&*channel, "a"), None)
        .await;
    let error = error.expect_err("nobody is there");
    assert!(matches!(error, SendError::NotSent { .. }), "{error:?}");
    assert_clean(&error, &platform.token());
}

async fn typing_is_no_message(platform: impl Platform) {
    let (platform, channel) = written_to(platform);
    assert_eq!(channel.typing(&platform.chat(1)).await, Ok(()));
    assert_eq!(platform.shown(), Vec::<String>::new());
    assert_eq!(platform.violations(), Vec::<String>::new());
}
