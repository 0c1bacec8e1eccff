//! `decide`: the answer to a command, as a pure function of the state.
//!
//! Invariant: never panics, never acts; a rejection yields no events; the same state and command
//! give the same answer. Events come back with plaintext content; `edge` seals it before append.

use crate::actor::{Actor, Scope, Scopes};
use crate::command::{Action, Command};
use crate::content::Content;
use crate::error::Rejection;
use crate::event::{
    CheckpointKeyUsed, CommandRecorded, DataKeyCreated, DurabilityLowered, Event, SnapshotTaken,
    StrangersRefused, WriterStarted,
};
use crate::ids::{Entropy, KeyId, Seq};
use crate::limits::{IDEMPOTENCY_TTL_MS, INLINE_TEXT_BYTES_MAX};
use crate::state::State;
use crate::{config, delivery, device, forget, peer, principal, run, session, workspace};

/// The answer to an acceptable command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// These events are to be recorded, in this order, all or none. May be empty.
    Events(Vec<Event>),
    /// The command was accepted before; this was its last record.
    Duplicate(Seq),
}

/// Decides on a command.
pub fn decide(state: &State, command: &Command) -> Result<Decision, Rejection> {
    if let Some(unknown) = &state.unknown_critical {
        return Err(Rejection::new("read_only", unknown.to_string()));
    }
    let mut draft = Draft::new(state, command);
    if let Some(idempotency) = &command.idempotency {
        let key = idempotency.scoped_key(&command.actor);
        if let Some(seq) = state
            .idempotency
            .find(key, idempotency.payload_key(), command.at)?
        {
            return Ok(Decision::Duplicate(seq));
        }
        act(&mut draft, command)?;
        // What changed nothing leaves no trace, or a blocked person could fill the log.
        if !draft.events.is_empty() {
            draft.push(CommandRecorded {
                key,
                payload: idempotency.payload_key(),
                expires_at: command.at.plus_ms(IDEMPOTENCY_TTL_MS),
            });
        }
    } else {
        act(&mut draft, command)?;
    }
    Ok(Decision::Events(draft.events))
}

fn act(draft: &mut Draft, command: &Command) -> Result<(), Rejection> {
    match &command.action {
        Action::StartWriter { .. }
        | Action::RecordSnapshot { .. }
        | Action::UseCheckpointKey { .. }
        | Action::RecordRefusals { .. }
        | Action::RecordLoweredDurability { .. } => housekeeping(draft, command),
        Action::Forget { .. }
        | Action::ConfirmKeysDeleted { .. }
        | Action::RecordMasterKeyRotation { .. } => forget::decide(draft, command),
        Action::ChangeConfig { changes, base } => config::change(draft, command, changes, *base),
        Action::RequestDevicePairing { .. }
        | Action::ApproveDevice { .. }
        | Action::RedeemGrant { .. }
        | Action::RejectDevice { .. }
        | Action::RevokeDevice { .. }
        | Action::RotateDeviceToken { .. } => device::decide(draft, command),
        Action::ExpirePairings => {
            require_system(&command.actor)?;
            device::expire(draft, command.at);
            peer::expire(draft, command.at);
            Ok(())
        }
        Action::ApprovePeer { .. } | Action::BlockPeer { .. } | Action::ReceiveFromPeer { .. } => {
            peer::decide(draft, command)
        }
        Action::ReceiveMessage {
            session_key,
            run,
            text,
        } => {
            draft.require(&command.actor, Scope::Write)?;
            session::receive(draft, command, session_key, run, text)
        }
        Action::RetryRun { .. }
        | Action::StartRun { .. }
        | Action::CompleteRun { .. }
        | Action::CancelRun { .. }
        | Action::FailRun { .. }
        | Action::InterruptRun { .. } => run::decide(draft, command),
        Action::BeginDelivery { .. }
        | Action::PostDelivery { .. }
        | Action::ReturnDelivery { .. }
        | Action::AttemptDelivery { .. }
        | Action::ConfirmDelivery { .. }
        | Action::FailDelivery { .. }
        | Action::MarkDeliveryUnknown { .. }
        | Action::ResendDelivery { .. }
        | Action::CancelDelivery { .. } => delivery::decide(draft, command),
        Action::CreateWorkspaceKeys | Action::RecordFiles { .. } => {
            workspace::decide(draft, command)
        }
        Action::IdentifyPrincipal {
            principal,
            name,
            service,
        } => {
            require_system(&command.actor)?;
            principal::identify(draft, principal, name, *service)
        }
    }
}

