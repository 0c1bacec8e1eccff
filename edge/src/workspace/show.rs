//! The files of the log as clients see them: pages of the tree, and the content of one file.

use super::tree::{self, Recorded, Tree, Version};
use crate::gateway::Running;
use crate::limits::{FILE_SHOWN_BYTES_MAX, FILES_LISTED_MAX};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use moltbot_core::workspace::{DIRECTORY, SYMLINK, TYPE_BITS};
use moltbot_store::blobs::BlobReader;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ops::Bound;

/// Why nothing is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotShown {
    /// There is no such file.
    Unknown,
    /// It is too large, or a directory.
    Unfit(String),
    /// Its content cannot be had now.
    Unavailable(String),
}

/// The files after a path, in order.
pub fn list(running: &Running, after: Option<&str>, limit: usize) -> Value {
    let tree = open(running);
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let limit = limit.clamp(1, FILES_LISTED_MAX);
    let mut rows = tree.nodes.range::<str, _>((from, Bound::Unbounded));
    let files: Vec<Value> = rows
        .by_ref()
        .take(limit)
        .map(|(path, node)| row(path, &Version::of(&node.entry), node.entry.seq.0))
        .collect();
    json!({
        "files": files,
        "hasMore": rows.next().is_some(),
        "count": tree.nodes.len(),
        "forgotten": tree.forgotten,
        "caseCollisions": case_collisions(&tree),
    })
}

/// One file with its content, if it is small enough.
pub async fn get(running: &Running, path: &str) -> Result<Value, NotShown> {
    let tree = open(running);
    let node = tree.nodes.get(path).ok_or(NotShown::Unknown)?;
    let version = Version::of(&node.entry);
    if version.mode & TYPE_BITS == DIRECTORY {
        return Err(NotShown::Unfit("it is a directory".to_owned()));
    }
    if version.size > FILE_SHOWN_BYTES_MAX {
        let text = format!(
            "it has {} bytes; at most {FILE_SHOWN_BYTES_MAX} are shown",
            version.size
        );
        return Err(NotShown::Unfit(text));
    }
    let keyring = running.reader.keyring();
    let gone = || NotShown::Unavailable("the key of its content was forgotten".to_owned());
    let key = tree::blob_key(&keyring, &version.key).ok_or_else(gone)?;
    let mut content = Vec::new();
    if let Some(blob) = &version.blob {
        let failed =
            |error: moltbot_store::error::StoreError| NotShown::Unavailable(error.to_string());
        let reader = BlobReader::open(&running.replica, &key, blob, version.size).await;
        let mut reader = reader.map_err(failed)?;
        while let Some(bytes) = reader.next().await.map_err(failed)? {
            content.extend_from_slice(&bytes);
        }
    }
    let mut file = row(path, &version, node.entry.seq.0);
    match String::from_utf8(content) {
        Ok(text) => file["text"] = json!(text),
        Err(bytes) => file["base64"] = json!(STANDARD.encode(bytes.as_bytes())),
    }
    Ok(file)
}

fn open(running: &Running) -> Tree {
    let recorded = running.view.read(Recorded::in_model);
    Tree::open(recorded, &running.reader.keyring())
}

fn row(path: &str, version: &Version, seq: u64) -> Value {
    let kind = match version.mode & TYPE_BITS {
        DIRECTORY => "directory",
        SYMLINK => "symlink",
        _ => "file",
    };
    json!({
        "path": path,
        "kind": kind,
        "mode": format!("{:06o}", version.mode),
        "size": version.size,
        "seq": seq,
    })
}

/// Paths that are one and the same where letters are not told apart by case.
fn case_collisions(tree: &Tree) -> usize {
    let mut folded: BTreeMap<String, usize> = BTreeMap::new();
    for path in tree.nodes.keys() {
        *folded.entry(path.to_lowercase()).or_default() += 1;
    }
    folded.values().filter(|count| **count > 1).sum()
}
