//! Laws on what has to happen: queued once, ended once.

use super::driver::Gateway;
use super::generate::steps;
use super::universe::{command, peer};
use super::{START_MS, walk};
use moltbot_core::actor::Actor;
use moltbot_core::command::{Action, DmPolicy};
use moltbot_core::delivery::DeliveryStatus;
use moltbot_core::event::{Event, Usage};
use moltbot_core::ids::Seq;
use moltbot_core::outbox::Effect;
use moltbot_core::state::State;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

proptest! {
    #[test]
    fn every_effect_is_queued_once_and_leaves_once(steps in steps()) {
        let mut gateway = Gateway::default();
        walk(&mut gateway, &steps, |taken| outbox_is_what_is_open(&taken.after.state))?;
        let mut model = Model::default();
        for (record, event) in &gateway.records {
            model.fold(record.seq, event)?;
        }
        let kept: BTreeMap<Seq, Effect> =
            gateway.state.outbox.iter().map(|(seq, effect)| (seq, effect.clone())).collect();
        prop_assert_eq!(model.due, kept);
    }

    #[test]
    fn nothing_is_sent_twice_unless_an_operator_wants_it(steps in steps()) {
        let mut gateway = Gateway::default();
        walk(&mut gateway, &steps, |_| Ok(()))?;
        let mut attempted = BTreeSet::new();
        let mut posted = BTreeSet::new();
        for (_, event) in &gateway.records {
            match event {
                Event::DeliveryBegun(e) => prop_assert!(attempted.insert(e.delivery.clone())),
                Event::DeliveryPosted(e) => {
                    prop_assert!(attempted.contains(&e.delivery));
                    posted.insert(e.delivery.clone());
                }
                // What the platform has already is only edited; the rest of it is a new attempt.
                Event::DeliveryAttempted(e) => prop_assert!(
                    attempted.insert(e.delivery.clone()) || posted.remove(&e.delivery)
                ),
                Event::DeliveryConfirmed(e) => prop_assert!(attempted.contains(&e.delivery)),
                Event::DeliveryReturned(e) => prop_assert!(attempted.remove(&e.delivery)),
                Event::DeliveryResent(e) => {
                    posted.remove(&e.delivery);
                    prop_assert!(attempted.remove(&e.delivery));
                }
                _ => {}
            }
        }
    }
}

fn outbox_is_what_is_open(state: &State) -> Result<(), TestCaseError> {
    let runs = state.runs.iter();
    let runs = runs.map(|(id, run)| (run.requested, Effect::Run(id.clone())));
    let deliveries = state.deliveries.iter();
    let deliveries = deliveries.map(|(id, d)| (d.queued, Effect::Deliver(id.clone())));
    let stones = state.vault.tombstones();
    let stones = stones.filter(|(_, stone)| stone.deleted.is_none());
    let stones = stones.map(|(seq, _)| (seq, Effect::DeleteKeys(seq)));
    let open: BTreeMap<Seq, Effect> = runs.chain(deliveries).chain(stones).collect();
    let outbox: BTreeMap<Seq, Effect> = state
        .outbox
        .iter()
        .map(|(seq, effect)| (seq, effect.clone()))
        .collect();
    prop_assert_eq!(open, outbox);
    prop_assert_eq!(state.outbox.len(), state.outbox.iter().count());
    let due = |(_, d): &(_, &moltbot_core::delivery::Delivery)| d.status == DeliveryStatus::Due;
    let written = |(_, d): (_, &moltbot_core::delivery::Delivery)| match d.text_seq {
        Some(text) => text < d.queued || d.run.is_some(),
        None => false,
    };
    let all_written = state.deliveries.iter().filter(due).all(written);
    prop_assert!(all_written);
    Ok(())
}

/// The outbox by its definition, from the log alone.
#[derive(Default)]
struct Model {
    due: BTreeMap<Seq, Effect>,
}

impl Model {
    fn fold(&mut self, seq: Seq, event: &Event) -> Result<(), TestCaseError> {
        match event {
            Event::RunRequested(e) => self.queue(seq, Effect::Run(e.run.clone())),
            Event::DeliveryQueued(e) => self.queue(seq, Effect::Deliver(e.delivery.clone())),
            Event::ContentForgotten(_) => self.queue(seq, Effect::DeleteKeys(seq)),
            Event::DataKeysDeleted(e) => self.end(&Effect::DeleteKeys(e.tombstone)),
            Event::DeliveryBegun(e) => self.queue(seq, Effect::Deliver(e.delivery.clone())),
            Event::RunCompleted(e) => self.end(&Effect::Run(e.run.clone())),
            Event::RunCancelled(e) => self.end(&Effect::Run(e.run.clone())),
            Event::RunFailed(e) => self.end(&Effect::Run(e.run.clone())),
            Event::RunInterrupted(e) => self.end(&Effect::Run(e.run.clone())),
            Event::DeliveryConfirmed(e) => self.end(&Effect::Deliver(e.delivery.clone())),
            Event::DeliveryFailed(e) => self.end(&Effect::Deliver(e.delivery.clone())),
            Event::DeliveryCancelled(e) => self.end(&Effect::Deliver(e.delivery.clone())),
            _ => Ok(()),
        }
    }

    fn queue(&mut self, seq: Seq, effect: Effect) -> Result<(), TestCaseError> {
        prop_assert!(
            self.due.values().all(|due| *due != effect),
            "{effect:?} twice"
        );
        self.due.insert(seq, effect);
        Ok(())
    }

    fn end(&mut self, effect: &Effect) -> Result<(), TestCaseError> {
        let before = self.due.len();
        self.due.retain(|_, due| due != effect);
        prop_assert_eq!(
            self.due.len() + 1,
            before,
            "{:?} ends without being due",
            effect
        );
        Ok(())
    }
}

/// A person is let in, gets an answer, and it is delivered.
pub(super) fn one_conversation() -> Gateway {
    let mut gateway = Gateway::default();
    let says = |text: &str| Action::ReceiveFromPeer {
        channel: "telegram".into(),
        account: "bot".into(),
        name: "Li".into(),
        text: text.into(),
        run: "run-1".into(),
        policy: DmPolicy::Pairing,
    };
    let approve = Action::ApprovePeer {
        peer: peer(0),
        is_operator: false,
    };
    let complete = Action::CompleteRun {
        run: "run-1".into(),
        text: "hello, Li".into(),
        stop_reason: "stop".into(),
        provider: "demo".into(),
        model: "demo-1".into(),
        usage: Usage {
            input: 1,
            output: 2,
            cache_read: 0,
            cache_write: 0,
        },
        duration_ms: 3,
    };
    let steps = [
        (Actor::Peer(peer(0)), says("may I?")),
        (Actor::Local, approve),
        (Actor::Peer(peer(0)), says("hello")),
        (Actor::System, complete),
    ];
    for (number, (actor, action)) in (0..).zip(steps) {
        let command = command(START_MS + number, actor, action);
        gateway.submit(&command).expect("this is allowed");
    }
    gateway
}
