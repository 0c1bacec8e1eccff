//! Content on its way to the remote log and back.

use super::*;
use crate::error::ErrorKind;
use crate::replica::ReplicaKind;
use moltbot_core::content::DataKey;
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use std::sync::Arc;

const MIB: usize = BLOB_CHUNK_BYTES;

/// A machine with an empty remote log.
struct Machine {
    replica: Replica,
    _directory: tempfile::TempDir,
}

impl Machine {
    fn new() -> Machine {
        Machine::beside(&Replica::over(
            Arc::new(InMemory::new()),
            ReplicaKind::Memory,
        ))
    }

    /// Another machine with the same remote log.
    fn beside(replica: &Replica) -> Machine {
        let directory = tempfile::tempdir().unwrap();
        let local = LocalBlobs::open(directory.path(), 4 * MIB as u64).unwrap();
        Machine {
            replica: replica.clone().with_blobs(Arc::new(local)),
            _directory: directory,
        }
    }

    fn local(&self) -> &LocalBlobs {
        self.replica.blobs.as_ref().unwrap()
    }

    fn write(&self, key: &BlobKey, content: &[u8]) -> Written {
        let mut writer = BlobWriter::new(self.local(), key);
        for piece in content.chunks(300_000) {
            writer.push(piece).unwrap();
        }
        let written = writer.finish().unwrap();
        self.local().sync().unwrap();
        written
    }

    async fn read(&self, key: &BlobKey, written: &Written) -> Result<Vec<u8>, StoreError> {
        let blob = written.blob.unwrap();
        let mut reader = BlobReader::open(&self.replica, key, &blob, written.bytes).await?;
        let mut content = Vec::new();
        while let Some(bytes) = reader.next().await? {
            content.extend_from_slice(&bytes);
        }
        Ok(content)
    }

    async fn objects(&self) -> usize {
        self.replica.list(layout::BLOBS).await.unwrap().len()
    }
}

fn key(n: u8) -> BlobKey {
    BlobKey::new(&"key-1".into(), &DataKey([n; 32]))
}

/// Content in which no two chunks are equal.
fn content(bytes: usize) -> Vec<u8> {
    let mut content = vec![0; bytes];
    blake3::Hasher::new().finalize_xof().fill(&mut content);
    content
}

#[tokio::test]
async fn content_of_any_size_comes_back_on_another_machine() {
    let machine = Machine::new();
    for bytes in [1, MIB - 1, MIB, MIB + 1, 3 * MIB, 3 * MIB + 7] {
        let content = content(bytes);
        let written = machine.write(&key(1), &content);
        assert_eq!(written.bytes, bytes as u64);
        assert_eq!(machine.read(&key(1), &written).await.unwrap(), content);
        upload(&machine.replica, &[written.blob.unwrap()])
            .await
            .unwrap();
        assert_eq!(machine.local().waiting().count, 0);
        let other = Machine::beside(&machine.replica);
        assert_eq!(other.read(&key(1), &written).await.unwrap(), content);
    }
    let empty = machine.write(&key(1), b"");
    assert_eq!((empty.blob, empty.bytes), (None, 0));
}

#[tokio::test]
async fn the_name_of_content_is_known_without_storing_it() {
    let machine = Machine::new();
    let content = content(2 * MIB);
    let mut naming = key(1);
    let mut writer = BlobWriter::naming(&naming);
    writer.push(&content).unwrap();
    let named = writer.finish().unwrap();
    assert_eq!(machine.local().waiting().count, 0);
    assert_eq!(machine.write(&key(1), &content), named);
    naming = key(2);
    assert_ne!(machine.write(&naming, &content).blob, named.blob);
}

#[tokio::test]
async fn equal_content_is_stored_once_and_equal_chunks_too() {
    let machine = Machine::new();
    let content = content(3 * MIB);
    let mut longer = content.clone();
    longer.extend_from_slice(b"more");
    let one = machine.write(&key(1), &content);
    let same = machine.write(&key(1), &content);
    let other = machine.write(&key(1), &longer);
    assert_eq!(one, same);
    let names = [one, same, other].map(|written| written.blob.unwrap());
    upload(&machine.replica, &names).await.unwrap();
    // Three chunks, one more, and two lists.
    assert_eq!(machine.objects().await, 6);
}

