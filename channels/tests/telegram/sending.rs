//! What is particular to Telegram when sending.

use moltbot_channels::testing::Fault;
use moltbot_channels::{Channel as _, Chat, MessageId, Piece, SendError};

use super::{chat, li, pair};

fn piece(markup: &str, plain: &str) -> Piece {
    Piece {
        markup: markup.to_owned(),
        plain: plain.to_owned(),
    }
}

#[tokio::test]
async fn a_piece_is_sent_as_html_in_its_topic_and_answers_its_message() {
    let (server, telegram) = pair().await;
    server.say_in_group(&li(), -100, Some(5), "hi");
    let place = Chat::parse("-100/5").unwrap();
    let rendered = telegram.render("**a** & b").remove(0);
    let answered = MessageId("1".to_owned());
    let id = telegram
        .post(&place, &rendered, Some(&answered))
        .await
        .unwrap();
    telegram.typing(&place).await.unwrap();
    let sent = server.sent().remove(0);
    assert_eq!(
        (sent.chat, sent.thread, sent.reply_to),
        (-100, Some(5), Some(1))
    );
    assert_eq!(sent.message.to_string(), id.as_str());
    assert_eq!(sent.versions[0].html.as_deref(), Some("<b>a</b> &amp; b"));
    assert_eq!(server.typing(), [-100]);
    assert_eq!(server.violations(), [""; 0]);
}

#[tokio::test]
async fn markup_that_telegram_refuses_is_left_away_and_nothing_else_is_repeated() {
    let (server, telegram) = pair().await;
    server.say(&li(), "hi");
    telegram
        .post(&chat(7), &piece("<b>a", "a"), None)
        .await
        .unwrap();
    assert_eq!(server.sent()[0].versions[0].html, None);
    assert_eq!(server.calls(), ["sendmessage", "sendmessage"]);

    server.fault("sendMessage", Fault::CutAfter);
    telegram
        .post(&chat(7), &piece("b", "b"), None)
        .await
        .unwrap_err();
    assert_eq!(server.calls().len(), 3);
}

#[tokio::test]
async fn a_group_that_moved_is_found_at_its_new_place() {
    let (server, telegram) = pair().await;
    server.say_in_group(&li(), -5, None, "hi");
    server.fault("sendMessage", Fault::Moved { to: -1005 });
    let id = telegram
        .post(&chat(-5), &piece("a", "a"), None)
        .await
        .unwrap();
    telegram
        .edit(&chat(-5), &id, &piece("b", "b"))
        .await
        .unwrap();
    let sent = server.sent().remove(0);
    assert_eq!((sent.chat, sent.text()), (-1005, "b"));
}

#[tokio::test]
async fn refusals_are_told_by_kind() {
    let (server, telegram) = pair().await;
    server.say(&li(), "hi");
    let code = async |place: Chat| match telegram.post(&place, &piece("a", "a"), None).await {
        Err(SendError::Refused { code, .. }) => code,
        other => panic!("{other:?}"),
    };
    assert_eq!(code(chat(8)).await, "chat_not_found");
    assert_eq!(
        code(Chat::parse("@someone").unwrap()).await,
        "chat_not_found"
    );
    assert_eq!(code(Chat::parse("7/x").unwrap()).await, "chat_not_found");
    server.block(&li());
    assert_eq!(code(chat(7)).await, "blocked");
    let odd = MessageId("x".to_owned());
    let refused = telegram.edit(&chat(7), &odd, &piece("a", "a")).await;
    assert!(
        matches!(
            refused,
            Err(SendError::Refused {
                code: "message_not_found",
                ..
            })
        ),
        "{refused:?}"
    );
    assert_eq!(server.sent(), []);
}

#[tokio::test]
async fn something_on_the_way_that_answers_in_telegrams_place_is_no_refusal() {
    let (server, telegram) = pair().await;
    server.say(&li(), "hi");
    for status in [302, 403, 407, 413, 429, 502, 504] {
        server.fault("sendMessage", Fault::Gateway(status));
        let outcome = telegram.post(&chat(7), &piece("a", "a"), None).await;
        assert!(
            matches!(outcome, Err(SendError::Unknown { .. })),
            "{status} {outcome:?}"
        );
    }
}

#[tokio::test]
async fn a_pause_for_one_chat_silences_the_bot_and_ends() {
    let (server, telegram) = pair().await;
    server.say(&li(), "hi");
    server.fault("editMessageText", Fault::Pause { secs: 1 });
    let id = telegram
        .post(&chat(7), &piece("a", "a"), None)
        .await
        .unwrap();
    let Err(SendError::Wait { retry_after_ms }) =
        telegram.edit(&chat(7), &id, &piece("b", "b")).await
    else {
        panic!("not told to wait");
    };
    let other = telegram.post(&chat(7), &piece("c", "c"), None).await;
    assert!(matches!(other, Err(SendError::Wait { .. })), "{other:?}");
    tokio::time::sleep(std::time::Duration::from_millis(retry_after_ms)).await;
    telegram
        .edit(&chat(7), &id, &piece("b", "b"))
        .await
        .unwrap();
    assert_eq!(server.violations(), [""; 0]);
}
