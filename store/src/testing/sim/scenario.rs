//! What a seed decides before anything happens.
//!
//! Invariant: every kind of trouble is absent in some scenarios, so that one does not hide another.

use crate::testing::faulty_store::Faults;
use crate::testing::rng::Rng;

/// What a seed decides once.
#[derive(Debug, Clone)]
pub(super) struct Scenario {
    pub(super) gateways: usize,
    pub(super) is_one_owner: bool,
    pub(super) takeover_per_mille: u64,
    pub(super) crash_per_mille: u64,
    pub(super) wipe_per_mille: u64,
    pub(super) stall_per_mille: u64,
    pub(super) outage_per_mille: u64,
    pub(super) disk_failures_per_mille: u64,
    pub(super) pace_ms: u64,
    pub(super) segment_bytes_max: usize,
    pub(super) compaction: Option<Compaction>,
    /// Of the moments at which a process works, those at which it takes a snapshot.
    pub(super) snapshot_per_mille: u64,
    /// So far behind a log begins anew.
    pub(super) behind_records_max: u64,
    /// At the end everybody stops working at once, so a fenced one learns it while idle.
    pub(super) ends_idle: bool,
    pub(super) faults: Faults,
}

/// How eagerly the log is compacted.
#[derive(Debug, Clone)]
pub(super) struct Compaction {
    pub(super) pause_ms: u64,
    pub(super) segments_min: usize,
    pub(super) fan_in: usize,
    pub(super) bytes_max: u64,
    pub(super) deletes_max: usize,
}

impl Compaction {
    fn of(rng: &mut Rng) -> Compaction {
        Compaction {
            pause_ms: 5 + rng.below(300),
            segments_min: 1 + rng.index(5),
            fan_in: 2 + rng.index(3),
            bytes_max: 500 + rng.below(8000),
            deletes_max: 1 + rng.index(20),
        }
    }
}

impl Scenario {
    pub(super) fn of(rng: &mut Rng) -> Scenario {
        let rough = rng.below(4);
        Scenario {
            gateways: 1 + rng.index(3),
            is_one_owner: rng.chance(400),
            takeover_per_mille: 200 + rng.below(800),
            crash_per_mille: 1 + rng.below(8),
            wipe_per_mille: rng.below(400),
            stall_per_mille: rng.below(8),
            outage_per_mille: rng.below(4),
            disk_failures_per_mille: rng.below(2) * rng.below(20),
            pace_ms: 5 + rng.below(300),
            segment_bytes_max: 150 + rng.index(1500),
            ends_idle: rng.chance(500),
            compaction: rng.chance(750).then(|| Compaction::of(rng)),
            snapshot_per_mille: rng.below(2) * rng.below(150),
            behind_records_max: rng.below(60),
            faults: Faults {
                before: rng.below(20) * rough,
                after: rng.below(40) * rough,
                late: rng.below(40) * rough,
                throttled: rng.below(20) * rough,
                stale_list: rng.below(200) * rough,
                partial: rng.below(10) * rough,
                undeletable: rng.below(30) * rough,
                yields_max: 1 + rng.below(6),
            },
        }
    }
}
