//! Runs: one model turn each, from requested to exactly one end.
//!
//! Invariant: a run that was requested ends once: completed, cancelled, failed or interrupted.
//! Deltas are not events. A run found under way by a new process is interrupted, never continued.

use crate::actor::Scope;
use crate::command::{Action, Command};
use crate::decide::{Draft, require_inline, require_system};
use crate::delivery;
use crate::error::Rejection;
use crate::event::{
    RunCancelled, RunCompleted, RunFailed, RunInterrupted, RunRequested, RunStarted,
};
use crate::ids::{PeerId, RunId, Seq, SessionId};
use crate::limits::ANSWER_BYTES_MAX;
use crate::record::Record;
use crate::session;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A run that is due or under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The session.
    pub session: SessionId,
    /// The message it answers.
    pub message: Seq,
    /// The record that asked for it.
    pub requested: Seq,
    /// When that was.
    pub requested_at: Timestamp,
    /// The record that began it.
    pub started: Option<Seq>,
    /// The person on a channel who gets the answer.
    pub peer: Option<PeerId>,
    /// Who wrote the message.
    pub author: String,
}

/// All runs that have not ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Runs {
    open: BTreeMap<RunId, Run>,
}

impl Runs {
    /// A run that has not ended.
    pub fn get(&self, run: &RunId) -> Option<&Run> {
        self.open.get(run)
    }

    /// All runs that have not ended.
    pub fn iter(&self) -> impl Iterator<Item = (&RunId, &Run)> {
        self.open.iter()
    }

    /// The runs of a session that have not ended.
    pub fn of_session(&self, session: &SessionId) -> impl Iterator<Item = (&RunId, &Run)> {
        self.open
            .iter()
            .filter(move |(_, run)| run.session == *session)
    }

    /// `retried` is the run that this one repeats.
    pub(crate) fn requested(
        &mut self,
        record: &Record,
        event: &RunRequested,
        retried: Option<&session::LastRun>,
    ) {
        let author = retried.map_or(&record.actor, |last| &last.author);
        let peer = author.strip_prefix("peer:").map(PeerId::from);
        let run = Run {
            session: event.session.clone(),
            message: event.message,
            requested: record.seq,
            requested_at: record.at,
            started: None,
            peer,
            author: author.clone(),
        };
        self.open.insert(event.run.clone(), run);
    }

    pub(crate) fn started(&mut self, seq: Seq, event: &RunStarted) {
        if let Some(run) = self.open.get_mut(&event.run) {
            run.started = Some(seq);
        }
    }

    pub(crate) fn ended(&mut self, run: &RunId) -> Option<Run> {
        self.open.remove(run)
    }
}

pub(crate) fn decide(draft: &mut Draft, command: &Command) -> Result<(), Rejection> {
    match &command.action {
        Action::RetryRun { run, new_run } => retry(draft, command, run, new_run),
        Action::StartRun {
            run,
            provider,
            model,
        } => {
            require_system(&command.actor)?;
            let open = open(draft, run)?;
            if open.started.is_some() {
                return Err(Rejection::new(
                    "run_started",
                    "the run is already under way",
                ));
            }
            require_inline(&[provider, model])?;
            let session = open.session.clone();
            let (provider, model) = (provider.clone(), model.clone());
            draft.push(RunStarted {
                run: run.clone(),
                session,
                provider,
                model,
            });
            Ok(())
        }
        Action::CompleteRun { .. } => complete(draft, command),
        Action::CancelRun { run, text, reason } => {
            draft.require(&command.actor, Scope::Write)?;
            require_inline(&[reason])?;
            let Run { session, peer, .. } = open(draft, run)?.clone();
            let content = answer(draft, &session, text)?;
            let end = draft.next_seq();
            draft.push(RunCancelled {
                run: run.clone(),
                session,
                text: content,
                reason: reason.clone(),
            });
            // Whoever stopped an answer before its first word wants to read nothing.
            let by_choice = matches!(reason.as_str(), "rpc" | "stop");
            if !(by_choice && text.is_empty()) {
                deliver(draft, run, peer, end);
            }
            Ok(())
        }
        Action::FailRun {
            run,
            text,
            code,
            message,
        } => {
            require_system(&command.actor)?;
            require_inline(&[code, message])?;
            let Run { session, peer, .. } = open(draft, run)?.clone();
            let text = answer(draft, &session, text)?;
            let (code, message) = (code.clone(), message.clone());
            let end = draft.next_seq();
            draft.push(RunFailed {
                run: run.clone(),
                session,
                text,
                code,
                message,
            });
            deliver(draft, run, peer, end);
            Ok(())
        }
        Action::InterruptRun { run } => {
            require_system(&command.actor)?;
            let Run { session, peer, .. } = open(draft, run)?.clone();
            let end = draft.next_seq();
            draft.push(RunInterrupted {
                run: run.clone(),
                session,
            });
            deliver(draft, run, peer, end);
            Ok(())
        }
        _ => Ok(()),
    }
}

