//! What the benches share: a closed-loop group commit over any log, the raw log they are compared
//! with, and percentiles.
//!
//! Machines are noisy, so nothing here is worth anything alone: every bench measures its physical
//! limit in the same run, in turns with what it measures, and prints the ratio.

pub mod history;

use moltbot_core::chain::Cursor;
use moltbot_core::codec;
use moltbot_core::record::Record;
use moltbot_store::log::EventLog;
use moltbot_store::settings::StoreSettings;
use moltbot_store::sled_log::SledLog;
use moltbot_store::testing;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Payload of one record: a chat message of some 180 characters.
pub const PAYLOAD_BYTES: usize = 200;
/// Appends that wait at a time, and so the largest group.
const QUEUE: usize = 1_024;

/// Something that makes a group of records durable.
pub trait Durable: Send {
    /// Stores these, which follow those before, with one sync.
    ///
    /// # Panics
    /// When the disk fails.
    fn store(&mut self, records: &[Record]);
}

/// The one writer of a log: makes the records that are asked for, and stores them as one group.
pub struct Writer {
    log: Box<dyn Durable>,
    head: Cursor,
}

impl Writer {
    /// Of an empty log.
    pub fn new(log: impl Durable + 'static) -> Writer {
        Writer {
            log: Box::new(log),
            head: Cursor::START,
        }
    }

    /// Appends so many records durably.
    pub fn append(&mut self, count: usize) {
        let records = testing::records(self.head, count, PAYLOAD_BYTES);
        self.log.store(&records);
        self.head = records.last().map_or(self.head, Record::cursor);
    }
}

/// Our log.
pub struct Ours(SledLog);

impl Ours {
    /// In this directory.
    ///
    /// # Panics
    /// When the directory cannot be written.
    pub fn new(directory: &Path) -> Ours {
        let log = SledLog::open(&directory.join("data"), &StoreSettings::default());
        Ours(log.unwrap_or_else(|error| unreachable!("an empty directory: {error}")))
    }
}

impl Durable for Ours {
    fn store(&mut self, records: &[Record]) {
        assert!(self.0.append(records).is_ok(), "the disk failed");
    }
}

/// The limit: the same frames in a plain file, one write and one `fdatasync` a group.
pub struct Raw(File);

impl Raw {
    /// In this directory.
    ///
    /// # Panics
    /// When the file cannot be made.
    pub fn new(directory: &Path) -> Raw {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(directory.join("raw"));
        Raw(file.unwrap_or_else(|error| unreachable!("an empty directory: {error}")))
    }
}

impl Durable for Raw {
    fn store(&mut self, records: &[Record]) {
        let written = self.0.write_all(&frames(records));
        let synced = written.and_then(|()| self.0.sync_data());
        assert!(synced.is_ok(), "the disk failed");
    }
}

/// The stored form of records.
///
/// # Panics
/// When a record is too large, which none of these is.
pub fn frames(records: &[Record]) -> Vec<u8> {
    let mut frames = Vec::new();
    for record in records {
        assert!(
            codec::encode_frame(record, &mut frames).is_ok(),
            "a record can be encoded"
        );
    }
    frames
}

/// What a closed loop of appenders reached.
#[derive(Debug, Clone, Copy)]
pub struct Throughput {
    /// Records a second.
    pub per_second: f64,
    /// Median time of one append.
    pub p50: Duration,
    /// The time that 99 of 100 appends stay below.
    pub p99: Duration,
}

/// So many appenders, each waiting for its record before the next; one thread appends whatever
/// waits as one group.
pub fn closed_loop(writer: &mut Writer, appenders: usize, lasting: Duration) -> Throughput {
    let (sender, queue) = mpsc::sync_channel::<mpsc::SyncSender<()>>(QUEUE);
    let started = Instant::now();
    let mut times = std::thread::scope(|scope| {
        scope.spawn(move || {
            while let Ok(first) = queue.recv() {
                let mut group = vec![first];
                group.extend(queue.try_iter().take(QUEUE));
                writer.append(group.len());
                for waiter in group {
                    // An appender whose time is up does not wait any more.
                    let _ = waiter.send(());
                }
            }
        });
        let appenders: Vec<_> = (0..appenders)
            .map(|_| {
                let sender = sender.clone();
                scope.spawn(move || appender(&sender, started, lasting))
            })
            .collect();
        drop(sender);
        appenders
            .into_iter()
            .filter_map(|a| a.join().ok())
            .flatten()
            .collect::<Vec<_>>()
    });
    let per_second = number(times.len()) / started.elapsed().as_secs_f64();
    Throughput {
        per_second,
        p50: percentile(&mut times, 50),
        p99: percentile(&mut times, 99),
    }
}

fn appender(
    queue: &mpsc::SyncSender<mpsc::SyncSender<()>>,
    started: Instant,
    lasting: Duration,
) -> Vec<Duration> {
    let mut times = Vec::new();
    while started.elapsed() < lasting {
        let begun = Instant::now();
        let (done, wait) = mpsc::sync_channel(1);
        if queue.send(done).is_err() || wait.recv().is_err() {
            break;
        }
        times.push(begun.elapsed());
    }
    times
}

/// The value that this many of a hundred stay below.
pub fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    let at = (times.len() * percent / 100).min(times.len().saturating_sub(1));
    times.get(at).copied().unwrap_or_default()
}

/// A count as a number to divide.
pub fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// The middle of some ratios: one slow round does not move it.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A directory on the disk that is measured: `target`, not a `tmpfs`.
///
/// # Panics
/// When it cannot be made.
pub fn directory(name: &str) -> std::path::PathBuf {
    let target = std::env::current_exe().ok().and_then(|exe| {
        exe.ancestors()
            .find(|folder| folder.ends_with("target"))
            .map(Path::to_owned)
    });
    let folder = target
        .unwrap_or_else(std::env::temp_dir)
        .join("bench")
        .join(name);
    // It may be left from a run that was stopped.
    let _ = std::fs::remove_dir_all(&folder);
    assert!(
        std::fs::create_dir_all(&folder).is_ok(),
        "{} can be made",
        folder.display()
    );
    folder
}

/// Prints a line of a result.
#[expect(clippy::print_stdout, reason = "a bench prints its result")]
pub fn say(line: impl std::fmt::Display) {
    println!("{line}");
}
