//! `chat.*`: talking to the assistant.

use super::Caller;
use crate::auth::token;
use crate::gateway::Running;
use crate::limits::{
    HISTORY_BYTES_MAX, HISTORY_MESSAGES_DEFAULT, HISTORY_MESSAGES_MAX, HISTORY_RETRY_MS,
};
use crate::present;
use crate::writer::{Accepted, Intent};
use crate::ws::frame::{Failure, Params};
use moltbot_core::chain::Hash;
use moltbot_core::command::{Action, Idempotency};
use moltbot_core::ids::{RunId, Seq};
use moltbot_core::session::canonical_key;
use moltbot_store::error::StoreError;
use serde_json::{Value, json};

/// Words that stop the assistant instead of being sent to it.
const STOP_WORDS: [&str; 7] = ["/stop", "stop", "esc", "abort", "wait", "exit", "interrupt"];

pub(super) async fn send(caller: &Caller, params: &Params) -> Result<Value, Failure> {
    let (key, text) = (params.text("sessionKey")?, params.text("message")?);
    let run = RunId::from(params.id("idempotencyKey")?);
    if STOP_WORDS.contains(&text.trim().to_lowercase().as_str()) {
        return stop_session(caller, key, "stop").await;
    }
    let action = Action::ReceiveMessage {
        session_key: key.to_owned(),
        run: run.clone(),
        text: text.to_owned(),
    };
    let said = format!("{}\n{text}", canonical_key(key));
    let payload = token::hash_of_text(&caller.gateway.token, &said);
    begin(caller, "chat.send", key, run, action, payload).await
}

pub(super) async fn retry(caller: &Caller, params: &Params) -> Result<Value, Failure> {
    let (key, run) = (params.text("sessionKey")?, RunId::from(params.id("runId")?));
    let new_run = RunId::from(params.id("idempotencyKey")?);
    let payload = Hash::of(run.as_str().as_bytes());
    let action = Action::RetryRun {
        run,
        new_run: new_run.clone(),
    };
    begin(caller, "chat.retry", key, new_run, action, payload).await
}

async fn begin(
    caller: &Caller,
    method: &'static str,
    key: &str,
    run: RunId,
    action: Action,
    payload: Hash,
) -> Result<Value, Failure> {
    let running = caller.running()?;
    let mut intent = Intent::new(caller.welcome.actor.clone(), action);
    intent.idempotency = Some(Idempotency {
        method,
        key: run.0.clone(),
        payload,
    });
    let is_new = running
        .view
        .read(|model| model.state.runs.get(&run).is_none());
    if is_new {
        running.live.asked(&run, caller.connection, key);
    }
    let accepted = caller.submit_intent(intent).await;
    if is_new
        && !matches!(
            &accepted,
            Ok(Accepted {
                duplicate: false,
                ..
            })
        )
    {
        running.live.not_asked(&run);
    }
    let accepted = accepted?;
    let is_open = || {
        running
            .view
            .read(|model| model.state.runs.get(&run).is_some())
    };
    let status = match accepted.duplicate {
        false => "started",
        true if is_open() => "in_flight",
        true => "ok",
    };
    let replication = running.acknowledge_message(accepted.seq).await;
    let mut answer = json!({
        "runId": run,
        "status": status,
        "seq": accepted.seq,
        "shippedSeq": running.shipped_seq(),
    });
    if let Some(replication) = replication {
        answer["replication"] = json!(replication);
    }
    Ok(answer)
}

pub(super) async fn abort(
    caller: &Caller,
    running: &Running,
    params: &Params,
) -> Result<Value, Failure> {
    let key = params.text("sessionKey")?;
    let Some(run) = params.text_opt("runId")?.map(RunId::from) else {
        return stop_session(caller, key, "rpc").await;
    };
    let session = running.view.read(|model| {
        let run = model.state.runs.get(&run)?;
        model
            .state
            .sessions
            .get(&run.session)
            .map(|session| session.key.clone())
    });
    match session {
        None => Ok(json!({ "ok": true, "aborted": false, "runIds": [] })),
        Some(of) if of != canonical_key(key) => {
            Err(Failure::invalid("runId does not match sessionKey"))
        }
        Some(_) => {
            let stopped = stop_run(caller, running, &run, "rpc").await;
            let ids: &[RunId] = if stopped {
                std::slice::from_ref(&run)
            } else {
                &[]
            };
            Ok(json!({ "ok": true, "aborted": stopped, "runIds": ids }))
        }
    }
}

