//! Chat platforms, seen from the gateway.
//!
//! | module | what it is |
//! |---|---|
//! | [`channel`] | what every platform can do: the [`Channel`] and [`Inbox`] traits and their plain data |
//! | [`error`] | what can go wrong, sorted by what the caller does |
//! | [`markdown`] | the assistant's Markdown as runs of styled text |
//! | [`text`] | where a text is cut |
//! | [`secret`] | bot tokens, and text from outside that is safe to show |
//! | [`settings`] | bounds and waits |
//! | `telegram` | Telegram, with the feature of that name |
//! | `testing` | the suite every channel passes and a strict local Telegram, with the feature of that name |
//!
//! The platforms' client libraries are compiled only with their feature (`telegram`, `discord`,
//! `slack`), so that a build without a platform does not wait for it.
//!
//! # Adding a platform
//!
//! 1. A folder with the platform's name: one request and what its failure means, an inbox, the
//!    conversion of what arrives (pure), the markup (pure, from [`markdown::parse`] and
//!    [`text::split`]).
//! 2. [`Channel`] and [`Inbox`]. What a mark is depends on how the platform confirms:
//!
//!    | platform | mark | key | confirming |
//!    |---|---|---|---|
//!    | Telegram | update id | update id | the offset of the next request |
//!    | Discord | message id, which is ordered by time | message id | nothing to send: a new inbox reads on after `since` |
//!    | Slack | count of envelopes in this inbox | event id | acknowledging every envelope up to the mark |
//!
//! 3. A local stand-in under `testing`, at least as strict as the platform.
//! 4. A `Platform` for it, and `testing::conformance::run`.
//!
//! Invariant: knows nothing of the log, of models or of HTTP serving.

pub mod channel;
pub mod error;
pub mod markdown;
pub mod secret;
pub mod settings;
#[cfg(feature = "telegram")]
pub mod telegram;
#[cfg(feature = "testing")]
pub mod testing;
pub mod text;

pub use channel::{
    Account, AccountId, Channel, Chat, ChatKind, Inbound, InboundContent, InboundMessage, Inbox,
    Limits, Mark, MessageId, Piece, Sender, SenderId,
};
pub use error::{ChannelError, ChannelErrorKind, SendError};
