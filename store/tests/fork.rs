//! Forks and new logs: whole or no log at all, whatever fails on the way.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use bytes::Bytes;
use moltbot_core::chain::{Cursor, Hash};
use moltbot_core::codec;
use moltbot_core::content::DataKey;
use moltbot_core::event::{ContentForgotten, DataKeyCreated, Event, SnapshotTaken, WriterStarted};
use moltbot_core::ids::{Epoch, KeyId, Seq};
use moltbot_core::record::Record;
use moltbot_core::time::Timestamp;
use moltbot_store::blobs;
use moltbot_store::claim::{ClaimRequest, claim};
use moltbot_store::error::{ErrorKind, StoreError};
use moltbot_store::fork::fork;
use moltbot_store::keys::{Keyring, MasterKeys};
use moltbot_store::layout;
use moltbot_store::log::EventLog;
use moltbot_store::memory_log::MemoryLog;
use moltbot_store::new_log::NewLog;
use moltbot_store::replica::{Replica, ReplicaKind};
use moltbot_store::restore;
use moltbot_store::scan::Scan;
use moltbot_store::segment;
use moltbot_store::settings::StoreSettings;
use moltbot_store::snapshot::{self, Snapshot};
use moltbot_store::testing::faulty_store::{Faults, FaultyStore};
use moltbot_store::testing::records;
use object_store::memory::InMemory;
use std::sync::Arc;

fn settings() -> StoreSettings {
    StoreSettings {
        segment_bytes_max: 2 << 10,
        retry_ms_min: 1,
        restore_concurrency: 3,
        ..StoreSettings::default()
    }
}

fn place(name: &str) -> Replica {
    over(Arc::new(InMemory::new()), name)
}

fn over(store: Arc<dyn object_store::ObjectStore>, name: &str) -> Replica {
    let mut replica = Replica::over(store, ReplicaKind::Memory);
    replica.location = format!("memory://{name}");
    replica
}

/// A record of this event after a position.
fn record(event: &Event, after: Cursor, at: i64, cause: Option<u64>) -> Record {
    let record = Record {
        seq: after.seq.next(),
        at: Timestamp(at),
        actor: "system".to_owned(),
        cause: cause.map(Seq),
        correlation: after.seq.next(),
        stream: event.stream(),
        kind: event.kind(),
        version: event.version(),
        critical: event.critical(),
        payload: event.encode().unwrap(),
        prev_hash: Hash::ZERO,
        hash: Hash::ZERO,
    };
    codec::link(record, after.hash).unwrap()
}

/// Adds a record of this event.
fn add(log: &mut Vec<Record>, event: impl Into<Event>, at: i64, cause: Option<u64>) {
    let after = log.last().map_or(Cursor::START, Record::cursor);
    log.push(record(&event.into(), after, at, cause));
}

fn started(epoch: u64) -> WriterStarted {
    WriterStarted {
        epoch: Epoch(epoch),
        instance: "a".into(),
        software: "test".to_owned(),
    }
}

fn key_created(key: &str, scope: &str) -> DataKeyCreated {
    DataKeyCreated {
        key: key.into(),
        scope: scope.to_owned(),
    }
}

/// Puts a log there, a few records per segment.
async fn ship(replica: &Replica, log: &[Record]) {
    for (n, part) in (0..).zip(log.chunks(3)) {
        let first = part.first().unwrap().seq;
        let bytes = segment::encode(Epoch(1 + n / 1_000), &"a".into(), part).unwrap();
        replica
            .create(&layout::segment(first), bytes)
            .await
            .unwrap();
    }
}

async fn put_key(replica: &Replica, id: &str) {
    let keyring = Keyring::in_memory(MasterKeys::default());
    let id = KeyId::from(id);
    keyring.create(&[(id.clone(), DataKey([7; 32]))]).unwrap();
    let object = keyring.object(&id).unwrap();
    replica.create(&layout::key(&id), object).await.unwrap();
}

async fn forked(source: &Replica, target: &Replica, at: u64) -> Result<u64, StoreError> {
    let scan = Scan::open(source, &settings()).await?;
    let done = fork(&scan, target, Seq(at), &settings(), &mut |_| Ok(())).await?;
    Ok(done.log.head.seq.0)
}

