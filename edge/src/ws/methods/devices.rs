//! `device.*`: letting devices in, and out.

use super::Caller;
use crate::gateway::{Gateway, Running};
use crate::present;
use crate::stamp;
use crate::ws::frame::{Failure, Params};
use moltbot_core::actor::Scopes;
use moltbot_core::command::Action;
use moltbot_core::ids::{DeviceId, RequestId};
use serde_json::{Value, json};

/// Everything that waits and everything that was let in.
pub fn list(gateway: &Gateway, running: &Running) -> Value {
    let now = stamp::now();
    let devices = running.view.read(|model| model.state.devices.clone());
    let waiting = devices
        .pending
        .values()
        .filter(|request| request.asked.expires_at > now);
    let mut pending: Vec<_> = waiting.collect();
    pending.sort_by_key(|request| request.seq);
    let mut paired: Vec<_> = devices.paired.iter().collect();
    paired.sort_by_key(|(_, device)| std::cmp::Reverse(device.seq));
    json!({
        "pending": pending.iter().map(|r| present::device_request(running, r)).collect::<Vec<_>>(),
        "paired": paired
            .iter()
            .map(|(id, device)| present::device(gateway, running, id, device))
            .collect::<Vec<_>>(),
        "shippedSeq": running.shipped_seq(),
    })
}

pub(super) async fn approve(caller: &Caller, params: &Params) -> Result<Value, Failure> {
    let request = RequestId::from(params.id("requestId")?);
    let scopes = match params.value("scopes") {
        None => None,
        Some(names) => Some(Scopes::from_names(
            serde_json::from_value::<Vec<String>>(names.clone())
                .map_err(|_| params.invalid("property 'scopes' must be array"))?,
        )),
    };
    let running = caller.running()?;
    let device = running.view.read(|model| {
        model
            .state
            .devices
            .pending
            .get(&request)
            .map(|waiting| waiting.asked.device.clone())
    });
    let action = Action::ApproveDevice {
        request: request.clone(),
        scopes,
    };
    let mut answer = act(caller, action).await?;
    answer["requestId"] = json!(request);
    if let Some(id) = device {
        let device = running
            .view
            .read(|model| model.state.devices.paired.get(&id).cloned());
        answer["device"] =
            json!(device.map(|device| present::device(&caller.gateway, running, &id, &device)));
    }
    Ok(answer)
}

pub(super) async fn reject(caller: &Caller, params: &Params) -> Result<Value, Failure> {
    let request = RequestId::from(params.id("requestId")?);
    let device = caller.running()?.view.read(|model| {
        model
            .state
            .devices
            .pending
            .get(&request)
            .map(|waiting| waiting.asked.device.clone())
    });
    let mut answer = act(
        caller,
        Action::RejectDevice {
            request: request.clone(),
        },
    )
    .await?;
    answer["requestId"] = json!(request);
    answer["deviceId"] = json!(device);
    Ok(answer)
}

pub(super) async fn revoke(caller: &Caller, params: &Params) -> Result<Value, Failure> {
    let device = DeviceId::from(params.id("deviceId")?);
    let mut answer = act(
        caller,
        Action::RevokeDevice {
            device: device.clone(),
        },
    )
    .await?;
    answer["deviceId"] = json!(device);
    Ok(answer)
}

/// The new token itself is handed to the device only, at its next connect.
pub(super) async fn rotate(caller: &Caller, params: &Params) -> Result<Value, Failure> {
    let device = DeviceId::from(params.id("deviceId")?);
    let mut answer = act(
        caller,
        Action::RotateDeviceToken {
            device: device.clone(),
        },
    )
    .await?;
    answer["deviceId"] = json!(device);
    answer["role"] = json!(params.text_opt("role")?.unwrap_or("operator"));
    answer["rotatedAtMs"] = json!(stamp::now().0);
    Ok(answer)
}

/// Submits; in effect at once, answered when it is in the remote log or after a while.
pub(super) async fn act(caller: &Caller, action: Action) -> Result<Value, Failure> {
    let accepted = caller.submit(action).await?;
    let running = caller.running()?;
    let replication = running.acknowledge(accepted.seq).await;
    let seq = accepted
        .events
        .first()
        .map_or(accepted.seq, |(seq, _)| *seq);
    Ok(json!({
        "ok": true,
        "seq": seq,
        "shippedSeq": running.shipped_seq(),
        "replication": replication,
    }))
}
