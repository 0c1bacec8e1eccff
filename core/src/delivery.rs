//! Deliveries: a reply on its way to a channel.
//!
//! Invariant: attempted is recorded before the platform is asked. A delivery whose attempt has no
//! outcome is unknown, never resent on its own: only an operator resends it. An answer that is
//! shown while it is written is one attempt; once the platform took its first form, every later
//! form of the same messages is an edit, which may be repeated.

use crate::actor::Scope;
use crate::command::{Action, Command};
use crate::decide::{Draft, require_inline, require_system};
use crate::error::Rejection;
use crate::event::{
    DeliveryAttempted, DeliveryBegun, DeliveryCancelled, DeliveryConfirmed, DeliveryFailed,
    DeliveryPosted, DeliveryQueued, DeliveryResent, DeliveryReturned, DeliveryUnknown, Event,
};
use crate::ids::{DeliveryId, PeerId, RunId, Seq};
use crate::limits::RECEIPTS_MAX;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeliveryStatus {
    /// To be attempted.
    Due,
    /// Shown on the channel while it is written.
    Streaming,
    /// Handed to the platform, or about to be.
    Attempted,
    /// Attempted; nobody knows whether the platform took it.
    Unknown,
}

/// A delivery without an outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// To whom.
    pub peer: PeerId,
    /// On which channel.
    pub channel: String,
    /// The record that holds the text; `None` while it is being written.
    pub text_seq: Option<Seq>,
    /// The run that writes it, if it was begun before the run's end.
    pub run: Option<RunId>,
    /// The platform's messages that it became so far.
    pub receipt: Vec<String>,
    /// The record that queued it.
    pub queued: Seq,
    /// The record of its newest attempt.
    pub attempted: Option<Seq>,
    /// Where it stands.
    pub status: DeliveryStatus,
}

impl Delivery {
    /// Whether an earlier attempt may or may not have been seen on the channel, and no process
    /// carries it on.
    pub fn is_in_doubt(&self) -> bool {
        match self.status {
            DeliveryStatus::Attempted => true,
            DeliveryStatus::Streaming => self.receipt.is_empty(),
            DeliveryStatus::Due | DeliveryStatus::Unknown => false,
        }
    }
}

/// All deliveries without an outcome.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Deliveries {
    open: BTreeMap<DeliveryId, Delivery>,
}

impl Deliveries {
    /// A delivery without an outcome.
    pub fn get(&self, delivery: &DeliveryId) -> Option<&Delivery> {
        self.open.get(delivery)
    }

    /// All deliveries without an outcome.
    pub fn iter(&self) -> impl Iterator<Item = (&DeliveryId, &Delivery)> {
        self.open.iter()
    }

    /// The delivery that shows a run's answer while it is written.
    pub fn of_run(&self, run: &RunId) -> Option<(&DeliveryId, &Delivery)> {
        self.open
            .iter()
            .find(|(_, delivery)| delivery.run.as_ref() == Some(run))
    }

    pub(crate) fn queued(&mut self, seq: Seq, event: &DeliveryQueued) {
        let delivery = Delivery {
            peer: event.peer.clone(),
            channel: event.channel.clone(),
            text_seq: Some(event.text_seq),
            run: None,
            receipt: Vec::new(),
            queued: seq,
            attempted: None,
            status: DeliveryStatus::Due,
        };
        self.open.insert(event.delivery.clone(), delivery);
    }

    pub(crate) fn begun(&mut self, seq: Seq, event: &DeliveryBegun) {
        let delivery = Delivery {
            peer: event.peer.clone(),
            channel: event.channel.clone(),
            text_seq: None,
            run: Some(event.run.clone()),
            receipt: Vec::new(),
            queued: seq,
            attempted: Some(seq),
            status: DeliveryStatus::Streaming,
        };
        self.open.insert(event.delivery.clone(), delivery);
    }

    /// The run that writes an answer ended with this record.
    pub(crate) fn text_known(&mut self, run: &RunId, end: Seq) {
        let written = |delivery: &&mut Delivery| delivery.run.as_ref() == Some(run);
        if let Some(delivery) = self.open.values_mut().find(written) {
            delivery.text_seq = Some(end);
        }
    }

