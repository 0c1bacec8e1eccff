//! Reads records back and opens their content.
//!
//! Invariant: what was opened last is kept, bounded in bytes, and in memory only: a model turn reads
//! the conversation so far, most of which the turn before it read too. What was forgotten is dropped.
//! What is not on this machine comes from the remote log; when that fails, the reader says so and
//! never that there is nothing.

use crate::limits::OPENED_BYTES_MAX;
use moltbot_core::content::Content;
use moltbot_core::event::Event;
use moltbot_core::ids::{KeyId, Seq};
use moltbot_core::record::Record;
use moltbot_store::error::StoreError;
use moltbot_store::keys::Keyring;
use moltbot_store::log::LogReader;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

/// A record and its event with all content opened.
pub struct OpenRecord {
    /// The record.
    pub record: Record,
    /// Its event.
    pub event: Event,
}

/// Reads the log and the data keys.
pub struct Reader {
    /// The whole log; what is not on this machine takes a while, so never ask while others wait.
    pub log: Arc<dyn LogReader>,
    /// What of it is on this machine.
    local: Arc<dyn LogReader>,
    /// The data keys.
    pub keyring: Arc<Keyring>,
    opened: Mutex<Cache>,
}

/// The newest opened records, first in, first out.
#[derive(Default)]
struct Cache {
    records: BTreeMap<Seq, Arc<OpenRecord>>,
    order: VecDeque<Seq>,
    bytes: usize,
}

impl Reader {
    /// Over this log, the part of it that is on this machine, and these keys.
    pub fn new(
        log: Arc<dyn LogReader>,
        local: Arc<dyn LogReader>,
        keyring: Arc<Keyring>,
    ) -> Reader {
        Reader {
            log,
            local,
            keyring,
            opened: Mutex::default(),
        }
    }

    /// The data keys.
    pub fn keyring(&self) -> Arc<Keyring> {
        Arc::clone(&self.keyring)
    }

    /// The text of a piece of content; empty when it cannot be read any more.
    pub fn text(&self, content: &Content) -> String {
        content
            .open(self.keyring.get(content.key()).as_ref())
            .into_text()
    }

    /// Whether a piece of content can be read.
    pub fn is_readable(&self, content: &Content) -> bool {
        self.keyring.get(content.key()).is_some()
    }

    /// Opens nothing with these keys any more and keeps nothing that was opened with them.
    pub fn forget(&self, keys: &[KeyId]) {
        self.keyring.conceal(keys);
        let is_gone = |record: &Arc<OpenRecord>| {
            let mut contents = record.event.contents().into_iter();
            contents.any(|content| keys.contains(content.key()))
        };
        self.cache().drop_where(is_gone);
    }

    /// Opens all content of an event in place; what cannot be read becomes empty.
    pub fn open_event(&self, event: &mut Event) {
        for content in event.contents_mut() {
            let text = self.text(content);
            let key = content.key().clone();
            *content = Content::Plain { key, text };
        }
    }

    /// The record at a seq with its event opened; `None` when this binary cannot read it. An error
    /// when it cannot be had now.
    pub fn event(&self, seq: Seq) -> Result<Option<Arc<OpenRecord>>, StoreError> {
        self.open(seq, &*self.log)
    }

    /// [`Reader::event`] if the record is on this machine.
    pub fn event_here(&self, seq: Seq) -> Option<Arc<OpenRecord>> {
        self.open(seq, &*self.local).ok()?
    }

    fn open(&self, seq: Seq, log: &dyn LogReader) -> Result<Option<Arc<OpenRecord>>, StoreError> {
        if let Some(known) = self.cache().records.get(&seq) {
            return Ok(Some(Arc::clone(known)));
        }
        let Some(record) = log.get(seq)? else {
            return Ok(None);
        };
        let Ok(mut event) = record.event() else {
            return Ok(None);
        };
        self.open_event(&mut event);
        let opened = Arc::new(OpenRecord { record, event });
        // Forgotten meanwhile: what was opened is given out once more, and not kept.
        let mut cache = self.cache();
        let contents = opened.event.contents();
        if contents.iter().all(|content| self.is_readable(content)) {
            cache.keep(seq, &opened);
        }
        drop(cache);
        Ok(Some(opened))
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cache {
    fn drop_where(&mut self, is_gone: impl Fn(&Arc<OpenRecord>) -> bool) {
        let before = std::mem::take(&mut self.records);
        let (gone, kept): (BTreeMap<_, _>, BTreeMap<_, _>) =
            before.into_iter().partition(|(_, record)| is_gone(record));
        self.records = kept;
        self.order.retain(|seq| !gone.contains_key(seq));
        self.bytes -= gone.values().map(|record| weight(record)).sum::<usize>();
    }

    fn keep(&mut self, seq: Seq, opened: &Arc<OpenRecord>) {
        if self.records.insert(seq, Arc::clone(opened)).is_none() {
            self.order.push_back(seq);
            self.bytes += weight(opened);
        }
        while self.bytes > OPENED_BYTES_MAX {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            if let Some(gone) = self.records.remove(&oldest) {
                self.bytes -= weight(&gone);
            }
        }
    }
}

/// About how much memory an opened record takes.
fn weight(opened: &OpenRecord) -> usize {
    const OVERHEAD_BYTES: usize = 512;
    opened.record.payload.len() * 2 + OVERHEAD_BYTES
}
