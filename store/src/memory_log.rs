//! A log that forgets everything with the process, for tests and trials.
//!
//! Invariant: behaves as [`crate::sled_log::SledLog`] does between two crashes; both pass the same
//! conformance suite. Clones share the records, so a clone stands for "opened again".

use crate::error::StoreError;
use crate::log::{EventLog, LogReader, require_empty, require_local};
use crate::segment::follow;
use moltbot_core::chain::Cursor;
use moltbot_core::codec;
use moltbot_core::ids::Seq;
use moltbot_core::record::Record;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Records in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryLog {
    held: Arc<RwLock<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    base: Cursor,
    records: Vec<Record>,
}

impl MemoryLog {
    /// An empty log.
    pub fn new() -> MemoryLog {
        MemoryLog::default()
    }

    fn lock(&self) -> RwLockReadGuard<'_, Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_mut(&self) -> RwLockWriteGuard<'_, Held> {
        self.held.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EventLog for MemoryLog {
    fn head(&self) -> Cursor {
        LogReader::head(self)
    }

    fn append(&mut self, records: &[Record]) -> Result<(), StoreError> {
        follow(LogReader::head(self), records)?;
        self.lock_mut().records.extend_from_slice(records);
        Ok(())
    }

    fn begin_at(&mut self, base: Cursor) -> Result<(), StoreError> {
        require_empty(LogReader::base(self), LogReader::head(self))?;
        self.lock_mut().base = base;
        Ok(())
    }

    fn rewind(&mut self, to: Cursor) -> Result<(), StoreError> {
        if to != Cursor::START && self.cursor(to.seq)? != Some(to) {
            return Err(StoreError::Internal(format!(
                "cannot rewind to {to}, which is not in the log"
            )));
        }
        let mut held = self.lock_mut();
        let kept = held.count_to(to.seq);
        held.records.truncate(kept);
        if to == Cursor::START {
            held.base = to;
        }
        Ok(())
    }

    fn reader(&self) -> Arc<dyn LogReader> {
        Arc::new(self.clone())
    }
}

impl LogReader for MemoryLog {
    fn base(&self) -> Cursor {
        self.lock().base
    }

    fn head(&self) -> Cursor {
        let held = self.lock();
        held.records.last().map_or(held.base, Record::cursor)
    }

    fn read(&self, from: Seq, bytes_max: usize) -> Result<Vec<Record>, StoreError> {
        let held = self.lock();
        require_local(from, held.base)?;
        let start = held.count_to(Seq(from.0.saturating_sub(1)));
        let mut bytes = 0;
        let mut found = Vec::new();
        for record in held.records.get(start..).unwrap_or_default() {
            if bytes >= bytes_max && !found.is_empty() {
                break;
            }
            let mut frame = Vec::new();
            codec::encode_frame(record, &mut frame)
                .map_err(|error| StoreError::Internal(error.to_string()))?;
            bytes += frame.len();
            found.push(record.clone());
        }
        Ok(found)
    }

    fn get(&self, seq: Seq) -> Result<Option<Record>, StoreError> {
        if seq == Seq::ZERO {
            return Ok(None);
        }
        let held = self.lock();
        require_local(seq, held.base)?;
        Ok(held.records.get(held.count_to(seq) - 1).cloned())
    }
}

impl Held {
    /// So many of the records, or places for records, are not after this seq.
    fn count_to(&self, seq: Seq) -> usize {
        usize::try_from(seq.0.saturating_sub(self.base.seq.0)).unwrap_or(usize::MAX)
    }
}
