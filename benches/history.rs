//! A history as a gateway records it: conversations of sealed messages and answers.

use crate::PAYLOAD_BYTES;
use moltbot_core::actor::Actor;
use moltbot_core::chain::{Cursor, Hash};
use moltbot_core::codec;
use moltbot_core::content::Content;
use moltbot_core::event::{
    CommandRecorded, DataKeyCreated, Event, MessageReceived, RunCompleted, RunRequested,
    RunStarted, SessionCreated, Usage,
};
use moltbot_core::ids::{KeyId, RunId, Seq, SessionId, hex};
use moltbot_core::record::Record;
use moltbot_core::time::Timestamp;

const SESSIONS: usize = 200;
const RECORDS_PER_TURN: usize = 5;
/// One data key for each side of a conversation, and the event that makes the conversation.
const RECORDS_PER_SESSION: usize = 3;
const YEAR_MS: i64 = 365 * 24 * 60 * 60 * 1_000;
/// How long a command's key is remembered.
const KEY_TTL_MS: i64 = 7 * 24 * 60 * 60 * 1_000;

/// About so many linked records, from the first: a year of whole turns, spread over many
/// conversations.
///
/// # Panics
/// When an event does not fit a record, which none of these does.
pub fn records(count: usize) -> Vec<Record> {
    let mut history = History::of(count);
    history.grow(count);
    history.take()
}

/// A history that grows.
pub struct History {
    records: Vec<Record>,
    head: Cursor,
    step_ms: i64,
    turns: usize,
}

impl History {
    /// The beginning of one that will have about so many records in a year.
    pub fn of(count: usize) -> History {
        let mut history = History {
            records: Vec::new(),
            head: Cursor::START,
            step_ms: YEAR_MS / i64::try_from(count.max(1)).unwrap_or(YEAR_MS),
            turns: 0,
        };
        for session in 0..SESSIONS {
            let key = format!("agent:main:bench-{session}");
            let session = SessionId::from(id("session", session));
            for author in ["operator", "assistant"] {
                history.append(DataKeyCreated {
                    key: KeyId(id(author, history.records.len())),
                    scope: format!("session/{session}|{author}"),
                });
            }
            history.append(SessionCreated { session, key });
        }
        history
    }

    /// Whole turns, to about so many records in all.
    pub fn grow(&mut self, count: usize) {
        let turns = count.saturating_sub(SESSIONS * RECORDS_PER_SESSION) / RECORDS_PER_TURN;
        while self.turns < turns {
            self.turn(self.turns);
            self.turns += 1;
        }
    }

    /// The records since the last time.
    pub fn take(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.records)
    }

    fn at(&self, seq: Seq) -> Timestamp {
        let since = i64::try_from(seq.0).unwrap_or_default() * self.step_ms;
        Timestamp(1_800_000_000_000 + since)
    }

    fn turn(&mut self, turn: usize) {
        let session = SessionId::from(id("session", turn % SESSIONS));
        let run = RunId::from(id("run", turn));
        self.append(MessageReceived {
            session: session.clone(),
            run: run.clone(),
            text: sealed(turn * 2),
        });
        let message = self.head.seq;
        self.append(RunRequested {
            run: run.clone(),
            session: session.clone(),
            message,
            retry_of: None,
        });
        self.append(CommandRecorded {
            key: half(turn),
            payload: half(turn + 1),
            expires_at: Timestamp(self.at(self.head.seq).0 + KEY_TTL_MS),
        });
        self.append(RunStarted {
            run: run.clone(),
            session: session.clone(),
            provider: "anthropic".to_owned(),
            model: "a-model-of-this-year".to_owned(),
        });
        self.append(RunCompleted {
            run,
            session,
            text: sealed(turn * 2 + 1),
            stop_reason: "stop".to_owned(),
            provider: "anthropic".to_owned(),
            model: "a-model-of-this-year".to_owned(),
            usage: Usage {
                input: 1_000,
                output: 100,
                cache_read: 900,
                cache_write: 0,
            },
            duration_ms: 1_500,
        });
    }

    /// One record more.
    pub fn append(&mut self, event: impl Into<Event>) {
        let event = event.into();
        let seq = self.head.seq.next();
        let Ok(payload) = event.encode() else {
            unreachable!("its content is sealed")
        };
        let record = Record {
            seq,
            at: self.at(seq),
            actor: Actor::Local.to_string(),
            cause: None,
            correlation: seq,
            stream: event.stream(),
            kind: event.kind(),
            version: event.version(),
            critical: event.critical(),
            payload,
            prev_hash: Hash::ZERO,
            hash: Hash::ZERO,
        };
        let Ok(record) = codec::link(record, self.head.hash) else {
            unreachable!("it fits a record")
        };
        self.head = record.cursor();
        self.records.push(record);
    }
}

/// Sealed text is as random as this.
fn sealed(number: usize) -> Content {
    let bytes = (0..PAYLOAD_BYTES / 32).flat_map(|part| hash(number * 100 + part).0);
    Content::Sealed {
        key: "bench".into(),
        bytes: bytes.collect(),
    }
}

fn id(what: &str, number: usize) -> String {
    let name = format!("{what} {number}");
    hex(Hash::of(name.as_bytes())
        .0
        .first_chunk::<16>()
        .unwrap_or(&[0; 16]))
}

fn half(number: usize) -> [u8; 16] {
    *hash(number).0.first_chunk().unwrap_or(&[0; 16])
}

fn hash(number: usize) -> Hash {
    Hash::of(&number.to_le_bytes())
}
