use super::*;
use crate::error::ErrorKind;
use crate::replica::ReplicaKind;
use moltbot_core::event::DataKeyCreated;
use object_store::memory::InMemory;
use std::path::Path;
use std::sync::Arc;

const MASTER: Option<MasterKey> = Some(MasterKey([5; 32]));

fn keys(count: u8) -> Vec<(KeyId, DataKey)> {
    (0..count)
        .map(|n| (KeyId(format!("k{n}")), DataKey([n; 32])))
        .collect()
}

fn on_disk(home: &Path, current: Option<MasterKey>) -> Result<Keyring, StoreError> {
    let previous = None;
    Keyring::open(home, MasterKeys { current, previous })
}

#[test]
fn keys_survive_reopening_plain_or_wrapped() {
    for master in [None, MASTER] {
        let home = tempfile::tempdir().unwrap();
        let ring = on_disk(home.path(), master.clone()).unwrap();
        ring.create(&keys(30)).unwrap();
        let object = ring.object(&"k3".into()).unwrap();
        let is_in_clear = object.windows(32).any(|bytes| bytes == [3; 32]);
        assert_eq!(is_in_clear, master.is_none());
        drop(ring);

        let ring = on_disk(home.path(), master.clone()).unwrap();
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
    for master in [None, Some(MasterKey([6; 32]))] {
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
        let ring = Keyring::in_memory(master.clone().into());
        ring.create(&keys(1)).unwrap();
        let object = ring.object(&"k0".into()).unwrap();
        let fresh = Keyring::in_memory(master.into());
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
    let ring = Keyring::in_memory(MASTER.into());
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
    let hex = |master: Option<MasterKey>| {
        let ring = Keyring::in_memory(master.into());
        ring.create(&[("k".into(), DataKey([1; 32]))]).unwrap();
        moltbot_core::ids::hex(&ring.object(&"k".into()).unwrap())
    };
    insta::assert_snapshot!(format!("{}\n{}", hex(None), hex(MASTER)));
}

#[tokio::test]
async fn missing_keys_are_fetched_from_the_remote_log() {
    let settings = StoreSettings::default();
    let replica = Replica::over(Arc::new(InMemory::new()), ReplicaKind::Memory);
    let ring = Keyring::in_memory(MASTER.into());
    ring.create(&keys(40)).unwrap();
    for (id, _) in keys(40) {
        let object = ring.object(&id).unwrap();
        replica.create(&layout::key(&id), object).await.unwrap();
    }
    let other = Keyring::in_memory(MASTER.into());
    other.create(&keys(15)).unwrap();
    assert_eq!(other.load_remote(&replica, &settings).await.unwrap(), 25);
    assert_eq!(other.load_remote(&replica, &settings).await.unwrap(), 0);
    assert_eq!(other.get(&"k39".into()), Some(DataKey([39; 32])));
    let wrong = Keyring::in_memory(Some(MasterKey([6; 32])).into());
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

/// Whether any file below a directory holds these bytes.
fn holds(directory: &Path, bytes: &[u8]) -> bool {
    let entries = std::fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().path()).any(|path| {
        let found = std::fs::read(&path).unwrap();
        found.windows(bytes.len()).any(|window| window == bytes)
    })
}

/// Names of files and what is in them.
type Files<'a> = &'a [(&'a str, &'a [u8])];

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_removed_key_is_in_no_file_and_not_where_the_file_was() {
    for master in [None, MASTER] {
        let home = tempfile::tempdir().unwrap();
        let ring = on_disk(home.path(), master.clone()).unwrap();
        ring.create(&keys(30)).unwrap();
        let object = ring.object(&"k3".into()).unwrap();
        assert!(holds(home.path(), &object));
        // Whoever has the old file open still has the old blocks.
        let mut before = std::fs::File::open(home.path().join(NAME)).unwrap();
        ring.remove(&["k3".into()]).unwrap();
        ring.remove(&["k3".into()]).unwrap();
        assert!(!holds(home.path(), &object) && !holds(home.path(), &[3; 32]));
        assert_eq!(names(home.path()), [NAME]);
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut before, &mut bytes).unwrap();
        assert!(bytes.len() > 30 * 32 && bytes.iter().all(|byte| *byte == 0));

        // The file that took its place takes new keys.
        ring.create(&[("k30".into(), DataKey([30; 32]))]).unwrap();
        drop(ring);
        let ring = on_disk(home.path(), master).unwrap();
        assert_eq!(ring.get(&"k3".into()), None);
        assert_eq!(ring.get(&"k30".into()), Some(DataKey([30; 32])));
        assert_eq!(ring.get(&"k29".into()), Some(DataKey([29; 32])));
    }
}

#[test]
fn whatever_was_going_on_when_a_process_ended_is_finished() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    on_disk(old.path(), None).unwrap().create(&keys(9)).unwrap();
    on_disk(new.path(), None).unwrap().create(&keys(5)).unwrap();
    let bytes = |home: &Path| std::fs::read(home.join(NAME)).unwrap();
    let (old, new) = (bytes(old.path()), bytes(new.path()));
    // The files that are there, and how many keys then are.
    let table: [(Files, usize); 5] = [
        (&[("keys", &old), ("keys.new", &new[..20])], 9),
        (&[("keys", &old), ("keys.new", &new)], 9),
        (&[("keys.old", &old), ("keys.new", &new)], 9),
        (&[("keys", &new), ("keys.old", &old)], 5),
        (&[("keys", &new), ("keys.old", &[0; 100])], 5),
    ];
    for (files, count) in table {
        let home = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            std::fs::write(home.path().join(name), bytes).unwrap();
        }
        let ring = on_disk(home.path(), None).unwrap();
        for (place, (id, key)) in keys(9).into_iter().enumerate() {
            assert_eq!(ring.get(&id), (place < count).then_some(key), "{count}");
        }
        assert_eq!(names(home.path()), [NAME]);
        assert_eq!(holds(home.path(), &[8; 32]), count == 9);
    }
}

