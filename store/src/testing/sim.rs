//! A deterministic simulation of gateways that share a remote log, and fail.
//!
//! One seed decides everything: who runs next at every point where anybody waits, which requests
//! fail and how, who crashes, loses its disk, sleeps through a takeover or is started twice.
//! Invariant: the same seed gives the same trace. The laws stand in `oracle`.

mod compaction;
mod coverage;
mod disk;
mod executor;
mod gateway;
pub mod load;
mod oracle;
mod scenario;
mod snapshots;
mod world;

use crate::catalog::Catalog;
use crate::error::StoreError;
use crate::log::LogReader;
use crate::memory_log::MemoryLog;
use crate::replica::{Replica, ReplicaKind};
use crate::restore;
use crate::testing::faulty_store::Faults;
use crate::testing::rng::Rng;
use executor::{Executor, now};
use gateway::Phase;
use load::{Load, Noise};
use moltbot_core::ids::Seq;
use object_store::memory::InMemory;
use scenario::Scenario;
use std::rc::Rc;
use std::sync::Arc;
use world::World;

/// Steps of the unruly part of a run.
const STEPS: u64 = 1500;
/// So long everybody works on after the last claim, with a healthy remote.
const WORK_MS: u64 = 400;
/// Within this time a healthy remote has everything, and whoever is fenced knows.
const SETTLE_MS: u64 = 60_000;

/// What happened in a run that broke no law.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Claims that succeeded.
    pub claims: u64,
    /// Gateways that were fenced.
    pub fenced: u64,
    /// Gateways that were refused the log.
    pub refused: u64,
    /// Processes that were killed.
    pub crashes: u64,
    /// Disks that were lost.
    pub wipes: u64,
    /// Batches acknowledged locally.
    pub appends: u64,
    /// Records in the remote log at the end.
    pub records: u64,
    /// Records acknowledged as replicated.
    pub replicated: u64,
    /// Records under `orphan/`.
    pub orphans: u64,
    /// Merged segments that were made.
    pub merged: u64,
    /// Objects that were deleted.
    pub deleted: u64,
    /// Snapshots that were stored.
    pub snapshots: u64,
    /// Claims that began the local log at a snapshot.
    pub anchored: u64,
    /// Requests to the object store.
    pub requests: u64,
}

/// A run.
#[derive(Debug, Clone)]
pub struct Run {
    /// Hash of everything that happened, in order.
    pub trace_hash: u64,
    /// The broken law, if any.
    pub violation: Option<String>,
    /// What happened.
    pub counts: Counts,
    /// The last lines of what happened.
    pub trace: Vec<String>,
}

/// Runs one seed with processes that only append. The trace is kept only when asked for.
pub fn run(seed: u64, keep_trace: bool) -> Run {
    run_with(seed, keep_trace, Box::new(Noise))
}

/// Runs one seed with this work.
pub fn run_with(seed: u64, keep_trace: bool, load: Box<dyn Load>) -> Run {
    let mut simulation = Simulation::new(seed, keep_trace, load);
    simulation.unruly();
    simulation.settle();
    simulation.one_after_the_other();
    simulation.compare_restored();
    simulation.finish()
}

struct Simulation {
    world: Rc<World>,
    executor: Executor,
    remote: Arc<InMemory>,
    stalled: Vec<bool>,
    rng: Rng,
}

impl Simulation {
    fn new(seed: u64, keep_trace: bool, load: Box<dyn Load>) -> Simulation {
        let mut rng = Rng::new(seed);
        let scenario = Scenario::of(&mut rng);
        let remote = Arc::new(InMemory::new());
        let world = World::new(scenario, &remote, &mut rng, keep_trace, load);
        world.note(0, || format!("{:?}", world.scenario));
        Simulation {
            stalled: vec![false; world.scenario.gateways],
            world: Rc::new(world),
            executor: Executor::default(),
            remote,
            rng,
        }
    }

    /// Everything fails, everything is started and killed.
    fn unruly(&mut self) {
        for _ in 0..STEPS {
            if self.is_broken() {
                return;
            }
            self.disturb();
            self.step();
        }
    }

