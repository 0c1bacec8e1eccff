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
use crate::segment::{self, Segment, follow};
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
    settings: StoreSettings,
}

impl Scan {
    /// Finds the end of the log; everything after it is not seen.
    pub async fn open(replica: &Replica, settings: &StoreSettings) -> Result<Scan, StoreError> {
        Ok(Scan {
            survey: restore::survey(replica).await?,
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
        let listed = survey.segments.partition_point(|first| *first <= enough);
        survey.segments.truncate(listed);
        let mut page = Page {
            head: after,
            records: Vec::new(),
        };
        let settings = &self.settings;
        restore::extend(&self.replica, &mut page, &survey, settings, &mut |_, _| {}).await?;
        if page.head.seq < enough {
            return Err(StoreError::Remote {
                operation: "read",
                object: layout::segment(page.head.seq.next()).to_string(),
                reason: "the log ends earlier than it did a moment ago".to_owned(),
            });
        }
        let wanted = page.records.partition_point(|record| record.seq <= last);
        page.records.truncate(wanted);
        Ok(page.records)
    }

    /// The record with this seq; `None` when the log does not have it.
    pub async fn record(&self, seq: Seq) -> Result<Option<Record>, StoreError> {
        if seq == Seq::ZERO || seq > self.head().seq {
            return Ok(None);
        }
        let segments = &self.survey.segments;
        let index = segments.partition_point(|first| *first <= seq);
        if let Some(segment) = self.linked(index.wrapping_sub(1)).await? {
            let found = segment.records.into_iter().find(|record| record.seq == seq);
            if found.is_some() {
                return Ok(found);
            }
        }
        self.last_while(|record| record.seq <= seq).await
    }

    /// The last record of the log as it was at this moment, by the clock of its writers; `None`
    /// before the first one. A writer's clock that was set back makes the answer one of several
    /// that are right.
    pub async fn record_at(&self, at: Timestamp) -> Result<Option<Record>, StoreError> {
        let (mut low, mut high) = (0, self.survey.segments.len());
        let mut found: Option<Segment> = None;
        while low < high {
            let middle = low.midpoint(high);
            let Some(segment) = self.linked(middle).await? else {
                return self.last_while(|record| record.at <= at).await;
            };
            if segment.records.first().is_some_and(|first| first.at <= at) {
                (low, found) = (middle + 1, Some(segment));
            } else {
                high = middle;
            }
        }
        let records = found.map(|segment| segment.records).unwrap_or_default();
        Ok(records.into_iter().take_while(|r| r.at <= at).last())
    }

    /// The segment with this place in the list, if it is there and follows the one before it: an
    /// object that another writer left behind does not.
    async fn linked(&self, index: usize) -> Result<Option<Segment>, StoreError> {
        let Some(segment) = self.listed(Some(index)).await? else {
            return Ok(None);
        };
        let before = match index.checked_sub(1) {
            None => Some(Cursor::START),
            before => self.listed(before).await?.map(|before| before.header.to()),
        };
        Ok((before == Some(segment.header.from())).then_some(segment))
    }

    async fn listed(&self, index: Option<usize>) -> Result<Option<Segment>, StoreError> {
        let Some(first) = index.and_then(|index| self.survey.segments.get(index)) else {
            return Ok(None);
        };
        let path = layout::segment(*first);
        let bytes = self.replica.get(&path).await?;
        let decode = |bytes: bytes::Bytes| segment::decode(path.as_ref(), &bytes);
        bytes.map(decode).transpose()
    }

    /// The last record before the first one that `keep` refuses, walking from the beginning.
    async fn last_while(
        &self,
        keep: impl Fn(&Record) -> bool,
    ) -> Result<Option<Record>, StoreError> {
        let mut last: Option<Record> = None;
        loop {
            let after = last.as_ref().map_or(Cursor::START, Record::cursor);
            let page = self.page(after, self.head().seq).await?;
            if page.is_empty() {
                return Ok(last);
            }
            for record in page {
                if !keep(&record) {
                    return Ok(last);
                }
                last = Some(record);
            }
        }
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
