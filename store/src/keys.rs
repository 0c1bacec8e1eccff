//! Data keys: stored beside the local log, and as objects `keys/<id>` in the remote one.
//!
//! | bytes | field of a stored key |
//! |---|---|
//! | 1 | version of the form: 1 |
//! | 1 | 0: plain, 1: wrapped by the master key |
//! | 32 | plain: the key |
//! | 24 + 48 | wrapped: nonce and XChaCha20-Poly1305 ciphertext, the key's id as associated data |
//! | 4 | crc32c of everything before |
//!
//! The nonce is a keyed hash of id and key, so wrapping needs no randomness and the same key gives
//! the same bytes.
//!
//! Invariant: a key is durable here before an event is sealed with it, its object is in the remote
//! log before the segment that names it ([`keys_in`]), and its bytes are the same in both places.
//! Without a master key, keys lie plain beside what they seal: then sealing only makes forgetting
//! possible.

use crate::envelope::corrupt;
use crate::error::StoreError;
use crate::layout;
use crate::replica::Replica;
use crate::settings::StoreSettings;
use crate::sled_log::LocalTree;
use bytes::Bytes;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use futures_util::{StreamExt, TryStreamExt, stream};
use moltbot_core::content::DataKey;
use moltbot_core::event::Event;
use moltbot_core::ids::KeyId;
use moltbot_core::record::Record;
use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

/// Name of the tree beside the log.
pub const TREE: &str = "keys";

const VERSION: u8 = 1;
const PLAIN: u8 = 0;
const WRAPPED: u8 = 1;
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
const CRC_BYTES: usize = 4;
const ID_BYTES_MAX: usize = 128;

/// All data keys of this gateway, from any thread.
pub struct Keyring {
    tree: Option<LocalTree>,
    master: Option<[u8; KEY_BYTES]>,
    keys: RwLock<BTreeMap<KeyId, Entry>>,
}

#[derive(Clone)]
struct Entry {
    key: DataKey,
    object: Bytes,
}

impl Keyring {
    /// The keys in this tree (see [`TREE`]). Keys made from now on are wrapped by the master key,
    /// if there is one. A wrapped key that does not open is `Invalid`.
    pub fn open(tree: LocalTree, master: Option<[u8; 32]>) -> Result<Keyring, StoreError> {
        let mut keyring = Keyring::in_memory(master);
        let mut keys = BTreeMap::new();
        for (id, object) in tree.entries()? {
            let id = KeyId(String::from_utf8_lossy(&id).into_owned());
            let object = Bytes::from(object);
            let key = keyring.decode(&id, &object)?;
            keys.insert(id, Entry { key, object });
        }
        keyring.keys = RwLock::new(keys);
        keyring.tree = Some(tree);
        Ok(keyring)
    }

    /// An empty keyring that keeps nothing, for a log in memory.
    pub fn in_memory(master: Option<[u8; 32]>) -> Keyring {
        Keyring {
            tree: None,
            master,
            keys: RwLock::default(),
        }
    }

    /// The key, unless it was never made here or was forgotten.
    pub fn get(&self, id: &KeyId) -> Option<DataKey> {
        self.entry(id).map(|entry| entry.key)
    }

    /// The bytes to be stored as [`layout::key`].
    pub fn object(&self, id: &KeyId) -> Option<Bytes> {
        self.entry(id).map(|entry| entry.object)
    }

