//! Transcripts: which records make up each conversation.

use crate::codec;
use crate::error::CodecError;
use crate::event::Event;
use crate::ids::{RunId, Seq, SessionId};
use crate::record::Record;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A line of a transcript.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The record that holds the text.
    pub seq: Seq,
    /// The run it belongs to.
    pub run: RunId,
    /// Whether the assistant said it.
    pub by_assistant: bool,
}

/// The index of all transcripts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Transcripts {
    checkpoint: Seq,
    lines: BTreeMap<SessionId, Vec<Line>>,
}

impl Transcripts {
    /// Version of the form [`Transcripts::encode`] writes.
    pub const VERSION: u16 = 1;

    /// The index as bytes for a snapshot.
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        codec::encode_section("transcripts", self)
    }

    /// The index of a snapshot's bytes; `None` when they are no index. The version stands in the
    /// snapshot, not in these bytes: compare it with [`Transcripts::VERSION`] first.
    pub fn decode(bytes: &[u8]) -> Option<Transcripts> {
        codec::decode_section(bytes)
    }

    /// The last record folded.
    pub fn checkpoint(&self) -> Seq {
        self.checkpoint
    }

    /// At most `limit` lines of a session before `before`, oldest first, and whether there are
    /// older ones.
    pub fn page(&self, session: &SessionId, before: Option<Seq>, limit: usize) -> (&[Line], bool) {
        let lines = self
            .lines
            .get(session)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let end = before.map_or(lines.len(), |seq| {
            lines.partition_point(|line| line.seq < seq)
        });
        let start = end.saturating_sub(limit);
        (lines.get(start..end).unwrap_or_default(), start > 0)
    }

    /// The first line of a session, for its title.
    pub fn first(&self, session: &SessionId) -> Option<&Line> {
        self.lines.get(session)?.first()
    }

    /// The last line of a session, for its preview.
    pub fn last(&self, session: &SessionId) -> Option<&Line> {
        self.lines.get(session)?.last()
    }

    /// Folds a record; one that was folded before changes nothing. A repeated run replaces the answer it repeats: the older one stays in the
    /// log, not in the transcript.
    pub fn apply(&mut self, record: &Record, event: &Event) {
        if record.seq <= self.checkpoint {
            return;
        }
        self.checkpoint = record.seq;
        let (session, run, by_assistant) = match event {
            Event::MessageReceived(e) => (&e.session, &e.run, false),
            Event::RunCompleted(e) => (&e.session, &e.run, true),
            Event::RunCancelled(e) => (&e.session, &e.run, true),
            Event::RunFailed(e) => (&e.session, &e.run, true),
            Event::RunInterrupted(e) => (&e.session, &e.run, true),
            Event::RunRequested(e) => {
                if let (Some(old), Some(lines)) = (&e.retry_of, self.lines.get_mut(&e.session)) {
                    lines.retain(|line| !(line.by_assistant && line.run == *old));
                }
                return;
            }
            _ => return,
        };
        let line = Line {
            seq: record.seq,
            run: run.clone(),
            by_assistant,
        };
        self.lines.entry(session.clone()).or_default().push(line);
    }
}
