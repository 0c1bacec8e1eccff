//! Events: what happened, in the past tense, and the one table of their kinds.
//!
//! Invariant: a number, a name and a stored form, once released, never change. A new form of an
//! event is a new version with an upcaster (in `upcast.rs`); a new event is a new number.
//! Stored structs hold no growing enum, no JSON value and no serde attribute but `rename`:
//! bincode would decode a shifted variant silently as something else.

use crate::actor::Scopes;
use crate::chain::Hash;
use crate::codec;
use crate::content::Content;
use crate::error::CodecError;
use crate::ids::{
    DeliveryId, DeviceId, Epoch, FileId, InstanceId, KeyId, PeerId, PrincipalId, RequestId, RunId,
    Seq, SessionId,
};
use crate::storage::CheckpointKey;
use crate::time::Timestamp;
use crate::upcast;
use crate::workspace;
use serde::{Deserialize, Serialize};

macro_rules! kinds {
    ($($number:literal $name:literal $event:ident $version:literal $critical:literal;)+) => {
        /// A decoded event.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Event {
            $(#[doc = concat!("`", $name, "`")] $event($event),)+
            /// A kind or version this binary does not know; kept as it is.
            Unknown(UnknownEvent),
        }

        $(impl From<$event> for Event {
            fn from(event: $event) -> Event {
                Event::$event(event)
            }
        })+

        impl Event {
            /// The stable number of the kind.
            pub fn kind(&self) -> u16 {
                match self {
                    $(Event::$event(_) => $number,)+
                    Event::Unknown(unknown) => unknown.kind,
                }
            }

            /// The version of the form it is written in.
            pub fn version(&self) -> u16 {
                match self {
                    $(Event::$event(_) => $version,)+
                    Event::Unknown(unknown) => unknown.version,
                }
            }

            /// Whether a binary that does not know the kind must stop deciding.
            pub fn critical(&self) -> bool {
                match self {
                    $(Event::$event(_) => $critical,)+
                    Event::Unknown(_) => false,
                }
            }

            /// The payload to be recorded; fails when content was not sealed.
            pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
                let bytes = match self {
                    $(Event::$event(event) => bincode::serde::encode_to_vec(event, codec::config()),)+
                    Event::Unknown(unknown) => return Ok(unknown.payload.clone()),
                };
                bytes.map_err(|error| CodecError::Encode { what: "event", reason: error.to_string() })
            }

            /// The event of a recorded payload, upcast to the newest version.
            pub fn decode(kind: u16, version: u16, payload: &[u8]) -> Result<Event, CodecError> {
                let (version, payload) = upcast::to_newest(kind, version, payload)?;
                match (kind, version) {
                    $(($number, $version) => decode_payload($name, version, &payload).map(Event::$event),)+
                    _ => Ok(Event::Unknown(UnknownEvent { kind, version, payload: payload.into_owned() })),
                }
            }

            /// The event as JSON for people and exports; sealed content stays sealed.
            pub fn to_json(&self) -> serde_json::Value {
                match self {
                    $(Event::$event(event) => serde_json::to_value(event).unwrap_or_default(),)+
                    Event::Unknown(unknown) => serde_json::json!({ "payload_hex": crate::ids::hex(&unknown.payload) }),
                }
            }
        }

        /// The name of a kind as API and export show it; `kind_N` for one this binary does not know.
        pub fn kind_name(kind: u16) -> String {
            match kind {
                $($number => $name.to_owned(),)+
                other => format!("kind_{other}"),
            }
        }

        /// Every kind this binary knows: number, name, newest version.
        pub const KINDS: &[(u16, &str, u16)] = &[$(($number, $name, $version)),+];
    };
}

