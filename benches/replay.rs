//! Replay: opening a local log with full verification, reading, checking and decoding all of it, and
//! decoding the same frames from memory as the limit.

use criterion::{Criterion, Throughput};
use moltbot_benches::{PAYLOAD_BYTES, directory, frames};
use moltbot_core::chain::Cursor;
use moltbot_core::codec;
use moltbot_core::ids::Seq;
use moltbot_store::log::EventLog;
use moltbot_store::settings::StoreSettings;
use moltbot_store::sled_log::SledLog;
use moltbot_store::testing;

const RECORDS: usize = 100_000;
const BATCH: usize = 500;
const READ_BYTES: usize = 1 << 20;

fn main() {
    let folder = directory("replay");
    let open = || {
        SledLog::open(&folder.join("data"), &StoreSettings::default())
            .unwrap_or_else(|error| unreachable!("nobody damages it: {error}"))
    };
    let mut log = open();
    let mut raw = Vec::new();
    for _ in 0..RECORDS / BATCH {
        let records = testing::records(log.head(), BATCH, PAYLOAD_BYTES);
        raw.extend(frames(&records));
        assert!(log.append(&records).is_ok(), "the disk failed");
    }
    drop(log);
    let mut criterion = Criterion::default().sample_size(20).configure_from_args();
    let mut group = criterion.benchmark_group("replay");
    group.throughput(Throughput::Elements(RECORDS as u64));
    group.bench_function("decode from memory", |bencher| {
        bencher.iter(|| codec::decode_frames(&raw, Cursor::START));
    });
    group.bench_function("open and verify", |bencher| bencher.iter(open));
    let log = open();
    group.bench_function("read from sled", |bencher| {
        bencher.iter(|| assert_eq!(replay(&log), RECORDS));
    });
    group.finish();
    criterion.final_summary();
}

fn replay(log: &SledLog) -> usize {
    let reader = log.reader();
    let (mut next, mut count) = (Seq(1), 0);
    while let Ok(records) = reader.read(next, READ_BYTES) {
        let Some(last) = records.last() else { break };
        next = last.seq.next();
        count += records.len();
    }
    count
}
