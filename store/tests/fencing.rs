//! One writer: whatever two gateways do, the object store lets only one of them go on.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use bytes::Bytes;
use moltbot_core::chain::Cursor;
use moltbot_core::event::Event;
use moltbot_core::ids::{Epoch, InstanceId, Seq};
use moltbot_core::record::Record;
use moltbot_core::time::Timestamp;
use moltbot_store::catalog::Catalog;
use moltbot_store::claim::{ClaimRequest, Claimed, claim};
use moltbot_store::compact::Compactor;
use moltbot_store::error::{ErrorKind, StoreError};
use moltbot_store::head;
use moltbot_store::keys::{Keyring, MasterKeys};
use moltbot_store::layout;
use moltbot_store::log::{EventLog, LogReader};
use moltbot_store::memory_log::MemoryLog;
use moltbot_store::replica::{Replica, ReplicaKind};
use moltbot_store::restore;
use moltbot_store::segment;
use moltbot_store::settings::StoreSettings;
use moltbot_store::ship_task::{self, ShipEnd, ShipHandle, ShipSetup};
use moltbot_store::testing::faulty_store::{Faults, FaultyStore};
use moltbot_store::testing::records;
use object_store::memory::InMemory;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

fn replica() -> Replica {
    Replica::over(Arc::new(InMemory::new()), ReplicaKind::Memory)
}

fn request(instance: &str, takeover: bool) -> ClaimRequest {
    ClaimRequest {
        instance: InstanceId::from(instance),
        takeover,
        at: Timestamp(1_800_000_000_000),
        software: "test".to_owned(),
        nonce: format!("nonce of {instance}"),
    }
}

async fn claim_as(
    replica: &Replica,
    log: &mut MemoryLog,
    request: &ClaimRequest,
) -> Result<Claimed, StoreError> {
    let keyring = Keyring::in_memory(MasterKeys::default());
    let settings = StoreSettings::default();
    claim(
        replica,
        log,
        &keyring,
        request,
        &settings,
        &mut |_| true,
        &mut |_, _| {},
    )
    .await
}

fn ship(
    replica: &Replica,
    log: &MemoryLog,
    instance: &str,
    claimed: &Claimed,
) -> (ShipHandle, JoinHandle<ShipEnd>) {
    ship_task::spawn(setup(replica, log, instance, claimed))
}

fn setup(replica: &Replica, log: &MemoryLog, instance: &str, claimed: &Claimed) -> ShipSetup {
    ShipSetup {
        replica: replica.clone(),
        local: log.reader(),
        keyring: Arc::new(Keyring::in_memory(MasterKeys::default())),
        epoch: claimed.epoch,
        instance: InstanceId::from(instance),
        shipped: claimed.head,
        settings: StoreSettings::default(),
        seed: 1,
    }
}

fn append(log: &mut MemoryLog, count: usize, bytes: usize) -> Vec<Record> {
    let batch = records(EventLog::head(log), count, bytes);
    log.append(&batch).unwrap();
    batch
}

fn all(log: &MemoryLog) -> Vec<Record> {
    log.read(Seq(1), usize::MAX).unwrap()
}

async fn remote_log(replica: &Replica) -> Vec<Record> {
    let mut log = MemoryLog::new();
    restore::restore(replica, &mut log, &StoreSettings::default(), &mut |_, _| {})
        .await
        .unwrap();
    all(&log)
}

/// Creates a segment as the writer of this epoch would.
async fn put_segment(replica: &Replica, epoch: u64, writer: &str, records: &[Record]) {
    let bytes = segment::encode(Epoch(epoch), &InstanceId::from(writer), records).unwrap();
    let path = layout::segment(records.first().unwrap().seq);
    replica.create(&path, bytes).await.unwrap();
}

/// The same remote log, where this segment lands just before the next write to that folder.
fn overtaken(
    replica: &Replica,
    folder: &str,
    epoch: u64,
    writer: &str,
    records: &[Record],
) -> Replica {
    let store = FaultyStore::new(Arc::clone(&replica.store), 1);
    let bytes = segment::encode(Epoch(epoch), &InstanceId::from(writer), records).unwrap();
    store.overtake(folder, layout::segment(records.first().unwrap().seq), bytes);
    Replica::over(Arc::new(store), ReplicaKind::Memory)
}

