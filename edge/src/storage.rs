//! How safe the data is: the storage status in API and UI, and "Backup now".

use crate::checkpoints::Checkpoints;
use crate::follow;
use crate::gateway::{Gateway, Phase, Running};
use crate::limits::{
    BACKUP_MS_MAX, SNAPSHOT_EVERY_BYTES, SNAPSHOT_EVERY_RECORDS, SNAPSHOT_EVERY_SEGMENTS,
    STORAGE_EVENT_INTERVAL_MS,
};
use crate::self_test;
use crate::settings::Settings;
use crate::snapshots;
use crate::stamp;
use crate::view::Model;
use moltbot_core::actor::Scope;
use moltbot_core::ids::Seq;
use moltbot_core::time::Timestamp;
use moltbot_store::catalog::Catalog;
use moltbot_store::compact::Compactor;
use moltbot_store::compact_task::{self, CompactStatus};
use moltbot_store::replica::ReplicaKind;
use moltbot_store::settings::StoreSettings;
use moltbot_store::ship_status::{ShipState, ShipStatus};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{Mutex, watch};
use tracing::{info, warn};

/// Backups under way, and what was there before this process.
#[derive(Default)]
pub struct Backups {
    one_at_a_time: Mutex<()>,
    progress: watch::Sender<Option<Progress>>,
    segments_before: AtomicU64,
    compaction: OnceLock<watch::Receiver<CompactStatus>>,
}

impl Backups {
    /// How compaction is doing.
    pub fn compaction(&self) -> CompactStatus {
        let status = self.compaction.get();
        status.map_or_else(CompactStatus::default, |status| status.borrow().clone())
    }
}

/// How far a backup is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Progress {
    phase: &'static str,
    /// The last record to ship.
    to: Seq,
    total: u64,
}

/// The storage status at any time, also before the log is claimed.
pub fn report(gateway: &Gateway) -> Value {
    match gateway.running() {
        Some(running) => status(gateway, running),
        None => starting(gateway),
    }
}

/// What is known before the log is claimed: where it is, and why it takes long.
fn starting(gateway: &Gateway) -> Value {
    let (location, kind) = gateway
        .self_tests
        .remote()
        .unwrap_or_else(|| (String::new(), ReplicaKind::Directory));
    let reason = match &*gateway.phase.borrow() {
        Phase::Claiming { message } => message.clone(),
        _ => None,
    };
    let mut status = json!({
        "kind": self::kind(kind),
        "location": location,
        "state": "claiming",
        "lastError": reason,
        "lastSync": null,
    });
    add_configuration(&mut status, gateway, kind.is_remote());
    status
}

/// What depends on the settings and on the self-test alone.
fn add_configuration(status: &mut Value, gateway: &Gateway, configured: bool) {
    let missing = &gateway.settings.remote.missing;
    status["configured"] = json!(configured);
    status["message"] = json!(message(configured));
    status["selfTest"] = gateway.self_tests.json();
    status["orphans"] = json!(gateway.orphans.count());
    status["warnings"] = Value::Array(warnings(&gateway.settings, configured));
    if !configured {
        status["missing"] = json!(missing);
    }
}

/// Settings that do not go together: a stable code, and what it means.
fn warnings(settings: &Settings, configured: bool) -> Vec<Value> {
    let mut warnings = Vec::new();
    let missing = &settings.remote.missing;
    if settings.sleep_after.is_some() && !configured {
        warnings.push(json!({
            "code": "sleep_without_storage",
            "message": "SANDBOX_SLEEP_AFTER puts this gateway to sleep, and without R2 everything                 is lost then; configure R2, or set SANDBOX_SLEEP_AFTER to never",
        }));
    }
    if !configured && (1..R2_SECRETS).contains(&missing.len()) {
        let missing = missing.join(", ");
        warnings.push(json!({
            "code": "r2_incomplete",
            "message": format!("R2 is configured in part; set {missing} as well"),
        }));
    }
    warnings
}

/// How many variables R2 takes.
const R2_SECRETS: usize = 3;

