//! Signed checkpoints: when they are made, with which key, and where they go.
//!
//! One is made every few minutes when something new was shipped, and at a clean stop. It goes beside
//! the log and, when there is one, to a second place that whoever can write the log need not reach.
//! What it looks like and how it is checked: `moltbot_store::checkpoint`.
//!
//! Invariant: only what has been shipped is signed, and only after the log names the key. A place that
//! cannot be written to holds nothing up: it is a warning, shown in the storage status, and tried
//! again.

use crate::exit::Failure;
use crate::gateway::Running;
use crate::home;
use crate::limits::CHECKPOINT_RETRY_MS;
use crate::settings::{Remote, Settings};
use crate::stamp;
use crate::writer::{Intent, Refused};
use moltbot_core::actor::Actor;
use moltbot_core::chain::Cursor;
use moltbot_core::command::Action;
use moltbot_core::ids::Seq;
use moltbot_core::time::Timestamp;
use moltbot_store::checkpoint::{self, Checkpoint, Signed, SigningKey};
use moltbot_store::error::StoreError;
use moltbot_store::replica::Replica;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, watch};
use tracing::{debug, error, warn};

/// Signs what was shipped.
pub struct Checkpoints {
    key: SigningKey,
    every: Duration,
    copy: Option<Remote>,
    one_at_a_time: Mutex<()>,
    status: watch::Sender<Status>,
}

/// Where checkpoints stand.
#[derive(Debug, Clone, Default)]
struct Status {
    newest: Option<Signed>,
    /// Why the last attempt failed.
    error: Option<String>,
    /// Whether the second place was looked at.
    is_copy_known: bool,
    /// The newest one in it.
    copied: Option<Seq>,
    /// Why that is not the newest of all.
    copy_error: Option<String>,
    /// What checkpoints that were there at the start say against this log.
    alarm: Option<String>,
}

impl Checkpoints {
    /// As the settings want it; `None` when no checkpoints are to be made.
    pub fn open(settings: &Settings) -> Result<Option<Checkpoints>, Failure> {
        let Some(every) = settings.checkpoints.every else {
            return Ok(None);
        };
        Ok(Some(Checkpoints {
            key: SigningKey::from_seed(&home::checkpoint_seed(settings)?.0)?,
            every,
            copy: settings.checkpoints.copy.clone(),
            one_at_a_time: Mutex::default(),
            status: watch::Sender::default(),
        }))
    }

    /// Changes whenever [`Checkpoints::json`] does.
    pub fn changes(&self) -> watch::Receiver<impl Sized + use<>> {
        self.status.subscribe()
    }

    /// When the newest one was signed.
    pub fn newest_at(&self) -> Option<Timestamp> {
        let newest = self.status.borrow().newest;
        newest.map(|signed| signed.checkpoint.at)
    }

    /// What speaks against this log.
    pub fn alarm(&self) -> Option<String> {
        self.status.borrow().alarm.clone()
    }

    /// The newest one and what hinders the next, for the storage status.
    pub fn json(&self) -> Value {
        let status = self.status.borrow();
        let newest = status.newest.map(|signed| signed.checkpoint);
        let mut json = json!({
            "seq": newest.map(|newest| newest.cursor.seq),
            "at": newest.map(|newest| newest.at),
            "publicKey": self.key.public(),
            "lastError": status.error,
        });
        if let Some(copy) = &self.copy {
            json["copy"] = json!({
                "location": copy.location(),
                "seq": status.copied,
                "lastError": status.copy_error,
            });
        }
        json
    }

    /// Has the log name the key, unless it does already. Gives the record that must be shipped before
    /// anything is signed.
    pub async fn name_key(&self, running: &Running) -> Result<Seq, String> {
        let public_key = self.key.public();
        let action = Action::UseCheckpointKey { public_key };
        match running.submit(Intent::new(Actor::System, action)).await {
            Ok(accepted) => Ok(accepted.seq),
            Err(Refused::Rejected(no)) => Err(no.message),
            Err(Refused::Stopped) => Err("the gateway is stopping".to_owned()),
        }
    }

    /// Makes a checkpoint of what was shipped, if there is anything new, once the log names the key.
    async fn take(&self, running: &Running) -> Result<(), String> {
        let seq = self.name_key(running).await?;
        running.ship.ship_now();
        if !running.ship.wait_shipped(seq).await {
            return Err("shipping has ended".to_owned());
        }
        self.sign(running).await
    }

    /// Signs what was shipped so far, if there is anything new, and stores it wherever it is missing.
    /// The log must name the key.
    pub async fn sign(&self, running: &Running) -> Result<(), String> {
        let _one = self.one_at_a_time.lock().await;
        let signed = self.sign_and_put(running).await;
        self.status
            .send_modify(|status| status.error = signed.as_ref().err().cloned());
        let copied = self.put_copy(running).await;
        self.status
            .send_modify(|status| status.copy_error = copied.as_ref().err().cloned());
        signed.and(copied)
    }

