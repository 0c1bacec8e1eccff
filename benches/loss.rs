//! What a vanished machine may take with it, and what an absent remote costs: the log on sled and
//! the shipper over an S3 server, at the rhythms people have.
//!
//! A record is exposed from the moment it is durable here until the shipper knows it in the remote
//! log; whoever vanishes at a moment loses what is exposed then.
//! `LOSS_SECONDS` says how long each part takes (60 by default).

#![allow(
    clippy::unwrap_used,
    reason = "the S3 server of the tests fails by panicking"
)]

#[allow(dead_code, reason = "nothing is stored beforehand here")]
mod remote;
#[expect(unreachable_pub, reason = "it is public where it comes from")]
#[path = "../edge/tests/support/s3.rs"]
mod s3;

use moltbot_benches::{PAYLOAD_BYTES, directory, frames, number, percentile, say};
use moltbot_core::chain::Cursor;
use moltbot_core::ids::{InstanceId, Seq};
use moltbot_core::record::Record;
use moltbot_core::time::Timestamp;
use moltbot_store::claim::{ClaimRequest, claim};
use moltbot_store::error::StoreError;
use moltbot_store::keys::{Keyring, MasterKeys};
use moltbot_store::log::EventLog;
use moltbot_store::settings::StoreSettings;
use moltbot_store::ship_task::{self, ShipHandle, ShipSetup};
use moltbot_store::sled_log::SledLog;
use moltbot_store::testing;
use s3::S3Server;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

mod support {
    /// How long the S3 server may take to begin.
    pub(crate) const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);
}

/// Fifty events a second.
const STEADY: Duration = Duration::from_millis(20);
/// An event every five seconds.
const SPARSE: Duration = Duration::from_secs(5);
/// What is appended while the remote is away, beside the steady traffic.
const BACKLOG_BYTES: usize = 64 << 20;

fn main() -> Result<(), StoreError> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let Ok(runtime) = tokio::runtime::Runtime::new() else {
        unreachable!("threads can be started")
    };
    let seconds = std::env::var("LOSS_SECONDS").ok();
    let seconds = seconds.and_then(|text| text.parse().ok()).unwrap_or(60);
    let time = Duration::from_secs(seconds);
    let quick = StoreSettings {
        linger_ms: 100,
        linger_idle_ms: 100,
        ..StoreSettings::default()
    };
    runtime.block_on(async {
        rhythm("an event every 5 s", SPARSE, time, StoreSettings::default()).await?;
        rhythm("50 events/s", STEADY, time, StoreSettings::default()).await?;
        rhythm("50 events/s, linger 100 ms", STEADY, time, quick).await?;
        outage(time).await
    })
}

/// A claimed log that is shipped, on an S3 server of its own.
struct Running {
    log: SledLog,
    ship: ShipHandle,
    server: S3Server,
    shipped: ShippedLog,
}

/// When each record was known to be safe: the end of a segment, and the moment.
type ShippedLog = Arc<Mutex<Vec<(Seq, Instant)>>>;

impl Running {
    async fn start(name: &str, settings: StoreSettings) -> Result<Running, StoreError> {
        let mut server = S3Server::new();
        server.start();
        let replica = remote::open(&server)?;
        let mut log = SledLog::open(&directory(name).join("data"), &settings)?;
        let keyring = Arc::new(Keyring::in_memory(MasterKeys::default()));
        let request = ClaimRequest {
            instance: InstanceId::from(remote::INSTANCE),
            takeover: false,
            at: Timestamp(1_800_000_000_000),
            software: "bench".to_owned(),
            nonce: "bench".to_owned(),
        };
        let claimed = claim(
            &replica,
            &mut log,
            &keyring,
            &request,
            &settings,
            &mut |_| false,
            &mut |_, _| {},
        )
        .await?;
        let (ship, _end) = ship_task::spawn(ShipSetup {
            replica,
            local: log.reader(),
            keyring,
            epoch: claimed.epoch,
            instance: request.instance,
            shipped: claimed.head,
            settings,
            seed: 1,
        });
        let shipped = ShippedLog::default();
        let (mut safe, notes) = (ship.shipped(), Arc::clone(&shipped));
        tokio::spawn(async move {
            while safe.changed().await.is_ok() {
                let seq = safe.borrow().seq;
                let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
                notes.push((seq, Instant::now()));
            }
        });
        Ok(Running {
            log,
            ship,
            server,
            shipped,
        })
    }

    /// Appends one record durably; how long that took.
    fn append(&mut self, payload_bytes: usize) -> Result<(Seq, Duration), StoreError> {
        let records = testing::records(self.log.head(), 1, payload_bytes);
        let begun = Instant::now();
        self.log.append(&records)?;
        let took = begun.elapsed();
        self.ship.appended(&records);
        let seq = records
            .last()
            .map_or(Cursor::START.seq, |record: &Record| record.seq);
        Ok((seq, took))
    }

