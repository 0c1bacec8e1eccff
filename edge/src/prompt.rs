//! What a model is asked: the conversation up to the message, and facts about the log.

use crate::gateway::{Gateway, Running};
use crate::models;
use crate::stamp;
use moltbot_agent::context::newest_turns;
use moltbot_agent::prompt::system_prompt;
use moltbot_agent::{LogFacts, ModelRequest, Turn};
use moltbot_core::event::Event;
use moltbot_core::forget::{FORGOTTEN_CODE, FORGOTTEN_MESSAGE};
use moltbot_core::ids::Seq;
use moltbot_core::projection::transcript::Line;
use moltbot_core::run::Run;
use moltbot_store::error::StoreError;
use std::time::Duration;

/// How far back a conversation is read.
const LINES_MAX: usize = 200;
/// Stands where an answer never came: otherwise its question and the next one would be taken for
/// one message, and a model would answer both.
const NO_ANSWER: &str = "[no answer]";

/// A run ready to be driven.
pub struct Asked {
    /// For the model.
    pub request: ModelRequest,
    /// Canonical key of the session.
    pub session_key: String,
    /// How long it may take.
    pub timeout: Duration,
}

/// Why a run cannot be driven.
pub struct Unanswerable {
    /// Stable code.
    pub code: &'static str,
    /// One sentence for a person.
    pub message: String,
    /// Canonical key of the session, if there is one.
    pub session_key: Option<String>,
}

impl Unanswerable {
    fn forgotten(session_key: String) -> Unanswerable {
        Unanswerable {
            code: FORGOTTEN_CODE,
            message: FORGOTTEN_MESSAGE.to_owned(),
            session_key: Some(session_key),
        }
    }

    /// Without the conversation before it a question must not be answered.
    fn unread(session_key: String, error: &StoreError) -> Unanswerable {
        let message = format!("the conversation so far cannot be read now, try again: {error}");
        Unanswerable {
            code: "history_unavailable",
            message,
            session_key: Some(session_key),
        }
    }
}

/// Puts a run's request together, without what was forgotten.
pub fn build(gateway: &Gateway, running: &Running, run: &Run) -> Result<Asked, Unanswerable> {
    let bounds = models::settings();
    let found = running.view.read(|model| {
        let session = model.state.sessions.get(&run.session)?;
        let (lines, _) = model.transcripts.page(&run.session, None, LINES_MAX);
        let lines = leading_to(lines, run.message);
        Some((session.key.clone(), lines, model.state.config.clone()))
    });
    let (session_key, lines, config) = found.ok_or_else(|| Unanswerable {
        code: "no_session",
        message: "The conversation is gone.".to_owned(),
        session_key: None,
    })?;
    match turn(running, run.message) {
        Ok(Some(_)) => {}
        Ok(None) => return Err(Unanswerable::forgotten(session_key)),
        Err(error) => return Err(Unanswerable::unread(session_key, &error)),
    }
    let read = |seq| turn(running, seq).transpose();
    let turns: Vec<Turn> = match lines.into_iter().filter_map(read).collect() {
        Ok(turns) => turns,
        Err(error) => return Err(Unanswerable::unread(session_key, &error)),
    };
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
    Ok(Asked {
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

/// What leads to a message, in the order of a talk: every answer after its question, although
/// several messages may have been sent before the first answer, and the message itself last.
fn leading_to(lines: &[Line], message: Seq) -> Vec<Seq> {
    let leads = |line: &&Line| line.by_assistant() || line.seq < message;
    let mut talk: Vec<Line> = lines.iter().filter(leads).copied().collect();
    talk.sort_unstable_by_key(|line| (line.question, line.seq));
    talk.iter().map(|line| line.seq).chain([message]).collect()
}

/// What was said with a record; nothing when that was forgotten.
fn turn(running: &Running, seq: Seq) -> Result<Option<Turn>, StoreError> {
    let Some(opened) = running.reader.event(seq)? else {
        return Ok(None);
    };
    let contents = opened.event.contents();
    if !contents
        .iter()
        .all(|content| running.reader.is_readable(content))
    {
        return Ok(None);
    }
    let answer = |content| {
        let text = running.reader.text(content);
        let is_blank = text.trim().is_empty();
        Turn::assistant(if is_blank { NO_ANSWER.to_owned() } else { text })
    };
    Ok(match &opened.event {
        Event::MessageReceived(e) => Some(Turn::user(running.reader.text(&e.text))),
        Event::RunCompleted(e) => Some(answer(&e.text)),
        Event::RunCancelled(e) => Some(answer(&e.text)),
        Event::RunFailed(e) => Some(answer(&e.text)),
        Event::RunInterrupted(_) => Some(Turn::assistant(NO_ANSWER)),
        _ => None,
    })
}

fn facts(gateway: &Gateway, running: &Running) -> LogFacts {
    running.view.read(|model| LogFacts {
        events: model.state.cursor.seq.0,
        head_seq: model.state.cursor.seq.0,
        head_hash: model.state.cursor.hash.to_hex(),
        shipped_seq: Some(running.shipped_seq().0),
        sessions: model.state.sessions.len() as u64,
        devices: model.state.devices.paired.len() as u64,
        epoch: running.epoch().0,
        now_ms: stamp::now().0,
        utc_offset_minutes: gateway.settings.utc_offset_minutes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    /// `q1` is a question at seq 1, `a2:1` its answer at seq 2.
    fn check(lines: &str, message: u64, expected: &[u64]) {
        let number = |text: &str| Seq(text.parse().unwrap());
        let line = |text: &str| {
            let (kind, place) = text.split_at(1);
            let (seq, question) = place.split_once(':').unwrap_or((place, place));
            let (seq, question) = (number(seq), number(question));
            let line = Line { seq, question };
            assert_eq!(line.by_assistant(), kind == "a");
            line
        };
        let lines: Vec<Line> = lines.split(' ').map(line).collect();
        let expected: Vec<Seq> = expected.iter().copied().map(Seq).collect();
        assert_eq!(leading_to(&lines, Seq(message)), expected, "{lines:?}");
    }

    #[test]
    fn every_answer_follows_its_question_and_the_message_comes_last() {
        check("q1", 1, &[1]);
        check("q1 a2:1 q3", 3, &[1, 2, 3]);
        check("q1 q2 q3 a4:1", 2, &[1, 4, 2]);
        check("q1 q2 q3 a4:1 a5:2", 3, &[1, 4, 2, 5, 3]);
        // The question of the oldest answer is further back than what is read.
        check("a2:1 q3 a4:3 q5", 5, &[2, 3, 4, 5]);
    }
}
