//! Fan-out: how soon many followers have what was appended. Each pulls from the log by seq at its own
//! pace, as a subscription of the gateway does.

use criterion::{BenchmarkId, Criterion, Throughput};
use moltbot_benches::{PAYLOAD_BYTES, directory};
use moltbot_core::ids::Seq;
use moltbot_store::log::{EventLog, LogReader};
use moltbot_store::settings::StoreSettings;
use moltbot_store::sled_log::SledLog;
use moltbot_store::testing;
use std::sync::Arc;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};

const FOLLOWERS: [usize; 3] = [1, 64, 512];
/// Records of one append, which every follower waits for.
const BATCH: usize = 16;
const READ_BYTES: usize = 64 << 10;

fn main() {
    let Ok(runtime) = Runtime::new() else {
        unreachable!("threads can be started")
    };
    let log = SledLog::open(&directory("fanout").join("data"), &StoreSettings::default());
    let mut log = log.unwrap_or_else(|error| unreachable!("an empty directory: {error}"));
    let mut criterion = Criterion::default().sample_size(20).configure_from_args();
    let mut group = criterion.benchmark_group("fan-out");
    for followers in FOLLOWERS {
        let (head, _) = watch::channel(log.head().seq);
        let (arrived, mut arrivals) = mpsc::channel(followers);
        for _ in 0..followers {
            let follower = follow(log.reader(), head.subscribe(), arrived.clone());
            runtime.spawn(follower);
        }
        group.throughput(Throughput::Elements((followers * BATCH) as u64));
        group.bench_function(
            BenchmarkId::new("append and follow", followers),
            |bencher| {
                bencher.iter(|| {
                    let records = testing::records(log.head(), BATCH, PAYLOAD_BYTES);
                    assert!(log.append(&records).is_ok(), "the disk failed");
                    head.send_replace(log.head().seq);
                    for _ in 0..followers {
                        arrivals.blocking_recv();
                    }
                });
            },
        );
    }
    group.finish();
    criterion.final_summary();
}

/// Reads whatever is new and says so, until the log is gone.
async fn follow(
    log: Arc<dyn LogReader>,
    mut head: watch::Receiver<Seq>,
    arrived: mpsc::Sender<()>,
) {
    let mut seen = *head.borrow_and_update();
    while head.changed().await.is_ok() {
        let newest = *head.borrow_and_update();
        while seen < newest {
            let Ok(records) = log.read(seen.next(), READ_BYTES) else {
                return;
            };
            seen = records.last().map_or(newest, |record| record.seq);
        }
        if arrived.send(()).await.is_err() {
            return;
        }
    }
}
