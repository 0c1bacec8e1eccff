//! Blobs: payloads too large for a record, sealed in chunks and stored under the hash of their bytes.
//!
//! Invariant: what is read has the hash it was asked for and opens with the key it was sealed with,
//! so a blob can be stored any number of times by anyone. A blob is durable on this machine
//! ([`LocalBlobs`]) before the record that names it, and in the remote log before the segment that
//! names it. Memory is bounded by a few chunks, whatever the size. Does not know what a blob is for.
//!
//! Content of at most one chunk is that chunk; longer content is a list of chunks. Their forms stand
//! in `blobs/form.rs`.

mod form;
mod local;

pub use form::BlobKey;
pub use local::{LocalBlobs, Waiting};

use crate::error::StoreError;
use crate::layout;
use crate::replica::{Created, Replica};
use crate::settings::{BLOB_CHUNK_BYTES, BLOB_OBJECT_BYTES_MAX, BLOB_UPLOADS};
use bytes::Bytes;
use form::List;
use futures_util::{StreamExt, TryStreamExt, stream};
use moltbot_core::chain::Hash;
use moltbot_core::limits::FILE_BYTES_MAX;
use std::collections::{BTreeSet, VecDeque};

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Its name; `None` when it is empty.
    pub blob: Option<Hash>,
    /// Bytes of the content.
    pub bytes: u64,
}

/// Seals content piece by piece. Blocks on the disk.
pub struct BlobWriter<'a> {
    local: Option<&'a LocalBlobs>,
    key: &'a BlobKey,
    buffer: Vec<u8>,
    chunks: Vec<Hash>,
    bytes: u64,
}

impl<'a> BlobWriter<'a> {
    /// Stores what it seals. Durable only after [`LocalBlobs::sync`].
    pub fn new(local: &'a LocalBlobs, key: &'a BlobKey) -> BlobWriter<'a> {
        BlobWriter {
            local: Some(local),
            ..BlobWriter::naming(key)
        }
    }

    /// Stores nothing: only says which name the content would have.
    pub fn naming(key: &'a BlobKey) -> BlobWriter<'a> {
        BlobWriter {
            local: None,
            key,
            buffer: Vec::new(),
            chunks: Vec::new(),
            bytes: 0,
        }
    }

    /// Takes the next bytes. `Invalid` when there are too many.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), StoreError> {
        self.bytes += bytes.len() as u64;
        if self.bytes > FILE_BYTES_MAX {
            return Err(StoreError::Invalid(format!(
                "it has more than the {FILE_BYTES_MAX} bytes that a file may have"
            )));
        }
        while !bytes.is_empty() {
            // A full chunk is sealed only when something follows it.
            if self.buffer.len() == BLOB_CHUNK_BYTES {
                self.seal()?;
            }
            let room = BLOB_CHUNK_BYTES - self.buffer.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    /// Seals the rest.
    pub fn finish(mut self) -> Result<Written, StoreError> {
        if !self.buffer.is_empty() {
            self.seal()?;
        }
        let blob = match self.chunks.as_slice() {
            [] => None,
            [only] => Some(*only),
            _ => {
                let list = List {
                    size: self.bytes,
                    chunks: std::mem::take(&mut self.chunks),
                };
                Some(self.keep(&list.encode()?)?)
            }
        };
        Ok(Written {
            blob,
            bytes: self.bytes,
        })
    }

    fn seal(&mut self) -> Result<(), StoreError> {
        let sealed = self.key.seal(&self.buffer)?;
        let name = self.keep(&sealed)?;
        self.chunks.push(name);
        self.buffer.clear();
        Ok(())
    }

    fn keep(&self, sealed: &[u8]) -> Result<Hash, StoreError> {
        let name = Hash::of(sealed);
        if let Some(local) = self.local {
            local.put(&name, sealed)?;
        }
        Ok(name)
    }
}

/// Reads content chunk by chunk.
pub struct BlobReader<'a> {
    replica: &'a Replica,
    key: &'a BlobKey,
    first: Option<(Hash, Bytes)>,
    rest: VecDeque<Hash>,
    left: u64,
}

impl<'a> BlobReader<'a> {
    /// The content of this name and size: from this machine, else from the remote log. `Corrupt`
    /// names an object that is missing or is not what was written.
    pub async fn open(
        replica: &'a Replica,
        key: &'a BlobKey,
        blob: &Hash,
        size: u64,
    ) -> Result<BlobReader<'a>, StoreError> {
        let bytes = find(replica, blob).await?;
        let (first, rest) = match List::decode(blob, &bytes)? {
            None => (Some((*blob, bytes)), VecDeque::new()),
            Some(list) if list.size != size => return Err(wrong_size(blob)),
            Some(list) => (None, list.chunks.into()),
        };
        Ok(BlobReader {
            replica,
            key,
            first,
            rest,
            left: size,
        })
    }

    /// The next bytes; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        let (name, sealed) = match (self.first.take(), self.rest.pop_front()) {
            (Some(first), _) => first,
            (None, Some(name)) => (name, find(self.replica, &name).await?),
            (None, None) => return Ok(None),
        };
        let plain = self.key.open(&name, &sealed)?;
        let is_last = self.rest.is_empty();
        match self.left.checked_sub(plain.len() as u64) {
            Some(left) if (left == 0) == is_last => self.left = left,
            _ => return Err(wrong_size(&name)),
        }
        Ok(Some(plain))
    }
}

