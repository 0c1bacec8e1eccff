//! The gateway's writer in miniature: decide, seal, encode, link, evolve.

use moltbot_core::chain::{Cursor, Hash};
use moltbot_core::codec;
use moltbot_core::command::Command;
use moltbot_core::content::{DataKey, Opened};
use moltbot_core::decide::{Decision, decide};
use moltbot_core::error::Rejection;
use moltbot_core::event::Event;
use moltbot_core::evolve::evolve;
use moltbot_core::ids::{KeyId, Seq};
use moltbot_core::projection::transcript::Transcripts;
use moltbot_core::record::Record;
use moltbot_core::state::State;

/// A log with the state and the transcripts that were kept while it grew.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gateway {
    pub(crate) state: State,
    pub(crate) transcripts: Transcripts,
    /// The frames, one by one.
    pub(crate) frames: Vec<Vec<u8>>,
    /// The records as they were appended, with their events.
    pub(crate) records: Vec<(Record, Event)>,
}

impl Gateway {
    /// Decides on a command and appends what it leads to; the answer holds the sealed events.
    pub(crate) fn submit(&mut self, command: &Command) -> Result<Decision, Rejection> {
        let events = match decide(&self.state, command)? {
            Decision::Events(events) => events,
            duplicate @ Decision::Duplicate(_) => return Ok(duplicate),
        };
        let correlation = command.correlation.unwrap_or(self.state.cursor.seq.next());
        let sealed: Vec<Event> = events.into_iter().map(|event| self.seal(event)).collect();
        for event in &sealed {
            self.append(command, correlation, event.clone());
        }
        Ok(Decision::Events(sealed))
    }

    /// All frames as they stand in a file.
    pub(crate) fn log(&self) -> Vec<u8> {
        self.frames.concat()
    }

    /// The position before the record at `index`.
    pub(crate) fn before(&self, index: usize) -> Cursor {
        match index.checked_sub(1).and_then(|at| self.records.get(at)) {
            Some((record, _)) => record.cursor(),
            None => Cursor::START,
        }
    }

    fn seal(&self, mut event: Event) -> Event {
        for (place, content) in event.contents_mut().into_iter().enumerate() {
            let mut nonce = [0; 24];
            let unique = format!("{} {place}", self.frames.len());
            nonce.copy_from_slice(Hash::of(unique.as_bytes()).0.split_at(24).0);
            let key = data_key(content.key());
            let plain = content.open(None);
            content.seal(&key, nonce);
            if let Opened::Text(text) = plain {
                assert_eq!(content.open(Some(&key)), Opened::Text(text));
            }
        }
        event
    }

    fn append(&mut self, command: &Command, correlation: Seq, event: Event) {
        let record = Record {
            seq: self.state.cursor.seq.next(),
            at: command.at,
            actor: command.actor.to_string(),
            cause: command.cause,
            correlation,
            stream: event.stream(),
            kind: event.kind(),
            version: event.version(),
            critical: event.critical(),
            payload: event.encode().expect("an accepted event can be recorded"),
            prev_hash: Hash::ZERO,
            hash: Hash::ZERO,
        };
        let record = codec::link(record, self.state.cursor.hash).expect("a record has bytes");
        let mut frame = Vec::new();
        codec::encode_frame(&record, &mut frame).expect("a record fits its frame");
        evolve(&mut self.state, &record, &event);
        self.transcripts.apply(&record, &event);
        self.frames.push(frame);
        self.records.push((record, event));
    }
}

/// The data key of an id, the same in every run.
pub(crate) fn data_key(id: &KeyId) -> DataKey {
    DataKey(Hash::of(id.as_str().as_bytes()).0)
}

/// Reads a log back and folds it, as a cold start does.
pub(crate) fn replay(log: &[u8]) -> (State, Transcripts) {
    replay_after(State::default(), Transcripts::default(), log)
}

/// Reads the tail of a log and folds it into what a snapshot held.
pub(crate) fn replay_after(
    mut state: State,
    mut transcripts: Transcripts,
    log: &[u8],
) -> (State, Transcripts) {
    for record in codec::decode_frames(log, state.cursor).expect("the log is whole") {
        let event = record.event().expect("the payload is whole");
        evolve(&mut state, &record, &event);
        transcripts.apply(&record, &event);
    }
    (state, transcripts)
}
