//! Replay: read, check and decode a local log, beside decoding the same frames from memory.

use moltbot_benches::{PAYLOAD_BYTES, directory, frames, median, number, say};
use moltbot_core::chain::Cursor;
use moltbot_core::codec;
use moltbot_core::ids::Seq;
use moltbot_store::log::EventLog;
use moltbot_store::settings::StoreSettings;
use moltbot_store::sled_log::SledLog;
use moltbot_store::testing;
use std::time::Instant;

const RECORDS: usize = 100_000;
const BATCH: usize = 500;
const READ_BYTES: usize = 1 << 20;
const ROUNDS: usize = 5;

fn main() {
    let folder = directory("replay");
    let settings = StoreSettings::default();
    let open = || SledLog::open(&folder.join("data"), &settings);
    let Ok(mut log) = open() else {
        unreachable!("an empty directory makes an empty log")
    };
    let mut raw = Vec::new();
    for _ in 0..RECORDS / BATCH {
        let records = testing::records(log.head(), BATCH, PAYLOAD_BYTES);
        raw.extend(frames(&records));
        assert!(log.append(&records).is_ok(), "the disk failed");
    }
    drop(log);
    let (mut ratios, mut rates, mut opens) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let decoded = codec::decode_frames(&raw, Cursor::START).map_or(0, |records| records.len());
        let limit = number(decoded) / begun.elapsed().as_secs_f64();
        assert_eq!(decoded, RECORDS, "the frames decode");
        let begun = Instant::now();
        let Ok(log) = open() else {
            unreachable!("it was just written")
        };
        opens.push(begun.elapsed().as_secs_f64() * 1e3);
        let begun = Instant::now();
        let rate = number(replay(&log)) / begun.elapsed().as_secs_f64();
        rates.push(rate);
        ratios.push(rate / limit);
    }
    say(format_args!(
        "replay: {:.0} events/s from sled, checked and decoded; {:.2} of decoding from memory; open with full verification of {RECORDS} records {:.0} ms",
        median(&mut rates),
        median(&mut ratios),
        median(&mut opens),
    ));
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
