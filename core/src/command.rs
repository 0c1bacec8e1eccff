//! Commands: what someone wants, with everything `decide` needs to answer the same way every time.

use crate::actor::{Actor, Scopes};
use crate::chain::Hash;
use crate::event::Usage;
use crate::forget::Subject;
use crate::ids::{
    DeliveryId, DeviceId, Entropy, Epoch, FileId, InstanceId, KeyId, PeerId, PrincipalId,
    RequestId, RunId, Seq,
};
use crate::storage::CheckpointKey;
use crate::time::Timestamp;

/// An intent, stamped from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// When it arrived.
    pub at: Timestamp,
    /// Who wants it.
    pub actor: Actor,
    /// Randomness for the ids it makes.
    pub entropy: Entropy,
    /// The record that led to it.
    pub cause: Option<Seq>,
    /// The record that began the story; its own first record when `None`.
    pub correlation: Option<Seq>,
    /// Set when the sender may repeat it.
    pub idempotency: Option<Idempotency>,
    /// The intent itself.
    pub action: Action,
}

/// What makes a repetition recognisable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// The method it came by; keys of different methods do not meet.
    pub method: &'static str,
    /// The sender's key.
    pub key: String,
    /// Hash of what was asked: the same key with another payload is a conflict.
    pub payload: Hash,
}

impl Idempotency {
    /// What the state remembers: a hash of actor, method and key.
    pub fn scoped_key(&self, actor: &Actor) -> [u8; 16] {
        let text = format!("{actor}\n{}\n{}", self.method, self.key);
        half(&Hash::of(text.as_bytes()))
    }

    /// The part of the payload's hash that the state remembers.
    pub fn payload_key(&self) -> [u8; 16] {
        half(&self.payload)
    }
}

fn half(hash: &Hash) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(hash.0.split_at(16).0);
    bytes
}

/// What a device says of itself when it asks to be let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceIntro {
    /// The device.
    pub device: DeviceId,
    /// Its raw Ed25519 public key.
    pub public_key: Vec<u8>,
    /// What it calls itself.
    pub name: String,
    /// Kind of client.
    pub client_id: String,
    /// Mode of the client.
    pub client_mode: String,
    /// Operating system.
    pub platform: String,
    /// The role it asks for.
    pub role: String,
    /// The scopes it asks for.
    pub scopes: Scopes,
}

/// Who may write to the bot on a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DmPolicy {
    /// Whoever the operator let in.
    Pairing,
    /// Anyone.
    Open,
    /// Nobody new: whoever was let in before.
    Allowlist,
    /// Nobody.
    Disabled,
}

/// What became of one path of the workspace. The id is [`crate::workspace::file_id`] of the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileChange {
    /// A regular file or symbolic link has this content and mode.
    Write {
        /// The file.
        file: FileId,
        /// Its path.
        path: String,
        /// Type and permission bits.
        mode: u32,
        /// Bytes of the content; a link's content is its target.
        size: u64,
        /// Where the sealed content is, unless it is empty. Durable here before the command is sent.
        blob: Option<Hash>,
    },
    /// There is a directory with this mode.
    Directory {
        /// The directory.
        file: FileId,
        /// Its path.
        path: String,
        /// Type and permission bits.
        mode: u32,
    },
    /// Nothing is there any more.
    Delete {
        /// What was there.
        file: FileId,
    },
}

impl FileChange {
    /// The id of the path.
    pub fn file(&self) -> &FileId {
        match self {
            FileChange::Write { file, .. }
            | FileChange::Directory { file, .. }
            | FileChange::Delete { file } => file,
        }
    }
}

