//! The assistant's workspace: a tree of files, directories and symbolic links, recorded change by
//! change.
//!
//! Invariant: an entry is known by an id that says nothing about its path ([`file_id`]); paths are
//! sealed content, contents are sealed blobs under the same data key, so forgetting an author makes
//! both unreadable. What changes nothing is not recorded. A path is relative and stays inside.
//!
//! As in Git, the content of a symbolic link is its target. Who owns a file and when it was changed
//! is not recorded; neither are set-user-id, set-group-id and sticky bits.

use crate::actor::{Actor, Scope};
use crate::chain::Hash;
use crate::command::{Action, Command, FileChange};
use crate::content::{Content, DataKey};
use crate::decide::Draft;
use crate::error::Rejection;
use crate::event::{DirectoryCreated, FileDeleted, FileWritten};
use crate::ids::{FileId, KeyId, Seq, hex};
use crate::limits::{
    FILE_BYTES_MAX, FILE_CHANGES_MAX, PATH_BYTES_MAX, PATH_DEPTH_MAX, PATH_NAME_BYTES_MAX,
    WORKSPACE_BYTES_MAX, WORKSPACE_ENTRIES_MAX,
};
use crate::record::Record;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The stream of everything about files.
pub const STREAM: &str = "workspace";
/// Whose data key makes ids of paths ([`file_id`]).
pub const INDEX_AUTHOR: &str = "index";

/// The bits of `st_mode` that say what an entry is
/// ([inode(7)](https://man7.org/linux/man-pages/man7/inode.7.html)).
pub const TYPE_BITS: u32 = 0o170_000;
/// A regular file.
pub const REGULAR: u32 = 0o100_000;
/// A directory.
pub const DIRECTORY: u32 = 0o040_000;
/// A symbolic link.
pub const SYMLINK: u32 = 0o120_000;
/// The bits that say who may read, write and execute.
pub const PERMISSION_BITS: u32 = 0o777;

/// What stands at one path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its path, from the root of the workspace.
    pub path: Content,
    /// Type and permission bits of `st_mode`, as `0o100644`.
    pub mode: u32,
    /// Bytes of its content.
    pub size: u64,
    /// Where its content is; `None` when there is none. Sealed with the key of the path.
    pub blob: Option<Hash>,
    /// The record that last changed it.
    pub seq: Seq,
}

impl Entry {
    /// Type bits.
    pub fn kind(&self) -> u32 {
        self.mode & TYPE_BITS
    }
}

/// The tree.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Workspace {
    entries: BTreeMap<FileId, Entry>,
    bytes: u64,
}

impl Workspace {
    /// What has this id.
    pub fn get(&self, file: &FileId) -> Option<&Entry> {
        self.entries.get(file)
    }

    /// Everything, by id.
    pub fn iter(&self) -> impl Iterator<Item = (&FileId, &Entry)> {
        self.entries.iter()
    }

    /// How many files, directories and links there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of all contents.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn written(&mut self, record: &Record, event: &FileWritten) {
        let entry = Entry {
            path: event.path.clone(),
            mode: event.mode,
            size: event.size,
            blob: event.blob,
            seq: record.seq,
        };
        self.put(&event.file, Some(entry));
    }

    pub(crate) fn directory_created(&mut self, record: &Record, event: &DirectoryCreated) {
        let entry = Entry {
            path: event.path.clone(),
            mode: event.mode,
            size: 0,
            blob: None,
            seq: record.seq,
        };
        self.put(&event.file, Some(entry));
    }

    pub(crate) fn deleted(&mut self, event: &FileDeleted) {
        self.put(&event.file, None);
    }

    fn put(&mut self, file: &FileId, entry: Option<Entry>) {
        let size = entry.as_ref().map_or(0, |entry| entry.size);
        let before = match entry {
            Some(entry) => self.entries.insert(file.clone(), entry),
            None => self.entries.remove(file),
        };
        let gone = before.map_or(0, |entry| entry.size);
        self.bytes = self.bytes.saturating_sub(gone).saturating_add(size);
    }
}

/// The id of a path: a keyed hash, so that the same path is always the same entry and nobody
/// without the key can tell, or guess, which. `key` is the data key of [`STREAM`] and
/// [`INDEX_AUTHOR`].
pub fn file_id(key: &DataKey, path: &str) -> FileId {
    let secret = blake3::derive_key("moltbot 2026 workspace path id", &key.0);
    let hash = blake3::keyed_hash(&secret, path.as_bytes());
    FileId(hex(hash.as_bytes().split_at(16).0))
}

/// Whose data key seals what this actor records.
pub fn author(actor: &Actor) -> String {
    match actor {
        Actor::System => "assistant".to_owned(),
        other => other.to_string(),
    }
}

/// Why a path cannot be recorded; `None` when it can.
pub fn path_problem(path: &str) -> Option<String> {
    let long = |what, bytes| Some(format!("{what} has more than {bytes} bytes"));
    if path.is_empty() {
        return Some("it is empty".to_owned());
    }
    if path.starts_with('/') {
        return Some("it is not relative".to_owned());
    }
    if path.contains('\0') {
        return Some("it contains a NUL byte".to_owned());
    }
    if path.len() > PATH_BYTES_MAX {
        return long("it", PATH_BYTES_MAX);
    }
    if path.split('/').count() > PATH_DEPTH_MAX {
        return Some(format!("it is deeper than {PATH_DEPTH_MAX} directories"));
    }
    path.split('/').find_map(|name| match name {
        "" => Some("it contains an empty name".to_owned()),
        "." | ".." => Some(format!("it contains `{name}`")),
        name if name.len() > PATH_NAME_BYTES_MAX => long("a name in it", PATH_NAME_BYTES_MAX),
        _ => None,
    })
}

