//! Which objects hold which records of the remote log.
//!
//! Records are in `log/` as they were shipped, or in `compact/` once they were merged; an object of
//! either kind is a segment. Invariant: `compact/` holds nothing but records of the log, so what is
//! merged is preferred; `log/` is believed above the floor only (see [`crate::floor`]).
//!
//! A catalog is made from lists and is as stale as they are: objects may be missing from it, and
//! objects in it may have been merged and deleted. [`Catalog::read_holding`] asks again when that
//! shows, and [`Catalog::named`] believes no list at all.

use crate::error::StoreError;
use crate::floor::{self, Floor};
use crate::layout;
use crate::replica::{Listed, Replica};
use crate::segment::{self, Segment, SegmentHeader};
use crate::settings::{CATALOG_REFRESHES_MAX, OBJECT_RECORDS_MAX};
use futures_util::future::try_join3;
use moltbot_core::chain::Cursor;
use moltbot_core::ids::Seq;
use object_store::path::Path;
use std::collections::{BTreeMap, BTreeSet};

/// An object that holds records of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Object {
    /// A segment in `log/`. How far it goes, its header says.
    Shipped {
        /// Its first record.
        first: Seq,
    },
    /// A segment in `compact/`.
    Merged {
        /// Its first record.
        first: Seq,
        /// Its last record.
        last: Seq,
    },
}

impl Object {
    /// Its first record.
    pub fn first(self) -> Seq {
        match self {
            Object::Shipped { first } | Object::Merged { first, .. } => first,
        }
    }

    /// Its name.
    pub fn path(self) -> Path {
        match self {
            Object::Shipped { first } => layout::segment(first),
            Object::Merged { first, last } => layout::merged(first, last),
        }
    }
}

/// A segment that was read, and its size as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The segment.
    pub segment: Segment,
    /// Size of the object.
    pub bytes: u64,
}

/// The objects of a remote log, as far as they are known.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// The newest floor and its number.
    floor: Option<(u64, Floor)>,
    /// First seqs in `log/`, above the floor, with the size of the object.
    shipped: BTreeMap<Seq, u64>,
    /// First and last seqs in `compact/`, with the size of the object.
    merged: BTreeMap<(Seq, Seq), u64>,
    /// First seqs in `log/` at or below the floor.
    leftover: BTreeSet<Seq>,
    /// Nothing that ends before this record was asked for.
    from: Seq,
}

impl Catalog {
    /// Lists the objects that hold this record or later ones, in two round trips.
    pub async fn list(replica: &Replica, from: Seq) -> Result<Catalog, StoreError> {
        // No object holds `from` that begins before this record.
        let after = Seq(from.0.saturating_sub(OBJECT_RECORDS_MAX));
        let (shipped, merged) = (layout::segment(after), layout::merged(after, Seq::ZERO));
        let (floor, shipped, merged) = try_join3(
            floor::newest(replica),
            replica.list_after(layout::SEGMENTS, Some(&shipped)),
            replica.list_after(layout::MERGED, Some(&merged)),
        )
        .await?;
        let mut catalog = Catalog {
            floor,
            shipped: shipped.iter().filter_map(shipped_entry).collect(),
            merged: merged.iter().filter_map(merged_entry).collect(),
            leftover: BTreeSet::new(),
            from,
        };
        catalog.drop_below_floor();
        Ok(catalog)
    }

    /// Lists everything again. The floor is asked for directly, so it never goes back.
    pub async fn refresh(&mut self, replica: &Replica) -> Result<(), StoreError> {
        let listed = Catalog::list(replica, self.from).await?;
        let known = std::mem::replace(self, listed);
        if known.floor_number() > self.floor_number() {
            self.floor = known.floor;
            self.drop_below_floor();
        }
        Ok(())
    }

    /// Asks whether there is a newer floor, and drops what it says is merged. Whatever was read from
    /// `log/` before this is true if [`Catalog::floor`] is still below it afterwards.
    pub async fn refresh_floor(&mut self, replica: &Replica) -> Result<(), StoreError> {
        let number = self.floor.as_ref().map_or(0, |(number, _)| *number);
        if let Some(newer) = floor::newer(replica, number).await? {
            self.floor = Some(newer);
            self.drop_below_floor();
        }
        Ok(())
    }

    /// The last record of which `compact/` certainly holds everything up to it;
    /// [`Cursor::START`] when nothing was merged yet.
    pub fn floor(&self) -> Cursor {
        self.newest_floor().map_or(Cursor::START, Floor::cursor)
    }

    /// The newest floor.
    pub fn newest_floor(&self) -> Option<&Floor> {
        self.floor.as_ref().map(|(_, floor)| floor)
    }

