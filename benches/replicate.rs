//! Shipping to a local S3 server and restoring from it, as the shipper and a cold start do.

#![allow(
    clippy::unwrap_used,
    reason = "the S3 server of the tests fails by panicking"
)]

mod remote;
#[expect(unreachable_pub, reason = "it is public where it comes from")]
#[path = "../edge/tests/support/s3.rs"]
mod s3;

use criterion::{Criterion, Throughput};
use moltbot_benches::{directory, history};
use moltbot_core::record::Record;
use moltbot_store::error::StoreError;
use moltbot_store::log::EventLog;
use moltbot_store::replica::Replica;
use moltbot_store::restore;
use moltbot_store::settings::StoreSettings;
use moltbot_store::sled_log::SledLog;
use s3::S3Server;
use std::time::{Duration, Instant};

mod support {
    /// How long the S3 server may take to begin.
    pub(crate) const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);
}

const RECORDS: usize = 20_000;
const PER_SEGMENT: usize = 800;

fn main() -> Result<(), StoreError> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let Ok(runtime) = tokio::runtime::Runtime::new() else {
        unreachable!("threads can be started")
    };
    let records = history::records(RECORDS);
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    let mut group = criterion.benchmark_group("replicate");
    group.throughput(Throughput::Elements(records.len() as u64));
    group.bench_function("ship", |bencher| {
        bencher.iter_custom(|rounds| {
            (0..rounds)
                .map(|_| runtime.block_on(ship(&records)).unwrap())
                .sum()
        });
    });
    let mut server = S3Server::new();
    server.start();
    let replica = remote::open(&server)?;
    runtime.block_on(remote::fill(&replica, &records, PER_SEGMENT))?;
    group.bench_function("restore into sled", |bencher| {
        bencher.iter_custom(|rounds| {
            (0..rounds)
                .map(|_| runtime.block_on(restored(&replica)).unwrap())
                .sum()
        });
    });
    group.finish();
    criterion.final_summary();
    Ok(())
}

/// Pack and put, one segment after another, into an empty bucket.
async fn ship(records: &[Record]) -> Result<Duration, StoreError> {
    let mut server = S3Server::new();
    server.start();
    let replica = remote::open(&server)?;
    let begun = Instant::now();
    remote::fill(&replica, records, PER_SEGMENT).await?;
    Ok(begun.elapsed())
}

async fn restored(replica: &Replica) -> Result<Duration, StoreError> {
    let settings = StoreSettings::default();
    let mut log = SledLog::open(&directory("restore").join("data"), &settings)?;
    let begun = Instant::now();
    restore::restore(replica, &mut log, &settings, &mut |_, _| {}).await?;
    assert!(log.head().seq.0 > 0, "something was restored");
    Ok(begun.elapsed())
}
