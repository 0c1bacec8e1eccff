//! Forgetting: what a conversation, a person or a device said becomes unreadable for ever.
//!
//! Deleting the data keys is an effect like any other: [`ContentForgotten`] queues it, and
//! [`DataKeysDeleted`] says that they are gone everywhere. From the first of the two on nothing is
//! opened with them any more.
//!
//! Invariant: only an administrator forgets. Forgetting changes nobody's access: a person who may
//! talk to the assistant may go on, and what is said from then on has a new key. An answer that is
//! under way to something forgotten fails and is not recorded.

use crate::actor::{Actor, Scope};
use crate::command::{Action, Command};
use crate::decide::{Draft, require_inline, require_system};
use crate::error::Rejection;
use crate::event::{ContentForgotten, DataKeysDeleted, MasterKeyRotated, RunFailed};
use crate::ids::{DeviceId, KeyId, PeerId, RunId, SessionId};
use crate::limits::FORGOTTEN_KEYS_MAX;
use crate::outbox::Effect;
use crate::peer;
use crate::run::Run;
use crate::state::State;
use crate::vault::SealingKey;
use std::collections::BTreeSet;
use std::fmt;

/// Why a run failed whose message was forgotten.
pub const FORGOTTEN_CODE: &str = "forgotten";
/// The same for a person.
pub const FORGOTTEN_MESSAGE: &str = "What this was to answer has been forgotten.";

/// Whose content is forgotten. Written as the stream of events about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A conversation: everything anybody said in it, the assistant too.
    Session(SessionId),
    /// A person on a channel: what he wrote in any conversation, his own conversation with the
    /// assistant whole, and his name. What the assistant answered him in a conversation that he
    /// shares with others stays with that conversation.
    Peer(PeerId),
    /// A device: what was written with it in any conversation, its name and its addresses.
    Device(DeviceId),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Session(id) => write!(f, "session/{id}"),
            Subject::Peer(id) => write!(f, "peer/{id}"),
            Subject::Device(id) => write!(f, "device/{id}"),
        }
    }
}

/// What a subject's content is, in one state.
#[derive(Debug, Clone)]
pub struct Reach {
    streams: BTreeSet<String>,
    sessions: BTreeSet<SessionId>,
    author: Option<String>,
}

impl Reach {
    /// What would be forgotten; a rejection when there is nobody and nothing of this name.
    pub fn of(state: &State, subject: &Subject) -> Result<Reach, Rejection> {
        let mut reach = Reach {
            streams: BTreeSet::from([subject.to_string()]),
            sessions: BTreeSet::new(),
            author: None,
        };
        let is_known = match subject {
            Subject::Session(id) => {
                reach.sessions.insert(id.clone());
                state.sessions.get(id).is_some()
            }
            Subject::Peer(id) => {
                reach.author = Some(Actor::Peer(id.clone()).to_string());
                let own = state
                    .sessions
                    .find(&peer::direct_session_key(&state.peers, id));
                if let Some((session, _)) = own {
                    reach
                        .streams
                        .insert(Subject::Session(session.clone()).to_string());
                    reach.sessions.insert(session.clone());
                }
                own.is_some() || state.peers.has_met(id)
            }
            Subject::Device(id) => {
                reach.author = Some(Actor::Device(id.clone()).to_string());
                state.devices.paired.contains_key(id)
            }
        };
        let name = subject.to_string();
        let was_forgotten = || state.vault.tombstones().any(|(_, t)| t.subject == name);
        if is_known || reach.keys(state).next().is_some() || was_forgotten() {
            return Ok(reach);
        }
        Err(match subject {
            Subject::Session(_) => Rejection::new("unknown_session", "no such conversation"),
            Subject::Peer(_) => Rejection::new("unknown_peer", "nobody of this id has written"),
            Subject::Device(_) => Rejection::new("unknown_device", "unknown deviceId"),
        })
    }

    /// The keys in use that seal this content, by scope.
    pub fn keys<'a>(&'a self, state: &'a State) -> impl Iterator<Item = (&'a str, &'a SealingKey)> {
        let all = state.vault.iter();
        all.filter(|(scope, _)| self.covers(scope))
            .map(|(scope, sealing)| (scope.as_str(), sealing))
    }

    fn covers(&self, scope: &str) -> bool {
        let (stream, author) = scope.split_once('|').unwrap_or((scope, ""));
        self.streams.contains(stream) || self.author.as_deref() == Some(author)
    }

    /// The runs under way or due that answer something of this.
    pub fn runs<'a>(&'a self, state: &'a State) -> impl Iterator<Item = (&'a RunId, &'a Run)> {
        state.runs.iter().filter(|(_, run)| {
            self.sessions.contains(&run.session) || self.author.as_ref() == Some(&run.author)
        })
    }
}

pub(crate) fn decide(draft: &mut Draft, command: &Command) -> Result<(), Rejection> {
    match &command.action {
        Action::Forget { subject } => forget(draft, command, subject),
        Action::ConfirmKeysDeleted { tombstone } => {
            require_system(&command.actor)?;
            let effect = Effect::DeleteKeys(*tombstone);
            if !draft.state.outbox.iter().any(|(_, due)| *due == effect) {
                return Err(Rejection::new(
                    "unknown_tombstone",
                    "no keys are to be deleted because of this record",
                ));
            }
            draft.push(DataKeysDeleted {
                tombstone: *tombstone,
            });
            Ok(())
        }
        Action::RecordMasterKeyRotation { fingerprint, keys } => {
            require_system(&command.actor)?;
            require_inline(&[fingerprint])?;
            draft.push(MasterKeyRotated {
                fingerprint: fingerprint.clone(),
                before: draft.state.vault.master_key.clone(),
                keys: *keys,
            });
            Ok(())
        }
        _ => Ok(()),
    }
}

fn forget(draft: &mut Draft, command: &Command, subject: &Subject) -> Result<(), Rejection> {
    draft.require(&command.actor, Scope::Admin)?;
    let state = draft.state;
    let reach = Reach::of(state, subject)?;
    let keys: Vec<KeyId> = reach.keys(state).map(|(_, s)| s.key.clone()).collect();
    if keys.is_empty() {
        return Ok(());
    }
    for (id, run) in reach.runs(state) {
        let text = draft.content(&format!("session/{}", run.session), "assistant", "");
        draft.push(RunFailed {
            run: id.clone(),
            session: run.session.clone(),
            text,
            code: FORGOTTEN_CODE.to_owned(),
            message: FORGOTTEN_MESSAGE.to_owned(),
        });
    }
    for keys in keys.chunks(FORGOTTEN_KEYS_MAX) {
        draft.push(ContentForgotten {
            subject: subject.to_string(),
            keys: keys.to_vec(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