    /// The number of the newest floor; 0 when there is none.
    pub fn floor_number(&self) -> u64 {
        self.floor.as_ref().map_or(0, |(number, _)| *number)
    }

    /// Known segments in `log/` above the floor, in order, with the size of the object.
    pub fn shipped(&self) -> impl DoubleEndedIterator<Item = (Seq, u64)> + '_ {
        self.shipped.iter().map(|(first, bytes)| (*first, *bytes))
    }

    /// Known merged segments by their first and last seqs, in order, with the size of the object.
    pub fn merged(&self) -> impl DoubleEndedIterator<Item = ((Seq, Seq), u64)> + '_ {
        self.merged.iter().map(|(range, bytes)| (*range, *bytes))
    }

    /// What is left in `log/` at or below the floor: it was merged, or never counted.
    pub fn leftover(&self) -> impl Iterator<Item = Object> + '_ {
        self.leftover
            .iter()
            .map(|first| Object::Shipped { first: *first })
    }

    /// Merged segments whose records are in a larger one, with that one.
    pub(crate) fn redundant(&self) -> Vec<((Seq, Seq), (Seq, Seq))> {
        let mut redundant = Vec::new();
        let mut widest: Option<(Seq, Seq)> = None;
        // In this order a range comes after those that contain it.
        let mut ranges: Vec<(Seq, Seq)> = self.merged.keys().copied().collect();
        ranges.sort_by_key(|(first, last)| (*first, std::cmp::Reverse(*last)));
        for range in ranges {
            match widest {
                Some(wide) if range.1 <= wide.1 => redundant.push((range, wide)),
                _ => widest = Some(range),
            }
        }
        redundant
    }

    /// A merged segment was made.
    pub(crate) fn made(&mut self, range: (Seq, Seq), bytes: u64) {
        self.merged.insert(range, bytes);
    }

    /// A floor was made.
    pub(crate) fn floored(&mut self, number: u64, floor: Floor) {
        self.floor = Some((number, floor));
        self.drop_below_floor();
    }

    /// How many objects are known.
    pub fn objects(&self) -> usize {
        self.shipped.len() + self.merged.len()
    }

    /// The known object that holds this record, if any does; a shipped one may turn out to end
    /// before it.
    pub fn holder(&self, seq: Seq) -> Option<Object> {
        let lowest = Seq(seq.0.saturating_sub(OBJECT_RECORDS_MAX));
        let merged = self
            .merged
            .range((lowest, Seq::ZERO)..=(seq, Seq(u64::MAX)))
            .map(|(range, _)| *range)
            .filter(|(_, last)| *last >= seq)
            .max_by_key(|(_, last)| *last);
        if let Some((first, last)) = merged {
            return Some(Object::Merged { first, last });
        }
        let (first, _) = self.shipped.range(..=seq).next_back()?;
        Some(Object::Shipped { first: *first })
    }

    /// The known objects that hold this record and everything after it, in the order in which they
    /// are to be read. Where objects are missing from the catalog there is a hole.
    pub fn chain(&self, from: Seq) -> Vec<Object> {
        let mut chain = Vec::new();
        let mut next = from;
        // Of those that begin at or before the next record, the one that reaches farthest.
        let mut best: Option<(Seq, Seq)> = None;
        let take = |chain: &mut Vec<Object>, best: Option<(Seq, Seq)>, next: Seq| {
            let Some((first, last)) = best else {
                return next;
            };
            chain.push(Object::Merged { first, last });
            last.next()
        };
        for (first, last) in self.merged.keys().copied() {
            if first > next {
                next = take(&mut chain, best.take(), next).max(first);
            }
            let reaches = best.map_or(next.0.saturating_sub(1), |(_, last)| last.0);
            if last.0 > reaches {
                best = Some((first, last));
            }
        }
        next = take(&mut chain, best, next);
        let start = self.shipped.range(..=next).next_back();
        let start = start.map_or(next, |(first, _)| *first);
        let shipped = self.shipped.range(start..);
        chain.extend(shipped.map(|(first, _)| Object::Shipped { first: *first }));
        chain
    }

    /// The first known object that begins after this record.
    pub fn beyond(&self, seq: Seq) -> Option<Object> {
        let shipped = self.shipped.range(seq.next()..).next();
        let merged = self.merged.range((seq.next(), Seq::ZERO)..).next();
        let shipped = shipped.map(|(first, _)| Object::Shipped { first: *first });
        let merged = merged.map(|((first, last), _)| Object::Merged {
            first: *first,
            last: *last,
        });
        shipped
            .into_iter()
            .chain(merged)
            .min_by_key(|object| object.first())
    }

    /// The segment that holds this record, verified; `None` when the log does not reach it.
    pub async fn read_holding(
        &mut self,
        replica: &Replica,
        seq: Seq,
    ) -> Result<Option<Fetched>, StoreError> {
        if seq < self.from {
            self.from = seq;
            self.refresh(replica).await?;
        }
        for _ in 0..CATALOG_REFRESHES_MAX {
            let start = match self.holder(seq) {
                Some(merged @ Object::Merged { .. }) => {
                    let found = read(replica, merged).await?;
                    if found.is_some() {
                        return Ok(found);
                    }
                    Seq::ZERO
                }
                Some(Object::Shipped { first }) => first,
                None => self.floor().seq.next(),
            };
            if Seq::ZERO < start && start <= seq {
                let found = follow(replica, start, seq).await?;
                self.refresh_floor(replica).await?;
                if self.floor().seq < start {
                    return Ok(found);
                }
            }
            self.refresh(replica).await?;
        }
        match self.named(replica, seq).await? {
            Some(fetched) => Ok(Some(fetched)),
            None => Err(unsettled(seq)),
        }
    }

    /// The merged segment that holds this record, found by the names in the floors alone: when it
    /// gives `None` for a record at or below the floor, the record is not in the remote log.
    pub async fn named(&self, replica: &Replica, seq: Seq) -> Result<Option<Fetched>, StoreError> {
        for number in (1..=self.floor_number()).rev() {
            let Some(floor) = floor::read(replica, number).await? else {
                continue;
            };
            for (first, last) in floor.merged {
                if (first..=last).contains(&seq)
                    && let Some(found) = read(replica, Object::Merged { first, last }).await?
                {
                    return Ok(Some(found));
                }
            }
        }
        Ok(None)
    }

    /// A segment that a list lacked was found in `log/`.
    pub(crate) fn found(&mut self, first: Seq, bytes: u64) {
        self.shipped.insert(first, bytes);
    }

    fn drop_below_floor(&mut self) {
        let above = self.shipped.split_off(&self.floor().seq.next());
        let below = std::mem::replace(&mut self.shipped, above);
        self.leftover.extend(below.into_keys());
    }
}

