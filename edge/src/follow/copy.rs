//! Opening the copy: the local log under `follower/`, as far as the remote log can be reached right
//! now brought to its end, then folded.
//!
//! Invariant: a copy that is there is served, however old, when the remote log does not answer. One
//! that is of another log is refused with what to do; one that is ahead of the remote log, because
//! an older state of that was put back, is cut back to it.

use super::task::Task;
use super::{Following, Progress};
use crate::channels::Channels;
use crate::exit::{Exit, Failure};
use crate::gateway::{Gateway, Phase, Role, Running};
use crate::home;
use crate::limits::{FOLLOW_RETRY_MS, FOLLOW_START_MS};
use crate::models;
use crate::reader::Reader;
use crate::runs::LiveRuns;
use crate::settings::Settings;
use crate::snapshots;
use crate::stamp;
use crate::storage::Backups;
use crate::view::{Model, View};
use crate::workspace::Files;
use crate::writer::Commands;
use moltbot_agent::Provider;
use moltbot_core::chain::Cursor;
use moltbot_core::ids::KeyId;
use moltbot_core::time::Timestamp;
use moltbot_store::error::{ErrorKind, StoreError};
use moltbot_store::follow::{self, Standing};
use moltbot_store::keys::Keyring;
use moltbot_store::log::EventLog;
use moltbot_store::replica::Replica;
use moltbot_store::restore::{self, Survey};
use moltbot_store::settings::StoreSettings;
use moltbot_store::ship_status::ShipStatus;
use moltbot_store::ship_task;
use moltbot_store::sled_log::SledLog;
use std::sync::Arc;
use std::time::Duration;
use tracing::{info, warn};

/// The copy and where it comes from.
pub(super) struct Copy {
    pub(super) replica: Replica,
    pub(super) log: SledLog,
    pub(super) keyring: Arc<Keyring>,
    pub(super) bounds: StoreSettings,
}

/// Opens the copy and makes everything ready to serve it.
pub(super) async fn open(gateway: &Arc<Gateway>) -> Result<Task, Failure> {
    let settings = &gateway.settings;
    let replica = open_replica(settings)?;
    let bounds = settings.store.clone();
    let (log, keyring) = open_log(settings, &bounds).await?;
    let mut copy = Copy {
        replica,
        log,
        keyring: Arc::new(keyring),
        bounds,
    };
    let surveyed = copy.catch_up_at_start(gateway).await?;
    let model = snapshots::rebuild(None, &*copy.log.reader(), &gateway.phase)?;
    copy.drop_forgotten(&model)?;
    let head = copy.log.head();
    let epoch = model.state.storage.epoch;
    info!(head = head.seq.0, epoch = epoch.0, "the copy is open");
    let following = Following::new(written_at(&copy, head)?);
    if let Some((at, survey)) = &surveyed {
        following.note(|progress| {
            *progress = Progress {
                remote: survey.tail.cursor.seq,
                contact_at: Some(*at),
                current_at: *at,
            };
        });
    }
    let status = ShipStatus {
        epoch,
        shipped: head,
        head,
        ..ShipStatus::default()
    };
    let (feed, ship) = ship_task::observe(status);
    let running = Arc::new(Running {
        view: Arc::new(View::new(model)),
        commands: Commands::none(),
        reader: Arc::new(Reader::new(
            copy.log.reader(),
            copy.log.reader(),
            Arc::clone(&copy.keyring),
        )),
        claimed: head.seq,
        ship,
        replica: copy.replica.clone(),
        live: LiveRuns::default(),
        // Nothing runs here, so whatever is set for it can be wrong.
        model: Provider::choose(&|_| None)
            .and_then(|demo| demo.model(models::settings(), 0))
            .map_err(|error| Failure::new(Exit::Configuration, error.message()))?,
        backups: Backups::default(),
        channels: Channels::default(),
        files: Files::new(settings),
        checkpoints: None,
        role: Role::Follower(following),
        ack: None,
    });
    let survey = surveyed.map(|(_, survey)| survey);
    Ok(Task::new(Arc::clone(gateway), running, copy, feed, survey))
}

/// Opens the remote log.
fn open_replica(settings: &Settings) -> Result<Replica, Failure> {
    let hint = "set MOLTBOT_REPLICA_URL to where the writing gateway ships its log";
    settings.remote.open_existing(hint)
}

async fn open_log(
    settings: &Settings,
    bounds: &StoreSettings,
) -> Result<(SledLog, Keyring), Failure> {
    let (path, masters, bounds) = (
        home::follower(settings),
        settings.master_keys.clone(),
        bounds.clone(),
    );
    let open = move || -> Result<(SledLog, Keyring), StoreError> {
        let opened = SledLog::open_or_set_aside(&path, &bounds)?;
        if let Some(aside) = opened.set_aside {
            warn!(
                moved_to = %aside.path.display(),
                error = %aside.error,
                "the copy was damaged; it is kept aside and read anew from the remote log"
            );
        }
        let keyring = Keyring::open(&path, masters)?;
        Ok((opened.log, keyring))
    };
    let opened = tokio::task::spawn_blocking(open).await;
    opened
        .map_err(|_| Failure::new(Exit::Disk, "opening the copy failed"))?
        .map_err(Failure::from)
}

