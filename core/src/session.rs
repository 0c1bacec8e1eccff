//! Sessions: one conversation each; a message makes one if need be and asks for a run.
//!
//! Invariant: a session's key never changes and names one session; text is never part of it.

use crate::command::Command;
use crate::decide::Draft;
use crate::error::Rejection;
use crate::event::{MessageReceived, RunRequested, SessionCreated};
use crate::ids::{PeerId, RunId, Seq, SessionId};
use crate::limits::{ID_BYTES_MAX, MESSAGE_BYTES_MAX, OPEN_RUNS_PER_SESSION_MAX, SESSIONS_MAX};
use crate::record::Record;
use crate::run::Run;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The key of the session that the operator's own clients share.
pub const MAIN_KEY: &str = "agent:main:main";

/// One conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its key in the protocol's grammar.
    pub key: String,
    /// The record that began it.
    pub created: Seq,
    /// The newest record about it.
    pub last: Seq,
    /// When that was.
    pub last_at: Timestamp,
    /// Messages of people in it.
    pub messages: u64,
    /// The last run that ended: what Retry repeats.
    pub last_run: Option<LastRun>,
}

/// A run that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRun {
    /// The run.
    pub run: RunId,
    /// The message it answered.
    pub message: Seq,
    /// Whom on a channel it answered.
    pub peer: Option<PeerId>,
    /// Who wrote the message.
    pub author: String,
}

/// All conversations.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sessions {
    by_id: BTreeMap<SessionId, Session>,
    by_key: BTreeMap<String, SessionId>,
}

impl Sessions {
    /// The session of this id.
    pub fn get(&self, id: &SessionId) -> Option<&Session> {
        self.by_id.get(id)
    }

    /// The session of this canonical key.
    pub fn find(&self, key: &str) -> Option<(&SessionId, &Session)> {
        let id = self.by_key.get(key)?;
        Some((id, self.by_id.get(id)?))
    }