kinds! {
    1  "writer_started"           WriterStarted 1 true;
    2  "snapshot_taken"           SnapshotTaken 1 false;
    3  "command_recorded"         CommandRecorded 1 false;
    4  "data_key_created"         DataKeyCreated 1 true;
    5  "config_changed"           ConfigChanged 1 true;
    6  "strangers_refused"        StrangersRefused 1 false;
    7  "durability_lowered"       DurabilityLowered 1 false;
    8  "content_forgotten"        ContentForgotten 1 true;
    9  "data_keys_deleted"        DataKeysDeleted 1 true;
    10 "device_pairing_requested" DevicePairingRequested 1 true;
    11 "device_approved"          DeviceApproved 1 true;
    12 "device_rejected"          DeviceRejected 1 true;
    13 "device_revoked"           DeviceRevoked 1 true;
    14 "pairing_expired"          PairingExpired 1 true;
    15 "device_token_rotated"     DeviceTokenRotated 1 true;
    20 "peer_pairing_requested"   PeerPairingRequested 1 true;
    21 "peer_approved"            PeerApproved 2 true;
    22 "peer_blocked"             PeerBlocked 1 true;
    30 "session_created"          SessionCreated 1 true;
    31 "message_received"         MessageReceived 1 true;
    40 "run_requested"            RunRequested 1 true;
    41 "run_started"              RunStarted 1 true;
    42 "run_completed"            RunCompleted 1 true;
    43 "run_cancelled"            RunCancelled 1 true;
    44 "run_failed"               RunFailed 1 true;
    45 "run_interrupted"          RunInterrupted 1 true;
    50 "delivery_queued"          DeliveryQueued 1 true;
    51 "delivery_attempted"       DeliveryAttempted 1 true;
    52 "delivery_confirmed"       DeliveryConfirmed 1 true;
    53 "delivery_failed"          DeliveryFailed 1 true;
    54 "delivery_unknown"         DeliveryUnknown 1 true;
    55 "delivery_resent"          DeliveryResent 1 true;
    56 "delivery_cancelled"       DeliveryCancelled 1 true;
    57 "delivery_begun"           DeliveryBegun 1 true;
    58 "delivery_posted"          DeliveryPosted 1 true;
    59 "delivery_returned"        DeliveryReturned 1 true;
    60 "master_key_rotated"       MasterKeyRotated 1 false;
    62 "checkpoint_key_used"      CheckpointKeyUsed 1 false;
    70 "file_written"             FileWritten 1 true;
    71 "file_deleted"             FileDeleted 1 true;
    72 "directory_created"        DirectoryCreated 1 true;
    90 "principal_identified"     PrincipalIdentified 1 true;
}

fn decode_payload<T: for<'de> Deserialize<'de>>(
    kind: &'static str,
    version: u16,
    payload: &[u8],
) -> Result<T, CodecError> {
    let bad = |reason: String| CodecError::Payload {
        kind,
        version,
        reason,
    };
    let (event, used) = bincode::serde::decode_from_slice(payload, codec::config())
        .map_err(|error| bad(error.to_string()))?;
    if used != payload.len() {
        return Err(bad(format!("{} bytes are left over", payload.len() - used)));
    }
    Ok(event)
}

macro_rules! events {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }
    )+};
}

