//! `connect`: its checks in the protocol's order, and `hello-ok`.
//!
//! Invariant: nothing is revealed and nothing recorded before the check that allows it; every
//! refusal says what to do and closes the socket. Wrong credentials are counted per address.

use crate::auth::origin::Browser;
use crate::auth::signature::{self, Signed};
use crate::auth::token;
use crate::follow;
use crate::gateway::{Gateway, Phase, Running};
use crate::limits::{
    FRAME_BYTES_MAX, SEND_BUFFER_BYTES_MAX, SIGNATURE_AGE_MS_MAX, TICK_INTERVAL_MS,
};
use crate::stamp;
use crate::view::Model;
use crate::ws::admission;
use crate::ws::frame::{Failure, Request};
use crate::ws::hub::Close;
use crate::ws::methods;
use crate::ws::upgrade::Knock;
use moltbot_core::actor::{Actor, Scope, Scopes};
use moltbot_core::command::DeviceIntro;
use moltbot_core::ids::DeviceId;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// The newest protocol version spoken, and the oldest.
const PROTOCOLS: [u64; 2] = [4, 3];

/// A connection that was let in.
#[derive(Clone)]
pub struct Welcome {
    /// Who it is.
    pub actor: Actor,
    /// Which device, if it is one.
    pub device: Option<DeviceId>,
    /// What it may do.
    pub scopes: Scopes,
    /// Its role.
    pub role: String,
    /// Kind of client.
    pub client_id: String,
    /// What it calls itself.
    pub name: String,
    /// The protocol agreed on.
    pub protocol: u64,
    /// Its device token.
    pub device_token: Option<token::Secret>,
}

