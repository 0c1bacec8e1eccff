use super::*;
use crate::error::ErrorKind;
use crate::replica::ReplicaKind;
use crate::sled_log::SledLog;
use moltbot_core::event::DataKeyCreated;
use object_store::memory::InMemory;
use std::path::Path;
use std::sync::Arc;

const MASTER: Option<[u8; 32]> = Some([5; 32]);

fn keys(count: u8) -> Vec<(KeyId, DataKey)> {
    (0..count)
        .map(|n| (KeyId(format!("k{n}")), DataKey([n; 32])))
        .collect()
}

fn on_disk(home: &Path, master: Option<[u8; 32]>) -> Result<Keyring, StoreError> {
    let log = SledLog::open(&home.join("data"), &StoreSettings::default()).unwrap();
    Keyring::open(log.tree(TREE).unwrap(), master)
}

#[test]
fn keys_survive_reopening_plain_or_wrapped() {
    for master in [None, MASTER] {
        let home = tempfile::tempdir().unwrap();
        let ring = on_disk(home.path(), master).unwrap();
        ring.create(&keys(30)).unwrap();
        let object = ring.object(&"k3".into()).unwrap();
        let is_in_clear = object.windows(32).any(|bytes| bytes == [3; 32]);
        assert_eq!(is_in_clear, master.is_none());
        drop(ring);

        let ring = on_disk(home.path(), master).unwrap();
        for (id, key) in keys(30) {
            assert_eq!(ring.get(&id), Some(key));
        }
        assert_eq!(ring.object(&"k3".into()), Some(object));
        assert_eq!(ring.get(&"other".into()), None);
        ring.remove(&["k3".into(), "other".into()]).unwrap();
        assert_eq!(ring.get(&"k3".into()), None);
        drop(ring);
        let ring = on_disk(home.path(), master).unwrap();
        assert_eq!(ring.get(&"k3".into()), None);
    }
}

#[test]
fn a_wrong_or_missing_master_key_is_said_by_name() {
    let home = tempfile::tempdir().unwrap();
    on_disk(home.path(), MASTER)
        .unwrap()
        .create(&keys(1))
        .unwrap();
    for master in [None, Some([6; 32])] {
        let error = on_disk(home.path(), master).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("MOLTBOT_MASTER_KEY"), "{error}");
    }
}

#[test]
fn a_master_key_may_be_set_later() {
    let home = tempfile::tempdir().unwrap();
    on_disk(home.path(), None)
        .unwrap()
        .create(&keys(1))
        .unwrap();
    let ring = on_disk(home.path(), MASTER).unwrap();
    ring.create(&keys(2)).unwrap();
    drop(ring);
    let ring = on_disk(home.path(), MASTER).unwrap();
    assert_eq!(ring.get(&"k0".into()), Some(DataKey([0; 32])));
    assert_eq!(ring.get(&"k1".into()), Some(DataKey([1; 32])));
}

#[test]
fn every_flipped_bit_and_truncation_of_a_stored_key_is_detected() {
    for master in [None, MASTER] {
        let ring = Keyring::in_memory(master);
        ring.create(&keys(1)).unwrap();
        let object = ring.object(&"k0".into()).unwrap();
        let fresh = Keyring::in_memory(master);
        for bit in 0..object.len() * 8 {
            let mut damaged = object.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let error = fresh
                .insert_object(&"k0".into(), damaged.into())
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "bit {bit}: {error}");
        }
        for end in 0..object.len() {
            assert!(
                fresh
                    .insert_object(&"k0".into(), object.slice(..end))
                    .is_err()
            );
        }
        fresh.insert_object(&"k0".into(), object).unwrap();
    }
}

#[test]
fn a_key_is_never_replaced_and_a_wrapped_one_is_bound_to_its_id() {
    let ring = Keyring::in_memory(MASTER);
    ring.create(&keys(2)).unwrap();
    ring.create(&keys(2)).unwrap();
    assert!(ring.create(&[("k0".into(), DataKey([9; 32]))]).is_err());
    assert!(ring.create(&[("a/b".into(), DataKey([9; 32]))]).is_err());
    let moved = ring.insert_object(&"k9".into(), ring.object(&"k0".into()).unwrap());
    assert!(moved.is_err());
    assert_eq!(ring.get(&"k0".into()), Some(DataKey([0; 32])));
}

#[test]
fn the_bytes_of_a_stored_key_are_frozen() {
    let hex = |master| {
        let ring = Keyring::in_memory(master);
        ring.create(&[("k".into(), DataKey([1; 32]))]).unwrap();
        moltbot_core::ids::hex(&ring.object(&"k".into()).unwrap())
    };
    insta::assert_snapshot!(format!("{}\n{}", hex(None), hex(MASTER)));
}

#[tokio::test]
async fn missing_keys_are_fetched_from_the_remote_log() {
    let settings = StoreSettings::default();
    let replica = Replica::over(Arc::new(InMemory::new()), ReplicaKind::Memory);
    let ring = Keyring::in_memory(MASTER);
    ring.create(&keys(40)).unwrap();
    for (id, _) in keys(40) {
        let object = ring.object(&id).unwrap();
        replica.create(&layout::key(&id), object).await.unwrap();
    }
    let other = Keyring::in_memory(MASTER);
    other.create(&keys(15)).unwrap();
    assert_eq!(other.load_remote(&replica, &settings).await.unwrap(), 25);
    assert_eq!(other.load_remote(&replica, &settings).await.unwrap(), 0);
    assert_eq!(other.get(&"k39".into()), Some(DataKey([39; 32])));
    let wrong = Keyring::in_memory(Some([6; 32]));
    let error = wrong.load_remote(&replica, &settings).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[test]
fn records_name_the_keys_they_introduce() {
    let mut records = crate::testing::records(moltbot_core::chain::Cursor::START, 3, 5);
    let event = Event::from(DataKeyCreated {
        key: "k7".into(),
        scope: "session/a|b".to_owned(),
    });
    records[1].kind = event.kind();
    records[1].payload = event.encode().unwrap();
    assert_eq!(keys_in(&records), [KeyId::from("k7")]);
}
