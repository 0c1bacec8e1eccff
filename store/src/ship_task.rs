//! The task that drives the [`Shipper`]: performs its actions against the replica and the local log.
//!
//! Invariant: telling it of an append never waits and never fails, whatever the remote does; it
//! ends only when it is stopped, fenced or finds damage, and says which. After being fenced it
//! keeps what was not shipped under `orphan/` before it ends.

use crate::error::StoreError;
use crate::keys::Keyring;
use crate::layout;
use crate::log::LogReader;
use crate::replica::{Created, Replica};
use crate::settings::{ORPHAN_RETRY_MS, ORPHAN_UPLOAD_MS_MAX, StoreSettings};
use crate::ship_status::{ShipStatus, weight};
use crate::shipper::{Action, Input, Outcome, Shipper};
use crate::upload::{self, OrphanReport};
use moltbot_core::chain::Cursor;
use moltbot_core::ids::{Epoch, InstanceId, Seq};
use moltbot_core::record::Record;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// What the task works with.
#[derive(Clone)]
pub struct ShipSetup {
    /// The remote log.
    pub replica: Replica,
    /// The local log.
    pub local: Arc<dyn LogReader>,
    /// The data keys.
    pub keyring: Arc<Keyring>,
    /// The epoch that was claimed.
    pub epoch: Epoch,
    /// The gateway.
    pub instance: InstanceId,
    /// How far the remote log went when it was claimed.
    pub shipped: Cursor,
    /// Bounds and rhythm.
    pub settings: StoreSettings,
    /// Shapes the jitter of retries.
    pub seed: u64,
}

/// Why shipping ended.
#[derive(Debug)]
pub enum ShipEnd {
    /// It was stopped; what lies after this record was not shipped.
    Stopped {
        /// The last record that is safe in the remote log.
        shipped: Cursor,
    },
    /// Another gateway took the log over.
    Fenced {
        /// Its epoch.
        by: Epoch,
        /// Where the unshipped tail was kept; `None` when there was none, or when it could not be
        /// uploaded (then it is still in the local log).
        orphan: Option<OrphanReport>,
    },
    /// What is stored is not what was written, or the local log cannot be read.
    Failed(StoreError),
}

#[derive(Debug, Clone, Default)]
struct Signal {
    head: Cursor,
    appended_bytes: u64,
    ship_now: u64,
    stop: Option<Instant>,
}

/// Talks to the shipping task. Cheap to clone; the task ends when all handles are gone.
#[derive(Debug, Clone)]
pub struct ShipHandle {
    signal: watch::Sender<Signal>,
    status: watch::Receiver<ShipStatus>,
    shipped: watch::Receiver<Cursor>,
}

impl ShipHandle {
    /// These records are in the local log now. Never waits.
    pub fn appended(&self, records: &[Record]) {
        let Some(last) = records.last() else { return };
        self.signal.send_modify(|signal| {
            signal.head = last.cursor();
            signal.appended_bytes += weight(records);
        });
    }

    /// Somebody waits for everything appended so far: ship it at once. Never waits.
    pub fn ship_now(&self) {
        self.signal.send_modify(|signal| signal.ship_now += 1);
    }

    /// Ships what is left and ends the task, at the latest when the time is up.
    pub fn stop(&self, within: Duration) {
        self.signal
            .send_modify(|signal| signal.stop = Some(Instant::now() + within));
    }

    /// How far shipping is. The times in it are milliseconds since the Unix epoch.
    pub fn status(&self) -> watch::Receiver<ShipStatus> {
        self.status.clone()
    }

    /// The last record that is safe in the remote log. Closed when the task has ended.
    pub fn shipped(&self) -> watch::Receiver<Cursor> {
        self.shipped.clone()
    }

    /// Waits until this record is safe in the remote log; `false` when the task ended before.
    pub async fn wait_shipped(&self, seq: Seq) -> bool {
        let mut shipped = self.shipped.clone();
        shipped.wait_for(|cursor| cursor.seq >= seq).await.is_ok()
    }
}

