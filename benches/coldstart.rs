//! A cold start: from nothing on the disk to everything restored from a local S3 server, through the
//! store and through the real binary. Build it before: `cargo build --profile dist`.

#![allow(
    clippy::unwrap_used,
    reason = "the S3 server of the tests fails by panicking"
)]

mod binary;
mod remote;
#[expect(unreachable_pub, reason = "it is public where it comes from")]
#[path = "../edge/tests/support/s3.rs"]
mod s3;

use binary::{Failure, Gateway};
use moltbot_benches::{directory, history, median, number, say};
use moltbot_store::log::EventLog;
use moltbot_store::restore;
use moltbot_store::settings::StoreSettings;
use moltbot_store::sled_log::SledLog;
use s3::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY};
use std::time::{Duration, Instant};

mod support {
    /// How long the S3 server may take to begin.
    pub(crate) const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);
}

const RECORDS: usize = 100_000;
/// About what fills a segment, and what a busy minute leaves.
const PER_SEGMENT: [usize; 2] = [800, 100];
const ROUNDS: usize = 7;

fn main() -> Result<(), Failure> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let records = history::records(RECORDS);
    for per_segment in PER_SEGMENT {
        let mut server = S3Server::new();
        server.start();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        let replica = remote::open(&server)?;
        let segments = runtime.block_on(remote::fill(&replica, &records, per_segment))?;
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            times.push(runtime.block_on(through_store(&replica, records.len()))?);
        }
        let took = median(&mut times);
        say(format_args!(
            "restore of {} records in {segments} segments from a local S3 server into sled: {took:.2} s, {:.0} records/s",
            records.len(),
            number(records.len()) / took,
        ));
        let Some(binary) = binary::path() else {
            say("no binary is built; cargo build --profile dist");
            continue;
        };
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            let url = server.url();
            let remote = format!("s3://{BUCKET}/log");
            let env = [
                ("MOLTBOT_REPLICA_URL", remote.as_str()),
                ("MOLTBOT_INSTANCE_ID", remote::INSTANCE),
                ("AWS_ENDPOINT_URL_S3", url.as_str()),
                ("AWS_REGION", "us-east-1"),
                ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
                ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
            ];
            let begun = Instant::now();
            let gateway = Gateway::start(&binary, "coldstart", &env)?;
            times.push(gateway.wait("/ready", begun)?.as_secs_f64());
        }
        say(format_args!(
            "cold start of the binary from it, to /ready: {:.2} s",
            median(&mut times)
        ));
    }
    Ok(())
}

/// The time to restore everything into an empty local log.
async fn through_store(
    replica: &moltbot_store::replica::Replica,
    expected: usize,
) -> Result<f64, Failure> {
    let settings = StoreSettings::default();
    let folder = directory("coldstart-store");
    let mut log = SledLog::open(&folder.join("data"), &settings)?;
    let begun = Instant::now();
    restore::restore(replica, &mut log, &settings, &mut |_, _| {}).await?;
    let took: Duration = begun.elapsed();
    assert_eq!(log.head().seq.0, expected as u64, "everything is there");
    Ok(took.as_secs_f64())
}
