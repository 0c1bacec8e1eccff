//! Is it alive, is it ready, how far is it: public, wakes nothing, tells nothing personal.

use crate::follow;
use crate::gateway::{Gateway, Phase};
use crate::http::reply::{self, Response};
use crate::stamp;
use serde_json::{Value, json};
use warp::http::StatusCode;

/// The process answers.
pub fn live() -> Response {
    reply::ok(&json!({ "ok": true, "status": "live" }))
}

/// The log is claimed and replayed, and commands are accepted; of a follower: the copy can be read.
pub fn ready(gateway: &Gateway) -> Response {
    let phase = gateway.phase.borrow().clone();
    let is_ready = phase == Phase::Running;
    let status = if is_ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let mut body = progress(&phase);
    body["ready"] = json!(is_ready);
    reply::json(status, &body)
}

/// In the shape that loading pages know; always 200.
pub fn status(gateway: &Gateway) -> Response {
    let phase = gateway.phase.borrow().clone();
    let mut body = progress(&phase);
    body["processId"] = json!(gateway.boot_id);
    body["version"] = json!(env!("CARGO_PKG_VERSION"));
    // Pages show it as loudly as they can.
    body["devMode"] = json!(gateway.settings.dev_mode);
    body["uptimeMs"] = json!(stamp::now().since_ms(gateway.started_at));
    let is_running = phase == Phase::Running;
    body["ok"] = json!(is_running);
    body["status"] = json!(if is_running {
        "running"
    } else {
        "not_responding"
    });
    if let Some(running) = gateway.running().filter(|_| is_running) {
        let head = running.view.read(|model| model.state.cursor.seq);
        body["headSeq"] = json!(head);
        body["shippedSeq"] = json!(running.shipped_seq());
        body["epoch"] = json!(running.epoch());
        let follower = follow::status::json(running, stamp::now());
        body["role"] = json!(role(follower.as_ref()));
        if let Some(follower) = follower {
            body["follower"] = follower;
        }
        body["workspace"] = running.files.public();
        if let Some(why) = running.read_only() {
            body["readOnly"] = json!(why);
        }
    }
    reply::ok(&body)
}

fn role(follower: Option<&Value>) -> &'static str {
    if follower.is_some() {
        "follower"
    } else {
        "writer"
    }
}

/// The old Worker's health check.
pub fn sandbox(gateway: &Gateway) -> Response {
    reply::ok(&json!({
        "status": "ok",
        "service": "moltbot-sandbox",
        "gateway_port": gateway.settings.listen.port(),
    }))
}

fn progress(phase: &Phase) -> Value {
    serde_json::to_value(phase).unwrap_or_default()
}
