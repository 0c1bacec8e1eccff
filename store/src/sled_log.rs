//! The local log: a tail in front of sled.
//!
//! An append is one write to the tail and one `fdatasync` (`sled_log/tail.rs`, which also says why
//! that is safe). What is not in sled yet is in memory too, for readers. When half of the tail is
//! full, a checkpoint puts it into sled while appends go on in the other half. A large batch, of which
//! a restore has many, passes the tail by, after all that is in it.
//!
//! sled has one tree `log` of groups of records (their form is in `sled_log/groups.rs`); other trees
//! of the same database are handed out by [`SledLog::tree`]. Whatever goes into sled is one atomic
//! batch, one flush, and then one `fdatasync` of sled's file. sled's file counts only together with the
//! snapshot that sled writes beside it when it is opened (`sled_log/recovery.rs`): whoever copies a log
//! copies the whole directory.
//!
//! A log that was begun at a snapshot has a base in sled, which its first record follows.
//!
//! Invariant: the head moves only after all of an append succeeded; after any failure the log refuses
//! to go on until it is opened again, and opening verifies every record from the first to the
//! last. Since batches are atomic, a value that does not verify is damage, never a torn write.
//! Does not know the remote log; it is a cache of it that may run ahead.

mod checkpoint;
mod disk;
mod groups;
mod reader;
mod recent;
mod recovery;
mod room;
mod set_aside;
mod tail;
mod verify;

pub use disk::{LocalTree, TreeEntry};
pub use reader::SledReader;
pub use set_aside::{Opened, SetAside};

use crate::error::StoreError;
use crate::log::{EventLog, LogReader, require_empty};
use crate::segment::follow;
use crate::settings::StoreSettings;
use checkpoint::Checkpoint;
use disk::Disk;
use groups::Group;
use moltbot_core::chain::Cursor;
use moltbot_core::record::Record;
use recent::Recent;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use tail::Tail;

/// What the local log is called in messages.
const PLACE: &str = "the local log";

/// The local log; the one handle that appends.
pub struct SledLog {
    path: PathBuf,
    disk: Arc<Disk>,
    tail: Tail,
    recent: Recent,
    checkpoint: Checkpoint,
    span: SharedSpan,
    is_failed: bool,
}

impl SledLog {
    /// Opens or creates the log in this directory and verifies all of it.
    ///
    /// `Locked` when another process has it open, `Newer` when a newer version of this software
    /// wrote it (then nothing is touched), `Corrupt` or `Codec` (naming the first bad seq) when it is
    /// damaged, `Disk` when the system refuses.
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
    /// empty one takes its place, to be restored from the remote log. `Locked`, `Newer` and
    /// `Disk` are errors: nothing is moved.
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
        Tail::check_form(path)?;
        let disk = Disk::open(path, settings)?;
        let base = groups::base(disk.log())?;
        let in_sled = verify::verify(disk.log(), base)?;
        let (tail, found) = Tail::open(path, in_sled, settings.tail_bytes)?;
        let recent = Recent::default();
        let head = verify::extend(disk.log(), in_sled, found, &recent)?;
        let disk = Arc::new(disk);
        let mut log = SledLog {
            path: path.to_owned(),
            checkpoint: Checkpoint::new(
                Arc::clone(&disk),
                recent.clone(),
                settings.group_bytes_max,
            ),
            disk,
            tail,
            recent,
            span: SharedSpan::new(base, head),
            is_failed: false,
        };
        if !log.recent.is_empty() || !log.tail.is_empty() || log.tail.base() != head {
            log.checkpoint.finish()?;
            log.tail.renew(head)?;
        }
        Ok(log)
    }

    /// Changes what is on the disk. Whatever fails in between leaves the log unusable.
    fn change(
        &mut self,
        change: impl FnOnce(&mut SledLog) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        if self.is_failed {
            return Err(StoreError::Disk {
                operation: "go on",
                reason: "it failed before and must be opened again".to_owned(),
            });
        }
        self.is_failed = true;
        change(self)?;
        self.is_failed = false;
        Ok(())
    }

    fn store(&mut self, group: Group, after: Cursor) -> Result<(), StoreError> {
        self.checkpoint.poll()?;
        if !self.tail.takes(&group) {
            self.checkpoint.pass(&group)?;
            return self.tail.renew(after);
        }
        if !self.tail.has_room(&group) {
            // The half that is used next is that of the checkpoint before.
            self.checkpoint.wait()?;
            self.tail.renew(self.head())?;
            self.checkpoint.start()?;
        }
        self.tail.append(&group)?;
        self.recent.push(group);
        Ok(())
    }
}

impl EventLog for SledLog {
    fn head(&self) -> Cursor {
        self.span.head()
    }

    fn append(&mut self, records: &[Record]) -> Result<(), StoreError> {
        let before = self.head();
        let after = follow(before, records)?;
        if after == before {
            return Ok(());
        }
        let group = Group::of(before, records)?;
        self.change(|log| log.store(group, after))?;
        self.span.set_head(after);
        Ok(())
    }

    fn begin_at(&mut self, base: Cursor) -> Result<(), StoreError> {
        require_empty(self.span.base(), self.head())?;
        self.change(|log| {
            // From here on it begins there: a power loss leaves a tail whose base comes before.
            let mut batch = sled::Batch::default();
            groups::insert_base(&mut batch, base);
            log.disk.commit(log.disk.log(), batch)?;
            log.tail.renew(base)
        })?;
        self.span.set(base, base);
        Ok(())
    }

    fn rewind(&mut self, to: Cursor) -> Result<(), StoreError> {
        let reader = self.reader();
        if to != Cursor::START && reader.cursor(to.seq)? != Some(to) {
            return Err(StoreError::Internal(format!(
                "cannot rewind to {to}, which is not in the local log"
            )));
        }
        self.change(|log| {
            // Readers must not see what is about to go.
            log.span.set_head(to);
            log.checkpoint.finish()?;
            log.tail.renew(to)?;
            let mut batch = sled::Batch::default();
            groups::cut_after(&mut batch, log.disk.log(), to.seq)?;
            log.disk.commit(log.disk.log(), batch)
        })?;
        if to == Cursor::START {
            self.span.set(to, to);
        }
        Ok(())
    }

    fn reader(&self) -> Arc<dyn LogReader> {
        let (recent, span) = (self.recent.clone(), self.span.clone());
        Arc::new(SledReader::new(Arc::clone(&self.disk), recent, span))
    }
}

/// The base and the last durable position, shared with the readers.
#[derive(Clone)]
struct SharedSpan(Arc<RwLock<(Cursor, Cursor)>>);

impl SharedSpan {
    fn new(base: Cursor, head: Cursor) -> SharedSpan {
        SharedSpan(Arc::new(RwLock::new((base, head))))
    }

    fn base(&self) -> Cursor {
        self.0.read().unwrap_or_else(PoisonError::into_inner).0
    }

    fn head(&self) -> Cursor {
        self.0.read().unwrap_or_else(PoisonError::into_inner).1
    }

    fn set(&self, base: Cursor, head: Cursor) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = (base, head);
    }

    fn set_head(&self, head: Cursor) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).1 = head;
    }
}
