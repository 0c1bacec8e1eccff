//! sled's database and the file under it.
//!
//! sled's own flush survives a killed process but not a lost power supply: on Linux it ends in
//! `sync_file_range`.
//!
//! Invariant: [`Disk::commit`] returns only after flush and `fdatasync`. No leaf of any tree grows
//! to where sled would move it to a file of its own, which nothing syncs.

use super::PLACE;
use super::recovery;
use super::room::Room;
use crate::error::StoreError;
use crate::settings::{LOG_VALUE_BYTES_MAX, StoreSettings};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const LOCK_POLL: Duration = Duration::from_millis(20);

pub(super) struct Disk {
    db: sled::Db,
    log: sled::Tree,
    /// sled's own file, opened once more: a sync of any handle covers the file.
    file: Room,
}

impl Disk {
    pub(super) fn open(path: &Path, settings: &StoreSettings) -> Result<Disk, StoreError> {
        let db = open_database(path, settings)?;
        let log = db
            .open_tree("log")
            .map_err(|error| read_error("open its tree", error))?;
        let file = Room::open(&path.join("db")).map_err(|error| disk_error("open", &error))?;
        let disk = Disk { db, log, file };
        // First the name of the snapshot that sled wrote, without which what it did to its file
        // since must not become durable.
        sync_directory(path)?;
        disk.sync()?;
        if let Some(parent) = path.parent() {
            sync_directory(parent)?;
        }
        Ok(disk)
    }

    pub(super) fn log(&self) -> &sled::Tree {
        &self.log
    }

    pub(super) fn tree(disk: &Arc<Disk>, name: &str) -> Result<LocalTree, StoreError> {
        let tree = disk
            .db
            .open_tree(name)
            .map_err(|error| read_error("open a tree", error))?;
        Ok(LocalTree {
            tree,
            disk: Arc::clone(disk),
        })
    }

    /// All of the batch, durably, or an error after which nothing is known.
    pub(super) fn commit(&self, tree: &sled::Tree, batch: sled::Batch) -> Result<(), StoreError> {
        tree.apply_batch(batch)
            .map_err(|error| disk_error("append", &error))?;
        self.file
            .keep()
            .map_err(|error| disk_error("extend", &error))?;
        self.sync()
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.db
            .flush()
            .map_err(|error| disk_error("flush", &error))?;
        self.file
            .sync_data()
            .map_err(|error| disk_error("sync", &error))
    }
}

/// Opens the database; waits a little for a process that is just ending, or for a child of ours
/// that holds a copy of the lock until it runs its own program.
fn open_database(path: &Path, settings: &StoreSettings) -> Result<sled::Db, StoreError> {
    let deadline = Instant::now() + Duration::from_millis(settings.lock_wait_ms);
    loop {
        if let Some(db) = try_open_database(path, settings)? {
            return Ok(db);
        }
        if Instant::now() >= deadline {
            let path = path.display().to_string();
            return Err(StoreError::Locked { path });
        }
        std::thread::sleep(LOCK_POLL);
    }
}

/// `None` when another process has it open.
fn try_open_database(
    path: &Path,
    settings: &StoreSettings,
) -> Result<Option<sled::Db>, StoreError> {
    if !recovery::finish(path)? {
        return Ok(None);
    }
    let opened = sled::Config::new()
        .path(path)
        .cache_capacity(settings.sled_cache_bytes)
        .flush_every_ms(None)
        .open();
    match opened {
        Ok(db) => Ok(Some(db)),
        Err(sled::Error::Io(error)) if is_lock(&error) => Ok(None),
        Err(error) => Err(read_error("open its database", error)),
    }
}

/// A key and its value.
pub type TreeEntry = (Vec<u8>, Vec<u8>);

/// A small tree beside the log in the same database. May block on the disk.
pub struct LocalTree {
    tree: sled::Tree,
    disk: Arc<Disk>,
}

impl LocalTree {
    /// Everything in it.
    pub fn entries(&self) -> Result<Vec<TreeEntry>, StoreError> {
        self.tree
            .iter()
            .map(|entry| match entry {
                Ok((key, value)) => Ok((key.to_vec(), value.to_vec())),
                Err(error) => Err(read_error("read", error)),
            })
            .collect()
    }

    /// Stores (`Some`) and removes (`None`) all of these atomically and durably.
    pub fn apply<K, V>(
        &self,
        changes: impl IntoIterator<Item = (K, Option<V>)>,
    ) -> Result<(), StoreError>
    where
        K: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        let mut batch = sled::Batch::default();
        for (key, value) in changes {
            match value {
                Some(value) if value.as_ref().len() > LOG_VALUE_BYTES_MAX => {
                    return Err(StoreError::Internal(format!(
                        "a value of {} bytes is too large for a local tree",
                        value.as_ref().len()
                    )));
                }
                Some(value) => batch.insert(key.as_ref(), value.as_ref()),
                None => batch.remove(key.as_ref()),
            }
        }
        self.disk.commit(&self.tree, batch)
    }
}

/// A failure while reading: damage where sled says so, else the system's.
pub(super) fn read_error(operation: &'static str, error: sled::Error) -> StoreError {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    match error {
        sled::Error::Io(error)
            if !matches!(error.kind(), InvalidData | InvalidInput | UnexpectedEof) =>
        {
            disk_error(operation, &error)
        }
        error => StoreError::Corrupt {
            place: PLACE.to_owned(),
            reason: format!("sled could not {operation}: {error}"),
        },
    }
}

pub(super) fn disk_error(operation: &'static str, error: &dyn std::error::Error) -> StoreError {
    StoreError::Disk {
        operation,
        reason: error.to_string(),
    }
}

/// sled wraps the refused lock in an error of kind `Other`.
fn is_lock(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
        || error.to_string().contains("could not acquire lock")
}

/// A new or renamed file is durable only once its directory is.
#[cfg(unix)]
pub(super) fn sync_directory(path: &Path) -> Result<(), StoreError> {
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| disk_error("sync its directory", &error))
}

/// Directories cannot be synced here.
#[cfg(not(unix))]
pub(super) fn sync_directory(_path: &Path) -> Result<(), StoreError> {
    Ok(())
}
