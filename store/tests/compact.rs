//! Compaction: the log stays whole whatever happens while it is rewritten.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use moltbot_core::chain::{Cursor, Hash};
use moltbot_core::ids::{Epoch, InstanceId, Seq};
use moltbot_core::record::Record;
use moltbot_core::time::Timestamp;
use moltbot_store::catalog::Catalog;
use moltbot_store::compact::{Compactor, Pass};
use moltbot_store::error::{ErrorKind, StoreError};
use moltbot_store::floor;
use moltbot_store::head::{self, Head};
use moltbot_store::layout;
use moltbot_store::log::{EventLog, LogReader};
use moltbot_store::memory_log::MemoryLog;
use moltbot_store::replica::{Replica, ReplicaKind};
use moltbot_store::restore;
use moltbot_store::segment;
use moltbot_store::settings::StoreSettings;
use moltbot_store::snapshot::{self, Section, Snapshot};
use moltbot_store::testing::faulty_store::{Faults, FaultyStore};
use moltbot_store::testing::records;
use object_store::memory::InMemory;
use std::sync::Arc;

const EPOCH: Epoch = Epoch(1);

fn settings() -> StoreSettings {
    StoreSettings {
        compact_segments_min: 4,
        compact_fan_in: 3,
        compact_bytes_max: 6000,
        compact_objects_max: 4,
        ..StoreSettings::default()
    }
}

/// A remote log of small segments, and what it holds.
struct Log {
    inner: Arc<InMemory>,
    replica: Replica,
    records: Vec<Record>,
}

impl Log {
    async fn new(segments: usize) -> Log {
        let inner = Arc::new(InMemory::new());
        let replica = Replica::over(Arc::clone(&inner) as _, ReplicaKind::Memory);
        claim(&replica, EPOCH).await;
        let mut log = Log {
            inner,
            replica,
            records: Vec::new(),
        };
        log.ship(segments, EPOCH).await;
        log
    }

    fn head(&self) -> Cursor {
        self.records.last().map_or(Cursor::START, Record::cursor)
    }

    async fn ship(&mut self, segments: usize, epoch: Epoch) {
        for count in 0..segments {
            let batch = records(self.head(), 1 + count % 3, 40);
            put(&self.replica, epoch, &batch).await;
            self.records.extend(batch);
        }
    }

    /// The same store, through a client that fails.
    fn faulty(&self, seed: u64) -> (FaultyStore, Replica) {
        let store = FaultyStore::new(Arc::clone(&self.inner) as _, seed);
        let replica = Replica::over(Arc::new(store.clone()), ReplicaKind::Memory);
        (store, replica)
    }

    /// What compaction takes for snapshots that count.
    fn snapshots(&self) -> [Seq; 2] {
        let head = self.head().seq.0;
        [Seq(head - 2), Seq(head - 5)]
    }

    async fn pass(&self) -> Result<Pass, StoreError> {
        compactor(&self.replica).pass(&self.snapshots()).await
    }

    /// Passes until there is nothing to do.
    async fn compact(&self) -> Pass {
        let mut compactor = compactor(&self.replica);
        let mut total = Pass::default();
        for _ in 0..100 {
            let pass = compactor.pass(&self.snapshots()).await.unwrap();
            total.made += pass.made;
            total.replaced += pass.replaced;
            total.objects = pass.objects;
            if !pass.is_unfinished {
                return total;
            }
        }
        panic!("it never ends");
    }

    async fn assert_whole(&self, what: &str) {
        assert_eq!(
            restored(&self.replica).await.unwrap(),
            self.records,
            "{what}"
        );
        let verified = restore::verify(&self.replica, &settings(), &mut |_, _| {}).await;
        let verified = verified.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(verified.head, self.head(), "{what}");
        assert_eq!(verified.records, self.records.len() as u64, "{what}");
    }

    async fn shipped(&self) -> Vec<Seq> {
        let names = self.replica.list(layout::SEGMENTS).await.unwrap();
        names.iter().filter_map(layout::number).map(Seq).collect()
    }

