use super::*;

const NAMED: &str =
    r#"{"id":7,"is_bot":false,"first_name":"Li","last_name":"Wei","username":"Li_Wei"}"#;
const DIRECT: &str = r#"{"id":7,"type":"private","first_name":"Li"}"#;

fn account() -> Account {
    Account {
        id: AccountId("42".to_owned()),
        name: "Bot".to_owned(),
        handle: Some("a_bot".to_owned()),
    }
}

/// What a direct message with this content becomes.
fn check(content: &str, expected: &str) {
    let json = format!(
        r#"{{"update_id":9,"message":{{"message_id":3,"date":1700000000,"from":{NAMED},"chat":{DIRECT},{content}}}}}"#
    );
    let update: Value = serde_json::from_str(&json).unwrap();
    let inbound = inbound(&update, &account(), None).unwrap();
    assert_eq!(inbound.mark, Mark(9));
    let seen = match inbound.content {
        InboundContent::Message(message) => message.text,
        InboundContent::Ignored { reason } => format!("ignored: {reason}"),
    };
    assert_eq!(seen, expected, "{content}");
}

#[test]
fn everything_a_person_sends_has_words() {
    let file = r#""file_id":"a","file_unique_id":"b","file_size":1"#;
    check(r#""text":" hello ""#, "hello");
    check(
        &format!(r#""caption":"a cat","photo":[{{{file},"width":1,"height":1}}]"#),
        "[photo] a cat",
    );
    check(
        &format!(r#""voice":{{{file},"duration":4,"mime_type":"audio/ogg"}}"#),
        "[voice message, 4 s]",
    );
    check(
        &format!(r#""audio":{{{file},"duration":4,"title":"Song","mime_type":"audio/mpeg"}}"#),
        "[audio: Song]",
    );
    check(
        &format!(r#""caption":"see","document":{{{file},"file_name":"a.pdf"}}"#),
        "[file: a.pdf] see",
    );
    check(
        &format!(r#""video":{{{file},"duration":5,"width":1,"height":1,"mime_type":"video/mp4"}}"#),
        "[video, 5 s]",
    );
    check(
        &format!(r#""video_note":{{{file},"duration":5,"length":1}}"#),
        "[video message, 5 s]",
    );
    check(
        &format!(
            r#""sticker":{{{file},"width":1,"height":1,"type":"regular","is_animated":false,"is_video":false,"emoji":"🙂","set_name":"x"}}"#
        ),
        "[sticker: 🙂]",
    );
    check(
        r#""location":{"latitude":1.5,"longitude":-2.25}"#,
        "[location: 1.5, -2.25]",
    );
    check(
        r#""venue":{"location":{"latitude":1.5,"longitude":2.5},"title":"Zoo","address":"Road 1"},"location":{"latitude":1.5,"longitude":2.5}"#,
        "[place: Zoo, Road 1 (1.5, 2.5)]",
    );
    check(
        r#""contact":{"phone_number":"+1","first_name":"Ada"}"#,
        "[contact: Ada +1]",
    );
    check(r#""dice":{"emoji":"🎲","value":4}"#, "[dice: 4]");
}

#[test]
fn words_are_read_also_beside_what_is_newer_than_this_version() {
    check(r#""caption":"look","hologram":{"a":1}"#, "look");
    check(
        r#""audio":{"file_id":"a"},"caption":"look""#,
        "[audio] look",
    );
    check(r#""text":"look","entities":"of another type""#, "look");
    check(r#""hologram":{"a":1}"#, "ignored: unreadable");
}

#[test]
fn what_is_not_a_persons_message_is_ignored() {
    check(r#""group_chat_created":true"#, "ignored: a service message");
    check(
        r#""sender_chat":{"id":-5,"type":"supergroup","title":"g"},"text":"x""#,
        "ignored: in the name of a chat",
    );
    let no_id = inbound(&json!({"message": {}}), &account(), None);
    assert_eq!(no_id, None);
}

#[test]
fn a_sender_is_known_by_number_and_shown_by_name() {
    let update = format!(
        r#"{{"update_id":9,"message":{{"message_id":3,"date":1700000000,"from":{NAMED},"chat":{DIRECT},"text":"x"}}}}"#
    );
    let update = serde_json::from_str(&update).unwrap();
    let InboundContent::Message(message) = inbound(&update, &account(), None).unwrap().content
    else {
        panic!("a message");
    };
    assert_eq!(message.sender.id.as_str(), "7");
    assert_eq!(message.sender.name, "Li Wei");
    assert_eq!(message.sender.handle.as_deref(), Some("Li_Wei"));
    assert_eq!(message.message.as_str(), "3");
    assert_eq!(message.at_ms, 1_700_000_000_000);
}

#[test]
fn a_mark_counts_the_numberings() {
    let numbered = |numbering: u64, id: u64| Mark((numbering << 32) | id);
    let table = [
        (None, 5, numbered(0, 5)),
        (Some(numbered(0, 5)), 6, numbered(0, 6)),
        // Again, after it was confirmed: the same mark.
        (
            Some(numbered(0, 900_000_000)),
            899_999_000,
            numbered(0, 899_999_000),
        ),
        (Some(numbered(0, 900_000_000)), 12, numbered(1, 12)),
        (Some(numbered(1, 12)), 13, numbered(1, 13)),
        (
            Some(numbered(1, 900_000_000)),
            100_000_000,
            numbered(2, 100_000_000),
        ),
    ];
    for (confirmed, id, expected) in table {
        assert_eq!(mark(id, confirmed), expected, "{confirmed:?} {id}");
    }
    assert_eq!(offset_after(numbered(3, 7)), 8);
    assert_eq!(offset_after(Mark(u64::MAX)), i32::MAX);
}

#[test]
fn a_mention_is_a_word_of_its_own() {
    for (text, expected) in [
        ("@a_bot hi", true),
        ("hi @A_Bot, you", true),
        ("hi @a_bot2", false),
        ("a_bot", false),
    ] {
        assert_eq!(mentions(text, Some("a_bot")), expected, "{text}");
    }
    assert!(!mentions("@a_bot", None));
}
