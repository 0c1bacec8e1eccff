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
mod tests;
