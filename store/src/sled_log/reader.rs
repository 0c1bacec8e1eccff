//! Reads the local log from any thread: what is recent from memory, the rest from sled.

use super::SharedSpan;
use super::disk::Disk;
use super::groups::{self, Group};
use super::recent::Recent;
use crate::error::StoreError;
use crate::log::{LogReader, require_local};
use moltbot_core::chain::Cursor;
use moltbot_core::codec;
use moltbot_core::ids::Seq;
use moltbot_core::record::Record;
use std::sync::Arc;

/// A reader of the local log. Keeps the database open: the directory stays locked until the log
/// and all of its readers and trees are gone.
pub struct SledReader {
    disk: Arc<Disk>,
    recent: Recent,
    span: SharedSpan,
}

impl SledReader {
    pub(super) fn new(disk: Arc<Disk>, recent: Recent, span: SharedSpan) -> SledReader {
        SledReader { disk, recent, span }
    }
}

impl LogReader for SledReader {
    fn base(&self) -> Cursor {
        self.span.base()
    }

    fn head(&self) -> Cursor {
        self.span.head()
    }

    fn read(&self, from: Seq, bytes_max: usize) -> Result<Vec<Record>, StoreError> {
        require_local(from, self.base())?;
        let mut page = Page {
            next: from.max(Seq(1)),
            head: self.head().seq,
            bytes_left: bytes_max,
            records: Vec::new(),
        };
        if page.next > page.head {
            return Ok(page.records);
        }
        let mut recent = self.recent.from(page.next, bytes_max);
        if recent.is_empty() {
            for group in groups::from(self.disk.log(), page.next)? {
                page.add(&group?)?;
                if page.is_full() {
                    return Ok(page.records);
                }
            }
            // Should all of it have gone into sled meanwhile, the page only ends a little early.
            recent = self.recent.from(page.next, page.bytes_left);
        }
        for group in recent {
            page.add(&group)?;
        }
        Ok(page.records)
    }

    fn get(&self, seq: Seq) -> Result<Option<Record>, StoreError> {
        if seq == Seq::ZERO || seq > self.head().seq {
            return Ok(None);
        }
        require_local(seq, self.base())?;
        if let Some(group) = self.recent.from(seq, 0).first() {
            return record(group, seq).map(Some);
        }
        groups::containing(self.disk.log(), seq)?
            .map(|group| record(&group, seq))
            .transpose()
    }
}

fn record(group: &Group, seq: Seq) -> Result<Record, StoreError> {
    let (before, frames) = group.skip_to(seq)?;
    let (record, _) = codec::decode_frame(frames, before).map_err(groups::bad)?;
    Ok(record)
}

/// The records that one read gathers.
struct Page {
    next: Seq,
    head: Seq,
    bytes_left: usize,
    records: Vec<Record>,
}

impl Page {
    /// Beyond the head there may be a batch that is not durable yet.
    fn is_full(&self) -> bool {
        self.next > self.head || (self.bytes_left == 0 && !self.records.is_empty())
    }

    fn add(&mut self, group: &Group) -> Result<(), StoreError> {
        let (mut before, mut frames) = group.skip_to(self.next)?;
        while !frames.is_empty() && !self.is_full() {
            let (record, used) = codec::decode_frame(frames, before).map_err(groups::bad)?;
            before = record.cursor();
            frames = frames.get(used..).unwrap_or_default();
            self.bytes_left = self.bytes_left.saturating_sub(used);
            self.next = record.seq.next();
            self.records.push(record);
        }
        Ok(())
    }
}
