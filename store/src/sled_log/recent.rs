//! What the tail holds and sled does not yet, in memory.
//!
//! Invariant: the groups follow each other without a gap, and the first follows what sled holds or
//! is in sled already. They are never more than the tail holds.

use super::groups::Group;
use moltbot_core::ids::Seq;
use std::sync::{Arc, PoisonError, RwLock};

/// The newest groups, shared with the readers.
#[derive(Clone, Default)]
pub(super) struct Recent(Arc<RwLock<Vec<Arc<Group>>>>);

impl Recent {
    pub(super) fn push(&self, group: Group) {
        self.write(|groups| groups.push(Arc::new(group)));
    }

    /// The oldest of them, when sled has these.
    pub(super) fn forget(&self, count: usize) {
        self.write(|groups| drop(groups.drain(..count.min(groups.len()))));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.read(<[_]>::is_empty)
    }

    pub(super) fn all(&self) -> Vec<Arc<Group>> {
        self.read(<[_]>::to_vec)
    }

    /// Groups of about so many bytes, at least one, from the one that holds this seq; empty when
    /// that is not among them.
    pub(super) fn from(&self, seq: Seq, bytes_max: usize) -> Vec<Arc<Group>> {
        self.read(|groups| {
            let after = groups.partition_point(|group| group.first <= seq);
            let Some((first, later)) = after
                .checked_sub(1)
                .and_then(|at| groups.get(at..)?.split_first())
            else {
                return Vec::new();
            };
            let mut bytes = 0;
            let later = later.iter().take_while(|group| {
                let is_enough = bytes >= bytes_max;
                bytes += group.bytes().len();
                !is_enough
            });
            std::iter::once(first).chain(later).cloned().collect()
        })
    }

    fn read<T>(&self, look: impl FnOnce(&[Arc<Group>]) -> T) -> T {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, change: impl FnOnce(&mut Vec<Arc<Group>>)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }
}
