//! A start from a snapshot: which snapshots count, what is read, and what comes before them.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests may panic as tests do"
)]

use moltbot_core::chain::{Cursor, Hash};
use moltbot_core::codec;
use moltbot_core::event::{Event, SnapshotTaken};
use moltbot_core::ids::{Epoch, InstanceId, Seq};
use moltbot_core::record::Record;
use moltbot_core::time::Timestamp;
use moltbot_store::claim::{ClaimRequest, Claimed, claim};
use moltbot_store::compact::Compactor;
use moltbot_store::error::{ErrorKind, StoreError};
use moltbot_store::history::History;
use moltbot_store::keys::{Keyring, MasterKeys};
use moltbot_store::layout;
use moltbot_store::log::{EventLog, LogReader};
use moltbot_store::memory_log::MemoryLog;
use moltbot_store::replica::{Replica, ReplicaKind};
use moltbot_store::settings::StoreSettings;
use moltbot_store::snapshot::{self, Section, Snapshot};
use moltbot_store::testing::conformance::all;
use moltbot_store::testing::records;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use std::sync::Arc;
use tokio::runtime::Handle;

const INSTANCE: &str = "a";

fn settings() -> StoreSettings {
    StoreSettings {
        segment_bytes_max: 2 << 10,
        behind_records_max: 50,
        ..StoreSettings::default()
    }
}

/// A remote log and everything that was ever recorded in it.
struct Remote {
    store: Arc<InMemory>,
    replica: Replica,
    log: MemoryLog,
}

impl Remote {
    fn new() -> Remote {
        let store = Arc::new(InMemory::new());
        Remote {
            replica: Replica::over(Arc::clone(&store) as _, ReplicaKind::Memory),
            store,
            log: MemoryLog::new(),
        }
    }

    /// So many records more, in several segments.
    async fn grow(&mut self, count: usize) {
        let batch = records(EventLog::head(&self.log), count, 200);
        self.log.append(&batch).unwrap();
        let mut log = self.log.clone();
        self.start(&mut log).await.unwrap();
    }

    /// Claims the log with this local one, by a binary that can use every snapshot.
    async fn start(&self, log: &mut MemoryLog) -> Result<Claimed, StoreError> {
        self.start_with(log, |_| true).await
    }

    async fn start_with(
        &self,
        log: &mut MemoryLog,
        mut usable: impl FnMut(&Snapshot) -> bool + Send,
    ) -> Result<Claimed, StoreError> {
        let request = ClaimRequest {
            instance: InstanceId::from(INSTANCE),
            takeover: false,
            at: Timestamp(1),
            software: "test".to_owned(),
            nonce: "n".to_owned(),
        };
        let keyring = Keyring::in_memory(MasterKeys::default());
        let settings = settings();
        claim(
            &self.replica,
            log,
            &keyring,
            &request,
            &settings,
            &mut usable,
            &mut |_, _| {},
        )
        .await
    }

    /// An object that says it is the snapshot of the state after this record.
    async fn put_snapshot(&self, cursor: Cursor) -> Hash {
        let section = Section {
            name: "state".to_owned(),
            version: 1,
            bytes: cursor.seq.0.to_be_bytes().to_vec(),
        };
        let snapshot = Snapshot {
            seq: cursor.seq,
            record_hash: cursor.hash,
            sections: vec![section],
        };
        let stored = snapshot::put(&self.replica, &snapshot).await.unwrap();
        stored.hash
    }

    /// Has the log name this object.
    fn vouch(&mut self, cursor: Cursor, object_hash: Hash) {
        let event = Event::from(SnapshotTaken {
            seq: cursor.seq,
            record_hash: cursor.hash,
            object_hash,
            bytes: 1,
        });
        let head = EventLog::head(&self.log);
        let record = Record {
            seq: head.seq.next(),
            at: Timestamp(1),
            actor: "system".to_owned(),
            cause: None,
            correlation: head.seq.next(),
            stream: event.stream(),
            kind: event.kind(),
            version: event.version(),
            critical: event.critical(),
            payload: event.encode().unwrap(),
            prev_hash: Hash::ZERO,
            hash: Hash::ZERO,
        };
        self.log
            .append(&[codec::link(record, head.hash).unwrap()])
            .unwrap();
    }

    /// A snapshot that counts, and some records after it.
    async fn snapshot(&mut self) -> Cursor {
        let cursor = EventLog::head(&self.log);
        let hash = self.put_snapshot(cursor).await;
        self.vouch(cursor, hash);
        self.grow(20).await;
        cursor
    }

