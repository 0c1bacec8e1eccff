//! People on channels and the replies on their way to them, as JSON.

use super::beginning;
use crate::gateway::Running;
use crate::limits::{DELIVERY_CHARS_MAX, PEER_MESSAGE_CHARS_MAX};
use crate::outbox::words;
use moltbot_core::delivery::{Delivery, DeliveryStatus};
use moltbot_core::ids::{DeliveryId, PeerId, Seq};
use moltbot_core::peer::{Peer, PeerRequest};
use serde_json::{Value, json};

/// Somebody who waits.
pub fn waiting(running: &Running, request: &PeerRequest) -> Value {
    let asked = &request.asked;
    let message = running.reader.text(&asked.message);
    json!({
        "requestId": asked.request,
        "peerId": asked.peer,
        "channel": asked.channel,
        "account": asked.account,
        "name": running.reader.text(&asked.name),
        "nameForgotten": !running.reader.is_readable(&asked.name),
        "message": beginning(&message, PEER_MESSAGE_CHARS_MAX),
        "code": asked.code,
        "ts": request.at.0,
        "expiresAtMs": asked.expires_at.0,
        "seq": request.seq,
    })
}

/// Somebody who was let in.
pub fn approved(running: &Running, id: &PeerId, peer: &Peer) -> Value {
    let mut row = known(running, id, peer);
    row["isOperator"] = json!(peer.is_operator);
    row["approvedAtMs"] = json!(peer.at.0);
    row
}

/// Somebody who is not heard.
pub fn blocked(running: &Running, id: &PeerId, peer: &Peer) -> Value {
    let mut row = known(running, id, peer);
    row["blockedAtMs"] = json!(peer.at.0);
    row
}

fn known(running: &Running, id: &PeerId, peer: &Peer) -> Value {
    json!({
        "peerId": id,
        "channel": peer.channel,
        "account": peer.account,
        "name": name(running, peer),
        "nameForgotten": peer.name.as_ref().is_some_and(|name| !running.reader.is_readable(name)),
        "seq": peer.seq,
    })
}

/// What the platform calls a person; nothing when it never said, or when that was forgotten.
fn name(running: &Running, peer: &Peer) -> Option<String> {
    let name = peer.name.as_ref().map(|name| running.reader.text(name));
    name.filter(|name| !name.is_empty())
}

fn recorded_at_ms(running: &Running, seq: Seq) -> Option<i64> {
    let record = running.reader.log.get(seq).ok()??;
    Some(record.at.0)
}

/// A reply without an outcome.
pub fn delivery(running: &Running, id: &DeliveryId, delivery: &Delivery) -> Value {
    let to = running.view.read(|model| {
        let peers = &model.state.peers;
        let approved = peers.approved.get(&delivery.peer);
        approved
            .or_else(|| peers.blocked.get(&delivery.peer))
            .cloned()
    });
    let text = delivery
        .text_seq
        .and_then(|seq| words::of(running, seq).ok()?);
    json!({
        "deliveryId": id,
        "peerId": delivery.peer,
        "channel": delivery.channel,
        "name": to.and_then(|peer| name(running, &peer)),
        "status": status(delivery.status),
        "text": text.map(|text| beginning(&text, DELIVERY_CHARS_MAX)),
        "queuedAtMs": recorded_at_ms(running, delivery.queued),
        "seq": delivery.queued,
    })
}

/// The API's word for where a delivery stands.
fn status(status: DeliveryStatus) -> &'static str {
    match status {
        DeliveryStatus::Due => "due",
        DeliveryStatus::Streaming => "streaming",
        DeliveryStatus::Attempted => "attempted",
        DeliveryStatus::Unknown => "unknown",
    }
}
