//! Letting a device in that proved its key: what it gets, or whom it has to wait for.
//!
//! Invariant: a device gets what the operator granted and nothing else; only a trusted one (a command
//! line on this machine with the token) is approved on the spot, and that is recorded too.

use crate::follow;
use crate::gateway::{Gateway, Running};
use crate::stamp;
use crate::writer::{Intent, Refused};
use crate::ws::frame::Failure;
use crate::ws::upgrade::Knock;
use moltbot_core::actor::{Actor, Scopes};
use moltbot_core::command::{Action, DeviceIntro};
use moltbot_core::device::Device;
use serde_json::json;
use std::sync::Arc;

/// Lets a paired device in with what it asks for, as far as it was granted; asks the operator
/// about everything else. A trusted one is approved on the spot.
pub(super) async fn admit(
    gateway: &Gateway,
    knock: &Knock,
    running: &Arc<Running>,
    intro: &DeviceIntro,
    trusted: bool,
) -> Result<Scopes, Failure> {
    if let Some(granted) = granted(running, intro) {
        return Ok(granted);
    }
    if running.following().is_some() {
        return Err(follow::pairs_nobody(running).into());
    }
    let action = Action::RequestDevicePairing {
        intro: intro.clone(),
        address: knock.origin.address.to_string(),
    };
    let actor = Actor::Device(intro.device.clone());
    running
        .submit(Intent::new(actor, action))
        .await
        .map_err(refused)?;
    let waiting = running.view.read(|model| {
        let request = model.state.devices.request_of(&intro.device, stamp::now());
        request.map(|r| {
            (
                r.asked.request.clone(),
                r.asked.code.clone(),
                r.asked.expires_at,
                reason(model.state.devices.paired.get(&intro.device), intro),
            )
        })
    });
    let Some((request, code, expires_at, reason)) = waiting else {
        return Err(Failure::unavailable(
            "the pairing request has just expired",
            500,
        ));
    };
    if trusted {
        let actor = if gateway.settings.dev_mode {
            Actor::System
        } else {
            Actor::Local
        };
        let action = Action::ApproveDevice {
            request,
            scopes: None,
        };
        running
            .submit(Intent::new(actor, action))
            .await
            .map_err(refused)?;
        return granted(running, intro)
            .ok_or_else(|| Failure::unavailable("the approval was overtaken", 500));
    }
    let details = json!({
        "code": code,
        "requestId": request,
        "deviceId": intro.device,
        "reason": reason,
        "requestedRole": intro.role,
        "requestedScopes": intro.scopes,
        "adminUrl": format!("{}/_admin/", public_base(gateway, knock)),
        "expiresAtMs": expires_at.0,
    });
    Err(Failure {
        code: "NOT_PAIRED",
        ..Failure::invalid("pairing required")
    }
    .with(details))
}

/// Why the operator is asked.
fn reason(paired: Option<&Device>, intro: &DeviceIntro) -> &'static str {
    match paired {
        None => "not-paired",
        Some(device) if !device.roles.contains(&intro.role) => "role-upgrade",
        Some(_) => "scope-upgrade",
    }
}

/// What a paired device gets of what it asks for; `None` when the operator must be asked.
fn granted(running: &Running, intro: &DeviceIntro) -> Option<Scopes> {
    running.view.read(|model| {
        let device = model.state.devices.paired.get(&intro.device)?;
        let known = device.roles.contains(&intro.role)
            && (device.scopes.covers(&intro.scopes) || device.asked.covers(&intro.scopes));
        known.then(|| intro.scopes.limited_to(&device.scopes))
    })
}

fn public_base(gateway: &Gateway, knock: &Knock) -> String {
    match &gateway.settings.place.public_url {
        Some(_) => gateway.settings.url(),
        None => format!("http://{}", knock.host),
    }
}

fn refused(refused: Refused) -> Failure {
    match refused {
        Refused::Rejected(rejection) => rejection.into(),
        Refused::Stopped => Failure::unavailable("gateway stopping; retry shortly", 1_000),
    }
}
