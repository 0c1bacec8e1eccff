//! The stored form of a data key, and the master key that wraps it.
//!
//! | bytes | field of a stored key |
//! |---|---|
//! | 1 | version of the form: 1 |
//! | 1 | 0: plain, 1: wrapped by a master key |
//! | 32 | plain: the key |
//! | 24 + 48 | wrapped: nonce and XChaCha20-Poly1305 ciphertext, the key's id as associated data |
//! | 4 | crc32c of everything before |
//!
//! The nonce is a keyed hash of id and key, so wrapping needs no randomness and the same key gives
//! the same bytes. Which master key wrapped a key is not written down: it is the one that opens it.

use crate::envelope::corrupt;
use crate::error::StoreError;
use crate::layout;
use bytes::Bytes;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use moltbot_core::content::DataKey;
use moltbot_core::ids::{KeyId, hex};
use std::fmt;

const VERSION: u8 = 1;
const PLAIN: u8 = 0;
const WRAPPED: u8 = 1;
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
const CRC_BYTES: usize = 4;
const FINGERPRINT_BYTES: usize = 8;

/// A key that wraps data keys.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey(pub [u8; KEY_BYTES]);

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

impl MasterKey {
    /// Any text makes a master key; long random ones make good ones.
    pub fn from_text(text: &str) -> MasterKey {
        MasterKey(blake3::derive_key(
            "moltbot 2026 master key",
            text.trim().as_bytes(),
        ))
    }

    /// Sixteen hex digits by which people tell master keys apart; they do not lead back to it.
    pub fn fingerprint(&self) -> String {
        let digest = blake3::derive_key("moltbot master key fingerprint v1", &self.0);
        hex(digest.split_at(FINGERPRINT_BYTES).0)
    }
}

/// The master keys that are known.
#[derive(Debug, Clone, Default)]
pub struct MasterKeys {
    /// Wraps what is written from now on; without one it is written plain.
    pub current: Option<MasterKey>,
    /// Opens what was wrapped before.
    pub previous: Option<MasterKey>,
}

impl From<Option<MasterKey>> for MasterKeys {
    fn from(current: Option<MasterKey>) -> MasterKeys {
        MasterKeys {
            current,
            previous: None,
        }
    }
}

/// What a stored key is wrapped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrapping {
    /// Nothing.
    Plain,
    /// The current master key.
    Current,
    /// The previous one.
    Previous,
}

impl MasterKeys {
    /// Whether this is how keys are written now.
    pub fn is_wanted(&self, wrapping: Wrapping) -> bool {
        let wanted = match &self.current {
            Some(_) => Wrapping::Current,
            None => Wrapping::Plain,
        };
        wrapping == wanted
    }

    pub(super) fn encode(&self, id: &KeyId, key: &DataKey) -> Result<Bytes, StoreError> {
        let mut bytes = vec![VERSION];
        if let Some(master) = &self.current {
            let nonce = nonce(master, id, key);
            let ciphertext = XChaCha20Poly1305::new(&master.0.into())
                .encrypt(XNonce::from_slice(&nonce), payload(id, &key.0))
                .map_err(|_| StoreError::Internal(format!("cannot wrap key `{id}`")))?;
            bytes.push(WRAPPED);
            bytes.extend_from_slice(&nonce);
            bytes.extend_from_slice(&ciphertext);
        } else {
            bytes.push(PLAIN);
            bytes.extend_from_slice(&key.0);
        }
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        Ok(bytes.into())
    }

    pub(super) fn decode(
        &self,
        id: &KeyId,
        object: &[u8],
    ) -> Result<(DataKey, Wrapping), StoreError> {
        let path = layout::key(id);
        let damaged = |reason: &str| corrupt(path.as_ref(), reason);
        let (bytes, crc) = object
            .split_last_chunk::<CRC_BYTES>()
            .ok_or_else(|| damaged("it ends too early"))?;
        if crc32c::crc32c(bytes).to_le_bytes() != *crc {
            return Err(damaged("its checksum does not fit"));
        }
        let (key, wrapping) = match bytes {
            [VERSION, PLAIN, key @ ..] => (key.to_vec(), Wrapping::Plain),
            [VERSION, WRAPPED, wrapped @ ..] => self.unwrap(id, wrapped)?,
            [form, ..] if *form > VERSION => {
                let found = u64::from(*form);
                return Err(StoreError::newer(path.as_ref(), "data key", found, VERSION));
            }
            _ => return Err(damaged("it has a form this version does not know")),
        };
        let key = key.try_into().map_err(|_| damaged("it has another size"))?;
        Ok((DataKey(key), wrapping))
    }

    fn unwrap(&self, id: &KeyId, wrapped: &[u8]) -> Result<(Vec<u8>, Wrapping), StoreError> {
        let known = [
            (&self.current, Wrapping::Current),
            (&self.previous, Wrapping::Previous),
        ];
        let opened = known.into_iter().find_map(|(master, wrapping)| {
            let (nonce, ciphertext) = wrapped.split_at_checked(NONCE_BYTES)?;
            let key = XChaCha20Poly1305::new(&master.as_ref()?.0.into())
                .decrypt(XNonce::from_slice(nonce), payload(id, ciphertext))
                .ok()?;
            Some((key, wrapping))
        });
        opened.ok_or_else(|| StoreError::Invalid(self.closed(id)))
    }

    /// Why a wrapped key does not open, and what to do.
    fn closed(&self, id: &KeyId) -> String {
        match (&self.current, &self.previous) {
            (None, _) => {
                "the data keys are wrapped by a master key: set MOLTBOT_MASTER_KEY to it".to_owned()
            }
            (Some(_), None) => format!(
                "data key `{id}` was wrapped by another master key: set MOLTBOT_MASTER_KEY to that one; to change the master key, set MOLTBOT_MASTER_KEY_PREVIOUS to that one"
            ),
            (Some(_), Some(_)) => format!(
                "neither MOLTBOT_MASTER_KEY nor MOLTBOT_MASTER_KEY_PREVIOUS opens data key `{id}`: set the latter to the master key that wrapped it"
            ),
        }
    }
}

fn payload<'a>(id: &'a KeyId, bytes: &'a [u8]) -> Payload<'a, 'a> {
    Payload {
        msg: bytes,
        aad: id.0.as_bytes(),
    }
}

/// Different for different keys, so it never repeats for the same master key.
fn nonce(master: &MasterKey, id: &KeyId, key: &DataKey) -> [u8; NONCE_BYTES] {
    let secret = blake3::derive_key("moltbot data key wrapping nonce v1", &master.0);
    let mut hasher = blake3::Hasher::new_keyed(&secret);
    hasher.update(&key.0);
    hasher.update(id.0.as_bytes());
    let mut nonce = [0; NONCE_BYTES];
    hasher.finalize_xof().fill(&mut nonce);
    nonce
}
