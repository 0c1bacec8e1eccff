//! What all simulated tasks share.
//!
//! Invariant: borrowed only between two points where a task waits, so no borrow meets another.

use super::Counts;
use super::disk::SimDisk;
use super::executor::Clock;
use super::gateway::Phase;
use super::load::Load;
use super::oracle::Oracle;
use super::scenario::Scenario;
use crate::error::{ErrorKind, StoreError};
use crate::keys::{Keyring, MasterKeys};
use crate::log::LogReader;
use crate::replica::{Replica, ReplicaKind};
use crate::settings::StoreSettings;
use crate::testing::faulty_store::FaultyStore;
use crate::testing::rng::Rng;
use moltbot_core::chain::Cursor;
use moltbot_core::ids::InstanceId;
use moltbot_core::record::Record;
use moltbot_core::time::Timestamp;
use object_store::memory::InMemory;
use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

const TRACE_LINES_MAX: usize = 5000;
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

pub(super) struct Member {
    pub(super) disk: SimDisk,
    pub(super) keyring: Arc<Keyring>,
    pub(super) store: FaultyStore,
    pub(super) phase: Phase,
}

struct Log {
    hash: u64,
    lines: Vec<String>,
    is_kept: bool,
}

pub(super) type Body = Pin<Box<dyn Future<Output = ()>>>;

/// Everything that the tasks share.
pub(super) struct World {
    pub(super) clock: Rc<Clock>,
    pub(super) rng: RefCell<Rng>,
    pub(super) scenario: Scenario,
    pub(super) members: RefCell<Vec<Member>>,
    pub(super) oracle: RefCell<Oracle>,
    log: RefCell<Log>,
    pub(super) counts: RefCell<Counts>,
    pub(super) violation: RefCell<Option<String>>,
    pub(super) spawned: RefCell<Vec<(usize, Body)>>,
    pub(super) is_quiet: RefCell<bool>,
    pub(super) load: RefCell<Box<dyn Load>>,
}

impl World {
    pub(super) fn new(
        scenario: Scenario,
        remote: &Arc<InMemory>,
        rng: &mut Rng,
        keep_trace: bool,
        load: Box<dyn Load>,
    ) -> World {
        let members: Vec<Member> = (0..scenario.gateways)
            .map(|_| Member {
                disk: SimDisk::new(rng.next_u64()),
                keyring: Arc::new(Keyring::in_memory(MasterKeys::default())),
                store: FaultyStore::new(Arc::clone(remote) as _, rng.next_u64()),
                phase: Phase::Off,
            })
            .collect();
        for member in &members {
            member.store.set_faults(scenario.faults);
            member.disk.set_failures(scenario.disk_failures_per_mille);
        }
        World {
            clock: Rc::default(),
            rng: RefCell::new(Rng::new(rng.next_u64())),
            oracle: RefCell::new(Oracle::new(Arc::clone(remote), scenario.gateways)),
            members: RefCell::new(members),
            log: RefCell::new(Log {
                hash: FNV_OFFSET,
                lines: Vec::new(),
                is_kept: keep_trace,
            }),
            counts: RefCell::default(),
            violation: RefCell::default(),
            spawned: RefCell::default(),
            is_quiet: RefCell::new(false),
            load: RefCell::new(load),
            scenario,
        }
    }

    /// Hash and lines of everything that happened.
    pub(super) fn trace(&self) -> (u64, Vec<String>) {
        let log = self.log.borrow();
        (log.hash, log.lines.clone())
    }

    pub(super) fn member<T>(&self, gateway: usize, of: impl FnOnce(&mut Member) -> T) -> T {
        let mut members = self.members.borrow_mut();
        let at = gateway % members.len();
        #[expect(clippy::indexing_slicing, reason = "the position is below the length")]
        of(&mut members[at])
    }

    pub(super) fn disk(&self, gateway: usize) -> SimDisk {
        self.member(gateway, |member| member.disk.clone())
    }

    pub(super) fn keyring(&self, gateway: usize) -> Arc<Keyring> {
        self.member(gateway, |member| Arc::clone(&member.keyring))
    }

    /// The machine is gone, with everything on it.
    pub(super) fn wipe(&self, gateway: usize) {
        self.member(gateway, |member| {
            member.disk.wipe();
            member.keyring = Arc::new(Keyring::in_memory(MasterKeys::default()));
        });
    }

    pub(super) fn store(&self, gateway: usize) -> FaultyStore {
        self.member(gateway, |member| member.store.clone())
    }

    pub(super) fn replica(&self, gateway: usize) -> Replica {
        Replica::over(Arc::new(self.store(gateway)), ReplicaKind::Memory)
    }

    pub(super) fn phase(&self, gateway: usize) -> Phase {
        self.member(gateway, |member| member.phase)
    }

    pub(super) fn set_phase(&self, gateway: usize, phase: Phase) {
        self.note(gateway, || format!("{phase:?}"));
        self.member(gateway, |member| member.phase = phase);
    }

