//! The write model: what `decide` needs to know, folded from the log and nothing else.
//!
//! Invariant: equal logs give equal states. It holds references and sealed content, no plaintext;
//! ordered maps only.

use crate::chain::Cursor;
use crate::codec;
use crate::config::Config;
use crate::delivery::Deliveries;
use crate::device::Devices;
use crate::error::CodecError;
use crate::event::kind_name;
use crate::idempotency::IdempotencyKeys;
use crate::ids::Seq;
use crate::outbox::Outbox;
use crate::peer::Peers;
use crate::principal::Principals;
use crate::run::Runs;
use crate::session::Sessions;
use crate::storage::Storage;
use crate::vault::Vault;
use crate::workspace::Workspace;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The state after the record at `cursor`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct State {
    /// The last record folded.
    pub cursor: Cursor,
    /// Who writes, and the newest snapshot.
    pub storage: Storage,
    /// The data key of each `stream|author`, and which were forgotten.
    pub vault: Vault,
    /// Commands that may come again.
    pub idempotency: IdempotencyKeys,
    /// The configuration.
    pub config: Config,
    /// Devices and their requests.
    pub devices: Devices,
    /// People on channels and their requests.
    pub peers: Peers,
    /// Whom Cloudflare Access vouched for.
    pub principals: Principals,
    /// Conversations.
    pub sessions: Sessions,
    /// Model turns that are due or under way.
    pub runs: Runs,
    /// Replies on their way to a channel.
    pub deliveries: Deliveries,
    /// The assistant's files.
    pub workspace: Workspace,
    /// What has to happen.
    pub outbox: Outbox,
    /// The first critical record this binary does not know: it must not decide.
    pub unknown_critical: Option<UnknownCritical>,
}

/// A critical record of a kind, or of a newer version of a kind, that this binary does not know.
/// What it did to the state is not in this state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnknownCritical {
    /// The record.
    pub seq: Seq,
    /// Number of its kind.
    pub kind: u16,
    /// Version of its form.
    pub version: u16,
}

impl fmt::Display for UnknownCritical {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UnknownCritical { seq, kind, version } = self;
        let name = kind_name(*kind);
        write!(
            f,
            "record #{seq} is of the kind `{name}` version {version}, which this version of moltbot \
             does not know; nothing can be changed here, use a newer moltbot"
        )
    }
}

impl State {
    /// Version of the form [`State::encode`] writes. Raise it with any change of the state: a
    /// snapshot of another version is not read, the log is replayed instead.
    pub const VERSION: u16 = 3;

    /// The state as bytes for a snapshot.
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        codec::encode_section("state", self)
    }

    /// The state of a snapshot's bytes; `None` when they are no state. The version stands in the
    /// snapshot, not in these bytes: compare it with [`State::VERSION`] first.
    pub fn decode(bytes: &[u8]) -> Option<State> {
        codec::decode_section(bytes)
    }
}
