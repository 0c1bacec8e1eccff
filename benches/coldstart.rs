//! A cold start: from nothing on the disk to ready, from a local S3 server, through the real binary;
//! and beside it what copying all of the log takes. Build the binary before:
//! `cargo build --profile dist`.
//!
//! The history is a year of conversations. A start from a snapshot reads what follows that, so it
//! must not take longer with more history; on a server far away it must not wait often.

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
use moltbot_benches::history::{self, History};
use moltbot_benches::{directory, median, number, say};
use moltbot_core::event::SnapshotTaken;
use moltbot_core::evolve::evolve;
use moltbot_core::projection::transcript::Transcripts;
use moltbot_core::record::Record;
use moltbot_core::state::State;
use moltbot_store::log::EventLog;
use moltbot_store::replica::Replica;
use moltbot_store::restore;
use moltbot_store::settings::StoreSettings;
use moltbot_store::sled_log::SledLog;
use moltbot_store::snapshot::{self, Section, Snapshot};
use s3::{ACCESS_KEY, BUCKET, Fault, S3Server, SECRET_KEY};
use std::path::Path;
use std::time::Instant;
use tokio::runtime::Runtime;

mod support {
    /// How long the S3 server may take to begin.
    pub(crate) const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);
}

/// Records that are copied whole.
const COPIED: usize = 100_000;
/// Records before a start from a snapshot.
const HISTORIES: [usize; 2] = [100_000, 1_000_000];
/// About what fills a segment.
const PER_SEGMENT: usize = 800;
/// Records after the snapshot, in such segments as conversations leave.
const TAIL: usize = 3_000;
const PER_SEGMENT_OF_TAIL: usize = 20;
/// The round trip to a bucket in another region.
const FAR: Fault = Fault::Slow { by_ms: 60 };
const BATCH: usize = 50_000;

fn main() -> Result<(), Failure> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let rounds = if std::env::args().any(|argument| argument == "--quick") {
        3
    } else {
        7
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    copied(&runtime, rounds)?;
    let Some(binary) = binary::path() else {
        say("no binary is built; cargo build --profile dist");
        return Ok(());
    };
    for records in HISTORIES {
        let mut server = S3Server::new();
        server.start();
        let replica = remote::open(&server)?;
        let bytes = runtime.block_on(fill(&replica, records))?;
        say(format_args!(
            "{records} records, the snapshot {} MB",
            number(bytes) / 1e6
        ));
        for (how, fault) in [
            ("", None),
            (" with 60 ms added to every request", Some(FAR)),
        ] {
            server.change(fault);
            let (ready, resident) = starts(&binary, &server, rounds)?;
            say(format_args!(
                "cold start{how}: ready after {ready:.2} s, {resident:.0} MB resident"
            ));
        }
        server.change(None);
        runtime.block_on(verified(&replica))?;
    }
    Ok(())
}

/// Reads the whole log and checks every byte and link of it, as `moltbot log verify` does.
async fn verified(replica: &Replica) -> Result<(), Failure> {
    let begun = Instant::now();
    let settings = StoreSettings::default();
    let verified = restore::verify(replica, &settings, &mut |_, _| {}).await?;
    let took = begun.elapsed().as_secs_f64();
    let records = number(usize::try_from(verified.records)?);
    say(format_args!(
        "all of it read and verified: {took:.2} s, {:.0} records/s",
        records / took
    ));
    Ok(())
}

/// Copies a log into sled.
fn copied(runtime: &Runtime, rounds: usize) -> Result<(), Failure> {
    let mut server = S3Server::new();
    server.start();
    let replica = remote::open(&server)?;
    let records = history::records(COPIED);
    let segments = runtime.block_on(remote::fill(&replica, &records, PER_SEGMENT))?;
    let mut times = Vec::new();
    for _ in 0..rounds {
        times.push(runtime.block_on(through_store(&replica, records.len()))?);
    }
    let took = median(&mut times);
    say(format_args!(
        "restore of {} records in {segments} segments from a local S3 server into sled: {took:.2} s, {:.0} records/s",
        records.len(),
        number(records.len()) / took,
    ));
    Ok(())
}

/// The time to restore everything into an empty local log.
async fn through_store(replica: &Replica, expected: usize) -> Result<f64, Failure> {
    let settings = StoreSettings::default();
    let folder = directory("coldstart-store");
    let mut log = SledLog::open(&folder.join("data"), &settings)?;
    let begun = Instant::now();
    restore::restore(replica, &mut log, &settings, &mut |_, _| {}).await?;
    let took = begun.elapsed();
    assert_eq!(log.head().seq.0, expected as u64, "everything is there");
    Ok(took.as_secs_f64())
}

/// Stores a history, a snapshot near its end, and what follows; the size of the snapshot.
async fn fill(replica: &Replica, count: usize) -> Result<usize, Failure> {
    let mut history = History::of(count);
    let (mut state, mut transcripts) = (State::default(), Transcripts::default());
    let mut reached = 0;
    while reached < count {
        reached = (reached + BATCH).min(count);
        history.grow(reached);
        let records = history.take();
        fold(&mut state, &mut transcripts, &records)?;
        if reached == BATCH {
            remote::fill(replica, &records, PER_SEGMENT).await?;
        } else {
            remote::ship(replica, &records, PER_SEGMENT).await?;
        }
    }
    let section = |name: &str, version, bytes| Section {
        name: name.to_owned(),
        version,
        bytes,
    };
    let cursor = state.cursor;
    let snapshot = Snapshot {
        seq: cursor.seq,
        record_hash: cursor.hash,
        sections: vec![
            section("state", State::VERSION, state.encode()?),
            section("transcripts", Transcripts::VERSION, transcripts.encode()?),
        ],
    };
    let stored = snapshot::put(replica, &snapshot).await?;
    history.append(SnapshotTaken {
        seq: cursor.seq,
        record_hash: cursor.hash,
        object_hash: stored.hash,
        bytes: stored.bytes,
    });
    history.grow(count + TAIL);
    remote::ship(replica, &history.take(), PER_SEGMENT_OF_TAIL).await?;
    Ok(usize::try_from(stored.bytes)?)
}

fn fold(
    state: &mut State,
    transcripts: &mut Transcripts,
    records: &[Record],
) -> Result<(), Failure> {
    for record in records {
        let event = record.event()?;
        evolve(state, record, &event);
        transcripts.apply(record, &event);
    }
    Ok(())
}

/// The medians of the seconds to `/ready` on an empty disk, and of the memory then.
fn starts(binary: &Path, server: &S3Server, rounds: usize) -> Result<(f64, f64), Failure> {
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
    let (mut times, mut resident) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let begun = Instant::now();
        let gateway = Gateway::start(binary, "coldstart", &env)?;
        times.push(gateway.wait("/ready", begun)?.as_secs_f64());
        resident.push(gateway.resident_mb()?);
    }
    Ok((median(&mut times), median(&mut resident)))
}