    pub(crate) fn posted(&mut self, event: &DeliveryPosted) {
        if let Some(open) = self.open.get_mut(&event.delivery) {
            open.receipt.clone_from(&event.receipt);
        }
    }

    pub(crate) fn attempted(&mut self, seq: Seq, delivery: &DeliveryId) {
        self.set(delivery, DeliveryStatus::Attempted);
        if let Some(open) = self.open.get_mut(delivery) {
            open.attempted = Some(seq);
        }
    }

    pub(crate) fn unknown(&mut self, delivery: &DeliveryId) {
        self.set(delivery, DeliveryStatus::Unknown);
    }

    /// It is to be attempted again, from the beginning.
    pub(crate) fn resent(&mut self, delivery: &DeliveryId) {
        self.set(delivery, DeliveryStatus::Due);
        if let Some(open) = self.open.get_mut(delivery) {
            open.receipt.clear();
        }
    }

    pub(crate) fn ended(&mut self, delivery: &DeliveryId) -> Option<Delivery> {
        self.open.remove(delivery)
    }

    fn set(&mut self, delivery: &DeliveryId, status: DeliveryStatus) {
        if let Some(open) = self.open.get_mut(delivery) {
            open.status = status;
        }
    }
}

/// Queues what a record says for a person on a channel.
pub(crate) fn queue(draft: &mut Draft, peer: &PeerId, channel: String, text_seq: Seq) {
    let delivery = DeliveryId(draft.id("delivery"));
    draft.push(DeliveryQueued {
        delivery,
        peer: peer.clone(),
        channel,
        text_seq,
    });
}

/// Drops what waits for a person and was not attempted yet.
pub(crate) fn drop_due(draft: &mut Draft, peer: &PeerId) {
    let state = draft.state;
    for (delivery, open) in state.deliveries.iter() {
        if open.peer == *peer && open.status == DeliveryStatus::Due {
            draft.push(DeliveryCancelled {
                delivery: delivery.clone(),
            });
        }
    }
}

pub(crate) fn decide(draft: &mut Draft, command: &Command) -> Result<(), Rejection> {
    use DeliveryStatus::{Attempted, Due, Streaming, Unknown};
    let event: Event = match &command.action {
        Action::BeginDelivery { run } => {
            require_system(&command.actor)?;
            begin(draft, run)?.into()
        }
        Action::PostDelivery { delivery, receipt } => {
            require_system(&command.actor)?;
            expect(draft, delivery, &[Streaming])?;
            let receipt = checked(receipt)?;
            let delivery = delivery.clone();
            DeliveryPosted { delivery, receipt }.into()
        }
        Action::AttemptDelivery { delivery } => {
            require_system(&command.actor)?;
            let open = expect(draft, delivery, &[Due, Streaming])?;
            // Only the last form of an answer that is on the channel already is a new attempt.
            if open.text_seq.is_none() || (open.status == Streaming && open.receipt.is_empty()) {
                return Err(wrong_status());
            }
            let delivery = delivery.clone();
            DeliveryAttempted { delivery }.into()
        }
        Action::ConfirmDelivery { delivery, receipt } => {
            require_system(&command.actor)?;
            let open = expect(draft, delivery, &[Streaming, Attempted, Unknown])?;
            if open.status == Streaming && open.receipt.is_empty() {
                return Err(wrong_status());
            }
            let receipt = checked(receipt)?;
            let delivery = delivery.clone();
            DeliveryConfirmed { delivery, receipt }.into()
        }
        Action::FailDelivery {
            delivery,
            code,
            message,
        } => {
            require_system(&command.actor)?;
            expect(draft, delivery, &[Streaming, Attempted, Unknown])?;
            require_inline(&[code, message])?;
            let (code, message) = (code.clone(), message.clone());
            let delivery = delivery.clone();
            DeliveryFailed {
                delivery,
                code,
                message,
            }
            .into()
        }
        Action::ReturnDelivery { delivery } => {
            require_system(&command.actor)?;
            let open = expect(draft, delivery, &[Streaming, Attempted])?;
            if !open.receipt.is_empty() || open.text_seq.is_none() {
                return Err(wrong_status());
            }
            let delivery = delivery.clone();
            DeliveryReturned { delivery }.into()
        }
        Action::MarkDeliveryUnknown { delivery } => {
            require_system(&command.actor)?;
            expect(draft, delivery, &[Streaming, Attempted])?;
            let delivery = delivery.clone();
            DeliveryUnknown { delivery }.into()
        }
        Action::ResendDelivery { delivery } => {
            draft.require(&command.actor, Scope::Admin)?;
            if expect(draft, delivery, &[Unknown])?.text_seq.is_none() {
                return Err(Rejection::new(
                    "still_written",
                    "the reply is still being written; send it again when it is complete",
                ));
            }
            let delivery = delivery.clone();
            DeliveryResent { delivery }.into()
        }
        Action::CancelDelivery { delivery } => {
            draft.require(&command.actor, Scope::Admin)?;
            expect(draft, delivery, &[Due, Unknown])?;
            let delivery = delivery.clone();
            DeliveryCancelled { delivery }.into()
        }
        _ => return Ok(()),
    };
    draft.push(event);
    Ok(())
}

