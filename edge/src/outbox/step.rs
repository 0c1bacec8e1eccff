//! What to do next, as a function of the state: the outbox without its tasks.
//!
//! Everything it decides on is in the state; what it keeps besides is only which of it this process
//! is busy with. A process that starts finds nothing it is busy with, so whatever the state says is
//! under way was left by the process before: it is reported and never repeated.
//!
//! Invariant: a delivery is performed only after the record of its attempt is in the remote log, or
//! after that was waited for and an alarm was recorded; keys are deleted only after the record that
//! forgot them is.

use crate::limits::{ATTEMPT_REPLICATION_WAIT_MS, DELIVERIES_MAX, RUNS_MAX};
use moltbot_core::command::Action;
use moltbot_core::delivery::{Delivery, DeliveryStatus};
use moltbot_core::ids::{DeliveryId, KeyId, RunId, Seq};
use moltbot_core::outbox::Effect;
use moltbot_core::run::Run;
use moltbot_core::state::State;
use std::collections::{BTreeMap, BTreeSet};

/// What happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// The state moved on, or more of it was shipped, or time passed.
    Changed,
    /// The first words of a run that answers somebody on a channel are there.
    Spoken(RunId),
    /// The task of a run is over.
    RunOver(RunId),
    /// A command about a delivery was refused: what it was based on has changed, or nothing can be
    /// recorded now.
    Refused(DeliveryId),
    /// A delivery was performed, so far as it went.
    Performed(DeliveryId, Outcome),
    /// The keys that this record forgot are gone.
    KeysDeleted(Seq),
}

/// How performing a delivery went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The platform has all of it.
    Confirmed {
        /// The platform's ids of its messages.
        receipt: Vec<String>,
    },
    /// It is shown in full as far as its first message goes; the rest is a new attempt.
    Shown,
    /// The platform surely does not have all of it and will not get the rest.
    Failed {
        /// Stable code; `incomplete` when part of it is there.
        code: String,
        /// One sentence for a person.
        message: String,
    },
    /// The platform may or may not have it.
    Unknown,
    /// This process ends; the platform surely has nothing of it.
    NotSent,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Do {
    /// Begin a model turn.
    Run(RunId, Run),
    /// Perform a delivery and say how it went.
    Deliver(DeliveryId, Delivery),
    /// Submit a command about a delivery; say when it is refused.
    Submit(DeliveryId, Action),
    /// Submit a command whose refusal changes nothing.
    Report(Action),
    /// Delete the keys that this record forgot, and say when that is done.
    DeleteKeys(Seq, Vec<KeyId>),
    /// Ship what was appended at once.
    ShipNow,
}

/// What this process is doing about a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// A command about it is on its way; `before` is the attempt that was known before.
    Recording { before: Option<Seq> },
    /// Its attempt is on its way to the remote log.
    Shipping { attempt: Seq, since_ms: u64 },
    /// It is being performed.
    Performing,
    /// Its outcome is on its way into the log.
    Reporting,
}

/// Which effects this process is busy with.
#[derive(Debug, Default)]
pub struct Steps {
    channels: BTreeSet<String>,
    is_ending: bool,
    runs: BTreeSet<RunId>,
    /// Runs that have first words and are not shown yet.
    spoken: BTreeSet<RunId>,
    /// Runs that this process wants shown while they are written.
    shown: BTreeSet<RunId>,
    deliveries: BTreeMap<DeliveryId, Stage>,
    /// What could not be recorded, and how far the state was: it is begun again only when the state
    /// has moved on, as before that it would fail in the same way, at once and for ever.
    refused: BTreeMap<Effect, Seq>,
    /// Tombstones whose keys are being deleted. Nobody waits for these at the end: what is left is
    /// done by the next process.
    deletions: BTreeSet<Seq>,
}

impl Steps {
    /// For a process that can deliver to these channels.
    pub fn new(channels: impl IntoIterator<Item = String>) -> Steps {
        Steps {
            channels: channels.into_iter().collect(),
            ..Steps::default()
        }
    }

    /// What to report first: all that was under way when the process before this one ended.
    pub fn recover(state: &State) -> Vec<Action> {
        if state.unknown_critical.is_some() {
            return Vec::new();
        }
        let started = state.runs.iter().filter(|(_, run)| run.started.is_some());
        let interrupted = started.map(|(run, _)| Action::InterruptRun { run: run.clone() });
        let deliveries = state.deliveries.iter();
        let in_doubt = deliveries.filter(|(_, delivery)| delivery.is_in_doubt());
        let unknown = in_doubt.map(|(delivery, _)| Action::MarkDeliveryUnknown {
            delivery: delivery.clone(),
        });
        interrupted.chain(unknown).collect()
    }

    /// From now on nothing is begun; what is under way is finished. Whoever calls this sends nothing
    /// any more that is not being sent already.
    pub fn begin_nothing_more(&mut self) {
        self.is_ending = true;
    }

    /// Whether this process is busy with nothing.
    pub fn is_idle(&self) -> bool {
        self.runs.is_empty() && self.deliveries.is_empty()
    }