fn complete(draft: &mut Draft, command: &Command) -> Result<(), Rejection> {
    let Action::CompleteRun {
        run,
        text,
        stop_reason,
        provider,
        model,
        usage,
        duration_ms,
    } = &command.action
    else {
        return Ok(());
    };
    require_system(&command.actor)?;
    require_inline(&[stop_reason, provider, model])?;
    let Run { session, peer, .. } = open(draft, run)?.clone();
    let content = answer(draft, &session, text)?;
    let text_seq = draft.next_seq();
    draft.push(RunCompleted {
        run: run.clone(),
        session,
        text: content,
        stop_reason: stop_reason.clone(),
        provider: provider.clone(),
        model: model.clone(),
        usage: usage.clone(),
        duration_ms: *duration_ms,
    });
    if !text.is_empty() {
        deliver(draft, run, peer, text_seq);
    }
    Ok(())
}

/// What the end of a run says goes to whom it answers on a channel, unless it is on its way there
/// already.
fn deliver(draft: &mut Draft, run: &RunId, peer: Option<PeerId>, end: Seq) {
    let Some(peer) = peer else { return };
    let known = draft.state.peers.approved.get(&peer);
    if let Some(channel) = known.map(|known| known.channel.clone())
        && draft.state.deliveries.of_run(run).is_none()
    {
        delivery::queue(draft, &peer, channel, end);
    }
}

fn retry(
    draft: &mut Draft,
    command: &Command,
    run: &RunId,
    new_run: &RunId,
) -> Result<(), Rejection> {
    draft.require(&command.actor, Scope::Write)?;
    session::check_run_id(draft, new_run)?;
    let last = |(_, session): &(&SessionId, &session::Session)| {
        session
            .last_run
            .as_ref()
            .is_some_and(|last| last.run == *run)
    };
    let found = draft.state.sessions.iter().find(last);
    let Some((id, ended)) = found.and_then(|(id, s)| Some((id, s.last_run.as_ref()?))) else {
        return Err(Rejection::new(
            "not_last_run",
            "only the last answer can be tried again",
        ));
    };
    if draft.state.runs.of_session(id).next().is_some() {
        return Err(Rejection::new(
            "session_busy",
            "an answer of this conversation is under way",
        ));
    }
    draft.push(RunRequested {
        run: new_run.clone(),
        session: id.clone(),
        message: ended.message,
        retry_of: Some(run.clone()),
    });
    Ok(())
}

fn answer(
    draft: &mut Draft,
    session: &SessionId,
    text: &str,
) -> Result<crate::content::Content, Rejection> {
    if text.len() > ANSWER_BYTES_MAX {
        return Err(Rejection::new(
            "answer_too_long",
            "the answer does not fit a record",
        ));
    }
    Ok(draft.content(&format!("session/{session}"), "assistant", text))
}

fn open<'a>(draft: &Draft<'a>, run: &RunId) -> Result<&'a Run, Rejection> {
    let found = draft.state.runs.get(run);
    found.ok_or_else(|| Rejection::new("unknown_run", "no such run is due or under way"))
}

#[cfg(test)]
mod tests;