    /// Appends at a pace for a while: when each record was durable, and how long its append took.
    async fn steady(
        &mut self,
        every: Duration,
        time: Duration,
    ) -> Result<Vec<(Seq, Instant, Duration)>, StoreError> {
        let mut appended = Vec::new();
        let begun = Instant::now();
        let mut tick = tokio::time::interval(every);
        while begun.elapsed() < time {
            tick.tick().await;
            let (seq, took) = self.append(PAYLOAD_BYTES)?;
            appended.push((seq, Instant::now(), took));
        }
        Ok(appended)
    }
}

/// How long records are exposed, and what a machine that vanishes at any moment takes with it.
async fn rhythm(
    name: &str,
    every: Duration,
    time: Duration,
    settings: StoreSettings,
) -> Result<(), StoreError> {
    let mut running = Running::start("loss", settings).await?;
    let appended = running.steady(every, time).await?;
    let last = running.log.head().seq;
    running.ship.wait_shipped(last).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let shipped = running
        .shipped
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let stored = number(usize::try_from(running.ship.status().borrow().bytes).unwrap_or(0));
    let frame_bytes = frames(&testing::records(Cursor::START, 1, PAYLOAD_BYTES)).len();
    let exposed: Vec<(Instant, Instant)> = appended
        .iter()
        .filter_map(|(seq, at, _)| {
            let safe = shipped.partition_point(|(upto, _)| upto < seq);
            shipped.get(safe).map(|(_, safe)| (*at, *safe))
        })
        .collect();
    let mut spans: Vec<Duration> = exposed.iter().map(|(at, safe)| *safe - *at).collect();
    let mut moments = lost_at_any_moment(&exposed);
    say(format_args!(
        "{name}: a record is exposed for {:.0?} (median), {:.0?} (longest); whoever vanishes while something is exposed loses the last {:.0?} (median), {:.0?} (longest); {} records in {} segments, {:.2} x the bytes appended",
        percentile(&mut spans, 50),
        percentile(&mut spans, 100),
        percentile(&mut moments, 50),
        percentile(&mut moments, 100),
        appended.len(),
        shipped.len(),
        stored / number(frame_bytes * appended.len()),
    ));
    Ok(())
}

/// The age of the oldest exposed record, at every millisecond at which there is one.
fn lost_at_any_moment(exposed: &[(Instant, Instant)]) -> Vec<Duration> {
    let Some((begun, _)) = exposed.first().copied() else {
        return Vec::new();
    };
    let end = exposed.iter().map(|(_, safe)| *safe).max().unwrap_or(begun);
    let (mut at, mut lost, mut first) = (begun, Vec::new(), 0);
    while at < end {
        // Records are safe in their order.
        while exposed.get(first).is_some_and(|(_, safe)| *safe <= at) {
            first += 1;
        }
        if let Some((durable, _)) = exposed.get(first).filter(|(durable, _)| *durable <= at) {
            lost.push(at - *durable);
        }
        at += Duration::from_millis(1);
    }
    lost
}

/// Appends with and without the remote, the alarm, and how quickly the rest is made up for.
async fn outage(time: Duration) -> Result<(), StoreError> {
    let mut running = Running::start("outage", StoreSettings::default()).await?;
    let p99 = |appended: Vec<(Seq, Instant, Duration)>| {
        let mut took: Vec<Duration> = appended.into_iter().map(|(_, _, took)| took).collect();
        (percentile(&mut took, 50), percentile(&mut took, 99))
    };
    let before = p99(running.steady(STEADY, time).await?);
    running.server.stop();
    let gone = Instant::now();
    let mut status = running.ship.status();
    let alarm = tokio::spawn(async move {
        let failing = status.wait_for(|status| status.failing_since_ms.is_some());
        failing.await.is_ok().then(|| gone.elapsed())
    });
    let during = p99(running.steady(STEADY, time).await?);
    let alarm = alarm.await.ok().flatten().unwrap_or_default();
    // Large records, as they come from tools.
    while backlog(&running) < BACKLOG_BYTES as u64 {
        running.append(100 << 10)?;
    }
    let waiting = backlog(&running);
    let last = running.log.head().seq;
    running.server.start();
    let mut safe = running.ship.shipped();
    // The wait before the next try is no part of the speed.
    let before_retry = *safe.borrow();
    let _ = safe.wait_for(|shipped| *shipped != before_retry).await;
    let begun = Instant::now();
    let waiting_then = backlog(&running);
    running.ship.wait_shipped(last).await;
    let speed =
        number(usize::try_from(waiting_then).unwrap_or(0)) / 1e6 / begun.elapsed().as_secs_f64();
    say(format_args!(
        "remote away for {time:?}: append p50 {:?}, p99 {:?} with it, {:?} and {:?} without (ratio of p99 {:.2}); told of after {alarm:.1?}; {:.0} MB made up for at {speed:.0} MB/s",
        before.0,
        before.1,
        during.0,
        during.1,
        during.1.as_secs_f64() / before.1.as_secs_f64(),
        number(usize::try_from(waiting).unwrap_or(0)) / 1e6,
    ));
    Ok(())
}

fn backlog(running: &Running) -> u64 {
    running.ship.status().borrow().lag_bytes
}