/// When the last record of the copy was written.
fn written_at(copy: &Copy, head: Cursor) -> Result<Timestamp, Failure> {
    let last = copy.log.reader().get(head.seq)?;
    Ok(last.map_or_else(stamp::now, |record| record.at))
}

impl Copy {
    /// Keys that were forgotten while this copy was read, or that came back after that.
    fn drop_forgotten(&self, model: &Model) -> Result<(), Failure> {
        let forgotten: Vec<KeyId> = model.state.vault.forgotten().cloned().collect();
        self.keyring.conceal(&forgotten);
        self.keyring.remove(&forgotten)?;
        Ok(())
    }

    /// Brings the copy to the end of the remote log. Without a copy that takes as long as it takes;
    /// with one, a remote log that cannot be reached is left for later: `None`.
    async fn catch_up_at_start(
        &mut self,
        gateway: &Gateway,
    ) -> Result<Option<(Timestamp, Survey)>, Failure> {
        let (mut wait_ms, longest_ms) = FOLLOW_RETRY_MS;
        gateway
            .phase
            .send_replace(Phase::Connecting { message: None });
        loop {
            let has_copy = self.log.head() != Cursor::START;
            let message = match self.catch_up_once(gateway, has_copy).await {
                Ok((_, survey)) if survey.tail.cursor == Cursor::START => {
                    "the remote log is empty; no gateway has written to it yet".to_owned()
                }
                Ok(surveyed) => return Ok(Some(surveyed)),
                Err(error) if error.kind() != ErrorKind::Transient => {
                    return Err(self.explain(&error, gateway));
                }
                Err(error) if has_copy => {
                    warn!(%error, "the remote log cannot be reached; serving the copy as it is");
                    return Ok(None);
                }
                Err(error) => error.to_string(),
            };
            warn!(wait_ms, "nothing to serve yet: {message}");
            let message = Some(format!("{message}; trying again"));
            gateway.phase.send_replace(Phase::Connecting { message });
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            wait_ms = (wait_ms * 2).min(longest_ms);
        }
    }

    async fn catch_up_once(
        &mut self,
        gateway: &Gateway,
        has_copy: bool,
    ) -> Result<(Timestamp, Survey), StoreError> {
        let asked_at = stamp::now();
        let survey = self.survey(has_copy.then_some(FOLLOW_START_MS)).await?;
        if let Standing::Ahead(end) = follow::standing(&self.log, &survey)? {
            warn!(
                end = end.seq.0,
                "the remote log ends before this copy does: an older state of it was put back; the copy goes back to that"
            );
            self.log.rewind(end)?;
        }
        let phase = gateway.phase.clone();
        let mut progress = move |done, total| {
            phase.send_replace(Phase::Restoring { done, total });
        };
        self.catch_up(&survey, &mut progress).await?;
        Ok((asked_at, survey))
    }

    /// Looks at the remote log as a whole.
    pub(super) async fn survey(&self, limit_ms: Option<u64>) -> Result<Survey, StoreError> {
        let survey = restore::survey(&self.replica);
        let Some(limit_ms) = limit_ms else {
            return survey.await;
        };
        let limited = tokio::time::timeout(Duration::from_millis(limit_ms), survey).await;
        limited.unwrap_or_else(|_| {
            Err(StoreError::Remote {
                operation: "look at",
                object: self.replica.location.clone(),
                reason: format!("no answer within {limit_ms} ms"),
            })
        })
    }

    /// Reads what the survey found beyond the copy, with the keys for it; how many records.
    pub(super) async fn catch_up(
        &mut self,
        survey: &Survey,
        progress: &mut restore::Progress<'_>,
    ) -> Result<u64, StoreError> {
        let (replica, bounds) = (&self.replica, &self.bounds);
        let count = follow::catch_up(replica, &mut self.log, survey, bounds, progress).await?;
        if count > 0 {
            self.keyring.load_remote(replica, bounds).await?;
        }
        Ok(count)
    }

    /// What a person does about a copy that is of another log.
    pub(super) fn explain(&self, error: &StoreError, gateway: &Gateway) -> Failure {
        let exit = Exit::from(error);
        if exit != Exit::CorruptLog {
            return Failure::new(exit, error.to_string());
        }
        Failure::new(
            exit,
            format!(
                "{error}; if another log was put into `{}` on purpose, remove `{}` and start again, else run: moltbot log verify",
                self.replica.location,
                home::follower(&gateway.settings).display()
            ),
        )
    }
}