    async fn merged(&self) -> Vec<(Seq, Seq)> {
        let names = self.replica.list(layout::MERGED).await.unwrap();
        names.iter().filter_map(layout::range).collect()
    }
}

async fn claim(replica: &Replica, epoch: Epoch) {
    let claim = Head {
        owner: InstanceId::from("a"),
        at: Timestamp(0),
        from_seq: Seq(1),
        nonce: epoch.to_string(),
    };
    head::create(replica, epoch, &claim).await.unwrap();
}

async fn put(replica: &Replica, epoch: Epoch, records: &[Record]) {
    let bytes = segment::encode(epoch, &InstanceId::from("a"), records).unwrap();
    let path = layout::segment(records[0].seq);
    replica.create(&path, bytes).await.unwrap();
}

fn compactor(replica: &Replica) -> Compactor {
    Compactor::new(replica.clone(), EPOCH, InstanceId::from("a"), settings())
}

async fn restored(replica: &Replica) -> Result<Vec<Record>, StoreError> {
    let mut log = MemoryLog::new();
    restore::restore(replica, &mut log, &settings(), &mut |_, _| {}).await?;
    log.read(Seq(1), usize::MAX)
}

#[tokio::test]
async fn small_segments_become_few_objects_and_the_tail_stays() {
    let log = Log::new(100).await;
    let before = log.shipped().await;
    let total = log.compact().await;
    log.assert_whole("compacted").await;

    let upto = log.snapshots()[1];
    let shipped = log.shipped().await;
    let kept: Vec<Seq> = before.into_iter().rev().take(shipped.len()).rev().collect();
    assert_eq!(shipped, kept, "the tail is as it was");
    assert!(
        shipped[0] <= upto && shipped[1] > upto,
        "and no longer than it must be"
    );
    let merged = log.merged().await;
    assert_eq!(
        merged.len() + shipped.len(),
        usize::try_from(total.objects).unwrap()
    );
    assert!(merged.len() < 8, "{merged:?}");
    let floor = Catalog::list(&log.replica, Seq::ZERO)
        .await
        .unwrap()
        .floor();
    assert_eq!(floor.seq.next(), shipped[0]);
    assert_eq!(
        floor,
        log.records[usize::try_from(floor.seq.0).unwrap() - 1].cursor()
    );

    let requests = log.pass().await.unwrap();
    assert_eq!(
        (requests.made, requests.replaced),
        (0, 0),
        "nothing is left to do"
    );
}

#[tokio::test]
async fn sparse_history_does_not_stay_in_many_small_objects() {
    let mut log = Log::new(10).await;
    for _ in 0..60 {
        log.ship(5, EPOCH).await;
        log.compact().await;
    }
    log.assert_whole("sixty times").await;
    let merged = log.merged().await;
    assert!(merged.len() < 20, "{} objects", merged.len());
}

#[tokio::test]
async fn a_merged_segment_keeps_every_byte_of_its_records_and_names_its_last_writer() {
    let mut log = Log::new(8).await;
    claim(&log.replica, Epoch(2)).await;
    log.ship(8, Epoch(2)).await;
    let settings = StoreSettings {
        compact_bytes_max: 1 << 20,
        ..settings()
    };
    let writer = InstanceId::from("a");
    let mut compactor = Compactor::new(log.replica.clone(), Epoch(2), writer, settings);
    compactor.pass(&log.snapshots()).await.unwrap();
    let (first, last) = log.merged().await[0];
    let path = layout::merged(first, last);
    let object = log.replica.get(&path).await.unwrap().unwrap();
    let merged = segment::decode(path.as_ref(), &object).unwrap();
    assert_eq!(merged.header.epoch, Epoch(2));
    let count = usize::try_from(last.0).unwrap();
    assert_eq!(merged.records, log.records[..count]);
    // The same frames as if they had been shipped at once.
    let at_once = segment::encode(Epoch(2), &"a".into(), &log.records[..count]).unwrap();
    assert_eq!(object, at_once);
}

