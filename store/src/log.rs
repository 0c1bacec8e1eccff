//! The seam between the gateway and its local log.
//!
//! Invariant: what [`EventLog::append`] accepted survives a killed process and a lost power
//! supply, whole batches at a time; records are contiguous and chained from the log's base, which is
//! [`Cursor::START`] unless the log was begun at a snapshot ([`EventLog::begin_at`]).
//! An implementation proves itself with the conformance suite in `testing`.

use crate::error::StoreError;
use moltbot_core::chain::Cursor;
use moltbot_core::ids::Seq;
use moltbot_core::record::Record;
use std::sync::Arc;

/// The one handle that appends. The writer thread owns it; every method may block on the disk.
pub trait EventLog: Send {
    /// The last durable record; [`Cursor::START`] for an empty log. Never blocks.
    fn head(&self) -> Cursor;

    /// Appends a batch atomically and durably: when this returns `Ok`, all of it survives a power
    /// loss; after a crash either all of it is there or nothing.
    ///
    /// The first record must follow [`EventLog::head`], otherwise `NotNext` and nothing happened.
    /// **Any other error is fatal**: what is on the disk is unknown until the log is opened
    /// again, so the caller stops and never retries.
    fn append(&mut self, records: &[Record]) -> Result<(), StoreError>;

    /// Makes the log begin after `base` instead of at seq 1, durably: what comes before is in the
    /// remote log only. Used before a start restores what follows a snapshot. The log must be
    /// empty and at [`Cursor::START`]; errors are as those of [`EventLog::append`].
    fn begin_at(&mut self, base: Cursor) -> Result<(), StoreError>;

    /// Drops everything after `to` durably. Used before the writer runs, when the local tail lost
    /// against the remote log. `to` must be a record of this log, its base, or [`Cursor::START`]:
    /// then the log is empty, and its base is the start again.
    fn rewind(&mut self, to: Cursor) -> Result<(), StoreError>;

    /// A handle for readers on other threads; it sees what was durable when it reads.
    fn reader(&self) -> Arc<dyn LogReader>;
}

/// Reads the local log from any thread. May block on the disk.
pub trait LogReader: Send + Sync {
    /// The position before the first record that is here. Reads of that record and older ones
    /// fail with `NotLocal`: they are in the remote log.
    fn base(&self) -> Cursor;

    /// The last durable record.
    fn head(&self) -> Cursor;

    /// Records from `from` on, in order, until about `bytes_max` encoded bytes are read (always
    /// at least one record when there is one). Empty at the end of the log.
    fn read(&self, from: Seq, bytes_max: usize) -> Result<Vec<Record>, StoreError>;

    /// As [`LogReader::read`], but never ends in the middle of a command: whoever restores a part
    /// of the log must not find half of one, such as a message without the key that recognises it.
    fn read_whole(&self, from: Seq, bytes_max: usize) -> Result<Vec<Record>, StoreError> {
        let mut records = self.read(from, bytes_max)?;
        while let Some(last) = records.last() {
            match self.get(last.seq.next())? {
                Some(next) if next.continues(last) => records.push(next),
                _ => break,
            }
        }
        Ok(records)
    }

    /// One record; `None` when the log does not have it.
    fn get(&self, seq: Seq) -> Result<Option<Record>, StoreError>;

    /// The position of this seq in this log; `None` when the log does not reach it.
    /// Seq 0 gives [`Cursor::START`], also where the log has another base.
    fn cursor(&self, seq: Seq) -> Result<Option<Cursor>, StoreError> {
        let base = self.base();
        if seq == Seq::ZERO {
            return Ok(Some(Cursor::START));
        }
        if seq == base.seq {
            return Ok(Some(base));
        }
        Ok(self.get(seq)?.map(|record| record.cursor()))
    }
}

/// Refuses what lies before the records of a log with this base.
pub(crate) fn require_local(seq: Seq, base: Cursor) -> Result<(), StoreError> {
    if base.seq > Seq::ZERO && seq <= base.seq {
        let base = base.seq;
        return Err(StoreError::NotLocal { seq, base });
    }
    Ok(())
}

/// Whether a log between these positions may be made to begin elsewhere.
pub(crate) fn require_empty(base: Cursor, head: Cursor) -> Result<(), StoreError> {
    if base == Cursor::START && head == Cursor::START {
        return Ok(());
    }
    Err(StoreError::Internal(format!(
        "a log from {base} to {head} cannot begin elsewhere"
    )))
}
