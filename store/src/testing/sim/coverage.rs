//! What is stored of the log, object by object, held against what the log is.
//!
//! Invariant: reads the object store itself, and follows the rules of the format, not the code
//! under test.

use super::executor::now;
use crate::layout;
use crate::segment;
use bytes::Bytes;
use futures_util::TryStreamExt;
use moltbot_core::chain::Cursor;
use moltbot_core::ids::Seq;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Remembers what was read: an object under `compact/` never changes.
pub(super) struct Coverage {
    remote: Arc<InMemory>,
    read: BTreeSet<Path>,
    /// First and last records of the segments of the log, as they were shipped.
    shipped: BTreeMap<Seq, Seq>,
    floor: u64,
}

impl Coverage {
    pub(super) fn new(remote: Arc<InMemory>) -> Coverage {
        Coverage {
            remote,
            read: BTreeSet::new(),
            shipped: BTreeMap::new(),
            floor: 0,
        }
    }

    /// A segment joined the log.
    pub(super) fn shipped(&mut self, first: Seq, last: Seq) {
        self.shipped.insert(first, last);
    }

    /// Law: every record of the log is in an object that counts, and whatever is under `compact/` is
    /// the log.
    pub(super) fn check(&mut self, chain: &[Cursor]) -> Result<(), String> {
        self.follow_floors(chain)?;
        let mut ranges = Vec::new();
        for path in self.list(layout::MERGED) {
            let (first, last) = layout::range(&path).ok_or("a name that is no range")?;
            ranges.push((first.0, last.0));
            if self.read.insert(path.clone()) {
                self.is_of_the_log(&path, chain)?;
            }
        }
        covers(&ranges, self.floor).map_err(|seq| {
            format!(
                "#{seq} is not in `compact/`, and the floor is {}",
                self.floor
            )
        })?;
        for path in self.list(layout::SEGMENTS) {
            let first = Seq(layout::number(&path).ok_or("a name that is no number")?);
            if first.0 <= self.floor {
                continue;
            }
            let last = self.shipped.get(&first);
            let last = last.ok_or_else(|| format!("`{path}` is no part of the log"))?;
            ranges.push((first.0, last.0));
        }
        let tail = chain.last().map_or(0, |cursor| cursor.seq.0);
        covers(&ranges, tail).map_err(|seq| format!("#{seq} is in no object that counts"))
    }

    /// Law: floors have no gap, never go back and name records of the log.
    fn follow_floors(&mut self, chain: &[Cursor]) -> Result<(), String> {
        let mut numbers = Vec::new();
        for path in self.list(layout::FLOORS) {
            numbers.push(layout::number(&path).ok_or("a floor without a number")?);
            let bytes = self.get(&path);
            let floor: crate::floor::Floor =
                serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
            if floor.seq != Seq::ZERO && at(chain, floor.seq) != Some(floor.cursor()) {
                return Err(format!("`{path}` names {}", floor.cursor()));
            }
            self.floor = self.floor.max(floor.seq.0);
        }
        numbers.sort_unstable();
        let expected: Vec<u64> = (1..=numbers.len() as u64).collect();
        if numbers == expected {
            return Ok(());
        }
        Err(format!("the floors are {numbers:?}"))
    }

    fn is_of_the_log(&self, path: &Path, chain: &[Cursor]) -> Result<(), String> {
        let merged = segment::decode(path.as_ref(), &self.get(path));
        let merged = merged.map_err(|error| error.to_string())?;
        for record in &merged.records {
            if at(chain, record.seq) != Some(record.cursor()) {
                return Err(format!("`{path}` holds another #{}", record.seq));
            }
        }
        Ok(())
    }

    fn get(&self, path: &Path) -> Bytes {
        let got = now(async { self.remote.get(path).await.ok()?.bytes().await.ok() });
        got.flatten().unwrap_or_default()
    }

    fn list(&self, folder: &str) -> Vec<Path> {
        let folder = Path::from(folder);
        let listed = now(self.remote.list(Some(&folder)).try_collect::<Vec<_>>());
        let listed = listed.and_then(Result::ok).unwrap_or_default();
        listed.into_iter().map(|meta| meta.location).collect()
    }
}

fn at(chain: &[Cursor], seq: Seq) -> Option<Cursor> {
    let index = usize::try_from(seq.0.checked_sub(1)?).ok()?;
    chain.get(index).copied()
}

/// Whether these ranges hold everything from 1 to this number; the first that they lack if not.
fn covers(ranges: &[(u64, u64)], to: u64) -> Result<(), u64> {
    let mut ranges = ranges.to_vec();
    ranges.sort_unstable();
    let mut next = 1;
    for (first, last) in ranges {
        if first <= next {
            next = next.max(last + 1);
        }
    }
    if next > to { Ok(()) } else { Err(next) }
}
