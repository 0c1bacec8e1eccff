//! Events for everyone, made from the log: pairing requests come and go, revoked devices leave.
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
use moltbot_core::ids::{DeviceId, RequestId};
use moltbot_core::record::Record;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tracing::error;

/// Follows the log from its head until the gateway stops.
pub async fn follow(gateway: Arc<Gateway>, running: Arc<Running>) {
    let mut head = running.view.head();
    let mut seq = head.borrow_and_update().seq;
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
                    tell(&gateway, &running, record, &event);
                }
            }
        }
    }
}

fn tell(gateway: &Gateway, running: &Running, record: &Record, event: &Event) {
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
        Event::PairingExpired(e) => resolved(gateway, record, Some(&e.request), None, "expired"),
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
