//! Compaction: many small segments become few large ones, so that a start lists little and reads
//! history in few objects.
//!
//! What is merged lies at or before a snapshot that counts and is not the newest one, so the tail
//! that a start needs stays in `log/`. Merged segments are merged again with neighbours of similar
//! size, so each record is rewritten a few times and sparse history does not stay in thousands of
//! small objects.
//!
//! Invariant, in this order: a merged segment is created from what counts → it is read back, every
//! byte and link of it → no head is missing and that of the next epoch is absent → a floor
//! names it → what it replaces is deleted. So after a crash at any point the log is whole, the next
//! pass goes on, and a writer that was fenced deletes nothing for which a larger object does not
//! stand. `compact/` never holds anything but records of the log: what was read in `log/` is merged
//! only if no newer floor is found after it was read.
//!
//! One pass is one call with bounded requests; what fails is done in the next one.

mod plan;

use crate::catalog::{self, Catalog, Object, unsettled};
use crate::envelope::corrupt;
use crate::error::StoreError;
use crate::floor::{self, Floor};
use crate::head;
use crate::layout;
use crate::replica::{Created, Replica};
use crate::segment::{self, Merge, SegmentHeader};
use crate::settings::StoreSettings;
use crate::snapshot;
use futures_util::{TryStreamExt, stream};
use moltbot_core::chain::Cursor;
use moltbot_core::ids::{Epoch, InstanceId, Seq};
use object_store::path::Path;
use std::collections::BTreeSet;

/// Objects deleted at the same time.
const DELETES_AT_ONCE: usize = 8;

/// First and last record of a merged segment.
type Range = (Seq, Seq);

/// What one pass did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pass {
    /// Merged segments that were created.
    pub made: u64,
    /// Objects that were deleted because a larger one holds what they held.
    pub replaced: u64,
    /// Snapshots that were deleted.
    pub snapshots: u64,
    /// Requests of the dearer kind, which create or list.
    pub puts: u64,
    /// Whether there is more to do at once.
    pub is_unfinished: bool,
    /// Objects that hold the log afterwards.
    pub objects: u64,
}

/// Compacts the log in one epoch.
#[derive(Debug)]
pub struct Compactor {
    replica: Replica,
    epoch: Epoch,
    writer: InstanceId,
    settings: StoreSettings,
    /// Read back, every byte.
    verified: BTreeSet<Range>,
    /// Named by a floor of this process.
    named: BTreeSet<Range>,
    /// As large as they get, although they are small as stored.
    full: BTreeSet<Range>,
    /// Older snapshots are deleted.
    snapshots_from: Seq,
    /// No head before ours is missing.
    are_heads_whole: bool,
}

impl Compactor {
    /// A compactor for the epoch that [`crate::claim::claim`] gave.
    pub fn new(
        replica: Replica,
        epoch: Epoch,
        writer: InstanceId,
        settings: StoreSettings,
    ) -> Compactor {
        Compactor {
            replica,
            epoch,
            writer,
            settings,
            verified: BTreeSet::new(),
            named: BTreeSet::new(),
            full: BTreeSet::new(),
            snapshots_from: Seq::ZERO,
            are_heads_whole: false,
        }
    }

    /// One pass. `snapshots` are those that count, newest first; nothing after the second one is
    /// touched. `Fenced`: another gateway took the log over, so stop. After any other error try
    /// again later.
    pub async fn pass(&mut self, snapshots: &[Seq]) -> Result<Pass, StoreError> {
        let mut pass = Pass::default();
        let mut catalog = Catalog::list(&self.replica, Seq::ZERO).await?;
        // Three lists, of a thousand names a page.
        pass.puts = 3 + catalog.objects() as u64 / 1000;
        let upto = snapshots.get(1).copied().unwrap_or(Seq::ZERO);
        let mut floor = catalog.floor();
        let mut made = Vec::new();
        for group in plan::shipped(&catalog, upto, &self.settings) {
            let Some(merged) = self.merge_shipped(&mut catalog, floor, &group).await? else {
                break;
            };
            floor = merged.to();
            made.push((merged.first, merged.last));
        }
        for group in plan::again(&catalog, &self.full, &self.settings) {
            if made.len() < self.settings.compact_objects_max {
                made.extend(self.merge_again(&group).await?);
            }
        }
        pass.made = made.len() as u64;
        pass.puts += pass.made + 1;
        for range in &made {
            // Its size matters at the next pass, which lists it.
            catalog.made(*range, 0);
        }
        self.replace(&mut catalog, floor, made).await?;
        pass.replaced = self.delete_replaced(&catalog).await?;
        pass.snapshots = self.delete_snapshots(snapshots).await?;
        let is_bounded = |count| count >= self.settings.compact_deletes_max as u64;
        pass.is_unfinished =
            pass.made > 0 || is_bounded(pass.replaced) || is_bounded(pass.snapshots);
        pass.objects = (catalog.objects() - catalog.redundant().len()) as u64;
        Ok(pass)
    }

