//! Deliveries: a reply on its way to a channel.
//!
//! Invariant: attempted is recorded before the platform is asked. A delivery whose attempt has no
//! outcome is unknown, never resent on its own: only an operator resends it.

use crate::actor::Scope;
use crate::command::{Action, Command};
use crate::decide::{Draft, require_inline, require_system};
use crate::error::Rejection;
use crate::event::{
    DeliveryAttempted, DeliveryCancelled, DeliveryConfirmed, DeliveryFailed, DeliveryQueued,
    DeliveryResent, DeliveryUnknown,
};
use crate::ids::{DeliveryId, PeerId, Seq};
use crate::limits::RECEIPTS_MAX;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeliveryStatus {
    /// To be attempted.
    Due,
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
    /// The record that holds the text.
    pub text_seq: Seq,
    /// The record that queued it.
    pub queued: Seq,
    /// Where it stands.
    pub status: DeliveryStatus,
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

    pub(crate) fn queued(&mut self, seq: Seq, event: &DeliveryQueued) {
        let delivery = Delivery {
            peer: event.peer.clone(),
            channel: event.channel.clone(),
            text_seq: event.text_seq,
            queued: seq,
            status: DeliveryStatus::Due,
        };
        self.open.insert(event.delivery.clone(), delivery);
    }

    pub(crate) fn attempted(&mut self, delivery: &DeliveryId) {
        self.set(delivery, DeliveryStatus::Attempted);
    }

    pub(crate) fn unknown(&mut self, delivery: &DeliveryId) {
        self.set(delivery, DeliveryStatus::Unknown);
    }

    pub(crate) fn resent(&mut self, delivery: &DeliveryId) {
        self.set(delivery, DeliveryStatus::Due);
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

/// Queues the text of a record for a person on a channel.
pub(crate) fn queue(draft: &mut Draft, peer: &PeerId, text_seq: Seq) {
    let Some(known) = draft.state.peers.approved.get(peer) else {
        return;
    };
    let channel = known.channel.clone();
    let delivery = DeliveryId(draft.id("delivery"));
    draft.push(DeliveryQueued {
        delivery,
        peer: peer.clone(),
        channel,
        text_seq,
    });
}

pub(crate) fn decide(draft: &mut Draft, command: &Command) -> Result<(), Rejection> {
    use DeliveryStatus::{Attempted, Due, Unknown};
    match &command.action {
        Action::AttemptDelivery { delivery } => {
            require_system(&command.actor)?;
            expect(draft, delivery, &[Due])?;
            draft.push(DeliveryAttempted {
                delivery: delivery.clone(),
            });
        }
        Action::ConfirmDelivery { delivery, receipt } => {
            require_system(&command.actor)?;
            expect(draft, delivery, &[Attempted, Unknown])?;
            if receipt.len() > RECEIPTS_MAX {
                return Err(Rejection::new(
                    "too_many_receipts",
                    format!("a reply becomes at most {RECEIPTS_MAX} messages"),
                ));
            }
            for id in receipt {
                require_inline(&[id])?;
            }
            let receipt = receipt.clone();
            draft.push(DeliveryConfirmed {
                delivery: delivery.clone(),
                receipt,
            });
        }
        Action::FailDelivery {
            delivery,
            code,
            message,
        } => {
            require_system(&command.actor)?;
            expect(draft, delivery, &[Attempted, Unknown])?;
            require_inline(&[code, message])?;
            let (code, message) = (code.clone(), message.clone());
            draft.push(DeliveryFailed {
                delivery: delivery.clone(),
                code,
                message,
            });
        }
        Action::MarkDeliveryUnknown { delivery } => {
            require_system(&command.actor)?;
            expect(draft, delivery, &[Attempted])?;
            draft.push(DeliveryUnknown {
                delivery: delivery.clone(),
            });
        }
        Action::ResendDelivery { delivery } => {
            draft.require(&command.actor, Scope::Admin)?;
            expect(draft, delivery, &[Unknown])?;
            draft.push(DeliveryResent {
                delivery: delivery.clone(),
            });
        }
        Action::CancelDelivery { delivery } => {
            draft.require(&command.actor, Scope::Admin)?;
            expect(draft, delivery, &[Due, Unknown])?;
            draft.push(DeliveryCancelled {
                delivery: delivery.clone(),
            });
        }
        _ => {}
    }
    Ok(())
}

fn expect(
    draft: &Draft,
    delivery: &DeliveryId,
    allowed: &[DeliveryStatus],
) -> Result<(), Rejection> {
    let Some(open) = draft.state.deliveries.get(delivery) else {
        return Err(Rejection::new(
            "unknown_delivery",
            "no such reply is on its way",
        ));
    };
    if allowed.contains(&open.status) {
        return Ok(());
    }
    Err(Rejection::new(
        "wrong_status",
        "the reply is not at a point where this can be done",
    ))
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

    #[test]
    fn a_receipt_has_bounds() {
        let (mut scene, id) = due();
        scene.check(&Actor::System, ATTEMPT(id.clone()), "delivery_attempted");
        let confirm = |receipt| Action::ConfirmDelivery {
            delivery: id.clone(),
            receipt,
        };
        let many = vec![String::new(); RECEIPTS_MAX + 1];
        scene.check(&Actor::System, confirm(many), "!too_many_receipts");
        let long = vec!["x".repeat(5_000)];
        scene.check(&Actor::System, confirm(long), "!text_too_long");
    }
}
