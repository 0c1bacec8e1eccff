//! The workspace as the log says it is, with its paths opened.

use super::base::Agreed;
use super::root::Found;
use crate::view::Model;
use moltbot_core::chain::{Cursor, Hash};
use moltbot_core::content::{DataKey, Opened};
use moltbot_core::ids::{FileId, KeyId};
use moltbot_core::state::State;
use moltbot_core::workspace::{self, Entry, INDEX_AUTHOR, STREAM, Workspace};
use moltbot_store::blobs::BlobKey;
use moltbot_store::keys::Keyring;
use std::collections::{BTreeMap, BTreeSet};

/// What is compared of a file: two of the same version are the same file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Type and permission bits.
    pub mode: u32,
    /// Bytes of the content.
    pub size: u64,
    /// Where the content is.
    pub blob: Option<Hash>,
    /// What seals it.
    pub key: KeyId,
}

impl Version {
    /// Of an entry of the log.
    pub fn of(entry: &Entry) -> Version {
        Version {
            mode: entry.mode,
            size: entry.size,
            blob: entry.blob,
            key: entry.path.key().clone(),
        }
    }
}

/// A file of the log.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its id.
    pub file: FileId,
    /// What is recorded of it.
    pub entry: Entry,
}

/// What is needed of the state to see the tree; taken quickly, opened later.
#[derive(Debug, Clone)]
pub struct Recorded {
    workspace: Workspace,
    index: Option<KeyId>,
    cursor: Cursor,
}

impl Recorded {
    /// Copies it out of the state.
    pub fn of(state: &State) -> Recorded {
        Recorded {
            workspace: state.workspace.clone(),
            index: key_of(state, INDEX_AUTHOR),
            cursor: state.cursor,
        }
    }

    /// Copies it out of the model.
    pub fn in_model(model: &Model) -> Recorded {
        Recorded::of(&model.state)
    }
}

/// The data key of an author of files, once there is one.
pub fn key_of(state: &State, author: &str) -> Option<KeyId> {
    state.vault.get(&format!("{STREAM}|{author}")).cloned()
}

/// The tree after some record.
#[derive(Debug, Clone)]
pub struct Tree {
    /// Its files, by path.
    pub nodes: BTreeMap<String, Node>,
    /// Files whose key was forgotten: they are there, and nobody can read them or their names.
    pub forgotten: usize,
    /// The record.
    pub cursor: Cursor,
    /// The key that makes ids of paths, once there is one.
    pub index: Option<(KeyId, DataKey)>,
    known: BTreeSet<FileId>,
}

impl Tree {
    /// Opens the paths. Takes about a microsecond for each.
    pub fn open(recorded: Recorded, keyring: &Keyring) -> Tree {
        let index = recorded.index.and_then(|id| {
            let key = keyring.get(&id)?;
            Some((id, key))
        });
        let mut tree = Tree {
            nodes: BTreeMap::new(),
            forgotten: 0,
            cursor: recorded.cursor,
            index,
            known: BTreeSet::new(),
        };
        let mut keys: BTreeMap<KeyId, Option<DataKey>> = BTreeMap::new();
        for (file, entry) in recorded.workspace.iter() {
            tree.known.insert(file.clone());
            let id = entry.path.key();
            if !keys.contains_key(id) {
                keys.insert(id.clone(), keyring.get(id));
            }
            let key = keys.get(id).and_then(Option::as_ref);
            match entry.path.open(key) {
                // What could not have been recorded so is not believed.
                Opened::Text(path)
                    if workspace::path_problem(&path).is_none()
                        && tree.id(&path).as_ref() == Some(file) =>
                {
                    let node = Node {
                        file: file.clone(),
                        entry: entry.clone(),
                    };
                    tree.nodes.insert(path, node);
                }
                _ => tree.forgotten += 1,
            }
        }
        tree
    }

    /// The id of a path.
    pub fn id(&self, path: &str) -> Option<FileId> {
        let (_, key) = self.index.as_ref()?;
        Some(workspace::file_id(key, path))
    }

    /// Whether what is on the disk is left over from a file that was forgotten: it may not be
    /// recorded anew. Without its key nobody can tell whether its content is still the same.
    pub fn is_remainder(&self, path: &str, disk: &Found, base: Option<&Agreed>) -> bool {
        let is_forgotten = !self.nodes.contains_key(path)
            && self.id(path).is_some_and(|file| self.known.contains(&file));
        let base = base.map(Agreed::version);
        is_forgotten && base.is_some_and(|base| (base.mode, base.size) == (disk.mode, disk.size))
    }

    /// What stands at a path.
    pub fn version(&self, path: &str) -> Option<Version> {
        self.nodes.get(path).map(|node| Version::of(&node.entry))
    }
}

/// What opens contents sealed with a data key; `None` when it was forgotten.
pub fn blob_key(keyring: &Keyring, id: &KeyId) -> Option<BlobKey> {
    Some(BlobKey::new(id, &keyring.get(id)?))
}