    /// Merges these segments in `log/`, or as many of them as follow the floor and fit. `None` when
    /// they are not what they seemed: a list was stale, or somebody else merged them.
    async fn merge_shipped(
        &mut self,
        catalog: &mut Catalog,
        floor: Cursor,
        group: &[Seq],
    ) -> Result<Option<SegmentHeader>, StoreError> {
        let mut merge = Merge::default();
        for first in group {
            if !self.add(&mut merge, &layout::segment(*first)).await? {
                break;
            }
        }
        let known = catalog.floor_number();
        catalog.refresh_floor(&self.replica).await?;
        let is_next = merge.header().is_some_and(|header| header.from() == floor);
        if !is_next || catalog.floor_number() != known {
            return Ok(None);
        }
        self.create(merge).await.map(Some)
    }

    /// Merges these merged segments, or as many of them as fit.
    async fn merge_again(&mut self, group: &[Range]) -> Result<Option<Range>, StoreError> {
        let mut merge = Merge::default();
        for (first, last) in group {
            if !self.add(&mut merge, &layout::merged(*first, *last)).await? {
                break;
            }
        }
        let Some(range) = merge.header().map(|header| (header.first, header.last)) else {
            return Ok(None);
        };
        if group.first() == Some(&range) {
            // Its neighbour does not fit beside it.
            self.full.insert(range);
            return Ok(None);
        }
        self.create(merge).await?;
        Ok(Some(range))
    }

    /// Adds this object; `false` when it is not there, or does not fit.
    async fn add(&self, merge: &mut Merge, path: &Path) -> Result<bool, StoreError> {
        match self.replica.get(path).await? {
            Some(bytes) => merge.push(path.as_ref(), &bytes),
            None => Ok(false),
        }
    }

    /// Creates the merged segment and reads it back, every byte and link of it.
    async fn create(&mut self, merge: Merge) -> Result<SegmentHeader, StoreError> {
        let Some(header) = merge.header().cloned() else {
            return Err(StoreError::Internal("nothing to merge".to_owned()));
        };
        let path = layout::merged(header.first, header.last);
        let bytes = merge.finish()?;
        let created = self.replica.create(&path, bytes.clone()).await?;
        let Some(found) = self.replica.get(&path).await? else {
            return Err(StoreError::Remote {
                operation: "read",
                object: path.to_string(),
                reason: "it was just created but is not there".to_owned(),
            });
        };
        let stored = segment::decode(path.as_ref(), &found)?.header;
        let is_ours = created == Created::Exists || found == bytes;
        if !is_ours || stored.from() != header.from() || stored.to() != header.to() {
            return Err(corrupt(path.as_ref(), "it is not what was merged into it"));
        }
        self.verified.insert((header.first, header.last));
        Ok(header)
    }

    /// Creates the floor that names what was made, and whatever else something small is in: an
    /// earlier pass may have ended before it could.
    async fn replace(
        &mut self,
        catalog: &mut Catalog,
        floor: Cursor,
        made: Vec<Range>,
    ) -> Result<(), StoreError> {
        let mut merged: BTreeSet<Range> = made.into_iter().collect();
        for (_, wide) in catalog.redundant() {
            if !self.named.contains(&wide) {
                merged.insert(wide);
            }
        }
        for range in &merged {
            self.verify(*range).await?;
        }
        if merged.is_empty() {
            return Ok(());
        }
        let number = catalog.floor_number() + 1;
        // Somebody else may have merged farther meanwhile.
        let floor = std::cmp::max_by_key(floor, catalog.floor(), |cursor| cursor.seq);
        let floor = Floor {
            epoch: self.epoch,
            writer: self.writer.clone(),
            seq: floor.seq,
            hash: floor.hash,
            merged: merged.iter().copied().collect(),
        };
        self.check_epoch().await?;
        if floor::create(&self.replica, number, &floor).await? == Created::Exists
            && floor::read(&self.replica, number).await?.as_ref() != Some(&floor)
        {
            return Err(StoreError::Remote {
                operation: "create",
                object: layout::floor(number).to_string(),
                reason: "another gateway merged meanwhile".to_owned(),
            });
        }
        self.named.extend(merged);
        catalog.floored(number, floor);
        Ok(())
    }

