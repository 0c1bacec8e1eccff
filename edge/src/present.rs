//! What clients see: records, messages and devices as JSON, with content opened.
//!
//! Invariant: the only place where sealed content becomes text for a client; what a client's
//! scopes do not cover is left out here.

pub mod people;

use crate::auth::access::principals;
use crate::forget;
use crate::gateway::{Gateway, Running};
use crate::limits::PREVIEW_CHARS_MAX;
use crate::reader::OpenRecord;
use moltbot_core::actor::{Scope, Scopes};
use moltbot_core::content::Content;
use moltbot_core::device::{Device, DeviceRequest};
use moltbot_core::event::{Event, kind_name};
use moltbot_core::ids::{DeviceId, Seq, SessionId};
use moltbot_core::record::Record;
use moltbot_core::time::Timestamp;
use serde_json::{Map, Value, json};

/// A record as subscribers see it.
pub fn record(running: &Running, record: &Record, scopes: &Scopes) -> Value {
    let mut data = json!({});
    if let Ok(mut event) = record.event()
        && scopes.grants(scope_of(&event))
    {
        running.reader.open_event(&mut event);
        data = self::data(running, record, &event);
        if let Some(forgotten) = forget::mark(running, &event) {
            data["forgotten"] = forgotten;
        }
    }
    // Who administers is the business of those who may look after access.
    let may_know = scopes.grants(Scope::Pairing);
    let actor_name = may_know.then(|| principals::name_of(running, &record.actor));
    json!({
        "seq": record.seq,
        "at": record.at.0,
        "actor": record.actor,
        "actorName": actor_name,
        "cause": record.cause,
        "correlation": record.correlation,
        "stream": record.stream,
        "kind": kind_name(record.kind),
        "version": record.version,
        "hash": record.hash,
        "data": data,
    })
}

/// Conversations need read, everything about access and configuration needs pairing.
fn scope_of(event: &Event) -> Scope {
    match event {
        Event::SessionCreated(_)
        | Event::MessageReceived(_)
        | Event::RunRequested(_)
        | Event::RunStarted(_)
        | Event::RunCompleted(_)
        | Event::RunCancelled(_)
        | Event::RunFailed(_)
        | Event::RunInterrupted(_)
        | Event::WriterStarted(_)
        | Event::SnapshotTaken(_)
        | Event::ContentForgotten(_)
        | Event::DataKeysDeleted(_) => Scope::Read,
        Event::FileWritten(_) | Event::FileDeleted(_) | Event::DirectoryCreated(_) => Scope::Admin,
        _ => Scope::Pairing,
    }
}

/// The event's fields under the names of the API.
fn data(running: &Running, record: &Record, event: &Event) -> Value {
    let Value::Object(fields) = event.to_json() else {
        return json!({});
    };
    let mut data = Map::new();
    for (name, value) in fields {
        let name = match name.as_str() {
            "run" => "run_id",
            "session" => "session_id",
            "device" => "device_id",
            "request" => "request_id",
            "peer" => "peer_id",
            "delivery" => "delivery_id",
            "message" if record.kind == 40 => "message_seq",
            "code" if record.kind == 44 => "error_code",
            "message" if record.kind == 44 => "error_message",
            other => other,
        };
        data.insert(name.to_owned(), value);
    }
    let session = data
        .get("session_id")
        .and_then(Value::as_str)
        .map(SessionId::from);
    if let Some(session) = session {
        let key = running
            .view
            .read(|m| m.state.sessions.get(&session).map(|s| s.key.clone()));
        data.insert("session_key".to_owned(), json!(key));
    }
    if let Event::MessageReceived(message) = event {
        data.insert("idempotency_key".to_owned(), json!(message.run));
        data.insert("author".to_owned(), author(running, &record.actor));
    }
    Value::Object(data)
}

fn author(running: &Running, actor: &str) -> Value {
    let device = actor.strip_prefix("device:").map(DeviceId::from);
    let name = device.as_ref().and_then(|id| device_name(running, id));
    json!({ "device_id": device, "name": name })
}

/// What a paired device calls itself.
pub fn device_name(running: &Running, id: &DeviceId) -> Option<String> {
    let name = running
        .view
        .read(|m| m.state.devices.paired.get(id).map(|d| d.name.clone()))?;
    Some(running.reader.text(&name)).filter(|name| !name.is_empty())
}