    /// When it wants to be asked again although nothing happened.
    pub fn wake_at_ms(&self) -> Option<u64> {
        let shipping = self.deliveries.values().filter_map(|stage| match stage {
            Stage::Shipping { since_ms, .. } => Some(since_ms + ATTEMPT_REPLICATION_WAIT_MS),
            _ => None,
        });
        shipping.min()
    }

    /// What to do now. `shipped` is the last record that is safe in the remote log.
    pub fn step(&mut self, now_ms: u64, state: &State, shipped: Seq, input: Input) -> Vec<Do> {
        let mut out = Vec::new();
        match input {
            Input::Changed => {}
            Input::Spoken(run) => {
                self.spoken.insert(run);
            }
            Input::RunOver(run) => {
                self.runs.remove(&run);
                self.refused.insert(Effect::Run(run), state.cursor.seq);
            }
            Input::Refused(delivery) => {
                self.deliveries.remove(&delivery);
                self.refused
                    .insert(Effect::Deliver(delivery), state.cursor.seq);
            }
            Input::Performed(delivery, outcome) => {
                self.performed(state, &delivery, outcome, &mut out);
            }
            Input::KeysDeleted(tombstone) => {
                out.push(Do::Report(Action::ConfirmKeysDeleted { tombstone }));
            }
        }
        self.forget_what_is_over(state);
        // A binary that must not decide cannot record an attempt, so it attempts nothing.
        if !self.is_ending && state.unknown_critical.is_none() {
            self.begin_runs(state, &mut out);
            self.show_runs(state, &mut out);
            self.begin_deliveries(state, &mut out);
            self.begin_deletions(state, shipped, &mut out);
        }
        self.advance(now_ms, state, shipped, &mut out);
        out
    }

    fn forget_what_is_over(&mut self, state: &State) {
        self.refused.retain(|_, seen| *seen == state.cursor.seq);
        let is_open = |seq: &Seq| {
            state
                .vault
                .tombstone(*seq)
                .is_some_and(|s| s.deleted.is_none())
        };
        self.deletions.retain(is_open);
        self.spoken.retain(|run| state.runs.get(run).is_some());
        self.shown
            .retain(|run| state.runs.get(run).is_some() || state.deliveries.of_run(run).is_some());
        self.deliveries.retain(|id, stage| {
            use DeliveryStatus::{Attempted, Streaming};
            let Some(delivery) = state.deliveries.get(id) else {
                return false;
            };
            // Once the outcome is in the log, an operator may want it attempted again.
            *stage != Stage::Reporting || matches!(delivery.status, Streaming | Attempted)
        });
    }

    /// The runs to begin now: the oldest of their session, within the bound.
    fn begin_runs(&mut self, state: &State, out: &mut Vec<Do>) {
        let mut busy = BTreeSet::new();
        for (_, effect) in state.outbox.iter() {
            let Effect::Run(id) = effect else { continue };
            let Some(run) = state.runs.get(id) else {
                continue;
            };
            let is_oldest = busy.insert(&run.session);
            let may_begin = self.runs.len() < RUNS_MAX && !self.refused.contains_key(effect);
            if is_oldest && may_begin && run.started.is_none() && self.runs.insert(id.clone()) {
                out.push(Do::Run(id.clone(), run.clone()));
            }
        }
    }

    /// An answer is shown on its channel from its first words on, unless something else for the
    /// same person is still on its way: order comes before speed.
    fn show_runs(&mut self, state: &State, out: &mut Vec<Do>) {
        let is_started = |run: &&RunId| state.runs.get(run).is_some_and(|r| r.started.is_some());
        let ready: Vec<RunId> = self.spoken.iter().filter(is_started).cloned().collect();
        for run in ready {
            self.spoken.remove(&run);
            if self.may_show(state, &run) {
                out.push(Do::Report(Action::BeginDelivery { run: run.clone() }));
                self.shown.insert(run);
            }
        }
    }

    fn may_show(&self, state: &State, run: &RunId) -> bool {
        let peer = state.runs.get(run).and_then(|run| run.peer.as_ref());
        let Some(peer) = peer else { return false };
        let known = state.peers.approved.get(peer);
        let is_reachable = known.is_some_and(|known| self.channels.contains(&known.channel));
        let others = state.deliveries.iter().filter(|(_, d)| d.peer == *peer);
        let mut waiting = others.filter(|(_, d)| d.status != DeliveryStatus::Unknown);
        is_reachable && self.deliveries.len() < DELIVERIES_MAX && waiting.next().is_none()
    }