events! {
    /// An event of a kind or version this binary does not know.
    UnknownEvent {
        /// Number of the kind.
        kind: u16,
        /// Version of the form.
        version: u16,
        /// Its bytes.
        payload: Vec<u8>,
    }

    /// A gateway process took the log over, or went on with it. Nothing else of this process is
    /// recorded before this has reached the remote log.
    WriterStarted {
        /// The generation it writes in.
        epoch: Epoch,
        /// Who it is.
        instance: InstanceId,
        /// Version of the software.
        software: String,
    }

    /// A snapshot of the state was stored; it counts only together with this event.
    SnapshotTaken {
        /// The last record it contains.
        seq: Seq,
        /// The hash of that record.
        record_hash: Hash,
        /// The hash of the snapshot object.
        object_hash: Hash,
        /// Size of the snapshot object.
        bytes: u64,
    }

    /// From here on, checkpoints of this log are signed with this key.
    CheckpointKeyUsed {
        /// The public part of it.
        public_key: CheckpointKey,
    }

    /// The command behind the records since the previous one carried an idempotency key.
    CommandRecorded {
        /// Hash of actor, method and key.
        key: [u8; 16],
        /// Hash of what was asked.
        payload: [u8; 16],
        /// When the key may be used anew.
        expires_at: Timestamp,
    }

    /// From here on, content of this scope is sealed with this key.
    DataKeyCreated {
        /// The key.
        key: KeyId,
        /// `stream|author`.
        scope: String,
    }

    /// A configuration value was set or removed.
    ConfigChanged {
        /// Dotted path, as `run.timeout_s`.
        path: String,
        /// JSON text of the value; `None` removes it.
        value: Option<String>,
    }

    /// Strangers knocked with bad credentials; at most one such event a minute per prefix.
    StrangersRefused {
        /// Address prefix, as `203.0.113.0/24`.
        prefix: String,
        /// How often since the last such event.
        count: u64,
        /// The last reason.
        reason: String,
    }

    /// The remote log could not be reached in time, so something went on that otherwise waits
    /// until its record is in the remote log. A machine lost meanwhile may lose that record.
    DurabilityLowered {
        /// What went on, as `delivery_attempted` or `telegram updates`.
        what: String,
        /// The record that was only on this disk.
        seq: Seq,
        /// How long the remote log was waited for, in milliseconds.
        waited_ms: u64,
    }

    /// What these keys sealed is to be readable nowhere and never again: nobody opens anything with
    /// them from here on, and they are to be deleted wherever they are.
    ContentForgotten {
        /// Whose content: the stream `session/<id>`, `peer/<id>` or `device/<id>`.
        subject: String,
        /// The keys.
        keys: Vec<KeyId>,
    }

    /// The keys that a `content_forgotten` names are gone from the remote log and from this machine.
    DataKeysDeleted {
        /// That record.
        tombstone: Seq,
    }

    /// All data keys are wrapped by another master key than before.
    MasterKeyRotated {
        /// Fingerprint of the master key.
        fingerprint: String,
        /// Fingerprint of the one before, if it was recorded.
        before: Option<String>,
        /// How many data keys were wrapped anew.
        keys: u64,
    }

    /// A device that is not paired asks to be let in, or a paired one asks for more.
    DevicePairingRequested {
        /// The request.
        request: RequestId,
        /// The device.
        device: DeviceId,
        /// Its raw Ed25519 public key.
        public_key: Vec<u8>,
        /// What it calls itself.
        name: Content,
        /// Kind of client, as `moltbot-control-ui`.
        client_id: String,
        /// Mode of the client, as `webchat`.
        client_mode: String,
        /// Operating system, as the client says.
        platform: String,
        /// The role it asks for.
        role: String,
        /// The scopes it asks for.
        scopes: Scopes,
        /// The code shown on the device, for comparison.
        code: String,
        /// From where it asks.
        address: Content,
        /// When the request lapses.
        expires_at: Timestamp,
        /// Whether the device is already paired and asks for more.
        repair: bool,
    }

    /// A device was let in, or its rights changed.
    DeviceApproved {
        /// The request this answers; `None` when it came with a one-time link.
        request: Option<RequestId>,
        /// The device.
        device: DeviceId,
        /// Its raw Ed25519 public key.
        public_key: Vec<u8>,
        /// What it calls itself.
        name: Content,
        /// Kind of client.
        client_id: String,
        /// Mode of the client.
        client_mode: String,
        /// Operating system, as the client says.
        platform: String,
        /// The role granted.
        role: String,
        /// The scopes granted.
        scopes: Scopes,
        /// The scopes it had asked for; asking for these again needs no new request.
        asked: Scopes,
    }

    /// A pairing request of a device was turned down.
    DeviceRejected {
        /// The request.
        request: RequestId,
        /// The device.
        device: DeviceId,
    }

    /// A paired device lost its access.
    DeviceRevoked {
        /// The device.
        device: DeviceId,
    }

    /// A pairing request of a device or peer lapsed unanswered.
    PairingExpired {
        /// The request.
        request: RequestId,
    }

    /// A device's access token was replaced; the older one no longer works.
    DeviceTokenRotated {
        /// The device.
        device: DeviceId,
        /// Counts the rotations.
        generation: u32,
    }

    /// A person the bot does not know wrote to it on a channel.
    PeerPairingRequested {
        /// The request.
        request: RequestId,
        /// The person.
        peer: PeerId,
        /// The channel, as `telegram`.
        channel: String,
        /// The bot's account on it.
        account: String,
        /// What the platform calls the person.
        name: Content,
        /// The first message.
        message: Content,
        /// The code the person was given.
        code: String,
        /// When the request lapses.
        expires_at: Timestamp,
    }

    /// A person on a channel may talk to the assistant.
    PeerApproved {
        /// The person.
        peer: PeerId,
        /// The channel.
        channel: String,
        /// The bot's account on it.
        account: String,
        /// Whether this person is the operator himself, who shares the main session.
        is_operator: bool,
        /// What the platform calls a person who was let in without having asked; who asked said it
        /// then.
        name: Option<Content>,
    }

    /// A person on a channel may not talk to the assistant and is not heard again.
    PeerBlocked {
        /// The person.
        peer: PeerId,
        /// The channel.
        channel: String,
    }

    /// A conversation began.
    SessionCreated {
        /// The session.
        session: SessionId,
        /// Its key in the protocol's grammar, as `agent:main:main`.
        key: String,
    }

    /// A message for the assistant.
    MessageReceived {
        /// The session.
        session: SessionId,
        /// The run that answers it.
        run: RunId,
        /// What was said.
        text: Content,
    }

    /// A model turn is due.
    RunRequested {
        /// The run.
        run: RunId,
        /// The session.
        session: SessionId,
        /// The message to be answered.
        message: Seq,
        /// The run that this one repeats.
        retry_of: Option<RunId>,
    }

    /// A model turn began.
    RunStarted {
        /// The run.
        run: RunId,
        /// The session.
        session: SessionId,
        /// Who serves the model.
        provider: String,
        /// The model.
        model: String,
    }

    /// A model turn ended with an answer.
    RunCompleted {
        /// The run.
        run: RunId,
        /// The session.
        session: SessionId,
        /// The answer.
        text: Content,
        /// Why the model stopped, as `stop` or `max_tokens`.
        stop_reason: String,
        /// Who served the model.
        provider: String,
        /// The model.
        model: String,
        /// What it used.
        usage: Usage,
        /// From start to end.
        duration_ms: u64,
    }

    /// What a model turn used, in tokens.
    Usage {
        /// Read.
        input: u64,
        /// Written.
        output: u64,
        /// Read from the provider's cache.
        cache_read: u64,
        /// Written to the provider's cache.
        cache_write: u64,
    }

    /// A model turn was stopped.
    RunCancelled {
        /// The run.
        run: RunId,
        /// The session.
        session: SessionId,
        /// What had been said until then.
        text: Content,
        /// `rpc`, `stop` or `timeout`.
        reason: String,
    }

    /// A model turn failed.
    RunFailed {
        /// The run.
        run: RunId,
        /// The session.
        session: SessionId,
        /// What had been said until then.
        text: Content,
        /// Stable code of the failure.
        code: String,
        /// One sentence for a person.
        message: String,
    }

    /// A model turn was under way when the gateway stopped; nobody knows what it would have said.
    RunInterrupted {
        /// The run.
        run: RunId,
        /// The session.
        session: SessionId,
    }

    /// An answer is to be delivered to a channel.
    DeliveryQueued {
        /// The delivery.
        delivery: DeliveryId,
        /// The person or room.
        peer: PeerId,
        /// The channel.
        channel: String,
        /// The record that holds the text.
        text_seq: Seq,
    }

    /// A delivery is about to be handed to the platform.
    DeliveryAttempted {
        /// The delivery.
        delivery: DeliveryId,
    }

    /// The platform took a delivery.
    DeliveryConfirmed {
        /// The delivery.
        delivery: DeliveryId,
        /// The platform's ids of the messages.
        receipt: Vec<String>,
    }

    /// The platform refused a delivery.
    DeliveryFailed {
        /// The delivery.
        delivery: DeliveryId,
        /// Stable code.
        code: String,
        /// One sentence for a person.
        message: String,
    }

    /// A delivery was attempted and nobody knows whether the platform took it.
    DeliveryUnknown {
        /// The delivery.
        delivery: DeliveryId,
    }

    /// An operator wants a delivery of unknown outcome attempted once more.
    DeliveryResent {
        /// The delivery.
        delivery: DeliveryId,
    }

    /// A delivery is no longer wanted.
    DeliveryCancelled {
        /// The delivery.
        delivery: DeliveryId,
    }

    /// An answer is about to be shown on a channel while it is still being written: queued and
    /// attempted in one.
    DeliveryBegun {
        /// The delivery.
        delivery: DeliveryId,
        /// The person or room.
        peer: PeerId,
        /// The channel.
        channel: String,
        /// The run that writes it; the record of its end will hold the text.
        run: RunId,
    }

    /// An attempted delivery was surely not sent before the gateway stopped; it is due again.
    DeliveryReturned {
        /// The delivery.
        delivery: DeliveryId,
    }

    /// The platform took the first form of an answer that is still being written. Its later forms
    /// are edits of these messages, which may be repeated without harm.
    DeliveryPosted {
        /// The delivery.
        delivery: DeliveryId,
        /// The platform's ids of the messages.
        receipt: Vec<String>,
    }

    /// A file or symbolic link of the workspace was written.
    FileWritten {
        /// The file.
        file: FileId,
        /// Its path, from the root of the workspace.
        path: Content,
        /// Type and permission bits of `st_mode`, as `0o100644`.
        mode: u32,
        /// Bytes of its content.
        size: u64,
        /// Hash of the sealed content, which is sealed with the key of the path; `None` when it
        /// is empty. The content of a symbolic link is its target.
        blob: Option<Hash>,
    }

    /// A file, directory or symbolic link of the workspace is gone.
    FileDeleted {
        /// What stood there.
        file: FileId,
    }

    /// A directory of the workspace is there, or has another mode.
    DirectoryCreated {
        /// The directory.
        file: FileId,
        /// Its path, from the root of the workspace.
        path: Content,
        /// Type and permission bits of `st_mode`, as `0o040755`.
        mode: u32,
    }

    /// Somebody whom Cloudflare Access vouches for came for the first time. From here on the actor
    /// `access:<principal>` is this person or service.
    PrincipalIdentified {
        /// The principal.
        principal: PrincipalId,
        /// E-mail address of a person, name of a service.
        name: Content,
        /// Whether it is a service (an Access service token) and no person.
        service: bool,
    }
}