/// A connection that was not.
#[derive(Debug)]
pub struct Refusal {
    /// The response.
    pub failure: Failure,
    /// How the socket is closed.
    pub close: Close,
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Refusal {
        let close = Close::new(1008, &failure.message);
        Refusal { failure, close }
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Client {
    id: String,
    display_name: Option<String>,
    platform: String,
    device_family: Option<String>,
    mode: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct DeviceProof {
    id: String,
    public_key: String,
    signature: String,
    signed_at: i64,
    nonce: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Auth {
    token: Option<String>,
    password: Option<String>,
    device_token: Option<String>,
    bootstrap_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Connect {
    min_protocol: u64,
    max_protocol: u64,
    client: Client,
    #[serde(default)]
    role: Option<String>,
    #[serde(default)]
    scopes: Vec<String>,
    device: Option<DeviceProof>,
    #[serde(default)]
    auth: Auth,
}

/// Checks a `connect` request.
pub async fn connect(
    gateway: &Arc<Gateway>,
    knock: &Knock,
    nonce: &str,
    request: &Request,
) -> Result<Welcome, Refusal> {
    if request.method != "connect" {
        let text = "invalid handshake: first request must be connect";
        return Err(Failure::invalid(text).into());
    }
    let connect: Connect = serde_json::from_value(Value::Object(request.params.object().clone()))
        .map_err(|error| request.params.invalid(&error.to_string()))?;
    let protocol = agree(&connect)?;
    let role = connect
        .role
        .clone()
        .unwrap_or_else(|| "operator".to_owned());
    if !matches!(role.as_str(), "operator" | "node") {
        return Err(Failure::invalid("invalid role").into());
    }
    if knock.origin.browser == Browser::Foreign {
        let text = "origin not allowed (open the Control UI from the gateway's own address)";
        return Err(Failure::invalid(text).into());
    }
    let running = running(gateway)?;
    let shared = shared_token(gateway, knock, &connect);
    // A command line on this machine: knows the token, is no browser, came straight here.
    let local = knock.origin.local
        && knock.origin.browser == Browser::None
        && gateway.settings.bound_to_loopback();
    let asked = asked_scopes(&connect, &role, protocol);
    let Some(proof) = &connect.device else {
        return without_device(gateway, knock, &connect, shared, local, asked, protocol);
    };
    let public_key = prove(proof, &connect, &role, nonce, local)?;
    let device = signature::device_id(&public_key);
    authorize(gateway, knock, running, &connect, &device, &role, shared)?;
    let intro = DeviceIntro {
        device: device.clone(),
        public_key: public_key.to_vec(),
        name: name(&connect.client),
        client_id: connect.client.id.clone(),
        client_mode: connect.client.mode.clone(),
        platform: connect.client.platform.clone(),
        role: role.clone(),
        scopes: asked,
    };
    let trusted = (local && shared == Shared::Right) || gateway.settings.dev_mode;
    let scopes = admission::admit(gateway, knock, running, &intro, trusted).await?;
    let generation = running.view.read(|model| {
        model
            .state
            .devices
            .paired
            .get(&device)
            .map_or(0, |device| device.token_generation)
    });
    Ok(Welcome {
        actor: Actor::Device(device.clone()),
        device_token: Some(token::of_device(&gateway.token, &device, &role, generation)),
        device: Some(device),
        scopes,
        role,
        client_id: intro.client_id,
        name: intro.name,
        protocol,
    })
}

fn agree(connect: &Connect) -> Result<u64, Refusal> {
    let fits = |p: &u64| (connect.min_protocol..=connect.max_protocol).contains(p);
    PROTOCOLS.into_iter().find(fits).ok_or_else(|| {
        let details = json!({
            "code": "PROTOCOL_MISMATCH",
            "clientMinProtocol": connect.min_protocol,
            "clientMaxProtocol": connect.max_protocol,
            "expectedProtocol": PROTOCOLS.first(),
            "minimumProbeProtocol": PROTOCOLS.last(),
        });
        Refusal {
            failure: Failure::invalid("protocol mismatch").with(details),
            close: Close::new(1002, "protocol mismatch"),
        }
    })
}

fn running(gateway: &Gateway) -> Result<&Arc<Running>, Failure> {
    let phase = gateway.phase.borrow().clone();
    if let (Some(running), Phase::Running) = (gateway.running(), &phase) {
        return Ok(running);
    }
    let mut details = serde_json::to_value(&phase).unwrap_or_default();
    details["reason"] = json!("startup");
    Err(Failure::unavailable("gateway starting; retry shortly", 500).with(details))
}

/// How the shared token stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shared {
    Missing,
    Wrong,
    Right,
}

/// The token may come in the request, in the cookie or in the query; a right one anywhere counts.
fn shared_token(gateway: &Gateway, knock: &Knock, connect: &Connect) -> Shared {
    let given = [&connect.auth.token, &connect.auth.password, &knock.token];
    let mut given = given
        .into_iter()
        .flatten()
        .filter(|token| !token.is_empty())
        .peekable();
    if given.peek().is_none() {
        return Shared::Missing;
    }
    let right = given.any(|token| gateway.token.matches(token));
    if right { Shared::Right } else { Shared::Wrong }
}

fn asked_scopes(connect: &Connect, role: &str, protocol: u64) -> Scopes {
    if connect.scopes.is_empty() && role == "operator" && protocol < 4 {
        return Scopes::of(&[Scope::Admin]);
    }
    Scopes::from_names(&connect.scopes)
}

/// A client without a device is a command line on this machine or nobody.
fn without_device(
    gateway: &Arc<Gateway>,
    knock: &Knock,
    connect: &Connect,
    shared: Shared,
    local: bool,
    scopes: Scopes,
    protocol: u64,
) -> Result<Welcome, Refusal> {
    check_limit(gateway, knock)?;
    match shared {
        Shared::Wrong => return Err(wrong_token(gateway, knock, connect).into()),
        Shared::Right if local => {}
        Shared::Right | Shared::Missing => {
            let text = "device identity required";
            return Err(Failure {
                code: "NOT_PAIRED",
                ..Failure::invalid(text)
            }
            .into());
        }
    }
    gateway.limiter.succeeded(knock.origin.address);
    Ok(Welcome {
        actor: Actor::Local,
        device: None,
        scopes,
        role: "operator".to_owned(),
        client_id: connect.client.id.clone(),
        name: name(&connect.client),
        protocol,
        device_token: None,
    })
}

/// Checks that the device holds the key it names; returns the key.
fn prove(
    proof: &DeviceProof,
    connect: &Connect,
    role: &str,
    nonce: &str,
    local: bool,
) -> Result<[u8; 32], Failure> {
    let refuse = |text: &str| Err(Failure::invalid(text));
    let Some(public_key) = signature::public_key(&proof.public_key) else {
        return refuse("device public key invalid");
    };
    if signature::device_id(&public_key).as_str() != proof.id {
        return refuse("device identity mismatch");
    }
    let age_ms = stamp::now()
        .0
        .saturating_sub(proof.signed_at)
        .saturating_abs();
    if age_ms > SIGNATURE_AGE_MS_MAX {
        return refuse("device signature expired");
    }
    let given = proof.nonce.as_deref().filter(|nonce| !nonce.is_empty());
    if given.is_none() && !local {
        return refuse("device nonce required");
    }
    if given.is_some_and(|given| given != nonce) {
        return refuse("device nonce mismatch");
    }
    let auth = &connect.auth;
    let tokens = [&auth.token, &auth.device_token, &auth.bootstrap_token];
    let token = tokens.into_iter().flatten().find(|token| !token.is_empty());
    let signed = Signed {
        device_id: &proof.id,
        client_id: &connect.client.id,
        client_mode: &connect.client.mode,
        role: connect.role.as_deref().unwrap_or(role),
        scopes: &connect.scopes,
        signed_at_ms: proof.signed_at,
        token: token.map_or("", String::as_str),
        nonce: given,
        platform: &connect.client.platform,
        device_family: connect.client.device_family.as_deref().unwrap_or_default(),
    };
    if !signature::verifies(&public_key, &proof.signature, &signed, local) {
        return refuse("device signature invalid");
    }
    Ok(public_key)
}

/// The shared token, or the token of this device.
fn authorize(
    gateway: &Arc<Gateway>,
    knock: &Knock,
    running: &Running,
    connect: &Connect,
    device: &DeviceId,
    role: &str,
    shared: Shared,
) -> Result<(), Failure> {
    check_limit(gateway, knock)?;
    let generation = running.view.read(|model| {
        let device = model.state.devices.paired.get(device)?;
        device
            .roles
            .iter()
            .any(|r| r == role)
            .then_some(device.token_generation)
    });
    let own = generation.map(|n| token::of_device(&gateway.token, device, role, n));
    let given = [&connect.auth.token, &connect.auth.device_token];
    let by_device = own.is_some_and(|own| given.into_iter().flatten().any(|t| own.matches(t)));
    if shared == Shared::Right || by_device || gateway.settings.dev_mode {
        gateway.limiter.succeeded(knock.origin.address);
        return Ok(());
    }
    if shared == Shared::Missing && connect.auth.device_token.is_none() {
        let text = format!(
            "unauthorized: gateway token missing ({})",
            hint(&connect.client)
        );
        return Err(Failure::invalid(text).with(json!({ "code": "AUTH_TOKEN_MISSING" })));
    }
    Err(wrong_token(gateway, knock, connect))
}

fn check_limit(gateway: &Gateway, knock: &Knock) -> Result<(), Failure> {
    let Some(ms) = gateway.limiter.wait_ms(knock.origin.address, stamp::now()) else {
        return Ok(());
    };
    let text = "unauthorized: too many failed attempts from this address (wait a minute)";
    Err(Failure::limited(text, ms))
}

/// Counts a wrong token and has it recorded now and then.
fn wrong_token(gateway: &Arc<Gateway>, knock: &Knock, connect: &Connect) -> Failure {
    gateway.count_refusal(knock.origin.address, "wrong gateway token");
    let text = format!(
        "unauthorized: gateway token mismatch ({})",
        hint(&connect.client)
    );
    Failure::invalid(text).with(json!({
        "code": "AUTH_TOKEN_MISMATCH",
        "canRetryWithDeviceToken": connect.device.is_some(),
        "recommendedNextStep": "update_auth_credentials",
    }))
}

fn hint(client: &Client) -> &'static str {
    match client.mode.as_str() {
        "cli" => "set gateway.remote.token to match gateway.auth.token",
        "webchat" | "ui" => "open a tokenized dashboard URL or paste token in Control UI settings",
        _ => "provide gateway auth token",
    }
}

fn name(client: &Client) -> String {
    let name = client
        .display_name
        .as_deref()
        .map(str::trim)
        .filter(|name| !name.is_empty());
    let name = name.unwrap_or(&client.id);
    name.chars()
        .take(moltbot_core::limits::NAME_CHARS_MAX)
        .collect()
}

/// Whether the device of a connection is still paired.
pub fn is_still_welcome(gateway: &Gateway, welcome: &Welcome) -> bool {
    let (Some(device), Some(running)) = (&welcome.device, gateway.running()) else {
        return true;
    };
    let devices = |model: &Model| model.state.devices.paired.contains_key(device);
    running.view.read(devices)
}

/// The payload of the successful answer.
pub fn hello_ok(gateway: &Gateway, welcome: &Welcome, connection: u64) -> Result<Value, Failure> {
    let running = running(gateway)?;
    let now = stamp::now();
    let cursor = running.view.read(|model| model.state.cursor);
    let info = running.model.info();
    let mut auth = json!({ "role": welcome.role, "scopes": welcome.scopes, "issuedAtMs": now.0 });
    if let Some(token) = &welcome.device_token {
        auth["deviceToken"] = json!(token.reveal());
    }
    let mut hello = json!({
        "type": "hello-ok",
        "protocol": welcome.protocol,
        "server": { "version": env!("CARGO_PKG_VERSION"), "connId": format!("{}-{connection}", gateway.boot_id) },
        "features": { "methods": methods::NAMES.as_slice(), "events": methods::EVENTS.as_slice(), "capabilities": [] },
        "snapshot": {
            "presence": [],
            "health": methods::health(gateway, running),
            "stateVersion": { "presence": 1, "health": 1 },
            "uptimeMs": now.since_ms(gateway.started_at),
            "sessionDefaults": {
                "defaultAgentId": "main",
                "mainKey": "main",
                "mainSessionKey": moltbot_core::session::MAIN_KEY,
                "scope": "per-sender",
            },
        },
        "auth": auth,
        "policy": {
            "maxPayload": FRAME_BYTES_MAX,
            "maxBufferedBytes": SEND_BUFFER_BYTES_MAX,
            "tickIntervalMs": TICK_INTERVAL_MS,
        },
        "moltbot": {
            "deviceId": welcome.device,
            "deviceName": welcome.name,
            "cursor": cursor,
            "shippedSeq": running.shipped_seq(),
            "epoch": running.epoch(),
            "storageConfigured": running.replica.kind.is_remote(),
            "devMode": gateway.settings.dev_mode,
            "bootId": gateway.boot_id,
            "model": { "provider": info.provider, "name": info.model },
        },
    });
    if let Some(why) = running.read_only() {
        hello["moltbot"]["readOnly"] = json!(why);
    }
    if let Some(follower) = follow::status::json(running, now) {
        let ours = &mut hello["moltbot"];
        // No model answers here.
        ours["model"] = Value::Null;
        ours["readOnly"] = json!(follow::refusal(running).message);
        ours["follower"] = follower;
    }
    Ok(hello)
}