async fn restored(replica: &Replica) -> Vec<Record> {
    let mut log = MemoryLog::new();
    restore::restore(replica, &mut log, &settings(), &mut |_, _| {})
        .await
        .unwrap();
    log.reader().read(Seq(1), usize::MAX).unwrap()
}

async fn start(replica: &Replica, instance: &str) -> Result<Epoch, StoreError> {
    let request = ClaimRequest {
        instance: instance.into(),
        takeover: false,
        at: Timestamp(1),
        software: "test".to_owned(),
        nonce: instance.to_owned(),
    };
    let (mut log, keyring) = (MemoryLog::new(), Keyring::in_memory(MasterKeys::default()));
    let claimed = claim(
        replica,
        &mut log,
        &keyring,
        &request,
        &settings(),
        &mut |_| false,
        &mut |_, _| {},
    )
    .await?;
    Ok(claimed.epoch)
}

#[tokio::test]
async fn a_fork_ends_with_a_whole_command_and_anybody_may_start_on_it() {
    let source = place("source");
    let mut log = Vec::new();
    add(&mut log, started(1), 1, None);
    // One command of three records, then one of two at the same moment by the same actor.
    add(&mut log, key_created("k1", "s|a"), 5, None);
    add(&mut log, key_created("k2", "s|b"), 5, Some(2));
    add(&mut log, key_created("k3", "s|c"), 5, Some(2));
    add(&mut log, key_created("k4", "s|d"), 5, None);
    add(&mut log, key_created("k5", "s|e"), 5, Some(5));
    add(&mut log, started(4), 9, None);
    add(&mut log, key_created("k6", "s|a"), 9, None);
    ship(&source, &log).await;
    for key in ["k1", "k2", "k3", "k4", "k5", "k6"] {
        put_key(&source, key).await;
    }
    for (at, end, epoch) in [
        (1, 1, 2),
        (2, 1, 2),
        (3, 1, 2),
        (4, 4, 2),
        (5, 4, 2),
        (6, 6, 2),
        (7, 7, 5),
        (8, 8, 5),
        (100, 8, 5),
    ] {
        let target = place(&format!("fork-{at}"));
        assert_eq!(forked(&source, &target, at).await.unwrap(), end, "at {at}");
        let kept = &log[..usize::try_from(end).unwrap()];
        assert_eq!(restored(&target).await, kept);
        let keys = target.list(layout::KEYS).await.unwrap().len();
        assert_eq!(keys, moltbot_store::keys::keys_in(kept).len(), "at {at}");
        assert!(target.list(layout::HEADS).await.unwrap().is_empty());
        // Another gateway than the one that owns the original, and no takeover.
        assert_eq!(start(&target, "b").await.unwrap(), Epoch(epoch), "at {at}");
    }
    assert_eq!(restored(&source).await, log, "the original is as it was");
}

#[tokio::test]
async fn snapshots_blobs_and_keys_go_with_the_records_that_name_them() {
    let source = place("source");
    let mut log = Vec::new();
    add(&mut log, started(1), 1, None);
    add(&mut log, key_created("old", "s|a"), 2, None);
    let mut taken = Vec::new();
    for n in 0..6 {
        let cursor = log.last().unwrap().cursor();
        let object = Snapshot {
            seq: cursor.seq,
            record_hash: cursor.hash,
            sections: Vec::new(),
        };
        let stored = snapshot::put(&source, &object).await.unwrap();
        let event = SnapshotTaken {
            seq: cursor.seq,
            record_hash: cursor.hash,
            // Of one of them the log says something else: it would not count.
            object_hash: if n == 4 { Hash::ZERO } else { stored.hash },
            bytes: stored.bytes,
        };
        add(&mut log, event, 10 + n, None);
        taken.push(cursor.seq);
    }
    add(&mut log, key_created("new", "s|a"), 30, None);
    ship(&source, &log).await;
    let blob = Bytes::from_static(b"sealed");
    let hash = blobs::put(&source, blob.clone()).await.unwrap();

    // A key is gone, and no record says why: no log.
    let target = place("damaged");
    put_key(&source, "new").await;
    let error = forked(&source, &target, 5).await.unwrap_err();
    assert!(error.to_string().contains("keys/old"), "{error}");
    assert_eq!(
        target.list("").await.unwrap(),
        [],
        "what was written is removed"
    );

    put_key(&source, "old").await;
    let target = place("whole");
    let scan = Scan::open(&source, &settings()).await.unwrap();
    let done = fork(&scan, &target, Seq(9), &settings(), &mut |_| Ok(()))
        .await
        .unwrap();
    assert_eq!((done.keys, done.blobs, done.snapshots), (2, 1, 2));
    assert_eq!((done.at, done.tombstones), (done.log.head, 0));
    assert_eq!(blobs::get(&target, &hash).await.unwrap(), Some(blob));
    let newest_first = [taken[5], taken[3]];
    assert_eq!(snapshot::list(&target).await.unwrap(), newest_first);
}