fn housekeeping(draft: &mut Draft, command: &Command) -> Result<(), Rejection> {
    require_system(&command.actor)?;
    match &command.action {
        Action::StartWriter {
            epoch,
            instance,
            software,
        } => {
            require_inline(&[instance.as_str(), software])?;
            draft.push(WriterStarted {
                epoch: *epoch,
                instance: instance.clone(),
                software: software.clone(),
            });
        }
        Action::RecordSnapshot {
            seq,
            record_hash,
            object_hash,
            bytes,
        } => {
            draft.push(SnapshotTaken {
                seq: *seq,
                record_hash: *record_hash,
                object_hash: *object_hash,
                bytes: *bytes,
            });
        }
        Action::UseCheckpointKey { public_key }
            if draft.state.storage.checkpoint_key != Some(*public_key) =>
        {
            draft.push(CheckpointKeyUsed {
                public_key: *public_key,
            });
        }
        Action::RecordRefusals {
            prefix,
            count,
            reason,
        } => {
            require_inline(&[prefix, reason])?;
            draft.push(StrangersRefused {
                prefix: prefix.clone(),
                count: *count,
                reason: reason.clone(),
            });
        }
        Action::RecordLoweredDurability {
            what,
            seq,
            waited_ms,
        } => {
            require_inline(&[what])?;
            draft.push(DurabilityLowered {
                what: what.clone(),
                seq: *seq,
                waited_ms: *waited_ms,
            });
        }
        _ => {}
    }
    Ok(())
}

/// The events of one command while they are being put together.
pub(crate) struct Draft<'a> {
    /// The state before the command.
    pub(crate) state: &'a State,
    events: Vec<Event>,
    entropy: Entropy,
    new_keys: Vec<(String, KeyId)>,
}

impl<'a> Draft<'a> {
    fn new(state: &'a State, command: &Command) -> Self {
        Draft {
            state,
            events: Vec::new(),
            entropy: command.entropy,
            new_keys: Vec::new(),
        }
    }

    /// Adds an event.
    pub(crate) fn push(&mut self, event: impl Into<Event>) {
        self.events.push(event.into());
    }

    /// The seq that the next pushed event will get.
    pub(crate) fn next_seq(&self) -> Seq {
        Seq(self.state.cursor.seq.0 + self.events.len() as u64 + 1)
    }

    /// A fresh random id for this purpose.
    pub(crate) fn id(&self, purpose: &str) -> String {
        self.entropy.hex(purpose)
    }

    /// A fresh code for people to compare.
    pub(crate) fn code(&self, purpose: &str, chars: usize) -> String {
        self.entropy.code(purpose, chars)
    }

    /// Personal content of this author in this stream, under a data key of their own.
    pub(crate) fn content(&mut self, stream: &str, author: &str, text: &str) -> Content {
        Content::Plain {
            key: self.key(stream, author),
            text: text.to_owned(),
        }
    }

    /// The data key of this author in this stream; a new one when there is none.
    pub(crate) fn key(&mut self, stream: &str, author: &str) -> KeyId {
        if let Some(key) = self.known_key(stream, author) {
            return key.clone();
        }
        let scope = format!("{stream}|{author}");
        let key = KeyId(self.entropy.hex(&format!("key {scope}")));
        self.new_keys.push((scope.clone(), key.clone()));
        self.push(DataKeyCreated {
            key: key.clone(),
            scope,
        });
        key
    }

    /// The data key of this author in this stream, if there is one.
    pub(crate) fn known_key(&self, stream: &str, author: &str) -> Option<&KeyId> {
        let scope = format!("{stream}|{author}");
        let fresh = || {
            let mut fresh = self.new_keys.iter();
            fresh.find(|(s, _)| *s == scope).map(|(_, key)| key)
        };
        self.state.vault.get(&scope).or_else(fresh)
    }

    /// What an actor may do now.
    pub(crate) fn scopes(&self, actor: &Actor) -> Scopes {
        scopes_of(self.state, actor)
    }

    /// Refuses an actor without this scope.
    pub(crate) fn require(&self, actor: &Actor, scope: Scope) -> Result<(), Rejection> {
        if self.scopes(actor).grants(scope) {
            return Ok(());
        }
        Err(Rejection::new(
            "missing_scope",
            format!("missing scope: {}", scope.name()),
        ))
    }
}

/// Refuses everyone but the gateway itself.
pub(crate) fn require_system(actor: &Actor) -> Result<(), Rejection> {
    if *actor == Actor::System {
        return Ok(());
    }
    Err(Rejection::new(
        "not_allowed",
        "only the gateway itself does this",
    ))
}

/// Refuses texts that are too long to be recorded inline.
pub(crate) fn require_inline(texts: &[&str]) -> Result<(), Rejection> {
    if texts.iter().all(|text| text.len() <= INLINE_TEXT_BYTES_MAX) {
        return Ok(());
    }
    Err(Rejection::new(
        "text_too_long",
        format!("a short text has at most {INLINE_TEXT_BYTES_MAX} bytes"),
    ))
}

/// What an actor may do in this state.
pub fn scopes_of(state: &State, actor: &Actor) -> Scopes {
    match actor {
        Actor::System | Actor::Local => Scopes::all(),
        Actor::Device(id) => state
            .devices
            .paired
            .get(id)
            .map(|device| device.scopes.clone())
            .unwrap_or_default(),
        // Access decided who administers; nobody acts before the log can say who he is.
        Actor::Access(id) if state.principals.knows(id) => Scopes::all(),
        Actor::Grant | Actor::Peer(_) | Actor::Access(_) => Scopes::default(),
    }
}
