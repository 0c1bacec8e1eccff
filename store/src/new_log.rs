//! Writing a whole log into an empty place: what a fork and an import do.
//!
//! Invariant: it becomes a log at once or not at all. The first segment is put last, and without
//! it the others are a gap that no gateway starts on; what an attempt wrote that failed before is
//! removed as far as it can be. The records keep their bytes and hashes; segments are cut anew, never in the
//! middle of a command.

use crate::error::StoreError;
use crate::replica::{Created, Replica};
use crate::retry::retry;
use crate::segment::{self, follow};
use crate::settings::{COPY_BYTES_MAX, StoreSettings};
use crate::{layout, restore};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use moltbot_core::chain::Cursor;
use moltbot_core::event::Event;
use moltbot_core::ids::{Epoch, InstanceId};
use moltbot_core::record::Record;
use object_store::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Who a log's first records are said to be written by when they do not say so themselves.
const NOBODY: &str = "import";

/// A log that is being written.
pub struct NewLog {
    replica: Replica,
    settings: StoreSettings,
    /// The first segment, which makes it a log.
    first: Option<(Path, Bytes)>,
    is_first_put: bool,
    head: Cursor,
    /// Records of the segment that is not cut yet.
    pending: Vec<Record>,
    pending_bytes: usize,
    writer: (Epoch, InstanceId),
    /// What is under way; each gives the bytes it had.
    uploads: FuturesUnordered<BoxFuture<'static, Result<usize, StoreError>>>,
    uploading_bytes: usize,
    written: Vec<Path>,
    segments: u64,
}

impl NewLog {
    /// `Invalid` when anything is there already.
    pub async fn begin(replica: &Replica, settings: &StoreSettings) -> Result<NewLog, StoreError> {
        if let Some(found) = retry(settings, || replica.list("")).await?.first() {
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
            is_first_put: false,
            head: Cursor::START,
            pending: Vec::new(),
            pending_bytes: 0,
            writer: (Epoch(1), NOBODY.into()),
            uploads: FuturesUnordered::new(),
            uploading_bytes: 0,
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
        let has_room = |log: &NewLog| {
            log.uploads.len() < log.settings.restore_concurrency.max(1)
                && log.uploading_bytes + bytes.len() <= COPY_BYTES_MAX
        };
        while !self.uploads.is_empty() && !has_room(self) {
            self.landed().await?;
        }
        self.written.push(path.clone());
        self.uploading_bytes += bytes.len();
        let replica = self.replica.clone();
        let settings = self.settings.clone();
        self.uploads.push(Box::pin(async move {
            let size = bytes.len();
            put(&replica, &path, bytes, &settings).await?;
            Ok(size)
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
        self.is_first_put = true;
        self.put(path, bytes).await?;
        self.landed().await?;
        let verify =
            || async { restore::verify(&self.replica, &self.settings, &mut |_, _| {}).await };
        let verified = retry(&self.settings, verify).await?;
        if verified.head == self.head {
            return Ok(verified);
        }
        Err(StoreError::Corrupt {
            place: format!("`{}`", self.replica.location),
            reason: format!("it ends with {} instead of {}", verified.head, self.head),
        })
    }

    /// Removes what was written; called when the log is not to be. What cannot be removed is no log
    /// and harms nobody. Once the first segment may be there nothing is removed: the log is whole
    /// then, and to remove it piece by piece could leave a shorter one.
    pub async fn abandon(mut self) {
        if self.is_first_put {
            return;
        }
        // What is under way must have landed before it can be removed.
        while self.uploads.next().await.is_some() {}
        for path in &self.written {
            if let Err(error) = self.replica.delete(path).await {
                tracing::debug!(%error, %path, "what a failed attempt wrote stays");
            }
        }
    }

    async fn landed(&mut self) -> Result<(), StoreError> {
        if let Some(landed) = self.uploads.next().await {
            self.uploading_bytes -= landed?;
        }
        Ok(())
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

/// Creates an object, trying again while the store cannot be reached.
async fn put(
    replica: &Replica,
    path: &Path,
    bytes: Bytes,
    settings: &StoreSettings,
) -> Result<(), StoreError> {
    let tried = AtomicBool::new(false);
    let create = || async {
        let is_again = tried.swap(true, Ordering::Relaxed);
        if replica.create(path, bytes.clone()).await? == Created::New {
            return Ok(true);
        }
        // An earlier try may have landed although it seemed to fail.
        Ok(is_again && replica.get(path).await?.as_ref() == Some(&bytes))
    };
    if retry(settings, create).await? {
        return Ok(());
    }
    Err(StoreError::Invalid(format!(
        "somebody else writes to `{}` at the same time: `{path}` is there already",
        replica.location
    )))
}