/// A line of a transcript in the protocol's shape.
pub fn message(running: &Running, opened: &OpenRecord) -> Option<Value> {
    let record = &opened.record;
    let text = |content| running.reader.text(content);
    let (role, run, text, extra) = match &opened.event {
        Event::MessageReceived(e) => ("user", &e.run, text(&e.text), json!({})),
        Event::RunCompleted(e) => {
            let extra = json!({
                "stopReason": e.stop_reason,
                "api": e.provider,
                "provider": e.provider,
                "model": e.model,
                "durationMs": e.duration_ms,
                "usage": {
                    "input": e.usage.input,
                    "output": e.usage.output,
                    "cacheRead": e.usage.cache_read,
                    "cacheWrite": e.usage.cache_write,
                    "totalTokens": e.usage.input + e.usage.output,
                },
            });
            ("assistant", &e.run, text(&e.text), extra)
        }
        Event::RunCancelled(e) => {
            let extra = json!({ "stopReason": cancelled(&e.reason) });
            ("assistant", &e.run, text(&e.text), extra)
        }
        Event::RunFailed(e) => {
            let extra = json!({
                "stopReason": "error",
                "errorCode": e.code,
                "errorMessage": e.message,
            });
            ("assistant", &e.run, text(&e.text), extra)
        }
        Event::RunInterrupted(e) => (
            "assistant",
            &e.run,
            String::new(),
            json!({ "stopReason": "interrupted" }),
        ),
        _ => return None,
    };
    let forgotten = forget::mark(running, &opened.event);
    let text = forgotten.as_ref().map_or(text, forgotten_line);
    let mut message = json!({
        "role": role,
        "content": [{ "type": "text", "text": text }],
        "timestamp": record.at.0,
        "__openclaw": { "id": record.seq.to_string(), "seq": record.seq, "runId": run },
    });
    if let Some(forgotten) = forgotten {
        message["__openclaw"]["forgotten"] = forgotten;
    }
    if role == "user" {
        message["__openclaw"]["idempotencyKey"] = json!(run);
    }
    if let (Value::Object(message), Value::Object(extra)) = (&mut message, extra) {
        message.extend(extra);
    }
    Some(message)
}

/// What stands in place of a text that was forgotten, for clients that know nothing of forgetting.
fn forgotten_line(mark: &Value) -> String {
    let at = Timestamp(mark["at"].as_i64().unwrap_or_default()).rfc3339();
    let day = at.split('T').next().unwrap_or_default();
    let by = mark["byName"].as_str().or(mark["by"].as_str());
    format!("[forgotten on {day} by {}]", by.unwrap_or_default())
}

/// The protocol's word for why a stopped run stopped.
fn cancelled(reason: &str) -> &'static str {
    match reason {
        "timeout" => "timeout",
        "restart" => "interrupted",
        _ => "aborted",
    }
}

/// The beginning of a line of a transcript, from its words or from the record, if that is on this
/// machine: a list of conversations does not wait for old history.
pub fn preview(running: &Running, words: Option<&Content>, seq: Seq) -> Option<String> {
    let text = match words {
        Some(words) => running.reader.text(words),
        None => said(running, seq)?,
    };
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    Some(beginning(&line, PREVIEW_CHARS_MAX))
}

/// The text of a line of a transcript; nothing when it was forgotten.
fn said(running: &Running, seq: Seq) -> Option<String> {
    let message = message(running, &*running.reader.event_here(seq)?)?;
    if !message["__openclaw"]["forgotten"].is_null() {
        return None;
    }
    message["content"][0]["text"].as_str().map(str::to_owned)
}

/// As much of a text as is shown; `…` says that there is more.
fn beginning(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// The channel in a session's key; `web` for the operator's own clients.
pub fn channel(key: &str) -> &str {
    let mut parts = key.split(':').skip(2);
    match (parts.next(), parts.next()) {
        (Some(channel), Some("dm" | "group" | "channel")) => channel,
        _ => "web",
    }
}

/// A device that waits.
pub fn device_request(running: &Running, request: &DeviceRequest) -> Value {
    let asked = &request.asked;
    json!({
        "requestId": asked.request,
        "deviceId": asked.device,
        "displayName": running.reader.text(&asked.name),
        "nameForgotten": !running.reader.is_readable(&asked.name),
        "platform": asked.platform,
        "clientId": asked.client_id,
        "clientMode": asked.client_mode,
        "role": asked.role,
        "roles": [asked.role],
        "scopes": asked.scopes,
        "remoteIp": running.reader.text(&asked.address),
        "ts": request.at.0,
        "expiresAtMs": asked.expires_at.0,
        "code": asked.code,
        "seq": request.seq,
        "isRepair": asked.repair,
    })
}

/// A device that was let in.
pub fn device(gateway: &Gateway, running: &Running, id: &DeviceId, device: &Device) -> Value {
    json!({
        "deviceId": id,
        "displayName": running.reader.text(&device.name),
        "nameForgotten": !running.reader.is_readable(&device.name),
        "platform": device.platform,
        "clientId": device.client_id,
        "clientMode": device.client_mode,
        "role": device.roles.first(),
        "roles": device.roles,
        "scopes": device.scopes,
        "createdAtMs": device.created_at.0,
        "approvedAtMs": device.approved_at.0,
        "approvedBy": device.approved_by,
        "approvedByName": principals::name_of(running, &device.approved_by),
        "seq": device.seq,
        "connected": gateway.hub.is_connected(id),
        "tokens": [{
            "role": device.roles.first(),
            "scopes": device.scopes,
            "createdAtMs": device.approved_at.0,
        }],
    })
}
