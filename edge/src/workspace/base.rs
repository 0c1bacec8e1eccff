//! What log and disk last agreed on, file by file: it tells a file that was deleted here from one
//! that never came here, and a file that was changed here from one that was changed in the log.
//!
//! Invariant: a cache beside the workspace, with ids and no paths. It counts only for the same log,
//! not an earlier state of it, and for the same directory, not an empty or another one in its place:
//! otherwise nothing was agreed on, and nothing is ever deleted for it.

use super::root::{Root, Stamp};
use super::tree::{Tree, Version};
use moltbot_core::chain::Hash;
use moltbot_core::ids::{FileId, KeyId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// Version of the file's form; another one counts as none.
const VERSION: u32 = 1;
/// A file that changed so shortly before it was looked at may change again without showing it.
const RACY_MS: i64 = 2_000;

/// A file on which log and disk agreed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreed {
    mode: u32,
    size: u64,
    blob: Option<Hash>,
    key: KeyId,
    /// Of the file on the disk; `None` when it says nothing.
    stamp: Option<Stamp>,
}

impl Agreed {
    /// The version, and the file on the disk when its stamp can be relied upon. `looked_at_ms`: when.
    pub fn new(version: &Version, stamp: Stamp, looked_at_ms: i64) -> Agreed {
        let is_settled = stamp.ms() + RACY_MS < looked_at_ms;
        Agreed {
            mode: version.mode,
            size: version.size,
            blob: version.blob,
            key: version.key.clone(),
            stamp: is_settled.then_some(stamp),
        }
    }

    /// What was agreed on.
    pub fn version(&self) -> Version {
        Version {
            mode: self.mode,
            size: self.size,
            blob: self.blob,
            key: self.key.clone(),
        }
    }

    /// Whether the file was surely not touched since.
    pub fn is_untouched(&self, stamp: Stamp) -> bool {
        self.stamp == Some(stamp)
    }
}

/// Everything agreed on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    version: u32,
    /// The key that made the ids: that of the log.
    index: Option<KeyId>,
    /// How far the log was.
    seq: u64,
    /// Device and inode of the directory.
    root: (u64, u64),
    /// The files.
    pub files: BTreeMap<FileId, Agreed>,
}

impl Base {
    /// Reads what was agreed on between this log and this directory; nothing when nothing is kept.
    pub fn load(path: Option<&Path>, tree: &Tree, root: &Root) -> io::Result<Base> {
        let known = match path.map(std::fs::read) {
            Some(Ok(bytes)) => serde_json::from_slice::<Base>(&bytes).ok(),
            Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => None,
        };
        let now = Base {
            version: VERSION,
            index: tree.index.as_ref().map(|(id, _)| id.clone()),
            seq: tree.cursor.seq.0,
            root: root.identity()?,
            files: BTreeMap::new(),
        };
        let is_empty = root.top()?.entries()?.next().is_none();
        let fits = |base: &Base| {
            base.version == now.version
                && base.index == now.index
                && base.seq <= now.seq
                && base.root == now.root
                && !is_empty
        };
        let files = known.filter(fits).map(|base| base.files);
        Ok(Base {
            files: files.unwrap_or_default(),
            ..now
        })
    }

    /// Writes it in place of the one before, if it is kept.
    pub fn save(&mut self, path: Option<&Path>, tree: &Tree) -> io::Result<()> {
        let Some(path) = path else {
            return Ok(());
        };
        self.index = tree.index.as_ref().map(|(id, _)| id.clone());
        self.seq = self.seq.max(tree.cursor.seq.0);
        let bytes = serde_json::to_vec(self)?;
        let part = path.with_extension("part");
        let mut file = File::create(&part)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&part, path)
    }
}
