//! Reads the local log from any thread.

use super::disk::Disk;
use super::{SharedHead, groups};
use crate::error::StoreError;
use crate::log::LogReader;
use moltbot_core::chain::Cursor;
use moltbot_core::codec;
use moltbot_core::ids::Seq;
use moltbot_core::record::Record;
use std::sync::Arc;

/// A reader of the local log. Keeps the database open: the directory stays locked until the log
/// and all of its readers and trees are gone.
pub struct SledReader {
    disk: Arc<Disk>,
    head: SharedHead,
}

impl SledReader {
    pub(super) fn new(disk: Arc<Disk>, head: SharedHead) -> SledReader {
        SledReader { disk, head }
    }
}

impl LogReader for SledReader {
    fn head(&self) -> Cursor {
        self.head.get()
    }

    fn read(&self, from: Seq, bytes_max: usize) -> Result<Vec<Record>, StoreError> {
        let head = self.head();
        let from = from.max(Seq(1));
        let mut records = Vec::new();
        if from > head.seq {
            return Ok(records);
        }
        let mut bytes = 0;
        for group in groups::from(self.disk.log(), from)? {
            let group = group?;
            let (mut before, mut frames) = group.skip_to(from)?;
            while !frames.is_empty() {
                // Beyond the head there may be a batch that is not durable yet.
                if before.seq >= head.seq || (bytes >= bytes_max && !records.is_empty()) {
                    return Ok(records);
                }
                let (record, used) = codec::decode_frame(frames, before).map_err(groups::bad)?;
                before = record.cursor();
                frames = frames.get(used..).unwrap_or_default();
                bytes += used;
                records.push(record);
            }
        }
        Ok(records)
    }

    fn get(&self, seq: Seq) -> Result<Option<Record>, StoreError> {
        if seq == Seq::ZERO || seq > self.head().seq {
            return Ok(None);
        }
        let Some(group) = groups::containing(self.disk.log(), seq)? else {
            return Ok(None);
        };
        let (before, frames) = group.skip_to(seq)?;
        let (record, _) = codec::decode_frame(frames, before).map_err(groups::bad)?;
        Ok(Some(record))
    }
}