/// The one list of what is personal in which event.
macro_rules! contents {
    ($event:expr, $iter:ident, $($borrow:tt)+) => {
        match $event {
            Event::DevicePairingRequested(e) => vec![$($borrow)+ e.name, $($borrow)+ e.address],
            Event::DeviceApproved(e) => vec![$($borrow)+ e.name],
            Event::PeerPairingRequested(e) => vec![$($borrow)+ e.name, $($borrow)+ e.message],
            Event::PeerApproved(e) => e.name.$iter().collect(),
            Event::MessageReceived(e) => vec![$($borrow)+ e.text],
            Event::RunCompleted(e) => vec![$($borrow)+ e.text],
            Event::RunCancelled(e) => vec![$($borrow)+ e.text],
            Event::RunFailed(e) => vec![$($borrow)+ e.text],
            Event::FileWritten(e) => vec![$($borrow)+ e.path],
            Event::DirectoryCreated(e) => vec![$($borrow)+ e.path],
            Event::PrincipalIdentified(e) => vec![$($borrow)+ e.name],
            _ => Vec::new(),
        }
    };
}

impl Event {
    /// The pieces of personal content in the event, for sealing.
    pub fn contents_mut(&mut self) -> Vec<&mut Content> {
        contents!(self, iter_mut, &mut)
    }