#[tokio::test]
async fn a_crash_at_any_request_leaves_a_whole_log_and_the_next_pass_goes_on() {
    for last_lands in [false, true] {
        for requests in 0.. {
            let what = format!("gone after {requests} requests, last lands: {last_lands}");
            let log = Log::new(40).await;
            let (store, replica) = log.faulty(1);
            store.end_after(requests, last_lands);
            let ended = compactor(&replica).pass(&log.snapshots()).await;
            if !store.has_ended() {
                assert!(requests > 60, "{requests}");
                break;
            }
            assert_eq!(ended.unwrap_err().kind(), ErrorKind::Transient, "{what}");
            log.assert_whole(&what).await;
            log.compact().await;
            log.assert_whole(&format!("{what}, resumed")).await;
            assert!(log.shipped().await.len() < 8, "{what}");
        }
    }
}

#[tokio::test]
async fn a_crash_while_merged_segments_are_merged_leaves_a_whole_log() {
    for requests in 0.. {
        let mut log = Log::new(10).await;
        for _ in 0..2 {
            log.pass().await.unwrap();
            log.ship(5, EPOCH).await;
        }
        let (store, replica) = log.faulty(1);
        store.end_after(requests, true);
        let mut compactor = compactor(&replica);
        let mut ended = Ok(Pass::default());
        for _ in 0..3 {
            ended = ended.and(compactor.pass(&log.snapshots()).await);
        }
        let what = format!("gone after {requests} requests");
        log.assert_whole(&what).await;
        if ended.is_ok() {
            assert!(requests > 30, "{requests}");
            break;
        }
        log.compact().await;
        log.assert_whole(&format!("{what}, resumed")).await;
    }
}

#[tokio::test]
async fn a_survey_made_before_a_compaction_still_restores_everything() {
    let mut log = Log::new(60).await;
    let old = restore::survey(&log.replica).await.unwrap();
    let mut behind = MemoryLog::new();
    behind.append(&log.records[..30]).unwrap();
    log.compact().await;
    log.ship(3, EPOCH).await;

    for mut local in [MemoryLog::new(), behind] {
        restore::extend(&log.replica, &mut local, &old, &settings(), &mut |_, _| {})
            .await
            .unwrap();
        let count = usize::try_from(old.tail.cursor.seq.0).unwrap();
        assert_eq!(
            local.read(Seq(1), usize::MAX).unwrap(),
            log.records[..count]
        );

        let fork = restore::fork(&log.replica, &local, &old).await.unwrap();
        assert_eq!(fork.at, old.tail.cursor);
    }
    let mut advanced = old;
    advanced.advance(&log.replica).await.unwrap();
    assert_eq!(advanced.tail.cursor, log.head());
}

#[tokio::test]
async fn a_compaction_during_a_survey_never_hides_the_end_of_the_log() {
    // Everything that was the tail of the old survey is merged and gone.
    let mut log = Log::new(20).await;
    let mut old = restore::survey(&log.replica).await.unwrap();
    log.ship(40, EPOCH).await;
    log.compact().await;
    let next = old.tail.cursor.seq.next();
    assert!(!log.shipped().await.contains(&next));
    old.advance(&log.replica).await.unwrap();
    assert_eq!(old.tail.cursor, log.head());
}

#[tokio::test]
async fn stale_lists_cost_no_record_and_show_no_gap() {
    let mut log = Log::new(30).await;
    for _ in 0..4 {
        log.compact().await;
        log.ship(10, EPOCH).await;
    }
    let mut whole = 0;
    for seed in 0..300 {
        let (store, replica) = log.faulty(seed);
        store.set_faults(Faults {
            stale_list: 900,
            ..Faults::default()
        });
        match restored(&replica).await {
            Ok(records) => {
                assert_eq!(records, log.records, "seed {seed}");
                whole += 1;
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Transient, "seed {seed}: {error}"),
        }
    }
    assert!(whole > 250, "{whole} of 300");
}