    /// Keeps new keys durably; blocks on the disk once. To be called before an event is sealed
    /// with one of them. A key that is there already is never replaced.
    pub fn create(&self, keys: &[(KeyId, DataKey)]) -> Result<(), StoreError> {
        let entries = keys
            .iter()
            .map(|(id, key)| {
                let object = self.encode(id, key)?;
                Ok((id.clone(), Entry { key: *key, object }))
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        self.keep(entries)
    }

    /// Keeps a key as it is stored elsewhere.
    pub fn insert_object(&self, id: &KeyId, object: Bytes) -> Result<(), StoreError> {
        let key = self.decode(id, &object)?;
        self.keep(vec![(id.clone(), Entry { key, object })])
    }

    /// Forgets keys durably, in this place only: what they sealed cannot be opened here any more.
    /// Their bytes may stay in free space of sled's file until it is used again.
    pub fn remove(&self, ids: &[KeyId]) -> Result<(), StoreError> {
        if let Some(tree) = &self.tree {
            tree.apply(ids.iter().map(|id| (id.as_str(), None::<&[u8]>)))?;
        }
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        for id in ids {
            keys.remove(id);
        }
        Ok(())
    }

    /// Fetches every key of the remote log that is not here; how many those were. Blocks on the
    /// disk once.
    pub async fn load_remote(
        &self,
        replica: &Replica,
        settings: &StoreSettings,
    ) -> Result<usize, StoreError> {
        let missing = replica
            .list(layout::KEYS)
            .await?
            .into_iter()
            .filter_map(|path| Some(KeyId::from(path.filename()?)))
            .filter(|id| is_name(id) && self.entry(id).is_none());
        let entries: Vec<(KeyId, Entry)> = stream::iter(missing)
            .map(|id| self.fetch(replica, id))
            .buffer_unordered(settings.keys_concurrency)
            .try_filter_map(|found| async { Ok(found) })
            .try_collect()
            .await?;
        let count = entries.len();
        self.keep(entries)?;
        Ok(count)
    }

    /// A listed key that is gone by now was forgotten meanwhile.
    async fn fetch(
        &self,
        replica: &Replica,
        id: KeyId,
    ) -> Result<Option<(KeyId, Entry)>, StoreError> {
        let Some(object) = replica.get(&layout::key(&id)).await? else {
            return Ok(None);
        };
        let key = self.decode(&id, &object)?;
        Ok(Some((id, Entry { key, object })))
    }

    fn entry(&self, id: &KeyId) -> Option<Entry> {
        self.keys
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(id)
            .cloned()
    }

    fn keep(&self, mut entries: Vec<(KeyId, Entry)>) -> Result<(), StoreError> {
        for (id, entry) in &entries {
            if self.get(id).is_some_and(|key| key != entry.key) {
                let path = layout::key(id);
                return Err(corrupt(path.as_ref(), "another key has the same id"));
            }
        }
        entries.retain(|(id, _)| self.entry(id).is_none());
        if entries.is_empty() {
            return Ok(());
        }
        if let Some(tree) = &self.tree {
            tree.apply(
                entries
                    .iter()
                    .map(|(id, entry)| (id.as_str(), Some(&entry.object))),
            )?;
        }
        self.keys
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(entries);
        Ok(())
    }

    fn encode(&self, id: &KeyId, key: &DataKey) -> Result<Bytes, StoreError> {
        if !is_name(id) {
            return Err(StoreError::Internal(format!("`{id}` cannot name a key")));
        }
        let mut bytes = vec![VERSION];
        if let Some(master) = &self.master {
            let nonce = nonce(master, id, key);
            let ciphertext = XChaCha20Poly1305::new(master.into())
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

    fn decode(&self, id: &KeyId, object: &[u8]) -> Result<DataKey, StoreError> {
        let path = layout::key(id);
        let damaged = |reason: &str| corrupt(path.as_ref(), reason);
        let (bytes, crc) = object
            .split_last_chunk::<CRC_BYTES>()
            .ok_or_else(|| damaged("it ends too early"))?;
        if crc32c::crc32c(bytes).to_le_bytes() != *crc {
            return Err(damaged("its checksum does not fit"));
        }
        let key = match bytes {
            [VERSION, PLAIN, key @ ..] => key.to_vec(),
            [VERSION, WRAPPED, wrapped @ ..] => self.unwrap(id, wrapped)?,
            _ => return Err(damaged("it has a form this version does not know")),
        };
        key.try_into()
            .map(DataKey)
            .map_err(|_| damaged("it has another size"))
    }

    fn unwrap(&self, id: &KeyId, wrapped: &[u8]) -> Result<Vec<u8>, StoreError> {
        let Some(master) = &self.master else {
            return Err(StoreError::Invalid(
                "the data keys are wrapped by a master key: set MOLTBOT_MASTER_KEY to it"
                    .to_owned(),
            ));
        };
        wrapped
            .split_at_checked(NONCE_BYTES)
            .and_then(|(nonce, ciphertext)| {
                XChaCha20Poly1305::new(master.into())
                    .decrypt(XNonce::from_slice(nonce), payload(id, ciphertext))
                    .ok()
            })
            .ok_or_else(|| {
                StoreError::Invalid(format!(
                    "data key `{id}` was wrapped by another master key: set MOLTBOT_MASTER_KEY to that one"
                ))
            })
    }
}

/// The keys these records introduce, in order: their objects are stored before the segment.
pub fn keys_in(records: &[Record]) -> Vec<KeyId> {
    records
        .iter()
        .filter_map(|record| match record.event() {
            Ok(Event::DataKeyCreated(event)) => Some(event.key),
            _ => None,
        })
        .collect()
}

fn payload<'a>(id: &'a KeyId, bytes: &'a [u8]) -> Payload<'a, 'a> {
    Payload {
        msg: bytes,
        aad: id.0.as_bytes(),
    }
}

/// Different for different keys, so it never repeats for the same master key.
fn nonce(master: &[u8; KEY_BYTES], id: &KeyId, key: &DataKey) -> [u8; NONCE_BYTES] {
    let secret = blake3::derive_key("moltbot data key wrapping nonce v1", master);
    let mut hasher = blake3::Hasher::new_keyed(&secret);
    hasher.update(&key.0);
    hasher.update(id.0.as_bytes());
    let mut nonce = [0; NONCE_BYTES];
    hasher.finalize_xof().fill(&mut nonce);
    nonce
}

/// Ids are names of objects: nothing that a path would treat specially.
fn is_name(id: &KeyId) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=ID_BYTES_MAX).contains(&id.0.len()) && id.0.bytes().all(is_plain)
}

#[cfg(test)]
mod tests;
