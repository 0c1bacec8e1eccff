//! Contents of files on their way to the remote log: whatever fails and whenever the process ends,
//! no segment is there that names one which is not.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use moltbot_core::chain::Hash;
use moltbot_core::codec;
use moltbot_core::content::{Content, DataKey};
use moltbot_core::event::{Event, FileWritten};
use moltbot_core::ids::{InstanceId, Seq};
use moltbot_core::record::Record;
use moltbot_core::time::Timestamp;
use moltbot_store::blobs::{BlobKey, BlobReader, BlobWriter, LocalBlobs, Written};
use moltbot_store::claim::{ClaimRequest, claim};
use moltbot_store::keys::Keyring;
use moltbot_store::layout;
use moltbot_store::log::{EventLog, LogReader};
use moltbot_store::memory_log::MemoryLog;
use moltbot_store::replica::{Replica, ReplicaKind};
use moltbot_store::restore;
use moltbot_store::settings::{BLOB_CHUNK_BYTES, StoreSettings};
use moltbot_store::ship_task::{self, ShipSetup};
use moltbot_store::testing::faulty_store::{Faults, FaultyStore};
use moltbot_store::upload::Named;
use object_store::memory::InMemory;
use std::sync::Arc;

fn settings() -> StoreSettings {
    StoreSettings {
        segment_bytes_max: 2 << 10,
        retry_ms_min: 1,
        retry_ms_max: 20,
        ..StoreSettings::default()
    }
}

fn key() -> BlobKey {
    BlobKey::new(&"k1".into(), &DataKey([1; 32]))
}

/// Content number `n`: some are empty, some have several chunks.
fn content(n: usize) -> Vec<u8> {
    let bytes = match n % 20 {
        0 | 7 => 0,
        4 => BLOB_CHUNK_BYTES + n,
        _ => 100 * n,
    };
    n.to_le_bytes().into_iter().cycle().take(bytes).collect()
}

/// Stores content number `n` on this machine.
fn store(local: &LocalBlobs, n: usize) -> Written {
    let key = key();
    let mut writer = BlobWriter::new(local, &key);
    writer.push(&content(n)).unwrap();
    let written = writer.finish().unwrap();
    local.sync().unwrap();
    written
}

/// The record that names it.
fn record(log: &MemoryLog, n: usize, written: &Written) -> Record {
    let mut path = Content::Plain {
        key: "k1".into(),
        text: n.to_string(),
    };
    path.seal(&DataKey([1; 32]), [0; 24]);
    let event = Event::from(FileWritten {
        file: n.to_string().into(),
        path,
        mode: 0o100_644,
        size: written.bytes,
        blob: written.blob,
    });
    let head = EventLog::head(log);
    let record = Record {
        seq: head.seq.next(),
        at: Timestamp(1),
        actor: "local".to_owned(),
        cause: None,
        correlation: head.seq.next(),
        stream: event.stream(),
        kind: event.kind(),
        version: event.version(),
        critical: event.critical(),
        payload: event.encode().unwrap(),
        prev_hash: head.hash,
        hash: Hash::ZERO,
    };
    codec::link(record, head.hash).unwrap()
}

/// What the segments of this store record.
async fn recorded(replica: &Replica) -> Vec<Record> {
    let mut log = MemoryLog::new();
    restore::restore(replica, &mut log, &settings(), &mut |_, _| {})
        .await
        .unwrap();
    log.read(Seq(1), usize::MAX).unwrap()
}

/// Fails when the segments of this store name a blob that is not there.
async fn no_name_leads_nowhere(replica: &Replica) {
    let records = recorded(replica).await;
    let there = replica.list(layout::BLOBS).await.unwrap();
    for blob in Named::by(&records).blobs {
        assert!(there.contains(&layout::blob(&blob)), "{blob} is not there");
    }
}

/// Reads every content that the segments of this store name; how many those are.
async fn read_all(replica: &Replica) -> usize {
    let mut found = 0;
    for record in recorded(replica).await {
        let Ok(Event::FileWritten(event)) = record.event() else {
            continue;
        };
        let Some(blob) = event.blob else { continue };
        let key = key();
        let mut reader = BlobReader::open(replica, &key, &blob, event.size)
            .await
            .unwrap();
        let mut read = Vec::new();
        while let Some(bytes) = reader.next().await.unwrap() {
            read.extend_from_slice(&bytes);
        }
        assert_eq!(read, content(event.file.as_str().parse().unwrap()));
        found += 1;
    }
    found
}

#[tokio::test]
async fn no_segment_is_there_before_the_contents_it_names() {
    let inner = Arc::new(InMemory::new());
    let plain = Replica::over(Arc::clone(&inner) as _, ReplicaKind::Memory);
    let directory = tempfile::tempdir().unwrap();
    let mut log = MemoryLog::new();
    let mut files = 0;
    for round in 0..15_u64 {
        let faulty = FaultyStore::new(Arc::clone(&inner) as _, round);
        let local = Arc::new(LocalBlobs::open(directory.path(), 1 << 20).unwrap());
        let replica = Replica::over(Arc::new(faulty.clone()), ReplicaKind::Memory)
            .with_blobs(Arc::clone(&local));
        let keyring = Keyring::in_memory(None);
        let request = ClaimRequest {
            instance: InstanceId::from("a"),
            takeover: false,
            at: Timestamp(1),
            software: "test".to_owned(),
            nonce: round.to_string(),
        };
        // Whatever the process before had recorded and not shipped is shipped with the claim.
        let mut ignore = |_, _| {};
        let bounds = settings();
        let claimed = claim(&replica, &mut log, &keyring, &request, &bounds, &mut ignore)
            .await
            .unwrap();
        no_name_leads_nowhere(&plain).await;
        let (handle, task) = ship_task::spawn(ShipSetup {
            replica,
            local: log.reader(),
            keyring: Arc::new(keyring),
            epoch: claimed.epoch,
            instance: InstanceId::from("a"),
            shipped: claimed.head,
            settings: settings(),
            seed: round,
        });
        faulty.set_faults(Faults {
            before: 150,
            after: 150,
            yields_max: 5,
            ..Faults::default()
        });
        for _ in 0..6 {
            files += 1;
            let written = store(&local, files);
            let record = record(&log, files, &written);
            assert_eq!(
                Named::by(std::slice::from_ref(&record)).blobs,
                written.blob.into_iter().collect::<Vec<_>>()
            );
            log.append(std::slice::from_ref(&record)).unwrap();
            handle.appended(&[record]);
            handle.ship_now();
            for _ in 0..round * 14 {
                tokio::task::yield_now().await;
            }
            no_name_leads_nowhere(&plain).await;
        }
        if round == 14 {
            assert!(handle.wait_shipped(EventLog::head(&log).seq).await);
        }
        // The process is killed.
        task.abort();
        let _ = task.await;
    }
    let expected = (1..=files).filter(|n| !content(*n).is_empty()).count();
    assert_eq!(read_all(&plain).await, expected);
    let local = LocalBlobs::open(directory.path(), 1 << 20).unwrap();
    assert_eq!(local.waiting().count, 0);
    assert!(!plain.list(layout::BLOBS).await.unwrap().is_empty());
}