    /// The remote is healthy and nobody is disturbed any more: whoever still runs ships everything,
    /// and of all who run only the newest is left.
    fn settle(&mut self) {
        self.calm();
        let deadline = self.world.clock.now_ms() + SETTLE_MS;
        let mut working_since = self.world.clock.now_ms();
        while !self.is_broken() && self.world.clock.now_ms() < deadline {
            self.step();
            let now_ms = self.world.clock.now_ms();
            if self.count(|phase| phase == Phase::Claiming) > 0 {
                working_since = now_ms;
            }
            // Who appends something learns that he is fenced when he ships it, who is idle by asking.
            let work_ms = if self.world.scenario.ends_idle {
                0
            } else {
                WORK_MS
            };
            let is_quiet = now_ms > working_since + work_ms;
            *self.world.is_quiet.borrow_mut() = is_quiet;
            if is_quiet && self.is_settled() {
                return;
            }
        }
        if !self.is_broken() {
            self.world
                .violation("two gateways go on, or one never ships");
        }
    }

    /// At most one gateway runs, and everything it has is shipped.
    fn is_settled(&self) -> bool {
        let is_running = |phase| matches!(phase, Phase::Running(_));
        let tail = self.world.oracle.borrow().tail();
        let mut running =
            (0..self.stalled.len()).filter(|gateway| is_running(self.world.phase(*gateway)));
        match (running.next(), running.next()) {
            (None, _) => true,
            (Some(one), None) => LogReader::head(&self.world.disk(one)) == tail,
            _ => false,
        }
    }

    /// Every gateway is started once more, alone, so that whatever is only on its disk gets out.
    fn one_after_the_other(&mut self) {
        for gateway in 0..self.stalled.len() {
            for other in 0..self.stalled.len() {
                self.stop(other);
            }
            self.land_late_writes(usize::MAX);
            self.start(gateway, true);
            let deadline = self.world.clock.now_ms() + SETTLE_MS;
            while self.world.phase(gateway) == Phase::Claiming
                && self.world.clock.now_ms() < deadline
                && !self.is_broken()
            {
                self.step();
            }
            if self.is_broken() {
                return;
            }
            if !matches!(self.world.phase(gateway), Phase::Running(_)) {
                let phase = self.world.phase(gateway);
                let text = format!("gateway {gateway} is {phase:?} with a healthy remote");
                return self.world.violation(&text);
            }
            self.expect_shipped(gateway);
        }
        let kept = self.world.oracle.borrow_mut().check_all_kept();
        self.world.law(kept);
    }

    /// A restored log equals the one that runs, and verifies.
    fn compare_restored(&mut self) {
        if self.is_broken() {
            return;
        }
        let last = self.stalled.len() - 1;
        let replica = Replica::over(Arc::clone(&self.remote) as _, ReplicaKind::Memory);
        let settings = self.world.settings();
        let mut restored = MemoryLog::new();
        let live = self.world.disk(last);
        let outcome = now(async {
            let mut ignore = |_, _| {};
            restore::restore(&replica, &mut restored, &settings, &mut ignore).await?;
            let verified = restore::verify(&replica, &settings, &mut ignore).await?;
            let survived = restored.read(Seq(1), usize::MAX)?;
            let base = live.base().seq;
            let here = live.read(base.next(), usize::MAX)?;
            let mut is_same = survived.iter().skip_while(|r| r.seq <= base).eq(&here);
            // What is only in the remote log is found there record by record.
            let mut catalog = Catalog::list(&replica, base).await?;
            for record in survived.iter().take_while(|r| r.seq <= base) {
                let found = catalog.read_holding(&replica, record.seq).await?;
                is_same &= found.is_some_and(|found| found.segment.records.contains(record));
            }
            Ok::<_, StoreError>((verified, is_same, survived))
        });
        let tail = self.world.oracle.borrow().tail();
        match outcome {
            Some(Ok((verified, true, survived))) if verified.head == tail => {
                self.world.count(|counts| counts.records = verified.records);
                let checked = self.world.load.borrow().check(&survived);
                self.world.law(checked);
            }
            Some(Ok((verified, is_same, _))) => self.world.violation(&format!(
                "restored {}, remote {tail}, same as live: {is_same}",
                verified.head
            )),
            Some(Err(error)) => self.world.violation(&format!("cannot restore: {error}")),
            None => self.world.violation("a restore never ends"),
        }
    }

    fn finish(self) -> Run {
        let requests = {
            let members = self.world.members.borrow();
            members.iter().map(|member| member.store.requests()).sum()
        };
        self.world.count(|counts| {
            let oracle = self.world.oracle.borrow();
            counts.replicated = oracle.replicated_count() as u64;
            counts.orphans = oracle.orphan_count() as u64;
            counts.requests = requests;
        });
        let (trace_hash, trace) = self.world.trace();
        Run {
            trace_hash,
            violation: self.world.violation.borrow().clone(),
            counts: self.world.counts.borrow().clone(),
            trace,
        }
    }

    fn is_broken(&self) -> bool {
        self.world.violation.borrow().is_some()
    }

