//! From an empty process to a claimed log and a rebuilt state.
//!
//! Order: open and verify the local log → claim the remote log (begins at the newest snapshot, restores
//! what is missing here, ships what is missing there) and load data keys beside it → rebuild the
//! state → wrap the keys anew if the master key is another one → start writer and shipper. What
//! comes before the snapshot is read when somebody asks.
//! No command is accepted before all of it is done.

use crate::channels::Channels;
use crate::checkpoints::Checkpoints;
use crate::exit::{Exit, Failure};
use crate::forget;
use crate::gateway::{Gateway, Phase, Role, Running, Stop};
use crate::home;
use crate::limits::CLAIM_RETRY_MS;
use crate::metrics::MeteredLog;
use crate::models;
use crate::reader::Reader;
use crate::runs::LiveRuns;
use crate::self_test;
use crate::settings::Settings;
use crate::snapshots;
use crate::stamp;
use crate::storage::Backups;
use crate::view::{Model, View};
use crate::workspace::Files;
use crate::writer::{Intent, Writer};
use moltbot_core::actor::Actor;
use moltbot_core::command::Action;
use moltbot_core::ids::{KeyId, Seq};
use moltbot_core::vault::SealingKey;
use moltbot_store::blobs::{self, LocalBlobs};
use moltbot_store::claim::{ClaimRequest, Claimed, claim};
use moltbot_store::error::{ErrorKind, StoreError};
use moltbot_store::history::History;
use moltbot_store::keys::Keyring;
use moltbot_store::log::{EventLog, LogReader};
use moltbot_store::replica::Replica;
use moltbot_store::settings::StoreSettings;
use moltbot_store::ship_task::{self, ShipEnd, ShipSetup};
use moltbot_store::sled_log::SledLog;
use moltbot_store::snapshot::Snapshot;
use moltbot_store::upload::Named;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tracing::{info, warn};

/// Name and version, as recorded with `writer_started`.
pub const SOFTWARE: &str = concat!("moltbot ", env!("CARGO_PKG_VERSION"));

/// Encoded bytes of the log that are read at a time, to see which contents it names.
const SWEEP_READ_BYTES: usize = 1 << 20;

/// What must be waited for at the end.
pub struct Booted {
    /// The running parts.
    pub running: Arc<Running>,
    /// The writer's thread.
    pub writer: std::thread::JoinHandle<()>,
    /// What is needed to keep the tail should another gateway take the log over.
    pub ship: ShipSetup,
}

/// Starts everything behind the listener.
pub async fn boot(gateway: &Arc<Gateway>) -> Result<Booted, Failure> {
    let settings = &gateway.settings;
    let store_settings = settings.store.clone();
    let model = models::build(settings)?;
    let channels = Channels::new(settings)?;
    let checkpoints = Checkpoints::open(settings)?;
    let replica = Replica::open(&settings.remote.url, &settings.remote.options)?;
    let blobs = open_blobs(settings, &store_settings)?;
    let replica = replica.with_blobs(Arc::clone(&blobs));
    tokio::spawn(self_test::watch(Arc::clone(gateway), replica.clone()));
    let (mut log, keyring) = open_log(gateway, &store_settings).await?;
    let keyring = Arc::new(keyring);
    let began = Instant::now();
    let load = || keyring.load_remote(&replica, &store_settings);
    let ((claimed, snapshot), _) = tokio::try_join!(
        claim_log(gateway, &replica, &mut log, &keyring, &store_settings),
        until_reached(gateway, load)
    )?;
    gateway.metrics.restored(claimed.restored, began.elapsed());
    if let Some(orphan) = &claimed.orphan {
        warn!(
            ?orphan,
            "the remote log did not take this tail; it is kept under orphan/"
        );
    }
    let local = log.reader();
    sweep_blobs(&blobs, &*local, claimed.head.seq)?;
    let model_read = snapshots::rebuild(snapshot, &*local, &gateway.phase)?;
    let forgotten: Vec<KeyId> = model_read.state.vault.forgotten().cloned().collect();
    keyring.conceal(&forgotten);
    keyring.remove(&forgotten)?;
    if check_keys(&model_read, &keyring).is_err() {
        // The writer before may have made some while they were listed.
        until_reached(gateway, load).await?;
        check_keys(&model_read, &keyring)?;
    }
    let rotation = rotate_remote(gateway, &replica, &keyring, &store_settings).await?;
    let history = History::new(Arc::clone(&local), replica.clone(), Handle::current());
    let reader = Reader::new(Arc::new(history), local, Arc::clone(&keyring));
    let reader = Arc::new(reader);
    let view = Arc::new(View::new(model_read));
    let setup = ShipSetup {
        replica: replica.clone(),
        local: log.reader(),
        keyring: Arc::clone(&keyring),
        epoch: claimed.epoch,
        instance: gateway.instance.clone(),
        shipped: claimed.head,
        settings: store_settings,
        seed: u64::from_le_bytes(stamp::random()),
    };
    let (ship, ship_end) = ship_task::spawn(setup.clone());
    let shipping = ship.clone();
    let metrics = Arc::clone(&gateway.metrics);
    let log = MeteredLog::new(Box::new(log), Arc::clone(&metrics));
    let follower = Arc::clone(&reader);
    let appended = move |records: &[_]| {
        forget::follow(&follower, records);
        shipping.appended(records);
        metrics.recorded(records);
    };
    let (writer, commands) = Writer::new(Box::new(log), keyring, Arc::clone(&view), appended);
    let running = Arc::new(Running {
        view,
        commands,
        reader,
        ship,
        replica,
        claimed: claimed.head.seq,
        live: LiveRuns::default(),
        model,
        backups: Backups::default(),
        checkpoints,
        channels,
        files: Files::new(settings),
        role: Role::Writer,
        ack: settings.ack,
    });
    let writer = spawn_writer(gateway, writer)?;
    tokio::spawn(watch_shipping(Arc::clone(gateway), ship_end));
    if let Some(rotation) = rotation {
        finish_rotation(&running, rotation).await?;
    }
    info!(
        epoch = claimed.epoch.0,
        head = claimed.head.seq.0,
        restored = claimed.restored,
        "log claimed"
    );
    Ok(Booted {
        running,
        writer,
        ship: setup,
    })
}

