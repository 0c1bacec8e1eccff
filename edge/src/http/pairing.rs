//! Letting the first browser in with a one-time link or ticket, and waiting to be let in.

use crate::auth::origin::Browser;
use crate::auth::{signature, token};
use crate::follow;
use crate::gateway::{Gateway, Running};
use crate::http::context::Context;
use crate::http::reply::{self, Response};
use crate::limits::{PAIRING_WAIT_S_MAX, SIGNATURE_AGE_MS_MAX, SUBSCRIPTION_READ_BYTES};
use crate::stamp;
use crate::writer::{Intent, Refused};
use moltbot_core::actor::Scopes;
use moltbot_core::command::{Action, DeviceIntro};
use moltbot_core::event::Event;
use moltbot_core::ids::{DeviceId, RequestId, Seq};
use moltbot_core::limits::NAME_CHARS_MAX;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use warp::http::StatusCode;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GrantRequest {
    grant: String,
    device: Proof,
    #[serde(default)]
    display_name: String,
    #[serde(default)]
    platform: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Proof {
    id: String,
    public_key: String,
    signature: String,
    signed_at: i64,
}

const ROLE: &str = "operator";

/// Redeems a one-time link: the device that proves its key becomes the operator's.
pub async fn grant(gateway: &Arc<Gateway>, context: &Context, body: &[u8]) -> Response {
    let fail = |status, code: &str, text: &str| {
        reply::json(status, &json!({ "error": text, "code": code }))
    };
    let origin = context.origin(gateway);
    if origin.browser == Browser::Foreign {
        return fail(StatusCode::FORBIDDEN, "origin", "origin not allowed");
    }
    let Some(running) = gateway.running() else {
        let text = "the gateway is starting; try again in a moment";
        return fail(StatusCode::SERVICE_UNAVAILABLE, "starting", text);
    };
    if running.following().is_some() {
        let refusal = follow::pairs_nobody(running);
        return fail(
            StatusCode::METHOD_NOT_ALLOWED,
            refusal.code,
            &refusal.message,
        );
    }
    if gateway
        .limiter
        .wait_ms(origin.address, stamp::now())
        .is_some()
    {
        let text = "too many failed attempts from this address; wait a minute";
        return fail(StatusCode::TOO_MANY_REQUESTS, "rate_limited", text);
    }
    let Ok(request) = serde_json::from_slice::<GrantRequest>(body) else {
        return fail(
            StatusCode::BAD_REQUEST,
            "bad_request",
            "the request is not acceptable",
        );
    };
    let Some((device, public_key)) = prove(&request) else {
        return fail(
            StatusCode::BAD_REQUEST,
            "bad_device",
            "the device could not prove its key",
        );
    };
    let Some(actor) = gateway.grants.redeem(&request.grant, stamp::now()) else {
        gateway.count_refusal(origin.address, "unknown one-time link");
        let text =
            "this link was used already or has expired; make a new one with: moltbot devices link";
        return fail(StatusCode::FORBIDDEN, "grant_unknown", text);
    };
    let name = request.display_name.trim();
    let name = if name.is_empty() { "Browser" } else { name };
    let intro = DeviceIntro {
        device: device.clone(),
        public_key: public_key.to_vec(),
        name: name.chars().take(NAME_CHARS_MAX).collect(),
        client_id: "moltbot-control-ui".to_owned(),
        client_mode: "webchat".to_owned(),
        platform: request.platform.chars().take(NAME_CHARS_MAX).collect(),
        role: ROLE.to_owned(),
        scopes: Scopes::all(),
    };
    let seq = match running
        .submit(Intent::new(actor, Action::RedeemGrant { intro }))
        .await
    {
        Ok(accepted) => accepted.seq,
        Err(Refused::Rejected(no)) => {
            return fail(StatusCode::BAD_REQUEST, no.code, &no.message);
        }
        Err(Refused::Stopped) => {
            return fail(
                StatusCode::SERVICE_UNAVAILABLE,
                "starting",
                "the gateway is stopping",
            );
        }
    };
    let replication = running.acknowledge(seq).await;
    let generation = running.view.read(|model| {
        model
            .state
            .devices
            .paired
            .get(&device)
            .map_or(0, |device| device.token_generation)
    });
    let token = token::of_device(&gateway.token, &device, ROLE, generation);
    reply::ok(&json!({
        "deviceId": device,
        "deviceToken": token.reveal(),
        "scopes": Scopes::all(),
        "seq": seq,
        "shippedSeq": running.shipped_seq(),
        "replication": replication,
    }))
}

/// The signed text is `grant|<grant>|<deviceId>|<signedAt>`.
fn prove(request: &GrantRequest) -> Option<(DeviceId, [u8; 32])> {
    let proof = &request.device;
    let public_key = signature::public_key(&proof.public_key)?;
    let device = signature::device_id(&public_key);
    let age_ms = stamp::now()
        .0
        .saturating_sub(proof.signed_at)
        .saturating_abs();
    let text = format!("grant|{}|{}|{}", request.grant, proof.id, proof.signed_at);
    let proven = device.as_str() == proof.id
        && age_ms <= SIGNATURE_AGE_MS_MAX
        && signature::verifies_text(&public_key, &proof.signature, &text);
    proven.then_some((device, public_key))
}

/// Says what became of a pairing request; holds the answer until there is one, or for a while.
pub async fn wait(gateway: &Arc<Gateway>, context: &Context, request: &str) -> Response {
    let Some(running) = gateway.running() else {
        return reply::ok(&json!({ "state": "pending" }));
    };
    let asked: u64 = context
        .query("wait")
        .and_then(|s| s.parse().ok())
        .unwrap_or(0);
    let patience = Duration::from_secs(asked.min(PAIRING_WAIT_S_MAX));
    let request = RequestId::from(request);
    let mut head = running.view.head();
    let since = head.borrow_and_update().seq;
    let Some((device, asked_at)) = waiting(running, &request) else {
        return reply::ok(&json!({ "state": "unknown" }));
    };
    let answered = async {
        loop {
            head.borrow_and_update();
            if waiting(running, &request).is_none() || head.changed().await.is_err() {
                return;
            }
        }
    };
    let stopped = gateway.stopped();
    let in_time = tokio::select! {
        answered = tokio::time::timeout(patience, answered) => answered.is_ok(),
        _ = stopped => false,
    };
    let state = if in_time {
        outcome(running, &request, &device, asked_at, since)
    } else {
        "pending"
    };
    reply::ok(&json!({ "state": state }))
}

/// The device of a request that waits, and the record that asked.
fn waiting(running: &Running, request: &RequestId) -> Option<(DeviceId, Seq)> {
    running.view.read(|model| {
        let waiting = model.state.devices.pending.get(request)?;
        let is_live = waiting.asked.expires_at > stamp::now();
        is_live.then(|| (waiting.asked.device.clone(), waiting.seq))
    })
}

/// A request that no longer waits was approved if the device was let in after it asked, and turned
/// down if a record says so; else it lapsed or the device itself replaced it.
fn outcome(
    running: &Running,
    request: &RequestId,
    device: &DeviceId,
    asked_at: Seq,
    since: Seq,
) -> &'static str {
    let paired = running.view.read(|model| {
        let paired = model.state.devices.paired.get(device);
        paired.map(|device| device.seq)
    });
    if paired.is_some_and(|seq| seq > asked_at) {
        "approved"
    } else if was_rejected(running, request, since) {
        "rejected"
    } else {
        "expired"
    }
}

/// Whether a record after this seq turns the request down.
fn was_rejected(running: &Running, request: &RequestId, since: Seq) -> bool {
    let mut next = since.next();
    while let Ok(records) = running.reader.log.read(next, SUBSCRIPTION_READ_BYTES) {
        let Some(last) = records.last() else {
            return false;
        };
        next = last.seq.next();
        let mut events = records.iter().filter_map(|record| record.event().ok());
        if events.any(|e| matches!(e, Event::DeviceRejected(no) if no.request == *request)) {
            return true;
        }
    }
    false
}
