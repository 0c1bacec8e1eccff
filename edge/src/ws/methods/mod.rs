//! What a request may ask for, and which scope it needs.
//!
//! To add a method: a line in `METHODS`, an arm in [`call`], a function in the module of its
//! noun.

pub mod channels;
mod chat;
mod config;
mod content;
mod deliveries;
pub mod devices;
mod log;
pub mod people;
mod sessions;
mod storage;
mod system;
mod workspace;

use crate::ack::AckLevel;
use crate::follow;
use crate::gateway::{Gateway, Running, Stop};
use crate::writer::{Intent, Refused};
use crate::ws::frame::{Failure, Request};
use crate::ws::handshake::Welcome;
use crate::ws::hub::Outbound;
use crate::ws::subscription;
use moltbot_core::actor::Scope;
use moltbot_core::command::Action;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::Arc;

pub use system::health;

/// Name, scope, and whether it may take long (then it is answered beside the others).
type Method = (&'static str, Scope, bool);

/// The methods.
const METHODS: &[Method] = &[
    ("channels.status", Scope::Read, false),
    ("chat.abort", Scope::Write, false),
    ("chat.history", Scope::Read, false),
    ("chat.retry", Scope::Write, false),
    ("chat.send", Scope::Write, false),
    ("config.get", Scope::Admin, false),
    ("config.patch", Scope::Admin, true),
    ("content.forget", Scope::Admin, true),
    ("delivery.cancel", Scope::Admin, true),
    ("delivery.list", Scope::Admin, false),
    ("delivery.resend", Scope::Admin, true),
    ("device.pair.approve", Scope::Pairing, true),
    ("device.pair.list", Scope::Pairing, false),
    ("device.pair.reject", Scope::Pairing, true),
    ("device.revoke", Scope::Pairing, true),
    ("device.token.rotate", Scope::Pairing, true),
    ("gateway.restart", Scope::Admin, false),
    ("health", Scope::Read, false),
    ("log.diff", Scope::Admin, true),
    ("log.records", Scope::Read, true),
    ("log.state", Scope::Admin, true),
    ("log.subscribe", Scope::Read, false),
    ("log.verify", Scope::Admin, true),
    ("peer.approve", Scope::Pairing, true),
    ("peer.block", Scope::Pairing, true),
    ("peer.list", Scope::Pairing, false),
    ("sessions.list", Scope::Read, false),
    ("status", Scope::Read, false),
    ("storage.backup", Scope::Admin, true),
    ("storage.status", Scope::Read, false),
    ("system-presence", Scope::Read, false),
    ("workspace.get", Scope::Admin, true),
    ("workspace.list", Scope::Admin, true),
    ("workspace.record", Scope::Admin, false),
    ("workspace.status", Scope::Admin, false),
];

/// Names of the methods, for `hello-ok`.
pub const NAMES: [&str; METHODS.len()] = {
    let mut names = [""; METHODS.len()];
    let mut n = 0;
    while n < METHODS.len() {
        #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
        {
            names[n] = METHODS[n].0;
        }
        n += 1;
    }
    names
};

/// Names of the events, for `hello-ok`.
pub const EVENTS: [&str; 15] = [
    "connect.challenge",
    "agent",
    "channels.changed",
    "chat",
    "delivery.changed",
    "device.pair.requested",
    "device.pair.resolved",
    "device.presence",
    "log",
    "log.verify.progress",
    "peer.pair.requested",
    "peer.pair.resolved",
    "shutdown",
    "storage",
    "tick",
];

/// An authenticated connection that asks for something.
#[derive(Clone)]
pub struct Caller {
    /// The gateway.
    pub gateway: Arc<Gateway>,
    /// Number of the connection.
    pub connection: u64,
    /// Where it comes from: the address that counts for limits.
    pub address: IpAddr,
    /// Its sending side.
    pub outbound: Outbound,
    /// Who it is and what it may do.
    pub welcome: Welcome,
}

impl Caller {
    /// Tells those who pair devices that this one came or went.
    pub fn presence(&self, connected: bool) {
        let Some(device) = &self.welcome.device else {
            return;
        };
        if !connected && self.gateway.hub.is_connected(device) {
            return;
        }
        let payload = json!({ "deviceId": device, "connected": connected });
        self.gateway
            .hub
            .broadcast("device.presence", &payload, Scope::Pairing);
    }

    fn running(&self) -> Result<&Arc<Running>, Failure> {
        self.gateway
            .running()
            .ok_or_else(|| Failure::unavailable("gateway starting", 500))
    }

    /// Submits an action of this caller.
    async fn submit(&self, action: Action) -> Result<crate::writer::Accepted, Failure> {
        self.submit_intent(Intent::new(self.welcome.actor.clone(), action))
            .await
    }

    async fn submit_intent(&self, intent: Intent) -> Result<crate::writer::Accepted, Failure> {
        self.running()?
            .submit(intent)
            .await
            .map_err(|refused| match refused {
                Refused::Rejected(rejection) => rejection.into(),
                Refused::Stopped => Failure::unavailable("gateway stopping; retry shortly", 1_000),
            })
    }
}

/// Whether a method may take long. A message does where it waits for the remote log too.
pub fn is_slow(caller: &Caller, method: &str) -> bool {
    let says = METHODS.iter().find(|(name, ..)| *name == method);
    let waits = || {
        let level = caller
            .running()
            .ok()
            .and_then(|running| running.ack_level());
        level == Some(AckLevel::Replicated)
    };
    match method {
        "chat.send" | "chat.retry" => waits(),
        _ => says.is_some_and(|(_, _, slow)| *slow),
    }
}

/// Answers a request.
pub async fn call(caller: &Caller, request: &Request) -> Result<Value, Failure> {
    let method = request.method.as_str();
    if method == "connect" {
        return Err(Failure::invalid(
            "connect is only valid as the first request",
        ));
    }
    let known = METHODS.iter().find(|(name, ..)| *name == method);
    let Some((_, scope, _)) = known else {
        return Err(Failure::invalid(format!("unknown method: {method}")));
    };
    authorize(caller, *scope)?;
    let running = caller.running()?;
    if let Some(refusal) = follow::refuse(running, method) {
        return Err(refusal);
    }
    let params = &request.params;
    match method {
        "channels.status" => Ok(channels::status(running)),
        "chat.send" => chat::send(caller, params).await,
        "chat.retry" => chat::retry(caller, params).await,
        "chat.abort" => chat::abort(caller, running, params).await,
        "chat.history" => chat::history(running, params),
        "sessions.list" => sessions::list(running, params),
        "device.pair.list" => Ok(devices::list(&caller.gateway, running)),
        "device.pair.approve" => devices::approve(caller, params).await,
        "device.pair.reject" => devices::reject(caller, params).await,
        "device.revoke" => devices::revoke(caller, params).await,
        "device.token.rotate" => devices::rotate(caller, params).await,
        "peer.list" => Ok(people::list(running)),
        "peer.approve" => people::approve(caller, params).await,
        "peer.block" => people::block(caller, params).await,
        "delivery.list" => Ok(deliveries::list(running)),
        "delivery.resend" => deliveries::resend(caller, params).await,
        "delivery.cancel" => deliveries::cancel(caller, params).await,
        "config.get" => Ok(config::get(running)),
        "config.patch" => config::patch(caller, running, params).await,
        "log.diff" => log::diff(caller, running, params).await,
        "log.records" => log::records(caller, running, params).await,
        "log.state" => log::state(caller, running, params).await,
        "log.verify" => log::verify(caller, running, params).await,
        "content.forget" => content::forget(caller, running, params).await,
        "log.subscribe" => subscription::subscribe(caller, running, params),
        "storage.status" => Ok(crate::storage::status(&caller.gateway, running)),
        "storage.backup" => storage::backup(caller, running).await,
        "gateway.restart" => Ok(system::restart()),
        "status" => Ok(system::status(&caller.gateway, running)),
        "workspace.get" => workspace::get(running, params).await,
        "workspace.list" => workspace::list(running, params),
        "workspace.record" => Ok(workspace::record(caller, running)),
        "workspace.status" => Ok(running.files.status(running)),
        "system-presence" => Ok(system::presence(&caller.gateway, running)),
        _ => Ok(health(&caller.gateway, running)),
    }
}

/// What a method does once its answer waits to be sent: a stop closes the sockets, and whoever
/// asked for it must hear that first.
pub fn answered(caller: &Caller, request: &Request, result: &Result<Value, Failure>) {
    if request.method == "gateway.restart" && result.is_ok() {
        caller.gateway.request_stop(Stop::Restart);
    }
}

/// A device's scopes are read anew each time: a narrowed or revoked one loses them at once.
fn authorize(caller: &Caller, scope: Scope) -> Result<(), Failure> {
    let welcome = &caller.welcome;
    if welcome.role != "operator" {
        return Err(Failure::invalid(format!(
            "unauthorized role: {}",
            welcome.role
        )));
    }
    let now = caller
        .running()?
        .view
        .read(|model| moltbot_core::decide::scopes_of(&model.state, &welcome.actor).grants(scope));
    if now && welcome.scopes.grants(scope) {
        return Ok(());
    }
    let name = scope.name();
    let details =
        json!({ "code": "MISSING_SCOPE", "missingScope": name, "requiredScopes": [name] });
    if welcome.protocol >= 4 {
        let text = format!("missing scope: {name}");
        return Err(Failure {
            code: "FORBIDDEN",
            ..Failure::invalid(text)
        }
        .with(details));
    }
    Err(Failure::invalid(format!("missing scope: {name}")).with(details))
}