fn open_blobs(settings: &Settings, bounds: &StoreSettings) -> Result<Arc<LocalBlobs>, Failure> {
    let blobs = LocalBlobs::open(&home::blobs(settings), bounds.blob_cache_bytes)?;
    Ok(Arc::new(blobs))
}

/// Removes the contents of files whose command never came: the process ended between the two.
fn sweep_blobs(blobs: &LocalBlobs, log: &dyn LogReader, shipped: Seq) -> Result<(), Failure> {
    let mut named = BTreeSet::new();
    let mut next = shipped.next();
    loop {
        let records = log.read(next, SWEEP_READ_BYTES)?;
        let Some(last) = records.last() else { break };
        next = last.seq.next();
        named.extend(blobs::with_chunks(blobs, &Named::by(&records).blobs)?);
    }
    let swept = blobs.sweep(&named)?;
    if swept > 0 {
        info!(swept, "contents that no record names were removed");
    }
    Ok(())
}

async fn open_log(
    gateway: &Gateway,
    store_settings: &StoreSettings,
) -> Result<(SledLog, Keyring), Failure> {
    let path = home::data(&gateway.settings);
    let masters = gateway.settings.master_keys.clone();
    let store_settings = store_settings.clone();
    let open = move || -> Result<(SledLog, Keyring), StoreError> {
        let opened = SledLog::open_or_set_aside(&path, &store_settings)?;
        if let Some(aside) = opened.set_aside {
            warn!(
                moved_to = %aside.path.display(),
                error = %aside.error,
                "the local log was damaged; it is kept aside and restored from the remote log"
            );
        }
        let keyring = Keyring::open(&path, masters)?;
        for damaged in set_aside(&path)? {
            keyring.adopt(&damaged)?;
        }
        Ok((opened.log, keyring))
    };
    let opened = tokio::task::spawn_blocking(open).await;
    opened
        .map_err(|_| Failure::new(Exit::Disk, "opening the local log failed"))?
        .map_err(Failure::from)
}

/// Claims the remote log, trying again for as long as it cannot be reached. Also gives what the
/// newest snapshot that counts holds.
async fn claim_log(
    gateway: &Gateway,
    replica: &Replica,
    log: &mut SledLog,
    keyring: &Keyring,
    store_settings: &StoreSettings,
) -> Result<(Claimed, Option<Model>), Failure> {
    let (mut wait_ms, _) = CLAIM_RETRY_MS;
    let nonce = stamp::id();
    gateway
        .phase
        .send_replace(Phase::Claiming { message: None });
    loop {
        let request = ClaimRequest {
            instance: gateway.instance.clone(),
            takeover: gateway.settings.takeover,
            at: stamp::now(),
            software: SOFTWARE.to_owned(),
            nonce: nonce.clone(),
        };
        let phase = gateway.phase.clone();
        let mut progress = move |done, total| {
            phase.send_replace(Phase::Restoring { done, total });
        };
        let mut decoded = None;
        let mut usable = |snapshot: &Snapshot| {
            decoded = snapshots::decode(snapshot);
            decoded.is_some()
        };
        let claimed = claim(
            replica,
            log,
            keyring,
            &request,
            store_settings,
            &mut usable,
            &mut progress,
        );
        match claimed.await {
            Ok(claimed) => {
                let counts = |model: &Model| Some(model.state.cursor) == claimed.anchor;
                let model = decoded.filter(counts);
                return Ok((claimed, model));
            }
            Err(error) => wait_ms = again_after(gateway, error, wait_ms).await?,
        }
    }
}

/// Asks the remote log for something, trying again for as long as it cannot be reached.
async fn until_reached<T, F>(gateway: &Gateway, mut ask: impl FnMut() -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let (mut wait_ms, _) = CLAIM_RETRY_MS;
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) => wait_ms = again_after(gateway, error, wait_ms).await?,
        }
    }
}