#[tokio::test]
async fn what_was_forgotten_since_stays_forgotten_in_a_fork() {
    let source = place("source");
    let mut log = Vec::new();
    add(&mut log, started(1), 1, None);
    add(&mut log, key_created("k1", "s|a"), 2, None);
    add(&mut log, key_created("k2", "s|b"), 3, None);
    let forgotten = |keys: &[&str]| ContentForgotten {
        subject: "session/s".to_owned(),
        keys: keys.iter().map(|key| KeyId::from(*key)).collect(),
    };
    add(&mut log, key_created("k3", "s|c"), 4, None);
    add(&mut log, forgotten(&["k1", "k3"]), 5, None);
    add(&mut log, forgotten(&["k9"]), 6, None);
    ship(&source, &log).await;
    // Of what was forgotten one key is deleted by now, another one not yet.
    for key in ["k2", "k3"] {
        put_key(&source, key).await;
    }
    let scan = Scan::open(&source, &settings()).await.unwrap();
    for (at, keys, tombstone) in [
        (1, &[][..], None),
        (3, &["k2"], Some(forgotten(&["k1"]))),
        (4, &["k2"], Some(forgotten(&["k1", "k3"]))),
        (5, &["k2"], None),
        (6, &["k2"], None),
    ] {
        let target = place(&format!("fork-{at}"));
        let mut seen = 0;
        let mut see = |records: &[Record]| {
            seen += records.len();
            Ok(())
        };
        let done = fork(&scan, &target, Seq(at), &settings(), &mut see).await;
        let done = done.unwrap();
        assert_eq!(done.at.seq, Seq(at));
        let found = restored(&target).await;
        let (kept, added) = found.split_at(usize::try_from(at).unwrap());
        assert_eq!(kept, &log[..kept.len()]);
        assert_eq!((done.tombstones, seen), (added.len(), found.len()));
        let added: Vec<Event> = added.iter().map(|record| record.event().unwrap()).collect();
        let expected: Vec<Event> = tombstone.into_iter().map(Event::from).collect();
        assert_eq!(added, expected, "at {at}");
        let names = target.list(layout::KEYS).await.unwrap();
        let names: Vec<&str> = names.iter().filter_map(|path| path.filename()).collect();
        assert_eq!(names, keys, "at {at}");
    }
}

#[tokio::test]
async fn what_is_not_finished_is_no_log() {
    let all = records(Cursor::START, 60, 300);
    for count in [1, 20, 60] {
        let target = place("unfinished");
        let mut log = NewLog::begin(&target, &settings()).await.unwrap();
        log.push(all[..count].to_vec()).await.unwrap();
        for key in ["k1", "k2", "k3", "k4"] {
            // Waits for earlier ones, so that segments are there.
            log.put(layout::key(&key.into()), Bytes::new())
                .await
                .unwrap();
        }
        drop(log);
        let segments = target.list(layout::SEGMENTS).await.unwrap().len();
        match start(&target, "b").await {
            Ok(epoch) => assert_eq!((segments, epoch), (0, Epoch(1)), "it is empty"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}"),
        }
    }
    let target = place("finished");
    let mut log = NewLog::begin(&target, &settings()).await.unwrap();
    log.push(all.clone()).await.unwrap();
    assert_eq!(log.finish().await.unwrap().records, 60);
    assert_eq!(restored(&target).await, all);
    assert!(NewLog::begin(&target, &settings()).await.is_err());
    let mut gap = NewLog::begin(&place("gap"), &settings()).await.unwrap();
    assert!(gap.push(all[1..].to_vec()).await.is_err());
    let mut nothing = NewLog::begin(&place("nothing"), &settings()).await.unwrap();
    assert_eq!(
        nothing.finish().await.unwrap_err().kind(),
        ErrorKind::Invalid
    );
}

