//! Events for everyone, made from the log: pairing requests come and go, revoked devices leave,
//! replies to channels get ahead.
//!
//! Invariant: made from records, in order, after they are durable, so what a client hears of is
//! what it finds when it asks.

use crate::gateway::{Gateway, Running};
use crate::limits::{HOUSEKEEPING_INTERVAL_MS, SUBSCRIPTION_READ_BYTES};
use crate::present;
use crate::stamp;
use crate::writer::Intent;
use crate::ws::hub::Close;
use moltbot_core::actor::{Actor, Scope};
use moltbot_core::command::Action;
use moltbot_core::event::Event;
use moltbot_core::ids::{DeliveryId, DeviceId, PeerId, RequestId};
use moltbot_core::record::Record;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tracing::error;

/// Follows the log from its head until the gateway stops.
pub async fn follow(gateway: Arc<Gateway>, running: Arc<Running>) {
    let mut head = running.view.head();
    let mut seq = head.borrow_and_update().seq;
    let mut guests = Guests::waiting(&running);
    loop {
        if head.changed().await.is_err() {
            return;
        }
        let newest = head.borrow_and_update().seq;
        while seq < newest {
            let records = match running.reader.log.read(seq.next(), SUBSCRIPTION_READ_BYTES) {
                Ok(records) => records,
                Err(error) => return error!(%error, "the log cannot be followed any more"),
            };
            for record in records.iter().filter(|record| record.seq <= newest) {
                seq = record.seq;
                if let Ok(event) = record.event() {
                    tell(&gateway, &running, &mut guests, record, &event);
                }
            }
        }
    }
}

fn tell(gateway: &Gateway, running: &Running, guests: &mut Guests, record: &Record, event: &Event) {
    if let Some((delivery, status)) = change_of_delivery(event) {
        return delivery_changed(gateway, running, record, delivery, status);
    }
    match event {
        Event::DevicePairingRequested(e) => {
            let waiting = running
                .view
                .read(|m| m.state.devices.pending.get(&e.request).cloned());
            if let Some(waiting) = waiting {
                let row = present::device_request(running, &waiting);
                gateway
                    .hub
                    .broadcast("device.pair.requested", &row, Scope::Pairing);
            }
        }
        Event::DeviceApproved(e) => {
            resolved(
                gateway,
                record,
                e.request.as_ref(),
                Some(&e.device),
                "approved",
            );
        }
        Event::DeviceRejected(e) => {
            resolved(
                gateway,
                record,
                Some(&e.request),
                Some(&e.device),
                "rejected",
            );
        }
        Event::PairingExpired(e) => match guests.0.remove(&e.request) {
            Some(peer) => peer_resolved(gateway, record, Some(&e.request), &peer, "expired"),
            None => resolved(gateway, record, Some(&e.request), None, "expired"),
        },
        Event::PeerPairingRequested(e) => {
            guests.0.insert(e.request.clone(), e.peer.clone());
            let waiting = running
                .view
                .read(|m| m.state.peers.pending.get(&e.request).cloned());
            if let Some(waiting) = waiting {
                let row = present::people::waiting(running, &waiting);
                gateway
                    .hub
                    .broadcast("peer.pair.requested", &row, Scope::Pairing);
            }
        }
        Event::PeerApproved(e) => {
            let request = guests.answered(&e.peer);
            peer_resolved(gateway, record, request.as_ref(), &e.peer, "approved");
        }
        Event::PeerBlocked(e) => {
            let request = guests.answered(&e.peer);
            peer_resolved(gateway, record, request.as_ref(), &e.peer, "blocked");
        }
        Event::DeviceRevoked(e) => {
            gateway
                .hub
                .close_device(&e.device, &Close::new(1008, "device revoked"));
        }
        _ => {}
    }
}

fn resolved(
    gateway: &Gateway,
    record: &Record,
    request: Option<&RequestId>,
    device: Option<&DeviceId>,
    decision: &str,
) {
    let payload = json!({
        "requestId": request,
        "deviceId": device,
        "decision": decision,
        "ts": record.at.0,
    });
    gateway
        .hub
        .broadcast("device.pair.resolved", &payload, Scope::Pairing);
}