/// Starts the task. Needs a tokio runtime with timers.
pub fn spawn(setup: ShipSetup) -> (ShipHandle, JoinHandle<ShipEnd>) {
    let now = Instant::now();
    let started_ms = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0));
    let shipper = Shipper::new(
        setup.epoch,
        setup.instance.clone(),
        setup.shipped,
        setup.settings.clone(),
        setup.seed,
        started_ms,
    );
    let (signal, signals) = watch::channel(Signal {
        head: setup.shipped,
        ..Signal::default()
    });
    let (status_out, status) = watch::channel(shipper.status());
    let (safe_out, safe) = watch::channel(setup.shipped);
    let task = Task {
        setup,
        shipper,
        started: (now, started_ms),
        signals,
        seen: Signal::default(),
        status: status_out,
        shipped: safe_out,
        request: None,
        // The shipper says at its first step when it wants to be woken.
        wake: Some(now),
    };
    let handle = ShipHandle {
        signal,
        status,
        shipped: safe,
    };
    (handle, tokio::spawn(task.run()))
}

/// The publishing end of a handle onto a log that another gateway ships.
#[derive(Debug)]
pub struct ShipFeed {
    status: watch::Sender<ShipStatus>,
    shipped: watch::Sender<Cursor>,
    /// Nobody reads it: what is appended here was shipped elsewhere.
    _signals: watch::Receiver<Signal>,
}

impl ShipFeed {
    /// Tells everyone how far the remote log is known to be, and how reaching it goes.
    pub fn publish(&self, status: ShipStatus) {
        let shipped = status.shipped;
        self.status.send_replace(status);
        self.shipped.send_if_modified(|known| {
            let is_new = *known != shipped;
            *known = shipped;
            is_new
        });
    }
}

/// A handle for a gateway that only reads: it ships nothing, and everything it has is shipped.
pub fn observe(status: ShipStatus) -> (ShipFeed, ShipHandle) {
    let (shipped_out, shipped) = watch::channel(status.shipped);
    let (status_out, status) = watch::channel(status);
    let (signal, signals) = watch::channel(Signal::default());
    let feed = ShipFeed {
        status: status_out,
        shipped: shipped_out,
        _signals: signals,
    };
    let handle = ShipHandle {
        signal,
        status,
        shipped,
    };
    (feed, handle)
}

/// Performs a request against the remote log. `None` for everything that is no such request.
pub(crate) async fn perform(replica: &Replica, keyring: &Keyring, action: Action) -> Option<Input> {
    let (op, result) = match action {
        Action::CreateNamed { op, named } => {
            let created = upload::named(replica, keyring, &named).await;
            (op, created.map(|()| Outcome::Created))
        }
        Action::Create { op, path, bytes } => {
            let created = replica.create(&path, bytes).await;
            let outcome = created.map(|created| match created {
                Created::New => Outcome::Created,
                Created::Exists => Outcome::Exists,
            });
            (op, outcome)
        }
        Action::Get { op, path } => (op, found(replica, &path).await),
        Action::CheckHead { op, epoch } => (op, found(replica, &layout::head(epoch)).await),
        _ => return None,
    };
    let outcome = result.unwrap_or_else(Outcome::Failed);
    Some(Input::Done { op, outcome })
}

async fn found(replica: &Replica, path: &object_store::path::Path) -> Result<Outcome, StoreError> {
    let bytes = replica.get(path).await?;
    Ok(bytes.map_or(Outcome::Absent, Outcome::Found))
}

type Request = Pin<Box<dyn Future<Output = Option<Input>> + Send>>;

struct Task {
    setup: ShipSetup,
    shipper: Shipper,
    started: (Instant, u64),
    signals: watch::Receiver<Signal>,
    /// The signal as far as the shipper knows it.
    seen: Signal,
    status: watch::Sender<ShipStatus>,
    shipped: watch::Sender<Cursor>,
    request: Option<Request>,
    wake: Option<Instant>,
}

impl Task {
    async fn run(mut self) -> ShipEnd {
        loop {
            if self.is_finished() {
                let shipped = self.shipper.shipped();
                return ShipEnd::Stopped { shipped };
            }
            let inputs = self.next().await;
            for input in inputs {
                let actions = self.shipper.step(self.now_ms(), input);
                self.tell();
                for action in actions {
                    if let Some(end) = self.act(action).await {
                        return end;
                    }
                }
            }
        }
    }

    /// Tells the news, if there are any: an idle gateway has none.
    fn tell(&self) {
        let news = self.shipper.status();
        self.status.send_if_modified(|status| {
            let is_news = *status != news;
            *status = news;
            is_news
        });
    }

