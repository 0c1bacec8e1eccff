//! Reading the remote log: how far it goes, whether it is whole, and copying it to the local log.
//!
//! Invariant: the chain alone says what belongs to the log. It begins at seq 1. Above the floor the
//! next segment is the object named after the next seq, up to the floor it is in `compact/`; a list
//! only tells what can be read ahead, so a stale one costs time and never records, and so does a
//! compaction that goes on meanwhile. A gap is declared only after the lists, the heads, the floors
//! and the missing object itself were asked for again.
//! Changes nothing in the remote log.

mod chain;

use crate::catalog::{self, Catalog, Object, unsettled};
use crate::envelope::corrupt;
use crate::error::StoreError;
use crate::floor::Floor;
use crate::head::{self, Head};
use crate::log::{EventLog, LogReader};
use crate::replica::Replica;
use crate::segment::{Segment, SegmentHeader};
use crate::settings::{CATALOG_REFRESHES_MAX, RESTORE_APPEND_BYTES_MAX, StoreSettings};
use chain::{Chain, Link};
use moltbot_core::chain::Cursor;
use moltbot_core::event::Event;
use moltbot_core::ids::{Epoch, InstanceId, Seq};
use moltbot_core::record::Record;

/// Told how many records are done, of how many.
pub type Progress<'a> = dyn FnMut(u64, u64) + Send + 'a;

/// What the remote log holds.
#[derive(Debug, Clone)]
pub struct Survey {
    /// The newest claim.
    pub head: Option<(Epoch, Head)>,
    /// The end of the log.
    pub tail: Tail,
    /// The objects that hold it.
    pub catalog: Catalog,
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

