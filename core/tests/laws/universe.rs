//! A universe of three devices, three people on two channels and three session keys. A step says
//! what is wanted by position ("the second open run"); [`Step::command`] looks up in the state what
//! that is, so that sequences reach deep and still shrink well.

use moltbot_core::actor::{Actor, Scopes};
use moltbot_core::chain::Hash;
use moltbot_core::command::{Action, Command, DeviceIntro, DmPolicy, Idempotency};
use moltbot_core::ids::{DeviceId, Entropy, PeerId, PrincipalId, Seq};
use moltbot_core::state::State;
use moltbot_core::time::Timestamp;
use proptest::sample::Index;

/// Stands in every personal text: must never be found in stored bytes.
pub(crate) const CANARY: &str = "canary 你好";

/// One thing that happens.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// Milliseconds since the step before; clocks also jump, and go backwards.
    pub(crate) pause_ms: i64,
    /// `None`: whoever usually does this.
    pub(crate) actor: Option<Actor>,
    pub(crate) key: Option<u8>,
    pub(crate) intent: Intent,
}

/// What is wanted. Numbers name a device, a person, a session or a text; an [`Index`] picks one
/// of what waits.
#[derive(Debug, Clone)]
pub(crate) enum Intent {
    Housekeeping(u8),
    Configure(u8, Option<bool>),
    AskIn(u8, Scopes),
    Approve(Index, Option<Scopes>),
    Redeem(u8, Scopes),
    Reject(Index),
    Revoke(u8),
    Rotate(u8),
    ExpirePairings,
    ApprovePeer(u8, bool),
    BlockPeer(u8),
    Say(u8, u8, u8),
    PeerSays(u8, u8, u8, DmPolicy),
    Retry(Index, u8),
    Run(u8, Index, u8),
    Deliver(u8, Index),
    Identify(u8),
    Forget(u8, u8),
    KeysDeleted(Index),
    OpenWorkspace,
    /// Paths and what becomes of each.
    Files(Vec<(u8, u8)>),
    /// The command before, word for word.
    Again,
}

pub(crate) fn device(n: u8) -> DeviceId {
    DeviceId(Hash::of(&[n]).to_hex())
}

pub(crate) fn peer(n: u8) -> PeerId {
    PeerId(format!("p{n}"))
}

pub(crate) fn principal(n: u8) -> PrincipalId {
    PrincipalId(format!("a{n}"))
}

pub(crate) fn intro(n: u8, scopes: Scopes) -> DeviceIntro {
    DeviceIntro {
        device: device(n),
        public_key: vec![n; 32],
        name: format!("{CANARY} device {n}"),
        client_id: "moltbot-control-ui".into(),
        client_mode: "webchat".into(),
        platform: "linux".into(),
        role: "operator".into(),
        scopes,
    }
}

/// A command at a moment, with entropy of its own and nothing to remember it by.
pub(crate) fn command(at: i64, actor: Actor, action: Action) -> Command {
    let entropy = Entropy(Hash::of(format!("{at} {actor} {action:?}").as_bytes()).0);
    Command {
        at: Timestamp(at),
        actor,
        entropy,
        cause: None,
        correlation: None,
        idempotency: None,
        action,
    }
}

impl Step {
    /// The command this step is in the given state. `number` makes its entropy unique.
    pub(crate) fn command(&self, state: &State, at: i64, number: usize) -> Command {
        let action = self.intent.action(state);
        let actor = self.actor.clone().unwrap_or_else(|| self.intent.actor());
        let idempotency = self.key.map(|key| Idempotency {
            method: "any",
            key: format!("key {key}"),
            payload: Hash::of(format!("{action:?}").as_bytes()),
        });
        let entropy = Entropy(Hash::of(&number.to_le_bytes()).0);
        let cause = (state.cursor.seq > Seq::ZERO).then_some(state.cursor.seq);
        Command {
            entropy,
            cause,
            idempotency,
            ..command(at, actor, action)
        }
    }
}

impl Intent {
    fn actor(&self) -> Actor {
        match self {
            Intent::Housekeeping(_)
            | Intent::ExpirePairings
            | Intent::Run(..)
            | Intent::KeysDeleted(_)
            | Intent::Identify(_) => Actor::System,
            Intent::Deliver(what, _) if *what < 8 => Actor::System,
            Intent::AskIn(n, _) | Intent::Revoke(n) => Actor::Device(device(*n)),
            // In a gateway in use, this one may let others in but does not administer.
            Intent::Approve(_, Some(_)) | Intent::Rotate(_) => Actor::Device(device(1)),
            Intent::Redeem(..) => Actor::Grant,
            Intent::PeerSays(n, ..) => Actor::Peer(peer(*n)),
            _ => Actor::Local,
        }
    }
}