    /// Reads a merged segment that somebody else made, before anything is deleted because of it.
    async fn verify(&mut self, range: Range) -> Result<(), StoreError> {
        if self.verified.contains(&range) {
            return Ok(());
        }
        let (first, last) = range;
        let merged = Object::Merged { first, last };
        if catalog::read(&self.replica, merged).await?.is_none() {
            return Err(unsettled(first));
        }
        self.verified.insert(range);
        Ok(())
    }

    /// Deletes what a floor says is merged, and what is in a larger object that a floor names.
    async fn delete_replaced(&mut self, catalog: &Catalog) -> Result<u64, StoreError> {
        let small = catalog.redundant().into_iter().map(|(small, wide)| {
            debug_assert!(self.named.contains(&wide), "a floor names what replaces");
            layout::merged(small.0, small.1)
        });
        let replaced = catalog.leftover().map(Object::path).chain(small);
        let replaced: Vec<Path> = replaced.take(self.settings.compact_deletes_max).collect();
        let known: BTreeSet<Range> = catalog.merged().map(|(range, _)| range).collect();
        for remembered in [&mut self.verified, &mut self.named, &mut self.full] {
            remembered.retain(|range| known.contains(range));
        }
        self.delete(replaced).await
    }

    /// Deletes the snapshots before the newest ones that count. Nobody starts from those.
    async fn delete_snapshots(&mut self, counting: &[Seq]) -> Result<u64, StoreError> {
        let kept = self.settings.snapshots_kept.max(2);
        let Some(oldest) = counting.get(kept - 1).copied() else {
            return Ok(0);
        };
        if oldest <= self.snapshots_from {
            return Ok(0);
        }
        let mut old = snapshot::list(&self.replica).await?;
        old.retain(|seq| *seq < oldest);
        old.truncate(self.settings.compact_deletes_max);
        let deleted = self.delete(old.into_iter().map(layout::snapshot).collect());
        let deleted = deleted.await?;
        if deleted < self.settings.compact_deletes_max as u64 {
            self.snapshots_from = oldest;
        }
        Ok(deleted)
    }

    async fn delete(&mut self, paths: Vec<Path>) -> Result<u64, StoreError> {
        if paths.is_empty() {
            return Ok(0);
        }
        self.check_epoch().await?;
        let count = paths.len() as u64;
        let replica = &self.replica;
        stream::iter(paths.iter().map(Ok))
            .try_for_each_concurrent(DELETES_AT_ONCE, |path| replica.delete(path))
            .await?;
        Ok(count)
    }

    /// Whether the log is still ours.
    async fn check_epoch(&mut self) -> Result<(), StoreError> {
        self.fill_heads().await?;
        let newer = self.epoch.next();
        match head::read(&self.replica, newer).await? {
            Some(_) => Err(StoreError::Fenced { by: newer }),
            None => Ok(()),
        }
    }

    /// A writer that slept knows by the head after its own that its time is over, once its names in
    /// `log/` are free again. So before the first name is freed every head is there; a lost one is
    /// made again after the one that followed it.
    async fn fill_heads(&mut self) -> Result<(), StoreError> {
        if self.are_heads_whole {
            return Ok(());
        }
        let Some(mut newer) = head::read(&self.replica, self.epoch).await? else {
            return Err(StoreError::Corrupt {
                place: format!("`{}`", layout::head(self.epoch)),
                reason: "it is gone, so nothing is merged until the next start".to_owned(),
            });
        };
        let listed = self.replica.list(layout::HEADS).await?;
        let listed: BTreeSet<u64> = listed.iter().filter_map(layout::number).collect();
        for number in (1..self.epoch.0).rev().filter(|n| !listed.contains(n)) {
            let epoch = Epoch(number);
            if let Some(next) = head::read(&self.replica, epoch.next()).await? {
                newer = next;
            }
            head::create(&self.replica, epoch, &newer).await?;
        }
        self.are_heads_whole = true;
        Ok(())
    }
}
