//! What clients see of a model turn while it runs: `chat` and `agent` events.
//!
//! Invariant: exactly one `final`, `aborted` or `error` per run, after its end is recorded, so a
//! client that reloads the history then finds it there. Deltas carry the whole text so far, so one
//! that is missed does not matter.

use crate::gateway::{Gateway, Running};
use crate::limits::DELTA_INTERVAL_MS;
use crate::outbox::turns::stop_reason;
use crate::stamp;
use moltbot_agent::RunOutcome;
use moltbot_core::actor::Scope;
use moltbot_core::ids::RunId;
use moltbot_core::time::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// The events of one run.
pub struct Chat {
    gateway: Arc<Gateway>,
    running: Arc<Running>,
    run: RunId,
    session_key: String,
}

impl Chat {
    /// The events of this run.
    pub fn new(
        gateway: &Arc<Gateway>,
        running: &Arc<Running>,
        run: RunId,
        session_key: String,
    ) -> Chat {
        Chat {
            gateway: Arc::clone(gateway),
            running: Arc::clone(running),
            run,
            session_key,
        }
    }

    /// The run begins.
    pub fn started(&self, at: Timestamp) {
        self.agent("lifecycle", &json!({ "phase": "start", "startedAt": at.0 }));
    }

    /// Drives a run and sends what it says, at a bounded pace.
    /// `first_words` is called once, when there are any.
    pub async fn stream<F, Fut>(&self, first_words: impl Fn(), drive: F) -> RunOutcome
    where
        F: FnOnce(Box<dyn FnMut(&str) + Send>) -> Fut,
        Fut: Future<Output = RunOutcome>,
    {
        let (live, run) = (Arc::clone(&self.running), self.run.clone());
        let on_delta = move |delta: &str| {
            live.live.with(&run, |live| live.text.push_str(delta));
        };
        let driven = drive(Box::new(on_delta));
        tokio::pin!(driven);
        let pace = Duration::from_millis(DELTA_INTERVAL_MS);
        let mut ticks = interval_at(Instant::now() + pace / 10, pace);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sent_bytes = 0;
        loop {
            tokio::select! {
                outcome = &mut driven => return outcome,
                _ = ticks.tick() => {
                    let before = sent_bytes;
                    sent_bytes = self.delta(sent_bytes);
                    if before == 0 && sent_bytes > 0 {
                        first_words();
                    }
                }
            }
        }
    }

    /// The run ended, and its end is recorded.
    pub fn ended(&self, outcome: &RunOutcome, stop: Option<&'static str>) {
        let now = stamp::now();
        let end = json!({ "phase": "end", "endedAt": now.0 });
        let (lifecycle, payload) = match outcome {
            RunOutcome::Completed { text, stop, .. } => {
                let mut payload = json!({ "state": "final", "stopReason": stop_reason(*stop) });
                if !text.is_empty() {
                    payload["message"] = message(text, now);
                }
                (end, payload)
            }
            RunOutcome::Cancelled { .. } => {
                let reason = stop.unwrap_or("stop");
                (end, json!({ "state": "aborted", "stopReason": reason }))
            }
            RunOutcome::TimedOut { .. } => {
                (end, json!({ "state": "aborted", "stopReason": "timeout" }))
            }
            RunOutcome::Failed { error, .. } => {
                return self.failed(error.code(), &error.message());
            }
        };
        self.finish(&lifecycle, payload);
    }

    /// The run failed, and that is recorded.
    pub fn failed(&self, code: &str, message: &str) {
        let ended_at = stamp::now().0;
        let lifecycle = json!({ "phase": "error", "error": message, "endedAt": ended_at });
        let payload = json!({ "state": "error", "errorMessage": message, "errorKind": code });
        self.finish(&lifecycle, payload);
    }

    fn finish(&self, lifecycle: &Value, mut payload: Value) {
        let seq = self.agent("lifecycle", lifecycle);
        payload["seq"] = json!(seq);
        self.send("chat", payload, false);
    }

    fn delta(&self, sent_bytes: usize) -> usize {
        let Some(text) = self.running.live.with(&self.run, |live| live.text.clone()) else {
            return sent_bytes;
        };
        let Some(delta) = text.get(sent_bytes..).filter(|delta| !delta.is_empty()) else {
            return sent_bytes;
        };
        let seq = self.agent("assistant", &json!({ "text": text, "delta": delta }));
        let message = message(&text, stamp::now());
        let payload =
            json!({ "state": "delta", "seq": seq, "message": message, "deltaText": delta });
        self.send("chat", payload, true);
        text.len()
    }

    /// Sends an `agent` event; returns its number within the run.
    fn agent(&self, stream: &str, data: &Value) -> u64 {
        let seq = self.running.live.with(&self.run, |live| {
            live.agent_seq += 1;
            live.agent_seq
        });
        let seq = seq.unwrap_or(1);
        let payload = json!({ "seq": seq, "stream": stream, "ts": stamp::now().0, "data": data });
        self.send("agent", payload, stream == "assistant");
        seq
    }

    /// Sends to everyone who may read; the sender of the message gets the session key in his own
    /// words, everyone else in its canonical form.
    fn send(&self, name: &'static str, mut payload: Value, droppable: bool) {
        payload["runId"] = json!(self.run);
        payload["agentId"] = json!("main");
        payload["sessionKey"] = json!(self.session_key);
        let asker = self
            .running
            .live
            .asker(&self.run)
            .filter(|(_, key)| *key != self.session_key);
        let asking = asker.as_ref().map(|(connection, _)| *connection);
        let hub = &self.gateway.hub;
        hub.send(name, &payload, droppable, |connection| {
            connection.scopes.grants(Scope::Read) && Some(connection.id) != asking
        });
        if let Some((connection, key)) = asker {
            payload["sessionKey"] = json!(key);
            hub.send(name, &payload, droppable, |c| c.id == connection);
        }
    }
}

fn message(text: &str, at: Timestamp) -> Value {
    json!({
        "role": "assistant",
        "content": [{ "type": "text", "text": text }],
        "timestamp": at.0,
    })
}