#[tokio::test]
async fn the_first_start_claims_epoch_one_and_records_it() {
    let (replica, mut log) = (replica(), MemoryLog::new());
    let claimed = claim_as(&replica, &mut log, &request("a", false))
        .await
        .unwrap();
    assert_eq!((claimed.epoch, claimed.head.seq), (Epoch(1), Seq(1)));
    assert_eq!((claimed.orphan, claimed.restored), (None, 0));
    let first = log.get(Seq(1)).unwrap().unwrap();
    assert!(matches!(first.event().unwrap(), Event::WriterStarted(event)
        if event.epoch == Epoch(1) && event.instance.as_str() == "a"));
    assert_eq!(remote_log(&replica).await, all(&log));
    let (epoch, head) = head::newest(&replica, None).await.unwrap().unwrap();
    assert_eq!(
        (epoch, head.owner.as_str(), head.from_seq),
        (Epoch(1), "a", Seq(1))
    );
}

#[tokio::test]
async fn a_restart_of_the_same_gateway_ships_what_it_had_not_shipped() {
    let (replica, mut log) = (replica(), MemoryLog::new());
    claim_as(&replica, &mut log, &request("a", false))
        .await
        .unwrap();
    append(&mut log, 5, 50);
    let again = claim_as(&replica, &mut log, &request("a", false))
        .await
        .unwrap();
    assert_eq!((again.epoch, again.head.seq), (Epoch(2), Seq(7)));
    assert_eq!((again.restored, again.orphan), (0, None));
    assert_eq!(remote_log(&replica).await, all(&log));
}

#[tokio::test]
async fn another_gateway_is_refused_without_takeover() {
    let (replica, mut log) = (replica(), MemoryLog::new());
    claim_as(&replica, &mut log, &request("a", false))
        .await
        .unwrap();
    let before = replica.list(layout::HEADS).await.unwrap();
    let mut other = MemoryLog::new();
    let error = claim_as(&replica, &mut other, &request("b", false))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, StoreError::Owned { owner, epoch: Epoch(1) } if owner.as_str() == "a")
    );
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(replica.list(layout::HEADS).await.unwrap(), before);
    assert_eq!(all(&other), []);
}

#[tokio::test]
async fn a_takeover_fences_the_first_gateway_and_keeps_its_tail_as_orphan() {
    let replica = replica();
    let (mut first, mut second) = (MemoryLog::new(), MemoryLog::new());
    let claimed = claim_as(&replica, &mut first, &request("a", false))
        .await
        .unwrap();
    let (handle, task) = ship(&replica, &first, "a", &claimed);

    let taken = claim_as(&replica, &mut second, &request("b", true))
        .await
        .unwrap();
    assert_eq!((taken.epoch, taken.restored), (Epoch(2), 1));

    let lost = append(&mut first, 3, 50);
    handle.appended(&lost);
    handle.ship_now();
    let ShipEnd::Fenced { by, orphan } = task.await.unwrap() else {
        panic!("the first gateway was not fenced");
    };
    assert_eq!(by, Epoch(2));
    let orphan = orphan.unwrap();
    assert_eq!((orphan.first, orphan.last), (Seq(2), Seq(4)));
    let tail = lost[0].hash;
    let path = layout::orphan(Epoch(1), &InstanceId::from("a"), &tail, Seq(2));
    assert_eq!(orphan.objects, [path.to_string()]);
    let name = format!(
        "orphan/0000000001-a-{}/00000000000000000002.seg",
        &tail.to_hex()[..16]
    );
    assert_eq!(path.as_ref(), name);
    let bytes = replica.get(&path).await.unwrap().unwrap();
    assert_eq!(segment::decode("orphan", &bytes).unwrap().records, lost);
    assert!(!handle.wait_shipped(Seq(4)).await);
    assert_eq!(remote_log(&replica).await, all(&second));
}

