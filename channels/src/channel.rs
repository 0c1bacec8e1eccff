//! What a chat platform can do, seen from the gateway: one [`Channel`] is one bot login.
//!
//! Receiving and sending are two halves. The receiving half ([`Inbox`]) is owned by one task and
//! never confirms by itself; the sending half is shared and tells a send that surely did not happen
//! from one that may have happened ([`SendError`]).
//!
//! Invariant: ids and marks are made by the adapter and opaque to everyone else.
//! Deliberately absent: who may write (the domain decides), retries and pauses (the caller decides),
//! and what a conversation is.

use std::fmt;

use async_trait::async_trait;

use crate::error::{ChannelError, SendError};

/// One bot login on a chat platform. Cheap to share: hold it as `Arc<dyn Channel>`.
///
/// Every method may be called from any task at any time, also while an inbox waits. All futures may
/// be dropped; a dropped [`post`](Channel::post) or [`edit`](Channel::edit) may have happened.
#[async_trait]
pub trait Channel: fmt::Debug + Send + Sync {
    /// The platform's name, lower case: `telegram`, `discord`, `slack`. Part of recorded ids, so it
    /// never changes.
    fn name(&self) -> &'static str;

    /// What the platform bears.
    fn limits(&self) -> Limits;

    /// Who this bot is. Asks the platform each time; call it at the start to check the token.
    async fn identify(&self) -> Result<Account, ChannelError>;

    /// The receiving half. At most one inbox of an account may be in use anywhere.
    ///
    /// `since` is the newest mark the caller has recorded: what was received up to it counts as
    /// confirmed and need not come again. Does nothing on the network yet.
    fn inbox(&self, since: Option<Mark>) -> Box<dyn Inbox>;

    /// Turns the assistant's Markdown into messages that fit the platform, in order, at most
    /// [`Limits::pieces_max`]. Pure; whitespace alone becomes no piece at all.
    fn render(&self, markdown: &str) -> Vec<Piece>;

    /// Posts one piece and says under which id. `reply_to` is the message it answers, if that is to
    /// be shown; one that was deleted in the meantime does not hinder the post.
    ///
    /// Asks the platform once, or a second time when the first surely had no effect (the markup was
    /// refused, or the room has moved).
    async fn post(
        &self,
        chat: &Chat,
        piece: &Piece,
        reply_to: Option<&MessageId>,
    ) -> Result<MessageId, SendError>;

    /// Replaces the content of a message of this bot. Idempotent: an edit that changes nothing is a
    /// success, so after [`SendError::Unknown`] it may be repeated.
    async fn edit(&self, chat: &Chat, message: &MessageId, piece: &Piece) -> Result<(), SendError>;

    /// Shows that the bot is writing; fades by itself after [`Limits::typing_ms`]. Best effort: a
    /// failure means nothing for the reply.
    async fn typing(&self, chat: &Chat) -> Result<(), SendError>;
}

/// The receiving half of an account, owned by one task.
#[async_trait]
pub trait Inbox: fmt::Debug + Send {
    /// Waits for what came, oldest first; an empty list after a bounded wait (under a minute).
    ///
    /// What was received and not confirmed comes again, also from this very inbox: the caller drops
    /// what it knows by its key. Dropping the future loses nothing. After an error the caller asks
    /// again, after a pause of its own or the one the error names.
    async fn receive(&mut self) -> Result<Vec<Inbound>, ChannelError>;

    /// Lets the platform forget everything up to and including this mark. Call it once the effects
    /// are recorded as safely as they are going to be.
    ///
    /// The platform may learn it only with the next [`receive`](Inbox::receive). Going back is
    /// ignored. After an error it may be repeated.
    async fn confirm(&mut self, upto: Mark) -> Result<(), ChannelError>;
}

/// The position of something received. Later is larger, and what comes again has the same mark: in
/// one inbox, and in those that go on from its marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark(pub u64);

macro_rules! text_id {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub String);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}

text_id! {
    /// The platform's immutable id of a bot account: lower case letters, digits, `-` and `_`.
    AccountId,
    /// The platform's immutable id of a person: lower case letters, digits, `-` and `_`.
    SenderId,
    /// The platform's id of a message within its chat.
    MessageId,
}

