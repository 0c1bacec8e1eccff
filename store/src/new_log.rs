//! Writing a whole log into an empty place: what a fork and an import do.
//!
//! Invariant: it becomes a log at once or not at all. The first segment is put last, and without
//! it the others are a gap that no gateway starts on; what a failed attempt wrote is removed as far
//! as it can be. The records keep their bytes and hashes; segments are cut anew, never in the
//! middle of a command.

use crate::error::StoreError;
use crate::replica::{Created, Replica};
use crate::segment::{self, follow};
use crate::settings::StoreSettings;
use crate::{layout, restore};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use moltbot_core::chain::Cursor;
use moltbot_core::event::Event;
use moltbot_core::ids::{Epoch, InstanceId};
use moltbot_core::record::Record;
use object_store::ObjectStoreExt;
use object_store::path::Path;

/// Who a log's first records are said to be written by when they do not say so themselves.
const NOBODY: &str = "import";

/// A log that is being written.
pub struct NewLog {
    replica: Replica,
    settings: StoreSettings,
    /// The first segment, which makes it a log.
    first: Option<(Path, Bytes)>,
    head: Cursor,
    /// Records of the segment that is not cut yet.
    pending: Vec<Record>,
    pending_bytes: usize,
    writer: (Epoch, InstanceId),
    uploads: FuturesUnordered<BoxFuture<'static, Result<(), StoreError>>>,
    written: Vec<Path>,
    segments: u64,
}

impl NewLog {
    /// `Invalid` when anything is there already.
    pub async fn begin(replica: &Replica, settings: &StoreSettings) -> Result<NewLog, StoreError> {
        if let Some(found) = replica.list("").await?.first() {
            return Err(StoreError::Invalid(format!(
                "`{}` is not empty: it has `{found}`; a log is only written into an empty place, \
                 so name another one",
                replica.location
            )));
        }
        Ok(NewLog {
            replica: replica.clone(),
            settings: settings.clone(),
            first: None,
            head: Cursor::START,
            pending: Vec::new(),
            pending_bytes: 0,
            writer: (Epoch(1), NOBODY.into()),
            uploads: FuturesUnordered::new(),
            written: Vec::new(),
            segments: 0,
        })
    }

    /// The last record that was handed over.
    pub fn head(&self) -> Cursor {
        self.head
    }

    /// Adds records, which must follow the head.
    pub async fn push(&mut self, records: Vec<Record>) -> Result<(), StoreError> {
        self.head = follow(self.head, &records)?;
        for record in records {
            let goes_on = self
                .pending
                .last()
                .is_some_and(|last| record.continues(last));
            if self.pending_bytes >= self.settings.segment_bytes_max && !goes_on {
                self.cut().await?;
            }
            if let Ok(Event::WriterStarted(started)) = record.event()
                && started.epoch >= self.writer.0
            {
                self.cut().await?;
                self.writer = (started.epoch, started.instance);
            }
            self.pending_bytes += record.payload.len();
            self.pending.push(record);
        }
        Ok(())
    }

    /// Adds an object that is no segment.
    pub async fn put(&mut self, path: Path, bytes: Bytes) -> Result<(), StoreError> {
        while self.uploads.len() >= self.settings.restore_concurrency.max(1) {
            self.landed().await?;
        }
        self.written.push(path.clone());
        let replica = self.replica.clone();
        self.uploads.push(Box::pin(async move {
            if replica.create(&path, bytes).await? == Created::New {
                return Ok(());
            }
            Err(StoreError::Invalid(format!(
                "somebody else writes to `{}` at the same time: `{path}` is there already",
                replica.location
            )))
        }));
        Ok(())
    }

    /// Puts what is left and at last the first segment, reads everything back and verifies it.
    pub async fn finish(&mut self) -> Result<restore::Verified, StoreError> {
        self.cut().await?;
        while !self.uploads.is_empty() {
            self.landed().await?;
        }
        let Some((path, bytes)) = self.first.take() else {
            return Err(StoreError::Invalid(
                "there is no record to write".to_owned(),
            ));
        };
        self.put(path, bytes).await?;
        self.landed().await?;
        let verified = restore::verify(&self.replica, &self.settings, &mut |_, _| {}).await?;
        if verified.head == self.head {
            return Ok(verified);
        }
        Err(StoreError::Corrupt {
            place: format!("`{}`", self.replica.location),
            reason: format!("it ends with {} instead of {}", verified.head, self.head),
        })
    }

    /// Removes what was written; called when the log is not to be. What cannot be removed is no log
    /// and harms nobody.
    pub async fn abandon(mut self) {
        // What is under way must have landed before it can be removed.
        while self.uploads.next().await.is_some() {}
        // The first segment goes first: from then on it is no log.
        for path in self.written.iter().rev() {
            if let Err(error) = self.replica.store.delete(path).await {
                tracing::debug!(%error, %path, "what a failed attempt wrote stays");
            }
        }
    }

    async fn landed(&mut self) -> Result<(), StoreError> {
        self.uploads.next().await.unwrap_or(Ok(()))
    }

    async fn cut(&mut self) -> Result<(), StoreError> {
        let records = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        let Some(first) = records.first() else {
            return Ok(());
        };
        let path = layout::segment(first.seq);
        let (epoch, writer) = &self.writer;
        let bytes = segment::encode(*epoch, writer, &records)?;
        self.segments += 1;
        if self.segments == 1 {
            self.first = Some((path, bytes));
            return Ok(());
        }
        self.put(path, bytes).await
    }
}