    pub(super) fn instance(&self, gateway: usize) -> InstanceId {
        if self.scenario.is_one_owner {
            return InstanceId::from("gateway");
        }
        InstanceId(format!("gateway-{gateway}"))
    }

    pub(super) fn settings(&self) -> StoreSettings {
        let settings = StoreSettings {
            segment_bytes_max: self.scenario.segment_bytes_max,
            retry_ms_max: 2000,
            head_check_ms: 3000,
            restore_concurrency: 3,
            behind_records_max: self.scenario.behind_records_max,
            ..StoreSettings::default()
        };
        let Some(compaction) = &self.scenario.compaction else {
            return settings;
        };
        StoreSettings {
            compact_bytes_max: compaction.bytes_max,
            compact_segments_min: compaction.segments_min,
            compact_fan_in: compaction.fan_in,
            compact_objects_max: 3,
            compact_deletes_max: compaction.deletes_max,
            ..settings
        }
    }

    pub(super) fn timestamp(&self) -> Timestamp {
        Timestamp(i64::try_from(self.clock.now_ms()).unwrap_or(i64::MAX))
    }

    pub(super) fn pace_ms(&self) -> u64 {
        self.scenario.pace_ms
    }

    pub(super) fn may_work(&self) -> bool {
        !*self.is_quiet.borrow()
    }

    pub(super) fn random(&self, bound: u64) -> u64 {
        self.rng.borrow_mut().below(bound)
    }

    pub(super) fn with_rng<T>(&self, f: impl FnOnce(&mut Rng) -> T) -> T {
        f(&mut self.rng.borrow_mut())
    }

    pub(super) fn spawn(&self, gateway: usize, body: Body) {
        self.spawned.borrow_mut().push((gateway, body));
    }

    pub(super) fn count(&self, add: impl FnOnce(&mut Counts)) {
        add(&mut self.counts.borrow_mut());
    }

    pub(super) fn acknowledged_local(&self, gateway: usize, records: &[Record]) {
        self.count(|counts| counts.appends += 1);
        for record in records {
            self.mark(record.seq.0);
            self.mark(u64::from(record.hash.0[0]));
        }
        self.oracle
            .borrow_mut()
            .acknowledged_local(gateway, records);
    }

    pub(super) fn acknowledged_replicated(&self, records: &[Record]) {
        let checked = self.oracle.borrow_mut().acknowledged_replicated(records);
        self.law(checked);
    }

    /// A process holds the log after this snapshot, and begins with the state in it.
    pub(super) fn anchored(&self, anchor: Option<Cursor>, disk: &SimDisk) {
        let base = disk.base();
        if base != Cursor::START {
            self.count(|counts| counts.anchored += 1);
        }
        let checked = match anchor {
            Some(anchor) if anchor.seq >= base.seq => self.oracle.borrow_mut().is_log(anchor),
            None if base == Cursor::START => Ok(()),
            other => Err(format!(
                "a log with the base {base} is begun with {other:?}"
            )),
        };
        self.law(checked);
    }

    /// A process ended by itself.
    pub(super) fn ended(&self, gateway: usize, error: &StoreError) {
        self.note(gateway, || format!("ends: {error}"));
        let phase = match (error.kind(), error) {
            (ErrorKind::Fenced, _) => {
                self.count(|counts| counts.fenced += 1);
                Phase::Fenced
            }
            (_, StoreError::Owned { .. }) => {
                self.count(|counts| counts.refused += 1);
                Phase::Refused
            }
            (ErrorKind::Disk, _) => Phase::Off,
            _ => {
                self.violation(&format!("gateway {gateway} ended: {error}"));
                Phase::Off
            }
        };
        self.set_phase(gateway, phase);
    }

    pub(super) fn law(&self, checked: Result<(), String>) {
        if let Err(text) = checked {
            self.violation(&text);
        }
    }

    pub(super) fn violation(&self, text: &str) {
        self.note(0, || format!("VIOLATION: {text}"));
        self.violation
            .borrow_mut()
            .get_or_insert_with(|| text.to_owned());
    }

    /// Adds a number to the trace.
    pub(super) fn mark(&self, number: u64) {
        let mut log = self.log.borrow_mut();
        log.hash = (log.hash ^ number).wrapping_mul(FNV_PRIME);
    }

    /// Adds a line to the trace.
    pub(super) fn note(&self, gateway: usize, text: impl FnOnce() -> String) {
        let now_ms = self.clock.now_ms();
        let line = format!("{now_ms:>7} ms  gateway {gateway}: {}", text());
        for byte in line.bytes() {
            self.mark(u64::from(byte));
        }
        let mut log = self.log.borrow_mut();
        if log.is_kept && log.lines.len() < TRACE_LINES_MAX {
            log.lines.push(line);
        }
    }
}