    /// Takes the segments away that end before this record; what they were.
    async fn take_before(&self, seq: Seq) -> Vec<(Path, PutPayload)> {
        let names = self.replica.list(layout::SEGMENTS).await.unwrap();
        let firsts: Vec<u64> = names.iter().filter_map(layout::number).collect();
        let mut taken = Vec::new();
        for (name, next) in names.iter().zip(firsts.iter().skip(1)) {
            if *next <= seq.0 {
                let bytes = self.store.get(name).await.unwrap().bytes().await.unwrap();
                taken.push((name.clone(), PutPayload::from_bytes(bytes)));
                self.store.delete(name).await.unwrap();
            }
        }
        assert!(!taken.is_empty());
        taken
    }

    async fn put_back(&self, taken: Vec<(Path, PutPayload)>) {
        for (name, bytes) in taken {
            self.store.put(&name, bytes).await.unwrap();
        }
    }

    async fn damage(&self, path: &Path) {
        let bytes = self.store.get(path).await.unwrap().bytes().await.unwrap();
        let mut bytes = bytes.to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        self.store.put(path, bytes.into()).await.unwrap();
    }

    /// What the remote log holds, whoever wrote it.
    async fn whole(&self) -> Vec<Record> {
        let mut log = MemoryLog::new();
        let settings = settings();
        moltbot_store::restore::restore(&self.replica, &mut log, &settings, &mut |_, _| {})
            .await
            .unwrap();
        all(&log, 1 << 20).unwrap()
    }
}

/// The records after a base.
fn after(whole: &[Record], base: Cursor) -> &[Record] {
    &whole[usize::try_from(base.seq.0).unwrap()..]
}

/// A remote log with two snapshots that count.
async fn two_snapshots() -> (Remote, Cursor, Cursor) {
    let mut remote = Remote::new();
    remote.grow(60).await;
    let older = remote.snapshot().await;
    remote.grow(60).await;
    let newer = remote.snapshot().await;
    (remote, older, newer)
}

#[tokio::test]
async fn an_empty_disk_begins_at_the_newest_snapshot_and_reads_nothing_before() {
    let (remote, _, newer) = two_snapshots().await;
    let whole = remote.whole().await;
    let taken = remote.take_before(newer.seq).await;
    let mut log = MemoryLog::new();
    let mut used = None;
    let claimed = remote
        .start_with(&mut log, |snapshot| {
            used = Some(snapshot.cursor());
            true
        })
        .await
        .unwrap();
    assert_eq!((claimed.anchor, used), (Some(newer), Some(newer)));
    assert_eq!(LogReader::base(&log), newer);
    let found = all(&log, 1 << 20).unwrap();
    let restored = after(&whole, newer);
    assert_eq!(found[..restored.len()], *restored);
    assert_eq!(claimed.restored, restored.len() as u64);
    assert_eq!(found.len(), restored.len() + 1, "its writer_started");

    // It ships and restarts as any log does.
    log.append(&records(claimed.head, 5, 100)).unwrap();
    let again = remote.start(&mut log).await.unwrap();
    assert_eq!((again.anchor, again.restored), (Some(newer), 0));
    assert_eq!(again.epoch, claimed.epoch.next());
    remote.put_back(taken).await;
    let whole = remote.whole().await;
    assert_eq!(all(&log, 1 << 20).unwrap(), after(&whole, newer));
}

#[tokio::test]
async fn without_the_newest_an_older_snapshot_is_used_and_at_last_the_whole_log() {
    let (remote, older, newer) = two_snapshots().await;
    let whole = remote.whole().await;
    let start = async |expected: Option<Cursor>, usable: fn(&Snapshot) -> bool| {
        let mut log = MemoryLog::new();
        let claimed = remote.start_with(&mut log, usable).await.unwrap();
        assert_eq!(claimed.anchor, expected);
        let base = expected.unwrap_or_default();
        assert_eq!(LogReader::base(&log), base);
        let found = all(&log, 1 << 20).unwrap();
        let restored = after(&whole, base);
        assert_eq!(found[..restored.len()], *restored);
    };
    // This binary reads other versions only.
    start(None, |_| false).await;
    start(Some(older), |snapshot| snapshot.seq < Seq(100)).await;
    remote.damage(&layout::snapshot(newer.seq)).await;
    start(Some(older), |_| true).await;
    remote
        .store
        .delete(&layout::snapshot(older.seq))
        .await
        .unwrap();
    start(None, |_| true).await;
}

