//! The task that drives the [`Compactor`], beside shipping and never in its way.
//!
//! Invariant: it asks nothing of the remote while there is nothing to do, and what it does it does
//! no faster than the PUT budget of shipping refills. It ends when this gateway is fenced.

use crate::compact::{Compactor, Pass};
use crate::error::{ErrorKind, StoreError};
use crate::settings::{COMPACT_LOOK_MS, StoreSettings};
use moltbot_core::ids::Seq;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How compaction is doing, as plain data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CompactStatus {
    /// Objects that held the log after the last pass; 0 before the first one.
    pub objects: u64,
    /// Merged segments made by this process.
    pub made: u64,
    /// Objects deleted by this process because a larger one holds what they held.
    pub replaced: u64,
    /// Snapshots deleted by this process.
    pub snapshots: u64,
    /// When the last pass ended well.
    pub last_pass: Option<Instant>,
    /// Why the last pass failed, for people; `None` when it did not.
    pub last_error: Option<String>,
}

impl CompactStatus {
    fn add(&mut self, pass: &Pass) {
        self.objects = pass.objects;
        self.made += pass.made;
        self.replaced += pass.replaced;
        self.snapshots += pass.snapshots;
        self.last_error = None;
        self.last_pass = Some(Instant::now());
    }
}

/// Starts the task. `snapshots` says which snapshots count at that moment, newest first; the second
/// one must be vouched for by records that are in the remote log. Needs a tokio runtime with timers.
pub fn spawn(
    compactor: Compactor,
    settings: StoreSettings,
    snapshots: impl Fn() -> Vec<Seq> + Send + 'static,
) -> (watch::Receiver<CompactStatus>, JoinHandle<()>) {
    let (sender, status) = watch::channel(CompactStatus::default());
    (
        status,
        tokio::spawn(run(compactor, settings, snapshots, sender)),
    )
}

async fn run(
    mut compactor: Compactor,
    settings: StoreSettings,
    snapshots: impl Fn() -> Vec<Seq> + Send,
    status: watch::Sender<CompactStatus>,
) {
    let mut done: Vec<Seq> = Vec::new();
    loop {
        tokio::time::sleep(Duration::from_millis(COMPACT_LOOK_MS)).await;
        let counting = snapshots();
        while counting.len() > 1 && counting != done {
            match compactor.pass(&counting).await {
                Ok(pass) => {
                    status.send_modify(|status| status.add(&pass));
                    if !pass.is_unfinished {
                        done.clone_from(&counting);
                    }
                    let spent = pass.puts.saturating_mul(settings.put_refill_ms);
                    tokio::time::sleep(Duration::from_millis(spent)).await;
                }
                Err(error) => {
                    status.send_modify(|status| status.last_error = Some(error.to_string()));
                    if is_final(&error) {
                        return tracing::warn!(%error, "the remote log is not compacted any more");
                    }
                    tracing::info!(%error, "compaction goes on later");
                    break;
                }
            }
        }
    }
}

/// Whether trying again is of no use in this process.
fn is_final(error: &StoreError) -> bool {
    error.kind() != ErrorKind::Transient
}