#[tokio::test]
async fn a_segment_that_landed_after_the_takeover_does_not_count_and_is_adopted() {
    let replica = replica();
    let (mut first, mut second) = (MemoryLog::new(), MemoryLog::new());
    let claimed = claim_as(&replica, &mut first, &request("a", false))
        .await
        .unwrap();
    let (handle, task) = ship(&replica, &first, "a", &claimed);
    // The other gateway has claimed its epoch and not shipped yet.
    let head = head::Head {
        owner: InstanceId::from("b"),
        at: Timestamp(0),
        from_seq: Seq(2),
        nonce: String::new(),
    };
    head::create(&replica, Epoch(2), &head).await.unwrap();
    let batch = append(&mut first, 2, 50);
    handle.appended(&batch);
    handle.ship_now();
    assert!(matches!(
        task.await.unwrap(),
        ShipEnd::Fenced { by: Epoch(2), .. }
    ));
    assert_eq!(handle.shipped().borrow().seq, Seq(1));

    let taken = claim_as(&replica, &mut second, &request("b", true))
        .await
        .unwrap();
    assert_eq!((taken.epoch, taken.restored), (Epoch(3), 3));
    assert_eq!(all(&second).get(1..3).unwrap(), batch);
}

#[tokio::test]
async fn the_tail_of_a_gateway_that_lost_is_kept_before_it_is_dropped() {
    let replica = replica();
    let (mut first, mut second) = (MemoryLog::new(), MemoryLog::new());
    claim_as(&replica, &mut first, &request("a", false))
        .await
        .unwrap();
    let lost = append(&mut first, 4, 50);
    claim_as(&replica, &mut second, &request("b", true))
        .await
        .unwrap();

    let back = claim_as(&replica, &mut first, &request("a", true))
        .await
        .unwrap();
    assert_eq!((back.epoch, back.restored), (Epoch(3), 1));
    let orphan = back.orphan.unwrap();
    assert_eq!((orphan.first, orphan.last), (Seq(2), Seq(5)));
    let tail = lost[0].hash;
    let path = layout::orphan(Epoch(1), &InstanceId::from("a"), &tail, Seq(2));
    let bytes = replica.get(&path).await.unwrap().unwrap();
    assert_eq!(segment::decode("orphan", &bytes).unwrap().records, lost);
    assert_eq!(remote_log(&replica).await, all(&first));
}

#[tokio::test]
async fn logs_that_part_at_the_start_of_a_segment_keep_everything_before() {
    let replica = replica();
    let (mut first, mut second) = (MemoryLog::new(), MemoryLog::new());
    claim_as(&replica, &mut first, &request("a", false))
        .await
        .unwrap();
    append(&mut first, 4, 50);
    claim_as(&replica, &mut first, &request("a", false))
        .await
        .unwrap();
    let shared = EventLog::head(&first);
    append(&mut first, 2, 50);
    for _ in 0..5 {
        claim_as(&replica, &mut second, &request("b", true))
            .await
            .unwrap();
    }
    let back = claim_as(&replica, &mut first, &request("a", true))
        .await
        .unwrap();
    assert_eq!(back.orphan.unwrap().first, shared.seq.next());
    assert_eq!(back.restored, 5);
}

#[tokio::test]
async fn a_dropped_start_without_records_is_no_orphan() {
    let (replica, elsewhere) = (replica(), self::replica());
    let (mut first, mut second) = (MemoryLog::new(), MemoryLog::new());
    claim_as(&replica, &mut first, &request("a", false))
        .await
        .unwrap();
    // A log that holds nothing but a start of its own.
    claim_as(&elsewhere, &mut second, &request("b", true))
        .await
        .unwrap();
    let claimed = claim_as(&replica, &mut second, &request("b", true))
        .await
        .unwrap();
    assert_eq!((claimed.orphan, claimed.restored), (None, 1));
    assert_eq!(replica.list(layout::ORPHANS).await.unwrap(), []);
}

#[tokio::test]
async fn a_late_segment_of_an_older_writer_is_adopted_during_the_claim() {
    let replica = replica();
    let mut first = MemoryLog::new();
    claim_as(&replica, &mut first, &request("a", false))
        .await
        .unwrap();
    let late = append(&mut first, 3, 50);
    // The segment arrives between the other gateway's survey and its own first segment.
    let slow = overtaken(&replica, layout::SEGMENTS, 1, "a", &late);
    let mut second = MemoryLog::new();
    let claimed = claim_as(&slow, &mut second, &request("b", true))
        .await
        .unwrap();
    assert_eq!((claimed.epoch, claimed.restored), (Epoch(2), 4));
    assert_eq!(claimed.head.seq, Seq(5));
    assert_eq!(all(&second).get(1..4).unwrap(), late);
    assert_eq!(claimed.orphan, None);
    assert_eq!(remote_log(&replica).await, all(&second));
}

