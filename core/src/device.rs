//! Devices: asking in, being let in, turned down, thrown out.
//!
//! Invariant: only an actor with the pairing scope lets a device in, and never with more than he
//! has himself or the device asked for; the last device that can administer is not revoked by
//! accident.

use crate::actor::{Actor, Scope, Scopes};
use crate::command::{Action, Command, DeviceIntro};
use crate::content::Content;
use crate::decide::{Draft, require_inline};
use crate::error::Rejection;
use crate::event::{
    DeviceApproved, DevicePairingRequested, DeviceRejected, DeviceRevoked, DeviceTokenRotated,
    PairingExpired,
};
use crate::ids::{DeviceId, RequestId, Seq};
use crate::limits::{
    DEVICE_CODE_CHARS, DEVICE_REQUEST_TTL_MS, DEVICE_REQUESTS_MAX, DEVICES_MAX, ID_BYTES_MAX,
    NAME_CHARS_MAX,
};
use crate::record::Record;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A request that waits for an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRequest {
    /// What was asked.
    pub asked: DevicePairingRequested,
    /// The record that asked.
    pub seq: Seq,
    /// When.
    pub at: Timestamp,
}

/// A device that was let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its raw Ed25519 public key.
    pub public_key: Vec<u8>,
    /// What it calls itself.
    pub name: Content,
    /// Kind of client.
    pub client_id: String,
    /// Mode of the client.
    pub client_mode: String,
    /// Operating system.
    pub platform: String,
    /// The roles granted.
    pub roles: Vec<String>,
    /// What it may do.
    pub scopes: Scopes,
    /// What it had asked for.
    pub asked: Scopes,
    /// When it was first let in.
    pub created_at: Timestamp,
    /// When its rights last changed.
    pub approved_at: Timestamp,
    /// By whom.
    pub approved_by: String,
    /// The record of that.
    pub seq: Seq,
    /// Counts rotations of its access token.
    pub token_generation: u32,
}

/// All devices.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Devices {
    /// Those that wait.
    pub pending: BTreeMap<RequestId, DeviceRequest>,
    /// Those that were let in.
    pub paired: BTreeMap<DeviceId, Device>,
}

impl Devices {
    /// The request of a device that waits at this moment.
    pub fn request_of(&self, device: &DeviceId, at: Timestamp) -> Option<&DeviceRequest> {
        self.pending
            .values()
            .find(|request| request.asked.device == *device && request.asked.expires_at > at)
    }

    pub(crate) fn requested(&mut self, record: &Record, event: &DevicePairingRequested) {
        let request = DeviceRequest {
            asked: event.clone(),
            seq: record.seq,
            at: record.at,
        };
        self.pending.insert(event.request.clone(), request);
    }

    pub(crate) fn approved(&mut self, record: &Record, event: &DeviceApproved) {
        self.pending
            .retain(|_, request| request.asked.device != event.device);
        let old = self.paired.get(&event.device);
        let mut roles = old.map(|device| device.roles.clone()).unwrap_or_default();
        if !roles.contains(&event.role) {
            roles.push(event.role.clone());
        }
        let device = Device {
            public_key: event.public_key.clone(),
            name: event.name.clone(),
            client_id: event.client_id.clone(),
            client_mode: event.client_mode.clone(),
            platform: event.platform.clone(),
            roles,
            scopes: event.scopes.clone(),
            asked: event.asked.clone(),
            created_at: old.map_or(record.at, |device| device.created_at),
            approved_at: record.at,
            approved_by: record.actor.clone(),
            seq: record.seq,
            token_generation: old.map_or(0, |device| device.token_generation),
        };
        self.paired.insert(event.device.clone(), device);
    }

    pub(crate) fn forget_request(&mut self, request: &RequestId) {
        self.pending.remove(request);
    }

    pub(crate) fn revoked(&mut self, device: &DeviceId) {
        self.paired.remove(device);
        self.pending
            .retain(|_, request| request.asked.device != *device);
    }

    pub(crate) fn token_rotated(&mut self, event: &DeviceTokenRotated) {
        if let Some(device) = self.paired.get_mut(&event.device) {
            device.token_generation = event.generation;
        }
    }
}