fn begin(draft: &Draft, run: &RunId) -> Result<DeliveryBegun, Rejection> {
    let found = draft
        .state
        .runs
        .get(run)
        .filter(|run| run.started.is_some());
    let found = found.ok_or_else(|| Rejection::new("unknown_run", "no such run is under way"))?;
    let peer = found.peer.as_ref();
    let known = peer.and_then(|peer| draft.state.peers.approved.get_key_value(peer));
    let Some((peer, known)) = known else {
        return Err(Rejection::new(
            "no_channel",
            "the run answers nobody on a channel",
        ));
    };
    if draft.state.deliveries.of_run(run).is_some() {
        return Err(wrong_status());
    }
    Ok(DeliveryBegun {
        delivery: DeliveryId(draft.id("delivery")),
        peer: peer.clone(),
        channel: known.channel.clone(),
        run: run.clone(),
    })
}

/// The receipt, if it is within its bounds.
fn checked(receipt: &[String]) -> Result<Vec<String>, Rejection> {
    if receipt.is_empty() || receipt.len() > RECEIPTS_MAX {
        return Err(Rejection::new(
            "bad_receipt",
            format!("a reply becomes 1 to {RECEIPTS_MAX} messages"),
        ));
    }
    for id in receipt {
        require_inline(&[id])?;
    }
    Ok(receipt.to_vec())
}

fn wrong_status() -> Rejection {
    Rejection::new(
        "wrong_status",
        "the reply is not at a point where this can be done",
    )
}

