//! Following: a copy takes what belongs to the log and nothing else, also when segments are merged
//! behind its back, a name that was freed is used again, or another log stands there; and the tails
//! that lost are found whole.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use bytes::Bytes;
use moltbot_core::chain::{Cursor, Hash};
use moltbot_core::ids::{Epoch, InstanceId, Seq};
use moltbot_core::record::Record;
use moltbot_core::time::Timestamp;
use moltbot_store::compact::Compactor;
use moltbot_store::error::{ErrorKind, StoreError};
use moltbot_store::follow::{self, Next, Standing};
use moltbot_store::head::{self, Head};
use moltbot_store::layout;
use moltbot_store::log::{EventLog, LogReader};
use moltbot_store::memory_log::MemoryLog;
use moltbot_store::orphans::{self, Fork};
use moltbot_store::replica::{Created, Replica, ReplicaKind};
use moltbot_store::restore::{self, Survey};
use moltbot_store::segment;
use moltbot_store::settings::StoreSettings;
use moltbot_store::testing::records;
use object_store::memory::InMemory;
use object_store::path::Path;
use std::sync::Arc;

/// Records in a segment.
const EACH: usize = 5;

/// A remote log of segments of [`EACH`] records, all of one writer in epoch 1.
struct Remote {
    replica: Replica,
    records: Vec<Record>,
}

impl Remote {
    async fn of(segments: usize) -> Remote {
        let mut remote = Remote {
            replica: Replica::over(Arc::new(InMemory::new()), ReplicaKind::Memory),
            records: Vec::new(),
        };
        let claim = Head {
            owner: InstanceId::from("writer"),
            at: Timestamp(1_800_000_000_000),
            from_seq: Seq(1),
            nonce: "nonce".to_owned(),
        };
        let created = head::create(&remote.replica, Epoch(1), &claim).await;
        assert_eq!(created.unwrap(), Created::New);
        remote.ship(segments).await;
        remote
    }

    fn head(&self) -> Cursor {
        self.records.last().map_or(Cursor::START, Record::cursor)
    }

    async fn ship(&mut self, segments: usize) {
        for _ in 0..segments {
            let batch = records(self.head(), EACH, 40);
            let first = batch.first().unwrap().seq;
            put(&self.replica, &layout::segment(first), Epoch(1), &batch).await;
            self.records.extend(batch);
        }
    }

    /// Merges all segments that end before this record.
    async fn merge_up_to(&self, seq: Seq) {
        let settings = StoreSettings {
            compact_segments_min: 2,
            ..StoreSettings::default()
        };
        let writer = InstanceId::from("writer");
        let mut compactor = Compactor::new(self.replica.clone(), Epoch(1), writer, settings);
        let pass = compactor.pass(&[self.head().seq, seq]).await.unwrap();
        assert!(pass.made > 0 && pass.replaced > 0, "{pass:?}");
    }

    async fn survey(&self) -> Survey {
        restore::survey(&self.replica).await.unwrap()
    }

    /// A copy of the first so many segments.
    fn copy(&self, segments: usize) -> MemoryLog {
        let mut log = MemoryLog::new();
        log.append(self.records.get(..segments * EACH).unwrap())
            .unwrap();
        log
    }
}

async fn put(replica: &Replica, path: &Path, epoch: Epoch, batch: &[Record]) {
    let bytes = segment::encode(epoch, &InstanceId::from("writer"), batch).unwrap();
    assert_eq!(replica.create(path, bytes).await.unwrap(), Created::New);
}

async fn catch_up(
    remote: &Remote,
    log: &mut MemoryLog,
    survey: &Survey,
) -> Result<u64, StoreError> {
    let settings = StoreSettings::default();
    follow::catch_up(&remote.replica, log, survey, &settings, &mut |_, _| {}).await
}

async fn next(remote: &Remote, log: &MemoryLog, survey: &mut Survey) -> Next {
    let head = EventLog::head(log);
    follow::next(&remote.replica, head, &mut survey.catalog)
        .await
        .unwrap()
}

fn all(log: &MemoryLog) -> Vec<Record> {
    log.read(Seq(1), usize::MAX).unwrap()
}

#[tokio::test]
async fn the_next_segment_is_found_by_its_name_and_its_link() {
    let mut remote = Remote::of(2).await;
    let mut log = MemoryLog::new();
    let mut survey = remote.survey().await;
    assert_eq!(follow::standing(&log, &survey).unwrap(), Standing::Behind);
    assert_eq!(catch_up(&remote, &mut log, &survey).await.unwrap(), 10);
    assert!(matches!(
        next(&remote, &log, &mut survey).await,
        Next::Nothing
    ));
    remote.ship(3).await;
    while let Next::Segment(segment) = next(&remote, &log, &mut survey).await {
        log.append(&segment.records).unwrap();
    }
    assert_eq!(all(&log), remote.records);
    let survey = remote.survey().await;
    assert_eq!(follow::standing(&log, &survey).unwrap(), Standing::Current);
}

#[tokio::test]
async fn segments_that_were_merged_while_a_copy_was_away_are_read_merged() {
    let remote = Remote::of(12).await;
    let mut log = remote.copy(2);
    let mut stale = remote.survey().await;
    remote.merge_up_to(Seq(50)).await;
    assert!(
        matches!(next(&remote, &log, &mut stale).await, Next::Nothing),
        "its name is gone"
    );
    let survey = remote.survey().await;
    assert_eq!(follow::standing(&log, &survey).unwrap(), Standing::Behind);
    catch_up(&remote, &mut log, &survey).await.unwrap();
    assert_eq!(all(&log), remote.records);
}