/// Wraps the keys of the remote log by the current master key, if there are others on this disk;
/// what is to be recorded then.
async fn rotate_remote(
    gateway: &Gateway,
    replica: &Replica,
    keyring: &Keyring,
    store_settings: &StoreSettings,
) -> Result<Option<Action>, Failure> {
    let Some(master) = &gateway.settings.master_keys.current else {
        return Ok(None);
    };
    if !keyring.is_rotation_due() {
        return Ok(None);
    }
    info!("the data keys are wrapped by another master key");
    let rotate = || keyring.rotate_remote(replica, store_settings);
    let keys = until_reached(gateway, rotate).await?;
    let fingerprint = master.fingerprint();
    Ok(Some(Action::RecordMasterKeyRotation { fingerprint, keys }))
}

/// Records a rotation, then brings this disk to it: as long as the disk is behind, the next start
/// finds that there is something to finish.
async fn finish_rotation(running: &Running, rotation: Action) -> Result<(), Failure> {
    let recorded = running
        .view
        .read(|model| model.state.vault.master_key.clone());
    let is_recorded = matches!(
        &rotation,
        Action::RecordMasterKeyRotation { fingerprint, .. } if recorded.as_ref() == Some(fingerprint)
    );
    if !is_recorded {
        let intent = Intent::new(Actor::System, rotation);
        let submitted = running.submit(intent).await;
        submitted.map_err(|_| Failure::new(Exit::Disk, "the rotation cannot be recorded"))?;
    }
    let reader = Arc::clone(&running.reader);
    let rotated = tokio::task::spawn_blocking(move || reader.keyring.rotate_local()).await;
    rotated.map_err(|_| Failure::new(Exit::Disk, "wrapping the data keys anew failed"))??;
    info!(
        "the data keys are wrapped by the current master key; the previous one is not needed any more"
    );
    Ok(())
}

/// Local logs that were set aside. Their keys go to the log that took their place: there they can
/// be forgotten.
fn set_aside(data: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let failed = |error: std::io::Error| StoreError::Disk {
        operation: "look for damaged ones",
        reason: error.to_string(),
    };
    let (Some(home), Some(name)) = (data.parent(), data.file_name()) else {
        return Ok(Vec::new());
    };
    let prefix = format!("{}.damaged-", name.to_string_lossy());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(home).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Waits before the remote log is asked again and gives the wait after that; fails when asking
/// again cannot help.
async fn again_after(gateway: &Gateway, error: StoreError, wait_ms: u64) -> Result<u64, Failure> {
    if error.kind() != ErrorKind::Transient {
        return Err(error.into());
    }
    warn!(%error, wait_ms, "the remote log cannot be claimed yet");
    // What a self-test found is the cause, whatever request met it first.
    let cause = gateway.self_tests.problem();
    let message = cause.unwrap_or_else(|| error.to_string());
    let message = Some(format!("{message}; trying again"));
    gateway.phase.send_replace(Phase::Claiming { message });
    tokio::select! {
        () = tokio::time::sleep(Duration::from_millis(wait_ms)) => {}
        _ = gateway.stopped() => {
            let text = "stopped before the log was claimed";
            return Err(Failure::new(Exit::Clean, text));
        }
    }
    let (_, longest_ms) = CLAIM_RETRY_MS;
    Ok((wait_ms * 2).min(longest_ms))
}

/// A missing data key that was not forgotten means that content was lost: refuse to serve.
fn check_keys(model: &Model, keyring: &Keyring) -> Result<(), Failure> {
    let missing = model
        .state
        .vault
        .iter()
        .find(|(_, sealing)| keyring.get(&sealing.key).is_none());
    match missing {
        None => Ok(()),
        Some((scope, SealingKey { key, .. })) => {
            let scope = scope.split('|').next().unwrap_or_default();
            Err(Failure::new(
                Exit::CorruptLog,
                format!(
                    "the data key `keys/{key}` of `{scope}` is missing in the remote; put it back from a backup of the bucket"
                ),
            ))
        }
    }
}

fn spawn_writer(
    gateway: &Arc<Gateway>,
    writer: Writer,
) -> Result<std::thread::JoinHandle<()>, Failure> {
    let gateway = Arc::clone(gateway);
    let run = move || {
        if let Err(error) = writer.run() {
            gateway.request_stop(Stop::Failed(Arc::new(error.into())));
        }
    };
    std::thread::Builder::new()
        .name("writer".to_owned())
        .spawn(run)
        .map_err(|error| Failure::new(Exit::Disk, format!("cannot start the writer: {error}")))
}

async fn watch_shipping(gateway: Arc<Gateway>, end: tokio::task::JoinHandle<ShipEnd>) {
    let failure = match end.await {
        Ok(ShipEnd::Stopped { .. }) => return,
        Ok(ShipEnd::Fenced { by, orphan }) => {
            if let Some(orphan) = orphan {
                warn!(?orphan, "what had not been shipped is kept under orphan/");
            }
            Failure::from(StoreError::Fenced { by })
        }
        Ok(ShipEnd::Failed(error)) => error.into(),
        Err(error) => Failure::new(Exit::Disk, format!("shipping ended unexpectedly: {error}")),
    };
    gateway.request_stop(Stop::Failed(Arc::new(failure)));
}