    async fn sign_and_put(&self, running: &Running) -> Result<(), String> {
        let cursor = *running.ship.shipped().borrow();
        if !self.is_new(cursor) {
            return Ok(());
        }
        let checkpoint = Checkpoint {
            log: running.view.read(|model| model.state.storage.log),
            cursor,
            at: stamp::now(),
            epoch: running.epoch(),
        };
        let signed = self.key.sign(checkpoint).map_err(text)?;
        checkpoint::put(&running.replica, &signed)
            .await
            .map_err(text)?;
        self.status
            .send_modify(|status| status.newest = Some(signed));
        if let Err(error) = checkpoint::thin(&running.replica).await {
            // The next one tries it again.
            debug!(%error, "old checkpoints are still there");
        }
        Ok(())
    }

    fn is_new(&self, shipped: Cursor) -> bool {
        let newest = self.status.borrow().newest;
        newest.is_none_or(|newest| newest.checkpoint.cursor.seq < shipped.seq)
    }

    /// Nothing is ever deleted there: a place where this gateway could is worth less.
    async fn put_copy(&self, running: &Running) -> Result<(), String> {
        let Some(copy) = &self.copy else {
            return Ok(());
        };
        let copy = Replica::open(&copy.url, &copy.options).map_err(text)?;
        let is_known = self.status.borrow().is_copy_known;
        if !is_known {
            let found = self.look(running, &copy).await.map_err(text)?;
            self.status.send_modify(|status| {
                status.copied = found.map(|found| found.checkpoint.cursor.seq);
                status.is_copy_known = true;
            });
        }
        let (newest, copied) = {
            let status = self.status.borrow();
            (status.newest, status.copied)
        };
        let Some(newest) = newest else {
            return Ok(());
        };
        let seq = newest.checkpoint.cursor.seq;
        if copied < Some(seq) {
            checkpoint::put(&copy, &newest).await.map_err(text)?;
            self.status.send_modify(|status| status.copied = Some(seq));
        }
        Ok(())
    }

    /// The newest checkpoint in a place, unless it speaks against this log: then that is said, and
    /// counts for nothing.
    async fn look(&self, running: &Running, place: &Replica) -> Result<Option<Signed>, StoreError> {
        let Some(held) = checkpoint::newest(place).await? else {
            return Ok(None);
        };
        let (log, end) = running
            .view
            .read(|model| (model.state.storage.log, model.state.cursor));
        let seq = held.signed.checkpoint.cursor.seq;
        let found = running.reader.log.cursor(seq)?;
        let found = found.map(|found| found.hash);
        match checkpoint::hold(&held, log, end, found) {
            Ok(()) => Ok(Some(held.signed)),
            Err(finding) => {
                let place = &place.location;
                error!(%finding, place, "a signed checkpoint speaks against this log");
                self.status
                    .send_modify(|status| status.alarm = Some(finding.to_string()));
                Ok(None)
            }
        }
    }

    /// Learns what is there already.
    async fn begin(&self, running: &Running) -> Result<(), StoreError> {
        let newest = self.look(running, &running.replica).await?;
        self.status.send_modify(|status| status.newest = newest);
        let copied = self.put_copy(running).await;
        self.status
            .send_modify(|status| status.copy_error = copied.err());
        Ok(())
    }
}

/// Makes checkpoints until shipping ends.
pub async fn keep(running: Arc<Running>) {
    let Some(checkpoints) = &running.checkpoints else {
        return;
    };
    let (first_ms, longest_ms) = CHECKPOINT_RETRY_MS;
    let mut retry_ms = first_ms;
    while let Err(error) = checkpoints.begin(&running).await {
        warn!(%error, "older checkpoints cannot be read yet");
        retry_ms = pause(retry_ms, longest_ms).await;
    }
    let mut shipped = running.ship.shipped();
    loop {
        tokio::time::sleep(checkpoints.every).await;
        // An idle gateway signs nothing.
        let news = shipped.wait_for(|shipped| checkpoints.is_new(*shipped));
        if news.await.is_err() {
            return;
        }
        retry_ms = first_ms;
        while let Err(error) = checkpoints.take(&running).await {
            warn!(%error, "a checkpoint could not be stored; trying again");
            retry_ms = pause(retry_ms, longest_ms).await;
        }
    }
}

async fn pause(wait_ms: u64, longest_ms: u64) -> u64 {
    tokio::time::sleep(Duration::from_millis(wait_ms)).await;
    (wait_ms * 2).min(longest_ms)
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` wants it")]
fn text(error: StoreError) -> String {
    error.to_string()
}
