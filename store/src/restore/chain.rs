//! Walking the remote log object by object.
//!
//! Invariant: records are returned only when they follow those before, in chain and epoch, or are
//! the first ones asked for; the end of the log is reported only when the next object is absent,
//! nothing beyond it is known, and no floor says that it was merged.

use super::Survey;
use crate::catalog::{self, Catalog, Fetched, Object, unsettled};
use crate::envelope::corrupt;
use crate::error::StoreError;
use crate::head;
use crate::layout;
use crate::replica::Replica;
use crate::segment::{Segment, SegmentHeader};
use crate::settings::{
    CATALOG_REFRESHES_MAX, RESTORE_APPEND_BYTES_MAX, RESTORE_MERGED_CONCURRENCY,
};
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt};
use moltbot_core::chain::Cursor;
use moltbot_core::ids::{Epoch, Seq};
use moltbot_core::record::Record;
use std::collections::VecDeque;
use tokio::runtime::Handle;

type Read = (Object, Result<Option<Fetched>, StoreError>);

/// The next records of the log.
pub(super) struct Link {
    /// The position that they follow.
    pub(super) before: Cursor,
    /// At least one record.
    pub(super) records: Vec<Record>,
    /// Of the object that holds them.
    pub(super) header: SegmentHeader,
    /// Whether that is a merged segment.
    pub(super) is_merged: bool,
    /// Size of that object.
    pub(super) bytes: u64,
}

/// Why gathering ended.
enum Stop {
    /// There is enough, or nothing more is wanted.
    Full,
    /// The next object is not where it should be.
    Missing,
    Failed(StoreError),
}

/// Walks the remote log object by object, reading ahead what is known.
pub(super) struct Chain<'a> {
    replica: &'a Replica,
    catalog: Catalog,
    concurrency: usize,
    ahead: BoxStream<'a, Read>,
    waiting: Option<Read>,
    newest: Epoch,
    /// Nothing after this record is wanted.
    until: Seq,
    next: Seq,
    reached: Option<(Cursor, Epoch)>,
    /// Linked and believed.
    ready: VecDeque<Link>,
    /// Follows what is ready.
    end: Option<Result<(), StoreError>>,
}

