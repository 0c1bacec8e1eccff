//! Shipping and restoring through a memory store and a directory: what comes back is what went in,
//! and what is damaged or missing is named.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use bytes::Bytes;
use moltbot_core::content::DataKey;
use moltbot_core::event::{DataKeyCreated, Event};
use moltbot_core::ids::{Epoch, InstanceId, KeyId, Seq};
use moltbot_core::record::Record;
use moltbot_core::time::Timestamp;
use moltbot_store::claim::{ClaimRequest, Claimed, claim};
use moltbot_store::error::{ErrorKind, StoreError};
use moltbot_store::keys::{Keyring, MasterKeys};
use moltbot_store::layout;
use moltbot_store::log::{EventLog, LogReader};
use moltbot_store::memory_log::MemoryLog;
use moltbot_store::replica::{Created, Replica, ReplicaKind, ReplicaOptions};
use moltbot_store::restore;
use moltbot_store::settings::StoreSettings;
use moltbot_store::ship_task::{self, ShipEnd, ShipHandle, ShipSetup};
use moltbot_store::testing::faulty_store::{Faults, FaultyStore};
use moltbot_store::testing::records;
use object_store::memory::InMemory;
use object_store::{ObjectStoreExt, PutPayload};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

struct Gateway {
    replica: Replica,
    log: MemoryLog,
    keyring: Arc<Keyring>,
    claimed: Claimed,
}

fn settings() -> StoreSettings {
    StoreSettings {
        segment_bytes_max: 4 << 10,
        retry_ms_max: 400,
        ..StoreSettings::default()
    }
}

fn memory() -> Replica {
    Replica::over(Arc::new(InMemory::new()), ReplicaKind::Memory)
}

async fn start(replica: &Replica, mut log: MemoryLog) -> Gateway {
    let keyring = Keyring::in_memory(MasterKeys::default());
    let request = ClaimRequest {
        instance: InstanceId::from("a"),
        takeover: false,
        at: Timestamp(1),
        software: "test".to_owned(),
        nonce: "n".to_owned(),
    };
    let mut ignore = |_, _| {};
    let claimed = claim(
        replica,
        &mut log,
        &keyring,
        &request,
        &settings(),
        &mut |_| true,
        &mut ignore,
    )
    .await
    .unwrap();
    Gateway {
        replica: replica.clone(),
        log,
        keyring: Arc::new(keyring),
        claimed,
    }
}

impl Gateway {
    fn ship(&self) -> (ShipHandle, JoinHandle<ShipEnd>) {
        ship_task::spawn(ShipSetup {
            replica: self.replica.clone(),
            local: self.log.reader(),
            keyring: Arc::clone(&self.keyring),
            epoch: self.claimed.epoch,
            instance: InstanceId::from("a"),
            shipped: self.claimed.head,
            settings: settings(),
            seed: 1,
        })
    }

    fn append(&mut self, count: usize, bytes: usize) -> Vec<Record> {
        let batch = records(EventLog::head(&self.log), count, bytes);
        self.log.append(&batch).unwrap();
        batch
    }

    /// Ships everything, in many segments, and stops.
    async fn ship_all(&mut self, batches: usize) {
        let (handle, task) = self.ship();
        for _ in 0..batches {
            handle.appended(&self.append(7, 200));
            handle.ship_now();
            assert!(handle.wait_shipped(EventLog::head(&self.log).seq).await);
        }
        handle.stop(Duration::from_secs(10));
        assert!(matches!(task.await.unwrap(), ShipEnd::Stopped { .. }));
    }
}

fn all(log: &MemoryLog) -> Vec<Record> {
    log.read(Seq(1), usize::MAX).unwrap()
}

async fn restored(replica: &Replica) -> Result<MemoryLog, StoreError> {
    let mut log = MemoryLog::new();
    let count = restore::restore(replica, &mut log, &settings(), &mut |_, _| {}).await?;
    assert_eq!(count, EventLog::head(&log).seq.0);
    Ok(log)
}

async fn verify(replica: &Replica) -> Result<restore::Verified, StoreError> {
    restore::verify(replica, &settings(), &mut |_, _| {}).await
}

#[tokio::test]
async fn a_restored_log_equals_the_shipped_one() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("file://{}/not/there/yet", directory.path().display());
    let options = ReplicaOptions::default();
    for replica in [memory(), Replica::open(&url, &options).unwrap()] {
        let mut gateway = start(&replica, MemoryLog::new()).await;
        gateway.ship_all(12).await;
        assert_eq!(all(&restored(&replica).await.unwrap()), all(&gateway.log));

        let verified = verify(&replica).await.unwrap();
        assert_eq!((verified.records, verified.segments), (85, 13));
        assert_eq!(verified.head, EventLog::head(&gateway.log));
        assert_eq!(verified.epoch, Epoch(1));
        assert!(verified.bytes > 7 * 12 * 200);

        // A machine without a disk goes on where the log ends.
        let next = start(&replica, MemoryLog::new()).await;
        assert_eq!((next.claimed.restored, next.claimed.epoch), (85, Epoch(2)));
    }
}