fn expect<'a>(
    draft: &Draft<'a>,
    delivery: &DeliveryId,
    allowed: &[DeliveryStatus],
) -> Result<&'a Delivery, Rejection> {
    let Some(open) = draft.state.deliveries.get(delivery) else {
        return Err(Rejection::new(
            "unknown_delivery",
            "no such reply is on its way",
        ));
    };
    if allowed.contains(&open.status) {
        return Ok(open);
    }
    Err(wrong_status())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actor::Actor;
    use crate::command::DmPolicy;
    use crate::testing::{Scene, complete, device, peer, say, write_in};

    /// A scene in which a reply to `li` is due.
    fn due() -> (Scene, DeliveryId) {
        let mut scene = Scene::founded();
        let first = "peer_approved session_created message_received run_requested";
        scene.check(
            &peer("li"),
            write_in("telegram", "1", DmPolicy::Open),
            first,
        );
        let done = "run_completed delivery_queued";
        scene.check(&Actor::System, complete("1", "hi"), done);
        let (delivery, _) = scene.state.deliveries.iter().next().unwrap();
        let delivery = delivery.clone();
        (scene, delivery)
    }

    type Of = fn(DeliveryId) -> Action;
    const ATTEMPT: Of = |delivery| Action::AttemptDelivery { delivery };
    const UNKNOWN: Of = |delivery| Action::MarkDeliveryUnknown { delivery };
    const RESEND: Of = |delivery| Action::ResendDelivery { delivery };
    const CANCEL: Of = |delivery| Action::CancelDelivery { delivery };
    const CONFIRM: Of = |delivery| Action::ConfirmDelivery {
        delivery,
        receipt: vec!["42".into()],
    };

    #[test]
    fn a_reply_is_attempted_before_it_has_an_outcome() {
        let (mut scene, id) = due();
        for early in [CONFIRM, UNKNOWN, RESEND] {
            let actor = Actor::System;
            scene.check(&actor, early(id.clone()), "!wrong_status");
        }
        scene.check(&Actor::System, ATTEMPT(id.clone()), "delivery_attempted");
        scene.check(&Actor::System, ATTEMPT(id.clone()), "!wrong_status");
        scene.check(&Actor::System, CANCEL(id.clone()), "!wrong_status");
        scene.check(&Actor::System, CONFIRM(id.clone()), "delivery_confirmed");
        scene.check(&Actor::System, CONFIRM(id), "!unknown_delivery");
        assert!(scene.state.outbox.is_empty());
    }

    #[test]
    fn a_reply_of_unknown_outcome_is_resent_by_an_administrator_only() {
        let (mut scene, id) = due();
        scene.check(&Actor::System, ATTEMPT(id.clone()), "delivery_attempted");
        scene.check(&Actor::System, UNKNOWN(id.clone()), "delivery_unknown");
        scene.check(&Actor::System, ATTEMPT(id.clone()), "!wrong_status");
        scene.check(&device("talker"), RESEND(id.clone()), "!missing_scope");
        scene.check(&device("admin"), RESEND(id.clone()), "delivery_resent");
        scene.check(&Actor::System, ATTEMPT(id), "delivery_attempted");
    }

    #[test]
    fn a_reply_that_was_surely_not_sent_is_due_again() {
        let (mut scene, id) = due();
        let back = || Action::ReturnDelivery {
            delivery: id.clone(),
        };
        scene.check(&Actor::System, back(), "!wrong_status");
        scene.check(&Actor::System, ATTEMPT(id.clone()), "delivery_attempted");
        scene.check(&Actor::Local, back(), "!not_allowed");
        scene.check(&Actor::System, back(), "delivery_returned");
        scene.check(&Actor::System, ATTEMPT(id.clone()), "delivery_attempted");
    }

    #[test]
    fn only_the_gateway_says_what_the_platform_did() {
        let (mut scene, id) = due();
        for action in [ATTEMPT, CONFIRM, UNKNOWN] {
            scene.check(&Actor::Local, action(id.clone()), "!not_allowed");
        }
        scene.check(&device("talker"), CANCEL(id.clone()), "!missing_scope");
        scene.check(&Actor::Local, CANCEL(id), "delivery_cancelled");
    }

    #[test]
    fn an_empty_answer_and_an_answer_to_a_device_are_not_delivered() {
        let (mut scene, _) = due();
        let next = "message_received run_requested";
        scene.check(&peer("li"), write_in("telegram", "2", DmPolicy::Open), next);
        scene.check(&Actor::System, complete("2", ""), "run_completed");
        let key = "agent:main:telegram:dm:li";
        scene.check(&device("talker"), say(key, "3", "hi"), next);
        scene.check(&Actor::System, complete("3", "hi"), "run_completed");
    }

    const POST: Of = |delivery| Action::PostDelivery {
        delivery,
        receipt: vec!["41".into()],
    };

    /// A scene in which an answer to `li` is shown while it is written.
    fn streaming() -> (Scene, DeliveryId) {
        let mut scene = Scene::founded();
        let first = "peer_approved session_created message_received run_requested";
        let hello = write_in("telegram", "1", DmPolicy::Open);
        scene.check(&peer("li"), hello, first);
        let begin = || Action::BeginDelivery { run: "1".into() };
        scene.check(&Actor::System, begin(), "!unknown_run");
        let start = Action::StartRun {
            run: "1".into(),
            provider: "demo".into(),
            model: "demo-1".into(),
        };
        scene.check(&Actor::System, start, "run_started");
        scene.check(&Actor::Local, begin(), "!not_allowed");
        scene.check(&Actor::System, begin(), "delivery_begun");
        scene.check(&Actor::System, begin(), "!wrong_status");
        let (delivery, _) = scene.state.deliveries.iter().next().unwrap();
        let delivery = delivery.clone();
        (scene, delivery)
    }

    #[test]
    fn an_answer_shown_while_it_is_written_is_queued_once() {
        let (mut scene, id) = streaming();
        scene.check(&Actor::System, CONFIRM(id.clone()), "!wrong_status");
        scene.check(&Actor::System, POST(id.clone()), "delivery_posted");
        scene.check(&Actor::System, ATTEMPT(id.clone()), "!wrong_status");
        scene.check(&Actor::System, complete("1", "hi"), "run_completed");
        let open = scene.state.deliveries.get(&id).unwrap();
        assert_eq!((open.text_seq.is_some(), open.is_in_doubt()), (true, false));
        scene.check(&Actor::System, ATTEMPT(id.clone()), "delivery_attempted");
        scene.check(&Actor::System, ATTEMPT(id.clone()), "!wrong_status");
        scene.check(&Actor::System, CONFIRM(id), "delivery_confirmed");
        assert!(scene.state.outbox.is_empty());
    }

    #[test]
    fn an_answer_whose_first_form_may_be_on_the_channel_is_in_doubt() {
        let (mut scene, id) = streaming();
        assert!(scene.state.deliveries.get(&id).unwrap().is_in_doubt());
        scene.check(&Actor::System, UNKNOWN(id.clone()), "delivery_unknown");
        scene.check(&Actor::Local, RESEND(id.clone()), "!still_written");
        scene.check(&Actor::System, POST(id.clone()), "!wrong_status");
        let interrupt = Action::InterruptRun { run: "1".into() };
        scene.check(&Actor::System, interrupt, "run_interrupted");
        scene.check(&Actor::Local, RESEND(id.clone()), "delivery_resent");
        scene.check(&Actor::System, ATTEMPT(id), "delivery_attempted");
    }

    #[test]
    fn an_answer_begun_and_surely_not_shown_is_due_once_it_is_written() {
        let (mut scene, id) = streaming();
        let back = || Action::ReturnDelivery {
            delivery: id.clone(),
        };
        scene.check(&Actor::System, back(), "!wrong_status");
        let interrupt = Action::InterruptRun { run: "1".into() };
        scene.check(&Actor::System, interrupt, "run_interrupted");
        scene.check(&Actor::System, back(), "delivery_returned");
        scene.check(&Actor::System, ATTEMPT(id.clone()), "delivery_attempted");
    }

    #[test]
    fn every_end_of_a_run_is_told_but_one_that_was_chosen_before_the_first_word() {
        let check = |end: Action, expected: &str| {
            let mut scene = Scene::founded();
            let first = "peer_approved session_created message_received run_requested";
            let hello = write_in("telegram", "1", DmPolicy::Open);
            scene.check(&peer("li"), hello, first);
            scene.check(&Actor::System, end, expected);
        };
        let cancel = |text: &str, reason: &str| Action::CancelRun {
            run: "1".into(),
            text: text.into(),
            reason: reason.into(),
        };
        check(cancel("", "stop"), "run_cancelled");
        check(cancel("half", "stop"), "run_cancelled delivery_queued");
        check(cancel("", "timeout"), "run_cancelled delivery_queued");
        check(crate::testing::fail("1"), "run_failed delivery_queued");
        let interrupt = Action::InterruptRun { run: "1".into() };
        check(interrupt, "run_interrupted delivery_queued");
    }

    #[test]
    fn an_answer_tried_again_from_elsewhere_still_goes_to_the_person() {
        let (mut scene, _) = due();
        let retry = Action::RetryRun {
            run: "1".into(),
            new_run: "2".into(),
        };
        scene.check(&device("talker"), retry, "run_requested");
        let done = "run_completed delivery_queued";
        scene.check(&Actor::System, complete("2", "hi"), done);
    }

    #[test]
    fn a_receipt_has_bounds() {
        let (mut scene, id) = due();
        scene.check(&Actor::System, ATTEMPT(id.clone()), "delivery_attempted");
        let confirm = |receipt| Action::ConfirmDelivery {
            delivery: id.clone(),
            receipt,
        };
        let many = vec![String::new(); RECEIPTS_MAX + 1];
        scene.check(&Actor::System, confirm(many), "!bad_receipt");
        let long = vec!["x".repeat(5_000)];
        scene.check(&Actor::System, confirm(long), "!text_too_long");
    }
}
