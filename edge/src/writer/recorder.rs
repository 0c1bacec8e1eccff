//! The writer as a step function: a command in, its records staged; a batch made durable.
//!
//! Invariant: what it does depends on the commands alone, clock and randomness included, so a
//! simulation drives it as the writer's thread does. What was staged and not committed is nowhere:
//! after a failed commit the recorder is of no use any more.

use super::{Accepted, Refused};
use crate::seal::{self, SealError};
use moltbot_core::chain::Hash;
use moltbot_core::codec;
use moltbot_core::command::Command;
use moltbot_core::decide::{Decision, decide};
use moltbot_core::error::{CodecError, Rejection};
use moltbot_core::event::Event;
use moltbot_core::evolve::evolve;
use moltbot_core::record::Record;
use moltbot_core::state::State;
use moltbot_store::error::StoreError;
use moltbot_store::keys::Keyring;
use moltbot_store::log::EventLog;
use std::sync::Arc;

/// Decides, seals, links and appends.
pub struct Recorder {
    log: Box<dyn EventLog>,
    keyring: Arc<Keyring>,
    state: State,
    staged: Committed,
    staged_bytes: usize,
}

/// Records and, one for one, their events; content in them is sealed.
#[derive(Debug, Default)]
pub struct Committed {
    /// The records.
    pub records: Vec<Record>,
    /// The event of each.
    pub events: Vec<Event>,
}

impl Recorder {
    /// Goes on from `state`, which is the fold of `log`.
    pub fn new(log: Box<dyn EventLog>, keyring: Arc<Keyring>, state: State) -> Recorder {
        Recorder {
            log,
            keyring,
            state,
            staged: Committed::default(),
            staged_bytes: 0,
        }
    }

    /// The state with everything staged.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Payload bytes that wait for [`Recorder::commit`].
    pub fn staged_bytes(&self) -> usize {
        self.staged_bytes
    }

    /// Decides on a command and stages its records; what is accepted holds once it is committed.
    /// An error means that the disk failed.
    pub fn stage(&mut self, command: &Command) -> Result<Result<Accepted, Refused>, StoreError> {
        let prepared = match decide(&self.state, command) {
            Ok(Decision::Duplicate(seq)) => {
                return Ok(Ok(Accepted {
                    seq,
                    events: Vec::new(),
                    duplicate: true,
                }));
            }
            Ok(Decision::Events(events)) => self.prepare(command, events),
            Err(rejection) => Err(SealError::Rejected(rejection)),
        };
        match prepared {
            Ok(records) => Ok(Ok(self.accept(records))),
            Err(SealError::Rejected(rejection)) => Ok(Err(Refused::Rejected(rejection))),
            Err(SealError::Store(error)) => Err(error),
        }
    }

    /// Makes everything staged durable, in one batch, and hands it out.
    pub fn commit(&mut self) -> Result<Committed, StoreError> {
        let staged = std::mem::take(&mut self.staged);
        self.staged_bytes = 0;
        if !staged.records.is_empty() {
            self.log.append(&staged.records)?;
        }
        Ok(staged)
    }

    /// Seals, encodes and links the events of one command.
    fn prepare(
        &self,
        command: &Command,
        mut events: Vec<Event>,
    ) -> Result<Vec<(Record, Event)>, SealError> {
        seal::seal(&mut events, &self.keyring, &command.entropy)?;
        let first = self.state.cursor.seq.next();
        let correlation = command.correlation.unwrap_or(first);
        let mut cursor = self.state.cursor;
        let mut records = Vec::with_capacity(events.len());
        for event in events {
            let seq = cursor.seq.next();
            let record = Record {
                seq,
                at: command.at,
                actor: command.actor.to_string(),
                cause: if seq == first {
                    command.cause
                } else {
                    Some(first)
                },
                correlation,
                stream: event.stream(),
                kind: event.kind(),
                version: event.version(),
                critical: event.critical(),
                payload: event.encode().map_err(|error| cannot_record(&error))?,
                prev_hash: Hash::ZERO,
                hash: Hash::ZERO,
            };
            let record = codec::link(record, cursor.hash).map_err(|error| cannot_record(&error))?;
            cursor = record.cursor();
            records.push((record, event));
        }
        Ok(records)
    }

    /// Folds the records of one command, so that the next one of the batch sees them.
    fn accept(&mut self, records: Vec<(Record, Event)>) -> Accepted {
        let mut events = Vec::with_capacity(records.len());
        for (record, event) in records {
            evolve(&mut self.state, &record, &event);
            events.push((record.seq, record.kind));
            self.staged_bytes += record.payload.len();
            self.staged.records.push(record);
            self.staged.events.push(event);
        }
        Accepted {
            seq: self.state.cursor.seq,
            events,
            duplicate: false,
        }
    }
}

fn cannot_record(error: &CodecError) -> SealError {
    SealError::Rejected(Rejection::new("cannot_record", error.to_string()))
}