/// Goal: an object store that fails all the time gives a whole fork or none. Method: both sides fail
/// by a seed; afterwards the place is looked at without faults.
#[tokio::test]
async fn a_store_that_fails_gives_a_whole_fork_or_none() {
    let mut log = records(Cursor::START, 40, 300);
    let cursor = log.last().unwrap().cursor();
    log.push(record(&key_created("k1", "s|a").into(), cursor, 99, None));
    let below = Arc::new(InMemory::new());
    let source = over(Arc::clone(&below) as _, "source");
    ship(&source, &log).await;
    put_key(&source, "k1").await;
    let (mut whole, mut none) = (0, 0);
    for seed in 0..120 {
        let faults = Faults {
            before: 10 + seed % 7 * 40,
            after: 10 + seed % 5 * 40,
            throttled: 20,
            partial: 10 * (seed % 3),
            ..Faults::default()
        };
        let from = FaultyStore::new(Arc::clone(&below) as _, seed);
        let inner = Arc::new(InMemory::new());
        let to = FaultyStore::new(Arc::clone(&inner) as _, seed + 1_000);
        from.set_faults(faults);
        to.set_faults(faults);
        let at = 1 + seed % 41;
        let (from, to) = (over(Arc::new(from), "source"), over(Arc::new(to), "target"));
        let outcome = forked(&from, &to, at).await;
        let target = over(inner, "target");
        if let Ok(end) = outcome {
            whole += 1;
            assert_eq!(
                restored(&target).await,
                log[..usize::try_from(end).unwrap()]
            );
            continue;
        }
        none += 1;
        let survey = restore::survey(&target).await;
        let is_whole = survey.is_ok_and(|survey| survey.tail.cursor.seq.0 == at);
        match start(&target, "b").await {
            // Nothing landed, or all of it did and only the last reply was lost.
            Ok(_) => assert!(
                is_whole || restored(&target).await.len() == 1,
                "seed {seed}"
            ),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "seed {seed}: {error}"),
        }
    }
    assert!(whole > 20 && none > 5, "{whole} whole, {none} none");
}

#[tokio::test]
async fn a_scan_gives_any_part_of_the_log() {
    let all = records(Cursor::START, 50, 100);
    let source = place("source");
    ship(&source, &all).await;
    let scan = Scan::open(&source, &settings()).await.unwrap();
    assert_eq!(scan.record(Seq(0)).await.unwrap(), None);
    assert_eq!(scan.record(Seq(51)).await.unwrap(), None);
    for (n, record) in (0..).zip(&all) {
        assert_eq!(
            scan.record(record.seq).await.unwrap().as_ref(),
            Some(record)
        );
        for to in [record.seq, Seq(record.seq.0 + 7), Seq(u64::MAX)] {
            let mut after = record.cursor();
            let mut found = Vec::new();
            loop {
                let page = scan.page(after, to).await.unwrap();
                let Some(last) = page.last() else { break };
                after = last.cursor();
                found.extend(page);
            }
            let end = usize::try_from(to.0).unwrap_or(50).min(50);
            assert_eq!(
                found,
                all[n + 1..end.max(n + 1)],
                "after #{} to #{to}",
                record.seq
            );
        }
    }
    let wrong = Cursor {
        seq: Seq(9),
        hash: Hash::ZERO,
    };
    assert_eq!(
        scan.page(wrong, Seq(20)).await.unwrap_err().kind(),
        ErrorKind::Corrupt
    );
}
