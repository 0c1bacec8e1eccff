//! Reading the remote log from any record on, page by page, without keeping it.
//!
//! Invariant: the records of a page follow the position that was asked for, one by one, and were
//! verified as a restore verifies them; memory is bounded by one page and what is read ahead.
//! Sees the log as it was when the scan was opened. Changes nothing.

use crate::catalog::unsettled;
use crate::error::StoreError;
use crate::layout;
use crate::log::{EventLog, LogReader};
use crate::memory_log::MemoryLog;
use crate::replica::Replica;
use crate::restore::{self, Survey};
use crate::retry::retry;
use crate::segment::{Segment, follow};
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
        let records = self.holding(seq).await?.records;
        Ok(records.into_iter().find(|record| record.seq == seq))
    }

    /// The last record of the log as it was at this moment, by the clock of its writers; `None`
    /// before the first one. A writer's clock that was set back makes the answer one of several
    /// that are right.
    pub async fn record_at(&self, at: Timestamp) -> Result<Option<Record>, StoreError> {
        let (mut low, mut high) = (Seq(1), self.head().seq);
        let mut last: Option<Record> = None;
        while low <= high {
            let middle = Seq(low.0.midpoint(high.0));
            let segment = self.holding(middle).await?;
            let until = segment.records.partition_point(|record| record.at <= at);
            if until == 0 {
                high = Seq(segment.header.first.0.saturating_sub(1));
                continue;
            }
            low = segment.header.last.next();
            let is_inside = until < segment.records.len();
            last = segment.records.into_iter().nth(until - 1);
            if is_inside {
                break;
            }
        }
        Ok(last.filter(|last| last.seq <= self.head().seq))
    }

    /// The segment that holds this record of the log.
    async fn holding(&self, seq: Seq) -> Result<Segment, StoreError> {
        retry(&self.settings, || async {
            // What is found out about the catalog meanwhile is of no use to the next question.
            let mut catalog = self.survey.catalog.clone();
            let found = catalog.read_holding(&self.replica, seq).await?;
            found
                .map(|found| found.segment)
                .ok_or_else(|| unsettled(seq))
        })
        .await
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

    fn begin_at(&mut self, base: Cursor) -> Result<(), StoreError> {
        Err(StoreError::Internal(format!(
            "a page begins where it was asked for and not after {base}"
        )))
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