/// The storage status, in the shape of the old API with what it lacked.
pub fn status(gateway: &Gateway, running: &Running) -> Value {
    let ship = running.ship.status().borrow().clone();
    let shipped = *running.ship.shipped().borrow();
    let (head, storage) = running
        .view
        .read(|m| (m.state.cursor, m.state.storage.clone()));
    let lag_events = head.seq.0.saturating_sub(shipped.seq.0);
    let read_only = running.read_only();
    let lag_ms = ship.lag_ms(u64::try_from(stamp::now().0).unwrap_or(0));
    let configured = running.replica.kind.is_remote();
    let shipped_at = shipped_at(gateway, &ship);
    let snapshots: Vec<Value> = storage
        .snapshots
        .iter()
        .map(|s| json!({ "seq": s.seq.0, "bytes": s.bytes, "at": s.at.0 }))
        .collect();
    let compaction = running.backups.compaction();
    let segments = running.backups.segments_before.load(Ordering::Relaxed) + ship.segments;
    let mut status = json!({
        "kind": kind(running.replica.kind),
        "location": running.replica.location,
        "state": if read_only.is_some() { "read_only" } else { state(&ship, lag_events) },
        "head": { "seq": head.seq.0, "hash": head.hash },
        "shipped": { "seq": shipped.seq.0, "hash": shipped.hash, "at": shipped_at.0 },
        "lagEvents": lag_events,
        "lagMs": lag_ms,
        "epoch": running.epoch().0,
        "writer": storage.writer,
        "segments": (segments + compaction.made).saturating_sub(compaction.replaced),
        "compaction": {
            "made": compaction.made,
            "replaced": compaction.replaced,
            "lastPass": compaction.last_pass.map(|at| {
                stamp::now().0 - i64::try_from(at.elapsed().as_millis()).unwrap_or(0)
            }),
            "lastError": compaction.last_error,
        },
        "segmentBytes": ship.bytes,
        "snapshots": snapshots,
        "checkpoint": running.checkpoints.as_ref().map(Checkpoints::json),
        "lastError": read_only.or_else(|| last_error(running)),
        "lastSync": shipped_at.rfc3339(),
    });
    add_configuration(&mut status, gateway, configured);
    add_follower(&mut status, running);
    if let Some(alarm) = running.checkpoints.as_ref().and_then(Checkpoints::alarm)
        && let Some(warnings) = status["warnings"].as_array_mut()
    {
        let code = "checkpoint_contradicts_log";
        warnings.push(json!({ "code": code, "message": alarm }));
    }
    if let Some(progress) = *running.backups.progress.borrow() {
        let left = progress.to.0.saturating_sub(shipped.seq.0);
        status["backup"] = json!({
            "phase": progress.phase,
            "done": progress.total.saturating_sub(left),
            "total": progress.total,
        });
    }
    status
}

/// A follower has nothing that is not shipped; its lag is how far it is behind.
fn add_follower(status: &mut Value, running: &Running) {
    status["role"] = json!("writer");
    let now = stamp::now();
    let Some(Value::Object(follower)) = follow::status::json(running, now) else {
        return;
    };
    status["role"] = json!("follower");
    if status["state"] == "ok" && follower["lagEvents"] != 0 {
        status["state"] = json!("behind");
    }
    for (name, value) in follower {
        status[name] = value;
    }
}