#[tokio::test]
async fn a_snapshot_for_which_the_log_does_not_vouch_does_not_count() {
    let (mut remote, _, counts) = two_snapshots().await;
    // It was stored, but the process ended before that was recorded,
    let unnamed = EventLog::head(&remote.log);
    remote.put_snapshot(unnamed).await;
    remote.grow(20).await;
    // somebody left one of another history,
    let head = EventLog::head(&remote.log);
    let hash = Hash([4; 32]);
    let foreign = Cursor { hash, ..head };
    let object = remote.put_snapshot(foreign).await;
    remote.vouch(foreign, object);
    remote.grow(20).await;
    // the event names another object,
    let other = EventLog::head(&remote.log);
    remote.put_snapshot(other).await;
    remote.vouch(other, Hash([5; 32]));
    remote.grow(20).await;
    // or one lies beyond the end of the log.
    let beyond = Cursor {
        seq: Seq(1_000_000),
        hash,
    };
    remote.put_snapshot(beyond).await;

    let mut log = MemoryLog::new();
    let claimed = remote.start(&mut log).await.unwrap();
    assert_eq!(claimed.anchor, Some(counts));
    assert_eq!(LogReader::base(&log), counts);
    assert_eq!(
        all(&log, 1 << 20).unwrap(),
        after(&remote.whole().await, counts)
    );
}

#[tokio::test]
async fn a_log_that_is_far_behind_begins_anew_and_one_that_is_not_is_extended() {
    let (mut remote, older, newer) = two_snapshots().await;
    let whole = remote.whole().await;
    for (held, base) in [
        (10, newer),
        (older.seq.0, newer),
        (newer.seq.0 - 5, Cursor::START),
    ] {
        let mut log = MemoryLog::new();
        let held = usize::try_from(held).unwrap();
        log.append(&whole[..held]).unwrap();
        let claimed = remote.start(&mut log).await.unwrap();
        assert_eq!(LogReader::base(&log), base, "{held} records");
        assert_eq!(claimed.anchor, Some(newer));
        let now = remote.whole().await;
        assert_eq!(all(&log, 1 << 20).unwrap(), after(&now, base));
    }
    // One that begins at a snapshot is extended, too, and begins anew when it is far behind.
    let mut log = MemoryLog::new();
    remote.start(&mut log).await.unwrap();
    remote.log = MemoryLog::new();
    let whole = remote.whole().await;
    remote.log.append(&whole).unwrap();
    remote.grow(10).await;
    let claimed = remote.start(&mut log).await.unwrap();
    assert_eq!((claimed.restored, LogReader::base(&log)), (11, newer));
    remote.log = MemoryLog::new();
    remote.log.append(&remote.whole().await).unwrap();
    remote.grow(60).await;
    let newest = remote.snapshot().await;
    remote.start(&mut log).await.unwrap();
    assert_eq!(LogReader::base(&log), newest);
}

#[tokio::test]
async fn a_base_whose_snapshot_is_of_no_use_any_more_goes() {
    let (remote, older, newer) = two_snapshots().await;
    let mut log = MemoryLog::new();
    remote.start(&mut log).await.unwrap();
    assert_eq!(LogReader::base(&log), newer);
    log.append(&records(EventLog::head(&log), 5, 100)).unwrap();
    let unshipped = EventLog::head(&log);
    // Another binary starts.
    let claimed = remote
        .start_with(&mut log, |snapshot| snapshot.seq < newer.seq)
        .await
        .unwrap();
    assert_eq!(claimed.anchor, Some(older));
    assert_eq!(LogReader::base(&log), older);
    assert_eq!(log.cursor(unshipped.seq).unwrap(), Some(unshipped));
    let claimed = remote.start_with(&mut log, |_| false).await.unwrap();
    assert_eq!(
        (claimed.anchor, LogReader::base(&log)),
        (None, Cursor::START)
    );
    assert_eq!(all(&log, 1 << 20).unwrap(), remote.whole().await);
}

#[tokio::test]
async fn a_base_of_another_history_is_kept_as_an_orphan_and_goes() {
    let (remote, _, _) = two_snapshots().await;
    let mut log = MemoryLog::new();
    log.begin_at(Cursor {
        seq: Seq(70),
        hash: Hash([9; 32]),
    })
    .unwrap();
    let foreign = records(EventLog::head(&log), 9, 50);
    log.append(&foreign).unwrap();
    let claimed = remote.start(&mut log).await.unwrap();
    let orphan = claimed.orphan.unwrap();
    assert_eq!((orphan.first, orphan.last), (Seq(71), Seq(79)));
    let base = LogReader::base(&log);
    assert_eq!(
        all(&log, 1 << 20).unwrap(),
        after(&remote.whole().await, base)
    );

    // A base beyond the end of the remote log, as when the bucket was set back.
    let mut log = MemoryLog::new();
    log.begin_at(Cursor {
        seq: Seq(5000),
        hash: Hash([9; 32]),
    })
    .unwrap();
    log.append(&records(EventLog::head(&log), 3, 50)).unwrap();
    let claimed = remote.start(&mut log).await.unwrap();
    assert_eq!(claimed.orphan.unwrap().first, Seq(5001));
}

