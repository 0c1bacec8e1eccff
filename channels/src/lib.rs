//! Chat platforms, seen from the gateway.
//!
//! | module | what it is |
//! |---|---|
//! | [`channel`] | what every platform can do: the [`Channel`] and [`Inbox`] traits and their plain data |
//! | [`error`] | what can go wrong, sorted by what the caller does |
//! | [`text`] | where a reply is cut |
//!
//! The platforms' client libraries are compiled only with their feature (`telegram`, `discord`,
//! `slack`), so that a build without a platform does not wait for it.
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