#[tokio::test]
async fn a_log_that_is_behind_gets_only_what_it_lacks() {
    let replica = memory();
    let mut gateway = start(&replica, MemoryLog::new()).await;
    gateway.ship_all(6).await;
    let mut behind = MemoryLog::new();
    // Ends in the middle of a segment.
    behind.append(&all(&gateway.log)[..20]).unwrap();
    let mut seen = Vec::new();
    let count = restore::restore(&replica, &mut behind, &settings(), &mut |done, of| {
        seen.push((done, of));
    })
    .await;
    assert_eq!(count.unwrap(), 23);
    assert_eq!(seen, [(23, 23)]);
    assert_eq!(all(&behind), all(&gateway.log));
}

#[tokio::test]
async fn another_history_is_not_extended() {
    let replica = memory();
    let mut gateway = start(&replica, MemoryLog::new()).await;
    gateway.ship_all(2).await;
    let mut other = MemoryLog::new();
    other
        .append(&records(moltbot_core::chain::Cursor::START, 3, 9))
        .unwrap();
    let error = restore::restore(&replica, &mut other, &settings(), &mut |_, _| {})
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("the local log"), "{error}");
    assert_eq!(EventLog::head(&other).seq, Seq(3));
}

#[tokio::test]
async fn a_damaged_segment_is_named_and_earlier_records_still_restore() {
    let replica = memory();
    let mut gateway = start(&replica, MemoryLog::new()).await;
    gateway.ship_all(5).await;
    let path = layout::segment(Seq(16));
    let mut bytes = replica.get(&path).await.unwrap().unwrap().to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    replica
        .store
        .put(&path, PutPayload::from(bytes))
        .await
        .unwrap();
    let mut log = MemoryLog::new();
    let restored = restore::restore(&replica, &mut log, &settings(), &mut |_, _| {}).await;
    for error in [verify(&replica).await.unwrap_err(), restored.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(
            error.to_string().contains("log/00000000000000000016.seg"),
            "{error}"
        );
    }
    assert_eq!(all(&log), all(&gateway.log)[..15]);
}

#[tokio::test]
async fn a_missing_segment_is_a_gap_with_its_range_and_object() {
    let replica = memory();
    let mut gateway = start(&replica, MemoryLog::new()).await;
    gateway.ship_all(5).await;
    replica
        .store
        .delete(&layout::segment(Seq(16)))
        .await
        .unwrap();
    let error = verify(&replica).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the remote log has no record #16..#22 (before `log/00000000000000000023.seg`)"
    );
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn a_segment_of_another_log_does_not_verify() {
    let (replica, other) = (memory(), memory());
    start(&replica, MemoryLog::new()).await.ship_all(2).await;
    let mut longer = start(&other, MemoryLog::new()).await;
    longer.append(1, 3);
    longer = start(&other, longer.log).await;
    longer.ship_all(2).await;
    let path = layout::segment(Seq(4));
    let bytes = other.get(&path).await.unwrap().unwrap();
    replica
        .create(&layout::segment(Seq(16)), bytes)
        .await
        .unwrap();
    let error = verify(&replica).await.unwrap_err();
    assert!(
        error.to_string().contains("log/00000000000000000016.seg"),
        "{error}"
    );
}

#[tokio::test]
async fn a_stale_list_costs_no_record() {
    let inner = Arc::new(InMemory::new());
    let clean = Replica::over(Arc::clone(&inner) as _, ReplicaKind::Memory);
    let mut gateway = start(&clean, MemoryLog::new()).await;
    gateway.ship_all(9).await;
    for seed in 0..20 {
        let faulty = FaultyStore::new(Arc::clone(&inner) as _, seed);
        faulty.set_faults(Faults {
            stale_list: 1000,
            ..Faults::default()
        });
        let stale = Replica::over(Arc::new(faulty), ReplicaKind::Memory);
        assert_eq!(all(&restored(&stale).await.unwrap()), all(&gateway.log));
        assert_eq!(verify(&stale).await.unwrap(), verify(&clean).await.unwrap());
    }
}

#[tokio::test]
async fn a_reply_that_ends_too_early_is_no_damage() {
    let faulty = FaultyStore::new(Arc::new(InMemory::new()), 5);
    let replica = Replica::over(Arc::new(faulty.clone()), ReplicaKind::Memory);
    start(&replica, MemoryLog::new()).await.ship_all(1).await;
    faulty.set_faults(Faults {
        partial: 1000,
        ..Faults::default()
    });
    let error = verify(&replica).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
}

