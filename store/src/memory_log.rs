//! A log that forgets everything with the process, for tests and trials.
//!
//! Invariant: behaves as [`crate::sled_log::SledLog`] does between two crashes; both pass the same
//! conformance suite. Clones share the records, so a clone stands for "opened again".

use crate::error::StoreError;
use crate::log::{EventLog, LogReader};
use crate::segment::follow;
use moltbot_core::chain::Cursor;
use moltbot_core::codec;
use moltbot_core::ids::Seq;
use moltbot_core::record::Record;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Records in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryLog {
    records: Arc<RwLock<Vec<Record>>>,
}

impl MemoryLog {
    /// An empty log.
    pub fn new() -> MemoryLog {
        MemoryLog::default()
    }

    fn lock(&self) -> RwLockReadGuard<'_, Vec<Record>> {
        self.records.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_mut(&self) -> RwLockWriteGuard<'_, Vec<Record>> {
        self.records.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EventLog for MemoryLog {
    fn head(&self) -> Cursor {
        LogReader::head(self)
    }

    fn append(&mut self, records: &[Record]) -> Result<(), StoreError> {
        follow(LogReader::head(self), records)?;
        self.lock_mut().extend_from_slice(records);
        Ok(())
    }

    fn rewind(&mut self, to: Cursor) -> Result<(), StoreError> {
        if self.cursor(to.seq)? != Some(to) {
            return Err(StoreError::Internal(format!(
                "cannot rewind to {to}, which is not in the log"
            )));
        }
        self.lock_mut().truncate(position_after(to.seq));
        Ok(())
    }

    fn reader(&self) -> Arc<dyn LogReader> {
        Arc::new(self.clone())
    }
}

impl LogReader for MemoryLog {
    fn head(&self) -> Cursor {
        self.lock().last().map_or(Cursor::START, Record::cursor)
    }

    fn read(&self, from: Seq, bytes_max: usize) -> Result<Vec<Record>, StoreError> {
        let records = self.lock();
        let start = position_after(Seq(from.0.saturating_sub(1)));
        let mut bytes = 0;
        let mut found = Vec::new();
        for record in records.get(start..).unwrap_or_default() {
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
        Ok(self.lock().get(position_after(seq) - 1).cloned())
    }
}

/// Records up to this seq stand before this place.
fn position_after(seq: Seq) -> usize {
    usize::try_from(seq.0).unwrap_or(usize::MAX)
}
