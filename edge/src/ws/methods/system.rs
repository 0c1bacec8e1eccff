//! `health`, `status`, `system-presence`, `gateway.restart`.

use super::channels;
use crate::follow;
use crate::gateway::{Gateway, Running};
use crate::present;
use crate::stamp;
use moltbot_core::ids::{Seq, SessionId};
use moltbot_core::session::Session;
use serde_json::{Value, json};

/// How many sessions `health` shows.
const RECENT_SESSIONS: usize = 5;

/// The health payload: of the method, of `hello-ok` and of the event.
pub fn health(gateway: &Gateway, running: &Running) -> Value {
    let now = stamp::now();
    let (count, recent) = running.view.read(|model| {
        let mut sessions: Vec<(&SessionId, &Session)> = model.state.sessions.iter().collect();
        sessions.sort_unstable_by_key(|(_, session)| std::cmp::Reverse(session.last));
        let row = |(_, session): &(&SessionId, &Session)| {
            json!({
                "key": session.key,
                "updatedAt": session.last_at.0,
                "age": now.since_ms(session.last_at),
            })
        };
        let recent: Vec<Value> = sessions.iter().take(RECENT_SESSIONS).map(row).collect();
        (model.state.sessions.len(), recent)
    });
    let sessions = json!({ "path": "log", "count": count, "recent": recent });
    let platforms = channels::summary(running);
    json!({
        "ok": gateway.stop.borrow().is_none(),
        "ts": now.0,
        "durationMs": 0,
        "channels": platforms["channels"],
        "channelOrder": platforms["channelOrder"],
        "channelLabels": platforms["channelLabels"],
        "heartbeatSeconds": 0,
        "defaultAgentId": "main",
        "agents": [{
            "agentId": "main",
            "isDefault": true,
            "heartbeat": { "enabled": false, "every": "0m", "everyMs": null },
            "sessions": sessions,
        }],
        "sessions": sessions,
    })
}

pub(super) fn status(gateway: &Gateway, running: &Running) -> Value {
    let info = running.model.info();
    let health = health(gateway, running);
    let (head, runs, devices) = running.view.read(|model| {
        (
            model.state.cursor,
            model.state.runs.iter().count(),
            model.state.devices.paired.len(),
        )
    });
    let shipped: Seq = running.shipped_seq();
    let follower = follow::status::json(running, stamp::now());
    json!({
        "role": if follower.is_some() { "follower" } else { "writer" },
        "follower": follower,
        "version": env!("CARGO_PKG_VERSION"),
        "bootId": gateway.boot_id,
        "uptimeMs": stamp::now().since_ms(gateway.started_at),
        "head": head,
        "shippedSeq": shipped,
        "epoch": running.epoch(),
        "readOnly": running.read_only(),
        "openRuns": runs,
        "pairedDevices": devices,
        "connections": connections(gateway, running),
        "model": { "provider": info.provider, "name": info.model },
        "heartbeat": { "defaultAgentId": "main", "agents": [] },
        "channelSummary": [],
        "queuedSystemEvents": [],
        "sessions": {
            "paths": ["log"],
            "count": health["sessions"]["count"],
            "defaults": { "model": info.model, "contextTokens": null },
            "recent": health["sessions"]["recent"],
            "byAgent": [],
        },
    })
}

fn connections(gateway: &Gateway, running: &Running) -> Vec<Value> {
    let row = |connection: crate::ws::hub::Connection| {
        let name = connection
            .device
            .as_ref()
            .and_then(|id| present::device_name(running, id));
        json!({
            "deviceId": connection.device,
            "name": name.unwrap_or_else(|| connection.client_id.clone()),
            "kind": connection.client_id,
        })
    };
    gateway.hub.connections().into_iter().map(row).collect()
}

pub(super) fn presence(gateway: &Gateway, running: &Running) -> Value {
    let now = stamp::now().0;
    let rows = connections(gateway, running).into_iter().map(|row| {
        json!({ "host": row["name"], "deviceId": row["deviceId"], "reason": "connect", "ts": now })
    });
    Value::Array(rows.collect())
}

pub(super) fn restart() -> Value {
    json!({ "ok": true })
}
