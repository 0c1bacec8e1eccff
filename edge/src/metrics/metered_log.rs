//! A local log that says how long each append took.

use super::Metrics;
use moltbot_core::chain::Cursor;
use moltbot_core::record::Record;
use moltbot_store::error::StoreError;
use moltbot_store::log::{EventLog, LogReader};
use std::sync::Arc;
use std::time::Instant;

/// Counts and times what is appended; adds nothing else.
pub struct MeteredLog {
    inner: Box<dyn EventLog>,
    metrics: Arc<Metrics>,
}

impl MeteredLog {
    /// Over a log.
    pub fn new(inner: Box<dyn EventLog>, metrics: Arc<Metrics>) -> MeteredLog {
        MeteredLog { inner, metrics }
    }
}

impl EventLog for MeteredLog {
    fn head(&self) -> Cursor {
        self.inner.head()
    }

    fn append(&mut self, records: &[Record]) -> Result<(), StoreError> {
        let started = Instant::now();
        self.inner.append(records)?;
        self.metrics.appended(records.len(), started.elapsed());
        Ok(())
    }

    fn begin_at(&mut self, base: Cursor) -> Result<(), StoreError> {
        self.inner.begin_at(base)
    }

    fn rewind(&mut self, to: Cursor) -> Result<(), StoreError> {
        self.inner.rewind(to)
    }

    fn reader(&self) -> Arc<dyn LogReader> {
        self.inner.reader()
    }
}
