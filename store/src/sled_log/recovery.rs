//! Finishing what sled began when it was opened and could not end.
//!
//! sled reads its file into a page table, writes that to `snap.<lsn>.generating`, syncs it, renames it to
//! `snap.<lsn>`, and then fills with zeros whatever part of its file holds no page of it. From then on the
//! log is both files: without the snapshot the zeros look like writes that were lost, and sled drops all
//! that comes after them, although it was synced. That matters most after a rewind, which leaves large
//! parts without a page. sled neither syncs the directory after the rename, nor does it make a
//! difference between the two names when it looks for the newest snapshot; should that be
//! half written, sled takes itself for damaged. So, before sled is opened:
//!
//! - A whole snapshot gets its name, durably: the zeros may be on the disk and the rename not.
//!   Its content was synced before there were zeros, and with that, on the usual file systems, its
//!   first name.
//! - A torn one is removed: sled had not gone on yet, so its file and the snapshot before are all.
//!
//! ```text
//! snapshot = page table ‖ its length before it is compressed, which it is not, u64 LE ‖ crc32 (IEEE) of the
//!            page table u32 LE
//! ```
//!
//! (`write_snapshot` in <https://docs.rs/crate/sled/0.34.7/source/src/pagecache/snapshot.rs>.)
//! Invariant: nothing is changed while another process has the database open or opens it.

use super::disk::{disk_error, sync_directory};
use crate::error::StoreError;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// How sled's snapshots are called,
const PREFIX: &str = "snap.";
/// and how while they are written.
const UNFINISHED: &str = ".generating";

const LENGTH_BYTES: usize = 8;

/// Finishes or removes the snapshots that sled was writing in this directory. `false` when
/// another process has the database open.
pub(super) fn finish(directory: &Path) -> Result<bool, StoreError> {
    let unfinished = unfinished(directory).map_err(|error| disk_error("list its files", &error))?;
    if unfinished.is_empty() {
        return Ok(true);
    }
    // The lock that sled takes; it goes with the handle.
    let lock = match File::open(directory.join("db")) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(disk_error("open", &error)),
    };
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(false),
        Err(TryLockError::Error(error)) => return Err(disk_error("lock", &error)),
    }
    for path in unfinished {
        finish_one(&path).map_err(|error| disk_error("finish a snapshot of sled's", &error))?;
    }
    sync_directory(directory)?;
    Ok(true)
}

fn unfinished(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        // A new log.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if finished_name(&path).is_some() {
            found.push(path);
        }
    }
    Ok(found)
}

/// The name without what says that it is not finished; `None` for any other file.
fn finished_name(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?.strip_suffix(UNFINISHED)?;
    name.starts_with(PREFIX).then_some(name)
}

fn finish_one(path: &Path) -> io::Result<()> {
    let Some(name) = finished_name(path) else {
        return Ok(());
    };
    match fs::read(path) {
        Ok(bytes) if is_whole(&bytes) => fs::rename(path, path.with_file_name(name)),
        Ok(_) => fs::remove_file(path),
        // The process that was opening it has finished it meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn is_whole(snapshot: &[u8]) -> bool {
    let Some((rest, crc)) = snapshot.split_last_chunk() else {
        return false;
    };
    let Some((table, length)) = rest.split_last_chunk::<LENGTH_BYTES>() else {
        return false;
    };
    !table.is_empty()
        && u64::from_le_bytes(*length) == table.len() as u64
        && u32::from_le_bytes(*crc) == crc32fast::hash(table)
}
