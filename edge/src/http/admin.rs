//! `/api/admin/*` for the admin page behind Cloudflare Access, for scripts and the command line, in
//! the shapes of the old Worker.
//!
//! Invariant: whoever was let through is the actor of what he does.

use crate::follow;
use crate::forget;
use crate::gateway::{Gateway, Running, Stop};
use crate::http::context::Context;
use crate::http::gate::Visitor;
use crate::http::reply::{self, Response};
use crate::limits::{FILES_LISTED_MAX, GRANT_TTL_MS, TICKET_TTL_MS};
use crate::stamp;
use crate::storage;
use crate::workspace::Files;
use crate::workspace::show;
use crate::writer::{Intent, Refused};
use crate::ws::methods::people;
use moltbot_core::actor::Actor;
use moltbot_core::command::Action;
use moltbot_core::forget::Subject;
use moltbot_core::ids::{DeviceId, PeerId, RequestId, Seq};
use serde_json::{Value, json};
use std::sync::Arc;
use warp::http::{StatusCode, header};

/// Answers a request below `/api/admin/`.
pub async fn answer(
    gateway: &Arc<Gateway>,
    visitor: &Visitor,
    context: &Context,
    verb: &str,
    path: &[&str],
) -> Response {
    if (verb, path) == ("GET", &["storage"]) {
        return reply::ok(&storage::report(gateway));
    }
    let Some(running) = gateway.running() else {
        let hint = Some("the gateway is starting; GET /status says how far it is");
        return reply::error(StatusCode::SERVICE_UNAVAILABLE, "Gateway starting", hint);
    };
    match (verb, path) {
        ("GET", ["devices"]) => return reply::ok(&people::list_with_devices(gateway, running)),
        ("GET", ["forget"]) => return preview(running, context),
        ("GET", ["workspace"]) => return reply::ok(&running.files.status(running)),
        ("GET", ["workspace", "files"]) => {
            let after = context.query("after");
            let page = show::list(running, after.as_deref(), FILES_LISTED_MAX);
            return reply::ok(&page);
        }
        ("POST", _) => {}
        _ => return not_found(),
    }
    if running.following().is_some() && path != ["gateway", "restart"] {
        return read_only(running);
    }
    let actor = match visitor.actor(gateway, running).await {
        Ok(actor) => actor,
        Err(refusal) => return refusal,
    };
    match path {
        ["devices", "approve-all"] => approve_all(running, actor).await,
        [kind @ ("devices" | "peers"), id, verb] => {
            let is_operator = context.query("operator").as_deref() == Some("true");
            match Change::of(kind, verb, id, is_operator) {
                Some(change) => act(running, actor, change, id).await,
                None => not_found(),
            }
        }
        ["grants"] => {
            let grant = gateway.grants.issue(stamp::now());
            let url = format!("{}/#grant={grant}", gateway.settings.url());
            reply::ok(&json!({ "url": url, "expiresInMs": GRANT_TTL_MS }))
        }
        ["forget"] => forget(running, actor, context).await,
        ["ws-ticket"] => ticket(gateway, actor),
        ["workspace", "record"] => {
            let number = Files::ask_to_record(running, actor);
            reply::ok(&json!({ "success": true, "number": number }))
        }
        ["storage", "sync"] => sync(gateway, running).await,
        ["gateway", "restart"] => {
            gateway.request_stop(Stop::Restart);
            reply::ok(&json!({
                "success": true,
                "message": "Gateway process killed, new instance starting...",
                "previousProcessId": gateway.boot_id,
            }))
        }
        _ => not_found(),
    }
}

/// Whatever a follower would have to record or to ship. What may be asked of it is in `allow`.
pub(super) fn read_only(running: &Running) -> Response {
    let refusal = follow::refusal(running);
    let body = json!({
        "success": false,
        "error": refusal.message,
        "code": refusal.code,
        "writer": follow::writer(running),
    });
    let mut response = reply::json(StatusCode::METHOD_NOT_ALLOWED, &body);
    reply::set(&mut response, header::ALLOW, "GET, HEAD");
    response
}

fn not_found() -> Response {
    reply::error(StatusCode::NOT_FOUND, "Not Found", None)
}

/// Lets the browser of somebody whom Access vouches for become a device. A command line makes links
/// instead: it has no browser to let in.
fn ticket(gateway: &Gateway, actor: Actor) -> Response {
    if !matches!(actor, Actor::Access(_)) {
        let hint =
            Some("tickets are for browsers behind Cloudflare Access; use: moltbot devices link");
        return reply::error(StatusCode::FORBIDDEN, "Forbidden", hint);
    }
    let ticket = gateway.grants.issue_ticket(actor, stamp::now());
    reply::ok(&json!({ "ticket": ticket, "expiresInMs": TICKET_TTL_MS }))
}

/// What is done about a device or a person on a channel.
struct Change {
    id_name: &'static str,
    message: &'static str,
    action: Action,
}

