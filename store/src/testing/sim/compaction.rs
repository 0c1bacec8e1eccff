//! Simulated compaction: merges and deletes while everything else goes on.
//!
//! Invariant: what it takes for snapshots that count are positions that were shipped, or in scenarios
//! with snapshots those of the process.

use super::gateway::Mailbox;
use super::world::World;
use crate::compact::Compactor;
use crate::error::{ErrorKind, StoreError};
use moltbot_core::ids::{Epoch, Seq};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// Compacts the log from time to time, until the process ends or is fenced.
pub(super) async fn compact(
    world: Rc<World>,
    gateway: usize,
    epoch: Epoch,
    mailbox: Rc<RefCell<Mailbox>>,
) {
    let Some(compaction) = world.scenario.compaction.clone() else {
        return;
    };
    let mut compactor = Compactor::new(
        world.replica(gateway),
        epoch,
        world.instance(gateway),
        world.settings(),
    );
    let mut snapshots: VecDeque<Seq> = VecDeque::new();
    loop {
        let pause = 1 + world.random(compaction.pause_ms);
        Rc::clone(&world.clock).sleep(pause).await;
        if mailbox.borrow().is_over {
            return;
        }
        let mut shipped = mailbox.borrow().shipped.seq;
        if world.scenario.snapshot_per_mille > 0 {
            let taken = mailbox.borrow().snapshots.last().copied();
            shipped = taken.filter(|taken| *taken <= shipped).unwrap_or(Seq::ZERO);
        }
        if snapshots.front().is_none_or(|newest| *newest < shipped) {
            snapshots.push_front(shipped);
            snapshots.truncate(3);
        }
        match compactor.pass(snapshots.make_contiguous()).await {
            Ok(pass) if pass.made + pass.replaced > 0 => {
                world.note(gateway, || format!("compacted {pass:?}"));
                world.count(|counts| {
                    counts.merged += pass.made;
                    counts.deleted += pass.replaced;
                });
            }
            Ok(_) => {}
            Err(StoreError::Fenced { by }) => {
                return world.note(gateway, || format!("compacts no more, fenced by {by}"));
            }
            Err(error) if error.kind() == ErrorKind::Transient => {
                world.note(gateway, || format!("compacts later: {error}"));
            }
            Err(error) => {
                return world.violation(&format!("gateway {gateway} cannot compact: {error}"));
            }
        }
    }
}