#[tokio::test]
async fn a_stuck_remote_raises_the_lag_and_nothing_else() {
    let faulty = FaultyStore::new(Arc::new(InMemory::new()), 5);
    let replica = Replica::over(Arc::new(faulty.clone()), ReplicaKind::Memory);
    let mut gateway = start(&replica, MemoryLog::new()).await;
    let (handle, task) = gateway.ship();
    let mut status = handle.status();
    faulty.set_down(true);
    for round in 1..=50 {
        handle.appended(&gateway.append(10, 100));
        handle.ship_now();
        let seen = status
            .wait_for(|status| status.lag_events == round * 10)
            .await;
        assert!(seen.unwrap().lag_bytes > round * 1000);
    }
    status
        .wait_for(|status| status.failing_since_ms.is_some())
        .await
        .unwrap();
    assert!(
        status
            .borrow()
            .last_error
            .as_ref()
            .unwrap()
            .contains("refused")
    );
    faulty.set_down(false);
    assert!(handle.wait_shipped(Seq(501)).await);
    handle.stop(Duration::from_secs(5));
    assert!(matches!(task.await.unwrap(), ShipEnd::Stopped { .. }));
    let status = handle.status().borrow().clone();
    assert_eq!((status.lag_events, status.oldest_unshipped_ms), (0, None));
    assert!(
        status.segments > 10,
        "bounded segments: {}",
        status.segments
    );
    assert_eq!(all(&restored(&replica).await.unwrap()), all(&gateway.log));
}

#[tokio::test]
async fn stopping_with_a_dead_remote_ends_in_time() {
    let faulty = FaultyStore::new(Arc::new(InMemory::new()), 5);
    let replica = Replica::over(Arc::new(faulty.clone()), ReplicaKind::Memory);
    let mut gateway = start(&replica, MemoryLog::new()).await;
    let (handle, task) = gateway.ship();
    faulty.set_down(true);
    handle.appended(&gateway.append(2, 10));
    handle.stop(Duration::from_millis(50));
    let end = task.await.unwrap();
    assert!(matches!(end, ShipEnd::Stopped { shipped } if shipped.seq == Seq(1)));
}

#[tokio::test]
async fn the_task_ends_when_nobody_holds_a_handle() {
    let gateway = start(&memory(), MemoryLog::new()).await;
    let (handle, task) = gateway.ship();
    drop(handle);
    assert!(matches!(task.await.unwrap(), ShipEnd::Stopped { .. }));
}

#[tokio::test]
async fn data_keys_are_there_before_the_segment_that_names_them() {
    let replica = memory();
    let mut gateway = start(&replica, MemoryLog::new()).await;
    let key = KeyId::from("k1");
    gateway
        .keyring
        .create(&[(key.clone(), DataKey([3; 32]))])
        .unwrap();
    let event = Event::from(DataKeyCreated {
        key: key.clone(),
        scope: "s|a".to_owned(),
    });
    let head = EventLog::head(&gateway.log);
    let mut record = records(head, 1, 1).remove(0);
    (record.kind, record.version, record.payload) =
        (event.kind(), event.version(), event.encode().unwrap());
    let record = moltbot_core::codec::link(record, head.hash).unwrap();
    gateway.log.append(std::slice::from_ref(&record)).unwrap();
    let (handle, _task) = gateway.ship();
    handle.appended(&[record]);
    assert!(handle.wait_shipped(Seq(2)).await);
    let stored = replica.get(&layout::key(&key)).await.unwrap();
    assert_eq!(stored, gateway.keyring.object(&key));

    let other = Keyring::in_memory(MasterKeys::default());
    assert_eq!(other.load_remote(&replica, &settings()).await.unwrap(), 1);
    assert_eq!(other.get(&key), Some(DataKey([3; 32])));
}

#[tokio::test]
async fn a_directory_creates_an_object_once_and_lists_an_empty_folder() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("file://{}", directory.path().display());
    let replica = Replica::open(&url, &ReplicaOptions::default()).unwrap();
    assert_eq!(
        (replica.kind, replica.location),
        (ReplicaKind::Directory, url.clone())
    );
    let replica = Replica::open(&url, &ReplicaOptions::default()).unwrap();
    assert_eq!(replica.list("log").await.unwrap(), []);
    let path = layout::segment(Seq(1));
    assert_eq!(replica.get(&path).await.unwrap(), None);
    for (bytes, created) in [("one", Created::New), ("two", Created::Exists)] {
        assert_eq!(
            replica.create(&path, Bytes::from(bytes)).await.unwrap(),
            created
        );
    }
    assert_eq!(replica.get(&path).await.unwrap().unwrap(), "one");
    assert_eq!(replica.list("log").await.unwrap(), [path]);
}