impl Change {
    fn of(kind: &str, verb: &str, id: &str, is_operator: bool) -> Option<Change> {
        let (request, device, peer) = (RequestId::from(id), DeviceId::from(id), PeerId::from(id));
        let scopes = None;
        let (id_name, message, action) = match (kind, verb) {
            ("devices", "approve") => (
                "requestId",
                "Device approved",
                Action::ApproveDevice { request, scopes },
            ),
            ("devices", "reject") => (
                "requestId",
                "Device rejected",
                Action::RejectDevice { request },
            ),
            ("devices", "revoke") => (
                "deviceId",
                "Device revoked",
                Action::RevokeDevice { device },
            ),
            ("peers", "approve") => (
                "peerId",
                "Person approved",
                Action::ApprovePeer { peer, is_operator },
            ),
            ("peers", "block") => ("peerId", "Person blocked", Action::BlockPeer { peer }),
            _ => return None,
        };
        Some(Change {
            id_name,
            message,
            action,
        })
    }
}

async fn act(running: &Running, actor: Actor, change: Change, id: &str) -> Response {
    let Change {
        id_name,
        message,
        action,
    } = change;
    match running.submit(Intent::new(actor, action)).await {
        Ok(accepted) => {
            let replication = running.acknowledge(accepted.seq).await;
            let mut body = json!({
                "success": true,
                "message": message,
                "seq": accepted.seq,
                "shippedSeq": running.shipped_seq(),
                "replication": replication,
            });
            body[id_name] = json!(id);
            reply::ok(&body)
        }
        Err(refused) => {
            let (status, text) = refusal(&refused);
            let mut body = json!({ "success": false, "error": text, "message": text });
            body[id_name] = json!(id);
            reply::json(status, &body)
        }
    }
}

/// Whose content `?session=`, `?peer=` or `?device=` means; exactly one of them says it.
fn subject(running: &Running, context: &Context) -> Option<Subject> {
    let kinds = ["session", "peer", "device"].into_iter();
    let mut named = kinds.filter_map(|kind| Some((kind, context.query(kind)?)));
    let (Some((kind, name)), None) = (named.next(), named.next()) else {
        return None;
    };
    forget::subject(running, kind, &name)
}

fn nobody() -> Response {
    let hint = Some("give one of ?session=, ?peer= and ?device=");
    reply::error(StatusCode::BAD_REQUEST, "whose content is not said", hint)
}

fn preview(running: &Running, context: &Context) -> Response {
    let Some(subject) = subject(running, context) else {
        return nobody();
    };
    match forget::preview(running, &subject) {
        Ok(plan) => reply::ok(&plan),
        Err(rejection) => refused(&Refused::Rejected(rejection)),
    }
}

async fn forget(running: &Running, actor: Actor, context: &Context) -> Response {
    let Some(subject) = subject(running, context) else {
        return nobody();
    };
    match forget::forget(running, actor, subject).await {
        Ok(answer) => reply::ok(&answer),
        Err(no) => refused(&no),
    }
}

fn refused(no: &Refused) -> Response {
    let (status, text) = refusal(no);
    reply::error(status, &text, None)
}

async fn approve_all(running: &Running, actor: Actor) -> Response {
    let now = stamp::now();
    let waiting: Vec<RequestId> = running.view.read(|model| {
        let waiting = model.state.devices.pending.values();
        waiting
            .filter(|r| r.asked.expires_at > now)
            .map(|r| r.asked.request.clone())
            .collect()
    });
    if waiting.is_empty() {
        return reply::ok(&json!({ "approved": [], "message": "No pending devices to approve" }));
    }
    let (mut approved, mut failed): (Vec<RequestId>, Vec<Value>) = Default::default();
    let mut last = Seq::ZERO;
    for request in &waiting {
        let action = Action::ApproveDevice {
            request: request.clone(),
            scopes: None,
        };
        match running.submit(Intent::new(actor.clone(), action)).await {
            Ok(accepted) => {
                last = last.max(accepted.seq);
                approved.push(request.clone());
            }
            Err(refused) => {
                let (_, error) = refusal(&refused);
                failed.push(json!({ "requestId": request, "success": false, "error": error }));
            }
        }
    }
    let message = format!("Approved {} of {} device(s)", approved.len(), waiting.len());
    let replication = running.acknowledge(last).await;
    reply::ok(&json!({
        "approved": approved,
        "failed": failed,
        "message": message,
        "seq": last,
        "shippedSeq": running.shipped_seq(),
        "replication": replication,
    }))
}

async fn sync(gateway: &Gateway, running: &Running) -> Response {
    if !running.replica.kind.is_remote() {
        // Scripts rely on this answer; pages may back up into a directory all the same.
        let body = json!({ "success": false, "error": "R2 storage is not configured" });
        return reply::json(StatusCode::BAD_REQUEST, &body);
    }
    match storage::backup(gateway, running).await {
        Ok(mut result) => {
            result["success"] = json!(true);
            result["message"] = json!("Sync completed successfully");
            result["lastSync"] = storage::status(gateway, running)["lastSync"].clone();
            reply::ok(&result)
        }
        Err(error) => {
            let body = json!({ "success": false, "error": error });
            reply::json(StatusCode::INTERNAL_SERVER_ERROR, &body)
        }
    }
}

fn refusal(refused: &Refused) -> (StatusCode, String) {
    match refused {
        Refused::Rejected(no) if no.code.starts_with("unknown_") => {
            (StatusCode::NOT_FOUND, no.message.clone())
        }
        Refused::Rejected(no) => (StatusCode::CONFLICT, no.message.clone()),
        Refused::Stopped => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the gateway is stopping".to_owned(),
        ),
    }
}