/// Reads and verifies an object; `None` when it is not there. Bytes that do not verify are read
/// once more first, as they may have been damaged on the way.
pub async fn read(replica: &Replica, object: Object) -> Result<Option<Fetched>, StoreError> {
    // Boxed: it is awaited in many places, deep inside the future of a start.
    let once = || Box::pin(read_once(replica, object));
    let again = match once().await {
        Err(StoreError::Codec { .. } | StoreError::Corrupt { .. }) => once().await,
        other => other,
    };
    again.map_err(|error| match error {
        StoreError::Corrupt { place, reason } => StoreError::Corrupt {
            place: format!("{place} with the records from #{} on", object.first()),
            reason,
        },
        other => other,
    })
}

async fn read_once(replica: &Replica, object: Object) -> Result<Option<Fetched>, StoreError> {
    let path = object.path();
    let Some(bytes) = replica.get(&path).await? else {
        return Ok(None);
    };
    let segment = segment::decode(path.as_ref(), &bytes)?;
    let SegmentHeader { first, last, .. } = segment.header;
    let is_named = match object {
        Object::Shipped { first: named } => first == named,
        Object::Merged { .. } => object == Object::Merged { first, last },
    };
    if !is_named {
        return Err(StoreError::Corrupt {
            place: format!("`{path}`"),
            reason: format!("it holds the records #{first}..#{last}"),
        });
    }
    Ok(Some(Fetched {
        segment,
        bytes: bytes.len() as u64,
    }))
}

/// Reads segment after segment in `log/`, from the one that begins with `first`, to the one that
/// holds this record; `None` when there is none.
async fn follow(
    replica: &Replica,
    mut first: Seq,
    seq: Seq,
) -> Result<Option<Fetched>, StoreError> {
    while first <= seq {
        let Some(found) = read(replica, Object::Shipped { first }).await? else {
            return Ok(None);
        };
        if found.segment.header.last >= seq {
            return Ok(Some(found));
        }
        first = found.segment.header.last.next();
    }
    Ok(None)
}

fn shipped_entry(listed: &Listed) -> Option<(Seq, u64)> {
    layout::number(&listed.path).map(|first| (Seq(first), listed.bytes))
}

fn merged_entry(listed: &Listed) -> Option<((Seq, Seq), u64)> {
    layout::range(&listed.path).map(|range| (range, listed.bytes))
}

/// The lists contradict themselves for now.
pub(crate) fn unsettled(seq: Seq) -> StoreError {
    StoreError::Remote {
        operation: "list",
        object: layout::MERGED.to_owned(),
        reason: format!("it lacks the object that holds record #{seq}; perhaps it is listed soon"),
    }
}