#[tokio::test]
async fn a_claim_that_sees_a_newer_writer_gives_up_without_writing() {
    let replica = replica();
    let mut log = MemoryLog::new();
    claim_as(&replica, &mut log, &request("a", false))
        .await
        .unwrap();
    let newer = records(EventLog::head(&log), 1, 20);
    let slow = overtaken(&replica, layout::HEADS, 9, "b", &newer);
    let error = claim_as(&slow, &mut log, &request("a", false))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced);
    let segments = replica.list(layout::SEGMENTS).await.unwrap();
    assert_eq!(
        segments.len(),
        2,
        "the older writer must not follow the newer one"
    );
}

#[tokio::test]
async fn a_claim_whose_segment_landed_after_the_next_claim_is_fenced() {
    let store = FaultyStore::new(Arc::new(InMemory::new()), 1);
    let replica = Replica::over(Arc::new(store.clone()), ReplicaKind::Memory);
    let newer = br#"{"owner":"b","at":0,"from_seq":1,"nonce":""}"#;
    let newer = Bytes::from_static(newer);
    store.overtake(layout::SEGMENTS, layout::head(Epoch(2)), newer);
    let mut log = MemoryLog::new();
    let error = claim_as(&replica, &mut log, &request("a", false))
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Fenced { by: Epoch(2) }));
}

#[tokio::test]
async fn two_processes_of_one_gateway_never_share_an_epoch() {
    let replica = replica();
    let (mut one, mut two) = (MemoryLog::new(), MemoryLog::new());
    let mut twin = request("a", false);
    twin.nonce = "another process".to_owned();
    let head = head::Head {
        owner: InstanceId::from("a"),
        at: request("a", false).at,
        from_seq: Seq(1),
        nonce: twin.nonce.clone(),
    };
    head::create(&replica, Epoch(1), &head).await.unwrap();
    let claimed = claim_as(&replica, &mut one, &request("a", false))
        .await
        .unwrap();
    assert_eq!(claimed.epoch, Epoch(2));
    let claimed = claim_as(&replica, &mut two, &twin).await.unwrap();
    assert_eq!(claimed.epoch, Epoch(3));
}

#[tokio::test]
async fn a_lost_reply_of_a_create_is_recognised_as_our_own() {
    let inner: Arc<InMemory> = Arc::new(InMemory::new());
    let clean = Replica::over(Arc::clone(&inner) as _, ReplicaKind::Memory);
    let mut log = MemoryLog::new();
    let claimed = claim_as(&clean, &mut log, &request("a", false))
        .await
        .unwrap();
    let faulty = FaultyStore::new(inner, 3);
    let replica = Replica::over(Arc::new(faulty.clone()), ReplicaKind::Memory);
    let (handle, task) = ship(&replica, &log, "a", &claimed);
    faulty.set_faults(Faults {
        after: 1000,
        ..Faults::default()
    });
    let batch = append(&mut log, 3, 50);
    handle.appended(&batch);
    handle.ship_now();
    let mut status = handle.status();
    status.wait_for(|status| status.retries > 0).await.unwrap();
    faulty.set_faults(Faults::default());
    assert!(handle.wait_shipped(Seq(4)).await);
    handle.stop(Duration::from_secs(5));
    assert!(matches!(task.await.unwrap(), ShipEnd::Stopped { shipped } if shipped.seq == Seq(4)));
    assert_eq!(remote_log(&clean).await, all(&log));
}

#[tokio::test]
async fn other_bytes_of_our_own_epoch_are_damage_and_not_overwritten() {
    let (replica, mut log) = (replica(), MemoryLog::new());
    let claimed = claim_as(&replica, &mut log, &request("a", false))
        .await
        .unwrap();
    put_segment(&replica, 1, "somebody", &records(claimed.head, 2, 30)).await;
    let (handle, task) = ship(&replica, &log, "a", &claimed);
    handle.appended(&append(&mut log, 1, 50));
    handle.ship_now();
    let ShipEnd::Failed(error) = task.await.unwrap() else {
        panic!("damage was not noticed");
    };
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(
        error.to_string().contains("log/00000000000000000002.seg"),
        "{error}"
    );
}

