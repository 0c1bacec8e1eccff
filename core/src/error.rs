//! Errors of the domain.
//!
//! [`Rejection`] is not an error but an answer: it is shown to a person, so it carries a stable
//! code, a sentence, and no internals. [`CodecError`] says what is wrong with stored bytes.

use crate::ids::Seq;
use thiserror::Error;

/// What the caller of a failing function does about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Stored bytes are not what was written: refuse to start, name the seq.
    Corrupt,
    /// The input is not acceptable: tell the person.
    Invalid,
}

/// Stored bytes that cannot be read, or an event that cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The bytes end inside the frame of this record.
    #[error("the bytes of record #{seq} end too early")]
    Torn {
        /// The record.
        seq: Seq,
    },
    /// Bytes of this record were altered.
    #[error("record #{seq} is damaged: {what}")]
    Damaged {
        /// The record.
        seq: Seq,
        /// Which part does not fit.
        what: &'static str,
    },
    /// The record is whole but does not follow the one before.
    #[error("record #{seq} does not link to the record before it")]
    Unlinked {
        /// The record.
        seq: Seq,
    },
    /// Another seq stands where this one should.
    #[error("expected record #{expected}, found #{found}")]
    Gap {
        /// The seq that should stand here.
        expected: Seq,
        /// The seq that stands here.
        found: Seq,
    },
    /// A payload of a known kind and version cannot be decoded.
    #[error("the payload of kind `{kind}` version {version} cannot be decoded: {reason}")]
    Payload {
        /// Name of the kind.
        kind: &'static str,
        /// Version of the payload.
        version: u16,
        /// Why.
        reason: String,
    },
    /// A value cannot be encoded.
    #[error("cannot encode the {what}: {reason}")]
    Encode {
        /// What it was.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// A value is larger than what is stored inline.
    #[error("{bytes} bytes are more than the {max} that fit a record")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The bound.
        max: usize,
    },
}

impl CodecError {
    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            CodecError::Encode { .. } | CodecError::TooLarge { .. } => ErrorKind::Invalid,
            _ => ErrorKind::Corrupt,
        }
    }
}

/// The domain says no.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct Rejection {
    /// Stable, `snake_case`, for programs.
    pub code: &'static str,
    /// One sentence for a person.
    pub message: String,
}

impl Rejection {
    /// A rejection with its code and sentence.
    pub fn new(code: &'static str, message: impl Into<String>) -> Rejection {
        Rejection {
            code,
            message: message.into(),
        }
    }
}
