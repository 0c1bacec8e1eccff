//! The seam between the gateway and its local log.
//!
//! Invariant: what [`EventLog::append`] accepted survives a killed process and a lost power
//! supply, whole batches at a time; records are contiguous and chained from seq 1.
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

    /// Drops everything after `to` durably. Used before the writer runs, when the local tail lost
    /// against the remote log. `to` must be a record of this log, or [`Cursor::START`].
    fn rewind(&mut self, to: Cursor) -> Result<(), StoreError>;

    /// A handle for readers on other threads; it sees what was durable when it reads.
    fn reader(&self) -> Arc<dyn LogReader>;
}

/// Reads the local log from any thread. May block on the disk.
pub trait LogReader: Send + Sync {
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
    /// Seq 0 gives [`Cursor::START`].
    fn cursor(&self, seq: Seq) -> Result<Option<Cursor>, StoreError> {
        if seq == Seq::ZERO {
            return Ok(Some(Cursor::START));
        }
        Ok(self.get(seq)?.map(|record| record.cursor()))
    }
}
