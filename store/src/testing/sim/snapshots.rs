//! Simulated snapshots: some count, some are never named by the log, some only another version of
//! the gateway can read.
//!
//! Invariant: taken of what was shipped, as the real ones are.

use super::world::World;
use crate::snapshot::{self, Section, Snapshot};
use moltbot_core::chain::Cursor;
use moltbot_core::event::SnapshotTaken;
use moltbot_core::ids::Seq;

const SECTION: &str = "sim";
const VERSION: u16 = 1;

/// Whether the simulated gateways can read it.
pub(super) fn is_usable(snapshot: &Snapshot) -> bool {
    snapshot.section(SECTION, VERSION).is_some()
}

/// Perhaps stores a snapshot of the state after this record; what the log is to say of it.
pub(super) async fn take(world: &World, gateway: usize, of: Cursor) -> Option<SnapshotTaken> {
    const STRANGE_PER_MILLE: u64 = 100;
    const FORGOTTEN_PER_MILLE: u64 = 100;
    let per_mille = world.scenario.snapshot_per_mille;
    if per_mille == 0 || of.seq == Seq::ZERO || world.random(1000) >= per_mille {
        return None;
    }
    let is_strange = world.random(1000) < STRANGE_PER_MILLE;
    let section = Section {
        name: SECTION.to_owned(),
        version: VERSION + u16::from(is_strange),
        bytes: of.hash.0.to_vec(),
    };
    let snapshot = Snapshot {
        seq: of.seq,
        record_hash: of.hash,
        sections: vec![section],
    };
    let stored = snapshot::put(&world.replica(gateway), &snapshot).await;
    let stored = match stored {
        Ok(stored) => stored,
        Err(error) => {
            world.note(gateway, || format!("takes no snapshot: {error}"));
            return None;
        }
    };
    world.note(gateway, || format!("snapshot of {of}"));
    world.count(|counts| counts.snapshots += 1);
    let is_named = world.random(1000) >= FORGOTTEN_PER_MILLE;
    is_named.then_some(SnapshotTaken {
        seq: of.seq,
        record_hash: of.hash,
        object_hash: stored.hash,
        bytes: stored.bytes,
    })
}