    /// Lets one task run, or time pass.
    fn step(&mut self) {
        let clock = Rc::clone(&self.world.clock);
        clock.set(clock.now_ms() + self.rng.below(3));
        match self.executor.poll_one(&mut self.rng, &self.stalled) {
            Some(gateway) => self.world.mark(gateway as u64),
            None => clock.set(clock.next_due().unwrap_or(clock.now_ms() + 100)),
        }
        for (gateway, body) in self.world.spawned.take() {
            self.executor.spawn(gateway, body);
        }
        for gateway in 0..self.stalled.len() {
            let dropped = self.world.disk(gateway).take_dropped();
            if !dropped.is_empty() {
                let checked = self.world.oracle.borrow_mut().dropped(gateway, &dropped);
                self.world.law(checked);
            }
            // A process that ended takes its tasks with it.
            if !matches!(
                self.world.phase(gateway),
                Phase::Claiming | Phase::Running(_)
            ) {
                self.executor.kill(gateway);
            }
        }
    }

    /// Perhaps something happens to somebody.
    fn disturb(&mut self) {
        let scenario = self.world.scenario.clone();
        let gateway = self.rng.index(scenario.gateways);
        let is_up = matches!(
            self.world.phase(gateway),
            Phase::Claiming | Phase::Running(_)
        );
        if !is_up && self.rng.chance(30) {
            let takeover = self.rng.chance(scenario.takeover_per_mille);
            self.start(gateway, takeover);
        }
        if is_up && self.rng.chance(scenario.crash_per_mille) {
            self.world.count(|counts| counts.crashes += 1);
            self.stop(gateway);
            if self.rng.chance(scenario.wipe_per_mille) {
                self.world.note(gateway, || "disk lost".to_owned());
                self.world.count(|counts| counts.wipes += 1);
                self.world.wipe(gateway);
                self.world.oracle.borrow_mut().wiped(gateway);
            }
        }
        if self.rng.chance(scenario.stall_per_mille)
            && let Some(stalled) = self.stalled.get_mut(gateway)
        {
            *stalled = !*stalled;
            let is_stalled = *stalled;
            self.world
                .note(gateway, || format!("stalled: {is_stalled}"));
        }
        if self.rng.chance(scenario.outage_per_mille) {
            let is_down = self.rng.chance(500);
            self.world
                .note(gateway, || format!("remote down: {is_down}"));
            self.world.store(gateway).set_down(is_down);
        }
        if self.rng.chance(40) {
            self.land_late_writes(1);
        }
        if self.rng.chance(5) {
            let checked = self.world.oracle.borrow_mut().check();
            self.world.law(checked);
        }
    }

    fn calm(&mut self) {
        for gateway in 0..self.stalled.len() {
            let store = self.world.store(gateway);
            store.set_down(false);
            store.set_faults(Faults {
                yields_max: self.world.scenario.faults.yields_max,
                ..Faults::default()
            });
            self.world.disk(gateway).set_failures(0);
        }
        self.stalled.fill(false);
        self.world.note(0, || "calm".to_owned());
    }

    fn start(&mut self, gateway: usize, takeover: bool) {
        self.world
            .note(gateway, || format!("starts, takeover: {takeover}"));
        let reopened = self.world.disk(gateway).reopen();
        self.world.law(reopened.map_err(|error| error.to_string()));
        self.world.set_phase(gateway, Phase::Claiming);
        let body = gateway::live(Rc::clone(&self.world), gateway, takeover);
        self.executor.spawn(gateway, Box::pin(body));
    }

    fn stop(&mut self, gateway: usize) {
        self.world.note(gateway, || "killed".to_owned());
        self.executor.kill(gateway);
        self.world.set_phase(gateway, Phase::Off);
    }

    fn land_late_writes(&mut self, max: usize) {
        for gateway in 0..self.stalled.len() {
            let store = self.world.store(gateway);
            for _ in 0..max {
                if now(store.land_late_write()) != Some(true) {
                    break;
                }
                self.world.note(gateway, || "a late write lands".to_owned());
            }
        }
    }

    fn expect_shipped(&self, gateway: usize) {
        let head = LogReader::head(&self.world.disk(gateway));
        let checked = self.world.oracle.borrow_mut().check();
        self.world.law(checked);
        let tail = self.world.oracle.borrow().tail();
        if head != tail {
            let text = format!("gateway {gateway} has {head}, the remote log {tail}");
            self.world.violation(&text);
        }
    }

    fn count(&self, is: impl Fn(Phase) -> bool) -> usize {
        let members = self.world.members.borrow();
        members.iter().filter(|member| is(member.phase)).count()
    }
}