pub(crate) fn decide(draft: &mut Draft, command: &Command) -> Result<(), Rejection> {
    match &command.action {
        Action::RequestDevicePairing { intro, address } => request(draft, command, intro, address),
        Action::ApproveDevice { request, scopes } => {
            approve(draft, command, request, scopes.as_ref())
        }
        Action::RedeemGrant { intro } => redeem(draft, command, intro),
        Action::RejectDevice { request } => {
            draft.require(&command.actor, Scope::Pairing)?;
            let device = pending(draft, request, command.at)?.asked.device.clone();
            draft.push(DeviceRejected {
                request: request.clone(),
                device,
            });
            Ok(())
        }
        Action::RevokeDevice { device } => revoke(draft, command, device),
        Action::RotateDeviceToken { device } => {
            draft.require(&command.actor, Scope::Pairing)?;
            let target = paired(draft, device)?;
            require_cover(draft, command, target)?;
            let generation = target.token_generation.wrapping_add(1);
            draft.push(DeviceTokenRotated {
                device: device.clone(),
                generation,
            });
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Drops the requests that lapsed by `at`.
pub(crate) fn expire(draft: &mut Draft, at: Timestamp) {
    let devices = &draft.state.devices;
    for (request, _) in devices
        .pending
        .iter()
        .filter(|(_, r)| r.asked.expires_at <= at)
    {
        draft.push(PairingExpired {
            request: request.clone(),
        });
    }
}

fn request(
    draft: &mut Draft,
    command: &Command,
    intro: &DeviceIntro,
    address: &str,
) -> Result<(), Rejection> {
    if command.actor != Actor::Device(intro.device.clone()) {
        return Err(Rejection::new(
            "not_allowed",
            "a device asks for itself only",
        ));
    }
    check(draft, intro)?;
    require_inline(&[address])?;
    let devices = &draft.state.devices;
    if let Some(waiting) = devices.request_of(&intro.device, command.at) {
        // The chat and the admin page of one browser ask for different rights: the wider request
        // stands for both, so that they do not replace each other's for ever.
        if waiting.asked.scopes.covers(&intro.scopes) && waiting.asked.role == intro.role {
            return Ok(());
        }
        draft.push(PairingExpired {
            request: waiting.asked.request.clone(),
        });
    } else if devices.pending.len() >= DEVICE_REQUESTS_MAX {
        expire(draft, command.at);
        let live = devices
            .pending
            .values()
            .filter(|r| r.asked.expires_at > command.at)
            .count();
        if live >= DEVICE_REQUESTS_MAX {
            return Err(Rejection::new(
                "too_many_requests",
                "too many devices are waiting to be let in; answer them first",
            ));
        }
    }
    let stream = format!("device/{}", intro.device);
    let name = draft.content(&stream, "self", &intro.name);
    let address = draft.content(&stream, "self", address);
    draft.push(DevicePairingRequested {
        request: RequestId(draft.id("pairing request")),
        device: intro.device.clone(),
        public_key: intro.public_key.clone(),
        name,
        client_id: intro.client_id.clone(),
        client_mode: intro.client_mode.clone(),
        platform: intro.platform.clone(),
        role: intro.role.clone(),
        scopes: intro.scopes.clone(),
        code: draft.code("pairing code", DEVICE_CODE_CHARS),
        address,
        expires_at: command.at.plus_ms(DEVICE_REQUEST_TTL_MS),
        repair: draft.state.devices.paired.contains_key(&intro.device),
    });
    Ok(())
}

fn approve(
    draft: &mut Draft,
    command: &Command,
    request: &RequestId,
    narrowed: Option<&Scopes>,
) -> Result<(), Rejection> {
    draft.require(&command.actor, Scope::Pairing)?;
    let asked = pending(draft, request, command.at)?.asked.clone();
    let granted = narrowed.map_or(asked.scopes.clone(), |n| n.limited_to(&asked.scopes));
    let granted = granted.known();
    if !draft.scopes(&command.actor).covers(&granted) {
        return Err(Rejection::new(
            "scope_too_wide",
            "this device asks for more than you may give; narrow its rights or ask an administrator",
        ));
    }
    // An approval answers the request; it never takes away what the device already had.
    let before = draft.state.devices.paired.get(&asked.device);
    let kept = before
        .map(|device| device.scopes.clone())
        .unwrap_or_default();
    let asked_before = before
        .map(|device| device.asked.clone())
        .unwrap_or_default();
    require_room(draft, &asked.device)?;
    draft.push(DeviceApproved {
        request: Some(request.clone()),
        device: asked.device,
        public_key: asked.public_key,
        name: asked.name,
        client_id: asked.client_id,
        client_mode: asked.client_mode,
        platform: asked.platform,
        role: asked.role,
        scopes: granted.union(&kept),
        asked: asked.scopes.union(&asked_before),
    });
    Ok(())
}

fn redeem(draft: &mut Draft, command: &Command, intro: &DeviceIntro) -> Result<(), Rejection> {
    // A ticket is a one-time link that names who asked for it; it gives no more than he has.
    let has = draft.scopes(&command.actor);
    let by_ticket = matches!(command.actor, Actor::Access(_))
        && has.grants(Scope::Pairing)
        && has.covers(&intro.scopes.known());
    if command.actor != Actor::Grant && !by_ticket {
        return Err(Rejection::new(
            "not_allowed",
            "only the holder of a one-time link or ticket does this",
        ));
    }
    check(draft, intro)?;
    require_room(draft, &intro.device)?;
    let name = draft.content(&format!("device/{}", intro.device), "self", &intro.name);
    draft.push(DeviceApproved {
        request: None,
        device: intro.device.clone(),
        public_key: intro.public_key.clone(),
        name,
        client_id: intro.client_id.clone(),
        client_mode: intro.client_mode.clone(),
        platform: intro.platform.clone(),
        role: intro.role.clone(),
        scopes: intro.scopes.known(),
        asked: intro.scopes.clone(),
    });
    Ok(())
}

fn revoke(draft: &mut Draft, command: &Command, device: &DeviceId) -> Result<(), Rejection> {
    draft.require(&command.actor, Scope::Pairing)?;
    let target = paired(draft, device)?;
    require_cover(draft, command, target)?;
    let administers = |device: &Device| device.scopes.grants(Scope::Admin);
    let administrators = draft
        .state
        .devices
        .paired
        .values()
        .filter(|d| administers(d))
        .count();
    let by_device = matches!(command.actor, Actor::Device(_));
    if by_device && administers(target) && administrators == 1 {
        return Err(Rejection::new(
            "last_operator",
            "this is the last device that can administer; let another one in first, or run `moltbot devices revoke` on the machine",
        ));
    }
    draft.push(DeviceRevoked {
        device: device.clone(),
    });
    Ok(())
}

/// Nobody takes something away from a device that may do more than he.
fn require_cover(draft: &Draft, command: &Command, target: &Device) -> Result<(), Rejection> {
    if draft.scopes(&command.actor).covers(&target.scopes.known()) {
        return Ok(());
    }
    Err(Rejection::new(
        "scope_too_wide",
        "this device may do more than you; ask an administrator",
    ))
}

fn require_room(draft: &Draft, device: &DeviceId) -> Result<(), Rejection> {
    let paired = &draft.state.devices.paired;
    if paired.contains_key(device) || paired.len() < DEVICES_MAX {
        return Ok(());
    }
    Err(Rejection::new(
        "too_many_devices",
        "too many devices are paired; revoke some",
    ))
}

fn check(draft: &Draft, intro: &DeviceIntro) -> Result<(), Rejection> {
    let short = [
        &intro.device.0,
        &intro.client_id,
        &intro.client_mode,
        &intro.platform,
        &intro.role,
    ];
    let too_long = short.iter().any(|text| text.len() > ID_BYTES_MAX)
        || intro.name.chars().count() > NAME_CHARS_MAX
        || intro.scopes.names().count() > 32
        || intro.scopes.names().any(|name| name.len() > ID_BYTES_MAX);
    // The id is the hash of the key, so a known id never comes with another key.
    let known = draft.state.devices.paired.get(&intro.device);
    let other_key = known.is_some_and(|device| device.public_key != intro.public_key);
    if too_long || other_key || intro.public_key.len() != 32 {
        return Err(Rejection::new(
            "bad_device",
            "the device's description is not acceptable",
        ));
    }
    Ok(())
}

fn pending<'a>(
    draft: &Draft<'a>,
    request: &RequestId,
    at: Timestamp,
) -> Result<&'a DeviceRequest, Rejection> {
    let found = draft.state.devices.pending.get(request);
    found
        .filter(|request| request.asked.expires_at > at)
        .ok_or_else(|| Rejection::new("unknown_request", "unknown requestId"))
}

fn paired<'a>(draft: &Draft<'a>, device: &DeviceId) -> Result<&'a Device, Rejection> {
    let found = draft.state.devices.paired.get(device);
    found.ok_or_else(|| Rejection::new("unknown_device", "unknown deviceId"))
}

#[cfg(test)]
mod tests;