#[tokio::test]
async fn what_a_writer_that_slept_puts_under_a_freed_name_is_never_taken() {
    let remote = Remote::of(12).await;
    let mut log = remote.copy(2);
    // It links with the copy as well as the right one does, but is not what was shipped.
    let mut stale = remote.survey().await;
    remote.merge_up_to(Seq(50)).await;
    let zombie = records(EventLog::head(&log), EACH, 7);
    let first = zombie.first().unwrap().seq;
    put(&remote.replica, &layout::segment(first), Epoch(1), &zombie).await;
    assert!(matches!(
        next(&remote, &log, &mut stale).await,
        Next::Doubtful
    ));
    let survey = remote.survey().await;
    catch_up(&remote, &mut log, &survey).await.unwrap();
    assert_eq!(all(&log), remote.records);
}

#[tokio::test]
async fn an_object_that_is_damaged_or_does_not_link_is_not_taken() {
    let remote = Remote::of(2).await;
    let log = remote.copy(2);
    let mut survey = remote.survey().await;
    let path = layout::segment(Seq(11));
    let stranger = records(
        remote.copy(1).reader().cursor(Seq(5)).unwrap().unwrap(),
        9,
        7,
    );
    let stranger = stranger.get(5..).unwrap();
    put(&remote.replica, &path, Epoch(1), stranger).await;
    assert!(matches!(
        next(&remote, &log, &mut survey).await,
        Next::Doubtful
    ));

    let remote = Remote::of(2).await;
    let batch = records(remote.head(), EACH, 40);
    let bytes = segment::encode(Epoch(1), &InstanceId::from("writer"), &batch).unwrap();
    let mut bytes = bytes.to_vec();
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 1;
    }
    remote
        .replica
        .create(&path, Bytes::from(bytes))
        .await
        .unwrap();
    assert!(matches!(
        next(&remote, &log, &mut survey).await,
        Next::Doubtful
    ));
    let error = restore::survey(&remote.replica).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

#[tokio::test]
async fn a_copy_of_another_log_is_told_from_one_that_is_ahead() {
    let remote = Remote::of(3).await;
    let survey = remote.survey().await;
    let mut ahead = remote.copy(3);
    let more = records(EventLog::head(&ahead), 4, 8);
    ahead.append(&more).unwrap();
    let end = survey.tail.cursor;
    assert_eq!(
        follow::standing(&ahead, &survey).unwrap(),
        Standing::Ahead(end)
    );

    for count in [15, 20] {
        let mut other = MemoryLog::new();
        other.append(&records(Cursor::START, count, 8)).unwrap();
        assert_eq!(
            follow::standing(&other, &survey).unwrap(),
            Standing::Parted,
            "{count}"
        );
        let error = catch_up(&remote, &mut other, &survey).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    }
    // A shorter one looks like a beginning until the first record that it lacks is read.
    let mut short = MemoryLog::new();
    short.append(&records(Cursor::START, 7, 8)).unwrap();
    assert_eq!(follow::standing(&short, &survey).unwrap(), Standing::Behind);
    let error = catch_up(&remote, &mut short, &survey).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert_eq!(all(&short).len(), 7, "nothing was added to it");

    let nothing = Replica::over(Arc::new(InMemory::new()), ReplicaKind::Memory);
    let nothing = restore::survey(&nothing).await.unwrap();
    assert_eq!(
        follow::standing(&ahead, &nothing).unwrap(),
        Standing::Parted
    );
}

#[tokio::test]
async fn tails_of_one_writer_stand_by_themselves_and_say_where_they_parted() {
    let remote = Remote::of(12).await;
    let (replica, writer) = (&remote.replica, InstanceId::from("lo-ser"));
    let at = |seq: usize| remote.records.get(seq - 1).unwrap().cursor();
    let orphan = |first| layout::orphan(Epoch(3), &writer, &Hash::ZERO, first);
    let tail = records(at(17), 8, 20);
    let (begin, rest) = tail.split_at(3);
    put(replica, &orphan(Seq(18)), Epoch(3), begin).await;
    put(replica, &orphan(Seq(21)), Epoch(3), rest).await;
    let second = records(at(44), 2, 20);
    put(replica, &orphan(Seq(45)), Epoch(3), &second).await;
    let after_a_tail = records(tail.last().unwrap().cursor(), 1, 30);
    let later = records(after_a_tail.last().unwrap().cursor(), 1, 30);
    put(replica, &orphan(Seq(27)), Epoch(3), &later).await;
    let beyond = records(records(remote.head(), 3, 9).last().unwrap().cursor(), 1, 9);
    put(replica, &orphan(Seq(64)), Epoch(3), &beyond).await;
    remote.merge_up_to(Seq(50)).await;

    let listed = orphans::list(replica).await.unwrap();
    assert_eq!(listed.len(), 1);
    let listed = listed.first().unwrap();
    assert_eq!((listed.epoch, &listed.writer), (Epoch(3), &writer));
    let tails = orphans::read(replica, listed).await.unwrap();
    let survey = remote.survey().await;
    let mut found = Vec::new();
    for tail in &tails {
        let fork = orphans::fork(replica, &survey, tail).await.unwrap();
        found.push((tail.records.len(), tail.objects, fork));
    }
    assert_eq!(
        found,
        [
            (8, 2, Fork::At(at(17))),
            (1, 1, Fork::Elsewhere),
            (2, 1, Fork::At(at(44))),
            (1, 1, Fork::Beyond),
        ]
    );
}