#[test]
fn a_torn_end_is_cut_off_and_written_over() {
    let home = tempfile::tempdir().unwrap();
    on_disk(home.path(), None)
        .unwrap()
        .create(&keys(2))
        .unwrap();
    let path = home.path().join(NAME);
    let whole = std::fs::read(&path).unwrap();
    on_disk(home.path(), None)
        .unwrap()
        .create(&keys(3))
        .unwrap();
    let longer = std::fs::read(&path).unwrap();
    for end in whole.len()..longer.len() {
        std::fs::write(&path, &longer[..end]).unwrap();
        let ring = on_disk(home.path(), None).unwrap();
        assert_eq!(ring.get(&"k2".into()), None, "{end}");
        ring.create(&keys(3)).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), longer, "{end}");
    }
    std::fs::write(&path, b"something else").unwrap();
    assert!(on_disk(home.path(), None).is_err());
}

#[test]
fn the_keys_of_a_log_that_was_set_aside_are_not_left_behind() {
    let home = tempfile::tempdir().unwrap();
    let aside = tempfile::tempdir().unwrap();
    on_disk(aside.path(), None)
        .unwrap()
        .create(&keys(3))
        .unwrap();
    let ring = on_disk(home.path(), MASTER).unwrap();
    ring.create(&keys(2)).unwrap();
    ring.adopt(aside.path()).unwrap();
    ring.adopt(aside.path()).unwrap();
    assert_eq!(names(aside.path()), [""; 0]);
    drop(ring);
    let ring = on_disk(home.path(), MASTER).unwrap();
    assert_eq!(ring.get(&"k2".into()), Some(DataKey([2; 32])));
}

#[tokio::test]
async fn a_forgotten_key_opens_nothing_is_not_fetched_and_is_uploaded_until_it_is_removed() {
    let settings = StoreSettings::default();
    let replica = Replica::over(Arc::new(InMemory::new()), ReplicaKind::Memory);
    let ring = Keyring::in_memory(MASTER.into());
    ring.create(&keys(4)).unwrap();
    let forgotten: Vec<KeyId> = vec!["k1".into(), "k2".into()];
    ring.conceal(&forgotten);
    assert_eq!(ring.get(&"k1".into()), None);
    assert_eq!(ring.get(&"k3".into()), Some(DataKey([3; 32])));
    for (id, _) in keys(4) {
        let object = ring.object(&id).unwrap();
        replica.create(&layout::key(&id), object).await.unwrap();
    }
    let restored = Keyring::in_memory(MASTER.into());
    restored.conceal(&forgotten);
    assert_eq!(restored.load_remote(&replica, &settings).await.unwrap(), 2);
    assert!(restored.object(&"k1".into()).is_none());

    delete(&replica, &forgotten, &settings).await.unwrap();
    delete(&replica, &forgotten, &settings).await.unwrap();
    ring.remove(&forgotten).unwrap();
    assert!(ring.object(&"k1".into()).is_none());
    let all: BTreeSet<KeyId> = forgotten.iter().cloned().collect();
    assert!(returned(&replica, &all).await.unwrap().is_empty());
    // One comes back; it still opens nothing.
    let late = Keyring::in_memory(MASTER.into());
    late.create(&keys(4)).unwrap();
    let object = late.object(&"k1".into()).unwrap();
    replica
        .create(&layout::key(&"k1".into()), object.clone())
        .await
        .unwrap();
    assert_eq!(returned(&replica, &all).await.unwrap(), [KeyId::from("k1")]);
    ring.insert_object(&"k1".into(), object).unwrap();
    assert_eq!(ring.get(&"k1".into()), None);
}