/// Who of the people on channels waits, by request: what ends a request does not always say whose
/// it was.
struct Guests(BTreeMap<RequestId, PeerId>);

impl Guests {
    fn waiting(running: &Running) -> Guests {
        running.view.read(|model| {
            let waiting = model.state.peers.pending.iter();
            Guests(
                waiting
                    .map(|(request, guest)| (request.clone(), guest.asked.peer.clone()))
                    .collect(),
            )
        })
    }

    /// The request of a person who waits no longer.
    fn answered(&mut self, peer: &PeerId) -> Option<RequestId> {
        let (request, _) = self.0.iter().find(|(_, guest)| *guest == peer)?;
        let request = request.clone();
        self.0.remove(&request);
        Some(request)
    }
}

/// Also for people who did not wait: one who was blocked and is let in again.
fn peer_resolved(
    gateway: &Gateway,
    record: &Record,
    request: Option<&RequestId>,
    peer: &PeerId,
    decision: &str,
) {
    let payload = json!({
        "requestId": request,
        "peerId": peer,
        "decision": decision,
        "ts": record.at.0,
    });
    gateway
        .hub
        .broadcast("peer.pair.resolved", &payload, Scope::Pairing);
}

/// Where a delivery stands after an event; the last three have an outcome.
fn change_of_delivery(event: &Event) -> Option<(&DeliveryId, &'static str)> {
    Some(match event {
        Event::DeliveryQueued(e) => (&e.delivery, "due"),
        Event::DeliveryResent(e) => (&e.delivery, "due"),
        Event::DeliveryReturned(e) => (&e.delivery, "due"),
        Event::DeliveryBegun(e) => (&e.delivery, "streaming"),
        Event::DeliveryAttempted(e) => (&e.delivery, "attempted"),
        Event::DeliveryUnknown(e) => (&e.delivery, "unknown"),
        Event::DeliveryConfirmed(e) => (&e.delivery, "confirmed"),
        Event::DeliveryFailed(e) => (&e.delivery, "failed"),
        Event::DeliveryCancelled(e) => (&e.delivery, "cancelled"),
        _ => return None,
    })
}

/// Neither text nor name: who may read is told that something changed, not what or for whom.
fn delivery_changed(
    gateway: &Gateway,
    running: &Running,
    record: &Record,
    delivery: &DeliveryId,
    status: &str,
) {
    let payload = json!({
        "deliveryId": delivery,
        "status": status,
        "seq": record.seq,
        "shippedSeq": running.shipped_seq(),
        "ts": record.at.0,
    });
    gateway
        .hub
        .broadcast("delivery.changed", &payload, Scope::Read);
}

/// Has lapsed pairing requests dropped, now and then.
pub async fn keep_house(running: Arc<Running>) {
    loop {
        tokio::time::sleep(Duration::from_millis(HOUSEKEEPING_INTERVAL_MS)).await;
        let now = stamp::now();
        let lapsed = running.view.read(|model| {
            let devices = model
                .state
                .devices
                .pending
                .values()
                .map(|r| r.asked.expires_at);
            let peers = model
                .state
                .peers
                .pending
                .values()
                .map(|r| r.asked.expires_at);
            devices.chain(peers).any(|expires_at| expires_at <= now)
        });
        if lapsed
            && running
                .submit(Intent::new(Actor::System, Action::ExpirePairings))
                .await
                .is_err()
        {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_names_the_request_of_the_person_once() {
        let waiting = [("r1", "li"), ("r2", "bo")];
        let waiting = waiting.map(|(request, peer)| (request.into(), peer.into()));
        let mut guests = Guests(BTreeMap::from(waiting));
        assert_eq!(guests.answered(&"bo".into()), Some("r2".into()));
        assert_eq!(guests.answered(&"bo".into()), None);
        assert_eq!(guests.0.len(), 1, "li still waits");
    }
}