/// Ships everything, takes a snapshot, ships its event. One at a time; a second waits.
pub async fn backup(gateway: &Gateway, running: &Running) -> Result<Value, String> {
    if running.following().is_some() {
        return Err(follow::refusal(running).message);
    }
    let _one = running.backups.one_at_a_time.lock().await;
    let started = stamp::now();
    let before = running.ship.status().borrow().clone();
    let head = running.view.read(|model| model.state.cursor.seq);
    let total = head.0.saturating_sub(before.shipped.seq.0);
    running.backups.progress.send_replace(Some(Progress {
        phase: "shipping",
        to: head,
        total,
    }));
    let limit = Duration::from_millis(BACKUP_MS_MAX);
    let result = tokio::time::timeout(limit, perform(gateway, running, total)).await;
    let result = result.unwrap_or_else(|_| {
        let text = "it takes too long; what is not shipped yet is tried on and on";
        Err(last_error(running).unwrap_or_else(|| text.to_owned()))
    });
    running.backups.progress.send_replace(None);
    let snapshot_seq = result?;
    let after = running.ship.status().borrow().clone();
    Ok(json!({
        "ok": true,
        "seq": after.shipped.seq.0,
        "snapshotSeq": snapshot_seq,
        "segments": after.segments.saturating_sub(before.segments),
        "bytes": after.bytes.saturating_sub(before.bytes),
        "durationMs": stamp::now().since_ms(started),
    }))
}

async fn perform(gateway: &Gateway, running: &Running, total: u64) -> Result<u64, String> {
    let head = running.view.read(|model| model.state.cursor.seq);
    let phase = |phase| {
        running.backups.progress.send_replace(Some(Progress {
            phase,
            to: head,
            total,
        }));
    };
    ship(gateway, running, head).await?;
    phase("snapshot");
    let seq = snapshots::take(running).await?;
    phase("confirming");
    let head = running.view.read(|model| model.state.cursor.seq);
    ship(gateway, running, head).await?;
    Ok(seq.0)
}

/// Ships up to this record, or says why it cannot be: a failed request leads to a self-test, and
/// when that passes the failure was a passing one.
async fn ship(gateway: &Gateway, running: &Running, to: Seq) -> Result<(), String> {
    loop {
        running.ship.ship_now();
        let mut status = running.ship.status();
        let failing = async {
            let failing = status.wait_for(|ship| ship.failing_since_ms.is_some());
            failing.await.is_ok()
        };
        let is_failing = tokio::select! {
            biased;
            shipped = running.ship.wait_shipped(to) => {
                if shipped {
                    return Ok(());
                }
                false
            }
            failing = failing => failing,
        };
        if !is_failing {
            return Err("shipping has ended; see the gateway's log".to_owned());
        }
        self_test::run(gateway, &running.replica).await?;
        tokio::time::sleep(Duration::from_millis(STORAGE_EVENT_INTERVAL_MS)).await;
    }
}

/// Why shipping fails right now.
fn last_error(running: &Running) -> Option<String> {
    let status = running.ship.status();
    let ship = status.borrow();
    ship.failing_since_ms.and_then(|_| ship.last_error.clone())
}

