//! Holding a log against checkpoints.
//!
//! Invariant: an audit that finds nothing means that every record up to the newest checkpoint is the
//! one that was signed. What it needs of the log is its records, once, in order; that these are
//! whole and linked is checked by whoever reads them.

use super::{Held, Signed};
use crate::segment::Segment;
use moltbot_core::chain::{Cursor, Hash};
use moltbot_core::event::{CheckpointKeyUsed, Event};
use moltbot_core::ids::Seq;
use moltbot_core::record::Record;
use moltbot_core::storage::CheckpointKey;
use moltbot_core::time::Timestamp;
use std::collections::BTreeMap;
use thiserror::Error;

/// What is wrong, in a sentence for a person.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Finding {
    /// Nobody with the key signed this.
    #[error(
        "checkpoint `{place}` for record {cursor} is forged or was altered: its signature does not fit its key {key}"
    )]
    Forged {
        /// Where it is.
        place: String,
        /// What it says.
        cursor: Cursor,
        /// The key it names.
        key: CheckpointKey,
    },
    /// It is about another log, or about this one before its first record was replaced.
    #[error(
        "checkpoint `{place}` for record #{seq} is of another log, or this one was written anew: the log that was signed begins with {signed}, this one with {found}"
    )]
    OtherLog {
        /// Where it is.
        place: String,
        /// What it covers.
        seq: Seq,
        /// The first record of the log that was signed.
        signed: Hash,
        /// The first record of this log.
        found: Hash,
    },
    /// A signed record is no longer the one that was signed.
    #[error(
        "the history was rewritten: record #{seq} has the hash {found}, but checkpoint `{place}` of {at} signed {signed}"
    )]
    Rewritten {
        /// Where the checkpoint is.
        place: String,
        /// The record.
        seq: Seq,
        /// Its hash when it was signed.
        signed: Hash,
        /// Its hash now.
        found: Hash,
        /// When it was signed.
        at: Timestamp,
    },
    /// The log ends before a signed record.
    #[error(
        "the log was cut off: it ends with record {head}, but checkpoint `{place}` of {at} signed record {signed}"
    )]
    CutOff {
        /// Where the checkpoint is.
        place: String,
        /// The record that was signed.
        signed: Cursor,
        /// The last record there is.
        head: Cursor,
        /// When it was signed.
        at: Timestamp,
    },
    /// Another key than the one that was named in the log, or by whoever asks.
    #[error(
        "checkpoint `{place}` for record {cursor} is signed with the key {key} instead of {expected}"
    )]
    OtherKey {
        /// Where it is.
        place: String,
        /// What it says.
        cursor: Cursor,
        /// The key that signed it.
        key: CheckpointKey,
        /// The key that should have, or `none`.
        expected: String,
    },
    /// The segments do not follow one another, or do not reach the checkpoint.
    #[error("these segments prove nothing: {0}")]
    NotJoined(String),
}

/// What an audit gave.
#[derive(Debug, Clone)]
pub struct Report {
    /// Checkpoints that were looked at.
    pub checkpoints: usize,
    /// The newest one that holds.
    pub newest: Option<Signed>,
    /// Every key the log names, from which record on.
    pub keys: Vec<(Seq, CheckpointKey)>,
    /// What is wrong; the newest checkpoint first.
    pub findings: Vec<Finding>,
}

/// A log being held against checkpoints, record by record.
pub struct Audit {
    by_seq: BTreeMap<Seq, Vec<Held>>,
    pinned: Option<CheckpointKey>,
    /// The kind of the records that name keys; no others need to be decoded.
    key_kind: u16,
    first: Hash,
    head: Cursor,
    /// Hash and key at each seq that was signed.
    found: BTreeMap<Seq, (Hash, Option<CheckpointKey>)>,
    keys: Vec<(Seq, CheckpointKey)>,
}

impl Audit {
    /// An audit against these checkpoints. With a `pinned` key, only that key counts: what is newer
    /// than the last checkpoint it signed must be signed with it too. Without one, the log itself
    /// says which key counted when.
    pub fn new(held: Vec<Held>, pinned: Option<CheckpointKey>) -> Audit {
        let mut by_seq: BTreeMap<Seq, Vec<Held>> = BTreeMap::new();
        for held in held {
            let seq = held.signed.checkpoint.cursor.seq;
            by_seq.entry(seq).or_default().push(held);
        }
        Audit {
            by_seq,
            pinned,
            key_kind: key_kind(),
            first: Hash::ZERO,
            head: Cursor::START,
            found: BTreeMap::new(),
            keys: Vec::new(),
        }
    }

    /// The next record of the log.
    pub fn see(&mut self, record: &Record) {
        if record.seq == Seq(1) {
            self.first = record.hash;
        }
        self.head = record.cursor();
        if record.kind == self.key_kind
            && let Ok(Event::CheckpointKeyUsed(used)) = record.event()
        {
            self.keys.push((record.seq, used.public_key));
        }
        if self.by_seq.contains_key(&record.seq) {
            let key = self.keys.last().map(|(_, key)| *key);
            self.found.insert(record.seq, (record.hash, key));
        }
    }