pub(crate) fn decide(draft: &mut Draft, command: &Command) -> Result<(), Rejection> {
    draft.require(&command.actor, Scope::Admin)?;
    match &command.action {
        Action::CreateWorkspaceKeys => {
            draft.key(STREAM, INDEX_AUTHOR);
            draft.key(STREAM, &author(&command.actor));
            Ok(())
        }
        Action::RecordFiles { key, changes } => record(draft, &command.actor, key, changes),
        _ => Ok(()),
    }
}

fn record(
    draft: &mut Draft,
    actor: &Actor,
    key: &KeyId,
    changes: &[FileChange],
) -> Result<(), Rejection> {
    if changes.len() > FILE_CHANGES_MAX {
        let text = format!("at most {FILE_CHANGES_MAX} changes of files are recorded at once");
        return Err(Rejection::new("too_many_changes", text));
    }
    let author = author(actor);
    if draft.known_key(STREAM, &author) != Some(key) {
        return Err(Rejection::new(
            "key_changed",
            "the key that protects these files is another one by now; record them again",
        ));
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = changes.iter().find(|change| !seen.insert(change.file())) {
        let text = format!("`{}` is changed twice at once", twice.file());
        return Err(Rejection::new("file_twice", text));
    }
    changes.iter().try_for_each(check)?;
    check_size(&draft.state.workspace, changes)?;
    for change in changes {
        push(draft, &author, change);
    }
    Ok(())
}

/// Records a change, unless everything is so already.
fn push(draft: &mut Draft, author: &str, change: &FileChange) {
    let known = draft.state.workspace.get(change.file());
    let same = |mode: u32, blob: Option<Hash>, size: u64| {
        known.is_some_and(|entry| (entry.mode, entry.blob, entry.size) == (mode, blob, size))
    };
    match change {
        FileChange::Write {
            file,
            path,
            mode,
            size,
            blob,
        } if !same(*mode, *blob, *size) => {
            let path = draft.content(STREAM, author, path);
            draft.push(FileWritten {
                file: file.clone(),
                path,
                mode: *mode,
                size: *size,
                blob: *blob,
            });
        }
        FileChange::Directory { file, path, mode } if !same(*mode, None, 0) => {
            let path = draft.content(STREAM, author, path);
            draft.push(DirectoryCreated {
                file: file.clone(),
                path,
                mode: *mode,
            });
        }
        FileChange::Delete { file } if known.is_some() => {
            draft.push(FileDeleted { file: file.clone() });
        }
        _ => {}
    }
}

fn check(change: &FileChange) -> Result<(), Rejection> {
    let (path, mode, kinds, size) = match change {
        FileChange::Write {
            path, mode, size, ..
        } => (path, *mode, [REGULAR, SYMLINK].as_slice(), *size),
        FileChange::Directory { path, mode, .. } => (path, *mode, [DIRECTORY].as_slice(), 0),
        FileChange::Delete { .. } => return Ok(()),
    };
    if let Some(problem) = path_problem(path) {
        let text = format!("a path of the workspace cannot be recorded: {problem}");
        return Err(Rejection::new("bad_path", text));
    }
    if !kinds.contains(&(mode & TYPE_BITS)) || mode & !(TYPE_BITS | PERMISSION_BITS) != 0 {
        let text = format!("{mode:o} is no mode of a file, directory or symbolic link here");
        return Err(Rejection::new("bad_mode", text));
    }
    let is_whole = match change {
        FileChange::Write { blob, size, .. } => blob.is_some() == (*size > 0),
        _ => true,
    };
    if !is_whole {
        let text = "a file has a content exactly when it has a size";
        return Err(Rejection::new("bad_content", text));
    }
    if size > FILE_BYTES_MAX {
        let text = format!("a file of the workspace has at most {FILE_BYTES_MAX} bytes");
        return Err(Rejection::new("file_too_large", text));
    }
    Ok(())
}

/// Whether the workspace stays within its bounds with these changes.
fn check_size(workspace: &Workspace, changes: &[FileChange]) -> Result<(), Rejection> {
    let (mut entries, mut bytes) = (workspace.len(), workspace.bytes());
    for change in changes {
        let known = workspace.get(change.file());
        bytes = bytes.saturating_sub(known.map_or(0, |entry| entry.size));
        match change {
            FileChange::Delete { .. } => entries -= usize::from(known.is_some()),
            FileChange::Write { size, .. } => {
                entries += usize::from(known.is_none());
                bytes = bytes.saturating_add(*size);
            }
            FileChange::Directory { .. } => entries += usize::from(known.is_none()),
        }
    }
    let grows = entries > workspace.len() || bytes > workspace.bytes();
    if grows && entries > WORKSPACE_ENTRIES_MAX {
        let text = format!(
            "the workspace holds at most {WORKSPACE_ENTRIES_MAX} files and directories; \
             exclude some (workspace.exclude) or delete them"
        );
        return Err(Rejection::new("too_many_files", text));
    }
    if grows && bytes > WORKSPACE_BYTES_MAX {
        let text = format!(
            "the workspace holds at most {WORKSPACE_BYTES_MAX} bytes; \
             exclude some files (workspace.exclude) or delete them"
        );
        return Err(Rejection::new("workspace_full", text));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
