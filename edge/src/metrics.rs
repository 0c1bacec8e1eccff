//! What this process counts, for `GET /metrics`.
//!
//! Counters are raised where things happen; gauges are read from the gateway when somebody asks.
//!
//! Invariant: the number of series is bounded: every label is a word of this program, except
//! provider and model, of which the first few get a name and the rest share one.

mod at_scrape;
mod metered_log;
mod process;

pub use metered_log::MeteredLog;

use crate::limits::{MODELS_NAMED_MAX, RUNS_NAMED_MAX};
use moltbot_core::event::{Event, Usage};
use moltbot_core::ids::RunId;
use moltbot_core::record::Record;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

type FloatGauge = Gauge<f64, AtomicU64>;

/// A route and how it was answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    method: &'static str,
    route: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Named {
    provider: String,
    model: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    provider: String,
    model: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Tokens {
    provider: String,
    model: String,
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InState {
    state: &'static str,
}

/// From 50 µs to 52 s, each twice the one before.
#[derive(Clone, Copy)]
struct Latency;

impl MetricConstructor<Histogram> for Latency {
    fn new_metric(&self) -> Histogram {
        Histogram::new(exponential_buckets(50e-6, 2.0, 21))
    }
}

/// The counters and gauges.
pub struct Metrics {
    registry: Registry,
    http_requests: Family<Answered, Counter>,
    http_seconds: Family<Route, Histogram, Latency>,
    refusals: Family<Reason, Counter>,
    append_batches: Counter,
    append_records: Counter,
    append_seconds: Histogram,
    runs_started: Family<Named, Counter>,
    runs_ended: Family<Ended, Counter>,
    tokens: Family<Tokens, Counter>,
    restore_seconds: FloatGauge,
    restored_records: Gauge,
    at_scrape: at_scrape::AtScrape,
    models: Mutex<BTreeSet<(String, String)>>,
    /// Who answers a run under way: its end does not say.
    running: Mutex<BTreeMap<RunId, Named>>,
}

impl Metrics {
    /// All of them at zero.
    pub fn new() -> Metrics {
        let mut registry = Registry::with_prefix("moltbot");
        let at_scrape = at_scrape::AtScrape::register(&mut registry);
        let mut metrics = Metrics {
            http_requests: Family::default(),
            http_seconds: Family::new_with_constructor(Latency),
            refusals: Family::default(),
            append_batches: Counter::default(),
            append_records: Counter::default(),
            append_seconds: Latency.new_metric(),
            runs_started: Family::default(),
            runs_ended: Family::default(),
            tokens: Family::default(),
            restore_seconds: FloatGauge::default(),
            restored_records: Gauge::default(),
            models: Mutex::default(),
            running: Mutex::default(),
            at_scrape,
            registry,
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let r = &mut self.registry;
        r.register(
            "http_requests",
            "HTTP requests answered",
            self.http_requests.clone(),
        );
        r.register_with_unit(
            "http_request_duration",
            "Time until an HTTP answer began",
            Unit::Seconds,
            self.http_seconds.clone(),
        );
        r.register(
            "auth_refusals",
            "Attempts with wrong credentials",
            self.refusals.clone(),
        );
        r.register(
            "append_batches",
            "Batches written to the local log",
            self.append_batches.clone(),
        );
        r.register(
            "append_records",
            "Records written to the local log",
            self.append_records.clone(),
        );
        r.register_with_unit(
            "append_duration",
            "Time to make a batch durable",
            Unit::Seconds,
            self.append_seconds.clone(),
        );
        r.register(
            "runs_started",
            "Model turns begun",
            self.runs_started.clone(),
        );
        r.register(
            "runs_ended",
            "Model turns ended, by outcome",
            self.runs_ended.clone(),
        );
        r.register(
            "tokens",
            "Tokens that models took and gave",
            self.tokens.clone(),
        );
        r.register_with_unit(
            "restore_duration",
            "Time from opening the local log to the claimed and restored log, at this start",
            Unit::Seconds,
            self.restore_seconds.clone(),
        );
        r.register(
            "restored_records",
            "Records copied from the remote log at this start",
            self.restored_records.clone(),
        );
    }

    /// A request was answered. `method` and `route` are words of this program.
    pub fn answered(&self, method: &'static str, route: &'static str, status: u16, took: Duration) {
        let answered = Answered {
            method,
            route,
            status,
        };
        self.http_requests.get_or_create(&answered).inc();
        let seconds = self.http_seconds.get_or_create(&Route { route });
        seconds.observe(took.as_secs_f64());
    }

    /// Somebody was refused.
    pub fn refused(&self, reason: &'static str) {
        self.refusals.get_or_create(&Reason { reason }).inc();
    }

    /// The log was claimed and restored.
    pub fn restored(&self, records: u64, took: Duration) {
        self.restore_seconds.set(took.as_secs_f64());
        self.restored_records
            .set(i64::try_from(records).unwrap_or(i64::MAX));
    }

    fn appended(&self, records: usize, took: Duration) {
        self.append_batches.inc();
        self.append_records.inc_by(records as u64);
        self.append_seconds.observe(took.as_secs_f64());
    }

    /// Counts what these durable records say about model turns.
    pub fn recorded(&self, records: &[Record]) {
        for record in records {
            // A record that cannot be read is found, and said, by whoever needs it.
            if let Ok(event) = record.event() {
                self.event(&event);
            }
        }
    }

    fn event(&self, event: &Event) {
        match event {
            Event::RunStarted(run) => {
                let named = self.named(&run.provider, &run.model);
                self.runs_started.get_or_create(&named).inc();
                let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
                if running.len() < RUNS_NAMED_MAX {
                    running.insert(run.run.clone(), named);
                }
            }
            Event::RunCompleted(run) => {
                self.ended(&run.run, "completed");
                self.used(&self.named(&run.provider, &run.model), &run.usage);
            }
            Event::RunFailed(run) => self.ended(&run.run, "failed"),
            Event::RunCancelled(run) => self.ended(&run.run, "cancelled"),
            Event::RunInterrupted(run) => self.ended(&run.run, "interrupted"),
            _ => {}
        }
    }

    fn ended(&self, run: &RunId, outcome: &'static str) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        // One that began in the process before this one, or was never begun.
        let named = running.remove(run).unwrap_or_else(|| other("unknown"));
        let ended = Ended {
            provider: named.provider,
            model: named.model,
            outcome,
        };
        self.runs_ended.get_or_create(&ended).inc();
    }

    fn used(&self, named: &Named, usage: &Usage) {
        let kinds = [
            ("input", usage.input),
            ("output", usage.output),
            ("cache_read", usage.cache_read),
            ("cache_write", usage.cache_write),
        ];
        for (kind, count) in kinds {
            let tokens = Tokens {
                provider: named.provider.clone(),
                model: named.model.clone(),
                kind,
            };
            self.tokens.get_or_create(&tokens).inc_by(count);
        }
    }

    /// The first few models have names, the rest are `other`.
    fn named(&self, provider: &str, model: &str) -> Named {
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (provider.to_owned(), model.to_owned());
        if !models.contains(&key) {
            if models.len() >= MODELS_NAMED_MAX {
                return other("other");
            }
            models.insert(key);
        }
        Named {
            provider: provider.to_owned(),
            model: model.to_owned(),
        }
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

fn other(name: &str) -> Named {
    Named {
        provider: name.to_owned(),
        model: name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_models_with_a_name_is_bounded() {
        let metrics = Metrics::new();
        for n in 0..MODELS_NAMED_MAX * 2 {
            metrics.named("p", &format!("m{n}"));
        }
        assert_eq!(metrics.named("p", "m0").model, "m0");
        assert_eq!(metrics.named("p", "one more"), other("other"));
    }
}