    /// The pieces of personal content in the event.
    pub fn contents(&self) -> Vec<&Content> {
        contents!(self, iter, &)
    }

    /// The stream the event belongs to.
    pub fn stream(&self) -> String {
        match self {
            Event::DevicePairingRequested(event) => format!("device/{}", event.device),
            Event::DeviceApproved(event) => format!("device/{}", event.device),
            Event::DeviceRejected(event) => format!("device/{}", event.device),
            Event::DeviceRevoked(event) => format!("device/{}", event.device),
            Event::DeviceTokenRotated(event) => format!("device/{}", event.device),
            Event::PeerPairingRequested(event) => format!("peer/{}", event.peer),
            Event::PeerApproved(event) => format!("peer/{}", event.peer),
            Event::PeerBlocked(event) => format!("peer/{}", event.peer),
            Event::SessionCreated(event) => format!("session/{}", event.session),
            Event::MessageReceived(event) => format!("session/{}", event.session),
            Event::RunRequested(event) => format!("session/{}", event.session),
            Event::RunStarted(event) => format!("session/{}", event.session),
            Event::RunCompleted(event) => format!("session/{}", event.session),
            Event::RunCancelled(event) => format!("session/{}", event.session),
            Event::RunFailed(event) => format!("session/{}", event.session),
            Event::RunInterrupted(event) => format!("session/{}", event.session),
            Event::DeliveryQueued(event) => format!("delivery/{}", event.delivery),
            Event::DeliveryAttempted(event) => format!("delivery/{}", event.delivery),
            Event::DeliveryConfirmed(event) => format!("delivery/{}", event.delivery),
            Event::DeliveryFailed(event) => format!("delivery/{}", event.delivery),
            Event::DeliveryUnknown(event) => format!("delivery/{}", event.delivery),
            Event::DeliveryResent(event) => format!("delivery/{}", event.delivery),
            Event::DeliveryCancelled(event) => format!("delivery/{}", event.delivery),
            Event::DeliveryBegun(event) => format!("delivery/{}", event.delivery),
            Event::DeliveryPosted(event) => format!("delivery/{}", event.delivery),
            Event::DeliveryReturned(event) => format!("delivery/{}", event.delivery),
            Event::WriterStarted(_)
            | Event::SnapshotTaken(_)
            | Event::DurabilityLowered(_)
            | Event::CheckpointKeyUsed(_) => "storage".to_owned(),
            Event::FileWritten(_) | Event::FileDeleted(_) | Event::DirectoryCreated(_) => {
                workspace::STREAM.to_owned()
            }
            Event::PrincipalIdentified(event) => format!("principal/{}", event.principal),
            Event::CommandRecorded(_) => "command".to_owned(),
            Event::ContentForgotten(event) => event.subject.clone(),
            Event::DataKeyCreated(_) | Event::DataKeysDeleted(_) | Event::MasterKeyRotated(_) => {
                "vault".to_owned()
            }
            Event::ConfigChanged(_) => "config".to_owned(),
            Event::StrangersRefused(_) => "access".to_owned(),
            Event::PairingExpired(event) => format!("pairing/{}", event.request),
            Event::Unknown(_) => "unknown".to_owned(),
        }
    }
}