    fn of_floor(floor: &Floor) -> Tail {
        Tail {
            cursor: floor.cursor(),
            shipped_by: Some((floor.epoch, floor.writer.clone())),
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
    survey_from(replica, Seq::ZERO).await
}

/// [`survey`] that lists only objects which hold this record or later ones: the catalog begins
/// there. The record must not be beyond the end of the log.
pub async fn survey_from(replica: &Replica, from: Seq) -> Result<Survey, StoreError> {
    let mut survey = Survey {
        head: None,
        tail: Tail::default(),
        catalog: Catalog::list(replica, from).await?,
    };
    Box::pin(survey.find_tail(replica)).await?;
    let written = survey.tail.shipped_by.as_ref().map(|(epoch, _)| *epoch);
    survey.head = head::newest(replica, written).await?;
    Ok(survey)
}

impl Survey {
    /// Follows the log to its end from where this survey found it.
    pub async fn advance(&mut self, replica: &Replica) -> Result<(), StoreError> {
        let from = self.tail.cursor.seq.next();
        if self.follow(replica, from).await? {
            return Ok(());
        }
        self.catalog.refresh(replica).await?;
        self.find_tail(replica).await
    }

    /// Finds the end from the lists.
    async fn find_tail(&mut self, replica: &Replica) -> Result<(), StoreError> {
        for _ in 0..CATALOG_REFRESHES_MAX {
            let last = self.catalog.shipped().next_back().map(|(first, _)| first);
            let start = last.unwrap_or(self.catalog.floor().seq.next());
            let found = match last {
                Some(first) => catalog::read(replica, Object::Shipped { first }).await?,
                None => None,
            };
            match (found, self.catalog.newest_floor()) {
                (Some(found), _) => self.tail = Tail::of(&found.segment.header),
                (None, _) if last.is_some() => {
                    // It was merged since it was listed.
                    self.catalog.refresh(replica).await?;
                    continue;
                }
                (None, Some(floor)) => self.tail = Tail::of_floor(floor),
                (None, None) => self.tail = Tail::default(),
            }
            if self.follow(replica, start).await? {
                return Ok(());
            }
            self.catalog.refresh(replica).await?;
        }
        Err(unsettled(self.tail.cursor.seq))
    }

    /// Follows the log by the names of its objects. `false` when what was read since `start`, or was
    /// found absent, was merged meanwhile, so that it says nothing.
    async fn follow(&mut self, replica: &Replica, start: Seq) -> Result<bool, StoreError> {
        let reached = loop {
            let first = self.tail.cursor.seq.next();
            match catalog::read(replica, Object::Shipped { first }).await {
                Ok(Some(next)) if next.segment.header.from() == self.tail.cursor => {
                    self.tail = Tail::of(&next.segment.header);
                    self.catalog.found(first, next.bytes);
                }
                Ok(Some(_)) => break Err(does_not_link(first, self.tail.cursor)),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.catalog.refresh_floor(replica).await?;
        if start <= self.catalog.floor().seq {
            return Ok(false);
        }
        reached.map(|()| true)
    }

    /// The newest epoch, claimed or written in.
    pub fn epoch(&self) -> Epoch {
        let claimed = self.head.as_ref().map(|(epoch, _)| *epoch);
        let written = self.tail.shipped_by.as_ref().map(|(epoch, _)| *epoch);
        claimed.max(written).unwrap_or_default()
    }
}

fn does_not_link(first: Seq, before: Cursor) -> StoreError {
    let path = Object::Shipped { first }.path();
    let reason = format!("record #{first} does not link to record #{}", before.seq);
    corrupt(path.as_ref(), reason)
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
    // What is written meanwhile is not waited for: a busy writer would never let this end.
    let all = (Seq::ZERO, survey.tail.cursor.seq);
    let mut chain = Chain::open(replica, &survey, all, settings.restore_concurrency);
    while let Some(link) = chain.next().await? {
        link.records.iter().for_each(&mut *see);
        verified.records += link.records.len() as u64;
        verified.head = link.header.to();
        verified.segments += 1;
        verified.bytes += link.bytes;
        verified.epoch = verified.epoch.max(link.header.epoch);
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
    let wanted = (from.seq, survey.tail.cursor.seq);
    let mut chain = Chain::open(replica, survey, wanted, settings.restore_concurrency);
    while cursor.seq < survey.tail.cursor.seq {
        let fresh = match chain.next().await {
            Ok(Some(link)) => after(link, cursor),
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

/// The records of a link after this position of the local log.
fn after(link: Link, local: Cursor) -> Result<Vec<Record>, StoreError> {
    let mut records = link.records;
    let known = records.partition_point(|record| record.seq <= local.seq);
    let reached = match known.checked_sub(1).and_then(|last| records.get(last)) {
        Some(record) => record.cursor(),
        None => link.before,
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

/// Finds where a local log and the remote log part, reading few segments: at the start, when the
/// local log has a base that is not in the remote one.
pub async fn fork(
    replica: &Replica,
    local: &dyn LogReader,
    survey: &Survey,
) -> Result<Fork, StoreError> {
    let (tail, base) = (&survey.tail, local.base());
    let mut fork = Fork {
        at: Cursor::START,
        shipped_by: None,
    };
    if local.head() == Cursor::START || tail.cursor.seq < base.seq {
        return Ok(fork);
    }
    if local.cursor(tail.cursor.seq)? == Some(tail.cursor) {
        return Ok(Fork {
            at: tail.cursor,
            shipped_by: tail.shipped_by.clone(),
        });
    }
    if base != Cursor::START {
        match base_in(replica, base, &survey.catalog).await? {
            Some(shipped_by) => {
                fork = Fork {
                    at: base,
                    shipped_by: Some(shipped_by),
                }
            }
            None => return Ok(fork),
        }
    }
    let start = last_common_start(replica, local, &survey.catalog).await?;
    let wanted = (Seq(start.0.saturating_sub(1)), tail.cursor.seq);
    let mut chain = Chain::open(replica, survey, wanted, 1);
    while let Some(link) = chain.next().await? {
        let last = (link.header.epoch, link.header.writer);
        // A merged segment names its last writer only; the others are in the records, and who wrote
        // the first of them had written before.
        let mut writer = match (&fork.shipped_by, link.is_merged) {
            (Some(before), true) => before.clone(),
            _ => last.clone(),
        };
        for record in link.records.iter().filter(|r| r.seq > base.seq) {
            if local.cursor(record.seq)? != Some(record.cursor()) {
                return Ok(fork);
            }
            if link.is_merged
                && let Ok(Event::WriterStarted(started)) = record.event()
            {
                writer = (started.epoch, started.instance);
            }
            fork = Fork {
                at: record.cursor(),
                shipped_by: Some(writer.clone()),
            };
        }
        fork.shipped_by = Some(last);
    }
    Ok(fork)
}

/// Who shipped this record, in which epoch; `None` when the remote log has another in its place.
async fn base_in(
    replica: &Replica,
    base: Cursor,
    catalog: &Catalog,
) -> Result<Option<(Epoch, InstanceId)>, StoreError> {
    let mut catalog = catalog.clone();
    let Some(found) = catalog.read_holding(replica, base.seq).await? else {
        return Err(unsettled(base.seq));
    };
    let Segment { header, records } = found.segment;
    let upto = records.iter().rev().skip_while(|r| r.seq > base.seq);
    let mut older = upto.peekable();
    if older.peek().map(|record| record.cursor()) != Some(base) {
        return Ok(None);
    }
    // A merged segment names its last writer only.
    let started = older.find_map(|record| match record.event() {
        Ok(Event::WriterStarted(started)) => Some((started.epoch, started.instance)),
        _ => None,
    });
    Ok(Some(started.unwrap_or((header.epoch, header.writer))))
}

/// The first record of the known object before the newest one whose first record the local log has
/// too. The chain makes this a binary search: where two logs have a record in common, they have
/// everything before in common.
async fn last_common_start(
    replica: &Replica,
    local: &dyn LogReader,
    catalog: &Catalog,
) -> Result<Seq, StoreError> {
    let mut catalog = catalog.clone();
    let base = local.base().seq;
    let mut objects = catalog.chain(Seq(1));
    objects.retain(|object| object.first() > base);
    let first_of = |at: usize| objects.get(at).map(|object| object.first());
    let (mut low, mut high) = (0, objects.len());
    while low < high {
        let middle = low.midpoint(high);
        let first = first_of(middle).unwrap_or(Seq(1));
        let Some(found) = catalog.read_holding(replica, first).await? else {
            return Err(unsettled(first));
        };
        let mut records = found.segment.records.iter();
        let remote = records.find(|record| record.seq == first);
        if local.cursor(first)? == remote.map(Record::cursor) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    // The newest common one is before `low`.
    let start = low.checked_sub(2).and_then(first_of);
    Ok(start.unwrap_or(base.next()))
}