#[tokio::test]
async fn an_upload_goes_on_with_what_is_missing_and_a_list_comes_last() {
    let machine = Machine::new();
    let written = machine.write(&key(1), &content(3 * MIB));
    let list = written.blob.unwrap();
    let all = with_chunks(machine.local(), &[list]).unwrap();
    assert_eq!(all.len(), 4);
    // What an interrupted upload leaves.
    let chunk = *all.iter().find(|name| **name != list).unwrap();
    upload(&machine.replica, &[chunk]).await.unwrap();
    assert_eq!(
        (machine.objects().await, machine.local().waiting().count),
        (1, 3)
    );
    upload(&machine.replica, &[list]).await.unwrap();
    assert_eq!(
        (machine.objects().await, machine.local().waiting().count),
        (4, 0)
    );
    // Also when this machine forgot how far it was.
    let again = Machine::beside(&machine.replica);
    assert_eq!(again.write(&key(1), &content(3 * MIB)), written);
    upload(&again.replica, &[list]).await.unwrap();
    assert_eq!(
        (again.objects().await, again.local().waiting().count),
        (4, 0)
    );
}

#[tokio::test]
async fn a_missing_or_damaged_chunk_is_named() {
    let machine = Machine::new();
    let written = machine.write(&key(1), &content(2 * MIB));
    let list = written.blob.unwrap();
    upload(&machine.replica, &[list]).await.unwrap();
    let names = with_chunks(machine.local(), &[list]).unwrap();
    let other = Machine::beside(&machine.replica);
    for name in names {
        let path = layout::blob(&name);
        let store = &machine.replica.store;
        let whole = store.get(&path).await.unwrap().bytes().await.unwrap();
        let mut flipped = whole.to_vec();
        flipped[whole.len() / 2] ^= 1;
        for damaged in [
            None,
            Some(whole.slice(..whole.len() - 1)),
            Some(flipped.into()),
        ] {
            store.delete(&path).await.unwrap();
            if let Some(damaged) = damaged {
                store.put(&path, damaged.into()).await.unwrap();
            }
            let error = other.read(&key(1), &written).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            assert!(error.to_string().contains(path.as_ref()), "{error}");
        }
        store.put(&path, whole.into()).await.unwrap();
    }
    assert!(other.read(&key(1), &written).await.is_ok());
}

#[tokio::test]
async fn content_opens_with_its_key_and_its_size_only() {
    let machine = Machine::new();
    for bytes in [10, 2 * MIB] {
        let written = machine.write(&key(1), &content(bytes));
        let error = machine.read(&key(2), &written).await.unwrap_err();
        assert!(error.to_string().contains("key-1"), "{error}");
        for wrong in [written.bytes - 1, written.bytes + 1] {
            let wrong = Written {
                bytes: wrong,
                ..written
            };
            let error = machine.read(&key(1), &wrong).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        }
    }
}

#[tokio::test]
async fn a_blob_that_is_lost_holds_nothing_up() {
    let machine = Machine::new();
    upload(&machine.replica, &[Hash::of(b"lost")])
        .await
        .unwrap();
    assert_eq!(machine.objects().await, 0);
}

#[tokio::test]
async fn a_damaged_blob_is_neither_returned_nor_relied_upon() {
    let machine = Machine::new();
    let bytes = Bytes::from_static(b"sealed");
    let path = layout::blob(&Hash::of(&bytes));
    let damaged = Bytes::from_static(b"sEaled");
    machine.replica.create(&path, damaged).await.unwrap();
    let read = get(&machine.replica, &Hash::of(&bytes)).await.unwrap_err();
    assert_eq!(read.kind(), ErrorKind::Corrupt);
    assert!(put(&machine.replica, bytes).await.is_err());
}

#[test]
fn a_file_has_a_bound() {
    let naming = key(1);
    let mut writer = BlobWriter::naming(&naming);
    writer.bytes = FILE_BYTES_MAX - 1;
    writer.push(b"x").unwrap();
    assert_eq!(writer.push(b"x").unwrap_err().kind(), ErrorKind::Invalid);
}