#[tokio::test]
async fn a_claim_can_run_on_any_thread() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    let (replica, mut log) = (replica(), MemoryLog::new());
    let asked = request("a", false);
    let claimed = is_send(claim_as(&replica, &mut log, &asked)).await.unwrap();
    assert_ne!(claimed.head, Cursor::START);
}

/// Ships batches of records, each in a segment of its own, and stops.
async fn ship_batches(replica: &Replica, log: &mut MemoryLog, instance: &str, claimed: &Claimed) {
    let (handle, task) = ship(replica, log, instance, claimed);
    for _ in 0..12 {
        let batch = append(log, 3, 40);
        handle.appended(&batch);
        handle.ship_now();
        assert!(handle.wait_shipped(EventLog::head(log).seq).await);
    }
    handle.stop(Duration::from_secs(5));
    assert!(matches!(task.await.unwrap(), ShipEnd::Stopped { .. }));
}

/// Merges everything but the last segments.
async fn compact(replica: &Replica, log: &MemoryLog, instance: &str, claimed: &Claimed) {
    let settings = StoreSettings {
        compact_segments_min: 2,
        ..StoreSettings::default()
    };
    let writer = InstanceId::from(instance);
    let mut compactor = Compactor::new(replica.clone(), claimed.epoch, writer, settings);
    let head = EventLog::head(log).seq.0;
    let counting = [Seq(head), Seq(head - 4)];
    let pass = compactor.pass(&counting).await.unwrap();
    assert!(pass.made > 0 && pass.replaced > 0, "{pass:?}");
}

async fn is_there(replica: &Replica, first: Seq) -> bool {
    let path = layout::segment(first);
    replica.get(&path).await.unwrap().is_some()
}

/// A gateway that sleeps with unshipped records, while another one takes the log over, goes on, and
/// merges and deletes what has the names that the first one will use.
async fn slept_through_a_deletion(replica: &Replica) -> (MemoryLog, Claimed, MemoryLog, Claimed) {
    let (mut asleep, mut awake) = (MemoryLog::new(), MemoryLog::new());
    let old = claim_as(replica, &mut asleep, &request("a", false))
        .await
        .unwrap();
    let new = claim_as(replica, &mut awake, &request("b", true))
        .await
        .unwrap();
    ship_batches(replica, &mut awake, "b", &new).await;
    compact(replica, &awake, "b", &new).await;
    assert!(!is_there(replica, old.head.seq.next()).await);
    (asleep, old, awake, new)
}

#[tokio::test]
async fn a_writer_that_creates_a_deleted_name_again_is_fenced_and_its_object_is_ignored() {
    let replica = replica();
    let (mut asleep, old, awake, new) = slept_through_a_deletion(&replica).await;
    let lost = append(&mut asleep, 5, 50);
    let (handle, task) = ship(&replica, &asleep, "a", &old);
    handle.appended(&lost);
    handle.ship_now();
    let ShipEnd::Fenced { by, orphan } = task.await.unwrap() else {
        panic!("it was not told that it is fenced");
    };
    assert_eq!((by, orphan.unwrap().last), (Epoch(2), Seq(6)));
    assert_eq!(handle.shipped().borrow().seq, Seq(1));

    // Its segment links to record #1, and stands where the log once was.
    let stray = old.head.seq.next();
    assert!(is_there(&replica, stray).await);
    assert_eq!(remote_log(&replica).await, all(&awake));
    let mut catalog = Catalog::list(&replica, Seq::ZERO).await.unwrap();
    let found = catalog.read_holding(&replica, stray).await.unwrap();
    assert_eq!(found.unwrap().segment.header.writer.as_str(), "b");
    let mut third = MemoryLog::new();
    let third_claim = claim_as(&replica, &mut third, &request("c", true))
        .await
        .unwrap();
    assert_eq!(third_claim.epoch, new.epoch.next());
    assert!(all(&third).starts_with(&all(&awake)));
}

