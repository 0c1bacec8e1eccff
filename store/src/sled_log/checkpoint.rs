//! Filling sled from the tail, in a thread that ends with it.
//!
//! Invariant: one at a time. What it put into sled is durable there before it is forgotten in
//! memory, and before [`Checkpoint::wait`] returns.

use super::disk::Disk;
use super::groups::{self, Group};
use super::recent::Recent;
use crate::error::StoreError;
use crate::settings::CHECKPOINT_BATCH_BYTES;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

/// What a checkpoint works on, and the one that runs.
pub(super) struct Checkpoint {
    filler: Filler,
    running: Option<JoinHandle<Result<(), StoreError>>>,
}

impl Checkpoint {
    pub(super) fn new(disk: Arc<Disk>, recent: Recent, group_bytes_max: usize) -> Checkpoint {
        let filler = Filler {
            disk,
            recent,
            group_bytes_max,
        };
        Checkpoint {
            filler,
            running: None,
        }
    }

    /// Begins to put all that is recent into sled. The one before must have ended.
    pub(super) fn start(&mut self) -> Result<(), StoreError> {
        let filler = self.filler.clone();
        let groups = filler.recent.all();
        let thread = Builder::new()
            .name("checkpoint".to_owned())
            .spawn(move || filler.fill(&groups))
            .map_err(|error| failed(&error.to_string()))?;
        self.running = Some(thread);
        Ok(())
    }

    /// How the one before went, if it has ended.
    pub(super) fn poll(&mut self) -> Result<(), StoreError> {
        match &self.running {
            Some(thread) if thread.is_finished() => self.wait(),
            _ => Ok(()),
        }
    }

    /// Waits for the end of the one before.
    pub(super) fn wait(&mut self) -> Result<(), StoreError> {
        match self.running.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(failed("sled gave up")),
        }
    }

    /// Puts all that is recent into sled.
    pub(super) fn finish(&mut self) -> Result<(), StoreError> {
        self.wait()?;
        self.filler.fill(&self.filler.recent.all())
    }

    /// Puts this group, which follows all that is recent, into sled past the tail.
    pub(super) fn pass(&mut self, group: &Group) -> Result<(), StoreError> {
        self.finish()?;
        self.filler.commit([group])
    }
}

impl Drop for Checkpoint {
    /// The database stays locked until its threads are gone.
    fn drop(&mut self) {
        // What did not get into sled is in the tail.
        let _ = self.wait();
    }
}

#[derive(Clone)]
struct Filler {
    disk: Arc<Disk>,
    recent: Recent,
    group_bytes_max: usize,
}

impl Filler {
    /// Durably, as several batches.
    fn fill(&self, groups: &[Arc<Group>]) -> Result<(), StoreError> {
        let mut rest = groups;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fitting = rest.iter().take_while(|group| {
                bytes += group.bytes().len();
                bytes <= CHECKPOINT_BATCH_BYTES
            });
            let (batch, later) = rest.split_at(fitting.count().max(1));
            self.commit(batch.iter().map(AsRef::as_ref))?;
            rest = later;
        }
        self.recent.forget(groups.len());
        Ok(())
    }

    fn commit<'a>(&self, groups: impl IntoIterator<Item = &'a Group>) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        groups::insert(&mut batch, groups, self.group_bytes_max)?;
        self.disk.commit(self.disk.log(), batch)
    }
}

fn failed(reason: &str) -> StoreError {
    StoreError::Disk {
        operation: "put its tail into sled",
        reason: reason.to_owned(),
    }
}
