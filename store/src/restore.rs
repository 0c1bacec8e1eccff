//! Reading the remote log: how far it goes, whether it is whole, and copying it to the local log.
//!
//! Invariant: the chain alone says what belongs to the log. It begins at seq 1, and the next
//! segment is the object named after the next seq; a list only tells what can be read ahead, so a
//! stale one costs time and never records. A gap is declared only after the list, the heads and
//! the missing object itself were asked for again.
//! Changes nothing in the remote log.

mod chain;

use crate::error::StoreError;
use crate::head::{self, Head};
use crate::log::{EventLog, LogReader};
use crate::replica::Replica;
use crate::segment::{Segment, SegmentHeader};
use crate::settings::{RESTORE_APPEND_BYTES_MAX, StoreSettings};
use chain::{Chain, fetch, follows, list, listed};
use moltbot_core::chain::Cursor;
use moltbot_core::ids::{Epoch, InstanceId, Seq};
use moltbot_core::record::Record;

/// Told how many records are done, of how many.
pub type Progress<'a> = dyn FnMut(u64, u64) + Send + 'a;

/// What the remote log holds.
#[derive(Debug, Clone)]
pub struct Survey {
    /// The newest claim.
    pub head: Option<(Epoch, Head)>,
    /// First seqs of known segments, sorted; a stale list may have lacked some.
    pub segments: Vec<Seq>,
    /// The end of the log.
    pub tail: Tail,
}

/// The end of a remote log.
#[derive(Debug, Clone, Default)]
pub struct Tail {
    /// The last record; [`Cursor::START`] for an empty log.
    pub cursor: Cursor,
    /// Who shipped it, in which epoch.
    pub shipped_by: Option<(Epoch, InstanceId)>,
}

impl Tail {
    fn of(header: &SegmentHeader) -> Tail {
        Tail {
            cursor: header.to(),
            shipped_by: Some((header.epoch, header.writer.clone())),
        }
    }
}

/// Where a local log and the remote log part.
#[derive(Debug, Clone)]
pub struct Fork {
    /// The last record that both have.
    pub at: Cursor,
    /// Who shipped that record, in which epoch.
    pub shipped_by: Option<(Epoch, InstanceId)>,
}

/// A whole and verified remote log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Records in it.
    pub records: u64,
    /// The last one.
    pub head: Cursor,
    /// Segments that hold them.
    pub segments: u64,
    /// Size of these segments as stored.
    pub bytes: u64,
    /// The newest epoch, claimed or written in.
    pub epoch: Epoch,
}

/// Reads the heads and finds the end of the log. Safe to repeat.
pub async fn survey(replica: &Replica) -> Result<Survey, StoreError> {
    let head = head::newest(replica).await?;
    let segments = list(replica).await?;
    let tail = match segments.last() {
        Some(first) => Tail::of(&listed(replica, *first).await?.header),
        None => Tail::default(),
    };
    let mut survey = Survey {
        head,
        segments,
        tail,
    };
    survey.advance(replica).await?;
    Ok(survey)
}

impl Survey {
    /// Follows the log to its end from where this survey found it.
    pub async fn advance(&mut self, replica: &Replica) -> Result<(), StoreError> {
        loop {
            let first = self.tail.cursor.seq.next();
            let Some(next) = fetch(replica, first).await? else {
                return Ok(());
            };
            let header = &next.segment.header;
            follows(self.tail.cursor, header)?;
            self.tail = Tail::of(header);
            self.segments.push(first);
        }
    }

    /// The newest epoch, claimed or written in.
    pub fn epoch(&self) -> Epoch {
        let claimed = self.head.as_ref().map(|(epoch, _)| *epoch);
        let written = self.tail.shipped_by.as_ref().map(|(epoch, _)| *epoch);
        claimed.max(written).unwrap_or_default()
    }
}

/// Reads the whole remote log and checks every byte and link of it. The error names the first
/// record that is missing or wrong, and its object.
pub async fn verify(
    replica: &Replica,
    settings: &StoreSettings,
    progress: &mut Progress<'_>,
) -> Result<Verified, StoreError> {
    verify_each(replica, settings, progress, &mut |_| {}).await
}

/// [`verify`], and shows each record to `see`, in order, once it is verified.
pub async fn verify_each(
    replica: &Replica,
    settings: &StoreSettings,
    progress: &mut Progress<'_>,
    see: &mut (dyn FnMut(&Record) + Send),
) -> Result<Verified, StoreError> {
    let survey = survey(replica).await?;
    let mut verified = Verified {
        records: 0,
        head: Cursor::START,
        segments: 0,
        bytes: 0,
        epoch: survey.epoch(),
    };
    let mut chain = Chain::open(replica, &survey, Seq::ZERO, settings.restore_concurrency);
    while let Some(fetched) = chain.next().await? {
        fetched.segment.records.iter().for_each(&mut *see);
        verified.records += fetched.segment.records.len() as u64;
        verified.head = fetched.segment.header.to();
        verified.segments += 1;
        verified.bytes += fetched.bytes;
        verified.epoch = verified.epoch.max(fetched.segment.header.epoch);
        let total = survey.tail.cursor.seq.0.max(verified.records);
        progress(verified.records, total);
    }
    Ok(verified)
}