#[tokio::test]
async fn a_stray_segment_fools_nobody_whatever_the_lists_lack() {
    let replica = replica();
    let (asleep, old, awake, _) = slept_through_a_deletion(&replica).await;
    let stray = records(EventLog::head(&asleep), 4, 60);
    put_segment(&replica, old.epoch.0, "a", &stray).await;
    let mut whole = 0;
    for seed in 0..200 {
        let store = FaultyStore::new(Arc::clone(&replica.store), seed);
        store.set_faults(Faults {
            stale_list: 1000,
            ..Faults::default()
        });
        let blurred = Replica::over(Arc::new(store), ReplicaKind::Memory);
        let mut log = MemoryLog::new();
        let settings = StoreSettings::default();
        match restore::restore(&blurred, &mut log, &settings, &mut |_, _| {}).await {
            Ok(_) => {
                assert!(all(&log).starts_with(&all(&awake)), "seed {seed}");
                whole += 1;
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Transient, "seed {seed}: {error}"),
        }
        let claimed = claim_as(&blurred, &mut log, &request("b", false)).await;
        match claimed {
            Ok(_) => assert!(all(&log).starts_with(&all(&awake)), "seed {seed}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Transient, "seed {seed}: {error}"),
        }
    }
    assert!(whole > 100, "{whole} of 200");
}

#[tokio::test]
async fn a_stray_segment_is_not_restored_by_a_survey_that_is_older_than_the_deletion() {
    let replica = replica();
    let (mut asleep, mut awake) = (MemoryLog::new(), MemoryLog::new());
    let old = claim_as(&replica, &mut asleep, &request("a", false))
        .await
        .unwrap();
    let new = claim_as(&replica, &mut awake, &request("b", true))
        .await
        .unwrap();
    ship_batches(&replica, &mut awake, "b", &new).await;
    let survey = restore::survey(&replica).await.unwrap();
    compact(&replica, &awake, "b", &new).await;
    // It links to record #1 and ends where another segment began.
    let stray = records(EventLog::head(&asleep), 4, 60);
    put_segment(&replica, old.epoch.0, "a", &stray).await;

    let mut restored = MemoryLog::new();
    restored.append(&all(&asleep)).unwrap();
    let settings = StoreSettings::default();
    restore::extend(&replica, &mut restored, &survey, &settings, &mut |_, _| {})
        .await
        .unwrap();
    assert_eq!(all(&restored), all(&awake));
}

#[tokio::test]
async fn the_next_compaction_sweeps_strays_away() {
    let replica = replica();
    let (asleep, old, mut awake, new) = slept_through_a_deletion(&replica).await;
    let stray = records(EventLog::head(&asleep), 4, 60);
    put_segment(&replica, old.epoch.0, "a", &stray).await;
    let again = Claimed {
        head: EventLog::head(&awake),
        ..new
    };
    ship_batches(&replica, &mut awake, "b", &again).await;
    compact(&replica, &awake, "b", &again).await;
    assert!(!is_there(&replica, stray[0].seq).await);
    assert_eq!(remote_log(&replica).await, all(&awake));
}

#[tokio::test]
async fn an_old_writer_stays_fenced_when_the_head_after_its_own_was_lost() {
    let replica = replica();
    let (mut asleep, old, mut awake, new) = slept_through_a_deletion(&replica).await;
    // Somebody deletes the head that fences it. The next start and compaction make it again.
    replica.delete(&layout::head(new.epoch)).await.unwrap();
    let next = claim_as(&replica, &mut awake, &request("b", true))
        .await
        .unwrap();
    assert_eq!(next.epoch, Epoch(3), "the segments still tell of epoch 2");
    ship_batches(&replica, &mut awake, "b", &next).await;
    compact(&replica, &awake, "b", &next).await;
    let lost = append(&mut asleep, 2, 50);
    let (handle, task) = ship(&replica, &asleep, "a", &old);
    handle.appended(&lost);
    handle.ship_now();
    assert!(matches!(
        task.await.unwrap(),
        ShipEnd::Fenced { by: Epoch(2), .. }
    ));
    assert_eq!(remote_log(&replica).await, all(&awake));
}

#[tokio::test]
async fn the_newest_head_may_be_lost_and_its_writer_is_still_fenced_by_the_next() {
    let replica = replica();
    let (mut first, mut second) = (MemoryLog::new(), MemoryLog::new());
    let claimed = claim_as(&replica, &mut first, &request("a", false))
        .await
        .unwrap();
    replica.delete(&layout::head(Epoch(1))).await.unwrap();
    let taken = claim_as(&replica, &mut second, &request("b", true))
        .await
        .unwrap();
    assert_eq!(taken.epoch, Epoch(2));
    let lost = append(&mut first, 1, 50);
    let (handle, task) = ship(&replica, &first, "a", &claimed);
    handle.appended(&lost);
    handle.ship_now();
    assert!(matches!(
        task.await.unwrap(),
        ShipEnd::Fenced { by: Epoch(2), .. }
    ));
    assert_eq!(remote_log(&replica).await, all(&second));
}

#[tokio::test]
async fn an_idle_gateway_learns_by_itself_that_it_was_fenced() {
    let replica = replica();
    let (mut first, mut second) = (MemoryLog::new(), MemoryLog::new());
    let claimed = claim_as(&replica, &mut first, &request("a", false))
        .await
        .unwrap();
    let (handle, task) = ship_task::spawn(ShipSetup {
        settings: StoreSettings {
            head_check_ms: 20,
            ..StoreSettings::default()
        },
        ..setup(&replica, &first, "a", &claimed)
    });
    claim_as(&replica, &mut second, &request("b", true))
        .await
        .unwrap();
    // It ships nothing, and nobody tells it.
    assert!(matches!(
        task.await.unwrap(),
        ShipEnd::Fenced { by: Epoch(2), .. }
    ));
    assert!(!handle.wait_shipped(Seq(9)).await, "a waiter is refused");
}

#[tokio::test]
async fn a_gateway_that_was_cut_off_during_a_takeover_is_fenced_when_it_is_back() {
    let inner: Arc<InMemory> = Arc::new(InMemory::new());
    let sound = Replica::over(Arc::clone(&inner) as _, ReplicaKind::Memory);
    let store = FaultyStore::new(inner, 5);
    let cut_off = Replica::over(Arc::new(store.clone()), ReplicaKind::Memory);
    let (mut first, mut second) = (MemoryLog::new(), MemoryLog::new());
    let claimed = claim_as(&cut_off, &mut first, &request("a", false))
        .await
        .unwrap();
    let (handle, task) = ship(&cut_off, &first, "a", &claimed);
    store.set_down(true);
    let lost = append(&mut first, 3, 50);
    handle.appended(&lost);
    handle.ship_now();
    let mut status = handle.status();
    status.wait_for(|status| status.retries > 0).await.unwrap();
    claim_as(&sound, &mut second, &request("b", true))
        .await
        .unwrap();
    store.set_down(false);
    let ShipEnd::Fenced { by, orphan } = task.await.unwrap() else {
        panic!("it was not fenced");
    };
    assert_eq!((by, orphan.unwrap().first), (Epoch(2), Seq(2)));
    assert_eq!(remote_log(&sound).await, all(&second));
}

#[tokio::test]
async fn of_gateways_that_start_together_one_goes_on() {
    for seed in 0..100_u64 {
        let inner: Arc<InMemory> = Arc::new(InMemory::new());
        let sound = Replica::over(Arc::clone(&inner) as _, ReplicaKind::Memory);
        let client = |salt| {
            let store = FaultyStore::new(Arc::clone(&inner) as _, seed * 10 + salt);
            store.set_faults(Faults {
                yields_max: 9,
                ..Faults::default()
            });
            Replica::over(Arc::new(store), ReplicaKind::Memory)
        };
        let (here, there) = (client(1), client(2));
        let (mut one, mut two) = (MemoryLog::new(), MemoryLog::new());
        let (first, second) = (request("a", true), request("b", true));
        let (first, second) = tokio::join!(
            claim_as(&here, &mut one, &first),
            claim_as(&there, &mut two, &second),
        );
        let mut going_on = 0;
        for (claimed, log, instance) in [(first, &mut one, "a"), (second, &mut two, "b")] {
            let claimed = match claimed {
                Ok(claimed) => claimed,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Fenced, "seed {seed}: {error}");
                    continue;
                }
            };
            let (handle, task) = ship(&sound, log, instance, &claimed);
            handle.appended(&append(log, 2, 30));
            handle.ship_now();
            if handle.wait_shipped(EventLog::head(log).seq).await {
                going_on += 1;
                assert_eq!(remote_log(&sound).await, all(log), "seed {seed}");
            } else {
                assert!(matches!(task.await.unwrap(), ShipEnd::Fenced { .. }));
            }
        }
        assert_eq!(going_on, 1, "seed {seed}");
    }
}
