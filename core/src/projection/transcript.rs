//! Transcripts: which records make up each conversation, and its first and last words.
//!
//! Invariant: holds no text but sealed text. The words of the newest conversations are here so that a
//! list of them needs no old records; all else is read from the log by seq.

use crate::codec;
use crate::content::Content;
use crate::error::CodecError;
use crate::event::Event;
use crate::ids::{RunId, Seq, SessionId};
use crate::limits::{WORDS_BYTES_MAX, WORDS_SESSIONS_MAX};
use crate::record::Record;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A line of a transcript.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The record that holds the text.
    pub seq: Seq,
    /// The message that this line answers; a message is its own.
    pub question: Seq,
}

impl Line {
    /// Whether the assistant said it.
    pub fn by_assistant(&self) -> bool {
        self.question != self.seq
    }
}

/// What a conversation begins and ends with, as it is sealed in the log.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Words {
    /// Of the first line; `None` when it holds no text, or much.
    pub first: Option<Content>,
    /// Of the last line, likewise.
    pub last: Option<Content>,
}

/// The index of all transcripts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Transcripts {
    checkpoint: Seq,
    lines: BTreeMap<SessionId, Vec<Line>>,
    /// The messages that open runs answer.
    open: BTreeMap<RunId, Seq>,
    words: BTreeMap<SessionId, Words>,
}

impl Transcripts {
    /// Version of the form [`Transcripts::encode`] writes.
    pub const VERSION: u16 = 2;

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

    /// The words of a session that was among the newest when somebody spoke there.
    pub fn words(&self, session: &SessionId) -> Option<&Words> {
        self.words.get(session)
    }

    /// Folds a record; one that was folded before changes nothing. A repeated run replaces the
    /// answer it repeats: the older one stays in the log, not in the transcript.
    pub fn apply(&mut self, record: &Record, event: &Event) {
        if record.seq <= self.checkpoint {
            return;
        }
        self.checkpoint = record.seq;
        let (session, run, text) = match event {
            Event::MessageReceived(e) => {
                return self.say(&e.session, record.seq, record.seq, Some(&e.text));
            }
            Event::RunRequested(e) => {
                if e.retry_of.is_some() {
                    self.take_back(&e.session, e.message);
                }
                self.open.insert(e.run.clone(), e.message);
                return;
            }
            Event::RunCompleted(e) => (&e.session, &e.run, Some(&e.text)),
            Event::RunCancelled(e) => (&e.session, &e.run, Some(&e.text)),
            Event::RunFailed(e) => (&e.session, &e.run, Some(&e.text)),
            Event::RunInterrupted(e) => (&e.session, &e.run, None),
            _ => return,
        };
        let question = self.open.remove(run).unwrap_or_default();
        self.say(session, record.seq, question, text);
    }

    fn say(&mut self, session: &SessionId, seq: Seq, question: Seq, text: Option<&Content>) {
        let lines = self.lines.entry(session.clone()).or_default();
        lines.push(Line { seq, question });
        let is_first = lines.len() == 1;
        let text = text.filter(|text| is_short(text)).cloned();
        let words = self.words.entry(session.clone()).or_default();
        if is_first {
            words.first.clone_from(&text);
        }
        words.last = text;
        if self.words.len() > WORDS_SESSIONS_MAX {
            self.forget_words();
        }
    }

    /// Drops the answers to this message.
    fn take_back(&mut self, session: &SessionId, message: Seq) {
        if let Some(lines) = self.lines.get_mut(session) {
            lines.retain(|line| line.question != message || !line.by_assistant());
        }
        if let Some(words) = self.words.get_mut(session) {
            words.last = None;
        }
    }

    /// Drops the words of the half of all sessions in which nobody spoke for longest.
    fn forget_words(&mut self) {
        let last = |session: &SessionId| self.lines.get(session)?.last().map(|line| line.seq);
        let mut ends: Vec<_> = self.words.keys().map(last).collect();
        let middle = ends.len() / 2;
        let (_, median, _) = ends.select_nth_unstable(middle);
        let median = *median;
        let lines = &self.lines;
        self.words.retain(|session, _| {
            let last = lines.get(session).and_then(|lines| lines.last());
            last.map(|line| line.seq) >= median
        });
    }
}

fn is_short(text: &Content) -> bool {
    matches!(text, Content::Sealed { bytes, .. } if bytes.len() <= WORDS_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_kept_for_the_newest_sessions_only() {
        let mut transcripts = Transcripts::default();
        let session = |n: u64| SessionId(format!("s{}", n * 7919 % 10_007));
        let text = Content::Sealed {
            key: "k".into(),
            bytes: vec![1],
        };
        let count = WORDS_SESSIONS_MAX as u64 + 1;
        for n in 1..=count {
            transcripts.say(&session(n), Seq(n), Seq(n), Some(&text));
        }
        assert!(transcripts.words.len() <= WORDS_SESSIONS_MAX / 2 + 1);
        assert_eq!(transcripts.words(&session(1)), None);
        let newest = transcripts.words(&session(count)).unwrap();
        assert_eq!(newest.first.as_ref(), Some(&text));
        assert_eq!(transcripts.lines.len() as u64, count);
    }

    #[test]
    fn long_texts_are_left_in_the_log() {
        let mut transcripts = Transcripts::default();
        let session = SessionId::from("s");
        let text = |bytes| Content::Sealed {
            key: "k".into(),
            bytes: vec![1; bytes],
        };
        let (short, long) = (text(WORDS_BYTES_MAX), text(WORDS_BYTES_MAX + 1));
        transcripts.say(&session, Seq(1), Seq(1), Some(&short));
        transcripts.say(&session, Seq(2), Seq(1), Some(&long));
        let words = transcripts.words(&session).unwrap();
        assert_eq!((&words.first, &words.last), (&Some(short), &None));
    }
}