fn wrong_size(name: &Hash) -> StoreError {
    StoreError::Corrupt {
        place: format!("`{}`", layout::blob(name)),
        reason: "its content has another size than was recorded".to_owned(),
    }
}

/// A blob that must be somewhere.
async fn find(replica: &Replica, name: &Hash) -> Result<Bytes, StoreError> {
    if let Some(local) = &replica.blobs
        && let Some(bytes) = local.get(name)?
    {
        return Ok(bytes);
    }
    get(replica, name)
        .await?
        .ok_or_else(|| StoreError::Corrupt {
            place: format!("`{}`", layout::blob(name)),
            reason: "it is not there; put it back from a backup of the bucket".to_owned(),
        })
}

/// Uploads these blobs with everything below them, as far as they wait on this machine. After an
/// error, only what is missing is uploaded when it is called again.
pub async fn upload(replica: &Replica, names: &[Hash]) -> Result<(), StoreError> {
    let Some(local) = &replica.blobs else {
        return Ok(());
    };
    let (mut chunks, mut lists) = (BTreeSet::new(), BTreeSet::new());
    for name in names {
        if !local.waits(name) {
            warn_if_lost(replica, local, name).await?;
            continue;
        }
        match below(local, name)? {
            None => _ = chunks.insert(*name),
            Some(list) => {
                lists.insert(*name);
                chunks.extend(list.chunks.into_iter().filter(|chunk| local.waits(chunk)));
            }
        }
    }
    // Whoever finds a list finds what it names.
    upload_all(replica, local, chunks).await?;
    upload_all(replica, local, lists).await
}

/// The same names, and those of everything below them that waits on this machine.
pub fn with_chunks(local: &LocalBlobs, names: &[Hash]) -> Result<BTreeSet<Hash>, StoreError> {
    let mut all = BTreeSet::new();
    for name in names {
        all.insert(*name);
        if let Some(list) = below(local, name)? {
            all.extend(list.chunks);
        }
    }
    Ok(all)
}

fn below(local: &LocalBlobs, name: &Hash) -> Result<Option<List>, StoreError> {
    match local.get(name)? {
        Some(bytes) => List::decode(name, &bytes),
        None => Ok(None),
    }
}

/// What neither waits here nor was uploaded is lost. The record that names it is shipped all the
/// same: holding everything else back would only lose more.
async fn warn_if_lost(
    replica: &Replica,
    local: &LocalBlobs,
    name: &Hash,
) -> Result<(), StoreError> {
    if !local.is_here(name) && !replica.exists(&layout::blob(name)).await? {
        let object = layout::blob(name).to_string();
        tracing::error!(object, "a recorded file has lost its content");
    }
    Ok(())
}

async fn upload_all(
    replica: &Replica,
    local: &LocalBlobs,
    names: BTreeSet<Hash>,
) -> Result<(), StoreError> {
    stream::iter(names)
        .map(|name| async move {
            // Somebody else may have uploaded it meanwhile.
            let Some(sealed) = local.get(&name)? else {
                return Ok(());
            };
            let bytes = sealed.len() as u64;
            put(replica, sealed).await?;
            local.uploaded(&name, bytes)
        })
        .buffer_unordered(BLOB_UPLOADS)
        .try_collect()
        .await
}

/// Stores sealed bytes in the remote log; their hash is their name. Safe to repeat after any
/// failure.
pub async fn put(replica: &Replica, sealed: Bytes) -> Result<Hash, StoreError> {
    if sealed.len() > BLOB_OBJECT_BYTES_MAX {
        return Err(StoreError::Internal(format!(
            "{} bytes are more than the {BLOB_OBJECT_BYTES_MAX} of the largest blob",
            sealed.len(),
        )));
    }
    let hash = Hash::of(&sealed);
    if replica.create(&layout::blob(&hash), sealed).await? == Created::Exists {
        // A blob that was damaged where it lies must not be relied upon.
        get(replica, &hash)
            .await?
            .ok_or_else(|| StoreError::Remote {
                operation: "read",
                object: layout::blob(&hash).to_string(),
                reason: "it exists but cannot be read".to_owned(),
            })?;
    }
    Ok(hash)
}

/// The sealed bytes with this hash in the remote log; `None` when they are not there (forgotten, or
/// never shipped).
pub async fn get(replica: &Replica, hash: &Hash) -> Result<Option<Bytes>, StoreError> {
    let path = layout::blob(hash);
    let Some(bytes) = replica.get(&path).await? else {
        return Ok(None);
    };
    if Hash::of(&bytes) != *hash {
        return Err(StoreError::Corrupt {
            place: format!("`{path}`"),
            reason: "its bytes have another hash".to_owned(),
        });
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests;
