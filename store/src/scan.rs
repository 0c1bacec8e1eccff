//! Reading the remote log from any record on, page by page, without keeping it.
//!
//! Invariant: the records of a page follow the position that was asked for, one by one, and were
//! verified as a restore verifies them; memory is bounded by one page and what is read ahead.
//! Sees the log as it was when the scan was opened. Changes nothing.

use crate::error::StoreError;
use crate::layout;
use crate::log::{EventLog, LogReader};
use crate::memory_log::MemoryLog;
use crate::replica::Replica;
use crate::restore::{self, Survey};
use crate::retry::retry;
use crate::segment::follow;
use crate::settings::{SCAN_PAGE_RECORDS, StoreSettings};
use moltbot_core::chain::Cursor;
use moltbot_core::ids::Seq;
use moltbot_core::record::Record;
use moltbot_core::time::Timestamp;
use std::sync::Arc;

/// A remote log as it was at one moment.
#[derive(Debug, Clone)]
pub struct Scan {
    replica: Replica,
    survey: Survey,
    pub(crate) settings: StoreSettings,
}

impl Scan {
    /// Finds the end of the log; everything after it is not seen.
    pub async fn open(replica: &Replica, settings: &StoreSettings) -> Result<Scan, StoreError> {
        Ok(Scan {
            survey: retry(settings, || restore::survey(replica)).await?,
            replica: replica.clone(),
            settings: settings.clone(),
        })
    }

    /// The last record.
    pub fn head(&self) -> Cursor {
        self.survey.tail.cursor
    }

    /// The remote log.
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Some records after this position, up to `to` at most; none only when there are no more.
    pub async fn page(&self, after: Cursor, to: Seq) -> Result<Vec<Record>, StoreError> {
        let last = to.min(self.head().seq);
        if after.seq >= last {
            return Ok(Vec::new());
        }
        let enough = last.min(Seq(after.seq.0.saturating_add(SCAN_PAGE_RECORDS)));
        // The walk ends with the segment that holds the last record it knows of.
        let mut survey = self.survey.clone();
        survey.tail.cursor.seq = enough;
        let records = retry(&self.settings, || async {
            let mut page = Page {
                head: after,
                records: Vec::new(),
            };
            match self.walk(&mut page, &survey).await {
                // What came until then is whole, and the next page begins after it.
                Err(error) if page.records.is_empty() => Err(error),
                _ => Ok(page.records),
            }
        });
        let mut records = records.await?;
        let wanted = records.partition_point(|record| record.seq <= last);
        records.truncate(wanted);
        Ok(records)
    }

    /// Reads to where the survey ends.
    async fn walk(&self, page: &mut Page, survey: &Survey) -> Result<(), StoreError> {
        let settings = &self.settings;
        restore::extend(&self.replica, page, survey, settings, &mut |_, _| {}).await?;
        if page.head.seq >= survey.tail.cursor.seq {
            return Ok(());
        }
        Err(StoreError::Remote {
            operation: "read",
            object: layout::segment(page.head.seq.next()).to_string(),
            reason: "the log ends earlier than it did a moment ago".to_owned(),
        })
    }

    /// The record with this seq; `None` when the log does not have it.
    pub async fn record(&self, seq: Seq) -> Result<Option<Record>, StoreError> {
        if seq == Seq::ZERO || seq > self.head().seq {
            return Ok(None);
        }
        let records = self.holding(seq).await?;
        Ok(records.into_iter().find(|record| record.seq == seq))
    }

    /// The last record of the log as it was at this moment, by the clock of its writers; `None`
    /// before the first one. A writer's clock that was set back makes the answer one of several
    /// that are right.
    pub async fn record_at(&self, at: Timestamp) -> Result<Option<Record>, StoreError> {
        let objects = self.survey.catalog.chain(Seq(1));
        let (mut low, mut high) = (0, objects.len());
        let mut found = Vec::new();
        while low < high {
            let middle = low.midpoint(high);
            let Some(first) = objects.get(middle).map(|object| object.first()) else {
                break;
            };
            let records = self.holding(first).await?;
            if records
                .iter()
                .any(|record| record.seq == first && record.at <= at)
            {
                (low, found) = (middle + 1, records);
            } else {
                high = middle;
            }
        }
        let counts = |record: &Record| record.at <= at && record.seq <= self.head().seq;
        Ok(found.into_iter().take_while(counts).last())
    }

    /// The records of the object that holds this one.
    async fn holding(&self, seq: Seq) -> Result<Vec<Record>, StoreError> {
        let found = retry(&self.settings, || async {
            // What is found out about the catalog meanwhile is of no use to the next question.
            let mut catalog = self.survey.catalog.clone();
            catalog.read_holding(&self.replica, seq).await
        });
        let found = found.await?;
        Ok(found.map(|found| found.segment.records).unwrap_or_default())
    }
}

/// What a restore appends to: a log that begins anywhere and lasts for one page.
struct Page {
    head: Cursor,
    records: Vec<Record>,
}

impl EventLog for Page {
    fn head(&self) -> Cursor {
        self.head
    }

    fn append(&mut self, records: &[Record]) -> Result<(), StoreError> {
        self.head = follow(self.head, records)?;
        self.records.extend_from_slice(records);
        Ok(())
    }

    fn rewind(&mut self, to: Cursor) -> Result<(), StoreError> {
        Err(StoreError::Internal(format!(
            "a page is never rewound to {to}"
        )))
    }

    /// Nobody reads a page through this.
    fn reader(&self) -> Arc<dyn LogReader> {
        MemoryLog::new().reader()
    }
}