/// A bot account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Immutable.
    pub id: AccountId,
    /// What people see; may change.
    pub name: String,
    /// The name one mentions it by, without `@`; may change.
    pub handle: Option<String>,
}

/// Where a message goes: a room, and a thread in it where the platform has threads.
///
/// As text (`Display`, and back with [`Chat::parse`]) it can be recorded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Chat {
    /// The platform's id of the room. Never contains `/`.
    pub room: String,
    /// The platform's id of the thread.
    pub thread: Option<String>,
}

impl Chat {
    /// Reads what `Display` wrote: `room` or `room/thread`. `None` if a part is empty.
    pub fn parse(text: &str) -> Option<Chat> {
        let (room, thread) = match text.split_once('/') {
            Some((room, thread)) => (room, Some(thread)),
            None => (text, None),
        };
        let is_empty = room.is_empty() || thread.is_some_and(str::is_empty);
        (!is_empty).then(|| Chat {
            room: room.to_owned(),
            thread: thread.map(str::to_owned),
        })
    }
}

impl fmt::Display for Chat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.room)?;
        match &self.thread {
            Some(thread) => write!(f, "/{thread}"),
            None => Ok(()),
        }
    }
}

/// Something that came, with its mark. Everything that has a mark is handed over, also what nobody
/// has to answer, so that it can be confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inbound {
    /// Its position, for [`Inbox::confirm`].
    pub mark: Mark,
    /// Names it within the account for ever, whichever inbox receives it: the idempotency key of
    /// what comes again. Lower case letters, digits, `-`, `_` and `.`.
    pub key: String,
    /// What it is.
    pub content: InboundContent,
}

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InboundContent {
    /// A person wrote.
    Message(Box<InboundMessage>),
    /// Nothing to answer: to be confirmed only. Messages of bots, edits, joins, unknown kinds.
    Ignored {
        /// What it was, for a debug log: a fixed phrase without anything a person wrote.
        reason: &'static str,
    },
}

/// A new message of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboundMessage {
    /// The account that received it.
    pub account: AccountId,
    /// Where a reply goes.
    pub chat: Chat,
    /// Whether others read along.
    pub chat_kind: ChatKind,
    /// Whether the bot is spoken to: always in a direct chat; in a group when it is mentioned or
    /// one of its messages is answered.
    pub is_addressed: bool,
    /// Who wrote it.
    pub sender: Sender,
    /// Its id, to reply to.
    pub message: MessageId,
    /// What it says. What is not text stands in brackets, such as `[photo]`, before its caption, so
    /// that the assistant can say that it cannot see it. Never empty.
    pub text: String,
    /// When it was written by the platform's clock, in milliseconds since 1970.
    pub at_ms: i64,
}

/// Who reads a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChatKind {
    /// One person and the bot.
    Direct,
    /// Several people.
    Group,
}

/// Who wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// Immutable: this is what is approved or blocked.
    pub id: SenderId,
    /// What people see; chosen by the person, may change, may deceive.
    pub name: String,
    /// The public name without `@`; may change hands.
    pub handle: Option<String>,
}

/// One message, rendered for one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// In the platform's markup.
    pub markup: String,
    /// What is read, without markup: posted when the platform refuses the markup.
    pub plain: String,
}

/// What a platform bears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Length of one message, in the unit the platform counts; [`Channel::render`] keeps to it.
    pub text_max: usize,
    /// Messages that one reply may become.
    pub pieces_max: usize,
    /// Pause between two posts or edits in one chat, in milliseconds; the caller keeps to it.
    pub post_interval_ms: u64,
    /// How long a typing sign stays, in milliseconds.
    pub typing_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chat_survives_being_recorded_as_text() {
        for text in ["42", "-100123/7", "c0123/1700000000.0001"] {
            assert_eq!(Chat::parse(text).unwrap().to_string(), text);
        }
        for bad in ["", "/", "1/", "/2"] {
            assert_eq!(Chat::parse(bad), None, "{bad}");
        }
    }
}
