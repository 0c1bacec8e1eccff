//! The record: one event at its place in the log.
//!
//! Invariant: the payload is kept exactly as it was written, also when this binary does not know
//! its kind or version, so a record can always be shipped, verified and exported unchanged.

use crate::chain::{Cursor, Hash};
use crate::error::CodecError;
use crate::event::Event;
use crate::ids::Seq;
use crate::time::Timestamp;

/// A recorded event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its position.
    pub seq: Seq,
    /// When the command arrived that led to it.
    pub at: Timestamp,
    /// Who wanted it, in the text form of [`crate::actor::Actor`].
    pub actor: String,
    /// The record that led to it.
    pub cause: Option<Seq>,
    /// The record that began the whole story.
    pub correlation: Seq,
    /// What it is about: `device/<id>`, `session/<id>`, `storage` …
    pub stream: String,
    /// Stable number of the event kind (see [`crate::event`]).
    pub kind: u16,
    /// Version of the payload's form.
    pub version: u16,
    /// A binary that does not know the kind must not decide on state that lacks it.
    pub critical: bool,
    /// The event, encoded.
    pub payload: Vec<u8>,
    /// Hash of the record before.
    pub prev_hash: Hash,
    /// Hash of this record.
    pub hash: Hash,
}

impl Record {
    /// Whether this record and the one before it may come from one command, whose records hold
    /// together or not at all. The first record of a command is the cause of its others; a command
    /// of the same moment that the same record caused looks alike, which does no harm.
    pub fn continues(&self, previous: &Record) -> bool {
        let is_same = self.at == previous.at && self.actor == previous.actor;
        let is_second = self.cause == Some(previous.seq);
        is_same && (is_second || (self.cause.is_some() && self.cause == previous.cause))
    }

    /// The position after which the next record is appended.
    pub fn cursor(&self) -> Cursor {
        Cursor {
            seq: self.seq,
            hash: self.hash,
        }
    }

    /// The event, upcast to its newest version; [`Event::Unknown`] when this binary does not know
    /// the kind or a newer version of it.
    pub fn event(&self) -> Result<Event, CodecError> {
        Event::decode(self.kind, self.version, &self.payload)
    }
}