    /// The end of the log.
    pub fn finish(self) -> Report {
        let mut report = Report {
            checkpoints: 0,
            newest: None,
            keys: self.keys.clone(),
            findings: Vec::new(),
        };
        // Whether a newer one was signed with the pinned key: it vouches for what lies before.
        let mut is_vouched = false;
        for held in self.by_seq.values().rev().flatten() {
            report.checkpoints += 1;
            if let Err(finding) = self.check(held, is_vouched) {
                report.findings.push(finding);
                continue;
            }
            is_vouched |= self.pinned == Some(held.signed.public_key);
            report.newest.get_or_insert(held.signed);
        }
        report
    }

    fn check(&self, held: &Held, is_vouched: bool) -> Result<(), Finding> {
        let signed = &held.signed;
        let cursor = signed.checkpoint.cursor;
        let found = self.found.get(&cursor.seq);
        hold(held, self.first, self.head, found.map(|(hash, _)| *hash))?;
        let named = found.and_then(|(_, key)| *key);
        let expected = self.pinned.filter(|_| !is_vouched).or(named);
        if expected != Some(signed.public_key) {
            return Err(Finding::OtherKey {
                place: held.place.clone(),
                cursor,
                key: signed.public_key,
                expected: expected.map_or_else(|| "none".to_owned(), |key| key.to_string()),
            });
        }
        Ok(())
    }
}

/// Holds one checkpoint against a log that begins with the record of hash `log` and ends with `end`;
/// `found` is the hash of its record at the seq that was signed, if that is known. Says nothing
/// about whose key it is.
pub fn hold(held: &Held, log: Hash, end: Cursor, found: Option<Hash>) -> Result<(), Finding> {
    let signed = genuine(held)?.checkpoint;
    let place = || held.place.clone();
    let (cursor, at) = (signed.cursor, signed.at);
    if end != Cursor::START && signed.log != log {
        return Err(Finding::OtherLog {
            place: place(),
            seq: cursor.seq,
            signed: signed.log,
            found: log,
        });
    }
    if cursor.seq > end.seq {
        return Err(Finding::CutOff {
            place: place(),
            signed: cursor,
            head: end,
            at,
        });
    }
    match found.filter(|found| *found != cursor.hash) {
        None => Ok(()),
        Some(found) => Err(Finding::Rewritten {
            place: place(),
            seq: cursor.seq,
            signed: cursor.hash,
            found,
            at,
        }),
    }
}

/// Proves segments offline: they follow one another without a gap and lead to the record that was
/// signed, so each of their records up to that one is what was signed. How many these are.
///
/// Each was opened and verified before ([`crate::segment::decode`]), chain included. The segment
/// that holds the signed record is enough by itself; an older one needs those in between, since
/// only their records lead from its last hash to the signed one.
pub fn prove(segments: &[Segment], held: &Held) -> Result<u64, Finding> {
    let signed = genuine(held)?.checkpoint;
    let cursor = signed.cursor;
    let not_joined = |reason: String| Err(Finding::NotJoined(reason));
    for pair in segments.windows(2) {
        if let [one, next] = pair
            && one.header.to() != next.header.from()
        {
            return not_joined(format!(
                "after record {} comes #{} with the hash {} before it",
                one.header.to(),
                next.header.first,
                next.header.before
            ));
        }
    }
    let mut records = segments.iter().flat_map(|segment| &segment.records);
    let Some(found) = records.clone().find(|record| record.seq == cursor.seq) else {
        return not_joined(format!(
            "checkpoint `{}` is for record #{}, which is in none of them",
            held.place, cursor.seq
        ));
    };
    if found.hash != cursor.hash {
        return Err(Finding::Rewritten {
            place: held.place.clone(),
            seq: cursor.seq,
            signed: cursor.hash,
            found: found.hash,
            at: signed.at,
        });
    }
    let first = records.next().filter(|record| record.seq == Seq(1));
    if let Some(other) = first.filter(|record| record.hash != signed.log) {
        return Err(Finding::OtherLog {
            place: held.place.clone(),
            seq: cursor.seq,
            signed: signed.log,
            found: other.hash,
        });
    }
    let all = segments.iter().flat_map(|segment| &segment.records);
    Ok(all.filter(|record| record.seq <= cursor.seq).count() as u64)
}

fn key_kind() -> u16 {
    let public_key = CheckpointKey([0; 32]);
    Event::from(CheckpointKeyUsed { public_key }).kind()
}

fn genuine(held: &Held) -> Result<&Signed, Finding> {
    let signed = &held.signed;
    if signed.is_genuine() {
        return Ok(signed);
    }
    Err(Finding::Forged {
        place: held.place.clone(),
        cursor: signed.checkpoint.cursor,
        key: signed.public_key,
    })
}