#[tokio::test]
async fn every_record_is_found_by_its_seq() {
    let mut log = Log::new(50).await;
    let mut old = Catalog::list(&log.replica, Seq::ZERO).await.unwrap();
    log.compact().await;
    log.ship(5, EPOCH).await;
    let mut late = Catalog::list(&log.replica, Seq(70)).await.unwrap();
    for record in &log.records {
        for catalog in [&mut old, &mut late] {
            let found = catalog
                .read_holding(&log.replica, record.seq)
                .await
                .unwrap();
            let found = found.unwrap().segment;
            assert!(found.records.contains(record), "#{}", record.seq);
        }
    }
    let beyond = log.head().seq.next();
    assert!(
        old.read_holding(&log.replica, beyond)
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn a_fenced_writer_merges_and_deletes_nothing() {
    let log = Log::new(40).await;
    claim(&log.replica, EPOCH.next()).await;
    let before = log.shipped().await;
    let fenced = log.pass().await.unwrap_err();
    assert!(matches!(fenced, StoreError::Fenced { by: Epoch(2) }));
    assert_eq!(log.shipped().await, before);
    assert!(floor::newest(&log.replica).await.unwrap().is_none());
    log.assert_whole("fenced").await;
}

#[tokio::test]
async fn without_its_own_head_a_writer_deletes_nothing() {
    let log = Log::new(40).await;
    log.replica.delete(&layout::head(EPOCH)).await.unwrap();
    let before = log.shipped().await;
    let refused = log.pass().await.unwrap_err();
    assert!(
        refused.to_string().contains("head/0000000001.json"),
        "{refused}"
    );
    assert_eq!(log.shipped().await, before);
}

#[tokio::test]
async fn a_missing_merged_segment_is_a_gap_with_its_range() {
    let log = Log::new(100).await;
    log.compact().await;
    let merged = log.merged().await;
    let (first, last) = merged[1];
    log.replica
        .delete(&layout::merged(first, last))
        .await
        .unwrap();
    let error = restored(&log.replica).await.unwrap_err();
    assert!(
        matches!(error, StoreError::Gap { from, to, .. } if (from, to) == (first, last)),
        "{error}"
    );
}

#[tokio::test]
async fn a_merged_segment_with_other_bytes_is_named_and_nothing_is_deleted() {
    let log = Log::new(40).await;
    let (store, replica) = log.faulty(1);
    // A merged segment that nobody merged stands where one should go.
    let twin = Log::new(40).await;
    twin.pass().await.unwrap();
    let (first, last) = twin.merged().await[0];
    let other = records(
        Cursor {
            seq: Seq(0),
            hash: Hash([3; 32]),
        },
        usize::try_from(last.0).unwrap(),
        10,
    );
    let bytes = segment::encode(EPOCH, &"b".into(), &other).unwrap();
    let path = layout::merged(first, last);
    log.replica.create(&path, bytes).await.unwrap();
    let before = log.shipped().await;
    let error = compactor(&replica)
        .pass(&log.snapshots())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains(path.as_ref()), "{error}");
    assert_eq!(log.shipped().await, before);
    assert!(!store.has_ended());
}

#[tokio::test]
async fn only_the_newest_snapshots_that_count_are_kept() {
    let log = Log::new(40).await;
    let take = async |seq: u64| {
        let taken = Snapshot {
            seq: Seq(seq),
            record_hash: Hash([1; 32]),
            sections: vec![Section {
                name: "state".to_owned(),
                version: 1,
                bytes: vec![1, 2, 3],
            }],
        };
        snapshot::put(&log.replica, &taken).await.unwrap();
    };
    for seq in [10, 20, 30, 40, 50] {
        take(seq).await;
    }
    // The one of #50 is stored and not recorded yet.
    let counting = [Seq(40), Seq(30), Seq(20), Seq(10)];
    let mut compactor = compactor(&log.replica);
    let pass = compactor.pass(&counting[..2]).await.unwrap();
    assert_eq!(pass.snapshots, 0, "too few are known to count");
    assert_eq!(compactor.pass(&counting).await.unwrap().snapshots, 1);
    let kept = snapshot::list(&log.replica).await.unwrap();
    assert_eq!(kept, [50, 40, 30, 20].map(Seq));
}
