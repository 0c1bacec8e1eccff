//! Blobs: sealed payloads too large for a record, stored under the hash of their bytes.
//!
//! Invariant: what [`get`] returns has the hash it was asked for, so a blob can be stored any
//! number of times by anyone; a blob is stored before the segment that names it.
//! Does not seal and does not know what a blob is for.

use crate::error::StoreError;
use crate::layout;
use crate::replica::{Created, Replica};
use crate::settings::StoreSettings;
use bytes::Bytes;
use moltbot_core::chain::Hash;

/// Stores sealed bytes; their hash is their name. Safe to repeat after any failure.
pub async fn put(
    replica: &Replica,
    sealed: Bytes,
    settings: &StoreSettings,
) -> Result<Hash, StoreError> {
    if sealed.len() > settings.blob_bytes_max {
        return Err(StoreError::Invalid(format!(
            "{} bytes are more than the {} a file may have",
            sealed.len(),
            settings.blob_bytes_max
        )));
    }
    let hash = Hash::of(&sealed);
    if replica.create(&layout::blob(&hash), sealed).await? == Created::Exists {
        // A blob that was damaged where it lies must not be relied upon.
        get(replica, &hash)
            .await?
            .ok_or_else(|| StoreError::Remote {
                operation: "read",
                object: layout::blob(&hash).to_string(),
                reason: "it exists but cannot be read".to_owned(),
            })?;
    }
    Ok(hash)
}

/// The sealed bytes with this hash; `None` when they are not there (forgotten, or never shipped).
pub async fn get(replica: &Replica, hash: &Hash) -> Result<Option<Bytes>, StoreError> {
    let path = layout::blob(hash);
    let Some(bytes) = replica.get(&path).await? else {
        return Ok(None);
    };
    if Hash::of(&bytes) != *hash {
        return Err(StoreError::Corrupt {
            place: format!("`{path}`"),
            reason: "its bytes have another hash".to_owned(),
        });
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::replica::ReplicaKind;
    use object_store::memory::InMemory;
    use std::sync::Arc;

    fn replica() -> Replica {
        Replica::over(Arc::new(InMemory::new()), ReplicaKind::Memory)
    }

    #[tokio::test]
    async fn a_blob_is_found_under_its_hash_and_may_be_stored_again() {
        let (replica, settings) = (replica(), StoreSettings::default());
        let bytes = Bytes::from_static(b"sealed");
        let hash = put(&replica, bytes.clone(), &settings).await.unwrap();
        assert_eq!(put(&replica, bytes.clone(), &settings).await.unwrap(), hash);
        assert_eq!(get(&replica, &hash).await.unwrap(), Some(bytes));
        assert_eq!(get(&replica, &Hash::ZERO).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_damaged_blob_is_neither_returned_nor_relied_upon() {
        let (replica, settings) = (replica(), StoreSettings::default());
        let bytes = Bytes::from_static(b"sealed");
        let path = layout::blob(&Hash::of(&bytes));
        let damaged = Bytes::from_static(b"sEaled");
        replica.create(&path, damaged).await.unwrap();
        let read = get(&replica, &Hash::of(&bytes)).await.unwrap_err();
        assert_eq!(read.kind(), ErrorKind::Corrupt);
        assert!(put(&replica, bytes, &settings).await.is_err());
    }

    #[tokio::test]
    async fn a_blob_has_a_bound() {
        let settings = StoreSettings {
            blob_bytes_max: 10,
            ..StoreSettings::default()
        };
        let refused = put(&replica(), Bytes::from(vec![0; 11]), &settings).await;
        assert!(matches!(refused, Err(StoreError::Invalid(_))));
    }
}
