//! An update → [`Inbound`]. Pure.
//!
//! | update | becomes |
//! |---|---|
//! | a person's new message | [`InboundContent::Message`] |
//! | of a bot, in the name of a chat, a service message, anything else | [`InboundContent::Ignored`] |
//!
//! A mark is the update's id in its low 32 bits, and in the high ones how often Telegram has begun
//! to number anew: after a week without updates it goes on from a random id, which may be lower
//! (<https://core.telegram.org/bots/api#update>).

use serde::Deserialize;
use serde_json::{Map, Value, json};
use teloxide::types::{ChatKind as WireChatKind, Message, MessageKind, Update, UpdateKind, User};

use super::media;
use crate::channel::{
    Account, AccountId, Chat, ChatKind, Inbound, InboundContent, InboundMessage, Mark, MessageId,
    Sender, SenderId,
};
use crate::settings::NAME_CHARS_MAX;

/// An id that is lower than the confirmed one by more than this comes from a new numbering; by less,
/// it comes again.
const REPEATED_IDS_MAX: u64 = 100_000;
const ID_BITS: u32 = 32;
const ID_MASK: u64 = (1 << ID_BITS) - 1;

/// The bot, as far as we need it. Lenient: an emulator may leave out what is always there.
#[derive(Debug, Deserialize)]
pub(super) struct Me {
    id: i64,
    #[serde(default)]
    first_name: String,
    username: Option<String>,
}

impl From<Me> for Account {
    fn from(me: Me) -> Account {
        Account {
            id: AccountId(me.id.to_string()),
            name: shown_name(&me.first_name),
            handle: me.username,
        }
    }
}

/// A message that was posted, as far as we need it.
#[derive(Debug, Deserialize)]
pub(super) struct Sent {
    pub(super) message_id: i64,
}

/// The `offset` that lets Telegram forget everything up to this mark.
pub(super) fn offset_after(confirmed: Mark) -> i32 {
    i32::try_from((confirmed.0 & ID_MASK) + 1).unwrap_or(i32::MAX)
}

/// The mark of an update, given what was confirmed before it came.
fn mark(id: u64, confirmed: Option<Mark>) -> Mark {
    let confirmed = confirmed.unwrap_or(Mark(0));
    let (numbering, last) = (confirmed.0 >> ID_BITS, confirmed.0 & ID_MASK);
    let is_new_numbering = id.saturating_add(REPEATED_IDS_MAX) < last;
    Mark(((numbering + u64::from(is_new_numbering)) << ID_BITS) | (id & ID_MASK))
}

/// What an update is to the gateway. `None` only if it has no id, so that nothing could be
/// confirmed.
pub(super) fn inbound(
    update: &Value,
    account: &Account,
    confirmed: Option<Mark>,
) -> Option<Inbound> {
    let id = update.get("update_id")?.as_u64()?;
    let kind = read(update).or_else(|| read(&reduced(update)?));
    let content = match kind {
        Some(UpdateKind::Message(message)) => content(&message, account),
        Some(_) => ignored("not a new message"),
        None => {
            tracing::warn!(id, "Telegram sent an update that this version cannot read");
            ignored("unreadable")
        }
    };
    let mark = mark(id, confirmed);
    Some(Inbound {
        mark,
        key: id.to_string(),
        content,
    })
}

/// The typed update. `None` if these types do not fit it: a message is then left with no content.
fn read(update: &Value) -> Option<UpdateKind> {
    // By way of text: these types borrow their keys.
    let update: Update = serde_json::from_str(&update.to_string()).ok()?;
    match update.kind {
        UpdateKind::Error(_) => None,
        UpdateKind::Message(message) if matches!(message.kind, MessageKind::Empty {}) => None,
        kind => Some(kind),
    }
}

/// The update with no more of its message than who, where, when, and words for the rest, so that
/// nobody is left without an answer because a field is missing or newer than this version.
fn reduced(update: &Value) -> Option<Value> {
    const KEPT: [&str; 6] = [
        "message_id",
        "message_thread_id",
        "is_topic_message",
        "from",
        "date",
        "chat",
    ];
    let message = update.get("message")?;
    let words = media::words(message)?;
    let kept = KEPT
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), message.get(name)?.clone())));
    let mut message: Map<String, Value> = kept.collect();
    message.insert("text".to_owned(), words.into());
    Some(json!({"update_id": update.get("update_id")?, "message": message}))
}

fn ignored(reason: &'static str) -> InboundContent {
    InboundContent::Ignored { reason }
}

fn content(message: &Message, account: &Account) -> InboundContent {
    let Some(from) = &message.from else {
        return ignored("nobody's message");
    };
    if from.is_bot {
        return ignored("a bot's message");
    }
    if message.sender_chat.is_some() {
        return ignored("in the name of a chat");
    }
    let Some(text) = media::text(message) else {
        return ignored("a service message");
    };
    let chat_kind = match message.chat.kind {
        WireChatKind::Private(_) => ChatKind::Direct,
        WireChatKind::Public(_) => ChatKind::Group,
    };
    let is_addressed = chat_kind == ChatKind::Direct
        || mentions(&text, account.handle.as_deref())
        || answers(message, account);
    // Other threads are chains of replies, in which Telegram lets nobody post.
    let thread = message.thread_id.filter(|_| message.is_topic_message);
    InboundContent::Message(Box::new(InboundMessage {
        account: account.id.clone(),
        chat: Chat {
            room: message.chat.id.to_string(),
            thread: thread.map(|thread| thread.0.to_string()),
        },
        chat_kind,
        is_addressed,
        sender: sender(from),
        message: MessageId(message.id.to_string()),
        text,
        at_ms: message.date.timestamp_millis(),
    }))
}

fn sender(from: &User) -> Sender {
    let name = shown_name(&from.full_name());
    Sender {
        id: SenderId(from.id.to_string()),
        name,
        handle: from.username.clone(),
    }
}

/// A name on one line, bounded, without marks that turn the direction of what follows.
fn shown_name(name: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let shown = name.chars().filter(|c| !c.is_control() && !turns(*c));
    let name: String = shown.take(NAME_CHARS_MAX).collect();
    name.trim().to_owned()
}

/// Whether `@handle` stands in the text as a word of its own.
fn mentions(text: &str, handle: Option<&str>) -> bool {
    let Some(handle) = handle else {
        return false;
    };
    let text = text.to_lowercase();
    let mention = format!("@{}", handle.to_lowercase());
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(&mention).any(|(at, found)| {
        let after = text.get(at + found.len()..).unwrap_or_default();
        !after.starts_with(is_word)
    })
}

/// Whether it answers a message of this account.
fn answers(message: &Message, account: &Account) -> bool {
    let MessageKind::Common(common) = &message.kind else {
        return false;
    };
    let answered = common.reply_to_message.as_ref();
    let author = answered.and_then(|answered| answered.from.as_ref());
    author.is_some_and(|author| author.id.to_string() == account.id.as_str())
}

#[cfg(test)]
mod tests;
