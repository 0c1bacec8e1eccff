//! What a model is asked: the conversation up to the message, and facts about the log.

use crate::gateway::{Gateway, Running};
use crate::models;
use crate::stamp;
use moltbot_agent::context::newest_turns;
use moltbot_agent::prompt::system_prompt;
use moltbot_agent::{LogFacts, ModelRequest, Turn};
use moltbot_core::event::Event;
use moltbot_core::ids::Seq;
use moltbot_core::run::Run;
use std::time::Duration;

/// How far back a conversation is read.
const LINES_MAX: usize = 200;

/// A run ready to be driven.
pub struct Asked {
    /// For the model.
    pub request: ModelRequest,
    /// Canonical key of the session.
    pub session_key: String,
    /// How long it may take.
    pub timeout: Duration,
}

/// Puts a run's request together; `None` when its session is gone.
pub fn build(gateway: &Gateway, running: &Running, run: &Run) -> Option<Asked> {
    let bounds = models::settings();
    let (session_key, lines, config) = running.view.read(|model| {
        let session = model.state.sessions.get(&run.session)?;
        let until = Some(Seq(run.message.0 + 1));
        let (lines, _) = model.transcripts.page(&run.session, until, LINES_MAX);
        let lines: Vec<Seq> = lines.iter().map(|line| line.seq).collect();
        Some((session.key.clone(), lines, model.state.config.clone()))
    })?;
    let turns: Vec<Turn> = lines
        .into_iter()
        .filter_map(|seq| turn(running, seq))
        .collect();
    let facts = facts(gateway, running);
    let max_tokens = config
        .integer("model.max_tokens")
        .and_then(|n| u32::try_from(n).ok());
    let timeout_s = config
        .integer("run.timeout_s")
        .and_then(|n| u64::try_from(n).ok());
    let system = match config.text("assistant.instructions") {
        Some(own) => format!("{}\n\n{own}", system_prompt(&facts)),
        None => system_prompt(&facts),
    };
    Some(Asked {
        request: ModelRequest {
            system: Some(system),
            turns: newest_turns(&turns, bounds.context_chars_max),
            max_tokens: max_tokens.unwrap_or(bounds.answer_tokens_max),
            facts,
        },
        session_key,
        timeout: timeout_s.map_or(
            Duration::from_millis(bounds.run_timeout_ms),
            Duration::from_secs,
        ),
    })
}

fn turn(running: &Running, seq: Seq) -> Option<Turn> {
    let opened = running.reader.event(seq)?;
    let text = |content| running.reader.text(content);
    match &opened.event {
        Event::MessageReceived(e) => Some(Turn::user(text(&e.text))),
        Event::RunCompleted(e) => Some(Turn::assistant(text(&e.text))),
        Event::RunCancelled(e) => Some(Turn::assistant(text(&e.text))),
        Event::RunFailed(e) => Some(Turn::assistant(text(&e.text))),
        _ => None,
    }
}

fn facts(gateway: &Gateway, running: &Running) -> LogFacts {
    running.view.read(|model| LogFacts {
        events: model.state.cursor.seq.0,
        head_seq: model.state.cursor.seq.0,
        head_hash: model.state.cursor.hash.to_hex(),
        shipped_seq: Some(running.shipped_seq().0),
        sessions: model.state.sessions.len() as u64,
        devices: model.state.devices.paired.len() as u64,
        epoch: running.epoch.0,
        now_ms: stamp::now().0,
        utc_offset_minutes: gateway.settings.utc_offset_minutes,
    })
}
