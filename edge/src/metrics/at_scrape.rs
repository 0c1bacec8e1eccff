//! What is read from the gateway when somebody asks for metrics.

use super::{FloatGauge, InState, Metrics, process};
use crate::checkpoints::Checkpoints;
use crate::gateway::{Gateway, Phase, Running};
use crate::stamp;
use moltbot_core::delivery::DeliveryStatus;
use moltbot_core::time::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use std::sync::atomic::Ordering;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Build {
    version: &'static str,
}

/// The gauges, and the counters that others keep.
#[derive(Default)]
pub(super) struct AtScrape {
    ready: Gauge,
    sockets: Gauge,
    head_seq: Gauge,
    shipped_seq: Gauge,
    lag_events: Gauge,
    lag_bytes: Gauge,
    lag_seconds: FloatGauge,
    ship_segments: Counter,
    ship_failures: Counter,
    ship_bytes: Counter,
    ship_failing: Gauge,
    merged: Counter,
    merged_away: Counter,
    compact_failing: Gauge,
    epoch: Gauge,
    follower: Gauge,
    follower_lag_events: Gauge,
    follower_lag_seconds: FloatGauge,
    follower_contact_age_seconds: FloatGauge,
    orphans: Gauge,
    checkpoint_age: FloatGauge,
    outbox: Gauge,
    runs_live: Gauge,
    deliveries: Family<InState, Gauge>,
    resident: Gauge,
    started: FloatGauge,
    uptime: FloatGauge,
}

impl AtScrape {
    pub(super) fn register(r: &mut Registry) -> AtScrape {
        let all = AtScrape::default();
        let build = Family::<Build, Gauge>::default();
        let version = env!("CARGO_PKG_VERSION");
        build.get_or_create(&Build { version }).set(1);
        r.register("build_info", "1, with the version of the gateway", build);
        all.register_log(r);
        all.register_work(r);
        all
    }

    fn register_log(&self, r: &mut Registry) {
        let gauges = [
            (
                "log_head_seq",
                "Last record of the local log",
                &self.head_seq,
            ),
            (
                "log_shipped_seq",
                "Last record that is safe in the remote log",
                &self.shipped_seq,
            ),
            (
                "log_epoch",
                "Generation this process writes in",
                &self.epoch,
            ),
            (
                "ship_lag_events",
                "Records not in the remote log yet",
                &self.lag_events,
            ),
            ("ship_lag_bytes", "Their size, about", &self.lag_bytes),
            (
                "ship_failing",
                "1 while requests to the remote log fail",
                &self.ship_failing,
            ),
            (
                "compact_failing",
                "1 while the last attempt to merge segments failed",
                &self.compact_failing,
            ),
        ];
        for (name, help, gauge) in gauges {
            r.register(name, help, gauge.clone());
        }
        r.register_with_unit(
            "ship_lag",
            "Age of the oldest record that is not in the remote log",
            Unit::Seconds,
            self.lag_seconds.clone(),
        );
        self.register_follower(r);
        r.register_with_unit(
            "checkpoint_age",
            "Age of the newest signed checkpoint; NaN before the first",
            Unit::Seconds,
            self.checkpoint_age.clone(),
        );
        let counters = [
            (
                "ship_puts",
                "Segments put into the remote log",
                &self.ship_segments,
            ),
            (
                "ship_failures",
                "Requests to the remote log that failed",
                &self.ship_failures,
            ),
            (
                "ship_bytes",
                "Bytes put into the remote log",
                &self.ship_bytes,
            ),
            (
                "compact_puts",
                "Merged segments put into the remote log",
                &self.merged,
            ),
            (
                "compact_deletes",
                "Segments deleted because a merged one holds their records",
                &self.merged_away,
            ),
        ];
        for (name, help, counter) in counters {
            r.register(name, help, counter.clone());
        }
    }

    fn register_follower(&self, r: &mut Registry) {
        let gauges = [
            (
                "follower",
                "1 for a read-only copy, 0 for the gateway that writes",
                &self.follower,
            ),
            (
                "follower_lag_events",
                "Records that are known to be in the remote log and are not in the copy",
                &self.follower_lag_events,
            ),
            (
                "log_orphans",
                "Tails that did not get into the log, under orphan/",
                &self.orphans,
            ),
        ];
        for (name, help, gauge) in gauges {
            r.register(name, help, gauge.clone());
        }
        let times = [
            (
                "follower_lag",
                "By how much the copy may be behind, at most",
                &self.follower_lag_seconds,
            ),
            (
                "follower_contact_age",
                "Time since the remote log last answered",
                &self.follower_contact_age_seconds,
            ),
        ];
        for (name, help, gauge) in times {
            r.register_with_unit(name, help, Unit::Seconds, gauge.clone());
        }
    }

