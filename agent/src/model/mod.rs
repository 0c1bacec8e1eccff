//! The seam between a run and whatever answers it.
//!
//! A [`Model`] turns one [`ModelRequest`] into one [`ModelStream`]. Invariant of every stream: any
//! number of deltas and usages, then exactly one [`ModelEvent::Done`] or one error, then the end.
//! Models hold no conversation: everything they may know is in the request.

use std::sync::Arc;

use futures_util::stream::BoxStream;

use crate::error::ModelError;

pub use http::KeyCheck;

pub mod access;
pub mod anthropic;
pub mod demo;
mod http;
pub mod openai;
pub mod retry;
pub mod sse;

/// What a model sends back, piece by piece.
pub type ModelStream = BoxStream<'static, Result<ModelEvent, ModelError>>;

/// Something that answers. Implementations are shared by all runs of the gateway.
pub trait Model: Send + Sync {
    /// Who answers, for records and for the person.
    ///
    /// Called by the run driver once per run and by the gateway at any time. Must not block and must
    /// give the same answer for the life of the model.
    fn info(&self) -> ModelInfo;

    /// Begins one answer.
    ///
    /// Called by the run driver once per run (and by [`retry::Retrying`] once per try), from within a
    /// tokio runtime. Must return at once: connecting and waiting happen while the stream is polled,
    /// and nothing happens before that. Dropping the stream abandons the answer and frees the
    /// connection; there is no other way to cancel. It is not idempotent: each call may be billed.
    ///
    /// Errors come through the stream, as its last item; [`ModelError::kind`] says what to do. An
    /// error after deltas leaves those valid: they are the partial answer.
    fn start(&self, request: ModelRequest) -> ModelStream;
}

impl<M: Model + ?Sized> Model for Arc<M> {
    fn info(&self) -> ModelInfo {
        (**self).info()
    }

    fn start(&self, request: ModelRequest) -> ModelStream {
        (**self).start(request)
    }
}

/// Who answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelInfo {
    /// The provider, `anthropic`, `openai`, `cf-ai-gw-…` or `demo`.
    pub provider: String,
    /// The provider's name of the model.
    pub model: String,
}

/// Everything a model may know for one answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelRequest {
    /// Standing instructions.
    pub system: Option<String>,
    /// The conversation, oldest first; see [`crate::context::newest_turns`] for what providers ask of it.
    pub turns: Vec<Turn>,
    /// Bound on the answer.
    pub max_tokens: u32,
    /// What the gateway's log holds right now. Only the demo model looks at it.
    pub facts: LogFacts,
}

/// Who spoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The person.
    User,
    /// The model.
    Assistant,
}

/// One contribution to a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Who spoke.
    pub role: Role,
    /// What was said, as Markdown.
    pub text: String,
}

impl Turn {
    /// A turn of the person.
    pub fn user(text: impl Into<String>) -> Self {
        Self {
            role: Role::User,
            text: text.into(),
        }
    }

    /// A turn of the model.
    pub fn assistant(text: impl Into<String>) -> Self {
        Self {
            role: Role::Assistant,
            text: text.into(),
        }
    }
}

/// The gateway's log as plain data, filled in by whoever starts the run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogFacts {
    /// Recorded events.
    pub events: u64,
    /// Seq of the newest recorded event; 0 while there is none.
    pub head_seq: u64,
    /// Hash of the newest recorded event, in hex; empty while there is none.
    pub head_hash: String,
    /// Newest seq known to be in the remote log; `None` without a remote log or before the first
    /// segment.
    pub shipped_seq: Option<u64>,
    /// Sessions that exist.
    pub sessions: u64,
    /// Devices that are approved.
    pub devices: u64,
    /// Epoch of the writer.
    pub epoch: u64,
    /// The present, in milliseconds since the Unix epoch.
    pub now_ms: i64,
    /// The person's offset from UTC, in minutes east.
    pub utc_offset_minutes: i32,
}

/// One piece of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelEvent {
    /// More text.
    Delta(String),
    /// Tokens spent so far; each one replaces the one before.
    Usage(Usage),
    /// The answer is complete. Nothing follows.
    Done(StopReason),
}

/// Why a model stopped by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// It had said everything.
    EndTurn,
    /// It reached a bound on length; the answer is cut.
    MaxTokens,
    /// It declined to go on.
    Refusal,
    /// Anything else a provider may come up with.
    Other,
}

/// Tokens of one answer, as the provider counts them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Read, not from a cache.
    pub input_tokens: u64,
    /// Written.
    pub output_tokens: u64,
    /// Read from the provider's cache.
    pub cache_read_tokens: u64,
    /// Stored in the provider's cache.
    pub cache_write_tokens: u64,
}
