//! The local log on sled.
//!
//! One tree `log` of groups of records (their form is in `sled_log/groups.rs`); other trees of the
//! same database are handed out by [`SledLog::tree`]. sled's own flush survives a killed process
//! but not a lost power supply (on Linux it ends in `sync_file_range`), so every batch is one
//! atomic sled batch, one flush, and then one `fdatasync` of sled's file.
//!
//! Invariant: the head moves only after all of that succeeded; after any failure the log refuses
//! to go on until it is opened again, and opening verifies every record from the first to the
//! last. Since batches are atomic, a value that does not verify is damage, never a torn write.
//! Does not know the remote log; it is a cache of it that may run ahead.

mod disk;
mod groups;
mod reader;
mod room;
mod set_aside;
mod verify;

pub use disk::{LocalTree, TreeEntry};
pub use reader::SledReader;
pub use set_aside::{Opened, SetAside};

use crate::error::StoreError;
use crate::log::{EventLog, LogReader};
use crate::segment::follow;
use crate::settings::StoreSettings;
use disk::Disk;
use moltbot_core::chain::Cursor;
use moltbot_core::record::Record;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

/// What the local log is called in messages.
const PLACE: &str = "the local log";

/// The local log on sled; the one handle that appends.
pub struct SledLog {
    path: PathBuf,
    disk: Arc<Disk>,
    head: SharedHead,
    group_bytes_max: usize,
    is_failed: bool,
}

impl SledLog {
    /// Opens or creates the log in this directory and verifies all of it.
    ///
    /// `Locked` when another process has it open, `Corrupt` or `Codec` (naming the first bad seq)
    /// when it is damaged, `Disk` when the system refuses.
    pub fn open(path: &Path, settings: &StoreSettings) -> Result<SledLog, StoreError> {
        // sled asserts much of what it reads from its file.
        catch_unwind(|| SledLog::open_verified(path, settings)).unwrap_or_else(|_| {
            Err(StoreError::Corrupt {
                place: PLACE.to_owned(),
                reason: "sled cannot read its own file".to_owned(),
            })
        })
    }

    /// Opens the log; one that does not open or verify is moved to `<path>.damaged-<n>` and an
    /// empty one takes its place, to be restored from the remote log. `Locked` and `Disk` are
    /// errors: nothing is moved.
    pub fn open_or_set_aside(path: &Path, settings: &StoreSettings) -> Result<Opened, StoreError> {
        set_aside::open(path, settings)
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Another tree in the same database, for what must live and die with the log.
    pub fn tree(&self, name: &str) -> Result<LocalTree, StoreError> {
        Disk::tree(&self.disk, name)
    }

    fn open_verified(path: &Path, settings: &StoreSettings) -> Result<SledLog, StoreError> {
        let disk = Disk::open(path, settings)?;
        let head = verify::verify(disk.log())?;
        Ok(SledLog {
            path: path.to_owned(),
            disk: Arc::new(disk),
            head: SharedHead::new(head),
            group_bytes_max: settings.group_bytes_max,
            is_failed: false,
        })
    }

    /// Applies a batch durably. Whatever fails in between leaves the log unusable.
    fn commit(&mut self, batch: sled::Batch) -> Result<(), StoreError> {
        if self.is_failed {
            return Err(StoreError::Disk {
                operation: "go on",
                reason: "it failed before and must be opened again".to_owned(),
            });
        }
        self.is_failed = true;
        self.disk.commit(self.disk.log(), batch)?;
        self.is_failed = false;
        Ok(())
    }
}

impl EventLog for SledLog {
    fn head(&self) -> Cursor {
        self.head.get()
    }

    fn append(&mut self, records: &[Record]) -> Result<(), StoreError> {
        let before = self.head();
        let after = follow(before, records)?;
        if after == before {
            return Ok(());
        }
        let mut batch = sled::Batch::default();
        groups::insert(&mut batch, before, records, self.group_bytes_max)?;
        self.commit(batch)?;
        self.head.set(after);
        Ok(())
    }

    fn rewind(&mut self, to: Cursor) -> Result<(), StoreError> {
        let reader = self.reader();
        if reader.cursor(to.seq)? != Some(to) {
            return Err(StoreError::Internal(format!(
                "cannot rewind to {to}, which is not in the local log"
            )));
        }
        let mut batch = sled::Batch::default();
        groups::cut_after(&mut batch, self.disk.log(), to.seq)?;
        // Readers must not see what is about to go.
        self.head.set(to);
        self.commit(batch)
    }

    fn reader(&self) -> Arc<dyn LogReader> {
        Arc::new(SledReader::new(Arc::clone(&self.disk), self.head.clone()))
    }
}

/// The last durable position, shared with the readers.
#[derive(Clone)]
struct SharedHead(Arc<RwLock<Cursor>>);

impl SharedHead {
    fn new(head: Cursor) -> SharedHead {
        SharedHead(Arc::new(RwLock::new(head)))
    }

    fn get(&self) -> Cursor {
        *self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, head: Cursor) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = head;
    }
}