    /// Waits for whatever happens first.
    async fn next(&mut self) -> Vec<Input> {
        let deadline = self.seen.stop;
        tokio::select! {
            biased;
            done = answer(&mut self.request) => {
                self.request = None;
                done.into_iter().collect()
            }
            changed = self.signals.changed() => {
                if changed.is_ok() {
                    self.signalled()
                } else {
                    // All handles are gone.
                    self.seen.stop = Some(Instant::now());
                    Vec::new()
                }
            }
            () = until(self.wake) => {
                self.wake = None;
                vec![Input::Tick]
            }
            () = until(deadline) => Vec::new(),
        }
    }

    /// What the handles said since the last time.
    fn signalled(&mut self) -> Vec<Input> {
        let signal = self.signals.borrow_and_update().clone();
        let seen = std::mem::replace(&mut self.seen, signal.clone());
        let mut inputs = Vec::new();
        if signal.appended_bytes > seen.appended_bytes {
            inputs.push(Input::Appended {
                head: signal.head,
                bytes: signal.appended_bytes - seen.appended_bytes,
            });
        }
        let stopping = signal.stop.is_some() && seen.stop.is_none();
        if signal.ship_now > seen.ship_now || stopping {
            inputs.push(Input::ShipNow);
        }
        inputs
    }

    fn is_finished(&self) -> bool {
        let Some(deadline) = self.seen.stop else {
            return false;
        };
        let status = self.shipper.status();
        status.lag_events == 0 || Instant::now() >= deadline
    }

    /// Performs an action, or starts to. Gives the end when it is the last one.
    async fn act(&mut self, action: Action) -> Option<ShipEnd> {
        match action {
            Action::WakeAt(at_ms) => {
                let (started, started_ms) = self.started;
                let after = Duration::from_millis(at_ms.saturating_sub(started_ms));
                self.wake = Some(started + after);
            }
            Action::Shipped(cursor) => {
                self.shipped.send_replace(cursor);
            }
            Action::Fenced(by) => {
                let orphan = keep_tail_in_time(&self.setup, self.shipper.shipped()).await;
                return Some(ShipEnd::Fenced { by, orphan });
            }
            Action::Failed(error) => return Some(ShipEnd::Failed(error)),
            Action::ReadRecords {
                op,
                from,
                bytes_max,
            } => {
                let local = Arc::clone(&self.setup.local);
                self.request = Some(Box::pin(async move {
                    let read =
                        tokio::task::spawn_blocking(move || local.read_whole(from, bytes_max));
                    let outcome = match read.await {
                        Ok(read) => read.map_or_else(Outcome::Failed, Outcome::Records),
                        Err(error) => Outcome::Failed(StoreError::Internal(error.to_string())),
                    };
                    Some(Input::Done { op, outcome })
                }));
            }
            request => {
                let replica = self.setup.replica.clone();
                let keyring = Arc::clone(&self.setup.keyring);
                self.request = Some(Box::pin(async move {
                    perform(&replica, &keyring, request).await
                }));
            }
        }
        None
    }

    fn now_ms(&self) -> u64 {
        let (started, started_ms) = self.started;
        let elapsed = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        started_ms.saturating_add(elapsed)
    }
}

/// [`keep_tail`] until it succeeds or the time is up.
async fn keep_tail_in_time(setup: &ShipSetup, after: Cursor) -> Option<OrphanReport> {
    let limit = Duration::from_millis(ORPHAN_UPLOAD_MS_MAX);
    let kept = tokio::time::timeout(limit, async {
        loop {
            match keep_tail(setup, after).await {
                Ok(report) => return report,
                Err(error) => tracing::warn!(%error, "cannot keep the unshipped tail yet"),
            }
            tokio::time::sleep(Duration::from_millis(ORPHAN_RETRY_MS)).await;
        }
    });
    kept.await.unwrap_or_else(|_| {
        tracing::warn!("the unshipped tail is only on this disk");
        None
    })
}

/// Uploads what lies after the shipped position to `orphan/`: one attempt, safe to repeat. A fenced
/// task did this already, but the writer may have appended a little more until it learned of it.
pub async fn keep_tail(
    setup: &ShipSetup,
    after: Cursor,
) -> Result<Option<OrphanReport>, StoreError> {
    upload::orphan(
        &setup.replica,
        &setup.keyring,
        setup.local.as_ref(),
        after,
        (setup.epoch, &setup.instance),
        setup.settings.segment_bytes_max,
    )
    .await
}

/// The answer of the request under way; waits for ever when there is none.
async fn answer(request: &mut Option<Request>) -> Option<Input> {
    match request {
        Some(request) => request.await,
        None => std::future::pending().await,
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
