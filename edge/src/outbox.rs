//! The outbox: performs what has to happen and reports the outcome as a command.
//!
//! Invariant: the only place that acts because of an event. What it acts on is state; what it
//! learns goes back through the writer. After a crash the state says what is still to be done:
//! a run without `run_started` begins, one with it was interrupted; a delivery that was attempted
//! is unknown and never repeated on its own.

use crate::chat::Chat;
use crate::gateway::{Gateway, Running};
use crate::limits::RUNS_MAX;
use crate::models;
use crate::prompt;
use crate::redact::redact;
use crate::runs::Live;
use crate::stamp;
use crate::writer::{Intent, Refused};
use moltbot_agent::{Cancel, RunLimits, RunOutcome, StopReason, drive};
use moltbot_core::actor::Actor;
use moltbot_core::command::Action;
use moltbot_core::delivery::DeliveryStatus;
use moltbot_core::event::Usage;
use moltbot_core::ids::{RunId, Seq};
use moltbot_core::outbox::Effect;
use moltbot_core::run::Run;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tracing::{error, warn};

/// Reports what was under way when the process before this one ended.
pub async fn recover(running: &Running) {
    let (runs, deliveries) = running.view.read(|model| {
        let started = |(id, run): (&RunId, &Run)| run.started.map(|_| id.clone());
        let runs: Vec<RunId> = model.state.runs.iter().filter_map(started).collect();
        let attempted = model.state.deliveries.iter();
        let attempted = attempted.filter(|(_, d)| d.status == DeliveryStatus::Attempted);
        (
            runs,
            attempted.map(|(id, _)| id.clone()).collect::<Vec<_>>(),
        )
    });
    let interrupted = runs.into_iter().map(|run| Action::InterruptRun { run });
    let unknown = deliveries
        .into_iter()
        .map(|delivery| Action::MarkDeliveryUnknown { delivery });
    for action in interrupted.chain(unknown) {
        if let Err(refused) = running.submit(Intent::new(Actor::System, action)).await {
            warn!(
                ?refused,
                "an effect of the process before this one could not be reported"
            );
        }
    }
}

/// Watches the outbox until the gateway stops.
pub async fn watch(gateway: Arc<Gateway>, running: Arc<Running>) {
    let mut head = running.view.head();
    let ended = Arc::new(Notify::new());
    let mut begun = BTreeSet::new();
    while gateway.stop.borrow().is_none() {
        for (run, due) in due_runs(&running, &mut begun) {
            let task = run_task(Arc::clone(&gateway), Arc::clone(&running), run, due);
            let task = tokio::spawn(task);
            let ended = Arc::clone(&ended);
            tokio::spawn(async move {
                if let Err(panic) = task.await {
                    error!(%panic, "a model turn ended unexpectedly");
                }
                ended.notify_one();
            });
        }
        tokio::select! {
            changed = head.changed() => if changed.is_err() { return },
            () = ended.notified() => {}
        }
    }
}

/// The runs to begin now: due, the oldest of their session, and within the bound.
fn due_runs(running: &Running, begun: &mut BTreeSet<RunId>) -> Vec<(RunId, Run)> {
    let mut room = RUNS_MAX.saturating_sub(running.live.len());
    running.view.read(|model| {
        begun.retain(|run| model.state.runs.get(run).is_some());
        let mut busy = BTreeSet::new();
        let mut due = Vec::new();
        for (_, effect) in model.state.outbox.iter() {
            let Effect::Run(id) = effect else { continue };
            let Some(run) = model.state.runs.get(id) else {
                continue;
            };
            let is_oldest = busy.insert(run.session.clone());
            if is_oldest && room > 0 && run.started.is_none() && begun.insert(id.clone()) {
                room -= 1;
                due.push((id.clone(), run.clone()));
            }
        }
        due
    })
}

async fn run_task(gateway: Arc<Gateway>, running: Arc<Running>, id: RunId, run: Run) {
    let Some(asked) = prompt::build(&gateway, &running, &run) else {
        return;
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
    let driven = chat.stream(|delta| {
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
    chat.ended(&outcome, stop);
    running.live.end(&id);
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
