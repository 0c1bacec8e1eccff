//! What can go wrong with a chat platform, and what the caller does about it.
//!
//! Invariant: no error holds a token, nor a URL that does; what a platform said is kept as one
//! short line.

use thiserror::Error;

/// What the caller of [`identify`](crate::Channel::identify) or of an inbox does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelErrorKind {
    /// Try again after a pause; the platform may have named one.
    Transient {
        /// At least this long, in milliseconds.
        retry_after_ms: Option<u64>,
    },
    /// Another process receives for this account: show it, try again rarely. Fighting over the
    /// account helps nobody.
    Conflict,
    /// The settings are wrong: tell the operator and stop; repeating cannot help.
    Invalid,
}

/// Why an account cannot be identified or nothing was received.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// The platform does not know the token.
    #[error("{platform} refuses the bot token: check {variable}")]
    Token {
        /// The platform as people write it.
        platform: &'static str,
        /// The environment variable that holds the token.
        variable: &'static str,
    },
    /// A setting cannot be used.
    #[error("{variable} cannot be used: {reason}")]
    Setting {
        /// The environment variable.
        variable: &'static str,
        /// Why, without its value.
        reason: String,
    },
    /// Somebody else receives for the same account.
    #[error(
        "another process receives for this {platform} bot: stop it, or give this gateway a bot of its own"
    )]
    Conflict {
        /// The platform as people write it.
        platform: &'static str,
    },
    /// The platform asks for a pause.
    #[error("{platform} asks to wait {retry_after_ms} ms")]
    Wait {
        /// The platform as people write it.
        platform: &'static str,
        /// How long, in milliseconds.
        retry_after_ms: u64,
    },
    /// The platform cannot be reached, or fails on its side, or does not speak its protocol.
    #[error("{platform} cannot be reached: {reason}")]
    Unavailable {
        /// The platform as people write it.
        platform: &'static str,
        /// What happened.
        reason: String,
    },
    /// The platform refuses the request for another reason.
    #[error("{platform} refuses to serve this bot: {reason}")]
    Refused {
        /// The platform as people write it.
        platform: &'static str,
        /// What the platform said.
        reason: String,
    },
}

impl ChannelError {
    /// What to do about it.
    pub fn kind(&self) -> ChannelErrorKind {
        match self {
            Self::Token { .. } | Self::Setting { .. } => ChannelErrorKind::Invalid,
            Self::Conflict { .. } => ChannelErrorKind::Conflict,
            Self::Wait { retry_after_ms, .. } => ChannelErrorKind::Transient {
                retry_after_ms: Some(*retry_after_ms),
            },
            Self::Unavailable { .. } | Self::Refused { .. } => ChannelErrorKind::Transient {
                retry_after_ms: None,
            },
        }
    }

    /// A stable name for records and translation; never renamed.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Token { .. } => "channel_token",
            Self::Setting { .. } => "channel_setting",
            Self::Conflict { .. } => "channel_conflict",
            Self::Wait { .. } => "channel_rate_limited",
            Self::Unavailable { .. } => "channel_unavailable",
            Self::Refused { .. } => "channel_refused",
        }
    }
}

/// Why a message was not posted or edited. Each variant says whether it may have happened, and so
/// whether the caller may try again.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SendError {
    /// Surely not sent: the platform asks for a pause. Try again after it, and send nothing else on
    /// this account before.
    #[error("the platform asks to wait {retry_after_ms} ms")]
    Wait {
        /// How long, in milliseconds.
        retry_after_ms: u64,
    },
    /// Surely not sent, and repeating cannot help: tell the operator.
    #[error("{message}")]
    Refused {
        /// A stable name, `snake_case`: `blocked`, `chat_not_found`, …
        code: &'static str,
        /// One sentence for a person.
        message: String,
    },
    /// Surely not sent: it never left this machine. Try again after a pause.
    #[error("the message did not leave this machine: {reason}")]
    NotSent {
        /// What happened.
        reason: String,
    },
    /// Perhaps sent: the answer got lost. Never repeat a post on your own.
    #[error("nobody knows whether the message was sent: {reason}")]
    Unknown {
        /// What happened.
        reason: String,
    },
}
