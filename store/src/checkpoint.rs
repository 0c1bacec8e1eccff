//! Checkpoints: signed statements of how far the log went, and with which hash.
//!
//! The chain says whether a record was altered, dropped or reordered. It cannot say that the end
//! of the log was cut off, or that all of it was written anew with a chain of its own. A checkpoint
//! can: it is signed, so nobody without the key makes another one, and it may be kept where nobody
//! reaches who can write the log.
//!
//! What is signed, with Ed25519 ([RFC 8032](https://www.rfc-editor.org/rfc/rfc8032)):
//!
//! | bytes | field |
//! |---|---|
//! | 8 | magic `MBTCKPT\x01`; its last byte is the version of the form |
//! | 32 | the log: the hash of its first record |
//! | 8 | seq of the last record it covers |
//! | 32 | hash of that record |
//! | 8 | when it was signed, in milliseconds since the Unix epoch |
//! | 8 | epoch of the writer |
//! | 32 | public key of the signer |
//!
//! All numbers are little endian. The object `checkpoint/<seq:020>.json` holds the same as JSON
//! (`format`, `log`, `seq`, `hash`, `at`, `epoch`, `publicKey`) with the `signature`; bytes are hex.
//!
//! Since every hash covers the hash before it, one checkpoint vouches for every record up to its
//! own. So a segment is proven without the rest of the log, by itself and by those between it and
//! the checkpoint: [`prove`]. No further root per segment is needed for that.
//!
//! Invariant: only what is safe in the remote log is signed; an object is created once and never
//! changed. The public key was recorded in the log (`checkpoint_key_used`) at or before the record
//! that is signed first with it, so a key that was swapped shows.
//! Does not know when checkpoints are made or who holds the key.

mod audit;
mod shelf;

pub use audit::{Audit, Finding, Report, hold, prove};
pub use shelf::{Held, all, get, newest, put, thin};

use crate::envelope::corrupt;
use crate::error::StoreError;
use moltbot_core::chain::{Cursor, Hash};
use moltbot_core::ids::{Epoch, Seq, hex, unhex};
use moltbot_core::storage::CheckpointKey;
use moltbot_core::time::Timestamp;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use std::fmt;

const MAGIC: [u8; 7] = *b"MBTCKPT";
/// Version of the form.
const FORMAT: u8 = 1;
const SIGNED_BYTES: usize = 8 + 32 + 8 + 32 + 8 + 8 + 32;
const SIGNATURE_BYTES: usize = 64;

/// How far a log went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log: the hash of its first record.
    pub log: Hash,
    /// The last record it covers.
    pub cursor: Cursor,
    /// When that was.
    pub at: Timestamp,
    /// Who wrote then.
    pub epoch: Epoch,
}

impl Checkpoint {
    fn bytes(&self, public_key: &CheckpointKey) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(SIGNED_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.push(FORMAT);
        bytes.extend_from_slice(&self.log.0);
        bytes.extend_from_slice(&self.cursor.seq.0.to_le_bytes());
        bytes.extend_from_slice(&self.cursor.hash.0);
        bytes.extend_from_slice(&self.at.0.to_le_bytes());
        bytes.extend_from_slice(&self.epoch.0.to_le_bytes());
        bytes.extend_from_slice(&public_key.0);
        bytes
    }
}

/// A checkpoint with its signature, which may be forged until [`Signed::is_genuine`] says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signed {
    /// What is said.
    pub checkpoint: Checkpoint,
    /// By whom.
    pub public_key: CheckpointKey,
    signature: [u8; SIGNATURE_BYTES],
}

/// The form of the object.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    format: u8,
    log: Hash,
    seq: Seq,
    hash: Hash,
    at: Timestamp,
    epoch: Epoch,
    public_key: CheckpointKey,
    signature: String,
}

/// Only the part that never changes.
#[derive(Deserialize)]
struct Format {
    format: u64,
}

impl Signed {
    /// Whether the key that it names signed exactly this.
    pub fn is_genuine(&self) -> bool {
        let signed = self.checkpoint.bytes(&self.public_key);
        UnparsedPublicKey::new(&ED25519, &self.public_key.0)
            .verify(&signed, &self.signature)
            .is_ok()
    }

    /// The object, one line of JSON.
    pub fn encode(&self) -> Result<Vec<u8>, StoreError> {
        let Checkpoint {
            log,
            cursor,
            at,
            epoch,
        } = self.checkpoint;
        let object = Object {
            format: FORMAT,
            log,
            seq: cursor.seq,
            hash: cursor.hash,
            at,
            epoch,
            public_key: self.public_key,
            signature: hex(&self.signature),
        };
        let mut bytes = serde_json::to_vec(&object).map_err(|error| {
            StoreError::Internal(format!("cannot encode a checkpoint: {error}"))
        })?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// The checkpoint in the object or file at `place`. Says nothing about its signature.
    pub fn decode(place: &str, bytes: &[u8]) -> Result<Signed, StoreError> {
        let bad =
            |error: serde_json::Error| corrupt(place, format!("it is no checkpoint: {error}"));
        let Format { format } = serde_json::from_slice(bytes).map_err(bad)?;
        if format > u64::from(FORMAT) {
            return Err(StoreError::newer(place, "checkpoint", format, FORMAT));
        }
        let object: Object = serde_json::from_slice(bytes).map_err(bad)?;
        let signature = unhex(&object.signature).and_then(|bytes| bytes.try_into().ok());
        Ok(Signed {
            checkpoint: Checkpoint {
                log: object.log,
                cursor: Cursor {
                    seq: object.seq,
                    hash: object.hash,
                },
                at: object.at,
                epoch: object.epoch,
            },
            public_key: object.public_key,
            signature: signature
                .ok_or_else(|| corrupt(place, "its signature is not 128 hex digits"))?,
        })
    }
}

/// Signs checkpoints. Shows itself to nobody.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: CheckpointKey,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

impl SigningKey {
    /// The key of this seed, as RFC 8032 derives it.
    pub fn from_seed(seed: &[u8; 32]) -> Result<SigningKey, StoreError> {
        let unusable = || StoreError::Invalid("the checkpoint key cannot be used".to_owned());
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| unusable())?;
        let public = pair.public_key().as_ref().try_into();
        let public = CheckpointKey(public.map_err(|_| unusable())?);
        Ok(SigningKey { pair, public })
    }

    /// What others check its signatures with.
    pub fn public(&self) -> CheckpointKey {
        self.public
    }

    /// Signs. What is signed must be safe in the remote log.
    pub fn sign(&self, checkpoint: Checkpoint) -> Result<Signed, StoreError> {
        let signature = self.pair.sign(&checkpoint.bytes(&self.public));
        let signature = signature.as_ref().try_into();
        Ok(Signed {
            checkpoint,
            public_key: self.public,
            signature: signature
                .map_err(|_| StoreError::Internal("a signature has 64 bytes".to_owned()))?,
        })
    }
}

#[cfg(test)]
mod tests;
