//! `/api/admin/*` for scripts and the command line, in the shapes of the old Worker.

use crate::gateway::{Gateway, Running, Stop};
use crate::http::context::Context;
use crate::http::reply::{self, Response};
use crate::limits::{GRANT_TTL_MS, REPLICATION_WAIT_MS};
use crate::stamp;
use crate::storage;
use crate::writer::{Intent, Refused};
use crate::ws::methods::devices;
use moltbot_core::actor::Actor;
use moltbot_core::command::Action;
use moltbot_core::ids::{DeviceId, RequestId};
use serde_json::{Value, json};
use std::sync::Arc;
use warp::http::StatusCode;

/// Answers a request below `/api/admin/`.
pub async fn answer(
    gateway: &Arc<Gateway>,
    context: &Context,
    verb: &str,
    path: &[&str],
) -> Response {
    if let Some(refusal) = context.refuse_unless_local(gateway) {
        return refusal;
    }
    if (verb, path) == ("GET", &["storage"]) {
        return reply::ok(&storage::report(gateway));
    }
    let Some(running) = gateway.running() else {
        let hint = Some("the gateway is starting; GET /status says how far it is");
        return reply::error(StatusCode::SERVICE_UNAVAILABLE, "Gateway starting", hint);
    };
    match (verb, path) {
        ("GET", ["devices"]) => reply::ok(&devices::list(gateway, running)),
        ("POST", ["devices", "approve-all"]) => approve_all(running).await,
        ("POST", ["devices", request, "approve"]) => {
            let action = Action::ApproveDevice {
                request: RequestId::from(*request),
                scopes: None,
            };
            act(running, action, "requestId", request, "Device approved").await
        }
        ("POST", ["devices", request, "reject"]) => {
            let action = Action::RejectDevice {
                request: RequestId::from(*request),
            };
            act(running, action, "requestId", request, "Device rejected").await
        }
        ("POST", ["devices", device, "revoke"]) => {
            let action = Action::RevokeDevice {
                device: DeviceId::from(*device),
            };
            act(running, action, "deviceId", device, "Device revoked").await
        }
        ("POST", ["grants"]) => {
            let grant = gateway.grants.issue(stamp::now());
            let url = format!("{}/#grant={grant}", gateway.settings.url());
            reply::ok(&json!({ "url": url, "expiresInMs": GRANT_TTL_MS }))
        }
        ("POST", ["storage", "sync"]) => sync(gateway, running).await,
        ("POST", ["gateway", "restart"]) => {
            gateway.request_stop(Stop::Restart);
            reply::ok(&json!({
                "success": true,
                "message": "Gateway process killed, new instance starting...",
                "previousProcessId": gateway.boot_id,
            }))
        }
        _ => reply::error(StatusCode::NOT_FOUND, "Not Found", None),
    }
}

async fn act(
    running: &Running,
    action: Action,
    id_name: &str,
    id: &str,
    message: &str,
) -> Response {
    match running.submit(Intent::new(Actor::Local, action)).await {
        Ok(accepted) => {
            let replicated = running.replicated(accepted.seq, REPLICATION_WAIT_MS).await;
            let replication = if replicated {
                "replicated"
            } else {
                "pending_replication"
            };
            let mut body = json!({
                "success": true,
                "message": message,
                "seq": accepted.seq,
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

async fn approve_all(running: &Running) -> Response {
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
    for request in &waiting {
        let action = Action::ApproveDevice {
            request: request.clone(),
            scopes: None,
        };
        match running.submit(Intent::new(Actor::Local, action)).await {
            Ok(_) => approved.push(request.clone()),
            Err(refused) => {
                let (_, error) = refusal(&refused);
                failed.push(json!({ "requestId": request, "success": false, "error": error }));
            }
        }
    }
    let message = format!("Approved {} of {} device(s)", approved.len(), waiting.len());
    reply::ok(&json!({ "approved": approved, "failed": failed, "message": message }))
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
