//! When an answer is given: once a record is durable on this disk (`Local`), or once it is in the
//! remote log (`Replicated`).
//!
//! | what | level |
//! |---|---|
//! | a message from our own clients | `Local` |
//! | approvals, revocations, configuration | in effect at `Local`, answered at `Replicated`, after 5 s as `pending_replication` |
//! | the confirmation to a platform | `Replicated`; after 2 s, or with 50 waiting while the remote is away, `Local` with an alarm |
//! | the attempt of an effect outside | `Replicated`; after 10 s `Local` with an alarm |
//!
//! A deployment may set one level for the first three: `MOLTBOT_ACK`, or `storage.ack` in the
//! configuration, over which the variable wins.
//!
//! Invariant: the last row is no matter of taste and has no setting ([`crate::outbox::step`]).

use crate::gateway::Running;
use crate::limits::REPLICATION_WAIT_MS;
use moltbot_core::ids::Seq;
use serde::Serialize;

/// The recorded configuration's name for it.
const CONFIG: &str = "storage.ack";

/// How safe a record is when it is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AckLevel {
    /// Durable on this disk.
    Local,
    /// In the remote log.
    Replicated,
}

impl AckLevel {
    /// The level of this name.
    pub fn parse(name: &str) -> Option<AckLevel> {
        match name {
            "local" => Some(AckLevel::Local),
            "replicated" => Some(AckLevel::Replicated),
            _ => None,
        }
    }
}

/// Where a record was when its answer was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Replication {
    /// In the remote log.
    Replicated,
    /// Only on this disk; it is in effect and goes to the remote log as soon as that can be reached.
    PendingReplication,
}

impl Running {
    /// The level that this deployment wants for everything; `None`: the table.
    pub fn ack_level(&self) -> Option<AckLevel> {
        let configured = || {
            let named = self.view.read(|model| model.state.config.text(CONFIG));
            named.as_deref().and_then(AckLevel::parse)
        };
        self.ack.or_else(configured)
    }

    /// Waits as the answer to an approval, a revocation or a change of configuration does.
    pub async fn acknowledge(&self, seq: Seq) -> Replication {
        let is_replicated = match self.ack_level() {
            Some(AckLevel::Local) => self.shipped_seq() >= seq,
            Some(AckLevel::Replicated) | None => self.replicated(seq, REPLICATION_WAIT_MS).await,
        };
        if is_replicated {
            Replication::Replicated
        } else {
            Replication::PendingReplication
        }
    }

    /// Waits as the answer to a message does: not at all, unless the deployment wants it.
    pub async fn acknowledge_message(&self, seq: Seq) -> Option<Replication> {
        if self.ack_level() == Some(AckLevel::Replicated) {
            return Some(self.acknowledge(seq).await);
        }
        None
    }
}