    /// All sessions.
    pub fn iter(&self) -> impl Iterator<Item = (&SessionId, &Session)> {
        self.by_id.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(crate) fn created(&mut self, record: &Record, event: &SessionCreated) {
        self.by_key.insert(event.key.clone(), event.session.clone());
        let session = Session {
            key: event.key.clone(),
            created: record.seq,
            last: record.seq,
            last_at: record.at,
            messages: 0,
            last_run: None,
        };
        self.by_id.insert(event.session.clone(), session);
    }

    pub(crate) fn received(&mut self, record: &Record, event: &MessageReceived) {
        if let Some(session) = self.by_id.get_mut(&event.session) {
            session.last = record.seq;
            session.last_at = record.at;
            session.messages += 1;
        }
    }

    pub(crate) fn run_ended(&mut self, record: &Record, run: &RunId, ended: &Run) {
        if let Some(session) = self.by_id.get_mut(&ended.session) {
            session.last = record.seq;
            session.last_at = record.at;
            session.last_run = Some(LastRun {
                run: run.clone(),
                message: ended.message,
                peer: ended.peer.clone(),
                author: ended.author.clone(),
            });
        }
    }

    /// The last run of a session that ended.
    pub(crate) fn last_run(&self, session: &SessionId) -> Option<&LastRun> {
        self.by_id.get(session)?.last_run.as_ref()
    }
}

/// The canonical form of a session key: lower case, bare keys under the main agent.
pub fn canonical_key(key: &str) -> String {
    let key = key.trim().to_lowercase();
    match key.as_str() {
        "" | "main" => MAIN_KEY.to_owned(),
        _ if key.starts_with("agent:") => key,
        _ => format!("agent:main:{key}"),
    }
}

pub(crate) fn receive(
    draft: &mut Draft,
    command: &Command,
    key: &str,
    run: &RunId,
    text: &str,
) -> Result<(), Rejection> {
    check_text(text)?;
    check_run_id(draft, run)?;
    let session = find_or_create(draft, key)?;
    let open = draft.state.runs.of_session(&session).count();
    if open >= OPEN_RUNS_PER_SESSION_MAX {
        return Err(Rejection::new(
            "session_busy",
            "too many messages of this conversation wait for an answer; stop one or wait",
        ));
    }
    let author = command.actor.to_string();
    let text = draft.content(&format!("session/{session}"), &author, text);
    let message = draft.next_seq();
    draft.push(MessageReceived {
        session: session.clone(),
        run: run.clone(),
        text,
    });
    draft.push(RunRequested {
        run: run.clone(),
        session,
        message,
        retry_of: None,
    });
    Ok(())
}

pub(crate) fn check_text(text: &str) -> Result<(), Rejection> {
    if text.trim().is_empty() {
        return Err(Rejection::new(
            "empty_message",
            "message or attachment required",
        ));
    }
    if text.len() > MESSAGE_BYTES_MAX {
        let message = format!(
            "a message has at most {} KiB of text",
            MESSAGE_BYTES_MAX / 1024
        );
        return Err(Rejection::new("message_too_long", message));
    }
    Ok(())
}

pub(crate) fn check_run_id(draft: &Draft, run: &RunId) -> Result<(), Rejection> {
    if run.0.is_empty() || run.0.len() > ID_BYTES_MAX {
        let message = format!("an idempotencyKey has 1 to {ID_BYTES_MAX} bytes");
        return Err(Rejection::new("bad_run_id", message));
    }
    if draft.state.runs.get(run).is_some() {
        return Err(Rejection::new(
            "run_exists",
            "another message uses this idempotencyKey",
        ));
    }
    Ok(())
}

fn find_or_create(draft: &mut Draft, key: &str) -> Result<SessionId, Rejection> {
    let key = canonical_key(key);
    if let Some((id, _)) = draft.state.sessions.find(&key) {
        return Ok(id.clone());
    }
    if key.len() > ID_BYTES_MAX {
        return Err(Rejection::new(
            "bad_session_key",
            "the session key is too long",
        ));
    }
    if draft.state.sessions.len() >= SESSIONS_MAX {
        return Err(Rejection::new(
            "too_many_sessions",
            "there are too many conversations",
        ));
    }
    let session = SessionId(draft.id("session"));
    draft.push(SessionCreated {
        session: session.clone(),
        key,
    });
    Ok(session)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actor::Actor;
    use crate::testing::{Scene, complete, device, say};

    const FIRST: &str = "session_created message_received run_requested";
    const NEXT: &str = "message_received run_requested";

    #[test]
    fn a_session_key_has_one_canonical_form() {
        let check = |key: &str, canonical: &str| {
            assert_eq!(canonical_key(key), canonical);
            assert_eq!(canonical_key(canonical), canonical);
        };
        check("", MAIN_KEY);
        check(" Main ", MAIN_KEY);
        check("agent:main:main", MAIN_KEY);
        check("Work", "agent:main:work");
        check("Agent:Other:X", "agent:other:x");
    }

    #[test]
    fn all_names_of_a_key_are_one_session() {
        let mut scene = Scene::founded();
        scene.check(&device("talker"), say("main", "1", "a"), FIRST);
        scene.check(&device("admin"), say(" MAIN", "2", "b"), NEXT);
        scene.check(&Actor::Local, say("other", "3", "c"), FIRST);
        let (_, main) = scene.state.sessions.find(MAIN_KEY).unwrap();
        assert_eq!((main.messages, scene.state.sessions.len()), (2, 2));
    }

    #[test]
    fn an_open_run_id_is_not_used_twice() {
        let mut scene = Scene::founded();
        scene.check(&Actor::Local, say("main", "1", "a"), FIRST);
        scene.check(&Actor::Local, say("other", "1", "a"), "!run_exists");
    }

    #[test]
    fn a_message_has_bounds() {
        let mut scene = Scene::founded();
        let long = "é".repeat(MESSAGE_BYTES_MAX / 2);
        scene.check(&Actor::Local, say("main", "1", " \n"), "!empty_message");
        scene.check(&Actor::Local, say("main", "", "a"), "!bad_run_id");
        scene.check(&Actor::Local, say("main", &long, "a"), "!bad_run_id");
        scene.check(&Actor::Local, say(&long, "1", "a"), "!bad_session_key");
        scene.check(
            &Actor::Local,
            say("main", "1", &format!("{long}x")),
            "!message_too_long",
        );
        scene.check(&Actor::Local, say("main", "1", &long), FIRST);
    }

    #[test]
    fn only_so_many_answers_of_a_session_are_due() {
        let mut scene = Scene::founded();
        scene.check(&Actor::Local, say("main", "0", "a"), FIRST);
        for n in 1..OPEN_RUNS_PER_SESSION_MAX {
            scene.check(&Actor::Local, say("main", &n.to_string(), "a"), NEXT);
        }
        scene.check(&Actor::Local, say("main", "more", "a"), "!session_busy");
        scene.check(&Actor::System, complete("3", "hi"), "run_completed");
        scene.check(&Actor::Local, say("main", "more", "a"), NEXT);
    }
}