    /// Whatever waited for a record or for the remote log.
    fn advance(&mut self, now_ms: u64, state: &State, shipped: Seq, out: &mut Vec<Do>) {
        for (id, stage) in &mut self.deliveries {
            let Some(delivery) = state.deliveries.get(id) else {
                continue;
            };
            if let Stage::Recording { before } = *stage
                && let Some(attempt) = delivery.attempted
                && before != Some(attempt)
            {
                *stage = Stage::Shipping {
                    attempt,
                    since_ms: now_ms,
                };
                out.push(Do::ShipNow);
            }
            let Stage::Shipping { attempt, since_ms } = *stage else {
                continue;
            };
            let is_untouched = delivery.receipt.is_empty();
            if self.is_ending && is_untouched && delivery.status == DeliveryStatus::Attempted {
                // Nothing was sent yet, so the next process begins anew.
                let delivery = id.clone();
                *stage = Stage::Reporting;
                out.push(Do::Submit(id.clone(), Action::ReturnDelivery { delivery }));
                continue;
            }
            let waited_ms = now_ms.saturating_sub(since_ms);
            let is_late = self.is_ending || waited_ms >= ATTEMPT_REPLICATION_WAIT_MS;
            if shipped < attempt && !is_late {
                continue;
            }
            if shipped < attempt && !self.is_ending {
                out.push(Do::Report(Action::RecordLoweredDurability {
                    what: "delivery_attempted".to_owned(),
                    seq: attempt,
                    waited_ms,
                }));
            }
            *stage = Stage::Performing;
            out.push(Do::Deliver(id.clone(), delivery.clone()));
        }
    }

    /// The deliveries to begin now: the oldest of their person, within the bound, on channels that
    /// are there.
    fn begin_deliveries(&mut self, state: &State, out: &mut Vec<Do>) {
        let mut busy = BTreeSet::new();
        for (_, effect) in state.outbox.iter() {
            let Effect::Deliver(id) = effect else {
                continue;
            };
            let Some(delivery) = state.deliveries.get(id) else {
                continue;
            };
            // One whose outcome is unknown waits for a person; the others do not wait for it.
            if delivery.status == DeliveryStatus::Unknown || !busy.insert(&delivery.peer) {
                continue;
            }
            let is_begun = self.deliveries.contains_key(id) || self.refused.contains_key(effect);
            let is_reachable = self.channels.contains(&delivery.channel);
            if is_begun || !is_reachable || self.deliveries.len() >= DELIVERIES_MAX {
                continue;
            }
            if let Some((stage, next)) = first_step(id, delivery, &self.shown) {
                self.deliveries.insert(id.clone(), stage);
                out.extend(next);
            }
        }
    }

    /// Keys are deleted only once the remote log says that they were forgotten: until then, the log
    /// that survives may be one that needs them.
    fn begin_deletions(&mut self, state: &State, shipped: Seq, out: &mut Vec<Do>) {
        for (_, effect) in state.outbox.iter() {
            let Effect::DeleteKeys(tombstone) = effect else {
                continue;
            };
            let Some(stone) = state.vault.tombstone(*tombstone) else {
                continue;
            };
            if *tombstone <= shipped && self.deletions.insert(*tombstone) {
                out.push(Do::DeleteKeys(*tombstone, stone.keys.clone()));
            }
        }
    }

    fn performed(&mut self, known: &State, id: &DeliveryId, outcome: Outcome, out: &mut Vec<Do>) {
        let delivery = id.clone();
        let (stage, action) = match outcome {
            Outcome::Confirmed { receipt } => (
                Stage::Reporting,
                Action::ConfirmDelivery { delivery, receipt },
            ),
            Outcome::Failed { code, message } => {
                let action = Action::FailDelivery {
                    delivery,
                    code,
                    message,
                };
                (Stage::Reporting, action)
            }
            Outcome::Unknown => (Stage::Reporting, Action::MarkDeliveryUnknown { delivery }),
            Outcome::NotSent => (Stage::Reporting, Action::ReturnDelivery { delivery }),
            Outcome::Shown => {
                let open = known.deliveries.get(id);
                let before = open.and_then(|delivery| delivery.attempted);
                let stage = Stage::Recording { before };
                (stage, Action::AttemptDelivery { delivery })
            }
        };
        self.deliveries.insert(id.clone(), stage);
        out.push(Do::Submit(id.clone(), action));
    }
}

/// How a delivery is begun that this process is not busy with.
fn first_step(
    id: &DeliveryId,
    delivery: &Delivery,
    shown: &BTreeSet<RunId>,
) -> Option<(Stage, Vec<Do>)> {
    match delivery.status {
        DeliveryStatus::Due => {
            let attempt = Action::AttemptDelivery {
                delivery: id.clone(),
            };
            let stage = Stage::Recording {
                before: delivery.attempted,
            };
            Some((stage, vec![Do::Submit(id.clone(), attempt)]))
        }
        // Begun by this process, just now: its attempt is the record that began it.
        DeliveryStatus::Streaming if delivery.receipt.is_empty() => {
            let is_mine = delivery.run.as_ref().is_some_and(|run| shown.contains(run));
            is_mine.then(|| (Stage::Recording { before: None }, Vec::new()))
        }
        // Begun by a process that is gone: its message is there and is edited to its last form.
        DeliveryStatus::Streaming if delivery.text_seq.is_some() => {
            let deliver = Do::Deliver(id.clone(), delivery.clone());
            Some((Stage::Performing, vec![deliver]))
        }
        DeliveryStatus::Streaming | DeliveryStatus::Attempted | DeliveryStatus::Unknown => None,
    }
}

#[cfg(test)]
mod tests;