/// The intents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// The gateway took the log over (recorded by `store` before anything else of this process).
    StartWriter {
        /// Its generation.
        epoch: Epoch,
        /// Who it is.
        instance: InstanceId,
        /// Version of the software.
        software: String,
    },
    /// A snapshot was stored.
    RecordSnapshot {
        /// The last record it contains.
        seq: Seq,
        /// The hash of that record.
        record_hash: Hash,
        /// The hash of the object.
        object_hash: Hash,
        /// The size of the object.
        bytes: u64,
    },
    /// Checkpoints are signed with this key from now on. Nothing changes when they are already.
    UseCheckpointKey {
        /// The public part of it.
        public_key: CheckpointKey,
    },
    /// Strangers were refused.
    RecordRefusals {
        /// Address prefix.
        prefix: String,
        /// How often.
        count: u64,
        /// The last reason.
        reason: String,
    },
    /// Something went on without its record being in the remote log.
    RecordLoweredDurability {
        /// What.
        what: String,
        /// The record.
        seq: Seq,
        /// How long the remote log was waited for, in milliseconds.
        waited_ms: u64,
    },
    /// Make unreadable what somebody said, for ever.
    Forget {
        /// Whose content.
        subject: Subject,
    },
    /// The keys that a record forgot are gone everywhere.
    ConfirmKeysDeleted {
        /// That record.
        tombstone: Seq,
    },
    /// All data keys are wrapped by another master key.
    RecordMasterKeyRotation {
        /// Fingerprint of that master key.
        fingerprint: String,
        /// How many data keys were wrapped anew.
        keys: u64,
    },
    /// Change configuration values; `None` removes one.
    ChangeConfig {
        /// Path and JSON text of each.
        changes: Vec<(String, Option<String>)>,
        /// The configuration this was based on; `None` skips the check.
        base: Option<Seq>,
    },
    /// A device asks to be let in.
    RequestDevicePairing {
        /// The device.
        intro: DeviceIntro,
        /// From where.
        address: String,
    },
    /// Let a device in.
    ApproveDevice {
        /// Its request.
        request: RequestId,
        /// Fewer scopes than asked, if any are to be held back.
        scopes: Option<Scopes>,
    },
    /// A device came with a valid one-time link.
    RedeemGrant {
        /// The device.
        intro: DeviceIntro,
    },
    /// Turn a device's request down.
    RejectDevice {
        /// Its request.
        request: RequestId,
    },
    /// Take a device's access back.
    RevokeDevice {
        /// The device.
        device: DeviceId,
    },
    /// Make a device's access token invalid.
    RotateDeviceToken {
        /// The device.
        device: DeviceId,
    },
    /// Drop the pairing requests that lapsed.
    ExpirePairings,
    /// Let a person on a channel in.
    ApprovePeer {
        /// The person.
        peer: PeerId,
        /// Whether it is the operator himself.
        is_operator: bool,
    },
    /// Do not hear a person on a channel any more.
    BlockPeer {
        /// The person.
        peer: PeerId,
    },
    /// A message from a device or a local command line.
    ReceiveMessage {
        /// The session's key.
        session_key: String,
        /// The run that will answer it.
        run: RunId,
        /// What was said.
        text: String,
    },
    /// A message from a person on a channel.
    ReceiveFromPeer {
        /// The channel.
        channel: String,
        /// The bot's account on it.
        account: String,
        /// What the platform calls the person.
        name: String,
        /// What was said.
        text: String,
        /// The run that will answer it.
        run: RunId,
        /// Who may write on this channel.
        policy: DmPolicy,
    },
    /// Answer the last message of a session once more.
    RetryRun {
        /// The run to repeat.
        run: RunId,
        /// The run that repeats it.
        new_run: RunId,
    },
    /// A model turn begins.
    StartRun {
        /// The run.
        run: RunId,
        /// Who serves the model.
        provider: String,
        /// The model.
        model: String,
    },
    /// A model turn ended with an answer.
    CompleteRun {
        /// The run.
        run: RunId,
        /// The answer.
        text: String,
        /// Why the model stopped.
        stop_reason: String,
        /// Who served the model.
        provider: String,
        /// The model.
        model: String,
        /// What it used.
        usage: Usage,
        /// From start to end.
        duration_ms: u64,
    },
    /// A model turn was stopped.
    CancelRun {
        /// The run.
        run: RunId,
        /// What had been said until then.
        text: String,
        /// `rpc`, `stop` or `timeout`.
        reason: String,
    },
    /// A model turn failed.
    FailRun {
        /// The run.
        run: RunId,
        /// What had been said until then.
        text: String,
        /// Stable code.
        code: String,
        /// One sentence for a person.
        message: String,
    },
    /// A model turn was found under way that no process carries on.
    InterruptRun {
        /// The run.
        run: RunId,
    },
    /// The answer of a run is about to be shown on its channel while it is written.
    BeginDelivery {
        /// The run.
        run: RunId,
    },
    /// The platform took the first form of an answer that is still being written.
    PostDelivery {
        /// The delivery.
        delivery: DeliveryId,
        /// The platform's ids of the messages.
        receipt: Vec<String>,
    },
    /// A delivery is about to be handed to the platform.
    AttemptDelivery {
        /// The delivery.
        delivery: DeliveryId,
    },
    /// The platform took a delivery.
    ConfirmDelivery {
        /// The delivery.
        delivery: DeliveryId,
        /// The platform's ids of the messages.
        receipt: Vec<String>,
    },
    /// The platform refused a delivery.
    FailDelivery {
        /// The delivery.
        delivery: DeliveryId,
        /// Stable code.
        code: String,
        /// One sentence for a person.
        message: String,
    },
    /// An attempted delivery was surely not sent.
    ReturnDelivery {
        /// The delivery.
        delivery: DeliveryId,
    },
    /// Nobody knows what became of an attempted delivery.
    MarkDeliveryUnknown {
        /// The delivery.
        delivery: DeliveryId,
    },
    /// Attempt a delivery of unknown outcome once more.
    ResendDelivery {
        /// The delivery.
        delivery: DeliveryId,
    },
    /// A delivery is no longer wanted.
    CancelDelivery {
        /// The delivery.
        delivery: DeliveryId,
    },
    /// Make the data keys with which this actor seals files, if need be.
    CreateWorkspaceKeys,
    /// Files of the workspace changed.
    RecordFiles {
        /// The key that sealed the contents.
        key: KeyId,
        /// What changed.
        changes: Vec<FileChange>,
    },
    /// Remember whom Cloudflare Access vouches for under this id.
    IdentifyPrincipal {
        /// A fresh random id.
        principal: PrincipalId,
        /// E-mail address of a person, name of a service.
        name: String,
        /// Whether it is a service.
        service: bool,
    },
}