impl<'a> Chain<'a> {
    /// Starts at the known object that holds the record after `from`; reads what `until` needs.
    pub(super) fn open(
        replica: &'a Replica,
        survey: &Survey,
        (from, until): (Seq, Seq),
        concurrency: usize,
    ) -> Chain<'a> {
        let catalog = survey.catalog.clone();
        let start = catalog.holder(from.next()).map_or(Seq(1), Object::first);
        let mut chain = Chain {
            replica,
            catalog,
            concurrency,
            ahead: stream::empty().boxed(),
            waiting: None,
            newest: survey.head.as_ref().map_or(Epoch(0), |(epoch, _)| *epoch),
            until,
            next: start,
            reached: (start == Seq(1)).then_some((Cursor::START, Epoch(0))),
            ready: VecDeque::new(),
            end: None,
        };
        chain.read_ahead();
        chain
    }

    /// The next records; `None` at the end of the log, or when enough was read.
    pub(super) async fn next(&mut self) -> Result<Option<Link>, StoreError> {
        loop {
            if let Some(link) = self.ready.pop_front() {
                return Ok(Some(link));
            }
            match self.end.take() {
                Some(Ok(())) => {
                    self.end = Some(Ok(()));
                    return Ok(None);
                }
                Some(Err(error)) => return Err(error),
                None => self.fill().await?,
            }
        }
    }

    /// Makes some links ready, or finds the end.
    async fn fill(&mut self) -> Result<(), StoreError> {
        for _ in 0..CATALOG_REFRESHES_MAX {
            let sure = (self.next, self.reached);
            let floor = self.catalog.floor_number();
            let (links, doubtful, stop) = self.gather().await;
            if doubtful.is_some() || !matches!(stop, Stop::Full) {
                self.catalog.refresh_floor(self.replica).await?;
            }
            if doubtful.is_some_and(|first| first <= self.catalog.floor().seq) {
                // It was merged while it was read: nobody knows whose objects these were.
                (self.next, self.reached) = sure;
                self.begin_again().await?;
                continue;
            }
            self.ready.extend(links);
            match stop {
                Stop::Full if self.next > self.until => self.end = Some(Ok(())),
                Stop::Full => {}
                Stop::Failed(error) => self.end = Some(Err(error)),
                Stop::Missing if self.catalog.floor_number() == floor && self.is_at_end() => {
                    self.end = Some(Ok(()));
                }
                Stop::Missing => {
                    self.begin_again().await?;
                    if self.ready.is_empty() {
                        continue;
                    }
                }
            }
            return Ok(());
        }
        self.look_everywhere().await
    }

    /// Reads and links until there is enough. Also says with which record the first object in
    /// `log/` begins that was read: what was read there counts only if no floor reaches it now.
    async fn gather(&mut self) -> (Vec<Link>, Option<Seq>, Stop) {
        let (mut links, mut doubtful, mut bytes) = (Vec::new(), None, 0);
        while bytes < RESTORE_APPEND_BYTES_MAX as u64 && self.next <= self.until {
            let read = self.read_next().await;
            if let Some((Object::Shipped { first }, _)) = &read {
                doubtful = doubtful.or(Some(*first));
            }
            let linked = match read {
                Some((object, Ok(Some(fetched)))) => self.link(object, fetched),
                Some((_, Err(error))) => Err(error),
                Some((_, Ok(None))) | None => return (links, doubtful, Stop::Missing),
            };
            match linked {
                Ok(link) => {
                    bytes += link.bytes;
                    links.push(link);
                }
                Err(error) => return (links, doubtful, Stop::Failed(error)),
            }
        }
        (links, doubtful, Stop::Full)
    }

    /// Reads the object that holds the next record; `None` when its name is not known.
    async fn read_next(&mut self) -> Option<Read> {
        loop {
            if self.waiting.is_none() {
                self.waiting = self.ahead.next().await;
            }
            match self.waiting.take() {
                // What it holds was in an object that reaches farther.
                Some((object, _)) if self.is_passed(object) => {}
                Some((object, read)) if object.first() <= self.next => return Some((object, read)),
                later => {
                    self.waiting = later;
                    break;
                }
            }
        }
        if self.next <= self.catalog.floor().seq {
            return None;
        }
        // Above the floor the object is named after its first record, listed or not.
        let object = Object::Shipped { first: self.next };
        Some((object, catalog::read(self.replica, object).await))
    }

    fn is_passed(&self, object: Object) -> bool {
        match object {
            Object::Shipped { first } => first < self.next,
            Object::Merged { last, .. } => last < self.next,
        }
    }

    /// Holds the records of an object against those before, and drops what is known of them.
    fn link(&mut self, object: Object, fetched: Fetched) -> Result<Link, StoreError> {
        let Segment {
            header,
            mut records,
        } = fetched.segment;
        let mut before = header.from();
        if let Some((reached, epoch)) = self.reached {
            let known = records.partition_point(|record| record.seq <= reached.seq);
            let fresh = records.split_off(known);
            before = records.last().map_or(before, Record::cursor);
            records = fresh;
            let reason = if before != reached {
                let first = before.seq.next();
                format!("record #{first} does not link to record #{}", reached.seq)
            } else if header.epoch < epoch {
                format!("epoch {} wrote it after epoch {epoch}", header.epoch)
            } else {
                String::new()
            };
            if !reason.is_empty() {
                return Err(corrupt(object.path().as_ref(), reason));
            }
        }
        self.reached = Some((header.to(), header.epoch));
        self.next = header.last.next();
        Ok(Link {
            before,
            records,
            header,
            is_merged: matches!(object, Object::Merged { .. }),
            bytes: fetched.bytes,
        })
    }

    /// Nothing beyond the next record is known.
    fn is_at_end(&self) -> bool {
        let mut chain = self.catalog.chain(self.next).into_iter();
        self.next > self.catalog.floor().seq && chain.all(|object| self.is_passed(object))
    }

    async fn begin_again(&mut self) -> Result<(), StoreError> {
        self.catalog.refresh(self.replica).await?;
        self.read_ahead();
        Ok(())
    }

    /// Forgets what was read ahead and begins at the next record. Merged segments come first; they
    /// are large, so fewer are read at the same time.
    fn read_ahead(&mut self) {
        let (merged, shipped): (Vec<Object>, Vec<Object>) = self
            .catalog
            .chain(self.next)
            .into_iter()
            .filter(|object| object.first() <= self.until)
            .partition(|object| matches!(object, Object::Merged { .. }));
        let replica = self.replica;
        let read = move |object| read_beside(replica, object).map(move |read| (object, read));
        let few = self.concurrency.clamp(1, RESTORE_MERGED_CONCURRENCY);
        let merged = stream::iter(merged).map(read).buffered(few);
        let shipped = stream::iter(shipped).map(read);
        let shipped = shipped.buffered(self.concurrency.max(1));
        self.ahead = merged.chain(shipped).boxed();
        self.waiting = None;
    }

    /// The lists do not say where the next record is, however often they are asked for. Looks
    /// where no list is needed, before it calls that a gap.
    async fn look_everywhere(&mut self) -> Result<(), StoreError> {
        let next = self.next;
        if next <= self.catalog.floor().seq
            && let Some(found) = self.catalog.named(self.replica, next).await?
        {
            let header = &found.segment.header;
            let (first, last) = (header.first, header.last);
            let link = self.link(Object::Merged { first, last }, found)?;
            self.ready.push_back(link);
            self.read_ahead();
            return Ok(());
        }
        let head = head::newest(self.replica, Some(self.newest)).await?;
        let newest = head.map_or(Epoch(0), |(epoch, _)| epoch);
        let floor = self.catalog.floor_number();
        self.catalog.refresh_floor(self.replica).await?;
        if newest != self.newest || self.catalog.floor_number() != floor {
            return Err(StoreError::Remote {
                operation: "read",
                object: Object::Shipped { first: next }.path().to_string(),
                reason: format!("the log goes on meanwhile (epoch {newest})"),
            });
        }
        let beyond = self.catalog.beyond(next);
        match beyond.map(|object| (object.first(), object.path())) {
            Some((first, path)) => Err(StoreError::Gap {
                from: next,
                to: Seq(first.0 - 1),
                object: path.to_string(),
            }),
            None if next <= self.catalog.floor().seq => Err(StoreError::Gap {
                from: next,
                to: self.catalog.floor().seq,
                object: layout::floor(self.catalog.floor_number()).to_string(),
            }),
            None => Err(unsettled(next)),
        }
    }
}

/// [`catalog::read`] as a task, so that objects arrive and are verified on every core while others
/// are appended. A simulation has no tasks and needs none.
async fn read_beside(replica: &Replica, object: Object) -> Result<Option<Fetched>, StoreError> {
    let Ok(runtime) = Handle::try_current() else {
        return catalog::read(replica, object).await;
    };
    let replica = replica.clone();
    let task = runtime.spawn(async move { catalog::read(&replica, object).await });
    task.await.unwrap_or_else(|error| {
        let reason = format!("reading `{}` ended early: {error}", object.path());
        Err(StoreError::Internal(reason))
    })
}
