//! Anchors: snapshots at which a local log may begin, so that a start need not read what comes
//! before.
//!
//! Invariant: an anchor counts only when the log vouches for it: the record after it names its
//! hash, and a later `snapshot_taken` names its seq and its object. Else it is an object that
//! anybody may have left there, and an older one is tried, at last the whole log.
//! Does not know what a snapshot means: whoever starts says which ones it can use.

use crate::error::{ErrorKind, StoreError};
use crate::log::LogReader;
use crate::replica::Replica;
use crate::settings::{ANCHOR_SCAN_BYTES, ANCHORS_TRIED_MAX};
use crate::snapshot::{self, Snapshot};
use moltbot_core::chain::{Cursor, Hash};
use moltbot_core::event::Event;
use moltbot_core::ids::Seq;
use std::collections::VecDeque;
use tracing::warn;

/// Whether this binary can go on from a snapshot; it keeps what it makes of the last one it was
/// asked about.
pub type Usable<'a> = dyn FnMut(&Snapshot) -> bool + Send + 'a;

/// A snapshot that this binary can use. Whether it counts, the log says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Anchor {
    /// The last record it contains.
    pub(crate) cursor: Cursor,
    object_hash: Hash,
}

impl Anchor {
    /// Whether this log holds the anchor's record, or begins after it, and vouches for it.
    pub(crate) fn is_vouched_by(&self, log: &dyn LogReader) -> Result<bool, StoreError> {
        let seq = self.cursor.seq;
        if seq < log.base().seq || log.cursor(seq)? != Some(self.cursor) {
            return Ok(false);
        }
        let mut next = seq.next();
        loop {
            let records = log.read(next, ANCHOR_SCAN_BYTES)?;
            let Some(last) = records.last() else {
                return Ok(false);
            };
            next = last.seq.next();
            let mut events = records.iter().filter_map(|record| record.event().ok());
            if events.any(|event| self.is_named_by(&event)) {
                return Ok(true);
            }
        }
    }

    fn is_named_by(&self, event: &Event) -> bool {
        matches!(event, Event::SnapshotTaken(taken)
            if taken.seq == self.cursor.seq
                && taken.record_hash == self.cursor.hash
                && taken.object_hash == self.object_hash)
    }
}

/// The newest snapshots of a remote log, from the newest on.
#[derive(Debug)]
pub(crate) struct Anchors {
    older: VecDeque<Seq>,
    current: Option<Anchor>,
}

impl Anchors {
    /// Lists them; none of them is there yet.
    pub(crate) async fn list(replica: &Replica) -> Result<Anchors, StoreError> {
        let mut seqs = snapshot::list(replica).await?;
        seqs.truncate(ANCHORS_TRIED_MAX);
        Ok(Anchors {
            older: seqs.into(),
            current: None,
        })
    }

    /// The seq of the newest one, whatever it is worth.
    pub(crate) fn newest_listed(&self) -> Option<Seq> {
        self.older.front().copied()
    }

    /// The one that is to be tried now.
    pub(crate) fn current(&self) -> Option<Anchor> {
        self.current
    }

    /// Goes on to the next older one that can be used; what is damaged or gone is passed over.
    pub(crate) async fn advance(
        &mut self,
        replica: &Replica,
        usable: &mut Usable<'_>,
    ) -> Result<(), StoreError> {
        self.current = None;
        while let Some(seq) = self.older.pop_front() {
            let (snapshot, stored) = match snapshot::get(replica, seq).await {
                Ok(Some(found)) => found,
                Ok(None) => continue,
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    warn!(seq = seq.0, %error, "a snapshot cannot be used");
                    continue;
                }
                Err(error) => return Err(error),
            };
            if !usable(&snapshot) {
                warn!(seq = seq.0, "a snapshot is of another version");
                continue;
            }
            self.current = Some(Anchor {
                cursor: snapshot.cursor(),
                object_hash: stored.hash,
            });
            return Ok(());
        }
        Ok(())
    }
}
