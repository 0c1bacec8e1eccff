//! Blobs on this machine: those that wait for the remote log, and some of those that are there.
//!
//! ```text
//! part/<n>          being written; removed at the next start
//! waiting/<hash>    durable here, not in the remote log yet; never evicted
//! kept/<hash>       in the remote log too; the oldest go first when there is no room
//! ```
//!
//! Invariant: a file below `waiting/` or `kept/` is whole, it was synced before it got its name; what
//! [`LocalBlobs::put`] stored survives a lost power supply once [`LocalBlobs::sync`] returned.
//! Blocks on the disk.

use crate::error::StoreError;
use bytes::Bytes;
use moltbot_core::chain::Hash;
use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

const PART: &str = "part";
const WAITING: &str = "waiting";
const KEPT: &str = "kept";

/// The directory.
#[derive(Debug)]
pub struct LocalBlobs {
    directory: PathBuf,
    kept_bytes_max: u64,
    next_part: AtomicU64,
    kept: Mutex<Kept>,
    waiting: Mutex<Waiting>,
}

/// What is in `waiting/`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// How many blobs.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Waiting {
    fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }

    fn take(&mut self, bytes: u64) {
        self.count = self.count.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// What is in `kept/`, oldest first.
#[derive(Debug, Default)]
struct Kept {
    order: VecDeque<(Hash, u64)>,
    bytes: u64,
}

impl LocalBlobs {
    /// Opens the directory, or makes it. Of what is in the remote log too, at most `kept_bytes_max`
    /// stay here.
    pub fn open(directory: &Path, kept_bytes_max: u64) -> Result<LocalBlobs, StoreError> {
        let blobs = LocalBlobs {
            directory: directory.to_owned(),
            kept_bytes_max,
            next_part: AtomicU64::new(0),
            kept: Mutex::default(),
            waiting: Mutex::default(),
        };
        for name in [PART, WAITING, KEPT] {
            let path = directory.join(name);
            fs::create_dir_all(&path).map_err(|error| failed("make", &path, &error))?;
        }
        for (path, _) in files(&directory.join(PART))? {
            remove(&path)?;
        }
        for (_, metadata) in files(&directory.join(WAITING))? {
            blobs.lock_waiting().add(metadata.len());
        }
        let mut kept = Vec::new();
        for (path, metadata) in files(&directory.join(KEPT))? {
            match name_of(&path) {
                Some(name) => kept.push((metadata.modified().ok(), name, metadata.len())),
                None => remove(&path)?,
            }
        }
        kept.sort();
        for (_, name, bytes) in kept {
            blobs.remember(name, bytes)?;
        }
        Ok(blobs)
    }

    /// Stores a blob that is not in the remote log, unless it is here. [`LocalBlobs::sync`] makes it
    /// durable together with others.
    pub fn put(&self, name: &Hash, bytes: &[u8]) -> Result<(), StoreError> {
        if self.is_here(name) {
            return Ok(());
        }
        let number = self.next_part.fetch_add(1, Ordering::Relaxed);
        let part = self.directory.join(PART).join(number.to_string());
        let write = || {
            let mut file = File::create_new(&part)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            // Of two who store the same, one counts.
            let mut waiting = self.lock_waiting();
            let path = self.path(WAITING, name);
            if path.exists() {
                return fs::remove_file(&part);
            }
            fs::rename(&part, path)?;
            waiting.add(bytes.len() as u64);
            Ok(())
        };
        write().map_err(|error| failed("write", &part, &error))
    }

    /// Makes the names of everything stored so far durable.
    pub fn sync(&self) -> Result<(), StoreError> {
        let path = self.directory.join(WAITING);
        File::open(&path)
            .and_then(|directory| directory.sync_all())
            .map_err(|error| failed("sync", &path, &error))
    }

    /// A blob that is here.
    pub fn get(&self, name: &Hash) -> Result<Option<Bytes>, StoreError> {
        // It may move from the one to the other meanwhile, never back.
        for place in [WAITING, KEPT] {
            let path = self.path(place, name);
            match fs::read(&path) {
                Ok(bytes) if Hash::of(&bytes) == *name => return Ok(Some(bytes.into())),
                // A disk that forgets is no reason to fail: the remote log may have it.
                Ok(bytes) => {
                    remove(&path)?;
                    if place == WAITING {
                        self.lock_waiting().take(bytes.len() as u64);
                    }
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(failed("read", &path, &error)),
            }
        }
        Ok(None)
    }

    /// Whether a blob waits for the remote log.
    pub fn waits(&self, name: &Hash) -> bool {
        self.path(WAITING, name).exists()
    }

    /// Whether a blob is here.
    pub fn is_here(&self, name: &Hash) -> bool {
        self.waits(name) || self.path(KEPT, name).exists()
    }

    /// A blob is in the remote log now.
    pub fn uploaded(&self, name: &Hash, bytes: u64) -> Result<(), StoreError> {
        let (from, to) = (self.path(WAITING, name), self.path(KEPT, name));
        match fs::rename(&from, &to) {
            Ok(()) => {
                self.lock_waiting().take(bytes);
                self.remember(*name, bytes)
            }
            // Somebody else said so.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed("move", &from, &error)),
        }
    }

    /// Removes everything that waits and is not among these: no record names it. How many those
    /// were. To be called while nothing is recorded.
    pub fn sweep(&self, named: &BTreeSet<Hash>) -> Result<usize, StoreError> {
        let mut removed = 0;
        for (path, metadata) in files(&self.directory.join(WAITING))? {
            if !name_of(&path).is_some_and(|name| named.contains(&name)) {
                remove(&path)?;
                self.lock_waiting().take(metadata.len());
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// What waits for the remote log.
    pub fn waiting(&self) -> Waiting {
        *self.lock_waiting()
    }

    fn lock_waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a blob in mind as the newest, and makes room.
    fn remember(&self, name: Hash, bytes: u64) -> Result<(), StoreError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.order.push_back((name, bytes));
        kept.bytes += bytes;
        while kept.bytes > self.kept_bytes_max {
            let Some((oldest, bytes)) = kept.order.pop_front() else {
                break;
            };
            kept.bytes -= bytes;
            remove(&self.path(KEPT, &oldest))?;
        }
        Ok(())
    }

    fn path(&self, place: &str, name: &Hash) -> PathBuf {
        self.directory.join(place).join(name.to_string())
    }
}

/// The files of a directory.
fn files(directory: &Path) -> Result<Vec<(PathBuf, fs::Metadata)>, StoreError> {
    let list = || -> std::io::Result<Vec<_>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            match entry.metadata() {
                Ok(metadata) => files.push((entry.path(), metadata)),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(files)
    };
    list().map_err(|error| failed("list", directory, &error))
}

fn name_of(path: &Path) -> Option<Hash> {
    let bytes = moltbot_core::ids::unhex(path.file_name()?.to_str()?)?;
    bytes.try_into().ok().map(Hash)
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("remove", path, &error)),
        _ => Ok(()),
    }
}

fn failed(operation: &'static str, path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Blobs {
        operation,
        path: path.display().to_string(),
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(bytes: &[u8]) -> Hash {
        Hash::of(bytes)
    }

    fn put(blobs: &LocalBlobs, bytes: &[u8]) -> Hash {
        blobs.put(&name(bytes), bytes).unwrap();
        name(bytes)
    }

    #[test]
    fn what_waits_is_never_evicted_and_what_is_kept_has_a_bound() {
        let directory = tempfile::tempdir().unwrap();
        let blobs = LocalBlobs::open(directory.path(), 8).unwrap();
        let all: Vec<Hash> = (0..4_u8).map(|n| put(&blobs, &[n; 4])).collect();
        blobs.sync().unwrap();
        assert_eq!(
            blobs.waiting(),
            Waiting {
                count: 4,
                bytes: 16
            }
        );
        put(&blobs, &[0; 4]);
        assert_eq!(blobs.waiting().count, 4);
        let again = LocalBlobs::open(directory.path(), 8).unwrap();
        assert_eq!(again.waiting(), blobs.waiting());
        for name in &all {
            blobs.uploaded(name, 4).unwrap();
        }
        assert_eq!(blobs.waiting(), Waiting::default());
        let here: Vec<bool> = all.iter().map(|name| blobs.is_here(name)).collect();
        assert_eq!(here, [false, false, true, true]);
        // The bound holds after a start as well, and may be another one.
        let blobs = LocalBlobs::open(directory.path(), 4).unwrap();
        assert_eq!(all.iter().filter(|name| blobs.is_here(name)).count(), 1);
    }

    #[test]
    fn parts_of_an_interrupted_write_are_gone_at_the_next_start() {
        let directory = tempfile::tempdir().unwrap();
        drop(LocalBlobs::open(directory.path(), 8).unwrap());
        let part = directory.path().join(PART).join("7");
        fs::write(&part, b"half").unwrap();
        let blobs = LocalBlobs::open(directory.path(), 8).unwrap();
        assert!(!part.exists());
        put(&blobs, b"whole");
    }

    #[test]
    fn what_no_record_names_is_swept() {
        let directory = tempfile::tempdir().unwrap();
        let blobs = LocalBlobs::open(directory.path(), 100).unwrap();
        let (named, other) = (put(&blobs, b"named"), put(&blobs, b"other"));
        assert_eq!(blobs.sweep(&BTreeSet::from([named])).unwrap(), 1);
        assert_eq!(blobs.waiting(), Waiting { count: 1, bytes: 5 });
        assert!(blobs.is_here(&named) && !blobs.is_here(&other));
    }

    #[test]
    fn a_damaged_blob_is_not_there() {
        let directory = tempfile::tempdir().unwrap();
        let blobs = LocalBlobs::open(directory.path(), 100).unwrap();
        let name = put(&blobs, b"sealed");
        fs::write(blobs.path(WAITING, &name), b"sEaled").unwrap();
        assert_eq!(blobs.get(&name).unwrap(), None);
        assert_eq!(blobs.waiting(), Waiting::default());
        put(&blobs, b"sealed");
        assert_eq!(blobs.get(&name).unwrap().unwrap(), b"sealed".as_slice());
    }
}
