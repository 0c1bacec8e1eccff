//! Walking the remote log segment by segment.
//!
//! Invariant: a segment is returned only when it follows the one before, in chain and epoch, or is
//! the first one asked for; the end of the log is reported only when the next object is absent and
//! nothing beyond it is known.

use super::Survey;
use crate::error::StoreError;
use crate::head;
use crate::layout;
use crate::replica::Replica;
use crate::segment::{self, Segment, SegmentHeader};
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt};
use moltbot_core::chain::Cursor;
use moltbot_core::ids::{Epoch, Seq};
use tokio::runtime::Handle;

/// A segment, and its size as stored.
pub(super) struct Fetched {
    pub(super) segment: Segment,
    pub(super) bytes: u64,
}

/// Walks the remote log segment by segment, reading ahead what was listed.
pub(super) struct Chain<'a> {
    replica: &'a Replica,
    ahead: BoxStream<'a, (Seq, Result<Option<Fetched>, StoreError>)>,
    waiting: Option<(Seq, Result<Option<Fetched>, StoreError>)>,
    newest: Epoch,
    next: Seq,
    reached: Option<(Cursor, Epoch)>,
}

impl<'a> Chain<'a> {
    /// Starts at the last listed segment that begins at or before the record after `from`.
    pub(super) fn open(
        replica: &'a Replica,
        survey: &Survey,
        from: Seq,
        concurrency: usize,
    ) -> Chain<'a> {
        let known = &survey.segments;
        let start = known.partition_point(|first| *first <= from.next());
        let start = start.saturating_sub(1);
        let listed: Vec<Seq> = known.iter().skip(start).copied().collect();
        let next = match listed.first() {
            Some(first) if *first <= from.next() => *first,
            _ => Seq(1),
        };
        let ahead = stream::iter(listed)
            .map(move |first| fetch_beside(replica, first).map(move |fetched| (first, fetched)))
            .buffered(concurrency.max(1))
            .boxed();
        Chain {
            replica,
            ahead,
            waiting: None,
            newest: survey.head.as_ref().map_or(Epoch(0), |(epoch, _)| *epoch),
            next,
            reached: (next == Seq(1)).then_some((Cursor::START, Epoch(0))),
        }
    }

    /// The next segment; `None` at the end of the log.
    pub(super) async fn next(&mut self) -> Result<Option<Fetched>, StoreError> {
        let Some(fetched) = self.fetch_next().await? else {
            return Ok(None);
        };
        let header = &fetched.segment.header;
        if let Some((cursor, epoch)) = self.reached {
            follows(cursor, header)?;
            if header.epoch < epoch {
                return Err(damaged(
                    header.first,
                    format!("epoch {} wrote it after epoch {epoch}", header.epoch),
                ));
            }
        }
        self.reached = Some((header.to(), header.epoch));
        self.next = header.last.next();
        Ok(Some(fetched))
    }

    async fn fetch_next(&mut self) -> Result<Option<Fetched>, StoreError> {
        loop {
            if self.waiting.is_none() {
                self.waiting = self.ahead.next().await;
            }
            match self.waiting.take() {
                // Not part of the chain: the records are in an object that begins earlier.
                Some((first, _)) if first < self.next => {}
                Some((first, fetched)) if first == self.next => {
                    if let Some(fetched) = fetched? {
                        return Ok(Some(fetched));
                    }
                }
                later => {
                    let fetched = fetch(self.replica, self.next).await?;
                    if fetched.is_none() && later.is_some() {
                        return self.recheck().await.map(Some);
                    }
                    self.waiting = later;
                    return Ok(fetched);
                }
            }
        }
    }

    /// Something beyond the next record exists, but not the next record: asks for everything again
    /// before it calls that a gap.
    async fn recheck(&mut self) -> Result<Fetched, StoreError> {
        let segments = list(self.replica).await?;
        let head = head::newest(self.replica).await?;
        let newest = head.map_or(Epoch(0), |(epoch, _)| epoch);
        if let Some(fetched) = fetch(self.replica, self.next).await? {
            return Ok(fetched);
        }
        if newest != self.newest {
            return Err(StoreError::Remote {
                operation: "read",
                object: layout::segment(self.next).to_string(),
                reason: format!("the log was taken over meanwhile (epoch {newest})"),
            });
        }
        let Some(beyond) = segments.into_iter().find(|first| *first > self.next) else {
            return Err(StoreError::Remote {
                operation: "list",
                object: layout::SEGMENTS.to_owned(),
                reason: "a segment that was listed before is not listed now".to_owned(),
            });
        };
        Err(StoreError::Gap {
            from: self.next,
            to: Seq(beyond.0 - 1),
            object: layout::segment(beyond).to_string(),
        })
    }
}

pub(super) async fn list(replica: &Replica) -> Result<Vec<Seq>, StoreError> {
    let names = replica.list(layout::SEGMENTS).await?;
    let mut segments: Vec<Seq> = names.iter().filter_map(layout::number).map(Seq).collect();
    segments.sort_unstable();
    Ok(segments)
}

/// A segment that was listed, so it must be there.
pub(super) async fn listed(replica: &Replica, first: Seq) -> Result<Segment, StoreError> {
    match fetch(replica, first).await? {
        Some(fetched) => Ok(fetched.segment),
        None => Err(StoreError::Remote {
            operation: "read",
            object: layout::segment(first).to_string(),
            reason: "it was listed but is not there".to_owned(),
        }),
    }
}

/// Reads and verifies a segment; bytes that do not verify are read once more first, as they may
/// have been damaged on the way.
pub(super) async fn fetch(replica: &Replica, first: Seq) -> Result<Option<Fetched>, StoreError> {
    let again = match fetch_once(replica, first).await {
        Err(StoreError::Codec { .. } | StoreError::Corrupt { .. }) => {
            fetch_once(replica, first).await
        }
        other => other,
    };
    again.map_err(|error| match error {
        StoreError::Corrupt { place, reason } => StoreError::Corrupt {
            place: format!("{place} with the records from #{first} on"),
            reason,
        },
        other => other,
    })
}

/// [`fetch`] as a task, so that segments arrive and are verified on every core while others are
/// appended. A simulation has no tasks and needs none.
async fn fetch_beside(replica: &Replica, first: Seq) -> Result<Option<Fetched>, StoreError> {
    let Ok(runtime) = Handle::try_current() else {
        return fetch(replica, first).await;
    };
    let replica = replica.clone();
    let task = runtime.spawn(async move { fetch(&replica, first).await });
    task.await.unwrap_or_else(|error| {
        let reason = format!("reading the segment of #{first} ended early: {error}");
        Err(StoreError::Internal(reason))
    })
}

async fn fetch_once(replica: &Replica, first: Seq) -> Result<Option<Fetched>, StoreError> {
    let path = layout::segment(first);
    let Some(bytes) = replica.get(&path).await? else {
        return Ok(None);
    };
    let segment = segment::decode(path.as_ref(), &bytes)?;
    if segment.header.first != first {
        let found = segment.header.first;
        return Err(damaged(first, format!("it begins with record #{found}")));
    }
    Ok(Some(Fetched {
        segment,
        bytes: bytes.len() as u64,
    }))
}

pub(super) fn follows(before: Cursor, header: &SegmentHeader) -> Result<(), StoreError> {
    if header.from() == before {
        return Ok(());
    }
    let reason = format!(
        "record #{} does not link to record #{}",
        header.first, before.seq
    );
    Err(damaged(header.first, reason))
}

fn damaged(first: Seq, reason: String) -> StoreError {
    StoreError::Corrupt {
        place: format!("`{}`", layout::segment(first)),
        reason,
    }
}
