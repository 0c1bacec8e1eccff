//! Data keys: in a file beside the local log, and as objects `keys/<id>` in the remote one.
//!
//! Their stored form is in `keys/wrapping.rs`, the file in `keys/file.rs`, and what happens when the
//! master key changes in `keys/rotation.rs`.
//!
//! Invariant: a key is durable here before an event is sealed with it, and its object is in the
//! remote log before the segment that names it ([`keys_in`]). A key that was forgotten opens nothing
//! from then on ([`Keyring::conceal`]), whatever comes back; its bytes are deleted here and there once
//! the remote log says that it was ([`Keyring::remove`], [`delete`]).
//! Without a master key, keys lie plain beside what they seal: then sealing only makes forgetting
//! possible.

mod file;
mod rotation;
mod wrapping;

pub use file::NAME;
pub use rotation::{KeySurvey, survey};
pub use wrapping::{MasterKey, MasterKeys, Wrapping};

use crate::envelope::corrupt;
use crate::error::StoreError;
use crate::layout;
use crate::replica::Replica;
use crate::settings::StoreSettings;
use bytes::Bytes;
use file::KeyFile;
use futures_util::{StreamExt, TryStreamExt, stream};
use moltbot_core::content::DataKey;
use moltbot_core::event::Event;
use moltbot_core::ids::KeyId;
use moltbot_core::record::Record;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, PoisonError, RwLock};

const ID_BYTES_MAX: usize = 128;
/// The kind `content_forgotten`.
const FORGOTTEN: u16 = 8;

/// All data keys of this gateway, from any thread.
pub struct Keyring {
    /// Whoever changes something holds this throughout.
    file: Mutex<Option<KeyFile>>,
    masters: MasterKeys,
    keys: RwLock<Keys>,
}

#[derive(Default)]
struct Keys {
    entries: BTreeMap<KeyId, Entry>,
    concealed: BTreeSet<KeyId>,
}

#[derive(Clone)]
struct Entry {
    key: DataKey,
    object: Bytes,
    wrapping: Wrapping,
}

impl Entry {
    /// A key as it is written now.
    fn new(key: DataKey, object: Bytes, masters: &MasterKeys) -> Entry {
        let wrapping = match masters.current {
            Some(_) => Wrapping::Current,
            None => Wrapping::Plain,
        };
        Entry {
            key,
            object,
            wrapping,
        }
    }
}

impl Keyring {
    /// The keys in the directory of the local log, which must be open: that keeps other processes
    /// away. Keys made from now on are wrapped by the current master key, if there is one. A wrapped
    /// key that does not open is `Invalid`.
    pub fn open(directory: &Path, masters: MasterKeys) -> Result<Keyring, StoreError> {
        let (file, stored) = KeyFile::open(directory)?;
        let mut entries = BTreeMap::new();
        for (id, object) in stored {
            let (key, wrapping) = masters.decode(&id, &object)?;
            let entry = Entry {
                key,
                object,
                wrapping,
            };
            entries.insert(id, entry);
        }
        let concealed = BTreeSet::new();
        Ok(Keyring {
            file: Mutex::new(Some(file)),
            masters,
            keys: RwLock::new(Keys { entries, concealed }),
        })
    }

    /// An empty keyring that keeps nothing, for a log in memory.
    pub fn in_memory(masters: MasterKeys) -> Keyring {
        Keyring {
            file: Mutex::new(None),
            masters,
            keys: RwLock::default(),
        }
    }

