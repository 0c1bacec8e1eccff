//! Errors of the log and its replica.
//!
//! Invariant: [`StoreError::kind`] tells a caller everything it needs to decide what to do; the
//! message tells a person what happened, to which object or seq, and what helps.

use moltbot_core::chain::Cursor;
use moltbot_core::error::CodecError;
use moltbot_core::ids::{Epoch, InstanceId, Seq};
use thiserror::Error;

/// What the caller does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The remote did not answer or refused for now: try again with backoff.
    Transient,
    /// Another writer owns the log: stop writing, exit 5, do not restart automatically.
    Fenced,
    /// What is stored is not what was written: refuse to serve, name seq and object, exit 4.
    Corrupt,
    /// The local disk failed: stop at once, exit 6, open again.
    Disk,
    /// Wrong input or configuration: tell the person, exit 3.
    Invalid,
    /// A broken invariant of this program: report.
    Internal,
}

/// Why something about the log failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A local write, flush, sync or read failed.
    #[error("the local log could not {operation}: {reason}")]
    Disk {
        /// What was being done.
        operation: &'static str,
        /// What the system said.
        reason: String,
    },
    /// The directory of blobs on this machine failed.
    #[error(
        "could not {operation} `{path}`: {reason}; what is recorded needs it, see to this disk"
    )]
    Blobs {
        /// What was being done.
        operation: &'static str,
        /// The file or directory.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// Another process has the local log open.
    #[error("another process uses `{path}`; stop it, or give this one another --home")]
    Locked {
        /// The directory.
        path: String,
    },
    /// Stored bytes do not verify.
    #[error("{place} does not verify: {error}")]
    Codec {
        /// The object or tree.
        place: String,
        /// What is wrong.
        #[source]
        error: CodecError,
    },
    /// An object or the local log holds something it must not.
    #[error("{place} is damaged: {reason}")]
    Corrupt {
        /// The object or tree.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// Somebody wrote this with a newer version of the software. It is not damaged.
    #[error(
        "{place} was written by a newer version of moltbot: its {what} has the form {found}, this version knows {known} and older ones; use a newer moltbot, nothing was changed"
    )]
    Newer {
        /// The object, file or tree.
        place: String,
        /// What it is, as `segment`.
        what: &'static str,
        /// Version of its form.
        found: u64,
        /// The newest version that can be read.
        known: u8,
    },
    /// Records are missing from the remote log.
    #[error("the remote log has no record #{from}..#{to} (before `{object}`)")]
    Gap {
        /// The first missing record.
        from: Seq,
        /// The last missing record.
        to: Seq,
        /// The object after the gap.
        object: String,
    },
    /// The local log was begun at a snapshot, and this record lies before it.
    #[error("record #{seq} is in the remote log only; the local log begins after #{base}")]
    NotLocal {
        /// The record.
        seq: Seq,
        /// The last record that is not here.
        base: Seq,
    },
    /// Records were appended that do not follow the log's head.
    #[error("a record after {given} does not follow the head {head}")]
    NotNext {
        /// The head of the log.
        head: Cursor,
        /// What the batch follows.
        given: Cursor,
    },
    /// The remote log belongs to another gateway.
    #[error(
        "this log belongs to `{owner}` since epoch {epoch}; start with --takeover to take it over, the other one will stop"
    )]
    Owned {
        /// Who owns it.
        owner: InstanceId,
        /// Since when.
        epoch: Epoch,
    },
    /// Another writer took the log over.
    #[error(
        "another gateway took this log over (epoch {by}); this one stops, what it had not shipped is kept under `orphan/`"
    )]
    Fenced {
        /// The newer generation.
        by: Epoch,
    },
    /// The remote did not do what was asked; whether it happened is not known.
    #[error("the object store could not {operation} `{object}`: {reason}")]
    Remote {
        /// What was being done.
        operation: &'static str,
        /// The object.
        object: String,
        /// What it said, without secrets.
        reason: String,
    },
    /// A setting is wrong.
    #[error("{0}")]
    Invalid(String),
    /// A broken invariant of this program.
    #[error("internal: {0}")]
    Internal(String),
}

impl StoreError {
    /// An object that a newer version of the software wrote.
    pub(crate) fn newer(place: &str, what: &'static str, found: u64, known: u8) -> StoreError {
        StoreError::Newer {
            place: format!("`{place}`"),
            what,
            found,
            known,
        }
    }

    /// What to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            StoreError::Disk { .. } | StoreError::Blobs { .. } => ErrorKind::Disk,
            StoreError::Codec { .. } | StoreError::Corrupt { .. } | StoreError::Gap { .. } => {
                ErrorKind::Corrupt
            }
            StoreError::Fenced { .. } => ErrorKind::Fenced,
            StoreError::Remote { .. } => ErrorKind::Transient,
            StoreError::Locked { .. }
            | StoreError::Owned { .. }
            | StoreError::Newer { .. }
            | StoreError::Invalid(_) => ErrorKind::Invalid,
            StoreError::NotLocal { .. } | StoreError::NotNext { .. } | StoreError::Internal(_) => {
                ErrorKind::Internal
            }
        }
    }
}
