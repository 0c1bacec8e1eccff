//! How many tails lie under `orphan/`: words of somebody that did not get into the log.
//!
//! Invariant: they are counted, nothing more. Whoever wants to read them runs
//! `moltbot log orphans`.

use crate::gateway::Gateway;
use crate::limits::ORPHANS_INTERVAL_MS;
use moltbot_store::orphans;
use moltbot_store::replica::Replica;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tracing::{debug, warn};

/// What was counted last.
#[derive(Default)]
pub struct Orphans {
    count: watch::Sender<Option<usize>>,
}

impl Orphans {
    /// How many there are; `None` before they were counted.
    pub fn count(&self) -> Option<usize> {
        *self.count.borrow()
    }
}

/// Counts at the start and now and then, until the gateway stops. Says once that there are some.
pub async fn watch(gateway: Arc<Gateway>, replica: Replica) {
    loop {
        match orphans::list(&replica).await {
            Ok(found) => note(&gateway, found.len()),
            // Whoever needs the remote log says so more loudly.
            Err(error) => debug!(%error, "the orphans were not counted"),
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(ORPHANS_INTERVAL_MS)) => {}
            _ = gateway.stopped() => return,
        }
    }
}

fn note(gateway: &Gateway, count: usize) {
    let before = gateway.orphans.count.send_replace(Some(count));
    if count > before.unwrap_or(0) {
        warn!(
            count,
            "there are records that did not get into the log; see: moltbot log orphans list"
        );
    }
}