/// Appends to the local log what the remote log has beyond it. The local log must be empty or a
/// beginning of the remote one. Returns the number of records restored; after an error the local
/// log holds a shorter beginning, and this can be called again.
pub async fn restore(
    replica: &Replica,
    log: &mut dyn EventLog,
    settings: &StoreSettings,
    progress: &mut Progress<'_>,
) -> Result<u64, StoreError> {
    let survey = survey(replica).await?;
    extend(replica, log, &survey, settings, progress).await
}

/// [`restore`] with a survey made before; stops where the survey found the end of the log.
pub async fn extend(
    replica: &Replica,
    log: &mut dyn EventLog,
    survey: &Survey,
    settings: &StoreSettings,
    progress: &mut Progress<'_>,
) -> Result<u64, StoreError> {
    let from = log.head();
    let mut restored = 0;
    let mut batch = Vec::new();
    let mut batch_bytes = 0;
    let mut cursor = from;
    let mut chain = Chain::open(replica, survey, from.seq, settings.restore_concurrency);
    while cursor.seq < survey.tail.cursor.seq {
        let fresh = match chain.next().await {
            Ok(Some(fetched)) => after(fetched.segment, cursor),
            Ok(None) => break,
            Err(error) => Err(error),
        };
        let Ok(fresh) = fresh else {
            // What was read until here is whole; the next attempt need not read it again.
            append(log, &mut batch)?;
            return fresh.map(|_| restored);
        };
        for record in fresh {
            batch_bytes += record.payload.len();
            cursor = record.cursor();
            batch.push(record);
        }
        if batch_bytes >= RESTORE_APPEND_BYTES_MAX {
            restored += append(log, &mut batch)?;
            batch_bytes = 0;
            progress(restored, survey.tail.cursor.seq.0 - from.seq.0);
        }
    }
    restored += append(log, &mut batch)?;
    progress(restored, restored);
    Ok(restored)
}

fn append(log: &mut dyn EventLog, batch: &mut Vec<Record>) -> Result<u64, StoreError> {
    if !batch.is_empty() {
        log.append(batch)?;
    }
    let count = batch.len() as u64;
    batch.clear();
    Ok(count)
}

/// The records of a segment after this position of the local log.
fn after(segment: Segment, local: Cursor) -> Result<Vec<Record>, StoreError> {
    let mut records = segment.records;
    let known = records.partition_point(|record| record.seq <= local.seq);
    let reached = match known.checked_sub(1).and_then(|last| records.get(last)) {
        Some(record) => record.cursor(),
        None => segment.header.from(),
    };
    let fresh = records.split_off(known);
    if reached == local || (fresh.is_empty() && reached.seq < local.seq) {
        return Ok(fresh);
    }
    Err(StoreError::Corrupt {
        place: "the local log".to_owned(),
        reason: format!(
            "its record #{} is not the one of the remote log",
            local.seq.min(reached.seq)
        ),
    })
}

/// Finds where a local log and the remote log part, reading few segments.
pub async fn fork(
    replica: &Replica,
    local: &dyn LogReader,
    survey: &Survey,
) -> Result<Fork, StoreError> {
    let tail = &survey.tail;
    if local.cursor(tail.cursor.seq)? == Some(tail.cursor) {
        return Ok(Fork {
            at: tail.cursor,
            shipped_by: tail.shipped_by.clone(),
        });
    }
    let mut fork = Fork {
        at: Cursor::START,
        shipped_by: None,
    };
    if local.head() == Cursor::START {
        return Ok(fork);
    }
    let mut next = last_common_start(replica, local, &survey.segments).await?;
    while let Some(fetched) = fetch(replica, next).await? {
        let Segment { header, records } = fetched.segment;
        for record in &records {
            if local.cursor(record.seq)? != Some(record.cursor()) {
                return Ok(fork);
            }
            fork = Fork {
                at: record.cursor(),
                shipped_by: Some((header.epoch, header.writer.clone())),
            };
        }
        next = header.last.next();
    }
    Ok(fork)
}

/// The newest of these segments whose first record the local log has too. The chain makes this a
/// binary search: where two logs have a record in common, they have everything before in common.
async fn last_common_start(
    replica: &Replica,
    local: &dyn LogReader,
    segments: &[Seq],
) -> Result<Seq, StoreError> {
    let (mut common, mut low, mut high) = (Seq(1), 0, segments.len());
    while low < high {
        let middle = low.midpoint(high);
        let Some(first) = segments.get(middle).copied() else {
            break;
        };
        let segment = listed(replica, first).await?;
        let begins = segment.records.first().map(Record::cursor);
        if local.cursor(first)? == begins {
            (common, low) = (first, middle + 1);
        } else {
            high = middle;
        }
    }
    Ok(common)
}