    fn register_work(&self, r: &mut Registry) {
        let gauges = [
            ("ready", "1 when commands are accepted", &self.ready),
            ("sockets_open", "Authenticated WebSockets", &self.sockets),
            (
                "outbox_depth",
                "Effects that are still to be done",
                &self.outbox,
            ),
            ("runs_live", "Model turns under way", &self.runs_live),
            ("process_resident_bytes", "Memory in RAM", &self.resident),
        ];
        for (name, help, gauge) in gauges {
            r.register(name, help, gauge.clone());
        }
        r.register(
            "deliveries",
            "Deliveries without an outcome",
            self.deliveries.clone(),
        );
        r.register_with_unit(
            "process_start_time",
            "When this process began, since the Unix epoch",
            Unit::Seconds,
            self.started.clone(),
        );
        r.register_with_unit(
            "process_uptime",
            "How long this process has been running",
            Unit::Seconds,
            self.uptime.clone(),
        );
    }

    fn read(&self, gateway: &Gateway) {
        let now = stamp::now();
        self.ready
            .set(i64::from(*gateway.phase.borrow() == Phase::Running));
        self.sockets.set(int(gateway.hub.len()));
        self.started.set(seconds(gateway.started_at.0));
        self.uptime.set(seconds(now.since_ms(gateway.started_at)));
        self.resident
            .set(int(process::resident_bytes().unwrap_or(0)));
        self.orphans.set(int(gateway.orphans.count().unwrap_or(0)));
        if let Some(running) = gateway.running() {
            self.read_follower(running, gateway.started_at, now);
            self.read_log(running, u64::try_from(now.0).unwrap_or(0));
            self.read_work(running);
        }
    }

    fn read_log(&self, running: &Running, now_ms: u64) {
        let ship = running.ship.status().borrow().clone();
        let head = running.view.read(|model| model.state.cursor.seq.0);
        self.head_seq.set(int(head));
        self.shipped_seq.set(int(ship.shipped.seq.0));
        self.epoch.set(int(running.epoch().0));
        self.lag_events
            .set(int(head.saturating_sub(ship.shipped.seq.0)));
        self.lag_bytes.set(int(ship.lag_bytes));
        let lag_ms = i64::try_from(ship.lag_ms(now_ms)).unwrap_or(i64::MAX);
        self.lag_seconds.set(seconds(lag_ms));
        let signed_at = running
            .checkpoints
            .as_ref()
            .and_then(Checkpoints::newest_at);
        let age = signed_at.map(|at| seconds(stamp::now().since_ms(at)));
        self.checkpoint_age.set(age.unwrap_or(f64::NAN));
        self.ship_failing
            .set(i64::from(ship.failing_since_ms.is_some()));
        let compaction = running.backups.compaction();
        self.compact_failing
            .set(i64::from(compaction.last_error.is_some()));
        // Shipper and compactor count these themselves, and never backwards.
        for (counter, value) in [
            (&self.ship_segments, ship.segments),
            (&self.ship_failures, ship.retries),
            (&self.ship_bytes, ship.bytes),
            (&self.merged, compaction.made),
            (&self.merged_away, compaction.replaced),
        ] {
            counter.inner().store(value, Ordering::Relaxed);
        }
    }

    fn read_follower(&self, running: &Running, started_at: Timestamp, now: Timestamp) {
        let Some(following) = running.following() else {
            return;
        };
        let progress = following.progress();
        let head = running.view.read(|model| model.state.cursor.seq);
        self.follower.set(1);
        self.follower_lag_events.set(int(progress.lag_events(head)));
        self.follower_lag_seconds.set(seconds(progress.lag_ms(now)));
        // Nothing heard since the start: that long at least.
        let since_start = now.since_ms(started_at);
        let age_ms = progress.contact_age_ms(now).unwrap_or(since_start);
        self.follower_contact_age_seconds.set(seconds(age_ms));
    }

    fn read_work(&self, running: &Running) {
        self.runs_live.set(int(running.live.len()));
        let states = [
            (DeliveryStatus::Due, "due"),
            (DeliveryStatus::Streaming, "streaming"),
            (DeliveryStatus::Attempted, "attempted"),
            (DeliveryStatus::Unknown, "unknown"),
        ];
        running.view.read(|model| {
            self.outbox.set(int(model.state.outbox.len()));
            for (status, state) in states {
                let deliveries = model.state.deliveries.iter();
                let count = deliveries.filter(|(_, d)| d.status == status).count();
                self.deliveries
                    .get_or_create(&InState { state })
                    .set(int(count));
            }
        });
    }
}

impl Metrics {
    /// Everything, in the text format of Prometheus and `OpenMetrics`
    /// ([specification](https://prometheus.io/docs/specs/om/open_metrics_spec/)).
    pub fn render(&self, gateway: &Gateway) -> String {
        self.at_scrape.read(gateway);
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = text::encode(&mut text, &self.registry);
        text
    }
}

fn int(value: impl TryInto<i64>) -> i64 {
    value.try_into().unwrap_or(i64::MAX)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "2^53 ms are longer than any process lives"
)]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}