/// A remote log with three keys: plain, wrapped by the older master key, and by the newer.
async fn mixed(older: &MasterKey, newer: &MasterKey) -> Replica {
    let replica = Replica::over(Arc::new(InMemory::new()), ReplicaKind::Memory);
    let masters = [None, Some(older.clone()), Some(newer.clone())];
    for (place, master) in masters.into_iter().enumerate() {
        let ring = Keyring::in_memory(master.into());
        ring.create(&keys(3)).unwrap();
        let id = KeyId(format!("k{place}"));
        let object = ring.object(&id).unwrap();
        replica.create(&layout::key(&id), object).await.unwrap();
    }
    replica
}

#[tokio::test]
async fn every_key_is_wrapped_anew_however_it_was_wrapped_and_however_often_that_is_tried() {
    let (older, newer) = (MasterKey([5; 32]), MasterKey([6; 32]));
    let settings = StoreSettings::default();
    let replica = mixed(&older, &newer).await;
    let both = MasterKeys {
        current: Some(newer.clone()),
        previous: Some(older.clone()),
    };
    let before = survey(&replica, &both, &settings).await.unwrap();
    assert_eq!((before.plain, before.current, before.previous), (1, 1, 1));

    let home = tempfile::tempdir().unwrap();
    let ring = Keyring::open(home.path(), both.clone()).unwrap();
    assert!(!ring.is_rotation_due());
    ring.load_remote(&replica, &settings).await.unwrap();
    assert!(ring.is_rotation_due() && holds(home.path(), &[0; 32]));
    assert_eq!(ring.rotate_remote(&replica, &settings).await.unwrap(), 2);
    // The process ends here; the next one finds the rest to do.
    drop(ring);
    let ring = Keyring::open(home.path(), both).unwrap();
    assert!(ring.is_rotation_due());
    assert_eq!(ring.rotate_remote(&replica, &settings).await.unwrap(), 0);
    ring.rotate_local().unwrap();
    assert!(!ring.is_rotation_due() && !holds(home.path(), &[0; 32]));
    drop(ring);

    // The older one is not needed any more, here or by a machine that has nothing.
    let only = MasterKeys {
        current: Some(newer),
        previous: None,
    };
    let ring = Keyring::open(home.path(), only.clone()).unwrap();
    let fresh = Keyring::in_memory(only.clone());
    assert_eq!(fresh.load_remote(&replica, &settings).await.unwrap(), 3);
    for (id, key) in keys(3) {
        assert_eq!((ring.get(&id), fresh.get(&id)), (Some(key), Some(key)));
        assert_eq!(ring.object(&id), fresh.object(&id));
    }
    let after = survey(&replica, &only, &settings).await.unwrap();
    assert_eq!(after.current, 3);
    let lost = MasterKeys {
        current: Some(older),
        previous: None,
    };
    let closed = survey(&replica, &lost, &settings).await.unwrap().closed;
    assert_eq!(closed.len(), 3);
}

#[test]
fn a_master_key_is_told_by_its_fingerprint_and_never_shown() {
    let master = MasterKey::from_text(" some words \n");
    assert_eq!(master, MasterKey::from_text("some words"));
    assert_eq!(master.fingerprint().len(), 16);
    assert_ne!(
        master.fingerprint(),
        MasterKey::from_text("others").fingerprint()
    );
    assert_eq!(format!("{master:?}"), "MasterKey(..)");
}
