//! The whole log for readers: what is here from here, what lies before the local log's base from
//! the remote log, when somebody asks for it.
//!
//! An object is read whole, verified as any segment is, and kept decoded in a cache bounded in bytes.
//! One is read at a time, so the memory this takes is bounded, too. Invariant: a record that is in
//! the log is given or an error says why not; a remote log that does not answer never makes history
//! look empty.
//!
//! [`LogReader`] blocks, as it does on the disk, and everyone who reads relies on it: async handlers
//! and threads alike. So that a slow remote holds up nobody else, a reader in a task gives its place
//! on the runtime's worker away while it waits (`block_in_place`), and no more than some may wait.

use crate::catalog::{Catalog, Fetched};
use crate::error::StoreError;
use crate::log::LogReader;
use crate::replica::Replica;
use crate::settings::{HISTORY_CACHE_BYTES, HISTORY_READERS_MAX};
use moltbot_core::chain::Cursor;
use moltbot_core::ids::Seq;
use moltbot_core::record::Record;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::runtime::Handle;

/// A local log with the history before it.
pub struct History {
    local: Arc<dyn LogReader>,
    replica: Replica,
    runtime: Handle,
    /// Whoever holds it reads from the remote log.
    catalog: tokio::sync::Mutex<Option<Catalog>>,
    kept: Mutex<Kept>,
    waiting: AtomicUsize,
}

/// The objects that were read last, the newest use last.
#[derive(Default)]
struct Kept {
    objects: VecDeque<Arc<Object>>,
    bytes: usize,
}

/// The records of one object, at least one.
struct Object {
    records: Vec<Record>,
    bytes: usize,
}

impl History {
    /// Over a local log and the remote log it is a part of. Requests run on this runtime, which
    /// must have several workers.
    pub fn new(local: Arc<dyn LogReader>, replica: Replica, runtime: Handle) -> History {
        History {
            local,
            replica,
            runtime,
            catalog: tokio::sync::Mutex::default(),
            kept: Mutex::default(),
            waiting: AtomicUsize::new(0),
        }
    }

    /// The object that holds a record before the local log.
    fn object(&self, seq: Seq) -> Result<Arc<Object>, StoreError> {
        if let Some(known) = self.kept().find(seq) {
            return Ok(known);
        }
        let _waiting = Waiting::one_more(&self.waiting)?;
        let load = || self.runtime.block_on(self.load(seq));
        if Handle::try_current().is_ok() {
            tokio::task::block_in_place(load)
        } else {
            load()
        }
    }

    async fn load(&self, seq: Seq) -> Result<Arc<Object>, StoreError> {
        let mut catalog = self.catalog.lock().await;
        // Whoever had it before may have read the same object.
        if let Some(known) = self.kept().find(seq) {
            return Ok(known);
        }
        let catalog = match &mut *catalog {
            Some(catalog) => catalog,
            none => none.insert(Catalog::list(&self.replica, Seq::ZERO).await?),
        };
        let Some(fetched) = catalog.read_holding(&self.replica, seq).await? else {
            let reason = format!("it does not reach record #{seq}, which it had before");
            return Err(StoreError::Corrupt {
                place: "the remote log".to_owned(),
                reason,
            });
        };
        let object = Arc::new(Object::of(fetched, self.local.base())?);
        self.kept().keep(Arc::clone(&object));
        Ok(object)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_local(&self, seq: Seq) -> bool {
        let base = self.local.base().seq;
        base == Seq::ZERO || seq > base
    }
}

impl LogReader for History {
    fn base(&self) -> Cursor {
        Cursor::START
    }

    fn head(&self) -> Cursor {
        self.local.head()
    }

    fn read(&self, from: Seq, bytes_max: usize) -> Result<Vec<Record>, StoreError> {
        let from = from.max(Seq(1));
        if self.is_local(from) {
            return self.local.read(from, bytes_max);
        }
        let object = self.object(from)?;
        let (mut records, mut bytes) = (Vec::new(), 0);
        for record in object.from(from) {
            if bytes >= bytes_max && !records.is_empty() {
                break;
            }
            bytes += weight(record);
            records.push(record.clone());
        }
        Ok(records)
    }

    fn get(&self, seq: Seq) -> Result<Option<Record>, StoreError> {
        if seq == Seq::ZERO || self.is_local(seq) {
            return self.local.get(seq);
        }
        Ok(self.object(seq)?.from(seq).first().cloned())
    }
}

impl Object {
    /// What holds the last record before the local log must hold the one that this log follows.
    fn of(fetched: Fetched, base: Cursor) -> Result<Object, StoreError> {
        let records = fetched.segment.records;
        let known = records.iter().find(|record| record.seq == base.seq);
        if let Some(foreign) = known.filter(|record| record.cursor() != base) {
            let reason = format!("its record #{} is not that of the local log", foreign.seq);
            return Err(StoreError::Corrupt {
                place: "the remote log".to_owned(),
                reason,
            });
        }
        let bytes = records.iter().map(weight).sum();
        Ok(Object { records, bytes })
    }

    fn holds(&self, seq: Seq) -> bool {
        let (first, last) = (self.records.first(), self.records.last());
        first.is_some_and(|first| first.seq <= seq) && last.is_some_and(|last| seq <= last.seq)
    }

    /// Its records from this one on.
    fn from(&self, seq: Seq) -> &[Record] {
        let at = self.records.partition_point(|record| record.seq < seq);
        self.records.get(at..).unwrap_or_default()
    }
}

impl Kept {
    fn find(&mut self, seq: Seq) -> Option<Arc<Object>> {
        let at = self.objects.iter().position(|object| object.holds(seq))?;
        let found = self.objects.remove(at)?;
        self.objects.push_back(Arc::clone(&found));
        Some(found)
    }

    /// The last one stays, however large it is.
    fn keep(&mut self, object: Arc<Object>) {
        self.bytes += object.bytes;
        self.objects.push_back(object);
        while self.bytes > HISTORY_CACHE_BYTES && self.objects.len() > 1 {
            if let Some(gone) = self.objects.pop_front() {
                self.bytes -= gone.bytes;
            }
        }
    }
}

/// About how much memory a record takes.
fn weight(record: &Record) -> usize {
    size_of::<Record>() + record.payload.len() + record.actor.len() + record.stream.len()
}

/// One of the readers that wait for the remote log.
struct Waiting<'a>(&'a AtomicUsize);

impl Waiting<'_> {
    fn one_more(waiting: &AtomicUsize) -> Result<Waiting<'_>, StoreError> {
        let one = Waiting(waiting);
        if waiting.fetch_add(1, Ordering::Relaxed) < HISTORY_READERS_MAX {
            return Ok(one);
        }
        Err(StoreError::Remote {
            operation: "read",
            object: "older history".to_owned(),
            reason: "too many wait for it already; try again in a moment".to_owned(),
        })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
