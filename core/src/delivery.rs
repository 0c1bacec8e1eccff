//! Deliveries: a reply on its way to a channel.
//!
//! Invariant: attempted is recorded before the platform is asked. A delivery whose attempt has no
//! outcome is unknown, never resent on its own: only an operator resends it.

use crate::actor::Scope;
use crate::command::{Action, Command};
use crate::decide::{Draft, require_system};
use crate::error::Rejection;
use crate::event::{
    DeliveryAttempted, DeliveryCancelled, DeliveryConfirmed, DeliveryFailed, DeliveryQueued,
    DeliveryResent, DeliveryUnknown,
};
use crate::ids::{DeliveryId, PeerId, Seq};
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