#[tokio::test]
async fn damage_after_the_snapshot_is_named() {
    let (remote, _, newer) = two_snapshots().await;
    let names = remote.replica.list(layout::SEGMENTS).await.unwrap();
    let is_after = |name: &&Path| layout::number(name).is_some_and(|first| first > newer.seq.0);
    let damaged = names.iter().find(is_after).unwrap();
    remote.damage(damaged).await;
    let error = remote.start(&mut MemoryLog::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains(damaged.as_ref()), "{error}");
}

/// A reader of everything over a log that begins at the newest snapshot.
async fn begun(remote: &Remote) -> (MemoryLog, History) {
    let mut log = MemoryLog::new();
    remote.start(&mut log).await.unwrap();
    assert_ne!(LogReader::base(&log), Cursor::START);
    let history = History::new(log.reader(), remote.replica.clone(), Handle::current());
    (log, history)
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_read_on_demand_and_equals_the_whole_log() {
    let (remote, _, _) = two_snapshots().await;
    let (_, history) = begun(&remote).await;
    let whole = remote.whole().await;
    assert_eq!(history.base(), Cursor::START);
    assert_eq!(history.head(), whole.last().unwrap().cursor());
    for bytes_max in [0, 700, 1 << 20] {
        assert_eq!(all(&history, bytes_max).unwrap(), whole);
    }
    for record in whole.iter().rev() {
        assert_eq!(history.get(record.seq).unwrap().as_ref(), Some(record));
        assert_eq!(history.cursor(record.seq).unwrap(), Some(record.cursor()));
    }
    assert_eq!(history.get(Seq::ZERO).unwrap(), None);
    assert_eq!(history.get(history.head().seq.next()).unwrap(), None);
    // From a thread of its own, as from a task.
    let from_a_thread = std::thread::scope(|scope| {
        let read = scope.spawn(|| history.get(Seq(3)));
        read.join().unwrap()
    });
    assert_eq!(from_a_thread.unwrap().as_ref(), Some(&whole[2]));
}

#[tokio::test(flavor = "multi_thread")]
async fn history_that_cannot_be_had_is_an_error_and_not_empty() {
    let (remote, _, newer) = two_snapshots().await;
    let (log, history) = begun(&remote).await;
    let local = newer.seq.next();
    let taken = remote.take_before(newer.seq).await;
    for seq in [Seq(1), Seq(40)] {
        assert!(history.get(seq).is_err());
        assert!(history.read(seq, 1000).is_err());
        assert!(history.cursor(seq).is_err());
    }
    assert_eq!(history.get(local).unwrap(), log.get(local).unwrap());
    remote.put_back(taken).await;
    assert_eq!(all(&history, 1000).unwrap(), remote.whole().await);

    let (_, history) = begun(&remote).await;
    let first = remote
        .replica
        .list(layout::SEGMENTS)
        .await
        .unwrap()
        .remove(0);
    remote.damage(&first).await;
    assert_eq!(history.get(Seq(1)).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_may_be_merged_and_deleted_between_two_reads() {
    let (remote, older, newer) = two_snapshots().await;
    let whole = remote.whole().await;
    let (_, history) = begun(&remote).await;
    assert_eq!(history.get(Seq(2)).unwrap().as_ref(), Some(&whole[1]));
    let settings = StoreSettings {
        compact_segments_min: 2,
        ..settings()
    };
    let epoch = newest_epoch(&remote).await;
    let instance = InstanceId::from(INSTANCE);
    let mut compactor = Compactor::new(remote.replica.clone(), epoch, instance, settings);
    let pass = compactor.pass(&[newer.seq, older.seq]).await.unwrap();
    assert!(pass.replaced > 0, "{pass:?}");
    for record in &whole {
        assert_eq!(history.get(record.seq).unwrap().as_ref(), Some(record));
    }
    // Whoever starts now begins at the same snapshot and finds all of it, too.
    let (_, history) = begun(&remote).await;
    assert_eq!(all(&history, 1 << 20).unwrap(), remote.whole().await);
}

async fn newest_epoch(remote: &Remote) -> Epoch {
    let newest = moltbot_store::head::newest(&remote.replica, None).await;
    newest.unwrap().unwrap().0
}
