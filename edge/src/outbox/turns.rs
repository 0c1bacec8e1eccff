//! Model turns: from a due run to the record of how it ended.
//!
//! Invariant: a run that was begun ends in exactly one record, unless the process ends first; then
//! the next one records that it was interrupted.

use super::deliver;
use super::step::Input;
use crate::chat::Chat;
use crate::gateway::{Gateway, Running};
use crate::models;
use crate::prompt::{self, Unanswerable};
use crate::redact::redact;
use crate::runs::Live;
use crate::stamp;
use crate::writer::{Intent, Refused};
use moltbot_agent::{Cancel, RunLimits, RunOutcome, StopReason, drive};
use moltbot_core::actor::Actor;
use moltbot_core::command::Action;
use moltbot_core::event::Usage;
use moltbot_core::ids::{RunId, Seq};
use moltbot_core::run::Run;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tracing::warn;

/// Drives a run to its end, which is recorded; says when its first words are there.
pub async fn run(
    gateway: Arc<Gateway>,
    running: Arc<Running>,
    id: RunId,
    run: Run,
    events: mpsc::Sender<Input>,
) {
    let asked = match prompt::build(&gateway, &running, &run) {
        Ok(asked) => asked,
        Err(unanswerable) => return give_up(&gateway, &running, id, &run, unanswerable).await,
    };
    let (handle, cancel) = Cancel::pair();
    let started_at = stamp::now();
    let live = Live::new(asked.session_key.clone(), started_at, handle);
    if !running.live.begin(&id, live) {
        return;
    }
    let chat = Chat::new(&gateway, &running, id.clone(), asked.session_key);
    let info = running.model.info();
    let start = Action::StartRun {
        run: id.clone(),
        provider: info.provider.clone(),
        model: info.model.clone(),
    };
    chat.started(started_at);
    let limits = RunLimits {
        timeout: asked.timeout,
        ..RunLimits::new(&models::settings())
    };
    let typing = run.peer.clone().map(|peer| {
        AbortOnDrop(tokio::spawn(deliver::keep_typing(
            Arc::clone(&running),
            peer,
        )))
    });
    let first_words = || {
        if run.peer.is_some() {
            // A full queue only means that the answer is shown when it is complete.
            let _ = events.try_send(Input::Spoken(id.clone()));
        }
    };
    let driven = chat.stream(first_words, |delta| {
        let model = Arc::clone(&running.model);
        async move { drive(&*model, asked.request, limits, cancel, delta).await }
    });
    // The record that the turn began is written while the model thinks.
    let (started, outcome) = tokio::join!(submit(&running, &run, start), driven);
    if let Err(Refused::Rejected(rejection)) = &started {
        // Stopped while it was still due: its end is recorded already.
        tracing::debug!(%rejection, "a run was not begun");
    }
    let duration_ms = u64::try_from(stamp::now().since_ms(started_at)).unwrap_or(0);
    let stop = running.live.with(&id, |live| live.stop).flatten();
    let action = ending(&id, &outcome, stop, duration_ms);
    let ended = if started.is_ok() {
        submit(&running, &run, action).await.map(|a| a.seq)
    } else {
        Ok(Seq::ZERO)
    };
    if let Err(refused) = &ended {
        warn!(run = %id, ?refused, "the end of a model turn could not be recorded");
    }
    drop(typing);
    // What is not in the log was not said.
    let is_said = started.is_ok() && !matches!(ended, Err(Refused::Rejected(_)));
    let outcome = if is_said { outcome } else { unsaid() };
    chat.ended(&outcome, stop);
    running.live.end(&id);
}

/// Ends a run that cannot be begun: it would be due for ever. A person may try it again.
async fn give_up(
    gateway: &Arc<Gateway>,
    running: &Arc<Running>,
    id: RunId,
    run: &Run,
    why: Unanswerable,
) {
    let action = Action::FailRun {
        run: id.clone(),
        text: String::new(),
        code: why.code.to_owned(),
        message: why.message.clone(),
    };
    if let Err(refused) = submit(running, run, action).await {
        warn!(run = %id, ?refused, "a run that cannot be begun could not be ended");
    }
    if let Some(session_key) = why.session_key {
        Chat::new(gateway, running, id, session_key).failed(why.code, &why.message);
    }
}

/// How a run ended of which nothing is recorded that clients could be shown.
fn unsaid() -> RunOutcome {
    RunOutcome::Cancelled {
        partial: String::new(),
        usage: moltbot_agent::Usage::default(),
    }
}

/// A task that nobody needs longer than this is held.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn submit(
    running: &Running,
    run: &Run,
    action: Action,
) -> Result<crate::writer::Accepted, Refused> {
    let intent = Intent::new(Actor::System, action).because(run.requested, run.message);
    running.submit(intent).await
}

/// The command that reports how a run ended.
fn ending(
    run: &RunId,
    outcome: &RunOutcome,
    stop: Option<&'static str>,
    duration_ms: u64,
) -> Action {
    let run = run.clone();
    match outcome {
        RunOutcome::Completed {
            text,
            stop,
            usage,
            model,
        } => Action::CompleteRun {
            run,
            text: text.clone(),
            stop_reason: stop_reason(*stop).to_owned(),
            provider: model.provider.clone(),
            model: model.model.clone(),
            usage: Usage {
                input: usage.input_tokens,
                output: usage.output_tokens,
                cache_read: usage.cache_read_tokens,
                cache_write: usage.cache_write_tokens,
            },
            duration_ms,
        },
        RunOutcome::Cancelled { partial, .. } => {
            let reason = stop.unwrap_or("stop").to_owned();
            Action::CancelRun {
                run,
                text: partial.clone(),
                reason,
            }
        }
        RunOutcome::TimedOut { partial, .. } => Action::CancelRun {
            run,
            text: partial.clone(),
            reason: "timeout".to_owned(),
        },
        RunOutcome::Failed { partial, error, .. } => Action::FailRun {
            run,
            text: partial.clone(),
            code: error.code().to_owned(),
            // A provider may repeat what it was sent.
            message: redact(&error.message()).into_owned(),
        },
    }
}

/// The protocol's words for why a model stopped.
pub fn stop_reason(stop: StopReason) -> &'static str {
    match stop {
        StopReason::EndTurn => "stop",
        StopReason::MaxTokens => "max_tokens",
        StopReason::Refusal => "refusal",
        StopReason::Other => "other",
    }
}

/// Stops all model turns and waits a little for their ends to be recorded.
pub async fn stop(running: &Running, within: Duration) {
    running.live.stop_all("restart");
    let ended = async {
        while !running.live.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    if tokio::time::timeout(within, ended).await.is_err() {
        warn!(
            "model turns were still under way; they are reported as interrupted at the next start"
        );
    }
}
