//! A modelled local disk: an event log whose appends may fail and whose machine may die.
//!
//! Invariant: what was acknowledged is there after a crash; a batch whose sync failed is there as a
//! whole or not at all, which shows only when the disk is opened again; one for which there was no
//! room is not. Readers fail now and then.

use crate::error::StoreError;
use crate::log::{EventLog, LogReader};
use crate::memory_log::MemoryLog;
use crate::testing::rng::Rng;
use moltbot_core::chain::Cursor;
use moltbot_core::ids::Seq;
use moltbot_core::record::Record;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

struct State {
    log: MemoryLog,
    /// Written, but the sync failed.
    doubtful: Vec<Record>,
    is_broken: bool,
    failures_per_mille: u64,
    rng: Rng,
    /// Records that a rewind dropped, until somebody looks.
    dropped: Vec<Record>,
}

/// One machine's disk. Clones are the same disk.
#[derive(Clone)]
pub(super) struct SimDisk {
    state: Arc<Mutex<State>>,
}

impl SimDisk {
    pub(super) fn new(seed: u64) -> SimDisk {
        let state = State {
            log: MemoryLog::new(),
            doubtful: Vec::new(),
            is_broken: false,
            failures_per_mille: 0,
            rng: Rng::new(seed),
            dropped: Vec::new(),
        };
        SimDisk {
            state: Arc::new(Mutex::new(state)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often a sync fails.
    pub(super) fn set_failures(&self, per_mille: u64) {
        self.lock().failures_per_mille = per_mille;
    }

    /// The process is gone; whoever opens the disk next finds out what is on it.
    pub(super) fn reopen(&self) -> Result<(), StoreError> {
        let mut state = self.lock();
        let doubtful = std::mem::take(&mut state.doubtful);
        state.is_broken = false;
        if !doubtful.is_empty() && state.rng.chance(500) {
            state.log.append(&doubtful)?;
        }
        Ok(())
    }

    /// The machine is gone, a new one comes.
    pub(super) fn wipe(&self) {
        let mut state = self.lock();
        state.log = MemoryLog::new();
        state.doubtful.clear();
        state.is_broken = false;
    }

    /// Records dropped by rewinds since the last time.
    pub(super) fn take_dropped(&self) -> Vec<Record> {
        std::mem::take(&mut self.lock().dropped)
    }
}

fn failed(operation: &'static str, reason: &str) -> StoreError {
    StoreError::Disk {
        operation,
        reason: reason.to_owned(),
    }
}

fn broken() -> StoreError {
    failed("sync", "it failed before")
}

/// Reads the disk as the code under test does: it may fail.
struct FaultyReader(SimDisk);

impl FaultyReader {
    fn check(&self) -> Result<(), StoreError> {
        let mut state = self.0.lock();
        let failures = state.failures_per_mille / 4;
        if state.rng.chance(failures) {
            return Err(failed("read", "input/output error"));
        }
        Ok(())
    }
}

impl LogReader for FaultyReader {
    fn base(&self) -> Cursor {
        LogReader::base(&self.0)
    }

    fn head(&self) -> Cursor {
        LogReader::head(&self.0)
    }

    fn read(&self, from: Seq, bytes_max: usize) -> Result<Vec<Record>, StoreError> {
        self.check()?;
        self.0.read(from, bytes_max)
    }

    fn get(&self, seq: Seq) -> Result<Option<Record>, StoreError> {
        self.check()?;
        self.0.get(seq)
    }
}

impl EventLog for SimDisk {
    fn head(&self) -> Cursor {
        LogReader::head(&self.lock().log)
    }

    fn append(&mut self, records: &[Record]) -> Result<(), StoreError> {
        let mut state = self.lock();
        if state.is_broken {
            return Err(broken());
        }
        let failures = state.failures_per_mille;
        if state.rng.chance(failures) {
            crate::segment::follow(LogReader::head(&state.log), records)?;
            state.is_broken = true;
            if state.rng.chance(300) {
                return Err(failed("write", "no space left on device"));
            }
            state.doubtful = records.to_vec();
            return Err(failed("sync", "input/output error"));
        }
        state.log.append(records)
    }

    fn begin_at(&mut self, base: Cursor) -> Result<(), StoreError> {
        let mut state = self.lock();
        if state.is_broken {
            return Err(broken());
        }
        state.log.begin_at(base)
    }

    fn rewind(&mut self, to: Cursor) -> Result<(), StoreError> {
        let mut state = self.lock();
        if state.is_broken {
            return Err(broken());
        }
        let kept = to.seq.max(LogReader::base(&state.log).seq);
        let dropped = state.log.read(kept.next(), usize::MAX)?;
        state.log.rewind(to)?;
        state.dropped.extend(dropped);
        Ok(())
    }

    fn reader(&self) -> Arc<dyn LogReader> {
        Arc::new(FaultyReader(self.clone()))
    }
}

impl LogReader for SimDisk {
    fn base(&self) -> Cursor {
        LogReader::base(&self.lock().log)
    }

    fn head(&self) -> Cursor {
        LogReader::head(&self.lock().log)
    }

    fn read(&self, from: Seq, bytes_max: usize) -> Result<Vec<Record>, StoreError> {
        self.lock().log.read(from, bytes_max)
    }

    fn get(&self, seq: Seq) -> Result<Option<Record>, StoreError> {
        self.lock().log.get(seq)
    }
}