    /// The key, unless it was never made here or was forgotten.
    pub fn get(&self, id: &KeyId) -> Option<DataKey> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let entry = keys.entries.get(id)?;
        (!keys.concealed.contains(id)).then_some(entry.key)
    }

    /// The bytes to be stored as [`layout::key`]; those of a key that was forgotten too, until it is
    /// removed: a segment may name it that is not in the remote log yet.
    pub fn object(&self, id: &KeyId) -> Option<Bytes> {
        self.entry(id).map(|entry| entry.object)
    }

    /// Keeps new keys durably; blocks on the disk once. To be called before an event is sealed
    /// with one of them. A key that is there already is never replaced.
    pub fn create(&self, keys: &[(KeyId, DataKey)]) -> Result<(), StoreError> {
        let entries = keys
            .iter()
            .map(|(id, key)| {
                if !is_name(id) {
                    return Err(StoreError::Internal(format!("`{id}` cannot name a key")));
                }
                let object = self.masters.encode(id, key)?;
                Ok((id.clone(), Entry::new(*key, object, &self.masters)))
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        self.keep(entries)
    }

    /// Keeps a key as it is stored elsewhere.
    pub fn insert_object(&self, id: &KeyId, object: Bytes) -> Result<(), StoreError> {
        let entry = self.decode(id, object)?;
        self.keep(vec![(id.clone(), entry)])
    }

    /// Takes over the keys in the directory of another local log, which nobody uses any more; there
    /// nothing is left of them. Blocks on the disk.
    pub fn adopt(&self, directory: &Path) -> Result<(), StoreError> {
        let stored = file::read(directory)?.into_iter();
        let entries = stored.map(|(id, object)| Ok((id.clone(), self.decode(&id, object)?)));
        self.keep(entries.collect::<Result<_, StoreError>>()?)?;
        file::destroy(directory)
    }

    /// Opens nothing with these keys from now on, also should they come later: they were forgotten.
    /// Does not touch the disk.
    pub fn conceal<'a>(&self, ids: impl IntoIterator<Item = &'a KeyId>) {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        keys.concealed.extend(ids.into_iter().cloned());
    }

    /// Deletes keys in this place: they are in memory and in the file no more, nor where the file
    /// was. Blocks on the disk. Safe to repeat.
    pub fn remove(&self, ids: &[KeyId]) -> Result<(), StoreError> {
        if ids.iter().all(|id| self.entry(id).is_none()) {
            return Ok(());
        }
        let ids: BTreeSet<&KeyId> = ids.iter().collect();
        self.rewrite(|entries| {
            let kept = entries.iter().filter(|(id, _)| !ids.contains(id));
            Ok(kept.map(|(id, e)| (id.clone(), e.clone())).collect())
        })
    }

    /// Fetches every key of the remote log that is not here and was not forgotten; how many those
    /// were. Blocks on the disk once.
    pub async fn load_remote(
        &self,
        replica: &Replica,
        settings: &StoreSettings,
    ) -> Result<usize, StoreError> {
        let listed = rotation::listed(replica).await?.into_iter();
        let missing = listed.filter(|id| self.entry(id).is_none() && !self.is_concealed(id));
        let entries: Vec<(KeyId, Entry)> = stream::iter(missing)
            .map(|id| self.fetch(replica, id))
            .buffer_unordered(settings.restore_concurrency)
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
        let entry = self.decode(&id, object)?;
        Ok(Some((id, entry)))
    }

    fn decode(&self, id: &KeyId, object: Bytes) -> Result<Entry, StoreError> {
        let (key, wrapping) = self.masters.decode(id, &object)?;
        Ok(Entry {
            key,
            object,
            wrapping,
        })
    }

    fn entry(&self, id: &KeyId) -> Option<Entry> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.entries.get(id).cloned()
    }

    fn is_concealed(&self, id: &KeyId) -> bool {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.concealed.contains(id)
    }

    fn keep(&self, mut entries: Vec<(KeyId, Entry)>) -> Result<(), StoreError> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, entry) in &entries {
            if self.entry(id).is_some_and(|known| known.key != entry.key) {
                let path = layout::key(id);
                return Err(corrupt(path.as_ref(), "another key has the same id"));
            }
        }
        entries.retain(|(id, _)| self.entry(id).is_none());
        if entries.is_empty() {
            return Ok(());
        }
        if let Some(file) = file.as_mut() {
            file.append(entries.iter().map(|(id, entry)| (id, &entry.object)))?;
        }
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        keys.entries.extend(entries);
        Ok(())
    }

    /// Puts other keys in the place of all, on the disk and then in memory.
    fn rewrite(
        &self,
        change: impl FnOnce(&BTreeMap<KeyId, Entry>) -> Result<BTreeMap<KeyId, Entry>, StoreError>,
    ) -> Result<(), StoreError> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = {
            let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
            change(&keys.entries)?
        };
        if let Some(file) = file.as_mut() {
            let stored = entries.iter();
            let stored: Vec<_> = stored
                .map(|(id, e)| (id.clone(), e.object.clone()))
                .collect();
            file.replace(&stored)?;
        }
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        keys.entries = entries;
        Ok(())
    }
}

/// Deletes keys in the remote log. Safe to repeat; a key that is not there is deleted.
pub async fn delete(
    replica: &Replica,
    ids: &[KeyId],
    settings: &StoreSettings,
) -> Result<(), StoreError> {
    let paths = ids.iter().filter(|id| is_name(id)).map(layout::key);
    let paths: Vec<_> = paths.collect();
    let deleted = stream::iter(paths).map(|path| async move { replica.delete(&path).await });
    let mut deleted = deleted.buffer_unordered(settings.restore_concurrency);
    while deleted.try_next().await?.is_some() {}
    Ok(())
}

/// Those of these keys that are in the remote log although they were forgotten.
pub async fn returned(
    replica: &Replica,
    forgotten: &BTreeSet<KeyId>,
) -> Result<Vec<KeyId>, StoreError> {
    let mut listed = rotation::listed(replica).await?;
    listed.retain(|id| forgotten.contains(id));
    Ok(listed)
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

/// The keys these records forget.
pub fn forgotten_in(records: &[Record]) -> Vec<KeyId> {
    let of_kind = records.iter().filter(|record| record.kind == FORGOTTEN);
    let forgotten = of_kind.filter_map(|record| match record.event() {
        Ok(Event::ContentForgotten(event)) => Some(event.keys),
        _ => None,
    });
    forgotten.flatten().collect()
}

/// Ids are names of objects: nothing that a path would treat specially.
fn is_name(id: &KeyId) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=ID_BYTES_MAX).contains(&id.0.len()) && id.0.bytes().all(is_plain)
}

#[cfg(test)]
mod tests;