/// Sends `storage` events while something changes, at most twice a second.
pub async fn announce(gateway: Arc<Gateway>, running: Arc<Running>) {
    let mut ship = running.ship.status();
    let mut progress = running.backups.progress.subscribe();
    let mut reports = gateway.self_tests.reports();
    let mut checkpoints = running.checkpoints.as_ref().map(Checkpoints::changes);
    loop {
        let checkpoint = async {
            match &mut checkpoints {
                Some(changes) => changes.changed().await,
                None => std::future::pending().await,
            }
        };
        let changed = tokio::select! {
            changed = checkpoint => changed,
            changed = ship.changed() => changed,
            changed = progress.changed() => changed,
            changed = reports.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
        ship.mark_unchanged();
        progress.mark_unchanged();
        reports.mark_unchanged();
        let status = status(&gateway, &running);
        gateway.hub.broadcast("storage", &status, Scope::Read);
        tokio::time::sleep(Duration::from_millis(STORAGE_EVENT_INTERVAL_MS)).await;
    }
}

/// Compacts the remote log from here on, beside everything else.
pub fn compact(gateway: &Gateway, running: &Arc<Running>) {
    let settings = StoreSettings::default();
    let (replica, instance) = (running.replica.clone(), gateway.instance.clone());
    let compactor = Compactor::new(replica, running.epoch(), instance, settings.clone());
    let counting = Arc::clone(running);
    // Each was taken when everything before was shipped, so all but the newest are vouched for in
    // the remote log.
    let snapshots = move || {
        counting.view.read(|model| {
            let snapshots = model.state.storage.snapshots.iter();
            snapshots.map(|snapshot| snapshot.seq).collect()
        })
    };
    let (status, _) = compact_task::spawn(compactor, settings, snapshots);
    // There is one for each process.
    let _ = running.backups.compaction.set(status);
}

/// Counts what is there already, and takes a snapshot whenever a start from the newest one would
/// have much to read.
pub async fn keep_snapshots(running: Arc<Running>) {
    let mut tail = TailSize::default();
    match Catalog::list(&running.replica, Seq::ZERO).await {
        Ok(catalog) => {
            let before = catalog.objects() as u64;
            let shipped = running.ship.status().borrow().segments;
            let others = before.saturating_sub(shipped);
            running
                .backups
                .segments_before
                .store(others, Ordering::Relaxed);
            tail = TailSize::of(&catalog, newest_snapshot(&running), running.claimed);
        }
        Err(error) => info!(%error, "the segments of the remote log are not counted"),
    }
    let mut status = running.ship.status();
    let mut counted = ShipStatus::default();
    loop {
        let ship = status.borrow_and_update().clone();
        tail.segments += ship.segments - counted.segments;
        tail.bytes += ship.bytes - counted.bytes;
        counted = ship;
        let records = counted.shipped.seq.0;
        if tail.is_much(records.saturating_sub(newest_snapshot(&running).0)) {
            let _one = running.backups.one_at_a_time.lock().await;
            match snapshots::take(&running).await {
                Ok(_) => tail = TailSize::default(),
                Err(error) => {
                    warn!(%error, "no snapshot was taken; the next start reads more of the log");
                    tokio::time::sleep(Duration::from_mins(1)).await;
                }
            }
        } else if status.changed().await.is_err() {
            return;
        }
    }
}

fn newest_snapshot(running: &Running) -> Seq {
    let seq = |model: &Model| model.state.storage.snapshots.front().map(|s| s.seq);
    running.view.read(seq).unwrap_or_default()
}

/// What the remote log holds after the newest snapshot: a start reads all of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct TailSize {
    segments: u64,
    bytes: u64,
}

impl TailSize {
    /// What earlier processes shipped after a snapshot, up to the record where this one began.
    fn of(catalog: &Catalog, snapshot: Seq, claimed: Seq) -> TailSize {
        let mut tail = TailSize::default();
        let between = |first: Seq| first > snapshot && first < claimed;
        for (_, bytes) in catalog.shipped().filter(|(first, _)| between(*first)) {
            tail.segments += 1;
            tail.bytes += bytes;
        }
        tail
    }

    fn is_much(self, records: u64) -> bool {
        records >= SNAPSHOT_EVERY_RECORDS
            || self.segments >= SNAPSHOT_EVERY_SEGMENTS
            || self.bytes >= SNAPSHOT_EVERY_BYTES
    }
}

fn kind(kind: ReplicaKind) -> &'static str {
    match kind {
        ReplicaKind::Directory => "directory",
        ReplicaKind::S3 => "s3",
        ReplicaKind::Memory => "other",
    }
}

fn state(ship: &ShipStatus, lag_events: u64) -> &'static str {
    match ship.state {
        ShipState::Fenced | ShipState::Failed => "read_only",
        ShipState::Retrying => "failing",
        ShipState::Idle | ShipState::Shipping if lag_events > 0 => "behind",
        ShipState::Idle | ShipState::Shipping => "ok",
    }
}

fn message(configured: bool) -> &'static str {
    if configured {
        "R2 storage is configured. Your data will persist across container restarts."
    } else {
        "R2 storage is not configured. Paired devices and conversations will be lost when the container restarts."
    }
}

/// When something was last shipped: by this process, or when it claimed the log.
fn shipped_at(gateway: &Gateway, ship: &ShipStatus) -> Timestamp {
    let shipped = ship.last_success_ms.and_then(|ms| i64::try_from(ms).ok());
    shipped.map_or(gateway.started_at, Timestamp)
}
