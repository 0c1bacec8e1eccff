//! `/debug/*`, in the shapes of the old Worker: what runs, what it logged, how it is configured.
//!
//! | route | answer |
//! |---|---|
//! | `/debug/access` | what is wrong with Cloudflare Access, if anything is |
//! | `/debug/version` | versions and commits of Worker, image and process |
//! | `/debug/processes[?logs=true]` | this process |
//! | `/debug/logs[?id=…][&lines=…]` | the last lines of its log |
//! | `/debug/gateway-api?path=/status` | one of our own routes, asked in this process |
//! | `/debug/cli?cmd=moltbot log stats` | a few commands that only read |
//! | `/debug/env`, `/debug/container-config` | which variables are set, and the configuration |
//! | `/debug/ws-test` | a page that speaks the protocol by hand |
//!
//! Invariant: nothing here changes anything, runs a shell or shows a secret: every answer passes
//! `shown`. All of it is 404 without `DEBUG_ROUTES=true`. [`gate`] decides who may look, but for
//! `/debug/access`: it says why the gate lets nobody through, so it stands before it.

mod command;
mod self_check;

use crate::gateway::{Gateway, Phase};
use crate::http::context::Context;
use crate::http::reply::{self, Response};
use crate::http::{self, gate};
use crate::limits::{DEBUG_OUTPUT_BYTES_MAX, LOG_LINES_MAX};
use crate::log_ring;
use crate::redact::redact;
use hyper::body::Body;
use serde_json::{Map, Value, json};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use warp::http::{StatusCode, header};

/// Lines of the log when nobody says how many.
const LOG_LINES_DEFAULT: usize = 200;
/// Our own routes that may be asked for.
const PATHS: [&str; 8] = [
    "/",
    "/health",
    "/ready",
    "/status",
    "/api/status",
    "/sandbox-health",
    "/api/admin/devices",
    "/api/admin/storage",
];

/// Answers a request below `/debug/`.
pub async fn answer(
    gateway: &Arc<Gateway>,
    context: &Context,
    verb: &str,
    path: &str,
    below: &[&str],
) -> Response {
    if !gateway.settings.debug_routes {
        let hint = Some("set DEBUG_ROUTES=true and restart");
        return reply::error(StatusCode::NOT_FOUND, "Debug routes are disabled", hint);
    }
    if verb != "GET" {
        return reply::error(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed", None);
    }
    if below == ["access"] {
        return ok(&self_check::run(gateway, context).await);
    }
    if let Err(refusal) = gate::admit(gateway, context, verb, path).await {
        return refusal;
    }
    match below {
        ["version"] => ok(&version(gateway)),
        ["processes"] => ok(&processes(gateway, context)),
        ["logs"] => logs(gateway, context),
        ["gateway-api"] => gateway_api(gateway, context).await,
        ["cli"] => command::answer(gateway, context).await,
        ["env"] => ok(&environment(gateway)),
        ["container-config"] => ok(&configuration(gateway)),
        ["ws-test"] => {
            let page = include_str!("ws_test.html").to_owned();
            reply::document("text/html; charset=utf-8", page)
        }
        ["ws-test.js"] => {
            let script = include_str!("ws_test.js").to_owned();
            reply::document("text/javascript; charset=utf-8", script)
        }
        _ => reply::error(StatusCode::NOT_FOUND, "Not Found", None),
    }
}

fn ok(value: &Value) -> Response {
    answer_with(StatusCode::OK, value)
}

fn answer_with(status: StatusCode, value: &Value) -> Response {
    reply::json(status, &shown(value))
}

/// The value with every secret blacked out, wherever it stands.
fn shown(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(redact(text).into_owned()),
        Value::Array(values) => values.iter().map(shown).collect(),
        Value::Object(fields) => {
            let fields = fields.iter();
            let shown = fields.map(|(name, value)| (name.clone(), shown(value)));
            Value::Object(shown.collect())
        }
        other => other.clone(),
    }
}

/// The commit is given to the build by `MOLTBOT_GIT_SHA`, as the image's build does.
fn version(gateway: &Gateway) -> Value {
    let built = option_env!("MOLTBOT_GIT_SHA").filter(|sha| !sha.is_empty());
    let worker = gateway.settings.worker_version.as_deref();
    json!({
        "moltbot_version": env!("CARGO_PKG_VERSION"),
        "node_version": null,
        "git_sha": built,
        "worker_version": worker,
        // One of them may be old after a deploy that did not reach the other yet.
        "mismatch": built.zip(worker).map(|(built, worker)| built != worker),
        "process_id": gateway.boot_id,
        "started_at": gateway.started_at.rfc3339(),
    })
}

fn process_status(gateway: &Gateway) -> &'static str {
    match *gateway.phase.borrow() {
        Phase::Running => "running",
        Phase::Stopping => "stopping",
        _ => "starting",
    }
}

