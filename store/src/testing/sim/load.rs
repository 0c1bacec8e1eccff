//! What simulated gateways do with their logs while they run.
//!
//! Invariant: a process lives between claim and crash; what it knew is gone with it, what the world
//! outside saw stays.

use crate::error::StoreError;
use crate::keys::Keyring;
use crate::log::{EventLog, LogReader};
use crate::testing::KIND;
use crate::testing::rng::Rng;
use moltbot_core::chain::{Cursor, Hash};
use moltbot_core::codec;
use moltbot_core::content::DataKey;
use moltbot_core::error::CodecError;
use moltbot_core::event::{DataKeyCreated, Event, SnapshotTaken, UnknownEvent};
use moltbot_core::ids::KeyId;
use moltbot_core::record::Record;
use moltbot_core::time::Timestamp;
use std::sync::Arc;

/// What is on the machine of a process that begins to work.
pub struct Machine {
    /// The claimed log.
    pub log: Box<dyn EventLog>,
    /// Reads it.
    pub reader: Arc<dyn LogReader>,
    /// The data keys.
    pub keyring: Arc<Keyring>,
}

/// A moment at which a process may do something.
pub struct Moment<'a> {
    /// The time.
    pub now_ms: u64,
    /// The last record that is safe in the remote log, as far as this process knows.
    pub shipped: Cursor,
    /// A snapshot that was just stored; it counts once the log names it.
    pub snapshot: Option<SnapshotTaken>,
    /// The only source of chance.
    pub rng: &'a mut Rng,
}

/// What a process did.
#[derive(Debug, Default)]
pub struct Done {
    /// What it appended, in order; durable on its disk.
    pub appended: Vec<Record>,
    /// Whether somebody waits for it to be shipped.
    pub ship_now: bool,
    /// Lines for the trace.
    pub notes: Vec<String>,
}

/// A process at work.
pub trait Process {
    /// Does what it wants to do now. An error means that its disk failed: it ends.
    fn work(&mut self, moment: Moment<'_>) -> Result<Done, StoreError>;
}

/// The work of all processes, and the world outside that sees it.
pub trait Load {
    /// A process that has just claimed the log of this machine.
    fn start(&mut self, machine: Machine) -> Result<Box<dyn Process>, StoreError>;

    /// Holds what the world saw against the records that survived; the broken law, if any.
    fn check(&self, survived: &[Record]) -> Result<(), String>;
}

/// Processes that append records nobody else would write.
#[derive(Debug, Default)]
pub struct Noise;

impl Load for Noise {
    fn start(&mut self, machine: Machine) -> Result<Box<dyn Process>, StoreError> {
        Ok(Box::new(machine))
    }

    fn check(&self, _: &[Record]) -> Result<(), String> {
        Ok(())
    }
}

impl Process for Machine {
    fn work(&mut self, moment: Moment<'_>) -> Result<Done, StoreError> {
        let Moment {
            now_ms,
            rng,
            snapshot,
            ..
        } = moment;
        let mut cursor = self.log.head();
        let mut records = Vec::new();
        if let Some(taken) = snapshot {
            let record = recorded(cursor, now_ms, &Event::from(taken))?;
            cursor = record.cursor();
            records.push(record);
        }
        for _ in 0..=rng.below(4) {
            let record = noise(cursor, now_ms, rng, &self.keyring)?;
            cursor = record.cursor();
            records.push(record);
        }
        self.log.append(&records)?;
        Ok(Done {
            appended: records,
            ship_now: rng.below(3) == 0,
            notes: Vec::new(),
        })
    }
}

fn noise(
    after: Cursor,
    now_ms: u64,
    rng: &mut Rng,
    keyring: &Keyring,
) -> Result<Record, StoreError> {
    let event = if rng.below(8) == 0 {
        let key = KeyId(format!("k{:x}", rng.next_u64()));
        keyring.create(&[(key.clone(), DataKey([7; 32]))])?;
        let scope = String::new();
        Event::from(DataKeyCreated { key, scope })
    } else {
        let mut payload = rng.next_u64().to_le_bytes().to_vec();
        payload.resize(8 + rng.index(50), 0);
        Event::Unknown(UnknownEvent {
            kind: KIND,
            version: 1,
            payload,
        })
    };
    recorded(after, now_ms, &event)
}

fn recorded(after: Cursor, now_ms: u64, event: &Event) -> Result<Record, StoreError> {
    let seq = after.seq.next();
    let invalid = |error: CodecError| StoreError::Internal(error.to_string());
    let record = Record {
        seq,
        at: Timestamp(i64::try_from(now_ms).unwrap_or(i64::MAX)),
        actor: "system".to_owned(),
        cause: None,
        correlation: seq,
        stream: "sim".to_owned(),
        kind: event.kind(),
        version: event.version(),
        critical: event.critical(),
        payload: event.encode().map_err(invalid)?,
        prev_hash: Hash::ZERO,
        hash: Hash::ZERO,
    };
    codec::link(record, after.hash).map_err(invalid)
}
