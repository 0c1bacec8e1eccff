//! Where records are read from: the remote log, or the log of a running gateway.
//!
//! Invariant: both give the same records. The methods are asynchronous for the remote log; a local one
//! blocks on the disk, so whoever serves others meanwhile runs them on a thread of their own.

use moltbot_core::chain::Cursor;
use moltbot_core::ids::Seq;
use moltbot_core::record::Record;
use moltbot_core::time::Timestamp;
use moltbot_store::error::StoreError;
use moltbot_store::log::LogReader;
use moltbot_store::replica::Replica;
use moltbot_store::scan::Scan;
use std::sync::Arc;

const PAGE_BYTES: usize = 1 << 20;

/// A log that can be read from any record on.
pub enum Source {
    /// The remote log.
    Remote(Box<Scan>),
    /// The local log of this process, up to a record that is already shown to others.
    Local {
        /// The log.
        log: Arc<dyn LogReader>,
        /// The last record that counts.
        head: Cursor,
        /// Where its snapshots are.
        replica: Box<Replica>,
    },
}

impl Source {
    /// The last record.
    pub fn head(&self) -> Cursor {
        match self {
            Source::Remote(scan) => scan.head(),
            Source::Local { head, .. } => *head,
        }
    }

    /// Where the snapshots of this log are.
    pub fn replica(&self) -> &Replica {
        match self {
            Source::Remote(scan) => scan.replica(),
            Source::Local { replica, .. } => replica,
        }
    }

    /// Some records after this position, up to `to` at most; none only when there are no more.
    pub async fn page(&self, after: Cursor, to: Seq) -> Result<Vec<Record>, StoreError> {
        match self {
            Source::Remote(scan) => scan.page(after, to).await,
            Source::Local { log, head, .. } => {
                let last = to.min(head.seq);
                if after.seq >= last {
                    return Ok(Vec::new());
                }
                let mut records = log.read(after.seq.next(), PAGE_BYTES)?;
                records.truncate(records.partition_point(|record| record.seq <= last));
                match records.first() {
                    Some(first) if first.prev_hash == after.hash => Ok(records),
                    _ => Err(StoreError::Corrupt {
                        place: "the local log".to_owned(),
                        reason: format!("no record of it follows {after}"),
                    }),
                }
            }
        }
    }

    /// The record with this seq; `None` when the log does not have it.
    pub async fn record(&self, seq: Seq) -> Result<Option<Record>, StoreError> {
        match self {
            Source::Remote(scan) => scan.record(seq).await,
            Source::Local { log, head, .. } if seq <= head.seq => log.get(seq),
            Source::Local { .. } => Ok(None),
        }
    }

    /// The last record up to this time; `None` before the first one.
    pub async fn record_at(&self, at: Timestamp) -> Result<Option<Record>, StoreError> {
        let (log, head) = match self {
            Source::Remote(scan) => return scan.record_at(at).await,
            Source::Local { log, head, .. } => (log, head),
        };
        let (mut found, mut low, mut high) = (None, 1, head.seq.next().0);
        while low < high {
            let middle = u64::midpoint(low, high);
            match log.get(Seq(middle))? {
                Some(record) if record.at <= at => (found, low) = (Some(record), middle + 1),
                _ => high = middle,
            }
        }
        Ok(found)
    }
}