/// There is one process, and its command line holds no secret: those come by the environment.
fn processes(gateway: &Gateway, context: &Context) -> Value {
    let mut process = json!({
        "id": gateway.boot_id,
        "pid": std::process::id(),
        "command": "moltbot serve",
        "status": process_status(gateway),
        "startTime": gateway.started_at.rfc3339(),
        "endTime": null,
        "exitCode": null,
    });
    if context.query("logs").as_deref() == Some("true") {
        process["stdout"] = json!("");
        process["stderr"] = json!(log_ring::newest(LOG_LINES_DEFAULT).join("\n"));
    }
    json!({ "count": 1, "processes": [process] })
}

fn logs(gateway: &Gateway, context: &Context) -> Response {
    let asked = context.query("id");
    if asked.is_some_and(|id| id != gateway.boot_id) {
        let body = json!({
            "status": "not_found",
            "message": "there is no such process; see /debug/processes",
            "stdout": "",
            "stderr": "",
        });
        return answer_with(StatusCode::NOT_FOUND, &body);
    }
    let lines = context.query("lines").and_then(|n| n.parse().ok());
    let lines: usize = lines.unwrap_or(LOG_LINES_DEFAULT).min(LOG_LINES_MAX);
    let body = json!({
        "status": "ok",
        "process_id": gateway.boot_id,
        "process_status": process_status(gateway),
        "stdout": "",
        "stderr": log_ring::newest(lines).join("\n"),
    });
    ok(&body)
}

async fn gateway_api(gateway: &Arc<Gateway>, context: &Context) -> Response {
    let path = context.query("path").unwrap_or_else(|| "/".to_owned());
    if !PATHS.contains(&path.as_str()) {
        let body = json!({ "error": "this path cannot be asked for here", "paths": PATHS });
        return answer_with(StatusCode::BAD_REQUEST, &body);
    }
    // With the credentials of whoever asks, so he sees what he would see there.
    let bare = context.bare();
    let nothing = bytes::Bytes::new();
    let answer = Box::pin(http::respond(gateway, "GET", &path, &bare, &nothing)).await;
    let content_type = answer.headers().get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok().map(str::to_owned));
    let status = answer.status().as_u16();
    let text = text_of(answer).await;
    let body: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
    let body = json!({
        "path": path,
        "status": status,
        "contentType": content_type,
        "body": body,
    });
    ok(&body)
}

/// The text of one of our own answers, up to a bound.
async fn text_of(answer: Response) -> String {
    let mut body = pin!(answer.into_body());
    let mut bytes = Vec::new();
    while let Some(Ok(frame)) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        if let Ok(data) = frame.into_data() {
            let room = DEBUG_OUTPUT_BYTES_MAX.saturating_sub(bytes.len());
            bytes.extend(data.into_iter().take(room));
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn environment(gateway: &Gateway) -> Value {
    let settings = &gateway.settings;
    let has = |name: &str| json!(settings.variables.has(name));
    json!({
        "has_anthropic_key": has("ANTHROPIC_API_KEY"),
        "has_openai_key": has("OPENAI_API_KEY"),
        "has_ai_gateway_key": has("AI_GATEWAY_API_KEY"),
        "has_gateway_token": has("MOLTBOT_GATEWAY_TOKEN"),
        "has_r2_access_key": has("R2_ACCESS_KEY_ID"),
        "has_r2_secret_key": has("R2_SECRET_ACCESS_KEY"),
        "has_cf_account_id": has("CF_ACCOUNT_ID"),
        "has_cf_access_aud": has("CF_ACCESS_AUD"),
        "has_telegram_token": has("TELEGRAM_BOT_TOKEN"),
        "has_discord_token": has("DISCORD_BOT_TOKEN"),
        "has_slack_tokens": settings.variables.has("SLACK_BOT_TOKEN") && settings.variables.has("SLACK_APP_TOKEN"),
        "has_cdp_secret": has("CDP_SECRET"),
        "dev_mode": settings.dev_mode,
        "debug_routes": settings.debug_routes,
        "bind_mode": if settings.bound_to_loopback() { "loopback" } else { "lan" },
        "cf_access_team_domain": settings.access.team.as_ref().map(|team| &team.issuer),
    })
}

/// The recorded configuration, and which variables stand above it.
fn configuration(gateway: &Gateway) -> Value {
    let settings = &gateway.settings;
    let variables: Map<String, Value> = settings
        .variables
        .iter()
        .map(|(name, is_set)| (name.to_owned(), json!(if is_set { "set" } else { "unset" })))
        .collect();
    let recorded = gateway
        .running()
        .map(|running| running.view.read(|model| model.state.config.to_json()));
    json!({
        "status": process_status(gateway),
        "exitCode": null,
        "config": {
            "gateway": {
                "port": settings.listen.port(),
                "bind": settings.listen.ip(),
                "url": settings.url(),
                "auth": { "token": "set" },
            },
            "recorded": recorded,
            "environment": variables,
        },
        "stderr": "",
    })
}
