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
use crate::settings::Settings;
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
    copy: Option<Replica>,
    one_at_a_time: Mutex<()>,
    status: watch::Sender<Status>,
}

/// Where checkpoints stand.
#[derive(Debug, Clone, Default)]
struct Status {
    newest: Option<Signed>,
    /// Why the last attempt failed.
    error: Option<String>,
    /// The newest one in the second place.
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
        let copy = settings.checkpoints.copy.as_ref();
        let copy = copy.map(|copy| Replica::open(&copy.url, &copy.options));
        Ok(Some(Checkpoints {
            key: SigningKey::from_seed(&home::checkpoint_seed(settings)?.0)?,
            every,
            copy: copy.transpose()?,
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
                "location": copy.location,
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
        let copied = self.put_copy().await;
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
            epoch: running.epoch,
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
    async fn put_copy(&self) -> Result<(), String> {
        let (newest, copied) = {
            let status = self.status.borrow();
            (status.newest, status.copied)
        };
        let (Some(copy), Some(newest)) = (&self.copy, newest) else {
            return Ok(());
        };
        let seq = newest.checkpoint.cursor.seq;
        if copied >= Some(seq) {
            return Ok(());
        }
        checkpoint::put(copy, &newest).await.map_err(text)?;
        self.status.send_modify(|status| status.copied = Some(seq));
        Ok(())
    }

    /// Learns what is there already, and holds the log against it.
    async fn look(&self, running: &Running) -> Result<(), StoreError> {
        let beside = checkpoint::newest(&running.replica).await?;
        let newest = beside.as_ref().map(|held| held.signed);
        self.status.send_modify(|status| status.newest = newest);
        let elsewhere = match &self.copy {
            Some(copy) => checkpoint::newest(copy).await?,
            None => None,
        };
        let copied = elsewhere.as_ref().map(|held| held.signed);
        let copied = copied.map(|signed| signed.checkpoint.cursor.seq);
        self.status.send_modify(|status| status.copied = copied);
        let (log, head) = running
            .view
            .read(|model| (model.state.storage.log, model.state.cursor));
        for held in elsewhere.iter().chain(&beside) {
            let seq = held.signed.checkpoint.cursor.seq;
            let here = running.reader.log.cursor(seq)?;
            if let Err(finding) = checkpoint::hold(held, log, head, here.map(|here| here.hash)) {
                error!(%finding, "a signed checkpoint speaks against this log");
                self.status.send_modify(|status| {
                    status.alarm = Some(finding.to_string());
                    // It says nothing about this log, so the next one is not held up by it.
                    (status.newest, status.copied) = (None, None);
                });
                break;
            }
        }
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
    while let Err(error) = checkpoints.look(&running).await {
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