async fn stop_session(caller: &Caller, key: &str, reason: &'static str) -> Result<Value, Failure> {
    let running = caller.running()?;
    let runs: Vec<RunId> = running.view.read(|model| {
        let found = model.state.sessions.find(&canonical_key(key));
        let runs = found.map(|(id, _)| model.state.runs.of_session(id));
        runs.into_iter()
            .flatten()
            .map(|(run, _)| run.clone())
            .collect()
    });
    let mut stopped = Vec::new();
    for run in runs {
        if stop_run(caller, running, &run, reason).await {
            stopped.push(run);
        }
    }
    Ok(json!({ "ok": true, "aborted": !stopped.is_empty(), "runIds": stopped }))
}

/// Stops a run under way, or takes one that is only due out of the outbox, and waits for its end:
/// the client hears of it before it gets the answer.
async fn stop_run(caller: &Caller, running: &Running, run: &RunId, reason: &'static str) -> bool {
    if !running.live.stop(run, reason) {
        let action = Action::CancelRun {
            run: run.clone(),
            text: String::new(),
            reason: reason.to_owned(),
        };
        let cancelled = caller.submit(action).await.is_ok();
        if cancelled {
            // It never began, so nothing else forgets who asked for it.
            running.live.not_asked(run);
        }
        return cancelled;
    }
    let mut head = running.view.head();
    let open = || {
        running
            .view
            .read(|model| model.state.runs.get(run).is_some())
    };
    while open() || running.live.with(run, |_| ()).is_some() {
        let wait = std::time::Duration::from_millis(20);
        // The log's head moves when the end is recorded; the run leaves shortly after.
        let _ = tokio::time::timeout(wait, head.changed()).await;
        if caller.gateway.stop.borrow().is_some() {
            break;
        }
    }
    true
}

pub(super) fn history(running: &Running, params: &Params) -> Result<Value, Failure> {
    let asked = params.text("sessionKey")?;
    let key = canonical_key(asked);
    let limit = params
        .number_opt("limit")?
        .map_or(HISTORY_MESSAGES_DEFAULT, |n| {
            usize::try_from(n)
                .unwrap_or(usize::MAX)
                .clamp(1, HISTORY_MESSAGES_MAX)
        });
    let before = params.number_opt("before")?.map(Seq);
    let (session, lines, mut has_more, cursor) = running.view.read(|model| {
        let cursor = model.state.cursor;
        let Some((id, _)) = model.state.sessions.find(&key) else {
            return (None, Vec::new(), false, cursor);
        };
        let (lines, more) = model.transcripts.page(id, before, limit);
        (
            Some(id.clone()),
            lines.iter().map(|line| line.seq).collect(),
            more,
            cursor,
        )
    });
    let mut messages = Vec::new();
    let mut bytes = 0;
    // Newest first, so that what does not fit is the oldest.
    for seq in lines.into_iter().rev() {
        let opened = running.reader.event(seq).map_err(|e| not_now(&e))?;
        let Some(message) = opened.and_then(|opened| present::message(running, &opened)) else {
            continue;
        };
        bytes += message.to_string().len();
        if bytes > HISTORY_BYTES_MAX && !messages.is_empty() {
            has_more = true;
            break;
        }
        messages.push(message);
    }
    messages.reverse();
    let in_flight = running.live.of_session(
        &key,
        |run, live| json!({ "runId": run, "text": live.text, "startedAt": live.started_at.0 }),
    );
    Ok(json!({
        "sessionKey": asked,
        "sessionId": session,
        "messages": messages,
        "hasMore": has_more,
        "cursor": cursor,
        "shippedSeq": running.shipped_seq(),
        "inFlightRun": in_flight,
        "thinkingLevel": null,
    }))
}

/// Older history is in the remote log only, and that does not answer.
fn not_now(error: &StoreError) -> Failure {
    let message = format!("older messages cannot be read now, try again: {error}");
    Failure::unavailable(message, HISTORY_RETRY_MS)
}
